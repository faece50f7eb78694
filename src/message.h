/* SPDX-License-Identifier: MIT */
/* Makes messages out of a result, without copying their payloads. */
#ifndef PGQI_MESSAGE_H
#define PGQI_MESSAGE_H

#include "handle.h"

#include <pgq/message.h>

/* The columns that every function that gives messages has, in this order from column "first" on; the last
 * three only where messages are looked at. */
#define PGQI_MESSAGE_COLUMNS                                                                                 \
    "id, priority, attempts, errors, kind, sent, due, first_received, expires, headers, last_error, "        \
    "payload, order_key, dedup_key, died, state, reason"

/* Those of functions that give messages of topics: no column stands behind them. */
#define PGQI_TOPIC_MESSAGE_COLUMNS "id, kind, published, headers, payload, xid"

/* Rows 0 to n - 1 of res, which the list takes over, also on failure; decoded, if the handle has a hook. OK;
 * HOOK, with the list; NO_MEMORY. */
pgq_status pgqi_messages_make(pgq *q, const char *queue, PGresult *res, int first, int n, pgq_messages **out);

/* Takes what could not be decoded out of the list: how many those are. pgqi_messages_parted() gives the ith
 * of them, and why. The order of the others stays. */
size_t pgqi_messages_part(pgq_messages *messages);
const pgq_message *pgqi_messages_parted(const pgq_messages *messages, size_t i, const char **why);

/* The result that the messages stand in; row i is that of the ith, unless some were taken out. */
const PGresult *pgqi_messages_result(const pgq_messages *messages);

#endif
