/* SPDX-License-Identifier: MIT */
/* What many subscribers cost those who publish: two topics, one with --sleepers subscribers and one with a
 * single one, who all read what comes. They take the processors from the publishers; so what is compared is
 * the processor time of the publishers' own server processes, for a message. */
#include "cases.h"
#include "pair.h"
#include "topic.h"

#include <stdlib.h>
#include <unistd.h>

enum { PAGE = 1000, LOOK_MS = 50 };

typedef struct subscriber {
    bench *b;
    const char *topic;
    bool awake;
    pthread_t thread;
    _Atomic bool ready;
    int64_t read;
} subscriber;

static const char *const topic_names[2] = {"bench many", "bench lone"};
static int stop_pipe[2]; /* readable at the end */
static _Atomic bool over;

/* CANCELED at the end. */
static pgq_status read_page(subscriber *s, pgq_subscriber *at, const pgq_listen_options *o,
                            pgq_messages **list)
{
    pgq_status status = PGQ_EMPTY;
    if (!s->awake)
        return pgq_topic_wait(at, PAGE, -1, o, list);
    while (!over && (status = pgq_topic_next(at, PAGE, list)) == PGQ_EMPTY)
        sleep_ms(LOOK_MS);
    return over && status == PGQ_EMPTY ? PGQ_CANCELED : status;
}

static void *subscriber_main(void *arg)
{
    subscriber *s = arg;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_listen_options listen = PGQ_LISTEN_OPTIONS_INIT;
    char *conninfo = bench_conninfo(s->b, "subscriber", NULL, NULL);
    pgq *q = NULL;
    pgq_subscriber *at;
    pgq_messages *list;
    o.name_space = NS;
    pgq_status status = pgq_open(conninfo, &o, &q);
    must(q, status, "pgq_open");
    must(q, pgq_topic_subscribe(q, s->topic, NULL, &at), "pgq_topic_subscribe");
    listen.cancel_fd = stop_pipe[0];
    s->ready = true;
    while ((status = read_page(s, at, &listen, &list)) == PGQ_OK) {
        s->read += (int64_t)pgq_messages_count(list);
        pgq_messages_free(list);
    }
    if (status != PGQ_CANCELED)
        must(q, status, s->awake ? "pgq_topic_next" : "pgq_topic_wait");
    pgq_subscriber_free(at);
    pgq_close(q);
    free(conninfo);
    return NULL;
}

static subscriber *start_all(bench *b, int n)
{
    subscriber *list = allocate((size_t)n, sizeof *list);
    if (pipe(stop_pipe) != 0)
        die("a pipe could not be opened");
    for (int i = 0; i < n; i++) {
        list[i].b = b;
        list[i].topic = topic_names[i == n - 1];
        list[i].awake = i == n - 1 ? b->o.sleepers == 0 : i >= b->o.sleepers;
        if (pthread_create(&list[i].thread, NULL, subscriber_main, &list[i]) != 0)
            die("a thread could not be started");
    }
    for (int i = 0; i < n; i++) {
        while (!list[i].ready)
            sleep_ms(1);
    }
    return list;
}

static void stop_all(subscriber *list, int n)
{
    over = true;
    if (write(stop_pipe[1], "", 1) != 1)
        die("the subscribers could not be stopped");
    for (int i = 0; i < n; i++)
        pthread_join(list[i].thread, NULL);
    free(list);
}

void run_subscribers(bench *b)
{
    int n = b->o.sleepers + b->o.awake + 1;
    subscriber *list = start_all(b, n);
    arm_ops many = pgq_topic_paced;
    arm_ops one = pgq_topic_paced;
    arm_where to_many = {NS, topic_names[0], b->q, b->o.batch};
    arm_where to_one = {NS, topic_names[1], b->q, b->o.batch};
    many.label = "many";
    one.label = "one";
    arm *arms[2] = {arm_open_at(b, &many, "many", b->o.clients, NULL, &to_many),
                    arm_open_at(b, &one, "one", b->o.clients, NULL, &to_one)};
    pairs p = pairs_run(b, arms[0], arms[1], NULL, NULL);
    side sides[2] = {side_of(arms[0], p.cpu[0]), side_of(arms[1], p.cpu[1])};
    measure_wal(arms[0], &sides[0]);
    measure_wal(arms[1], &sides[1]);
    report_begin(b);
    report_number(b, "subscribers", n - 1, "%d subscribers asleep and %d awake, and one", b->o.sleepers,
                  b->o.awake);
    report_side(b, &sides[0]);
    report_side(b, &sides[1]);
    if (sides[0].cpu_us <= 0 || sides[1].cpu_us <= 0)
        die("the server's processor time is not to be seen: it has to run here");
    report_ratio(b, sides[1].cpu_us / sides[0].cpu_us);
    arm_close(arms[0]);
    arm_close(arms[1]);
    pairs_free(&p);
    stop_all(list, n);
}
