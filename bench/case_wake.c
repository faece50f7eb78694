/* SPDX-License-Identifier: MIT */
/* How soon an idle worker begins with a message: from the commit of the send to the start of the handler. */
#include "cases.h"
#include "pair.h"

#include <stdio.h>
#include <stdlib.h>

/* Long enough for the worker to go to sleep again; not always the same, lest it beat with anything. */
#define REST_MS  55
#define REST_VAR 20

#define TARGET_MS 5.0

static _Atomic int64_t handled_ns;
static _Atomic bool started;

static int handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q;
    (void)conn;
    (void)m;
    (void)arg;
    handled_ns = now_ns();
    return 0;
}

static void on_event(const pgq_event_info *info, void *arg)
{
    (void)arg;
    if (info->event == PGQ_EVENT_STARTED)
        started = true;
    else if (info->event != PGQ_EVENT_DONE && info->event != PGQ_EVENT_STOPPING)
        die("the worker: %s", info->text);
}

static void *worker_main(void *arg)
{
    if (pgq_worker_run(arg) != PGQ_OK)
        die("pgq_worker_run: %s", pgq_worker_last_error(arg)->message);
    return NULL;
}

static void send_some(bench *b, hist *from_call, hist *from_commit)
{
    int64_t until = now_ns() + (int64_t)(b->o.seconds * 1e9);
    for (unsigned i = 0; now_ns() < until || from_commit->count == 0; i++) {
        sleep_ms(REST_MS + i * 7 % REST_VAR);
        handled_ns = 0;
        int64_t called = now_ns();
        must(b->q, pgq_enqueue(b->q, QUEUE, b->payload, (size_t)b->o.payload, NULL, NULL), "pgq_enqueue");
        int64_t committed = now_ns();
        while (handled_ns == 0)
            sleep_ms(1);
        if (i == 0)
            continue; /* plans are made */
        hist_add(from_call, handled_ns - called);
        /* The handler may be faster than the answer to the send. */
        hist_add(from_commit, handled_ns - committed);
    }
}

static void report_latency(const bench *b, const char *name, const hist *h, const char *words)
{
    static const double ps[] = {0.5, 0.95, 0.99};
    for (int i = 0; i < 3; i++) {
        char key[64];
        double ms = hist_percentile(h, ps[i]) / 1e6;
        snprintf(key, sizeof key, "%s_p%.0f_ms", name, ps[i] * 100);
        report_number(b, key, ms, "%s p%.0f %.3f ms", words, ps[i] * 100, ms);
    }
}

void run_wake(bench *b)
{
    pgq_worker_options o = PGQ_WORKER_OPTIONS_INIT;
    pgq_worker *worker = NULL;
    pthread_t thread;
    hist *from_call = allocate(1, sizeof *from_call);
    hist *from_commit = allocate(1, sizeof *from_commit);
    char *conninfo = bench_conninfo(b, "worker", NULL, NULL);
    o.name_space = NS;
    o.threads = b->o.clients;
    o.poll_interval_ms = -1;
    o.on_event = on_event;
    if (pgq_worker_new(conninfo, &o, &worker) != PGQ_OK ||
        pgq_worker_add(worker, QUEUE, handle, NULL) != PGQ_OK)
        die("pgq_worker_new: %s", pgq_worker_last_error(worker)->message);
    if (pthread_create(&thread, NULL, worker_main, worker) != 0)
        die("a thread could not be started");
    while (!started)
        sleep_ms(1);
    send_some(b, from_call, from_commit);
    pgq_worker_stop(worker);
    pthread_join(thread, NULL);
    pgq_worker_free(worker);
    report_begin(b);
    report_number(b, "messages", (double)from_commit->count, "%lld messages to an idle worker",
                  (long long)from_commit->count);
    report_latency(b, "commit", from_commit, "from the commit");
    report_latency(b, "call", from_call, "from the call of pgq_enqueue()");
    report_ratio(b, hist_percentile(from_commit, 0.99) / 1e6 / TARGET_MS);
    free(from_call);
    free(from_commit);
    free(conninfo);
}
