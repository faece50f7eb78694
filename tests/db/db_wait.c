/* SPDX-License-Identifier: MIT */
/* Rows D14 and G1: pgq_listen(). The machine may be busy: a time is given three tries. */
#include "support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TRIES = 3 };

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    return 0;
}

static void test_D14_timeouts(void **state)
{
    static const int limits[] = {0, 1, 300, 1000, 1500};
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        int64_t over = 0;

        for (int n = 0; n < TRIES; n++) {
            int64_t began = t_now_us();
            witness w = {0};

            assert_status(f->q, pgq_listen(f->q, "q", limits[i], t_witness, &w, NULL), PGQ_TIMEOUT);
            over = t_now_us() - began - limits[i] * 1000LL;
            assert_true(over >= 0);
            if (over <= 20000)
                break;
        }
        if (over > 20000)
            fail_msg("%d ms took %lld us longer", limits[i], (long long)over);
        assert_int_equal(pgq_last_error(f->q)->status, PGQ_TIMEOUT);
    }
    /* It says good-bye: no producer rings for it any more. */
    assert_int_equal(t_number(f, f->sql,
                              "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %d",
                              PQbackendPID(pgq_connection(f->q))),
                     0);
}

/* Something to do for another thread when the listener sleeps. */
typedef struct helper {
    const fixture *f;
    int pid; /* of the listener's backend */
    const char *sql;
    int fd;
    int64_t done_us;
} helper;

static void *when_asleep(void *arg)
{
    helper *h = arg;
    char sql[256];
    int64_t until = t_now_us() + 10000000;
    PGconn *conn = PQconnectdb(t_dsn());
    int asleep = 0;

    /* Asleep: announced, and idle since. No assertion here: cmocka wants those in its own thread. */
    snprintf(sql, sizeof sql,
             "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND "
             "pid = %d"
             " AND a.state = 'idle' AND a.state_change < clock_timestamp() - interval '60 ms'",
             h->pid);
    while (!asleep && t_now_us() < until) {
        PGresult *res = PQexec(conn, sql);

        asleep = PQntuples(res) > 0;
        PQclear(res);
        t_pause_ms(2);
    }
    if (h->sql)
        PQclear(PQexec(conn, h->sql));
    h->done_us = t_now_us();
    if (h->fd >= 0 && write(h->fd, "x", 1) != 1)
        h->done_us = 0;
    PQfinish(conn);
    return NULL;
}

/* Waits, while another thread calls an SQL function, of the namespace if it has no pg_ in front. */
static pgq_status listen_while(fixture *f, const char *call, witness *w, int fd, int cancel_fd,
                               int64_t *late_us)
{
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    helper h = {f, PQbackendPID(pgq_connection(f->q)), NULL, fd, 0};
    pgq_status status;
    pthread_t thread;
    int in_ns = call && strncmp(call, "pg_", 3) != 0;
    char sql[512];

    if (call)
        snprintf(sql, sizeof sql, "SELECT %s%s%s%s", in_ns ? "\"" : "", in_ns ? f->ns : "",
                 in_ns ? "\"." : "", call);
    h.sql = call ? sql : NULL;
    o.poll_interval_ms = -1;
    o.cancel_fd = cancel_fd;
    assert_int_equal(pthread_create(&thread, NULL, when_asleep, &h), 0);
    status = pgq_listen(f->q, "q", 15000, t_witness, w, &o);
    *late_us = t_now_us();
    pthread_join(thread, NULL);
    *late_us -= h.done_us;
    return status;
}

static void test_D14_wakes_for_a_commit(void **state)
{
    fixture *f = *state;
    int64_t late = 0;

    for (int n = 0; n < TRIES; n++) {
        witness w = {0};

        assert_ok(f->q, listen_while(f, "enqueue('q', 'hello'::text)", &w, -1, -1, &late));
        assert_string_equal(w.payload, "hello");
        if (late <= 50000)
            return;
    }
    fail_msg("it woke %lld us late", (long long)late);
}

