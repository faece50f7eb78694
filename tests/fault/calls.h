/* SPDX-License-Identifier: MIT */
/* Every call that talks to the server, in a form that a fault can be put into: each makes the state that
 * it needs by `prepare`, through a handle that no fault befalls. */
#ifndef FAULT_CALLS_H
#define FAULT_CALLS_H

#include "support/support.h"

typedef struct fault_call {
    const char *name;
    void (*prepare)(const fixture *f); /* NULL: nothing */
    pgq_status (*call)(pgq *q);
    pgq_status good; /* what it gives without a fault */
    int reads;       /* the table of queues, 1, or of logs, 2, and so waits for its lock; 0: neither */
} fault_call;

extern const fault_call fault_calls[];
extern const size_t fault_call_count;
extern const fault_call fault_topic_calls[];
extern const size_t fault_topic_call_count;

/* The ith of both; NULL behind the last. */
const fault_call *fault_call_at(size_t i);

#endif
