/* SPDX-License-Identifier: MIT */
/* The thread of a producer: gathers a batch, has it sent until it is through or too late, and tells. */
#include "producer.h"

#include "alloc.h"
#include "clock.h"
#include "error.h"
#include "exec.h"

#include <stdio.h>
#include <string.h>

enum { BACKOFF_FIRST_US = 10000, BACKOFF_MOST_US = 1000000, FAILURES_MOST = 1000 };

/* --- a batch --- */

/* Under the lock: whether the messages in the queue are to go now; else until when they may wait. */
static int due(const pgq_producer *p, int64_t *until_us)
{
    const pgqi_taken *first = p->queue.head;

    *until_us = INT64_MAX;
    if (!first)
        return 0;
    *until_us = first->taken_us + p->options.linger_us;
    return p->closing || first->number <= p->flush_to || p->queue.n >= (size_t)p->options.max_batch ||
           p->queue.bytes >= PGQI_BATCH_BYTES || pgqi_now_us() >= *until_us;
}

/* Which group a message to that queue joins: the last of that queue, if it is to be created or not alike.
 * groups if it is one more. */
static int group_of(const pgqi_taken *const *firsts, int groups, const pgqi_taken *m)
{
    for (int i = groups - 1; i >= 0; i--)
        if (strcmp(firsts[i]->queue, m->queue) == 0)
            return firsts[i]->out.o.create_queue == m->out.o.create_queue ? i : groups;
    return groups;
}

/* Moves messages to the batch as long as they fit. */
static void fill(const pgq_producer *p, pgqi_taken_list *from, pgqi_batch *b)
{
    const pgqi_taken *firsts[PGQI_GROUPS_MAX];

    while (from->head) {
        pgqi_taken *m = from->head;

        m->group = group_of(firsts, b->groups, m);
        if (m->group == PGQI_GROUPS_MAX || b->list.n == (size_t)p->options.max_batch ||
            (b->list.n > 0 && b->list.bytes + m->out.len > PGQI_BATCH_BYTES))
            return;
        if (m->group == b->groups)
            firsts[b->groups++] = m;
        from->head = m->next;
        from->n--;
        from->bytes -= m->out.len;
        pgqi_taken_append(&b->list, m);
    }
    from->tail = NULL;
}

/* Under the lock: puts back in front what did not fit. */
static void put_back(pgq_producer *p, pgqi_taken_list *rest)
{
    if (!rest->head)
        return;
    rest->tail->next = p->queue.head;
    p->queue.head = rest->head;
    if (!p->queue.tail)
        p->queue.tail = rest->tail;
    p->queue.n += rest->n;
    p->queue.bytes += rest->bytes;
}

/* Waits for messages, and for more of them; 0: the producer is closed, and nothing is left. */
static int gather(pgq_producer *p, pgqi_batch *b)
{
    pgqi_taken_list all;
    int64_t until_us;

    memset(b, 0, sizeof *b);
    pthread_mutex_lock(&p->lock);
    while (!due(p, &until_us) && !(p->closing && !p->queue.head))
        pgqi_producer_wait(p, &p->work, until_us);
    all = p->queue;
    memset(&p->queue, 0, sizeof p->queue);
    pthread_mutex_unlock(&p->lock);
    fill(p, &all, b);
    pthread_mutex_lock(&p->lock);
    put_back(p, &all);
    pthread_mutex_unlock(&p->lock);
    return b->list.n > 0;
}

/* --- telling --- */

/* Takes the messages away that are done and have none before them that is not. */
static pgqi_taken *take_done(pgqi_batch *b, int64_t *n, int64_t *bytes)
{
    pgqi_taken *first = b->list.head;
    pgqi_taken *last = NULL;

    *n = *bytes = 0;
    while (b->list.head && b->list.head->done) {
        last = b->list.head;
        *n += 1;
        *bytes += (int64_t)last->out.len;
        b->list.head = last->next;
    }
    if (!last)
        return NULL;
    last->next = NULL;
    b->list.n -= (size_t)*n;
    b->list.bytes -= (size_t)*bytes;
    if (!b->list.head)
        b->list.tail = NULL;
    return first;
}

