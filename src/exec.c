/* SPDX-License-Identifier: MIT */
#include "exec.h"

#include "error.h"

#include <stdio.h>
#include <string.h>

enum { SQL_MAX = 1024 };

static void ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

/* What is in conninfo goes first: only the encoding is ours to say. */
PGconn *pgqi_connect(const char *conninfo, int async)
{
    const char *const names[] = {"fallback_application_name", "dbname", "client_encoding", NULL};
    const char *const values[] = {"pgq", conninfo && *conninfo ? conninfo : NULL, "UTF8", NULL};
    PGconn *conn = async ? PQconnectStartParams(names, values, 1) : PQconnectdbParams(names, values, 1);

    if (conn)
        PQsetNoticeReceiver(conn, ignore_notice, NULL);
    return conn;
}

int pgqi_in_transaction(const pgq *q)
{
    return PQtransactionStatus(q->conn) != PQTRANS_IDLE;
}

pgq_status pgqi_enter(pgq *q)
{
    if (!q)
        return PGQ_INVALID;
    pgqi_error_clear(&q->error, PGQ_OK);
    if (!q->conn || PQstatus(q->conn) != CONNECTION_OK)
        return pgqi_error_from_server(&q->error, q->conn, NULL);
    if (PQpipelineStatus(q->conn) != PQ_PIPELINE_OFF)
        return pgqi_error_set(&q->error, PGQ_STATE, "the connection is in pipeline mode: leave it first");
    switch (PQtransactionStatus(q->conn)) {
    case PQTRANS_ACTIVE:
        return pgqi_error_set(&q->error, PGQ_STATE, "a command is still running on the connection");
    case PQTRANS_INERROR:
        pgqi_error_set(&q->error, PGQ_ABORTED, "the transaction has failed: roll it back first");
        q->error.needs_rollback = 1;
        return PGQ_ABORTED;
    default:
        break;
    }
    if (pg_encoding_to_char(PQclientEncoding(q->conn)) &&
        strcmp(pg_encoding_to_char(PQclientEncoding(q->conn)), "UTF8") != 0)
        return pgqi_error_set(&q->error, PGQ_STATE, "the connection's client_encoding is %s: it must be UTF8",
                              pg_encoding_to_char(PQclientEncoding(q->conn)));
    return PGQ_OK;
}

/* Puts the schema in the place of the first %s. */
static int expand(const pgq *q, const char *sql, char out[SQL_MAX])
{
    const char *at = strstr(sql, "%s");
    int len = at ? snprintf(out, SQL_MAX, "%.*s%s%s", (int)(at - sql), sql, q->schema, at + 2)
                 : snprintf(out, SQL_MAX, "%s", sql);

    return len > 0 && len < SQL_MAX;
}

static int succeeded(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);

    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

pgq_status pgqi_call(pgq *q, const char *sql, const pgqi_params *params, PGresult **out)
{
    char text[SQL_MAX];
    PGresult *res;

    *out = NULL;
    if (params && params->failed)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    if (!expand(q, sql, text))
        return pgqi_error_set(&q->error, PGQ_INVALID, "the statement is too long");
    res = PQexecParams(q->conn, text, params ? params->n : 0, params ? params->types : NULL,
                       params ? params->values : NULL, params ? params->lengths : NULL,
                       params ? params->formats : NULL, 1);
    if (!succeeded(res)) {
        pgqi_error_from_server(&q->error, q->conn, res);
        PQclear(res);
        return q->error.status;
    }
    *out = res;
    return PGQ_OK;
}

pgq_status pgqi_call_outcome(pgq *q, const char *sql, const pgqi_params *params, PGresult **out)
{
    pgq_status status = pgqi_call(q, sql, params, out);

    if (status == PGQ_OK && PQntuples(*out) > 0 && !PQgetisnull(*out, 0, 0)) {
        status = pgqi_error_from_code(&q->error, PQgetvalue(*out, 0, 0), PQgetvalue(*out, 0, 1));
        PQclear(*out);
        *out = NULL;
    }
    return status;
}

pgq_status pgqi_command(pgq *q, const char *sql, const pgqi_params *params)
{
    PGresult *res;
    pgq_status status = pgqi_call(q, sql, params, &res);

    PQclear(res);
    return status;
}

pgq_status pgqi_command_outcome(pgq *q, const char *sql, const pgqi_params *params)
{
    PGresult *res;
    pgq_status status = pgqi_call_outcome(q, sql, params, &res);

    PQclear(res);
    return status;
}

pgq_status pgqi_script(pgq *q, const char *sql)
{
    PGresult *res = PQexec(q->conn, sql);

    if (!succeeded(res))
        pgqi_error_from_server(&q->error, q->conn, res);
    PQclear(res);
    return q->error.status;
}

int pgqi_add_statement(pgqi_statement *statements, int *n, const char *sql, const pgqi_params *params,
                       int sync)
{
    pgqi_statement *s = &statements[*n];

    s->sql = sql;
    s->params = params;
    s->sync = sync;
    s->res = NULL;
    return (*n)++;
}

static pgq_status send_all(pgq *q, pgqi_statement *statements, int n)
{
    char text[SQL_MAX];

    if (!PQenterPipelineMode(q->conn))
        return pgqi_error_set(&q->error, PGQ_STATE, "pipeline mode is not possible now");
    for (int i = 0; i < n; i++) {
        const pgqi_params *p = statements[i].params;

        if (!expand(q, statements[i].sql, text) ||
            !PQsendQueryParams(q->conn, text, p ? p->n : 0, p ? p->types : NULL, p ? p->values : NULL,
                               p ? p->lengths : NULL, p ? p->formats : NULL, 1) ||
            (statements[i].sync && !PQpipelineSync(q->conn)))
            return pgqi_error_from_server(&q->error, q->conn, NULL);
    }
    return PGQ_OK;
}

/* Reads one statement's answer, with the NULL that ends it. */
static void receive(pgq *q, pgqi_statement *s)
{
    PGresult *res = PQgetResult(q->conn);
    PGresult *more;

    if (res && PQresultStatus(res) == PGRES_PIPELINE_ABORTED) {
        PQclear(res);
        res = NULL;
    }
    if (res && !succeeded(res) && q->error.status == PGQ_OK)
        pgqi_error_from_server(&q->error, q->conn, res);
    s->res = res;
    if (PQstatus(q->conn) != CONNECTION_OK)
        return;
    while ((more = PQgetResult(q->conn)))
        PQclear(more);
    if (s->sync)
        PQclear(PQgetResult(q->conn));
}

pgq_status pgqi_pipeline(pgq *q, pgqi_statement *statements, int n)
{
    for (int i = 0; i < n; i++) {
        statements[i].res = NULL;
        if (statements[i].params && statements[i].params->failed)
            return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    }
    pgqi_error_clear(&q->error, PGQ_OK);
    if (send_all(q, statements, n) == PGQ_OK)
        for (int i = 0; i < n && PQstatus(q->conn) == CONNECTION_OK; i++)
            receive(q, &statements[i]);
    if (PQstatus(q->conn) != CONNECTION_OK && q->error.status == PGQ_OK)
        pgqi_error_from_server(&q->error, q->conn, NULL);
    if (!PQexitPipelineMode(q->conn) && q->error.status == PGQ_OK)
        pgqi_error_from_server(&q->error, q->conn, NULL);
    return q->error.status;
}

void pgqi_clear(pgqi_statement *statements, int n)
{
    for (int i = 0; i < n; i++)
        PQclear(statements[i].res);
}
