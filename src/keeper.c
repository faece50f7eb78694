/* SPDX-License-Identifier: MIT */
#include "keeper.h"

#include "alloc.h"
#include "clock.h"
#include "exec.h"
#include "text.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* How soon a failed extension is tried again, and one that found the row locked. */
static const int64_t again_us = 200000;

static const char out_of_time[] =
    "the lease could not be extended in time: another consumer may have the message";

enum { BATCH = 256 };

struct pgqi_keeper {
    char *conninfo;
    char *name_space;
    pgqi_lost lost;
    pgq *q; /* the thread's alone */
    pthread_t thread;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t cond;
    int started;
    int ended;
    int fd; /* of the connection that the thread may be waiting on; -1: none */
    pgqi_hold *holds;
};

pgqi_keeper *pgqi_keeper_new(const char *conninfo, const char *name_space, pgqi_lost lost)
{
    pgqi_keeper *k = pgqi_alloc(1, sizeof *k);
    pthread_condattr_t attr;

    if (!k)
        return NULL;
    k->conninfo = pgqi_strdup(conninfo);
    k->name_space = pgqi_strdup(name_space);
    if (!k->conninfo || !k->name_space || pthread_condattr_init(&attr) != 0) {
        pgqi_free(k->conninfo);
        pgqi_free(k->name_space);
        pgqi_free(k);
        return NULL;
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->cond, &attr);
    pthread_condattr_destroy(&attr);
    k->lost = lost;
    k->fd = -1;
    return k;
}

void pgqi_keeper_free(pgqi_keeper *k)
{
    int started;

    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->ended = 1;
    started = k->started;
    /* An extension that the server does not answer must not hold the caller up. */
    if (k->fd >= 0)
        shutdown(k->fd, SHUT_RDWR);
    pthread_cond_signal(&k->cond);
    pthread_mutex_unlock(&k->lock);
    if (started)
        pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->cond);
    pthread_mutex_destroy(&k->lock);
    pgqi_free(k->conninfo);
    pgqi_free(k->name_space);
    pgqi_free(k);
}

static void set_fd(pgqi_keeper *k, int fd)
{
    pthread_mutex_lock(&k->lock);
    k->fd = fd;
    pthread_mutex_unlock(&k->lock);
}

/* The thread's connection, made if there is none; 0 if that failed. */
static int connected(pgqi_keeper *k)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;

    o.name_space = k->name_space;
    o.connect_attempts = 1;
    if (k->q && PQstatus(k->q->conn) == CONNECTION_OK)
        return 1;
    set_fd(k, -1);
    pgq_close(k->q);
    if (pgq_open(k->conninfo, &o, &k->q) != PGQ_OK)
        return 0;
    set_fd(k, PQsocket(k->q->conn));
    return 1;
}

/* One extension, as it was when the lock was left. */
struct item {
    pgq_receipt receipt;
    int64_t given_ms;
};

static pgqi_hold *find(pgqi_keeper *k, const pgq_receipt *r)
{
    for (pgqi_hold *h = k->holds; h; h = h->next)
        if (h->receipt.id == r->id && h->receipt.attempt == r->attempt)
            return h;
    return NULL;
}

static void mark_lost(pgqi_keeper *k, pgqi_hold *h, const char *why)
{
    if (!atomic_exchange(&h->lost, 1) && k->lost)
        k->lost(h, why);
}

static void schedule(pgqi_hold *h, int64_t now_us)
{
    h->until_us = now_us + h->left_ms * 1000;
    h->next_us = now_us + h->left_ms * 1000 / 3;
}

/* Under the lock. */
static void read_answer(pgqi_keeper *k, const struct item *items, int n, const PGresult *res, int64_t sent_us)
{
    for (int row = 0; row < PQntuples(res); row++) {
        int i = (int)pgqi_field_int(res, row, 0) - 1;
        const char *outcome = PQgetvalue(res, row, 1);
        pgqi_hold *h = i >= 0 && i < n ? find(k, &items[i].receipt) : NULL;

        if (!h)
            continue;
        if (strcmp(outcome, "extended") == 0) {
            h->left_ms = pgqi_field_int(res, row, 2);
            schedule(h, sent_us);
        } else if (strcmp(outcome, "busy") == 0) {
            /* Who holds the row says what becomes of it. */
            h->next_us = sent_us + again_us;
            h->until_us = INT64_MAX;
        } else if (h->ended || atomic_load(&h->settled)) {
            h->next_us = INT64_MAX;
            h->until_us = INT64_MAX;
        } else {
            mark_lost(k, h,
                      "the lease had run out and was taken back: another consumer may have the message");
        }
    }
}

