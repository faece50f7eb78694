/* SPDX-License-Identifier: MIT */
/* A producer as its callers hold it: opened, given messages, flushed, closed. */
#include "producer.h"

#include "alloc.h"
#include "clock.h"
#include "codec.h"
#include "error.h"
#include "queue.h"

#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { LINGER_MAX_US = 60000000, BATCH_MAX = 100000, BATCH_DEFAULT = 1000, PENDING_DEFAULT = 100000 };
enum { PENDING_BYTES_DEFAULT = 67108864, DELIVERY_TIMEOUT_DEFAULT_MS = 120000 };

/* How long close() goes on waiting for the answer to a COMMIT. */
static const int64_t commit_grace_us = 1000000;

/* --- messages --- */

void pgqi_taken_append(pgqi_taken_list *list, pgqi_taken *m)
{
    m->next = NULL;
    if (list->tail)
        list->tail->next = m;
    else
        list->head = m;
    list->tail = m;
    list->n++;
    list->bytes += m->out.len;
}

void pgqi_taken_settle(pgqi_taken *m, pgq_status status, int64_t id, const char *text)
{
    if (m->done)
        return;
    m->done = 1;
    m->status = status;
    m->id = id;
    m->text = text ? pgqi_strdup(text) : NULL;
}

void pgqi_taken_free(pgqi_taken *m)
{
    pgqi_outgoing_free(&m->out);
    pgqi_free(m->text);
    pgqi_free(m);
}

static size_t size_of(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static const char *copy_text(char **to, const char *s)
{
    char *copy = *to;

    if (!s)
        return NULL;
    memcpy(copy, s, size_of(s));
    *to += size_of(s);
    return copy;
}

/* What an encode hook has made is kept as it is. NULL if memory ran out; out is the message's then no more
 * than before. */
static pgqi_taken *copy_message(const char *queue, const pgqi_outgoing *out, void *arg)
{
    const pgq_enqueue_options *o = &out->o;
    size_t payload = out->made ? 0 : out->len;
    pgqi_taken *m = pgqi_alloc(1, sizeof *m + size_of(queue) + size_of(o->headers) + size_of(o->order_key) +
                                      size_of(o->dedup_key) + payload);
    char *to = (char *)(m + 1);

    if (!m)
        return NULL;
    m->out = *out;
    m->arg = arg;
    m->queue = copy_text(&to, queue);
    m->out.o.headers = copy_text(&to, o->headers);
    m->out.o.order_key = copy_text(&to, o->order_key);
    m->out.o.dedup_key = copy_text(&to, o->dedup_key);
    if (!out->made) {
        memcpy(to, out->payload, out->len);
        m->out.payload = to;
    }
    return m;
}

/* --- open --- */

static pgq_status check_options(pgq_producer *p)
{
    pgq_producer_options *o = &p->options;

    if (o->linger_us < 0 || o->linger_us > LINGER_MAX_US)
        return pgqi_error_set(&p->error, PGQ_INVALID, "linger_us %d is out of range: 0 to %d is allowed",
                              o->linger_us, LINGER_MAX_US);
    if (o->max_batch < 0 || o->max_batch > BATCH_MAX)
        return pgqi_error_set(&p->error, PGQ_INVALID,
                              "max_batch %d is out of range: 1 to %d, or 0 for %d, is allowed", o->max_batch,
                              BATCH_MAX, BATCH_DEFAULT);
    if (o->max_pending < 0)
        return pgqi_error_set(&p->error, PGQ_INVALID,
                              "max_pending %d is out of range: at least 1, or 0 for %d, is allowed",
                              o->max_pending, PENDING_DEFAULT);
    if (o->delivery_timeout_ms < -1)
        return pgqi_error_set(
            &p->error, PGQ_INVALID,
            "delivery_timeout_ms %d is out of range: at least 1, -1 for ever, or 0 for %d, is allowed",
            o->delivery_timeout_ms, DELIVERY_TIMEOUT_DEFAULT_MS);
    if (o->max_batch == 0)
        o->max_batch = BATCH_DEFAULT;
    if (o->max_pending == 0)
        o->max_pending = PENDING_DEFAULT;
    if (o->max_pending_bytes == 0)
        o->max_pending_bytes = PENDING_BYTES_DEFAULT;
    if (o->delivery_timeout_ms == 0)
        o->delivery_timeout_ms = DELIVERY_TIMEOUT_DEFAULT_MS;
    return PGQ_OK;
}

static pgq_producer *make(void)
{
    pgq_producer *p = pgqi_alloc(1, sizeof *p);
    pthread_condattr_t attr;

    if (!p)
        return NULL;
    if (pthread_condattr_init(&attr) != 0) {
        pgqi_free(p);
        return NULL;
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, &attr);
    pthread_cond_init(&p->room, &attr);
    pthread_cond_init(&p->told, &attr);
    pthread_condattr_destroy(&attr);
    p->fd = -1;
    return p;
}

static pgq_status connect_first(pgq_producer *p, const char *conninfo)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    int version;
    pgq_status status;

    o.name_space = p->options.name_space;
    status = pgq_open(conninfo, &o, &p->q);
    if (status == PGQ_OK)
        status = pgq_installed_version(p->q, &version);
    if (status == PGQ_OK)
        status = pgqi_era_read(p->q, &p->era);
    if (status == PGQ_OK)
        p->fd = PQsocket(p->q->conn);
    else if (p->q)
        p->error = p->q->error;
    else
        pgqi_error_set(&p->error, PGQ_NO_MEMORY, "out of memory");
    return status;
}

