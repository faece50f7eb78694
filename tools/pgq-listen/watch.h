/* SPDX-License-Identifier: MIT */
/* Waiting, in a handler, with an eye on what ends the handler early. */
#ifndef LISTEN_WATCH_H
#define LISTEN_WATCH_H

#include <pgq/pgq.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum watch_event {
    WATCH_NOTHING = 0, /* one of fds has something, or the time is up */
    WATCH_STOPPED,     /* a second signal came */
    WATCH_LOST,        /* the connection is gone, and the message with it */
    WATCH_LEASE_LOST   /* the lease is gone, and maybe the message with it */
} watch_event;

/* By what a handler has its message: a scope's connection, or a lease, which outlives the connection. */
typedef struct watch_hold {
    PGconn *conn;     /* NULL: none */
    const pgq *lease; /* NULL: none */
} watch_hold;

watch_hold watch_held(const pgq *q, PGconn *conn, bool leased);

#define WATCH_FDS 4 /* at most that many fds */

/* Waits until one of n fds is ready, or until a time of clock_ms(), or something ends it; under a lease it
 * may return earlier. hold may be NULL. revents are set, to 0 where nothing is. */
watch_event watch_wait(const watch_hold *hold, struct pollfd *fds, nfds_t n, int64_t until);

/* The text for a message that was interrupted so. */
const char *watch_reason(watch_event event);

#endif
