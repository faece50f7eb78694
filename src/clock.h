/* SPDX-License-Identifier: MIT */
#ifndef PGQI_CLOCK_H
#define PGQI_CLOCK_H

#include <stdint.h>

/* Microseconds on a clock that never jumps. */
int64_t pgqi_now_us(void);

/* Milliseconds until a time on that clock, rounded up; 0 if it is past, -1 for INT64_MAX (never). */
int pgqi_until_ms(int64_t when_us, int64_t now_us);

#endif
