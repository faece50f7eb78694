/* SPDX-License-Identifier: MIT */
/* One child a message. */
#ifndef LISTEN_COMMAND_H
#define LISTEN_COMMAND_H

#include <pgq/pgq.h>
#include <stdbool.h>

/* What to run, and for how long. Shared by all threads. */
typedef struct command {
    const char *path;
    char *const *argv;
    int64_t timeout_ms; /* a message's time; 0: no limit */
    int64_t kill_after_ms;
    bool leased;   /* messages are held by a lease, not by a transaction */
    bool of_topic; /* they are a topic's */
} command;

/* A pgq_handler; arg is a command. */
int command_handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg);

#endif
