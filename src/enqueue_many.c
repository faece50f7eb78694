/* SPDX-License-Identifier: MIT */
/* Sending many messages: an array for each argument of a message, and none for one that no message has. */
#include "alloc.h"
#include "enqueue.h"
#include "error.h"
#include "exec.h"
#include "queue.h"

#include <stdio.h>
#include <string.h>

enum { MANY_MAX = 1000000 };

/* In the order of _enqueue_many's parameters. */
enum {
    PAYLOADS,
    KINDS,
    PRIORITIES,
    DELAYS,
    TTLS,
    HEADERS,
    DUES,
    LEASES,
    REQUEUES,
    ERROR_LIMITS,
    REQUEUE_PRIORITIES,
    ORDER_KEYS,
    DEDUP_KEYS,
    DEDUP_WINDOWS,
    COLUMNS
};

/* The width of a number; 0: not a number. */
static const struct {
    int type;
    int bytes;
} columns[COLUMNS] = {
    [PAYLOADS] = {PGQI_BYTEA, 0},
    [KINDS] = {PGQI_INT2, 2},
    [PRIORITIES] = {PGQI_INT4, 4},
    [DELAYS] = {PGQI_INT8, 8},
    [TTLS] = {PGQI_INT8, 8},
    [HEADERS] = {PGQI_TEXT, 0},
    [DUES] = {PGQI_TIMESTAMPTZ, 8},
    [LEASES] = {PGQI_INT8, 8},
    [REQUEUES] = {PGQI_BOOL, 1},
    [ERROR_LIMITS] = {PGQI_INT4, 4},
    [REQUEUE_PRIORITIES] = {PGQI_INT4, 4},
    [ORDER_KEYS] = {PGQI_TEXT, 0},
    [DEDUP_KEYS] = {PGQI_TEXT, 0},
    [DEDUP_WINDOWS] = {PGQI_INT8, 8},
};

/* A message's number for a column, *given 0 if it has none. */
static int64_t number_of(const pgq_enqueue_options *o, int column, int *given)
{
    int64_t value;

    switch (column) {
    case KINDS:
        value = o->kind;
        break;
    case PRIORITIES:
        value = o->priority;
        break;
    case DELAYS:
        value = o->delay_ms;
        break;
    case TTLS:
        value = o->ttl_ms;
        break;
    case DUES:
        value = o->due ? pgqi_server_time(o->due) : PGQ_UNSET;
        break;
    case LEASES:
        value = o->lease_ms;
        break;
    case REQUEUES:
        value = o->requeue;
        break;
    case ERROR_LIMITS:
        value = o->error_limit;
        break;
    case REQUEUE_PRIORITIES:
        value = o->requeue_priority;
        break;
    default:
        value = o->dedup_window_ms ? o->dedup_window_ms : PGQ_UNSET;
        break;
    }
    *given = value != PGQ_UNSET;
    return value;
}

static const void *bytes_of(const pgqi_outgoing *m, int column, size_t *len)
{
    const char *s = column == HEADERS ? m->o.headers : column == ORDER_KEYS ? m->o.order_key : m->o.dedup_key;

    if (column == PAYLOADS) {
        *len = m->len;
        return m->payload;
    }
    *len = s ? strlen(s) : 0;
    return s;
}

static unsigned used_by(const pgqi_outgoing *m)
{
    unsigned used = 0;

    for (int c = 0; c < COLUMNS; c++) {
        size_t len;
        int given;

        if (columns[c].bytes)
            number_of(&m->o, c, &given);
        else
            given = bytes_of(m, c, &len) != NULL;
        used |= (unsigned)given << c;
    }
    return used;
}

/* What a column's array is made from; used for one column after the other. */
struct scratch {
    pgqi_element *elements;
    unsigned char *numbers;
};

static void fill_column(struct scratch *to, const pgqi_outgoing *const *messages, size_t n, int c)
{
    size_t bytes = (size_t)columns[c].bytes;

    for (size_t i = 0; i < n; i++) {
        pgqi_element *e = &to->elements[i];
        int given;

        if (bytes) {
            unsigned char *at = to->numbers + i * bytes;
            int64_t value = number_of(&messages[i]->o, c, &given);

            pgqi_put_int(at, value, (int)bytes);
            e->data = given ? at : NULL;
            e->len = bytes;
        } else {
            e->data = bytes_of(messages[i], c, &e->len);
        }
    }
}

/* The id of each message, or nothing: then the other one says why, or does it. */
static const char plain_sql[] = "SELECT %s._enqueue_plain_many($1, $2, $3)";
enum { PLAIN_PARAMS = 3, PLAIN_COLUMNS = 1U << PAYLOADS | 1U << KINDS };

const char pgqi_enqueue_many_sql[] =
    "SELECT r.code, r.detail, r.failed, i.id, COALESCE(i.duplicate, false) FROM "
    "%s._enqueue_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) r"
    " LEFT JOIN LATERAL unnest(r.ids, r.duplicates) WITH ORDINALITY AS i (id, duplicate, n) ON true"
    " ORDER BY i.n";

/* A bit for each column that a message has. */
static unsigned used_by_all(const pgqi_outgoing *const *messages, size_t n)
{
    unsigned used = 0;

    for (size_t i = 0; i < n; i++)
        used |= used_by(messages[i]);
    return used;
}

