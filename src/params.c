/* SPDX-License-Identifier: MIT */
#include "params.h"

#include "alloc.h"

#include <limits.h>
#include <pgq/handle.h>
#include <string.h>

/* The types' numbers never change: they are in pg_type.dat. */
static const struct {
    Oid scalar;
    Oid array;
} oids[] = {
    [PGQI_INT2] = {21, 1005},          [PGQI_INT4] = {23, 1007},    [PGQI_INT8] = {20, 1016},
    [PGQI_BOOL] = {16, 1000},          [PGQI_TEXT] = {25, 1009},    [PGQI_BYTEA] = {17, 1001},
    [PGQI_TIMESTAMPTZ] = {1184, 1185}, [PGQI_FLOAT8] = {701, 1022},
};

/* From 1970 to 2000, the server's epoch. */
static const int64_t epoch_us = 946684800000000;

void pgqi_params_init(pgqi_params *p)
{
    p->n = 0;
    p->failed = 0;
    p->prepare = 0;
}

void pgqi_params_free(pgqi_params *p)
{
    for (int i = 0; i < p->n; i++)
        pgqi_free(p->owned[i]);
    p->n = 0;
}

static void add(pgqi_params *p, Oid type, const void *value, size_t len)
{
    int i = p->n;

    if (i == PGQI_MAX_PARAMS || len > INT_MAX) {
        p->failed = 1;
        return;
    }
    p->types[i] = type;
    p->values[i] = value;
    p->lengths[i] = (int)len;
    p->formats[i] = 1;
    p->owned[i] = NULL;
    p->n++;
}

void pgqi_add_text(pgqi_params *p, const char *s)
{
    add(p, oids[PGQI_TEXT].scalar, s, s ? strlen(s) : 0);
}

void pgqi_add_bytea(pgqi_params *p, const void *bytes, size_t len)
{
    add(p, oids[PGQI_BYTEA].scalar, bytes ? bytes : "", len);
}

void pgqi_put_int(unsigned char *to, int64_t value, int bytes)
{
    uint64_t v = (uint64_t)value;

    for (int i = bytes - 1; i >= 0; i--, v >>= 8)
        to[i] = (unsigned char)(v & 0xff);
}

int64_t pgqi_get_int(const unsigned char *from, int bytes)
{
    uint64_t v = (from[0] & 0x80) ? UINT64_MAX : 0;

    for (int i = 0; i < bytes; i++)
        v = v << 8 | from[i];
    return (int64_t)v;
}

static void add_number(pgqi_params *p, int type, int64_t value, int bytes)
{
    unsigned char *to;

    if (p->n == PGQI_MAX_PARAMS) {
        p->failed = 1;
        return;
    }
    to = p->numbers[p->n];
    pgqi_put_int(to, value, bytes);
    add(p, oids[type].scalar, to, (size_t)bytes);
}

void pgqi_add_bool(pgqi_params *p, int value)
{
    add_number(p, PGQI_BOOL, value != 0, 1);
}

void pgqi_add_int2(pgqi_params *p, int16_t value)
{
    add_number(p, PGQI_INT2, value, 2);
}

void pgqi_add_int4(pgqi_params *p, int32_t value)
{
    add_number(p, PGQI_INT4, value, 4);
}

void pgqi_add_int8(pgqi_params *p, int64_t value)
{
    add_number(p, PGQI_INT8, value, 8);
}

void pgqi_add_timestamptz(pgqi_params *p, int64_t value)
{
    add_number(p, PGQI_TIMESTAMPTZ, value, 8);
}

/* float8send: the eight bytes of the IEEE 754 number, as those of an integer. */
void pgqi_add_float8(pgqi_params *p, double value)
{
    int64_t bits;

    memcpy(&bits, &value, sizeof bits);
    add_number(p, PGQI_FLOAT8, bits, 8);
}

void pgqi_add_given_bool(pgqi_params *p, int value)
{
    if (value == PGQ_UNSET)
        pgqi_add_null(p, PGQI_BOOL);
    else
        pgqi_add_bool(p, value);
}

void pgqi_add_given_int4(pgqi_params *p, int64_t value)
{
    if (value == PGQ_UNSET)
        pgqi_add_null(p, PGQI_INT4);
    else
        pgqi_add_int4(p, (int32_t)value);
}

void pgqi_add_given_int8(pgqi_params *p, int64_t value)
{
    if (value == PGQ_UNSET)
        pgqi_add_null(p, PGQI_INT8);
    else
        pgqi_add_int8(p, value);
}

void pgqi_add_given_float8(pgqi_params *p, double value)
{
    if (value == PGQ_UNSET)
        pgqi_add_null(p, PGQI_FLOAT8);
    else
        pgqi_add_float8(p, value);
}

