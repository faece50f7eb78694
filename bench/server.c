/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char walinspect[128]; /* the schema of pg_walinspect, quoted; "": it cannot be had */

void wal_open(bench *b)
{
    if (!b->superuser || PQserverVersion(b->control) < 150000)
        return;
    PQclear(PQexec(b->control, "CREATE EXTENSION IF NOT EXISTS pg_walinspect SCHEMA " FLOOR));
    PGresult *res = PQexec(b->control, "SELECT quote_ident(n.nspname) FROM pg_extension e"
                                       " JOIN pg_namespace n ON n.oid = e.extnamespace"
                                       " WHERE e.extname = 'pg_walinspect'");
    if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1)
        snprintf(walinspect, sizeof walinspect, "%s", PQgetvalue(res, 0, 0));
    PQclear(res);
}

const char *wal_how(void)
{
    return *walinspect ? "records" : "LSN";
}

/* What was committed has been flushed. */
wal_mark wal_here(const bench *b)
{
    wal_mark m;
    PGresult *res = PQexec(b->control, "SELECT pg_current_wal_flush_lsn()");
    check_result(b->control, res, PGRES_TUPLES_OK);
    snprintf(m.lsn, sizeof m.lsn, "%s", PQgetvalue(res, 0, 0));
    PQclear(res);
    return m;
}

double wal_bytes(const bench *b, const wal_mark *from, const wal_mark *to)
{
    char sql[512];
    if (strcmp(from->lsn, to->lsn) == 0)
        return 0;
    if (*walinspect)
        /* XLOG and Standby: checkpoints, and what they and hint bits have written in full. */
        snprintf(sql, sizeof sql,
                 "SELECT COALESCE(sum(record_size), 0)::bigint FROM %s.pg_get_wal_stats('%s', '%s')"
                 " WHERE \"resource_manager/record_type\" NOT IN ('XLOG', 'Standby')",
                 walinspect, from->lsn, to->lsn);
    else
        snprintf(sql, sizeof sql, "SELECT pg_wal_lsn_diff('%s', '%s')::bigint", to->lsn, from->lsn);
    return (double)int_sql(b->control, sql);
}

/* The first number is nanoseconds on a processor, of a process that has one thread. */
static double process_seconds(const char *pid)
{
    char path[64];
    char line[128];
    snprintf(path, sizeof path, "/proc/%s/schedstat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    char *p = fgets(line, sizeof line, f);
    fclose(f);
    return p ? (double)strtoll(p, NULL, 10) / 1e9 : 0;
}

double server_seconds(const bench *b, const char *role)
{
    char name[64];
    double sum = 0;
    if (!b->local)
        return -1;
    bench_application(role, name, sizeof name);
    const char *values[1] = {name};
    PGresult *res = PQexecParams(b->control, "SELECT pid FROM pg_stat_activity WHERE application_name = $1",
                                 1, NULL, values, NULL, NULL, 0);
    check_result(b->control, res, PGRES_TUPLES_OK);
    for (int i = 0; i < PQntuples(res); i++)
        sum += process_seconds(PQgetvalue(res, i, 0));
    PQclear(res);
    return sum;
}
