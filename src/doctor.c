/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "error.h"
#include "exec.h"
#include "install_sql.h"

#include <pgq/doctor.h>
#include <string.h>

struct pgq_findings {
    PGresult *res;
    size_t n;
    pgq_finding items[];
};

static const char *const names[] = {
    [PGQ_SEVERITY_NOTE] = "note",
    [PGQ_SEVERITY_WARNING] = "warning",
    [PGQ_SEVERITY_PROBLEM] = "problem",
};

const char *pgq_severity_name(pgq_severity severity)
{
    switch (severity) {
    case PGQ_SEVERITY_NOTE:
    case PGQ_SEVERITY_WARNING:
    case PGQ_SEVERITY_PROBLEM:
        return names[severity];
    }
    return "unknown";
}

/* One that a later namespace may have is worth a warning. */
static pgq_severity severity_of(const char *name)
{
    if (strcmp(name, names[PGQ_SEVERITY_NOTE]) == 0)
        return PGQ_SEVERITY_NOTE;
    return strcmp(name, names[PGQ_SEVERITY_PROBLEM]) == 0 ? PGQ_SEVERITY_PROBLEM : PGQ_SEVERITY_WARNING;
}

static int64_t number(const PGresult *res, int row, int column)
{
    return PQgetisnull(res, row, column) ? -1 : pgqi_field_int(res, row, column);
}

static void fill(pgq_finding *f, const PGresult *res, int row)
{
    f->check = PQgetvalue(res, row, 2);
    f->severity = severity_of(PQgetvalue(res, row, 3));
    f->subject = PQgetvalue(res, row, 4);
    f->message = PQgetvalue(res, row, 5);
    f->advice = PQgetvalue(res, row, 6);
    f->age_ms = number(res, row, 7);
    f->bytes = number(res, row, 8);
    f->rows = number(res, row, 9);
    f->transactions = number(res, row, 10);
}

static void add_options(pgqi_params *p, const pgq_doctor_options *o)
{
    pgqi_add_given_int8(p, o->transaction_age_ms);
    pgqi_add_given_int8(p, o->horizon_age);
    pgqi_add_given_int8(p, o->scope_age_ms);
    pgqi_add_given_int8(p, o->wait_age_ms);
    pgqi_add_given_int8(p, o->dead_rows);
    pgqi_add_given_int8(p, o->bloat_bytes);
    pgqi_add_given_int8(p, o->dead_per_hour);
    pgqi_add_given_float8(p, o->notify_usage);
}

pgq_status pgq_doctor(pgq *q, const pgq_doctor_options *options, pgq_findings **out)
{
    pgq_doctor_options o = PGQ_DOCTOR_OPTIONS_INIT;
    pgq_status status = pgqi_enter(q);
    pgq_findings *list;
    pgqi_params p;
    PGresult *res;
    size_t n;

    if (out)
        *out = NULL;
    if (status == PGQ_OK && !out)
        status = pgqi_error_set(&q->error, PGQ_INVALID, "out must not be NULL");
    if (status == PGQ_OK)
        status = pgqi_read_options(&o, sizeof o, options, &q->error);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    add_options(&p, &o);
    pgqi_add_int4(&p, pgqi_schema_version);
    pgqi_add_text(&p, pgqi_functions_digest);
    /* A pooler makes the process number of its own up: see ask_whether_direct(). */
    pgqi_add_int4(&p, PQbackendPID(q->conn));
    status = pgqi_call_outcome(q,
                               "SELECT code, detail, \"check\", severity, subject, message, advice, age_ms,"
                               " bytes, rows, transactions"
                               " FROM %s._doctor($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                               &p, &res);
    if (status != PGQ_OK)
        return status;
    n = (size_t)PQntuples(res);
    list = pgqi_alloc(1, sizeof *list + n * sizeof list->items[0]);
    if (!list) {
        PQclear(res);
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    }
    list->res = res;
    list->n = n;
    for (size_t i = 0; i < n; i++)
        fill(&list->items[i], res, (int)i);
    *out = list;
    return PGQ_OK;
}

size_t pgq_findings_count(const pgq_findings *findings)
{
    return findings ? findings->n : 0;
}

const pgq_finding *pgq_findings_get(const pgq_findings *findings, size_t i)
{
    return findings && i < findings->n ? &findings->items[i] : NULL;
}

void pgq_findings_free(pgq_findings *findings)
{
    if (!findings)
        return;
    PQclear(findings->res);
    pgqi_free(findings);
}
