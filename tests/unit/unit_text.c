/* SPDX-License-Identifier: MIT */
#include "queue.h"
#include "support/cm.h"
#include "text.h"

#include <string.h>

static void test_utf8(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int valid;
    } cases[] = {
        {"", 0, 1},
        {"plain", 5, 1},
        {"\x7f", 1, 1},
        {"\x80", 1, 0},
        {"\xbf", 1, 0},
        {"a\0b", 3, 0},
        {"\xc3\xa9", 2, 1},
        {"\xc3", 1, 0},
        {"\xc3\x28", 2, 0},
        {"\xc0\x80", 2, 0},
        {"\xc1\xbf", 2, 0},
        {"\xc2\x80", 2, 1},
        {"\xdf\xbf", 2, 1},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xe0\xa0\x80", 3, 1},
        {"\xe2\x82\xac", 3, 1},
        {"\xe2\x82", 2, 0},
        {"\xed\x9f\xbf", 3, 1},
        {"\xed\xa0\x80", 3, 0},
        {"\xed\xbf\xbf", 3, 0},
        {"\xee\x80\x80", 3, 1},
        {"\xef\xbf\xbf", 3, 1},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"\xf0\x90\x80\x80", 4, 1},
        {"\xf0\x9f\x98\x80", 4, 1},
        {"\xf0\x9f\x98", 3, 0},
        {"\xf4\x8f\xbf\xbf", 4, 1},
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xf8\x88\x80\x80\x80", 5, 0},
        {"\xfe", 1, 0},
        {"\xff", 1, 0},
        {"ok\xf0\x9f\x98\x80ok", 8, 1},
        {"\xf0\x9f\x98\x80\x80", 5, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (pgqi_is_utf8(cases[i].bytes, cases[i].len) != cases[i].valid)
            fail_msg("case %zu should be %d", i, cases[i].valid);
}

static void test_trim(void **state)
{
    static const struct {
        const char *bytes;
        size_t len, left;
    } cases[] = {
        {"", 0, 0},
        {"abc", 3, 3},
        {"ab\xc3\xa9", 4, 4},
        {"ab\xc3", 3, 2},
        {"ab\xe2\x82\xac", 5, 5},
        {"ab\xe2\x82", 4, 2},
        {"ab\xe2", 3, 2},
        {"ab\xf0\x9f\x98\x80", 6, 6},
        {"ab\xf0\x9f\x98", 5, 2},
        {"ab\xf0\x9f", 4, 2},
        {"ab\xf0", 3, 2},
        {"\xf0\x9f\x98", 3, 0},
        {"\xc3\xa9\xc3", 3, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (pgqi_utf8_trim(cases[i].bytes, cases[i].len) != cases[i].left)
            fail_msg("case %zu should leave %zu bytes", i, cases[i].left);
}

/* Row B10. */
static void test_names(void **state)
{
    static const struct {
        const char *name, *fault; /* a word of it; NULL: the name is good */
    } cases[] = {
        {"a", NULL},
        {"another-tag", NULL},
        {"1st", NULL},
        {"select", NULL},
        {"Upper", NULL},
        {"with \"quotes\" and 'more'", NULL},
        {"a:b", NULL},
        {"in ner", NULL},
        {"\xf0\x9f\x98\x80", NULL},
        {"\xc2\xa0 no-break", NULL},
        {"%s", NULL},
        {NULL, "NULL"},
        {"", "empty"},
        {" a", "blank"},
        {"a ", "blank"},
        {" ", "blank"},
        {"a\tb", "control"},
        {"a\n", "control"},
        {"\x1f", "control"},
        {"\x7f", "control"},
        {"a\xc2\x80", "control"},
        {"a\xc2\x9f", "control"},
        {"a\xff", "UTF-8"},
        {"\xc3", "UTF-8"},
        {"\xed\xa0\x80", "UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *fault = pgqi_name_fault(cases[i].name);

        if (!cases[i].fault ? fault != NULL : !fault || !strstr(fault, cases[i].fault))
            fail_msg("case %zu: %s", i, fault ? fault : "no fault was found");
    }
}

/* What is named is said by the caller's word for it. */
static void test_check_name(void **state)
{
    pgq_error e = {0};

    (void)state;
    assert_int_equal(pgqi_check_name(&e, "topic", "t"), PGQ_OK);
    assert_int_equal(pgqi_check_name(&e, "topic", NULL), PGQ_INVALID);
    assert_string_equal(e.message, "a topic name must not be NULL");
    assert_int_equal(pgqi_check_name(&e, "subscriber", " "), PGQ_INVALID);
    assert_string_equal(e.message, "a subscriber name must not begin or end with a blank");
    assert_int_equal(pgqi_check_text(&e, "start", NULL), PGQ_OK);
    assert_int_equal(pgqi_check_text(&e, "start", "\xc3\xa9"), PGQ_OK);
    assert_int_equal(pgqi_check_text(&e, "start", "\xc3"), PGQ_INVALID);
    assert_string_equal(e.message, "start must be valid UTF-8");
}

static void test_name_length(void **state)
{
    char name[400];

    (void)state;
    memset(name, 'n', sizeof name);
    name[160] = '\0';
    assert_null(pgqi_name_fault(name));
    name[160] = 'n';
    name[161] = '\0';
    assert_non_null(strstr(pgqi_name_fault(name), "too long"));
    name[161] = 'n';
    name[399] = '\0';
    assert_non_null(strstr(pgqi_name_fault(name), "too long"));
    /* A character that the limit cuts. */
    memcpy(name + 159, "\xc3\xa9", 3);
    assert_non_null(strstr(pgqi_name_fault(name), "too long"));
    memcpy(name + 158, "\xc3\xa9", 3);
    assert_null(pgqi_name_fault(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),       cmocka_unit_test(test_trim),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_check_name), cmocka_unit_test(test_name_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
