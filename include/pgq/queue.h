/* SPDX-License-Identifier: MIT */
/** @file queue.h
 *  Queues: create, delete, list.
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

typedef struct pgq_queue_options {
    size_t size;         /**< sizeof(pgq_queue_options) */
    int64_t max_size;    /**< bytes of payload: 0 to 1073741823, or -1 for no limit; 65536 in INIT */
    int32_t priority;    /**< of a message that has none of its own: 0 (first) to 2^31-1; 999 in INIT */
    int32_t error_limit; /**< errors after which a message is a dead letter; 0: none */
    int if_not_exists;   /**< 1: an existing queue is a success, its attributes untouched */
} pgq_queue_options;

#define PGQ_QUEUE_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        sizeof(pgq_queue_options), 65536, 999, 0, 0                                                          \
    }

/** Creates a queue.
 *
 *  @param options NULL: the defaults
 *  @return OK, EXISTS (its attributes are untouched), INVALID, NOT_INSTALLED, PERMISSION, ...
 *
 *  Transaction: joins one if it is open, and leaves it usable whatever the outcome. Blocking: one round
 *  trip, and while another transaction is creating a queue of that name. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_create_queue(pgq *q, const char *queue, const pgq_queue_options *options);

/** Deletes a queue with all its messages and dead letters. A later queue of that name sees nothing of it.
 *
 *  @return OK, NOT_FOUND, INVALID, NOT_INSTALLED, PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: while transactions are open that sent to the queue
 *  or hold messages of it. Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_delete_queue(pgq *q, const char *queue);

/** One queue of a pgq_queue_list. */
typedef struct pgq_queue_info {
    const char *name;
    int64_t max_size; /**< bytes; -1: no limit */
    int32_t priority;
    int32_t error_limit; /**< 0: none */
    int64_t created;     /**< microseconds since 1970-01-01 00:00 UTC */
    int64_t modified;    /**< microseconds since 1970-01-01 00:00 UTC */
} pgq_queue_info;

typedef struct pgq_queue_list pgq_queue_list;

/** Lists the queues of the namespace, sorted by the bytes of their names.
 *
 *  @return OK (also for none), NOT_INSTALLED, PERMISSION, NO_MEMORY, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: free *out with pgq_queue_list_free(); NULL unless OK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_list_queues(pgq *q, pgq_queue_list **out);

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
