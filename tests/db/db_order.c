/* SPDX-License-Identifier: MIT */
/* Row D9 with what can come between: delays, retries, leases, requeue priorities. */
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
    return 0;
}

enum { RECEIVE, RECEIVE_MANY, POP, DEQUEUE, WITH, WAYS };

/* The next message's text, taken and settled in one of the ways. */
static void take(const fixture *f, int way, char body[64])
{
    pgq_messages *m = NULL;
    pgq_receipt r;
    witness w = {0};

    switch (way) {
    case RECEIVE:
        r = t_lease(f->q, "q", PGQ_UNSET, body);
        assert_ok(f->q, pgq_ack(f->q, &r, 1, NULL, NULL));
        return;
    case POP:
        assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
        snprintf(body, 64, "%s", (const char *)pgq_messages_get(m, 0)->payload);
        pgq_messages_free(m);
        return;
    case DEQUEUE:
        assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
        break;
    default:
        assert_ok(f->q, pgq_receive_with(f->q, "q", t_witness, &w, NULL));
    }
    snprintf(body, 64, "%.63s", w.payload);
}

static void expect(const fixture *f, int way, size_t n, const char *const *wanted)
{
    if (way == RECEIVE_MANY) {
        pgq_messages *m = t_receive(f->q, "q", 100, PGQ_UNSET);

        assert_int_equal(pgq_messages_count(m), n);
        for (size_t i = 0; i < n; i++)
            assert_string_equal(pgq_messages_get(m, i)->payload, wanted[i]);
        pgq_messages_free(m);
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char body[64];

        take(f, way, body);
        if (strcmp(body, wanted[i]) != 0)
            fail_msg("way %d: number %zu is %s in the place of %s", way, i, body, wanted[i]);
    }
}

/* Twelve of one priority: ten and more sort as numbers, not as text. */
static void order_twelve_of_equal_priority(void **state)
{
    static const char *const wanted[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"};
    fixture *f = *state;

    for (int way = 0; way < WAYS; way++) {
        for (size_t i = 0; i < COUNT_OF(wanted); i++)
            t_send(f->q, "q", wanted[i]);
        expect(f, way, COUNT_OF(wanted), wanted);
    }
}

static void send(const fixture *f, const char *text, int32_t priority, int64_t delay_ms)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

    o.priority = priority;
    o.delay_ms = delay_ms;
    t_send_as(f->q, "q", text, &o);
}

/* What is due goes by its priority among all that are ready, not by the order of falling due. */
static void order_priorities_and_delays(void **state)
{
    static const char *const wanted[] = {"p0",        "late p0",    "p1",   "late p5",  "p999",
                                         "late p999", "late max-1", "pmax", "late pmax"};
    fixture *f = *state;

    for (int way = 0; way < WAYS; way++) {
        send(f, "pmax", INT32_MAX, 0);
        send(f, "p999", 999, 0);
        send(f, "late pmax", INT32_MAX, 1);
        send(f, "late max-1", INT32_MAX - 1, 2);
        send(f, "late p999", 999, 3);
        send(f, "p1", 1, 0);
        send(f, "late p5", 5, 1);
        send(f, "p0", 0, 0);
        send(f, "late p0", 0, 4);
        t_until(f, 10000, "0", "SELECT count(*) FROM mq.message WHERE due > clock_timestamp()");
        /* In the library a claim looks for what falls due every so often: until then those are not there. */
        assert_ok(f->q, pgq_clean(f->q, "q", NULL));
        expect(f, way, COUNT_OF(wanted), wanted);
    }
}

static void nack_next(const fixture *f, const char *text)
{
    pgq_receipt r;
    char body[64];

    r = t_lease(f->q, "q", PGQ_UNSET, body);
    assert_string_equal(body, text);
    assert_ok(f->q, pgq_nack(f->q, &r, 1, NULL, NULL, NULL));
}

