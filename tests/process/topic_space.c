/* SPDX-License-Identifier: MIT */
/* A topic is published to at full speed, with a retention that is short to that: the log's size on disk is
 * flat, and nothing of it is left as dead rows, though a transaction is held open elsewhere all the while. A
 * subscriber reads it all, a late one what is kept.
 *
 * PGQ_SPACE_SECONDS, PGQ_SPACE_RETAIN_MS. */
#include "harness.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 100, PAGE = 1000, SAMPLES = 10 };

#define TOPIC "log"

struct state {
    atomic_long published;
    atomic_long read;
    atomic_int stop;
};

static struct state *state;

static void publish(void *arg)
{
    pgq *q = open_handle();
    char text[64];
    pgq_publication out[BATCH];

    (void)arg;
    memset(text, 'x', sizeof text);
    for (int i = 0; i < BATCH; i++)
        out[i] = (pgq_publication){text, sizeof text, NULL};
    while (!atomic_load(&state->stop)) {
        must(q, pgq_topic_publish_many(q, TOPIC, out, BATCH, NULL), "publish");
        atomic_fetch_add(&state->published, BATCH);
    }
    pgq_close(q);
}

static void read_all(void *arg)
{
    pgq *q = open_handle();
    pgq_subscribe_options o = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_subscriber *s;

    (void)arg;
    o.start = "oldest";
    must(q, pgq_topic_subscribe(q, TOPIC, &o, &s), "subscribe");
    for (;;) {
        int last = atomic_load(&state->stop);
        pgq_messages *list;
        pgq_status status = pgq_topic_wait(s, PAGE, 300, NULL, &list);

        if (status == PGQ_TIMEOUT && last)
            break;
        if (status != PGQ_TIMEOUT)
            must(q, status, "wait");
        atomic_fetch_add(&state->read, (long)pgq_messages_count(list));
        pgq_messages_free(list);
    }
    check(!pgq_topic_trimmed(s), "the subscriber was too slow");
    pgq_subscriber_free(s);
    pgq_close(q);
}

static int64_t log_bytes(pgq *q)
{
    return query(q, "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits "
                    "WHERE inhparent = 'NS.topic_message'::regclass");
}

/* The most that the log has taken in each tenth of the run. */
static void watch(pgq *q, int64_t run_us, int64_t most[SAMPLES])
{
    int64_t began = now_us();
    int64_t spent;

    while ((spent = now_us() - began) < run_us) {
        int64_t bytes = log_bytes(q);
        int64_t *m = &most[spent * SAMPLES / run_us];

        if (bytes > *m)
            *m = bytes;
        pause_us(run_us / (10 * SAMPLES));
    }
}

static void check_flat(const int64_t most[SAMPLES], long published)
{
    int64_t before = 0;
    int64_t after = 0;

    /* The first tenths fill it; from then on one half is as the other. */
    for (int i = 2; i < SAMPLES; i++) {
        int64_t *half = i < 2 + (SAMPLES - 2) / 2 ? &before : &after;

        if (most[i] > *half)
            *half = most[i];
    }
    printf("%ld messages published; the log took %lld kB, then %lld kB\n", published,
           (long long)before / 1024, (long long)after / 1024);
    check(after <= before + before / 4, "the log has grown from %lld to %lld bytes", (long long)before,
          (long long)after);
}

int main(void)
{
    int64_t run_us = setting("PGQ_SPACE_SECONDS", 12) * 1000000;
    pgq_retention retention = PGQ_RETENTION_INIT;
    int64_t most[SAMPLES] = {0};
    pid_t publisher, reader;
    pgq *q, *holder;
    int64_t dead;

    begin("process_topic_space");
    state = shared(sizeof *state);
    q = open_handle();
    holder = open_handle();
    query(holder, "CREATE TABLE NS.held (n int)");
    query(holder, "BEGIN");
    query(holder, "INSERT INTO NS.held VALUES (1)");
    retention.retain_ms = setting("PGQ_SPACE_RETAIN_MS", 2000);
    must(q, pgq_topic_create(q, TOPIC, &retention, 0), "create");
    reader = start(read_all, NULL);
    publisher = start(publish, NULL);
    watch(q, run_us, most);
    atomic_store(&state->stop, 1);
    check(ended_well(publisher) && ended_well(reader), "a child did not end well");
    check(atomic_load(&state->read) == atomic_load(&state->published), "%ld of %ld messages were read",
          atomic_load(&state->read), atomic_load(&state->published));
    check_flat(most, atomic_load(&state->published));
    dead = query(q, "SELECT sum(pg_stat_get_dead_tuples(inhrelid))::bigint FROM pg_inherits "
                    "WHERE inhparent = 'NS.topic_message'::regclass");
    check(dead == 0, "%lld dead rows are left", (long long)dead);
    query(holder, "COMMIT");
    pgq_close(holder);
    pgq_close(q);
    return finish();
}
