/* SPDX-License-Identifier: MIT */
/* json: verbs as JSON objects. */
#include "call.h"
#include "feed.h"
#include "json_value.h"
#include "parse.h"
#include "run.h"
#include "say.h"
#include "stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGS_MAX = 1000 };

/* An object on its way to become a call; what it owns. */
typedef struct reading {
    call c;
    struct json_object *o;
    const char *text; /* of the object */
    size_t len;
    const char *args[ARGS_NAMED][ARGS_MAX]; /* by their names */
    size_t counts[ARGS_NAMED];
    char *made[O_OPTIONS + 1];
    size_t made_n;
} reading;

static int add_argument(reading *r, size_t which, struct json_object *value)
{
    const char *name = r->c.verb->named[which];
    const char *text =
        json_object_is_type(value, json_type_string) || json_object_is_type(value, json_type_int)
            ? json_object_get_string(value)
            : NULL;
    if (!text || (json_object_is_type(value, json_type_string) &&
                  strlen(text) != (size_t)json_object_get_string_len(value)))
        return say_usage("%s is not allowed so: text or a number is, or a list of these", name);
    if (strcmp(text, "-") == 0)
        return say_usage("%s \"-\" is not allowed here: stdin is for objects", name);
    if (r->counts[which] == ARGS_MAX)
        return say_usage("more than %d of %s are not allowed", ARGS_MAX, name);
    r->args[which][r->counts[which]++] = text;
    return EXIT_DONE;
}

static int read_argument(reading *r, size_t which, struct json_object *value)
{
    int status = EXIT_DONE;
    if (!json_object_is_type(value, json_type_array))
        return value ? add_argument(r, which, value) : EXIT_DONE;
    for (size_t i = 0; i < json_object_array_length(value) && status == EXIT_DONE; i++)
        status = add_argument(r, which, json_object_array_get_idx(value, i));
    return status;
}

/* A string is text, anything else JSON, digit by digit. */
static void read_payload(reading *r, const char *key, struct json_object *value)
{
    given *kind = &r->c.opt[O_KIND];
    if (json_object_is_type(value, json_type_string)) {
        r->c.payload = json_object_get_string(value);
        r->c.payload_len = (size_t)json_object_get_string_len(value);
        return;
    }
    r->c.payload = json_member(r->text, r->len, key, &r->c.payload_len);
    if (!kind->set)
        *kind = (given){.set = true, .text = "json"};
}

static int read_option(reading *r, const char *key, struct json_object *value)
{
    option_id id = parse_option(r->c.verb, key);
    char why[256];
    if (id == O_DSN || id == O_NAMESPACE || id == O_HELP || id == O_VERSION)
        return say_usage("key \"%s\" is not allowed here: it belongs on the command line", key);
    if (id == O_END)
        return say_usage(
            "key \"%s\" is unknown to %s: its arguments and options are allowed, see pgq %s --help", key,
            r->c.verb->name, r->c.verb->name);
    if (!json_option(id, value, &r->c.opt[id], &r->made[r->made_n], why)) {
        free(r->made[r->made_n]);
        return say_usage("%s", why);
    }
    r->made_n += r->made[r->made_n] != NULL;
    return EXIT_DONE;
}

static int read_member(reading *r, const char *key, struct json_object *value)
{
    const verb *v = r->c.verb;
    if (strcmp(key, "cmd") == 0)
        return EXIT_DONE;
    if (v->flags & VERB_PAYLOAD && (strcmp(key, "payload") == 0 || strcmp(key, "message") == 0)) {
        if (r->c.payload)
            return say_usage("payload and message are one thing: only one of them is allowed");
        read_payload(r, key, value);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < ARGS_NAMED && v->named[i]; i++) {
        if (strcmp(key, v->named[i]) == 0)
            return read_argument(r, i, value);
    }
    return read_option(r, key, value);
}

static int run_call(reading *r, const call *outer)
{
    out o;
    call *c = &r->c;
    c->session = outer->session;
    c->out = &o;
    c->quiet = outer->quiet || c->opt[O_QUIET].set;
    int status = parse_check(c);
    if (status == EXIT_DONE && c->verb->flags & VERB_PAYLOAD && !c->payload && !c->opt[O_FILE].set)
        status = say_usage("%s needs a payload, or a file, here", c->verb->name);
    if (status == EXIT_DONE && c->opt[O_FILE].set && (c->payload || strcmp(c->opt[O_FILE].text, "-") == 0))
        status = say_usage("file is allowed here without a payload, and not as \"-\"");
    if (status != EXIT_DONE || !session_open(c->session, &status))
        return status;
    const char *format = c->opt[O_FORMAT].set ? c->opt[O_FORMAT].text : outer->opt[O_FORMAT].text;
    status = out_setup(&o, c, format ? format : "json");
    if (status == EXIT_DONE)
        status = c->verb->run(c);
    return out_end(&o, status);
}

