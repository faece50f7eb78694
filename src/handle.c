/* SPDX-License-Identifier: MIT */
#include "handle.h"

#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "keeper.h"
#include "text.h"

#include <poll.h>
#include <string.h>

pgq_status pgqi_read_options(void *to, size_t size, const void *from, pgq_error *e)
{
    const unsigned char *bytes = from;
    size_t given;

    if (!from)
        return PGQ_OK;
    memcpy(&given, from, sizeof given);
    if (given < sizeof given)
        return pgqi_error_set(e, PGQ_INVALID,
                              "an options struct of size %zu is not one: start from its _INIT macro", given);
    for (size_t i = size; i < given; i++)
        if (bytes[i])
            return pgqi_error_set(e, PGQ_INVALID,
                                  "the options use a member that this version of the library (%s) lacks",
                                  pgq_version_string());
    memcpy(to, from, given < size ? given : size);
    return PGQ_OK;
}

pgq_status pgqi_set_namespace(char name_space[PGQI_NAMESPACE_MAX + 1], pgqi_schema schema, const char *name,
                              pgq_error *e)
{
    size_t len;
    char *to = schema;

    if (!name)
        name = "mq";
    len = strnlen(name, PGQI_NAMESPACE_MAX + 1);
    if (len == 0 || len > PGQI_NAMESPACE_MAX || !pgqi_is_utf8(name, len) || strncmp(name, "pg_", 3) == 0)
        return pgqi_error_set(
            e, PGQ_INVALID,
            "a namespace is a schema's name of 1 to 63 bytes of UTF-8 that does not begin with pg_");
    memcpy(name_space, name, len + 1);
    *to++ = '"';
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '"')
            *to++ = '"';
        *to++ = name[i];
    }
    *to++ = '"';
    *to = '\0';
    return PGQ_OK;
}

static pgq_status make(const pgq_open_options *given, pgq_open_options *options, pgq **out)
{
    pgq *q;

    if (!out)
        return PGQ_INVALID;
    *out = NULL;
    q = pgqi_alloc(1, sizeof *q);
    if (!q)
        return PGQ_NO_MEMORY;
    q->cursors = pgqi_cursors_new();
    if (!q->cursors) {
        pgqi_free(q);
        return PGQ_NO_MEMORY;
    }
    pgqi_prepared_init(&q->prepared);
    *out = q;
    if (pgqi_read_options(options, sizeof *options, given, &q->error) != PGQ_OK)
        return q->error.status;
    return pgqi_set_namespace(q->name_space, q->schema, options->name_space, &q->error);
}

/* A server that answers has said no for good: only one that is not there yet is waited for. */
static int worth_a_retry(const char *conninfo)
{
    PGPing ping = PQping(conninfo ? conninfo : "");

    return ping == PQPING_NO_RESPONSE || ping == PQPING_REJECT;
}

/* Connects once more after each failure, as often as the options say. */
static pgq_status connect_patiently(pgq *q, const char *conninfo, const pgq_open_options *options)
{
    int tries = options->connect_attempts > 0 ? options->connect_attempts : 10;
    int pause = options->connect_backoff_ms > 0 ? options->connect_backoff_ms : 10;

    for (int i = 1;; i++) {
        q->conn = pgqi_connect(conninfo, 0);
        if (!q->conn)
            return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
        if (PQstatus(q->conn) == CONNECTION_OK)
            return pgqi_error_clear(&q->error, PGQ_OK);
        pgqi_error_from_server(&q->error, q->conn, NULL);
        if (i >= tries || !worth_a_retry(conninfo))
            return q->error.status;
        PQfinish(q->conn);
        q->conn = NULL;
        poll(NULL, 0, pause);
        pause = pause > 30000 ? 60000 : 2 * pause;
    }
}

pgq_status pgq_open(const char *conninfo, const pgq_open_options *options, pgq **out)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_status status = make(options, &o, out);

    if (status != PGQ_OK)
        return status;
    (*out)->owned = 1;
    if (o.connect_attempts < 0 || o.connect_backoff_ms < 0)
        return pgqi_error_set(&(*out)->error, PGQ_INVALID,
                              "connect_attempts %d and connect_backoff_ms %d must not be negative",
                              o.connect_attempts, o.connect_backoff_ms);
    (*out)->conninfo = pgqi_strdup(conninfo ? conninfo : "");
    if (!(*out)->conninfo)
        return pgqi_error_set(&(*out)->error, PGQ_NO_MEMORY, "out of memory");
    return connect_patiently(*out, conninfo, &o);
}

pgq_status pgq_attach(PGconn *conn, const pgq_open_options *options, pgq **out)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_status status = make(options, &o, out);

    if (status != PGQ_OK)
        return status;
    if (!conn)
        return pgqi_error_set(&(*out)->error, PGQ_INVALID, "conn must not be NULL");
    (*out)->conn = conn;
    return PGQ_OK;
}

void pgq_close(pgq *q)
{
    if (!q)
        return;
    pgqi_keeper_free(q->keeper);
    if (q->owned)
        PQfinish(q->conn);
    pgqi_free(q->conninfo);
    pgqi_cursors_release(q->cursors);
    pgqi_free(q->listening);
    pgqi_free(q);
}

pgq_status pgq_reconnect(pgq *q)
{
    if (!q)
        return PGQ_INVALID;
    if (!q->owned)
        return pgqi_error_set(&q->error, PGQ_INVALID, "an attached connection is its owner's to reconnect");
    if (q->in_handler)
        return pgqi_error_set(&q->error, PGQ_STATE, "a handler is running on this handle");
    if (!q->conn)
        return pgqi_error_set(&q->error, PGQ_STATE, "the handle was never connected");
    pgqi_free(q->listening);
    q->listening = NULL;
    q->doze.announced = 0;
    q->shut = 0;
    pgqi_prepared_init(&q->prepared);
    PQreset(q->conn);
    if (PQstatus(q->conn) != CONNECTION_OK)
        return pgqi_error_from_server(&q->error, q->conn, NULL);
    return pgqi_error_clear(&q->error, PGQ_OK);
}

PGconn *pgq_connection(const pgq *q)
{
    return q ? q->conn : NULL;
}

const pgq_error *pgq_last_error(const pgq *q)
{
    static const pgq_error none = {PGQ_INVALID, "", "the handle is NULL", "", 0, 0, 0};

    return q ? &q->error : &none;
}

const char *pgq_namespace(const pgq *q)
{
    return q ? q->name_space : "";
}