void pgqi_enqueue_many_params(pgqi_params *p, const char *queue, int create_queue,
                              const pgqi_outgoing *const *messages, size_t n)
{
    struct scratch scratch = {pgqi_alloc(n, sizeof *scratch.elements), pgqi_alloc(n, 8)};
    unsigned used = used_by_all(messages, n);

    pgqi_params_init(p);
    p->prepare = 1;
    p->failed = !scratch.elements || !scratch.numbers;
    pgqi_add_text(p, queue);
    for (int c = 0; c < COLUMNS && !p->failed; c++) {
        if (c == DUES)
            pgqi_add_given_bool(p, create_queue ? 1 : PGQ_UNSET);
        if (used & 1U << c) {
            fill_column(&scratch, messages, n, c);
            pgqi_add_array(p, columns[c].type, scratch.elements, n);
        } else {
            pgqi_add_null_array(p, columns[c].type);
        }
    }
    pgqi_free(scratch.elements);
    pgqi_free(scratch.numbers);
}

/* The messages of one call of pgq_enqueue_many(), and where each is. */
struct batch {
    size_t n;
    pgqi_outgoing *messages;
    const pgqi_outgoing **at;
};

static pgq_status read_messages(pgq *q, struct batch *b, const pgq_outgoing *messages)
{
    b->messages = pgqi_alloc(b->n, sizeof *b->messages);
    b->at = pgqi_alloc(b->n, sizeof *b->at);
    if (!b->messages || !b->at)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < b->n; i++) {
        pgq_status status =
            pgqi_outgoing_make(q, messages[i].payload, messages[i].len, messages[i].options, &b->messages[i]);

        if (status != PGQ_OK) {
            char why[sizeof q->error.message];

            snprintf(why, sizeof why, "%s", q->error.message);
            return pgqi_error_set(&q->error, status, "message %zu of %zu: %s", i + 1, b->n, why);
        }
        b->at[i] = &b->messages[i];
    }
    return PGQ_OK;
}

static void free_batch(struct batch *b)
{
    for (size_t i = 0; b->messages && i < b->n; i++)
        pgqi_outgoing_free(&b->messages[i]);
    pgqi_free(b->messages);
    pgqi_free(b->at);
}

static pgq_status store(pgq *q, pgqi_params *p, int plain, PGresult **res)
{
    int all = p->n;
    pgq_status status;

    if (!plain)
        return pgqi_call_outcome(q, pgqi_enqueue_many_sql, p, res);
    p->n = PLAIN_PARAMS;
    status = pgqi_call(q, plain_sql, p, res);
    p->n = all;
    if (status != PGQ_OK || PQntuples(*res) > 0)
        return status;
    PQclear(*res);
    return pgqi_call_outcome(q, pgqi_enqueue_many_sql, p, res);
}

static size_t copy_messages = PGQI_COPY_MESSAGES;
static size_t copy_bytes = PGQI_COPY_BYTES;

#ifdef PGQ_TESTING
void pgqi_copy_from(size_t messages, size_t bytes)
{
    copy_messages = messages ? messages : PGQI_COPY_MESSAGES;
    copy_bytes = bytes ? bytes : PGQI_COPY_BYTES;
}
#endif

static int is_large(const struct batch *b)
{
    size_t bytes = 0;

    for (size_t i = 0; i < b->n && bytes < copy_bytes; i++)
        bytes += b->at[i]->len;
    return b->n >= copy_messages || bytes >= copy_bytes;
}

static pgq_status send_all(pgq *q, const char *queue, int create_queue, const struct batch *b, int64_t *ids,
                           pgq_status *results)
{
    int plain = used_by_all(b->at, b->n) == PLAIN_COLUMNS;
    pgq_status status = PGQ_OK;
    int stored = 0;
    PGresult *res;
    pgqi_params p;

    if (plain && is_large(b))
        status = pgqi_enqueue_copy(q, queue, b->at, b->n, ids, &stored);
    for (size_t i = 0; results && stored && i < b->n; i++)
        results[i] = PGQ_OK;
    if (status != PGQ_OK || stored)
        return status;
    pgqi_enqueue_many_params(&p, queue, create_queue, b->at, b->n);
    status = store(q, &p, plain, &res);
    pgqi_params_free(&p);
    for (size_t i = 0; res && i < b->n; i++) {
        int single = PQnfields(res) == 1;

        if (ids)
            ids[i] = pgqi_field_int(res, (int)i, single ? 0 : 3);
        if (results)
            results[i] = !single && pgqi_field_int(res, (int)i, 4) ? PGQ_DUPLICATE : PGQ_OK;
    }
    PQclear(res);
    return status;
}

pgq_status pgq_enqueue_many(pgq *q, const char *queue, const pgq_outgoing *messages, size_t n,
                            int create_queue, int64_t *ids, pgq_status *results)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    struct batch b = {.n = n};

    if (status != PGQ_OK)
        return status;
    if ((!messages && n) || n > MANY_MAX)
        return pgqi_error_set(&q->error, PGQ_INVALID, "messages must not be NULL, and n at most %d",
                              MANY_MAX);
    if (n == 0)
        return PGQ_OK;
    status = read_messages(q, &b, messages);
    if (status == PGQ_OK)
        status = send_all(q, queue, create_queue, &b, ids, results);
    free_batch(&b);
    return status;
}