static int gather_arguments(reading *r)
{
    size_t n = 0;
    for (size_t i = 0; i < ARGS_NAMED; i++)
        n += r->counts[i];
    r->c.args = calloc(n + 1, sizeof *r->c.args);
    if (!r->c.args)
        return say_failed("out of memory");
    for (size_t i = 0; i < ARGS_NAMED; i++) {
        for (size_t k = 0; k < r->counts[i]; k++)
            r->c.args[r->c.arg_count++] = r->args[i][k];
    }
    return EXIT_DONE;
}

static int read_object(reading *r)
{
    struct json_object *cmd = NULL;
    int status = EXIT_DONE;
    if (!json_object_is_type(r->o, json_type_object))
        return say_usage("an object is needed, such as {\"cmd\": \"view\"}");
    if (!json_object_object_get_ex(r->o, "cmd", &cmd) || !json_object_is_type(cmd, json_type_string))
        return say_usage("the object has no \"cmd\": the name of a verb is allowed");
    r->c.verb = verb_find(json_object_get_string(cmd));
    if (!r->c.verb || r->c.verb->flags & VERB_OFFLINE)
        return say_usage("cmd \"%s\" is unknown: the verbs that pgq --help lists are allowed",
                         json_object_get_string(cmd));
    json_object_object_foreach(r->o, key, value)
    {
        if (status == EXIT_DONE)
            status = read_member(r, key, value);
    }
    return status == EXIT_DONE ? gather_arguments(r) : status;
}

/* Takes over o. */
static int run_object(const call *outer, struct json_object *o, const char *text, size_t len)
{
    reading *r = calloc(1, sizeof *r);
    if (!r) {
        json_object_put(o);
        return say_failed("out of memory");
    }
    r->o = o;
    r->text = text;
    r->len = len;
    int status = read_object(r);
    if (status == EXIT_DONE)
        status = run_call(r, outer);
    for (size_t i = 0; i < r->made_n; i++)
        free(r->made[i]);
    free(r->c.args);
    json_object_put(o);
    free(r);
    return status;
}

/* The objects of a text, up to the first that fails or has no end; *used: so far. *worst: NOTHING if one said
 * so. */
static int run_objects(const call *outer, const char *text, size_t len, size_t *used, int *worst, int *number)
{
    *used = strspn(text, " \t\r\n");
    while (*used < len && !stop_signal()) {
        struct json_object *o;
        char why[256];
        size_t n;
        json_result got = json_read(text + *used, len - *used, &o, &n, why);
        if (got == JSON_CUT)
            return EXIT_DONE;
        say_where("object %d:", ++*number);
        int status = got == JSON_GOOD ? run_object(outer, o, text + *used, n) : say_usage("%s", why);
        say_where("%s", "");
        if (status == EXIT_NOTHING)
            *worst = EXIT_NOTHING;
        else if (status != EXIT_DONE)
            return status;
        *used += n;
    }
    return EXIT_DONE;
}

static int cut_short(int number)
{
    return say_usage("object %d: it is not JSON: it has no end", number + 1);
}

static int run_stdin(const call *c, int *worst, int *number)
{
    feed f = {.fd = STDIN_FILENO};
    buf text = {0};
    int status = EXIT_DONE;
    const char *line;
    size_t len, used = 0;
    feed_result got = FEED_IDLE;
    while (status == EXIT_DONE && (got = feed_next(&f, '\n', -1, &line, &len)) == FEED_ITEM) {
        buf_add(&text, line, len);
        buf_str(&text, "\n");
        if (text.failed) {
            status = say_failed("out of memory");
            break;
        }
        status = run_objects(c, text.data, text.len, &used, worst, number);
        memmove(text.data, text.data + used, text.len - used + 1);
        text.len -= used;
    }
    if (status == EXIT_DONE && got == FEED_FAILED)
        status = EXIT_FAILED;
    if (status == EXIT_DONE && text.len > 0 && !stop_signal())
        status = cut_short(*number);
    buf_free(&text);
    feed_free(&f);
    return status;
}

int run_json(call *c)
{
    int worst = EXIT_DONE, number = 0, status = EXIT_DONE;
    if (c->arg_count == 0)
        status = run_stdin(c, &worst, &number);
    for (size_t i = 0; i < c->arg_count && status == EXIT_DONE; i++) {
        size_t used;
        status = run_objects(c, c->args[i], strlen(c->args[i]), &used, &worst, &number);
        if (status == EXIT_DONE && used < strlen(c->args[i]) && !stop_signal())
            status = cut_short(number);
    }
    return status == EXIT_DONE ? worst : status;
}
