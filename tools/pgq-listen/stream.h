/* SPDX-License-Identifier: MIT */
/* A child that is kept, one a thread: a line in for each message, a line out that settles it. */
#ifndef LISTEN_STREAM_H
#define LISTEN_STREAM_H

#include <pgq/pgq.h>
#include <stdbool.h>

/* Once, before stream_handle() is first called. */
bool stream_setup(void);

/* A pgq_handler; arg is a command. The thread's child is ended when the thread is. */
int stream_handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg);

/* Ends the child of the calling thread, which does not end itself. */
void stream_end(void);

#endif
