/* SPDX-License-Identifier: MIT */
#include "json_value.h"

#include "values.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 1000 };

static size_t blanks(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && memchr(" \t\r\n", text[n], 4))
        n++;
    return n;
}

json_result json_read(const char *text, size_t len, struct json_object **out, size_t *used, char why[256])
{
    struct json_tokener *t = len < INT_MAX ? json_tokener_new_ex(DEPTH_MAX) : NULL;
    enum json_tokener_error error;
    size_t end;
    *out = NULL;
    if (!t) {
        snprintf(why, 256, "out of memory");
        return JSON_BAD;
    }
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
                                  JSON_TOKENER_ALLOW_TRAILING_CHARS);
    *out = json_tokener_parse_ex(t, text, (int)len);
    error = json_tokener_get_error(t);
    end = error == json_tokener_continue ? len : json_tokener_get_parse_end(t);
    /* A number is known to have ended only by what follows it. */
    if (error == json_tokener_continue)
        *out = json_tokener_parse_ex(t, "", 1);
    json_result result = json_tokener_get_error(t) == json_tokener_success ? JSON_GOOD
                         : error == json_tokener_continue                  ? JSON_CUT
                                                                           : JSON_BAD;
    if (result != JSON_GOOD)
        snprintf(why, 256, "it is not JSON: %s", json_tokener_error_desc(json_tokener_get_error(t)));
    json_tokener_free(t);
    end += blanks(text + end, len - end);
    if (used) {
        *used = end;
    } else if (result == JSON_GOOD && end < len) {
        snprintf(why, 256, "something stands behind the JSON value");
        json_object_put(*out);
        *out = NULL;
        result = JSON_BAD;
    }
    return result;
}

/* Behind the string whose first quote is at i. */
static size_t behind_string(const char *p, size_t len, size_t i)
{
    for (i++; i < len && p[i] != '"'; i++)
        i += p[i] == '\\';
    return i + 1;
}

/* Behind the value at i. */
static size_t behind_value(const char *p, size_t len, size_t i)
{
    int depth = 0;
    while (i < len) {
        if (p[i] == '"') {
            i = behind_string(p, len, i);
            if (depth == 0)
                return i;
            continue;
        }
        if (p[i] == '{' || p[i] == '[') {
            depth++;
        } else if (p[i] == '}' || p[i] == ']') {
            if (depth == 0)
                return i;
            if (--depth == 0)
                return i + 1;
        } else if (depth == 0 && strchr(", \t\r\n", p[i])) {
            return i;
        }
        i++;
    }
    return len;
}

/* The last one of a name counts, as it does in json-c. */
const char *json_member(const char *text, size_t len, const char *name, size_t *value_len)
{
    const char *found = NULL;
    size_t i = blanks(text, len) + 1;
    while (i < len) {
        i += blanks(text + i, len - i);
        if (i >= len || text[i] != '"')
            break;
        size_t key = i, end = behind_string(text, len, i);
        i = end + blanks(text + end, len - end) + 1;
        i += blanks(text + i, len - i);
        size_t value = i;
        i = behind_value(text, len, i);
        if (end - key == strlen(name) + 2 && strncmp(text + key + 1, name, strlen(name)) == 0) {
            found = text + value;
            *value_len = i - value;
        }
        i += blanks(text + i, len - i);
        i += i < len && text[i] == ',';
    }
    return found;
}

/* A number as it was written, an object as JSON, and a string without a zero byte. */
static const char *text_of(struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string))
        return json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    const char *text = json_object_get_string(value);
    return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

bool json_option(option_id id, struct json_object *value, given *out, char **made, char why[256])
{
    bool flag = options[id].type == TYPE_FLAG, boolean = json_object_is_type(value, json_type_boolean);
    char allowed[256] = "";
    *made = NULL;
    if (!value || (flag && boolean && !json_object_get_boolean(value)))
        return true;
    if (flag && boolean)
        return value_read(id, NULL, out, why);
    const char *text = text_of(value);
    if (flag || !text) {
        snprintf(why, 256, "%s is not allowed so: %s", options[id].name,
                 flag ? "true and false are" : "text without U+0000 is");
        return false;
    }
    *made = strdup(text);
    if (!*made) {
        snprintf(why, 256, "out of memory");
        return false;
    }
    if (value_read(id, *made, out, allowed))
        return true;
    snprintf(why, 256, "%s %.60s is not allowed: %.140s", options[id].name, *made, allowed);
    return false;
}

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool json_base64(const char *text, size_t len, buf *out)
{
    if (len % 4 != 0)
        return false;
    for (size_t i = 0; i < len; i += 4) {
        bool last = i + 4 == len;
        int pad = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
        unsigned v = 0;
        unsigned char bytes[3];
        for (size_t k = 0; k < 4; k++) {
            int d = (int)k >= 4 - pad ? 0 : digit(text[i + k]);
            if (d < 0)
                return false;
            v = v << 6 | (unsigned)d;
        }
        bytes[0] = (unsigned char)(v >> 16);
        bytes[1] = (unsigned char)(v >> 8 & 255);
        bytes[2] = (unsigned char)(v & 255);
        buf_add(out, bytes, (size_t)(3 - pad));
    }
    return true;
}
