/* SPDX-License-Identifier: MIT */
/* Rows F1 to F4, F7 and F8: publishing, and reading by position. */
#include "topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_F1_one_to_many(void **state)
{
    enum { N = 1000 };
    fixture *f = *state;
    pgq *other = t_open(f);
    pgq_subscriber *a = subscribe(f->q, "news", NULL, NULL);
    pgq_subscriber *b = subscribe(other, "news", NULL, "now");
    pgq_subscriber *late;
    int64_t last = 0;

    for (int i = 0; i < N; i++) {
        int64_t id;

        assert_ok(f->q, pgq_topic_publish(f->q, "news", &i, sizeof i, NULL, &id));
        assert_true(id > last);
        last = id;
    }
    late = subscribe(other, "news", NULL, NULL);
    for (int reader = 0; reader < 2; reader++) {
        pgq_subscriber *s = reader ? b : a;
        int expected = 0;
        pgq_messages *m;
        pgq_status status;

        while ((status = pgq_topic_next(s, reader ? 7 : 300, &m)) == PGQ_OK) {
            for (size_t i = 0; i < pgq_messages_count(m); i++, expected++) {
                const pgq_message *one = pgq_messages_get(m, i);

                assert_int_equal(one->payload_len, sizeof expected);
                assert_memory_equal(one->payload, &expected, sizeof expected);
                assert_string_equal(one->queue, "news");
                assert_int_equal(one->kind, PGQ_BINARY);
                assert_null(one->headers);
                assert_true(one->sent > 1700000000000000);
            }
            pgq_messages_free(m);
        }
        assert_int_equal(status, PGQ_EMPTY);
        assert_int_equal(expected, N);
    }
    assert_string_equal(read_all(other, late, 10), "");
    publish(f->q, "news", "new");
    assert_string_equal(read_all(other, late, 10), "new ");
    assert_string_equal(read_all(f->q, a, 10), "new ");
    pgq_subscriber_free(a);
    pgq_subscriber_free(b);
    pgq_subscriber_free(late);
    pgq_close(other);
}

static void test_F2_where_to_start(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s, *again;
    char position[512];
    pgq_messages *m;

    for (const char *c = "abcde"; *c; c++) {
        char text[2] = {*c, '\0'};

        publish(f->q, "t", text);
    }
    s = subscribe(f->q, "t", NULL, "oldest");
    assert_ok(f->q, pgq_topic_next(s, 2, &m));
    assert_int_equal(pgq_messages_count(m), 2);
    pgq_messages_free(m);
    /* In the middle of a batch, which others publish behind. */
    snprintf(position, sizeof position, "%s", pgq_topic_position(s));
    publish(f->q, "t", "f");
    again = subscribe(f->q, "t", NULL, position);
    assert_string_equal(pgq_topic_position(again), position);
    assert_string_equal(read_all(f->q, s, 1), "c d e f ");
    assert_string_equal(read_all(f->q, again, 100), "c d e f ");
    pgq_subscriber_free(again);
    /* At the end of one. */
    again = subscribe(f->q, "t", NULL, pgq_topic_position(s));
    assert_string_equal(read_all(f->q, again, 1), "");
    publish(f->q, "t", "g");
    assert_string_equal(read_all(f->q, again, 1), "g ");
    pgq_subscriber_free(again);
    pgq_subscriber_free(s);
}

static void test_F4_latest(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_messages *m;

    assert_status(f->q, pgq_topic_latest(s, &m), PGQ_EMPTY);
    publish(f->q, "t", "a");
    publish(f->q, "t", "b");
    publish(f->q, "t", "c");
    assert_ok(f->q, pgq_topic_latest(s, &m));
    assert_int_equal(pgq_messages_count(m), 1);
    assert_memory_equal(pgq_messages_get(m, 0)->payload, "c", 1);
    pgq_messages_free(m);
    assert_status(f->q, pgq_topic_latest(s, &m), PGQ_EMPTY);
    assert_null(m);
    assert_string_equal(read_all(f->q, s, 10), "");
    publish(f->q, "t", "d");
    assert_string_equal(read_all(f->q, s, 10), "d ");
    /* From within a batch. */
    publish(f->q, "t", "e");
    publish(f->q, "t", "f");
    publish(f->q, "t", "g");
    assert_ok(f->q, pgq_topic_next(s, 1, &m));
    pgq_messages_free(m);
    assert_ok(f->q, pgq_topic_latest(s, &m));
    assert_memory_equal(pgq_messages_get(m, 0)->payload, "g", 1);
    pgq_messages_free(m);
    assert_string_equal(read_all(f->q, s, 10), "");
    pgq_subscriber_free(s);
}

