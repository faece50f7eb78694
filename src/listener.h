/* SPDX-License-Identifier: MIT */
#ifndef PGQI_LISTENER_H
#define PGQI_LISTENER_H

#include <pgq/listener.h>

/* After READY: whether the look must be from the very start. */
int pgqi_listener_thorough(const pgq_listener *listener);

#endif