static void test_D14_wakes_for_a_returned_message(void **state)
{
    fixture *f = *state;
    int64_t late;
    witness w = {0};

    t_send(f->q, "q", "m");
    {
        witness bad = {.fail = "dead"};

        t_run(f, f->sql, "UPDATE mq.queue SET error_limit = 1");
        assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &bad), PGQ_FAILED);
    }
    assert_ok(f->q, listen_while(f, "requeue_dead('q')", &w, -1, -1, &late));
    assert_string_equal(w.payload, "m");
}

/* A sleeper wakes within 50 ms of the time at which a message falls due. */
static void test_D14_wakes_for_a_delay(void **state)
{
    fixture *f = *state;
    long late = 0;

    for (int n = 0; n < TRIES; n++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        pgq_listen_options p = PGQ_LISTEN_OPTIONS_INIT;
        int64_t began = t_now_us();
        witness w = {0};

        p.poll_interval_ms = -1;
        o.delay_ms = 400;
        assert_ok(f->q, pgq_enqueue(f->q, "q", "due", 3, &o, NULL));
        assert_ok(f->q, pgq_listen(f->q, "q", 10000, t_witness, &w, &p));
        late = (long)((t_now_us() - began) / 1000) - 400;
        assert_true(late >= 0);
        if (late <= 50)
            break;
    }
    assert_in_range(late, 0, 50);
    {
        int64_t late_us;
        witness w = {0};

        /* Sent while the listener sleeps already. */
        assert_ok(f->q, listen_while(f, "enqueue('q', 'due'::text, delay => 0.3)", &w, -1, -1, &late_us));
        assert_true(late_us >= 299000);
    }
}

static void test_D14_cancel(void **state)
{
    fixture *f = *state;
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    int64_t late;
    int fds[2];
    witness w = {0};
    char c;

    assert_int_equal(pipe(fds), 0);
    assert_status(f->q, listen_while(f, NULL, &w, fds[1], fds[0], &late), PGQ_CANCELED);
    assert_int_equal(pgq_last_error(f->q)->status, PGQ_CANCELED);
    /* It was not read from, and so it cancels the next wait too, but not a message that is there. */
    t_send(f->q, "q", "m");
    o.cancel_fd = fds[0];
    assert_ok(f->q, pgq_listen(f->q, "q", 1000, t_witness, &w, &o));
    assert_status(f->q, pgq_listen(f->q, "q", -1, t_witness, &w, &o), PGQ_CANCELED);
    assert_int_equal(read(fds[0], &c, 1), 1);
    assert_status(f->q, pgq_listen(f->q, "q", 30, t_witness, &w, &o), PGQ_TIMEOUT);
    close(fds[0]);
    close(fds[1]);
}

static void test_D14_connection_lost(void **state)
{
    fixture *f = *state;
    char sql[128];
    int64_t late;
    witness w = {0};

    snprintf(sql, sizeof sql, "pg_terminate_backend(%d)", PQbackendPID(pgq_connection(f->q)));
    assert_status(f->q, listen_while(f, sql, &w, -1, -1, &late), PGQ_CONNECTION);
    assert_ok(f->q, pgq_reconnect(f->q));
    t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_listen(f->q, "q", 1000, t_witness, &w, NULL));
}

static void test_D14_bad_options(void **state)
{
    fixture *f = *state;
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    witness w = {0};

    o.size = 1;
    assert_status(f->q, pgq_listen(f->q, "q", 0, t_witness, &w, &o), PGQ_INVALID);
    assert_status(f->q, pgq_listen(f->q, "q", 0, NULL, NULL, NULL), PGQ_INVALID);
}

