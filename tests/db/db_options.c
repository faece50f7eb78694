/* SPDX-License-Identifier: MIT */
/* Rows C4, C5, C6, C11, C12 and D16: delays, schedules, priorities, headers, time to live, filters. */
#include "support/support.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    return 0;
}

/* The queue's delay holds where the message says nothing; 0 overrides it. */
static void row_c4_delay(void **state)
{
    static const struct {
        int64_t queue_ms, message_ms, wanted_ms;
    } cases[] = {
        {PGQ_UNSET, PGQ_UNSET, 0}, {60000, PGQ_UNSET, 60000}, {60000, 0, 0},
        {60000, 5000, 5000},       {PGQ_UNSET, 1234, 1234},   {0, 9999999000, 9999999000},
    };
    fixture *f = *state;

    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        const pgq_outgoing one = {"m", 1, &o};
        int64_t wanted = cases[i / 2].wanted_ms;
        const pgq_message *got;
        pgq_messages *m;

        a.delay_ms = cases[i / 2].queue_ms;
        assert_ok(f->q, pgq_set_queue(f->q, "q", &a, a.delay_ms == PGQ_UNSET ? PGQ_DELAY : 0));
        o.delay_ms = cases[i / 2].message_ms;
        if (i % 2)
            assert_ok(f->q, pgq_enqueue_many(f->q, "q", &one, 1, 0, NULL, NULL));
        else
            t_send_as(f->q, "q", "m", &o);
        assert_ok(f->q, pgq_list(f->q, "q", wanted ? PGQ_STATE_DELAYED : PGQ_STATE_READY, 2, 0, &m));
        assert_int_equal(pgq_messages_count(m), 1);
        got = pgq_messages_get(m, 0);
        assert_true((got->due ? got->due - got->sent : 0) == wanted * 1000);
        pgq_messages_free(m);
        assert_status(f->q, pgq_receive(f->q, "q", 1, NULL, &m), wanted ? PGQ_EMPTY : PGQ_OK);
        pgq_messages_free(m);
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    }
}

/* Not before its time, and then by any call that takes. */
static void row_c4_not_before(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    int64_t began = t_now_us();
    pgq_messages *m;

    o.delay_ms = 300;
    t_send_as(f->q, "q", "m", &o);
    m = t_receive(f->q, "q", 1, PGQ_UNSET);
    assert_true(t_now_us() - began >= 300000);
    assert_int_equal(pgq_messages_get(m, 0)->attempts, 1);
    assert_int_equal(pgq_messages_get(m, 0)->errors, 0);
    pgq_messages_free(m);
}

static int64_t wall_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void row_c5_schedule(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    const pgq_outgoing one = {"m", 1, &o};
    int64_t at = wall_us() + 3600000000 + 123; /* microseconds are kept */
    pgq_messages *m;

    for (int i = 0; i < 2; i++) {
        o.due = at;
        if (i)
            assert_ok(f->q, pgq_enqueue_many(f->q, "q", &one, 1, 0, NULL, NULL));
        else
            t_send_as(f->q, "q", "m", &o);
        assert_ok(f->q, pgq_list(f->q, "q", PGQ_STATE_DELAYED, 1, 0, &m));
        assert_true(pgq_messages_get(m, 0)->due == at);
        pgq_messages_free(m);
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    }
    o.due = 1; /* long past: at once */
    t_send_as(f->q, "q", "m", &o);
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "m 0 0; ");
    o.delay_ms = 5; /* one or the other */
    assert_status(f->q, pgq_enqueue(f->q, "q", "m", 1, &o, NULL), PGQ_INVALID);
}

/* Another time for a message that nobody has. */
static void row_c5_reschedule(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_receipt r;
    int64_t id, first;

    o.delay_ms = 60000;
    id = t_send_as(f->q, "q", "late", &o);
    assert_ok(f->q, pgq_reschedule(f->q, id, 0));
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "late 0 0; ");
    first = id;
    t_send(f->q, "q", "next");
    assert_ok(f->q, pgq_reschedule(f->q, first, 0)); /* ready: to the tail */
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "next 0 0; late 0 0; ");
    assert_ok(f->q, pgq_reschedule(f->q, first, 60000));
    assert_string_equal(t_listed(f, "q", PGQ_STATE_DELAYED), "late 0 0; ");
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_status(f->q, pgq_reschedule(f->q, r.id, 0), PGQ_IN_FLIGHT);
    assert_status(f->q, pgq_reschedule(f->q, INT64_MAX, 0), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_reschedule(f->q, first, -1), PGQ_INVALID);
    assert_status(f->q, pgq_reschedule(f->q, first, 9999999001), PGQ_INVALID);
    assert_status(f->q, pgq_cancel(f->q, r.id), PGQ_NOT_FOUND); /* in flight by a lease */
}

