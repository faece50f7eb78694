/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include "clock.h"
#include "stop.h"

#include <string.h>

watch_event watch_wait(PGconn *conn, struct pollfd *fds, nfds_t n, int64_t until)
{
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
    if (poll(all, n + 2, clock_poll_ms(until)) <= 0)
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
    return event == WATCH_LOST ? "the connection to the server was lost"
                               : "pgq-listen was told to stop at once";
}
