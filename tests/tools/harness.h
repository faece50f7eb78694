/* SPDX-License-Identifier: MIT */
/* Drives the real pgq-listen: a namespace and a directory for each test, and processes that are waited for.
 */
#ifndef TOOLS_HARNESS_H
#define TOOLS_HARNESS_H

#include <pgq/pgq.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
/* Behind what it needs. */
#include <cmocka.h>

#define DEADLINE_MS 30000 /* far beyond what anything takes, on a slow machine with sanitizers too */
#define QUEUE       "orders"

typedef struct process {
    pid_t pid; /* 0: none, or waited for */
    char out[64], err[64];
} process;

#define PROCESSES 4

typedef struct fixture {
    pgq *q;
    char name_space[40];
    char dir[32]; /* $T for the commands */
    process processes[PROCESSES];
    int started;
    int stdout_fd; /* for the next process instead of a file; -1: none */
} fixture;

/* For cmocka: *state is a fixture, with the namespace installed and QUEUE in it. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Exits with 77 if there is no server to test with. */
void need_server(void);

int64_t now_ms(void);
void nap(void);

/* Waits for a condition, and fails the test at the deadline. */
#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t wait_until_ = now_ms() + DEADLINE_MS;                                                        \
        while (!(condition)) {                                                                               \
            if (now_ms() > wait_until_)                                                                      \
                fail_msg("not within %d ms: %s", DEADLINE_MS, #condition);                                   \
            nap();                                                                                           \
        }                                                                                                    \
    } while (0)

/* Starts pgq-listen for QUEUE in the fixture's namespace with more arguments, ended by NULL. */
process *listen_start(fixture *f, ...);

/* The same without -d, -n and -q. */
process *listen_start_bare(fixture *f, ...);

/* Waits for its end: the exit status, or 1000 and the signal. */
int listen_wait(process *p);

/* Both in one. */
#define listen_run(...) listen_wait(listen_start(__VA_ARGS__))

/* What a file holds; "" if it is not there. Free it. */
char *slurp(const char *path);
char *slurp_in(const fixture *f, const char *name);

bool file_holds(const char *path, const char *text);
bool file_in_holds(const fixture *f, const char *name, const char *text);
int count_in_file(const char *path, const char *text);

/* Makes an empty file in the fixture's directory; removes one. */
void touch(const fixture *f, const char *name);
void unlink_in(const fixture *f, const char *name);

/* Fails if a file does not hold the text, and says what it holds. */
#define assert_holds(path, text) must_hold(path, text, __FILE__, __LINE__)
void must_hold(const char *path, const char *text, const char *file, int line);

/* Sends to QUEUE. */
int64_t send_text(fixture *f, const char *text);
int64_t send_as(fixture *f, pgq_kind kind, const void *payload, size_t len, const char *headers);

pgq_counts counts_of(fixture *f);
bool counts_are(fixture *f, int64_t ready, int64_t in_flight);

/* The messages that are ready; free them. */
pgq_messages *ready_ones(fixture *f);

/* Checks that one message is ready, with that many attempts and errors, and that last_error contains a text.
 */
void assert_returned(fixture *f, int attempts, int errors, const char *last_error);

/* When the lease of the one message in flight ends; 0: it has none, or there is not one. */
int64_t lease_end(fixture *f);

/* What an aggregate says of pgq-listen's connections, as rows of pg_stat_activity. */
int ask(fixture *f, const char *columns);

/* How many connections pgq-listen has. */
int connections(fixture *f);

/* Has the server end them. Returns how many there were. */
int terminate_backends(fixture *f);

/* The process is not there any more, or only its remains are. */
bool is_gone(pid_t pid);

/* The number that a file of the fixture holds; 0: none yet. */
pid_t pid_in(const fixture *f, const char *name);

#endif
