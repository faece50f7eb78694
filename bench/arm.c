/* SPDX-License-Identifier: MIT */
#include "arm.h"

#include "floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL_FIRST   2000 /* messages for a client's first slice */
#define DRAIN_SECONDS 120  /* far beyond what it takes */

/* --- a client --- */

void client_done(client *c, size_t messages, int64_t began_ns, int64_t ended_ns)
{
    arm *a = c->a;
    if (a->probe.to > 0 && c->calls >= a->probe.from && c->calls < a->probe.to)
        a->probe.messages += (int64_t)messages;
    if (!a->ops->own_latency)
        hist_add(&c->latency, ended_ns - began_ns);
    c->messages += (int64_t)messages;
    c->calls++;
    c->last_ns = ended_ns;
    if (a->probe.to > 0 && (c->calls == a->probe.from || c->calls == a->probe.to))
        a->probe.reached(a->probe.arg, c->calls == a->probe.to);
}

static void run_slice(client *c)
{
    arm *a = c->a;
    int64_t began = now_ns();
    while (began < a->until_ns && (a->most_calls == 0 || c->calls < a->most_calls)) {
        size_t n = a->ops->op(c);
        int64_t ended = now_ns();
        if (n == 0 && a->ops->drains && a->left > 0)
            continue;
        if (n == 0) {
            c->dry = !a->ops->drains;
            return;
        }
        a->left -= (int64_t)n;
        client_done(c, n, began, ended);
        began = ended;
    }
}

