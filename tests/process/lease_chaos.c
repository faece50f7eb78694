/* SPDX-License-Identifier: MIT */
/* Ten processes consume by leases of a second, with handlers of up to three, and are stopped for a while, or
 * killed with -9 and started again. Every message is done exactly once, and all that is counted adds up.
 *
 * PGQ_LEASE_CHAOS_MESSAGES, PGQ_LEASE_CHAOS_SECONDS (over which they are sent), PGQ_LEASE_CHAOS_BLOW_MS (from
 * one process stopped or killed to the next), PGQ_LEASE_CHAOS_LONG (of a thousand handlers, how many take
 * long). */
#include "consumers.h"
#include "harness.h"
#include "ledger.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PROCESSES = 10,
    THREADS = 2,
    LEASE_MS = 1000,
    LONGEST_MS = 3000,
    MOST_STOPPED_MS = 2500,
    ERROR_LIMIT = 8,
    HOPELESS_EVERY = 250,
    MOST = 5, /* received at once */
    BATCH = 50
};

#define QUEUE "lease_chaos"

static long messages;
static long long_share;

static int hopeless(long n)
{
    return n % HOPELESS_EVERY == 7;
}

static int64_t handler_us(void)
{
    return between(1, 1000) <= long_share ? between(0, LONGEST_MS * 1000) : between(0, 4000);
}

/* --- consumers --- */

/* The handler of receive_with and of the worker, which extend the lease. */
static int work(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    long n = strtol(m->payload, NULL, 10);
    int64_t left = handler_us();
    int careful = between(0, 1) == 1;
    int is_long = left > LEASE_MS * 1200;

    (void)conn;
    (void)arg;
    ledger_handed(n);
    for (; left > 0; left -= 50000) {
        pause_us(left < 50000 ? left : 50000);
        if (careful && pgq_lease_lost(q)) {
            ledger_stale();
            return pgq_fail(q, "message %ld is lost to %ld", n, (long)getpid());
        }
    }
    if (hopeless(n) || between(1, 20) == 1)
        return pgq_fail(q, "message %ld is refused by %ld", n, (long)getpid());
    if (ledger_done(q, m, n) && is_long)
        ledger_long();
    return 0;
}

/* A loop of its own: receives some, and settles one after the other. */
struct loop {
    pgq *q;        /* receives */
    pgq *attached; /* settles, on a connection of the consumer's own */
    PGconn *conn;
    int extends;
    pgq_receipt held[MOST]; /* not settled yet, from at on */
    int at;
    int count;
};

static void settled(const char *what, pgq *q, pgq_status status)
{
    if (status == PGQ_STALE || status == PGQ_NOT_FOUND)
        ledger_stale();
    else
        must(q, status, what);
}

/* All that it holds is extended while it works on one. */
static void work_for(struct loop *l, int64_t us)
{
    while (us > 0) {
        int64_t slice = us < LEASE_MS * 300 ? us : LEASE_MS * 300;

        if (l->extends)
            settled("extend", l->q,
                    pgq_extend(l->q, &l->held[l->at], (size_t)(l->count - l->at), LEASE_MS, NULL, NULL));
        pause_us(slice);
        us -= slice;
    }
}

static void handle_one(struct loop *l, const pgq_message *m)
{
    pgq_nack_options o = PGQ_NACK_OPTIONS_INIT;
    long n = strtol(m->payload, NULL, 10);
    int64_t us = handler_us();
    pgq_status status;

    work_for(l, us);
    if (hopeless(n) || between(1, 20) == 1) {
        o.error = "refused";
        o.delay_ms = between(0, 1) ? between(0, 300) : PGQ_UNSET;
        settled("nack", l->attached, pgq_nack(l->attached, &l->held[l->at], 1, &o, NULL, NULL));
    } else if (between(1, 30) == 1) {
        ledger_release_tried(n);
        status = pgq_release(l->q, &l->held[l->at], 1, NULL, NULL);
        settled("release", l->q, status);
        if (status == PGQ_OK)
            ledger_released(n);
    } else if (ledger_done(l->attached, m, n) && l->extends && us > LEASE_MS * 1200) {
        ledger_long();
    }
}

static void receive_some(struct loop *l)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *list;
    pgq_status status;

    o.lease_ms = LEASE_MS;
    o.timeout_ms = 200;
    status = pgq_receive(l->q, QUEUE, (int)between(1, MOST), &o, &list);
    if (status == PGQ_TIMEOUT)
        return;
    must(l->q, status, "receive");
    l->count = (int)pgq_messages_count(list);
    for (int i = 0; i < l->count; i++) {
        const pgq_message *m = pgq_messages_get(list, (size_t)i);

        l->held[i].id = m->id;
        l->held[i].attempt = m->attempts;
        ledger_handed(strtol(m->payload, NULL, 10));
    }
    for (l->at = 0; l->at < l->count; l->at++)
        handle_one(l, pgq_messages_get(list, (size_t)l->at));
    pgq_messages_free(list);
}

