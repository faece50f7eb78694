/* SPDX-License-Identifier: MIT */
/* Rows B2, B3, B8, B9 and B11: the attributes of queues. */
#include "support/support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EVERY = (1 << 13) - 1 };

/* What is in force in a queue, and what it sets itself. */
static pgq_queue_info look(const fixture *f, const char *queue)
{
    pgq_queue_list *list;
    pgq_queue_info info;

    assert_ok(f->q, pgq_list_queues(f->q, queue, &list));
    assert_int_equal(pgq_queue_list_count(list), 1);
    info = *pgq_queue_list_get(list, 0);
    assert_string_equal(info.name, queue);
    info.name = NULL;
    pgq_queue_list_free(list);
    return info;
}

/* All attributes as one text. */
static const char *spell(const pgq_attributes *a)
{
    static char text[4][256];
    static unsigned next;
    char *to = text[next++ % 4];

    snprintf(to, 256, "%lld %lld %lld %d %d %d %d %lld %lld %g %lld %g %d", (long long)a->lease_ms,
             (long long)a->delay_ms, (long long)a->max_size, a->priority, a->requeue, a->requeue_priority,
             a->error_limit, (long long)a->ttl_ms, (long long)a->retry_delay_ms, a->retry_factor,
             (long long)a->retry_max_delay_ms, a->retry_jitter, a->drop_dead);
    return to;
}

static const char built_in[] = "30000 0 65536 999 1 -1 -1 -1 0 1 3600000 0 0";

static const pgq_attributes odd = {sizeof odd, 1, 2, 3, 4, 0, 6, 7, 8, 9, 10.5, 11, 0.25, 1};
static const char spelt_odd[] = "1 2 3 4 0 6 7 8 9 10.5 11 0.25 1";

static void row_b2_create(void **state)
{
    fixture *f = *state;
    pgq_queue_info info;

    assert_ok(f->q, pgq_create_queue(f->q, "plain", NULL, 0));
    info = look(f, "plain");
    assert_string_equal(spell(&info.attributes), built_in);
    assert_int_equal(info.attributes.size, sizeof info.attributes);
    assert_int_equal(info.own, 0);
    assert_int_equal(info.paused, 0);
    assert_true(info.created > 1600000000000000 && info.modified == info.created);
    assert_ok(f->q, pgq_create_queue(f->q, "odd", &odd, 0));
    info = look(f, "odd");
    assert_string_equal(spell(&info.attributes), spelt_odd);
    assert_int_equal(info.own, EVERY);
    /* It exists: the attributes are untouched. */
    assert_status(f->q, pgq_create_queue(f->q, "odd", NULL, 0), PGQ_EXISTS);
    assert_status(f->q, pgq_create_queue(f->q, "plain", &odd, 0), PGQ_EXISTS);
    info = look(f, "plain");
    assert_string_equal(spell(&info.attributes), built_in);
    assert_int_equal(info.own, 0);
}

static void row_b3_get_or_create(void **state)
{
    fixture *f = *state;
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;
    pgq_queue_info info;

    a.lease_ms = 5000;
    assert_ok(f->q, pgq_create_queue(f->q, "q", &a, 1));
    a.lease_ms = 6000;
    a.delay_ms = 1;
    assert_ok(f->q, pgq_create_queue(f->q, "q", &a, 1));
    info = look(f, "q");
    assert_true(info.attributes.lease_ms == 5000 && info.attributes.delay_ms == 0);
    assert_int_equal(info.own, PGQ_LEASE);
    /* What is not allowed is refused all the same. */
    a.lease_ms = -5;
    assert_status(f->q, pgq_create_queue(f->q, "q", &a, 1), PGQ_INVALID);
    assert_status(f->q, pgq_create_queue(f->q, " q", NULL, 1), PGQ_INVALID);
}

