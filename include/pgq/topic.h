/* SPDX-License-Identifier: MIT */
/** @file topic.h
 *  Topics: one message, every subscriber.
 *
 *  A topic is a log. Publishing adds to it; reading takes nothing away and locks nothing. A subscriber has a
 *  position, and gets every message committed since it began, each once, those of one publisher in their
 * order, whatever other transactions are open. Messages are kept for a time, ten minutes unless the topic
 * says otherwise, and then removed, read or not.
 *
 *      pgq_topic_publish(q, "prices", "42", 2, NULL, NULL);
 *
 *      pgq_topic_subscribe(q, "prices", NULL, &subscriber);
 *      while (pgq_topic_wait(subscriber, 100, -1, NULL, &messages) == PGQ_OK) { ... }
 */
#ifndef PGQ_TOPIC_H
#define PGQ_TOPIC_H

#include <pgq/dequeue.h>
#include <pgq/enqueue.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- publishing --- */

/** What a message of a topic says of itself. */
typedef struct pgq_publish_options {
    size_t size;         /**< sizeof(pgq_publish_options) */
    pgq_kind kind;       /**< PGQ_BINARY in INIT */
    const char *headers; /**< a JSON object in UTF-8; NULL: none */
} pgq_publish_options;

#define PGQ_PUBLISH_OPTIONS_INIT                                                                             \
    {                                                                                                        \
        sizeof(pgq_publish_options), PGQ_BINARY, NULL                                                        \
    }

/** Publishes a message. Subscribers see it when the transaction commits, and never if it rolls back. The
 * first message makes the topic. It is enqueued in the queues that are bound to the topic, too. The handle's
 * encode hook runs as for pgq_enqueue().
 *
 *  @param topic   1 to 160 bytes, as a queue's name
 *  @param payload any bytes; may be NULL if len is 0
 *  @param len     bytes
 *  @param options NULL: the defaults
 *  @param id      the message's id: unique in its topic's log, rising for each publisher, with gaps; may be
 *                 NULL
 *  @return OK, INVALID, TOO_LONG (for a bound queue), HOOK, NOT_INSTALLED, PERMISSION, CONFLICT, ABORTED, ...
 *
 *  Transaction: joins one if it is open, and leaves it usable after TOO_LONG and INVALID; else one of its
 *  own. Blocking: one round trip; never for another publisher. An owned handle tends the log now and then, in
 *  a further one: see pgq_topic_tend(). Threads: that of the handle. Ownership: nothing is kept. Since: 0.1.
 */
PGQ_EXPORT pgq_status pgq_topic_publish(pgq *q, const char *topic, const void *payload, size_t len,
                                        const pgq_publish_options *options, int64_t *id);

/** One message of pgq_topic_publish_many(). */
typedef struct pgq_publication {
    const void *payload;
    size_t len;
    const pgq_publish_options *options; /**< NULL: the defaults */
} pgq_publication;

/** Publishes many messages, all or none.
 *
 *  @param messages n of them, to be read in their order
 *  @param n        0 is allowed and does nothing; at most 1000000
 *  @param ids      n ids in the order of messages; may be NULL
 *  @return as pgq_topic_publish(); the error's message says which message was at fault
 *
 *  Transaction, Blocking, Threads, Ownership: as pgq_topic_publish(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_publish_many(pgq *q, const char *topic, const pgq_publication *messages,
                                             size_t n, int64_t *ids);

/* --- subscribing --- */

/** A position in a topic, on a handle. One thread at a time: that of the handle. */
typedef struct pgq_subscriber pgq_subscriber;

typedef struct pgq_subscribe_options {
    size_t size;      /**< sizeof(pgq_subscribe_options) */
    const char *name; /**< a durable subscriber of 1 to 160 bytes: it goes on where it has committed last;
                         NULL: an ephemeral one, whose position this process keeps */
    const char
        *start;      /**< where a new one begins: "now", "oldest" for the oldest message that is kept, or what
                        pgq_topic_position() gave; NULL: "now". A durable one that is there is not moved */
    int64_t hold_ms; /**< a durable one's messages are kept for so long though their time is over, 1 to
                        9999999000 ms, until it has committed them; -1: they are not; PGQ_UNSET: as it is, and
                        -1 for a new one */
} pgq_subscribe_options;

