/* SPDX-License-Identifier: MIT */
/* Round trips a message. libpq's own trace of the messages that it sends and receives tells: a round trip is
 * one turn from sending to receiving, whatever is sent at once. */
#include "budget.h"

#include <pgq/worker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Exact: but a sweep or a look for what is due may be one more now and then. */
static const budget budgets[] = {
    {"enqueue", 1, 1},
    {"enqueue_many of 100", 0.01, 0.01},
    {"pop of 1", 1, 1},
    {"pop of 100", 0.01, 0.01},
    {"receive and ack of 1", 2, 2},
    {"receive and ack of 100", 0.02, 0.02},
    {"dequeue, one row written", 3, 3},
    {"dequeue", 2, 2},
    {"a worker's scope, one row written", 2, 2.1},
    {"a worker's scope", 1, 1.1},
    {"a worker's lease", 1, 1.1},
    {"ack_receive of 1", 1, 1},
    {"ack_receive of 100", 0.01, 0.01},
    {"dequeue_many of 100, one row written", 0.03, 0.03},
};

enum { BATCH = 100, CALLS = 20, HANDLED = 200 };

/* --- counting --- */

static FILE *trace;

static void trace_start(PGconn *conn)
{
    trace = tmpfile();
    assert_non_null(trace);
    PQtrace(conn, trace);
}

/* Turns from F, what this side sends, to B, what the server does; each begins its line, before the length. */
static long trace_end(PGconn *conn)
{
    char line[4096];
    char last = 'B';
    long trips = 0;

    PQuntrace(conn);
    rewind(trace);
    while (fgets(line, sizeof line, trace)) {
        const char *at = strchr(line, '\t');
        char way;

        if (!at || (at[1] != 'F' && at[1] != 'B') || at[2] != '\t')
            continue;
        way = at[1];
        trips += way == 'B' && last == 'F';
        last = way;
    }
    fclose(trace);
    trace = NULL;
    return trips;
}

/* --- calls --- */

static void enqueues(pgq *q)
{
    b_send(q, 1);
}

static void enqueues_many(pgq *q)
{
    b_send(q, BATCH);
}

static void pops(pgq *q)
{
    b_pop(q, 1);
}

static void pops_many(pgq *q)
{
    b_pop(q, BATCH);
}

static void settles(pgq *q, int count)
{
    pgq_receipt receipts[BATCH];

    b_receive(q, count, receipts);
    assert_ok(q, pgq_ack(q, receipts, (size_t)count, NULL, NULL));
}

static void receives(pgq *q)
{
    settles(q, 1);
}

static void receives_many(pgq *q)
{
    settles(q, BATCH);
}

static int writes(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    PGresult *res = PQexec(conn, "INSERT INTO pg_temp.done VALUES (1)");
    int rc = PQresultStatus(res) == PGRES_COMMAND_OK ? 0 : 1;

    (void)q, (void)message, (void)arg;
    PQclear(res);
    return rc;
}

static void dequeues(pgq *q)
{
    assert_ok(q, pgq_dequeue(q, B_QUEUE, b_nothing, NULL));
}

static void dequeues_writing(pgq *q)
{
    assert_ok(q, pgq_dequeue(q, B_QUEUE, writes, NULL));
}

/* What the last call left; settled by the next one. */
static pgq_receipt held[BATCH];
static int holding;

static void acks_and_receives(pgq *q, int count)
{
    pgq_messages *list;

    assert_ok(q, pgq_ack_receive(q, held, (size_t)holding, NULL, NULL, B_QUEUE, count, NULL, &list));
    assert_int_equal(pgq_messages_count(list), count);
    for (holding = 0; holding < count; holding++)
        held[holding] = t_receipt(pgq_messages_get(list, (size_t)holding));
    pgq_messages_free(list);
}

static void goes_on(pgq *q)
{
    acks_and_receives(q, 1);
}

static void goes_on_with_many(pgq *q)
{
    acks_and_receives(q, BATCH);
}

static int writes_once(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    return writes(q, conn, pgq_messages_get(messages, 0), arg);
}

