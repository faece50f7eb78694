/* SPDX-License-Identifier: MIT */
/* A terminal with a program on it: what the program draws, as somebody would see it. */
#ifndef TOOLS_SCREEN_H
#define TOOLS_SCREEN_H

#include "cli_harness.h"

enum { SCREEN_ROWS = 60, SCREEN_COLUMNS = 220 };

typedef struct screen {
    int fd, rows, columns;
    pid_t pid;
    int row, column;
    char cells[SCREEN_ROWS][SCREEN_COLUMNS + 1]; /* other than ASCII: a ? */
    char escape[32];                             /* what has come of a sequence */
    size_t escaped;
    bool other, hidden, unwrapped; /* as the program has set the terminal */
    int too_long, too_far;         /* characters behind the last column; places that are none */
} screen;

void screen_start(screen *s, int rows, int columns, const char *line);
void screen_resize(screen *s, int rows, int columns);
void screen_type(screen *s, const char *keys);

/* Reads what there is; whether the text is on the screen. */
bool screen_has(screen *s, const char *text);

/* Waits for the end, which must leave the terminal as it was: the exit status, or 1000 and the signal. */
int screen_end(screen *s);

/* Whether the terminal is as it is without a program. */
bool screen_is_plain(screen *s);

#endif
