/* SPDX-License-Identifier: MIT */
/* A subscriber: a topic, and how much of it has been read. */
#ifndef PGQI_SUBSCRIBER_H
#define PGQI_SUBSCRIBER_H

#include "handle.h"
#include "params.h"

#include <pgq/topic.h>

struct pgq_subscriber {
    pgq *q;
    char *topic;
    char *name;      /* NULL: ephemeral */
    int32_t id;      /* of a durable one */
    int64_t number;  /* of a durable one: the fence of the next commit */
    char *position;  /* behind what has been read */
    char *committed; /* of an ephemeral one: where to go back to */
    int trimmed;     /* not told yet */
};

/* What one read has given. */
typedef struct pgqi_page {
    pgq_messages *messages; /* NULL: none */
    char *position;         /* behind them; NULL: where the subscriber is */
} pgqi_page;

/* The next messages, up to max: what pgqi_page_read() reads. */
extern const char pgqi_topic_read_sql[];
void pgqi_topic_read_params(pgqi_params *p, const pgq_subscriber *s, int max);

/* Takes res over. OK with messages, HOOK with messages, EMPTY, or an error. The subscriber is where it was.
 */
pgq_status pgqi_page_read(pgq_subscriber *s, PGresult *res, pgqi_page *page);

/* Moves the subscriber behind the page, of which the messages are left. */
void pgqi_page_turn(pgq_subscriber *s, pgqi_page *page);
void pgqi_page_free(pgqi_page *page);

/* What the reading calls check. */
pgq_status pgqi_enter_read(pgq_subscriber *s, int max);

/* pgq_topic_rewind() of a durable subscriber. */
pgq_status pgqi_rewind(pgq_subscriber *s);

#endif
