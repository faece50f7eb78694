/* SPDX-License-Identifier: MIT */
/* A socket between clients and the server that counts round trips: the times a client speaks after the
 * server has. It sees what any client does, a worker's threads too. */
#ifndef BENCH_RELAY_H
#define BENCH_RELAY_H

#include "bench.h"

typedef struct relay relay;

relay *relay_open(const bench *b);
const char *relay_dir(const relay *r); /* for bench_conninfo() */
int64_t relay_trips(const relay *r);
void relay_close(relay *r);

/* Takes the socket's directory away if the program ends early. */
void relay_remove(void);

#endif
