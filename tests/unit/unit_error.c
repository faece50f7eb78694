/* SPDX-License-Identifier: MIT */
#include "error.h"
#include "support/cm.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static void test_set(void **state)
{
    pgq_error e = {
        .status = PGQ_OK, .sqlstate = "XXXXX", .detail = "old", .retryable = 1, .connection_dead = 1};

    (void)state;
    assert_int_equal(pgqi_error_set(&e, PGQ_INVALID, "number %d\n", 5), PGQ_INVALID);
    assert_int_equal(e.status, PGQ_INVALID);
    assert_string_equal(e.message, "number 5");
    assert_string_equal(e.sqlstate, "");
    assert_string_equal(e.detail, "");
    assert_int_equal(e.retryable + e.needs_rollback + e.connection_dead, 0);
    assert_int_equal(pgqi_error_clear(&e, PGQ_EMPTY), PGQ_EMPTY);
    assert_int_equal(e.status, PGQ_EMPTY);
    assert_string_equal(e.message, "");
}

/* Cut at a character, wherever the limit falls in it. */
static void test_truncation(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 4; lead++) {
        char text[3000] = "";
        size_t len = lead;
        pgq_error e;

        memset(text, 'a', lead);
        while (len + 4 < sizeof text) {
            memcpy(text + len, "\xf0\x9f\x98\x80", 4);
            len += 4;
        }
        text[len] = '\0';
        pgqi_error_set(&e, PGQ_SERVER, "%s", text);
        assert_in_range(strlen(e.message), sizeof e.message - 4, sizeof e.message - 1);
        assert_true(pgqi_is_utf8(e.message, strlen(e.message)));
        assert_memory_equal(e.message, text, strlen(e.message));
    }
}

static void test_fits_exactly(void **state)
{
    char text[sizeof((pgq_error *)NULL)->message];
    pgq_error e;

    (void)state;
    memset(text, 'b', sizeof text);
    memcpy(text + sizeof text - 3, "\xc3\xa9", 3);
    pgqi_error_set(&e, PGQ_SERVER, "%s", text);
    assert_string_equal(e.message, text);
}

static void test_classes(void **state)
{
    static const struct {
        const char *sqlstate;
        pgq_status status;
    } cases[] = {
        {"MQ001", PGQ_INVALID},       {"MQ002", PGQ_NOT_FOUND}, {"MQ003", PGQ_EXISTS},
        {"MQ004", PGQ_TOO_LONG},      {"MQ005", PGQ_STALE},     {"3F000", PGQ_NOT_INSTALLED},
        {"42P01", PGQ_NOT_INSTALLED}, {"42883", PGQ_VERSION},   {"42703", PGQ_VERSION},
        {"42501", PGQ_PERMISSION},    {"40001", PGQ_CONFLICT},  {"40P01", PGQ_CONFLICT},
        {"55P03", PGQ_CONFLICT},      {"25P02", PGQ_ABORTED},   {"08006", PGQ_CONNECTION},
        {"57P01", PGQ_CONNECTION},    {"57014", PGQ_SERVER},    {"23505", PGQ_SERVER},
        {"MQ999", PGQ_SERVER},        {"XX000", PGQ_SERVER},    {"53300", PGQ_SERVER},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_error e;

        assert_int_equal(pgqi_error_from_code(&e, cases[i].sqlstate, "why"), cases[i].status);
        assert_int_equal(e.status, cases[i].status);
        assert_string_equal(e.sqlstate, cases[i].sqlstate);
        assert_string_equal(e.message, "why");
    }
}

static void test_no_connection(void **state)
{
    PGconn *never = PQconnectdb("host=/nonexistent-directory port=1");
    pgq_error e;

    (void)state;
    assert_int_equal(pgqi_error_from_server(&e, NULL, NULL), PGQ_CONNECTION);
    assert_true(e.connection_dead && e.retryable && !e.needs_rollback);
    assert_string_equal(e.message, "no connection");
    assert_int_equal(pgqi_error_from_server(&e, never, NULL), PGQ_CONNECTION);
    assert_true(strlen(e.message) > 0);
    assert_null(strchr(e.message, '\n'));
    PQfinish(never);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),           cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_fits_exactly),  cmocka_unit_test(test_classes),
        cmocka_unit_test(test_no_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
