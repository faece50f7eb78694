/* SPDX-License-Identifier: MIT */
#include "doze.h"

#include <string.h>

/* After the last message: looks 1, 2, 4, 8 and 16 ms apart, before the sleep is announced. */
enum { LINGER_STEPS = 5 };

/* While producers are in flight that did not see us: looks up to so far apart. */
static const int64_t producing_most_us = 20000;
static const int64_t recheck_first_us = 2000;
/* While only consumers are: a fiftieth of the time since the announcement, within these bounds. */
static const int64_t consuming_least_us = 5000;
static const int64_t consuming_most_us = 1000000;

static const int64_t due_again_us = 5000;

void pgqi_doze_init(pgqi_doze *d, int poll_ms)
{
    memset(d, 0, sizeof *d);
    d->poll_us = poll_ms < 0 ? INT64_MAX : poll_ms == 0 ? 5000000 : (int64_t)poll_ms * 1000;
    d->due_us = INT64_MAX;
    d->act = PGQI_LOOK;
}

void pgqi_doze_found(pgqi_doze *d)
{
    d->lingering = LINGER_STEPS;
    d->thorough = 0;
    d->act = d->announced ? PGQI_AWAKE : PGQI_LOOK;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void sleep_until(pgqi_doze *d, int64_t until_us)
{
    d->act = PGQI_SLEEP;
    d->until_us = sooner(until_us, d->due_us);
}

void pgqi_doze_empty(pgqi_doze *d, int64_t now_us)
{
    d->thorough = 0;
    if (!d->announced && d->lingering > 0) {
        d->due_us = INT64_MAX;
        sleep_until(d, now_us + (1000LL << (LINGER_STEPS - d->lingering)));
        d->lingering--;
    } else if (!d->announced) {
        d->act = PGQI_ANNOUNCE;
    } else {
        int64_t poll_at = d->poll_us == INT64_MAX ? INT64_MAX : now_us + d->poll_us;

        /* What was due was not to be had: somebody else is at it. */
        if (d->due_us <= now_us)
            d->due_us = now_us + due_again_us;
        sleep_until(d, d->clear ? poll_at : sooner(now_us + d->recheck_us, poll_at));
    }
}

void pgqi_doze_announced(pgqi_doze *d, int producing, int consuming, int64_t due_in_ms, int64_t now_us)
{
    if (!d->announced) {
        d->announced = 1;
        d->announced_us = now_us;
        d->recheck_us = recheck_first_us;
    }
    d->clear = !producing && !consuming;
    d->due_us = due_in_ms < 0 ? INT64_MAX : now_us + due_in_ms * 1000;
    if (producing) {
        d->recheck_us = sooner(d->recheck_us + d->recheck_us / 2, producing_most_us);
    } else {
        d->recheck_us = sooner((now_us - d->announced_us) / 50, consuming_most_us);
        if (d->recheck_us < consuming_least_us)
            d->recheck_us = consuming_least_us;
    }
    d->thorough = 1;
    d->act = PGQI_LOOK;
}

void pgqi_doze_left(pgqi_doze *d)
{
    d->announced = 0;
    d->clear = 0;
    d->leave = 0;
    d->act = PGQI_LOOK;
}

void pgqi_doze_rung(pgqi_doze *d)
{
    d->lingering = LINGER_STEPS;
    d->leave = d->announced;
    d->act = PGQI_LOOK;
}

void pgqi_doze_late(pgqi_doze *d)
{
    /* Asleep for good, or waiting for others to end: ask again who is in flight, and look after that. */
    d->act = d->announced ? PGQI_ANNOUNCE : PGQI_LOOK;
}