/* One handle, several queues in turn. */
static void test_D14_changes_queue(void **state)
{
    fixture *f = *state;
    witness w = {0};

    assert_ok(f->q, pgq_create_queue(f->q, "r", NULL, 0));
    for (int i = 0; i < 3; i++) {
        t_send(f->q, "r", "r");
        assert_status(f->q, pgq_listen(f->q, "q", 50, t_witness, &w, NULL), PGQ_TIMEOUT);
        assert_ok(f->q, pgq_listen(f->q, "r", 1000, t_witness, &w, NULL));
    }
    assert_int_equal(w.calls, 3);
}

static void *idle(void *arg)
{
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    witness w = {0};

    o.poll_interval_ms = -1;
    return pgq_listen(arg, "q", 3500, t_witness, &w, &o) == PGQ_TIMEOUT ? arg : NULL;
}

/* G1: asleep it opens no connection and runs no query; and nobody is notified who does not sleep. */
static void test_G1_idle_is_silent(void **state)
{
    static const char asleep[] =
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE "
        "l.locktype = 'advisory' AND a.application_name = current_setting('application_name')"
        " AND a.state_change < clock_timestamp() - interval '100 ms'";
    static const char activity[] =
        "SELECT string_agg(pid || ' ' || query_start || backend_start, ',' ORDER BY pid)"
        " FROM pg_stat_activity WHERE application_name = current_setting('application_name')"
        " AND pid <> pg_backend_pid()";
    fixture *f = *state;
    const char *before;
    pthread_t thread;
    void *result;
    int64_t until;

    assert_int_equal(pthread_create(&thread, NULL, idle, f->q), 0);
    t_until(f, 10000, "1", asleep);
    before = t_ask(f, f->sql, "%s", activity);
    for (until = t_now_us() + 2000000; t_now_us() < until; t_pause_ms(250))
        assert_string_equal(t_ask(f, f->sql, "%s", activity), before);
    pthread_join(thread, &result);
    assert_ptr_equal(result, f->q);
    t_run(f, f->sql, "LISTEN \"%s\"", t_ask(f, f->sql, "SELECT mq.channel('q')"));
    t_send(f->q, "q", "nobody sleeps");
    t_run(f, f->sql, "SELECT 1");
    assert_null(PQnotifies(f->sql));
}

/* G1: one notification a commit at most, and none for what is rolled back. */
static void test_G1_one_bell_a_commit(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);
    PGnotify *note;

    t_run(f, f->sql, "LISTEN \"%s\"", t_ask(f, f->sql, "SELECT mq.channel('q')"));
    t_run(f, f->sql, "SELECT mq.doze('q')");
    t_run(f, pgq_connection(other), "BEGIN");
    for (int i = 0; i < 5; i++)
        t_send(other, "q", "m");
    t_run(f, pgq_connection(other), "ROLLBACK");
    t_run(f, f->sql, "SELECT 1");
    assert_null(PQnotifies(f->sql));
    t_run(f, pgq_connection(other), "BEGIN");
    for (int i = 0; i < 5; i++)
        t_send(other, "q", "m");
    t_run(f, pgq_connection(other), "COMMIT");
    for (int64_t until = t_now_us() + 5000000; !(note = PQnotifies(f->sql)) && t_now_us() < until;
         t_pause_ms(2))
        PQconsumeInput(f->sql);
    assert_non_null(note);
    assert_in_range(strlen(note->relname), 1, 63);
    PQfreemem(note);
    t_run(f, f->sql, "SELECT 1");
    assert_null(PQnotifies(f->sql));
    pgq_close(other);
}

#define WAIT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(test_D14_timeouts),
        WAIT_TEST(test_D14_wakes_for_a_commit),
        WAIT_TEST(test_D14_wakes_for_a_returned_message),
        WAIT_TEST(test_D14_wakes_for_a_delay),
        WAIT_TEST(test_D14_cancel),
        WAIT_TEST(test_D14_connection_lost),
        WAIT_TEST(test_D14_bad_options),
        WAIT_TEST(test_D14_changes_queue),
        WAIT_TEST(test_G1_idle_is_silent),
        WAIT_TEST(test_G1_one_bell_a_commit),
    };

    return RUN_WITH_SERVER(tests);
}
