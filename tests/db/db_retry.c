/* SPDX-License-Identifier: MIT */
/* Rows D11, D12, E3 and C13: failures, retries, dead letters. */
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static void make(const fixture *f, const pgq_attributes *a)
{
    pgq_delete_queue(f->q, "q");
    assert_ok(f->q, pgq_create_queue(f->q, "q", a, 0));
}

static pgq_status nack(const fixture *f, pgq_receipt r, const pgq_nack_options *o)
{
    return pgq_nack(f->q, &r, 1, o, NULL, NULL);
}

/* How long until the only delayed message is due, as from its failure. */
static int64_t pause_ms(const fixture *f, pgq_receipt r, const pgq_nack_options *o)
{
    pgq_messages *m;
    int64_t began, due;

    began = t_number(f, f->sql, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint");
    assert_ok(f->q, nack(f, r, o));
    if (pgq_list(f->q, "q", PGQ_STATE_DELAYED, 1, 0, &m) == PGQ_EMPTY)
        return 0;
    due = pgq_messages_get(m, 0)->due;
    pgq_messages_free(m);
    assert_ok(f->q, pgq_reschedule(f->q, r.id, 0));
    return due / 1000 - began;
}

static void row_e3_nack(void **state)
{
    fixture *f = *state;
    pgq_nack_options o = PGQ_NACK_OPTIONS_INIT;
    pgq_messages *m;
    pgq_receipt r;
    int64_t id;

    make(f, NULL);
    id = t_send(f->q, "q", "m");
    t_send(f->q, "q", "n");
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    o.error = "na\xc3\xafve";
    assert_ok(f->q, nack(f, r, &o)); /* back at once, at the tail, counted; the id stays */
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "n 0 0; m 1 1; ");
    o.error = NULL; /* not said: the last one stays */
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_ok(f->q, pgq_ack(f->q, &r, 1, NULL, NULL));
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_true(r.id == id && r.attempt == 2);
    assert_ok(f->q, nack(f, r, &o));
    assert_ok(f->q, pgq_peek(f->q, "q", 1, &m));
    assert_string_equal(pgq_messages_get(m, 0)->last_error, "na\xc3\xafve");
    pgq_messages_free(m);
    /* With a delay. */
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    o.delay_ms = 60000;
    assert_in_range(pause_ms(f, r, &o), 59000, 70000);
    /* Not to come back. */
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    o.requeue = 0;
    assert_ok(f->q, nack(f, r, &o));
    assert_ok(f->q, pgq_list(f->q, "q", PGQ_STATE_DEAD, 1, 0, &m));
    assert_true(pgq_messages_get(m, 0)->id == id && pgq_messages_get(m, 0)->errors == 4);
    assert_string_equal(pgq_messages_get(m, 0)->reason, "not_requeued");
    pgq_messages_free(m);
    t_send(f->q, "q", "m");
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    for (int i = 0; i < 5; i++) {
        pgq_nack_options bad = PGQ_NACK_OPTIONS_INIT;

        if (i == 0)
            bad.requeue = 2;
        else if (i == 1)
            bad.delay_ms = -1;
        else if (i == 2)
            bad.delay_ms = 9999999001;
        else if (i == 3)
            bad.error = "\xff";
        else
            bad.size = 3;
        assert_status(f->q, nack(f, r, &bad), PGQ_INVALID);
    }
    assert_string_equal(t_listed(f, "q", PGQ_STATE_IN_FLIGHT), "m 1 0; ");
}

/* The first of call, message, queue that says something; an unset one says nothing. */
static void row_c13_requeue(void **state)
{
    static const struct {
        int queue, message, call, comes_back;
    } cases[] = {
        {PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, 1},
        {0, PGQ_UNSET, PGQ_UNSET, 0},
        {0, 1, PGQ_UNSET, 1},
        {1, 0, PGQ_UNSET, 0},
        {1, 0, 1, 1},
        {0, 1, 0, 0},
        {PGQ_UNSET, PGQ_UNSET, 0, 0},
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        pgq_nack_options n = PGQ_NACK_OPTIONS_INIT;
        pgq_counts c;

        a.requeue = cases[i].queue;
        o.requeue = cases[i].message;
        n.requeue = cases[i].call;
        make(f, &a);
        t_send_as(f->q, "q", "m", &o);
        assert_ok(f->q, nack(f, t_lease(f->q, "q", PGQ_UNSET, NULL), &n));
        assert_ok(f->q, pgq_count(f->q, "q", &c));
        if (c.ready != cases[i].comes_back || c.dead != !cases[i].comes_back)
            fail_msg("case %zu", i);
    }
}

