/* SPDX-License-Identifier: MIT */
/* Stopping: SIGTERM and SIGINT, or an error that ends the program. */
#ifndef LISTEN_STOP_H
#define LISTEN_STOP_H

#include <pgq/pgq.h>
#include <stdbool.h>

/* Handles the signals from now on. The first one stops the worker, which may be NULL, and makes
 * stop_soon_fd() readable; the second one stop_fd(). They stay so. False: errno says why not. */
bool stop_setup(pgq_worker *worker);

int stop_soon_fd(void);

/* As the first signal does. */
void stop_soon(void);

/* A signal has come, or a failure. */
bool stop_is_due(void);

int stop_fd(void);

/* A second signal has come. */
bool stop_is_urgent(void);

/* Something is wrong with the program's own output: stop, and exit with failure. */
void stop_for_failure(void);
bool stop_has_failed(void);

#endif
