/* SPDX-License-Identifier: MIT */
/* Rows C1, C2, C3, C7, C8, C10, and what a send refuses. */
#include "support/support.h"

#include <json-c/json.h>
#include <pgq/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pgq_messages *pop(const fixture *f, int max)
{
    pgq_messages *m;

    assert_ok(f->q, pgq_pop(f->q, "q", max, &m));
    return m;
}

static void queue(const fixture *f, int64_t max_size)
{
    pgq_attributes o = PGQ_ATTRIBUTES_INIT;

    o.max_size = max_size;
    assert_ok(f->q, pgq_create_queue(f->q, "q", &o, 0));
}

static void test_C1_ids_rise(void **state)
{
    fixture *f = *state;
    char text[PGQ_ID_TEXT_LEN + 1];
    int64_t last = 0;
    int64_t id, sent;
    pgq_messages *m;

    queue(f, -1);
    for (int i = 0; i < 20; i++) {
        id = t_send(f->q, "q", "x");
        assert_true(id > last);
        last = id;
    }
    m = pop(f, 100);
    assert_int_equal(pgq_messages_count(m), 20);
    assert_true(pgq_messages_get(m, 19)->id == last);
    assert_null(pgq_messages_get(m, 20));
    assert_int_equal(pgq_id_to_text(last, pgq_messages_get(m, 19)->sent, text), PGQ_OK);
    assert_string_equal(text, t_ask(f, f->sql,
                                    "SELECT mq.id_text(%lld, 'epoch'::timestamptz + %lld * interval '1 us')",
                                    (long long)last, (long long)pgq_messages_get(m, 19)->sent));
    assert_int_equal(pgq_id_from_text(text, &id, &sent), PGQ_OK);
    assert_true(id == last && sent == pgq_messages_get(m, 19)->sent);
    pgq_messages_free(m);
}

static void test_C2_in_a_transaction(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);
    pgq_messages *m;

    queue(f, -1);
    t_run(f, pgq_connection(f->q), "BEGIN");
    t_send(f->q, "q", "lost");
    assert_status(other, pgq_pop(other, "q", 1, &m), PGQ_EMPTY);
    t_run(f, pgq_connection(f->q), "ROLLBACK");
    assert_status(other, pgq_pop(other, "q", 1, &m), PGQ_EMPTY);
    t_run(f, pgq_connection(f->q), "BEGIN");
    t_send(f->q, "q", "kept");
    assert_status(other, pgq_pop(other, "q", 1, &m), PGQ_EMPTY);
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_ok(other, pgq_pop(other, "q", 1, &m));
    assert_string_equal(pgq_messages_get(m, 0)->payload, "kept");
    pgq_messages_free(m);
    pgq_close(other);
}

static void test_C3_batch(void **state)
{
    enum { N = 500 };
    fixture *f = *state;
    pgq_outgoing out[N];
    char texts[N][8];
    int64_t ids[N];
    pgq_messages *m;

    queue(f, 7);
    for (int i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "%d", i);
        out[i] = (pgq_outgoing){texts[i], strlen(texts[i]), NULL};
    }
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, ids, NULL));
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, 0, 0, ids, NULL));
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", NULL, 0, 0, NULL, NULL));
    m = pop(f, N + 1);
    assert_int_equal(pgq_messages_count(m), N);
    for (size_t i = 0; i < N; i++) {
        assert_true(pgq_messages_get(m, i)->id == ids[i] && (i == 0 || ids[i] > ids[i - 1]));
        assert_string_equal(pgq_messages_get(m, i)->payload, texts[i]);
    }
    pgq_messages_free(m);
    /* All or nothing, and the message at fault is named. */
    out[300] = (pgq_outgoing){"too long", 8, NULL};
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_TOO_LONG);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "301 of 500"));
    out[300] = (pgq_outgoing){NULL, 8, NULL};
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_INVALID);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "301 of 500"));
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    assert_status(f->q, pgq_enqueue_many(f->q, "q", NULL, 1, 0, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, 1000001, 0, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, SIZE_MAX, 0, NULL, NULL), PGQ_INVALID);
}

/* Each message of a batch has its own options. */
static void test_C3_batch_options(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options low = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_enqueue_options late = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_enqueue_options wrong = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_outgoing out[] = {{"late", 4, &late}, {"plain", 5, NULL}, {"{}", 2, &low}};
    pgq_counts c;
    pgq_messages *m;

    queue(f, -1);
    low.priority = 0;
    low.kind = PGQ_JSON;
    low.headers = "{\"a\": 1}";
    low.ttl_ms = 60000;
    late.delay_ms = 60000;
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, 3, 0, NULL, NULL));
    assert_ok(f->q, pgq_count(f->q, "q", &c));
    assert_true(c.ready == 2 && c.delayed == 1);
    m = pop(f, 3);
    assert_string_equal(pgq_messages_get(m, 0)->payload, "{}");
    assert_int_equal(pgq_messages_get(m, 0)->kind, PGQ_JSON);
    assert_string_equal(pgq_messages_get(m, 0)->headers, "{\"a\": 1}");
    assert_true(pgq_messages_get(m, 0)->expires == pgq_messages_get(m, 0)->sent + 60000000);
    assert_string_equal(pgq_messages_get(m, 1)->payload, "plain");
    assert_null(pgq_messages_get(m, 1)->headers);
    pgq_messages_free(m);
    wrong.size = 2;
    out[2].options = &wrong;
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, 3, 0, NULL, NULL), PGQ_INVALID);
}

