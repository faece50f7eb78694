/* SPDX-License-Identifier: MIT */
/* sd_notify: datagrams to the service manager that started us. */
#ifndef LISTEN_NOTIFY_H
#define LISTEN_NOTIFY_H

#include <pgq/pgq.h>
#include <stdbool.h>

/* Opens the way to NOTIFY_SOCKET, and pings if WATCHDOG_USEC asks for it. Nothing happens, with success,
 * if there is no service manager. false: the reason has been logged. */
bool notify_setup(void);

/* Tells of an event; done and failed count the messages so far. Not by two threads at once. */
void notify_event(const pgq_event_info *info, int64_t done, int64_t failed);

/* Stops the pings. */
void notify_close(void);

#endif
