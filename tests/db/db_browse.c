/* SPDX-License-Identifier: MIT */
/* Rows D6, D7, D8, D11 (dead letters) and E5. */
#include "support/support.h"

#include <string.h>

static int setup(void **state)
{
    pgq_attributes o = PGQ_ATTRIBUTES_INIT;
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    o.error_limit = 2;
    assert_ok(f->q, pgq_create_queue(f->q, "q", &o, 0));
    return 0;
}

static void send_delayed(const fixture *f, const char *text, int64_t ms)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

    o.delay_ms = ms;
    assert_ok(f->q, pgq_enqueue(f->q, "q", text, strlen(text), &o, NULL));
}

static void payloads(const fixture *f, pgq_state state, int max, int skip, const char *wanted)
{
    char got[256] = "";
    pgq_messages *m;
    pgq_status status = pgq_list(f->q, "q", state, max, skip, &m);

    if (status != PGQ_EMPTY)
        assert_ok(f->q, status);
    for (size_t i = 0; i < pgq_messages_count(m); i++) {
        assert_int_equal(pgq_messages_get(m, i)->state, state);
        assert_string_equal(pgq_messages_get(m, i)->queue, "q");
        strncat(got, pgq_messages_get(m, i)->payload, sizeof got - strlen(got) - 1);
    }
    assert_string_equal(got, wanted);
    pgq_messages_free(m);
}

/* Fails every message there is once. */
static void fail_all(const fixture *f, int n)
{
    witness w = {.fail = "no luck"};

    for (int i = 0; i < n; i++)
        assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_FAILED);
}

static void test_D6_peek_touches_nothing(void **state)
{
    fixture *f = *state;
    const char *before;
    pgq_messages *m;

    assert_status(f->q, pgq_peek(f->q, "q", 1, &m), PGQ_EMPTY);
    t_send(f->q, "q", "a");
    t_send(f->q, "q", "b");
    before = t_ask(f, f->sql,
                   "SELECT md5(string_agg(m::text || xmin || xmax, ',' ORDER BY id)) FROM mq.message m");
    for (int i = 0; i < 2; i++) {
        assert_ok(f->q, pgq_peek(f->q, "q", 5, &m));
        assert_int_equal(pgq_messages_count(m), 2);
        assert_int_equal(pgq_messages_get(m, 0)->attempts, 0);
        assert_string_equal(pgq_messages_get(m, 0)->payload, "a");
        pgq_messages_free(m);
    }
    assert_string_equal(
        before, t_ask(f, f->sql,
                      "SELECT md5(string_agg(m::text || xmin || xmax, ',' ORDER BY id)) FROM mq.message m"));
    assert_status(f->q, pgq_peek(f->q, "q", 0, &m), PGQ_INVALID);
    assert_status(f->q, pgq_peek(f->q, "q", 1, NULL), PGQ_INVALID);
}

static int look_from_inside(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;
    pgq_counts c;

    (void)q, (void)conn, (void)m;
    payloads(f, PGQ_STATE_IN_FLIGHT, 9, 0, "a");
    payloads(f, PGQ_STATE_READY, 9, 0, "bc");
    assert_ok(f->q, pgq_count(f->q, "q", &c));
    assert_true(c.ready == 2 && c.in_flight == 1 && c.delayed == 2 && c.dead == 0);
    assert_status(f->q, pgq_cancel(f->q, m->id), PGQ_NOT_FOUND);
    return 0;
}

static void test_D7_list_and_count(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);
    pgq_messages *m;
    pgq_counts c;

    assert_ok(f->q, pgq_count(f->q, "q", &c));
    assert_true(c.ready == 0 && c.in_flight == 0 && c.delayed == 0 && c.dead == 0);
    t_send(f->q, "q", "a");
    t_send(f->q, "q", "b");
    t_send(f->q, "q", "c");
    send_delayed(f, "y", 80000);
    send_delayed(f, "x", 70000);
    payloads(f, PGQ_STATE_READY, 9, 0, "abc");
    payloads(f, PGQ_STATE_READY, 2, 1, "bc");
    payloads(f, PGQ_STATE_READY, 2, 3, "");
    payloads(f, PGQ_STATE_DELAYED, 9, 0, "xy");
    payloads(f, PGQ_STATE_DEAD, 9, 0, "");
    assert_ok(other, pgq_dequeue(other, "q", look_from_inside, f));
    payloads(f, PGQ_STATE_IN_FLIGHT, 9, 0, "");
    fail_all(f, 4);
    payloads(f, PGQ_STATE_DEAD, 9, 0, "bc");
    payloads(f, PGQ_STATE_DEAD, 1, 1, "c");
    for (int i = 0; i < 4; i++) {
        static const int bad[][3] = {{0, 0, 0}, {0, 1, -1}, {5, 1, 0}, {-1, 1, 0}};

        assert_status(f->q, pgq_list(f->q, "q", (pgq_state)bad[i][0], bad[i][1], bad[i][2], &m), PGQ_INVALID);
    }
    assert_status(f->q, pgq_list(f->q, "q", PGQ_STATE_READY, 1, 0, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_count(f->q, "q", NULL), PGQ_INVALID);
    pgq_close(other);
}

