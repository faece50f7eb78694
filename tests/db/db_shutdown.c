/* SPDX-License-Identifier: MIT */
/* Row F9: pgq_shutdown() ends every wait in the namespace. */
#include "topics.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    return 0;
}

/* Calls pgq_shutdown() when so many sessions have announced a sleep. */
typedef struct ender {
    const fixture *f;
    char when[512];
    pgq_status status;
} ender;

static void *end_waits(void *arg)
{
    ender *e = arg;
    int64_t until = t_now_us() + 10000000;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    int now = 0;
    pgq *q;

    /* No assertion here: cmocka wants those in its own thread. */
    o.name_space = e->f->ns;
    e->status = pgq_open(t_dsn(), &o, &q);
    while (e->status == PGQ_OK && !now && t_now_us() < until) {
        PGresult *res = PQexec(pgq_connection(q), e->when);

        now = PQntuples(res) > 0;
        PQclear(res);
        t_pause_ms(2);
    }
    if (e->status == PGQ_OK)
        e->status = pgq_shutdown(q);
    pgq_close(q);
    return NULL;
}

static void when_asleep(ender *e, const fixture *f)
{
    e->f = f;
    snprintf(e->when, sizeof e->when,
             "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'"
             " AND a.application_name = '%s' AND a.state = 'idle'"
             " AND a.state_change < clock_timestamp() - interval '60 ms'",
             f->ns);
}

static int no_batch(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    (void)q;
    (void)conn;
    (void)messages;
    ++*(int *)arg;
    return 0;
}

/* Each way of a handle to wait. */
static pgq_status wait_by(int way, pgq *q, pgq_subscriber *s, int timeout_ms)
{
    pgq_listen_options lo = PGQ_LISTEN_OPTIONS_INIT;
    pgq_receive_options ro = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *m = NULL;
    witness w = {0};
    pgq_status status;
    int calls = 0;

    lo.poll_interval_ms = ro.poll_interval_ms = -1;
    ro.timeout_ms = timeout_ms;
    switch (way) {
    case 0:
        return pgq_listen(q, "q", timeout_ms, t_witness, &w, &lo);
    case 1:
        status = pgq_receive(q, "q", 1, &ro, &m);
        break;
    case 2:
        return pgq_receive_with(q, "q", t_witness, &w, &ro);
    case 3:
        status = pgq_ack_receive(q, NULL, 0, NULL, NULL, "q", 1, &ro, &m);
        break;
    case 4:
        status = pgq_topic_wait(s, 1, timeout_ms, &lo, &m);
        break;
    default:
        status = pgq_topic_listen(s, 1, timeout_ms, no_batch, &calls, &lo);
        assert_int_equal(calls, status == PGQ_OK);
        break;
    }
    pgq_messages_free(m);
    return status;
}

static void test_F9_ends_waits(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);

    for (int way = 0; way < 6; way++) {
        pthread_t thread;
        ender e = {0};

        when_asleep(&e, f);
        assert_int_equal(pthread_create(&thread, NULL, end_waits, &e), 0);
        assert_status(f->q, wait_by(way, f->q, s, 15000), PGQ_SHUTDOWN);
        assert_int_equal(pgq_last_error(f->q)->status, PGQ_SHUTDOWN);
        pthread_join(thread, NULL);
        assert_int_equal(e.status, PGQ_OK);
        /* Told once; and nobody rings for it any more. */
        assert_status(f->q, wait_by(way, f->q, s, 1), PGQ_TIMEOUT);
        assert_int_equal(t_number(f, f->sql,
                                  "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %d",
                                  PQbackendPID(pgq_connection(f->q))),
                         0);
    }
    pgq_subscriber_free(s);
}

/* A handle that was at work when it came is told in its next wait, before any message; one that has never
 * waited is not. */
