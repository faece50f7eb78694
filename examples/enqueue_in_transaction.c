/* SPDX-License-Identifier: MIT */
/* Takes an order, and sends the message about it in the same transaction: both are there, or neither.
 *
 *     enqueue_in_transaction ORDER
 *
 * The server is that of libpq's environment. examples/worker.c ships the orders. */
#include <pgq/pgq.h>
#include <stdio.h>
#include <string.h>

static int run(PGconn *conn, const char *sql, int n, const char *const *values)
{
    PGresult *res = PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
    int ok = PQresultStatus(res) == PGRES_COMMAND_OK;

    if (!ok)
        fprintf(stderr, "%s: %s", sql, PQerrorMessage(conn));
    PQclear(res);
    return ok;
}

static int send_order(pgq *q, const char *order)
{
    pgq_enqueue_options options = PGQ_ENQUEUE_OPTIONS_INIT;
    int64_t id;

    options.kind = PGQ_TEXT;
    options.headers = "{\"from\": \"the shop\"}";
    options.create_queue = 1;
    if (pgq_enqueue(q, "orders", order, strlen(order), &options, &id) != PGQ_OK) {
        fprintf(stderr, "enqueue: %s\n", pgq_last_error(q)->message);
        return 0;
    }
    printf("order %s is message %lld, once this is committed\n", order, (long long)id);
    return 1;
}

static int place(PGconn *conn, pgq *q, const char *order)
{
    int ok =
        run(conn, "CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, shipped boolean DEFAULT false)", 0,
            NULL) &&
        run(conn, "BEGIN", 0, NULL) && run(conn, "INSERT INTO orders (id) VALUES ($1)", 1, &order) &&
        send_order(q, order);

    return run(conn, ok ? "COMMIT" : "ROLLBACK", 0, NULL) && ok;
}

int main(int argc, char **argv)
{
    PGconn *conn;
    pgq *q = NULL;
    int ok = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: enqueue_in_transaction ORDER\n");
        return 2;
    }
    conn = PQconnectdb("");
    if (PQstatus(conn) != CONNECTION_OK)
        fprintf(stderr, "%s", PQerrorMessage(conn));
    else if (pgq_attach(conn, NULL, &q) != PGQ_OK || pgq_install(q) != PGQ_OK)
        fprintf(stderr, "pgq: %s\n", pgq_last_error(q)->message);
    else
        ok = place(conn, q, argv[1]);
    pgq_close(q);
    PQfinish(conn);
    return ok ? 0 : 1;
}
