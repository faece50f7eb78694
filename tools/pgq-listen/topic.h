/* SPDX-License-Identifier: MIT */
/* Reading a topic, and handing each of its messages on. */
#ifndef LISTEN_TOPIC_H
#define LISTEN_TOPIC_H

#include "options.h"

#include <pgq/pgq.h>
#include <stdbool.h>

typedef struct topic_job {
    const options *options;
    pgq_handler handler;
    void *arg;
    pgq_event_handler tell;
    void *tell_arg;
    bool started; /* set once it reads */
} topic_job;

/* Runs until it is told to stop, or there is no more to do. OK, or what it cannot start or go on for. The
 * signals have been set up. */
pgq_status topic_run(topic_job *job, pgq_error *why);

#endif
