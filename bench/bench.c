/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "floor.h"
#include "relay.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MARK   "made by pgq-bench, which may drop it at any time"
#define PREFIX "pgq-bench"

#define DROP_TRIES 30 /* a second each */

static char *cleaner; /* the conninfo of the connection that cleans up; NULL: nothing to clean */
static void (*before_clean_up)(void);
static atomic_flag ending = ATOMIC_FLAG_INIT;
static pid_t owner; /* a child process must not clean up */

/* --- memory and time --- */

void *allocate(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1);
    if (!p)
        die("out of memory");
    return p;
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* --- the end --- */

void bench_at_end(void (*what)(void))
{
    before_clean_up = what;
}

/* Sessions of this run that are still there hold locks on what is to be dropped. */
static void clean_up(void)
{
    char sql[512];
    PGconn *conn = PQconnectdb(cleaner);
    PGresult *res;
    bool dropped;
    int tries = 0;
    if (before_clean_up)
        before_clean_up();
    relay_remove();
    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
             " AND application_name LIKE '" PREFIX " %ld %%'",
             (long)owner);
    PQclear(PQexec(conn, "SET client_min_messages = error"));
    /* A worker's threads connect again, and may lock the tables once more before they are done with. */
    PQclear(PQexec(conn, "SET lock_timeout = 1000"));
    do {
        PQclear(PQexec(conn, sql));
        res = PQexec(conn, "DROP SCHEMA IF EXISTS " NS ", " NS_EMPTY ", " FLOOR " CASCADE");
        dropped = PQresultStatus(res) == PGRES_COMMAND_OK;
        PQclear(res);
    } while (!dropped && ++tries < DROP_TRIES && PQstatus(conn) == CONNECTION_OK);
    if (!dropped)
        fprintf(stderr, "pgq-bench: the schemas could not be dropped: %s", PQerrorMessage(conn));
    PQfinish(conn);
}

/* One thread ends the program; others that get here wait for that. */
static void end_once(void)
{
    if (getpid() != owner && owner != 0)
        return;
    while (atomic_flag_test_and_set(&ending))
        pause();
    if (cleaner)
        clean_up();
}

_Noreturn void die(const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    if (getpid() == owner || owner == 0) {
        while (atomic_flag_test_and_set(&ending))
            pause();
        fprintf(stderr, "pgq-bench: %s\n", text);
        if (cleaner)
            clean_up();
    } else {
        fprintf(stderr, "pgq-bench: %s\n", text);
    }
    fflush(stdout);
    _exit(1);
}

static void *wait_for_signal(void *arg)
{
    int sig = 0;
    sigwait(arg, &sig);
    end_once();
    _exit(128 + sig);
}

static void catch_signals(void)
{
    static sigset_t set;
    pthread_t thread;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_create(&thread, NULL, wait_for_signal, &set) != 0)
        die("a thread could not be started");
    pthread_detach(thread);
}

/* --- statements --- */

PGconn *connect_to(const char *conninfo)
{
    PGconn *conn = PQconnectdb(conninfo);
    if (PQstatus(conn) != CONNECTION_OK)
        die("there is no connection to the server: %s", PQerrorMessage(conn));
    return conn;
}

void check_result(PGconn *conn, PGresult *res, ExecStatusType expected)
{
    if (PQresultStatus(res) != expected)
        die("a statement failed: %s", PQerrorMessage(conn));
}

void run_sql(PGconn *conn, const char *sql)
{
    PGresult *res = PQexec(conn, sql);
    if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
        die("%s: %s", sql, PQerrorMessage(conn));
    PQclear(res);
}

int64_t int_sql(PGconn *conn, const char *sql)
{
    PGresult *res = PQexec(conn, sql);
    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) == 0)
        die("%s: %s", sql, PQerrorMessage(conn));
    int64_t n = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
    PQclear(res);
    return n;
}

void prepare(PGconn *conn, const char *name, const char *sql)
{
    PGresult *res = PQprepare(conn, name, sql, 0, NULL);
    check_result(conn, res, PGRES_COMMAND_OK);
    PQclear(res);
}

void must(const pgq *q, pgq_status status, const char *call)
{
    if (status != PGQ_OK)
        die("%s: %s: %s", call, pgq_status_name(status), pgq_last_error(q)->message);
}

/* --- conninfo --- */

void bench_application(const char *role, char *out, size_t size)
{
    snprintf(out, size, PREFIX " %ld %s", (long)owner, role);
}

static void add_value(FILE *to, const char *key, const char *value)
{
    fprintf(to, "%s='", key);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            fputc('\\', to);
        fputc(*value, to);
    }
    fputs("' ", to);
}

static bool is_about_the_way(const char *key)
{
    return strcmp(key, "host") == 0 || strcmp(key, "hostaddr") == 0 || strcmp(key, "port") == 0 ||
           strcmp(key, "requirepeer") == 0 || strcmp(key, "channel_binding") == 0 ||
           strncmp(key, "ssl", 3) == 0 || strncmp(key, "gss", 3) == 0;
}

