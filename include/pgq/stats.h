/* SPDX-License-Identifier: MIT */
/** @file stats.h
 *  Numbers about queues, to look at every second at any depth.
 */
#ifndef PGQ_STATS_H
#define PGQ_STATS_H

#include <pgq/handle.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One queue of a pgq_stats_list. The totals never go down, and count sends that were rolled back, too. The
 * estimates are exact if exact says so, which it does up to 10,000 messages of each sort; pgq_count() is
 * exact at any number. */
typedef struct pgq_queue_stats {
    const char *name;
    int paused;
    int64_t sent_total;
    int64_t received_total; /**< times a message was handed out */
    int64_t ready_estimate;
    int64_t delayed_estimate;
    int64_t blocked_estimate; /**< behind an earlier message of their order key; at most 100000 are counted */
    int64_t in_flight_estimate;
    int64_t dead_estimate;
    int exact;
    int64_t oldest_ready_ms; /**< since the oldest of those next in line was sent; -1: none is ready */
} pgq_queue_stats;

typedef struct pgq_stats_list pgq_stats_list;

/** Looks at queues without scanning them.
 *
 *  @param queue that one alone; NULL: all, sorted by the bytes of their names
 *  @return OK (also for none, if queue is NULL), NOT_FOUND, INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: free *out with pgq_stats_free(); NULL unless OK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_stats(pgq *q, const char *queue, pgq_stats_list **out);

/** How many; 0 for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT size_t pgq_stats_count(const pgq_stats_list *list);

/** Queue number i from 0; NULL if there is none.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the list's. Since: 0.1. */
PGQ_EXPORT const pgq_queue_stats *pgq_stats_get(const pgq_stats_list *list, size_t i);

/** Frees a list; NULL is allowed.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: list is gone. Since: 0.1. */
PGQ_EXPORT void pgq_stats_free(pgq_stats_list *list);

#ifdef __cplusplus
}
#endif
#endif
