/* SPDX-License-Identifier: MIT */
/* Where to look for the next message, per queue: see docs/design.md, "The cursor".
 * Shared by the threads of a worker; everything here is locked. */
#ifndef PGQI_CURSOR_H
#define PGQI_CURSOR_H

#include <stdint.h>

enum { PGQI_CURSOR_PRIORITIES = 16 };

typedef struct pgqi_cursors pgqi_cursors;

/* The plan of one claim. */
typedef struct pgqi_plan {
    int n; /* priorities with a cursor; 0: a sweep */
    int32_t priority[PGQI_CURSOR_PRIORITIES];
    int64_t position[PGQI_CURSOR_PRIORITIES];
    int mark;         /* have the claim report tail and producers */
    int check_due;    /* look at what falls due, too */
    int promote;      /* something is due: make it ready */
    int64_t due_from; /* the server's time, INT64_MIN: from the start */
} pgqi_plan;

/* What came of it. */
typedef struct pgqi_found {
    int taken;
    int32_t priority; /* of the last message taken */
    int64_t position;
    int exhausted;         /* nothing was left */
    int64_t micros;        /* how long the claim took */
    int64_t tail;          /* the last position given out before the look */
    const char *producers; /* in flight then, by names separated by blanks; NULL: not asked for */
} pgqi_found;

pgqi_cursors *pgqi_cursors_new(void);
void pgqi_cursors_share(pgqi_cursors *cursors);
void pgqi_cursors_release(pgqi_cursors *cursors);

/* sweep: look from the very start whatever the cursor says. */
void pgqi_cursor_plan(pgqi_cursors *cursors, const char *queue, int sweep, int64_t now_us, pgqi_plan *plan);
void pgqi_cursor_found(pgqi_cursors *cursors, const char *queue, const pgqi_plan *plan,
                       const pgqi_found *found, int64_t now_us);
/* due_in_ms: -1 if nothing is near, 0 if something is due. due_mark: what is due before that server time
 * has been made ready; INT64_MIN if that is not known. micros: what the look has cost. */
void pgqi_cursor_due(pgqi_cursors *cursors, const char *queue, int64_t due_in_ms, int64_t due_mark,
                     int64_t micros, int64_t now_us);

#endif
