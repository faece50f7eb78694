/* SPDX-License-Identifier: MIT */
/** @file listener.h
 *  Waiting for messages inside an event loop.
 *
 *  A listener has a connection of its own and never takes a message: it says when to. The loop:
 *
 *      poll pgq_listener_fd() for pgq_listener_events(), up to pgq_listener_timeout_ms();
 *      when pgq_listener_process() says READY, take messages from the queues by any handle until EMPTY,
 *      or read the topics by any subscriber until EMPTY;
 *      call pgq_listener_process() again: that tells the listener that nothing was left.
 */
#ifndef PGQ_LISTENER_H
#define PGQ_LISTENER_H

#include <pgq/handle.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Watches queues and topics. One thread at a time. */
typedef struct pgq_listener pgq_listener;

typedef struct pgq_listener_options {
    size_t size;            /**< sizeof(pgq_listener_options) */
    const char *name_space; /**< NULL: "mq" */
    int poll_interval_ms;   /**< be READY at least that often, should a wake-up be lost; 0: 5000; -1: never */
    const char *const *topics; /**< topic_count names, copied: topics to watch, beside the queues; whether or
                                  not they are there yet */
    size_t topic_count;
} pgq_listener_options;

#define PGQ_LISTENER_OPTIONS_INIT                                                                            \
    {                                                                                                        \
        sizeof(pgq_listener_options), NULL, 0, NULL, 0                                                       \
    }

/** Begins to connect, and to watch queues and topics.
 *
 *  @param conninfo as for pgq_open()
 *  @param queues   n names, at least 1 unless the options name topics; copied. A queue that does not exist
 *                  makes process() say NOT_FOUND
 *  @param out      set even on failure, unless memory ran out; close it either way
 *  @return OK, INVALID, NO_MEMORY, CONNECTION
 *
 *  Transaction: none. Blocking: never, but for libpq's look-up of a host's name. Threads: any.
 *  Ownership: the caller closes *out. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_listener_open(const char *conninfo, const char *const *queues, size_t n,
                                        const pgq_listener_options *options, pgq_listener **out);

/** Frees a listener; NULL is allowed.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: listener is gone.
 *  Since: 0.1. */
PGQ_EXPORT void pgq_listener_close(pgq_listener *listener);

/** The fd to poll, level-triggered; -1 if there is none now. Ask again after every process(), as it may
 *  have changed; do not read from it or write to it.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the listener's. Since: 0.1. */
PGQ_EXPORT int pgq_listener_fd(const pgq_listener *listener);

#define PGQ_EVENT_READ  1
#define PGQ_EVENT_WRITE 2

/** What to poll the fd for: PGQ_EVENT_READ, PGQ_EVENT_WRITE or both.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT int pgq_listener_events(const pgq_listener *listener);

/** How long to poll at most, in milliseconds; -1: no limit; 0: call process() at once.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT int pgq_listener_timeout_ms(const pgq_listener *listener);

/** Does what can be done now. Calling it too often does no harm.
 *
 *  @return READY: take messages, or read them, until EMPTY, then call it again. WAIT: poll. SHUTDOWN: see
 *          pgq_shutdown(); said once for each, and then the listener goes on as before. CONNECTION: the
 * connection was lost, or could not be made; the listener connects again by itself, after a pause of up to 60
 * s: go on polling. NOT_FOUND, PERMISSION, ...: it will be tried again likewise. INVALID
 *
 *  Transaction: none of the caller's. Blocking: never, but for libpq's look-up of a host's name.
 *  Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_listener_process(pgq_listener *listener);

/** Says that a message was taken after READY. Optional: it spares producers the ringing while the caller is
 *  at work, and has the listener look a few times more before it sleeps.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT void pgq_listener_busy(pgq_listener *listener);

/** What went wrong in the last process(); never NULL.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the listener's. Since: 0.1. */
PGQ_EXPORT const pgq_error *pgq_listener_last_error(const pgq_listener *listener);

#ifdef __cplusplus
}
#endif
#endif