static void test_C7_size_in_bytes(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

    queue(f, 4);
    o.kind = PGQ_TEXT;
    assert_ok(f->q, pgq_enqueue(f->q, "q", "\xc3\xa9\xc3\xa9", 4, &o, NULL));
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_enqueue(f->q, "q", "\xc3\xa9\xc3\xa9!", 5, &o, NULL), PGQ_TOO_LONG);
    assert_string_equal(pgq_last_error(f->q)->sqlstate, "MQ004");
    assert_int_equal(pgq_last_error(f->q)->needs_rollback, 0);
    assert_ok(f->q, pgq_enqueue(f->q, "q", "four", 4, NULL, NULL));
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 2);
    assert_status(f->q, pgq_enqueue(f->q, "q", "x", (size_t)1 << 30, NULL, NULL), PGQ_INVALID);
}

static void test_C8_round_trips(void **state)
{
    enum { BIG = 1 << 20 };
    static const struct {
        pgq_kind kind;
        const char *bytes;
        size_t len;
    } cases[] = {
        {PGQ_BINARY, "\0a\0\xff\xfe\\x00'\n", 11},
        {PGQ_BINARY, "\xc3\x28", 2},
        {PGQ_TEXT, "na\xc3\xafve \xf0\x9f\x98\x80 \\ ' \" \r\n\t", 21},
        {PGQ_JSON, "{ \"b\":1.10, \"a\": 100000000000000000000000.00000001,\n \"b\" : [ ] }", 64},
        {PGQ_JSON, "\"\\u00e9\"", 8},
        {PGQ_JSON, "  3 ", 4},
        {PGQ_JSON, "null", 4}, /* C10 */
        {PGQ_BINARY, "", 0},
        {PGQ_TEXT, "", 0},
    };
    fixture *f = *state;
    char *big = malloc(BIG);
    pgq_messages *m;

    queue(f, -1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

        o.kind = cases[i].kind;
        assert_ok(f->q, pgq_enqueue(f->q, "q", cases[i].bytes, cases[i].len, &o, NULL));
    }
    assert_non_null(big);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (char)(i * 31 + i / 256);
    assert_ok(f->q, pgq_enqueue(f->q, "q", big, BIG, NULL, NULL));
    assert_ok(f->q, pgq_enqueue(f->q, "q", NULL, 0, NULL, NULL));
    m = pop(f, 100);
    assert_int_equal(pgq_messages_count(m), COUNT_OF(cases) + 2);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const pgq_message *got = pgq_messages_get(m, i);

        assert_int_equal(got->kind, cases[i].kind);
        assert_int_equal(got->payload_len, cases[i].len);
        assert_memory_equal(got->payload, cases[i].bytes, cases[i].len);
        assert_int_equal(((const char *)got->payload)[got->payload_len], 0);
    }
    assert_int_equal(pgq_messages_get(m, COUNT_OF(cases))->payload_len, BIG);
    assert_memory_equal(pgq_messages_get(m, COUNT_OF(cases))->payload, big, BIG);
    assert_int_equal(pgq_messages_get(m, COUNT_OF(cases) + 1)->payload_len, 0);
    assert_non_null(pgq_messages_get(m, COUNT_OF(cases) + 1)->payload);
    pgq_messages_free(m);
    free(big);
}

static void test_headers_unchanged(void **state)
{
    static const char *const good[] = {"{}", "{ \"z\":1,  \"a\" : 1.0, \"z\":2 }",
                                       "{\"\xc3\xa9\":\"\\u00e9\"}"};
    static const char *const bad[] = {"", "[]", "1", "null", "{", "{\"a\":}", "{\"\xff\":1}"};
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_messages *m;

    queue(f, -1);
    t_run(f, pgq_connection(f->q), "BEGIN");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        o.headers = bad[i];
        assert_status(f->q, pgq_enqueue(f->q, "q", "x", 1, &o, NULL), PGQ_INVALID);
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_INTRANS);
    }
    t_run(f, pgq_connection(f->q), "COMMIT");
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        o.headers = good[i];
        assert_ok(f->q, pgq_enqueue(f->q, "q", "x", 1, &o, NULL));
    }
    m = pop(f, 10);
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_string_equal(pgq_messages_get(m, i)->headers, good[i]);
    pgq_messages_free(m);
}

