/* SPDX-License-Identifier: MIT */
/* create, set, delete, pause, resume, purge, clean. */
#include "ask.h"
#include "call.h"
#include "progress.h"
#include "run.h"
#include "say.h"
#include "stop.h"
#include "verb_attributes.h"

#include <stdio.h>
#include <string.h>

static void report(call *c, const char *queue, const char *result)
{
    row r = {0};
    row_text(&r, "queue", queue);
    row_text(&r, "result", result);
    out_row(c->out, &r);
}

/* Does one thing to each queue, up to the first that fails; each one is a transaction. */
static int each(call *c, pgq_status (*one)(pgq *q, const char *queue), const char *result)
{
    pgq *q = c->session->q;
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        pgq_status status = one(q, c->args[i]);
        if (status != PGQ_OK)
            return session_failed(q, status);
        report(c, c->args[i], result);
    }
    return EXIT_DONE;
}

int run_create(call *c)
{
    pgq *q = c->session->q;
    pgq_attributes a;
    attributes_read(c, &a);
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        pgq_status status = pgq_create_queue(q, c->args[i], &a, 0);
        if (status == PGQ_EXISTS && c->opt[O_IF_NOT_EXISTS].set)
            report(c, c->args[i], "exists");
        else if (status != PGQ_OK)
            return session_failed(q, status);
        else
            report(c, c->args[i], "created");
    }
    return EXIT_DONE;
}

static int set_defaults(call *c, const pgq_attributes *a, bool attributes, unsigned unset)
{
    pgq *q = c->session->q;
    pgq_status status = PGQ_OK;
    if (c->arg_count > 0)
        return say_usage("--defaults is not allowed with \"%s\": it is about no queue", c->args[0]);
    if (c->opt[O_AUTO_CREATE].set)
        status = pgq_set_auto_create(q, (int)c->opt[O_AUTO_CREATE].number);
    if (status == PGQ_OK && (attributes || !c->opt[O_AUTO_CREATE].set))
        status = pgq_set_defaults(q, a, unset);
    if (status != PGQ_OK)
        return session_failed(q, status);
    row r = {0};
    row_null(&r, "queue");
    row_text(&r, "result", "changed");
    out_row(c->out, &r);
    return EXIT_DONE;
}

int run_set(call *c)
{
    pgq *q = c->session->q;
    pgq_attributes a;
    unsigned unset;
    int n = attributes_read(c, &a);
    if (!attributes_unset(c, &unset))
        return EXIT_USAGE;
    if (c->opt[O_DEFAULTS].set)
        return set_defaults(c, &a, n > 0 || unset, unset);
    if (c->opt[O_AUTO_CREATE].set)
        return say_usage("--auto-create is the namespace's: give --defaults with it");
    if (c->arg_count == 0)
        return say_usage("set needs a QUEUE, or --defaults");
    if (n == 0 && !unset)
        return say_usage("set needs an attribute to change, such as --lease 5m: see pgq set --help");
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        pgq_status status = pgq_set_queue(q, c->args[i], &a, unset);
        if (status != PGQ_OK)
            return session_failed(q, status);
        report(c, c->args[i], "changed");
    }
    return EXIT_DONE;
}

/* "delete queue "a" ..." */
static int sure(call *c, const char *doing, const char *with)
{
    char what[320];
    if (c->arg_count == 1)
        snprintf(what, sizeof what, "%s \"%s\" %s", doing, c->args[0], with);
    else
        snprintf(what, sizeof what, "%s \"%s\" and %zu more %s", doing, c->args[0], c->arg_count - 1, with);
    return ask_first(c, what);
}

int run_delete(call *c)
{
    int status = sure(c, "delete the queue", "with all that is in it");
    return status == EXIT_DONE ? each(c, pgq_delete_queue, "deleted") : status;
}

int run_pause(call *c)
{
    return each(c, pgq_pause_queue, "paused");
}

int run_resume(call *c)
{
    return each(c, pgq_resume_queue, "resumed");
}

int run_purge(call *c)
{
    pgq *q = c->session->q;
    int asked = sure(c, "delete all messages of the queue", "for good");
    if (asked != EXIT_DONE)
        return asked;
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        int64_t waiting = 0, in_flight = 0;
        char text[200];
        snprintf(text, sizeof text, "purging %s", c->args[i]);
        progress_begin(c->quiet, true, text);
        pgq_status status = pgq_purge(q, c->args[i], &waiting, &in_flight);
        progress_end();
        if (status != PGQ_OK)
            return session_failed(q, status);
        row r = {0};
        row_text(&r, "queue", c->args[i]);
        row_integer(&r, "waiting", waiting);
        row_integer(&r, "in_flight", in_flight);
        out_row(c->out, &r);
    }
    return EXIT_DONE;
}

int run_clean(call *c)
{
    pgq *q = c->session->q;
    for (size_t i = 0; (i < c->arg_count || i == 0) && !stop_signal(); i++) {
        const char *queue = c->arg_count > 0 ? c->args[i] : NULL;
        pgq_cleaned done;
        progress_begin(c->quiet, true, "cleaning");
        pgq_status status = pgq_clean(q, queue, &done);
        progress_end();
        if (status != PGQ_OK)
            return session_failed(q, status);
        row r = {0};
        row_text(&r, "queue", queue);
        row_integer(&r, "promoted", done.promoted);
        row_integer(&r, "returned", done.returned);
        row_integer(&r, "expired", done.expired);
        row_integer(&r, "windows", done.windows);
        out_row(c->out, &r);
    }
    return EXIT_DONE;
}
