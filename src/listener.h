/* SPDX-License-Identifier: MIT */
#ifndef PGQI_LISTENER_H
#define PGQI_LISTENER_H

#include <pgq/listener.h>

/* After READY: whether the look must be from the very start. */
int pgqi_listener_thorough(const pgq_listener *listener);

/* In the place of process(), while the look that it asked for goes on: whether a shutdown has come, which the
 * next process() tells. -1: there is no connection to hear it by, and none to poll. */
int pgqi_listener_shut(pgq_listener *listener);

#endif
