/* SPDX-License-Identifier: MIT */
#include "sql.h"
#include "driver.h"
#include <string.h>

PGconn *sql_open(const char *conninfo)
{
    PGconn *conn = PQconnectdb(conninfo);

    if (PQstatus(conn) != CONNECTION_OK)
        fail("%s", PQerrorMessage(conn));
    return conn;
}

static PGresult *checked(PGconn *conn, PGresult *r, const char *what)
{
    ExecStatusType status = PQresultStatus(r);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail("%s: %s", what, PQerrorMessage(conn));
    return r;
}

void sql_run(PGconn *conn, const char *sql)
{
    PQclear(checked(conn, PQexec(conn, sql), sql));
}

void sql_prepare(PGconn *conn, const char *name, const char *sql)
{
    PQclear(checked(conn, PQprepare(conn, name, sql, 0, NULL), sql));
}

PGresult *sql_execute(PGconn *conn, const char *name, int n, const char *const *arguments)
{
    return checked(conn, PQexecPrepared(conn, name, n, arguments, NULL, NULL, 0), name);
}

/* Appends text, quoted as an element of an array has to be. */
static char *append(char *at, const char *text)
{
    *at++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            *at++ = '\\';
        *at++ = *text;
    }
    *at++ = '"';
    return at;
}

char *sql_array(const char *const *elements, int count)
{
    size_t size = 3;
    char *array, *at;

    for (int i = 0; i < count; i++)
        size += 2 * strlen(elements[i]) + 3;
    array = at = must_alloc(size);
    *at++ = '{';
    for (int i = 0; i < count; i++) {
        if (i > 0)
            *at++ = ',';
        at = append(at, elements[i]);
    }
    *at++ = '}';
    return array;
}
