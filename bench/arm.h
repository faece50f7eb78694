/* SPDX-License-Identifier: MIT */
/* One of the sides that are measured in turns: so many clients, each a thread with a connection of its
 * own. They are started once, and let go for a slice at a time. */
#ifndef BENCH_ARM_H
#define BENCH_ARM_H

#include "bench.h"
#include "hist.h"

#include <pthread.h>

typedef struct arm arm;
typedef struct client client;

typedef struct arm_ops {
    const char *label;
    bool consumes;    /* it has to be filled before a slice */
    bool drains;      /* a slice takes all that it was filled with, however long that takes */
    bool by_hand;     /* on the floor's table; else by pgq */
    int64_t delay_ms; /* of the messages it is filled with */
    /* Once for the whole arm, and at its end; may be NULL. */
    void (*setup)(arm *a);
    void (*teardown)(arm *a);
    /* Of each client, on its thread. */
    void (*open)(client *c);
    size_t (*op)(client *c); /* how many messages it did; 0: nothing was there */
    void (*close)(client *c);
    /* Within a slice's time, when the clients have stopped; may be NULL. */
    void (*finish)(arm *a);
    /* Between slices a worker waits in its handler, and its queue is not paused. For held: there no version
     * of the queue's row would be removed, and each pause and resume makes one. Elsewhere a handler that
     * waits would keep the other side's rows from being removed. */
    bool waits_in_handler;
    bool own_latency; /* op adds to client->latency itself */
    /* In place of open, op and close, for what has threads of its own: client_done() tells what it does. */
    void (*resume)(arm *a);
    void (*pause)(arm *a);
} arm_ops;

struct client {
    arm *a;
    pthread_t thread;
    pgq *q;       /* pgq's; NULL by hand */
    PGconn *conn; /* by hand; else that of q */
    void *own;
    hist latency; /* of the calls of all slices */
    int64_t messages;
    _Atomic int64_t calls;
    int64_t last_ns; /* when the last call ended */
    bool dry;
};

typedef struct slice {
    int64_t messages, calls;
    double seconds;
    bool dry;
} slice;

/* When a count of calls is reached, for what is measured between two of them. */
typedef struct probe {
    int64_t from, to; /* numbers of calls; to 0: off */
    void (*reached)(void *arg, bool end);
    void *arg;
    int64_t messages; /* done between them */
} probe;

struct arm {
    bench *b;
    const arm_ops *ops;
    char role[32]; /* what its connections are called */
    char *conninfo;
    const char *name_space, *queue;
    pgq *filler; /* of its namespace */
    int clients, batch;
    client *client;
    void *own;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned turn; /* counts the slices */
    int running;   /* clients that are in one */
    bool quit;
    int64_t until_ns;
    int64_t most_calls; /* of a client in a slice; 0: no limit */
    probe probe;
    hist latency; /* of the slices that were kept */
    int64_t ready, level;
    int64_t base;         /* messages that stay behind the level: a backlog */
    _Atomic int64_t left; /* of what was ready when the slice began */
    int64_t sum_messages;
    double sum_seconds;
};

/* conninfo NULL: to the server itself. Returns when all clients are connected. */
arm *arm_open(bench *b, const arm_ops *ops, const char *role, int clients, const char *conninfo);
void arm_close(arm *a);

/* The same with another queue or batch than the run's; name_space and filler as well. */
typedef struct arm_where {
    const char *name_space, *queue;
    pgq *filler;
    int batch;
} arm_where;
arm *arm_open_at(bench *b, const arm_ops *ops, const char *role, int clients, const char *conninfo,
                 const arm_where *where);

/* Fills it up to its level, if it consumes. */
void arm_fill(arm *a);
void arm_fill_to(arm *a, int64_t level);

/* Lets it go for so long. A slice that ran dry is no measurement: fill it higher, and repeat. */
slice arm_slice(arm *a, double seconds);
slice arm_calls(arm *a, int64_t calls);

/* Keeps a slice for the sums, or forgets the last one's latencies. */
void arm_keep(arm *a, const slice *s);
void arm_forget(arm *a);

/* Of an arm with threads of its own: a call has ended, and when it began. */
void client_done(client *c, size_t messages, int64_t began_ns, int64_t ended_ns);

#endif
