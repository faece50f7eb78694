/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <pgq/pgq.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM     "pgq-listen"
#define SECONDS_MAX 9999999
#define POLL_MAX    2000000
#define JOBS_MAX    1024
#define RETRIES_MAX 1000000
#define NOT_GIVEN   (-2)
#define LEASE_MS    30000 /* of --lease alone; what a queue has built in, too */

enum { /* options without a letter */
       OPT_TOPIC = 256,
       OPT_AS,
       OPT_FROM,
       OPT_HOLD,
       OPT_RETRIES,
       OPT_TIMEOUT,
       OPT_KILL_AFTER,
       OPT_LEASE,
       OPT_STREAM,
       OPT_DRAIN,
       OPT_COUNT,
       OPT_POLL,
       OPT_LOG_FORMAT,
       OPT_QUIET,
       OPT_NOTIFY
};

typedef struct entry {
    int code; /* a letter, or one of the above */
    const char *name;
    const char *value; /* NULL: it takes none; in brackets: it may do without */
    const char *help;
} entry;

static const entry table[] = {
    {'d', "conninfo", "CONNINFO", "the server: a connection string or URI; default: libpq's environment"},
    {'n', "namespace", "NAME", "the schema of the queues; default: $PGQ_NAMESPACE, or mq"},
    {'q', "queue", "QUEUE", "take from this queue; may be given more than once"},
    {OPT_TOPIC, "topic", "TOPIC", "read this topic, and no queue"},
    {OPT_AS, "as", "SUBSCRIBER", "go on where this durable subscriber of the topic has stopped"},
    {OPT_FROM, "from", "POSITION", "a new subscriber begins at now, oldest, or a position; default: now"},
    {OPT_HOLD, "hold", "SECONDS", "keep what the subscriber has not read for so long; 0: not"},
    {OPT_RETRIES, "retries", "N", "pass over a message of a topic that fails more often"},
    {'j', "jobs", "N", "messages worked on at once, 1 to 1024; default: 1"},
    {OPT_TIMEOUT, "timeout", "SECONDS", "end COMMAND when it takes longer for a message; default: never"},
    {OPT_KILL_AFTER, "kill-after", "SECONDS", "what COMMAND gets between TERM and KILL; default: 5"},
    {OPT_LEASE, "lease", "[=SECONDS]", "hold messages by a lease, extended while it is needed; default: 30"},
    {OPT_STREAM, "stream", NULL, "start COMMAND once a job, and give it a line of JSON a message"},
    {OPT_DRAIN, "drain", NULL, "stop when no message is ready"},
    {OPT_COUNT, "count", "N", "stop after N messages"},
    {OPT_POLL, "poll", "SECONDS", "look at least that often, should a wake-up be lost; 0: never; default: 5"},
    {OPT_LOG_FORMAT, "log-format", "FORMAT", "what stderr gets: text or json; default: text"},
    {OPT_QUIET, "quiet", NULL, "do not tell of messages that were done"},
    {OPT_NOTIFY, "notify", NULL, "speak sd_notify with the service manager"},
    {'h', "help", NULL, "print this, and exit"},
    {'V', "version", NULL, "print the version, and exit"},
};
#define TABLE_SIZE (sizeof table / sizeof *table)

static options_result wrong(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

static options_result wrong(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, PROGRAM ": %s\n", text);
    return OPTIONS_WRONG;
}

static options_result wrong_option(const char *given)
{
    char known[512];
    size_t n = 0;
    for (size_t i = 0; i < TABLE_SIZE; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, " --%s", table[i].name);
    return wrong("option \"%s\" is unknown or ambiguous: these are allowed:%s", given, known);
}

static void print_help(void)
{
    printf(
        "Usage: " PROGRAM " -d CONNINFO -n NAME -q QUEUE [OPTION ...] [-- COMMAND [ARG ...]]\n"
        "       " PROGRAM
        " -d CONNINFO -n NAME --topic TOPIC [--as SUBSCRIBER] [OPTION ...] [-- COMMAND ...]\n"
        "Takes messages from queues in PostgreSQL, each in a transaction that ends with its work, or, for\n"
        "work of any length, by a lease; or reads the messages of a topic, and takes nothing away.\n\n"
        "With COMMAND, each message is the stdin of a child of its own; exit status 0 settles it.\n"
        "Without, each message is a line of JSON on stdout.\n\n");
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        char left[48];
        const entry *e = &table[i];
        const char *value = e->value ? e->value : "";
        const char *blank = e->value && *value != '[' ? " " : "";
        if (e->code < 256)
            snprintf(left, sizeof left, "-%c, --%s%s%s", e->code, e->name, blank, value);
        else
            snprintf(left, sizeof left, "    --%s%s%s", e->name, blank, value);
        printf("  %-26s %s\n", left, e->help);
    }
    printf("\nExit status: 0 stopped or nothing left, 1 failed, 2 usage. See " PROGRAM "(1).\n");
}