static void row_b8_change(void **state)
{
    fixture *f = *state;
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;
    pgq_queue_info before, after;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "other", NULL, 0));
    before = look(f, "q");
    a.error_limit = 5;
    a.retry_jitter = 0.5;
    assert_ok(f->q, pgq_set_queue(f->q, "q", &a, 0));
    after = look(f, "q");
    assert_string_equal(spell(&after.attributes), "30000 0 65536 999 1 -1 5 -1 0 1 3600000 0.5 0");
    assert_int_equal(after.own, PGQ_ERROR_LIMIT | PGQ_RETRY_JITTER);
    assert_true(after.modified > before.modified && after.created == before.created);
    before = after;
    /* Nothing given, or nothing that is one. */
    assert_status(f->q, pgq_set_queue(f->q, "q", NULL, 0), PGQ_INVALID);
    a = (pgq_attributes)PGQ_ATTRIBUTES_INIT;
    assert_status(f->q, pgq_set_queue(f->q, "q", &a, 0), PGQ_INVALID);
    assert_status(f->q, pgq_set_queue(f->q, "q", NULL, 1u << 13), PGQ_INVALID);
    assert_status(f->q, pgq_set_defaults(f->q, NULL, 0), PGQ_INVALID);
    after = look(f, "q");
    assert_true(after.modified == before.modified);
    /* One is set and one unset, in one step. */
    a.priority = 0;
    assert_ok(f->q, pgq_set_queue(f->q, "q", &a, PGQ_RETRY_JITTER));
    after = look(f, "q");
    assert_int_equal(after.own, PGQ_ERROR_LIMIT | PGQ_PRIORITY);
    assert_string_equal(spell(&after.attributes), "30000 0 65536 0 1 -1 5 -1 0 1 3600000 0 0");
    /* Each can be given and be taken back. */
    assert_ok(f->q, pgq_set_queue(f->q, "q", &odd, 0));
    after = look(f, "q");
    assert_string_equal(spell(&after.attributes), spelt_odd);
    assert_ok(f->q, pgq_set_queue(f->q, "q", NULL, EVERY));
    after = look(f, "q");
    assert_string_equal(spell(&after.attributes), built_in);
    assert_int_equal(after.own, 0);
    /* Nothing is created, and nobody else changes. */
    assert_status(f->q, pgq_set_queue(f->q, "none", &odd, 0), PGQ_NOT_FOUND);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.queue"), 2);
    after = look(f, "other");
    assert_true(after.modified == after.created);
    assert_string_equal(spell(&after.attributes), built_in);
}

static void row_b9_cascade(void **state)
{
    static const struct {
        int64_t namespace_ms, queue_ms, call_ms, message_ms, wanted_ms; /* a lease */
    } cases[] = {
        {PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, 30000},
        {1000000, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, 1000000},
        {1000000, 2000000, PGQ_UNSET, PGQ_UNSET, 2000000},
        {PGQ_UNSET, 2000000, PGQ_UNSET, PGQ_UNSET, 2000000},
        {1000000, 2000000, 3000000, PGQ_UNSET, 3000000},
        {1000000, 2000000, 3000000, 4000000, 4000000},
        {1000000, PGQ_UNSET, 3000000, 4000000, 4000000},
        {PGQ_UNSET, PGQ_UNSET, 3000000, PGQ_UNSET, 3000000},
        {PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, 4000000, 4000000},
    };
    fixture *f = *state;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_attributes level = PGQ_ATTRIBUTES_INIT;
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        pgq_messages *m;
        int64_t ms;

        level.lease_ms = cases[i].namespace_ms;
        assert_ok(f->q, pgq_set_defaults(f->q, &level, cases[i].namespace_ms == PGQ_UNSET ? PGQ_LEASE : 0));
        level.lease_ms = cases[i].queue_ms;
        assert_ok(f->q, pgq_set_queue(f->q, "q", &level, cases[i].queue_ms == PGQ_UNSET ? PGQ_LEASE : 0));
        o.lease_ms = cases[i].message_ms;
        t_send_as(f->q, "q", "m", &o);
        m = t_receive(f->q, "q", 1, cases[i].call_ms);
        ms = (pgq_messages_get(m, 0)->due - pgq_messages_get(m, 0)->first_received) / 1000;
        if (ms != cases[i].wanted_ms)
            fail_msg("case %zu: a lease of %lld ms", i, (long long)ms);
        pgq_messages_free(m);
        t_run(f, f->sql, "DELETE FROM mq.message");
    }
}

