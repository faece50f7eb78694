/* SPDX-License-Identifier: MIT */
/* A row as a JSON object, by json-c. */
#include "clock.h"
#include "out.h"

#include <json-c/json.h>
#include <json-c/printbuf.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* A value that is JSON already goes digit by digit as it is, which parsing it would not promise. A string in
 * JSON holds no bare line break, so any that is there stands between values. */
static int verbatim(struct json_object *o, struct printbuf *pb, int level, int flags)
{
    const field *f = json_object_get_userdata(o);
    size_t from = 0;
    (void)level;
    (void)flags;
    for (size_t i = 0; i <= f->len; i++) {
        if (i < f->len && f->data[i] != '\n' && f->data[i] != '\r')
            continue;
        if (printbuf_memappend(pb, f->data + from, (int)(i - from)) < 0 ||
            (i < f->len && printbuf_memappend(pb, " ", 1) < 0))
            return -1;
        from = i + 1;
    }
    return 0;
}

static struct json_object *base64(const field *f)
{
    buf b = {0};
    buf_base64(&b, f->data, f->len);
    struct json_object *o =
        b.failed || b.len > INT_MAX ? NULL : json_object_new_string_len(b.data ? b.data : "", (int)b.len);
    buf_free(&b);
    return o;
}

static struct json_object *value(const field *f)
{
    char text[CLOCK_TEXT];
    struct json_object *o = NULL;
    switch (f->type) {
    case FIELD_INTEGER:
        return json_object_new_int64(f->number);
    case FIELD_REAL:
        snprintf(text, sizeof text, "%.10g", f->real);
        return json_object_new_double_s(f->real, text);
    case FIELD_BOOL:
        return json_object_new_boolean(f->number != 0);
    case FIELD_TEXT:
        return f->len > INT_MAX ? NULL : json_object_new_string_len(f->data, (int)f->len);
    case FIELD_TIME:
        clock_text(f->number, 6, text);
        return json_object_new_string(text);
    case FIELD_JSON:
        o = json_object_new_object();
        if (o)
            json_object_set_serializer(o, verbatim, (void *)f, NULL);
        return o;
    case FIELD_BYTES:
        return base64(f);
    case FIELD_NULL:
        break;
    }
    return NULL;
}

void out_json(buf *b, const row *r)
{
    struct json_object *o = json_object_new_object();
    const char *text = NULL;
    size_t len = 0;
    for (size_t i = 0; o && i < r->n; i++) {
        const field *f = &r->fields[i];
        struct json_object *v = value(f);
        if ((!v && f->type != FIELD_NULL) || json_object_object_add(o, f->name, v) != 0) {
            json_object_put(v);
            json_object_put(o);
            o = NULL;
        }
    }
    if (o)
        text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
                                                 &len);
    if (text)
        buf_add(b, text, len);
    else
        b->failed = true;
    buf_str(b, "\n");
    json_object_put(o);
}