#define PGQ_SUBSCRIBE_OPTIONS_INIT                                                                           \
    {                                                                                                        \
        sizeof(pgq_subscribe_options), NULL, NULL, PGQ_UNSET                                                 \
    }

/** Subscribes to a topic, whether or not it is there yet. Two processes with one durable subscriber both get
 *  its messages; only one of them can commit.
 *
 *  @param options NULL: the defaults, an ephemeral subscriber from now on
 *  @param out     NULL unless OK
 *  @return OK, INVALID, NOT_INSTALLED, PERMISSION, NO_MEMORY, ...
 *
 *  Transaction: a durable one is made in the open one, if there is one, and else in one of its own. Blocking:
 *  one round trip. Threads: that of the handle. Ownership: free *out with pgq_subscriber_free(), before q.
 *  Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_subscribe(pgq *q, const char *topic, const pgq_subscribe_options *options,
                                          pgq_subscriber **out);

/** Frees a subscriber; NULL is allowed. A durable one stays where it has committed last.
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle. Ownership: subscriber is gone. Since:
 * 0.1. */
PGQ_EXPORT void pgq_subscriber_free(pgq_subscriber *subscriber);

/** Reads the next messages, and moves the subscriber behind them. Of each message the id, the queue (here the
 *  topic's name), payload, kind, headers and sent (when it was published) are set.
 *
 *  @param max 1 to 100000
 *  @param out the messages, in order; NULL unless OK or HOOK
 *  @return OK; EMPTY: nothing new, or no such topic; HOOK (a message could not be decoded: see codec.h),
 * INVALID, STATE (within a handler of pgq_topic_listen()), NO_MEMORY, ...
 *
 *  Transaction: reads in the open one, if there is one; writes nothing and locks no row. Blocking: one round
 *  trip; an owned handle tends the log now and then. Threads: that of the handle. Ownership: free *out with
 *  pgq_messages_free(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_next(pgq_subscriber *subscriber, int max, pgq_messages **out);

/** Reads the newest message only, and moves the subscriber behind all there is.
 *
 *  @return as pgq_topic_next()
 *
 *  Transaction, Blocking, Threads, Ownership: as pgq_topic_next(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_latest(pgq_subscriber *subscriber, pgq_messages **out);

/** As pgq_topic_next(), and waits if there is nothing. It is woken by the commit of the next message.
 *
 *  @param timeout_ms 0: look once; -1: for ever
 *  @param options    NULL: the defaults; a filter is INVALID
 *  @return as pgq_topic_next(), with TIMEOUT in the place of EMPTY; CANCELED; SHUTDOWN; STATE on an attached
 *          handle: listening needs a connection of its own
 *
 *  Transaction: none must be open. Blocking: up to timeout_ms. Threads: that of the handle. Ownership: free
 *  *out with pgq_messages_free(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_wait(pgq_subscriber *subscriber, int max, int timeout_ms,
                                     const pgq_listen_options *options, pgq_messages **out);

/** As pgq_topic_wait(), and runs the handler with the messages in a transaction, in which the position of a
 *  durable subscriber moves too: its work and its position are committed together. If the handler fails, its
 *  writes are undone and the subscriber stays where it was.
 *
 *  @param handler returns 0 if the work is done
 *  @return OK: the work is committed. FAILED: the handler failed. STALE: another process has committed for
 * the subscriber, and the work was undone; the subscriber goes on from there. HOOK: a message could not be
 *          decoded, and nothing was done. TIMEOUT, CANCELED, SHUTDOWN, CONNECTION, STATE, ...
 *
 *  Transaction: one of its own. Blocking: up to timeout_ms, and the handler. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_listen(pgq_subscriber *subscriber, int max, int timeout_ms,
                                       pgq_batch_handler handler, void *arg,
                                       const pgq_listen_options *options);

/** Commits what a durable subscriber has read, in the open transaction: it begins behind that the next time.
 *  Of an ephemeral one it is noted for pgq_topic_rewind(), no more.
 *
 *  @return OK; STALE: another process has committed for this subscriber since it began here: nothing was
 * done, and pgq_topic_rewind() takes it there; NOT_FOUND: it was unsubscribed; INVALID, ...
 *
 *  Transaction: joins one if it is open, and leaves it usable whatever the outcome; else one of its own.
 *  Blocking: while another transaction that has committed for this subscriber is open. Threads: that of the
 *  handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_commit(pgq_subscriber *subscriber);

/** Goes back to what was committed last: to be called after a rollback, or after STALE.
 *
 *  @return OK, NOT_FOUND (it was unsubscribed), INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle. Ownership:
 *  none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_rewind(pgq_subscriber *subscriber);

/** Where a subscriber is, as text that pgq_subscribe_options.start takes; never NULL but for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle. Ownership: the subscriber's, until the
 * next call on it. Since: 0.1. */
