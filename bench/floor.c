/* SPDX-License-Identifier: MIT */
#include "floor.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE FLOOR ".message"
#define BYTEA 17

/* What a consumer needs of a message. */
#define COLUMNS                                                                                              \
    "id, priority, attempts, errors, kind, sent, due, first_received, expires, headers, last_error, "        \
    "payload, order_key, dedup_key"
#define NEXT                                                                                                 \
    "ARRAY(SELECT id FROM " TABLE " WHERE queue_id = 1 AND state = 0 ORDER BY priority, position"            \
    " LIMIT $1 FOR UPDATE SKIP LOCKED)"

#define SEND                                                                                                 \
    "INSERT INTO " TABLE " (id, position, sent, queue_id, priority, state, kind, payload)"                   \
    " SELECT n, n, clock_timestamp(), 1, 999, 0, 0, $1"                                                      \
    " FROM (SELECT nextval('" FLOOR ".position') AS n OFFSET 0) s RETURNING id"
#define SEND_MANY                                                                                            \
    "INSERT INTO " TABLE " (id, position, sent, queue_id, priority, state, kind, due, payload)"              \
    " SELECT n, n, clock_timestamp(), 1, 999, CASE WHEN $2 > 0 THEN 1 ELSE 0 END, 0,"                        \
    "        CASE WHEN $2 > 0 THEN clock_timestamp() + $2 * interval '1 ms' END, p"                          \
    " FROM (SELECT nextval('" FLOOR ".position') AS n, p FROM unnest($1) p OFFSET 0) s RETURNING id"
#define POP "DELETE FROM " TABLE " WHERE id = ANY(" NEXT ") RETURNING " COLUMNS
#define LEASE                                                                                                \
    "UPDATE " TABLE " SET state = 2, attempts = attempts + 1,"                                               \
    " first_received = COALESCE(first_received, clock_timestamp()),"                                         \
    " due = clock_timestamp() + interval '10 minutes'"                                                       \
    " WHERE id = ANY(" NEXT ") RETURNING " COLUMNS
/* No condition on the state: it would let the planner take the index of due times. */
#define ACK "DELETE FROM " TABLE " WHERE id = ANY($1)"
/* now(), which an index can be searched by, as it stays the same. */
#define PROMOTE                                                                                              \
    "UPDATE " TABLE " SET state = 0, position = nextval('" FLOOR ".position'), due = NULL"                   \
    " WHERE id = ANY(ARRAY(SELECT id FROM " TABLE " WHERE queue_id = 1 AND state <> 0"                       \
    " AND due <= now() AND state = 1 ORDER BY due, id LIMIT 1000 FOR UPDATE SKIP LOCKED))"

/* LIKE copies no storage parameters. Autovacuum is off on both, as it would hit either side by chance:
 * the bench itself vacuums both at the same moments. */
void floor_install(bench *b)
{
    run_sql(b->control,
            "CREATE SEQUENCE " FLOOR ".position;"
            "CREATE TABLE " TABLE " (LIKE " NS ".message INCLUDING ALL);"
            "CREATE TABLE " FLOOR ".work (message bigint NOT NULL, note text NOT NULL);"
            "DO $$ DECLARE set text; BEGIN"
            " SELECT string_agg(o, ', ') INTO set FROM pg_class c, unnest(c.reloptions) o"
            " WHERE c.oid = '" NS ".message'::regclass;"
            " IF set IS NOT NULL THEN EXECUTE format('ALTER TABLE " TABLE " SET (%s)', set); END IF;"
            " END $$;"
            "ALTER TABLE " TABLE " SET (autovacuum_enabled = off);"
            "ALTER TABLE " NS ".message SET (autovacuum_enabled = off)");
}

static void prepare_typed(PGconn *conn, const char *name, const char *sql, Oid first, Oid second)
{
    Oid types[2] = {first, second};
    PGresult *res = PQprepare(conn, name, sql, second ? 2 : 1, types);
    check_result(conn, res, PGRES_COMMAND_OK);
    PQclear(res);
}

enum { INT4 = 23, INT8 = 20, INT8_ARRAY = 1016, BYTEA_ARRAY = 1001, TEXT = 25 };

