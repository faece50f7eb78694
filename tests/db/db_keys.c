/* SPDX-License-Identifier: MIT */
/* Rows C14 and C15: dedup keys and order keys. */
#include "support/support.h"

#include <pthread.h>
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

static pgq_status send_unique(pgq *q, const char *queue, const char *key, int64_t window_ms, int64_t *id)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

    o.dedup_key = key;
    o.dedup_window_ms = window_ms;
    return pgq_enqueue(q, queue, "m", 1, &o, id);
}

/* While one of the key waits or is in flight, the other send gets its id; after that it is new. */
static void row_c14_dedup_key(void **state)
{
    static const char *const when[] = {"ready", "delayed", "leased", "lease run out", "blocked", "nacked"};
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(when); i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        pgq_enqueue_options before = PGQ_ENQUEUE_OPTIONS_INIT;
        pgq_receipt r = {0, 0};
        int64_t id, again = -1;
        pgq_messages *m;

        o.dedup_key = "k";
        if (i == 1)
            o.delay_ms = 60000;
        if (i == 4) {
            o.order_key = "order";
            before.order_key = "order";
            t_send_as(f->q, "q", "before it", &before);
        }
        assert_ok(f->q, pgq_enqueue(f->q, "q", "m", 1, &o, &id));
        if (i == 2 || i == 3 || i == 5)
            r = t_lease(f->q, "q", PGQ_UNSET, NULL);
        if (i == 3)
            t_expire(f, r.id);
        if (i == 5)
            assert_ok(f->q, pgq_nack(f->q, &r, 1, NULL, NULL, NULL));
        assert_status(f->q, send_unique(f->q, "q", "k", 0, &again), PGQ_DUPLICATE);
        assert_true(again == id);
        assert_string_equal(pgq_last_error(f->q)->message, ""); /* a normal outcome */
        /* Another queue, whatever the case of its name, and another key are others. */
        assert_ok(f->q, send_unique(f->q, "Q", "k", 0, NULL));
        assert_ok(f->q, send_unique(f->q, "q", "K", 0, NULL));
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
        assert_ok(f->q, pgq_purge(f->q, "Q", NULL, NULL));
        assert_ok(f->q, send_unique(f->q, "q", "k", 0, &again));
        assert_true(again != id);
        m = t_receive(f->q, "q", 1, PGQ_UNSET);
        assert_string_equal(pgq_messages_get(m, 0)->dedup_key, "k");
        r = t_receipt(pgq_messages_get(m, 0));
        pgq_messages_free(m);
        assert_ok(f->q, pgq_ack(f->q, &r, 1, NULL, NULL));
        assert_ok(f->q, send_unique(f->q, "q", "k", 0, NULL)); /* done: it is new */
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    }
}

static void row_c14_window(void **state)
{
    fixture *f = *state;
    pgq_receipt r;
    int64_t id, again;

    assert_ok(f->q, send_unique(f->q, "q", "k", 60000, &id));
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_ok(f->q, pgq_ack(f->q, &r, 1, NULL, NULL));
    /* It is done, and the key is still taken. */
    assert_status(f->q, send_unique(f->q, "q", "k", 0, &again), PGQ_DUPLICATE);
    assert_true(again == id);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    t_run(f, f->sql, "UPDATE mq.dedup_window SET until = clock_timestamp()");
    assert_ok(f->q, send_unique(f->q, "q", "k", 60000, &again));
    assert_true(again != id);
    for (int i = 0; i < 3; i++)
        assert_status(f->q,
                      send_unique(f->q, "q", "k", (const int64_t[]){-1, 9999999001, INT64_MIN}[i], NULL),
                      PGQ_INVALID);
}

/* A dead letter does not keep the key; it stays dead while another message has it. */
static void row_c14_dead_letter(void **state)
{
    fixture *f = *state;
    pgq_nack_options die = PGQ_NACK_OPTIONS_INIT;
    pgq_receipt r;
    int64_t count;

    die.requeue = 0;
    assert_ok(f->q, send_unique(f->q, "q", "k", 0, NULL));
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_ok(f->q, pgq_nack(f->q, &r, 1, &die, NULL, NULL));
    assert_ok(f->q, send_unique(f->q, "q", "k", 0, NULL));
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", NULL, 0, NULL, &count));
    assert_int_equal(count, 0);
    assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", NULL, 0, NULL, &count));
    assert_int_equal(count, 1);
}

