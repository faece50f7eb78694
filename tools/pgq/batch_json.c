/* SPDX-License-Identifier: MIT */
/* A line of --jsonl. */
#include "batch.h"
#include "json_value.h"
#include "parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The options that a message can have. */
static const option_id own[] = {O_KIND,      O_PRIORITY,  O_DELAY,        O_TTL,         O_HEADERS,
                                O_DUE,       O_LEASE,     O_REQUEUE,      O_ERROR_LIMIT, O_REQUEUE_PRIORITY,
                                O_ORDER_KEY, O_DEDUP_KEY, O_DEDUP_WINDOW, O_END};

static bool is_own(option_id id)
{
    for (size_t i = 0; own[i] != O_END; i++) {
        if (own[i] == id)
            return true;
    }
    return false;
}

static bool read_member(batch *b, const verb *v, const char *key, struct json_object *value, given *g,
                        char why[256])
{
    option_id id = parse_option(v, key);
    char *made;
    if (strcmp(key, "payload") == 0 || strcmp(key, "encoding") == 0)
        return true;
    if (id == O_END || !is_own(id)) {
        snprintf(why, 256, "key \"%.60s\" is unknown: payload, encoding and options of a message are allowed",
                 key);
        return false;
    }
    g[id].set = false;
    if (!json_option(id, value, &g[id], &made, why)) {
        free(made);
        return false;
    }
    if (!made || batch_keep(b, made))
        return true;
    snprintf(why, 256, "out of memory");
    return false;
}

/* What encoding says, or what the payload is by itself. */
static bool add_payload(batch *b, struct json_object *o, const char *line, size_t len, given *g,
                        char why[256])
{
    struct json_object *payload = NULL, *encoding = NULL;
    pgq_enqueue_options send;
    buf bytes = {0};
    bool done, there = json_object_object_get_ex(o, "payload", &payload);
    bool text = json_object_is_type(payload, json_type_string);
    const char *how = json_object_object_get_ex(o, "encoding", &encoding) && encoding
                          ? json_object_get_string(encoding)
                          : NULL;
    const char *data = text ? json_object_get_string(payload) : NULL;
    size_t n = text ? (size_t)json_object_get_string_len(payload) : 0;
    if (!there ||
        (how && strcmp(how, "base64") != 0 && strcmp(how, "utf8") != 0 && strcmp(how, "json") != 0)) {
        snprintf(why, 256,
                 there ? "encoding \"%.60s\" is not allowed: utf8, json and base64 are" : "it has no payload",
                 how);
        return false;
    }
    if (how && *how == 'b') {
        if (!text || !json_base64(data, n, &bytes)) {
            buf_free(&bytes);
            snprintf(why, 256, "its payload is not base64");
            return false;
        }
        data = bytes.data;
        n = bytes.len;
        if (!g[O_KIND].set)
            g[O_KIND] = (given){.set = true, .text = "binary"};
    } else if ((how && *how == 'j') || !text) {
        data = json_member(line, len, "payload", &n);
        if (!g[O_KIND].set)
            g[O_KIND] = (given){.set = true, .text = "json"};
    }
    batch_options(g, &send);
    done = !bytes.failed && data && batch_add(b, data, n, &send);
    if (!done && !bytes.failed && n == 0)
        done = batch_add(b, "", 0, &send);
    buf_free(&bytes);
    if (!done)
        snprintf(why, 256, "out of memory, or its payload was not found");
    return done;
}

bool batch_add_json(batch *b, const char *line, size_t len, const verb *v, const given *g, char why[256])
{
    given mine[O_OPTIONS];
    struct json_object *o;
    bool good;
    if (json_read(line, len, &o, NULL, why) != JSON_GOOD)
        return false;
    good = json_object_is_type(o, json_type_object);
    if (!good)
        snprintf(why, 256, "it is no object");
    memcpy(mine, g, sizeof mine);
    if (good) {
        json_object_object_foreach(o, key, value)
        {
            if (good)
                good = read_member(b, v, key, value, mine, why);
        }
    }
    good = good && add_payload(b, o, line, len, mine, why);
    json_object_put(o);
    return good;
}
