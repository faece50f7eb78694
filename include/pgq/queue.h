/* SPDX-License-Identifier: MIT */
/** @file queue.h
 *  Queues: create, change, pause, empty, delete, list.
 *
 *  A queue's name is 1 to 160 bytes of UTF-8 without control characters and without a blank at either
 *  end; any other name is INVALID before any SQL is sent. Upper and lower case differ.
 */
#ifndef PGQ_QUEUE_H
#define PGQ_QUEUE_H

#include <pgq/handle.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What shapes a queue. Each attribute may be set at the queue or at the namespace, and some at a message;
 * the first of message, call, queue, namespace that says something holds, else what is built in. -1 is "none"
 * where it is allowed. */
typedef struct pgq_attributes {
    size_t size;              /**< sizeof(pgq_attributes) */
    int64_t lease_ms;         /**< of a receive: 0 to 9999999000 ms; built in: 30000 */
    int64_t delay_ms;         /**< of a message sent: 0 to 9999999000 ms; built in: 0 */
    int64_t max_size;         /**< bytes of payload: 0 to 1073741823, or -1; built in: 65536 */
    int32_t priority;         /**< of a message: 0 (first) to 2^31-1; built in: 999 */
    int requeue;              /**< 1: a message that failed comes back; 0: it is a dead letter; built in: 1 */
    int32_t requeue_priority; /**< of a message that comes back: 0 to 2^31-1, or -1: its own; built in: -1 */
    int32_t error_limit;    /**< errors after which a message is a dead letter: from 1, or -1; built in: -1 */
    int64_t ttl_ms;         /**< a message's time to live: 1 to 9999999000 ms, or -1; built in: -1 */
    int64_t retry_delay_ms; /**< from a failure to the next attempt: 0 to 9999999000 ms; built in: 0 */
    double retry_factor;    /**< by which that grows with each failure more: 1 to 100; built in: 1 */
    int64_t retry_max_delay_ms; /**< and its limit: 0 to 9999999000 ms; built in: 3600000 */
    double retry_jitter;        /**< the share of it that is left to chance: 0 to 1; built in: 0 */
    int drop_dead;              /**< 1: what would be a dead letter is deleted; built in: 0 */
} pgq_attributes;

/** Nothing given. */
#define PGQ_ATTRIBUTES_INIT                                                                                  \
    {                                                                                                        \
        sizeof(pgq_attributes), PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, \
            PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET                                 \
    }

/** The attributes, by name: for pgq_set_queue()'s unset, and pgq_queue_info's own. */
typedef enum pgq_attribute {
    PGQ_LEASE = 1 << 0,
    PGQ_DELAY = 1 << 1,
    PGQ_MAX_SIZE = 1 << 2,
    PGQ_PRIORITY = 1 << 3,
    PGQ_REQUEUE = 1 << 4,
    PGQ_REQUEUE_PRIORITY = 1 << 5,
    PGQ_ERROR_LIMIT = 1 << 6,
    PGQ_TTL = 1 << 7,
    PGQ_RETRY_DELAY = 1 << 8,
    PGQ_RETRY_FACTOR = 1 << 9,
    PGQ_RETRY_MAX_DELAY = 1 << 10,
    PGQ_RETRY_JITTER = 1 << 11,
    PGQ_DROP_DEAD = 1 << 12
} pgq_attribute;

