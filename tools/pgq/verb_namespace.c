/* SPDX-License-Identifier: MIT */
/* install, upgrade, drop, reset, shutdown, grant, revoke. */
#include "ask.h"
#include "call.h"
#include "run.h"
#include "stop.h"

#include <stdio.h>

static int report(call *c, int version, const char *result)
{
    row r = {0};
    row_text(&r, "namespace", pgq_namespace(c->session->q));
    if (version > 0)
        row_integer(&r, "version", version);
    row_text(&r, "result", result);
    out_row(c->out, &r);
    return EXIT_DONE;
}

static int install(call *c, int before)
{
    int now = 0;
    pgq *q = c->session->q;
    pgq_status status = pgq_install(q);
    if (status == PGQ_OK)
        status = pgq_installed_version(q, &now);
    if (status != PGQ_OK)
        return session_failed(q, status);
    return report(c, now, before == 0 ? "installed" : before < now ? "upgraded" : "unchanged");
}

int run_install(call *c)
{
    int before = 0;
    pgq *q = c->session->q;
    pgq_status status = pgq_installed_version(q, &before);
    /* An old or broken one may not even tell: installing does. */
    if (status < 0 && status != PGQ_NOT_INSTALLED && status != PGQ_VERSION && status != PGQ_INVALID)
        return session_failed(q, status);
    return install(c, status == PGQ_OK ? before : 0);
}

int run_upgrade(call *c)
{
    int before = 0;
    pgq_status status = pgq_installed_version(c->session->q, &before);
    return status == PGQ_OK ? install(c, before) : session_failed(c->session->q, status);
}

int run_shutdown(call *c)
{
    pgq *q = c->session->q;
    pgq_status status = pgq_shutdown(q);
    return status == PGQ_OK ? report(c, 0, "shut_down") : session_failed(q, status);
}

/* What cannot be undone. */
static int destroy(call *c, const char *what, const char *with, pgq_status (*act)(pgq *q), const char *result)
{
    char question[160];
    pgq *q = c->session->q;
    snprintf(question, sizeof question, "%s the namespace \"%s\"%s", what, pgq_namespace(q), with);
    int sure = ask_first(c, question);
    if (sure != EXIT_DONE)
        return sure;
    pgq_status status = act(q);
    return status == PGQ_OK ? report(c, 0, result) : session_failed(q, status);
}

int run_drop(call *c)
{
    return destroy(c, "drop", " with every queue and message in it", pgq_drop, "dropped");
}

int run_reset(call *c)
{
    return destroy(c, "delete every queue and message of", "", pgq_reset, "reset");
}

/* part NULL: it is of all. */
static int each_role(call *c, const char *part, pgq_status (*act)(pgq *q, const char *role),
                     const char *result)
{
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        row r = {0};
        pgq_status status = act(c->session->q, c->args[i]);
        if (status != PGQ_OK)
            return session_failed(c->session->q, status);
        row_text(&r, "role", c->args[i]);
        if (part)
            row_text(&r, "part", part);
        row_text(&r, "result", result);
        out_row(c->out, &r);
    }
    return EXIT_DONE;
}

int run_grant_producer(call *c)
{
    return each_role(c, "producer", pgq_grant_producer, "granted");
}

int run_grant_consumer(call *c)
{
    return each_role(c, "consumer", pgq_grant_consumer, "granted");
}

int run_grant_monitor(call *c)
{
    return each_role(c, "monitor", pgq_grant_monitor, "granted");
}

int run_revoke(call *c)
{
    return each_role(c, NULL, pgq_revoke, "revoked");
}
