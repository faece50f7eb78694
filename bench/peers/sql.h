/* SPDX-License-Identifier: MIT */
/* Prepared statements over libpq, for the peers that are SQL functions. */
#ifndef PEERS_SQL_H
#define PEERS_SQL_H

#include <libpq-fe.h>

PGconn *sql_open(const char *conninfo);

/** Runs a command as it is, and wants it to succeed. */
void sql_run(PGconn *conn, const char *sql);

void sql_prepare(PGconn *conn, const char *name, const char *sql);

/** Executes what was prepared, with n arguments in text form. */
PGresult *sql_execute(PGconn *conn, const char *name, int n, const char *const *arguments);

/** "{x,x,...}" of count elements, to be freed. */
char *sql_array(const char *const *elements, int count);

#endif
