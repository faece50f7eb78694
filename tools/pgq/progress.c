/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_MS = 1000, EACH_MS = 500 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static pthread_t ticker;
static bool shown, active, ticking;
static char what[256];
static int64_t began_ms, last_ms, count;

static void show(int64_t now)
{
    double seconds = (double)(now - began_ms) / 1000;
    if (count > 0)
        fprintf(stderr, "\r\033[Kpgq: %s: %lld, %.0f/s", what, (long long)count, (double)count / seconds);
    else
        fprintf(stderr, "\r\033[Kpgq: %s: %.0f s", what, seconds);
    last_ms = now;
    shown = true;
}

static void *tick(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    while (active) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        if (pthread_cond_timedwait(&ended, &lock, &until) != 0 && active)
            show(clock_ms());
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

void progress_begin(bool quiet, bool with_ticks, const char *text)
{
    sigset_t all, before;
    if (quiet || !isatty(STDERR_FILENO))
        return;
    snprintf(what, sizeof what, "%s", text);
    began_ms = last_ms = clock_ms();
    count = 0;
    active = true;
    if (!with_ticks)
        return;
    /* Signals are for the thread that works. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ticking = pthread_create(&ticker, NULL, tick, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_count(int64_t done)
{
    int64_t now;
    if (!active)
        return;
    count = done;
    now = clock_ms();
    if (now - began_ms >= FIRST_MS && now - last_ms >= EACH_MS)
        show(now);
}

void progress_end(void)
{
    if (!active)
        return;
    pthread_mutex_lock(&lock);
    active = false;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
    if (ticking)
        pthread_join(ticker, NULL);
    ticking = false;
    progress_clear();
}

void progress_clear(void)
{
    if (shown)
        fprintf(stderr, "\r\033[K");
    shown = false;
}
