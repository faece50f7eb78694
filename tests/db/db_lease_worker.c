/* SPDX-License-Identifier: MIT */
/* Row E6 in a worker: threads that run handlers under leases. */
#include "support/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Extended at each third: a busy machine has the two others for it. */
enum { WAIT_MS = 30000, EVENTS = 9, LEASE_MS = 4500 };

/* What the handlers and the event function are told; asserted on from the test's thread alone. */
typedef struct shop {
    atomic_int started, handled, failing, lost_seen, still_lost;
    atomic_int hold;   /* handlers wait until it is 0, or their lease is lost */
    atomic_int linger; /* and then until this is 0 */
    atomic_int in_transaction;
    atomic_int events[EVENTS];
    atomic_llong lost_id;
    atomic_int lost_attempt;
    char lost_queue[32], lost_text[128]; /* read after the worker has ended */
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
    return 0;
}

static int handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)m, (void)arg;
    if (PQtransactionStatus(conn) != PQTRANS_IDLE && PQstatus(conn) == CONNECTION_OK)
        atomic_fetch_add(&the.in_transaction, 1);
    atomic_fetch_add(&the.started, 1);
    while (atomic_load(&the.hold) && !pgq_lease_lost(q))
        t_pause_ms(2);
    atomic_fetch_add(&the.lost_seen, pgq_lease_lost(q));
    while (atomic_load(&the.linger))
        t_pause_ms(2);
    atomic_fetch_add(&the.still_lost, pgq_lease_lost(q));
    atomic_fetch_add(&the.handled, 1);
    if (atomic_fetch_sub(&the.failing, 1) > 0)
        return pgq_fail(q, "as told");
    atomic_store(&the.failing, 0);
    return 0;
}

static void on_event(const pgq_event_info *info, void *arg)
{
    (void)arg;
    if (info->event == PGQ_EVENT_LEASE_LOST) {
        atomic_store(&the.lost_id, info->id);
        atomic_store(&the.lost_attempt, info->attempt);
        snprintf(the.lost_queue, sizeof the.lost_queue, "%s", info->queue ? info->queue : "");
        snprintf(the.lost_text, sizeof the.lost_text, "%s", info->text);
    }
    atomic_fetch_add(&the.events[info->event], 1);
}

static pgq_worker_options options(const fixture *f)
{
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;

    o.name_space = f->ns;
    o.poll_interval_ms = -1;
    o.on_event = on_event;
    o.lease_ms = LEASE_MS;
    return o;
}

static void make(const pgq_worker_options *o)
{
    assert_int_equal(pgq_worker_new(t_dsn(), o, &the.worker), PGQ_OK);
    assert_int_equal(pgq_worker_add(the.worker, "q", handle, NULL), PGQ_OK);
}

static void *runs(void *arg)
{
    the.result = pgq_worker_run(arg);
    return NULL;
}

