/* SPDX-License-Identifier: MIT */
/* Rows F6 and F7: topics as a whole, their retention, and the queues bound to them. */
#include "topics.h"

#include <string.h>

static const pgq_topic_info *only(pgq_topic_list *list)
{
    assert_int_equal(pgq_topic_list_count(list), 1);
    return pgq_topic_list_get(list, 0);
}

static void test_F6_create_set_delete(void **state)
{
    fixture *f = *state;
    pgq_retention r = PGQ_RETENTION_INIT;
    const pgq_topic_info *t;
    pgq_topic_list *list;

    assert_ok(f->q, pgq_topic_create(f->q, "t", NULL, 0));
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_topic_create(f->q, "t", NULL, 0), PGQ_EXISTS);
    r.retain_ms = 5000;
    assert_ok(f->q, pgq_topic_create(f->q, "t", &r, 1));
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_ok(f->q, pgq_list_topics(f->q, "t", &list));
    t = only(list);
    assert_string_equal(t->name, "t");
    assert_int_equal(t->own_log, 1);
    assert_int_equal(t->retain_ms, 600000);
    assert_int_equal(t->max_messages, -1);
    assert_int_equal(t->messages, 0);
    assert_int_equal(t->oldest, 0);
    assert_int_equal(t->newest, 0);
    assert_true(t->bytes > 0);
    assert_int_equal(t->queue_count, 0);
    pgq_topic_list_free(list);
    r.max_messages = 100;
    assert_ok(f->q, pgq_topic_set(f->q, "t", &r));
    r.retain_ms = PGQ_UNSET;
    r.max_messages = 7;
    assert_ok(f->q, pgq_topic_set(f->q, NULL, &r)); /* the common log */
    assert_ok(f->q, pgq_list_topics(f->q, "t", &list));
    assert_int_equal(only(list)->retain_ms, 5000);
    assert_int_equal(only(list)->max_messages, 100);
    pgq_topic_list_free(list);
    r.max_messages = -1;
    assert_ok(f->q, pgq_topic_set(f->q, "t", &r));
    publish(f->q, "common", "x");
    assert_ok(f->q, pgq_list_topics(f->q, NULL, &list));
    assert_int_equal(pgq_topic_list_count(list), 2);
    t = pgq_topic_list_get(list, 0);
    assert_string_equal(t->name, "common");
    assert_int_equal(t->own_log, 0);
    assert_int_equal(t->max_messages, 7);
    assert_int_equal(t->messages, 1);
    assert_int_equal(t->bytes, -1);
    assert_true(t->oldest > 1700000000000000 && t->newest == t->oldest);
    assert_int_equal(pgq_topic_list_get(list, 1)->max_messages, -1);
    assert_null(pgq_topic_list_get(list, 2));
    pgq_topic_list_free(list);
    assert_status(f->q, pgq_topic_create(f->q, "common", NULL, 1), PGQ_EXISTS);
    assert_status(f->q, pgq_topic_set(f->q, "common", &r), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_topic_delete(f->q, "common"), PGQ_NOT_FOUND);
    assert_ok(f->q, pgq_topic_delete(f->q, "t"));
    assert_status(f->q, pgq_topic_delete(f->q, "t"), PGQ_NOT_FOUND);
    assert_ok(f->q, pgq_list_topics(f->q, "t", &list));
    assert_int_equal(pgq_topic_list_count(list), 0);
    pgq_topic_list_free(list);
}

