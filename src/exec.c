/* SPDX-License-Identifier: MIT */
#include "exec.h"

#include "error.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Puts the schema in the place of each %s. */
static int expand(const pgq *q, const char *sql, char out[SQL_MAX])
{
    size_t schema = strlen(q->schema);
    size_t len = 0;

    while (*sql) {
        int here = sql[0] == '%' && sql[1] == 's';
        size_t n = here ? schema : 1;

        if (len + n >= SQL_MAX)
            return 0;
        memcpy(out + len, here ? q->schema : sql, n);
        len += n;
        sql += here ? 2 : 1;
    }
    out[len] = '\0';
    return 1;
}

static int succeeded(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);

    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

static PGresult *run_text(pgq *q, const char *text, const pgqi_params *p)
{
    return PQexecParams(q->conn, text, p ? p->n : 0, p ? p->types : NULL, p ? p->values : NULL,
                        p ? p->lengths : NULL, p ? p->formats : NULL, 1);
}

/* Asks, once and when something is to be prepared, whether the session is the connection's own: a pooler
 * makes the process number of its own up. */
static void ask_whether_direct(pgq *q)
{
    PGresult *res;

    if (!q->owned || q->prepared.direct >= 0 || q->prepared.n == 0)
        return;
    res = PQexec(q->conn, "SELECT pg_catalog.pg_backend_pid()");
    q->prepared.direct = succeeded(res) && strtol(PQgetvalue(res, 0, 0), NULL, 10) == PQbackendPID(q->conn);
    PQclear(res);
}

static PGresult *run_prepared(pgq *q, const char *sql, const char *text, const pgqi_params *p)
{
    PGresult *res;
    pgqi_use use;

    ask_whether_direct(q);
    pgqi_prepared_use(q, sql, &use);
    if (use.at < 0)
        return run_text(q, text, p);
    if (use.prepare) {
        res = PQprepare(q->conn, use.name, text, p->n, p->types);
        if (!succeeded(res)) {
            pgqi_prepared_failed(q, &use);
            return res;
        }
        PQclear(res);
    }
    return PQexecPrepared(q->conn, use.name, p->n, p->values, p->lengths, p->formats, 1);
}

