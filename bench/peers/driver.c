/* SPDX-License-Identifier: MIT */
#include "driver.h"
#include <libpq-fe.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLIENTS_MAX   8
#define WARM_UP       0.15 /* of the measured time, before it */
#define LOOK          0.4  /* seconds of a first look at how fast messages are taken */
#define BACKLOG       1000 /* that waits while a transaction is held open */
#define PINGS         40
#define PING_PAUSE_MS 60 /* long enough for every peer to fall asleep in between */

static const struct peer *the_peer;
static const char *where;
static double seconds = 2.0;
static atomic_llong done;
static atomic_int stopping;

/* --- small things --- */

void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

void *must_alloc(size_t size)
{
    void *p = calloc(1, size);

    if (!p)
        fail("out of memory");
    return p;
}

void finished(int n)
{
    atomic_fetch_add(&done, n);
}

/* --- clients in loops --- */

struct loop {
    pthread_t thread;
    int n;
    int sends;
    enum mode mode;
};

static void *run_loop(void *arg)
{
    const struct loop *loop = arg;
    void *client = the_peer->open(where);

    while (!atomic_load(&stopping)) {
        int n = loop->n;

        if (loop->sends)
            the_peer->send(client, n);
        else
            n = the_peer->take(client, n, loop->mode);
        finished(n);
        if (n == 0)
            sleep_ms(1);
    }
    the_peer->close(client);
    return NULL;
}

/* Counts from a first look, after the warm-up, to the end of the time or of the messages. */
static double watch(double warm_up, double for_seconds, int64_t most, long long *counted)
{
    int64_t start = now_ns(), from, end;
    long long first, last;

    while (now_ns() - start < (int64_t)(warm_up * 1e9))
        sleep_ms(1);
    first = atomic_load(&done);
    from = now_ns();
    do {
        sleep_ms(1);
        last = atomic_load(&done);
        end = now_ns();
    } while (end - from < (int64_t)(for_seconds * 1e9) && last < most);
    *counted = last - first;
    return (double)(end - from) / 1e9;
}

static double run_loops(int clients, struct loop like, double warm_up, double for_seconds, int64_t most,
                        long long *counted)
{
    struct loop loops[CLIENTS_MAX];
    double took;

    atomic_store(&done, 0);
    atomic_store(&stopping, 0);
    for (int i = 0; i < clients; i++) {
        loops[i] = like;
        if (pthread_create(&loops[i].thread, NULL, run_loop, &loops[i]) != 0)
            fail("no thread could be started");
    }
    took = watch(warm_up, for_seconds, most, counted);
    atomic_store(&stopping, 1);
    for (int i = 0; i < clients; i++)
        pthread_join(loops[i].thread, NULL);
    return took;
}

static void print_rate(long long counted, double took)
{
    printf("{\"rate\": %.1f, \"done\": %lld, \"seconds\": %.3f}\n", (double)counted / took, counted, took);
}

static void case_send(int clients, int n)
{
    struct loop like = {.n = n, .sends = 1};
    long long counted;
    double took = run_loops(clients, like, seconds * WARM_UP, seconds, INT64_MAX, &counted);

    print_rate(counted, took);
}

/* --- consuming --- */

