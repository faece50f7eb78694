/* SPDX-License-Identifier: MIT */
/* The call of _claim, and the reading of its answer. */
#ifndef PGQI_CLAIM_H
#define PGQI_CLAIM_H

#include "cursor.h"
#include "handle.h"
#include "params.h"

#include <pgq/message.h>

typedef struct pgqi_claim {
    const char *queue;
    pgqi_plan plan;
    pgqi_params params;
} pgqi_claim;

extern const char pgqi_claim_sql[];

/* alone, remove: see sql/functions/claim.sql. */
void pgqi_claim_init(pgqi_claim *c, pgq *q, const char *queue, int max, int remove, int sweep, int alone);
void pgqi_claim_free(pgqi_claim *c);

/* What a claim says beside its messages. */
typedef struct pgqi_report {
    int lost; /* messages whose consumer had died: they were counted, and are elsewhere now */
    int due;  /* something is due that has not been made ready */
    int more; /* another message stands behind */
} pgqi_report;

/* Takes res over. OK with messages, EMPTY, or the outcome's error. */
pgq_status pgqi_claim_read(pgqi_claim *c, pgq *q, PGresult *res, pgq_messages **out, pgqi_report *report);

#endif
