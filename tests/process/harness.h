/* SPDX-License-Identifier: MIT */
/* What the programs of this directory share: a namespace of their own, children, shared memory, time. */
#ifndef PROCESS_HARNESS_H
#define PROCESS_HARNESS_H

#include <pgq/pgq.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* --- the run --- */

/* Reads PGQ_TEST_DSN (without it the program ends with 77), and installs a namespace named after the program.
 */
void begin(const char *name);
/* Drops the namespace; the exit status. */
int finish(void);
/* A number from the environment, for a run of another size. */
long setting(const char *name, long otherwise);
/* Counts a failure, and says what it is. In any process. */
void fail(const char *format, ...) PGQ_PRINTF(1, 2);
#define check(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail(__VA_ARGS__);                                                                               \
    } while (0)
/* Ends the process, and with it the run, when going on makes no sense. */
void give_up(const char *format, ...) PGQ_PRINTF(1, 2);
int failures(void);

/* --- the server --- */

const char *dsn(void);
const char *name_space(void);
/* A handle on the namespace of the run. */
pgq *open_handle(void);
/* error_limit 0: none. */
void make_queue(const char *name, int error_limit);
/* One statement, NS standing for the namespace; the first field of its answer as a number, 0 if there is
 * none. */
int64_t query(pgq *q, const char *sql);
/* The same on a connection of its own. */
int64_t query_once(const char *sql);
/* The same, as by printf. */
int64_t queryf(pgq *q, const char *format, ...) PGQ_PRINTF(2, 3);
void must(pgq *q, pgq_status status, const char *what);

/* --- processes --- */

/* A child that runs body(arg) and exits 0. It is killed if this process dies. */
pid_t start(void (*body)(void *arg), void *arg);
/* Waits for a child: 1 if it exited with 0. */
int ended_well(pid_t pid);
/* Kills a child with -9 and waits for it. */
void kill_now(pid_t pid);
/* Stops a child, and waits until it stands still. */
void stop_now(pid_t pid);
/* Memory that children share, zeroed. */
void *shared(size_t size);

/* --- time and chance --- */

int64_t now_us(void);
void pause_us(int64_t us);
/* From low to high, both included; a sequence of its own for each process. */
int64_t between(int64_t low, int64_t high);
/* The value below which the given share of n values lies; sorts them. */
int64_t percentile(int64_t *values, size_t n, double share);

/* --- the machine's own noise --- */

/* A child that measures, for each second, how late the machine is: how much a sleep of 1 ms overshoots, and,
 * if asked, how long a commit of one row takes. */
void noise_start(int with_commits);
void noise_stop(void);
/* The worst within the seconds from..to (as now_us() tells time), in microseconds. */
int64_t noise_between(int64_t from_us, int64_t to_us);
int64_t noise_worst(void);

#endif
