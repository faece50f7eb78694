/* SPDX-License-Identifier: MIT */
/* The one place that sends SQL on a handle's connection.
 *
 * A statement's text names a function as %s._enqueue(...): %s stands for the quoted schema. */
#ifndef PGQI_EXEC_H
#define PGQI_EXEC_H

#include "handle.h"
#include "params.h"

enum { PGQI_MAX_STATEMENTS = 9 };

/* Connects, or with async begins to: in UTF-8, and with no notices on stderr. NULL if memory ran out. */
PGconn *pgqi_connect(const char *conninfo, int async);

/* Whether the handle can be used at all, and by this call: clears the last error. */
pgq_status pgqi_enter(pgq *q);

/* One statement, one round trip. *res is the caller's to clear; NULL unless OK. */
pgq_status pgqi_call(pgq *q, const char *sql, const pgqi_params *params, PGresult **res);

/* As pgqi_call(), for a function whose result's first two columns are an outcome's code and text. */
pgq_status pgqi_call_outcome(pgq *q, const char *sql, const pgqi_params *params, PGresult **res);

/* The same for a call that gives nothing. */
pgq_status pgqi_command(pgq *q, const char *sql, const pgqi_params *params);
pgq_status pgqi_command_outcome(pgq *q, const char *sql, const pgqi_params *params);

/* Statements that stand or fall together: behind a savepoint of the transaction that is open, else in one of
 * their own, which begin opens. *joined says which. */
pgq_status pgqi_unit_begin(pgq *q, const char *begin, int *joined);

/* Keeps what they did, or undoes it. The handle's error stays as it is, unless keeping fails. */
pgq_status pgqi_unit_end(pgq *q, int joined, int keep);

/* The next piece of what a COPY is fed with; its length, 0: that was all. */
typedef size_t (*pgqi_next_piece)(void *arg, const void **piece);

/* A COPY ... FROM STDIN, which the server has put together. In a unit: what fails leaves the transaction
 * failed. */
pgq_status pgqi_copy_in(pgq *q, const char *statement, pgqi_next_piece next, void *arg);

/* A script of several statements: one transaction, unless one is open. */
pgq_status pgqi_script(pgq *q, const char *sql);

/* One statement of a pipeline; its text is a literal. */
typedef struct pgqi_statement {
    const char *sql;
    const pgqi_params *params; /* NULL: none */
    int sync;                  /* the last of its group: a failure skips the rest of the group only */
    PGresult *res;             /* the answer, the caller's to clear; NULL if it was skipped */
    pgqi_use use;
} pgqi_statement;

/* Puts a statement behind the n that are there; where it stands. */
int pgqi_add_statement(pgqi_statement *statements, int *n, const char *sql, const pgqi_params *params,
                       int sync);

/* Sends all, then reads all: one round trip. OK if every statement succeeded; else the first failure.
 * The connection must be owned, and is left out of pipeline mode. */
pgq_status pgqi_pipeline(pgq *q, pgqi_statement *statements, int n);

void pgqi_clear(pgqi_statement *statements, int n);

/* Whether a transaction is open on the connection. */
int pgqi_in_transaction(const pgq *q);

#endif
