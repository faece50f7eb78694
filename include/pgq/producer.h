/* SPDX-License-Identifier: MIT */
/** @file producer.h
 *  Sending without waiting: the messages of many threads are gathered into few transactions, and each
 *  one's durable commit is reported by a callback.
 *
 *  For messages that stand on their own. One that belongs to a transaction of the caller's is sent in it, by
 *  pgq_enqueue().
 */
#ifndef PGQ_PRODUCER_H
#define PGQ_PRODUCER_H

#include <pgq/codec.h>
#include <pgq/enqueue.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Takes messages from any thread, and sends them by a thread and a connection of its own. */
typedef struct pgq_producer pgq_producer;

/** What became of a message. */
typedef struct pgq_delivery {
    pgq_status status; /**< OK: it is committed. DUPLICATE: one of its dedup key is there. NOT_FOUND,
                          TOO_LONG, INVALID, HOOK, NO_MEMORY, PERMISSION, ...: it was refused, and is not
                          stored. TIMEOUT: the delivery timeout ran out, or the producer was closed, and it is
                          not stored. CONNECTION: the same, or the server crashed or another one took over,
                          and it is not known whether the last try was committed */
    int64_t id;        /**< of OK: the message's; of DUPLICATE: that of the one that is there; else 0 */
    const char *text;  /**< why it failed, in one line; "" */
    void *arg;         /**< as given with the message */
} pgq_delivery;

/** Told once of each message, on the producer's thread, in the order of sending; no transaction of the
 *  producer's is open meanwhile. Must not call pgq_producer_flush() or pgq_producer_close(); may send, but
 *  where it would have to wait for room the call is STATE. */
typedef void (*pgq_delivery_handler)(const pgq_delivery *delivery, void *arg);

typedef struct pgq_producer_options {
    size_t size;            /**< sizeof(pgq_producer_options) */
    const char *name_space; /**< NULL: "mq" */
    int linger_us;   /**< how long a first message waits for others, 0 to 60000000 us; 0: not at all, but
                        what comes while a transaction is under way goes together in the next */
    int max_batch;   /**< messages in a transaction, 1 to 100000; 0: 1000 */
    int max_pending; /**< messages taken and not yet delivered, at most; 0: 100000 */
    size_t max_pending_bytes; /**< bytes of their payloads, at most, but a longer one may be pending alone;
                                 0: 67108864 */
    int delivery_timeout_ms;  /**< how long from the send to go on trying while the server is away; 0: 120000;
                                 -1: for ever. A server that does not answer at all is away once libpq says
                                 so: see tcp_user_timeout and connect_timeout of a conninfo */
    const pgq_codec *codec;   /**< hooks: encode runs on the sending thread; copied; NULL: none */
    pgq_delivery_handler on_delivery; /**< NULL: none */
    void *delivery_arg;               /**< given to on_delivery */
} pgq_producer_options;

#define PGQ_PRODUCER_OPTIONS_INIT                                                                            \
    {                                                                                                        \
        sizeof(pgq_producer_options), NULL, 1000, 0, 0, 0, 0, NULL, NULL, NULL                               \
    }

/** Starts a producer. It connects at once, and again whenever the connection is lost.
 *
 *  A message that is told to be OK is stored exactly once, however often the connection was lost: what
 *  became of a COMMIT that was not answered is asked on the next connection.
 *
 *  @param conninfo as for pgq_open(); copied
 *  @param options  NULL: the defaults
 *  @param out      set even on failure, so that pgq_producer_last_error() can be read, unless memory ran
 *                  out; close it either way
 *  @return OK, INVALID, NO_MEMORY, CONNECTION, NOT_INSTALLED, ...
 *
 *  Transaction: those of its thread. Blocking: until connected, as pgq_open(). Threads: starts one, with the
 *  caller's signal mask. Ownership: the caller closes *out. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_producer_open(const char *conninfo, const pgq_producer_options *options,
                                        pgq_producer **out);

/** Takes a message over, to be sent soon. Messages of one thread are stored in the order of these calls.
 *
 *  @param queue, payload, len, options as for pgq_enqueue(); copied
 *  @param timeout_ms how long to wait for room if too much is pending: 0: not at all; -1: for ever
 *  @param arg        given back with the delivery
 *  @return OK: on_delivery will be told of it. INVALID, HOOK, NO_MEMORY. TIMEOUT: there was no room. STATE:
 *          the producer is being closed, or has no room in a call from on_delivery. Unless OK nothing was
 *          taken
 *
 *  Transaction: none, and never the caller's. Blocking: up to timeout_ms. Threads: any, several at once.
 *  Ownership: arg stays the caller's. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_producer_send(pgq_producer *producer, const char *queue, const void *payload,
                                        size_t len, const pgq_enqueue_options *options, int timeout_ms,
                                        void *arg);

/** Waits until all that was taken before this call has been delivered or has failed. What lingers goes at
 *  once.
 *
 *  @param timeout_ms 0: only say; -1: for ever
 *  @return OK; TIMEOUT; INVALID, also if called from on_delivery
 *
 *  Transaction: none. Blocking: up to timeout_ms. Threads: any, but not on_delivery's. Ownership: none.
 *  Since: 0.1. */
PGQ_EXPORT pgq_status pgq_producer_flush(pgq_producer *producer, int timeout_ms);

/** Why pgq_producer_open() failed, or the latest pgq_producer_send() that took nothing, whichever thread
 *  called it. What became of messages that were taken is for on_delivery alone.
 *
 *  @param out filled with a copy; its status is OK if nothing has failed
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: the copy is the caller's. Since: 0.1. */
PGQ_EXPORT void pgq_producer_last_error(pgq_producer *producer, pgq_error *out);

/** Ends a producer: takes nothing more, sends what is pending, and frees it. NULL is allowed.
 *
 *  @param timeout_ms how long to wait for what is pending; -1: as long as it takes. What is pending then
 *                    fails with TIMEOUT or CONNECTION, and on_delivery is told before the call returns
 *  @return OK: all was delivered, or had failed before. TIMEOUT: not all. STATE: called from on_delivery;
 *          nothing was done
 *
 *  Transaction: none. Blocking: up to timeout_ms; then up to a second more for the answer to a COMMIT, or as
 *  long as one try to connect. Threads: one, and no other call may be under way. Ownership: producer is gone.
 *  Since: 0.1. */
PGQ_EXPORT pgq_status pgq_producer_close(pgq_producer *producer, int timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
