/* SPDX-License-Identifier: MIT */
#include "options.h"

#include "cases.h"

#include <errno.h>
#include <getopt.h>
#include <pgq/pgq.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM     "pgq-bench"
#define SECONDS_MAX 86400
#define CLIENTS_MAX 1024
#define PAYLOAD_MAX 65536
#define BATCH_MAX   100000
#define BATCH_MOST  1000 /* unless the case says otherwise: what a claim gives */
#define ROWS_MAX    100000000

enum { /* options without a letter */
       OPT_SECONDS = 256,
       OPT_CLIENTS,
       OPT_PAYLOAD,
       OPT_BATCH,
       OPT_SLEEPERS,
       OPT_AWAKE,
       OPT_ROWS,
       OPT_JSON
};

typedef struct entry {
    int code; /* a letter, or one of the above */
    const char *name;
    const char *value; /* NULL: it takes none */
    const char *help;
} entry;

static const entry table[] = {
    {'d', "conninfo", "CONNINFO", "the server: a connection string or URI; default: libpq's environment"},
    {OPT_SECONDS, "seconds", "N", "how long to measure, both sides together; default: 10, of held 120"},
    {OPT_CLIENTS, "clients", "C", "clients at once, 1 to 1024; default: 1, of send-bell 32, of async 8"},
    {OPT_PAYLOAD, "payload", "BYTES", "of each message, 0 to 65536; default: 64"},
    {OPT_BATCH, "batch", "N", "messages at once, 1 to 1000, of send-batch to 100000; default: 100"},
    {OPT_SLEEPERS, "sleepers", "S", "of send-bell and subscribers: listeners asleep, 0 to 1024; default: 8"},
    {OPT_AWAKE, "awake", "A", "of send-bell and subscribers: listeners awake, 0 to 1024; default: 0"},
    {OPT_ROWS, "rows", "N", "of dead, crowd and backlog: rows, 1000 to 100000000"},
    {OPT_JSON, "json", NULL, "print one JSON object in place of the text"},
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
        "Usage: " PROGRAM " [OPTION ...] CASE\n"
        "       " PROGRAM " [OPTION ...] held|readers CASE\n"
        "Measures pgq on a PostgreSQL server against the same work done by hand-written statements.\n"
        "It makes the schemas pgq_bench, pgq_bench_empty and pgq_bench_floor, and drops them at the end.\n\n"
        "Cases:\n");
    for (size_t i = 0; cases[i].name; i++)
        printf("  %-12s %s\n", cases[i].name, cases[i].help);
    printf("\nOptions:\n");
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        char left[48];
        const entry *e = &table[i];
        const char *value = e->value ? e->value : "";
        const char *blank = e->value ? " " : "";
        if (e->code < 256)
            snprintf(left, sizeof left, "-%c, --%s%s%s", e->code, e->name, blank, value);
        else
            snprintf(left, sizeof left, "    --%s%s%s", e->name, blank, value);
        printf("  %-25s %s\n", left, e->help);
    }
    printf("\nExit status: 0 measured, 1 failed, 2 usage. See " PROGRAM "(1).\n");
}

/* --- values --- */

static options_result set_int(const char *option, const char *text, long min, long max, long *out)
{
    char *end = NULL;
    errno = 0;
    if (*text >= '0' && *text <= '9')
        *out = strtol(text, &end, 10);
    if (!end || errno != 0 || *end != '\0' || *out < min || *out > max)
        return wrong("--%s \"%s\" is not allowed: %ld to %ld are", option, text, min, max);
    return OPTIONS_RUN;
}

static options_result set_number(const char *option, const char *text, long min, long max, int *out)
{
    long n = 0;
    options_result r = set_int(option, text, min, max, &n);
    *out = (int)n;
    return r;
}

static options_result set(options *o, int code, const char *value)
{
    long seconds = 0;
    options_result r = OPTIONS_RUN;
    switch (code) {
    case 'd':
        o->conninfo = value;
        break;
    case OPT_SECONDS:
        r = set_int("seconds", value, 1, SECONDS_MAX, &seconds);
        o->seconds = (double)seconds;
        break;
    case OPT_CLIENTS:
        return set_number("clients", value, 1, CLIENTS_MAX, &o->clients);
    case OPT_PAYLOAD:
        return set_number("payload", value, 0, PAYLOAD_MAX, &o->payload);
    case OPT_BATCH:
        return set_number("batch", value, 1, BATCH_MAX, &o->batch);
    case OPT_SLEEPERS:
        return set_number("sleepers", value, 0, CLIENTS_MAX, &o->sleepers);
    case OPT_AWAKE:
        return set_number("awake", value, 0, CLIENTS_MAX, &o->awake);
    case OPT_ROWS:
        return set_int("rows", value, 1000, ROWS_MAX, &o->rows);
    case OPT_JSON:
        o->json = true;
        break;
    case 'h':
        print_help();
        return OPTIONS_DONE;
    default:
        printf(PROGRAM " %s\n", pgq_version_string());
        return OPTIONS_DONE;
    }
    return r;
}

