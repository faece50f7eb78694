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

enum { BATCH = 100, PAGE = 1000, SAMPLES = 100 };

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

struct sample {
    int64_t at_us;
    int64_t bytes;
    long published;
};

static void watch(pgq *q, int64_t run_us, struct sample samples[SAMPLES])
{
    int64_t began = now_us();

    for (int n = 0; n < SAMPLES; n++) {
        pause_us(began + run_us * (n + 1) / SAMPLES - now_us());
        samples[n].at_us = now_us();
        samples[n].bytes = log_bytes(q);
        samples[n].published = atomic_load(&state->published);
    }
}

/* A segment serves a quarter of the retention, and is emptied a retention later, by whoever tends the log
 * then: what is older than that is gone, at whatever rate it came. */
static void check_flat(const struct sample samples[SAMPLES], int64_t retain_us)
{
    double each = (double)samples[SAMPLES / 20].bytes / (double)samples[SAMPLES / 20].published;
    int64_t kept_us = retain_us + retain_us / 2 + 1000000;
    int64_t most = 0;

    for (int i = 1, first = 0; i < SAMPLES; i++) {
        double limit;

        while (samples[first + 1].at_us < samples[i].at_us - kept_us)
            first++;
        limit =
            each * 1.25 * (double)(samples[i].published - (first > 0 ? samples[first].published : 0)) + 1e6;
        check((double)samples[i].bytes <= limit, "the log takes %lld bytes, %.0f for what is kept",
              (long long)samples[i].bytes, limit);
        most = samples[i].bytes > most ? samples[i].bytes : most;
    }
    printf("%ld messages published, %.0f bytes each; the log took %lld kB at most, %lld kB in the middle, "
           "%lld kB at the "
           "end\n",
           samples[SAMPLES - 1].published, each, (long long)most / 1024,
           (long long)samples[SAMPLES / 2].bytes / 1024, (long long)samples[SAMPLES - 1].bytes / 1024);
}

int main(void)
{
    int64_t run_us = setting("PGQ_SPACE_SECONDS", 12) * 1000000;
    pgq_retention retention = PGQ_RETENTION_INIT;
    static struct sample samples[SAMPLES];
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
    watch(q, run_us, samples);
    atomic_store(&state->stop, 1);
    check(ended_well(publisher) && ended_well(reader), "a child did not end well");
    check(atomic_load(&state->read) == atomic_load(&state->published), "%ld of %ld messages were read",
          atomic_load(&state->read), atomic_load(&state->published));
    check_flat(samples, retention.retain_ms * 1000);
    dead = query(q, "SELECT sum(pg_stat_get_dead_tuples(inhrelid))::bigint FROM pg_inherits "
                    "WHERE inhparent = 'NS.topic_message'::regclass");
    check(dead == 0, "%lld dead rows are left", (long long)dead);
    query(holder, "COMMIT");
    pgq_close(holder);
    pgq_close(q);
    return finish();
}
