/* SPDX-License-Identifier: MIT */
/** @file worker.h
 *  A worker: threads that take messages from queues and run a handler for each, in a scope or under a lease.
 *
 *  Each thread has a connection; one more connection listens, and with leases another one extends them. A
 * lost connection is made again, with pauses from 10 ms up to 60 s.
 */
#ifndef PGQ_WORKER_H
#define PGQ_WORKER_H

#include <pgq/codec.h>
#include <pgq/dequeue.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pgq_worker pgq_worker;

/** What a worker tells its log function. */
typedef enum pgq_event {
    PGQ_EVENT_STARTED = 0, /**< the worker listens, and looks for messages */
    PGQ_EVENT_DONE = 1,    /**< a message was done and committed */
    PGQ_EVENT_FAILED = 2,  /**< a handler failed; the error was counted, or will be by the next consumer */
    PGQ_EVENT_DISCONNECTED = 3, /**< the server is gone; said once until RECONNECTED */
    PGQ_EVENT_RECONNECTED = 4,
    PGQ_EVENT_LONG_SCOPE = 5, /**< a handler has held its transaction open for long; said once a message */
    PGQ_EVENT_ERROR = 6,      /**< something else went wrong; it is tried again */
    PGQ_EVENT_STOPPING = 7,   /**< nothing new is taken any more */
    PGQ_EVENT_LEASE_LOST =
        8 /**< a lease could not be extended in time: another consumer may have the message */
} pgq_event;

typedef struct pgq_event_info {
    pgq_event event;
    int thread;         /**< from 0; -1: none */
    const char *queue;  /**< NULL: none */
    int64_t id;         /**< the message's; 0: none */
    int32_t attempt;    /**< of DONE, FAILED and LONG_SCOPE */
    int64_t elapsed_us; /**< microseconds that the handler has taken */
    const char *text;   /**< what went wrong, in one line; "" */
} pgq_event_info;

/** Told of events, from any of the worker's threads, but never by two at once. info is valid during the call.
 */
typedef void (*pgq_event_handler)(const pgq_event_info *info, void *arg);

typedef struct pgq_worker_options {
    size_t size;                /**< sizeof(pgq_worker_options) */
    const char *name_space;     /**< NULL: "mq" */
    int threads;                /**< 1 to 1024; 0: 1 */
    int poll_interval_ms;       /**< look at least that often, should a wake-up be lost; 0: 5000; -1: never */
    int drain;                  /**< 1: stop when no queue has a message that is ready, delayed ones aside */
    int64_t max_messages;       /**< stop after that many have been handled, well or badly; 0: no limit */
    int long_scope_ms;          /**< when to say LONG_SCOPE; 0: 60000; -1: never */
    pgq_event_handler on_event; /**< NULL: none */
    void *event_arg;
    int64_t lease_ms; /**< 1 to 9999999000: handlers run under a lease of so many ms, extended while they run,
                         and without a transaction; 0: in a scope */
} pgq_worker_options;

#define PGQ_WORKER_OPTIONS_INIT                                                                              \
    {                                                                                                        \
        sizeof(pgq_worker_options), NULL, 0, 0, 0, 0, 0, NULL, NULL, 0                                       \
    }

/** Makes a worker; nothing connects yet.
 *
 *  @param conninfo as for pgq_open(); copied
 *  @param options  NULL: the defaults
 *  @param out      set even on INVALID, so that pgq_worker_last_error() can be read
 *  @return OK, INVALID, NO_MEMORY
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: the caller frees *out. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_worker_new(const char *conninfo, const pgq_worker_options *options,
                                     pgq_worker **out);

/** Adds a queue. Each thread takes from the queues in turn. Not while the worker runs.
 *
 *  @param handler runs on the worker's threads, several at once if there are several
 *  @return OK, INVALID, NO_MEMORY, STATE (it runs)
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: queue is copied, arg is
 *  the caller's. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_worker_add(pgq_worker *worker, const char *queue, pgq_handler handler, void *arg);

/** Sets the hooks of a worker's handles; they run on its threads, several at once. Not while the worker runs.
 *
 *  @param codec as for pgq_set_codec()
 *  @return OK, INVALID, STATE (it runs)
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: as pgq_set_codec(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_worker_set_codec(pgq_worker *worker, const pgq_codec *codec);

/** Runs the worker until it is stopped, drained, or has done its number.
 *
 *  @return OK: it has stopped, and every handler has returned. SHUTDOWN: the same, and pgq_shutdown() has
 * stopped it, as pgq_worker_stop() would have; one that drains does not wait, and is not stopped. NOT_FOUND,
 * NOT_INSTALLED, PERMISSION, VERSION, CONNECTION: it could not start. INVALID, STATE (it runs, or has no
 * queue), NO_MEMORY
 *
 *  Transaction: those of the threads. Blocking: that is its purpose. Threads: starts its own, and
 *  has joined them when it returns; blocks no signals and handles none: its threads have the
 *  caller's signal mask. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_worker_run(pgq_worker *worker);

/** Tells a worker to take nothing new, finish what runs, and return from pgq_worker_run(). A worker that
 *  does not run yet returns as soon as it is run.
 *
 *  Transaction: none. Blocking: never. Threads: any, and from a signal handler. Ownership: none.
 *  Since: 0.1. */
PGQ_EXPORT void pgq_worker_stop(pgq_worker *worker);

/** Frees a worker that does not run; NULL is allowed.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: worker is gone. Since: 0.1. */
PGQ_EXPORT void pgq_worker_free(pgq_worker *worker);

/** What went wrong in the last call; never NULL. Not while the worker runs.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the worker's. Since: 0.1. */
PGQ_EXPORT const pgq_error *pgq_worker_last_error(const pgq_worker *worker);

#ifdef __cplusplus
}
#endif
#endif
