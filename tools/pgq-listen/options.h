/* SPDX-License-Identifier: MIT */
/* The command line. One table gives getopt_long() its options and --help its text. */
#ifndef LISTEN_OPTIONS_H
#define LISTEN_OPTIONS_H

#include "log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct options {
    const char *conninfo;   /* NULL: the environment's */
    const char *name_space; /* NULL: the library's default */
    const char **queues;
    size_t queue_count;
    const char *topic;      /* in the place of queues; NULL: none */
    const char *subscriber; /* NULL: an ephemeral one */
    const char *from;       /* as in pgq_subscribe_options */
    int64_t hold_ms;        /* likewise */
    int64_t retries;        /* of a message of a topic; -1: for ever */
    int jobs;
    int64_t timeout_ms; /* 0: none */
    int64_t kill_after_ms;
    int64_t lease_ms; /* 0: no lease, but a scope */
    bool stream, drain, quiet, notify;
    int64_t count; /* 0: no limit */
    int poll_ms;   /* as in pgq_worker_options */
    log_format format;
    char **command; /* ended by NULL; NULL: none */
} options;

typedef enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG } options_result;

/* RUN: o is set. DONE: --help or --version was answered. WRONG: stderr says what is. */
options_result options_read(options *o, int argc, char **argv);

void options_free(options *o);

#endif
