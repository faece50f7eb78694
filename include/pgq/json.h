/* SPDX-License-Identifier: MIT */
/** @file json.h
 *  JSON payloads as json-c objects. Only users of this header need json-c.
 */
#ifndef PGQ_JSON_H
#define PGQ_JSON_H

#include <pgq/enqueue.h>

struct json_object;

#ifdef __cplusplus
extern "C" {
#endif

/** Sends a JSON value; NULL is the JSON null.
 *
 *  @param value   written without blanks; its numbers as json-c writes them
 *  @param options NULL: the defaults; kind is taken to be PGQ_JSON
 *  @param id      as for pgq_enqueue()
 *  @return as pgq_enqueue()
 *
 *  Transaction, Blocking, Threads: as pgq_enqueue(). Ownership: value stays the caller's. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_enqueue_json(pgq *q, const char *queue, struct json_object *value,
                                       const pgq_enqueue_options *options, int64_t *id);

/** Reads a message's payload as JSON.
 *
 *  @param out the value; NULL is the JSON null
 *  @return OK, INVALID (it is not JSON), NO_MEMORY
 *
 *  Transaction: none. Blocking: never. Threads: that of the message. Ownership: the caller puts *out
 *  back with json_object_put(). Since: 0.1. */
PGQ_EXPORT pgq_status pgq_message_json(const pgq_message *message, struct json_object **out);

#ifdef __cplusplus
}
#endif
#endif