void floor_prepare(PGconn *conn)
{
    run_sql(conn, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
                  "SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off");
    prepare_typed(conn, "send", SEND, BYTEA, 0);
    prepare_typed(conn, "send_many", SEND_MANY, BYTEA_ARRAY, INT4);
    prepare_typed(conn, "pop", POP, INT4, 0);
    prepare_typed(conn, "lease", LEASE, INT4, 0);
    prepare_typed(conn, "ack", ACK, INT8_ARRAY, 0);
    prepare(conn, "promote", PROMOTE);
    prepare_typed(conn, "work", WORK_INSERT, INT8, TEXT);
}

void work_insert(PGconn *conn, int64_t id)
{
    uint64_t be = htobe64((uint64_t)id);
    const char *values[2] = {(const char *)&be, "done"};
    const int lengths[2] = {sizeof be, 4};
    const int formats[2] = {1, 1};
    PGresult *res = PQexecPrepared(conn, "work", 2, values, lengths, formats, 1);
    check_result(conn, res, PGRES_COMMAND_OK);
    PQclear(res);
}

/* --- the statements --- */

static void put32(char **p, uint32_t n)
{
    n = htonl(n);
    memcpy(*p, &n, sizeof n);
    *p += sizeof n;
}

/* An array of n elements in the binary format; item NULL: of the ids. To be freed. */
static char *make_array(Oid type, size_t n, const char *item, size_t item_len, const int64_t *ids, int *len)
{
    char *start = allocate(20 + n * (4 + item_len), 1);
    char *p = start;
    put32(&p, 1);
    put32(&p, 0);
    put32(&p, type);
    put32(&p, (uint32_t)n);
    put32(&p, 1);
    for (size_t i = 0; i < n; i++) {
        uint64_t be = item ? 0 : htobe64((uint64_t)ids[i]);
        put32(&p, (uint32_t)item_len);
        memcpy(p, item ? item : (const char *)&be, item_len);
        p += item_len;
    }
    *len = (int)(p - start);
    return start;
}

char *floor_payloads(const bench *b, size_t n, int *len)
{
    return make_array(BYTEA, n, b->payload, (size_t)b->o.payload, NULL, len);
}

static void send_one(PGconn *conn, const bench *b)
{
    const char *values[1] = {b->payload};
    const int lengths[1] = {b->o.payload};
    const int formats[1] = {1};
    PGresult *res = PQexecPrepared(conn, "send", 1, values, lengths, formats, 1);
    check_result(conn, res, PGRES_TUPLES_OK);
    PQclear(res);
}

static void send_many(PGconn *conn, const char *array, int len, int64_t delay_ms)
{
    uint32_t delay = htonl((uint32_t)delay_ms);
    const char *values[2] = {array, (const char *)&delay};
    const int lengths[2] = {len, sizeof delay};
    const int formats[2] = {1, 1};
    PGresult *res = PQexecPrepared(conn, "send_many", 2, values, lengths, formats, 1);
    check_result(conn, res, PGRES_TUPLES_OK);
    PQclear(res);
}

/* Takes up to n by "pop" or "lease"; ids may be NULL. */
static size_t take(PGconn *conn, const char *statement, int n, int64_t *ids)
{
    uint32_t be = htonl((uint32_t)n);
    const char *values[1] = {(const char *)&be};
    const int lengths[1] = {sizeof be};
    const int formats[1] = {1};
    PGresult *res = PQexecPrepared(conn, statement, 1, values, lengths, formats, 1);
    check_result(conn, res, PGRES_TUPLES_OK);
    int count = PQntuples(res);
    for (int i = 0; ids && i < count; i++) {
        uint64_t id;
        memcpy(&id, PQgetvalue(res, i, 0), sizeof id);
        ids[i] = (int64_t)be64toh(id);
    }
    PQclear(res);
    return (size_t)count;
}

