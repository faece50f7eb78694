/* SPDX-License-Identifier: MIT */
/* A string that grows. When memory runs out it says so in failed, and stays as it was. */
#ifndef TOOLS_BUF_H
#define TOOLS_BUF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct buf {
    char *data; /* ended by a zero byte that len does not count; NULL while empty */
    size_t len, cap;
    bool failed;
} buf;

void buf_add(buf *b, const void *data, size_t len);
void buf_str(buf *b, const char *s);
void buf_printf(buf *b, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* A JSON string, quotes included. What is not UTF-8 becomes U+FFFD. */
void buf_json(buf *b, const char *s, size_t len);

/* Base64, without quotes. */
void buf_base64(buf *b, const void *data, size_t len);

void buf_clear(buf *b); /* keeps the memory */
void buf_free(buf *b);

#endif