/* --- values --- */

static bool read_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= min && *out <= max;
}

/* Seconds, with up to three decimals, in milliseconds. */
static bool read_seconds(const char *text, int64_t min_ms, int64_t max, int64_t *out)
{
    char whole[16];
    size_t digits = strspn(text, "0123456789");
    const char *p = text + digits;
    int64_t ms = 0;
    if (digits >= sizeof whole)
        return false;
    memcpy(whole, text, digits);
    whole[digits] = '\0';
    if (*p == '.') {
        int64_t unit = 100;
        for (p++; *p >= '0' && *p <= '9' && unit > 0; p++, unit /= 10)
            ms += (*p - '0') * unit;
        if (p[-1] == '.')
            return false;
    }
    if (*p != '\0' || !read_int(whole, 0, max, out))
        return false;
    *out = *out * 1000 + ms;
    return *out >= min_ms && *out <= max * 1000;
}

static options_result set_seconds(const char *option, const char *text, int64_t min_ms, int64_t max,
                                  int64_t *out)
{
    if (read_seconds(text, min_ms, max, out))
        return OPTIONS_RUN;
    return wrong("--%s \"%s\" is not allowed: %s to %lld seconds are, with at most three decimals", option,
                 text, min_ms == 0 ? "0" : "0.001", (long long)max);
}

static options_result set_format(options *o, const char *text)
{
    if (strcmp(text, "text") != 0 && strcmp(text, "json") != 0)
        return wrong("--log-format \"%s\" is not allowed: text and json are", text);
    o->format = *text == 't' ? LOG_TEXT : LOG_JSON;
    return OPTIONS_RUN;
}

static options_result set_jobs(options *o, const char *text)
{
    int64_t n;
    if (!read_int(text, 1, JOBS_MAX, &n))
        return wrong("--jobs \"%s\" is not allowed: 1 to %d are", text, JOBS_MAX);
    o->jobs = (int)n;
    return OPTIONS_RUN;
}

static options_result set_hold(options *o, const char *text)
{
    options_result r = set_seconds("hold", text, 0, SECONDS_MAX, &o->hold_ms);
    if (r == OPTIONS_RUN && o->hold_ms == 0)
        o->hold_ms = -1;
    return r;
}

static options_result set_poll(options *o, const char *text)
{
    int64_t ms;
    options_result r = set_seconds("poll", text, 0, POLL_MAX, &ms);
    if (r == OPTIONS_RUN)
        o->poll_ms = ms == 0 ? -1 : (int)ms;
    return r;
}

static options_result set_of_topic(options *o, int code, const char *value)
{
    switch (code) {
    case OPT_TOPIC:
        if (o->topic)
            return wrong("--topic \"%s\" is one too many: one topic is read", value);
        o->topic = value;
        break;
    case OPT_AS:
        o->subscriber = value;
        break;
    case OPT_FROM:
        o->from = value;
        break;
    case OPT_HOLD:
        return set_hold(o, value);
    case OPT_RETRIES:
        if (!read_int(value, 0, RETRIES_MAX, &o->retries))
            return wrong("--retries \"%s\" is not allowed: 0 to %d are", value, RETRIES_MAX);
        break;
    default:
        break;
    }
    return OPTIONS_RUN;
}

static options_result set(options *o, int code, const char *value)
{
    switch (code) {
    case 'd':
        o->conninfo = value;
        break;
    case 'n':
        o->name_space = value;
        break;
    case 'q':
        o->queues[o->queue_count++] = value;
        break;
    case 'j':
        return set_jobs(o, value);
    case OPT_TIMEOUT:
        return set_seconds("timeout", value, 1, SECONDS_MAX, &o->timeout_ms);
    case OPT_KILL_AFTER:
        return set_seconds("kill-after", value, 0, SECONDS_MAX, &o->kill_after_ms);
    case OPT_LEASE:
        o->lease_ms = LEASE_MS;
        return value ? set_seconds("lease", value, 1, SECONDS_MAX, &o->lease_ms) : OPTIONS_RUN;
    case OPT_STREAM:
        o->stream = true;
        break;
    case OPT_DRAIN:
        o->drain = true;
        break;
    case OPT_COUNT:
        if (!read_int(value, 1, INT64_MAX, &o->count))
            return wrong("--count \"%s\" is not allowed: a whole number from 1 is", value);
        break;
    case OPT_POLL:
        return set_poll(o, value);
    case OPT_LOG_FORMAT:
        return set_format(o, value);
    case OPT_QUIET:
        o->quiet = true;
        break;
    case OPT_NOTIFY:
        o->notify = true;
        break;
    case 'h':
        print_help();
        return OPTIONS_DONE;
    case 'V':
        printf(PROGRAM " %s\n", pgq_version_string());
        return OPTIONS_DONE;
    default:
        return set_of_topic(o, code, value);
    }
    return OPTIONS_RUN;
}

