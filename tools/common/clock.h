/* SPDX-License-Identifier: MIT */
/* Time: a clock for deadlines, and moments as text. */
#ifndef TOOLS_CLOCK_H
#define TOOLS_CLOCK_H

#include <stdint.h>

#define CLOCK_TEXT  48 /* bytes for clock_text() */
#define CLOCK_NEVER (-1)

/* Milliseconds of a clock that nobody sets. */
int64_t clock_ms(void);

/* Microseconds since 1970-01-01 00:00 UTC. */
int64_t clock_wall_us(void);

/* Such a moment in RFC 3339, UTC, with 3 or 6 digits behind the second. */
void clock_text(int64_t us, int digits, char out[CLOCK_TEXT]);

/* What to give to poll() so that it ends at until, a time of clock_ms(), or CLOCK_NEVER. */
int clock_poll_ms(int64_t until);

#endif
