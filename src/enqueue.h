/* SPDX-License-Identifier: MIT */
/* A message on its way out, checked and encoded. */
#ifndef PGQI_ENQUEUE_H
#define PGQI_ENQUEUE_H

#include "handle.h"
#include "params.h"

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

/* n messages to one queue. The answer is a row with an outcome's code and text, and the number of the message
 * at fault, from 1; or one for each message, with its id (3) and whether it is a duplicate (4). */
extern const char pgqi_enqueue_many_sql[];
void pgqi_enqueue_many_params(pgqi_params *p, const char *queue, int create_queue,
                              const pgqi_outgoing *const *messages, size_t n);

#endif