static void test_D8_the_whole_item(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    const pgq_message *got;
    pgq_messages *m;
    int64_t id;

    o.kind = PGQ_TEXT;
    o.priority = 7;
    o.ttl_ms = 3600000;
    o.headers = "{\"k\": \"v\"}";
    assert_ok(f->q, pgq_enqueue(f->q, "q", "body", 4, &o, &id));
    fail_all(f, 1);
    assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
    got = pgq_messages_get(m, 0);
    assert_true(got->id == id && got->payload_len == 4);
    assert_string_equal(got->queue, "q");
    assert_string_equal(got->payload, "body");
    assert_int_equal(got->kind, PGQ_TEXT);
    assert_int_equal(got->state, PGQ_STATE_IN_FLIGHT);
    assert_int_equal(got->priority, 7);
    assert_int_equal(got->attempts, 2);
    assert_int_equal(got->errors, 1);
    assert_string_equal(got->last_error, "no luck");
    assert_string_equal(got->headers, "{\"k\": \"v\"}");
    assert_true(got->sent > 1600000000000000 && got->first_received >= got->sent);
    assert_true(got->expires == got->sent + 3600000000);
    assert_true(got->due == 0 && got->died == 0);
    pgq_messages_free(m);
    send_delayed(f, "later", 60000);
    assert_ok(f->q, pgq_list(f->q, "q", PGQ_STATE_DELAYED, 1, 0, &m));
    got = pgq_messages_get(m, 0);
    assert_true(got->due == got->sent + 60000000 && got->first_received == 0 && !got->last_error &&
                !got->headers);
    pgq_messages_free(m);
}

static void test_D11_dead_letters(void **state)
{
    fixture *f = *state;
    int64_t ids[3];
    int64_t count = -1;
    pgq_messages *m;

    for (int i = 0; i < 3; i++)
        ids[i] = t_send(f->q, "q", (const char *[]){"a", "b", "c"}[i]);
    fail_all(f, 6);
    assert_status(f->q, pgq_pop(f->q, "q", 1, &m), PGQ_EMPTY);
    assert_ok(f->q, pgq_list(f->q, "q", PGQ_STATE_DEAD, 9, 0, &m));
    assert_int_equal(pgq_messages_count(m), 3);
    assert_int_equal(pgq_messages_get(m, 0)->errors, 2);
    assert_int_equal(pgq_messages_get(m, 0)->attempts, 2);
    assert_string_equal(pgq_messages_get(m, 0)->last_error, "no luck");
    assert_true(pgq_messages_get(m, 0)->died > pgq_messages_get(m, 0)->sent);
    pgq_messages_free(m);
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", &ids[1], 1, NULL, &count));
    assert_int_equal(count, 1);
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", &ids[1], 1, NULL, &count));
    assert_int_equal(count, 0);
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", ids, 0, NULL, &count)); /* none, not all */
    assert_int_equal(count, 0);
    payloads(f, PGQ_STATE_READY, 9, 0, "b");
    assert_ok(f->q, pgq_purge_dead(f->q, "q", ids, 1, &count));
    assert_int_equal(count, 1);
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", NULL, 0, NULL, NULL));
    payloads(f, PGQ_STATE_READY, 9, 0, "bc");
    assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
    assert_int_equal(pgq_messages_get(m, 0)->errors, 0);
    assert_int_equal(pgq_messages_get(m, 0)->attempts, 3);
    assert_true(pgq_messages_get(m, 0)->id == ids[1]);
    pgq_messages_free(m);
    fail_all(f, 2);
    assert_ok(f->q, pgq_purge_dead(f->q, "q", NULL, 0, &count));
    assert_int_equal(count, 1);
    payloads(f, PGQ_STATE_DEAD, 9, 0, "");
}

