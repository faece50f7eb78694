/* SPDX-License-Identifier: MIT */
/* Each allocation of each call fails in turn: NO_MEMORY or success, no leak, and a handle that works on. */
#include "alloc.h"
#include "fault/calls.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 60 };

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    return 0;
}

/* Calls until no allocation fails any more; how many did. A call may also do without. */
static long walk(const fixture *f, const fault_call *c)
{
    long n;

    for (n = 1; n < MOST; n++) {
        pgq *q = t_open(f); /* a fresh one makes its cursors within the call */
        pgq_status status;
        long made;

        if (c->prepare)
            c->prepare(f);
        pgqi_alloc_fail_at(n);
        status = c->call(q);
        made = pgqi_alloc_made();
        pgqi_alloc_fail_at(0);
        if (status != c->good && status != PGQ_NO_MEMORY)
            fail_msg("%s, allocation %ld: %s: %s", c->name, n, pgq_status_name(status),
                     pgq_last_error(q)->message);
        if (status == PGQ_NO_MEMORY && !pgq_last_error(q)->message[0])
            fail_msg("%s, allocation %ld: NO_MEMORY without a message", c->name, n);
        assert_int_equal(PQtransactionStatus(pgq_connection(q)), PQTRANS_IDLE);
        assert_int_equal(PQpipelineStatus(pgq_connection(q)), PQ_PIPELINE_OFF);
        if (c->prepare)
            c->prepare(f);
        assert_status(q, c->call(q), c->good);
        pgq_close(q);
        if (made < n) {
            assert_int_equal(status, c->good);
            break;
        }
    }
    assert_true(n < MOST);
    return n - 1;
}

static void test_every_call(void **state)
{
    const fault_call *c;
    long failures = 0;

    for (size_t i = 0; (c = fault_call_at(i)) != NULL; i++)
        failures += walk(*state, c);
    assert_true(failures > 20);
}

/* A message whose taker ran out of memory is there for the next one: at once, or when its lease has run out.
 */
static void nothing_is_lost(const fixture *f, pgq_status (*take)(pgq *q, pgq_handler handler, void *arg))
{
    for (long n = 1; n < MOST; n++) {
        pgq *q = t_open(f);
        witness w = {0};
        pgq_status status;
        long made;

        t_run(f, f->sql, "DELETE FROM mq.message");
        t_send(f->q, "q", "m");
        pgqi_alloc_fail_at(n);
        status = take(q, t_witness, &w);
        made = pgqi_alloc_made();
        pgqi_alloc_fail_at(0);
        pgq_close(q);
        if (made < n) {
            assert_ok(f->q, status);
            return;
        }
        if (status == PGQ_OK) {
            assert_int_equal(w.calls, 1);
        } else {
            assert_int_equal(status, PGQ_NO_MEMORY);
            assert_int_equal(w.calls, 0);
            t_run(f, f->sql, "UPDATE mq.message SET due = clock_timestamp() WHERE state = 2");
            t_lease(f->q, "q", PGQ_UNSET, NULL);
        }
    }
    fail_msg("it never came to an end");
}

static pgq_status in_a_scope(pgq *q, pgq_handler handler, void *arg)
{
    return pgq_dequeue(q, "q", handler, arg);
}

typedef struct single {
    pgq_handler handler;
    void *arg;
} single;

static int first_of(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    single *s = arg;

    return s->handler(q, conn, pgq_messages_get(messages, 0), s->arg);
}

static pgq_status in_a_scope_of_many(pgq *q, pgq_handler handler, void *arg)
{
    single s = {handler, arg};

    return pgq_dequeue_many(q, "q", 10, first_of, &s, NULL);
}

static pgq_status under_a_lease(pgq *q, pgq_handler handler, void *arg)
{
    return pgq_receive_with(q, "q", handler, arg, NULL);
}

static void test_nothing_is_lost(void **state)
{
    nothing_is_lost(*state, in_a_scope);
    nothing_is_lost(*state, in_a_scope_of_many);
    nothing_is_lost(*state, under_a_lease);
}

static void test_makers(void **state)
{
    fixture *f = *state;
    const char *const names[] = {"q", "q"};
    pgq_listener_options lo = PGQ_LISTENER_OPTIONS_INIT;
    pgq_worker_options wo = PGQ_WORKER_OPTIONS_INIT;
    int refused[4] = {0};

    lo.name_space = wo.name_space = f->ns;
    wo.drain = 1;
    for (long n = 1; n < 30; n++) {
        pgq *q;
        pgq_listener *l;
        pgq_worker *w;

        pgqi_alloc_fail_at(n);
        refused[0] += pgq_open(t_dsn(), NULL, &q) == PGQ_NO_MEMORY;
        pgq_close(q);
        pgqi_alloc_fail_at(n);
        refused[1] += pgq_attach(f->sql, NULL, &q) == PGQ_NO_MEMORY;
        pgq_close(q);
        pgqi_alloc_fail_at(n);
        refused[2] += pgq_listener_open(t_dsn(), names, 2, &lo, &l) == PGQ_NO_MEMORY;
        pgq_listener_close(l);
        pgqi_alloc_fail_at(n);
        if (pgq_worker_new(t_dsn(), &wo, &w) == PGQ_OK)
            refused[3] += pgq_worker_add(w, "q", t_witness, NULL) == PGQ_NO_MEMORY;
        else
            refused[3]++;
        pgqi_alloc_fail_at(0);
        pgq_worker_free(w);
    }
    assert_int_equal(refused[0], 3);
    assert_int_equal(refused[1], 2);
    assert_true(refused[2] >= 5);
    assert_true(refused[3] >= 5);
}

/* A worker's run: it cannot start, or does its work all the same. */
static void run_worker(const fixture *f, int64_t lease_ms)
{
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;

    o.name_space = f->ns;
    o.drain = 1;
    o.lease_ms = lease_ms;
    for (long n = 1; n < MOST; n++) {
        witness w = {0};
        pgq_worker *worker;
        pgq_status status;
        long made;

        t_run(f, f->sql, "DELETE FROM mq.message");
        t_send(f->q, "q", "m");
        assert_int_equal(pgq_worker_new(t_dsn(), &o, &worker), PGQ_OK);
        assert_int_equal(pgq_worker_add(worker, "q", t_witness, &w), PGQ_OK);
        pgqi_alloc_fail_at(n);
        status = pgq_worker_run(worker);
        made = pgqi_alloc_made();
        pgqi_alloc_fail_at(0);
        /* A worker that lacked memory for what it had leased leaves it to the next one. */
        if (status == PGQ_OK)
            assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE state = 0"), 0);
        else
            assert_int_equal(status, PGQ_NO_MEMORY);
        assert_int_equal(pgq_worker_last_error(worker)->status, status);
        pgq_worker_free(worker);
        if (made < n)
            return;
    }
    fail_msg("it never came to an end");
}

static void test_worker(void **state)
{
    run_worker(*state, 0);
    run_worker(*state, 60000);
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_every_call),
        FAULT_TEST(test_nothing_is_lost),
        FAULT_TEST(test_makers),
        FAULT_TEST(test_worker),
    };

    return RUN_WITH_SERVER(tests);
}
