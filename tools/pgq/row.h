/* SPDX-License-Identifier: MIT */
/* A row: what every verb gives, whatever it is written as. Strings are borrowed. */
#ifndef PGQ_CLI_ROW_H
#define PGQ_CLI_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROW_FIELDS = 24 };

typedef enum field_type {
    FIELD_NULL,
    FIELD_INTEGER,
    FIELD_REAL,
    FIELD_BOOL,
    FIELD_TEXT, /* UTF-8 */
    FIELD_TIME, /* microseconds since 1970-01-01 00:00 UTC */
    FIELD_JSON, /* a value, as it was sent */
    FIELD_BYTES
} field_type;

typedef struct field {
    const char *name;
    field_type type;
    bool detail; /* not in a table, unless it is asked for */
    int64_t number;
    double real;
    const char *data;
    size_t len;
} field;

typedef struct row {
    size_t n;
    field fields[ROW_FIELDS];
} row;

field *row_integer(row *r, const char *name, int64_t value);
field *row_real(row *r, const char *name, double value);
field *row_bool(row *r, const char *name, bool value);
field *row_text(row *r, const char *name, const char *value); /* NULL: null */
field *row_time(row *r, const char *name, int64_t us);        /* 0: null */
field *row_data(row *r, const char *name, field_type type, const void *data, size_t len);
field *row_null(row *r, const char *name);

const field *row_find(const row *r, const char *name, size_t len);

#endif
