/* SPDX-License-Identifier: MIT */
/* No command: each message is a line on stdout. */
#ifndef LISTEN_PRINT_H
#define LISTEN_PRINT_H

#include <pgq/pgq.h>
#include <stdbool.h>

typedef struct print_how {
    bool leased;   /* messages are held by a lease, not by a transaction */
    bool of_topic; /* they are a topic's */
} print_how;

/* A pgq_handler; arg is a print_how. When stdout cannot be written, the
 * program stops. */
int print_handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg);

#endif
