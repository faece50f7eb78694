/* SPDX-License-Identifier: MIT */
/* What the server has done for an arm: the log it wrote, the processor time it took. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include "arm.h"

#define WAL_LSN_TEXT 32

typedef struct wal_mark {
    char lsn[WAL_LSN_TEXT];
} wal_mark;

/* How WAL is counted: "records", without full-page images, by pg_walinspect; else "LSN", all of it. */
const char *wal_how(void);
void wal_open(bench *b);
wal_mark wal_here(const bench *b);
double wal_bytes(const bench *b, const wal_mark *from, const wal_mark *to);

/* Seconds of processor time of the server's processes for the connections that are there now; -1: they are
 * not on this machine. */
double server_seconds(const bench *b, const char *role);

#endif
