/* SPDX-License-Identifier: MIT */
/* One of a worker's threads: takes, handles, settles, and parks when nothing is left. */
#include "clock.h"
#include "error.h"
#include "lease.h"
#include "worker.h"

#include <stdio.h>
#include <string.h>

enum { BACKOFF_FIRST_US = 10000, BACKOFF_MOST_US = 60000000 };

struct self {
    pgqi_worker_thread *t;
    pgq_worker *w;
    pgq *q;
    size_t at;    /* the queue to look at next */
    size_t tried; /* queues found empty in a row */
    int64_t generation;
    int thorough;       /* this generation is to look from the very start */
    int sweep;          /* and the next look does */
    int settling;       /* leased.settle is to be sent with the next turn */
    pgqi_leased leased; /* in a scope only its settle is used */
    const char *settle_queue;
    int64_t settle_us;
    int64_t backoff_us;
};

/* Connects until it succeeds; 0 if the worker ended first. */
static int connect_thread(struct self *s)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    int down = 0;
    pgq_status status;

    o.name_space = s->w->name_space;
    o.connect_attempts = 1;
    while (!atomic_load(&s->w->stop)) {
        status = pgq_open(s->w->conninfo, &o, &s->q);
        if (status == PGQ_OK) {
            pgqi_cursors_release(s->q->cursors);
            pgqi_cursors_share(s->w->cursors);
            s->q->cursors = s->w->cursors;
            s->q->codec = s->w->codec;
            if (down)
                pgqi_worker_up(s->w, s->t->index);
            s->backoff_us = BACKOFF_FIRST_US;
            return 1;
        }
        if (!down)
            pgqi_worker_down(s->w, s->t->index, s->q ? pgq_last_error(s->q)->message : "out of memory");
        down = 1;
        pgq_close(s->q);
        s->q = NULL;
        if (!pgqi_worker_pause(s->w, s->backoff_us))
            break;
        s->backoff_us = s->backoff_us > BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US : s->backoff_us * 2;
    }
    if (down)
        pgqi_worker_up(s->w, -2);
    return 0;
}

static int reconnect_thread(struct self *s)
{
    int back = pgq_reconnect(s->q) == PGQ_OK;

    /* The server may be back since long: a parked thread notices late, and has nothing to say. */
    if (back) {
        back = pgqi_worker_pause(s->w, s->backoff_us);
        s->backoff_us = s->backoff_us > BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US : s->backoff_us * 2;
        return back;
    }
    pgqi_worker_down(s->w, s->t->index, pgq_last_error(s->q)->message);
    while (!back && pgqi_worker_pause(s->w, s->backoff_us)) {
        back = pgq_reconnect(s->q) == PGQ_OK;
        s->backoff_us = s->backoff_us > BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US : s->backoff_us * 2;
    }
    pgqi_worker_up(s->w, back ? s->t->index : -2);
    if (back)
        s->backoff_us = BACKOFF_FIRST_US;
    return back;
}

/* Whether one more message may be taken; if so it is reserved. idle: somebody would be glad of a further one.
 */
static int reserve(pgq_worker *w, int *idle)
{
    int yes;

    pthread_mutex_lock(&w->lock);
    yes = !w->ended && !atomic_load(&w->stop) &&
          (w->options.max_messages == 0 || w->reserved < w->options.max_messages);
    w->reserved += yes;
    *idle = w->parked > w->tickets;
    pthread_mutex_unlock(&w->lock);
    return yes;
}

static void unreserve(pgq_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->reserved--;
    /* Somebody may have been turned away for it. */
    if (w->options.max_messages && w->parked > w->tickets) {
        w->tickets++;
        pthread_cond_signal(&w->cond);
    }
    pthread_mutex_unlock(&w->lock);
}

/* found: something was found, and more may stand behind it; only a look that finds nothing need be from the
 * very start. */
static void begin_round(struct self *s, int found)
{
    pthread_mutex_lock(&s->w->lock);
    s->generation = s->w->generation;
    s->thorough = s->w->thorough;
    pthread_mutex_unlock(&s->w->lock);
    s->sweep = s->thorough && !found;
    s->tried = 0;
}

/* Nothing was left in this round, or nothing more may be taken: waits for a reason to go on. */
static void park(struct self *s, int looked)
{
    pgq_worker *w = s->w;

    pthread_mutex_lock(&w->lock);
    if (!looked || s->generation == w->generation) {
        if (looked)
            w->empty = s->generation;
        w->parked++;
        pgqi_worker_nudge(w);
        while (!w->ended && w->tickets == 0)
            pthread_cond_wait(&w->cond, &w->lock);
        w->parked--;
        if (w->tickets > 0)
            w->tickets--;
    }
    pthread_mutex_unlock(&w->lock);
}

/* A message was taken. If there is more, or other queues were not looked at, one more thread may go on. */
static void took(struct self *s, const pgq_message *m, int more)
{
    pgq_worker *w = s->w;

    pthread_mutex_lock(&w->lock);
    if ((more || w->n > 1) && w->parked > w->tickets) {
        w->tickets++;
        pthread_cond_signal(&w->cond);
    }
    if (!w->took) {
        w->took = 1;
        pgqi_worker_nudge(w);
    }
    s->t->since_us = pgqi_now_us();
    s->t->id = m->id;
    s->t->attempt = m->attempts;
    s->t->queue = s->w->queues[s->at].name;
    s->t->warned = 0;
    pthread_mutex_unlock(&w->lock);
}