/* No transaction is open: a handler that waits for something holds up nobody else. */
static void tell(pgq_producer *p, pgqi_batch *b)
{
    int64_t n, bytes;
    pgqi_taken *m = take_done(b, &n, &bytes);

    if (!m)
        return;
    pthread_mutex_lock(&p->lock);
    p->pending -= n;
    p->pending_bytes -= bytes;
    pthread_cond_broadcast(&p->room);
    pthread_mutex_unlock(&p->lock);
    while (m) {
        pgqi_taken *next = m->next;
        pgq_delivery d = {.status = m->status, .id = m->id, .text = m->text, .arg = m->arg};

        if (!d.text)
            d.text = m->status == PGQ_OK ? "" : pgq_status_text(m->status);
        if (p->options.on_delivery)
            p->options.on_delivery(&d, p->options.delivery_arg);
        pgqi_taken_free(m);
        m = next;
    }
    pthread_mutex_lock(&p->lock);
    p->told_n += n;
    pthread_cond_broadcast(&p->told);
    pthread_mutex_unlock(&p->lock);
}

/* --- trouble --- */

static int given_up(pgq_producer *p)
{
    int yes;

    pthread_mutex_lock(&p->lock);
    yes = p->given_up;
    pthread_mutex_unlock(&p->lock);
    return yes;
}

static int64_t deadline_of(const pgq_producer *p, const pgqi_taken *m)
{
    return p->options.delivery_timeout_ms < 0 ? INT64_MAX
                                              : m->taken_us + p->options.delivery_timeout_ms * (int64_t)1000;
}

/* Fails what was taken so long ago that its time is over: all, with everything. */
static void fail_late(pgq_producer *p, pgqi_batch *b, int everything)
{
    pgq_status status = b->unknown ? PGQ_CONNECTION : PGQ_TIMEOUT;
    int64_t now = pgqi_now_us();
    char text[sizeof p->trouble.message + 128];

    snprintf(text, sizeof text, "%s%s%s",
             everything   ? "the producer was closed before it was delivered"
             : b->unknown ? "its time ran out before it was known whether it was committed"
                          : "it could not be delivered in time",
             p->trouble.message[0] ? ": " : "", p->trouble.message);
    for (pgqi_taken *m = b->list.head; m; m = m->next)
        if (everything || now >= deadline_of(p, m))
            pgqi_taken_settle(m, status, 0, text);
    tell(p, b);
    if (b->list.head)
        return;
    /* What waits behind the batch was taken later, and fails later. */
    memset(b, 0, sizeof *b);
    pthread_mutex_lock(&p->lock);
    while (p->queue.head && (everything || now >= deadline_of(p, p->queue.head))) {
        pgqi_taken *m = p->queue.head;

        p->queue.head = m->next;
        p->queue.tail = m->next ? p->queue.tail : NULL;
        p->queue.n--;
        p->queue.bytes -= m->out.len;
        pgqi_taken_append(&b->list, m);
    }
    pthread_mutex_unlock(&p->lock);
    for (pgqi_taken *m = b->list.head; m; m = m->next)
        pgqi_taken_settle(m, PGQ_TIMEOUT, 0, text);
    tell(p, b);
}

/* Longer after each failure, none after the first one; but not beyond a message's time. */
static void pause_after_failure(pgq_producer *p, const pgqi_batch *b)
{
    int64_t us = p->failures > 8 ? BACKOFF_MOST_US : (int64_t)BACKOFF_FIRST_US << p->failures >> 1;
    int64_t until;

    if (p->failures < FAILURES_MOST)
        p->failures++;
    if (p->failures == 1)
        return;
    if (us > BACKOFF_MOST_US)
        us = BACKOFF_MOST_US;
    until = pgqi_now_us() + us;
    if (deadline_of(p, b->list.head) < until)
        until = deadline_of(p, b->list.head);
    pthread_mutex_lock(&p->lock);
    while (!p->given_up && pgqi_now_us() < until)
        pgqi_producer_wait(p, &p->work, until);
    pthread_mutex_unlock(&p->lock);
}

