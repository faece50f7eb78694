/* SPDX-License-Identifier: MIT */
#include "session.h"

#include "say.h"
#include "stop.h"
#include "verb.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_ATTEMPTS = 3 };

pgq *session_open(session *s, int *status)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    if (s->q)
        return s->q;
    o.name_space = s->name_space;
    o.connect_attempts = CONNECT_ATTEMPTS;
    setenv("PGAPPNAME", "pgq", 0);
    pgq_status opened = pgq_open(s->dsn, &o, &s->q);
    if (opened != PGQ_OK) {
        *status = session_failed(s->q, opened);
        pgq_close(s->q);
        s->q = NULL;
        return NULL;
    }
    stop_watch(pgq_connection(s->q));
    return s->q;
}

void session_close(session *s)
{
    stop_watch(NULL);
    pgq_close(s->q);
    s->q = NULL;
}

/* What to do about an error; "" where that is not known. */
static void hint(const char *name_space, pgq_status status, const pgq_error *e, char *out, size_t size)
{
    *out = '\0';
    if (status == PGQ_NOT_INSTALLED)
        snprintf(out, size,
                 ": run \"pgq install\", or choose another namespace with --namespace (this one is \"%s\")",
                 name_space);
    else if (status == PGQ_VERSION)
        snprintf(out, size, ": run \"pgq upgrade\"; if this pgq is the older one, install a newer pgq");
    else if (status == PGQ_PERMISSION)
        snprintf(out, size, ": the owner of the namespace can grant it, see ROLES in pgq(1)");
    else if (status == PGQ_CONNECTION && e && *e->sqlstate == '\0')
        snprintf(out, size, "; see --dsn, PGHOST and the settings file");
    else if (status == PGQ_CONFLICT)
        snprintf(out, size, ": try again");
    else if (status == PGQ_TOO_LONG)
        snprintf(out, size, ": see \"pgq set QUEUE --max-size\"");
}

int session_error(const char *name_space, pgq_status status, const pgq_error *e)
{
    char next[256];
    const char *what = e && *e->message ? e->message : pgq_status_text(status);
    const char *detail = e && *e->detail && status == PGQ_SERVER ? e->detail : "";
    if (stop_signal())
        return EXIT_FAILED; /* that is why: see session_status() */
    hint(name_space, status, e, next, sizeof next);
    say_failed("%s%s%s%s", what, *detail ? ": " : "", detail, next);
    if (status == PGQ_INVALID || status == PGQ_TOO_LONG)
        return EXIT_USAGE;
    return status == PGQ_NOT_FOUND || status == PGQ_SHUTDOWN ? EXIT_NOTHING : EXIT_FAILED;
}

int session_failed(pgq *q, pgq_status status)
{
    if (status == PGQ_EMPTY || status == PGQ_TIMEOUT) {
        say_note("nothing there");
        return EXIT_NOTHING;
    }
    if (status == PGQ_CANCELED)
        return EXIT_FAILED;
    return session_error(pgq_namespace(q), status, q ? pgq_last_error(q) : NULL);
}

int session_status(int status)
{
    int number = stop_signal();
    return number ? 128 + number : status;
}
