/* SPDX-License-Identifier: MIT */
/* The statements that an owned connection has prepared: those that it has sent twice.
 *
 * None behind a pooler that may hand the next transaction to another session, and none on a borrowed
 * connection. Who deallocates them costs a call its error; they are prepared again then. */
#ifndef PGQI_PREPARED_H
#define PGQI_PREPARED_H

#include <pgq/handle.h>

enum { PGQI_PREPARED_MAX = 24 };

typedef struct pgqi_prepared {
    const char *sql[PGQI_PREPARED_MAX]; /* literals, told apart by their address */
    unsigned char ready[PGQI_PREPARED_MAX];
    int n;
    int direct; /* the session is this connection's own: 1 yes, 0 no, -1 not asked yet */
} pgqi_prepared;

typedef struct pgqi_use {
    int at;      /* -1: send the text */
    int prepare; /* prepare it first */
    char name[16];
} pgqi_use;

/* Of a connection that is new. */
void pgqi_prepared_init(pgqi_prepared *p);

/* How to send a statement. */
void pgqi_prepared_use(pgq *q, const char *sql, pgqi_use *use);

/* It could not be prepared. */
void pgqi_prepared_failed(pgq *q, const pgqi_use *use);

/* After a failure: whether it was that of a statement that is not there any more, or does not fit any more.
 * All are forgotten then. */
int pgqi_prepared_lost(pgq *q);

#endif
