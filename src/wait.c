/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include "alloc.h"
#include "clock.h"
#include "error.h"
#include "exec.h"
#include "topic.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

pgq_status pgqi_check_own(pgq *q)
{
    if (!q->owned)
        return pgqi_error_set(&q->error, PGQ_STATE, "this needs a connection of its own: use pgq_open");
    if (pgqi_in_transaction(q))
        return pgqi_error_set(&q->error, PGQ_STATE,
                              "a transaction is open on the handle's own connection: end it");
    return PGQ_OK;
}

static const struct {
    const char *channel, *doze, *awake;
} texts[] = {
    [PGQI_QUEUE] = {"SELECT code, detail, channel, %s._shutdown_channel() FROM %s._channel_of($1)",
                    "SELECT code, detail, producing, consuming, due_in_ms FROM %s.doze($1, $2)",
                    "SELECT %s.awake($1)"},
    [PGQI_TOPIC] = {"SELECT code, detail, channel, %s._shutdown_channel() FROM %s._topic_channel_of($1)",
                    "SELECT code, detail, producing, consuming, due_in_ms FROM %s.topic_doze($1, $2)",
                    "SELECT %s.topic_awake($1)"},
};

/* Notifications that came before a look are answered by it; that of a shutdown is kept until it is told. */
static int drain_notifications(pgq *q)
{
    PGnotify *note;
    int rung = 0;

    while ((note = PQnotifies(q->conn))) {
        if (strcmp(note->relname, q->shutdown) == 0)
            q->shut = 1;
        PQfreemem(note);
        rung = 1;
    }
    return rung;
}

static pgq_status listen_on(pgq *q, const char *channel, const char *shutdown)
{
    char sql[256];

    snprintf(sql, sizeof sql, "UNLISTEN *; LISTEN \"%s\"; LISTEN \"%s\"", channel, shutdown);
    snprintf(q->shutdown, sizeof q->shutdown, "%s", shutdown);
    return pgqi_script(q, sql);
}

/* Listens on its channel before the first look; on that of one queue or topic at a time. */
static pgq_status subscribe(pgq *q, const pgqi_looker *looker)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;
    char *name;

    if (q->listening && q->bell == looker->kind && strcmp(q->listening, looker->name) == 0)
        return PGQ_OK;
    name = pgqi_strdup(looker->name);
    if (!name)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    pgqi_params_init(&p);
    pgqi_add_text(&p, looker->name);
    status = pgqi_call_outcome(q, texts[looker->kind].channel, &p, &res);
    if (status == PGQ_OK) {
        status = listen_on(q, PQgetvalue(res, 0, 2), PQgetvalue(res, 0, 3));
        PQclear(res);
    }
    if (status != PGQ_OK) {
        pgqi_free(name);
        return status;
    }
    pgqi_free(q->listening);
    q->listening = name;
    q->bell = looker->kind;
    return PGQ_OK;
}

static pgq_status announce(pgq *q)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res;

    pgqi_params_init(&p);
    pgqi_add_text(&p, q->listening);
    pgqi_add_bool(&p, q->doze.announced);
    status = pgqi_call_outcome(q, texts[q->bell].doze, &p, &res);
    if (status != PGQ_OK)
        return status;
    pgqi_doze_announced(&q->doze, (int)pgqi_field_int(res, 0, 2), (int)pgqi_field_int(res, 0, 3),
                        PQgetisnull(res, 0, 4) ? -1 : pgqi_field_int(res, 0, 4), pgqi_now_us());
    PQclear(res);
    return PGQ_OK;
}

static pgq_status awake(pgq *q)
{
    pgq_status status;
    pgqi_params p;

    pgqi_params_init(&p);
    pgqi_add_text(&p, q->listening);
    status = pgqi_command(q, texts[q->bell].awake, &p);
    pgqi_doze_left(&q->doze);
    return status;
}

void pgqi_wait_found(pgq *q)
{
    pgqi_doze_found(&q->doze);
    if (q->doze.act == PGQI_AWAKE)
        awake(q);
}

/* Sleeps until the bell, the doze's own time, the deadline or the cancellation. OK: go on. A subscriber tends
 * the logs meanwhile. */
static pgq_status doze(pgq *q, int64_t deadline, int cancel_fd)
{
    struct pollfd fds[2] = {{PQsocket(q->conn), POLLIN, 0}, {cancel_fd, POLLIN, 0}};
    int64_t until = q->doze.until_us < deadline ? q->doze.until_us : deadline;
    int64_t tend_at;
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
        tend_at = q->bell == PGQI_TOPIC ? pgqi_tend_at(q) : INT64_MAX;
        if (now >= tend_at) {
            pgqi_tended(q, PGQ_OK);
            if (PQstatus(q->conn) != CONNECTION_OK)
                return pgqi_error_from_server(&q->error, q->conn, NULL);
            continue; /* the bell may have rung meanwhile */
        }
        if (poll(fds, cancel_fd >= 0 ? 2 : 1, pgqi_until_ms(until < tend_at ? until : tend_at, now)) < 0 &&
            errno != EINTR)
            return pgqi_error_set(&q->error, PGQ_SERVER, "poll: errno %d", errno);
        if (cancel_fd >= 0 && fds[1].revents)
            return PGQ_CANCELED;
        if (fds[0].revents && !PQconsumeInput(q->conn))
            return pgqi_error_from_server(&q->error, q->conn, NULL);
    }
}

static pgq_status look(pgq *q, pgqi_looker *looker)
{
    int leave = q->doze.leave;

    if (leave)
        pgqi_doze_left(&q->doze);
    return looker->look(looker, q, q->doze.thorough, leave);
}

static pgq_status wait_and_look(pgq *q, pgqi_looker *looker, int64_t deadline, int cancel_fd)
{
    pgq_status status;

    for (;;) {
        if (q->doze.act == PGQI_LOOK)
            drain_notifications(q);
        if (q->shut) {
            q->shut = 0;
            return PGQ_SHUTDOWN;
        }
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
            status = announce(q);
            break;
        case PGQI_AWAKE:
            status = awake(q);
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
    pgq_status status = subscribe(q, looker);
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

        awake(q);
        q->error = kept;
    }
    /* What a look has found is its own to say. */
    return status == PGQ_TIMEOUT || status == PGQ_CANCELED || status == PGQ_SHUTDOWN
               ? pgqi_error_clear(&q->error, status)
               : status;
}