static void test_bad_input(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        pgq_kind kind;
        int32_t priority;
        int64_t delay, ttl;
    } bad[] = {
        {NULL, 1, PGQ_BINARY, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"\xff", 1, PGQ_TEXT, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"a\0b", 3, PGQ_TEXT, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"{", 1, PGQ_JSON, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"", 0, PGQ_JSON, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"\"\xff\"", 3, PGQ_JSON, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"1\0", 2, PGQ_JSON, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"1 2", 3, PGQ_JSON, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"x", 1, (pgq_kind)3, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"x", 1, (pgq_kind)65536, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"x", 1, (pgq_kind)-1, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET},
        {"x", 1, PGQ_BINARY, -1, PGQ_UNSET, PGQ_UNSET},
        {"x", 1, PGQ_BINARY, INT32_MIN + 1, PGQ_UNSET, PGQ_UNSET},
        {"x", 1, PGQ_BINARY, PGQ_UNSET, -1, PGQ_UNSET},
        {"x", 1, PGQ_BINARY, PGQ_UNSET, 9999999001, PGQ_UNSET},
        {"x", 1, PGQ_BINARY, PGQ_UNSET, INT64_MAX, PGQ_UNSET},
        {"x", 1, PGQ_BINARY, PGQ_UNSET, INT64_MIN, PGQ_UNSET},
        {"x", 1, PGQ_BINARY, PGQ_UNSET, PGQ_UNSET, 0},
        {"x", 1, PGQ_BINARY, PGQ_UNSET, PGQ_UNSET, -2},
        {"x", 1, PGQ_BINARY, PGQ_UNSET, PGQ_UNSET, 9999999001},
        {"x", 1, PGQ_BINARY, PGQ_UNSET, PGQ_UNSET, INT64_MAX},
    };
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

    queue(f, -1);
    t_run(f, pgq_connection(f->q), "BEGIN");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        pgq_outgoing one = {bad[i].bytes, bad[i].len, &o};

        o.kind = bad[i].kind;
        o.priority = bad[i].priority;
        o.delay_ms = bad[i].delay;
        o.ttl_ms = bad[i].ttl;
        if (pgq_enqueue(f->q, "q", bad[i].bytes, bad[i].len, &o, NULL) != PGQ_INVALID ||
            pgq_enqueue_many(f->q, "q", &one, 1, 0, NULL, NULL) != PGQ_INVALID)
            fail_msg("case %zu: %s", i, pgq_last_error(f->q)->message);
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_INTRANS);
    }
    o = (pgq_enqueue_options)PGQ_ENQUEUE_OPTIONS_INIT;
    o.size = 0;
    assert_status(f->q, pgq_enqueue(f->q, "q", "x", 1, &o, NULL), PGQ_INVALID);
    o = (pgq_enqueue_options)PGQ_ENQUEUE_OPTIONS_INIT;
    o.priority = INT32_MAX;
    o.delay_ms = 9999999000;
    o.ttl_ms = 9999999000;
    assert_ok(f->q, pgq_enqueue(f->q, "q", "x", 1, &o, NULL));
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 1);
}

static void test_json_objects(void **state)
{
    static const char *const values[] = {"{\"b\":1,\"a\":[true,null,\"x\\/\"]}", "null", "-17",
                                         "\"\xc3\xa9\""};
    fixture *f = *state;
    struct json_object *got;
    pgq_messages *m;

    queue(f, -1);
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct json_object *value = json_tokener_parse(values[i]);

        assert_ok(f->q, pgq_enqueue_json(f->q, "q", value, NULL, NULL));
        json_object_put(value);
    }
    assert_ok(f->q, pgq_enqueue(f->q, "q", "{\"a\":1} x", 9, NULL, NULL));
    assert_ok(f->q, pgq_enqueue(f->q, "q", "", 0, NULL, NULL));
    m = pop(f, 10);
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct json_object *value = json_tokener_parse(values[i]);

        assert_int_equal(pgq_messages_get(m, i)->kind, PGQ_JSON);
        assert_int_equal(pgq_message_json(pgq_messages_get(m, i), &got), PGQ_OK);
        assert_true(json_object_equal(got, value));
        json_object_put(got);
        json_object_put(value);
    }
    assert_int_equal(pgq_message_json(pgq_messages_get(m, 4), &got), PGQ_INVALID);
    assert_null(got);
    assert_int_equal(pgq_message_json(pgq_messages_get(m, 5), &got), PGQ_INVALID);
    assert_int_equal(pgq_message_json(NULL, &got), PGQ_INVALID);
    assert_int_equal(pgq_message_json(pgq_messages_get(m, 0), NULL), PGQ_INVALID);
    pgq_messages_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_C1_ids_rise),       DB_TEST(test_C2_in_a_transaction), DB_TEST(test_C3_batch),
        DB_TEST(test_C3_batch_options),  DB_TEST(test_C7_size_in_bytes),    DB_TEST(test_C8_round_trips),
        DB_TEST(test_headers_unchanged), DB_TEST(test_bad_input),           DB_TEST(test_json_objects),
    };

    return RUN_WITH_SERVER(tests);
}