static void row_c6_priority(void **state)
{
    static const int32_t given[] = {INT32_MAX, 0, 1000, PGQ_UNSET, 10, 9, INT32_MAX - 1, 1};
    static const char wanted[] = "bhfedcga";
    fixture *f = *state;
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;
    char text[2] = "a", got[9] = "";

    a.priority = 11; /* of those that say nothing */
    assert_ok(f->q, pgq_set_queue(f->q, "q", &a, 0));
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

        o.priority = given[i];
        text[0] = (char)('a' + i);
        t_send_as(f->q, "q", text, &o);
    }
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        char body[64];

        t_lease(f->q, "q", PGQ_UNSET, body);
        got[i] = body[0];
    }
    /* f 9, e 10, d the queue's 11 */
    assert_string_equal(got, wanted);
    for (int i = 0; i < 2; i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

        o.priority = i ? INT32_MIN + 1 : -1;
        assert_status(f->q, pgq_enqueue(f->q, "q", "m", 1, &o, NULL), PGQ_INVALID);
        assert_non_null(strstr(pgq_last_error(f->q)->message, "0 to 2147483647"));
    }
}

static void row_c12_ttl(void **state)
{
    static const struct {
        int64_t queue_ms, message_ms, wanted_ms; /* 0: for ever */
    } cases[] = {
        {PGQ_UNSET, PGQ_UNSET, 0}, {60000, PGQ_UNSET, 60000}, {60000, -1, 0},
        {60000, 5000, 5000},       {-1, 5000, 5000},
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        const pgq_message *got;
        pgq_messages *m;

        a.ttl_ms = cases[i].queue_ms;
        assert_ok(f->q, pgq_set_queue(f->q, "q", &a, a.ttl_ms == PGQ_UNSET ? PGQ_TTL : 0));
        o.ttl_ms = cases[i].message_ms;
        t_send_as(f->q, "q", "m", &o);
        assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
        got = pgq_messages_get(m, 0);
        assert_true((got->expires ? got->expires - got->sent : 0) == cases[i].wanted_ms * 1000);
        pgq_messages_free(m);
    }
}

/* One that has expired is never delivered, be it ready, delayed or returned; and it is swept by those who
 * look. */
static void row_c12_expired(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_receipt r;
    pgq_counts c;
    pgq_messages *m;
    int64_t id;

    o.ttl_ms = 600000;
    id = t_send_as(f->q, "q", "ready", &o);
    o.delay_ms = 60000;
    t_send_as(f->q, "q", "delayed", &o);
    o.delay_ms = PGQ_UNSET;
    o.priority = 0;
    t_send_as(f->q, "q", "leased", &o);
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    t_run(f, f->sql, "UPDATE mq.message SET expires = clock_timestamp()");
    t_run(f, f->sql, "UPDATE mq.message SET due = clock_timestamp() WHERE state = 1");
    assert_status(f->q, pgq_receive_id(f->q, id, PGQ_UNSET, &m), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_receive(f->q, "q", 10, NULL, &m), PGQ_EMPTY);
    assert_status(f->q, pgq_pop(f->q, "q", 10, &m), PGQ_EMPTY);
    assert_status(f->q, pgq_peek(f->q, "q", 10, &m), PGQ_EMPTY);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE state = 0"), 0);
    assert_ok(f->q, pgq_count(f->q, "q", &c));
    assert_true(c.ready == 0 && c.dead == 0);
    /* Who has it may finish; who fails gets it back no more. */
    assert_ok(f->q, pgq_nack(f->q, &r, 1, NULL, NULL, NULL));
    assert_status(f->q, pgq_receive(f->q, "q", 10, NULL, &m), PGQ_EMPTY);
    assert_ok(f->q, pgq_clean(f->q, NULL, NULL));
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
}

static void row_c11_headers(void **state)
{
    static const char headers[] = "{ \"b\":1.10,  \"a\" : [ ], \"b\" : null }";
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_messages *m;
    pgq_receipt r;

    o.headers = headers;
    t_send_as(f->q, "q", "m", &o);
    /* Unchanged, however often it comes back. */
    for (int i = 0; i < 3; i++) {
        m = t_receive(f->q, "q", 1, PGQ_UNSET);
        assert_string_equal(pgq_messages_get(m, 0)->headers, headers);
        r = t_receipt(pgq_messages_get(m, 0));
        pgq_messages_free(m);
        assert_ok(f->q, pgq_nack(f->q, &r, 1, NULL, NULL, NULL));
    }
}