static int dies(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)m;
    t_kill(arg, PQbackendPID(conn));
    return 0;
}

enum { NACK = 'n', EXPIRY = 'e', CRASH = 'c', HANDLER = 'h' };

/* One failure of the only message, of a sort. */
static void fail_once(const fixture *f, pgq *victim, char sort)
{
    pgq_nack_options no = PGQ_NACK_OPTIONS_INIT;
    witness w = {.fail = "no"};
    pgq_receipt r;

    switch (sort) {
    case NACK:
        no.error = "no";
        assert_ok(f->q, nack(f, t_lease(f->q, "q", PGQ_UNSET, NULL), &no));
        break;
    case EXPIRY:
        r = t_lease(f->q, "q", PGQ_UNSET, NULL);
        t_expire(f, r.id);
        assert_ok(f->q, pgq_clean(f->q, "q", NULL));
        break;
    case CRASH: /* within a scope */
        assert_status(victim, pgq_dequeue(victim, "q", dies, (void *)(uintptr_t)f), PGQ_CONNECTION);
        assert_ok(victim, pgq_reconnect(victim));
        break;
    default:
        assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_FAILED);
    }
}

/* Limit N means N failures and no more, of whatever sort; what does not fail counts for nothing. */
static void row_d11_error_limit(void **state)
{
    static const struct {
        const char *sorts;
        int own; /* the limit is the message's own */
    } cases[] = {
        {"n", 0},   {"e", 0},    {"c", 0},    {"h", 0},      {"nnn", 0}, {"eee", 0},  {"ccc", 0},
        {"hhh", 0}, {"nech", 0}, {"cehn", 0}, {"hcnenc", 0}, {"n", 1},   {"ecnh", 1},
    };
    fixture *f = *state;
    pgq *victim = t_open(f);

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int limit = (int)strlen(cases[i].sorts);
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        const pgq_message *dead;
        pgq_messages *m;
        pgq_receipt r;
        pgq_counts c;

        a.error_limit = cases[i].own ? limit + 3 : limit;
        o.error_limit = cases[i].own ? limit : PGQ_UNSET;
        make(f, &a);
        t_send_as(f->q, "q", "m", &o);
        for (int n = 0; n < limit; n++) {
            /* It is there: taken, which has a crash counted first, and given back without an error. */
            r = t_lease(f->q, "q", PGQ_UNSET, NULL);
            assert_ok(f->q, pgq_release(f->q, &r, 1, NULL, NULL));
            fail_once(f, victim, cases[i].sorts[n]);
        }
        assert_status(f->q, pgq_receive(f->q, "q", 1, NULL, &m), PGQ_EMPTY);
        assert_ok(f->q, pgq_count(f->q, "q", &c));
        if (c.dead != 1 || c.ready + c.delayed + c.in_flight != 0)
            fail_msg("case %zu (%s): %lld dead", i, cases[i].sorts, (long long)c.dead);
        assert_ok(f->q, pgq_list(f->q, "q", PGQ_STATE_DEAD, 1, 0, &m));
        dead = pgq_messages_get(m, 0);
        assert_int_equal(dead->errors, limit);
        assert_string_equal(dead->reason, "error_limit");
        assert_true(dead->last_error && dead->died >= dead->sent && dead->attempts >= limit);
        pgq_messages_free(m);
    }
    pgq_close(victim);
}

/* No limit: it comes back for ever. One that poisons does not block those behind it. */
static void row_d11_no_limit(void **state)
{
    fixture *f = *state;
    char body[64];
    pgq_receipt r;

    make(f, NULL);
    t_send(f->q, "q", "poison");
    for (int i = 0; i < 30; i++)
        assert_ok(f->q, nack(f, t_lease(f->q, "q", PGQ_UNSET, NULL), NULL));
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "poison 30 30; ");
    t_send(f->q, "q", "good");
    assert_ok(f->q, nack(f, t_lease(f->q, "q", PGQ_UNSET, NULL), NULL));
    r = t_lease(f->q, "q", PGQ_UNSET, body);
    assert_string_equal(body, "good");
    assert_int_equal(r.attempt, 1);
}

