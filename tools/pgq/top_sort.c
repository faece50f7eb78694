/* SPDX-License-Identifier: MIT */
/* The order of the queues on top's screen: by name, or the largest first. */
#include "top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void top_sort_name(top_sort sort, char name[16])
{
    const char *word = TOP_SORTS;
    for (int i = 0; i < (int)sort; i++)
        word = strchr(word, '|') + 1;
    snprintf(name, 16, "%.*s", (int)strcspn(word, "|"), word);
}

top_sort top_sort_named(const char *wanted)
{
    for (top_sort sort = SORT_QUEUE; sort < SORTS; sort++) {
        char name[16];
        top_sort_name(sort, name);
        if (strcmp(name, wanted) == 0)
            return sort;
    }
    return SORT_QUEUE;
}

static double weight(const top_queue *q, top_sort sort)
{
    switch (sort) {
    case SORT_READY:
        return (double)q->stats->ready_estimate;
    case SORT_DELAYED:
        return (double)q->stats->delayed_estimate;
    case SORT_IN_FLIGHT:
        return (double)q->stats->in_flight_estimate;
    case SORT_DEAD:
        return (double)q->stats->dead_estimate;
    case SORT_SENT:
        return q->sent;
    case SORT_RECEIVED:
        return q->received;
    case SORT_OLDEST:
        return (double)q->stats->oldest_ready_ms;
    default:
        return 0;
    }
}

static top_sort by;

static int compare(const void *a, const void *b)
{
    const top_queue *left = a, *right = b;
    double x = weight(left, by), y = weight(right, by);
    return x != y ? (x < y ? 1 : -1) : strcmp(left->stats->name, right->stats->name);
}

void top_sort_queues(top *t)
{
    by = t->sort;
    if (t->queue_count > 0)
        qsort(t->queues, t->queue_count, sizeof *t->queues, compare);
}