static void test_F9_between_waits(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);
    witness w = {0};

    assert_status(f->q, wait_by(0, f->q, NULL, 1), PGQ_TIMEOUT);
    t_send(f->q, "q", "m");
    assert_ok(other, pgq_shutdown(other));
    t_until(f, 10000, "1", "SELECT 1"); /* two round trips: it has been delivered */
    assert_ok(f->q, pgq_enqueue(f->q, "q", "n", 1, NULL, NULL));
    assert_status(f->q, wait_by(0, f->q, NULL, 1000), PGQ_SHUTDOWN);
    assert_ok(f->q, pgq_listen(f->q, "q", 1000, t_witness, &w, NULL));
    assert_string_equal(w.payload, "m");
    assert_ok(other, pgq_listen(other, "q", 1000, t_witness, &w, NULL));
    assert_string_equal(w.payload, "n");
    /* It is gone with the connection. */
    assert_ok(f->q, pgq_shutdown(f->q));
    assert_ok(f->q, pgq_reconnect(f->q));
    assert_status(f->q, wait_by(0, f->q, NULL, 1), PGQ_TIMEOUT);
    pgq_close(other);
}

static void test_F9_transaction_and_rights(void **state)
{
    fixture *f = *state;
    PGconn *conn;
    pgq *q = attach(f, &conn);

    assert_status(f->q, wait_by(0, f->q, NULL, 1), PGQ_TIMEOUT);
    t_run(f, conn, "BEGIN");
    assert_ok(q, pgq_shutdown(q));
    t_run(f, conn, "ROLLBACK");
    assert_status(f->q, wait_by(0, f->q, NULL, 1), PGQ_TIMEOUT);
    t_run(f, conn, "BEGIN");
    assert_ok(q, pgq_shutdown(q));
    assert_status(f->q, wait_by(0, f->q, NULL, 1), PGQ_TIMEOUT);
    t_run(f, conn, "COMMIT");
    assert_status(f->q, wait_by(0, f->q, NULL, 10000), PGQ_SHUTDOWN);
    /* Who may send and take may not do that. */
    t_run(f, f->sql, "CREATE ROLE \"%s\"", f->ns);
    assert_ok(f->q, pgq_grant_producer(f->q, f->ns));
    assert_ok(f->q, pgq_grant_consumer(f->q, f->ns));
    t_run(f, conn, "SET ROLE \"%s\"", f->ns);
    assert_status(q, pgq_shutdown(q), PGQ_PERMISSION);
    pgq_close(q);
    PQfinish(conn);
    t_run(f, f->sql, "DROP OWNED BY \"%s\"", f->ns);
    t_run(f, f->sql, "DROP ROLE \"%s\"", f->ns);
    assert_int_equal(pgq_shutdown(NULL), PGQ_INVALID);
}

/* Turns until it says so. */
static void await(pgq_listener *l, pgq_status wanted, int asleep)
{
    int64_t until = t_now_us() + 10000000;
    pgq_status status;

    do {
        int events = pgq_listener_events(l);
        int timeout = pgq_listener_timeout_ms(l);
        struct pollfd fd = {pgq_listener_fd(l), 0, 0};

        fd.events =
            (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
        poll(&fd, 1, timeout < 0 || timeout > 50 ? 50 : timeout);
        status = pgq_listener_process(l);
        assert_int_equal(pgq_listener_last_error(l)->status, status);
        if (status < 0 || t_now_us() > until)
            fail_msg("no %s: %s", pgq_status_name(wanted), pgq_listener_last_error(l)->message);
    } while (status != wanted || (asleep && pgq_listener_timeout_ms(l) >= 0));
}

static void test_F9_listener(void **state)
{
    static const char *const queues[] = {"q"};
    fixture *f = *state;
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    pgq_listener *l;

    o.name_space = f->ns;
    o.poll_interval_ms = -1;
    assert_int_equal(pgq_listener_open(t_dsn(), queues, 1, &o, &l), PGQ_OK);
    await(l, PGQ_READY, 0);
    for (int i = 0; i < 3; i++) {
        await(l, PGQ_WAIT, 1);
        assert_ok(f->q, pgq_shutdown(f->q));
        await(l, PGQ_SHUTDOWN, 0);
        /* Once; it goes on as before. */
        t_send(f->q, "q", "m");
        await(l, PGQ_READY, 0);
    }
    /* While its caller looks. */
    assert_ok(f->q, pgq_shutdown(f->q));
    await(l, PGQ_SHUTDOWN, 0);
    await(l, PGQ_WAIT, 1);
    pgq_listener_close(l);
}

/* --- workers --- */

typedef struct job {
    pgq_worker *worker;
    pgq_status status;
} job;

static void *run_worker(void *arg)
{
    job *j = arg;

    j->status = pgq_worker_run(j->worker);
    return NULL;
}

static atomic_int handled;

static int slowly(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)conn;
    (void)m;
    (void)arg;
    atomic_fetch_add(&handled, 1);
    t_pause_ms(5);
    return 0;
}

