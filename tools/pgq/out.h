/* SPDX-License-Identifier: MIT */
/* stdout: rows, in the format that was asked for. */
#ifndef PGQ_CLI_OUT_H
#define PGQ_CLI_OUT_H

#include "buf.h"
#include "row.h"
#include "verb.h"

typedef enum out_format { OUT_TABLE, OUT_PLAIN, OUT_JSON, OUT_YAML, OUT_PROMETHEUS, OUT_RAW } out_format;

typedef struct table table;

typedef struct out {
    out_format format;
    const char *fields; /* NULL: all */
    bool lines;         /* a table is one of a row, a field a line */
    bool silent;        /* rows are let fall */
    bool exact;         /* raw: nothing behind the payload */
    char end;           /* raw: behind each payload */
    bool failed;        /* stdout is broken, or memory ran out, or a field is unknown: it was said */
    int status;         /* and this is the exit status */
    int64_t rows;
    buf b;
    table *table;
} out;

/* EXIT_DONE or EXIT_USAGE. format: NULL: the verb's. */
int out_setup(out *o, const call *c, const char *format);

/* Writes a row, or keeps it to be written. false: failed. */
bool out_row(out *o, const row *r);

/* Text as it is. */
bool out_text(out *o, const char *text, size_t len);

/* Writes what was kept, so that others see it. */
bool out_flush(out *o);

/* Flushes, and frees; the exit status, which becomes that of a failure if there was one. */
int out_end(out *o, int status);

/* For the formats. */
bool out_failed(out *o, int status);
void out_json(buf *b, const row *r);
void out_yaml(buf *b, const row *r);
table *table_new(bool lines);
bool table_row(table *t, const row *r, bool all);
void table_write(table *t, buf *b);
void table_free(table *t);

/* What a terminal may be shown of a text: no control character, no half one. */
void table_visible(buf *b, const char *p, size_t len);
/* How many columns it takes. */
size_t table_width(const char *p, size_t len);
/* A cell within so many columns; the last one of a line is not filled up. */
void table_put(buf *b, const char *p, size_t len, size_t width, bool right, bool last);

/* A field as plain text, escaped as the plain format has it. */
void out_plain_field(buf *b, const field *f);

#endif
