/* SPDX-License-Identifier: MIT */
/* Row G2: the pull interface, driven by poll(). */
#include "support/support.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { BLOCKED_US = 100000 };

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "r", NULL, 0));
    return 0;
}

static pgq_listener *open_on(const fixture *f, const char *a, const char *b, int poll_ms)
{
    const char *const names[] = {a, b};
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    pgq_listener *l;

    o.name_space = f->ns;
    o.poll_interval_ms = poll_ms;
    assert_int_equal(pgq_listener_open(t_dsn(), names, b ? 2 : 1, &o, &l), PGQ_OK);
    return l;
}

/* One turn of the loop; process() must not block. */
static pgq_status turn(pgq_listener *l, int most_ms)
{
    int events = pgq_listener_events(l);
    struct pollfd fd = {pgq_listener_fd(l), 0, 0};
    int timeout = pgq_listener_timeout_ms(l);
    pgq_status status;

    fd.events = (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
    poll(&fd, 1, timeout < 0 || timeout > most_ms ? most_ms : timeout);
    status = pgq_listener_process(l);
    assert_int_equal(pgq_listener_last_error(l)->status, status);
    return status;
}

/* Turns until it says so; fails the test after ms. Other errors than may_be fail it too. */
static void await(pgq_listener *l, pgq_status wanted, pgq_status may_be, int ms)
{
    int64_t until = t_now_us() + ms * 1000LL;
    pgq_status status;

    while ((status = turn(l, 100)) != wanted) {
        if (status < 0 && status != may_be)
            fail_msg("%s: %s", pgq_status_name(status), pgq_listener_last_error(l)->message);
        if (t_now_us() > until)
            fail_msg("no %s within %d ms", pgq_status_name(wanted), ms);
    }
}

/* Until it sleeps: it has said WAIT, with nothing under way and no time to wait for. */
static void await_sleep(const fixture *f, pgq_listener *l)
{
    int64_t until = t_now_us() + 10000000;

    while (t_now_us() < until) {
        pgq_status status = turn(l, 50);

        if (status == PGQ_WAIT && pgq_listener_timeout_ms(l) < 0 &&
            t_number(f, f->sql,
                     "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = "
                     "'advisory'"
                     " AND a.state = 'idle' AND a.application_name = '%s'",
                     f->ns) > 0 &&
            poll(&(struct pollfd){pgq_listener_fd(l), POLLIN, 0}, 1, 50) == 0)
            return;
    }
    fail_msg("it never slept");
}

static int take(const fixture *f, const char *queue)
{
    witness w = {0};
    int n = 0;

    while (pgq_dequeue(f->q, queue, t_witness, &w) == PGQ_OK)
        n++;
    return n;
}

static void test_G2_the_loop(void **state)
{
    fixture *f = *state;
    pgq_listener *l = open_on(f, "q", "r", -1);

    assert_true(pgq_listener_fd(l) >= 0);
    await(l, PGQ_READY, PGQ_OK, 10000); /* the first look */
    assert_int_equal(take(f, "q") + take(f, "r"), 0);
    await_sleep(f, l);
    for (int i = 0; i < 4; i++) {
        const char *queue = i % 2 ? "q" : "r";

        t_send(f->q, queue, "m");
        await(l, PGQ_READY, PGQ_OK, 5000);
        assert_int_equal(take(f, queue), 1);
        if (i < 2)
            pgq_listener_busy(l);
        await_sleep(f, l);
    }
    pgq_listener_busy(l); /* not after READY: nothing happens */
    for (int i = 0; i < 100; i++)
        assert_int_equal(pgq_listener_process(l), PGQ_WAIT); /* too often does no harm */
    pgq_listener_close(l);
}

static void test_G2_never_blocks(void **state)
{
    fixture *f = *state;
    pgq_listener *l;
    int64_t worst = 0;

    for (int n = 0; n < 3; n++) {
        worst = 0;
        l = open_on(f, "q", NULL, 20);
        /* The server does not answer: its answer waits for the lock of a queue's row. */
        t_run(f, f->sql, "BEGIN");
        t_run(f, f->sql, "LOCK TABLE mq.queue IN ACCESS EXCLUSIVE MODE");
        for (int64_t until = t_now_us() + 400000; t_now_us() < until;) {
            struct pollfd fd = {pgq_listener_fd(l), POLLIN, 0};
            int64_t began;
            pgq_status status;

            poll(&fd, 1, 20);
            began = t_now_us();
            status = pgq_listener_process(l);
            if (t_now_us() - began > worst)
                worst = t_now_us() - began;
            assert_int_equal(status, PGQ_WAIT);
        }
        t_run(f, f->sql, "COMMIT");
        await(l, PGQ_READY, PGQ_OK, 5000);
        pgq_listener_close(l);
        if (worst < BLOCKED_US)
            return;
    }
    fail_msg("process() took %lld us", (long long)worst);
}

static void test_G2_due_and_poll(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_listener *l = open_on(f, "q", NULL, -1);
    int64_t began;

    await(l, PGQ_READY, PGQ_OK, 10000);
    await_sleep(f, l);
    o.delay_ms = 300;
    began = t_now_us();
    assert_ok(f->q, pgq_enqueue(f->q, "q", "due", 3, &o, NULL));
    while (take(f, "q") == 0) {
        await(l, PGQ_READY, PGQ_OK, 5000);
        assert_true(t_now_us() - began < 5000000);
    }
    assert_true(t_now_us() - began >= 300000);
    pgq_listener_close(l);
    l = open_on(f, "q", NULL, 50);
    for (int i = 0; i < 5; i++)
        await(l, PGQ_READY, PGQ_OK, 5000);
    pgq_listener_close(l);
}

static int listener_pid(const fixture *f)
{
    return (int)t_number(
        f, f->sql,
        "SELECT pid FROM pg_stat_activity WHERE application_name = '%s' AND pid NOT IN (%d, %d)"
        " ORDER BY backend_start DESC LIMIT 1",
        f->ns, PQbackendPID(f->sql), PQbackendPID(pgq_connection(f->q)));
}

static void test_G2_connection_lost(void **state)
{
    fixture *f = *state;
    pgq_listener *l = open_on(f, "q", NULL, -1);

    await(l, PGQ_READY, PGQ_OK, 10000);
    await_sleep(f, l);
    for (int i = 0; i < 2; i++) {
        t_kill(f, listener_pid(f));
        t_send(f->q, "q", "while it was away");
        await(l, PGQ_CONNECTION, PGQ_OK, 5000);
        assert_int_equal(pgq_listener_fd(l), -1);
        assert_true(pgq_listener_last_error(l)->message[0] != '\0' || pgq_listener_last_error(l)->status < 0);
        await(l, PGQ_READY, PGQ_CONNECTION, 10000);
        assert_int_equal(take(f, "q"), 1);
        await_sleep(f, l);
    }
    pgq_listener_close(l);
}

static void test_G2_unknown_queue_comes_later(void **state)
{
    fixture *f = *state;
    pgq_listener *l = open_on(f, "q", "later", -1);

    await(l, PGQ_NOT_FOUND, PGQ_OK, 10000);
    assert_non_null(strstr(pgq_listener_last_error(l)->message, "later"));
    assert_ok(f->q, pgq_create_queue(f->q, "later", NULL, 0));
    await(l, PGQ_READY, PGQ_NOT_FOUND, 10000);
    pgq_listener_close(l);
}

static void test_G2_no_server(void **state)
{
    const char *queue = "q";
    pgq_listener *l;
    pgq_status status;
    int64_t began;
    int said = 0;

    (void)state;
    status = pgq_listener_open("host=/nonexistent-directory port=1", &queue, 1, NULL, &l);
    assert_int_equal(status, PGQ_CONNECTION);
    assert_int_equal(pgq_listener_fd(l), -1);
    began = t_now_us();
    while (said < 4 && t_now_us() - began < 5000000)
        said += turn(l, 100) == PGQ_CONNECTION;
    assert_int_equal(said, 4);
    assert_true(t_now_us() - began >= 10000 + 20000 + 40000); /* the pauses grow */
    pgq_listener_close(l);
}

static void test_G2_bad_input(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"q", NULL, " bad"};
    static const size_t counts[] = {0, 2, 3};
    pgq_listener *l;

    for (size_t n = 0; n < COUNT_OF(counts); n++) {
        assert_int_equal(pgq_listener_open(t_dsn(), names, counts[n], NULL, &l), PGQ_INVALID);
        assert_int_equal(pgq_listener_process(l), PGQ_WAIT);
        assert_int_equal(pgq_listener_timeout_ms(l), -1);
        pgq_listener_close(l);
    }
    assert_int_equal(pgq_listener_open(t_dsn(), NULL, 1, NULL, &l), PGQ_INVALID);
    pgq_listener_close(l);
    pgq_listener_close(NULL);
    pgq_listener_busy(NULL);
    assert_int_equal(pgq_listener_process(NULL), PGQ_INVALID);
    assert_int_equal(pgq_listener_fd(NULL), -1);
    assert_int_equal(pgq_listener_events(NULL), 0);
    assert_int_equal(pgq_listener_timeout_ms(NULL), -1);
    assert_int_equal(pgq_listener_last_error(NULL)->status, PGQ_INVALID);
    /* Closed in the middle of connecting. */
    l = open_on(f, "q", NULL, 0);
    pgq_listener_process(l);
    pgq_listener_close(l);
}

#define LISTENER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTENER_TEST(test_G2_the_loop),
        LISTENER_TEST(test_G2_never_blocks),
        LISTENER_TEST(test_G2_due_and_poll),
        LISTENER_TEST(test_G2_connection_lost),
        LISTENER_TEST(test_G2_unknown_queue_comes_later),
        LISTENER_TEST(test_G2_no_server),
        LISTENER_TEST(test_G2_bad_input),
    };

    return RUN_WITH_SERVER(tests);
}
