/* SPDX-License-Identifier: MIT */
#include "support/cm.h"

#include <pgq/message.h>
#include <string.h>

/* Row C1: the text form sorts by time, then by id. */
static void test_round_trip(void **state)
{
    static const struct {
        int64_t id, sent;
        const char *text;
    } cases[] = {
        {0, 0, "00000000000000000000000000000000"},
        {1, 0, "00000000000000000000000000000001"},
        {255, 16, "000000000000001000000000000000ff"},
        {INT64_MAX, INT64_MAX, "7fffffffffffffff7fffffffffffffff"},
    };
    char before[PGQ_ID_TEXT_LEN + 1] = "";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[PGQ_ID_TEXT_LEN + 1];
        int64_t id = -1;
        int64_t sent = -1;

        assert_int_equal(pgq_id_to_text(cases[i].id, cases[i].sent, text), PGQ_OK);
        assert_string_equal(text, cases[i].text);
        assert_true(strcmp(before, text) < 0);
        memcpy(before, text, sizeof before);
        assert_int_equal(pgq_id_from_text(text, &id, &sent), PGQ_OK);
        assert_true(id == cases[i].id && sent == cases[i].sent);
        assert_int_equal(pgq_id_from_text(text, NULL, NULL), PGQ_OK);
    }
}

static void test_invalid(void **state)
{
    static const char *const bad[] = {
        NULL,
        "",
        "0",
        "0000000000000000000000000000000",
        "000000000000000000000000000000000",
        "0000000000000000000000000000000g",
        "0000000000000000000000000000000A",
        " 0000000000000000000000000000001",
        "80000000000000000000000000000000",
        "00000000000000008000000000000000",
    };
    char text[PGQ_ID_TEXT_LEN + 1] = "kept";

    (void)state;
    assert_int_equal(pgq_id_to_text(-1, 0, text), PGQ_INVALID);
    assert_int_equal(pgq_id_to_text(0, -1, text), PGQ_INVALID);
    assert_int_equal(pgq_id_to_text(0, 0, NULL), PGQ_INVALID);
    assert_string_equal(text, "kept");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t id = 42;
        int64_t sent = 43;

        assert_int_equal(pgq_id_from_text(bad[i], &id, &sent), PGQ_INVALID);
        assert_true(id == 42 && sent == 43);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_invalid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