static void ack(PGconn *conn, const int64_t *ids, size_t n)
{
    int len;
    char *array = make_array(INT8, n, NULL, sizeof *ids, ids, &len);
    const char *values[1] = {array};
    const int lengths[1] = {len};
    const int formats[1] = {1};
    PGresult *res = PQexecPrepared(conn, "ack", 1, values, lengths, formats, 1);
    check_result(conn, res, PGRES_COMMAND_OK);
    PQclear(res);
    free(array);
}

void floor_fill(bench *b, int64_t n, int64_t delay_ms)
{
    int len;
    char *array = floor_payloads(b, (size_t)n, &len);
    send_many(b->hand, array, len, delay_ms);
    free(array);
}

/* --- the clients --- */

typedef struct own {
    char *array; /* the payloads of a batch, made once: pgq's side makes them with each call */
    int array_len;
    int64_t *ids;
} own;

static void open_client(client *c)
{
    own *o = allocate(1, sizeof *o);
    c->conn = connect_to(c->a->conninfo);
    floor_prepare(c->conn);
    o->ids = allocate((size_t)c->a->batch, sizeof *o->ids);
    c->own = o;
}

static void close_client(client *c)
{
    own *o = c->own;
    PQfinish(c->conn);
    free(o->ids);
    free(o);
}

static size_t op_send(client *c)
{
    send_one(c->conn, c->a->b);
    return 1;
}

static size_t op_send_batch(client *c)
{
    const bench *b = c->a->b;
    own *o = c->own;
    o->array = floor_payloads(b, (size_t)c->a->batch, &o->array_len);
    send_many(c->conn, o->array, o->array_len, 0);
    free(o->array);
    return (size_t)c->a->batch;
}

static size_t op_pop(client *c)
{
    return take(c->conn, "pop", c->a->batch, NULL);
}

static size_t op_lease(client *c)
{
    own *o = c->own;
    size_t n = take(c->conn, "lease", c->a->batch, o->ids);
    if (n > 0)
        ack(c->conn, o->ids, n);
    return n;
}

/* What falls due is made ready when nothing is. */
static size_t op_delayed(client *c)
{
    size_t n = take(c->conn, "pop", c->a->batch, NULL);
    if (n > 0)
        return n;
    PGresult *res = PQexecPrepared(c->conn, "promote", 0, NULL, NULL, NULL, 1);
    check_result(c->conn, res, PGRES_COMMAND_OK);
    PQclear(res);
    return take(c->conn, "pop", c->a->batch, NULL);
}

/* Three round trips: the claim goes with the BEGIN, as one simple query. */
static size_t op_scope(client *c)
{
    char sql[64];
    snprintf(sql, sizeof sql, "BEGIN; EXECUTE pop(%d)", c->a->batch);
    PGresult *res = PQexec(c->conn, sql);
    check_result(c->conn, res, PGRES_TUPLES_OK);
    int n = PQntuples(res);
    for (int i = 0; i < n; i++)
        work_insert(c->conn, strtoll(PQgetvalue(res, i, 0), NULL, 10));
    PQclear(res);
    run_sql(c->conn, "COMMIT");
    return (size_t)n;
}

/* Another client may have the one that this one has sent, and this one finds its place taken meanwhile. */
static size_t op_cycle(client *c)
{
    send_one(c->conn, c->a->b);
    while (op_scope(c) == 0)
        continue;
    return 1;
}

#define CLIENT .by_hand = true, .label = "floor", .open = open_client, .close = close_client

const arm_ops floor_send = {CLIENT, .op = op_send};
const arm_ops floor_send_batch = {CLIENT, .op = op_send_batch};
const arm_ops floor_pop = {CLIENT, .op = op_pop, .consumes = true};
const arm_ops floor_pop_batch = {CLIENT, .op = op_pop, .consumes = true};
const arm_ops floor_scope = {CLIENT, .op = op_scope, .consumes = true};
const arm_ops floor_scope_batch = {CLIENT, .op = op_scope, .consumes = true};
const arm_ops floor_lease = {CLIENT, .op = op_lease, .consumes = true};
const arm_ops floor_cycle = {CLIENT, .op = op_cycle};
const arm_ops floor_delayed = {CLIENT, .op = op_delayed, .drains = true, .consumes = true, .delay_ms = 1};
