/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CAPACITY = 65536, RING = 16 };

static char ring[RING][CAPACITY];
static unsigned next_of_ring;
static const char *test_name = "";
static int checks, failures;
static PGconn *watcher; /* looks at the others */

static void fatal(const char *what, PGconn *c)
{
    fprintf(stderr, "%s: %s: %s\n", test_name, what, c ? PQerrorMessage(c) : "");
    exit(1);
}

static void quiet(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

PGconn *session_open(void)
{
    const char *dsn = getenv("PGQ_TEST_DSN");
    if (!dsn || !*dsn) {
        fprintf(stderr, "PGQ_TEST_DSN is not set: skipped\n");
        exit(77);
    }
    PGconn *c = PQconnectdb(dsn);
    if (PQstatus(c) != CONNECTION_OK)
        fatal("connect", c);
    PQsetNoticeReceiver(c, quiet, NULL);
    return c;
}

static PGconn *watch(void)
{
    if (!watcher)
        watcher = session_open();
    return watcher;
}

/* The statement, with the namespace in the place of mq. */
SESSION_PRINTF(1, 0)
static const char *statement(const char *format, va_list args)
{
    static char raw[CAPACITY], out[2 * CAPACITY];
    const char *ns = getenv("PGQ_TEST_NAMESPACE");
    if (!ns)
        fatal("PGQ_TEST_NAMESPACE is not set", NULL);
    if (vsnprintf(raw, sizeof raw, format, args) >= (int)sizeof raw)
        fatal("statement too long", NULL);
    size_t n = 0;
    for (const char *p = raw; *p && n < sizeof out - 100;) {
        if (strncmp(p, "mq.", 3) == 0 && (p == raw || strchr(" (,='\n", p[-1]))) {
            n += (size_t)snprintf(out + n, sizeof out - n, "\"%s\".", ns);
            p += 3;
        } else {
            out[n++] = *p++;
        }
    }
    out[n] = '\0';
    return out;
}

static char *slot(void)
{
    char *s = ring[next_of_ring++ % RING];
    s[0] = '\0';
    return s;
}

static const char *rows(const PGresult *r)
{
    char *s = slot();
    size_t n = 0;
    for (int i = 0; i < PQntuples(r); i++)
        for (int j = 0; j < PQnfields(r) && n < CAPACITY; j++)
            n += (size_t)snprintf(s + n, CAPACITY - n, "%s%s", j ? "|" : i ? "," : "", PQgetvalue(r, i, j));
    return s;
}

static int succeeded(const PGresult *r)
{
    ExecStatusType st = PQresultStatus(r);
    return st == PGRES_TUPLES_OK || st == PGRES_COMMAND_OK;
}

static PGresult *must(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    if (!succeeded(r)) {
        fprintf(stderr, "%s: %s\n  in: %s\n", test_name, PQerrorMessage(c), sql);
        exit(1);
    }
    return r;
}

#define STATEMENT(sql)                                                                                       \
    va_list args;                                                                                            \
    va_start(args, format);                                                                                  \
    const char *sql = statement(format, args);                                                               \
    va_end(args)

void run(PGconn *c, const char *format, ...)
{
    STATEMENT(sql);
    PQclear(must(c, sql));
}

const char *text(PGconn *c, const char *format, ...)
{
    STATEMENT(sql);
    PGresult *r = must(c, sql);
    const char *s = rows(r);
    PQclear(r);
    return s;
}

long long number(PGconn *c, const char *format, ...)
{
    STATEMENT(sql);
    PGresult *r = must(c, sql);
    long long n = PQntuples(r) > 0 ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : -1;
    PQclear(r);
    return n;
}

static const char *outcome(PGconn *c, const PGresult *r, const char *mark)
{
    char *s = slot();
    const char *code = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    snprintf(s, CAPACITY, "%s%s", mark, succeeded(r) ? "00000" : code ? code : PQerrorMessage(c));
    return s;
}

const char *state(PGconn *c, const char *format, ...)
{
    STATEMENT(sql);
    PGresult *r = PQexec(c, sql);
    const char *s = outcome(c, r, "");
    PQclear(r);
    return s;
}

void start(PGconn *c, const char *format, ...)
{
    STATEMENT(sql);
    if (!PQsendQuery(c, sql))
        fatal("send", c);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_input(PGconn *c, int ms)
{
    struct pollfd fd = {.fd = PQsocket(c), .events = POLLIN};
    if (poll(&fd, 1, ms) > 0 && !PQconsumeInput(c))
        fatal("input", c);
}

int blocked(PGconn *c)
{
    double deadline = now() + 10;
    while (now() < deadline) {
        wait_input(c, 2);
        if (!PQisBusy(c))
            return 0;
        /* What it waits for holds: a momentary wait would be over by the second look. */
        if (number(watch(),
                   "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %d "
                   "AND waitstart < clock_timestamp() - interval '20 ms'",
                   PQbackendPID(c)) > 0)
            return 1;
    }
    fatal("it neither ends nor waits", NULL);
    return 0;
}

const char *finish(PGconn *c)
{
    const char *s = "";
    double deadline = now() + 20;
    while (PQisBusy(c) && now() < deadline)
        wait_input(c, 100);
    if (PQisBusy(c))
        fatal("it does not end", NULL);
    for (PGresult *r; (r = PQgetResult(c)); PQclear(r)) {
        if (succeeded(r)) {
            s = rows(r);
        } else {
            s = outcome(c, r, "!");
        }
    }
    return s;
}

void session_kill(PGconn *c)
{
    int pid = PQbackendPID(c);
    run(watch(), "SELECT pg_terminate_backend(%d)", pid);
    wait_until(watch(), "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %d)", pid);
    PQfinish(c);
}

int bells(PGconn *c)
{
    int n = 0;
    run(c, "SELECT 1"); /* the server sends what is due before it answers */
    if (!PQconsumeInput(c))
        fatal("input", c);
    for (PGnotify *note; (note = PQnotifies(c)); PQfreemem(note))
        n++;
    return n;
}

int wait_bell(PGconn *c)
{
    double deadline = now() + 5;
    int n = 0;
    while (n == 0 && now() < deadline) {
        wait_input(c, 100);
        for (PGnotify *note; (note = PQnotifies(c)); PQfreemem(note))
            n++;
    }
    return n;
}

void wait_until(PGconn *c, const char *format, ...)
{
    STATEMENT(sql);
    char *copy = strdup(sql);
    double deadline = now() + 10;
    int ok = 0;
    while (!ok && now() < deadline) {
        PGresult *r = must(c, copy);
        ok = PQntuples(r) > 0 && PQgetvalue(r, 0, 0)[0] == 't';
        PQclear(r);
    }
    check_that(ok, copy, __FILE__, __LINE__);
    free(copy);
}

void check_that(int ok, const char *what, const char *file, int line)
{
    checks++;
    if (!ok) {
        failures++;
        fprintf(stderr, "%s:%d: %s: not so: %s\n", file, line, test_name, what);
    }
}

void check_same(const char *expected, const char *got, const char *what, const char *file, int line)
{
    checks++;
    if (strcmp(expected, got) != 0) {
        failures++;
        fprintf(stderr, "%s:%d: %s: %s\n  expected \"%s\"\n  got      \"%s\"\n", file, line, test_name, what,
                expected, got);
    }
}

void check_number(long long expected, long long got, const char *what, const char *file, int line)
{
    checks++;
    if (expected != got) {
        failures++;
        fprintf(stderr, "%s:%d: %s: %s: expected %lld, got %lld\n", file, line, test_name, what, expected,
                got);
    }
}

void test(const char *name, void (*body)(void))
{
    test_name = name;
    run(watch(), "SELECT mq.reset(), mq.set_auto_create(false)");
    body();
}

int finished(void)
{
    PQfinish(watcher);
    printf("%d checks, %d failed\n", checks, failures);
    return failures > 0 || checks == 0;
}
