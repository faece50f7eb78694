/* SPDX-License-Identifier: MIT */
/* No command: each message is a line on stdout. */
#ifndef LISTEN_PRINT_H
#define LISTEN_PRINT_H

#include <pgq/pgq.h>

/* A pgq_handler; arg is a bool, whether messages are held by a lease. When stdout cannot be written, the
 * program stops. */
int print_handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg);

#endif
