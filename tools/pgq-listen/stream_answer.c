/* SPDX-License-Identifier: MIT */
#include "stream_answer.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* One value, and nothing but blanks behind it. */
static struct json_object *parse(const char *line, size_t len)
{
    struct json_tokener *tokener = len <= INT_MAX ? json_tokener_new() : NULL;
    if (!tokener)
        return NULL;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS |
                                        JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json_tokener_parse_ex(tokener, line, (int)len);
    size_t end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    while (end < len && strchr(" \t\r", line[end]))
        end++;
    if (end == len)
        return o;
    json_object_put(o);
    return NULL;
}

bool stream_answer_read(const char *line, size_t len, int64_t id, stream_answer *answer)
{
    struct json_object *o = parse(line, len);
    struct json_object *member;
    bool understood = json_object_is_type(o, json_type_object) &&
                      json_object_object_get_ex(o, "ok", &member) &&
                      json_object_is_type(member, json_type_boolean);
    if (understood) {
        const char *error = "the command gave no reason";
        answer->ok = json_object_get_boolean(member);
        if (json_object_object_get_ex(o, "error", &member) && json_object_is_type(member, json_type_string))
            error = json_object_get_string(member);
        snprintf(answer->error, sizeof answer->error, "%s", answer->ok ? "" : error);
        if (json_object_object_get_ex(o, "id", &member))
            understood = json_object_is_type(member, json_type_int) && json_object_get_int64(member) == id;
    }
    json_object_put(o);
    return understood;
}
