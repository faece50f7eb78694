/* SPDX-License-Identifier: MIT */
/* Row D15: waiting for a lease. The machine may be busy: a time is given several tries. */
#include "support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TRIES = 5, NEAR_US = 50000, WAIT_MS = 30000 };

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    return 0;
}

/* One who waits in a thread of its own, by one of the two calls; no assertion there. */
typedef struct waiter {
    pgq *q;
    int with; /* pgq_receive_with() */
    pgq_receive_options options;
    pgq_status status;
    witness seen;
    int64_t woke_us;
    pthread_t thread;
} waiter;

static void *waits(void *arg)
{
    waiter *w = arg;
    pgq_messages *m = NULL;

    if (w->with) {
        w->status = pgq_receive_with(w->q, "q", t_witness, &w->seen, &w->options);
    } else {
        w->status = pgq_receive(w->q, "q", 1, &w->options, &m);
        if (m)
            t_witness(w->q, NULL, pgq_messages_get(m, 0), &w->seen);
        pgq_messages_free(m);
    }
    w->woke_us = t_now_us();
    return NULL;
}

static void start(const fixture *f, waiter *w, int with)
{
    memset(w, 0, sizeof *w);
    w->q = f->q;
    w->with = with;
    w->options = (pgq_receive_options)PGQ_RECEIVE_OPTIONS_INIT;
    w->options.timeout_ms = WAIT_MS;
    w->options.poll_interval_ms = -1; /* nothing but a wake-up wakes it */
    w->options.lease_ms = 60000;
    assert_int_equal(pthread_create(&w->thread, NULL, waits, w), 0);
    /* Asleep: announced, and idle since. */
    t_until(
        f, WAIT_MS, "1",
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'"
        " AND a.application_name = current_setting('application_name') AND a.state = 'idle'"
        " AND a.state_change < clock_timestamp() - interval '60 ms'");
}

/* It got the message; how long after the time it is to be measured from. */
static int64_t ended(waiter *w, const char *payload, int64_t from_us)
{
    pthread_join(w->thread, NULL);
    assert_ok(w->q, w->status);
    assert_string_equal(w->seen.payload, payload);
    return w->woke_us - from_us;
}

static void row_d15_timeouts(void **state)
{
    static const int limits[] = {0, 1, 300, 1100};
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        int64_t over = INT64_MAX;

        for (int n = 0; n < TRIES && over > NEAR_US; n++) {
            pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
            pgq_messages *m;
            int64_t began = t_now_us();

            o.timeout_ms = limits[i];
            assert_status(f->q, pgq_receive(f->q, "q", 1, &o, &m), limits[i] ? PGQ_TIMEOUT : PGQ_EMPTY);
            assert_null(m);
            over = t_now_us() - began - limits[i] * 1000LL;
            assert_true(over >= 0);
        }
        if (over > NEAR_US)
            fail_msg("%d ms took %lld us longer", limits[i], (long long)over);
    }
}

static void row_d15_woken_by_a_send(void **state)
{
    fixture *f = *state;

    for (int with = 0; with < 2; with++) {
        int64_t late = INT64_MAX;

        for (int n = 0; n < TRIES && late > NEAR_US; n++) {
            int64_t sent;
            waiter w;

            start(f, &w, with);
            t_run(f, f->sql, "SELECT mq.enqueue('q', 'hello'::text)");
            sent = t_now_us();
            late = ended(&w, "hello", sent);
            assert_int_equal(w.seen.attempts, 1);
        }
        assert_in_range(late < 0 ? 0 : late, 0, NEAR_US);
    }
}

/* Within 50 ms of the time at which it falls due, and not before. */
static void row_d15_woken_by_a_delay(void **state)
{
    fixture *f = *state;

    for (int with = 0; with < 2; with++) {
        int64_t late = INT64_MAX;

        for (int n = 0; n < TRIES && late > NEAR_US; n++) {
            int64_t sent, before;
            waiter w;

            start(f, &w, with);
            before = t_now_us();
            t_run(f, f->sql, "SELECT mq.enqueue('q', 'due'::text, delay => 0.4)");
            sent = t_now_us();
            late = ended(&w, "due", sent + 400000);
            assert_true(w.woke_us - before >= 400000);
        }
        assert_in_range(late < 0 ? 0 : late, 0, NEAR_US);
    }
}

/* Somebody else's lease runs out: the failure is counted, and the sleeper has the message. */
static void row_d15_woken_by_an_expiry(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);

    for (int with = 0; with < 2; with++) {
        int64_t late = INT64_MAX;

        for (int n = 0; n < TRIES && late > 4 * NEAR_US; n++) {
            int64_t due;
            waiter w;

            t_run(f, f->sql, "DELETE FROM mq.message");
            t_send(other, "q", "leased");
            t_lease(other, "q", 1500, NULL);
            due = t_now_us() + 1500000;
            start(f, &w, with);
            late = ended(&w, "leased", due);
            assert_true(w.seen.attempts == 2 && w.seen.errors == 1);
            assert_string_equal(w.seen.last_error, "the lease ran out");
        }
        assert_in_range(late < 0 ? 0 : late, 0, 4 * NEAR_US);
    }
    pgq_close(other);
}