static void *client_main(void *arg)
{
    client *c = arg;
    arm *a = c->a;
    unsigned seen = 0;
    a->ops->open(c);
    pthread_mutex_lock(&a->lock);
    for (;;) {
        a->running--;
        pthread_cond_broadcast(&a->changed);
        while (a->turn == seen && !a->quit)
            pthread_cond_wait(&a->changed, &a->lock);
        if (a->quit)
            break;
        seen = a->turn;
        pthread_mutex_unlock(&a->lock);
        run_slice(c);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    a->ops->close(c);
    return NULL;
}

/* --- an arm --- */

static void wait_for_clients(arm *a)
{
    while (a->running > 0)
        pthread_cond_wait(&a->changed, &a->lock);
}

static void start_clients(arm *a)
{
    a->running = a->clients;
    for (int i = 0; i < a->clients; i++) {
        if (pthread_create(&a->client[i].thread, NULL, client_main, &a->client[i]) != 0)
            die("a thread could not be started");
    }
    pthread_mutex_lock(&a->lock);
    wait_for_clients(a);
    pthread_mutex_unlock(&a->lock);
}

arm *arm_open_at(bench *b, const arm_ops *ops, const char *role, int clients, const char *conninfo,
                 const arm_where *where)
{
    arm *a = allocate(1, sizeof *a);
    a->b = b;
    a->ops = ops;
    snprintf(a->role, sizeof a->role, "%s", role);
    a->conninfo = conninfo ? strdup(conninfo) : bench_conninfo(b, role, NULL, NULL);
    if (!a->conninfo)
        die("out of memory");
    a->name_space = where->name_space;
    a->queue = where->queue;
    a->filler = where->filler;
    a->batch = where->batch;
    a->clients = clients;
    a->client = allocate((size_t)clients, sizeof *a->client);
    a->level = LEVEL_FIRST * clients;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    for (int i = 0; i < clients; i++)
        a->client[i].a = a;
    if (ops->setup)
        ops->setup(a);
    if (ops->op)
        start_clients(a);
    return a;
}

arm *arm_open(bench *b, const arm_ops *ops, const char *role, int clients, const char *conninfo)
{
    arm_where where = {NS, QUEUE, b->q, b->o.batch};
    return arm_open_at(b, ops, role, clients, conninfo, &where);
}

void arm_close(arm *a)
{
    if (a->ops->op) {
        pthread_mutex_lock(&a->lock);
        a->quit = true;
        pthread_cond_broadcast(&a->changed);
        pthread_mutex_unlock(&a->lock);
        for (int i = 0; i < a->clients; i++)
            pthread_join(a->client[i].thread, NULL);
    }
    if (a->ops->teardown)
        a->ops->teardown(a);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    free(a->client);
    free(a->conninfo);
    free(a);
}

/* --- messages for it --- */

static void fill_pgq(arm *a, int64_t n)
{
    const bench *b = a->b;
    pgq_outgoing *out = allocate((size_t)n, sizeof *out);
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    o.delay_ms = a->ops->delay_ms;
    for (int64_t i = 0; i < n; i++) {
        out[i].payload = b->payload;
        out[i].len = (size_t)b->o.payload;
        out[i].options = o.delay_ms > 0 ? &o : NULL;
    }
    must(a->filler, pgq_enqueue_many(a->filler, a->queue, out, (size_t)n, 0, NULL, NULL), "pgq_enqueue_many");
    free(out);
}

void arm_fill_to(arm *a, int64_t level)
{
    while (a->ready < level) {
        int64_t n = level - a->ready < FILL ? level - a->ready : FILL;
        if (a->ops->by_hand)
            floor_fill(a->b, n, a->ops->delay_ms);
        else
            fill_pgq(a, n);
        a->ready += n;
    }
    if (a->ops->delay_ms > 0)
        sleep_ms(2 * a->ops->delay_ms);
}

void arm_fill(arm *a)
{
    if (a->ops->consumes)
        arm_fill_to(a, a->base + a->level);
}

/* --- a slice --- */

static void let_go(arm *a, double seconds)
{
    pthread_mutex_lock(&a->lock);
    a->until_ns = now_ns() + (int64_t)(seconds * 1e9);
    a->turn++;
    a->running = a->clients;
    pthread_cond_broadcast(&a->changed);
    wait_for_clients(a);
    pthread_mutex_unlock(&a->lock);
}

/* An arm with threads of its own ends when its time is up, or when its first client has done its calls. */
static void wait_while_it_runs(const arm *a, double seconds)
{
    int64_t until = now_ns() + (int64_t)(seconds * 1e9);
    if (a->most_calls == 0)
        sleep_ms((int64_t)(seconds * 1e3));
    while (a->most_calls > 0 && a->client[0].calls < a->most_calls && now_ns() < until)
        sleep_ms(1);
}

/* Twice what such a slice takes, so that a burst does not empty it; of one that drains, just that. */
static void set_level(arm *a, const slice *s, double seconds)
{
    int64_t some = (int64_t)a->batch * a->clients * 10;
    if (s->dry)
        a->level *= a->ready > some ? 1 : 4;
    else if (a->ops->drains)
        a->level = (int64_t)((double)s->messages * seconds / s->seconds) + some;
    else
        a->level = s->messages * 2 + some;
}

slice arm_slice(arm *a, double seconds)
{
    slice s = {0};
    int64_t end, began;
    for (int i = 0; i < a->clients; i++) {
        client *c = &a->client[i];
        c->messages = c->last_ns = 0;
        c->calls = 0;
        c->dry = false;
    }
    a->left = a->ready;
    began = now_ns();
    if (a->ops->op) {
        let_go(a, a->ops->drains ? DRAIN_SECONDS : seconds);
    } else {
        a->ops->resume(a);
        began = now_ns();
        wait_while_it_runs(a, seconds);
        a->ops->pause(a);
    }
    if (a->ops->finish)
        a->ops->finish(a);
    end = a->ops->finish ? now_ns() : began;
    for (int i = 0; i < a->clients; i++) {
        const client *c = &a->client[i];
        s.messages += c->messages;
        s.calls += c->calls;
        s.dry = s.dry || c->dry;
        end = c->last_ns > end ? c->last_ns : end;
    }
    s.seconds = (double)(end - began) / 1e9;
    if (a->ops->consumes) {
        a->ready -= s.messages;
        s.dry = s.dry || (a->ops->drains ? a->ready > 0 && a->most_calls == 0 : a->ready <= 0);
        if (a->most_calls == 0)
            set_level(a, &s, seconds);
    }
    return s;
}

slice arm_calls(arm *a, int64_t calls)
{
    a->most_calls = calls;
    slice s = arm_slice(a, 60);
    a->most_calls = 0;
    return s;
}

void arm_forget(arm *a)
{
    for (int i = 0; i < a->clients; i++)
        hist_clear(&a->client[i].latency);
}

void arm_keep(arm *a, const slice *s)
{
    for (int i = 0; i < a->clients; i++)
        hist_merge(&a->latency, &a->client[i].latency);
    a->sum_messages += s->messages;
    a->sum_seconds += s->seconds;
    arm_forget(a);
}
