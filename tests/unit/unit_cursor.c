/* SPDX-License-Identifier: MIT */
#include "cursor.h"
#include "support/cm.h"

#include <pthread.h>
#include <string.h>

enum { MS = 1000 };

static int setup(void **state)
{
    *state = pgqi_cursors_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    pgqi_cursors_release(*state);
    return 0;
}

static void plan(pgqi_cursors *c, int64_t now, pgqi_plan *out)
{
    pgqi_cursor_plan(c, "q", 0, now, out);
}

/* One claim at that time; position 0 takes nothing. tail and producers as the server would say. */
static void claim(pgqi_cursors *c, int64_t now, int32_t priority, int64_t position, int64_t tail,
                  const char *producers)
{
    pgqi_found found = {.taken = position > 0,
                        .priority = priority,
                        .position = position,
                        .exhausted = position == 0,
                        .micros = 1,
                        .tail = tail};
    pgqi_plan p;

    plan(c, now, &p);
    found.producers = p.mark ? producers : NULL;
    pgqi_cursor_found(c, "q", &p, &found, now);
}

/* Takes a message, when nobody is sending. */
static void take(pgqi_cursors *c, int64_t now, int32_t priority, int64_t position)
{
    claim(c, now, priority, position, position, "");
}

/* Finds nothing, after that many positions were given out. */
static void exhaust(pgqi_cursors *c, int64_t now, int64_t tail)
{
    claim(c, now, 0, 0, tail, "");
}

static void test_first_is_a_sweep(void **state)
{
    pgqi_plan p;

    plan(*state, 1000 * MS, &p);
    assert_int_equal(p.n, 0);
    assert_int_equal(p.mark, 1);
    assert_int_equal(p.check_due, 1);
    assert_true(p.due_from == INT64_MIN);
}

/* A mark is set ten times a second, and passed by a later look that comes beyond it. */
static void test_marks(void **state)
{
    pgqi_cursors *c = *state;
    int64_t now = 1000 * MS;
    pgqi_plan p;

    take(c, now, 5, 10);
    plan(c, now + 1, &p);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.priority[0], 5);
    assert_true(p.position[0] <= 10);
    take(c, now + 99 * MS, 5, 20);
    plan(c, now + 99 * MS + 1, &p);
    assert_true(p.position[0] <= 10);
    take(c, now + 100 * MS, 5, 30);
    plan(c, now + 100 * MS + 1, &p);
    assert_true(p.position[0] == 11);
    /* From here the next mark is 30. */
    take(c, now + 199 * MS, 5, 40);
    plan(c, now + 199 * MS + 1, &p);
    assert_true(p.position[0] == 11);
    take(c, now + 200 * MS, 5, 50);
    plan(c, now + 200 * MS + 1, &p);
    assert_true(p.position[0] == 31);
}

/* Whoever was sending when the mark was set may still hold a position below it. */
static void test_producers_in_flight(void **state)
{
    static const char *const lists[] = {"3/7", "2/1 3/7", "3/7 9/9", "2/1 3/7 9/9"};
    pgqi_cursors *c = *state;
    pgqi_plan p;

    claim(c, 1000 * MS, 5, 10, 20, "3/7 4/4");
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        claim(c, (1100 + (int64_t)i * 100) * MS, 5, 30, 40, lists[i]);
        plan(c, (1100 + (int64_t)i * 100) * MS + 1, &p);
        assert_true(p.position[0] <= 10);
    }
    /* Names are compared whole. */
    claim(c, 2000 * MS, 5, 31, 40, "3/77 13/7 4/44");
    plan(c, 2000 * MS + 1, &p);
    assert_true(p.position[0] == 11);
}

/* A sender that stays open for ever holds the cursor back for ten seconds only. */
static void test_patience(void **state)
{
    pgqi_cursors *c = *state;
    pgqi_plan p;

    claim(c, 1000 * MS, 5, 10, 20, "3/7");
    claim(c, 10999 * MS, 5, 30, 40, "3/7");
    plan(c, 10999 * MS + 1, &p);
    assert_true(p.position[0] <= 10);
    claim(c, 11100 * MS, 5, 31, 40, "3/7");
    plan(c, 11100 * MS + 1, &p);
    assert_true(p.position[0] == 11);
}