static void exec_or_fail(PGconn *conn, const char *sql)
{
    PGresult *r = PQexec(conn, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail("%s: %s", sql, PQerrorMessage(conn));
    PQclear(r);
}

/* The statistics are brought up to date, as autovacuum would, had it the time. */
static void fill(int64_t count)
{
    void *client = the_peer->open(where);

    for (; count > 0; count -= FILL_BATCH)
        the_peer->send(client, (int)(count < FILL_BATCH ? count : FILL_BATCH));
    the_peer->close(client);
    if (the_peer->has_sql) {
        PGconn *conn = PQconnectdb(where);

        exec_or_fail(conn, "ANALYZE");
        PQfinish(conn);
    }
}

static double consume(int clients, int n, enum mode mode, double warm_up, double for_seconds, int64_t there,
                      long long *counted)
{
    struct loop like = {.n = n, .mode = mode};
    double took;

    atomic_store(&done, 0);
    if (!the_peer->start_workers || !the_peer->start_workers(where, clients, n, mode))
        return run_loops(clients, like, warm_up, for_seconds, there, counted);
    took = watch(warm_up, for_seconds, there, counted);
    the_peer->stop_workers();
    return took;
}

/* A short look first says how many messages the time will take; then that many, and a half more. */
static void case_consume(int clients, int n, enum mode mode)
{
    int64_t there = n > 1 ? 4000 : 1000;
    long long counted;
    double took;

    fill(there);
    took = consume(clients, n, mode, 0, LOOK, there, &counted);
    there -= atomic_load(&done);
    if (counted > 0) {
        int64_t more = (int64_t)((double)counted / took * seconds * (1 + WARM_UP) * 1.5) + 1000;

        fill(more);
        there += more;
    }
    took = consume(clients, n, mode, seconds * WARM_UP, seconds, there, &counted);
    print_rate(counted, took);
}

/* --- with a transaction held open --- */

/* One client sends a batch and takes one, over and over; the fifths of the time are counted one by one. */
static void case_held(void)
{
    PGconn *holder = PQconnectdb(where);
    void *client = the_peer->open(where);
    long long fifths[5] = {0};
    double length = seconds * 1e9 / 5;
    int64_t start;

    fill(BACKLOG);
    for (int i = 0; i < 20; i++) {
        the_peer->send(client, BATCH);
        the_peer->take(client, BATCH, MODE_SETTLE);
    }
    exec_or_fail(holder, "BEGIN");
    exec_or_fail(holder, "SELECT txid_current()");
    start = now_ns();
    for (;;) {
        int fifth, n;

        the_peer->send(client, BATCH);
        n = the_peer->take(client, BATCH, MODE_SETTLE);
        fifth = (int)((double)(now_ns() - start) / length);
        if (fifth > 4)
            break;
        fifths[fifth] += n;
    }
    exec_or_fail(holder, "COMMIT");
    PQfinish(holder);
    the_peer->close(client);
    printf("{\"fifths\": [%.1f, %.1f, %.1f, %.1f, %.1f]}\n", (double)fifths[0] * 1e9 / length,
           (double)fifths[1] * 1e9 / length, (double)fifths[2] * 1e9 / length,
           (double)fifths[3] * 1e9 / length, (double)fifths[4] * 1e9 / length);
}

/* --- the way of one message --- */

static pthread_mutex_t ping_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ping_came = PTHREAD_COND_INITIALIZER;
static int64_t ping_at;

void handled(void)
{
    pthread_mutex_lock(&ping_lock);
    ping_at = now_ns();
    pthread_cond_signal(&ping_came);
    pthread_mutex_unlock(&ping_lock);
}

static int64_t ping(void *client)
{
    int64_t start, took;

    pthread_mutex_lock(&ping_lock);
    ping_at = 0;
    pthread_mutex_unlock(&ping_lock);
    start = now_ns();
    the_peer->send(client, 1);
    pthread_mutex_lock(&ping_lock);
    while (ping_at == 0)
        pthread_cond_wait(&ping_came, &ping_lock);
    took = ping_at - start;
    pthread_mutex_unlock(&ping_lock);
    return took;
}

static void case_latency(void)
{
    void *client = the_peer->open(where);

    the_peer->start_listener(where);
    sleep_ms(500);
    for (int i = 0; i < 3; i++)
        ping(client);
    printf("{\"latency_us\": [");
    for (int i = 0; i < PINGS; i++) {
        sleep_ms(PING_PAUSE_MS + i % 7); /* not in step with any peer's timer */
        printf("%s%.0f", i ? ", " : "", (double)ping(client) / 1e3);
    }
    printf("]}\n");
    the_peer->stop_listener();
    the_peer->close(client);
}

/* --- the cases by their names --- */

static const struct {
    const char *name;
    int clients, n, sends;
    enum mode mode;
} rates[] = {
    {"send-1", 1, 1, 1, 0},
    {"send-8", 8, 1, 1, 0},
    {"send-batch", 1, BATCH, 1, 0},
    {"settle-1", 1, 1, 0, MODE_SETTLE},
    {"settle-8", 8, 1, 0, MODE_SETTLE},
    {"settle-batch", 1, BATCH, 0, MODE_SETTLE},
    {"lease-1", 1, 1, 0, MODE_LEASE},
    {"lease-8", 8, 1, 0, MODE_LEASE},
    {"lease-batch", 1, BATCH, 0, MODE_LEASE},
    {"pop-1", 1, 1, 0, MODE_POP},
    {"pop-8", 8, 1, 0, MODE_POP},
    {"pop-batch", 1, BATCH, 0, MODE_POP},
};

static int run_case(const char *name)
{
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        if (strcmp(name, rates[i].name) != 0)
            continue;
        if (rates[i].sends)
            case_send(rates[i].clients, rates[i].n);
        else
            case_consume(rates[i].clients, rates[i].n, rates[i].mode);
        return 0;
    }
    if (strcmp(name, "held") == 0)
        case_held();
    else if (strcmp(name, "latency") == 0)
        case_latency();
    else
        fail("there is no case %s", name);
    return 0;
}

int drive(const struct peer *peer, int argc, char **argv)
{
    const char *reason;

    if (argc != 4)
        fail("usage: %s WHERE CASE SECONDS", argv[0]);
    the_peer = peer;
    where = argv[1];
    seconds = strtod(argv[3], NULL);
    if (!(seconds > 0 && seconds <= 3600))
        fail("SECONDS is %s: from 0.1 to 3600 are allowed", argv[3]);
    if (strcmp(argv[2], "prepare") == 0) {
        peer->prepare(where);
        return 0;
    }
    reason = peer->lacks(argv[2]);
    if (!reason && strcmp(argv[2], "held") == 0 && !peer->has_sql)
        reason = "has no transactions that could be held open";
    if (!reason && strcmp(argv[2], "latency") == 0 && !peer->start_listener)
        reason = "is not woken: it is polled";
    if (reason) {
        printf("{\"lacks\": \"%s\"}\n", reason);
        return 0;
    }
    return run_case(argv[2]);
}
