/* SPDX-License-Identifier: MIT */
#include "doze.h"
#include "support/cm.h"

enum { MS = 1000 };
static const int64_t t0 = 1000000;

static void test_init(void **state)
{
    static const struct {
        int poll_ms;
        int64_t poll_us;
    } cases[] = {{0, 5000000}, {-1, INT64_MAX}, {1, 1000}, {250, 250000}, {2147483647, 2147483647000}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgqi_doze d;

        pgqi_doze_init(&d, cases[i].poll_ms);
        assert_true(d.poll_us == cases[i].poll_us);
        assert_int_equal(d.act, PGQI_LOOK);
        assert_int_equal(d.announced, 0);
    }
}

/* A doze that has announced its sleep, and has looked once more. */
static pgqi_doze asleep(int poll_ms, int producing, int consuming, int64_t due_in_ms)
{
    pgqi_doze d;

    pgqi_doze_init(&d, poll_ms);
    pgqi_doze_empty(&d, t0);
    assert_int_equal(d.act, PGQI_ANNOUNCE);
    assert_int_equal(d.announced, 0);
    pgqi_doze_announced(&d, producing, consuming, due_in_ms, t0);
    assert_int_equal(d.act, PGQI_LOOK);
    assert_int_equal(d.thorough, 1);
    assert_int_equal(d.announced, 1);
    pgqi_doze_empty(&d, t0);
    assert_int_equal(d.act, PGQI_SLEEP);
    assert_int_equal(d.thorough, 0);
    return d;
}

static void test_sleep_until_poll(void **state)
{
    (void)state;
    assert_true(asleep(0, 0, 0, -1).until_us == t0 + 5000 * MS);
    assert_true(asleep(70, 0, 0, -1).until_us == t0 + 70 * MS);
    assert_true(asleep(-1, 0, 0, -1).until_us == INT64_MAX);
}

static void test_sleep_until_due(void **state)
{
    (void)state;
    assert_true(asleep(-1, 0, 0, 30).until_us == t0 + 30 * MS);
    assert_true(asleep(10, 0, 0, 30).until_us == t0 + 10 * MS);
    /* Due, but not to be had: somebody else is at it. */
    assert_true(asleep(-1, 0, 0, 0).until_us == t0 + 5 * MS);
}

/* After a message: looks 1, 2, 4, 8 and 16 ms apart, before the sleep is announced. */
static void test_linger(void **state)
{
    int64_t now = t0;
    pgqi_doze d;

    (void)state;
    pgqi_doze_init(&d, -1);
    pgqi_doze_found(&d);
    assert_int_equal(d.act, PGQI_LOOK);
    for (int ms = 1; ms <= 16; ms *= 2) {
        pgqi_doze_empty(&d, now);
        assert_int_equal(d.act, PGQI_SLEEP);
        assert_true(d.until_us == now + ms * MS);
        now = d.until_us;
        pgqi_doze_late(&d);
        assert_int_equal(d.act, PGQI_LOOK);
    }
    pgqi_doze_empty(&d, now);
    assert_int_equal(d.act, PGQI_ANNOUNCE);
    /* Another message, and it begins again. */
    pgqi_doze_found(&d);
    pgqi_doze_empty(&d, now);
    assert_true(d.act == PGQI_SLEEP && d.until_us == now + MS);
    /* A bell during the linger: look. */
    pgqi_doze_rung(&d);
    assert_int_equal(d.act, PGQI_LOOK);
}

static void test_found_while_announced(void **state)
{
    pgqi_doze d = asleep(-1, 0, 0, -1);

    (void)state;
    pgqi_doze_late(&d);
    assert_int_equal(d.act, PGQI_ANNOUNCE);
    pgqi_doze_announced(&d, 0, 0, -1, t0);
    pgqi_doze_found(&d);
    assert_int_equal(d.act, PGQI_AWAKE);
    assert_int_equal(d.thorough, 0);
    pgqi_doze_left(&d);
    assert_int_equal(d.act, PGQI_LOOK);
    assert_int_equal(d.announced, 0);
    assert_int_equal(d.clear, 0);
}

