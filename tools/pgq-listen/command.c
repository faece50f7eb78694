/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "child.h"
#include "clock.h"
#include "message_env.h"
#include "stop.h"
#include "verdict.h"
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct run {
    child c;
    errors err;
    const char *payload; /* what its stdin has not got yet */
    size_t left;
} run;

/* A command that does not read its stdin, or not all of it, is a command like any other. */
static void feed(run *r)
{
    while (r->c.in >= 0 && r->left > 0) {
        ssize_t n = write(r->c.in, r->payload, r->left);
        if (n >= 0) {
            r->payload += n;
            r->left -= (size_t)n;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            break;
        }
    }
    child_close(&r->c.in);
}

/* Until it has exited, or something ends it early. */
static watch_event tend(run *r, const watch_hold *hold, int64_t until, bool *timed_out)
{
    for (;;) {
        int64_t now = clock_ms();
        if (child_gone(&r->c))
            return WATCH_NOTHING;
        if (until != CLOCK_NEVER && now >= until) {
            *timed_out = true;
            return WATCH_NOTHING;
        }
        struct pollfd fds[] = {{.fd = r->c.pid_fd, .events = POLLIN},
                               {.fd = r->c.in, .events = POLLOUT},
                               {.fd = r->c.err, .events = POLLIN}};
        int64_t look = until;
        if (r->c.pid_fd < 0 && (until == CLOCK_NEVER || until > now + CHILD_LOOK_MS))
            look = now + CHILD_LOOK_MS;
        watch_event event = watch_wait(hold, fds, 3, look);
        if (fds[1].revents)
            feed(r);
        if (fds[2].revents && !errors_take(&r->err, r->c.err))
            child_close(&r->c.err);
        if (event != WATCH_NOTHING)
            return event;
    }
}

static int fail(pgq *q, errors *e, const char *reason)
{
    char said[ERRORS_TEXT];
    errors_text(e, said);
    return verdict_fail(q, "%s%s%s", reason, *said ? ": " : "", said);
}

/* Runs a child that was started to its end, and says what came of it. */
static int see_through(pgq *q, PGconn *conn, run *r, const command *how)
{
    watch_hold hold = watch_held(q, conn, how->leased);
    bool timed_out = false;
    char reason[80];
    int64_t until = how->timeout_ms > 0 ? clock_ms() + how->timeout_ms : CLOCK_NEVER;
    feed(r);
    watch_event event = tend(r, &hold, until, &timed_out);
    if (timed_out || event != WATCH_NOTHING)
        child_end(&r->c, how->kill_after_ms, &r->err);
    else if (r->c.err >= 0)
        errors_take(&r->err, r->c.err);
    errors_flush(&r->err);
    int status = child_reap(&r->c);
    if (event != WATCH_NOTHING)
        return fail(q, &r->err, watch_reason(event));
    if (timed_out) {
        snprintf(reason, sizeof reason, "timeout after %g s", (double)how->timeout_ms / 1000);
        return fail(q, &r->err, reason);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    child_status_text(status, reason);
    return fail(q, &r->err, reason);
}

int command_handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const command *how = arg;
    run r = {.payload = m->payload, .left = m->payload_len};
    if (stop_is_urgent())
        return verdict_fail(q, "%s", watch_reason(WATCH_STOPPED));
    char **env = message_env(pgq_namespace(q), m, how->of_topic);
    if (!env)
        return verdict_fail(q, "out of memory");
    int why = child_start(&r.c, how->path, how->argv, env, false);
    message_env_free(env);
    if (why != 0)
        return verdict_fail(q, "cannot run %s: %s", how->path, strerror(why));
    errors_setup(&r.err, m->queue, m->id);
    int result = see_through(q, conn, &r, how);
    errors_free(&r.err);
    return result;
}
