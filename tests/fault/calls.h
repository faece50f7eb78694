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
    int reads_queue; /* it reads the table of queues, and so waits for that table's lock */
} fault_call;

extern const fault_call fault_calls[];
extern const size_t fault_call_count;

#endif
