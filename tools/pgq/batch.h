/* SPDX-License-Identifier: MIT */
/* Messages that are gathered to be sent in one transaction. */
#ifndef PGQ_CLI_BATCH_H
#define PGQ_CLI_BATCH_H

#include "call.h"

#include <pgq/enqueue.h>
#include <pgq/topic.h>

typedef struct batch {
    size_t n, max;
    buf bytes;
    size_t *from; /* max + 1 of each of these */
    size_t *len;
    pgq_enqueue_options *options;
    char **made; /* what the options point to */
    size_t made_n, made_cap;
    pgq_outgoing *outgoing;
    pgq_status *results;
    pgq_publication *publications; /* NULL: they are not to be published */
    pgq_publish_options *publishing;
} batch;

/* publishes: batch_publish() will send it. false: no memory, which was said. */
bool batch_setup(batch *b, size_t max, bool publishes);
void batch_free(batch *b);
bool batch_is_full(const batch *b);

/* One more; the payload is copied. */
bool batch_add(batch *b, const void *payload, size_t len, const pgq_enqueue_options *o);

/* Text that an option of the next message points to; the batch frees it. */
bool batch_keep(batch *b, char *text);

/* Sends all in one transaction and empties the batch. *duplicates grows. */
pgq_status batch_send(batch *b, pgq *q, const char *queue, int create_queue, int64_t *duplicates);

/* The same to a topic. */
pgq_status batch_publish(batch *b, pgq *q, const char *topic);

/* What was given, as the library has it. */
void batch_options(const given *g, pgq_enqueue_options *o);

/* Adds the message that a line of --jsonl is; g: what the command line gave. false: why says what is wrong.
 */
bool batch_add_json(batch *b, const char *line, size_t len, const verb *v, const given *g, char why[256]);

#endif