static void row_d11_drop(void **state)
{
    fixture *f = *state;
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;
    pgq_status result;
    pgq_counts c;
    pgq_receipt r;

    a.drop_dead = 1;
    a.error_limit = 1;
    make(f, &a);
    t_send(f->q, "q", "m");
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_ok(f->q, pgq_nack(f->q, &r, 1, NULL, NULL, &result));
    assert_int_equal(result, PGQ_OK);
    assert_ok(f->q, pgq_count(f->q, "q", &c));
    assert_true(c.ready == 0 && c.dead == 0);
}

static void row_d11_requeue_elsewhere(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_nack_options die = PGQ_NACK_OPTIONS_INIT;
    int64_t ids[3], count;
    pgq_messages *m;

    make(f, NULL);
    assert_ok(f->q, pgq_create_queue(f->q, "r", NULL, 0));
    die.requeue = 0;
    o.priority = 5;
    o.headers = "{\"a\":1}";
    o.lease_ms = 4000;
    o.dedup_key = "k";
    for (int i = 0; i < 3; i++) {
        ids[i] = t_send_as(f->q, "q", i ? "other" : "first", i ? NULL : &o);
        assert_ok(f->q, nack(f, t_lease(f->q, "q", PGQ_UNSET, NULL), &die));
    }
    assert_status(f->q, pgq_requeue_dead(f->q, "q", NULL, 0, "none", &count), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_requeue_dead(f->q, "q", NULL, 0, " bad", &count), PGQ_INVALID);
    assert_ok(f->q, pgq_requeue_dead(f->q, "r", NULL, 0, "q", &count)); /* of r, there is none */
    assert_int_equal(count, 0);
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", ids, 1, "r", &count));
    assert_int_equal(count, 1);
    m = t_receive(f->q, "r", 1, PGQ_UNSET);
    assert_true(pgq_messages_get(m, 0)->id == ids[0] && pgq_messages_get(m, 0)->errors == 0);
    assert_int_equal(pgq_messages_get(m, 0)->attempts, 2);
    assert_int_equal(pgq_messages_get(m, 0)->priority, 5);
    assert_string_equal(pgq_messages_get(m, 0)->headers, "{\"a\":1}");
    assert_string_equal(pgq_messages_get(m, 0)->dedup_key, "k");
    assert_true(pgq_messages_get(m, 0)->due < pgq_messages_get(m, 0)->sent + 3600000000);
    pgq_messages_free(m);
    /* Some, then all. */
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", &ids[1], 1, NULL, &count));
    assert_int_equal(count, 1);
    assert_ok(f->q, pgq_requeue_dead(f->q, "q", NULL, 0, NULL, &count));
    assert_int_equal(count, 1);
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "other 1 0; other 1 0; ");
}

/* The pause before the next attempt. */
static void row_d12_retry_delay(void **state)
{
    static const struct {
        int64_t delay_ms, max_ms;
        double factor;
        int64_t wanted_ms[5];
    } cases[] = {
        {0, PGQ_UNSET, PGQ_UNSET, {0, 0, 0, 0, 0}},
        {0, PGQ_UNSET, 10, {0, 0, 0, 0, 0}},
        {20000, PGQ_UNSET, PGQ_UNSET, {20000, 20000, 20000, 20000, 20000}},
        {10000, PGQ_UNSET, 2, {10000, 20000, 40000, 80000, 160000}},
        {10000, 50000, 3, {10000, 30000, 50000, 50000, 50000}},
        {7200000, PGQ_UNSET, PGQ_UNSET, {7200000, 7200000, 7200000, 7200000, 7200000}},
    };
    enum { SLACK_MS = 9000 }; /* for a busy machine: less than any step */
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;

        a.retry_delay_ms = cases[i].delay_ms;
        a.retry_max_delay_ms = cases[i].max_ms;
        a.retry_factor = cases[i].factor;
        make(f, &a);
        t_send(f->q, "q", "m");
        for (int n = 0; n < 5; n++) {
            int64_t wanted = cases[i].wanted_ms[n];
            int64_t got = pause_ms(f, t_lease(f->q, "q", PGQ_UNSET, NULL), NULL);

            if (got < wanted - 1 || got > wanted + (wanted ? SLACK_MS : 0))
                fail_msg("case %zu, failure %d: %lld ms", i, n + 1, (long long)got);
        }
    }
}

