/* SPDX-License-Identifier: MIT */
#include "cursor.h"

#include "alloc.h"

#include <pthread.h>
#include <string.h>

/* How often a mark is set, and how long it stands at least. */
static const int64_t mark_every_us = 100000;
/* How long a producer's open transaction can hold the cursor back. */
static const int64_t patience_us = 10000000;
/* Sweeps take at most a fiftieth of the time, and are not closer than this. */
static const int64_t sweep_share = 50;
static const int64_t sweep_least_us = 10000;
/* How often a claim looks for what has fallen due, when nothing is known to; and no more of the time than
 * sweeps. */
static const int64_t check_due_every_us = 50000;

struct spot {
    int32_t priority;
    int64_t from; /* claims begin here */
    int64_t mark; /* found empty up to here when the mark was set */
};

struct cursor {
    struct cursor *next;
    char *queue;
    int n;
    struct spot spots[PGQI_CURSOR_PRIORITIES]; /* by priority */
    int64_t sweep_us;                          /* the next one is due */
    int64_t mark_us;                           /* when the marks were set; 0: none are */
    int64_t ask_us;                            /* when a look may ask for a mark again */
    char *producers;                           /* who was in flight then */
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
        pgqi_free(c->producers);
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
    plan->mark = 0;
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
        /* Until its cost is known: one thread looks at a time, or with many of them each claim would. */
        if (plan->check_due)
            c->check_due_us = now_us + check_due_every_us;
    } else if (c) {
        /* Until its cost is known: one thread sweeps at a time. */
        c->sweep_us = now_us + sweep_least_us;
    }
    if (c) {
        plan->mark = now_us >= c->ask_us;
        /* Not less often when it costs more: the farther the cursor is behind, the more a claim has to walk
         * over. */
        if (plan->mark)
            c->ask_us = now_us + mark_every_us;
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

/* Whether a name of one list stands in the other. */
static int in_common(const char *a, const char *b)
{
    size_t len;

    for (; *a; a += len + (a[len] == ' ')) {
        len = strcspn(a, " ");
        for (const char *at = b; *at; at += strcspn(at, " "), at += *at == ' ')
            if (strcspn(at, " ") == len && strncmp(a, at, len) == 0)
                return 1;
    }
    return 0;
}

/* The position up to which a look has seen everything of a spot's priority; 0: not so far. */
static int64_t reached_in(const struct spot *s, const pgqi_found *found)
{
    if (found->exhausted || s->priority < found->priority)
        return found->tail;
    if (s->priority > found->priority)
        return 0;
    return found->position < found->tail ? found->position : found->tail;
}

/* A mark is passed for good when a later look has come beyond it and nobody is in flight any more who
 * was when it was set: who held a position up to there has committed by then, and been seen. */
static void move_marks(struct cursor *c, const pgqi_found *found, int64_t now_us)
{
    int pass =
        c->mark_us && (now_us - c->mark_us >= patience_us || !in_common(c->producers, found->producers));
    char *producers;

    if (c->mark_us && !pass)
        return;
    producers = pgqi_strdup(found->producers);
    if (!producers)
        return;
    for (int i = 0; i < c->n; i++) {
        struct spot *s = &c->spots[i];
        int64_t reached = reached_in(s, found);

        if (reached <= s->mark)
            continue;
        if (pass && s->mark >= s->from)
            s->from = s->mark + 1;
        s->mark = reached;
    }
    pgqi_free(c->producers);
    c->producers = producers;
    c->mark_us = now_us;
}

void pgqi_cursor_found(pgqi_cursors *cursors, const char *queue, const pgqi_plan *plan,
                       const pgqi_found *found, int64_t now_us)
{
    struct cursor *c;

    pthread_mutex_lock(&cursors->lock);
    c = find(cursors, queue);
    if (c && plan->n == 0) {
        int64_t pause = found->micros * sweep_share;

        c->sweep_us = now_us + (pause > sweep_least_us ? pause : sweep_least_us);
    }
    if (c && found->taken)
        spot_of(c, found->priority);
    if (c && found->producers && (found->taken || found->exhausted))
        move_marks(c, found, now_us);
    pthread_mutex_unlock(&cursors->lock);
}

void pgqi_cursor_due(pgqi_cursors *cursors, const char *queue, int64_t due_in_ms, int64_t due_mark,
                     int64_t micros, int64_t now_us)
{
    struct cursor *c;

    pthread_mutex_lock(&cursors->lock);
    c = find(cursors, queue);
    if (c) {
        c->due |= due_in_ms == 0;
        int64_t pause = micros * sweep_share > check_due_every_us ? micros * sweep_share : check_due_every_us;

        c->check_due_us = now_us + pause;
        if (due_in_ms > 0 && due_in_ms * 1000 < pause)
            c->check_due_us = now_us + due_in_ms * 1000;
        if (due_mark > c->due_from)
            c->due_from = due_mark;
    }
    pthread_mutex_unlock(&cursors->lock);
}