static void start(const pgq_worker_options *o)
{
    make(o);
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

static void join(void)
{
    pthread_join(the.thread, NULL);
    assert_int_equal(the.result, PGQ_OK);
    pgq_worker_free(the.worker);
}

static long left(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.message");
}

/* Until each lease that is out ends more than so much later than any does now. */
static void await_extensions(const fixture *f, int ms)
{
    char sql[160];

    snprintf(sql, sizeof sql,
             "SELECT min(due) > '%s'::timestamptz + interval '%d ms' FROM mq.message WHERE state = 2",
             t_ask(f, f->sql, "SELECT max(due) FROM mq.message WHERE state = 2"), ms);
    t_until(f, WAIT_MS, "t", sql);
}

static void worker_drain(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    o.drain = 1;
    o.threads = 3;
    o.lease_ms = 60000;
    make(&o);
    t_run(f, f->sql, "SELECT mq.enqueue_many('q', array_fill('m'::text, ARRAY[150]))");
    t_run(f, f->sql, "SELECT mq.enqueue('q', 'late'::text, delay => 600)");
    atomic_store(&the.failing, 10); /* they come back, and are done */
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    assert_int_equal(the.handled, 160);
    assert_int_equal(the.in_transaction, 0);
    assert_int_equal(the.events[PGQ_EVENT_DONE], 150);
    assert_int_equal(the.events[PGQ_EVENT_FAILED], 10);
    assert_int_equal(the.events[PGQ_EVENT_LEASE_LOST] + the.events[PGQ_EVENT_ERROR], 0);
    assert_int_equal(left(f), 1);
    /* Again, with nothing there, and with something. */
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    t_send(f->q, "q", "m");
    assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
    assert_int_equal(left(f), 1);
    pgq_worker_free(the.worker);
    t_until(
        f, WAIT_MS, "2",
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = current_setting('application_name')");
}

/* Longer than a lease, several at once: each is done once. And a stop lets them finish, extended as ever. */
static void worker_long_handlers(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    o.threads = 3;
    atomic_store(&the.hold, 1);
    start(&o);
    for (int i = 0; i < 5; i++)
        t_send(f->q, "q", "m");
    await_int(&the.started, 3);
    await_extensions(f, LEASE_MS);
    pgq_worker_stop(the.worker);
    await_int(&the.events[PGQ_EVENT_STOPPING], 1);
    await_extensions(f, LEASE_MS / 3);
    assert_int_equal(the.started, 3); /* nothing new is taken */
    atomic_store(&the.hold, 0);
    join();
    assert_int_equal(the.handled, 3);
    assert_int_equal(the.events[PGQ_EVENT_DONE], 3);
    assert_int_equal(the.events[PGQ_EVENT_LEASE_LOST] + the.lost_seen, 0);
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "m 0 0; m 0 0; ");
}

/* Another consumer gets the message: said once, to the handler and to the event function, and it is not done.
 */
static void worker_lease_lost(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);
    int64_t id;

    o.lease_ms = 3000; /* a third of it is waited for */
    atomic_store(&the.hold, 1);
    start(&o);
    id = t_send(f->q, "q", "m");
    await_int(&the.started, 1);
    t_run(f, f->sql, "UPDATE mq.message SET attempts = attempts + 1, due = due + interval '1 h'");
    await_int(&the.events[PGQ_EVENT_FAILED], 1);
    pgq_worker_stop(the.worker);
    join();
    assert_int_equal(the.handled, 1);
    assert_int_equal(the.lost_seen, 1);
    assert_int_equal(the.events[PGQ_EVENT_LEASE_LOST], 1);
    assert_int_equal(the.events[PGQ_EVENT_DONE], 0);
    assert_true(the.lost_id == id && the.lost_attempt == 1);
    assert_string_equal(the.lost_queue, "q");
    assert_true(the.lost_text[0] != '\0');
    assert_string_equal(t_listed(f, "q", PGQ_STATE_IN_FLIGHT), "m 2 0; ");
}

/* The server does not answer until the time is over, and extends the lease after all: what the handler was
 * told still holds, and is said once. */
static void worker_lease_out_of_time(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);
    int64_t id;

    o.lease_ms = 1500;
    atomic_store(&the.hold, 1);
    atomic_store(&the.linger, 1);
    start(&o);
    id = t_send(f->q, "q", "m");
    await_int(&the.started, 1);
    t_run(f, f->sql, "BEGIN; LOCK TABLE mq.message IN ACCESS EXCLUSIVE MODE");
    await_int(&the.lost_seen, 1);
    t_run(f, f->sql, "COMMIT");
    await_extensions(f, 0);
    atomic_store(&the.linger, 0);
    await_int(&the.events[PGQ_EVENT_DONE], 1);
    pgq_worker_stop(the.worker);
    join();
    assert_int_equal(the.still_lost, 1);
    assert_int_equal(the.events[PGQ_EVENT_LEASE_LOST], 1);
    assert_true(the.lost_id == id && the.lost_attempt == 1);
    assert_int_equal(left(f), 0);
}

static void kill_workers(const fixture *f)
{
    t_run(f, f->sql,
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s' AND pid NOT "
          "IN (%d, %d)",
          f->ns, PQbackendPID(f->sql), PQbackendPID(pgq_connection(f->q)));
}

/* All connections are ended while a handler runs: it goes on, and what it did is told by another connection.
 */
