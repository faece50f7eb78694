/* SPDX-License-Identifier: MIT */
/* SIGINT and SIGTERM: the first one cancels the statement that runs, and wakes who waits; the second one ends
 * the process. */
#ifndef PGQ_CLI_STOP_H
#define PGQ_CLI_STOP_H

#include <libpq-fe.h>
#include <stdbool.h>

bool stop_setup(void);

/* The connection whose statement is to be cancelled; NULL: none. */
void stop_watch(PGconn *conn);

/* What the second one calls before the end, from its handler. */
void stop_before_death(void (*last)(void));

/* The signal that came; 0: none. */
int stop_signal(void);

/* Can be read once a signal has come. */
int stop_fd(void);

/* Waits until fd can be read, or ms have passed: -1: for ever. false: a signal came, or nothing in the time.
 */
bool stop_readable(int fd, int ms);

#endif
