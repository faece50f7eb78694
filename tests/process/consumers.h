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
    CONSUME_WORKER   /* a worker */
} consumer_kind;

typedef struct consumer {
    consumer_kind kind;
    int threads; /* of a worker */
    const char *queue;
    int poll_interval_ms;
    pgq_handler handler;
    void *arg;
    atomic_int *ready; /* set to 1 when it can take messages; may be NULL */
} consumer;

/* Consumes until SIGTERM. Any outcome but a message, none, or a failed handler fails the test. */
void consume(void *arg_consumer);

const char *consumer_name(const consumer *c);

#endif
