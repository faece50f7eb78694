/* SPDX-License-Identifier: MIT */
/* How far long work is: a line on stderr that is written anew, if it is a terminal and the work takes a
 * second. */
#ifndef PGQ_CLI_PROGRESS_H
#define PGQ_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Begins; text is what is being done. With tick a thread tells how long it takes, as for one statement. */
void progress_begin(bool quiet, bool tick, const char *text);

/* So many are done. */
void progress_count(int64_t done);

void progress_end(void);

/* Takes the line away, for another one. */
void progress_clear(void);

#endif
