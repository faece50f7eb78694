/* SPDX-License-Identifier: MIT */
#include "parse.h"

#include "say.h"
#include "values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct line {
    int argc, at;
    const char **argv;
} line;

static bool same_name(const char *text, size_t len, const char *name)
{
    if (len != strlen(name))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != name[i] && !(text[i] == '_' && name[i] == '-'))
            return false;
    }
    return true;
}

static option_id named(const verb *v, const char *name, size_t len)
{
    option_id id;
    for (size_t i = 0; (id = verb_option(v, i)) != O_END; i++) {
        if (same_name(name, len, options[id].name) ||
            (id == O_REQUEUE_PRIORITY && same_name(name, len, "requeue-prio")))
            return id;
    }
    return O_END;
}

static option_id lettered(const verb *v, char letter)
{
    option_id id;
    for (size_t i = 0; (id = verb_option(v, i)) != O_END; i++) {
        if (letter && options[id].letter == letter)
            return id;
    }
    return O_END;
}

option_id parse_option(const verb *v, const char *name)
{
    option_id id = named(v, name, strlen(name));
    return id == O_END && name[0] && !name[1] ? lettered(v, name[0]) : id;
}

static int unknown_option(const verb *v, const char *text)
{
    char known[1024];
    size_t n = 0;
    option_id id;
    for (size_t i = 0; (id = verb_option(v, i)) != O_END && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, " --%s", options[id].name);
    if (v)
        return say_usage("option \"%s\" is unknown to %s: these are allowed:%s", text, v->name, known);
    return say_usage("option \"%s\" is unknown here: before the verb these are allowed:%s", text, known);
}

static int set(call *c, option_id id, const char *value)
{
    char why[256];
    if (value_read(id, value, &c->opt[id], why))
        return EXIT_DONE;
    return say_usage("--%s \"%s\" is not allowed: %s", options[id].name, value ? value : "", why);
}

static bool needs_value(option_id id)
{
    return options[id].type != TYPE_FLAG && options[id].type != TYPE_YES_NO;
}

static int long_option(call *c, line *l, const char *arg)
{
    const char *equals = strchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
    option_id id = named(c->verb, arg, len);
    if (id == O_END)
        return unknown_option(c->verb, l->argv[l->at - 1]);
    if (equals)
        return set(c, id, equals + 1);
    if (!needs_value(id))
        return set(c, id, NULL);
    if (l->at == l->argc)
        return say_usage("option \"--%s\" needs a value: %s", options[id].name, options[id].value);
    return set(c, id, l->argv[l->at++]);
}

static int short_options(call *c, line *l, const char *letters)
{
    int status = EXIT_DONE;
    for (; status == EXIT_DONE && *letters; letters++) {
        option_id id = lettered(c->verb, *letters);
        char text[3] = {'-', *letters, '\0'};
        if (id == O_END)
            return unknown_option(c->verb, text);
        if (!needs_value(id)) {
            status = set(c, id, NULL);
            continue;
        }
        if (letters[1])
            return set(c, id, letters + 1);
        if (l->at == l->argc)
            return say_usage("option \"-%c\" needs a value: %s", *letters, options[id].value);
        return set(c, id, l->argv[l->at++]);
    }
    return status;
}

static int unknown_verb(const char *name)
{
    char known[1024];
    size_t n = 0;
    for (size_t i = 0; i < verb_count && n < sizeof known; i++) {
        if (!(verbs[i].flags & VERB_HIDDEN))
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", verbs[i].name);
    }
    return say_usage("verb \"%s\" is unknown: there are %s", name, known);
}

/* The second words of those that begin with word, parted by ", "; "" if it is none's first one. */
static void kin_of(const char *word, char kin[128])
{
    size_t n = 0, len = strlen(word);
    *kin = '\0';
    for (size_t i = 0; i < verb_count && n < 128; i++) {
        if (strncmp(verbs[i].name, word, len) == 0 && verbs[i].name[len] == ' ')
            n += (size_t)snprintf(kin + n, 128 - n, "%s%s", n ? ", " : "", verbs[i].name + len + 1);
    }
}

static int needs_another(const char *word)
{
    char kin[128];
    kin_of(word, kin);
    return say_usage("%s needs another word behind it: %s", word, kin);
}

/* The verb that a word is, or with the word before it: "dead list". */
static int find_verb(call *c, const char *word)
{
    char both[64], kin[128];
    if (c->family) {
        snprintf(both, sizeof both, "%s %s", c->family, word);
        c->verb = verb_find(both);
        return c->verb ? EXIT_DONE : needs_another(c->family);
    }
    c->verb = strchr(word, ' ') ? NULL : verb_find(word);
    if (c->verb)
        return EXIT_DONE;
    kin_of(word, kin);
    if (!*kin)
        return unknown_verb(word);
    c->family = word;
    return EXIT_DONE;
}

int parse_line(call *c, int argc, const char **argv)
{
    line l = {argc, 0, argv};
    bool words = false; /* "--" was there */
    int status = EXIT_DONE;
    c->args = calloc((size_t)argc + 1, sizeof *c->args);
    if (!c->args)
        return say_failed("out of memory");
    while (status == EXIT_DONE && l.at < l.argc) {
        const char *arg = argv[l.at++];
        if (words || arg[0] != '-' || arg[1] == '\0') {
            if (c->verb)
                c->args[c->arg_count++] = arg;
            else
                status = find_verb(c, arg);
        } else if (strcmp(arg, "--") == 0) {
            words = true;
        } else if (arg[1] == '-') {
            status = long_option(c, &l, arg + 2);
        } else {
            status = short_options(c, &l, arg + 1);
        }
    }
    if (status == EXIT_DONE && c->family && !c->verb && !c->opt[O_HELP].set && !c->opt[O_VERSION].set)
        status = needs_another(c->family);
    return status;
}

int parse_check(const call *c)
{
    const verb *v = c->verb;
    int n = (int)c->arg_count;
    if (n < v->min)
        return say_usage("%s needs %s: pgq %s %s", v->name,
                         v->max == 1 || n == 0 ? "an argument" : "more arguments", v->name, v->arguments);
    if (n > v->max)
        return say_usage("\"%s\" is not allowed here: pgq %s %s", c->args[v->max], v->name, v->arguments);
    if (c->opt[O_NAMESPACE].set && *c->opt[O_NAMESPACE].text == '\0')
        return say_usage("--namespace \"\" is not allowed: the name of a schema, of 1 to 63 bytes, is");
    if (c->opt[O_FORMAT].set && strcmp(c->opt[O_FORMAT].text, "prometheus") == 0 && v->run &&
        strcmp(v->name, "stats") != 0)
        return say_usage("--format prometheus is not allowed with %s: it is of stats", v->name);
    return EXIT_DONE;
}