PGQ_EXPORT const char *pgq_topic_position(const pgq_subscriber *subscriber);

/** Whether messages may have been removed before this subscriber read them, their time being over; 1 once, in
 *  the first call after it was found out by a read.
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT int pgq_topic_trimmed(pgq_subscriber *subscriber);

/** Forgets a durable subscriber, and lets go of what it held back.
 *
 *  @return OK, NOT_FOUND, INVALID, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle. Ownership:
 *  none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_unsubscribe(pgq *q, const char *topic, const char *name);

/* --- topics as a whole --- */

/** How long a topic's messages are kept. */
typedef struct pgq_retention {
    size_t size;          /**< sizeof(pgq_retention) */
    int64_t retain_ms;    /**< 1000 to 9999999000 ms; PGQ_UNSET: as it is, and for a new one 600000 */
    int64_t max_messages; /**< no more than about so many: up to a quarter more; -1: any number; PGQ_UNSET: as
                             it is, and -1 for a new one */
} pgq_retention;

#define PGQ_RETENTION_INIT                                                                                   \
    {                                                                                                        \
        sizeof(pgq_retention), PGQ_UNSET, PGQ_UNSET                                                          \
    }

/** Gives a topic a log and a retention of its own, before its first message. Topics that nobody has created
 *  share one log, and its retention.
 *
 *  @param retention     NULL: the defaults
 *  @param if_not_exists 1: an existing one is a success, its retention untouched
 *  @return OK, EXISTS (also if it has messages in the common log), INVALID (also in a transaction above READ
 * COMMITTED), PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: while transactions are open that publish to the topic.
 *  Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_create(pgq *q, const char *topic, const pgq_retention *retention,
                                       int if_not_exists);

/** Changes the retention of a topic that was created, or of the common log.
 *
 *  @param topic NULL: the common log
 *  @return OK, NOT_FOUND (it was not created), INVALID, PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle. Ownership:
 *  none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_set(pgq *q, const char *topic, const pgq_retention *retention);

/** Deletes a topic that was created: its messages, subscribers and bindings.
 *
 *  @return OK, NOT_FOUND (it was not created), INVALID (also in a transaction above READ COMMITTED),
 * PERMISSION,
 *          ...
 *
 *  Transaction: joins one if it is open. Blocking: while transactions are open that publish to the topic.
 *  Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_delete(pgq *q, const char *topic);

/** From now on each message of a topic is enqueued in a queue too, in the publisher's transaction, with its
 *  kind and headers.
 *
 *  @param filter a JSON object that the headers must contain; NULL: all messages. Binding again changes it
 *  @return OK, NOT_FOUND (no such queue), INVALID, PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle. Ownership:
 *  none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_bind(pgq *q, const char *topic, const char *queue, const char *filter);

/** Ends that.
 *
 *  @return OK, NOT_FOUND (no such queue, or it was not bound), INVALID, PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle. Ownership:
 *  none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_unbind(pgq *q, const char *topic, const char *queue);

/** Does what is due in the logs: removes what has outlived its retention. Whoever publishes or reads on an
 * owned handle does it by the way; only where all publish and read on attached handles, or by SQL, somebody
 * has to call it now and then.
 *
 *  @param next_ms in how many milliseconds to call it again; may be NULL
 *  @return OK; STATE (a transaction is open: this one must be short); INVALID (an attached connection whose
 * transactions are above READ COMMITTED by default), PERMISSION, ...
 *
 *  Transaction: one of its own. Blocking: a few milliseconds. Threads: that of the handle. Ownership: none.
 *  Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_tend(pgq *q, int *next_ms);

/* --- what there is --- */

