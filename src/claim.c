/* SPDX-License-Identifier: MIT */
#include "claim.h"

#include "clock.h"
#include "error.h"
#include "exec.h"
#include "message.h"

#include <string.h>

/* The columns: see PGQI_CLAIM_COLUMNS. */
enum {
    POSITION = 0,
    LEASE_MS,
    MESSAGE,
    PRIORITY,
    CODE = MESSAGE + 14,
    DETAIL,
    LOST,
    EXHAUSTED,
    MICROS,
    TAIL,
    PRODUCERS,
    DUE_IN_MS,
    DUE_MARK,
    DUE_MICROS,
    MORE
};

const char pgqi_claim_sql[] = "SELECT " PGQI_CLAIM_COLUMNS PGQI_CLAIM_FROM;

static const char one_sql[] = "SELECT " PGQI_CLAIM_MESSAGE " FROM %s._claim_one($1, $2, $3, $4, $5, $6, $7)";

/* The next message behind the cursors, and nothing else to see to. */
static void init_one(pgqi_claim *c)
{
    const pgqi_look *look = c->look;

    c->sql = one_sql;
    pgqi_add_text(&c->params, look->queue);
    pgqi_add_int2(&c->params, (int16_t)look->how);
    pgqi_add_given_int8(&c->params, look->lease_ms);
    pgqi_add_int4(&c->params, c->plan.priority[0]);
    pgqi_add_int8(&c->params, c->plan.position[0]);
    if (c->plan.n > 1) {
        pgqi_add_int4s(&c->params, c->plan.priority, (size_t)c->plan.n);
        pgqi_add_int8s(&c->params, c->plan.position, (size_t)c->plan.n);
    } else {
        pgqi_add_null_array(&c->params, PGQI_INT4);
        pgqi_add_null_array(&c->params, PGQI_INT8);
    }
}

static void init_long(pgqi_claim *c)
{
    const pgqi_look *look = c->look;

    c->sql = pgqi_claim_sql;
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
    pgqi_add_bool(&c->params, look->look_behind);
}

void pgqi_claim_init(pgqi_claim *c, pgq *q, const pgqi_look *look)
{
    c->look = look;
    pgqi_cursor_plan(q->cursors, look->queue, look->sweep || look->filter, pgqi_now_us(), &c->plan);
    if (look->filter)
        c->plan.mark = 0;
    c->one = look->may_be_one && look->max == 1 && look->alone && !look->look_behind && !look->filter &&
             c->plan.n > 0 && !c->plan.mark && !c->plan.check_due && !c->plan.promote && !q->one_missed;
    pgqi_params_init(&c->params);
    c->params.prepare = 1;
    if (c->one)
        init_one(c);
    else
        init_long(c);
}

void pgqi_claim_free(pgqi_claim *c)
{
    pgqi_params_free(&c->params);
}

/* Whether the short form found its message. If not the long one has to say why. */
static pgq_status read_one(pgqi_claim *c, pgq *q, PGresult *res, pgq_messages **out, pgqi_report *report)
{
    pgqi_found found = {.taken = 1};

    if (PQntuples(res) == 0) {
        PQclear(res);
        q->one_missed = 1;
        report->lost = 1;
        return pgqi_error_clear(&q->error, PGQ_EMPTY);
    }
    found.position = pgqi_field_int(res, 0, POSITION);
    found.priority = (int32_t)pgqi_field_int(res, 0, PRIORITY);
    pgqi_cursor_found(q->cursors, c->look->queue, &c->plan, &found, pgqi_now_us());
    return pgqi_messages_make(q, c->look->queue, res, MESSAGE, 1, out);
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
        found.priority = (int32_t)pgqi_field_int(res, last - 1, PRIORITY);
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
    if (c->one)
        return read_one(c, q, res, out, report);
    if (last < 0) {
        status = pgqi_error_set(&q->error, PGQ_VERSION, "the namespace's claim gave no report");
    } else if (!PQgetisnull(res, last, CODE)) {
        status = pgqi_error_from_code(&q->error, PQgetvalue(res, last, CODE), PQgetvalue(res, last, DETAIL));
    } else {
        read_report(c, q, res, last, report);
        q->one_missed = last == 0;
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
        status = pgqi_call(q, c.sql, &c.params, &res);
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
    look->may_be_one = 1;
    look->sweep = 0;
    status = claim_once(q, look, out, &swept);
    if (status == PGQ_EMPTY && !swept) {
        look->sweep = 1;
        status = claim_once(q, look, out, &swept);
    }
    return status;
}
