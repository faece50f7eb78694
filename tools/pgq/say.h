/* SPDX-License-Identifier: MIT */
/* What stderr is told: a line each. */
#ifndef PGQ_CLI_SAY_H
#define PGQ_CLI_SAY_H

#include <pgq/status.h>
#include <stdbool.h>

#define SAY_PRINTF(a, b) __attribute__((__format__(__printf__, a, b)))

/* An error of usage: EXIT_USAGE. */
int say_usage(const char *format, ...) SAY_PRINTF(1, 2);

/* Any other error: EXIT_FAILED. */
int say_failed(const char *format, ...) SAY_PRINTF(1, 2);

/* What is no error; nothing unless stderr is a terminal. */
void say_note(const char *format, ...) SAY_PRINTF(1, 2);

/* Goes before errors until the next call: "object 2: ", say. "" for nothing. */
void say_where(const char *format, ...) SAY_PRINTF(1, 2);

/* Whether to write colours to fd. */
bool say_colour(int fd);

#endif