/* What the namespace says holds in the queues that say nothing, now and later; what they say stays. */
static void row_b9_namespace(void **state)
{
    fixture *f = *state;
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;
    pgq_queue_info info;

    a.priority = 7;
    assert_ok(f->q, pgq_create_queue(f->q, "before", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "own", &a, 0));
    assert_ok(f->q, pgq_set_defaults(f->q, &odd, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "after", NULL, 0));
    for (int i = 0; i < 2; i++) {
        info = look(f, i ? "after" : "before");
        assert_string_equal(spell(&info.attributes), spelt_odd);
        assert_int_equal(info.own, 0);
    }
    info = look(f, "own");
    assert_string_equal(spell(&info.attributes), "1 2 3 7 0 6 7 8 9 10.5 11 0.25 1");
    /* A send goes by it at once. */
    assert_status(f->q, pgq_enqueue(f->q, "after", "four", 4, NULL, NULL), PGQ_TOO_LONG);
    assert_ok(f->q, pgq_set_defaults(f->q, NULL, EVERY));
    info = look(f, "after");
    assert_string_equal(spell(&info.attributes), built_in);
    info = look(f, "own");
    assert_int_equal(info.attributes.priority, 7);
}

/* Two namespaces, and two names that differ by case only, share no settings. */
static void row_b9_apart(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_queue_info info;
    char name[80];
    fixture g = *f;

    snprintf(name, sizeof name, "%s-2", f->ns);
    o.name_space = name;
    assert_ok(g.q, pgq_open(t_dsn(), &o, &g.q));
    assert_ok(g.q, pgq_install(g.q));
    assert_ok(f->q, pgq_create_queue(f->q, "case", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "Case", NULL, 0));
    assert_ok(g.q, pgq_create_queue(g.q, "case", NULL, 0));
    assert_ok(f->q, pgq_set_queue(f->q, "Case", &odd, 0));
    assert_ok(g.q, pgq_set_defaults(g.q, &odd, 0));
    info = look(f, "case");
    assert_string_equal(spell(&info.attributes), built_in);
    info = look(f, "Case");
    assert_string_equal(spell(&info.attributes), spelt_odd);
    info = look(&g, "case");
    assert_string_equal(spell(&info.attributes), spelt_odd);
    assert_ok(g.q, pgq_drop(g.q));
    pgq_close(g.q);
}

/* clang-format off */
#define AT(member) offsetof(pgq_attributes, member)
static const struct {
    const char *name, *range;
    size_t offset;
    char type; /* l 64 bits, i 32, d double */
    double good[3];
    double bad[5];
} ranges[] = {
    {"lease", "0 to 9999999", AT(lease_ms), 'l', {0, 1, 9999999000}, {-1, -2, 9999999001, 1e18, -1e18}},
    {"delay", "0 to 9999999", AT(delay_ms), 'l', {0, 1, 9999999000}, {-1, -2, 9999999001, 1e18, -1e18}},
    {"max_size", "0 to 1073741823", AT(max_size), 'l', {-1, 0, 1073741823},
     {-2, -3, 1073741824, 1e18, -1e18}},
    {"priority", "0 to 2147483647", AT(priority), 'i', {0, 1, 2147483647}, {-1, -2, -3, -1e9, -2147483647}},
    {"requeue_priority", "0 to 2147483647", AT(requeue_priority), 'i', {-1, 0, 2147483647},
     {-2, -3, -4, -1e9, -2147483647}},
    {"error_limit", "1 to 2147483647", AT(error_limit), 'i', {-1, 1, 2147483647},
     {0, -2, -3, -1e9, -2147483647}},
    {"ttl", "9999999", AT(ttl_ms), 'l', {-1, 1, 9999999000}, {0, -2, 9999999001, 1e18, -1e18}},
    {"retry_delay", "0 to 9999999", AT(retry_delay_ms), 'l', {0, 1, 9999999000},
     {-1, -2, 9999999001, 1e18, -1e18}},
    {"retry_factor", "1 to 100", AT(retry_factor), 'd', {1, 1.5, 100}, {0.99, 100.01, 0, INFINITY, NAN}},
    {"retry_max_delay", "0 to 9999999", AT(retry_max_delay_ms), 'l', {0, 1, 9999999000},
     {-1, -2, 9999999001, 1e18, -1e18}},
    {"retry_jitter", "0 to 1", AT(retry_jitter), 'd', {0, 0.5, 1}, {-0.01, 1.01, -1, INFINITY, NAN}},
    {"requeue", "0, 1", AT(requeue), 'i', {0, 1, 1}, {2, -1, -2, 256, 65536}},
    {"drop_dead", "0, 1", AT(drop_dead), 'i', {0, 1, 1}, {2, -1, -2, 256, 65536}},
};
#undef AT
/* clang-format on */

