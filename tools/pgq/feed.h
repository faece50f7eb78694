/* SPDX-License-Identifier: MIT */
/* Input, item by item: lines of stdin, say. A signal ends it. */
#ifndef PGQ_CLI_FEED_H
#define PGQ_CLI_FEED_H

#include <stdbool.h>
#include <stddef.h>

typedef struct feed {
    int fd;
    char *data;
    size_t from, len, cap; /* what is there and not taken: data + from, len bytes */
    size_t seen;           /* of them are known to hold no end of an item */
    bool ended;
} feed;

typedef enum feed_result {
    FEED_ITEM,
    FEED_IDLE, /* nothing has come for idle_ms */
    FEED_END,
    FEED_SIGNAL,
    FEED_FAILED /* it was said */
} feed_result;

/* The next item, without the byte that ends it; the last one may do without. Good until the next call.
 * idle_ms: -1: never idle. */
feed_result feed_next(feed *f, char end, int idle_ms, const char **item, size_t *len);

/* All of it. END, SIGNAL or FAILED. */
feed_result feed_all(feed *f, const char **data, size_t *len);

void feed_free(feed *f);

#endif