static void handle(struct self *s, const pgqi_take *take)
{
    const pgq_message *m = pgq_messages_get(take->messages, 0);
    const pgqi_worker_queue *queue = &s->w->queues[s->at];
    int64_t began = pgqi_now_us();

    took(s, m, take->more);
    s->leased.hold.holder = s->t;
    if (s->w->keeper)
        pgqi_lease_run(s->q, s->w->keeper, take, queue->handler, queue->arg, &s->leased);
    else
        pgqi_scope_run(s->q, m, queue->handler, queue->arg, &s->leased.settle);
    pthread_mutex_lock(&s->w->lock);
    s->t->since_us = 0;
    pthread_mutex_unlock(&s->w->lock);
    s->settling = 1;
    s->settle_queue = queue->name;
    s->settle_us = pgqi_now_us() - began;
    pgq_messages_free(take->messages);
}

static void settled(struct self *s)
{
    pgq_worker *w = s->w;
    const pgqi_settle *settle = &s->leased.settle;
    pgq_event_info info = {.event = settle->status == PGQ_OK ? PGQ_EVENT_DONE : PGQ_EVENT_FAILED,
                           .thread = s->t->index,
                           .queue = s->settle_queue,
                           .id = settle->id,
                           .attempt = settle->attempt,
                           .elapsed_us = s->settle_us,
                           .text = ""};

    s->settling = 0;
    if (w->keeper)
        pgqi_lease_end(w->keeper, &s->leased);
    if (settle->status == PGQ_CONNECTION)
        info.text = "the connection was lost before the outcome was known";
    else if (settle->status != PGQ_OK)
        info.text = settle->text;
    pgqi_worker_event(w, &info);
    pthread_mutex_lock(&w->lock);
    w->handled++;
    if (w->options.max_messages && w->handled >= w->options.max_messages)
        pgqi_worker_nudge(w);
    pthread_mutex_unlock(&w->lock);
}

/* Something is wrong with the server's answers; says so, and waits. 0: the worker has ended. */
static int trouble(struct self *s, pgq_status status)
{
    const pgq_error *e = pgq_last_error(s->q);
    pgq_event_info info = {.event = PGQ_EVENT_ERROR,
                           .thread = s->t->index,
                           .queue = s->w->queues[s->at].name,
                           .text = e->message};
    /* What a standby says to a write, and to a transaction that is to write. */
    int standby = strcmp(e->sqlstate, "25006") == 0 || strcmp(e->sqlstate, "0A000") == 0;

    if (status != PGQ_CONNECTION || standby)
        pgqi_worker_event(s->w, &info);
    /* What was the primary has become a standby: another server may be there now. */
    if (status == PGQ_CONNECTION || e->connection_dead || standby)
        return reconnect_thread(s);
    s->backoff_us = s->backoff_us > BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US : s->backoff_us * 2;
    return pgqi_worker_pause(s->w, s->backoff_us);
}

/* A lease outlives its connection: the settling is sent again on another one, as long as the lease is kept.
 */
static int settle_later(struct self *s)
{
    if (!s->w->keeper || s->leased.settle.status != PGQ_CONNECTION || atomic_load(&s->leased.hold.lost))
        return 0;
    s->leased.resent = 1;
    return 1;
}

/* One round trip: settles what was handled, and looks at one queue. 0: the worker has ended. */
static int turn(struct self *s)
{
    pgqi_take take = {.queue = s->w->queues[s->at].name,
                      .sweep = s->sweep,
                      .lease_ms = s->w->options.lease_ms ? s->w->options.lease_ms : PGQ_UNSET};
    int may = reserve(s->w, &take.look_behind);

    if (!may && !s->settling) {
        park(s, 0);
        return 1;
    }
    if (s->w->keeper)
        pgqi_lease_turn(s->q, s->settling ? &s->leased : NULL, may ? &take : NULL);
    else
        pgqi_scope_turn(s->q, s->settling ? &s->leased.settle : NULL, may ? &take : NULL);
    if (s->settling) {
        int gone = s->leased.settle.status == PGQ_CONNECTION;

        if (settle_later(s)) {
            if (may)
                unreserve(s->w);
            if (trouble(s, PGQ_CONNECTION))
                return 1;
            /* The worker has ended; but what was done is told, if there is a server. */
            if (PQstatus(s->q->conn) == CONNECTION_OK || pgq_reconnect(s->q) == PGQ_OK)
                pgqi_lease_turn(s->q, &s->leased, NULL);
            settled(s);
            return 0;
        }
        settled(s);
        if (!may)
            return gone ? trouble(s, PGQ_CONNECTION) : 1;
    }
    if (take.status == PGQ_OK) {
        s->backoff_us = BACKOFF_FIRST_US;
        handle(s, &take);
        s->at = (s->at + 1) % s->w->n;
        begin_round(s, 1);
        return 1;
    }
    unreserve(s->w);
    if (take.status != PGQ_EMPTY)
        return trouble(s, take.status);
    s->backoff_us = BACKOFF_FIRST_US;
    if (take.again)
        return 1;
    if (s->thorough && !take.sweep) {
        s->sweep = 1;
        s->tried = 0;
        return 1;
    }
    s->at = (s->at + 1) % s->w->n;
    if (++s->tried == s->w->n) {
        park(s, 1);
        begin_round(s, 0);
    }
    return 1;
}

static int ended(pgq_worker *w)
{
    int yes;

    pthread_mutex_lock(&w->lock);
    yes = w->ended;
    pthread_mutex_unlock(&w->lock);
    return yes || atomic_load(&w->stop);
}

void *pgqi_worker_thread_main(void *arg)
{
    pgqi_worker_thread *t = arg;
    struct self s = {
        .t = t, .w = t->worker, .at = (size_t)t->index % t->worker->n, .backoff_us = BACKOFF_FIRST_US};

    if (connect_thread(&s)) {
        begin_round(&s, 0);
        while ((s.settling || !ended(s.w)) && turn(&s))
            continue;
    }
    pgq_close(s.q);
    return NULL;
}