static void dequeues_many(pgq *q)
{
    size_t done = 0;

    assert_ok(q, pgq_dequeue_many(q, B_QUEUE, BATCH, writes_once, NULL, &done));
    assert_int_equal(done, BATCH);
}

static void test_calls(void **state)
{
    static const struct {
        const char *what;
        void (*call)(pgq *q);
        int takes; /* so many messages; 0: it sends */
        int messages;
    } cases[] = {
        {"enqueue", enqueues, 0, 1},
        {"enqueue_many of 100", enqueues_many, 0, BATCH},
        {"pop of 1", pops, 1, 1},
        {"pop of 100", pops_many, BATCH, BATCH},
        {"receive and ack of 1", receives, 1, 1},
        {"receive and ack of 100", receives_many, BATCH, BATCH},
        {"dequeue, one row written", dequeues_writing, 1, 1},
        {"dequeue", dequeues, 1, 1},
        {"ack_receive of 1", goes_on, 1, 1},
        {"ack_receive of 100", goes_on_with_many, BATCH, BATCH},
        {"dequeue_many of 100, one row written", dequeues_many, BATCH, BATCH},
    };
    const fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);
    int kept = 1;

    t_run(f, conn, "CREATE TEMP TABLE done (n integer)");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        long least = 0;

        /* The first call of a handle may do more; the least of the others is what a message takes, as looks
         * for what is due come by the clock. */
        for (int n = 0; n <= CALLS; n++) {
            long trips;

            if (cases[i].takes)
                b_send(f->q, cases[i].takes);
            trace_start(conn);
            cases[i].call(f->q);
            trips = trace_end(conn);
            assert_true(trips > 0);
            if (n == 1 || trips < least)
                least = trips;
        }
        t_run(f, f->sql, "DELETE FROM mq.message");
        kept &= b_keeps(budgets, COUNT_OF(budgets), cases[i].what, (double)least / cases[i].messages);
    }
    assert_true(kept);
}

/* --- a worker's thread: traced from its second message to the last but one --- */

typedef struct shift {
    int handled;
    int writing;
    long trips;
} shift;

static int handle(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    shift *s = arg;
    int rc = 0;

    s->handled++;
    if (s->handled == 1)
        PQclear(PQexec(conn, "CREATE TEMP TABLE done (n integer)"));
    if (s->handled == HANDLED)
        s->trips = trace_end(conn);
    if (s->writing)
        rc = writes(q, conn, message, NULL);
    if (s->handled == 2)
        trace_start(conn);
    return rc;
}

static double worker_trips(const fixture *f, int64_t lease_ms, int writing)
{
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;
    shift s = {.writing = writing};
    pgq_worker *worker;

    for (int i = 0; i < HANDLED / BATCH; i++)
        b_send(f->q, BATCH);
    o.name_space = f->ns;
    o.threads = 1;
    o.max_messages = HANDLED;
    o.lease_ms = lease_ms;
    assert_int_equal(pgq_worker_new(t_dsn(), &o, &worker), PGQ_OK);
    assert_int_equal(pgq_worker_add(worker, B_QUEUE, handle, &s), PGQ_OK);
    assert_int_equal(pgq_worker_run(worker), PGQ_OK);
    pgq_worker_free(worker);
    assert_int_equal(s.handled, HANDLED);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    return (double)s.trips / (HANDLED - 2);
}

static void test_worker(void **state)
{
    const fixture *f = *state;
    int kept = 1;

    kept &= b_keeps(budgets, COUNT_OF(budgets), "a worker's scope", worker_trips(f, 0, 0));
    kept &= b_keeps(budgets, COUNT_OF(budgets), "a worker's scope, one row written", worker_trips(f, 0, 1));
    kept &= b_keeps(budgets, COUNT_OF(budgets), "a worker's lease", worker_trips(f, 30000, 0));
    assert_true(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {BUDGET_TEST(test_calls), BUDGET_TEST(test_worker)};

    return RUN_WITH_SERVER(tests);
}
