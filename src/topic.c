/* SPDX-License-Identifier: MIT */
/* Topics as a whole: create, set, delete, bind; and the tending of their logs. */
#include "topic.h"

#include "clock.h"
#include "error.h"
#include "exec.h"
#include "queue.h"

#include <pgq/topic.h>
#include <string.h>

/* After a failure: somebody else tends meanwhile. */
static const int64_t tend_again_us = 1000000;

pgq_status pgqi_enter_topic(pgq *q, const char *topic)
{
    pgq_status status = pgqi_enter(q);

    return status == PGQ_OK ? pgqi_check_name(&q->error, "topic", topic) : status;
}

#define TEND "SELECT %s.topic_tend()"

/* In READ COMMITTED, whatever the session's default is: topic_tend wants that. */
static pgq_status tend_owned(pgq *q, const pgqi_params *p, PGresult **res)
{
    pgqi_statement s[3];
    pgq_status status;
    pgq_error kept;
    int n = 0;
    int at;

    memset(s, 0, sizeof s);
    pgqi_add_statement(s, &n, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", NULL, 0);
    at = pgqi_add_statement(s, &n, TEND, p, 0);
    pgqi_add_statement(s, &n, "COMMIT", NULL, 1);
    status = pgqi_pipeline(q, s, n);
    if (status == PGQ_OK) {
        *res = s[at].res;
        s[at].res = NULL;
    } else if (PQstatus(q->conn) == CONNECTION_OK && pgqi_in_transaction(q)) {
        kept = q->error;
        pgqi_script(q, "ROLLBACK");
        q->error = kept;
    }
    pgqi_clear(s, n);
    return status;
}

static pgq_status tend(pgq *q, int64_t *next_ms)
{
    pgq_status status;
    pgqi_params p;
    PGresult *res = NULL;

    pgqi_params_init(&p);
    p.prepare = 1;
    if (q->owned) {
        status = tend_owned(q, &p, &res);
        pgqi_params_free(&p);
    } else {
        status = pgqi_call(q, TEND, &p, &res);
    }
    if (status == PGQ_OK) {
        *next_ms = pgqi_field_int(res, 0, 0);
        q->tend_at_us = pgqi_now_us() + *next_ms * 1000;
    } else {
        q->tend_at_us = status == PGQ_PERMISSION ? INT64_MAX : pgqi_now_us() + tend_again_us;
    }
    PQclear(res);
    return status;
}

int64_t pgqi_tend_at(const pgq *q)
{
    return q->owned ? q->tend_at_us : INT64_MAX;
}

pgq_status pgqi_tended(pgq *q, pgq_status status)
{
    pgq_error kept = q->error;
    int64_t next_ms;

    if (status < 0 || pgqi_now_us() < pgqi_tend_at(q) || PQstatus(q->conn) != CONNECTION_OK ||
        pgqi_in_transaction(q))
        return status;
    tend(q, &next_ms);
    q->error = kept;
    return status;
}

pgq_status pgq_topic_tend(pgq *q, int *next_ms)
{
    pgq_status status = pgqi_enter(q);
    int64_t ms = 0;

    if (status == PGQ_OK && pgqi_in_transaction(q))
        status =
            pgqi_error_set(&q->error, PGQ_STATE,
                           "a transaction is open: the logs are tended in one of its own, which is short");
    if (status == PGQ_OK)
        status = tend(q, &ms);
    if (status == PGQ_OK && next_ms)
        *next_ms = (int)ms;
    return status;
}

static pgq_status read_retention(pgq *q, pgq_retention *r, const pgq_retention *given)
{
    pgq_retention defaults = PGQ_RETENTION_INIT;

    *r = defaults;
    return pgqi_read_options(r, sizeof *r, given, &q->error);
}

pgq_status pgq_topic_create(pgq *q, const char *topic, const pgq_retention *retention, int if_not_exists)
{
    pgq_status status = pgqi_enter_topic(q, topic);
    pgq_retention r;
    pgqi_params p;

    if (status == PGQ_OK)
        status = read_retention(q, &r, retention);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, topic);
    pgqi_add_given_int8(&p, r.retain_ms);
    pgqi_add_given_int8(&p, r.max_messages);
    pgqi_add_bool(&p, if_not_exists);
    return pgqi_command_outcome(q, "SELECT * FROM %s._topic_create($1, $2, $3, $4)", &p);
}

pgq_status pgq_topic_set(pgq *q, const char *topic, const pgq_retention *retention)
{
    pgq_status status = topic ? pgqi_enter_topic(q, topic) : pgqi_enter(q);
    pgq_retention r;
    pgqi_params p;

    if (status == PGQ_OK)
        status = read_retention(q, &r, retention);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, topic);
    pgqi_add_given_int8(&p, r.retain_ms);
    pgqi_add_given_int8(&p, r.max_messages);
    return pgqi_command_outcome(q, "SELECT * FROM %s._topic_set($1, $2, $3)", &p);
}

pgq_status pgq_topic_delete(pgq *q, const char *topic)
{
    pgq_status status = pgqi_enter_topic(q, topic);
    pgqi_params p;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, topic);
    return pgqi_command_outcome(q, "SELECT * FROM %s._topic_delete($1)", &p);
}

static pgq_status enter_binding(pgq *q, const char *topic, const char *queue)
{
    pgq_status status = pgqi_enter_topic(q, topic);

    return status == PGQ_OK ? pgqi_check_name(&q->error, "queue", queue) : status;
}

pgq_status pgq_topic_bind(pgq *q, const char *topic, const char *queue, const char *filter)
{
    pgq_status status = enter_binding(q, topic, queue);
    pgqi_params p;

    if (status == PGQ_OK)
        status = pgqi_check_text(&q->error, "the filter", filter);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, topic);
    pgqi_add_text(&p, queue);
    pgqi_add_text(&p, filter);
    return pgqi_command_outcome(q, "SELECT * FROM %s._topic_bind($1, $2, $3)", &p);
}

pgq_status pgq_topic_unbind(pgq *q, const char *topic, const char *queue)
{
    pgq_status status = enter_binding(q, topic, queue);
    pgqi_params p;
    PGresult *res;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, topic);
    pgqi_add_text(&p, queue);
    status = pgqi_call_outcome(q, "SELECT code, detail, was_bound FROM %s._topic_unbind($1, $2)", &p, &res);
    if (status == PGQ_OK && !pgqi_field_int(res, 0, 2))
        status = pgqi_error_set(&q->error, PGQ_NOT_FOUND, "queue \"%s\" is not bound to topic \"%s\"", queue,
                                topic);
    PQclear(res);
    return status;
}

pgq_status pgq_topic_unsubscribe(pgq *q, const char *topic, const char *name)
{
    pgq_status status = pgqi_enter_topic(q, topic);
    pgqi_params p;

    if (status == PGQ_OK)
        status = pgqi_check_name(&q->error, "subscriber", name);
    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, topic);
    pgqi_add_text(&p, name);
    return pgqi_command_outcome(q, "SELECT * FROM %s._topic_unsubscribe($1, $2)", &p);
}
