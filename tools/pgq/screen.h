/* SPDX-License-Identifier: MIT */
/* The whole terminal, as long as it is ours: keys as they are typed, and a screen that is given back as it
 * was. */
#ifndef PGQ_CLI_SCREEN_H
#define PGQ_CLI_SCREEN_H

#include "buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum screen_key {
    KEY_NONE = 0, /* the time has come, or the size has changed; other keys are characters */
    KEY_UP = 256,
    KEY_DOWN,
    KEY_GONE /* the terminal is, or a signal ends the program */
} screen_key;

/* Whether stdin and stdout are terminals that can be drawn on. */
bool screen_is_there(void);

/* From here on every way out gives the terminal back, but for SIGKILL. false: errno says why. */
bool screen_enter(void);
void screen_leave(void);

void screen_size(size_t *rows, size_t *columns);

/* Writes one, whole. */
void screen_draw(const buf *frame);

/* Waits for a key until then, a time of clock_ms(). Being stopped and going on is seen to. */
int screen_key_until(int64_t until);

#endif