static void test_F7_nothing(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "nobody", NULL, "oldest");
    pgq_messages *m;

    for (int i = 0; i < 3; i++) {
        assert_status(f->q, pgq_topic_next(s, 1, &m), PGQ_EMPTY);
        assert_null(m);
        assert_int_equal(pgq_last_error(f->q)->status, PGQ_EMPTY);
        assert_status(f->q, pgq_topic_latest(s, &m), PGQ_EMPTY);
    }
    publish(f->q, "other", "x");
    assert_status(f->q, pgq_topic_next(s, 1, &m), PGQ_EMPTY);
    publish(f->q, "nobody", "first");
    assert_string_equal(read_all(f->q, s, 1), "first ");
    assert_int_equal(pgq_topic_trimmed(s), 0);
    pgq_subscriber_free(s);
}

static void test_F8_the_publishers_transaction(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    PGconn *conn;
    pgq *attached = attach(f, &conn);

    t_run(f, conn, "BEGIN");
    publish(attached, "t", "undone");
    assert_string_equal(read_all(f->q, s, 10), "");
    t_run(f, conn, "ROLLBACK");
    assert_string_equal(read_all(f->q, s, 10), "");
    t_run(f, conn, "BEGIN");
    publish(attached, "t", "slow");
    publish(f->q, "t", "quick");
    assert_string_equal(read_all(f->q, s, 10), "quick ");
    publish(f->q, "t", "quick2");
    t_run(f, conn, "COMMIT");
    assert_string_equal(read_all(f->q, s, 1), "slow quick2 ");
    pgq_subscriber_free(s);
    pgq_close(attached);
    PQfinish(conn);
}

/* What a transaction publishes it does not read itself, and misses nothing of it later. */
static void test_F3_own_messages(void **state)
{
    static const char *const levels[] = {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};
    fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        PGconn *conn;
        pgq *attached = attach(f, &conn);
        pgq_subscriber *s = subscribe(attached, "t", NULL, NULL);
        t_run(f, conn, "BEGIN ISOLATION LEVEL %s", levels[i]);
        publish(attached, "t", "a");
        assert_string_equal(read_all(attached, s, 10), "");
        publish(f->q, "t", "x");
        assert_string_equal(read_all(attached, s, 10), i == 0 ? "x " : "");
        publish(attached, "t", "b");
        assert_string_equal(read_all(attached, s, 10), "");
        t_run(f, conn, "COMMIT");
        assert_string_equal(read_all(attached, s, 10), i == 0 ? "a b " : "a b x ");
        pgq_subscriber_free(s);
        pgq_close(attached);
        PQfinish(conn);
    }
}

static void test_F8_many(void **state)
{
    fixture *f = *state;
    pgq_publish_options with = PGQ_PUBLISH_OPTIONS_INIT;
    const pgq_publication all[] = {{"a", 1, NULL}, {NULL, 0, NULL}, {"{}", 2, &with}};
    const pgq_publication bad[] = {{"a", 1, NULL}, {"nonsense", 8, &with}};
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    int64_t ids[3];
    pgq_messages *m;

    with.kind = PGQ_JSON;
    with.headers = "{\"n\": 3}";
    assert_ok(f->q, pgq_topic_publish_many(f->q, "t", NULL, 0, NULL));
    assert_ok(f->q, pgq_topic_publish_many(f->q, "t", all, 3, ids));
    assert_true(ids[0] < ids[1] && ids[1] < ids[2]);
    assert_ok(f->q, pgq_topic_publish_many(f->q, "t", all, 1, NULL));
    assert_status(f->q, pgq_topic_publish_many(f->q, "t", bad, 2, ids), PGQ_INVALID);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "message 2 of 2: "));
    assert_string_equal(pgq_last_error(f->q)->sqlstate, "MQ001");
    assert_ok(f->q, pgq_topic_next(s, 10, &m));
    assert_int_equal(pgq_messages_count(m), 4);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pgq_messages_get(m, i)->id, ids[i]);
        assert_int_equal(pgq_messages_get(m, i)->payload_len, all[i].len);
    }
    assert_string_equal(pgq_messages_get(m, 2)->headers, "{\"n\": 3}");
    assert_int_equal(pgq_messages_get(m, 2)->kind, PGQ_JSON);
    pgq_messages_free(m);
    pgq_subscriber_free(s);
}

