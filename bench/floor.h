/* SPDX-License-Identifier: MIT */
/* The floor: what PostgreSQL itself does for the same rows, by prepared statements that were written by
 * hand and call no function of pgq.
 *
 * Its table is LIKE pgq's own: the same columns, the same indexes, the same storage parameters. Its
 * sessions have the plans that pgq's functions have: generic ones, by index. */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "arm.h"

void floor_install(bench *b);
void floor_prepare(PGconn *conn);

/* Sends so many messages in one statement, n at most FILL. */
void floor_fill(bench *b, int64_t n, int64_t delay_ms);

/* An array of n payloads of the run, in the binary format. To be freed. */
char *floor_payloads(const bench *b, size_t n, int *len);

extern const arm_ops floor_send, floor_send_batch, floor_pop, floor_pop_batch, floor_scope, floor_scope_batch,
    floor_lease, floor_cycle, floor_delayed;

/* The INSERT of the row that a scope's work writes: both sides do it by this. */
#define WORK_INSERT "INSERT INTO " FLOOR ".work (message, note) VALUES ($1, $2)"
void work_insert(PGconn *conn, int64_t id);

#endif