/** One topic of a pgq_topic_list. */
typedef struct pgq_topic_info {
    const char *name;
    int own_log; /**< 1: it was created, and the retention is its own */
    int64_t retain_ms;
    int64_t max_messages; /**< -1: any number */
    int64_t messages;     /**< at most 10000 are counted */
    int64_t oldest;      /**< when it was published, microseconds since 1970-01-01 00:00 UTC; 0: no message */
    int64_t newest;      /**< likewise */
    int64_t bytes;       /**< on disk, of its own log; -1: it has none */
    int64_t subscribers; /**< durable ones */
    size_t queue_count;  /**< queues that are bound to it */
    const char *const *queues;
} pgq_topic_info;

typedef struct pgq_topic_list pgq_topic_list;

/** Lists the topics that were created, have messages or a durable subscriber, or are bound, sorted by the
 * bytes of their names.
 *
 *  @param topic that one alone; NULL: all
 *  @return OK (also for none), INVALID, NOT_INSTALLED, PERMISSION, NO_MEMORY, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: free *out with pgq_topic_list_free(); NULL unless OK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_list_topics(pgq *q, const char *topic, pgq_topic_list **out);

/** How many; 0 for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT size_t pgq_topic_list_count(const pgq_topic_list *list);

/** Topic number i from 0; NULL if there is none.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the list's. Since: 0.1. */
PGQ_EXPORT const pgq_topic_info *pgq_topic_list_get(const pgq_topic_list *list, size_t i);

/** Frees a list; NULL is allowed.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: list is gone. Since: 0.1. */
PGQ_EXPORT void pgq_topic_list_free(pgq_topic_list *list);

/** One durable subscriber of a pgq_subscriber_list. */
typedef struct pgq_subscriber_info {
    const char *topic;
    const char *name;
    int64_t behind;       /**< messages to be read; at most 10000 are counted */
    int64_t age_ms;       /**< how long the first of them has been there; -1: none */
    int64_t hold_ms;      /**< -1: it holds nothing back */
    int64_t commits;      /**< how many times it has committed */
    int64_t committed;    /**< when it did last, or was made: microseconds since 1970-01-01 00:00 UTC */
    int64_t created;      /**< likewise */
    const char *position; /**< as pgq_topic_position() gives it */
} pgq_subscriber_info;

typedef struct pgq_subscriber_list pgq_subscriber_list;

/** Lists durable subscribers, sorted by topic and name.
 *
 *  @param topic those of that one; NULL: all
 *  @return OK (also for none), INVALID, NOT_INSTALLED, PERMISSION, NO_MEMORY, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: free *out with pgq_subscriber_list_free(); NULL unless OK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_topic_subscribers(pgq *q, const char *topic, pgq_subscriber_list **out);

/** How many; 0 for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT size_t pgq_subscriber_list_count(const pgq_subscriber_list *list);

/** Subscriber number i from 0; NULL if there is none.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the list's. Since: 0.1. */
PGQ_EXPORT const pgq_subscriber_info *pgq_subscriber_list_get(const pgq_subscriber_list *list, size_t i);

/** Frees a list; NULL is allowed.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: list is gone. Since: 0.1. */
PGQ_EXPORT void pgq_subscriber_list_free(pgq_subscriber_list *list);

#ifdef __cplusplus
}
#endif
#endif
