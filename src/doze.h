/* SPDX-License-Identifier: MIT */
/* When to look, when to sleep: the consumer's half of the doorbell, without any I/O.
 * See docs/design.md, "The doorbell". The drivers are listen.c and listener.c. */
#ifndef PGQI_DOZE_H
#define PGQI_DOZE_H

#include <stdint.h>

typedef enum pgqi_act {
    PGQI_LOOK,     /* look for messages, from the very start if d->thorough */
    PGQI_ANNOUNCE, /* run doze: d->announced says whether it holds the announcement already */
    PGQI_AWAKE,    /* run awake */
    PGQI_SLEEP     /* until d->until_us, or the bell */
} pgqi_act;

typedef struct pgqi_doze {
    int64_t poll_us;  /* how often to look anyway; INT64_MAX: never */
    pgqi_act act;     /* what to do now */
    int64_t until_us; /* of SLEEP; INT64_MAX: for ever */
    int thorough;
    int leave;            /* of LOOK: take the announcement back at the same time, and say so by _left() */
    int announced;        /* our sleep is announced */
    int clear;            /* nobody is in flight who has not seen that */
    int lingering;        /* steps of lingering left */
    int64_t announced_us; /* since when */
    int64_t recheck_us;   /* the pause before the next look, while others are in flight */
    int64_t due_us;       /* when the next message falls due; INT64_MAX: none */
} pgqi_doze;

/* poll_ms: 0: 5000; negative: never. */
void pgqi_doze_init(pgqi_doze *d, int poll_ms);

/* What has come of the act. Each sets the next one. */
void pgqi_doze_found(pgqi_doze *d);                 /* LOOK: something was taken */
void pgqi_doze_empty(pgqi_doze *d, int64_t now_us); /* LOOK: nothing was left */
void pgqi_doze_announced(pgqi_doze *d, int producing, int consuming, int64_t due_in_ms, int64_t now_us);
void pgqi_doze_left(pgqi_doze *d); /* AWAKE is done, or was sent with a LOOK */
void pgqi_doze_rung(pgqi_doze *d); /* SLEEP: the bell rang */
void pgqi_doze_late(pgqi_doze *d); /* SLEEP: the time is up */

#endif
