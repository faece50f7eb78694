/* SPDX-License-Identifier: MIT */
/* One settling by receipts: its statement, and the reading of its answer. */
#ifndef PGQI_SETTLE_H
#define PGQI_SETTLE_H

#include "handle.h"
#include "params.h"

extern const char pgqi_settle_sql[];

typedef struct pgqi_settling {
    const char *verb; /* ack, nack, release or extend */
    const pgq_receipt *receipts;
    size_t n;
    const pgq_nack_options *nack; /* NULL: the defaults */
    int64_t lease_ms;             /* of extend */
    size_t *done;                 /* counted up; may be NULL, and so may be results */
    pgq_status *results;
} pgqi_settling;

/* Whether it can be sent at all. */
pgq_status pgqi_settling_check(pgq *q, const pgqi_settling *s);

/* What the statement is sent with. */
void pgqi_settling_params(pgqi_params *p, const pgqi_settling *s);

/* OK; STALE if one was; NOT_FOUND if none was, but one is unknown; an error if nothing was done at all. */
pgq_status pgqi_settling_read(pgq *q, const PGresult *res, const pgqi_settling *s);

#endif
