/* SPDX-License-Identifier: MIT */
/* The asynchronous producer: what its callers, its thread and the sending of a batch share. */
#ifndef PGQI_PRODUCER_H
#define PGQI_PRODUCER_H

#include "enqueue.h"

#include <pgq/producer.h>
#include <pthread.h>

/* A message that was taken over; payload and strings stand behind it, in one block. */
typedef struct pgqi_taken {
    struct pgqi_taken *next;
    pgqi_outgoing out;
    const char *queue;
    void *arg;
    int64_t number;   /* the producer's how manyth it is, from 1 */
    int64_t taken_us; /* when */
    int group;        /* within its batch: which run of one queue's messages */
    int done;         /* what follows is final, and to be told */
    pgq_status status;
    int64_t id;
    char *text; /* NULL: the status says it */
} pgqi_taken;

typedef struct pgqi_taken_list {
    pgqi_taken *head, *tail;
    size_t n;
    size_t bytes; /* of their payloads */
} pgqi_taken_list;

void pgqi_taken_append(pgqi_taken_list *list, pgqi_taken *m);
/* Says what has become of a message; once is enough, and the first holds. */
void pgqi_taken_settle(pgqi_taken *m, pgq_status status, int64_t id, const char *text);
void pgqi_taken_free(pgqi_taken *m);

/* --- one transaction --- */

enum { PGQI_GROUPS_MAX = 64, PGQI_BATCH_BYTES = 8 << 20 };

/* Which run of which server: the number of a transaction means nothing in another one. */
typedef struct pgqi_era {
    int64_t postmaster_us; /* it was started then */
    int64_t crash_us;      /* its statistics began then; they begin anew after a crash */
    int64_t redo;          /* its last checkpoint when it was asked */
    char timeline[9];
} pgqi_era;

/* Messages that go together. */
typedef struct pgqi_batch {
    pgqi_taken_list list;
    int groups;
    int unknown;  /* a COMMIT was sent, and not answered: what follows is of that try */
    int64_t xid;  /* with its epoch */
    int64_t lsn;  /* where the log ended behind all of its rows, and before its commit */
    pgqi_era era; /* where it was sent to */
} pgqi_batch;

/* Reads what q is connected to. */
pgq_status pgqi_era_read(pgq *q, pgqi_era *era);

/* One try to send and commit what is not done. What the server refuses is done at once; OK: so is the
 * rest. Else q's error says why, no transaction is open unless the connection has to be made anew, and
 * batch->unknown says whether a COMMIT is open. on_commit is told (1, 0) around the COMMIT. */
pgq_status pgqi_batch_send(pgq *q, pgqi_batch *batch, const pgqi_era *era, void (*on_commit)(void *arg, int),
                           void *arg);

/* What became of an unknown commit. OK: it is known now; all are done if it was committed, and may be sent
 * again if not. STALE: it can never be known. CONFLICT: it is not over yet. Else q's error. */
pgq_status pgqi_batch_ask(pgq *q, pgqi_batch *batch, const pgqi_era *now);

/* --- the producer --- */

struct pgq_producer {
    pgq_producer_options options; /* with no default left to fill in; its pointers are not used */
    pgq_codec codec;
    pgq *q;            /* the thread's alone, once it has started */
    pgqi_era era;      /* of q */
    int failures;      /* in a row; the thread's */
    int broken;        /* q has to connect anew; the thread's */
    pgq_error trouble; /* of the last try; the thread's */
    pthread_t thread;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t work;  /* the thread waits */
    pthread_cond_t room;  /* senders wait */
    pthread_cond_t told;  /* flush and close wait, for told_n */
    int started;
    int closing;
    int given_up;   /* by close: what is pending fails */
    int left;       /* something did fail for that */
    int committing; /* the thread waits for the answer to a COMMIT */
    int fd;         /* of the connection that the thread may be waiting on; -1: none */
    pgqi_taken_list queue;
    int64_t pending, pending_bytes; /* in the queue, and in the thread's batch */
    int64_t taken_n, told_n;
    int64_t flush_to; /* messages up to this number do not linger */
    pgq_error error;
};

void *pgqi_producer_main(void *arg);

/* Waits on a condition until a time of pgqi_now_us(); INT64_MAX: as long as it takes. */
void pgqi_producer_wait(pgq_producer *p, pthread_cond_t *cond, int64_t until_us);

#endif
