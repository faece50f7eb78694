/* SPDX-License-Identifier: MIT */
#include "topic.h"

#include "clock.h"
#include "log.h"
#include "stop.h"
#include "verdict.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE           100 /* messages that are read at once */
#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS   60000

/* A message of the page, and what came of it. */
typedef struct step {
    int64_t id;
    int32_t attempt;
    int64_t took_us;
    bool passed_over;
} step;

typedef struct reader {
    topic_job *job;
    const options *o;
    pgq *q;
    pgq_subscriber *s;
    step steps[PAGE];
    int n;        /* of them */
    int64_t over; /* messages that are done, or passed over */
    int64_t pause_ms;
    int64_t connected_at;
    pthread_mutex_t telling;
} reader;

static void tell(reader *r, pgq_event event, const step *s, const char *text)
{
    pgq_event_info info = {.event = event,
                           .thread = 0,
                           .queue = s ? r->o->topic : NULL,
                           .id = s ? s->id : 0,
                           .attempt = s ? s->attempt : 0,
                           .elapsed_us = s ? s->took_us : 0,
                           .text = text};
    pthread_mutex_lock(&r->telling);
    r->job->tell(&info, r->job->tell_arg);
    pthread_mutex_unlock(&r->telling);
}

/* Before something is tried again: longer each time. */
static void pause_longer(reader *r)
{
    struct pollfd fd = {.fd = stop_soon_fd(), .events = POLLIN};
    int64_t until = clock_ms() + r->pause_ms;
    while (!stop_is_due() && clock_ms() < until)
        poll(&fd, 1, clock_poll_ms(until));
    r->pause_ms = r->pause_ms > PAUSE_MAX_MS / 2 ? PAUSE_MAX_MS : r->pause_ms * 2;
}

/* --- the connection --- */

static void reconnect(reader *r)
{
    if (clock_ms() - r->connected_at > PAUSE_MAX_MS)
        r->pause_ms = PAUSE_FIRST_MS;
    tell(r, PGQ_EVENT_DISCONNECTED, NULL, pgq_last_error(r->q)->message);
    for (;;) {
        pause_longer(r);
        if (pgq_reconnect(r->q) == PGQ_OK)
            break;
        if (stop_is_due())
            return;
    }
    r->connected_at = clock_ms();
    tell(r, PGQ_EVENT_RECONNECTED, NULL, "");
}

static void mend(reader *r, pgq_status status)
{
    const pgq_error *e = pgq_last_error(r->q);
    /* What a standby says to a transaction that is to write: what was the primary may be another one now. */
    bool standby = strcmp(e->sqlstate, "25006") == 0 || strcmp(e->sqlstate, "0A000") == 0;
    if (status != PGQ_CONNECTION)
        tell(r, PGQ_EVENT_ERROR, NULL, e->message);
    if (status == PGQ_CONNECTION || e->connection_dead || standby)
        reconnect(r);
    else
        pause_longer(r);
}

/* --- handling --- */

/* Until it is done or passed over; false: the program is to stop before that. */
static bool handle(reader *r, const pgq_message *given)
{
    step *s = &r->steps[r->n++];
    pgq_message m = *given;
    char error[VERDICT_TEXT], why[80];
    *s = (step){.id = m.id};
    for (;;) {
        m.attempts = ++s->attempt;
        int64_t began = clock_wall_us();
        int rc = r->job->handler(r->q, NULL, &m, r->job->arg);
        s->took_us = clock_wall_us() - began;
        if (rc == 0)
            break;
        snprintf(error, sizeof error, "%s", verdict_text());
        tell(r, PGQ_EVENT_FAILED, s, error);
        m.last_error = error;
        m.errors++;
        s->passed_over = r->o->retries >= 0 && m.errors > r->o->retries;
        if (stop_is_due() && (!s->passed_over || stop_is_urgent() || stop_has_failed()))
            return false;
        if (s->passed_over) {
            snprintf(why, sizeof why, "failed %d time%s: it is passed over", (int)m.errors,
                     m.errors == 1 ? "" : "s");
            log_message("skipped", r->o->topic, s->id, why);
            break;
        }
        pause_longer(r);
        if (stop_is_due())
            return false;
    }
    r->pause_ms = PAUSE_FIRST_MS;
    return true;
}

/* --- committing --- */

/* Another process has committed for the subscriber; or we have, and were not told. */
static pgq_status go_there(reader *r, bool in_doubt)
{
    char *ours = strdup(pgq_topic_position(r->s));
    pgq_status status = pgq_topic_rewind(r->s);
    if (status == PGQ_OK && !(in_doubt && ours && strcmp(ours, pgq_topic_position(r->s)) == 0)) {
        log_message("stale", r->o->topic, r->steps[r->n - 1].id,
                    "another process has committed for the subscriber: going on from there");
        status = PGQ_STALE;
    }
    free(ours);
    return status;
}

/* What the page has come to, of a durable subscriber. OK: it is committed. STALE: we go on elsewhere.
 * CONNECTION: we are told to stop, and do not know. Else it is all over. */
