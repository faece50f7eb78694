/* SPDX-License-Identifier: MIT */
/* Rows B5, B7, B12, B13 and E9: what an operator does to a queue, and sees of it. */
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "Q", NULL, 0));
    return 0;
}

/* One message of each state: ready, delayed, blocked, leased, dead; and a dedup window. */
static void one_of_each(const fixture *f, const char *queue)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_nack_options no = PGQ_NACK_OPTIONS_INIT;
    pgq_receipt r;

    t_send(f->q, queue, "dead");
    r = t_lease(f->q, queue, PGQ_UNSET, NULL);
    no.requeue = 0;
    assert_ok(f->q, pgq_nack(f->q, &r, 1, &no, NULL, NULL));
    o.order_key = "k";
    t_send_as(f->q, queue, "leased", &o);
    t_lease(f->q, queue, 60000, NULL);
    t_send_as(f->q, queue, "blocked", &o);
    o = (pgq_enqueue_options)PGQ_ENQUEUE_OPTIONS_INIT;
    o.delay_ms = 60000;
    o.dedup_key = "d";
    o.dedup_window_ms = 60000;
    t_send_as(f->q, queue, "delayed", &o);
    t_send(f->q, queue, "ready");
}

static void counts(const fixture *f, const char *queue, const char *wanted)
{
    char got[80];
    pgq_counts c;

    assert_ok(f->q, pgq_count(f->q, queue, &c));
    snprintf(got, sizeof got, "%lld %lld %lld %lld %lld", (long long)c.ready, (long long)c.delayed,
             (long long)c.blocked, (long long)c.in_flight, (long long)c.dead);
    assert_string_equal(got, wanted);
}

/* The statistics as one text, the age aside. */
static const char *stats(const fixture *f, const char *queue, int64_t *oldest_ms)
{
    static char text[160];
    const pgq_queue_stats *s;
    pgq_stats_list *list;

    assert_ok(f->q, pgq_stats(f->q, queue, &list));
    assert_int_equal(pgq_stats_count(list), 1);
    s = pgq_stats_get(list, 0);
    assert_string_equal(s->name, queue);
    snprintf(text, sizeof text, "paused %d sent %lld received %lld: %lld %lld %lld %lld %lld exact %d",
             s->paused, (long long)s->sent_total, (long long)s->received_total, (long long)s->ready_estimate,
             (long long)s->delayed_estimate, (long long)s->blocked_estimate, (long long)s->in_flight_estimate,
             (long long)s->dead_estimate, s->exact);
    if (oldest_ms)
        *oldest_ms = s->oldest_ready_ms;
    pgq_stats_free(list);
    return text;
}

static void row_b5_delete(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_receipt r;

    one_of_each(f, "q");
    one_of_each(f, "Q");
    t_send(f->q, "q", "held by its id");
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_ok(f->q, pgq_delete_queue(f->q, "q"));
    assert_status(f->q, pgq_delete_queue(f->q, "q"), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_nack(f->q, &r, 1, NULL, NULL, NULL), PGQ_NOT_FOUND);
    /* A later queue of that name sees nothing of it: no message, no key, no total. */
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    counts(f, "q", "0 0 0 0 0");
    assert_string_equal(stats(f, "q", NULL), "paused 0 sent 0 received 0: 0 0 0 0 0 exact 1");
    o.dedup_key = "d";
    o.order_key = "k";
    t_send_as(f->q, "q", "m", &o);
    counts(f, "q", "1 0 0 0 0");
    counts(f, "Q", "1 1 1 1 1"); /* nobody else's goes */
}