char *bench_conninfo(const bench *b, const char *role, const char *dir, const char *settings)
{
    char *text = NULL;
    char name[64];
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    PQconninfoOption *list = PQconninfo(b->control);
    if (!to || !list)
        die("out of memory");
    for (const PQconninfoOption *p = list; p->keyword; p++) {
        if (p->val && *p->val && strcmp(p->keyword, "application_name") != 0 &&
            strcmp(p->keyword, "options") != 0 && !(dir && is_about_the_way(p->keyword)))
            add_value(to, p->keyword, p->val);
        if (strcmp(p->keyword, "options") == 0 && ((p->val && *p->val) || settings)) {
            char both[1024];
            snprintf(both, sizeof both, "%s %s", p->val ? p->val : "", settings ? settings : "");
            add_value(to, "options", both);
        }
    }
    if (dir) {
        add_value(to, "host", dir);
        add_value(to, "port", "5432");
    }
    bench_application(role, name, sizeof name);
    add_value(to, "application_name", name);
    PQconninfoFree(list);
    if (fclose(to) != 0)
        die("out of memory");
    return text;
}

/* --- the schemas --- */

static void refuse_others(bench *b)
{
    PGresult *res =
        PQexec(b->control,
               "SELECT nspname FROM pg_namespace WHERE nspname IN ('" NS "', '" NS_EMPTY "', '" FLOOR "')"
               " AND obj_description(oid, 'pg_namespace') IS DISTINCT FROM '" MARK "'");
    check_result(b->control, res, PGRES_TUPLES_OK);
    if (PQntuples(res) > 0)
        die("the schema \"%s\" is there and is not of this program's making: it is left alone. Rename or "
            "drop it, or use another database",
            PQgetvalue(res, 0, 0));
    PQclear(res);
}

/* In one transaction with its mark, so that whatever is left behind can be told by it. */
static void make_namespace(bench *b, const char *name)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    char sql[256];
    pgq *q = NULL;
    o.name_space = name;
    run_sql(b->control, "BEGIN");
    pgq_status status = pgq_attach(b->control, &o, &q);
    must(q, status, "pgq_attach");
    must(q, pgq_install(q), "pgq_install");
    pgq_close(q);
    snprintf(sql, sizeof sql, "COMMENT ON SCHEMA %s IS '" MARK "'", name);
    run_sql(b->control, sql);
    run_sql(b->control, "COMMIT");
}

pgq *bench_namespace(bench *b, const char *name)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    char *conninfo = bench_conninfo(b, "fill", NULL, NULL);
    pgq *q = NULL;
    make_namespace(b, name);
    o.name_space = name;
    pgq_status status = pgq_open(conninfo, &o, &q);
    must(q, status, "pgq_open");
    must(q, pgq_create_queue(q, QUEUE, NULL, 0), "pgq_create_queue");
    free(conninfo);
    return q;
}

static void look_around(bench *b)
{
    char path[64];
    b->superuser = int_sql(b->control, "SELECT (current_setting('is_superuser') = 'on')::int") == 1;
    snprintf(path, sizeof path, "/proc/%d/stat", PQbackendPID(b->control));
    b->local = *PQhost(b->control) == '/' && access(path, R_OK) == 0;
}

void bench_open(bench *b)
{
    owner = getpid();
    catch_signals();
    b->control = connect_to(b->o.conninfo ? b->o.conninfo : "");
    PQclear(PQexec(b->control, "SET client_min_messages = warning"));
    if (int_sql(b->control, "SELECT pg_try_advisory_lock(hashtext('pgq-bench'))::int") != 1)
        die("another pgq-bench is at work in this database: wait for its end, or use another database");
    refuse_others(b);
    cleaner = bench_conninfo(b, "clean", NULL, NULL);
    run_sql(b->control, "DROP SCHEMA IF EXISTS " NS ", " NS_EMPTY ", " FLOOR " CASCADE");
    look_around(b);
    b->payload = allocate((size_t)b->o.payload + 1, 1);
    for (int i = 0; i < b->o.payload; i++)
        b->payload[i] = (char)('a' + (i * 7 + i / 26) % 26);
    b->q = bench_namespace(b, NS);
    run_sql(b->control, "CREATE SCHEMA " FLOOR "; COMMENT ON SCHEMA " FLOOR " IS '" MARK "'");
    floor_install(b);
    char *conninfo = bench_conninfo(b, "fill", NULL, NULL);
    b->hand = connect_to(conninfo);
    floor_prepare(b->hand);
    free(conninfo);
}

void bench_close(bench *b)
{
    pgq_close(b->q);
    PQfinish(b->hand);
    end_once();
    PQfinish(b->control);
    free(b->payload);
    free(cleaner);
}
