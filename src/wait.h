/* SPDX-License-Identifier: MIT */
/* Waiting for a message on a handle's own connection. */
#ifndef PGQI_WAIT_H
#define PGQI_WAIT_H

#include "handle.h"

/* One look: what it is to do with what it finds is its own affair. EMPTY sends the wait on; anything else
 * ends it. */
typedef struct pgqi_looker {
    /* sweep: from the very start. awake: take back the announcement of a sleep, too. */
    pgq_status (*look)(struct pgqi_looker *looker, pgq *q, int sweep, int awake);
    const char *name; /* of the queue, or */
    pgqi_bell_kind kind;
} pgqi_looker;

typedef struct pgqi_wait_options {
    int timeout_ms; /* 0: look once; negative: for ever */
    int poll_interval_ms;
    int cancel_fd;
} pgqi_wait_options;

/* Whether a wait is possible: on a connection of the handle's own, with no transaction open. */
pgq_status pgqi_check_own(pgq *q);

/* What the looks come to, with TIMEOUT in the place of EMPTY; CANCELED; SHUTDOWN. */
pgq_status pgqi_wait(pgq *q, pgqi_looker *looker, const pgqi_wait_options *options);

/* For a look that has found something: nobody need ring for us any more. */
void pgqi_wait_found(pgq *q);

#endif
