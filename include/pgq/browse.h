/* SPDX-License-Identifier: MIT */
/** @file browse.h
 *  Looking without touching, taking a message back, and the dead letters.
 */
#ifndef PGQ_BROWSE_H
#define PGQ_BROWSE_H

#include <pgq/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The messages that the next takers would get; counts, order and locks stay untouched.
 *
 *  @param max at least 1
 *  @return OK, EMPTY, NOT_FOUND, INVALID, HOOK (a message could not be decoded: see codec.h), ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: free *out with pgq_messages_free(); NULL unless OK or HOOK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_peek(pgq *q, const char *queue, int max, pgq_messages **out);

/** Lists the messages of a queue that are in a state, in the order of delivery, of falling due, or of
 *  dying. Its cost grows with the queue.
 *
 *  @param state which ones
 *  @param max   at least 1
 *  @param skip  how many to pass over first, for paging
 *  @return OK, EMPTY, NOT_FOUND, INVALID, HOOK (a message could not be decoded: see codec.h), ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: free *out with pgq_messages_free(); NULL unless OK or HOOK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_list(pgq *q, const char *queue, pgq_state state, int max, int skip,
                               pgq_messages **out);

/** Looks at one message, whatever its state: waiting, in flight or dead.
 *
 *  @param out the message, alone; NULL unless OK or HOOK
 *  @return OK, NOT_FOUND (unknown, done, or past its time to live), INVALID, HOOK (it could not be decoded:
 *          see codec.h), ...
 *
 *  Transaction: joins one if it is open, and leaves it usable. Blocking: one round trip. Threads: that of
 *  the handle. Ownership: free *out with pgq_messages_free(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_get(pgq *q, int64_t id, pgq_messages **out);

/** Exact numbers, as of one statement. */
typedef struct pgq_counts {
    int64_t ready, delayed, blocked, in_flight, dead;
} pgq_counts;

/** Counts the messages of a queue exactly, by scanning it. For numbers at any depth see pgq_stats().
 *
 *  @return OK, NOT_FOUND, INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_count(pgq *q, const char *queue, pgq_counts *out);

/** Takes back a message that nobody has taken.
 *
 *  @return OK: it is deleted. NOT_FOUND: it is unknown, or in flight. INVALID, ...
 *
 *  Transaction: joins one if it is open, and leaves it usable. Blocking: one round trip. Threads:
 *  that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_cancel(pgq *q, int64_t id);

/** Lets a message that nobody has become ready at another time: one that is delayed sooner or later, one that
 * is ready later, at the tail of its priority.
 *
 *  @param delay_ms from now: 0 to 9999999000 ms
 *  @return OK, NOT_FOUND, IN_FLIGHT, INVALID, ...
 *
 *  Transaction: joins one if it is open, and leaves it usable. Blocking: one round trip. Threads:
 *  that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_reschedule(pgq *q, int64_t id, int64_t delay_ms);

/** Puts dead letters back at the tail of their queue, or of another, with a clean error count. List them with
 *  pgq_list() and PGQ_STATE_DEAD.
 *
 *  @param ids    n of them; NULL: all of the queue's
 *  @param target the queue they go to; NULL: their own
 *  @param count  how many went back; may be NULL. One stays while a message of its dedup key is there
 *  @return OK (also for none), NOT_FOUND (no such queue), INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_requeue_dead(pgq *q, const char *queue, const int64_t *ids, size_t n,
                                       const char *target, int64_t *count);

/** Deletes dead letters for good.
 *
 *  @param ids   n of them; NULL: all of the queue's
 *  @param count how many went; may be NULL
 *  @return OK (also for none), NOT_FOUND (no such queue), INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_purge_dead(pgq *q, const char *queue, const int64_t *ids, size_t n, int64_t *count);

#ifdef __cplusplus
}
#endif
#endif
