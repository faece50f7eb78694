/* SPDX-License-Identifier: MIT */
/* The text form of a message's id: its time of sending and its number, 16 hexadecimal digits each. */
#include <inttypes.h>
#include <pgq/message.h>
#include <stdio.h>
#include <string.h>

pgq_status pgq_id_to_text(int64_t id, int64_t sent, char out[PGQ_ID_TEXT_LEN + 1])
{
    if (!out || id < 0 || sent < 0)
        return PGQ_INVALID;
    snprintf(out, PGQ_ID_TEXT_LEN + 1, "%016" PRIx64 "%016" PRIx64, (uint64_t)sent, (uint64_t)id);
    return PGQ_OK;
}

static int read_half(const char *text, int64_t *out)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t n = 0;

    for (int i = 0; i < PGQ_ID_TEXT_LEN / 2; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

        if (!digit)
            return 0;
        n = n << 4 | (uint64_t)(digit - digits);
    }
    *out = (int64_t)n;
    return n <= INT64_MAX;
}

pgq_status pgq_id_from_text(const char *text, int64_t *id, int64_t *sent)
{
    int64_t number;
    int64_t time;

    if (!text || strnlen(text, PGQ_ID_TEXT_LEN + 1) != PGQ_ID_TEXT_LEN || !read_half(text, &time) ||
        !read_half(text + PGQ_ID_TEXT_LEN / 2, &number))
        return PGQ_INVALID;
    if (id)
        *id = number;
    if (sent)
        *sent = time;
    return PGQ_OK;
}
