/* SPDX-License-Identifier: MIT */
/* install, upgrade, drop. */
#include "ask.h"
#include "call.h"
#include "run.h"

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

int run_drop(call *c)
{
    char what[160];
    pgq *q = c->session->q;
    snprintf(what, sizeof what, "drop the namespace \"%s\" with every queue and message in it",
             pgq_namespace(q));
    int sure = ask_first(c, what);
    if (sure != EXIT_DONE)
        return sure;
    pgq_status status = pgq_drop(q);
    return status == PGQ_OK ? report(c, 0, "dropped") : session_failed(q, status);
}
