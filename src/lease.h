/* SPDX-License-Identifier: MIT */
/* Handlers under a lease: settling one message and receiving the next, in one round trip. The same steps as
 * in scope.h, without a transaction while the handler runs. */
#ifndef PGQI_LEASE_H
#define PGQI_LEASE_H

#include "keeper.h"
#include "scope.h"

/* One message under way. */
typedef struct pgqi_leased {
    pgqi_settle settle;
    pgqi_hold hold;
    int kept;   /* the keeper has the hold */
    int mine;   /* the handler has settled the message itself */
    int resent; /* the settling was sent before, and its outcome never came */
} pgqi_leased;

/* As pgqi_scope_turn(). A settling whose outcome is CONNECTION may be sent again on another connection. */
void pgqi_lease_turn(pgq *q, pgqi_leased *settle, pgqi_take *take);

/* Runs the handler, and fills in what is to be settled. keeper keeps the lease until pgqi_lease_end(). */
void pgqi_lease_run(pgq *q, pgqi_keeper *keeper, const pgqi_take *take, pgq_handler handler, void *arg,
                    pgqi_leased *leased);
void pgqi_lease_end(pgqi_keeper *keeper, pgqi_leased *leased);

#endif
