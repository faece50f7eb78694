/* SPDX-License-Identifier: MIT */
#include "support/cm.h"

#include <pgq/pgq.h>
#include <string.h>

static const struct {
    pgq_status status;
    const char *name, *sqlstate, *text;
} map[] = {
#define ROW(name, value, sqlstate, text) {PGQ_##name, #name, sqlstate, text},
    PGQ_STATUS_MAP(ROW)
#undef ROW
};

/* Values are never changed or used again. */
static void test_values(void **state)
{
    static const struct {
        const char *name;
        int value;
    } fixed[] = {
        {"OK", 0},         {"EMPTY", 1},        {"TIMEOUT", 2},    {"CANCELED", 3},     {"READY", 4},
        {"WAIT", 5},       {"INVALID", -1},     {"NOT_FOUND", -2}, {"EXISTS", -3},      {"TOO_LONG", -4},
        {"NO_MEMORY", -5}, {"STATE", -6},       {"FAILED", -7},    {"STALE", -8},       {"NOT_INSTALLED", -9},
        {"VERSION", -10},  {"PERMISSION", -11}, {"CONFLICT", -12}, {"CONNECTION", -13}, {"SERVER", -14},
        {"ABORTED", -15},  {"DUPLICATE", 6},    {"IN_FLIGHT", 7},  {"HOOK", -16},
    };

    (void)state;
    assert_true(COUNT_OF(map) >= COUNT_OF(fixed));
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        assert_string_equal(pgq_status_name((pgq_status)fixed[i].value), fixed[i].name);
}

static void test_walk(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(map); i++) {
        assert_string_equal(pgq_status_name(map[i].status), map[i].name);
        assert_string_equal(pgq_status_text(map[i].status), map[i].text);
        assert_true(strlen(map[i].text) > 0);
        assert_true(map[i].sqlstate[0] == '\0' || strncmp(map[i].sqlstate, "MQ", 2) == 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(map[i].status, map[j].status);
            assert_string_not_equal(map[i].name, map[j].name);
            assert_string_not_equal(map[i].text, map[j].text);
            assert_true(!map[i].sqlstate[0] || strcmp(map[i].sqlstate, map[j].sqlstate) != 0);
        }
    }
}

static void test_unknown(void **state)
{
    static const int values[] = {9, 100, -17, -1000, 0x7fffffff};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        assert_string_equal(pgq_status_name((pgq_status)values[i]), "UNKNOWN");
        assert_string_equal(pgq_status_text((pgq_status)values[i]), "unknown status");
    }
}

static void test_version(void **state)
{
    (void)state;
    assert_int_equal(pgq_version_number(), PGQ_VERSION_NUMBER);
    assert_string_equal(pgq_version_string(), PGQ_VERSION_STRING);
    assert_true(pgq_schema_version() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
