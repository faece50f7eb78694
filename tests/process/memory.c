/* SPDX-License-Identifier: MIT */
/* A worker's resident memory stays within 1 MB while it handles 200,000 messages.
 *
 * PGQ_MEMORY_MESSAGES. */
#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

enum { WARM = 20000, THREADS = 4, BATCH = 1000, MOST_KB = 1024 };

#define QUEUE "memory"

static atomic_long handled;
static long warm_kb;

static long resident_kb(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kb;
}

static int nothing(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)conn;
    (void)m;
    (void)arg;
    if (atomic_fetch_add(&handled, 1) + 1 == WARM)
        warm_kb = resident_kb();
    return 0;
}

static void send(long messages)
{
    static const char payload[] = "a payload of an ordinary size, which the worker reads and forgets";
    pgq_outgoing out[BATCH];
    pgq *q = open_handle();

    for (int i = 0; i < BATCH; i++) {
        out[i].payload = payload;
        out[i].len = sizeof payload - 1 - (size_t)i % 32;
        out[i].options = NULL;
    }
    for (long n = 0; n < messages; n += BATCH)
        must(q, pgq_enqueue_many(q, QUEUE, out, BATCH, 0, NULL, NULL), "enqueue_many");
    pgq_close(q);
}

/* The worker is a process of its own: what it takes to send is not its memory. */
static void handle_all(void *arg)
{
    long messages = *(long *)arg;
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;
    pgq_worker *w;
    int64_t began = now_us();
    long end_kb;

    o.name_space = name_space();
    o.threads = THREADS;
    o.drain = 1;
    if (pgq_worker_new(dsn(), &o, &w) != PGQ_OK || pgq_worker_add(w, QUEUE, nothing, NULL) != PGQ_OK ||
        pgq_worker_run(w) != PGQ_OK)
        give_up("worker: %s", pgq_worker_last_error(w)->message);
    end_kb = resident_kb();
    check(atomic_load(&handled) == messages, "%ld of %ld messages were handled", atomic_load(&handled),
          messages);
    printf("resident: %ld kB after %d messages, %ld kB after %ld, in %.1f s\n", warm_kb, WARM, end_kb,
           atomic_load(&handled), (double)(now_us() - began) / 1e6);
    check(warm_kb > 0 && end_kb <= warm_kb + MOST_KB, "the worker has grown by %ld kB", end_kb - warm_kb);
    pgq_worker_free(w);
}

int main(void)
{
    long messages = setting("PGQ_MEMORY_MESSAGES", 200000);

#ifdef SANITIZED
    fprintf(stderr, "a sanitizer keeps memory of its own\n");
    return 77;
#endif
    begin("memory");
    messages = (messages < 2 * WARM ? 2 * WARM : messages + BATCH - 1) / BATCH * BATCH;
    make_queue(QUEUE, 0);
    send(messages);
    /* What is measured is memory, not the disk. */
    setenv("PGOPTIONS", "-c synchronous_commit=off", 1);
    check(ended_well(start(handle_all, &messages)), "the worker did not end well");
    return finish();
}