static void test_rung(void **state)
{
    pgqi_doze d = asleep(-1, 0, 0, -1);

    (void)state;
    pgqi_doze_rung(&d);
    /* The look goes first, and the announcement is taken back with it. */
    assert_int_equal(d.act, PGQI_LOOK);
    assert_int_equal(d.leave, 1);
    pgqi_doze_left(&d);
    assert_int_equal(d.leave, 0);
    assert_int_equal(d.announced, 0);
    pgqi_doze_empty(&d, t0);
    assert_true(d.act == PGQI_SLEEP && d.until_us == t0 + MS);
}

static void test_late_asks_again(void **state)
{
    pgqi_doze d = asleep(50, 0, 0, -1);

    (void)state;
    pgqi_doze_late(&d);
    assert_int_equal(d.act, PGQI_ANNOUNCE);
    assert_int_equal(d.announced, 1);
    pgqi_doze_announced(&d, 0, 0, -1, t0 + 50 * MS);
    assert_true(d.announced_us == t0);
    pgqi_doze_empty(&d, t0 + 50 * MS);
    assert_true(d.until_us == t0 + 100 * MS);
}

/* Producers in flight: looks grow to 20 ms apart, and no further. */
static void test_recheck_producing(void **state)
{
    pgqi_doze d = asleep(-1, 1, 0, -1);
    int64_t before = 0;
    int64_t now = t0;

    (void)state;
    assert_int_equal(d.clear, 0);
    for (int i = 0; i < 20; i++) {
        int64_t pause = d.until_us - now;

        assert_true(pause >= before && pause > 0 && pause <= 20 * MS);
        before = pause;
        now = d.until_us;
        pgqi_doze_late(&d);
        assert_int_equal(d.act, PGQI_ANNOUNCE);
        pgqi_doze_announced(&d, 1, 0, -1, now);
        pgqi_doze_empty(&d, now);
    }
    assert_true(before == 20 * MS);
    /* They have ended: asleep for good. */
    pgqi_doze_late(&d);
    pgqi_doze_announced(&d, 0, 0, -1, now);
    pgqi_doze_empty(&d, now);
    assert_int_equal(d.clear, 1);
    assert_true(d.until_us == INT64_MAX);
}

/* Only consumers: a fiftieth of the time waited, 5 ms to 1 s. */
static void test_recheck_consuming(void **state)
{
    static const struct {
        int64_t waited_ms, pause_ms;
    } cases[] = {{0, 5}, {100, 5}, {500, 10}, {5000, 100}, {50000, 1000}, {500000, 1000}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgqi_doze d = asleep(-1, 0, 1, -1);
        int64_t now = t0 + cases[i].waited_ms * MS;

        assert_true(d.until_us == t0 + 5 * MS);
        pgqi_doze_late(&d);
        pgqi_doze_announced(&d, 0, 1, -1, now);
        pgqi_doze_empty(&d, now);
        assert_true(d.until_us == now + cases[i].pause_ms * MS);
    }
}

static void test_recheck_stays_within_poll(void **state)
{
    pgqi_doze d = asleep(7, 0, 1, -1);

    (void)state;
    pgqi_doze_late(&d);
    pgqi_doze_announced(&d, 0, 1, 3, t0 + 60000 * MS);
    pgqi_doze_empty(&d, t0 + 60000 * MS);
    assert_true(d.until_us == t0 + 60003 * MS); /* due first */
    pgqi_doze_announced(&d, 0, 1, -1, t0 + 60000 * MS);
    pgqi_doze_empty(&d, t0 + 60000 * MS);
    assert_true(d.until_us == t0 + 60007 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_sleep_until_poll),
        cmocka_unit_test(test_sleep_until_due),
        cmocka_unit_test(test_linger),
        cmocka_unit_test(test_found_while_announced),
        cmocka_unit_test(test_rung),
        cmocka_unit_test(test_late_asks_again),
        cmocka_unit_test(test_recheck_producing),
        cmocka_unit_test(test_recheck_consuming),
        cmocka_unit_test(test_recheck_stays_within_poll),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
