/* SPDX-License-Identifier: MIT */
/** @file doctor.h
 *  What is wrong with the queues of a namespace, and what to do.
 */
#ifndef PGQ_DOCTOR_H
#define PGQ_DOCTOR_H

#include <pgq/handle.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pgq_severity {
    PGQ_SEVERITY_NOTE = 0,    /**< something could not be checked; no fault of the queues */
    PGQ_SEVERITY_WARNING = 1, /**< it costs already, or is on its way to become a problem */
    PGQ_SEVERITY_PROBLEM =
        2 /**< it does not end by itself, or messages do not get on, or anybody may take them */
} pgq_severity;

/** From which on something is a finding. INIT leaves all to what is built in. */
typedef struct pgq_doctor_options {
    size_t size; /**< sizeof(pgq_doctor_options) */
    /* 0 to 9999999000 ms; PGQ_UNSET: what is said here */
    int64_t transaction_age_ms; /**< of a transaction that keeps vacuum from removing dead rows; 300000 */
    int64_t scope_age_ms;       /**< of a transaction that takes messages, or uses a topic; 60000 */
    int64_t wait_age_ms;        /**< of a message that nobody takes, or a subscriber has not read; 300000 */
    int64_t horizon_age;        /**< how many transactions a slot or a standby is behind; 1000000 */
    int64_t dead_rows;          /**< of a table; 200000 */
    int64_t bloat_bytes;        /**< of a table or index that is mostly air; 104857600 */
    int64_t dead_per_hour;      /**< dead letters of a queue, 1 to 1000000; 100 */
    double notify_usage;        /**< how full the server's notification queue is, 0 to 1; 0.1 */
} pgq_doctor_options;

#define PGQ_DOCTOR_OPTIONS_INIT                                                                              \
    {                                                                                                        \
        sizeof(pgq_doctor_options), PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET, PGQ_UNSET,        \
            PGQ_UNSET, PGQ_UNSET                                                                             \
    }

/** One finding. No string is NULL; a number is -1 where it says nothing. */
typedef struct pgq_finding {
    const char *check; /**< what was looked for: a short name that stays; docs/sql.md has the list */
    pgq_severity severity;
    const char *subject; /**< which session (its process number), slot, queue, table, role, ... */
    const char *message; /**< one sentence, with the figures */
    const char *advice;  /**< what to do */
    int64_t age_ms;
    int64_t bytes;
    int64_t rows;
    int64_t transactions; /**< how far the horizon of vacuum is behind */
} pgq_finding;

typedef struct pgq_findings pgq_findings;

/** Looks for what goes wrong with queues in PostgreSQL: who keeps vacuum from removing dead rows, dead rows
 * and bloat, autovacuum's settings, the notification queue, privileges, a namespace of another version, long
 *  scopes, queues that nobody takes from, dead letters, topics that nobody tends or reads, a pooler in
 * between. It changes nothing, does not scan the messages, and may be called on a standby. What the handle's
 * role may not see is a finding of severity NOTE that says who may.
 *
 *  @param options NULL: as built in
 *  @param out     the worst first
 *  @return OK (also for none: all is well), INVALID, NOT_INSTALLED, VERSION (the namespace is too old to be
 *          asked), PERMISSION, NO_MEMORY, ...
 *
 *  Transaction: joins one if it is open; a read-only one will do. Blocking: one round trip; 50 ms longer
 * where a queue seems to have no consumer. Threads: that of the handle. Ownership: free *out with
 *  pgq_findings_free(); NULL unless OK. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_doctor(pgq *q, const pgq_doctor_options *options, pgq_findings **out);

/** How many; 0 for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT size_t pgq_findings_count(const pgq_findings *findings);

/** Finding number i from 0; NULL if there is none.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the list's. Since: 0.1. */
PGQ_EXPORT const pgq_finding *pgq_findings_get(const pgq_findings *findings, size_t i);

/** Frees a list; NULL is allowed.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: findings is gone. Since: 0.1. */
PGQ_EXPORT void pgq_findings_free(pgq_findings *findings);

/** A severity as SQL writes it: "note", "warning" or "problem"; "unknown" for a value that is none.
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: static. Since: 0.1. */
PGQ_EXPORT const char *pgq_severity_name(pgq_severity severity);

#ifdef __cplusplus
}
#endif
#endif
