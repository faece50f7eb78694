/* SPDX-License-Identifier: MIT */
/* Workers: threads, drain, numbers, stop, events, reconnection. */
#include "support/support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

enum { WAIT_MS = 20000, EVENTS = 8 };

/* What the handlers and the event function are told. Asserted on from the test's thread alone. */
typedef struct shop {
    atomic_int handled[2]; /* by queue */
    atomic_int failing;    /* how many more are to fail */
    atomic_int slow_ms;
    atomic_int at_once, most_at_once;
    atomic_int events[EVENTS];
    atomic_int inside; /* the event function is never run by two at once */
    atomic_int overlapped;
    atomic_llong long_id;
    char text[128]; /* of the last FAILED; read after the worker has ended */
    pgq_worker *worker;
    pgq_status result;
    pthread_t thread;
} shop;

static shop the;

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    memset(&the, 0, sizeof the);
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "r", NULL, 0));
    return 0;
}

static int handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    atomic_int *count = arg;
    int now = atomic_fetch_add(&the.at_once, 1) + 1;
    int most = atomic_load(&the.most_at_once);
    int fails;

    (void)conn, (void)m;
    while (now > most && !atomic_compare_exchange_weak(&the.most_at_once, &most, now))
        continue;
    if (atomic_load(&the.slow_ms))
        t_pause_ms(atomic_load(&the.slow_ms));
    atomic_fetch_sub(&the.at_once, 1);
    fails = atomic_fetch_sub(&the.failing, 1) > 0;
    if (!fails)
        atomic_store(&the.failing, 0);
    atomic_fetch_add(count, 1);
    return fails ? pgq_fail(q, "as told") : 0;
}

static void on_event(const pgq_event_info *info, void *arg)
{
    shop *s = arg;

    if (atomic_fetch_add(&s->inside, 1) != 0)
        atomic_store(&s->overlapped, 1);
    atomic_fetch_add(&s->events[info->event], 1);
    if (info->event == PGQ_EVENT_FAILED)
        snprintf(s->text, sizeof s->text, "%s", info->text);
    if (info->event == PGQ_EVENT_LONG_SCOPE)
        atomic_store(&s->long_id, info->id);
    atomic_fetch_sub(&s->inside, 1);
}

static pgq_worker_options options(const fixture *f)
{
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;

    o.name_space = f->ns;
    o.poll_interval_ms = -1;
    o.on_event = on_event;
    o.event_arg = &the;
    return o;
}

static void make(const pgq_worker_options *o, int queues)
{
    assert_int_equal(pgq_worker_new(t_dsn(), o, &the.worker), PGQ_OK);
    for (int i = 0; i < queues; i++)
        assert_int_equal(pgq_worker_add(the.worker, i ? "r" : "q", handle, &the.handled[i]), PGQ_OK);
}

static void *runs(void *arg)
{
    the.result = pgq_worker_run(arg);
    return NULL;
}

static void start(void)
{
    assert_int_equal(pthread_create(&the.thread, NULL, runs, the.worker), 0);
}

static void await_int(atomic_int *value, int least)
{
    int64_t until = t_now_us() + WAIT_MS * 1000LL;

    while (atomic_load(value) < least) {
        if (t_now_us() > until)
            fail_msg("%d in the place of %d after %d ms", atomic_load(value), least, WAIT_MS);
        t_pause_ms(2);
    }
}

static void stop(void)
{
    pgq_worker_stop(the.worker);
    pthread_join(the.thread, NULL);
    assert_int_equal(the.result, PGQ_OK);
    assert_int_equal(atomic_load(&the.overlapped), 0);
}

static void fill(const fixture *f, const char *queue, int n)
{
    pgq_outgoing out[200];

    for (int i = 0; i < n; i++)
        out[i] = (pgq_outgoing){"m", 1, NULL};
    assert_ok(f->q, pgq_enqueue_many(f->q, queue, out, (size_t)n, 0, NULL, NULL));
}

static long left(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.message");
}

static void test_drain(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);
    pgq_enqueue_options late = PGQ_ENQUEUE_OPTIONS_INIT;

    o.drain = 1;
    o.threads = 4;
    make(&o, 2);
    fill(f, "q", 150);
    fill(f, "r", 50);
    late.delay_ms = 600000;
    assert_ok(f->q, pgq_enqueue(f->q, "q", "x", 1, &late, NULL));
    atomic_store(&the.failing, 20); /* they come back, and are done */
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    assert_int_equal(the.handled[0] + the.handled[1], 220);
    assert_int_equal(the.handled[0] >= 150 && the.handled[1] >= 50, 1);
    assert_int_equal(left(f), 1);
    assert_int_equal(the.events[PGQ_EVENT_STARTED], 1);
    assert_int_equal(the.events[PGQ_EVENT_DONE], 200);
    assert_int_equal(the.events[PGQ_EVENT_FAILED], 20);
    assert_string_equal(the.text, "as told");
    assert_int_equal(the.events[PGQ_EVENT_STOPPING], 1);
    assert_int_equal(the.events[PGQ_EVENT_ERROR] + the.events[PGQ_EVENT_DISCONNECTED], 0);
    /* Again, and with nothing there. */
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    fill(f, "r", 5);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    assert_int_equal(left(f), 1);
    assert_int_equal(the.events[PGQ_EVENT_STARTED], 3);
    pgq_worker_free(the.worker);
    t_until(
        f, 5000, "2", /* the test's own */
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = current_setting('application_name')");
}

