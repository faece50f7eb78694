/* SPDX-License-Identifier: MIT */
/* Rows B2, B4, B6 and B10: queues. */
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static void test_B2_defaults(void **state)
{
    fixture *f = *state;
    const pgq_queue_info *info;
    pgq_queue_list *list;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_ok(f->q, pgq_list_queues(f->q, NULL, &list));
    assert_int_equal(pgq_queue_list_count(list), 1);
    info = pgq_queue_list_get(list, 0);
    assert_string_equal(info->name, "q");
    assert_int_equal(info->attributes.max_size, 65536);
    assert_int_equal(info->attributes.priority, 999);
    assert_int_equal(info->attributes.error_limit, -1);
    assert_true(info->created > 1600000000000000 && info->modified == info->created);
    assert_null(pgq_queue_list_get(list, 1));
    pgq_queue_list_free(list);
}

static void test_B2_exists_untouched(void **state)
{
    fixture *f = *state;
    pgq_attributes o = PGQ_ATTRIBUTES_INIT;

    o.max_size = -1;
    o.priority = 0;
    o.error_limit = 3;
    assert_ok(f->q, pgq_create_queue(f->q, "q", &o, 0));
    assert_status(f->q, pgq_create_queue(f->q, "q", NULL, 0), PGQ_EXISTS);
    assert_string_equal(pgq_last_error(f->q)->sqlstate, "MQ003");
    o.priority = 5;
    assert_ok(f->q, pgq_create_queue(f->q, "q", &o, 1));
    assert_string_equal(
        t_ask(f, f->sql, "SELECT max_size || ' ' || priority || ' ' || error_limit FROM mq.queue"), "-1 0 3");
}

static void test_B2_attribute_limits(void **state)
{
    static const struct {
        int64_t max_size;
        int32_t priority, error_limit;
        pgq_status status;
    } cases[] = {
        {0, 0, -1, PGQ_OK},
        {1073741823, 2147483647, 2147483647, PGQ_OK},
        {-1, 999, 1, PGQ_OK},
        {-2, 0, -1, PGQ_INVALID},
        {1073741824, 0, -1, PGQ_INVALID},
        {INT64_MAX, 0, -1, PGQ_INVALID},
        {INT64_MIN, 0, -1, PGQ_INVALID},
        {4294967295, 0, -1, PGQ_INVALID},
        {0, -1, -1, PGQ_INVALID},
        {0, 0, -2, PGQ_INVALID},
        {0, 0, 0, PGQ_INVALID},
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_attributes o = PGQ_ATTRIBUTES_INIT;
        char name[16];

        snprintf(name, sizeof name, "q%zu", i);
        o.max_size = cases[i].max_size;
        o.priority = cases[i].priority;
        o.error_limit = cases[i].error_limit;
        assert_status(f->q, pgq_create_queue(f->q, name, &o, 0), cases[i].status);
    }
    {
        pgq_attributes o = PGQ_ATTRIBUTES_INIT;

        o.size = 3;
        assert_status(f->q, pgq_create_queue(f->q, "x", &o, 0), PGQ_INVALID);
    }
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.queue"), 3);
}

static void test_B4_created_by_first_send(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    const pgq_outgoing one = {"x", 1, NULL};

    assert_status(f->q, pgq_enqueue(f->q, "a", "x", 1, NULL, NULL), PGQ_NOT_FOUND);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "create_queue"));
    assert_non_null(strstr(pgq_last_error(f->q)->message, "\"a\""));
    o.create_queue = 1;
    assert_ok(f->q, pgq_enqueue(f->q, "a", "x", 1, &o, NULL));
    assert_status(f->q, pgq_enqueue_many(f->q, "b", &one, 1, 0, NULL, NULL), PGQ_NOT_FOUND);
    assert_ok(f->q, pgq_enqueue_many(f->q, "b", &one, 1, 1, NULL, NULL));
    assert_ok(f->q, pgq_set_auto_create(f->q, 1));
    assert_ok(f->q, pgq_enqueue(f->q, "c", "x", 1, NULL, NULL));
    assert_ok(f->q, pgq_enqueue_many(f->q, "d", &one, 1, 0, NULL, NULL));
    assert_ok(f->q, pgq_set_auto_create(f->q, 0));
    assert_status(f->q, pgq_enqueue(f->q, "e", "x", 1, NULL, NULL), PGQ_NOT_FOUND);
    assert_string_equal(t_ask(f, f->sql, "SELECT string_agg(name, ',' ORDER BY name) FROM mq.queue"),
                        "a,b,c,d");
}

