/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include "alloc.h"
#include "clock.h"
#include "error.h"
#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* Notifications that came before a look are answered by it. */
static int drain_notifications(pgq *q)
{
    PGnotify *note;
    int rung = 0;

    while ((note = PQnotifies(q->conn))) {
        PQfreemem(note);
        rung = 1;
    }
    return rung;
}

/* Listens on the queue's channel before the first look; on one channel at a time. */
static pgq_status subscribe(pgq *q, const char *queue)
{
    char sql[128];
    pgq_status status;
    pgqi_params p;
    PGresult *res;
    char *name;

    if (q->listening && strcmp(q->listening, queue) == 0)
        return PGQ_OK;
    name = pgqi_strdup(queue);
    if (!name)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    status = pgqi_call_outcome(q, "SELECT code, detail, channel FROM %s._channel_of($1)", &p, &res);
    if (status == PGQ_OK) {
        snprintf(sql, sizeof sql, "UNLISTEN *; LISTEN \"%s\"", PQgetvalue(res, 0, 2));
        PQclear(res);
        status = pgqi_script(q, sql);
    }
    if (status != PGQ_OK) {
        pgqi_free(name);
        return status;
    }
    pgqi_free(q->listening);
    q->listening = name;
    return PGQ_OK;
}

static pgq_status announce(pgq *q, const char *queue)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    pgqi_add_bool(&p, q->doze.announced);
    status = pgqi_call_outcome(q, "SELECT code, detail, producing, consuming, due_in_ms FROM %s.doze($1, $2)",
                               &p, &res);
    if (status != PGQ_OK)
        return status;
    pgqi_doze_announced(&q->doze, (int)pgqi_field_int(res, 0, 2), (int)pgqi_field_int(res, 0, 3),
                        PQgetisnull(res, 0, 4) ? -1 : pgqi_field_int(res, 0, 4), pgqi_now_us());
    PQclear(res);
    return PGQ_OK;
}

static pgq_status awake(pgq *q, const char *queue)
{
    pgq_status status;
    pgqi_params p;

    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    status = pgqi_command(q, "SELECT %s.awake($1)", &p);
    pgqi_doze_left(&q->doze);
    return status;
}

void pgqi_wait_found(pgq *q)
{
    pgqi_doze_found(&q->doze);
    if (q->doze.act == PGQI_AWAKE)
        awake(q, q->listening);
}

/* Sleeps until the bell, the doze's own time, the deadline or the cancellation. OK: go on. */
static pgq_status doze(pgq *q, int64_t deadline, int cancel_fd)
{
    struct pollfd fds[2] = {{PQsocket(q->conn), POLLIN, 0}, {cancel_fd, POLLIN, 0}};
    int64_t until = q->doze.until_us < deadline ? q->doze.until_us : deadline;
    int64_t now;

    for (;;) {
        if (drain_notifications(q)) {
            pgqi_doze_rung(&q->doze);
            return PGQ_OK;
        }
        now = pgqi_now_us();
        if (now >= deadline)
            return PGQ_TIMEOUT;
        if (now >= until) {
            pgqi_doze_late(&q->doze);
            return PGQ_OK;
        }
        if (poll(fds, cancel_fd >= 0 ? 2 : 1, pgqi_until_ms(until, now)) < 0 && errno != EINTR)
            return pgqi_error_set(&q->error, PGQ_SERVER, "poll: errno %d", errno);
        if (cancel_fd >= 0 && fds[1].revents)
            return PGQ_CANCELED;
        if (fds[0].revents && !PQconsumeInput(q->conn))
            return pgqi_error_from_server(&q->error, q->conn, NULL);
    }
}

static pgq_status look(pgq *q, pgqi_looker *looker)
{
    int leave;

    drain_notifications(q);
    leave = q->doze.leave;
    if (leave)
        pgqi_doze_left(&q->doze);
    return looker->look(looker, q, q->doze.thorough, leave);
}

static pgq_status wait_and_look(pgq *q, pgqi_looker *looker, int64_t deadline, int cancel_fd)
{
    pgq_status status;

    for (;;) {
        switch (q->doze.act) {
        case PGQI_LOOK:
            status = look(q, looker);
            if (status != PGQ_EMPTY)
                return status;
            if (deadline == 0)
                return PGQ_TIMEOUT;
            pgqi_doze_empty(&q->doze, pgqi_now_us());
            break;
        case PGQI_ANNOUNCE:
            status = announce(q, looker->queue);
            break;
        case PGQI_AWAKE:
            status = awake(q, looker->queue);
            break;
        default:
            status = doze(q, deadline, cancel_fd);
            break;
        }
        if (status < 0 || status == PGQ_TIMEOUT || status == PGQ_CANCELED)
            return status;
    }
}

pgq_status pgqi_wait(pgq *q, pgqi_looker *looker, const pgqi_wait_options *options)
{
    int timeout_ms = options->timeout_ms;
    int64_t deadline = timeout_ms < 0 ? INT64_MAX : timeout_ms == 0 ? 0 : pgqi_now_us() + timeout_ms * 1000LL;
    pgq_status status = subscribe(q, looker->queue);
    int lingering;

    if (status != PGQ_OK)
        return status;
    /* A busy queue is looked at a few times more before anyone is told of a sleep. */
    lingering = q->doze.lingering;
    pgqi_doze_init(&q->doze, options->poll_interval_ms);
    q->doze.lingering = lingering;
    q->doze.thorough = timeout_ms == 0;
    status = wait_and_look(q, looker, deadline, options->cancel_fd);
    if (q->doze.announced && PQstatus(q->conn) == CONNECTION_OK) {
        pgq_error kept = q->error;

        awake(q, looker->queue);
        q->error = kept;
    }
    /* What a look has found is its own to say. */
    return status == PGQ_TIMEOUT || status == PGQ_CANCELED ? pgqi_error_clear(&q->error, status) : status;
}
