/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static const char *conninfo;
static char namespace_name[64];
static atomic_int *failed;
static unsigned int seed;

/* --- the run --- */

static PGQ_PRINTF(2, 0) void say(const char *kind, const char *format, va_list args)
{
    char text[1024];

    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "%s: %s\n", kind, text);
}

void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("FAILED", format, args);
    va_end(args);
    atomic_fetch_add(failed, 1);
}

void give_up(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("FAILED", format, args);
    va_end(args);
    atomic_fetch_add(failed, 1);
    _exit(1);
}

int failures(void)
{
    return atomic_load(failed);
}

long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    char *end;
    long value;

    if (!text || !*text)
        return otherwise;
    value = strtol(text, &end, 10);
    if (*end || value < 1)
        give_up("%s=%s: a number above 0 is expected", name, text);
    return value;
}

void begin(const char *name)
{
    pgq *q;

    conninfo = getenv("PGQ_TEST_DSN");
    if (!conninfo) {
        fprintf(stderr, "PGQ_TEST_DSN is not set\n");
        exit(77);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    seed = (unsigned int)getpid() ^ (unsigned int)now_us();
    failed = shared(sizeof *failed);
    snprintf(namespace_name, sizeof namespace_name, "pgq_%s_%ld", name, (long)getpid());
    q = open_handle();
    must(q, pgq_install(q), "install");
    pgq_close(q);
}

int finish(void)
{
    pgq *q = open_handle();

    must(q, pgq_drop(q), "drop");
    pgq_close(q);
    printf("%s\n", failures() ? "FAILED" : "ok");
    return failures() ? 1 : 0;
}

/* --- the server --- */

const char *dsn(void)
{
    return conninfo;
}

const char *name_space(void)
{
    return namespace_name;
}

void must(pgq *q, pgq_status status, const char *what)
{
    if (status != PGQ_OK)
        give_up("%s: %s: %s", what, pgq_status_name(status), pgq_last_error(q)->message);
}

pgq *open_handle(void)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_status status;
    pgq *q;

    o.name_space = namespace_name;
    status = pgq_open(conninfo, &o, &q);
    must(q, status, "open");
    return q;
}

void make_queue(const char *name, int error_limit)
{
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;
    pgq *q = open_handle();

    a.error_limit = error_limit > 0 ? error_limit : -1;
    must(q, pgq_create_queue(q, name, &a, 0), "create_queue");
    pgq_close(q);
}

/* NS becomes the namespace, whose name needs no quotes. */
static void put_namespace(char *out, size_t size, const char *sql)
{
    size_t len = 0;

    while (*sql && len + 1 < size)
        if (strncmp(sql, "NS.", 3) == 0) {
            len += (size_t)snprintf(out + len, size - len, "%s.", namespace_name);
            sql += 3;
        } else {
            out[len++] = *sql++;
        }
    if (*sql || len >= size)
        give_up("a statement is too long");
    out[len] = '\0';
}

int64_t query(pgq *q, const char *sql)
{
    char text[2048];
    PGresult *res;
    int64_t value = 0;

    put_namespace(text, sizeof text, sql);
    res = PQexec(pgq_connection(q), text);
    if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
        give_up("%s: %s", text, PQerrorMessage(pgq_connection(q)));
    if (PQntuples(res) > 0 && PQnfields(res) > 0)
        value = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
    PQclear(res);
    return value;
}

int64_t query_once(const char *sql)
{
    pgq *q = open_handle();
    int64_t value = query(q, sql);

    pgq_close(q);
    return value;
}

int64_t queryf(pgq *q, const char *format, ...)
{
    char text[2048];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text)
        give_up("a statement is too long");
    return query(q, text);
}

/* --- processes --- */

pid_t start(void (*body)(void *arg), void *arg)
{
    pid_t parent = getpid();
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid < 0)
        give_up("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != parent)
        _exit(1);
    seed = (unsigned int)getpid() * 2654435761u ^ (unsigned int)now_us();
    body(arg);
    fflush(stdout);
    _exit(0);
}

int ended_well(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            give_up("waitpid: %s", strerror(errno));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void kill_now(pid_t pid)
{
    kill(pid, SIGKILL);
    ended_well(pid);
}

void stop_now(pid_t pid)
{
    int status = 0;

    kill(pid, SIGSTOP);
    while (waitpid(pid, &status, WUNTRACED) < 0)
        if (errno != EINTR)
            give_up("waitpid: %s", strerror(errno));
    if (!WIFSTOPPED(status))
        give_up("process %ld has ended where it was to be stopped", (long)pid);
}

void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        fprintf(stderr, "no memory to share: %s\n", strerror(errno));
        exit(1);
    }
    return memory;
}

/* --- time and chance --- */

int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void pause_us(int64_t us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};

    if (us > 0)
        nanosleep(&t, NULL);
}

int64_t between(int64_t low, int64_t high)
{
    static _Thread_local unsigned int state;

    /* A child has its own seed; a thread its own place in memory. */
    if (state == 0)
        state = seed ^ (unsigned int)(uintptr_t)&state ^ 1u;
    return low + rand_r(&state) % (high - low + 1);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int64_t percentile(int64_t *values, size_t n, double share)
{
    if (n == 0)
        return 0;
    qsort(values, n, sizeof *values, compare);
    return values[(size_t)((double)(n - 1) * share)];
}

/* --- the machine's own noise --- */

enum { NOISE_SECONDS = 24 * 3600 };

static _Atomic int64_t *noise; /* the worst of each second since noise_epoch */
static int64_t noise_epoch;
static pid_t noise_pid;

static void note_noise(int64_t began, int64_t late)
{
    /* A stall counts for each second that it lasts. */
    for (int64_t at = began / 1000000; at <= (began + late) / 1000000; at++) {
        int64_t i = at - noise_epoch / 1000000;

        if (i >= 0 && i < NOISE_SECONDS && atomic_load(&noise[i]) < late)
            atomic_store(&noise[i], late);
    }
}

static void make_noise_notes(void *arg)
{
    int with_commits = *(int *)arg;
    pgq *q = open_handle();

    query(q, "CREATE TABLE NS.noise (n bigint)");
    for (int turn = 0;; turn++) {
        int64_t began = now_us();

        pause_us(1000);
        note_noise(began, now_us() - began - 1000);
        if (with_commits && turn % 20 == 0) {
            began = now_us();
            query(q, "INSERT INTO NS.noise VALUES (1)");
            note_noise(began, now_us() - began);
        }
    }
}

void noise_start(int with_commits)
{
    noise = shared(NOISE_SECONDS * sizeof *noise);
    noise_epoch = now_us();
    noise_pid = start(make_noise_notes, &with_commits);
}

void noise_stop(void)
{
    kill_now(noise_pid);
}

int64_t noise_between(int64_t from_us, int64_t to_us)
{
    int64_t worst = 0;

    for (int64_t at = from_us / 1000000; at <= to_us / 1000000; at++) {
        int64_t i = at - noise_epoch / 1000000;

        if (i >= 0 && i < NOISE_SECONDS && atomic_load(&noise[i]) > worst)
            worst = atomic_load(&noise[i]);
    }
    return worst;
}

int64_t noise_worst(void)
{
    return noise_between(noise_epoch, now_us());
}
