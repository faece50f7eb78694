/* SPDX-License-Identifier: MIT */
/* What top has seen, and the screen that shows it. */
#ifndef PGQ_CLI_TOP_H
#define PGQ_CLI_TOP_H

#include "buf.h"

#include <pgq/pgq.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum top_sort {
    SORT_QUEUE,
    SORT_READY,
    SORT_DELAYED,
    SORT_IN_FLIGHT,
    SORT_DEAD,
    SORT_SENT,
    SORT_RECEIVED,
    SORT_OLDEST,
    SORTS /* how many */
} top_sort;

#define TOP_SORTS "queue|ready|delayed|in_flight|dead|sent|received|oldest"

/* A queue, and what happened since the look before. */
typedef struct top_queue {
    const pgq_queue_stats *stats;
    double sent, received; /* a second; -1: unknown */
} top_queue;

typedef struct top {
    const char *place; /* which namespace, where */
    top_queue *queues; /* sorted */
    size_t queue_count;
    const pgq_consumer **consumers;
    size_t consumer_count;
    const char *trouble, *no_consumers; /* why there is nothing new; "": there is */
    int64_t interval_ms, time_us;
    top_sort sort;
    size_t from; /* the first queue that is shown */
    bool colour;
} top;

/* The name of a sort, a word of TOP_SORTS; the sort of such a word. */
void top_sort_name(top_sort sort, char name[16]);
top_sort top_sort_named(const char *name);

void top_sort_queues(top *t);

/* A frame for a terminal of that size. It limits t->from to what there is. */
void top_frame(top *t, buf *b, size_t rows, size_t columns);

#endif