pgq_status pgq_producer_open(const char *conninfo, const pgq_producer_options *options, pgq_producer **out)
{
    pgq_producer_options defaults = PGQ_PRODUCER_OPTIONS_INIT;
    pgq_producer *p;
    pgq_status status;

    if (!out)
        return PGQ_INVALID;
    *out = p = make();
    if (!p)
        return PGQ_NO_MEMORY;
    p->options = defaults;
    status = pgqi_read_options(&p->options, sizeof p->options, options, &p->error);
    if (status == PGQ_OK)
        status = check_options(p);
    if (status == PGQ_OK)
        status = pgqi_read_codec(&p->codec, p->options.codec, &p->error);
    if (status == PGQ_OK)
        status = connect_first(p, conninfo);
    p->options.name_space = NULL;
    p->options.codec = NULL;
    if (status != PGQ_OK)
        return status;
    p->started = pthread_create(&p->thread, NULL, pgqi_producer_main, p) == 0;
    return p->started ? PGQ_OK : pgqi_error_set(&p->error, PGQ_NO_MEMORY, "no thread could be started");
}

/* --- send --- */

static pgq_status refuse(pgq_producer *p, const pgq_error *e)
{
    pthread_mutex_lock(&p->lock);
    p->error = *e;
    pthread_mutex_unlock(&p->lock);
    return e->status;
}

static int64_t until_of(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : pgqi_now_us() + timeout_ms * (int64_t)1000;
}

void pgqi_producer_wait(pgq_producer *p, pthread_cond_t *cond, int64_t until_us)
{
    struct timespec t = {until_us / 1000000, until_us % 1000000 * 1000};

    if (until_us == INT64_MAX)
        pthread_cond_wait(cond, &p->lock);
    else
        pthread_cond_timedwait(cond, &p->lock, &t);
}

/* Under the lock. A message longer than all that may be pending goes when nothing is. */
static int has_room(const pgq_producer *p, size_t len)
{
    return p->pending == 0 || (p->pending < p->options.max_pending && len <= p->options.max_pending_bytes &&
                               (size_t)p->pending_bytes <= p->options.max_pending_bytes - len);
}

/* Under the lock. */
static pgq_status wait_for_room(pgq_producer *p, size_t len, int timeout_ms, pgq_error *e)
{
    int64_t until = 0;

    while (p->started && !p->closing && !has_room(p, len)) {
        if (pthread_equal(pthread_self(), p->thread))
            return pgqi_error_set(e, PGQ_STATE,
                                  "there is no room, and on_delivery must not wait: %lld messages and "
                                  "%lld bytes are pending",
                                  (long long)p->pending, (long long)p->pending_bytes);
        if (until == 0)
            until = until_of(timeout_ms);
        if (pgqi_now_us() >= until)
            return pgqi_error_set(e, PGQ_TIMEOUT,
                                  "there was no room within %d ms: %lld messages and %lld bytes are pending",
                                  timeout_ms, (long long)p->pending, (long long)p->pending_bytes);
        pgqi_producer_wait(p, &p->room, until);
    }
    if (!p->started)
        return pgqi_error_set(e, PGQ_STATE, "the producer was not opened");
    return p->closing ? pgqi_error_set(e, PGQ_STATE, "the producer is being closed") : PGQ_OK;
}

/* Under the lock. The thread is woken for the first message, and for one that makes a batch full. */
static void append(pgq_producer *p, pgqi_taken *m)
{
    m->number = ++p->taken_n;
    m->taken_us = pgqi_now_us();
    pgqi_taken_append(&p->queue, m);
    p->pending++;
    p->pending_bytes += (int64_t)m->out.len;
    if (p->queue.n == 1 || p->queue.n == (size_t)p->options.max_batch ||
        (p->queue.bytes >= PGQI_BATCH_BYTES && p->queue.bytes - m->out.len < PGQI_BATCH_BYTES))
        pthread_cond_signal(&p->work);
}

