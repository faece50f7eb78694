/* SPDX-License-Identifier: MIT */
/* pgq's side, by its public header alone. */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include "arm.h"

extern const arm_ops pgq_send, pgq_send_batch, pgq_pop_one, pgq_pop_batch, pgq_scope, pgq_lease_ack,
    pgq_cycle, pgq_delayed;
extern const arm_ops pgq_scope_batch;
extern const arm_ops pgq_async;

/* A pgq_handler that writes one row, as the floor's scopes do. */
int work_handler(pgq *q, PGconn *conn, const pgq_message *m, void *arg);

/* Keeps a transaction with an xid open, so that vacuum can remove nothing, until the connection is closed. */
PGconn *hold_transaction(const bench *b);

/* Waits until no session of a role is in a transaction. */
void wait_for_rest(const bench *b, const char *role);

#endif
