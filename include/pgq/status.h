/* SPDX-License-Identifier: MIT */
/** @file status.h
 *  What a call came to: one list of statuses, and the details of the last failure.
 */
#ifndef PGQ_STATUS_H
#define PGQ_STATUS_H

#include <pgq/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, sqlstate, text). Zero is success, a positive value a normal outcome, a negative one
 * an error. Values are never changed or used again. sqlstate is what the SQL functions raise for
 * it, or "" where it does not come from them. */
#define PGQ_STATUS_MAP(X)                                                                                    \
    X(OK, 0, "", "success")                                                                                  \
    X(EMPTY, 1, "", "no message is there")                                                                   \
    X(TIMEOUT, 2, "", "nothing came within the time")                                                        \
    X(CANCELED, 3, "", "the wait was cancelled")                                                             \
    X(READY, 4, "", "messages may be there: take them until EMPTY")                                          \
    X(WAIT, 5, "", "nothing to do: wait for the fd or the timeout")                                          \
    X(DUPLICATE, 6, "", "a message of that dedup key is there already: nothing was sent")                    \
    X(IN_FLIGHT, 7, "", "a consumer has the message")                                                        \
    X(SHUTDOWN, 8, "", "the wait was ended: the namespace is being shut down")                               \
    X(INVALID, -1, "MQ001", "an argument is not allowed")                                                    \
    X(NOT_FOUND, -2, "MQ002", "there is no such queue or message")                                           \
    X(EXISTS, -3, "MQ003", "the queue exists already")                                                       \
    X(TOO_LONG, -4, "MQ004", "the payload is over the queue's limit")                                        \
    X(NO_MEMORY, -5, "", "out of memory")                                                                    \
    X(STATE, -6, "", "the handle is not in a state that allows the call")                                    \
    X(FAILED, -7, "", "the handler failed; its work was undone and the error counted")                       \
    X(STALE, -8, "MQ005", "the message was lost to another consumer; the work was undone")                   \
    X(NOT_INSTALLED, -9, "", "the namespace is not installed")                                               \
    X(VERSION, -10, "", "the namespace and the library do not fit together")                                 \
    X(PERMISSION, -11, "", "the role may not do that")                                                       \
    X(CONFLICT, -12, "", "a serialization failure or a deadlock: roll back and try again")                   \
    X(CONNECTION, -13, "", "there is no connection to the server")                                           \
    X(SERVER, -14, "", "the server refused")                                                                 \
    X(ABORTED, -15, "", "the transaction has failed: roll it back first")                                    \
    X(HOOK, -16, "", "an encode or decode hook failed")

typedef enum pgq_status {
#define PGQ_STATUS_ENUM(name, value, sqlstate, text) PGQ_##name = (value),
    PGQ_STATUS_MAP(PGQ_STATUS_ENUM)
#undef PGQ_STATUS_ENUM
        PGQ_STATUS_FORCE_INT = 0x7fffffff
} pgq_status;

/** What went wrong in the last call on a handle. All strings are set, if only to "". */
typedef struct pgq_error {
    pgq_status status;
    char sqlstate[6];    /**< the server's code, "" if it did not come from the server */
    char message[1024];  /**< one line, UTF-8, cut at a character */
    char detail[512];    /**< the server's DETAIL and HINT */
    int retryable;       /**< the same call may succeed later, after a rollback if one is needed */
    int needs_rollback;  /**< the caller's transaction is aborted */
    int connection_dead; /**< nothing more can be done on this connection */
} pgq_error;

/** The name of a status, such as "NOT_FOUND"; "UNKNOWN" for a value that is none.
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: static. Since: 0.1. */
PGQ_EXPORT const char *pgq_status_name(pgq_status status);

/** A status in words; never NULL.
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: static. Since: 0.1. */
PGQ_EXPORT const char *pgq_status_text(pgq_status status);

/** The version of the library in use, as PGQ_VERSION_NUMBER.
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: none. Since: 0.1. */
PGQ_EXPORT int pgq_version_number(void);

/** The version of the library in use, as PGQ_VERSION_STRING.
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: static. Since: 0.1. */
PGQ_EXPORT const char *pgq_version_string(void);

#ifdef __cplusplus
}
#endif
#endif