static void add_items(pgqi_params *p, const struct item *items, int n)
{
    int64_t ids[BATCH];
    int64_t leases[BATCH];
    int32_t attempts[BATCH];
    int unset = 0;

    for (int i = 0; i < n; i++) {
        ids[i] = items[i].receipt.id;
        attempts[i] = items[i].receipt.attempt;
        leases[i] = items[i].given_ms;
        unset |= leases[i] == PGQ_UNSET;
    }
    pgqi_params_init(p);
    pgqi_add_int8s(p, ids, (size_t)n);
    pgqi_add_int4s(p, attempts, (size_t)n);
    /* The leases of one keeper come from calls alike: either all say how long, or none. */
    if (unset)
        pgqi_add_null_array(p, PGQI_INT8);
    else
        pgqi_add_int8s(p, leases, (size_t)n);
}

static void extend(pgqi_keeper *k, const struct item *items, int n)
{
    int64_t sent_us = pgqi_now_us();
    PGresult *res = NULL;
    pgqi_params p;

    if (connected(k)) {
        add_items(&p, items, n);
        pgqi_call(k->q, "SELECT n, outcome, left_ms FROM %s._keep($1, $2, $3)", &p, &res);
        pgqi_params_free(&p);
    }
    pthread_mutex_lock(&k->lock);
    if (res)
        read_answer(k, items, n, res, sent_us);
    else
        for (int i = 0; i < n; i++) {
            pgqi_hold *h = find(k, &items[i].receipt);

            if (h)
                h->next_us = pgqi_now_us() + again_us;
        }
    pthread_mutex_unlock(&k->lock);
    PQclear(res);
}

/* Under the lock: what is to be extended now, at most BATCH of it; and when the next is. */
static int collect(pgqi_keeper *k, struct item *items, int64_t *next_us)
{
    int64_t now = pgqi_now_us();
    int n = 0;

    *next_us = INT64_MAX;
    for (pgqi_hold *h = k->holds; h; h = h->next) {
        if (atomic_load(&h->lost))
            continue;
        if (now >= h->until_us) {
            mark_lost(k, h, out_of_time);
        } else if (now >= h->next_us && n < BATCH) {
            items[n].receipt = h->receipt;
            items[n++].given_ms = h->given_ms;
        } else if (h->next_us < *next_us) {
            *next_us = h->next_us;
        }
        if (h->until_us < *next_us && h->until_us > now)
            *next_us = h->until_us;
    }
    return n;
}

static void *keep(void *arg)
{
    pgqi_keeper *k = arg;
    struct item items[BATCH];

    pthread_mutex_lock(&k->lock);
    while (!k->ended) {
        int64_t next_us;
        int n = collect(k, items, &next_us);

        if (n > 0) {
            pthread_mutex_unlock(&k->lock);
            extend(k, items, n);
            pthread_mutex_lock(&k->lock);
        } else if (next_us == INT64_MAX) {
            pthread_cond_wait(&k->cond, &k->lock);
        } else {
            struct timespec t = {next_us / 1000000, next_us % 1000000 * 1000};

            pthread_cond_timedwait(&k->cond, &k->lock, &t);
        }
    }
    k->fd = -1;
    pthread_mutex_unlock(&k->lock);
    pgq_close(k->q);
    return NULL;
}

int pgqi_keeper_hold(pgqi_keeper *k, pgqi_hold *hold)
{
    int started;

    atomic_store(&hold->lost, 0);
    atomic_store(&hold->told, 0);
    atomic_store(&hold->settled, 0);
    hold->ended = 0;
    schedule(hold, pgqi_now_us());
    pthread_mutex_lock(&k->lock);
    if (!k->started)
        k->started = pthread_create(&k->thread, NULL, keep, k) == 0;
    started = k->started;
    if (started) {
        hold->next = k->holds;
        k->holds = hold;
        pthread_cond_signal(&k->cond);
    }
    pthread_mutex_unlock(&k->lock);
    return started;
}

void pgqi_keeper_ended(pgqi_keeper *k, pgqi_hold *hold)
{
    pthread_mutex_lock(&k->lock);
    if (atomic_load(&hold->told) || pgqi_now_us() >= atomic_load(&hold->until_us))
        mark_lost(k, hold, out_of_time);
    hold->ended = 1;
    pthread_mutex_unlock(&k->lock);
}

void pgqi_keeper_drop(pgqi_keeper *k, pgqi_hold *hold)
{
    pthread_mutex_lock(&k->lock);
    for (pgqi_hold **at = &k->holds; *at; at = &(*at)->next)
        if (*at == hold) {
            *at = hold->next;
            break;
        }
    pthread_mutex_unlock(&k->lock);
}
