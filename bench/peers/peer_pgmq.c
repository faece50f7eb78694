/* SPDX-License-Identifier: MIT */
/* pgmq: its SQL functions, by prepared statements. Its own documentation does it so: send() and send_batch(),
 * read() with delete(), and pop(). */
#include "driver.h"
#include "sql.h"
#include <stdlib.h>
#include <string.h>

#define LEASE "30" /* seconds */

struct client {
    PGconn *conn;
    char *batches[FILL_BATCH + 1]; /* the array of n payloads, made when it is first wanted */
    int pops_many;
};

/* pop() takes a number since 1.7. */
static int pops_many(PGconn *conn)
{
    PGresult *r = PQexec(conn, "SELECT 1 FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
                               " WHERE n.nspname = 'pgmq' AND p.proname = 'pop' AND p.pronargs = 2");
    int found = PQntuples(r) > 0;

    PQclear(r);
    return found;
}

static const char *the_where; /* for lacks() */

static const char *lacks(const char *name)
{
    PGconn *conn;
    int many;

    if (strcmp(name, "pop-batch") != 0)
        return NULL;
    conn = sql_open(the_where);
    many = pops_many(conn);
    PQfinish(conn);
    return many ? NULL : "takes no more than one message by pop() in this version";
}

static void prepare(const char *where)
{
    PGconn *conn = sql_open(where);

    sql_run(conn, "SELECT pgmq.create('" QUEUE "')");
    PQfinish(conn);
}

static void *open_client(const char *where)
{
    struct client *c = must_alloc(sizeof *c);

    c->conn = sql_open(where);
    c->pops_many = pops_many(c->conn);
    sql_prepare(c->conn, "send", "SELECT pgmq.send('" QUEUE "', $1::jsonb)");
    sql_prepare(c->conn, "send_batch", "SELECT pgmq.send_batch('" QUEUE "', $1::jsonb[])");
    sql_prepare(c->conn, "read",
                "SELECT msg_id, message FROM pgmq.read('" QUEUE "', " LEASE ", $1::integer)");
    sql_prepare(c->conn, "delete", "SELECT pgmq.delete('" QUEUE "', $1::bigint)");
    sql_prepare(c->conn, "delete_batch", "SELECT pgmq.delete('" QUEUE "', $1::bigint[])");
    sql_prepare(c->conn, "pop", "SELECT msg_id, message FROM pgmq.pop('" QUEUE "')");
    if (c->pops_many)
        sql_prepare(c->conn, "pop_batch", "SELECT msg_id, message FROM pgmq.pop('" QUEUE "', $1::integer)");
    return c;
}

static void close_client(void *client)
{
    struct client *c = client;

    for (int i = 0; i <= FILL_BATCH; i++)
        free(c->batches[i]);
    PQfinish(c->conn);
    free(c);
}

static void send_messages(void *client, int n)
{
    const char *payloads[FILL_BATCH];
    struct client *c = client;
    const char *argument = PAYLOAD;

    if (n > 1) {
        for (int i = 0; i < n; i++)
            payloads[i] = PAYLOAD;
        if (!c->batches[n])
            c->batches[n] = sql_array(payloads, n);
        argument = c->batches[n];
    }
    PQclear(sql_execute(c->conn, n > 1 ? "send_batch" : "send", 1, &argument));
}

static int pop(struct client *c, const char *max, int n)
{
    PGresult *r = n > 1 ? sql_execute(c->conn, "pop_batch", 1, &max) : sql_execute(c->conn, "pop", 0, NULL);
    int count = PQntuples(r);

    PQclear(r);
    return count;
}

static int take(void *client, int n, enum mode mode)
{
    struct client *c = client;
    const char *max = n == 1 ? "1" : "100", *ids[BATCH], *argument;
    PGresult *r, *deleted;
    int count;

    if (mode == MODE_POP)
        return pop(c, max, n);
    r = sql_execute(c->conn, "read", 1, &max);
    count = PQntuples(r);
    if (count > 0 && n == 1) {
        argument = PQgetvalue(r, 0, 0);
        deleted = sql_execute(c->conn, "delete", 1, &argument);
        if (strcmp(PQgetvalue(deleted, 0, 0), "t") != 0)
            fail("a message was not deleted");
        PQclear(deleted);
    } else if (count > 0) {
        char *array;

        for (int i = 0; i < count; i++)
            ids[i] = PQgetvalue(r, i, 0);
        argument = array = sql_array(ids, count);
        deleted = sql_execute(c->conn, "delete_batch", 1, &argument);
        if (PQntuples(deleted) != count)
            fail("%d of %d messages were deleted", PQntuples(deleted), count);
        PQclear(deleted);
        free(array);
    }
    PQclear(r);
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

    the_where = argc > 1 ? argv[1] : "";
    return drive(&peer, argc, argv);
}
