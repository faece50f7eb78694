/* SPDX-License-Identifier: MIT */
/** @file enqueue.h
 *  Sending.
 */
#ifndef PGQ_ENQUEUE_H
#define PGQ_ENQUEUE_H

#include <pgq/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How to send a message. INIT leaves all to the queue. */
typedef struct pgq_enqueue_options {
    size_t size;      /**< sizeof(pgq_enqueue_options) */
    pgq_kind kind;    /**< PGQ_BINARY in INIT */
    int32_t priority; /**< 0 (first) to 2^31-1; PGQ_UNSET: the queue's */
    int64_t delay_ms; /**< 0 to 9999999000 ms: not taken before that time from now; PGQ_UNSET: the queue's */
    int64_t
        ttl_ms; /**< 1 to 9999999000 ms: not taken after that time; -1: for ever; PGQ_UNSET: the queue's */
    const char *headers; /**< a JSON object in UTF-8; NULL: none */
    int create_queue;    /**< 1: create the queue if it does not exist; 0: as the namespace is set */
    int64_t due; /**< not taken before that time, microseconds since 1970-01-01 00:00 UTC; 0: see delay_ms */
    /* What the message says itself of how it is handled, before its queue; PGQ_UNSET: nothing. */
    int64_t lease_ms; /**< as in pgq_attributes, and so are the next three */
    int requeue;
    int32_t error_limit;
    int32_t requeue_priority;
    const char *order_key; /**< 1 to 255 bytes: messages of one key are handed out one at a time, in the order
                              of sending, and others meanwhile; NULL: none */
    const char *dedup_key; /**< 1 to 255 bytes: as long as a message of that key waits or is in flight in the
                              queue, a further one is not sent; NULL: none */
    int64_t dedup_window_ms; /**< nor for that long after it was sent: 0 to 9999999000 ms */
} pgq_enqueue_options;

#define PGQ_ENQUEUE_OPTIONS_INIT                                                                             \
    {                                                                                                        \
        sizeof(pgq_enqueue_options), PGQ_BINARY, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, NULL, 0, 0, PGQ_UNSET,     \
            PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, NULL, NULL, 0                                                   \
    }

/** Sends a message. It is there for consumers when the transaction commits, and never if it rolls back.
 *
 *  @param payload any bytes; may be NULL if len is 0. An empty payload is a message like any other
 *  @param len     bytes
 *  @param options NULL: the defaults
 *  @param id      the message's id, rising; may be NULL
 *  @return OK; DUPLICATE: one of that dedup key is there, id is its, and nothing was sent; NOT_FOUND (no such
 *          queue), TOO_LONG, HOOK (see codec.h), INVALID, NOT_INSTALLED, PERMISSION, ABORTED, ...
 *
 *  Transaction: joins one if it is open, and leaves it usable after NOT_FOUND, TOO_LONG and INVALID;
 *  else one of its own. Blocking: one round trip. Threads: that of the handle. Ownership: nothing is
 *  kept. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_enqueue(pgq *q, const char *queue, const void *payload, size_t len,
                                  const pgq_enqueue_options *options, int64_t *id);

/** One message of pgq_enqueue_many(). */
typedef struct pgq_outgoing {
    const void *payload;
    size_t len;
    const pgq_enqueue_options *options; /**< NULL: the defaults; create_queue is not looked at */
} pgq_outgoing;

/** Sends many messages, all or none, to be delivered in their order.
 *  From 10000 messages or 2 MiB of payloads on, those that say nothing of themselves but their kind are
 *  streamed piece by piece, by COPY: less memory is needed, here and in the server.
 *
 *  @param messages     n of them
 *  @param n            0 is allowed and does nothing; at most 1000000
 *  @param create_queue 1: create the queue if it does not exist; 0: as the namespace is set
 *  @param ids          n ids in the order of messages; may be NULL
 *  @param results      n statuses, OK or DUPLICATE; may be NULL
 *  @return as pgq_enqueue(), OK also if there were duplicates; the error's message says which message was at
 * fault
 *
 *  Transaction: as pgq_enqueue(); what is streamed stands behind a savepoint in an open one, which stays
 *  usable whatever the server refuses. Blocking: one round trip, or a few if they are streamed.
 *  Threads, Ownership: as pgq_enqueue(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_enqueue_many(pgq *q, const char *queue, const pgq_outgoing *messages, size_t n,
                                       int create_queue, int64_t *ids, pgq_status *results);

#ifdef __cplusplus
}
#endif
#endif