static void row_b7_statistics(void **state)
{
    fixture *f = *state;
    int64_t oldest;
    pgq_stats_list *list;

    assert_string_equal(stats(f, "q", &oldest), "paused 0 sent 0 received 0: 0 0 0 0 0 exact 1");
    assert_true(oldest == -1);
    one_of_each(f, "q");
    assert_string_equal(stats(f, "q", &oldest), "paused 0 sent 5 received 2: 1 1 1 1 1 exact 1");
    assert_true(oldest >= 0 && oldest < 3600000);
    counts(f, "q", "1 1 1 1 1");
    /* The age is that of the one that waits longest; those that are not ready have none. */
    t_run(f, f->sql, "UPDATE mq.message SET sent = sent - interval '1 h' WHERE state = 0");
    t_run(f, f->sql, "UPDATE mq.message SET sent = sent - interval '1 day' WHERE state <> 0");
    stats(f, "q", &oldest);
    assert_true(oldest >= 3600000 && oldest < 7200000);
    /* Totals count what is rolled back, too, and never go down. */
    t_run(f, pgq_connection(f->q), "BEGIN");
    t_send(f->q, "q", "gone");
    t_run(f, pgq_connection(f->q), "ROLLBACK");
    assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    assert_ok(f->q, pgq_purge_dead(f->q, "q", NULL, 0, NULL));
    assert_ok(f->q, pgq_pause_queue(f->q, "q"));
    assert_string_equal(stats(f, "q", &oldest), "paused 1 sent 6 received 2: 0 0 0 0 0 exact 1");
    assert_true(oldest == -1);
    /* Of all queues, sorted by bytes; case counts. */
    assert_ok(f->q, pgq_stats(f->q, NULL, &list));
    assert_int_equal(pgq_stats_count(list), 2);
    assert_string_equal(pgq_stats_get(list, 0)->name, "Q");
    assert_true(pgq_stats_get(list, 0)->sent_total == 0);
    assert_string_equal(pgq_stats_get(list, 1)->name, "q");
    assert_null(pgq_stats_get(list, 2));
    pgq_stats_free(list);
    assert_status(f->q, pgq_stats(f->q, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_stats(f->q, "none", &list), PGQ_NOT_FOUND);
    assert_null(list);
    pgq_stats_free(NULL);
    assert_int_equal(pgq_stats_count(NULL), 0);
    assert_null(pgq_stats_get(NULL, 0));
}

static int counted_from_inside(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;
    int64_t oldest;

    (void)q, (void)conn, (void)m;
    assert_string_equal(stats(f, "q", &oldest), "paused 0 sent 1 received 1: 0 0 0 1 0 exact 1");
    assert_true(oldest == -1);
    return 0;
}

/* What a scope holds is in flight. */
static void row_b7_in_a_scope(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);

    t_send(f->q, "q", "m");
    assert_ok(other, pgq_dequeue(other, "q", counted_from_inside, f));
    pgq_close(other);
}

/* Beyond 10,000 of a sort they are estimates that say so; pgq_count() stays exact. */
static void row_b7_estimates(void **state)
{
    enum { N = 30000 };
    fixture *f = *state;
    pgq_stats_list *list;
    pgq_counts c;
    int64_t got[3];

    t_run(f, f->sql, "SELECT mq.enqueue_many('q', array_fill('x'::text, ARRAY[%d]))", N);
    t_run(f, f->sql,
          "SELECT count(mq.enqueue('q', 'late'::text, delay => 1000 + n)) FROM generate_series(1, %d) n", N);
    t_run(f, f->sql,
          "INSERT INTO mq.dead_letter (id, sent, queue_id, priority, attempts, errors, kind, first_received,"
          " payload, reason) SELECT -n, now(), q.id, 9, 1, 1, 1, now(), '', 'error_limit'"
          " FROM generate_series(1, %d) n, mq.queue q WHERE q.name = 'q'",
          N);
    assert_ok(f->q, pgq_count(f->q, "q", &c));
    assert_true(c.ready == N && c.delayed == N && c.dead == N);
    assert_ok(f->q, pgq_stats(f->q, "q", &list));
    assert_int_equal(pgq_stats_get(list, 0)->exact, 0);
    got[0] = pgq_stats_get(list, 0)->ready_estimate;
    got[1] = pgq_stats_get(list, 0)->delayed_estimate;
    got[2] = pgq_stats_get(list, 0)->dead_estimate;
    for (size_t i = 0; i < COUNT_OF(got); i++)
        if (got[i] < N / 2 || got[i] > 2 * N)
            fail_msg("estimate %zu is %lld of %d", i, (long long)got[i], N);
    assert_true(pgq_stats_get(list, 0)->sent_total == 2 * N);
    pgq_stats_free(list);
}

static void row_b12_purge(void **state)
{
    fixture *f = *state;
    int64_t waiting = -1, in_flight = -1;

    assert_ok(f->q, pgq_purge(f->q, "q", &waiting, &in_flight));
    assert_true(waiting == 0 && in_flight == 0);
    one_of_each(f, "q");
    one_of_each(f, "Q");
    t_send(f->q, "q", "leased too");
    t_lease(f->q, "q", PGQ_UNSET, NULL);
    t_send(f->q, "q", "ready too");
    assert_ok(f->q, pgq_purge(f->q, "q", &waiting, &in_flight));
    assert_int_equal(waiting, 4);
    assert_int_equal(in_flight, 2);
    counts(f, "q", "0 0 0 0 1"); /* dead letters stay: pgq_purge_dead() */
    counts(f, "Q", "1 1 1 1 1");
    /* It works on. */
    t_send(f->q, "q", "m");
    t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    assert_status(f->q, pgq_purge(f->q, "none", &waiting, NULL), PGQ_NOT_FOUND);
    /* In the caller's transaction it is taken back with it. */
    t_send(f->q, "q", "kept");
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_ok(f->q, pgq_purge(f->q, "q", &waiting, NULL));
    t_run(f, pgq_connection(f->q), "ROLLBACK");
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "kept 0 0; ");
    assert_true(waiting == 1);
}

