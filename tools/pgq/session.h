/* SPDX-License-Identifier: MIT */
/* The connection that verbs work on, and what their errors are called. */
#ifndef PGQ_CLI_SESSION_H
#define PGQ_CLI_SESSION_H

#include <pgq/pgq.h>

typedef struct session {
    const char *dsn, *name_space; /* NULL: libpq's environment; mq */
    pgq *q;                       /* NULL: not connected yet */
} session;

/* Connects, unless it is connected. NULL: it was said why not; *status is the exit status. */
pgq *session_open(session *s, int *status);
void session_close(session *s);

/* Says the last error of a call on q that gave this status, and what to do about it. The exit status; for
 * EMPTY and its kin nothing is said. */
int session_failed(pgq *q, pgq_status status);

/* The same for an error that stands elsewhere. */
int session_error(const char *name_space, pgq_status status, const pgq_error *e);

/* 130 or 143 after a signal, which is said with what it means; else status. */
int session_status(int status);

#endif