static void is(const fixture *f, int64_t id, pgq_state state, const char *payload)
{
    pgq_messages *m;

    assert_ok(f->q, pgq_get(f->q, id, &m));
    assert_int_equal(pgq_messages_count(m), 1);
    assert_true(pgq_messages_get(m, 0)->id == id);
    assert_int_equal(pgq_messages_get(m, 0)->state, state);
    assert_string_equal(pgq_messages_get(m, 0)->queue, "q");
    assert_string_equal(pgq_messages_get(m, 0)->payload, payload);
    pgq_messages_free(m);
}

static void test_get_whatever_its_state(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_nack_options dead = PGQ_NACK_OPTIONS_INIT;
    pgq_messages *m = (pgq_messages *)&o;
    pgq_receipt r;
    int64_t id;

    assert_status(f->q, pgq_get(f->q, 1, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_get(f->q, -1, &m), PGQ_NOT_FOUND);
    assert_null(m);
    id = t_send(f->q, "q", "a");
    is(f, id, PGQ_STATE_READY, "a");
    r = t_lease(f->q, "q", 60000, NULL);
    is(f, id, PGQ_STATE_IN_FLIGHT, "a");
    dead.requeue = 0;
    assert_ok(f->q, pgq_nack(f->q, &r, 1, &dead, NULL, NULL));
    is(f, id, PGQ_STATE_DEAD, "a");
    assert_ok(f->q, pgq_purge_dead(f->q, "q", NULL, 0, NULL));
    assert_status(f->q, pgq_get(f->q, id, &m), PGQ_NOT_FOUND);
    o.order_key = "k";
    id = t_send_as(f->q, "q", "first", &o);
    is(f, t_send_as(f->q, "q", "second", &o), PGQ_STATE_BLOCKED, "second");
    /* In a scope, and it leaves the transaction usable where there is nothing. */
    t_run(f, f->sql, "BEGIN");
    t_run(f, f->sql, "SELECT mq.dequeue('q')");
    is(f, id, PGQ_STATE_IN_FLIGHT, "first");
    t_run(f, f->sql, "ROLLBACK");
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_get(f->q, 0, &m), PGQ_NOT_FOUND);
    is(f, id, PGQ_STATE_READY, "first");
    t_run(f, pgq_connection(f->q), "COMMIT");
    send_delayed(f, "later", 60000);
    is(f, t_number(f, f->sql, "SELECT max(id) FROM mq.message"), PGQ_STATE_DELAYED, "later");
    /* Past its time. */
    o.order_key = NULL;
    o.ttl_ms = 60000;
    id = t_send_as(f->q, "q", "brief", &o);
    is(f, id, PGQ_STATE_READY, "brief");
    t_run(f, f->sql, "UPDATE mq.message SET expires = clock_timestamp() WHERE id = %lld", (long long)id);
    assert_status(f->q, pgq_get(f->q, id, &m), PGQ_NOT_FOUND);
}

static void test_E5_cancel(void **state)
{
    fixture *f = *state;
    int64_t id = t_send(f->q, "q", "a");
    pgq_messages *m;

    assert_ok(f->q, pgq_cancel(f->q, id));
    assert_status(f->q, pgq_cancel(f->q, id), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_cancel(f->q, -1), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_cancel(f->q, INT64_MAX), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_pop(f->q, "q", 1, &m), PGQ_EMPTY);
    send_delayed(f, "later", 60000);
    id = t_number(f, f->sql, "SELECT id FROM mq.message");
    /* Rolled back, it is as it was, and nobody counts a death. */
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_ok(f->q, pgq_cancel(f->q, id));
    t_run(f, pgq_connection(f->q), "ROLLBACK");
    assert_ok(f->q, pgq_cancel(f->q, id));
    id = t_send(f->q, "q", "b");
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_ok(f->q, pgq_cancel(f->q, id));
    t_run(f, pgq_connection(f->q), "ROLLBACK");
    assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
    assert_int_equal(pgq_messages_get(m, 0)->errors, 0);
    pgq_messages_free(m);
}

#define BROWSE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BROWSE_TEST(test_D6_peek_touches_nothing), BROWSE_TEST(test_D7_list_and_count),
        BROWSE_TEST(test_D8_the_whole_item),       BROWSE_TEST(test_D11_dead_letters),
        BROWSE_TEST(test_get_whatever_its_state),  BROWSE_TEST(test_E5_cancel),
    };

    return RUN_WITH_SERVER(tests);
}
