/* SPDX-License-Identifier: MIT */
#include "out.h"

#include "call.h"
#include "clock.h"
#include "say.h"
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEEP_BYTES = 65536, KEEP_ROWS = 500 };

static out_format format_named(const char *name)
{
    return *name == 't'                 ? OUT_TABLE
           : *name == 'j'               ? OUT_JSON
           : *name == 'y'               ? OUT_YAML
           : strcmp(name, "plain") == 0 ? OUT_PLAIN
                                        : OUT_PROMETHEUS;
}

int out_setup(out *o, const call *c, const char *format)
{
    bool terminal = isatty(STDOUT_FILENO);
    *o = (out){.fields = c->opt[O_FIELDS].text};
    o->end = c->opt[O_ZERO].set ? '\0' : '\n';
    o->exact = c->verb->flags & VERB_ONE_ROW;
    o->silent = c->quiet && c->verb->flags & VERB_REPORTS;
    o->lines = c->verb->flags & VERB_ONE_ROW;
    if (c->opt[O_RAW].set)
        o->format = OUT_RAW;
    else if (c->verb->flags & VERB_JSON_ROWS && !c->opt[O_FORMAT].set)
        o->format = OUT_JSON;
    else if (format && (strcmp(format, "prometheus") != 0 || strcmp(c->verb->name, "stats") == 0))
        o->format = format_named(format);
    else
        o->format = terminal ? OUT_TABLE : OUT_PLAIN;
    if (o->format == OUT_RAW && (c->opt[O_FORMAT].set || o->fields))
        return say_usage("--raw is not allowed with --format or --fields");
    if (o->format != OUT_TABLE)
        return EXIT_DONE;
    o->table = table_new(o->lines);
    return o->table ? EXIT_DONE : say_failed("out of memory");
}

bool out_failed(out *o, int status)
{
    o->failed = true;
    o->status = status;
    return false;
}

/* A write that blocks could not be called off by a signal that came before it. */
static bool writable(void)
{
    struct pollfd fds[] = {{.fd = STDOUT_FILENO, .events = POLLOUT}, {.fd = stop_fd(), .events = POLLIN}};
    while (!stop_signal()) {
        if (poll(fds, 2, -1) > 0 && fds[0].revents)
            return true;
    }
    return false;
}

static bool write_all(out *o, const char *p, size_t left)
{
    while (left > 0) {
        if (!writable())
            return out_failed(o, EXIT_FAILED);
        ssize_t n = write(STDOUT_FILENO, p, left);
        if (n >= 0) {
            p += n;
            left -= (size_t)n;
        } else if (errno != EINTR && errno != EAGAIN) {
            /* Who reads has enough, and knows. */
            return out_failed(o, errno == EPIPE ? EXIT_FAILED
                                                : say_failed("cannot write to stdout: %s", strerror(errno)));
        }
    }
    return true;
}

bool out_flush(out *o)
{
    if (o->failed)
        return false;
    if (o->table)
        table_write(o->table, &o->b);
    if (o->b.failed)
        return out_failed(o, say_failed("out of memory"));
    bool done = write_all(o, o->b.data, o->b.len);
    buf_clear(&o->b);
    return done;
}

bool out_text(out *o, const char *text, size_t len)
{
    buf_add(&o->b, text, len);
    return !o->b.failed || out_failed(o, say_failed("out of memory"));
}

/* --- plain --- */

static void escaped(buf *b, const char *p, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        const char *known = c == '\t'   ? "\\t"
                            : c == '\n' ? "\\n"
                            : c == '\r' ? "\\r"
                            : c == '\\' ? "\\\\"
                                        : NULL;
        if (!known && c >= 0x20 && c != 0x7f)
            continue;
        buf_add(b, p + from, i - from);
        if (known)
            buf_str(b, known);
        else
            buf_printf(b, "\\x%02x", c);
        from = i + 1;
    }
    buf_add(b, p + from, len - from);
}

void out_plain_field(buf *b, const field *f)
{
    char time[CLOCK_TEXT];
    switch (f->type) {
    case FIELD_NULL:
        buf_str(b, "\\N");
        break;
    case FIELD_INTEGER:
        buf_printf(b, "%lld", (long long)f->number);
        break;
    case FIELD_REAL:
        buf_printf(b, "%.10g", f->real);
        break;
    case FIELD_BOOL:
        buf_str(b, f->number ? "true" : "false");
        break;
    case FIELD_TIME:
        clock_text(f->number, 6, time);
        buf_str(b, time);
        break;
    case FIELD_TEXT:
    case FIELD_JSON:
        escaped(b, f->data, f->len);
        break;
    case FIELD_BYTES:
        buf_add(b, f->data, f->len);
        break;
    }
}

/* What only a format can say of a field: "encoding" is base64, but plain writes the bytes. */
static void plain(buf *b, const row *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const field *f = &r->fields[i];
        if (i > 0)
            buf_str(b, "\t");
        if (strcmp(f->name, "encoding") == 0 && f->len == strlen("base64"))
            buf_str(b, "binary");
        else
            out_plain_field(b, f);
    }
    buf_str(b, "\n");
}

/* --- rows --- */

/* The fields that were asked for. */
static bool chosen(out *o, const row *from, row *to)
{
    const char *p = o->fields;
    to->n = 0;
    for (;;) {
        size_t len = strcspn(p, ",");
        const field *f = row_find(from, p, len);
        if (!f || to->n == ROW_FIELDS) {
            buf known = {0};
            for (size_t i = 0; i < from->n; i++)
                buf_printf(&known, "%s%s", i ? ", " : "", from->fields[i].name);
            say_usage("field \"%.*s\" is unknown or one too many: there are %s", (int)len, p,
                      known.data ? known.data : "");
            buf_free(&known);
            return out_failed(o, EXIT_USAGE);
        }
        to->fields[to->n++] = *f;
        if (p[len] == '\0')
            return true;
        p += len + 1;
    }
}

static void raw(out *o, const row *r)
{
    const field *f = row_find(r, "payload", strlen("payload"));
    if (!f)
        return;
    buf_add(&o->b, f->data, f->len);
    if (!o->exact)
        buf_add(&o->b, &o->end, 1);
}

bool out_row(out *o, const row *whole)
{
    row some;
    const row *r = whole;
    if (o->failed)
        return false;
    if (o->silent)
        return true;
    if (o->fields) {
        if (!chosen(o, whole, &some))
            return false;
        r = &some;
    }
    o->rows++;
    switch (o->format) {
    case OUT_TABLE:
        if (!table_row(o->table, r, o->fields != NULL))
            return out_failed(o, say_failed("out of memory"));
        return o->rows % KEEP_ROWS != 0 || out_flush(o);
    case OUT_JSON:
        out_json(&o->b, r);
        break;
    case OUT_YAML:
        out_yaml(&o->b, r);
        break;
    case OUT_RAW:
        raw(o, r);
        break;
    default:
        plain(&o->b, r);
        break;
    }
    return o->b.len < KEEP_BYTES || out_flush(o);
}

int out_end(out *o, int status)
{
    if (o->format == OUT_YAML && o->rows == 0 && !o->silent &&
        (status == EXIT_DONE || status == EXIT_NOTHING))
        buf_str(&o->b, "[]\n");
    out_flush(o);
    table_free(o->table);
    buf_free(&o->b);
    return o->failed && (status == EXIT_DONE || status == EXIT_NOTHING) ? o->status : status;
}
