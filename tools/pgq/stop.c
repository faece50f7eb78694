/* SPDX-License-Identifier: MIT */
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static int ends[2] = {-1, -1};
static volatile sig_atomic_t came;
static _Atomic(PGcancel *) cancel;
static void (*_Atomic before_death)(void);

/* What PQcancel() does is fit for a signal handler. */
static void on_signal(int number)
{
    char why[256];
    int saved = errno;
    if (came) {
        void (*last)(void) = atomic_load(&before_death);
        if (last)
            last();
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    came = number;
    PGcancel *c = atomic_load(&cancel);
    if (c)
        PQcancel(c, why, sizeof why);
    ssize_t ignored = write(ends[1], "!", 1);
    (void)ignored;
    errno = saved;
}

bool stop_setup(void)
{
    /* Not restarted: a read from a terminal is to end. */
    struct sigaction stop = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&stop.sa_mask);
    sigaddset(&stop.sa_mask, SIGTERM);
    sigaddset(&stop.sa_mask, SIGINT);
    return pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 && sigaction(SIGPIPE, &ignore, NULL) == 0 &&
           sigaction(SIGTERM, &stop, NULL) == 0 && sigaction(SIGINT, &stop, NULL) == 0;
}

void stop_watch(PGconn *conn)
{
    PGcancel *old = atomic_exchange(&cancel, conn ? PQgetCancel(conn) : NULL);
    if (old)
        PQfreeCancel(old);
}

void stop_before_death(void (*last)(void))
{
    atomic_store(&before_death, last);
}

int stop_signal(void)
{
    return (int)came;
}

int stop_fd(void)
{
    return ends[0];
}

bool stop_readable(int fd, int ms)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = ends[0], .events = POLLIN}};
    if (came)
        return false;
    return poll(fds, 2, ms) > 0 && !came && fds[0].revents != 0;
}