static void test_bad_arguments(void **state)
{
    fixture *f = *state;
    static const struct {
        int64_t retain_ms, max_messages;
    } bad[] = {{0, PGQ_UNSET}, {999, PGQ_UNSET}, {10000000000, PGQ_UNSET}, {-1, -1}, {1000, 0}, {1000, -2}};
    static const char *const names[] = {NULL, "", " ", "a\nb", "\xff"};
    pgq_retention r = PGQ_RETENTION_INIT;
    pgq_topic_list *list;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_ok(f->q, pgq_topic_create(f->q, "t", NULL, 0));
    t_run(f, pgq_connection(f->q), "BEGIN");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        r.retain_ms = bad[i].retain_ms;
        r.max_messages = bad[i].max_messages;
        assert_status(f->q, pgq_topic_create(f->q, "u", &r, 0), PGQ_INVALID);
        assert_status(f->q, pgq_topic_set(f->q, "t", &r), PGQ_INVALID);
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_status(f->q, pgq_topic_create(f->q, names[i], NULL, 0), PGQ_INVALID);
        if (names[i])
            assert_status(f->q, pgq_topic_set(f->q, names[i], NULL), PGQ_INVALID);
        assert_status(f->q, pgq_topic_delete(f->q, names[i]), PGQ_INVALID);
        assert_status(f->q, pgq_topic_bind(f->q, names[i], "q", NULL), PGQ_INVALID);
        assert_status(f->q, pgq_topic_bind(f->q, "t", names[i], NULL), PGQ_INVALID);
        assert_status(f->q, pgq_topic_unbind(f->q, names[i], "q"), PGQ_INVALID);
        assert_status(f->q, pgq_topic_unbind(f->q, "t", names[i]), PGQ_INVALID);
        if (names[i])
            assert_status(f->q, pgq_list_topics(f->q, names[i], &list), PGQ_INVALID);
    }
    assert_status(f->q, pgq_topic_bind(f->q, "t", "q", "[]"), PGQ_INVALID);
    assert_status(f->q, pgq_topic_bind(f->q, "t", "q", "nonsense"), PGQ_INVALID);
    assert_status(f->q, pgq_topic_bind(f->q, "t", "q", "\xff"), PGQ_INVALID);
    assert_status(f->q, pgq_topic_bind(f->q, "t", "none", NULL), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_topic_unbind(f->q, "t", "none"), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_topic_unbind(f->q, "t", "q"), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_list_topics(f->q, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_topic_tend(f->q, NULL), PGQ_STATE);
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_int_equal(pgq_topic_create(NULL, "t", NULL, 0), PGQ_INVALID);
    assert_int_equal(pgq_topic_set(NULL, NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_topic_delete(NULL, "t"), PGQ_INVALID);
    assert_int_equal(pgq_topic_bind(NULL, "t", "q", NULL), PGQ_INVALID);
    assert_int_equal(pgq_topic_unbind(NULL, "t", "q"), PGQ_INVALID);
    assert_int_equal(pgq_topic_tend(NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_list_topics(NULL, NULL, &list), PGQ_INVALID);
    assert_null(list);
    assert_int_equal(pgq_topic_list_count(NULL), 0);
    assert_null(pgq_topic_list_get(NULL, 0));
    pgq_topic_list_free(NULL);
}

/* What a queue holds: "a b ". */
static const char *held(const fixture *f, const char *queue)
{
    pgq_messages *m;

    return pgq_peek(f->q, queue, 10, &m) == PGQ_OK ? texts_of(m) : "";
}

static void test_bound_queues(void **state)
{
    fixture *f = *state;
    pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;
    const pgq_topic_info *t;
    pgq_topic_list *list;
    pgq_messages *m;

    assert_ok(f->q, pgq_create_queue(f->q, "all", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "big", NULL, 0));
    assert_ok(f->q, pgq_topic_bind(f->q, "t", "all", NULL));
    assert_ok(f->q, pgq_topic_bind(f->q, "t", "big", "{\"size\": 1}"));
    assert_ok(f->q, pgq_topic_bind(f->q, "t", "big", "{\"size\": \"big\"}")); /* in its place */
    o.kind = PGQ_JSON;
    o.headers = "{\"size\": \"big\", \"n\": 1}";
    assert_ok(f->q, pgq_topic_publish(f->q, "t", "{}", 2, &o, NULL));
    publish(f->q, "t", "b");
    assert_string_equal(held(f, "all"), "{} b ");
    assert_string_equal(held(f, "big"), "{} ");
    assert_ok(f->q, pgq_pop(f->q, "big", 1, &m));
    assert_int_equal(pgq_messages_get(m, 0)->kind, PGQ_JSON);
    assert_string_equal(pgq_messages_get(m, 0)->headers, o.headers);
    pgq_messages_free(m);
    assert_ok(f->q, pgq_list_topics(f->q, "t", &list));
    t = only(list);
    assert_int_equal(t->queue_count, 2);
    assert_string_equal(t->queues[0], "all");
    assert_string_equal(t->queues[1], "big");
    pgq_topic_list_free(list);
    assert_ok(f->q, pgq_topic_unbind(f->q, "t", "all"));
    publish(f->q, "t", "c");
    assert_string_equal(held(f, "all"), "{} b ");
}

/* One queue says no: nothing stays behind, in no queue and in no log, and the transaction goes on. */
static void test_bound_queue_refuses(void **state)
{
    fixture *f = *state;
    pgq_attributes attributes = PGQ_ATTRIBUTES_INIT;
    const pgq_publication all[] = {{"ab", 2, NULL}, {"abcdef", 6, NULL}};
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);

    assert_ok(f->q, pgq_create_queue(f->q, "any", NULL, 0));
    attributes.max_size = 4;
    assert_ok(f->q, pgq_create_queue(f->q, "small", &attributes, 0));
    assert_ok(f->q, pgq_topic_bind(f->q, "t", "any", NULL));
    assert_ok(f->q, pgq_topic_bind(f->q, "t", "small", NULL));
    t_run(f, pgq_connection(f->q), "BEGIN");
    publish(f->q, "t", "1");
    assert_status(f->q, pgq_topic_publish(f->q, "t", "abcdef", 6, NULL, NULL), PGQ_TOO_LONG);
    assert_string_equal(pgq_last_error(f->q)->message,
                        "a payload of 6 bytes is over the limit of queue \"small\", 4 bytes");
    assert_status(f->q, pgq_topic_publish_many(f->q, "t", all, 2, NULL), PGQ_TOO_LONG);
    assert_string_equal(pgq_last_error(f->q)->message,
                        "message 2 of 2: a payload of 6 bytes is over the limit of queue \"small\", 4 bytes");
    publish(f->q, "t", "2");
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_string_equal(held(f, "any"), "1 2 ");
    assert_string_equal(held(f, "small"), "1 2 ");
    assert_string_equal(read_all(f->q, s, 10), "1 2 ");
    pgq_subscriber_free(s);
}

/* As if so many seconds had passed. */
static void pass(const fixture *f, int seconds)
{
    t_run(f, f->sql,
          "UPDATE mq.topic_segment SET opened = opened - %d * interval '1 s', sealed = sealed - %d * "
          "interval '1 s'",
          seconds, seconds);
}

/* Tends until there is nothing to do at once. */
static void tend(pgq *q)
{
    int next_ms = 0;

    for (int i = 0; i < 10 && next_ms == 0; i++)
        assert_ok(q, pgq_topic_tend(q, &next_ms));
    assert_in_range(next_ms, 1, 5000);
}

static void test_F6_trimmed(void **state)
{
    fixture *f = *state;
    pgq_subscribe_options o = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_subscriber *read = subscribe(f->q, "t", NULL, NULL);
    pgq_subscriber *holds;

    o.name = "holds";
    o.hold_ms = 3000000;
    assert_ok(f->q, pgq_topic_subscribe(f->q, "t", &o, &holds));
    publish(f->q, "t", "a");
    assert_string_equal(read_all(f->q, read, 1), "a ");
    pass(f, 200); /* a further segment is due, and the first is sealed */
    tend(f->q);
    assert_string_equal(read_all(f->q, read, 1), "");
    publish(f->q, "t", "b");
    pass(f, 700); /* the first is over */
    tend(f->q);
    assert_string_equal(read_all(f->q, holds, 1), "a b ");
    assert_ok(f->q, pgq_topic_commit(holds));
    tend(f->q);
    assert_string_equal(read_all(f->q, s, 1), "b ");
    assert_int_equal(pgq_topic_trimmed(s), 1);
    assert_int_equal(pgq_topic_trimmed(s), 0);
    publish(f->q, "t", "c");
    assert_string_equal(read_all(f->q, s, 1), "c ");
    assert_int_equal(pgq_topic_trimmed(s), 0);
    assert_string_equal(read_all(f->q, read, 1), "b c "); /* which had read what is gone */
    assert_int_equal(pgq_topic_trimmed(read), 0);
    pgq_subscriber_free(read);
    pgq_subscriber_free(holds);
    pgq_subscriber_free(s);
}

static long segments(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.topic_segment WHERE number IS NOT NULL");
}

/* Whoever publishes or reads on a handle of its own tends by the way; nobody in a transaction does. */
static void test_F6_by_the_way(void **state)
{
    fixture *f = *state;
    PGconn *conn;
    pgq *attached = attach(f, &conn);
    pgq_subscriber *s = subscribe(attached, "t", NULL, NULL);
    pgq *q;

    assert_int_equal(segments(f), 1);
    publish(attached, "t", "a");
    pass(f, 200);
    publish(attached, "t", "b");
    assert_string_equal(read_all(attached, s, 1), "a b ");
    assert_int_equal(segments(f), 1); /* an attached handle's caller sees to it */
    q = t_open(f);
    t_run(f, pgq_connection(q), "BEGIN");
    publish(q, "t", "c");
    t_run(f, pgq_connection(q), "COMMIT");
    assert_int_equal(segments(f), 1);
    publish(q, "t", "d");
    assert_int_equal(segments(f), 2);
    pgq_close(q);
    q = t_open(f);
    pgq_subscriber_free(s);
    s = subscribe(q, "t", NULL, NULL);
    publish(attached, "t", "e");
    pass(f, 200);
    assert_string_equal(read_all(q, s, 1), "e ");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.topic_segment WHERE sealed IS NOT NULL"),
                     1);
    pgq_subscriber_free(s);
    pgq_close(q);
    pgq_close(attached);
    PQfinish(conn);
}

