/* SPDX-License-Identifier: MIT */
/* The namespace itself: install, drop, reset, settings and grants. */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "install_sql.h"
#include "queue.h"

#include <stdio.h>
#include <string.h>

int pgq_schema_version(void)
{
    return pgqi_schema_version;
}

/* The installer with the namespace's name, as a literal, in the place of :'namespace'. */
static char *installer(const char *literal)
{
    static const char mark[] = ":'namespace'";
    const char *sql = (const char *)pgqi_install_sql;
    const char *at = strstr(sql, mark);
    size_t size = strlen(sql) + strlen(literal) + 1;
    char *text = pgqi_alloc(1, size);

    if (text)
        snprintf(text, size, "%.*s%s%s", (int)(at - sql), sql, literal, at + sizeof mark - 1);
    return text;
}

pgq_status pgq_install(pgq *q)
{
    pgq_status status = pgqi_enter(q);
    char *literal;
    char *script;
    int version = 0;

    if (status != PGQ_OK)
        return status;
    literal = PQescapeLiteral(q->conn, q->name_space, strlen(q->name_space));
    script = literal ? installer(literal) : NULL;
    if (script)
        status = pgqi_script(q, script);
    else
        status = pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    pgqi_free(script);
    PQfreemem(literal);
    if (status == PGQ_OK)
        status = pgq_installed_version(q, &version);
    if (status == PGQ_OK && version > pgqi_schema_version)
        status =
            pgqi_error_set(&q->error, PGQ_VERSION,
                           "namespace \"%s\" is of version %d, made by a newer pgq; this library knows %d",
                           q->name_space, version, pgqi_schema_version);
    return status;
}

pgq_status pgq_installed_version(pgq *q, int *out)
{
    pgq_status status = pgqi_enter(q);
    PGresult *res;

    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
    if (status != PGQ_OK)
        return status;
    status = pgqi_call(q, "SELECT %s.version()", NULL, &res);
    if (status != PGQ_OK)
        return status;
    *out = (int)pgqi_field_int(res, 0, 0);
    PQclear(res);
    return PGQ_OK;
}

pgq_status pgq_drop(pgq *q)
{
    char sql[sizeof q->schema + 32];
    pgq_status status = pgqi_enter(q);
    pgqi_params p;
    PGresult *res;
    int ours;

    if (status != PGQ_OK)
        return status;
    /* Asked of the catalog: an error would end the caller's transaction. */
    pgqi_params_init(&p);
    pgqi_add_text(&p, q->name_space);
    status = pgqi_call(q,
                       "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
                       " ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'migration')",
                       &p, &res);
    if (status != PGQ_OK)
        return status;
    ours = (int)pgqi_field_int(res, 0, 0);
    PQclear(res);
    if (!ours)
        return pgqi_error_set(&q->error, PGQ_NOT_INSTALLED, "schema \"%s\" is not a namespace of pgq",
                              q->name_space);
    snprintf(sql, sizeof sql, "DROP SCHEMA %s CASCADE", q->schema);
    return pgqi_script(q, sql);
}

pgq_status pgq_reset(pgq *q)
{
    pgq_status status = pgqi_enter(q);

    return status == PGQ_OK ? pgqi_command(q, "SELECT %s.reset()", NULL) : status;
}

pgq_status pgq_shutdown(pgq *q)
{
    pgq_status status = pgqi_enter(q);

    return status == PGQ_OK ? pgqi_command(q, "SELECT %s.shutdown()", NULL) : status;
}

pgq_status pgq_set_auto_create(pgq *q, int enabled)
{
    pgq_status status = pgqi_enter(q);
    pgqi_params p;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_bool(&p, enabled);
    return pgqi_command(q, "SELECT %s.set_auto_create($1)", &p);
}

static pgq_status check_role(pgq *q, const char *role)
{
    pgq_status status = pgqi_enter(q);

    if (status == PGQ_OK && (!role || !*role))
        status = pgqi_error_set(&q->error, PGQ_INVALID, "a role's name must not be NULL or empty");
    return status;
}

static pgq_status grant(pgq *q, const char *sql, const char *role)
{
    pgq_status status = check_role(q, role);
    pgqi_params p;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, role);
    return pgqi_command(q, sql, &p);
}

pgq_status pgq_grant_producer(pgq *q, const char *role)
{
    return grant(q, "SELECT %s.grant_producer($1::name)", role);
}

pgq_status pgq_grant_consumer(pgq *q, const char *role)
{
    return grant(q, "SELECT %s.grant_consumer($1::name)", role);
}

pgq_status pgq_grant_monitor(pgq *q, const char *role)
{
    return grant(q, "SELECT %s.grant_monitor($1::name)", role);
}

pgq_status pgq_revoke(pgq *q, const char *role)
{
    pgq_status status = check_role(q, role);
    pgqi_params p;
    PGresult *res;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, role);
    status = pgqi_call(q, "SELECT %s.revoke($1::name)", &p, &res);
    if (status == PGQ_OK && !pgqi_field_int(res, 0, 0))
        status = pgqi_error_set(&q->error, PGQ_NOT_FOUND, "role \"%s\" was granted nothing", role);
    PQclear(res);
    return status;
}