/** Creates a queue.
 *
 *  @param attributes    those that are not given are the namespace's, now and later; NULL: none is given
 *  @param if_not_exists 1: an existing queue is a success, its attributes untouched
 *  @return OK, EXISTS (its attributes are untouched), INVALID, NOT_INSTALLED, PERMISSION, ...
 *
 *  Transaction: joins one if it is open, and leaves it usable whatever the outcome. Blocking: one round
 *  trip, and while another transaction is creating a queue of that name. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_create_queue(pgq *q, const char *queue, const pgq_attributes *attributes,
                                       int if_not_exists);

/** Changes attributes of a queue; its time of modification follows.
 *
 *  @param attributes those that are given are changed, and no other; NULL: none
 *  @param unset      attributes that are to be the namespace's again: PGQ_LEASE | ...; 0: none
 *  @return OK, NOT_FOUND (and nothing is created), INVALID (also for nothing given), NOT_INSTALLED,
 * PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_set_queue(pgq *q, const char *queue, const pgq_attributes *attributes,
                                    unsigned unset);

/** Changes attributes of the namespace, which hold in every queue that does not say otherwise.
 *
 *  @param attributes, unset as for pgq_set_queue(); what is unset is as it is built in
 *  @return OK, INVALID (also for nothing given), NOT_INSTALLED, PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip, and while a queue is being created or
 * changed. Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_set_defaults(pgq *q, const pgq_attributes *attributes, unsigned unset);

/** Deletes a queue with all its messages and dead letters. A later queue of that name sees nothing of it.
 *
 *  @return OK, NOT_FOUND, INVALID, NOT_INSTALLED, PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: while transactions are open that sent to the queue
 *  or hold messages of it. Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_delete_queue(pgq *q, const char *queue);

/** Hands out nothing of a queue until pgq_resume_queue(). It takes messages as ever, and what is in flight is
 * settled.
 *
 *  @return OK (also if it is paused already), NOT_FOUND, INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_pause_queue(pgq *q, const char *queue);

/** Ends a pause, and wakes who waits for the queue.
 *
 *  @return OK (also if it is not paused), NOT_FOUND, INVALID, ...
 *
 *  Transaction: joins one if it is open; the waiting are woken by its commit. Blocking: one round trip.
 * Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_resume_queue(pgq *q, const char *queue);

/** Deletes all messages of a queue, dead letters aside; the queue stays.
 *
 *  @param waiting   how many were ready, delayed or blocked; may be NULL
 *  @param in_flight how many consumers had; may be NULL
 *  @return OK (also for none), NOT_FOUND, INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: while scopes hold messages of the queue. Threads: that of
 * the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_purge(pgq *q, const char *queue, int64_t *waiting, int64_t *in_flight);

/** What pgq_clean() did. */
typedef struct pgq_cleaned {
    int64_t promoted; /**< delayed messages that were due, and are ready now */
    int64_t returned; /**< leases that had run out, and were counted as failures */
    int64_t expired;  /**< messages past their time to live, deleted */
    int64_t windows;  /**< dedup windows that were over, deleted */
} pgq_cleaned;

/** Does what is due, and deletes what is outdated. Delivery never needs it: consumers see to it as they look.
 *
 *  @param queue NULL: all queues
 *  @param out   the sums; may be NULL
 *  @return OK (also for nothing), NOT_FOUND, INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: never for others. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_clean(pgq *q, const char *queue, pgq_cleaned *out);

/** One queue of a pgq_queue_list. */
typedef struct pgq_queue_info {
    const char *name;
    pgq_attributes attributes; /**< all given: those in force */
    unsigned own;              /**< which of them the queue itself sets: PGQ_LEASE | ... */
    int paused;
    int64_t created;  /**< microseconds since 1970-01-01 00:00 UTC */
    int64_t modified; /**< microseconds since 1970-01-01 00:00 UTC */
} pgq_queue_info;

typedef struct pgq_queue_list pgq_queue_list;

/** Lists the queues of the namespace with their attributes, sorted by the bytes of their names.
 *
 *  @param queue that one alone; NULL: all
 *  @return OK (also for none, if queue is NULL), NOT_FOUND, INVALID, NOT_INSTALLED, PERMISSION, NO_MEMORY,
 * ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: free *out with pgq_queue_list_free(); NULL unless OK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_list_queues(pgq *q, const char *queue, pgq_queue_list **out);

/** How many; 0 for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT size_t pgq_queue_list_count(const pgq_queue_list *list);

/** Queue number i from 0; NULL if there is none.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the list's. Since: 0.1. */
PGQ_EXPORT const pgq_queue_info *pgq_queue_list_get(const pgq_queue_list *list, size_t i);

/** Frees a list; NULL is allowed.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: list is gone. Since: 0.1. */
PGQ_EXPORT void pgq_queue_list_free(pgq_queue_list *list);

#ifdef __cplusplus
}
#endif
#endif