static void consume_by_receive(void *arg)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    struct loop l;

    memset(&l, 0, sizeof l);
    l.extends = *(int *)arg;
    l.q = open_handle();
    l.conn = PQconnectdb(dsn());
    if (PQstatus(l.conn) != CONNECTION_OK)
        give_up("connect: %s", PQerrorMessage(l.conn));
    o.name_space = name_space();
    must(l.q, pgq_attach(l.conn, &o, &l.attached), "attach");
    catch_term();
    while (!stop_asked())
        receive_some(&l);
    pgq_close(l.attached);
    PQfinish(l.conn);
    pgq_close(l.q);
}

/* --- the processes --- */

struct process {
    pid_t pid;
    consumer c;
    int extends;        /* of a loop of its own; -1: it is the consumer */
    int64_t stopped_to; /* 0: it runs */
};

static struct process processes[PROCESSES];

static void start_process(struct process *p)
{
    p->stopped_to = 0;
    p->pid = p->extends < 0 ? start(consume, &p->c) : start(consume_by_receive, &p->extends);
}

static void start_processes(void)
{
    for (int i = 0; i < PROCESSES; i++) {
        struct process *p = &processes[i];

        p->c.kind = i % 2 == 0 ? CONSUME_LEASE : CONSUME_WORKER;
        p->c.threads = THREADS;
        p->c.queue = QUEUE;
        p->c.handler = work;
        p->c.lease_ms = LEASE_MS;
        p->extends = i < 6 ? -1 : i % 2;
        start_process(p);
    }
}

struct blows {
    long kills;
    long stops;
};

static void strike(struct blows *b)
{
    struct process *p = &processes[between(0, PROCESSES - 1)];

    if (between(1, 3) == 1) {
        kill_now(p->pid);
        start_process(p);
        b->kills++;
    } else if (!p->stopped_to) {
        stop_now(p->pid);
        p->stopped_to = now_us() + between(100, MOST_STOPPED_MS) * 1000;
        b->stops++;
    }
}

static void continue_some(int all)
{
    for (int i = 0; i < PROCESSES; i++)
        if (processes[i].stopped_to && (all || now_us() >= processes[i].stopped_to)) {
            processes[i].stopped_to = 0;
            kill(processes[i].pid, SIGCONT);
        }
}

static void end_processes(void)
{
    continue_some(1);
    for (int i = 0; i < PROCESSES; i++)
        kill(processes[i].pid, SIGTERM);
    for (int i = 0; i < PROCESSES; i++)
        check(ended_well(processes[i].pid), "process %d did not end well", i);
}

/* --- the run --- */

static long send_to(pgq *q, long from, long to)
{
    pgq_outgoing out[BATCH];
    char texts[BATCH][24];

    while (from < to) {
        size_t count = 0;

        for (; count < BATCH && from < to; count++, from++) {
            out[count].payload = texts[count];
            out[count].len = (size_t)snprintf(texts[count], sizeof texts[0], "%ld", from);
            out[count].options = NULL;
        }
        must(q, pgq_enqueue_many(q, QUEUE, out, count, 0, NULL, NULL), "enqueue_many");
    }
    return to;
}

/* Sends the messages over the given time, while processes are struck, until nothing is left. */
static struct blows run(int64_t send_us, int64_t blow_us)
{
    pgq *q = open_handle();
    int64_t began = now_us();
    int64_t next_blow = began + blow_us;
    int64_t next_look = began;
    int64_t deadline = began + send_us * 4 + 120000000;
    struct blows b = {0, 0};
    long sent = 0;

    for (;;) {
        long due = (long)((double)messages * (double)(now_us() - began) / (double)send_us);

        sent = send_to(q, sent, due > messages ? messages : due);
        continue_some(0);
        if (now_us() >= next_blow) {
            strike(&b);
            next_blow += blow_us;
        }
        if (now_us() >= next_look) {
            next_look = now_us() + 500000;
            if (ledger_look(q, QUEUE, sent) == 0 && sent == messages)
                break;
        }
        if (now_us() > deadline) {
            fail("%lld messages are left at the deadline",
                 (long long)query(q, "SELECT count(*) FROM NS.message"));
            break;
        }
        pause_us(10000);
    }
    pgq_close(q);
    return b;
}

int main(void)
{
    int64_t began = now_us();
    int64_t seconds = setting("PGQ_LEASE_CHAOS_SECONDS", 35);
    int64_t blow_ms = setting("PGQ_LEASE_CHAOS_BLOW_MS", 250);
    struct blows b;

    begin("lease_chaos");
    messages = setting("PGQ_LEASE_CHAOS_MESSAGES", 7000);
    long_share = setting("PGQ_LEASE_CHAOS_LONG", 30);
    make_queue(QUEUE, ERROR_LIMIT);
    ledger_begin(messages);
    start_processes();
    b = run(seconds * 1000000, blow_ms * 1000);
    end_processes();
    ledger_check(QUEUE, ERROR_LIMIT, b.kills * MOST * THREADS);
    ledger_check_hopeless(HOPELESS_EVERY, 7);
    /* A run that was too short to say so may have had none. */
    check(b.kills + b.stops < 40 || (ledger_stales() > 0 && ledger_longs() > 0),
          "%ld were lost, %ld extended and done", ledger_stales(), ledger_longs());
    printf(
        "%ld messages in %.1f s, %ld kills, %ld stops; told STALE %ld times, done past a lease %ld times\n",
        messages, (double)(now_us() - began) / 1e6, b.kills, b.stops, ledger_stales(), ledger_longs());
    return finish();
}
