/* SPDX-License-Identifier: MIT */
/* What measures a peer: the same loops, the same clock and the same counting for each client written in C. A
 * peer says how it sends and takes; the driver does the rest, and prints one line of JSON. */
#ifndef PEERS_DRIVER_H
#define PEERS_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#define PAYLOAD     "{\"p\":\"a0123456789012345678901234567890123456789012345678901234\"}"
#define PAYLOAD_LEN (sizeof PAYLOAD - 1) /* 64 bytes, and valid JSON for those who take nothing else */
#define QUEUE       "bench"
#define BATCH       100
#define FILL_BATCH  1000

/** How a message is taken. */
enum mode {
    MODE_SETTLE, /* and settled: in pgq in a scope, elsewhere as the peer does it */
    MODE_LEASE,  /* and settled: in pgq by a lease, elsewhere as above */
    MODE_POP     /* and deleted at once */
};

/** A peer. Whatever goes wrong in it ends the program by fail(). */
struct peer {
    /* Why the peer has no such case; NULL: it has. */
    const char *(*lacks)(const char *name);
    /* Makes the queue in an empty database; once, before all other cases. */
    void (*prepare)(const char *where);
    void *(*open)(const char *where);
    void (*close)(void *client);
    /* Sends n messages: durably stored when it returns, in one transaction if the peer has them. */
    void (*send)(void *client, int n);
    /* Takes and finishes up to n messages. Returns how many are durably finished, 0 if none was there. */
    int (*take)(void *client, int n, enum mode mode);
    /* Instead of take() in loops, for peers with threads of their own: start some that count by finished(),
     * until the function that stops them is called. NULL: loops of take(). */
    int (*start_workers)(const char *where, int workers, int n, enum mode mode);
    void (*stop_workers)(void);
    /* Starts one consumer that waits to be woken, and calls handled() as the handler starts. */
    void (*start_listener)(const char *where);
    void (*stop_listener)(void);
    int has_sql; /* where is a conninfo string, and a transaction can be held open there */
};

/** Runs the case that the arguments name. Returns the program's status. */
int drive(const struct peer *peer, int argc, char **argv);

/** Tells the driver that n messages are durably finished; from any thread. */
void finished(int n);

/** Tells the driver that the handler of a message has started; from any thread. */
void handled(void);

int64_t now_ns(void);
void sleep_ms(int ms);
void *must_alloc(size_t size);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
