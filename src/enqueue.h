/* SPDX-License-Identifier: MIT */
/* A message on its way out, checked and encoded. */
#ifndef PGQI_ENQUEUE_H
#define PGQI_ENQUEUE_H

#include "handle.h"

#include <pgq/enqueue.h>

typedef struct pgqi_outgoing {
    const void *payload;
    size_t len;
    pgq_enqueue_options o;
    void *made; /* by the encode hook */
} pgqi_outgoing;

/* Free it either way. */
pgq_status pgqi_outgoing_make(pgq *q, const void *payload, size_t len, const pgq_enqueue_options *options,
                              pgqi_outgoing *m);
void pgqi_outgoing_free(pgqi_outgoing *m);

#endif