/* A share of it is left to chance: never more, never less than the rest, and not always the same. */
static void row_d12_jitter(void **state)
{
    fixture *f = *state;
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;
    int64_t least = INT64_MAX, most = 0;

    a.retry_delay_ms = 1000000;
    a.retry_jitter = 0.5;
    make(f, &a);
    t_send(f->q, "q", "m");
    for (int n = 0; n < 20; n++) {
        int64_t got = pause_ms(f, t_lease(f->q, "q", PGQ_UNSET, NULL), NULL);

        assert_in_range(got, 500000 - 1, 1000000 + 9000);
        least = got < least ? got : least;
        most = got > most ? got : most;
    }
    assert_true(most - least > 50000);
}

/* Where it goes: the tail of its priority, or its requeue priority; 0 is the first. */
static void row_d12_requeue_priority(void **state)
{
    static const struct {
        int32_t queue, message;
        const char *wanted;
    } cases[] = {
        {PGQ_UNSET, PGQ_UNSET, "b c a "},
        {-1, PGQ_UNSET, "b c a "},
        {0, PGQ_UNSET, "a b c "},
        {PGQ_UNSET, 0, "a b c "},
        {5000, 0, "a b c "},
        {0, 5000, "b c a "},
        {0, -1, "b c a "},
        {999, PGQ_UNSET, "b c a "},
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        char got[32] = "", body[64];

        a.requeue_priority = cases[i].queue;
        o.requeue_priority = cases[i].message;
        make(f, &a);
        t_send_as(f->q, "q", "a", &o);
        t_send(f->q, "q", "b");
        t_send(f->q, "q", "c");
        assert_ok(f->q, nack(f, t_lease(f->q, "q", PGQ_UNSET, NULL), NULL));
        for (int n = 0; n < 3; n++) {
            t_lease(f->q, "q", PGQ_UNSET, body);
            snprintf(got + 2 * n, sizeof got - 2 * (size_t)n, "%.1s ", body);
        }
        if (strcmp(got, cases[i].wanted) != 0)
            fail_msg("case %zu: %s", i, got);
    }
}

/* What a message says itself is kept across its return and its death. */
static void row_c13_kept(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_counts c;

    make(f, NULL);
    o.error_limit = 2;
    o.requeue_priority = 3;
    o.lease_ms = 500000;
    t_send_as(f->q, "q", "m", &o);
    for (int life = 0; life < 2; life++) {
        for (int n = 0; n < 2; n++) {
            pgq_messages *m = t_receive(f->q, "q", 1, 1000);
            pgq_receipt r = t_receipt(pgq_messages_get(m, 0));

            assert_int_equal(pgq_messages_get(m, 0)->priority, life || n ? 3 : 999);
            assert_true(t_number(f, f->sql, "SELECT extract(epoch FROM due - now())::int FROM mq.message") >
                        400);
            pgq_messages_free(m);
            assert_ok(f->q, nack(f, r, NULL));
        }
        assert_ok(f->q, pgq_count(f->q, "q", &c));
        assert_true(c.dead == 1 && c.ready == 0);
        assert_ok(f->q, pgq_requeue_dead(f->q, "q", NULL, 0, NULL, NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(row_e3_nack),
        DB_TEST(row_c13_requeue),
        DB_TEST(row_c13_kept),
        DB_TEST(row_d11_error_limit),
        DB_TEST(row_d11_no_limit),
        DB_TEST(row_d11_drop),
        DB_TEST(row_d11_requeue_elsewhere),
        DB_TEST(row_d12_retry_delay),
        DB_TEST(row_d12_jitter),
        DB_TEST(row_d12_requeue_priority),
    };

    return RUN_WITH_SERVER(tests);
}
