/* SPDX-License-Identifier: MIT */
/* Fills a pgq_error. Nothing here allocates, so that every failure can be told. */
#ifndef PGQI_ERROR_H
#define PGQI_ERROR_H

#include <libpq-fe.h>
#include <pgq/status.h>

/* Each returns the status, so that a caller can return it in turn. */
pgq_status pgqi_error_clear(pgq_error *e, pgq_status status);
pgq_status pgqi_error_set(pgq_error *e, pgq_status status, const char *format, ...) PGQ_PRINTF(3, 4);
/* res may be NULL: then the connection tells. */
pgq_status pgqi_error_from_server(pgq_error *e, PGconn *conn, const PGresult *res);
/* An outcome row of a SQL function: its code and its text. */
pgq_status pgqi_error_from_code(pgq_error *e, const char *code, const char *text);

#endif
