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

/* A batch of so many messages, or of payloads of so many bytes, is copied if the server finds that it is
 * plain. Where that begins to pay was measured: docs/performance.md. */
#ifndef PGQI_COPY_MESSAGES
#define PGQI_COPY_MESSAGES 10000
#endif
#ifndef PGQI_COPY_BYTES
#define PGQI_COPY_BYTES 2097152
#endif

/* Stores n messages that say nothing of themselves but their kind, by COPY: all, or none. *stored 0: this is
 * not the way for them, and nothing is wrong yet. ids may be NULL. */
pgq_status pgqi_enqueue_copy(pgq *q, const char *queue, const pgqi_outgoing *const *messages, size_t n,
                             int64_t *ids, int *stored);

#ifdef PGQ_TESTING
/* In the place of these two; 0, 0: they hold again. */
void pgqi_copy_from(size_t messages, size_t bytes);
#endif

#endif
