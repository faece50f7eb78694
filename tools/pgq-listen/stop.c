/* SPDX-License-Identifier: MIT */
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static pgq_worker *the_worker; /* set before the handlers are */
static int soon_pipe[2] = {-1, -1};
static int urgent_pipe[2] = {-1, -1};
static atomic_int signals_seen;
static atomic_bool failed;

/* Never read: it tells every thread that polls it. */
static void tell(int fd)
{
    ssize_t ignored = write(fd, "!", 1);
    (void)ignored;
}

void stop_soon(void)
{
    tell(soon_pipe[1]);
    if (the_worker)
        pgq_worker_stop(the_worker);
}

static void on_signal(int number)
{
    int saved = errno;
    int before = atomic_fetch_add(&signals_seen, 1);
    (void)number;
    if (before == 0)
        stop_soon();
    else if (before == 1)
        tell(urgent_pipe[1]);
    errno = saved;
}

bool stop_setup(pgq_worker *worker)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    the_worker = worker;
    sigemptyset(&stop.sa_mask);
    sigaddset(&stop.sa_mask, SIGTERM);
    sigaddset(&stop.sa_mask, SIGINT);
    return pipe2(soon_pipe, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(urgent_pipe, O_CLOEXEC | O_NONBLOCK) == 0 &&
           sigaction(SIGPIPE, &ignore, NULL) == 0 && sigaction(SIGTERM, &stop, NULL) == 0 &&
           sigaction(SIGINT, &stop, NULL) == 0;
}

int stop_soon_fd(void)
{
    return soon_pipe[0];
}

bool stop_is_due(void)
{
    return atomic_load(&signals_seen) > 0 || stop_has_failed();
}

int stop_fd(void)
{
    return urgent_pipe[0];
}

bool stop_is_urgent(void)
{
    return atomic_load(&signals_seen) > 1;
}

void stop_for_failure(void)
{
    atomic_store(&failed, true);
    stop_soon();
}

bool stop_has_failed(void)
{
    return atomic_load(&failed);
}