static void put(pgq_attributes *a, size_t i, double value)
{
    char *at = (char *)a + ranges[i].offset;

    if (ranges[i].type == 'l')
        memcpy(at, &(int64_t){(int64_t)value}, sizeof(int64_t));
    else if (ranges[i].type == 'i')
        memcpy(at, &(int32_t){(int32_t)value}, sizeof(int32_t));
    else
        memcpy(at, &value, sizeof value);
}

/* One attribute out of range, and the range named; the limits themselves are allowed. */
static void row_b11_ranges(void **state)
{
    fixture *f = *state;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    for (size_t n = 0; n < COUNT_OF(ranges) * 8; n++) {
        size_t i = n / 8;
        int good = n % 8 < 3;
        double value = good ? ranges[i].good[n % 8] : ranges[i].bad[n % 8 - 3];
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        pgq_status got[3];

        put(&a, i, value);
        got[0] = pgq_create_queue(f->q, "new", &a, 0);
        if (got[0] == PGQ_OK)
            assert_ok(f->q, pgq_delete_queue(f->q, "new"));
        got[1] = pgq_set_defaults(f->q, &a, 0);
        if (got[1] == PGQ_OK)
            assert_ok(f->q, pgq_set_defaults(f->q, NULL, EVERY));
        got[2] = pgq_set_queue(f->q, "q", &a, 0);
        for (size_t call = 0; call < COUNT_OF(got); call++)
            if (got[call] != (good ? PGQ_OK : PGQ_INVALID))
                fail_msg("%s %g, call %zu: %s", ranges[i].name, value, call, pgq_status_name(got[call]));
        if (!good && (!strstr(pgq_last_error(f->q)->message, ranges[i].name) ||
                      !strstr(pgq_last_error(f->q)->message, ranges[i].range)))
            fail_msg("%s %g: %s", ranges[i].name, value, pgq_last_error(f->q)->message);
    }
}

/* Milliseconds are kept. */
static void row_b11_milliseconds(void **state)
{
    static const int64_t times[] = {1, 999, 1001, 123456789, 9999998999};
    fixture *f = *state;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        pgq_queue_info info;
        pgq_messages *m;

        a.lease_ms = a.retry_delay_ms = times[i];
        assert_ok(f->q, pgq_set_queue(f->q, "q", &a, 0));
        info = look(f, "q");
        assert_true(info.attributes.lease_ms == times[i] && info.attributes.retry_delay_ms == times[i]);
        o.delay_ms = 9999999000 - times[i] + 1;
        t_send_as(f->q, "q", "m", &o);
        assert_ok(f->q, pgq_list(f->q, "q", PGQ_STATE_DELAYED, 1, 0, &m));
        assert_true(pgq_messages_get(m, 0)->due - pgq_messages_get(m, 0)->sent == o.delay_ms * 1000);
        pgq_messages_free(m);
        t_run(f, f->sql, "DELETE FROM mq.message");
    }
}

static void row_b6_list_one(void **state)
{
    fixture *f = *state;
    pgq_queue_list *list = NULL;

    assert_ok(f->q, pgq_create_queue(f->q, "a", NULL, 0));
    assert_ok(f->q, pgq_create_queue(f->q, "b", NULL, 0));
    assert_ok(f->q, pgq_pause_queue(f->q, "b"));
    assert_int_equal(look(f, "a").paused, 0);
    assert_int_equal(look(f, "b").paused, 1);
    assert_ok(f->q, pgq_list_queues(f->q, NULL, &list));
    assert_int_equal(pgq_queue_list_count(list), 2);
    pgq_queue_list_free(list);
    assert_status(f->q, pgq_list_queues(f->q, "c", &list), PGQ_NOT_FOUND);
    assert_null(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(row_b2_create), DB_TEST(row_b3_get_or_create), DB_TEST(row_b6_list_one),
        DB_TEST(row_b8_change), DB_TEST(row_b9_cascade),       DB_TEST(row_b9_namespace),
        DB_TEST(row_b9_apart),  DB_TEST(row_b11_ranges),       DB_TEST(row_b11_milliseconds),
    };

    return RUN_WITH_SERVER(tests);
}