pgq_status pgq_producer_send(pgq_producer *producer, const char *queue, const void *payload, size_t len,
                             const pgq_enqueue_options *options, int timeout_ms, void *arg)
{
    pgqi_outgoing out = {0};
    pgqi_taken *m = NULL;
    pgq_status status;
    pgq call = {0}; /* the hooks and the error of this call */

    if (!producer)
        return PGQ_INVALID;
    call.codec = producer->codec;
    status = pgqi_check_name(&call.error, "queue", queue);
    if (status == PGQ_OK && timeout_ms < -1)
        status = pgqi_error_set(&call.error, PGQ_INVALID, "timeout_ms must be at least 0, or -1 for ever");
    if (status == PGQ_OK)
        status = pgqi_outgoing_make(&call, payload, len, options, &out);
    if (status == PGQ_OK) {
        m = copy_message(queue, &out, arg);
        if (!m)
            status = pgqi_error_set(&call.error, PGQ_NO_MEMORY, "out of memory");
    }
    if (status == PGQ_OK) {
        pthread_mutex_lock(&producer->lock);
        status = wait_for_room(producer, out.len, timeout_ms, &call.error);
        if (status == PGQ_OK)
            append(producer, m);
        pthread_mutex_unlock(&producer->lock);
        if (status == PGQ_OK)
            return PGQ_OK;
    }
    if (m)
        pgqi_taken_free(m);
    else
        pgqi_outgoing_free(&out);
    return refuse(producer, &call.error);
}

/* --- flush and close --- */

pgq_status pgq_producer_flush(pgq_producer *producer, int timeout_ms)
{
    int64_t until = until_of(timeout_ms);
    int64_t to;
    pgq_status status;

    if (!producer || timeout_ms < -1 ||
        (producer->started && pthread_equal(pthread_self(), producer->thread)))
        return PGQ_INVALID;
    pthread_mutex_lock(&producer->lock);
    to = producer->taken_n;
    if (timeout_ms != 0 && producer->flush_to < to) {
        producer->flush_to = to;
        pthread_cond_signal(&producer->work);
    }
    while (producer->told_n < to && timeout_ms != 0 && pgqi_now_us() < until)
        pgqi_producer_wait(producer, &producer->told, until);
    status = producer->told_n < to ? PGQ_TIMEOUT : PGQ_OK;
    pthread_mutex_unlock(&producer->lock);
    return status;
}

void pgq_producer_last_error(pgq_producer *producer, pgq_error *out)
{
    if (!out)
        return;
    if (!producer) {
        pgqi_error_set(out, PGQ_INVALID, "the producer is NULL");
        return;
    }
    pthread_mutex_lock(&producer->lock);
    *out = producer->error;
    pthread_mutex_unlock(&producer->lock);
}

/* Under the lock: waits until all has been told, or until then. */
static void wait_for_all(pgq_producer *p, int64_t until, int only_commit)
{
    while (p->told_n < p->taken_n && pgqi_now_us() < until && (!only_commit || p->committing))
        pgqi_producer_wait(p, &p->told, until);
}

static void end_thread(pgq_producer *p, int timeout_ms)
{
    pthread_mutex_lock(&p->lock);
    p->closing = 1;
    pthread_cond_signal(&p->work);
    pthread_cond_broadcast(&p->room);
    wait_for_all(p, until_of(timeout_ms), 0);
    if (p->told_n < p->taken_n) {
        p->given_up = 1;
        wait_for_all(p, pgqi_now_us() + commit_grace_us, 1);
        /* A call that the server does not answer must not hold the caller up. */
        if (p->fd >= 0)
            shutdown(p->fd, SHUT_RDWR);
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
}

pgq_status pgq_producer_close(pgq_producer *producer, int timeout_ms)
{
    pgq_status status;

    if (!producer)
        return PGQ_OK;
    if (producer->started) {
        if (pthread_equal(pthread_self(), producer->thread))
            return PGQ_STATE;
        end_thread(producer, timeout_ms);
    }
    status = producer->left ? PGQ_TIMEOUT : PGQ_OK;
    pgq_close(producer->q);
    pthread_cond_destroy(&producer->work);
    pthread_cond_destroy(&producer->room);
    pthread_cond_destroy(&producer->told);
    pthread_mutex_destroy(&producer->lock);
    pgqi_free(producer);
    return status;
}
