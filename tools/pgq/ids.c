/* SPDX-License-Identifier: MIT */
#include "ids.h"

#include "say.h"
#include "values.h"

#include <stdlib.h>
#include <string.h>

bool ids_read(const char *const *texts, size_t n, int64_t **ids)
{
    *ids = calloc(n, sizeof **ids);
    if (!*ids) {
        say_failed("out of memory");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!value_integer(texts[i], 0, INT64_MAX, &(*ids)[i])) {
            say_usage("\"%s\" is no ID: a whole number is", texts[i]);
            free(*ids);
            *ids = NULL;
            return false;
        }
    }
    return true;
}

bool receipt_read(const char *text, pgq_receipt *out)
{
    char id[24];
    int64_t attempt = 0;
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : sizeof id;
    if (len < sizeof id) {
        memcpy(id, text, len);
        id[len] = '\0';
        if (value_integer(id, 0, INT64_MAX, &out->id) && value_integer(colon + 1, 0, INT32_MAX, &attempt)) {
            out->attempt = (int32_t)attempt;
            return true;
        }
    }
    say_usage("\"%.80s\" is no receipt: ID:ATTEMPTS is, the field receipt of what receive gave", text);
    return false;
}
