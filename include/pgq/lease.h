/* SPDX-License-Identifier: MIT */
/** @file lease.h
 *  Taking messages by a lease: for work that is to run without an open transaction, for as long as it takes.
 *
 *  A leased message is its consumer's until the lease runs out, whatever becomes of the connection. It is
 * settled by pgq_ack(), pgq_nack() or pgq_release(); until then pgq_extend() moves the end of the lease. If
 * nobody does, the message comes back and the error is counted. The attempt is the fence: who has lost a
 * message, to another consumer or to the count of a failure, can change nothing about it and is told STALE. A
 * lease that has run out stays its consumer's until somebody notices.
 */
#ifndef PGQ_LEASE_H
#define PGQ_LEASE_H

#include <pgq/dequeue.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pgq_receive_options {
    size_t size;      /**< sizeof(pgq_receive_options) */
    int64_t lease_ms; /**< 0 to 9999999000 ms; PGQ_UNSET: the queue's. A message's own goes before it */
    int timeout_ms; /**< wait so long for a message: 0: look once; -1: for ever. Waiting needs a connection of
                       the library's own */
    int poll_interval_ms; /**< as in pgq_listen_options, and so are the next two */
    int cancel_fd;
    const char *filter;
} pgq_receive_options;

#define PGQ_RECEIVE_OPTIONS_INIT                                                                             \
    {                                                                                                        \
        sizeof(pgq_receive_options), PGQ_UNSET, 0, 0, -1, NULL                                               \
    }

/** Leases the next messages, in order. Fewer than max are no error.
 *
 *  @param max     1 to 100000
 *  @param options NULL: the defaults
 *  @param out     the messages; settle each with its id and attempts. due is when its lease ends
 *  @return OK; EMPTY; with a timeout TIMEOUT, CANCELED or SHUTDOWN (see pgq_shutdown()); HOOK: a message
 * could not be decoded, and all are in *out all the same; NOT_FOUND, INVALID, STATE (waiting on an attached
 * handle; within a handler), ...
 *
 *  Transaction: joins one if it is open: the lease runs from now, but others learn of it by the commit; else
 * one of its own. Blocking: up to timeout_ms. Threads: that of the handle. Ownership: free *out with
 *  pgq_messages_free(); NULL unless OK or HOOK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_receive(pgq *q, const char *queue, int max, const pgq_receive_options *options,
                                  pgq_messages **out);

/** Leases one message, if it is ready.
 *
 *  @param lease_ms 0 to 9999999000 ms; PGQ_UNSET: the queue's
 *  @return OK, IN_FLIGHT, NOT_FOUND (unknown, or not ready), INVALID, HOOK, STATE (within a handler), ...
 *
 *  Transaction, Threads, Ownership: as pgq_receive(). Blocking: one round trip. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_receive_id(pgq *q, int64_t id, int64_t lease_ms, pgq_messages **out);

/** What a consumer needs to settle a message: taken from a pgq_message. */
typedef struct pgq_receipt {
    int64_t id;
    int32_t attempt; /**< its attempts */
} pgq_receipt;

/** Ends messages well: they are deleted, with the commit.
 *
 *  @param receipts n of them, in any order; also for messages that a scope of this transaction holds
 *  @param n        0 is allowed and does nothing
 *  @param done     how many were done; may be NULL
 *  @param results  n statuses in the order of receipts: OK, STALE, or NOT_FOUND, which is also that of a
 * message that was done before; may be NULL
 *  @return OK: all were done. STALE: at least one is not this consumer's any more, and the others were done.
 * EMPTY: none is STALE but at least one unknown, and the others were done. INVALID, ... Who has written in
 * the same transaction commits on OK, and rolls back on anything else
 *
 *  Transaction: joins one if it is open, and leaves it usable; else one of its own. Blocking: one round trip.
 *  Threads: that of the handle, or of any other: a receipt may be used on any handle of the namespace.
 * Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_ack(pgq *q, const pgq_receipt *receipts, size_t n, size_t *done,
                              pgq_status *results);

/** Ends messages well as pgq_ack(), and then leases the next ones as pgq_receive(): in one transaction, and
 *  for an owned handle with no transaction open in one round trip.
 *
 *  @param receipts, n, done, results as for pgq_ack(); n may be 0. On an error results say
 * nothing
 *  @param queue, max, options, out   as for pgq_receive(); receipts may be of any queue
 *  @return as pgq_receive(): OK, EMPTY, HOOK, ... A receipt that is STALE or NOT_FOUND does not change that:
 * *done is less than n then, and results tell which. On an error neither was done, *done is 0, and the
 * receipts are good still. But CONNECTION leaves open whether both were done; and NO_MEMORY, or an error that
 * comes while it waits or looks a second time, may leave the receipts settled: *done is not 0 then
 *
 *  Transaction: joins one if it is open, behind a savepoint, and leaves it usable; else one of its own.
 * Blocking: one round trip; if nothing is there, one more that looks from the very start, or with a timeout
 * the receipts are settled at once, and it waits as pgq_receive(). Threads, Ownership: as pgq_receive().
 * Since: 0.1.
 */