/* More than one number's worth of ids: what is told is what is stored. */
static void test_F8_ids(void **state)
{
    enum { N = 1001 };
    static pgq_publication all[N];
    static int64_t ids[N];
    fixture *f = *state;
    pgq_retention few = PGQ_RETENTION_INIT;

    few.max_messages = 100;
    for (size_t n = 99; n <= N; n += n == 99 ? 1 : n == 100 ? 1 : 900) {
        const char *const topics[] = {"t", "counted"};

        assert_ok(f->q, pgq_topic_create(f->q, "counted", &few, 1));
        for (size_t t = 0; t < 2; t++) {
            pgq_subscriber *s = subscribe(f->q, topics[t], NULL, NULL);
            pgq_messages *m;
            int64_t later;

            assert_ok(f->q, pgq_topic_publish_many(f->q, topics[t], all, n, ids));
            assert_ok(f->q, pgq_topic_publish(f->q, topics[t], "x", 1, NULL, &later));
            assert_true(later > ids[n - 1]);
            assert_ok(f->q, pgq_topic_next(s, N + 1, &m));
            assert_int_equal(pgq_messages_count(m), n + 1);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(pgq_messages_get(m, i)->id, ids[i]);
                assert_true(i == 0 || ids[i] > ids[i - 1]);
            }
            pgq_messages_free(m);
            pgq_subscriber_free(s);
        }
    }
}