static void row_d16_filter(void **state)
{
    static const char *const headers[] = {"{\"k\":\"a\"}", NULL, "{\"k\":\"b\",\"n\":{\"x\":1}}",
                                          "{\"k\":\"a\",\"n\":{\"x\":1,\"y\":2}}", "{}"};
    static const struct {
        const char *filter, *wanted; /* wanted NULL: INVALID */
    } cases[] = {
        {NULL, "01234"},
        {"{}", "0234"},
        {"{\"k\":\"a\"}", "03"},
        {"{\"n\":{\"x\":1}}", "23"},
        {"{\"k\":\"c\"}", ""},
        {"{\"k\":\"b\",\"n\":{}}", "2"},
        {"[]", NULL},
        {"", NULL},
        {"{", NULL},
        {"\"k\"", NULL},
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
        pgq_listen_options l = PGQ_LISTEN_OPTIONS_INIT;
        char got[8] = "", text[2] = "0";
        witness w = {0};
        pgq_status status;
        pgq_messages *m;

        for (size_t n = 0; n < COUNT_OF(headers); n++) {
            pgq_enqueue_options e = PGQ_ENQUEUE_OPTIONS_INIT;

            e.headers = headers[n];
            text[0] = (char)('0' + n);
            t_send_as(f->q, "q", text, &e);
        }
        o.filter = l.filter = cases[i].filter;
        status = pgq_receive(f->q, "q", 10, &o, &m);
        if (!cases[i].wanted) {
            assert_status(f->q, status, PGQ_INVALID);
            assert_status(f->q, pgq_listen(f->q, "q", 10, t_witness, &w, &l), PGQ_INVALID);
        } else {
            assert_status(f->q, status, cases[i].wanted[0] ? PGQ_OK : PGQ_EMPTY);
            for (size_t n = 0; n < pgq_messages_count(m); n++)
                got[n] = *(const char *)pgq_messages_get(m, n)->payload;
            assert_string_equal(got, cases[i].wanted);
        }
        pgq_messages_free(m);
        /* The others stay, for those who do not filter, and for those who do. */
        m = NULL;
        status = pgq_pop(f->q, "q", 10, &m);
        assert_int_equal(pgq_messages_count(m),
                         COUNT_OF(headers) - (cases[i].wanted ? strlen(cases[i].wanted) : 0));
        pgq_messages_free(m);
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    }
}

/* Every call with a condition: each passes over what the other wants. */
static void row_d16_every_call(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options a = PGQ_ENQUEUE_OPTIONS_INIT, b = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_listen_options l = PGQ_LISTEN_OPTIONS_INIT;
    pgq_messages *m;
    witness w = {0};

    a.headers = "{\"for\":\"a\"}";
    b.headers = "{\"for\":\"b\"}";
    o.filter = l.filter = "{\"for\":\"b\"}";
    for (int i = 0; i < 20; i++)
        t_send_as(f->q, "q", "for a", &a);
    for (int i = 0; i < 3; i++) {
        t_send_as(f->q, "q", "for b", &b);
        if (i == 0)
            assert_ok(f->q, pgq_listen(f->q, "q", 5000, t_witness, &w, &l));
        else if (i == 1)
            assert_ok(f->q, pgq_receive_with(f->q, "q", t_witness, &w, &o));
        else
            assert_ok(f->q, pgq_receive(f->q, "q", 5, &o, &m));
        if (i < 2)
            assert_string_equal(w.payload, "for b");
    }
    assert_int_equal(pgq_messages_count(m), 1);
    pgq_messages_free(m);
    assert_status(f->q, pgq_listen(f->q, "q", 30, t_witness, &w, &l), PGQ_TIMEOUT);
    assert_ok(f->q, pgq_receive(f->q, "q", 100, NULL, &m));
    assert_int_equal(pgq_messages_count(m), 20);
    pgq_messages_free(m);
}

#define OPTIONS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPTIONS_TEST(row_c4_delay),       OPTIONS_TEST(row_c4_not_before), OPTIONS_TEST(row_c5_schedule),
        OPTIONS_TEST(row_c5_reschedule),  OPTIONS_TEST(row_c6_priority),   OPTIONS_TEST(row_c11_headers),
        OPTIONS_TEST(row_c12_ttl),        OPTIONS_TEST(row_c12_expired),   OPTIONS_TEST(row_d16_filter),
        OPTIONS_TEST(row_d16_every_call),
    };

    return RUN_WITH_SERVER(tests);
}
