/* SPDX-License-Identifier: MIT */
/* The ways in which a process consumes: each as the body of a child that runs until SIGTERM. */
#ifndef PROCESS_CONSUMERS_H
#define PROCESS_CONSUMERS_H

#include <pgq/pgq.h>
#include <stdatomic.h>

typedef enum consumer_kind {
    CONSUME_DEQUEUE, /* pgq_dequeue, and a pause of 5 ms when nothing is there */
    CONSUME_LISTEN,  /* pgq_listen */
    CONSUME_PULL,    /* a listener in a poll loop, and pgq_dequeue */
    CONSUME_WORKER,  /* a worker */
    CONSUME_LEASE    /* pgq_receive_with */
} consumer_kind;

typedef struct consumer {
    consumer_kind kind;
    int threads; /* of a worker */
    const char *queue;
    int poll_interval_ms;
    pgq_handler handler;
    void *arg;
    atomic_int *ready; /* set to 1 when it can take messages; may be NULL */
    int64_t lease_ms;  /* of LEASE and WORKER; 0: a scope, and the queue's lease */
} consumer;

/* Consumes until SIGTERM. Any outcome but a message, none, a failed handler, or a lost lease fails the test.
 */
void consume(void *arg_consumer);

const char *consumer_name(const consumer *c);

/* For a child with a loop of its own: whether SIGTERM has come, once it is caught. */
void catch_term(void);
int stop_asked(void);

#endif
