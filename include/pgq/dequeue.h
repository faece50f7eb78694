/* SPDX-License-Identifier: MIT */
/** @file dequeue.h
 *  Taking messages: in a scope, or at once; now, or when one comes.
 */
#ifndef PGQ_DEQUEUE_H
#define PGQ_DEQUEUE_H

#include <pgq/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Does a message's work, in the transaction that holds the message.
 *
 *  @param q       the handle: messages sent by it join the transaction. Taking another message by it
 *                 is STATE
 *  @param conn    its connection: what is written by it commits with the message. Leave the
 *                 transaction open: neither COMMIT nor ROLLBACK; savepoints are welcome
 *  @param message valid until the handler returns
 *  @param arg     the caller's
 *  @return 0: the work is done. Anything else: it failed; its writes are undone, and the error is
 *          counted, with the text given to pgq_fail(), or what the server said
 *
 *  Must not throw or longjmp out. */
typedef int (*pgq_handler)(pgq *q, PGconn *conn, const pgq_message *message, void *arg);

/** For a handler: says why the work failed. `return pgq_fail(q, "no account %d", n);`
 *
 *  @param format as for printf; at most 1023 bytes are kept
 *  @return 1, always
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle. Ownership: nothing is kept.
 *  Since: 0.1. */
PGQ_EXPORT int pgq_fail(pgq *q, const char *format, ...) PGQ_PRINTF(2, 3);

/** Takes the next message and runs the handler in a scope: the message is locked, others pass it by, and
 *  it goes when the work commits. If the handler fails, its writes are undone, and the message goes to
 *  the tail of its priority with the error counted, or to the dead letters at the queue's limit. If
 *  this process dies, the message is back at once, and the attempt counts.
 *
 *  @return OK: one message was done. EMPTY: none was there. FAILED: the handler failed, and that was
 *          counted. STALE: the message was lost (the handler ended the transaction). CONNECTION: the
 *          connection was lost; the next consumer of the message counts the attempt, unless the
 *          commit had been made. NOT_FOUND, INVALID, STATE (within a handler), ...
 *
 *  Transaction: owned handle: one of its own. Attached handle: joins the caller's, which must be
 *  open (else STATE); the handler runs behind a savepoint, and the caller's commit settles all.
 *  Blocking: two round trips and the handler. Threads: that of the handle. Ownership: none.
 *  Since: 0.1. */
PGQ_EXPORT pgq_status pgq_dequeue(pgq *q, const char *queue, pgq_handler handler, void *arg);

/** Does the work of several messages at once, in the transaction that holds them.
 *
 *  @param q, conn, arg as for pgq_handler
 *  @param messages at least one, in order; valid until the handler returns
 *  @return 0: the work of all is done, but for the messages that the handler has settled itself, with q and
 *          their receipts: pgq_nack() counts the failure of one and keeps the others' work. To undo the
 *          writes of one, put a savepoint before them, go back to it, and then pgq_nack() the message.
 *          Anything else: all failed; all writes are undone, what the handler has settled too, and the error
 *          is counted for each
 *
 *  Must not throw or longjmp out. */
typedef int (*pgq_batch_handler)(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg);

/** As pgq_dequeue(), for up to max messages in one transaction. Fewer than max are no error. Of those with
 * the same order key it takes one.
 *
 *  @param max  1 to 1000
 *  @param done how many ended well by this call, without those that the handler has settled itself; 0 unless
 *              OK or HOOK. May be NULL
 *  @return OK: the handler returned 0, and all was committed. HOOK: the same, but at least one message could
 *          not be decoded: the handler did not get it, and its error was counted; if it was the only one the
 *          handler did not run. EMPTY, FAILED, STALE, CONNECTION, NOT_FOUND, INVALID, STATE, ... as
 *          pgq_dequeue()
 *
 *  Transaction, Blocking, Threads, Ownership: as pgq_dequeue(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_dequeue_many(pgq *q, const char *queue, int max, pgq_batch_handler handler,
                                       void *arg, size_t *done);

/** Takes up to max messages and deletes them at once. No two callers ever get the same one.
 *
 *  @param max 1 to 100000
 *  @param out the messages, in order; NULL unless OK or HOOK
 *  @return OK, EMPTY, NOT_FOUND, INVALID, STATE (within a handler), HOOK (a message could not be decoded: see
 *          codec.h), ...
 *
 *  Transaction: joins one if it is open: rolled back, they are back, and the attempt counts. Else
 *  they are gone when this returns. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: free *out with pgq_messages_free(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_pop(pgq *q, const char *queue, int max, pgq_messages **out);

typedef struct pgq_listen_options {
    size_t size;          /**< sizeof(pgq_listen_options) */
    int poll_interval_ms; /**< look at least that often, should a wake-up be lost; 0: 5000; -1: never */
    int cancel_fd;        /**< end the wait with CANCELED when it can be read; -1: none. Not read from */
    const char *filter;   /**< a JSON object that the headers must contain; NULL: none. Looks that filter pass
                             over   the other messages one by one */
} pgq_listen_options;

#define PGQ_LISTEN_OPTIONS_INIT                                                                              \
    {                                                                                                        \
        sizeof(pgq_listen_options), 0, -1, NULL                                                              \
    }

/** Waits for a message, and does what pgq_dequeue() does with it. It is woken by the commit that makes
 *  a message available; while it waits it runs no query but the slow poll.
 *
 *  @param timeout_ms 0: look once; -1: for ever
 *  @param options    NULL: the defaults
 *  @return as pgq_dequeue(), with TIMEOUT in the place of EMPTY; CANCELED; SHUTDOWN: see pgq_shutdown(), also
 *          if that came since the last wait on the handle; STATE on an attached handle: listening needs a
 *          connection of its own
 *
 *  Transaction: one of its own. Blocking: up to timeout_ms and the handler. Threads: that of the
 *  handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_listen(pgq *q, const char *queue, int timeout_ms, pgq_handler handler, void *arg,
                                 const pgq_listen_options *options);

#ifdef __cplusplus
}
#endif
#endif
