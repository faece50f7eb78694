/* SPDX-License-Identifier: MIT */
/* A thread that extends leases while handlers run, on a connection of its own that it opens when the first
 * lease is a third over. The threads of a worker share one. */
#ifndef PGQI_KEEPER_H
#define PGQI_KEEPER_H

#include <pgq/lease.h>
#include <stdatomic.h>

typedef struct pgqi_keeper pgqi_keeper;

/* A lease that is being kept. It stands in its holder's memory. */
typedef struct pgqi_hold {
    struct pgqi_hold *next;
    pgq_receipt receipt;
    int64_t given_ms;         /* of the call that gave the lease; PGQ_UNSET: the queue's */
    int64_t left_ms;          /* when it was extended last, or given */
    int64_t next_us;          /* when to extend it */
    _Atomic int64_t until_us; /* when it has run out, as far as is known here */
    atomic_int lost;
    atomic_int told;    /* its handler was told that it has run out: no later answer makes that good */
    atomic_int settled; /* the handler has settled it, */
    int ended;          /* or has returned: to be gone is what settling does to the row */
    void *holder;
} pgqi_hold;

/* Told that a lease is lost, from the keeper's thread; the hold is valid during the call. */
typedef void (*pgqi_lost)(const pgqi_hold *hold, const char *why);

/* lost may be NULL. NULL if memory ran out. */
pgqi_keeper *pgqi_keeper_new(const char *conninfo, const char *name_space, pgqi_lost lost);
void pgqi_keeper_free(pgqi_keeper *k);

/* Keeps a lease from now on; receipt, given_ms, left_ms and holder are set. 0 if the thread could not be
 * started. */
int pgqi_keeper_hold(pgqi_keeper *k, pgqi_hold *hold);

/* The handler has returned. Marks a lease as lost that has run out, or of which that was told: the thread may
 * be waiting for a server that does not answer. Else it is kept on, to outlast a settling that has to be sent
 * again. */
void pgqi_keeper_ended(pgqi_keeper *k, pgqi_hold *hold);

void pgqi_keeper_drop(pgqi_keeper *k, pgqi_hold *hold);

#endif
