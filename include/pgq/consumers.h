/* SPDX-License-Identifier: MIT */
/** @file consumers.h
 *  Who takes from queues: whose messages are out, and who sleeps for more.
 */
#ifndef PGQ_CONSUMERS_H
#define PGQ_CONSUMERS_H

#include <pgq/handle.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pgq_activity {
    PGQ_ACTIVITY_SCOPE = 0, /**< a session that takes or settles in a transaction that is open */
    PGQ_ACTIVITY_LEASE = 1, /**< the leases of a queue, together: nothing says whose they are */
    PGQ_ACTIVITY_SLEEP = 2  /**< a session that sleeps until a message comes */
} pgq_activity;

/** One of a pgq_consumer_list. No string is NULL; "" is one that is unknown, or that this role may not see.
 */
typedef struct pgq_consumer {
    const char *queue;
    pgq_activity activity;
    int pid; /**< the session's process on the server; 0 for leases */
    const char *role;
    const char *application; /**< its application_name */
    const char *client;      /**< its address, or "local" for a Unix socket */
    int64_t message_id;      /**< the first message that it has; of leases the one that ends first; 0: none */
    int64_t messages;        /**< how many: of a scope those that are seen among the first 1000 ready ones, of
                                leases those among the first 10000 entries that fall due */
    int64_t age_ms;          /**< how long it has been at that; -1: unknown */
    int64_t ends_in_ms;      /**< until the first lease runs out, 0 if one has; -1: no lease */
} pgq_consumer;

typedef struct pgq_consumer_list pgq_consumer_list;

/** Looks who takes from queues, at a cost that grows with the number of queues and not with that of messages.
 *  Of other roles' sessions only a member of pg_read_all_stats sees client and age. This session is left out,
 *  and on a standby those of the primary are.
 *
 *  @param queue that one alone; NULL: all, sorted by the bytes of their names; within one by activity, then
 * by age
 *  @param max   at least 1
 *  @return OK (also for none), NOT_FOUND, INVALID, ...
 *
 *  Transaction: joins one if it is open; a read-only one will do. Blocking: one round trip. Threads: that of
 *  the handle. Ownership: free *out with pgq_consumers_free(); NULL unless OK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_consumers(pgq *q, const char *queue, int max, pgq_consumer_list **out);

/** How many; 0 for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT size_t pgq_consumers_count(const pgq_consumer_list *list);

/** Number i from 0; NULL if there is none.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the list's. Since: 0.1. */
PGQ_EXPORT const pgq_consumer *pgq_consumers_get(const pgq_consumer_list *list, size_t i);

/** Frees a list; NULL is allowed.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: list is gone. Since: 0.1. */
PGQ_EXPORT void pgq_consumers_free(pgq_consumer_list *list);

/** An activity as SQL writes it: "scope", "lease" or "sleep"; "unknown" for a value that is none.
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: static. Since: 0.1. */
PGQ_EXPORT const char *pgq_activity_name(pgq_activity activity);

#ifdef __cplusplus
}
#endif
#endif
