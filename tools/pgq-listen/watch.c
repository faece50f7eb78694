/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include "clock.h"
#include "stop.h"

#include <string.h>

/* The loss of a lease shows on no fd: how often to ask. */
#define LEASE_LOOK_MS 200

watch_hold watch_held(const pgq *q, PGconn *conn, bool leased)
{
    return (watch_hold){.conn = leased ? NULL : conn, .lease = leased ? q : NULL};
}

static int wait_ms(const pgq *lease, int64_t until)
{
    int ms = clock_poll_ms(until);
    return lease && (ms < 0 || ms > LEASE_LOOK_MS) ? LEASE_LOOK_MS : ms;
}

watch_event watch_wait(const watch_hold *hold, struct pollfd *fds, nfds_t n, int64_t until)
{
    PGconn *conn = hold ? hold->conn : NULL;
    const pgq *lease = hold ? hold->lease : NULL;
    struct pollfd all[WATCH_FDS + 2] = {
        {.fd = stop_fd(), .events = POLLIN},
        {.fd = conn ? PQsocket(conn) : -1, .events = POLLIN},
    };
    for (nfds_t i = 0; i < n; i++) {
        fds[i].revents = 0;
        all[i + 2] = fds[i];
    }
    if (conn && PQstatus(conn) != CONNECTION_OK)
        return WATCH_LOST;
    if (lease && pgq_lease_lost(lease))
        return WATCH_LEASE_LOST;
    if (poll(all, n + 2, wait_ms(lease, until)) <= 0)
        return WATCH_NOTHING; /* the caller looks at the clock, and comes again */
    for (nfds_t i = 0; i < n; i++)
        fds[i].revents = all[i + 2].revents;
    if (all[0].revents)
        return WATCH_STOPPED;
    if (all[1].revents && (PQconsumeInput(conn) == 0 || PQstatus(conn) != CONNECTION_OK))
        return WATCH_LOST;
    return WATCH_NOTHING;
}

const char *watch_reason(watch_event event)
{
    switch (event) {
    case WATCH_LOST:
        return "the connection to the server was lost";
    case WATCH_LEASE_LOST:
        return "the lease was lost";
    case WATCH_NOTHING:
    case WATCH_STOPPED:
        break;
    }
    return "pgq-listen was told to stop at once";
}