/* By what gives a message back, or lets it go: nobody else runs, and no poll. */
static void row_d15_woken_by(void **state)
{
    static const struct {
        const char *what, *before, *sql, *payload;
    } cases[] = {
        {"resume", "SELECT mq.pause('q'), mq.enqueue('q', 'm'::text)", "SELECT mq.resume('q')", "m"},
        {"nack", "SELECT mq.enqueue('q', 'm'::text), (SELECT count(*) FROM mq.receive('q'))",
         "SELECT mq.nack(id, attempts) FROM mq.message", "m"},
        {"release", "SELECT mq.enqueue('q', 'm'::text), (SELECT count(*) FROM mq.receive('q'))",
         "SELECT mq.release(id, attempts) FROM mq.message", "m"},
        {"reschedule", "SELECT mq.enqueue('q', 'm'::text, delay => 600)",
         "SELECT mq.reschedule(id, 0) FROM mq.message", "m"},
        {"a shorter lease",
         "SELECT mq.enqueue('q', 'm'::text), (SELECT count(*) FROM mq.receive('q', lease => 600))",
         "SELECT mq.extend(id, attempts, 0.1) FROM mq.message", "m"},
        {"the ack of the one before",
         "SELECT mq.enqueue('q', 'm1'::text, order_key => 'k'), mq.enqueue('q', 'm2'::text, order_key => "
         "'k'),"
         " (SELECT count(*) FROM mq.receive('q'))",
         "SELECT mq.ack(id, attempts) FROM mq.message WHERE state = 2", "m2"},
        {"requeue_dead",
         "SELECT mq.enqueue('q', 'm'::text);"
         " SELECT mq.nack(id, attempts, requeue => false) FROM mq.receive('q')",
         "SELECT mq.requeue_dead('q')", "m"},
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        waiter w;

        /* One statement would not see what another of its functions has sent. */
        if (strstr(cases[i].before, ", (SELECT")) {
            char first[256];
            const char *then = strstr(cases[i].before, ", (SELECT");

            snprintf(first, sizeof first, "%.*s", (int)(then - cases[i].before), cases[i].before);
            t_run(f, f->sql, "%s", first);
            t_run(f, f->sql, "SELECT %s", then + 2);
        } else {
            t_run(f, f->sql, "%s", cases[i].before);
        }
        start(f, &w, 0);
        t_run(f, f->sql, "%s", cases[i].sql);
        pthread_join(w.thread, NULL);
        if (w.status != PGQ_OK || strcmp(w.seen.payload, cases[i].payload) != 0)
            fail_msg("%s: %s %s", cases[i].what, pgq_status_name(w.status), w.seen.payload);
        t_run(f, f->sql, "DELETE FROM mq.message");
    }
}

static void row_d15_cancel_and_loss(void **state)
{
    fixture *f = *state;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_open_options open = PGQ_OPEN_OPTIONS_INIT;
    pgq_messages *m;
    pgq *attached;
    int fds[2];
    waiter w;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    o.timeout_ms = -1;
    o.cancel_fd = fds[0];
    assert_status(f->q, pgq_receive(f->q, "q", 1, &o, &m), PGQ_CANCELED);
    assert_null(m);
    t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_receive(f->q, "q", 1, &o, &m));
    pgq_messages_free(m);
    close(fds[0]);
    close(fds[1]);
    /* Waiting needs a connection of the library's own, and no transaction. */
    open.name_space = f->ns;
    o = (pgq_receive_options)PGQ_RECEIVE_OPTIONS_INIT;
    assert_int_equal(pgq_attach(f->sql, &open, &attached), PGQ_OK);
    assert_status(attached, pgq_receive(attached, "q", 1, &o, &m), PGQ_EMPTY); /* one look is allowed */
    o.timeout_ms = 10;
    assert_status(attached, pgq_receive(attached, "q", 1, &o, &m), PGQ_STATE);
    pgq_close(attached);
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_receive(f->q, "q", 1, &o, &m), PGQ_STATE);
    t_run(f, pgq_connection(f->q), "COMMIT");
    start(f, &w, 0);
    t_kill(f, PQbackendPID(pgq_connection(f->q)));
    pthread_join(w.thread, NULL);
    assert_status(f->q, w.status, PGQ_CONNECTION);
    assert_ok(f->q, pgq_reconnect(f->q));
    assert_status(f->q, pgq_receive(f->q, "q", 1, &o, &m), PGQ_TIMEOUT);
}

#define WAIT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(row_d15_timeouts),         WAIT_TEST(row_d15_woken_by_a_send),
        WAIT_TEST(row_d15_woken_by_a_delay), WAIT_TEST(row_d15_woken_by_an_expiry),
        WAIT_TEST(row_d15_woken_by),         WAIT_TEST(row_d15_cancel_and_loss),
    };

    return RUN_WITH_SERVER(tests);
}
