/* SPDX-License-Identifier: MIT */
/* The manual pages, in roff, made from the table: docs/man is what this prints. */
#include "call.h"
#include "help.h"
#include "run.h"
#include "say.h"

#include <ctype.h>
#include <pgq/pgq.h>
#include <stdio.h>
#include <string.h>

/* Text with what roff would read escaped; \n begins a paragraph. */
static void text(const char *s)
{
    bool begin = true;
    for (; *s; s++) {
        if (*s == '\n')
            printf("\n.PP\n");
        else if (*s == '-')
            printf("\\-");
        else if (*s == '\\')
            printf("\\e");
        else if (*s == '\'')
            printf("\\(aq");
        else if (*s == '"' && begin)
            printf("\\(dq");
        else if (*s == '.' && begin)
            printf("\\&.");
        else if (s[0] == '.' && s[1] == ' ' && (isupper((unsigned char)s[2]) || s[2] == '-' || s[2] == '\\'))
            printf(".\n"), s++;
        else if (s[0] == ':' && s[1] == ' ' && s[2] == '{')
            printf(":\n"), s++;
        else
            putchar(*s);
        begin = *s == '\n';
    }
    putchar('\n');
}

static void option_entry(option_id id, const verb *v)
{
    char left[64], what[512];
    const char *from = left;
    help_option(id, v, left, sizeof left);
    while (*from == ' ')
        from++;
    printf(".TP\n\\fB");
    for (const char *p = from; *p; p++) {
        if (*p == '-')
            printf("\\-");
        else if (*p == ',')
            printf("\\fR,");
        else if (*p == ' ' && p[-1] == ',')
            printf(" \\fB");
        else if (*p == ' ' || *p == '[')
            printf("\\fR%c\\fI", *p);
        else
            putchar(*p);
    }
    printf("\\fR\n");
    help_text(id, what, sizeof what);
    text(what);
}

static void head(const char *name, const char *what)
{
    printf(".\\\" SPDX-License-Identifier: MIT\n"
           ".\\\" Made by \"pgq man\" from the table of verbs: do not edit.\n"
           ".TH ");
    for (const char *p = name; *p; p++)
        putchar(toupper((unsigned char)*p));
    printf(" 1 \"\" \"pgq %d.%d\" \"pgq manual\"\n.SH NAME\n", PGQ_VERSION_MAJOR, PGQ_VERSION_MINOR);
    text(name);
    printf("\\- %s\n", what);
}

static void verb_entry(const verb *v)
{
    printf(".SS \"%s\"\n", v->name);
    printf(".B pgq %s\n", v->name);
    if (v->options[0] != O_END)
        printf("[OPTION...]\n");
    text(v->arguments);
    printf(".PP\n%c", toupper((unsigned char)v->summary[0]));
    text(v->summary + 1);
    if (v->alias)
        printf("(ddmq\\(aqs word:\n.BR %s )\n", v->alias);
    if (*v->text) {
        printf(".PP\n");
        text(v->text);
    }
    for (size_t i = 0; v->options[i] != O_END; i++)
        option_entry(v->options[i], v);
}

static void lower(const char *s, char *to, size_t size)
{
    snprintf(to, size, "%s", s);
    to[0] = (char)tolower((unsigned char)to[0]);
}

static void see_also(const char *but)
{
    printf(".SH SEE ALSO\n");
    if (but)
        printf(".BR pgq (1),\n");
    for (size_t g = 0; g < group_count; g++) {
        if (!but || strcmp(groups[g].name, but) != 0)
            printf(".BR pgq\\-%s (1),\n", groups[g].name);
    }
    printf(".BR pgq\\-listen (1),\n.BR pgq (3)\n");
}

static void group_page(const group *g)
{
    char name[32], what[128];
    snprintf(name, sizeof name, "pgq-%s", g->name);
    lower(g->text, what, sizeof what);
    what[strlen(what) - 1] = '\0';
    for (char *p = strstr(what, ". "); p; p = NULL)
        *p = ';', p[2] = (char)tolower((unsigned char)p[2]);
    head(name, what);
    printf(".SH SYNOPSIS\n.nf\n");
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i].group, g->name) == 0 && !(verbs[i].flags & VERB_HIDDEN)) {
            printf("\\fBpgq %s\\fR%s ", verbs[i].name, verbs[i].options[0] != O_END ? " [OPTION...]" : "");
            text(verbs[i].arguments);
        }
    }
    printf(".fi\n.SH VERBS\nOptions of every verb, formats and exit statuses are in\n.BR pgq (1).\n");
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i].group, g->name) == 0 && !(verbs[i].flags & VERB_HIDDEN))
            verb_entry(&verbs[i]);
    }
    see_also(g->name);
}

static void section(const char *title, const char *body)
{
    printf(".SH %s\n", title);
    text(body);
}

static void verbs_section(void)
{
    printf(".SH VERBS\n");
    for (size_t g = 0; g < group_count; g++) {
        printf(".SS \"%s: pgq\\-%s(1)\"\n", groups[g].title, groups[g].name);
        for (size_t i = 0; i < verb_count; i++) {
            const verb *v = &verbs[i];
            if (strcmp(v->group, groups[g].name) != 0 || (v->flags & VERB_HIDDEN))
                continue;
            printf(".TP\n.B %s\n", v->name);
            text(v->summary);
            if (v->alias)
                printf("(ddmq\\(aqs word:\n.BR %s )\n", v->alias);
        }
    }
}

