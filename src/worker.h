/* SPDX-License-Identifier: MIT */
/* A worker's insides: the coordinator (coordinator.c) listens, the threads (worker_thread.c) take and handle.
 *
 * The coordinator asks for a look by a new generation; a thread that has looked at every queue in
 * that generation and found nothing says so, and parks. A thread that finds something wakes one more. */
#ifndef PGQI_WORKER_H
#define PGQI_WORKER_H

#include "handle.h"
#include "keeper.h"

#include <pgq/worker.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct pgqi_worker_queue {
    char *name;
    pgq_handler handler;
    void *arg;
} pgqi_worker_queue;

typedef struct pgqi_worker_thread {
    pgq_worker *worker;
    pthread_t thread;
    int index;
    int started;
    /* What it is at, under the worker's lock; since_us 0: nothing. */
    int64_t since_us;
    int64_t id;
    int32_t attempt;
    const char *queue;
    int warned;
} pgqi_worker_thread;

struct pgq_worker {
    char *conninfo;
    char name_space[PGQI_NAMESPACE_MAX + 1];
    pgq_worker_options options; /* name_space in it is not used */
    pgqi_worker_queue *queues;
    size_t n;
    pgqi_cursors *cursors;
    pgq_codec codec;
    pgqi_keeper *keeper; /* extends the leases; NULL: handlers run in scopes */
    pgqi_worker_thread *threads;
    int wake_fds[2]; /* a pipe: a byte for the coordinator */
    atomic_int stop;
    atomic_int running;
    int shut; /* the coordinator's: pgq_shutdown() has stopped it */
    pgq_error error;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t cond;  /* tickets, or stop */
    int ended;            /* the coordinator has seen stop, or decided it */
    int parked;
    int tickets; /* parked threads that may go on */
    int64_t generation;
    int64_t empty; /* the last generation in which nothing was left */
    int took;      /* something was taken in this generation */
    int thorough;  /* look from the very start in this generation */
    int64_t reserved;
    int64_t handled;

    pthread_mutex_t event_lock;
    int down; /* connections that are lost */
};

void *pgqi_worker_thread_main(void *arg);

/* Tells the log function. */
void pgqi_worker_event(pgq_worker *w, const pgq_event_info *info);

/* One connection more is lost, or back: said when it is the first, or the last. */
void pgqi_worker_down(pgq_worker *w, int thread, const char *text);
/* thread -2: nothing is back, the worker ends. */
void pgqi_worker_up(pgq_worker *w, int thread);

/* Wakes the coordinator; from anywhere. */
void pgqi_worker_nudge(pgq_worker *w);

/* Waits; 0 if the worker ended meanwhile. */
int pgqi_worker_pause(pgq_worker *w, int64_t us);

#endif
