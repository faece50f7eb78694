/* SPDX-License-Identifier: MIT */
#include "cursor.h"

#include "alloc.h"

#include <pthread.h>
#include <string.h>

/* A position is passed for good when it has been found empty twice, this far apart, so that an
 * ordinary transaction that commits late is never overtaken. */
static const int64_t grace_us = 100000;
/* Sweeps take at most a fiftieth of the time, and are not closer than this. */
static const int64_t sweep_share = 50;
static const int64_t sweep_least_us = 5000;
/* How often a claim looks for what has fallen due, when nothing is known to. */
static const int64_t check_due_every_us = 20000;

struct spot {
    int32_t priority;
    int64_t from;    /* claims begin here */
    int64_t mark;    /* found empty up to here, once */
    int64_t mark_us; /* when; 0: no mark */
};

struct cursor {
    struct cursor *next;
    char *queue;
    int n;
    struct spot spots[PGQI_CURSOR_PRIORITIES]; /* by priority */
    int64_t sweep_us;                          /* the next one is due */
    int64_t check_due_us;
    int due; /* something is due */
    int64_t due_from;
};

struct pgqi_cursors {
    pthread_mutex_t lock;
    int users;
    struct cursor *first;
};

pgqi_cursors *pgqi_cursors_new(void)
{
    pgqi_cursors *c = pgqi_alloc(1, sizeof *c);

    if (c && pthread_mutex_init(&c->lock, NULL) != 0) {
        pgqi_free(c);
        return NULL;
    }
    if (c)
        c->users = 1;
    return c;
}

void pgqi_cursors_share(pgqi_cursors *cursors)
{
    pthread_mutex_lock(&cursors->lock);
    cursors->users++;
    pthread_mutex_unlock(&cursors->lock);
}

void pgqi_cursors_release(pgqi_cursors *cursors)
{
    int users;

    pthread_mutex_lock(&cursors->lock);
    users = --cursors->users;
    pthread_mutex_unlock(&cursors->lock);
    if (users > 0)
        return;
    while (cursors->first) {
        struct cursor *c = cursors->first;

        cursors->first = c->next;
        pgqi_free(c->queue);
        pgqi_free(c);
    }
    pthread_mutex_destroy(&cursors->lock);
    pgqi_free(cursors);
}

/* The queue's cursor, made if need be; NULL if memory ran out: then every claim is a sweep. */
static struct cursor *find(pgqi_cursors *cursors, const char *queue)
{
    struct cursor *c = cursors->first;

    while (c && strcmp(c->queue, queue) != 0)
        c = c->next;
    if (c)
        return c;
    c = pgqi_alloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->queue = pgqi_strdup(queue);
    if (!c->queue) {
        pgqi_free(c);
        return NULL;
    }
    c->due_from = INT64_MIN;
    c->next = cursors->first;
    cursors->first = c;
    return c;
}

void pgqi_cursor_plan(pgqi_cursors *cursors, const char *queue, int sweep, int64_t now_us, pgqi_plan *plan)
{
    struct cursor *c;

    plan->n = 0;
    plan->check_due = 1;
    plan->promote = 0;
    plan->due_from = INT64_MIN;
    pthread_mutex_lock(&cursors->lock);
    c = find(cursors, queue);
    if (c && !sweep && now_us < c->sweep_us) {
        plan->n = c->n;
        for (int i = 0; i < c->n; i++) {
            plan->priority[i] = c->spots[i].priority;
            plan->position[i] = c->spots[i].from;
        }
        plan->check_due = now_us >= c->check_due_us;
        plan->due_from = c->due_from;
    } else if (c) {
        /* Until its cost is known: one thread sweeps at a time. */
        c->sweep_us = now_us + sweep_least_us;
    }
    if (c) {
        plan->promote = c->due;
        c->due = 0;
    }
    pthread_mutex_unlock(&cursors->lock);
}

static struct spot *spot_of(struct cursor *c, int32_t priority)
{
    int i = 0;

    while (i < c->n && c->spots[i].priority < priority)
        i++;
    if (i < c->n && c->spots[i].priority == priority)
        return &c->spots[i];
    if (c->n == PGQI_CURSOR_PRIORITIES)
        return NULL;
    memmove(&c->spots[i + 1], &c->spots[i], (size_t)(c->n - i) * sizeof c->spots[0]);
    memset(&c->spots[i], 0, sizeof c->spots[i]);
    c->spots[i].priority = priority;
    c->n++;
    return &c->spots[i];
}

static void passed(struct spot *s, int64_t position, int64_t now_us)
{
    if (s->mark_us == 0) {
        s->mark = position;
        s->mark_us = now_us;
    } else if (position > s->mark && now_us - s->mark_us >= grace_us) {
        if (s->mark + 1 > s->from)
            s->from = s->mark + 1;
        s->mark = position;
        s->mark_us = now_us;
    }
}

void pgqi_cursor_found(pgqi_cursors *cursors, const char *queue, const pgqi_plan *plan,
                       const pgqi_found *found, int64_t now_us)
{
    struct cursor *c;
    struct spot *s;

    pthread_mutex_lock(&cursors->lock);
    c = find(cursors, queue);
    if (c) {
        if (plan->n == 0) {
            int64_t pause = found->micros * sweep_share;

            c->sweep_us = now_us + (pause > sweep_least_us ? pause : sweep_least_us);
        }
        s = found->taken ? spot_of(c, found->priority) : NULL;
        if (found->exhausted > 0)
            for (int i = 0; i < c->n; i++)
                passed(&c->spots[i], found->exhausted, now_us);
        else if (s)
            passed(s, found->position, now_us);
    }
    pthread_mutex_unlock(&cursors->lock);
}

void pgqi_cursor_due(pgqi_cursors *cursors, const char *queue, int64_t due_in_ms, int64_t due_mark,
                     int64_t now_us)
{
    struct cursor *c;

    pthread_mutex_lock(&cursors->lock);
    c = find(cursors, queue);
    if (c) {
        c->due |= due_in_ms == 0;
        c->check_due_us = now_us + check_due_every_us;
        if (due_in_ms > 0 && due_in_ms * 1000 < check_due_every_us)
            c->check_due_us = now_us + due_in_ms * 1000;
        if (due_mark > c->due_from)
            c->due_from = due_mark;
    }
    pthread_mutex_unlock(&cursors->lock);
}
