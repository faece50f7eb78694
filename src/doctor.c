/* SPDX-License-Identifier: MIT */
#include "exec.h"
#include "install_sql.h"
#include "list.h"
#include "queue.h"

#include <pgq/doctor.h>
#include <string.h>

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

static void fill(void *item, const PGresult *res, int row)
{
    pgq_finding *f = item;

    f->check = PQgetvalue(res, row, 2);
    f->severity = severity_of(PQgetvalue(res, row, 3));
    f->subject = PQgetvalue(res, row, 4);
    f->message = PQgetvalue(res, row, 5);
    f->advice = PQgetvalue(res, row, 6);
    f->age_ms = pgqi_field_int_or(res, row, 7, -1);
    f->bytes = pgqi_field_int_or(res, row, 8, -1);
    f->rows = pgqi_field_int_or(res, row, 9, -1);
    f->transactions = pgqi_field_int_or(res, row, 10, -1);
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
    pgqi_params p;
    PGresult *res;

    if (out)
        *out = NULL;
    if (status == PGQ_OK)
        status = pgqi_check_out(&q->error, out);
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
    *out = pgqi_list_make(q, res, sizeof(pgq_finding), fill);
    return *out ? PGQ_OK : PGQ_NO_MEMORY;
}

size_t pgq_findings_count(const pgq_findings *findings)
{
    return pgqi_list_count(findings);
}

const pgq_finding *pgq_findings_get(const pgq_findings *findings, size_t i)
{
    return pgqi_list_get(findings, i);
}

void pgq_findings_free(pgq_findings *findings)
{
    pgqi_list_free(findings);
}