/* --- the line --- */

/* The table as getopt_long() wants it. */
static void getopt_tables(struct option *longs, char *shorts)
{
    char *p = shorts;
    *p++ = '+'; /* what follows COMMAND is not ours */
    *p++ = ':';
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        const entry *e = &table[i];
        int takes = !e->value ? no_argument : *e->value == '[' ? optional_argument : required_argument;
        longs[i] = (struct option){e->name, takes, NULL, e->code};
        if (e->code < 256) {
            *p++ = (char)e->code;
            if (e->value)
                *p++ = ':';
        }
    }
    longs[TABLE_SIZE] = (struct option){NULL, 0, NULL, 0};
    *p = '\0';
}

static options_result not_an_option(int c, char **argv)
{
    char letter[3] = {'-', (char)optopt, '\0'};
    const char *given = argv[optind - 1];
    if (c == ':')
        return wrong("option \"%s\" needs a value: see --help", given);
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        if (optopt == table[i].code && strncmp(given, "--", 2) == 0)
            return wrong("option \"--%s\" takes no value", table[i].name);
    }
    return wrong_option(optopt > 0 && optopt < 256 ? letter : given);
}

static options_result check_topic(options *o)
{
    const char *extra = o->subscriber             ? "as"
                        : o->from                 ? "from"
                        : o->hold_ms != PGQ_UNSET ? "hold"
                        : o->retries != NOT_GIVEN ? "retries"
                                                  : NULL;
    if (!o->topic)
        return extra ? wrong("--%s needs --topic TOPIC: it is of topics alone", extra) : OPTIONS_RUN;
    if (o->queue_count > 0)
        return wrong("--topic and --queue do not go together: start a pgq-listen for each");
    if (o->jobs > 1)
        return wrong(
            "--jobs does not go with --topic: its messages are handled in their order, one at a time");
    if (o->lease_ms > 0)
        return wrong("--lease does not go with --topic: reading takes no message away that could come back");
    if (o->hold_ms != PGQ_UNSET && !o->subscriber)
        return wrong("--hold needs --as SUBSCRIBER: only a durable subscriber keeps messages");
    if (o->retries != NOT_GIVEN && !o->command)
        return wrong("--retries needs a COMMAND: write it behind --");
    if (o->retries == NOT_GIVEN)
        o->retries = o->subscriber ? -1 : 0;
    return OPTIONS_RUN;
}

static options_result check(options *o, int argc, char **argv)
{
    if (optind < argc && strcmp(argv[optind - 1], "--") != 0)
        return wrong("\"%s\" is not allowed here: options are, and a COMMAND behind --", argv[optind]);
    if (optind == argc && optind > 1 && strcmp(argv[optind - 1], "--") == 0)
        return wrong("-- needs a COMMAND behind it");
    if (optind < argc)
        o->command = argv + optind;
    if (o->queue_count == 0 && !o->topic)
        return wrong(
            "there is no queue to take from: one -q QUEUE, or more, is needed, or one --topic TOPIC");
    if (o->name_space && *o->name_space == '\0')
        return wrong("--namespace \"\" is not allowed: the name of a schema, of 1 to 63 bytes, is");
    if (o->stream && !o->command)
        return wrong("--stream needs a COMMAND: write it behind --");
    if (o->timeout_ms > 0 && !o->command)
        return wrong("--timeout needs a COMMAND: write it behind --");
    return check_topic(o);
}

options_result options_read(options *o, int argc, char **argv)
{
    struct option longs[TABLE_SIZE + 1];
    char shorts[2 * TABLE_SIZE + 3];
    options_result r = OPTIONS_RUN;
    const char *name_space = getenv("PGQ_NAMESPACE");
    int c;
    *o = (options){.jobs = 1, .kill_after_ms = 5000, .hold_ms = PGQ_UNSET, .retries = NOT_GIVEN};
    o->name_space = name_space && *name_space ? name_space : NULL;
    o->queues = calloc((size_t)argc, sizeof *o->queues);
    if (!o->queues)
        return wrong("out of memory");
    getopt_tables(longs, shorts);
    opterr = 0;
    while (r == OPTIONS_RUN && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1)
        r = c == '?' || c == ':' ? not_an_option(c, argv) : set(o, c, optarg);
    return r == OPTIONS_RUN ? check(o, argc, argv) : r;
}

void options_free(options *o)
{
    free(o->queues);
    o->queues = NULL;
}