/* A message that comes back goes to the tail of its priority, whatever brings it back. */
static void order_retries(void **state)
{
    static const char *const wanted[] = {"b", "a", "c", "low"};
    fixture *f = *state;
    witness w = {.fail = "no"};

    for (int way = 0; way < 4 * WAYS; way++) {
        pgq_receipt r;
        char body[64];

        send(f, "low", 10, 0);
        send(f, "a", 5, 0);
        send(f, "b", 5, 0);
        if (way / WAYS == 0) {
            nack_next(f, "a");
        } else if (way / WAYS == 1) {
            assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_FAILED);
            assert_string_equal(w.payload, "a");
        } else {
            r = t_lease(f->q, "q", PGQ_UNSET, body);
            assert_string_equal(body, "a");
            if (way / WAYS == 2) {
                t_expire(f, r.id);
                assert_ok(f->q, pgq_clean(f->q, "q", NULL));
            } else {
                assert_ok(f->q, pgq_release(f->q, &r, 1, NULL, NULL));
            }
        }
        send(f, "c", 5, 0);
        expect(f, way % WAYS, COUNT_OF(wanted), wanted);
    }
}

/* A retry delay: in its time others pass, and then it is behind them. */
static void order_retry_delay(void **state)
{
    static const char *const wanted[] = {"b", "c", "a", "low"};
    fixture *f = *state;
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;

    a.retry_delay_ms = 1;
    assert_ok(f->q, pgq_set_queue(f->q, "q", &a, 0));
    for (int way = 0; way < WAYS; way++) {
        send(f, "low", 10, 0);
        send(f, "a", 5, 0);
        send(f, "b", 5, 0);
        nack_next(f, "a");
        send(f, "c", 5, 0);
        t_until(f, 10000, "0", "SELECT count(*) FROM mq.message WHERE due > clock_timestamp()");
        assert_ok(f->q, pgq_clean(f->q, "q", NULL));
        expect(f, way, COUNT_OF(wanted), wanted);
    }
}

/* Requeue priority: 0 is the first of all, not the default. */
static void order_requeue_priority(void **state)
{
    static const struct {
        int32_t requeue_priority;
        const char *wanted[3];
    } cases[] = {
        {0, {"failed", "first", "second"}},  {4, {"failed", "first", "second"}},
        {5, {"first", "second", "failed"}},  {INT32_MAX, {"first", "second", "failed"}},
        {-1, {"first", "second", "failed"}},
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases) * WAYS; i++) {
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;

        a.requeue_priority = cases[i / WAYS].requeue_priority;
        assert_ok(f->q, pgq_set_queue(f->q, "q", &a, 0));
        send(f, "failed", 5, 0);
        send(f, "first", 5, 0);
        send(f, "second", 5, 0);
        nack_next(f, "failed");
        expect(f, (int)(i % WAYS), 3, cases[i / WAYS].wanted);
    }
}

/* With cursors at several priorities: what another transaction has locked is passed by, and neither what is
 * more urgent than all of them nor what lies between two is missed. */
static void order_several_cursors(void **state)
{
    static const char *const first[] = {"p5", "p10", "p20"};
    static const char *const wanted[] = {"p1", "p5 b", "p7", "p10 a", "p10 b", "p15", "p20 a", "p30"};
    fixture *f = *state;

    for (int way = 0; way < WAYS; way++) {
        if (way == RECEIVE_MANY) /* its purge would wait */
            continue;
        for (int32_t i = 0; i < 3; i++) {
            static const int32_t priorities[] = {5, 10, 20};

            send(f, first[i], priorities[i], 0);
            expect(f, way, 1, &first[i]);
        }
        send(f, "p20 a", 20, 0);
        send(f, "p10 a", 10, 0);
        send(f, "p5 a", 5, 0);
        t_run(f, f->sql, "BEGIN");
        assert_string_equal(t_ask(f, f->sql, "SELECT convert_from(payload, 'UTF8') FROM mq.dequeue('q')"),
                            "p5 a");
        send(f, "p5 b", 5, 0);
        send(f, "p10 b", 10, 0);
        send(f, "p15", 15, 0);
        send(f, "p7", 7, 0);
        send(f, "p30", 30, 0);
        send(f, "p1", 1, 0);
        expect(f, way, COUNT_OF(wanted), wanted);
        t_run(f, f->sql, "DELETE FROM mq.message WHERE convert_from(payload, 'UTF8') = 'p5 a'");
        t_run(f, f->sql, "COMMIT");
    }
}

#define ORDER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ORDER_TEST(order_twelve_of_equal_priority),
        ORDER_TEST(order_priorities_and_delays),
        ORDER_TEST(order_retries),
        ORDER_TEST(order_retry_delay),
        ORDER_TEST(order_requeue_priority),
        ORDER_TEST(order_several_cursors),
    };

    return RUN_WITH_SERVER(tests);
}