static void test_threads_work_at_once(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    o.drain = 1;
    o.threads = 4;
    atomic_store(&the.slow_ms, 30);
    make(&o, 1);
    fill(f, "q", 40);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    assert_int_equal(the.handled[0], 40);
    assert_in_range(the.most_at_once, 2, 4);
    pgq_worker_free(the.worker);
}

static void test_max_messages(void **state)
{
    static const int limits[] = {1, 7, 10};
    fixture *f = *state;

    fill(f, "q", 30);
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        pgq_worker_options o = options(f);
        long before = left(f);

        o.threads = 3;
        o.max_messages = limits[i];
        atomic_store(&the.handled[0], 0);
        make(&o, 1);
        assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
        assert_int_equal(the.handled[0], limits[i]);
        assert_int_equal(before - left(f), limits[i]);
        pgq_worker_free(the.worker);
    }
    {
        pgq_worker_options o = options(f);

        o.max_messages = 3; /* well or badly */
        atomic_store(&the.failing, 2);
        atomic_store(&the.handled[0], 0);
        make(&o, 1);
        assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
        assert_int_equal(the.handled[0], 3);
        pgq_worker_free(the.worker);
    }
}

/* It sleeps, a commit wakes it, and it takes from both queues. */
static void test_listens(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    o.threads = 3;
    make(&o, 2);
    start();
    for (int i = 1; i <= 5; i++) {
        t_send(f->q, "q", "m");
        await_int(&the.handled[0], i);
        t_send(f->q, "r", "m");
        await_int(&the.handled[1], i);
        t_pause_ms(i * 20);
    }
    fill(f, "q", 200);
    await_int(&the.handled[0], 205);
    /* One that falls due, with the poll switched off. */
    {
        pgq_enqueue_options late = PGQ_ENQUEUE_OPTIONS_INIT;

        late.delay_ms = 300;
        assert_ok(f->q, pgq_enqueue(f->q, "r", "x", 1, &late, NULL));
        await_int(&the.handled[1], 6);
    }
    assert_int_equal(pgq_worker_run(the.worker), PGQ_STATE);
    assert_int_equal(pgq_worker_add(the.worker, "q", handle, NULL), PGQ_STATE);
    stop();
    assert_int_equal(left(f), 0);
    assert_int_equal(the.handled[0], 205);
    assert_int_equal(the.handled[1], 6);
    /* The same worker once more. */
    start();
    t_send(f->q, "q", "m");
    await_int(&the.handled[0], 206);
    stop();
    pgq_worker_free(the.worker);
}

static void on_alarm(int sig)
{
    (void)sig;
    pgq_worker_stop(the.worker);
}

static void test_stop_from_a_signal_handler(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);
    struct itimerval timer = {{0, 0}, {0, 400000}};
    struct sigaction act = {.sa_handler = on_alarm};
    struct sigaction was;

    make(&o, 1);
    fill(f, "q", 3);
    sigaction(SIGALRM, &act, &was);
    setitimer(ITIMER_REAL, &timer, NULL);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    sigaction(SIGALRM, &was, NULL);
    assert_int_equal(the.events[PGQ_EVENT_STOPPING], 1);
    pgq_worker_free(the.worker);
}

/* What runs is finished; nothing new is taken. */
static void test_stop_finishes_what_runs(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    atomic_store(&the.slow_ms, 1000);
    make(&o, 1);
    fill(f, "q", 5);
    start();
    await_int(&the.at_once, 1);
    stop();
    assert_int_equal(the.handled[0], 1);
    assert_int_equal(left(f), 4);
    pgq_worker_free(the.worker);
    {
        pgq_messages *m;

        assert_ok(f->q, pgq_pop(f->q, "q", 9, &m));
        for (size_t i = 0; i < pgq_messages_count(m); i++)
            assert_int_equal(pgq_messages_get(m, i)->errors, 0);
        pgq_messages_free(m);
    }
}

static void test_stop_before_run(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    make(&o, 1);
    fill(f, "q", 1);
    pgq_worker_stop(the.worker);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    assert_int_equal(left(f), 1);
    pgq_worker_free(the.worker);
    pgq_worker_stop(NULL);
}

static void kill_workers(const fixture *f)
{
    t_run(f, f->sql,
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s' AND pid NOT "
          "IN (%d, %d)",
          f->ns, PQbackendPID(f->sql), PQbackendPID(pgq_connection(f->q)));
}

