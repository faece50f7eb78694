/* SPDX-License-Identifier: MIT */
/* Two processes share a queue by pgq_pop, while a third sends: no message twice, none missing.
 *
 * PGQ_POPS_MESSAGES. */
#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { POPPERS = 2, BATCH = 100, MOST = 10 };

#define QUEUE "pops"

struct tally {
    atomic_long taken[POPPERS];
    atomic_int times[]; /* each message was taken */
};

static struct tally *tally;
static long messages;

static void send(void *arg)
{
    pgq *q = open_handle();

    (void)arg;
    for (long n = 0; n < messages;) {
        pgq_outgoing out[BATCH];
        char texts[BATCH][24];
        size_t count = 0;

        for (; count < BATCH && n < messages; count++, n++) {
            out[count].payload = texts[count];
            out[count].len = (size_t)snprintf(texts[count], sizeof texts[0], "%ld", n);
            out[count].options = NULL;
        }
        must(q, pgq_enqueue_many(q, QUEUE, out, count, 0, NULL, NULL), "enqueue_many");
    }
    pgq_close(q);
}

static long taken(void)
{
    return atomic_load(&tally->taken[0]) + atomic_load(&tally->taken[1]);
}

static void pop(void *arg)
{
    int popper = *(int *)arg;
    pgq *q = open_handle();
    pgq_messages *list;
    int64_t deadline = now_us() + 60000000;

    while (taken() < messages && now_us() < deadline) {
        pgq_status status = pgq_pop(q, QUEUE, (int)between(1, MOST), &list);

        if (status == PGQ_EMPTY) {
            pause_us(500);
            continue;
        }
        must(q, status, "pop");
        deadline = now_us() + 60000000;
        for (size_t i = 0; i < pgq_messages_count(list); i++)
            atomic_fetch_add(&tally->times[strtol(pgq_messages_get(list, i)->payload, NULL, 10)], 1);
        atomic_fetch_add(&tally->taken[popper], (long)pgq_messages_count(list));
        pgq_messages_free(list);
    }
    pgq_close(q);
}

int main(void)
{
    int numbers[POPPERS] = {0, 1};
    int64_t began = now_us();
    long twice = 0;
    long missing = 0;
    pid_t poppers[POPPERS];
    pid_t sender;

    begin("pops");
    messages = setting("PGQ_POPS_MESSAGES", 20000);
    tally = shared(sizeof *tally + (size_t)messages * sizeof tally->times[0]);
    make_queue(QUEUE, 0);
    sender = start(send, NULL);
    for (int i = 0; i < POPPERS; i++)
        poppers[i] = start(pop, &numbers[i]);
    check(ended_well(sender), "the sender did not end well");
    for (int i = 0; i < POPPERS; i++)
        check(ended_well(poppers[i]), "popper %d did not end well", i);
    for (long n = 0; n < messages; n++) {
        twice += atomic_load(&tally->times[n]) > 1;
        missing += atomic_load(&tally->times[n]) == 0;
    }
    check(twice == 0, "%ld messages were taken twice", twice);
    check(missing == 0, "%ld messages are missing", missing);
    for (int i = 0; i < POPPERS; i++)
        check(atomic_load(&tally->taken[i]) > 0, "popper %d got nothing", i);
    check(query_once("SELECT count(*) FROM NS.message") == 0, "messages are left");
    printf("%ld messages: %ld and %ld in %.1f s, %ld twice, %ld missing\n", messages,
           atomic_load(&tally->taken[0]), atomic_load(&tally->taken[1]), (double)(now_us() - began) / 1e6,
           twice, missing);
    return finish();
}
