/* SPDX-License-Identifier: MIT */
/* Makes messages out of a result, without copying their payloads. */
#ifndef PGQI_MESSAGE_H
#define PGQI_MESSAGE_H

#include "handle.h"

#include <pgq/message.h>

/* The columns that every function that gives messages has, in this order from column "first" on. */
#define PGQI_MESSAGE_COLUMNS                                                                                 \
    "id, priority, attempts, errors, kind, sent, due, first_received, expires, died, headers, "              \
    "last_error, payload, state, reason, order_key, dedup_key"

/* Rows 0 to n - 1 of res, which the list takes over, also on failure; decoded, if the handle has a hook. OK;
 * HOOK, with the list; NO_MEMORY. */
pgq_status pgqi_messages_make(pgq *q, const char *queue, PGresult *res, int first, int n, pgq_messages **out);

/* The result that the messages stand in. */
const PGresult *pgqi_messages_result(const pgq_messages *messages);

#endif
