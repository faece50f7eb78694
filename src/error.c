/* SPDX-License-Identifier: MIT */
#include "error.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Copies text without its last line's end, cut at a character. */
static void copy(char *to, size_t size, const char *from)
{
    size_t len = from ? strlen(from) : 0;

    while (len > 0 && (from[len - 1] == '\n' || from[len - 1] == '\r'))
        len--;
    if (len >= size)
        len = pgqi_utf8_trim(from, size - 1);
    memcpy(to, from ? from : "", len);
    to[len] = '\0';
}

pgq_status pgqi_error_clear(pgq_error *e, pgq_status status)
{
    e->status = status;
    e->sqlstate[0] = e->message[0] = e->detail[0] = '\0';
    e->retryable = e->needs_rollback = e->connection_dead = 0;
    return status;
}

pgq_status pgqi_error_set(pgq_error *e, pgq_status status, const char *format, ...)
{
    char text[sizeof e->message];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pgqi_error_clear(e, status);
    if (len < 0)
        text[0] = '\0';
    else if ((size_t)len >= sizeof text)
        text[pgqi_utf8_trim(text, sizeof text - 1)] = '\0';
    copy(e->message, sizeof e->message, text);
    return status;
}

static int begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static pgq_status classify(const char *state)
{
#define MATCH(name, value, sqlstate, text)                                                                   \
    if (sqlstate[0] && strcmp(state, sqlstate) == 0)                                                         \
        return PGQ_##name;
    PGQ_STATUS_MAP(MATCH)
#undef MATCH
    if (strcmp(state, "3F000") == 0 || strcmp(state, "42P01") == 0)
        return PGQ_NOT_INSTALLED;
    if (strcmp(state, "42883") == 0 || strcmp(state, "42703") == 0)
        return PGQ_VERSION;
    if (strcmp(state, "42501") == 0)
        return PGQ_PERMISSION;
    if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 || strcmp(state, "55P03") == 0)
        return PGQ_CONFLICT;
    if (strcmp(state, "25P02") == 0)
        return PGQ_ABORTED;
    if (begins(state, "08") || begins(state, "57P"))
        return PGQ_CONNECTION;
    return PGQ_SERVER;
}

pgq_status pgqi_error_from_server(pgq_error *e, PGconn *conn, const PGresult *res)
{
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL) : NULL;
    const char *hint = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_HINT) : NULL;
    char both[sizeof e->detail];
    int dead = !conn || PQstatus(conn) != CONNECTION_OK;
    pgq_status status = state ? classify(state) : dead ? PGQ_CONNECTION : PGQ_SERVER;

    if (dead)
        status = PGQ_CONNECTION;
    pgqi_error_clear(e, status);
    copy(e->message, sizeof e->message, text ? text : conn ? PQerrorMessage(conn) : "no connection");
    if (!e->message[0])
        copy(e->message, sizeof e->message, pgq_status_text(status));
    for (char *c = e->message; *c; c++)
        if (*c == '\n')
            *c = ' ';
    copy(e->sqlstate, sizeof e->sqlstate, state);
    snprintf(both, sizeof both, "%s%s%s", detail ? detail : "", detail && hint ? " " : "", hint ? hint : "");
    copy(e->detail, sizeof e->detail, both);
    e->connection_dead = dead || status == PGQ_CONNECTION;
    e->needs_rollback = conn && PQtransactionStatus(conn) == PQTRANS_INERROR;
    e->retryable = status == PGQ_CONFLICT || status == PGQ_CONNECTION;
    return status;
}

pgq_status pgqi_error_from_code(pgq_error *e, const char *code, const char *text)
{
    pgqi_error_set(e, classify(code), "%s", text);
    copy(e->sqlstate, sizeof e->sqlstate, code);
    return e->status;
}