PGQ_EXPORT pgq_status pgq_ack_receive(pgq *q, const pgq_receipt *receipts, size_t n, size_t *done,
                                      pgq_status *results, const char *queue, int max,
                                      const pgq_receive_options *options, pgq_messages **out);

typedef struct pgq_nack_options {
    size_t size;       /**< sizeof(pgq_nack_options) */
    const char *error; /**< why, in UTF-8; NULL: not said */
    int requeue;       /**< 1: back to the queue, unless its error limit is reached; 0: to the dead letters;
                          PGQ_UNSET: as       the message, then the queue says */
    int64_t delay_ms;  /**< until the next attempt: 0 to 9999999000 ms; PGQ_UNSET: the queue's retry delay */
} pgq_nack_options;

#define PGQ_NACK_OPTIONS_INIT                                                                                \
    {                                                                                                        \
        sizeof(pgq_nack_options), NULL, PGQ_UNSET, PGQ_UNSET                                                 \
    }

/** Ends attempts badly: the errors are counted, and each message comes back or is a dead letter.
 *
 *  @param options NULL: the defaults; they hold for all
 *  @return as pgq_ack(), with NOT_FOUND in the place of EMPTY
 *
 *  @param receipts, n, done, results as for pgq_ack()
 *
 *  Transaction, Blocking, Threads, Ownership: as pgq_ack(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_nack(pgq *q, const pgq_receipt *receipts, size_t n, const pgq_nack_options *options,
                               size_t *done, pgq_status *results);

/** Moves the end of leases.
 *
 *  @param lease_ms from now: 1 to 9999999000 ms; 0: as pgq_release(); PGQ_UNSET: the message's own or the
 * queue's
 *  @return as pgq_nack()
 *
 *  @param receipts, n, done, results as for pgq_ack()
 *
 *  Transaction, Blocking, Threads, Ownership: as pgq_ack(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_extend(pgq *q, const pgq_receipt *receipts, size_t n, int64_t lease_ms,
                                 size_t *done, pgq_status *results);

/** Gives messages back to the tail of their priority at once: not done, and no error. The attempt stays
 * counted.
 *
 *  @return as pgq_nack()
 *
 *  @param receipts, n, done, results as for pgq_ack()
 *
 *  Transaction, Blocking, Threads, Ownership: as pgq_ack(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_release(pgq *q, const pgq_receipt *receipts, size_t n, size_t *done,
                                  pgq_status *results);

/** Receives one message, runs the handler under its lease, and settles it: done if the handler returns 0,
 * else failed with the text of pgq_fail(). While the handler runs a thread of the handle's extends the lease,
 * each time a third of it has passed, by a connection of its own; it stops when the handler returns, whatever
 * it returns.
 *
 *  The handler runs without a transaction: its connection is its own to begin and end some. It may settle the
 *  message itself, by pgq_ack() in its own transaction say, and return 0.
 *
 *  @param options NULL: the defaults; the lease, the message's own too, must not be 0
 *  @return OK: done. EMPTY, TIMEOUT, CANCELED, SHUTDOWN: none was taken. FAILED: the handler failed, and that
 * was counted. STALE: the lease was lost before the handler returned, so that what came of it is not counted.
 * CONNECTION: the outcome could not be told to the server; the message comes back when its lease has run out.
 * NOT_FOUND, INVALID, STATE (attached, a transaction is open, or within a handler), NO_MEMORY, ...
 *
 *  Transaction: one of its own for the lease, and one for the settling. Blocking: up to timeout_ms and the
 * handler. Threads: that of the handle; the first call starts one more, which pgq_close() ends. Ownership:
 * none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_receive_with(pgq *q, const char *queue, pgq_handler handler, void *arg,
                                       const pgq_receive_options *options);

/** For a handler under a lease: whether the lease was lost, so that the work may as well stop. 0 in a scope.
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT int pgq_lease_lost(const pgq *q);

#ifdef __cplusplus
}
#endif
#endif
