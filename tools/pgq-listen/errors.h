/* SPDX-License-Identifier: MIT */
/* A command's stderr: passed on line by line, and its end kept, for the error of a message. One thread
 * takes, another may ask. */
#ifndef LISTEN_ERRORS_H
#define LISTEN_ERRORS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ERRORS_KEPT 4096 /* bytes of the end that are kept */
#define ERRORS_TEXT 900  /* bytes for errors_text(); leaves room for a reason before it */

typedef struct errors {
    const char *queue; /* whose message it is, for the log; NULL: no one's */
    int64_t id;
    pthread_mutex_t lock;   /* of kept */
    char kept[ERRORS_KEPT]; /* a ring */
    uint64_t total;         /* bytes that have gone into it since it was last emptied */
    char line[ERRORS_KEPT]; /* not passed on yet: the line has not ended */
    size_t line_len;
} errors;

void errors_setup(errors *e, const char *queue, int64_t id);

/* Reads what is there, without waiting. false: the end was reached. */
bool errors_take(errors *e, int fd);

/* Passes on an unfinished line. */
void errors_flush(errors *e);

/* Forgets what was kept. */
void errors_empty(errors *e);

/* The last lines of what was kept, in UTF-8; "" if there is nothing. */
void errors_text(errors *e, char out[ERRORS_TEXT]);

void errors_free(errors *e);

#endif
