/* SPDX-License-Identifier: MIT */
/* The call of _claim, and the reading of its answer. */
#ifndef PGQI_CLAIM_H
#define PGQI_CLAIM_H

#include "cursor.h"
#include "handle.h"
#include "params.h"

#include <pgq/message.h>

/* What becomes of the messages: see sql/functions/claim.sql. */
typedef enum pgqi_how { PGQI_LOCK = 0, PGQI_REMOVE = 1, PGQI_LEASE = 2 } pgqi_how;

typedef struct pgqi_look {
    const char *queue;
    int max;
    pgqi_how how;
    int64_t lease_ms;   /* of PGQI_LEASE; PGQ_UNSET: the queue's */
    const char *filter; /* NULL: none */
    int sweep;          /* look from the very start */
    int alone;          /* the transaction holds nothing else */
    int look_behind;    /* tell whether another message stands behind */
    int may_be_one;     /* the caller sends what pgqi_claim.sql says, and looks again when told to */
} pgqi_look;

typedef struct pgqi_claim {
    const pgqi_look *look;
    const char *sql;
    int one; /* the short form for one message */
    pgqi_plan plan;
    pgqi_params params;
} pgqi_claim;

/* Of a message: its position, how long its lease is in ms, and PGQI_MESSAGE_COLUMNS but for the last three.
 */
#define PGQI_CLAIM_MESSAGE                                                                                   \
    "position, (date_part('epoch', due - clock_timestamp()) * 1000)::bigint, id, priority, attempts, "       \
    "errors, kind, sent, due, first_received, expires, headers::text, last_error, payload, order_key, "      \
    "dedup_key"
#define PGQI_CLAIM_COLUMNS                                                                                   \
    PGQI_CLAIM_MESSAGE                                                                                       \
    ", code, detail, lost, exhausted, micros, tail, producers, due_in_ms, due_mark, due_micros, more"
#define PGQI_CLAIM_FROM " FROM %s._claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"

/* That of the long form. */
extern const char pgqi_claim_sql[];

void pgqi_claim_init(pgqi_claim *c, pgq *q, const pgqi_look *look);
void pgqi_claim_free(pgqi_claim *c);

/* What a claim says beside its messages. */
typedef struct pgqi_report {
    int lost; /* messages that were elsewhere, and can be found now: look again */
    int due;  /* something is due that has not been made ready */
    int more; /* another message stands behind */
} pgqi_report;

/* Takes res over. OK with messages, HOOK with messages, EMPTY, or the outcome's error. */
pgq_status pgqi_claim_read(pgqi_claim *c, pgq *q, PGresult *res, pgq_messages **out, pgqi_report *report);

/* How long the lease of a claimed message was when it was given, in ms. */
int64_t pgqi_claim_lease_ms(const pgq_messages *messages, size_t i);

/* Claims, joining the open transaction or in one of its own; EMPTY only after a look from the very start.
 * sweep and alone of the look are set here. */
pgq_status pgqi_claim_now(pgq *q, pgqi_look *look, pgq_messages **out);

#endif
