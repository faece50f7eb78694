/* SPDX-License-Identifier: MIT */
#include "clock.h"
#include "support/cm.h"

#include <limits.h>

static void test_now(void **state)
{
    int64_t before = pgqi_now_us();
    int64_t after = before;

    (void)state;
    assert_true(before > 0);
    while (after == before)
        after = pgqi_now_us();
    assert_true(after > before);
}

static void test_until(void **state)
{
    static const struct {
        int64_t when, now;
        int ms;
    } cases[] = {
        {INT64_MAX, 0, -1},
        {INT64_MAX, INT64_MAX, -1},
        {5, 5, 0},
        {4, 5, 0},
        {6, 5, 1},
        {1005, 5, 1},
        {1006, 5, 2},
        {300000, 0, 300},
        {INT64_MAX - 1, 0, INT_MAX},
        {-10, 10, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(pgqi_until_ms(cases[i].when, cases[i].now), cases[i].ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_now),
        cmocka_unit_test(test_until),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
