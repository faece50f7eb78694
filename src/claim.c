/* SPDX-License-Identifier: MIT */
#include "claim.h"

#include "clock.h"
#include "error.h"
#include "exec.h"
#include "message.h"

#include <string.h>

/* The report's columns, the position, the lease, and then those of PGQI_MESSAGE_COLUMNS. */
enum {
    LOST = 3,
    EXHAUSTED,
    MICROS,
    TAIL,
    PRODUCERS,
    DUE_IN_MS,
    DUE_MARK,
    DUE_MICROS,
    MORE,
    POSITION,
    LEASE_MS,
    MESSAGE
};

const char pgqi_claim_sql[] =
    "SELECT report, code, detail, lost, exhausted, micros, tail, producers, due_in_ms, due_mark, due_micros, "
    "more, pos,"
    " (extract(epoch FROM due - clock_timestamp()) * 1000)::bigint,"
    " id, priority, attempts, errors, kind, sent, due, first_received, expires, NULL::timestamptz, headers, "
    "last_error,"
    " payload, NULL::text, NULL::text, order_key, dedup_key"
    " FROM %s._claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

void pgqi_claim_init(pgqi_claim *c, pgq *q, const pgqi_look *look)
{
    c->look = look;
    pgqi_cursor_plan(q->cursors, look->queue, look->sweep || look->filter, pgqi_now_us(), &c->plan);
    if (look->filter)
        c->plan.mark = 0;
    pgqi_params_init(&c->params);
    pgqi_add_text(&c->params, look->queue);
    pgqi_add_int4(&c->params, look->max);
    pgqi_add_int2(&c->params, (int16_t)look->how);
    pgqi_add_given_int8(&c->params, look->lease_ms);
    pgqi_add_text(&c->params, look->filter);
    pgqi_add_int4s(&c->params, c->plan.priority, (size_t)c->plan.n);
    pgqi_add_int8s(&c->params, c->plan.position, (size_t)c->plan.n);
    if (c->plan.check_due || c->plan.promote)
        pgqi_add_timestamptz(&c->params, c->plan.due_from);
    else
        pgqi_add_null(&c->params, PGQI_TIMESTAMPTZ);
    pgqi_add_bool(&c->params, look->alone);
    pgqi_add_bool(&c->params, c->plan.mark);
}

void pgqi_claim_free(pgqi_claim *c)
{
    pgqi_params_free(&c->params);
}

static void read_report(pgqi_claim *c, pgq *q, const PGresult *res, int last, pgqi_report *report)
{
    pgqi_found found = {.taken = last,
                        .exhausted = (int)pgqi_field_int(res, last, EXHAUSTED),
                        .micros = pgqi_field_int(res, last, MICROS),
                        .tail = pgqi_field_int(res, last, TAIL),
                        .producers = pgqi_field_text(res, last, PRODUCERS)};
    int64_t due = PQgetisnull(res, last, DUE_IN_MS) ? -1 : pgqi_field_int(res, last, DUE_IN_MS);

    if (last > 0) {
        found.position = pgqi_field_int(res, last - 1, POSITION);
        found.priority = (int32_t)pgqi_field_int(res, last - 1, MESSAGE + 1);
    }
    /* What a filter has passed over is still there. */
    if (!c->look->filter)
        pgqi_cursor_found(q->cursors, c->look->queue, &c->plan, &found, pgqi_now_us());
    if (c->plan.check_due || c->plan.promote)
        pgqi_cursor_due(q->cursors, c->look->queue, due,
                        PQgetisnull(res, last, DUE_MARK) ? INT64_MIN : pgqi_field_int(res, last, DUE_MARK),
                        pgqi_field_int(res, last, DUE_MICROS), pgqi_now_us());
    report->lost = (int)pgqi_field_int(res, last, LOST);
    report->due = due == 0;
    report->more = (int)pgqi_field_int(res, last, MORE);
}

pgq_status pgqi_claim_read(pgqi_claim *c, pgq *q, PGresult *res, pgq_messages **out, pgqi_report *report)
{
    static const pgqi_report nothing = {0, 0, 0};
    int last = PQntuples(res) - 1;
    pgq_status status;

    *out = NULL;
    *report = nothing;
    if (last < 0) {
        status = pgqi_error_set(&q->error, PGQ_VERSION, "the namespace's claim gave no report");
    } else if (!PQgetisnull(res, last, 1)) {
        status = pgqi_error_from_code(&q->error, PQgetvalue(res, last, 1), PQgetvalue(res, last, 2));
    } else {
        read_report(c, q, res, last, report);
        if (last > 0)
            return pgqi_messages_make(q, c->look->queue, res, MESSAGE, last, out);
        status = pgqi_error_clear(&q->error, PGQ_EMPTY);
    }
    PQclear(res);
    return status;
}

int64_t pgqi_claim_lease_ms(const pgq_messages *messages, size_t i)
{
    return pgqi_field_int(pgqi_messages_result(messages), (int)i, LEASE_MS);
}

static pgq_status claim_once(pgq *q, const pgqi_look *look, pgq_messages **out, int *swept)
{
    pgqi_report report = {0, 0, 0};
    pgq_status status;
    pgqi_claim c;
    PGresult *res;

    do {
        pgqi_claim_init(&c, q, look);
        *swept = c.plan.n == 0;
        status = pgqi_call(q, pgqi_claim_sql, &c.params, &res);
        if (status == PGQ_OK)
            status = pgqi_claim_read(&c, q, res, out, &report);
        pgqi_claim_free(&c);
    } while (status == PGQ_EMPTY && look->alone && report.lost > 0);
    return status;
}

pgq_status pgqi_claim_now(pgq *q, pgqi_look *look, pgq_messages **out)
{
    pgq_status status;
    int swept;

    look->alone = !pgqi_in_transaction(q);
    look->sweep = 0;
    status = claim_once(q, look, out, &swept);
    if (status == PGQ_EMPTY && !swept) {
        look->sweep = 1;
        status = claim_once(q, look, out, &swept);
    }
    return status;
}