pgq_status pgqi_call(pgq *q, const char *sql, const pgqi_params *params, PGresult **out)
{
    int alone = !pgqi_in_transaction(q);
    char text[SQL_MAX];
    PGresult *res;

    *out = NULL;
    if (params && params->failed)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    if (!expand(q, sql, text))
        return pgqi_error_set(&q->error, PGQ_INVALID, "the statement is too long");
    res = params && params->prepare ? run_prepared(q, sql, text, params) : run_text(q, text, params);
    if (!succeeded(res)) {
        pgqi_error_from_server(&q->error, q->conn, res);
        PQclear(res);
        if (!pgqi_prepared_lost(q) || !alone)
            return q->error.status;
        pgqi_error_clear(&q->error, PGQ_OK);
        res = run_text(q, text, params);
        if (!succeeded(res)) {
            pgqi_error_from_server(&q->error, q->conn, res);
            PQclear(res);
            return q->error.status;
        }
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

    if (succeeded(res))
        pgqi_error_clear(&q->error, PGQ_OK);
    else
        pgqi_error_from_server(&q->error, q->conn, res);
    PQclear(res);
    return q->error.status;
}

pgq_status pgqi_unit_begin(pgq *q, const char *begin, int *joined)
{
    *joined = pgqi_in_transaction(q);
    return pgqi_command(q, *joined ? "SAVEPOINT pgq_unit" : begin, NULL);
}

pgq_status pgqi_unit_end(pgq *q, int joined, int keep)
{
    pgq_error why;

    if (keep && pgqi_command(q, joined ? "RELEASE SAVEPOINT pgq_unit" : "COMMIT", NULL) == PGQ_OK)
        return PGQ_OK;
    why = q->error;
    if (PQstatus(q->conn) == CONNECTION_OK && pgqi_in_transaction(q) &&
        pgqi_command(q, joined ? "ROLLBACK TO SAVEPOINT pgq_unit" : "ROLLBACK", NULL) == PGQ_OK && joined)
        pgqi_command(q, "RELEASE SAVEPOINT pgq_unit", NULL);
    q->error = why;
    q->error.needs_rollback = PQtransactionStatus(q->conn) == PQTRANS_INERROR;
    return q->error.status;
}

/* A caller's connection may be one that does not block, and would gather in memory all that it is given. */
static int send_off(PGconn *conn)
{
    int left;

    while ((left = PQflush(conn)) > 0) {
        struct pollfd fd = {PQsocket(conn), POLLIN | POLLOUT, 0};

        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return 0;
        if (fd.revents & POLLIN && !PQconsumeInput(conn))
            return 0;
    }
    return left == 0;
}

static int put_all(PGconn *conn, pgqi_next_piece next, void *arg)
{
    const void *piece;
    size_t len;

    while ((len = next(arg, &piece)) > 0)
        if (PQputCopyData(conn, piece, (int)len) != 1 || (PQisnonblocking(conn) && !send_off(conn)))
            return 0;
    return 1;
}

pgq_status pgqi_copy_in(pgq *q, const char *statement, pgqi_next_piece next, void *arg)
{
    PGresult *res = PQexec(q->conn, statement);
    int put;

    if (PQresultStatus(res) != PGRES_COPY_IN) {
        pgqi_error_from_server(&q->error, q->conn, res);
        PQclear(res);
        return q->error.status;
    }
    PQclear(res);
    put = put_all(q->conn, next, arg);
    PQputCopyEnd(q->conn, put ? NULL : "the client could not go on");
    pgqi_error_clear(&q->error, PGQ_OK);
    /* Had even the end no room, it is still copying, and says so for ever. */
    while ((res = PQgetResult(q->conn)) && PQresultStatus(res) != PGRES_COPY_IN) {
        if (!succeeded(res) && q->error.status == PGQ_OK)
            pgqi_error_from_server(&q->error, q->conn, res);
        PQclear(res);
    }
    if ((!put || res) && PQstatus(q->conn) == CONNECTION_OK)
        pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
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

static int send_one(pgq *q, pgqi_statement *s)
{
    const pgqi_params *p = s->params;
    const char *const *values = p ? p->values : NULL;
    const int *lengths = p ? p->lengths : NULL;
    const int *formats = p ? p->formats : NULL;
    const Oid *types = p ? p->types : NULL;
    int n = p ? p->n : 0;
    char text[SQL_MAX];

    pgqi_prepared_use(q, s->sql, &s->use);
    if (s->use.at >= 0 && !s->use.prepare)
        return PQsendQueryPrepared(q->conn, s->use.name, n, values, lengths, formats, 1);
    if (!expand(q, s->sql, text))
        return 0;
    if (s->use.at < 0)
        return PQsendQueryParams(q->conn, text, n, types, values, lengths, formats, 1);
    return PQsendPrepare(q->conn, s->use.name, text, n, types) &&
           PQsendQueryPrepared(q->conn, s->use.name, n, values, lengths, formats, 1);
}

static pgq_status send_all(pgq *q, pgqi_statement *statements, int n)
{
    ask_whether_direct(q);
    if (!PQenterPipelineMode(q->conn))
        return pgqi_error_set(&q->error, PGQ_STATE, "pipeline mode is not possible now");
    for (int i = 0; i < n; i++)
        if (!send_one(q, &statements[i]) || (statements[i].sync && !PQpipelineSync(q->conn)))
            return pgqi_error_from_server(&q->error, q->conn, NULL);
    return PGQ_OK;
}

/* The answer to one message, with the NULL that ends it; NULL if it was skipped. */
static PGresult *receive_one(pgq *q)
{
    PGresult *res = PQgetResult(q->conn);
    PGresult *more;

    if (res && PQresultStatus(res) == PGRES_PIPELINE_ABORTED) {
        PQclear(res);
        res = NULL;
    } else if (res && !succeeded(res) && q->error.status == PGQ_OK) {
        pgqi_error_from_server(&q->error, q->conn, res);
    }
    while (PQstatus(q->conn) == CONNECTION_OK && (more = PQgetResult(q->conn)))
        PQclear(more);
    return res;
}

static void receive(pgq *q, pgqi_statement *s)
{
    if (s->use.at >= 0 && s->use.prepare) {
        PGresult *res = receive_one(q);

        if (!res || !succeeded(res))
            pgqi_prepared_failed(q, &s->use);
        PQclear(res);
        if (PQstatus(q->conn) != CONNECTION_OK)
            return;
    }
    s->res = receive_one(q);
    if (s->sync && PQstatus(q->conn) == CONNECTION_OK)
        PQclear(PQgetResult(q->conn));
}

/* 1: pipeline mode is left, or the connection is gone. A server that is told to end says so unasked, perhaps
 * right behind the last answer: that is read, where all answers are in; it takes nothing back. */
static int leave_pipeline(pgq *q, int all_answered)
{
    int left = PQexitPipelineMode(q->conn);

    for (int i = 0; i < 4 && !left && all_answered && PQstatus(q->conn) == CONNECTION_OK; i++) {
        PQclear(PQgetResult(q->conn));
        left = PQexitPipelineMode(q->conn);
    }
    return left || PQstatus(q->conn) != CONNECTION_OK;
}

pgq_status pgqi_pipeline(pgq *q, pgqi_statement *statements, int n)
{
    int sent;

    for (int i = 0; i < n; i++) {
        statements[i].res = NULL;
        if (statements[i].params && statements[i].params->failed)
            return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    }
    pgqi_error_clear(&q->error, PGQ_OK);
    sent = send_all(q, statements, n) == PGQ_OK;
    if (sent)
        for (int i = 0; i < n && PQstatus(q->conn) == CONNECTION_OK; i++)
            receive(q, &statements[i]);
    if (PQstatus(q->conn) != CONNECTION_OK && q->error.status == PGQ_OK)
        pgqi_error_from_server(&q->error, q->conn, NULL);
    if (!leave_pipeline(q, sent) && q->error.status == PGQ_OK)
        pgqi_error_from_server(&q->error, q->conn, NULL);
    pgqi_prepared_lost(q);
    return q->error.status;
}

void pgqi_clear(pgqi_statement *statements, int n)
{
    for (int i = 0; i < n; i++)
        PQclear(statements[i].res);
}
