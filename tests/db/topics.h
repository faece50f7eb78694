/* SPDX-License-Identifier: MIT */
/* For the tests of topics: publishing texts, and reading what there is. */
#ifndef DB_TOPICS_H
#define DB_TOPICS_H

#include "support/support.h"

/* A text message; its id. */
int64_t publish(pgq *q, const char *topic, const char *text);

/* name NULL: ephemeral. start NULL: now. */
pgq_subscriber *subscribe(pgq *q, const char *topic, const char *name, const char *start);

/* The payloads of messages: "a b c ". Frees them; valid until the next but seven call. */
const char *texts_of(pgq_messages *messages);

/* Those of the next messages, up to max a call, until EMPTY. */
const char *read_all(pgq *q, pgq_subscriber *s, int max);

/* A handle on a connection of its own that is not the handle's. */
pgq *attach(const fixture *f, PGconn **conn);

/* A batch handler that notes what it gets, inserts it into mq.work, and does what it is told. */
typedef struct work {
    int calls;
    char texts[256];
    int rc;
    const char *sql; /* unless NULL: run it, too */
    const fixture *f;
} work;

int do_work(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg);

#endif
