/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "params.h"
#include "support/cm.h"

#include <pgq/handle.h>
#include <string.h>

static void test_ints(void **state)
{
    static const struct {
        int64_t value;
        int bytes;
        unsigned char wire[8];
    } cases[] = {
        {0, 1, {0}},
        {1, 2, {0, 1}},
        {-1, 2, {0xff, 0xff}},
        {INT16_MIN, 2, {0x80, 0}},
        {0x01020304, 4, {1, 2, 3, 4}},
        {-2, 4, {0xff, 0xff, 0xff, 0xfe}},
        {INT32_MAX, 4, {0x7f, 0xff, 0xff, 0xff}},
        {INT32_MIN, 4, {0x80, 0, 0, 0}},
        {INT64_MAX, 8, {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
        {INT64_MIN, 8, {0x80}},
        {-1, 8, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned char wire[9] = {0};

        wire[cases[i].bytes] = 0xa5;
        pgqi_put_int(wire, cases[i].value, cases[i].bytes);
        assert_memory_equal(wire, cases[i].wire, (size_t)cases[i].bytes);
        assert_int_equal(wire[cases[i].bytes], 0xa5);
        assert_true(pgqi_get_int(wire, cases[i].bytes) == cases[i].value);
    }
}

static void test_scalars(void **state)
{
    pgqi_params p;

    (void)state;
    pgqi_params_init(&p);
    pgqi_add_text(&p, "text");
    pgqi_add_text(&p, NULL);
    pgqi_add_bytea(&p, "\0\1", 2);
    pgqi_add_bytea(&p, NULL, 0);
    pgqi_add_bool(&p, 7);
    pgqi_add_int8(&p, -3);
    pgqi_add_null(&p, PGQI_INT4);
    pgqi_add_null_array(&p, PGQI_INT8);
    assert_int_equal(p.n, 8);
    assert_int_equal(p.failed, 0);
    assert_int_equal(p.types[0], 25);
    assert_int_equal(p.lengths[0], 4);
    assert_null(p.values[1]);
    assert_int_equal(p.types[2], 17);
    assert_memory_equal(p.values[2], "\0\1", 2);
    assert_non_null(p.values[3]); /* an empty bytea is not NULL */
    assert_int_equal(p.lengths[3], 0);
    assert_int_equal(p.lengths[4], 1);
    assert_int_equal(p.values[4][0], 1);
    assert_true(pgqi_get_int((const unsigned char *)p.values[5], 8) == -3);
    assert_int_equal(p.types[6], 23);
    assert_null(p.values[6]);
    assert_int_equal(p.types[7], 1016);
    for (int i = 0; i < p.n; i++)
        assert_int_equal(p.formats[i], 1);
    while (p.n < PGQI_MAX_PARAMS)
        pgqi_add_bool(&p, 0);
    assert_int_equal(p.failed, 0);
    /* One too many. */
    pgqi_add_int4(&p, 1);
    assert_int_equal(p.failed, 1);
    assert_int_equal(p.n, PGQI_MAX_PARAMS);
    pgqi_add_text(&p, "x");
    pgqi_add_int8s(&p, (const int64_t[]){1}, 1);
    assert_int_equal(p.n, PGQI_MAX_PARAMS);
    pgqi_params_free(&p);
}

/* What is not given is SQL's NULL, of its type. */
static void test_given(void **state)
{
    static const unsigned char half[] = {0x3f, 0xe0, 0, 0, 0, 0, 0, 0};
    pgqi_params p;

    (void)state;
    pgqi_params_init(&p);
    pgqi_add_given_bool(&p, PGQ_UNSET);
    pgqi_add_given_int4(&p, PGQ_UNSET);
    pgqi_add_given_int8(&p, PGQ_UNSET);
    pgqi_add_given_float8(&p, PGQ_UNSET);
    pgqi_add_given_bool(&p, 1);
    pgqi_add_given_int4(&p, -1);
    pgqi_add_given_int8(&p, 0);
    pgqi_add_given_float8(&p, 0.5);
    assert_int_equal(p.failed, 0);
    assert_int_equal(p.n, 8);
    for (int i = 0; i < 4; i++) {
        assert_null(p.values[i]);
        assert_non_null(p.values[i + 4]);
        assert_int_equal(p.types[i], p.types[i + 4]);
    }
    assert_int_equal(p.values[4][0], 1);
    assert_true(pgqi_get_int((const unsigned char *)p.values[5], 4) == -1);
    assert_true(pgqi_get_int((const unsigned char *)p.values[6], 8) == 0);
    assert_memory_equal(p.values[7], half, 8);
    pgqi_params_free(&p);
}

static void test_arrays(void **state)
{
    static const unsigned char none[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20};
    static const unsigned char two[] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0,    2,    0,    0,
                                        0, 1, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0,  0, 4, 0xff, 0xff, 0xff, 0xfa};
    static const unsigned char texts[] = {0, 0, 0, 1, 0, 0, 0, 1,   0,   0,    0,    25,   0,    0, 0, 3, 0,
                                          0, 0, 1, 0, 0, 0, 2, 'h', 'i', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    const pgqi_element elements[] = {{"hi", 2}, {NULL, 0}, {"", 0}};
    pgqi_params p;

    (void)state;
    pgqi_params_init(&p);
    pgqi_add_int8s(&p, NULL, 0);
    pgqi_add_int4s(&p, (const int32_t[]){5, -6}, 2);
    pgqi_add_array(&p, PGQI_TEXT, elements, 3);
    assert_int_equal(p.failed, 0);
    assert_int_equal(p.lengths[0], sizeof none);
    assert_memory_equal(p.values[0], none, sizeof none);
    assert_int_equal(p.types[0], 1016);
    assert_int_equal(p.lengths[1], sizeof two);
    assert_memory_equal(p.values[1], two, sizeof two);
    assert_int_equal(p.types[1], 1007);
    assert_int_equal(p.lengths[2], sizeof texts);
    assert_memory_equal(p.values[2], texts, sizeof texts);
    assert_int_equal(p.types[2], 1009);
    pgqi_params_free(&p);
    assert_int_equal(p.n, 0);
}

static void test_no_memory(void **state)
{
    const int64_t ids[] = {1, 2, 3};

    (void)state;
    for (long n = 1; n <= 3; n++) {
        pgqi_params p;

        pgqi_params_init(&p);
        pgqi_alloc_fail_at(n);
        pgqi_add_int8s(&p, ids, 3);
        assert_int_equal(p.failed, 1);
        assert_int_equal(p.n, 0);
        pgqi_params_free(&p);
    }
    pgqi_alloc_fail_at(0);
}

static PGresult *one_row(const char *value, int len)
{
    static PGresAttDesc column = {(char *)(uintptr_t) "c", 0, 0, 1, 0, -1, 0};
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    assert_non_null(res);
    assert_int_equal(PQsetResultAttrs(res, 1, &column), 1);
    assert_int_equal(PQsetvalue(res, 0, 0, (char *)(uintptr_t)value, len), 1);
    return res;
}

static void test_fields(void **state)
{
    PGresult *null = one_row(NULL, -1);
    PGresult *zero = one_row("\0\0\0\0\0\0\0\0", 8);
    PGresult *minus = one_row("\xff\xff\xff\xff", 4);
    PGresult *text = one_row("words", 5);

    (void)state;
    assert_true(pgqi_field_int(null, 0, 0) == 0);
    assert_true(pgqi_field_time(null, 0, 0) == 0);
    assert_null(pgqi_field_text(null, 0, 0));
    assert_true(pgqi_field_int(minus, 0, 0) == -1);
    assert_true(pgqi_field_time(zero, 0, 0) == 946684800000000);
    assert_string_equal(pgqi_field_text(text, 0, 0), "words");
    PQclear(null);
    PQclear(zero);
    PQclear(minus);
    PQclear(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ints),   cmocka_unit_test(test_scalars),   cmocka_unit_test(test_given),
        cmocka_unit_test(test_arrays), cmocka_unit_test(test_no_memory), cmocka_unit_test(test_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