static const char output_text[] =
    "On a terminal rows are a table, of the most important fields and as wide as the terminal; get and dead "
    "show write a "
    "field a line. Elsewhere, and with --format plain, a row is a line: all fields, parted by tabs, without "
    "a header. "
    "A tab, a line end or a backslash in a field is written as \\t, \\n, \\r or \\\\, another control "
    "character as \\xNN, "
    "what is not there as \\N. The payload is the last field; a binary one is written as it is, and "
    "payload_size says "
    "how many bytes it has.\n"
    "--format json writes an object a line, --format yaml a list of maps. The fields are the same in all of "
    "them. "
    "Times are strings such as 2026-11-21T10:00:00.123456Z, in UTC. The field encoding says what the payload "
    "is: "
    "utf8, a string; json, a value, digit by digit as it was sent; base64, a string of bytes (in plain: "
    "binary).\n"
    "receive and pop write json unless another format is asked for.\n"
    "--fields chooses among the fields, in every format: pgq enqueue orders 17 --fields id.";

static const char settings_text[] =
    "The file $XDG_CONFIG_HOME/pgq/config, or ~/.config/pgq/config, may hold defaults: lines of key = value, "
    "and comments "
    "that begin with #. The keys are dsn, namespace and format. An unknown key is an error. What the command "
    "line says goes "
    "before it, and so does PGQ_NAMESPACE; dsn goes before what libpq's environment says of the same things.";

static const char roles_text[] =
    "The owner of the namespace says what other roles may do: \"pgq grant producer\" lets one send, \"pgq "
    "grant consumer\" take, settle and look, \"pgq grant monitor\" look and change nothing. That holds for "
    "queues made later, too, and upgrades keep it. A role may have several parts; \"pgq revoke\" takes back "
    "all of them.";

static void examples(void)
{
    static const char *const lines[] = {
        "pgq -d dbname=shop install",
        "pgq create orders --lease 5m --error-limit 3",
        "pgq enqueue orders 17 --priority 1",
        "tail -f access.log | pgq enqueue log --lines",
        "pgq receive orders -n 10 --timeout 30 | jq -r .receipt | pgq ack -",
        "pgq get 42 --raw > picture.png",
        "pgq pop orders --all | jq -c '{payload, encoding, headers}' | pgq enqueue archive --jsonl",
        "pgq stats --format prometheus",
    };
    printf(".SH EXAMPLES\n.nf\n.RS\n");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        text(lines[i]);
    printf(".RE\n.fi\n");
}

static void main_page(void)
{
    head("pgq", "PostgreSQL as a transactional message queue: the command line");
    printf(".SH SYNOPSIS\n.B pgq\n[\\fB\\-d\\fR \\fICONNINFO\\fR] [\\fB\\-n\\fR \\fINAMESPACE\\fR]\n"
           "\\fIVERB\\fR [\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]\n.SH DESCRIPTION\n");
    text("Everything that pgq does, for people and for scripts. Options stand anywhere; behind -- nothing is "
         "one. Where a verb "
         "has an option of the same letter as one of every verb, the letter means the verb's own behind the "
         "verb, and the other "
         "one before it.");
    printf(".PP\n");
    text("A duration is a number with at most three decimals and a unit: ms, s, m, h or d; without a unit, "
         "seconds.");
    printf(".PP\n");
    text("Verbs that destroy ask first on a terminal, and want --yes in a script.");
    verbs_section();
    printf(".SH OPTIONS\nThese are of every verb.\n");
    for (size_t i = 0; common_options[i] != O_END; i++)
        option_entry(common_options[i], NULL);
    section("OUTPUT", output_text);
    section("SETTINGS", settings_text);
    section("ROLES", roles_text);
    printf(".SH SIGNALS\n");
    text("SIGINT and SIGTERM cancel the statement that runs, which is then undone, and end the program with "
         "status 130 or 143; a "
         "second one ends it at once.");
    printf(".SH ENVIRONMENT\n");
    text("PGQ_NAMESPACE is the default of --namespace; PGHOST, PGDATABASE, PGPASSFILE and the other "
         "variables of libpq fill in what "
         "CONNINFO does not say. NO_COLOR, if it is not empty, keeps colours off a terminal.");
    printf(".SH EXIT STATUS\n.TP\n.B 0\nDone.\n.TP\n.B 1\nFailed; standard error says why in a line.\n"
           ".TP\n.B 2\nThe command line, or what it was given, is not allowed.\n"
           ".TP\n.B 3\nNothing is there: no message, no such queue, no such id.\n"
           "So ends a wait in which nothing came, be its time over or the namespace shut down.\n");
    examples();
    see_also(NULL);
}

int run_man(call *c)
{
    if (c->arg_count == 0) {
        main_page();
        return EXIT_DONE;
    }
    for (size_t g = 0; g < group_count; g++) {
        if (strcmp(groups[g].name, c->args[0]) == 0) {
            group_page(&groups[g]);
            return EXIT_DONE;
        }
    }
    return say_usage("\"%s\" is no group of verbs", c->args[0]);
}
