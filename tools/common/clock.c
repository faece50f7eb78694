/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void clock_text(int64_t us, int digits, char out[CLOCK_TEXT])
{
    int64_t fraction = us % 1000000;
    struct tm tm = {0};
    if (fraction < 0)
        fraction += 1000000;
    time_t seconds = (time_t)((us - fraction) / 1000000);
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, CLOCK_TEXT - 8, "%Y-%m-%dT%H:%M:%S", &tm);
    if (digits == 3)
        snprintf(out + n, CLOCK_TEXT - n, ".%03dZ", (int)(fraction / 1000));
    else
        snprintf(out + n, CLOCK_TEXT - n, ".%06dZ", (int)fraction);
}

int clock_poll_ms(int64_t until)
{
    if (until == CLOCK_NEVER)
        return -1;
    int64_t left = until - clock_ms();
    if (left < 0)
        return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}