void pgqi_add_null(pgqi_params *p, int type)
{
    add(p, oids[type].scalar, NULL, 0);
}

void pgqi_add_null_array(pgqi_params *p, int type)
{
    add(p, oids[type].array, NULL, 0);
}

/* array_recv: dimensions, whether there are NULLs, the element's type; per dimension its length and
 * lower bound; then each element with its length before it, -1 for NULL. */
void pgqi_add_array(pgqi_params *p, int type, const pgqi_element *elements, size_t n)
{
    size_t size = n ? 20 : 12;
    unsigned char *array;
    unsigned char *at;
    int nulls = 0;

    for (size_t i = 0; i < n; i++) {
        size += 4 + elements[i].len;
        nulls |= !elements[i].data;
    }
    array = n <= INT_MAX && size <= INT_MAX ? pgqi_alloc(1, size) : NULL;
    if (!array || p->n == PGQI_MAX_PARAMS) {
        pgqi_free(array);
        p->failed = 1;
        return;
    }
    pgqi_put_int(array, n ? 1 : 0, 4);
    pgqi_put_int(array + 4, nulls, 4);
    pgqi_put_int(array + 8, oids[type].scalar, 4);
    if (n) {
        pgqi_put_int(array + 12, (int64_t)n, 4);
        pgqi_put_int(array + 16, 1, 4);
    }
    at = array + (n ? 20 : 12);
    for (size_t i = 0; i < n; i++) {
        pgqi_put_int(at, elements[i].data ? (int64_t)elements[i].len : -1, 4);
        at += 4;
        if (elements[i].data && elements[i].len) {
            memcpy(at, elements[i].data, elements[i].len);
            at += elements[i].len;
        }
    }
    add(p, oids[type].array, array, (size_t)(at - array));
    p->owned[p->n - 1] = array;
}

static void add_numbers(pgqi_params *p, int type, const void *values, size_t n, int bytes)
{
    pgqi_element *elements = pgqi_alloc(n, sizeof *elements);
    unsigned char *packed = pgqi_alloc(n, (size_t)bytes);

    if (!elements || !packed)
        p->failed = 1;
    else {
        for (size_t i = 0; i < n; i++) {
            int64_t v = bytes == 4 ? ((const int32_t *)values)[i] : ((const int64_t *)values)[i];

            elements[i].data = packed + i * (size_t)bytes;
            elements[i].len = (size_t)bytes;
            pgqi_put_int(packed + i * (size_t)bytes, v, bytes);
        }
        pgqi_add_array(p, type, elements, n);
    }
    pgqi_free(elements);
    pgqi_free(packed);
}

void pgqi_add_int4s(pgqi_params *p, const int32_t *values, size_t n)
{
    add_numbers(p, PGQI_INT4, values, n, 4);
}

void pgqi_add_int8s(pgqi_params *p, const int64_t *values, size_t n)
{
    add_numbers(p, PGQI_INT8, values, n, 8);
}

int64_t pgqi_field_int(const PGresult *res, int row, int column)
{
    return pgqi_field_int_or(res, row, column, 0);
}

int64_t pgqi_field_int_or(const PGresult *res, int row, int column, int64_t otherwise)
{
    if (PQgetisnull(res, row, column))
        return otherwise;
    return pgqi_get_int((const unsigned char *)PQgetvalue(res, row, column), PQgetlength(res, row, column));
}

const char *pgqi_field_int8s(const PGresult *res, int row, int column, size_t n)
{
    /* Before its elements: how many dimensions, whether there are NULLs, the type; the size, and the first
     * index. */
    enum { HEAD = 20 };

    if (PQgetlength(res, row, column) != (int)(HEAD + n * PGQI_INT8_ELEMENT))
        return NULL;
    return PQgetvalue(res, row, column) + HEAD;
}

void pgqi_get_int8s(const char *elements, size_t n, int64_t *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = pgqi_get_int((const unsigned char *)elements + i * PGQI_INT8_ELEMENT + 4, 8);
}

double pgqi_field_float(const PGresult *res, int row, int column)
{
    int64_t bits = pgqi_field_int(res, row, column);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

int64_t pgqi_server_time(int64_t us)
{
    return us < INT64_MIN + 1 + epoch_us ? INT64_MIN + 1 : us - epoch_us;
}

const char *pgqi_field_text(const PGresult *res, int row, int column)
{
    return PQgetisnull(res, row, column) ? NULL : PQgetvalue(res, row, column);
}

int64_t pgqi_field_time(const PGresult *res, int row, int column)
{
    return PQgetisnull(res, row, column) ? 0 : pgqi_field_int(res, row, column) + epoch_us;
}