/* Refusals leave an open transaction usable. */
static void test_bad_arguments(void **state)
{
    fixture *f = *state;
    pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;
    pgq_subscribe_options so = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_subscriber *s;
    pgq_messages *m;
    const struct {
        pgq_kind kind;
        const char *headers;
        const char *payload;
        size_t len;
    } cases[] = {{PGQ_TEXT, NULL, "\xff", 1},     {PGQ_JSON, NULL, "{", 1},    {(pgq_kind)9, NULL, "", 0},
                 {PGQ_BINARY, "[]", "", 0},       {PGQ_BINARY, "\xff", "", 0}, {PGQ_BINARY, NULL, NULL, 1},
                 {PGQ_BINARY, "nonsense", "", 0}, {PGQ_TEXT, NULL, "a\0b", 3}};
    static const char *const starts[] = {
        "", "later", "1", "1:1:/", "1:1:/1:1:/1/1", "\xff", "99999999999:99999999999:", "1:1:/1:1:/x/1/1"};

    t_run(f, pgq_connection(f->q), "BEGIN");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        o.kind = cases[i].kind;
        o.headers = cases[i].headers;
        assert_status(f->q, pgq_topic_publish(f->q, "t", cases[i].payload, cases[i].len, &o, NULL),
                      PGQ_INVALID);
    }
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        so.start = starts[i];
        assert_status(f->q, pgq_topic_subscribe(f->q, "t", &so, &s), PGQ_INVALID);
        assert_null(s);
    }
    so.start = NULL;
    so.hold_ms = 1000; /* without a name */
    assert_status(f->q, pgq_topic_subscribe(f->q, "t", &so, &s), PGQ_INVALID);
    so.name = "s";
    so.hold_ms = 0;
    assert_status(f->q, pgq_topic_subscribe(f->q, "t", &so, &s), PGQ_INVALID);
    so.name = "";
    assert_status(f->q, pgq_topic_subscribe(f->q, "t", &so, &s), PGQ_INVALID);
    assert_string_equal(pgq_last_error(f->q)->message,
                        "a subscriber name must not be empty: 1 to 160 bytes are allowed");
    assert_status(f->q, pgq_topic_subscribe(f->q, "t", NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_topic_publish(f->q, NULL, "", 0, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_topic_publish(f->q, "", "", 0, NULL, NULL), PGQ_INVALID);
    assert_string_equal(pgq_last_error(f->q)->message,
                        "a topic name must not be empty: 1 to 160 bytes are allowed");
    assert_status(f->q, pgq_topic_publish_many(f->q, "t", NULL, 1, NULL), PGQ_INVALID);
    assert_ok(f->q, pgq_topic_subscribe(f->q, "t", NULL, &s));
    assert_status(f->q, pgq_topic_next(s, 0, &m), PGQ_INVALID);
    assert_status(f->q, pgq_topic_next(s, 100001, &m), PGQ_INVALID);
    assert_status(f->q, pgq_topic_next(s, 1, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_topic_latest(s, NULL), PGQ_INVALID);
    t_run(f, pgq_connection(f->q), "COMMIT");
    pgq_subscriber_free(s);
    pgq_subscriber_free(NULL);
    assert_int_equal(pgq_topic_publish(NULL, "t", "", 0, NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_topic_publish_many(NULL, "t", NULL, 0, NULL), PGQ_INVALID);
    assert_int_equal(pgq_topic_subscribe(NULL, "t", NULL, &s), PGQ_INVALID);
    assert_int_equal(pgq_topic_next(NULL, 1, &m), PGQ_INVALID);
    assert_int_equal(pgq_topic_latest(NULL, &m), PGQ_INVALID);
    assert_int_equal(pgq_topic_commit(NULL), PGQ_INVALID);
    assert_int_equal(pgq_topic_rewind(NULL), PGQ_INVALID);
    assert_null(pgq_topic_position(NULL));
    assert_int_equal(pgq_topic_trimmed(NULL), 0);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.topic_message"), 0);
}

/* Upper case on the way out, lower case on the way in; '!' is refused by either. */
static int swap_case(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                     size_t error_size, void *arg)
{
    char *to = malloc(len + 1);

    (void)kind;
    if (!to || memchr(in, '!', len)) {
        free(to);
        snprintf(error, error_size, "%s", (const char *)arg);
        return 1;
    }
    for (size_t i = 0; i < len; i++)
        to[i] = (char)(((const char *)in)[i] ^ 0x20);
    *out = to;
    *out_len = len;
    return 0;
}

static void test_hooks(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_codec codec = {.size = sizeof codec};
    const pgq_publication bad[] = {{"ab", 2, NULL}, {"c!", 2, NULL}};
    pgq_messages *m;

    codec.encode = swap_case;
    codec.arg = "no";
    assert_ok(f->q, pgq_set_codec(f->q, &codec));
    publish(f->q, "t", "abc");
    assert_status(f->q, pgq_topic_publish(f->q, "t", "!", 1, NULL, NULL), PGQ_HOOK);
    assert_status(f->q, pgq_topic_publish_many(f->q, "t", bad, 2, NULL), PGQ_HOOK);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "message 2 of 2: "));
    assert_ok(f->q, pgq_set_codec(f->q, NULL));
    assert_string_equal(read_all(f->q, s, 1), "ABC ");
    publish(f->q, "t", "A!");
    publish(f->q, "t", "DEF");
    codec.decode = swap_case;
    assert_ok(f->q, pgq_set_codec(f->q, &codec));
    assert_status(f->q, pgq_topic_next(s, 5, &m), PGQ_HOOK);
    assert_int_equal(pgq_messages_count(m), 2);
    assert_int_equal(pgq_messages_get(m, 0)->undecoded, 1);
    assert_int_equal(pgq_messages_get(m, 1)->undecoded, 0);
    assert_memory_equal(pgq_messages_get(m, 1)->payload, "def", 3);
    pgq_messages_free(m);
    assert_string_equal(read_all(f->q, s, 1), ""); /* it has moved on */
    pgq_subscriber_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_F1_one_to_many),
        DB_TEST(test_F2_where_to_start),
        DB_TEST(test_F4_latest),
        DB_TEST(test_F7_nothing),
        DB_TEST(test_F8_the_publishers_transaction),
        DB_TEST(test_F3_own_messages),
        DB_TEST(test_F8_many),
        DB_TEST(test_F8_ids),
        DB_TEST(test_bad_arguments),
        DB_TEST(test_hooks),
    };

    return RUN_WITH_SERVER(tests);
}