static void test_reconnects(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    o.threads = 3;
    make(&o, 2);
    start();
    for (int i = 1; i <= 3; i++) {
        t_send(f->q, "q", "m");
        await_int(&the.handled[0], i);
        kill_workers(f);
        await_int(&the.events[PGQ_EVENT_DISCONNECTED], i);
        await_int(&the.events[PGQ_EVENT_RECONNECTED], i);
    }
    fill(f, "r", 50);
    await_int(&the.handled[1], 50);
    stop();
    assert_int_equal(left(f), 0);
    assert_int_equal(the.events[PGQ_EVENT_DISCONNECTED], the.events[PGQ_EVENT_RECONNECTED]);
    pgq_worker_free(the.worker);
}

/* In the middle of a handler: the attempt counts, and the message is done in the end. */
static void test_reconnects_within_a_handler(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    atomic_store(&the.slow_ms, 1000);
    make(&o, 1);
    t_send(f->q, "q", "m");
    start();
    await_int(&the.at_once, 1);
    kill_workers(f);
    await_int(&the.events[PGQ_EVENT_FAILED], 1);
    await_int(&the.events[PGQ_EVENT_DONE], 1);
    stop();
    assert_int_equal(the.handled[0], 2);
    assert_non_null(strstr(the.text, "connection was lost"));
    assert_int_equal(left(f), 0);
    pgq_worker_free(the.worker);
}

static void test_long_scope(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);
    int64_t id = t_send(f->q, "q", "m");

    o.long_scope_ms = 50;
    o.max_messages = 1;
    atomic_store(&the.slow_ms, 1000);
    make(&o, 1);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    assert_int_equal(the.events[PGQ_EVENT_LONG_SCOPE], 1);
    assert_true(the.long_id == id);
    pgq_worker_free(the.worker);
    t_send(f->q, "q", "m");
    o.long_scope_ms = -1;
    make(&o, 1);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    assert_int_equal(the.events[PGQ_EVENT_LONG_SCOPE], 1);
    pgq_worker_free(the.worker);
}

static void test_cannot_start(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    make(&o, 0);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_STATE);
    assert_int_equal(pgq_worker_last_error(the.worker)->status, PGQ_STATE);
    assert_int_equal(pgq_worker_add(the.worker, " bad", handle, NULL), PGQ_INVALID);
    assert_int_equal(pgq_worker_add(the.worker, NULL, handle, NULL), PGQ_INVALID);
    assert_int_equal(pgq_worker_add(the.worker, "q", NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_worker_add(the.worker, "none", handle, NULL), PGQ_OK);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_NOT_FOUND);
    assert_non_null(strstr(pgq_worker_last_error(the.worker)->message, "none"));
    assert_ok(f->q, pgq_drop(f->q));
    assert_int_equal(pgq_worker_run(the.worker), PGQ_NOT_INSTALLED);
    pgq_worker_free(the.worker);
    assert_int_equal(pgq_worker_new("host=/nonexistent-directory", &o, &the.worker), PGQ_OK);
    assert_int_equal(pgq_worker_add(the.worker, "q", handle, NULL), PGQ_OK);
    assert_int_equal(pgq_worker_run(the.worker), PGQ_CONNECTION);
    assert_int_equal(pgq_worker_last_error(the.worker)->connection_dead, 1);
    pgq_worker_free(the.worker);
    assert_int_equal(the.events[PGQ_EVENT_STARTED], 0);
    assert_int_equal(pgq_worker_run(NULL), PGQ_INVALID);
    assert_int_equal(pgq_worker_add(NULL, "q", handle, NULL), PGQ_INVALID);
    assert_int_equal(pgq_worker_last_error(NULL)->status, PGQ_INVALID);
    pgq_worker_free(NULL);
}

static void test_bad_options(void **state)
{
    static const struct {
        int threads;
        int64_t max;
        const char *ns;
    } bad[] = {{-1, 0, "mq"}, {1025, 0, "mq"}, {1, -1, "mq"}, {1, 0, ""}, {1, 0, "pg_x"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;

        o.threads = bad[i].threads;
        o.max_messages = bad[i].max;
        o.name_space = bad[i].ns;
        assert_int_equal(pgq_worker_new(t_dsn(), &o, &the.worker), PGQ_INVALID);
        assert_int_equal(pgq_worker_last_error(the.worker)->status, PGQ_INVALID);
        pgq_worker_free(the.worker);
    }
}

#define WORKER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORKER_TEST(test_drain),
        WORKER_TEST(test_threads_work_at_once),
        WORKER_TEST(test_max_messages),
        WORKER_TEST(test_listens),
        WORKER_TEST(test_stop_from_a_signal_handler),
        WORKER_TEST(test_stop_finishes_what_runs),
        WORKER_TEST(test_stop_before_run),
        WORKER_TEST(test_reconnects),
        WORKER_TEST(test_reconnects_within_a_handler),
        WORKER_TEST(test_long_scope),
        WORKER_TEST(test_cannot_start),
        WORKER_TEST(test_bad_options),
    };

    return RUN_WITH_SERVER(tests);
}
