/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include <limits.h>
#include <time.h>

int64_t pgqi_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int pgqi_until_ms(int64_t when_us, int64_t now_us)
{
    int64_t ms;

    if (when_us == INT64_MAX)
        return -1;
    if (when_us <= now_us)
        return 0;
    ms = (when_us - now_us - 1) / 1000 + 1;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}
