/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdint.h>
#include <string.h>

/* The length of the character at s, 0 if it is not one. RFC 3629. */
static size_t character(const unsigned char *s, size_t left, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len;
    uint32_t c;

    if (s[0] < 0x80)
        len = 1;
    else if ((s[0] & 0xe0) == 0xc0)
        len = 2;
    else if ((s[0] & 0xf0) == 0xe0)
        len = 3;
    else if ((s[0] & 0xf8) == 0xf0)
        len = 4;
    else
        return 0;
    if (len > left)
        return 0;
    c = len == 1 ? s[0] : s[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *code = c;
    return len;
}

int pgqi_is_utf8(const void *bytes, size_t len)
{
    const unsigned char *s = bytes;
    size_t n;
    uint32_t c;

    for (size_t i = 0; i < len; i += n) {
        n = character(s + i, len - i, &c);
        if (n == 0 || c == 0)
            return 0;
    }
    return 1;
}

size_t pgqi_utf8_trim(const char *s, size_t len)
{
    size_t i = len;
    uint32_t c;

    while (i > 0 && len - i < 4 && ((unsigned char)s[i - 1] & 0xc0) == 0x80)
        i--;
    if (i == 0 || (unsigned char)s[i - 1] < 0x80)
        return len;
    return character((const unsigned char *)s + i - 1, len - i + 1, &c) ? len : i - 1;
}

const char *pgqi_name_fault(const char *name)
{
    size_t len;
    size_t n;
    uint32_t c;

    if (!name)
        return "must not be NULL";
    len = strnlen(name, 161);
    if (len == 0)
        return "must not be empty: 1 to 160 bytes are allowed";
    if (len > 160)
        return "is too long: 1 to 160 bytes are allowed";
    for (size_t i = 0; i < len; i += n) {
        n = character((const unsigned char *)name + i, len - i, &c);
        if (n == 0)
            return "must be valid UTF-8";
        if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
            return "must not contain a control character";
    }
    if (name[0] == ' ' || name[len - 1] == ' ')
        return "must not begin or end with a blank";
    return NULL;
}
