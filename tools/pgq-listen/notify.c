/* SPDX-License-Identifier: MIT */
#include "notify.h"

#include "child.h"
#include "clock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int manager = -1;
static struct sockaddr_un address;
static socklen_t address_len;
static pthread_t pinger;
static int pinger_stop[2] = {-1, -1}; /* the write end is closed to stop it */
static int ping_every_ms;
static int64_t status_at; /* when the last STATUS went out */

static void tell(const char *state)
{
    /* A manager that is gone or does not keep up is no reason to stop work. */
    if (manager >= 0)
        sendto(manager, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address,
               address_len);
}

static void *ping(void *arg)
{
    struct pollfd fd = {.fd = pinger_stop[0], .events = POLLIN};
    do {
        tell("WATCHDOG=1");
    } while (poll(&fd, 1, ping_every_ms) == 0);
    return arg;
}

/* Half of WATCHDOG_USEC, if it is meant for this process; else 0. */
static int ping_interval(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    char *end;
    if (!usec || (pid && strtoll(pid, NULL, 10) != (long long)getpid()))
        return 0;
    errno = 0;
    long long n = strtoll(usec, &end, 10);
    if (errno != 0 || *end != '\0' || n <= 0)
        return 0;
    n /= 2000;
    return n > INT_MAX ? INT_MAX : n < 1 ? 1 : (int)n;
}

static bool start_pings(void)
{
    sigset_t all, before;
    ping_every_ms = ping_interval();
    if (ping_every_ms == 0)
        return true;
    if (pipe2(pinger_stop, O_CLOEXEC) != 0) {
        log_note("error", "cannot start the watchdog's pings: %s", strerror(errno));
        return false;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = pthread_create(&pinger, NULL, ping, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (why == 0)
        return true;
    log_note("error", "cannot start the watchdog's pings: %s", strerror(why));
    child_close(&pinger_stop[0]);
    child_close(&pinger_stop[1]);
    return false;
}

bool notify_setup(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || *path == '\0')
        return true;
    size_t len = strlen(path);
    if ((*path != '/' && *path != '@') || len >= sizeof address.sun_path) {
        log_note("error", "NOTIFY_SOCKET \"%s\" is not allowed: a path of at most %zu bytes is, from / or @",
                 path, sizeof address.sun_path - 1);
        return false;
    }
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, len);
    if (*path == '@')
        address.sun_path[0] = '\0'; /* a name that is no file */
    address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*path == '@' ? 0 : 1));
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (manager < 0) {
        log_note("error", "cannot open a socket for NOTIFY_SOCKET: %s", strerror(errno));
        return false;
    }
    return start_pings();
}

void notify_event(const pgq_event_info *info, int64_t done, int64_t failed)
{
    static const char *status = "working";
    const char *lead = "";
    bool now = true;
    char state[256];
    switch (info->event) {
    case PGQ_EVENT_STARTED:
        lead = "READY=1\n";
        break;
    case PGQ_EVENT_STOPPING:
        lead = "STOPPING=1\n";
        status = "stopping";
        break;
    case PGQ_EVENT_DISCONNECTED:
        status = "waiting for the server";
        break;
    case PGQ_EVENT_RECONNECTED:
        status = "working";
        break;
    case PGQ_EVENT_DONE:
    case PGQ_EVENT_FAILED:
    case PGQ_EVENT_LONG_SCOPE:
    case PGQ_EVENT_LEASE_LOST:
    case PGQ_EVENT_ERROR:
        now = clock_ms() >= status_at + 1000; /* under load it need not be told of each message */
        break;
    }
    if (!now)
        return;
    status_at = clock_ms();
    snprintf(state, sizeof state, "%sSTATUS=%s: %lld done, %lld failed", lead, status, (long long)done,
             (long long)failed);
    tell(state);
}

void notify_close(void)
{
    if (pinger_stop[1] < 0)
        return;
    child_close(&pinger_stop[1]);
    pthread_join(pinger, NULL);
    child_close(&pinger_stop[0]);
}
