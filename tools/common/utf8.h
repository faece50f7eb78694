/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_UTF8_H
#define TOOLS_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* The bytes of the character at s, of which len > 0 are there; 0 if it is not UTF-8. */
size_t utf8_char(const char *s, size_t len);

bool utf8_valid(const char *s, size_t len);

#endif