static void worker_connections_lost(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);

    o.threads = 2;
    o.lease_ms = 10000; /* time to connect again on a busy machine */
    atomic_store(&the.hold, 1);
    start(&o);
    for (int i = 1; i <= 2; i++) {
        atomic_store(&the.failing, i == 2);
        t_send(f->q, "q", "m");
        await_int(&the.started, i);
        kill_workers(f);
        await_int(&the.events[PGQ_EVENT_DISCONNECTED], 1);
        atomic_store(&the.hold, i == 1 ? 0 : 1);
        if (i == 1) {
            await_int(&the.events[PGQ_EVENT_DONE], 1);
            assert_int_equal(left(f), 0);
            atomic_store(&the.hold, 1);
        }
    }
    atomic_store(&the.hold, 0);
    await_int(&the.events[PGQ_EVENT_FAILED], 1);
    await_int(&the.events[PGQ_EVENT_DONE], 2); /* it came back, counted once */
    pgq_worker_stop(the.worker);
    join();
    assert_int_equal(the.handled, 3);
    assert_int_equal(the.lost_seen, 0);
    assert_int_equal(left(f), 0);
}

/* It sleeps; a send, a due time and an expired lease of another consumer's wake it. */
static void worker_listens(void **state)
{
    fixture *f = *state;
    pgq_worker_options o = options(f);
    pgq_enqueue_options late = PGQ_ENQUEUE_OPTIONS_INIT;

    t_send(f->q, "q", "leased by another");
    t_lease(f->q, "q", 1000, NULL);
    start(&o);
    await_int(&the.handled, 1);
    t_send(f->q, "q", "m");
    await_int(&the.handled, 2);
    late.delay_ms = 300;
    t_send_as(f->q, "q", "late", &late);
    await_int(&the.handled, 3);
    pgq_worker_stop(the.worker);
    join();
    assert_int_equal(left(f), 0);
    assert_int_equal(the.events[PGQ_EVENT_DONE], 3);
}

static int turn(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                size_t error_size, void *arg)
{
    (void)in, (void)len, (void)kind, (void)out, (void)out_len;
    snprintf(error, error_size, "cannot read it");
    atomic_fetch_add((atomic_int *)arg, 1);
    return 1;
}

/* The hooks of a worker's handles. */
static void row_c9_in_a_worker(void **state)
{
    fixture *f = *state;

    for (int lease = 0; lease < 2; lease++) {
        pgq_worker_options o = options(f);
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        atomic_int calls = 0;
        pgq_codec codec = {sizeof codec, NULL, turn, &calls};

        a.error_limit = 2;
        assert_ok(f->q, pgq_set_queue(f->q, "q", &a, 0));
        o.drain = 1;
        o.lease_ms = lease ? 60000 : 0;
        make(&o);
        assert_int_equal(pgq_worker_set_codec(the.worker, &codec), PGQ_OK);
        t_send(f->q, "q", "m");
        assert_int_equal(pgq_worker_run(the.worker), PGQ_OK);
        assert_int_equal(calls, 2);
        assert_int_equal(the.handled, 0);
        assert_int_equal(the.events[PGQ_EVENT_FAILED], 2 * (lease + 1));
        assert_non_null(strstr(t_ask(f, f->sql, "SELECT last_error FROM mq.dead_letter"), "cannot read it"));
        assert_int_equal(pgq_worker_set_codec(the.worker, NULL), PGQ_OK);
        codec.size = 1;
        assert_int_equal(pgq_worker_set_codec(the.worker, &codec), PGQ_INVALID);
        pgq_worker_free(the.worker);
        assert_ok(f->q, pgq_purge_dead(f->q, "q", NULL, 0, NULL));
    }
    assert_int_equal(pgq_worker_set_codec(NULL, NULL), PGQ_INVALID);
}

static void worker_bad_leases(void **state)
{
    static const int64_t bad[] = {-1, 9999999001, INT64_MAX, PGQ_UNSET};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;

        o.lease_ms = bad[i];
        assert_int_equal(pgq_worker_new(t_dsn(), &o, &the.worker), PGQ_INVALID);
        assert_non_null(strstr(pgq_worker_last_error(the.worker)->message, "lease"));
        pgq_worker_free(the.worker);
    }
}

#define WORKER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORKER_TEST(worker_drain),
        WORKER_TEST(worker_long_handlers),
        WORKER_TEST(worker_lease_lost),
        WORKER_TEST(worker_lease_out_of_time),
        WORKER_TEST(worker_connections_lost),
        WORKER_TEST(worker_listens),
        WORKER_TEST(row_c9_in_a_worker),
        WORKER_TEST(worker_bad_leases),
    };

    return RUN_WITH_SERVER(tests);
}
