/* SPDX-License-Identifier: MIT */
#include "topic.h"

#include "floor.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_MAX = 32, PUBLISHED = 10 /* batches, for each that is read */, PACE_MS = 50 };

static _Atomic int topics; /* each client has one of its own, or the others' messages would be counted, too */

/* --- by pgq --- */

typedef struct own {
    char topic[TOPIC_MAX];
    pgq_publication *out;
    int64_t *ids;
    pgq_subscriber *subscriber;
} own;

static void open_client(client *c)
{
    const bench *b = c->a->b;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    size_t n = (size_t)c->a->batch;
    own *w = allocate(1, sizeof *w);
    o.name_space = c->a->name_space;
    pgq_status status = pgq_open(c->a->conninfo, &o, &c->q);
    must(c->q, status, "pgq_open");
    c->conn = pgq_connection(c->q);
    snprintf(w->topic, sizeof w->topic, "bench %d", topics++);
    must(c->q, pgq_topic_subscribe(c->q, w->topic, NULL, &w->subscriber), "pgq_topic_subscribe");
    w->out = allocate(n, sizeof *w->out);
    w->ids = allocate(n, sizeof *w->ids);
    for (size_t i = 0; i < n; i++) {
        w->out[i].payload = b->payload;
        w->out[i].len = (size_t)b->o.payload;
    }
    c->own = w;
}

static void close_client(client *c)
{
    own *w = c->own;
    pgq_subscriber_free(w->subscriber);
    pgq_close(c->q);
    free(w->out);
    free(w->ids);
    free(w);
}

static void publish(client *c, const char *topic)
{
    own *w = c->own;
    if (c->a->batch == 1)
        must(c->q, pgq_topic_publish(c->q, topic, w->out->payload, w->out->len, NULL, w->ids),
             "pgq_topic_publish");
    else
        must(c->q, pgq_topic_publish_many(c->q, topic, w->out, (size_t)c->a->batch, w->ids),
             "pgq_topic_publish_many");
}

static size_t op_topic(client *c)
{
    own *w = c->own;
    pgq_messages *list;
    int all = PUBLISHED * c->a->batch;
    for (int i = 0; i < PUBLISHED; i++)
        publish(c, w->topic);
    must(c->q, pgq_topic_next(w->subscriber, all, &list), "pgq_topic_next");
    size_t n = pgq_messages_count(list);
    if (n != (size_t)all)
        die("%zu of %d messages were read", n, all);
    pgq_messages_free(list);
    return n;
}

/* At a pace that leaves the processors to those who read. */
static size_t op_paced(client *c)
{
    int64_t began = now_ns();
    publish(c, c->a->queue);
    hist_add(&c->latency, now_ns() - began);
    sleep_ms(PACE_MS);
    return (size_t)c->a->batch;
}

#define OURS .label = "pgq", .open = open_client, .close = close_client

const arm_ops pgq_topic = {OURS, .op = op_topic};
const arm_ops pgq_topic_paced = {OURS, .op = op_paced, .own_latency = true};

/* --- by hand --- */

#define TABLE FLOOR ".topic"
#define INSERT                                                                                               \
    "INSERT INTO " TABLE " (segment, id, xid, published, kind, topic, payload)"                              \
    " SELECT 1, nextval('" FLOOR ".position'), pg_current_xact_id(), clock_timestamp(), 0, $1, p"            \
    " FROM unnest($2) p RETURNING id"
/* A plain reader: behind the last one that it has read. */
#define SELECT                                                                                               \
    "SELECT id, published, kind, headers, payload, xid FROM " TABLE                                          \
    " WHERE topic = $1 AND (xid, id) > ($2, $3) ORDER BY xid, id LIMIT $4"

enum { INT4 = 23, INT8 = 20, TEXT = 25, XID8 = 5069, BYTEA_ARRAY = 1001 };

typedef struct hand {
    char topic[TOPIC_MAX];
    uint64_t xid, id; /* of the last one read, in network order */
} hand;

static void prepare_types(PGconn *conn, const char *name, const char *sql, int n, const Oid *types)
{
    PGresult *res = PQprepare(conn, name, sql, n, types);
    check_result(conn, res, PGRES_COMMAND_OK);
    PQclear(res);
}

/* Its table is made LIKE a segment, by the first that comes. */
static void set_up(arm *a)
{
    run_sql(a->b->control, "CREATE TABLE IF NOT EXISTS " TABLE " (LIKE " NS ".topic_message)"
                           " WITH (autovacuum_enabled = off);"
                           "CREATE INDEX IF NOT EXISTS topic_next ON " TABLE " (topic, xid, id)");
}

static void open_hand(client *c)
{
    static const Oid insert[] = {TEXT, BYTEA_ARRAY};
    static const Oid select[] = {TEXT, XID8, INT8, INT4};
    hand *h = allocate(1, sizeof *h);
    c->conn = connect_to(c->a->conninfo);
    floor_prepare(c->conn);
    prepare_types(c->conn, "publish", INSERT, 2, insert);
    prepare_types(c->conn, "next", SELECT, 4, select);
    snprintf(h->topic, sizeof h->topic, "bench %d", topics++);
    c->own = h;
}

static void close_hand(client *c)
{
    PQfinish(c->conn);
    free(c->own);
}

static void insert_batch(client *c)
{
    const bench *b = c->a->b;
    hand *h = c->own;
    int len;
    char *array = floor_payloads(b, (size_t)c->a->batch, &len);
    const char *values[2] = {h->topic, array};
    const int lengths[2] = {(int)strlen(h->topic), len};
    const int formats[2] = {1, 1};
    PGresult *res = PQexecPrepared(c->conn, "publish", 2, values, lengths, formats, 1);
    check_result(c->conn, res, PGRES_TUPLES_OK);
    PQclear(res);
    free(array);
}

static size_t op_hand(client *c)
{
    hand *h = c->own;
    int all = PUBLISHED * c->a->batch;
    uint32_t many = htobe32((uint32_t)all);
    const char *values[4] = {h->topic, (const char *)&h->xid, (const char *)&h->id, (const char *)&many};
    const int lengths[4] = {(int)strlen(h->topic), sizeof h->xid, sizeof h->id, sizeof many};
    const int formats[4] = {1, 1, 1, 1};
    for (int i = 0; i < PUBLISHED; i++)
        insert_batch(c);
    PGresult *res = PQexecPrepared(c->conn, "next", 4, values, lengths, formats, 1);
    check_result(c->conn, res, PGRES_TUPLES_OK);
    int n = PQntuples(res);
    if (n != all)
        die("%d of %d rows were read", n, all);
    memcpy(&h->id, PQgetvalue(res, n - 1, 0), sizeof h->id);
    memcpy(&h->xid, PQgetvalue(res, n - 1, 5), sizeof h->xid);
    PQclear(res);
    return (size_t)n;
}

const arm_ops floor_topic = {.label = "floor",
                             .by_hand = true,
                             .setup = set_up,
                             .open = open_hand,
                             .close = close_hand,
                             .op = op_hand};
