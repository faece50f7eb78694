/* SPDX-License-Identifier: MIT */
/* PgQ: its SQL functions, by prepared statements. It has batches only: what one tick has gathered is taken as
 * a whole and finished as a whole, by each consumer for itself. */
#include "driver.h"
#include "sql.h"
#include <stdlib.h>
#include <string.h>

#define CONSUMER "bench_consumer"

struct client {
    PGconn *conn;
    char *batches[BATCH + 1]; /* the array of n payloads, made when it is first wanted */
};

static const char *lacks(const char *name)
{
    if (strcmp(name, "settle-1") == 0 || strcmp(name, "lease-1") == 0)
        return "settles whole batches only";
    if (strcmp(name, "settle-8") == 0 || strcmp(name, "lease-8") == 0)
        return "settles whole batches only, and gives each consumer all messages";
    if (strncmp(name, "pop", 3) == 0)
        return "deletes nothing when it is read: tables are emptied in turn";
    return NULL;
}

static void prepare(const char *where)
{
    PGconn *conn = sql_open(where);

    sql_run(conn, "CREATE EXTENSION pgq");
    sql_run(conn, "SELECT pgq.create_queue('" QUEUE "')");
    sql_run(conn, "SELECT pgq.set_queue_config('" QUEUE "', 'ticker_max_count', '100')");
    sql_run(conn, "SELECT pgq.register_consumer('" QUEUE "', '" CONSUMER "')");
    PQfinish(conn);
}

static void *open_client(const char *where)
{
    struct client *c = must_alloc(sizeof *c);

    c->conn = sql_open(where);
    sql_prepare(c->conn, "send", "SELECT pgq.insert_event('" QUEUE "', 'm', $1::text)");
    sql_prepare(c->conn, "send_batch",
                "SELECT pgq.insert_event('" QUEUE "', 'm', x) FROM unnest($1::text[]) AS x");
    sql_prepare(c->conn, "tick", "SELECT pgq.ticker('" QUEUE "')");
    sql_prepare(c->conn, "next", "SELECT pgq.next_batch('" QUEUE "', '" CONSUMER "')");
    sql_prepare(c->conn, "events", "SELECT ev_id, ev_data FROM pgq.get_batch_events($1::bigint)");
    sql_prepare(c->conn, "finish", "SELECT pgq.finish_batch($1::bigint)");
    return c;
}

static void close_client(void *client)
{
    struct client *c = client;

    for (int i = 0; i <= BATCH; i++)
        free(c->batches[i]);
    PQfinish(c->conn);
    free(c);
}

/* A batch is one transaction and a tick, as consumers see nothing before the next tick. */
static void send_batch(struct client *c, int n)
{
    const char *payloads[BATCH];
    const char *argument;

    for (int i = 0; i < n; i++)
        payloads[i] = PAYLOAD;
    if (!c->batches[n])
        c->batches[n] = sql_array(payloads, n);
    argument = c->batches[n];
    PQclear(sql_execute(c->conn, "send_batch", 1, &argument));
    PQclear(sql_execute(c->conn, "tick", 0, NULL));
}

static void send_messages(void *client, int n)
{
    const char *argument = PAYLOAD;
    struct client *c = client;

    if (n == 1)
        PQclear(sql_execute(c->conn, "send", 1, &argument));
    for (; n > 1; n -= BATCH)
        send_batch(c, n < BATCH ? n : BATCH);
}

/* The first batches may be empty: ticks from before the first message. */
static int take(void *client, int n, enum mode mode)
{
    struct client *c = client;
    int count = 0;

    (void)n, (void)mode;
    while (count == 0) {
        PGresult *next = sql_execute(c->conn, "next", 0, NULL), *events;
        const char *batch = PQgetvalue(next, 0, 0);

        if (PQgetisnull(next, 0, 0)) {
            PQclear(next);
            break;
        }
        events = sql_execute(c->conn, "events", 1, &batch);
        count = PQntuples(events);
        PQclear(events);
        PQclear(sql_execute(c->conn, "finish", 1, &batch));
        PQclear(next);
    }
    return count;
}

int main(int argc, char **argv)
{
    static const struct peer peer = {
        .lacks = lacks,
        .prepare = prepare,
        .open = open_client,
        .close = close_client,
        .send = send_messages,
        .take = take,
        .has_sql = 1,
    };

    return drive(&peer, argc, argv);
}