/* --- the table, for getopt_long() --- */

static void getopt_tables(struct option longs[TABLE_SIZE + 1], char shorts[2 * TABLE_SIZE + 2])
{
    size_t n = 0;
    shorts[n++] = ':';
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        const entry *e = &table[i];
        int takes = e->value ? required_argument : no_argument;
        longs[i] = (struct option){e->name, takes, NULL, e->code};
        if (e->code < 256) {
            shorts[n++] = (char)e->code;
            if (e->value)
                shorts[n++] = ':';
        }
    }
    longs[TABLE_SIZE] = (struct option){0};
    shorts[n] = '\0';
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

/* --- the case --- */

static options_result find_case(const char *name, bool under, const bench_case **out)
{
    char known[512];
    size_t n = 0;
    known[0] = '\0';
    for (const bench_case *c = cases; c->name; c++) {
        if (under && !c->work)
            continue;
        if (strcmp(c->name, name) == 0) {
            *out = c;
            return OPTIONS_RUN;
        }
        n += (size_t)snprintf(known + n, sizeof known - n, " %s", c->name);
    }
    return wrong("case \"%s\" is not allowed%s: these are:%s", name, under ? " here" : "", known);
}

static void defaults(options *o)
{
    const bench_case *shape = o->of ? o->of : o->what;
    if (o->seconds <= 0)
        o->seconds = o->what->seconds > 0 ? o->what->seconds : 10;
    if (o->clients == 0)
        o->clients = shape->clients > 0 ? shape->clients : 1;
    if (o->batch == 0)
        o->batch = shape->batch > 0 ? shape->batch : 1;
    if (o->rows == 0)
        o->rows = o->what->rows;
}

static options_result check(options *o, int argc, char **argv)
{
    const bench_case *shape;
    options_result r;
    if (optind == argc)
        return wrong("a CASE is needed: see --help");
    r = find_case(argv[optind++], false, &o->what);
    if (r != OPTIONS_RUN)
        return r;
    if (o->what->takes_case && optind == argc)
        return wrong("case \"%s\" needs a CASE behind it: what is measured", o->what->name);
    if (o->what->takes_case)
        r = find_case(argv[optind++], true, &o->of);
    if (r != OPTIONS_RUN)
        return r;
    if (optind < argc)
        return wrong("\"%s\" is not allowed here: case \"%s\" takes nothing more", argv[optind],
                     o->what->name);
    shape = o->of ? o->of : o->what;
    if (o->batch > 0 && shape->batch == 0)
        return wrong("--batch is not allowed with case \"%s\", which takes messages one by one", shape->name);
    if (o->batch > (shape->most > 0 ? shape->most : BATCH_MOST))
        return wrong("--batch \"%d\" is not allowed with case \"%s\": 1 to %d are", o->batch, shape->name,
                     shape->most > 0 ? shape->most : BATCH_MOST);
    if (o->rows > 0 && o->what->rows == 0)
        return wrong("--rows is not allowed with case \"%s\": dead, crowd and backlog have rows",
                     o->what->name);
    if ((o->sleepers >= 0 || o->awake >= 0) && !o->what->bell)
        return wrong(
            "--sleepers and --awake are not allowed with case \"%s\": send-bell and subscribers have them",
            o->what->name);
    if (o->sleepers < 0)
        o->sleepers = o->awake > 0 ? 0 : 8;
    if (o->awake < 0)
        o->awake = 0;
    defaults(o);
    return OPTIONS_RUN;
}

options_result options_read(options *o, int argc, char **argv)
{
    struct option longs[TABLE_SIZE + 1];
    char shorts[2 * TABLE_SIZE + 2];
    options_result r = OPTIONS_RUN;
    int c;
    *o = (options){.payload = 64, .sleepers = -1, .awake = -1};
    getopt_tables(longs, shorts);
    opterr = 0;
    while (r == OPTIONS_RUN && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1)
        r = c == '?' || c == ':' ? not_an_option(c, argv) : set(o, c, optarg);
    return r == OPTIONS_RUN ? check(o, argc, argv) : r;
}