/* What was given out after the look began is not covered by its list of senders. */
static void test_no_mark_beyond_the_tail(void **state)
{
    pgqi_cursors *c = *state;
    pgqi_plan p;

    claim(c, 1000 * MS, 5, 30, 20, "");
    claim(c, 1100 * MS, 5, 40, 50, "");
    plan(c, 1100 * MS + 1, &p);
    assert_true(p.position[0] == 21);
}

/* A message of one priority means that nothing more urgent was left. */
static void test_more_urgent_is_passed_too(void **state)
{
    pgqi_cursors *c = *state;
    pgqi_plan p;

    take(c, 1000 * MS, 5, 10);
    take(c, 1100 * MS, 7, 20);
    take(c, 1200 * MS, 7, 30);
    plan(c, 1200 * MS + 1, &p);
    assert_int_equal(p.n, 2);
    assert_true(p.position[0] == 21);
}

static void test_never_backwards(void **state)
{
    pgqi_cursors *c = *state;
    pgqi_plan p;

    take(c, 1000 * MS, 5, 100);
    take(c, 1200 * MS, 5, 200);
    take(c, 1400 * MS, 5, 50); /* a sweep found something old */
    take(c, 1600 * MS, 5, 60);
    plan(c, 1600 * MS + 1, &p);
    assert_true(p.position[0] == 101);
}

/* Nothing left at all moves every priority on. */
static void test_exhausted(void **state)
{
    pgqi_cursors *c = *state;
    pgqi_plan p;

    take(c, 1000 * MS, 5, 10);
    take(c, 1000 * MS, 7, 12);
    exhaust(c, 1100 * MS, 90);
    exhaust(c, 1200 * MS, 95);
    plan(c, 1200 * MS + 1, &p);
    assert_int_equal(p.n, 2);
    assert_true(p.position[0] == 91 && p.position[1] == 91);
}

static void test_priorities(void **state)
{
    static const int32_t order[] = {9, 1, 5, 0, 2147483647, 5};
    pgqi_cursors *c = *state;
    int64_t now = 1000 * MS;
    pgqi_plan p;

    for (size_t i = 0; i < COUNT_OF(order); i++)
        take(c, now, order[i], 10);
    plan(c, now + 1, &p);
    assert_int_equal(p.n, 5);
    for (int i = 1; i < p.n; i++)
        assert_true(p.priority[i - 1] < p.priority[i]);
    /* More than there is room for: those have no cursor, and nothing else changes. */
    for (int32_t i = 100; i < 140; i++)
        take(c, now, i, 10);
    plan(c, now + 1, &p);
    assert_int_equal(p.n, PGQI_CURSOR_PRIORITIES);
    for (int i = 1; i < p.n; i++)
        assert_true(p.priority[i - 1] < p.priority[i]);
}

/* The next sweep is due fifty times the cost of the last later, but not before 5 ms. */
static void test_sweeps(void **state)
{
    static const struct {
        int64_t micros, pause;
    } cases[] = {{0, 10 * MS}, {100, 10 * MS}, {200, 10 * MS}, {400, 20 * MS}, {100000, 5000 * MS}};
    pgqi_cursors *c = *state;
    int64_t now = 1000 * MS;

    take(c, now, 5, 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgqi_found found = {.taken = 1, .priority = 5, .position = 1, .micros = cases[i].micros};
        pgqi_plan p;

        now += 100000 * MS;
        plan(c, now, &p);
        assert_int_equal(p.n, 0);
        pgqi_cursor_found(c, "q", &p, &found, now);
        plan(c, now + cases[i].pause - 1, &p);
        assert_int_equal(p.n, 1);
        plan(c, now + cases[i].pause, &p);
        assert_int_equal(p.n, 0);
    }
}