/* It is not to be had: the call goes well all the same, and it is not asked for again. */
static void test_F6_may_not_tend(void **state)
{
    fixture *f = *state;
    pgq *q = t_open(f);

    t_run(f, f->sql, "CREATE ROLE \"%s\"", f->ns);
    assert_ok(f->q, pgq_grant_producer(f->q, f->ns));
    t_run(f, f->sql, "REVOKE EXECUTE ON FUNCTION mq.topic_tend() FROM \"%s\"", f->ns);
    t_run(f, pgq_connection(q), "SET ROLE \"%s\"", f->ns);
    publish(q, "t", "a");
    assert_int_equal(pgq_last_error(q)->status, PGQ_OK);
    assert_string_equal(pgq_last_error(q)->message, "");
    assert_status(q, pgq_topic_tend(q, NULL), PGQ_PERMISSION);
    t_run(f, f->sql, "GRANT EXECUTE ON FUNCTION mq.topic_tend() TO \"%s\"", f->ns);
    pass(f, 200);
    publish(q, "t", "b");
    assert_int_equal(segments(f), 1);
    assert_ok(q, pgq_topic_tend(q, NULL));
    assert_int_equal(segments(f), 2);
    pgq_close(q);
    t_run(f, f->sql, "DROP OWNED BY \"%s\"", f->ns);
    t_run(f, f->sql, "DROP ROLE \"%s\"", f->ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_F6_create_set_delete), DB_TEST(test_bad_arguments), DB_TEST(test_bound_queues),
        DB_TEST(test_bound_queue_refuses),  DB_TEST(test_F6_trimmed),    DB_TEST(test_F6_by_the_way),
        DB_TEST(test_F6_may_not_tend),
    };

    return RUN_WITH_SERVER(tests);
}
