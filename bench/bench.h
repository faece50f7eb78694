/* SPDX-License-Identifier: MIT */
/* One run of the program: its options, its schemas, and how it ends. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "options.h"

#include <pgq/pgq.h>

#define NS       "pgq_bench"
#define NS_EMPTY "pgq_bench_empty"
#define FLOOR    "pgq_bench_floor"
#define QUEUE    "bench"
#define FILL     1000 /* messages in a transaction where a queue is filled */

typedef struct bench {
    options o;
    PGconn *control; /* for SQL of the bench's own */
    pgq *q;          /* for queues, and to fill them */
    PGconn *hand;    /* to fill the floor's table */
    char *payload;
    bool superuser;
    bool local; /* the server's processes are seen in /proc */
} bench;

/* Connects, takes away what an earlier run has left, and makes the schemas. From then on every end of
 * the program drops them again, and so do SIGINT, SIGTERM and SIGHUP. */
void bench_open(bench *b);
void bench_close(bench *b);

/* A further namespace, as NS is. */
pgq *bench_namespace(bench *b, const char *name);

/* A conninfo for one more connection of this run: to the server of the control connection, or to the
 * socket in dir; settings: as for psql's PGOPTIONS, or NULL. To be freed. */
char *bench_conninfo(const bench *b, const char *role, const char *dir, const char *settings);

/* The names that the connections of a role have in pg_stat_activity. */
void bench_application(const char *role, char *out, size_t size);

/* What is to be done first if the program ends early, by any of its threads: to end processes, say. */
void bench_at_end(void (*what)(void));

/* Says what went wrong, drops the schemas and ends the program. */
_Noreturn void die(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/* --- statements, which must not fail --- */

PGconn *connect_to(const char *conninfo);
void run_sql(PGconn *conn, const char *sql);
int64_t int_sql(PGconn *conn, const char *sql);
void check_result(PGconn *conn, PGresult *res, ExecStatusType expected);
void prepare(PGconn *conn, const char *name, const char *sql);
void must(const pgq *q, pgq_status status, const char *call);

/* --- memory and time --- */

void *allocate(size_t n, size_t size); /* zeroed; never NULL */
int64_t now_ns(void);
void sleep_ms(int64_t ms);

#endif