/* While one sweeps, others do not; asked for it, anybody does. */
static void test_one_sweeps(void **state)
{
    pgqi_cursors *c = *state;
    int64_t now = 1000000 * MS;
    pgqi_plan p;

    take(c, now, 5, 1);
    now += 100000 * MS;
    plan(c, now, &p);
    assert_int_equal(p.n, 0);
    plan(c, now, &p);
    assert_int_equal(p.n, 1);
    pgqi_cursor_plan(c, "q", 1, now, &p);
    assert_int_equal(p.n, 0);
}

/* Due times are looked at every 50 ms, or when the next one is; what is due is made ready by the next plan.
 */
static void test_due(void **state)
{
    static const struct {
        int64_t due_in_ms, pause_ms;
    } cases[] = {{-1, 50}, {5, 5}, {0, 50}, {49, 49}, {50, 50}, {100000, 50}};
    pgqi_cursors *c = *state;
    int64_t now = 1000 * MS;

    take(c, now, 5, 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        /* The next sweep is far. */
        pgqi_found found = {.taken = 1, .priority = 5, .position = 1, .micros = 100000};
        pgqi_plan p;

        now += 100000 * MS;
        plan(c, now, &p);
        assert_int_equal(p.check_due, 1);
        assert_int_equal(p.promote, 0);
        pgqi_cursor_found(c, "q", &p, &found, now);
        pgqi_cursor_due(c, "q", cases[i].due_in_ms, 500 + (int64_t)i, 0, now);
        plan(c, now + cases[i].pause_ms * MS - 1, &p);
        assert_int_equal(p.check_due, 0);
        assert_int_equal(p.promote, cases[i].due_in_ms == 0);
        plan(c, now + cases[i].pause_ms * MS, &p);
        assert_int_equal(p.check_due, 1);
        assert_int_equal(p.promote, 0);
        assert_true(p.due_from == 500 + (int64_t)i);
        pgqi_cursor_due(c, "q", -1, 3, 0, now); /* never backwards */
        plan(c, now + 1, &p);
        assert_true(p.due_from == 500 + (int64_t)i);
    }
}

static void test_queues_are_apart(void **state)
{
    pgqi_cursors *c = *state;
    pgqi_plan p;

    take(c, 1000 * MS, 5, 1);
    pgqi_cursor_plan(c, "other", 0, 1000 * MS + 1, &p);
    assert_int_equal(p.n, 0);
}

/* Another user of the same cursors sees what one has found, and either may go first. */
static void test_shared(void **state)
{
    pgqi_cursors *c = *state;
    pgqi_plan p;

    pgqi_cursors_share(c);
    take(c, 1000 * MS, 5, 1);
    pgqi_cursors_release(c);
    plan(c, 1000 * MS + 1, &p);
    assert_int_equal(p.n, 1);
}

static void *hammer(void *arg)
{
    for (int i = 0; i < 2000; i++)
        take(arg, i * MS, i % 7, i);
    pgqi_cursors_release(arg);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    pgqi_plan p;

    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pgqi_cursors_share(*state);
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, *state), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    take(*state, 100000 * MS, 3, 3);
    plan(*state, 100000 * MS + 1, &p);
    assert_int_equal(p.n, 7);
}

#define CURSOR_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CURSOR_TEST(test_first_is_a_sweep),
        CURSOR_TEST(test_marks),
        CURSOR_TEST(test_producers_in_flight),
        CURSOR_TEST(test_patience),
        CURSOR_TEST(test_no_mark_beyond_the_tail),
        CURSOR_TEST(test_more_urgent_is_passed_too),
        CURSOR_TEST(test_never_backwards),
        CURSOR_TEST(test_exhausted),
        CURSOR_TEST(test_priorities),
        CURSOR_TEST(test_sweeps),
        CURSOR_TEST(test_one_sweeps),
        CURSOR_TEST(test_due),
        CURSOR_TEST(test_queues_are_apart),
        CURSOR_TEST(test_shared),
        CURSOR_TEST(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