static void test_B5_delete(void **state)
{
    fixture *f = *state;
    pgq_messages *m;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "old");
    assert_ok(f->q, pgq_delete_queue(f->q, "q"));
    assert_status(f->q, pgq_delete_queue(f->q, "q"), PGQ_NOT_FOUND);
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_status(f->q, pgq_pop(f->q, "q", 1, &m), PGQ_EMPTY);
    t_send(f->q, "q", "new");
    assert_ok(f->q, pgq_pop(f->q, "q", 2, &m));
    assert_int_equal(pgq_messages_count(m), 1);
    pgq_messages_free(m);
}

static void test_B6_sorted_names(void **state)
{
    static const char *const names[] = {"b", "Z", "a", "\xc3\xa9", "a-b", "10", "9"};
    static const char *const sorted[] = {"10", "9", "Z", "a", "a-b", "b", "\xc3\xa9"};
    fixture *f = *state;
    pgq_queue_list *list;

    assert_ok(f->q, pgq_list_queues(f->q, NULL, &list));
    assert_int_equal(pgq_queue_list_count(list), 0);
    assert_null(pgq_queue_list_get(list, 0));
    pgq_queue_list_free(list);
    assert_status(f->q, pgq_list_queues(f->q, NULL, NULL), PGQ_INVALID);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_ok(f->q, pgq_create_queue(f->q, names[i], NULL, 0));
    assert_ok(f->q, pgq_list_queues(f->q, NULL, &list));
    assert_int_equal(pgq_queue_list_count(list), COUNT_OF(sorted));
    for (size_t i = 0; i < COUNT_OF(sorted); i++)
        assert_string_equal(pgq_queue_list_get(list, i)->name, sorted[i]);
    pgq_queue_list_free(list);
}

/* B10: odd names are apart, and each one works all the way, waiting included. */
static void test_B10_odd_names(void **state)
{
    static const char *const names[] = {
        "another-tag", "1st",    "select",           "Case",       "case",   "a\"b", "a'b", "a:b", "\\", "$1",
        "%s",          "in ner", "\xf0\x9f\x98\x80", "mq.message", "pgq_1_1"};
    fixture *f = *state;
    char longest[161];

    memset(longest, 'n', 160);
    longest[160] = '\0';
    assert_ok(f->q, pgq_create_queue(f->q, longest, NULL, 0));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_ok(f->q, pgq_create_queue(f->q, names[i], NULL, 0));
        t_send(f->q, names[i], names[i]);
    }
    t_send(f->q, longest, "long");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        witness w = {0};

        assert_ok(f->q, pgq_listen(f->q, names[i], 1000, t_witness, &w, NULL));
        assert_string_equal(w.payload, names[i]);
        assert_status(f->q, pgq_dequeue(f->q, names[i], t_witness, &w), PGQ_EMPTY);
    }
    {
        witness w = {0};

        assert_ok(f->q, pgq_listen(f->q, longest, 1000, t_witness, &w, NULL));
        assert_string_equal(w.payload, "long");
    }
}

/* Two that create one queue at a time: the second waits, and then sees it. */
static void test_create_twice_at_once(void **state)
{
    fixture *f = *state;
    PGconn *first = t_connect(); /* f->sql, in a transaction, would see one state of the activity for ever */
    pgq *other = t_open(f);
    PGconn *conn = pgq_connection(other);
    PGresult *res;

    t_run(f, first, "BEGIN");
    t_run(f, first, "SELECT mq.create_queue('q')");
    assert_int_equal(
        PQsendQuery(conn, t_ask(f, f->sql,
                                "SELECT format('SELECT (%%I._create_queue(''q'', NULL, false)).code', '%s')",
                                f->ns)),
        1);
    t_until(f, 10000, "1",
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE "
            "'%_create_queue%' "
            "AND application_name = current_setting('application_name')");
    t_run(f, first, "COMMIT");
    res = PQgetResult(conn);
    assert_string_equal(PQgetvalue(res, 0, 0), "MQ003");
    PQclear(res);
    assert_null(PQgetResult(conn));
    pgq_close(other);
    PQfinish(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_B2_defaults),         DB_TEST(test_B2_exists_untouched),
        DB_TEST(test_B2_attribute_limits), DB_TEST(test_B4_created_by_first_send),
        DB_TEST(test_B5_delete),           DB_TEST(test_B6_sorted_names),
        DB_TEST(test_B10_odd_names),       DB_TEST(test_create_twice_at_once),
    };

    return RUN_WITH_SERVER(tests);
}