/* In bulk: a row, not an error; ids are those that exist, in input order. */
static void row_c14_batch(void **state)
{
    static const pgq_status wanted[] = {PGQ_DUPLICATE, PGQ_OK, PGQ_OK, PGQ_DUPLICATE, PGQ_OK, PGQ_OK};
    fixture *f = *state;
    pgq_enqueue_options x = PGQ_ENQUEUE_OPTIONS_INIT, y = PGQ_ENQUEUE_OPTIONS_INIT,
                        z = PGQ_ENQUEUE_OPTIONS_INIT;
    const pgq_outgoing out[] = {{"x", 1, &x}, {"none", 4, NULL}, {"y", 1, &y},
                                {"Y", 1, &y}, {"none", 4, NULL}, {"z", 1, &z}};
    pgq_status results[6];
    int64_t ids[6], there;
    pgq_messages *m;

    x.dedup_key = "x";
    y.dedup_key = "y";
    z.dedup_key = "a"; /* keys are looked at in their own order */
    assert_ok(f->q, send_unique(f->q, "q", "x", 0, &there));
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, 6, 0, ids, results));
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_INTRANS);
    t_run(f, pgq_connection(f->q), "COMMIT");
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(results[i], wanted[i]);
    assert_true(ids[0] == there && ids[3] == ids[2] && ids[4] != ids[1]);
    m = t_receive(f->q, "q", 10, PGQ_UNSET);
    assert_int_equal(pgq_messages_count(m), 5);
    /* Delivered in input order. */
    for (size_t i = 1; i < 5; i++)
        assert_string_equal(pgq_messages_get(m, i)->payload,
                            ((const char *[]){"none", "y", "none", "z"})[i - 1]);
    pgq_messages_free(m);
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, 1, 0, NULL, NULL)); /* OK also if all are duplicates */
}

/* A second sender of a key waits for the first's transaction, and learns what came of it. */
typedef struct sender {
    pgq *q;
    pgq_status status;
    int64_t id;
} sender;

static void *sends(void *arg)
{
    sender *s = arg;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

    o.dedup_key = "k";
    s->status = pgq_enqueue(s->q, "q", "m", 1, &o, &s->id);
    return NULL;
}

static void row_c14_at_once(void **state)
{
    fixture *f = *state;
    sender s = {.q = t_open(f)};

    for (int commit = 0; commit < 2; commit++) {
        pthread_t thread;
        int64_t id;

        t_run(f, pgq_connection(f->q), "BEGIN");
        assert_ok(f->q, send_unique(f->q, "q", "k", 0, &id));
        assert_int_equal(pthread_create(&thread, NULL, sends, &s), 0);
        t_until(f, 10000, "1",
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name ="
                " current_setting('application_name')");
        t_run(f, pgq_connection(f->q), commit ? "COMMIT" : "ROLLBACK");
        pthread_join(thread, NULL);
        assert_status(s.q, s.status, commit ? PGQ_DUPLICATE : PGQ_OK);
        assert_true((s.id == id) == commit);
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 1);
        if (!commit)
            assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    }
    pgq_close(s.q);
}

static int64_t send_ordered(const fixture *f, const char *key, const char *text, int64_t delay_ms)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

    o.order_key = key;
    o.delay_ms = delay_ms;
    return t_send_as(f->q, "q", text, &o);
}

/* One at a time of a key, in order; other keys, and messages without one, go on. */
static void row_c15_order_key(void **state)
{
    fixture *f = *state;
    pgq_receipt a, b;
    pgq_messages *m;
    char body[64];

    send_ordered(f, "a", "a1", 0);
    send_ordered(f, "a", "a2", 0);
    send_ordered(f, "b", "b1", 0);
    send_ordered(f, "a", "a3", 0);
    t_send(f->q, "q", "plain");
    assert_string_equal(t_listed(f, "q", PGQ_STATE_BLOCKED), "a2 0 0; a3 0 0; ");
    a = t_lease(f->q, "q", PGQ_UNSET, body);
    assert_string_equal(body, "a1");
    m = t_receive(f->q, "q", 10, PGQ_UNSET);
    assert_int_equal(pgq_messages_count(m), 2);
    assert_string_equal(pgq_messages_get(m, 0)->payload, "b1");
    assert_string_equal(pgq_messages_get(m, 0)->order_key, "b");
    assert_string_equal(pgq_messages_get(m, 1)->payload, "plain");
    assert_null(pgq_messages_get(m, 1)->order_key);
    b = t_receipt(pgq_messages_get(m, 0));
    pgq_messages_free(m);
    assert_status(f->q, pgq_receive(f->q, "q", 10, NULL, &m), PGQ_EMPTY);
    /* A failure does not let the next one pass. */
    assert_ok(f->q, pgq_nack(f->q, &a, 1, NULL, NULL, NULL));
    a = t_lease(f->q, "q", PGQ_UNSET, body);
    assert_string_equal(body, "a1");
    t_expire(f, a.id);
    a = t_lease(f->q, "q", PGQ_UNSET, body);
    assert_string_equal(body, "a1");
    assert_ok(f->q, pgq_ack(f->q, &b, 1, NULL, NULL));
    assert_status(f->q, pgq_receive(f->q, "q", 10, NULL, &m), PGQ_EMPTY);
    for (int i = 2; i <= 3; i++) {
        assert_ok(f->q, pgq_ack(f->q, &a, 1, NULL, NULL));
        a = t_lease(f->q, "q", PGQ_UNSET, body);
        assert_int_equal(body[1], '0' + i);
    }
}