static int begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* Whether the same may succeed later. *broken: only on another connection. */
static int may_succeed_later(const pgq_error *e, int *broken)
{
    static const char *const states[] = {"57014", "26000", "42P05", "0A000", "25006"};

    if (e->status == PGQ_NO_MEMORY)
        return 0;
    if (e->retryable || e->connection_dead)
        return 1;
    if (!e->sqlstate[0]) {
        *broken = 1; /* the client's own trouble with the connection */
        return 1;
    }
    /* Cancelled; a prepared statement that somebody took away or has; a standby, which also says 0A000. */
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(e->sqlstate, states[i]) == 0) {
            *broken |= i >= 3;
            return 1;
        }
    return begins(e->sqlstate, "53"); /* insufficient resources */
}

/* --- sending --- */

static void set_fd(pgq_producer *p, int fd)
{
    pthread_mutex_lock(&p->lock);
    p->fd = fd;
    pthread_mutex_unlock(&p->lock);
}

static pgq_status connect_again(pgq_producer *p)
{
    pgq_status status;

    if (!p->broken && PQstatus(p->q->conn) == CONNECTION_OK)
        return PGQ_OK;
    p->broken = 1;
    set_fd(p, -1);
    status = pgq_reconnect(p->q);
    if (status != PGQ_OK)
        return status;
    set_fd(p, PQsocket(p->q->conn));
    if (given_up(p))
        return pgqi_error_set(&p->q->error, PGQ_CONNECTION, "the producer is being closed");
    status = pgqi_era_read(p->q, &p->era);
    p->broken = status != PGQ_OK;
    return status;
}

static void on_commit(void *arg, int begins_now)
{
    pgq_producer *p = arg;

    pthread_mutex_lock(&p->lock);
    p->committing = begins_now;
    if (!begins_now)
        pthread_cond_broadcast(&p->told);
    pthread_mutex_unlock(&p->lock);
}

static pgq_status attempt(pgq_producer *p, pgqi_batch *b)
{
    pgq_status status = connect_again(p);

    if (status == PGQ_OK && b->unknown)
        status = pgqi_batch_ask(p->q, b, &p->era);
    if (status == PGQ_OK)
        status = pgqi_batch_send(p->q, b, &p->era, on_commit, p);
    if (status == PGQ_OK)
        return PGQ_OK;
    p->trouble = p->q->error;
    if (PQpipelineStatus(p->q->conn) != PQ_PIPELINE_OFF || pgqi_in_transaction(p->q))
        p->broken = 1;
    return status;
}

static void fail_all(pgq_producer *p, pgqi_batch *b)
{
    pgq_status status = b->unknown ? PGQ_CONNECTION : p->trouble.status;

    for (pgqi_taken *m = b->list.head; m; m = m->next)
        pgqi_taken_settle(m, status, 0, p->trouble.message);
    tell(p, b);
}

static void deliver(pgq_producer *p, pgqi_batch *b)
{
    while (b->list.head) {
        if (given_up(p)) {
            pthread_mutex_lock(&p->lock);
            p->left = 1;
            pthread_mutex_unlock(&p->lock);
            fail_late(p, b, 1);
            return;
        }
        if (attempt(p, b) == PGQ_OK) {
            p->failures = 0;
            p->trouble.message[0] = '\0';
            tell(p, b);
        } else if (p->trouble.status == PGQ_STALE || !may_succeed_later(&p->trouble, &p->broken)) {
            fail_all(p, b);
        } else {
            fail_late(p, b, 0);
            if (b->list.head)
                pause_after_failure(p, b);
        }
    }
}

void *pgqi_producer_main(void *arg)
{
    pgq_producer *p = arg;
    pgqi_batch batch;

    while (gather(p, &batch))
        deliver(p, &batch);
    set_fd(p, -1);
    return NULL;
}