static void row_b13_pause(void **state)
{
    fixture *f = *state;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_receipt r;
    pgq_messages *m;
    witness w = {0};
    int64_t id;

    t_send(f->q, "q", "in flight");
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    for (int i = 0; i < 2; i++)
        assert_ok(f->q, pgq_pause_queue(f->q, "q")); /* twice is as good as once */
    /* It accepts, and hands out nothing, by no way of taking; what is in flight is settled. */
    id = t_send(f->q, "q", "m");
    assert_status(f->q, pgq_receive(f->q, "q", 1, NULL, &m), PGQ_EMPTY);
    assert_status(f->q, pgq_receive_id(f->q, id, PGQ_UNSET, &m), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_pop(f->q, "q", 1, &m), PGQ_EMPTY);
    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_EMPTY);
    assert_status(f->q, pgq_receive_with(f->q, "q", t_witness, &w, NULL), PGQ_EMPTY);
    assert_status(f->q, pgq_listen(f->q, "q", 50, t_witness, &w, NULL), PGQ_TIMEOUT);
    o.timeout_ms = 50;
    assert_status(f->q, pgq_receive(f->q, "q", 1, &o, &m), PGQ_TIMEOUT);
    assert_int_equal(w.calls, 0);
    assert_ok(f->q, pgq_extend(f->q, &r, 1, 60000, NULL, NULL));
    assert_ok(f->q, pgq_ack(f->q, &r, 1, NULL, NULL));
    /* Another is not paused. */
    t_send(f->q, "Q", "m");
    t_lease(f->q, "Q", PGQ_UNSET, NULL);
    for (int i = 0; i < 2; i++)
        assert_ok(f->q, pgq_resume_queue(f->q, "q"));
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
    assert_true(w.id == id && w.attempts == 1);
    /* A pause that is rolled back was none. */
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_ok(f->q, pgq_pause_queue(f->q, "q"));
    t_run(f, pgq_connection(f->q), "ROLLBACK");
    t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
}

static void row_e9_clean(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_receipt r;
    pgq_cleaned c;

    for (int i = 0; i < 2; i++) {
        const char *queue = i ? "Q" : "q";

        one_of_each(f, queue);
        t_send(f->q, queue, "to expire");
        r = t_lease(f->q, queue, PGQ_UNSET, NULL); /* the ready one of one_of_each() */
        t_expire(f, r.id);
        o.ttl_ms = 1;
        t_send_as(f->q, queue, "too old", &o);
    }
    t_run(f, f->sql, "UPDATE mq.message SET due = clock_timestamp() WHERE state = 1");
    t_run(f, f->sql, "UPDATE mq.dedup_window SET until = clock_timestamp()");
    t_until(f, 5000, "2", "SELECT count(*) FROM mq.message WHERE expires < clock_timestamp()");
    assert_ok(f->q, pgq_clean(f->q, "q", &c));
    assert_true(c.promoted == 1 && c.returned == 1 && c.expired == 1 && c.windows == 1);
    counts(f, "q", "3 0 1 1 1");
    assert_ok(f->q, pgq_clean(f->q, NULL, &c));
    assert_true(c.promoted == 1 && c.returned == 1 && c.expired == 1 && c.windows == 1);
    assert_ok(f->q, pgq_clean(f->q, NULL, &c));
    assert_true(c.promoted == 0 && c.returned == 0 && c.expired == 0 && c.windows == 0);
    assert_ok(f->q, pgq_clean(f->q, NULL, NULL));
    counts(f, "Q", "3 0 1 1 1");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE errors = 1"), 2);
}

#define CONTROL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTROL_TEST(row_b5_delete),    CONTROL_TEST(row_b7_statistics), CONTROL_TEST(row_b7_in_a_scope),
        CONTROL_TEST(row_b7_estimates), CONTROL_TEST(row_b12_purge),     CONTROL_TEST(row_b13_pause),
        CONTROL_TEST(row_e9_clean),
    };

    return RUN_WITH_SERVER(tests);
}
