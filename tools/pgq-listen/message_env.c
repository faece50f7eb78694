/* SPDX-License-Identifier: MIT */
#include "message_env.h"

#include "buf.h"
#include "clock.h"
#include "message_json.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

#define HEADER "PGQ_HEADER_"

typedef struct list {
    char **vars; /* ended by NULL */
    size_t count, cap;
    bool failed;
} list;

static size_t name_length(const char *var)
{
    const char *end = strchr(var, '=');
    return end ? (size_t)(end - var) : strlen(var);
}

/* Takes var over. A variable of the same name gives way: two headers may come to one name. */
static void put(list *l, char *var)
{
    size_t n = var ? name_length(var) + 1 : 0;
    if (!var)
        l->failed = true;
    for (size_t i = 0; var && i < l->count; i++) {
        if (strncmp(l->vars[i], var, n) == 0) {
            free(l->vars[i]);
            l->vars[i] = var;
            return;
        }
    }
    if (!l->failed && l->count + 1 >= l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        char **vars = realloc(l->vars, cap * sizeof *vars);
        if (vars) {
            l->vars = vars;
            l->cap = cap;
        } else {
            l->failed = true;
        }
    }
    if (l->failed) {
        free(var);
        return;
    }
    l->vars[l->count++] = var;
    l->vars[l->count] = NULL;
}

static void set(list *l, const char *name, const char *value)
{
    buf b = {0};
    buf_printf(&b, "%s=%s", name, value);
    if (b.failed)
        buf_free(&b);
    put(l, b.data);
}

static void set_number(list *l, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    set(l, name, text);
}

/* What our own environment says of a message is about another one, and NOTIFY_SOCKET and WATCHDOG_*
 * are between the service manager and us. */
static bool passes(const char *var)
{
    static const char *const ours[] = {
        "PGQ_ID",        "PGQ_QUEUE",     "PGQ_ATTEMPT",   "PGQ_ENQUEUED",  "PGQ_DUE",        "PGQ_KIND",
        "PGQ_PRIORITY",  "PGQ_ORDER_KEY", "PGQ_DEDUP_KEY", "PGQ_ERRORS",    "PGQ_LAST_ERROR", "PGQ_HEADERS",
        "PGQ_NAMESPACE", "PGQ_TOPIC",     "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    size_t n = name_length(var);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (strlen(ours[i]) == n && strncmp(var, ours[i], n) == 0)
            return false;
    }
    return strncmp(var, HEADER, strlen(HEADER)) != 0;
}

/* --- headers: a JSON object that the server has checked --- */

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
    }
    return *p ? p + 1 : p;
}

/* Behind a value: a string, a number or word, or something in brackets. */
static const char *skip_value(const char *p)
{
    int depth = 0;
    do {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']')
            depth--;
        p++;
    } while (*p && (depth > 0 || !strchr(",}] \t\r\n", *p)));
    return p;
}

/* A string of JSON, decoded. NULL: it holds U+0000, or memory ran out. */
static char *decode(const char *p, size_t len)
{
    char *text = NULL;
    struct json_tokener *tokener = json_tokener_new();
    if (!tokener)
        return NULL;
    struct json_object *o = json_tokener_parse_ex(tokener, p, (int)len);
    if (json_object_is_type(o, json_type_string)) {
        const char *s = json_object_get_string(o);
        if (strlen(s) == (size_t)json_object_get_string_len(o))
            text = strdup(s);
    }
    json_object_put(o);
    json_tokener_free(tokener);
    return text;
}

static void set_header(list *l, const char *key, const char *value)
{
    buf b = {0};
    buf_str(&b, HEADER);
    for (; *key; key++) {
        char c = *key;
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            c = '_';
        buf_add(&b, &c, 1);
    }
    if (b.failed)
        l->failed = true;
    else
        set(l, b.data, value);
    buf_free(&b);
}

/* Numbers are passed on digit by digit, as they were written. */
static void set_member(list *l, const char *key, size_t key_len, const char *value, size_t value_len)
{
    char *name = decode(key, key_len);
    char *text = NULL;
    if (*value == '"')
        text = decode(value, value_len);
    else if (*value != '{' && *value != '[' && *value != 'n')
        text = strndup(value, value_len);
    if (name && text)
        set_header(l, name, text);
    free(name);
    free(text);
}

static void set_headers(list *l, const char *headers)
{
    const char *p = skip_blanks(headers);
    if (*p != '{')
        return;
    p = skip_blanks(p + 1);
    while (*p == '"') {
        const char *key = p;
        const char *key_end = skip_string(p);
        p = skip_blanks(key_end);
        if (*p != ':')
            return;
        const char *value = skip_blanks(p + 1);
        p = skip_value(value);
        set_member(l, key, (size_t)(key_end - key), value, (size_t)(p - value));
        p = skip_blanks(p);
        if (*p != ',')
            return;
        p = skip_blanks(p + 1);
    }
}

static void set_message(list *l, const pgq_message *m, bool of_topic)
{
    char enqueued[CLOCK_TEXT], due[CLOCK_TEXT];
    clock_text(m->sent, 6, enqueued);
    clock_text(m->due, 6, due);
    set_number(l, "PGQ_ID", m->id);
    set(l, of_topic ? "PGQ_TOPIC" : "PGQ_QUEUE", m->queue);
    set_number(l, "PGQ_ATTEMPT", m->attempts);
    set(l, "PGQ_ENQUEUED", enqueued);
    if (m->due != 0)
        set(l, "PGQ_DUE", due);
    set(l, "PGQ_KIND", message_kind(m));
    if (!of_topic)
        set_number(l, "PGQ_PRIORITY", m->priority);
    if (m->order_key)
        set(l, "PGQ_ORDER_KEY", m->order_key);
    if (m->dedup_key)
        set(l, "PGQ_DEDUP_KEY", m->dedup_key);
    set_number(l, "PGQ_ERRORS", m->errors);
    if (m->last_error)
        set(l, "PGQ_LAST_ERROR", m->last_error);
    if (m->headers) {
        set(l, "PGQ_HEADERS", m->headers);
        set_headers(l, m->headers);
    }
}

char **message_env(const char *name_space, const pgq_message *m, bool of_topic)
{
    list l = {0};
    for (char **var = environ; *var; var++) {
        if (passes(*var))
            put(&l, strdup(*var));
    }
    set(&l, "PGQ_NAMESPACE", name_space);
    if (m)
        set_message(&l, m, of_topic);
    if (l.failed) {
        message_env_free(l.vars);
        return NULL;
    }
    return l.vars;
}

void message_env_free(char **env)
{
    for (char **var = env; var && *var; var++)
        free(*var);
    free(env);
}
