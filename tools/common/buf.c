/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for more bytes and the zero byte. */
static bool grow(buf *b, size_t more)
{
    if (b->failed || more > SIZE_MAX / 2 - b->len - 1) {
        b->failed = true;
        return false;
    }
    if (b->len + more + 1 <= b->cap)
        return true;
    size_t cap = b->cap > 0 ? b->cap : 256;
    while (cap < b->len + more + 1)
        cap *= 2;
    char *data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void buf_add(buf *b, const void *data, size_t len)
{
    if (!grow(b, len))
        return;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_str(buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_printf(buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if (!grow(b, (size_t)n))
        return;
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)n + 1, format, args);
    va_end(args);
    b->len += (size_t)n;
}

static const char *json_escape(unsigned char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

void buf_json(buf *b, const char *s, size_t len)
{
    size_t plain = 0; /* where the bytes begin that need no change */
    size_t i = 0;
    buf_add(b, "\"", 1);
    while (i < len && !b->failed) {
        unsigned char c = (unsigned char)s[i];
        const char *escape = json_escape(c);
        size_t n = utf8_char(s + i, len - i);
        if (!escape && c >= 0x20 && n > 0) {
            i += n;
            continue;
        }
        buf_add(b, s + plain, i - plain);
        if (escape)
            buf_str(b, escape);
        else if (n > 0)
            buf_printf(b, "\\u%04x", c);
        else
            buf_str(b, UTF8_REPLACEMENT);
        plain = ++i;
    }
    buf_add(b, s + plain, i - plain);
    buf_add(b, "\"", 1);
}

void buf_base64(buf *b, const void *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;
    if (len > SIZE_MAX / 4 || !grow(b, (len + 2) / 3 * 4)) {
        b->failed = true;
        return;
    }
    char *out = b->data + b->len;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = (unsigned)p[i] << 16 | (n > 1 ? (unsigned)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0u);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *out++ = n > 2 ? digits[v & 63] : '=';
    }
    *out = '\0';
    b->len = (size_t)(out - b->data);
}

void buf_clear(buf *b)
{
    b->len = 0;
    b->failed = false;
}

void buf_free(buf *b)
{
    free(b->data);
    *b = (buf){0};
}
