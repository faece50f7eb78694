/* SPDX-License-Identifier: MIT */
/* A row as an entry of a YAML list: a map of plain numbers and quoted strings, which YAML 1.1 and 1.2 read
 * alike. */
#include "clock.h"
#include "out.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

/* The longest key that may stand without a "? " before it. */
enum { KEY_MAX = 250 };

static void add_char(buf *b, uint32_t c)
{
    if (c == '"' || c == '\\')
        buf_printf(b, "\\%c", (char)c);
    else if (c == '\n')
        buf_str(b, "\\n");
    else if (c == '\t')
        buf_str(b, "\\t");
    else
        buf_printf(b, c < 0x100 ? "\\x%02X" : "\\u%04X", (unsigned)c);
}

static uint32_t code_point(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    uint32_t c = n == 1 ? p[0] : n == 2 ? p[0] & 0x1f : n == 3 ? p[0] & 0x0f : p[0] & 0x07;
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

/* What YAML calls printable, less what breaks a line. */
static bool is_plain(uint32_t c)
{
    return c >= 0x20 && c != '"' && c != '\\' && !(c >= 0x7f && c < 0xa0) && c != 0x2028 && c != 0x2029 &&
           c != 0xfeff && c != 0xfffe && c != 0xffff;
}

static void add_quoted(buf *b, const char *s, size_t len)
{
    size_t from = 0;
    buf_str(b, "\"");
    for (size_t i = 0; i < len;) {
        size_t n = utf8_char(s + i, len - i);
        uint32_t c = n ? code_point(s + i, n) : 0xfffd;
        n = n ? n : 1;
        if (!is_plain(c) || c == 0xfffd) {
            buf_add(b, s + from, i - from);
            add_char(b, c);
            from = i + n;
        }
        i += n;
    }
    buf_add(b, s + from, len - from);
    buf_str(b, "\"");
}

/* --- JSON, which is YAML but for tabs, surrogates, long keys and some numbers --- */

static uint32_t hex4(const char *p)
{
    char digits[5];
    memcpy(digits, p, 4);
    digits[4] = '\0';
    return (uint32_t)strtoul(digits, NULL, 16);
}

static void add_utf8(buf *b, uint32_t c)
{
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i > 1; i--, c >>= 6)
        bytes[i - 1] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(lead[n] | c);
    buf_add(b, bytes, n);
}

/* What a string of JSON, from behind its first quote on, means; where it goes on. */
static size_t unescape(const char *p, size_t len, buf *to)
{
    size_t i = 0;
    while (i < len && p[i] != '"') {
        static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
        const char *known;
        if (p[i] != '\\' || i + 1 >= len) {
            buf_add(to, p + i++, 1);
        } else if (p[i + 1] == 'u' && i + 6 <= len) {
            uint32_t c = hex4(p + i + 2);
            i += 6;
            if (c >= 0xd800 && c < 0xdc00 && i + 6 <= len && p[i] == '\\' && p[i + 1] == 'u' &&
                hex4(p + i + 2) >= 0xdc00 && hex4(p + i + 2) < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + i + 2) - 0xdc00);
                i += 6;
            }
            add_utf8(to, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
        } else {
            known = strchr(from, p[i + 1]);
            buf_add(to, known ? &into[known - from] : &p[i + 1], 1);
            i += 2;
        }
    }
    return i < len ? i + 1 : len;
}

/* 1e2 is a string to YAML 1.1; 1.0e+2 is not. */
static void add_number(buf *b, const char *p, size_t len)
{
    size_t e = 0;
    while (e < len && p[e] != 'e' && p[e] != 'E')
        e++;
    buf_add(b, p, e);
    if (e == len)
        return;
    if (!memchr(p, '.', e))
        buf_str(b, ".0");
    buf_str(b, p[e + 1] == '+' || p[e + 1] == '-' ? "e" : "e+");
    buf_add(b, p + e + 1, len - e - 1);
}

static void add_string(buf *b, const char *p, size_t len, size_t *used)
{
    buf s = {0};
    size_t next, key;
    *used = unescape(p, len, &s);
    next = *used + strspn(p + *used, " \t\r\n");
    key = next < len && p[next] == ':' && s.len > KEY_MAX;
    if (key)
        buf_str(b, "? ");
    add_quoted(b, s.data ? s.data : "", s.len);
    if (key)
        buf_str(b, " ");
    b->failed |= s.failed;
    buf_free(&s);
}

static void add_json(buf *b, const char *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = 1;
        if (p[i] == '"') {
            add_string(b, p + i + 1, len - i - 1, &n);
            n++;
        } else if (p[i] == ',' || p[i] == ':') {
            buf_add(b, p + i, 1);
            buf_str(b, " ");
        } else if (p[i] == '-' || (p[i] >= '0' && p[i] <= '9')) {
            n = strspn(p + i, "+-.0123456789eE");
            add_number(b, p + i, n);
        } else if (!strchr(" \t\r\n", p[i])) {
            buf_add(b, p + i, 1);
        }
        i += n;
    }
}

static void add_value(buf *b, const field *f)
{
    char time[CLOCK_TEXT];
    switch (f->type) {
    case FIELD_NULL:
        buf_str(b, "null");
        break;
    case FIELD_TEXT:
        add_quoted(b, f->data, f->len);
        break;
    case FIELD_TIME:
        clock_text(f->number, 6, time);
        add_quoted(b, time, strlen(time));
        break;
    case FIELD_JSON:
        add_json(b, f->data, f->len);
        break;
    case FIELD_BYTES:
        buf_str(b, "\"");
        buf_base64(b, f->data, f->len);
        buf_str(b, "\"");
        break;
    default:
        out_plain_field(b, f);
        break;
    }
}

void out_yaml(buf *b, const row *r)
{
    for (size_t i = 0; i < r->n; i++) {
        buf_printf(b, "%s%s: ", i == 0 ? "- " : "  ", r->fields[i].name);
        add_value(b, &r->fields[i]);
        buf_str(b, "\n");
    }
}
