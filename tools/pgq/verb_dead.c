/* SPDX-License-Identifier: MIT */
/* dead requeue, dead purge. */
#include "ask.h"
#include "call.h"
#include "ids.h"
#include "progress.h"
#include "run.h"
#include "say.h"

#include <stdio.h>
#include <stdlib.h>

/* The ids behind the queue; NULL and none with --all. false: it was said what is wrong. */
static bool chosen(const call *c, int64_t **ids, size_t *n)
{
    *ids = NULL;
    *n = c->arg_count - 1;
    if (c->opt[O_ALL].set && *n > 0) {
        say_usage("--all is not allowed with \"%s\"", c->args[1]);
        return false;
    }
    if (!c->opt[O_ALL].set && *n == 0) {
        say_usage("%s needs an ID behind the queue, or --all", c->verb->name);
        return false;
    }
    return *n == 0 || ids_read(c->args + 1, *n, ids);
}

static int report(call *c, pgq_status status, const char *name, int64_t count, size_t asked_for)
{
    row r = {0};
    if (status != PGQ_OK)
        return session_failed(c->session->q, status);
    row_text(&r, "queue", c->args[0]);
    row_integer(&r, name, count);
    out_row(c->out, &r);
    return asked_for > 0 && count == 0 ? EXIT_NOTHING : EXIT_DONE;
}

int run_dead_requeue(call *c)
{
    int64_t *ids, count = 0;
    size_t n;
    if (!chosen(c, &ids, &n))
        return EXIT_USAGE;
    progress_begin(c->quiet, true, "requeueing dead letters");
    pgq_status status = pgq_requeue_dead(c->session->q, c->args[0], ids, n, c->opt[O_TARGET].text, &count);
    progress_end();
    free(ids);
    return report(c, status, "requeued", count, n);
}

int run_dead_purge(call *c)
{
    char what[256];
    int64_t *ids, count = 0;
    size_t n;
    if (!chosen(c, &ids, &n))
        return EXIT_USAGE;
    if (n > 0)
        snprintf(what, sizeof what, "delete %zu dead letters of the queue \"%s\" for good", n, c->args[0]);
    else
        snprintf(what, sizeof what, "delete all dead letters of the queue \"%s\" for good", c->args[0]);
    int asked = ask_first(c, what);
    if (asked != EXIT_DONE) {
        free(ids);
        return asked;
    }
    progress_begin(c->quiet, true, "purging dead letters");
    pgq_status status = pgq_purge_dead(c->session->q, c->args[0], ids, n, &count);
    progress_end();
    free(ids);
    return report(c, status, "purged", count, n);
}
