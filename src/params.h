/* SPDX-License-Identifier: MIT */
/* The arguments of one statement, all in the binary format. They borrow what they are given. */
#ifndef PGQI_PARAMS_H
#define PGQI_PARAMS_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

enum { PGQI_MAX_PARAMS = 16 };

typedef struct pgqi_params {
    int n;
    Oid types[PGQI_MAX_PARAMS];
    const char *values[PGQI_MAX_PARAMS];
    int lengths[PGQI_MAX_PARAMS];
    int formats[PGQI_MAX_PARAMS];
    unsigned char numbers[PGQI_MAX_PARAMS][8];
    void *owned[PGQI_MAX_PARAMS];
    int failed;  /* memory ran out: do not send */
    int prepare; /* the statement's text is a literal that is sent over and over */
} pgqi_params;

void pgqi_params_init(pgqi_params *p);
void pgqi_params_free(pgqi_params *p);

/* NULL is SQL's NULL. */
void pgqi_add_text(pgqi_params *p, const char *s);
void pgqi_add_bytea(pgqi_params *p, const void *bytes, size_t len);
void pgqi_add_bool(pgqi_params *p, int value);
void pgqi_add_int2(pgqi_params *p, int16_t value);
void pgqi_add_int4(pgqi_params *p, int32_t value);
void pgqi_add_int8(pgqi_params *p, int64_t value);
void pgqi_add_float8(pgqi_params *p, double value);
/* PGQ_UNSET is SQL's NULL. */
void pgqi_add_given_bool(pgqi_params *p, int value);
void pgqi_add_given_int4(pgqi_params *p, int64_t value);
void pgqi_add_given_int8(pgqi_params *p, int64_t value);
void pgqi_add_given_float8(pgqi_params *p, double value);
/* In the server's own count: microseconds since 2000-01-01; INT64_MIN is -infinity. */
void pgqi_add_timestamptz(pgqi_params *p, int64_t value);
enum { PGQI_INT2, PGQI_INT4, PGQI_INT8, PGQI_BOOL, PGQI_TIMESTAMPTZ, PGQI_TEXT, PGQI_BYTEA, PGQI_FLOAT8 };
void pgqi_add_null(pgqi_params *p, int type);
void pgqi_add_null_array(pgqi_params *p, int type);

/* One element of an array: data NULL is SQL's NULL. */
typedef struct pgqi_element {
    const void *data;
    size_t len;
} pgqi_element;

/* An array of one dimension; its elements are in the binary format of the type, and are copied. */
void pgqi_add_array(pgqi_params *p, int type, const pgqi_element *elements, size_t n);
void pgqi_add_int4s(pgqi_params *p, const int32_t *values, size_t n);
void pgqi_add_int8s(pgqi_params *p, const int64_t *values, size_t n);

/* Numbers in network order. */
void pgqi_put_int(unsigned char *to, int64_t value, int bytes);
int64_t pgqi_get_int(const unsigned char *from, int bytes);

/* A field of a binary result; 0 for NULL. */
int64_t pgqi_field_int(const PGresult *res, int row, int column);
int64_t pgqi_field_int_or(const PGresult *res, int row, int column, int64_t otherwise);
/* The elements of an array of n numbers of eight bytes, none of them NULL, as they stand in the result, each
 * with its length before it. NULL: the field is no such array. */
enum { PGQI_INT8_ELEMENT = 12 };
const char *pgqi_field_int8s(const PGresult *res, int row, int column, size_t n);
void pgqi_get_int8s(const char *elements, size_t n, int64_t *to);
/* NULL for NULL. */
const char *pgqi_field_text(const PGresult *res, int row, int column);
double pgqi_field_float(const PGresult *res, int row, int column);
/* From microseconds since 1970-01-01 to the server's count, within what it can hold. */
int64_t pgqi_server_time(int64_t us);
/* A timestamp as microseconds since 1970-01-01; 0 for NULL. */
int64_t pgqi_field_time(const PGresult *res, int row, int column);

#endif
