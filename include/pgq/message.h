/* SPDX-License-Identifier: MIT */
/** @file message.h
 *  What a message looks like to whoever takes or lists it.
 */
#ifndef PGQ_MESSAGE_H
#define PGQ_MESSAGE_H

#include <pgq/handle.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a payload is. Text must be UTF-8, JSON must parse; both come back byte for byte. */
typedef enum pgq_kind { PGQ_BINARY = 0, PGQ_TEXT = 1, PGQ_JSON = 2 } pgq_kind;

typedef enum pgq_state {
    PGQ_STATE_READY = 0,     /**< waits for a consumer */
    PGQ_STATE_DELAYED = 1,   /**< waits for its time */
    PGQ_STATE_IN_FLIGHT = 2, /**< a consumer has it */
    PGQ_STATE_DEAD = 3,      /**< a dead letter */
    PGQ_STATE_BLOCKED = 4    /**< waits for an earlier message of its order key */
} pgq_state;

/** A message. The library makes it; later versions may append members. Times are microseconds since
 *  1970-01-01 00:00 UTC, 0 where there is none; strings are UTF-8, NULL where there is none. */
typedef struct pgq_message {
    int64_t id;
    const char *queue;
    const void *payload; /**< never NULL; a zero byte follows it that does not count */
    size_t payload_len;  /**< bytes */
    pgq_kind kind;
    pgq_state state;
    int32_t priority; /**< lower first */
    int32_t attempts; /**< times it was handed out, this one included */
    int32_t errors;   /**< attempts that failed */
    const char *last_error;
    const char *headers; /**< a JSON object, as it was sent */
    int64_t sent;
    int64_t due; /**< when a delayed message becomes ready, or a lease ends */
    int64_t first_received;
    int64_t expires;
    int64_t died;       /**< when it became a dead letter */
    const char *reason; /**< why it did: "error_limit", "not_requeued" */
    const char *order_key;
    const char *dedup_key;
    int undecoded; /**< 1: the decode hook failed, and the payload is as it was sent */
} pgq_message;

/** The messages that one call gave. */
typedef struct pgq_messages pgq_messages;

/** How many; 0 for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: none. Since: 0.1. */
PGQ_EXPORT size_t pgq_messages_count(const pgq_messages *messages);

/** Message number i from 0; NULL if there is none.
 *
 *  Transaction: none. Blocking: never. Threads: one at a time. Ownership: the list's, strings and
 *  payload included. Since: 0.1. */
PGQ_EXPORT const pgq_message *pgq_messages_get(const pgq_messages *messages, size_t i);

/** Frees messages; NULL is allowed.
 *
 *  Transaction: none: this settles nothing. Blocking: never. Threads: one at a time. Ownership:
 *  messages is gone, and every pointer into it. Since: 0.1. */
PGQ_EXPORT void pgq_messages_free(pgq_messages *messages);

/** Characters of a message's id in text form, without the zero byte. */
#define PGQ_ID_TEXT_LEN 32

/** Writes the text form of a message's id: 32 characters that sort by time of sending, then by id.
 *
 *  @param id   the message's id
 *  @param sent its time of sending, as in pgq_message
 *  @param out  33 bytes, ended by a zero byte
 *  @return OK, INVALID (out is NULL, or a number is negative)
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_id_to_text(int64_t id, int64_t sent, char out[PGQ_ID_TEXT_LEN + 1]);

/** Reads the text form of an id.
 *
 *  @param text what pgq_id_to_text() or the SQL function id_text() gave
 *  @param id   the id; may be NULL
 *  @param sent the time of sending; may be NULL
 *  @return OK, INVALID
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_id_from_text(const char *text, int64_t *id, int64_t *sent);

#ifdef __cplusplus
}
#endif
#endif