/* However the first of a key goes, the next becomes ready. */
static void row_c15_advances(void **state)
{
    static const char *const ways[] = {"ack", "dead", "cancel", "pop", "dequeue", "expires"};
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        pgq_nack_options die = PGQ_NACK_OPTIONS_INIT;
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        int64_t id;
        pgq_receipt r;
        pgq_messages *m;
        witness w = {0};
        char body[64];

        o.order_key = "k";
        id = t_send_as(f->q, "q", "first", &o);
        if (i == 5)
            t_run(f, f->sql, "UPDATE mq.message SET expires = clock_timestamp()");
        send_ordered(f, "k", "second", PGQ_UNSET);
        die.requeue = 0;
        if (i < 2) {
            r = t_lease(f->q, "q", PGQ_UNSET, NULL);
            assert_true(r.id == id);
            assert_ok(f->q,
                      i == 0 ? pgq_ack(f->q, &r, 1, NULL, NULL) : pgq_nack(f->q, &r, 1, &die, NULL, NULL));
        } else if (i == 2) {
            assert_ok(f->q, pgq_cancel(f->q, id));
        } else if (i == 3) {
            assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
            assert_true(pgq_messages_get(m, 0)->id == id);
            pgq_messages_free(m);
        } else if (i == 4) {
            assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
            assert_true(w.id == id);
        }
        t_lease(f->q, "q", PGQ_UNSET, body);
        if (strcmp(body, "second") != 0)
            fail_msg("after %s: %s", ways[i], body);
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
        assert_ok(f->q, pgq_purge_dead(f->q, "q", NULL, 0, NULL));
    }
}

static int none_of_the_key(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;
    pgq_messages *got;
    char body[64];

    (void)q, (void)conn, (void)m;
    t_lease(f->q, "q", PGQ_UNSET, body);
    assert_string_equal(body, "other");
    assert_status(f->q, pgq_pop(f->q, "q", 10, &got), PGQ_EMPTY);
    return 0;
}

/* In a scope, too; and with two, the key's lock is per queue. */
static void row_c15_in_a_scope(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);

    send_ordered(f, "k", "first", PGQ_UNSET);
    send_ordered(f, "k", "second", PGQ_UNSET);
    send_ordered(f, "l", "other", PGQ_UNSET);
    assert_ok(other, pgq_dequeue(other, "q", none_of_the_key, f));
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "second 0 0; ");
    pgq_close(other);
}

static void row_c15_bad_keys(void **state)
{
    static const char *const bad[] = {"", "\xff"};
    char longest[257];
    fixture *f = *state;

    memset(longest, 'k', 256);
    for (size_t i = 0; i < 2 * COUNT_OF(bad) + 4; i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        int fits = i == 2 * COUNT_OF(bad) || i == 2 * COUNT_OF(bad) + 1;
        const char *key;

        longest[256] = '\0';
        longest[255] = fits ? '\0' : 'k';
        key = i < 2 * COUNT_OF(bad) ? bad[i / 2] : longest;
        if (i % 2)
            o.order_key = key;
        else
            o.dedup_key = key;
        assert_status(f->q, pgq_enqueue(f->q, "q", "m", 1, &o, NULL), fits ? PGQ_OK : PGQ_INVALID);
    }
}

#define KEYS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEYS_TEST(row_c14_dedup_key), KEYS_TEST(row_c14_window),     KEYS_TEST(row_c14_dead_letter),
        KEYS_TEST(row_c14_batch),     KEYS_TEST(row_c14_at_once),    KEYS_TEST(row_c15_order_key),
        KEYS_TEST(row_c15_advances),  KEYS_TEST(row_c15_in_a_scope), KEYS_TEST(row_c15_bad_keys),
    };

    return RUN_WITH_SERVER(tests);
}
