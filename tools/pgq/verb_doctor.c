/* SPDX-License-Identifier: MIT */
/* doctor. */
#include "call.h"
#include "run.h"
#include "say.h"

#include <pgq/doctor.h>

static void number(row *r, const char *name, int64_t value)
{
    if (value < 0)
        row_null(r, name)->detail = true;
    else
        row_integer(r, name, value)->detail = true;
}

static void finding_row(call *c, const pgq_finding *f)
{
    row r = {0};
    row_text(&r, "check", f->check);
    row_text(&r, "severity", pgq_severity_name(f->severity));
    row_text(&r, "subject", f->subject);
    row_text(&r, "message", f->message);
    row_text(&r, "advice", f->advice);
    number(&r, "age_ms", f->age_ms);
    number(&r, "bytes", f->bytes);
    number(&r, "rows", f->rows);
    number(&r, "transactions", f->transactions);
    out_row(c->out, &r);
}

static void read_options(const given *g, pgq_doctor_options *o)
{
    static const pgq_doctor_options defaults = PGQ_DOCTOR_OPTIONS_INIT;
    const struct {
        option_id id;
        int64_t *to;
    } numbers[] = {{O_TRANSACTION_AGE, &o->transaction_age_ms},
                   {O_SCOPE_AGE, &o->scope_age_ms},
                   {O_WAIT_AGE, &o->wait_age_ms},
                   {O_HORIZON_AGE, &o->horizon_age},
                   {O_DEAD_ROWS, &o->dead_rows},
                   {O_BLOAT_BYTES, &o->bloat_bytes},
                   {O_DEAD_PER_HOUR, &o->dead_per_hour}};
    *o = defaults;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (g[numbers[i].id].set)
            *numbers[i].to = g[numbers[i].id].number;
    }
    if (g[O_NOTIFY_USAGE].set)
        o->notify_usage = g[O_NOTIFY_USAGE].real;
}

int run_doctor(call *c)
{
    pgq *q = c->session->q;
    pgq_doctor_options o;
    pgq_findings *findings;
    int ill = 0;
    read_options(c->opt, &o);
    pgq_status status = pgq_doctor(q, &o, &findings);
    if (status != PGQ_OK)
        return session_failed(q, status);
    for (size_t i = 0; i < pgq_findings_count(findings); i++) {
        finding_row(c, pgq_findings_get(findings, i));
        ill |= pgq_findings_get(findings, i)->severity != PGQ_SEVERITY_NOTE;
    }
    pgq_findings_free(findings);
    if (!ill)
        say_note("nothing is wrong");
    return ill ? EXIT_FAILED : EXIT_DONE;
}
