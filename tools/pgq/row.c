/* SPDX-License-Identifier: MIT */
#include "row.h"

#include <string.h>

static field *add(row *r, const char *name, field_type type)
{
    field *f = &r->fields[r->n++];
    *f = (field){.name = name, .type = type};
    return f;
}

field *row_null(row *r, const char *name)
{
    return add(r, name, FIELD_NULL);
}

field *row_integer(row *r, const char *name, int64_t value)
{
    field *f = add(r, name, FIELD_INTEGER);
    f->number = value;
    return f;
}

field *row_real(row *r, const char *name, double value)
{
    field *f = add(r, name, FIELD_REAL);
    f->real = value;
    return f;
}

field *row_bool(row *r, const char *name, bool value)
{
    field *f = add(r, name, FIELD_BOOL);
    f->number = value;
    return f;
}

field *row_data(row *r, const char *name, field_type type, const void *data, size_t len)
{
    field *f = add(r, name, type);
    f->data = data;
    f->len = len;
    return f;
}

field *row_text(row *r, const char *name, const char *value)
{
    return value ? row_data(r, name, FIELD_TEXT, value, strlen(value)) : row_null(r, name);
}

field *row_time(row *r, const char *name, int64_t us)
{
    field *f = add(r, name, us == 0 ? FIELD_NULL : FIELD_TIME);
    f->number = us;
    return f;
}

const field *row_find(const row *r, const char *name, size_t len)
{
    for (size_t i = 0; i < r->n; i++) {
        if (strlen(r->fields[i].name) == len && strncmp(r->fields[i].name, name, len) == 0)
            return &r->fields[i];
    }
    return NULL;
}
