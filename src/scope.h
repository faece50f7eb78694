/* SPDX-License-Identifier: MIT */
/* Dequeue scopes on an owned connection: settling one message and taking the next, in one round trip. */
#ifndef PGQI_SCOPE_H
#define PGQI_SCOPE_H

#include "claim.h"
#include "handle.h"

#include <pgq/dequeue.h>

/* What a scope of several messages is settled with: made before the handler runs, so that memory that lacks
 * cannot keep what it has done from being settled. */
typedef struct pgqi_many {
    const pgq_messages *messages;
    size_t undecoded; /* pgqi_messages_part() */
    pgqi_params ack;  /* of the messages */
    pgqi_params nack; /* of those and of what could not be decoded */
    pgqi_params drop; /* of what could not be decoded */
    int64_t done;     /* out: how many were acked */
} pgqi_many;

/* Ends the open scope. */
typedef struct pgqi_settle {
    pgqi_many *many; /* NULL: one message, which the next two say */
    int64_t id;
    int32_t attempt;
    int failed;        /* the handler said so */
    int ended;         /* the handler has ended the transaction: there is nothing to settle */
    char text[1024];   /* why */
    pgq_status status; /* out: OK; FAILED; STALE; or that of the connection */
} pgqi_settle;

/* Opens the next one. */
typedef struct pgqi_take {
    const char *queue;
    const char *filter;     /* NULL: none */
    int max;                /* messages; 0: one */
    int64_t lease_ms;       /* of a lease; PGQ_UNSET: the queue's */
    int sweep;              /* look from the very start */
    int look_behind;        /* tell more */
    pgq_status status;      /* out: OK, EMPTY, or why not */
    int awake;              /* take back the announcement of a sleep, too */
    int again;              /* out: of EMPTY: there is a reason to look again at once */
    int more;               /* out: of OK: another message stands behind */
    pgq_messages *messages; /* out: up to max, or NULL; the caller's to free */
} pgqi_take;

/* The turn's parts that leases have in common with scopes. */
void pgqi_take_look(const pgqi_take *take, pgqi_look *look);

/* How a handler is called: 0, or why not in text. */
int pgqi_handle(pgq *q, const pgq_message *message, pgq_handler handler, void *arg, char *text, size_t size);

/* The same for any other call of a handler: what stands before it, and behind it with what it returned. */
void pgqi_handle_begin(pgq *q, const pgq_receipt *handled);
int pgqi_handle_end(pgq *q, int rc, char *text, size_t size);

/* Ends whatever transaction is open, and keeps the error that led there. */
pgq_status pgqi_end_transaction(pgq *q);

/* What a call with a handler needs: a queue's name, a handler, and that none is running on the handle;
 * with own, also a connection of the library's, with no transaction open on it. */
pgq_status pgqi_scope_enter(pgq *q, const char *queue, int handler, int own);

/* Takes one look, or a few if messages were lost. */
void pgqi_scope_look(pgq *q, pgqi_take *take);

/* Either may be NULL. The scope that take opens stays open if take->status is OK. */
void pgqi_scope_turn(pgq *q, pgqi_settle *settle, pgqi_take *take);

/* Settles in the caller's transaction, behind whose savepoint the handler ran, and leaves it open. */
pgq_status pgqi_settle_joined(pgq *q, pgqi_settle *settle);

/* Runs the handler and fills in what is to be settled. */
void pgqi_scope_run(pgq *q, const pgq_message *message, pgq_handler handler, void *arg, pgqi_settle *settle);

/* Takes one message and handles it, or EMPTY. found, unless NULL, is called before the handler. */
pgq_status pgqi_scope_once(pgq *q, pgqi_take *take, void (*found)(pgq *q), pgq_handler handler, void *arg);

#endif