static void on_event(const pgq_event_info *info, void *arg)
{
    if (info->event == PGQ_EVENT_STARTED)
        atomic_store((atomic_int *)arg, 1);
}

/* Idle, and at a queue that is never empty; in scopes, and under leases. */
static void test_F9_worker(void **state)
{
    enum { BACKLOG = 3000 };
    fixture *f = *state;

    for (int i = 0; i < 4; i++) {
        pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;
        int64_t until = t_now_us() + 20000000;
        atomic_int started = 0;
        pthread_t thread;
        long waiting;
        job j;

        o.name_space = f->ns;
        o.threads = 2;
        o.poll_interval_ms = -1;
        o.lease_ms = i % 2 ? 10000 : 0;
        o.on_event = on_event;
        o.event_arg = &started;
        atomic_store(&handled, 0);
        if (i == 2)
            t_run(f, f->sql, "SELECT mq.enqueue_many('q', array_fill('m'::text, ARRAY[%d]))", BACKLOG);
        waiting = t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE state = 0");
        assert_int_equal(pgq_worker_new(t_dsn(), &o, &j.worker), PGQ_OK);
        assert_int_equal(pgq_worker_add(j.worker, "q", slowly, NULL), PGQ_OK);
        assert_int_equal(pthread_create(&thread, NULL, run_worker, &j), 0);
        while ((!atomic_load(&started) || (i >= 2 && atomic_load(&handled) < 20)) && t_now_us() < until)
            t_pause_ms(5);
        assert_ok(f->q, pgq_shutdown(f->q));
        pthread_join(thread, NULL);
        assert_int_equal(j.status, PGQ_SHUTDOWN);
        assert_int_equal(pgq_worker_last_error(j.worker)->status, PGQ_SHUTDOWN);
        /* Every handler has returned, and what was not begun is there. */
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE state = 0"),
                         waiting - atomic_load(&handled));
        if (i >= 2)
            assert_in_range(atomic_load(&handled), 20, BACKLOG / 2);
        pgq_worker_free(j.worker);
    }
}

/* One that drains does not wait. */
static void test_F9_draining_worker(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;
    int64_t until = t_now_us() + 20000000;
    pthread_t thread;
    job j;

    o.name_space = f->ns;
    o.drain = 1;
    atomic_store(&handled, 0);
    t_run(f, f->sql, "SELECT mq.enqueue_many('q', array_fill('m'::text, ARRAY[50]))");
    assert_int_equal(pgq_worker_new(t_dsn(), &o, &j.worker), PGQ_OK);
    assert_int_equal(pgq_worker_add(j.worker, "q", slowly, NULL), PGQ_OK);
    assert_int_equal(pthread_create(&thread, NULL, run_worker, &j), 0);
    while (atomic_load(&handled) < 5 && t_now_us() < until)
        t_pause_ms(2);
    assert_ok(f->q, pgq_shutdown(f->q));
    pthread_join(thread, NULL);
    assert_int_equal(j.status, PGQ_OK);
    assert_int_equal(atomic_load(&handled), 50);
    pgq_worker_free(j.worker);
}

int main(void)
{
#define SHUTDOWN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)
    const struct CMUnitTest tests[] = {
        SHUTDOWN_TEST(test_F9_ends_waits),
        SHUTDOWN_TEST(test_F9_between_waits),
        SHUTDOWN_TEST(test_F9_transaction_and_rights),
        SHUTDOWN_TEST(test_F9_listener),
        SHUTDOWN_TEST(test_F9_worker),
        SHUTDOWN_TEST(test_F9_draining_worker),
    };

    return RUN_WITH_SERVER(tests);
}