static pgq_status commit(reader *r)
{
    bool in_doubt = false;
    for (int left = 2; left > 0; left -= stop_is_due() ? 1 : 0) {
        pgq_status status = pgq_topic_commit(r->s);
        if (status == PGQ_STALE)
            status = go_there(r, in_doubt);
        if (status == PGQ_OK || status == PGQ_STALE || status == PGQ_NOT_FOUND || status == PGQ_INVALID)
            return status;
        in_doubt = in_doubt || status == PGQ_CONNECTION;
        mend(r, status);
    }
    tell(r, PGQ_EVENT_FAILED, &r->steps[r->n - 1], "the connection was lost before the outcome was known");
    return PGQ_CONNECTION;
}

static void tell_done(reader *r)
{
    for (int i = 0; i < r->n; i++) {
        if (!r->steps[i].passed_over)
            tell(r, PGQ_EVENT_DONE, &r->steps[i], "");
    }
    r->over += r->n;
}

static pgq_status handle_page(reader *r, const pgq_messages *messages)
{
    bool whole = true;
    r->n = 0;
    for (size_t i = 0; whole && i < pgq_messages_count(messages); i++)
        whole = handle(r, pgq_messages_get(messages, i));
    if (!whole)
        return PGQ_OK;
    pgq_status status = r->o->subscriber ? commit(r) : PGQ_OK;
    if (status == PGQ_OK)
        tell_done(r);
    return status == PGQ_NOT_FOUND || status == PGQ_INVALID ? status : PGQ_OK;
}

/* --- reading --- */

static pgq_status start(reader *r)
{
    pgq_open_options open = PGQ_OPEN_OPTIONS_INIT;
    pgq_subscribe_options how = PGQ_SUBSCRIBE_OPTIONS_INIT;
    open.name_space = r->o->name_space;
    open.connect_attempts = 1;
    how.name = r->o->subscriber;
    how.start = r->o->from;
    how.hold_ms = r->o->hold_ms;
    pgq_status status = pgq_open(r->o->conninfo, &open, &r->q);
    if (status == PGQ_OK)
        status = pgq_topic_subscribe(r->q, r->o->topic, &how, &r->s);
    return status;
}

/* A command's come one by one, so that each is over with its own work. */
static int page_size(const reader *r)
{
    int64_t left = r->o->count > 0 ? r->o->count - r->over : PAGE;
    if (r->o->command)
        return 1;
    return left < PAGE ? (int)left : PAGE;
}

/* false: it is over, and *status says how. */
static bool turn(reader *r, pgq_status *status)
{
    pgq_listen_options listen = PGQ_LISTEN_OPTIONS_INIT;
    pgq_messages *messages = NULL;
    listen.poll_interval_ms = r->o->poll_ms;
    listen.cancel_fd = stop_soon_fd();
    *status = pgq_topic_wait(r->s, page_size(r), r->o->drain ? 0 : -1, &listen, &messages);
    if (pgq_topic_trimmed(r->s))
        log_note("trimmed", "messages of topic \"%s\" were removed before they were read", r->o->topic);
    switch (*status) {
    case PGQ_OK:
        *status = handle_page(r, messages);
        pgq_messages_free(messages);
        return *status == PGQ_OK;
    case PGQ_TIMEOUT:
    case PGQ_CANCELED:
        *status = PGQ_OK;
        return false;
    case PGQ_SHUTDOWN:
        log_note("shutdown", "%s", pgq_status_text(PGQ_SHUTDOWN));
        *status = PGQ_OK;
        return false;
    case PGQ_INVALID:
        return false;
    default:
        mend(r, *status);
        return true;
    }
}

static bool is_enough(const reader *r)
{
    return stop_is_due() || (r->o->count > 0 && r->over >= r->o->count);
}

/* A thread: says so when the first signal comes, though a command may run on for long. */
static void *tell_of_stop(void *arg)
{
    struct pollfd fd = {.fd = stop_soon_fd(), .events = POLLIN};
    while (poll(&fd, 1, -1) <= 0)
        continue;
    tell(arg, PGQ_EVENT_STOPPING, NULL, "");
    return NULL;
}

static pgq_status run(reader *r)
{
    pgq_status status = PGQ_OK;
    sigset_t all, before;
    pthread_t teller;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool told = pthread_create(&teller, NULL, tell_of_stop, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!told)
        return PGQ_NO_MEMORY;
    r->job->started = true;
    tell(r, PGQ_EVENT_STARTED, NULL, "");
    while (!is_enough(r) && turn(r, &status))
        status = PGQ_OK;
    stop_soon();
    pthread_join(teller, NULL);
    return status;
}

pgq_status topic_run(topic_job *job, pgq_error *why)
{
    reader r = {.job = job, .o = job->options, .pause_ms = PAUSE_FIRST_MS, .connected_at = clock_ms()};
    pthread_mutex_init(&r.telling, NULL);
    pgq_status status = start(&r);
    if (status == PGQ_OK)
        status = run(&r);
    *why = *pgq_last_error(r.q);
    pgq_subscriber_free(r.s);
    pgq_close(r.q);
    pthread_mutex_destroy(&r.telling);
    return status;
}
