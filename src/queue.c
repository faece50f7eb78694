/* SPDX-License-Identifier: MIT */
/* Queues as a whole: pause, empty, tidy, delete. */
#include "queue.h"
#include "error.h"
#include "exec.h"
#include "text.h"

#include <pgq/queue.h>
#include <string.h>

pgq_status pgqi_check_name(pgq_error *e, const char *what, const char *name)
{
    const char *fault = pgqi_name_fault(name);

    return fault ? pgqi_error_set(e, PGQ_INVALID, "a %s name %s", what, fault) : PGQ_OK;
}

pgq_status pgqi_check_text(pgq_error *e, const char *what, const char *text)
{
    return !text || pgqi_is_utf8(text, strlen(text))
               ? PGQ_OK
               : pgqi_error_set(e, PGQ_INVALID, "%s must be valid UTF-8", what);
}

pgq_status pgqi_check_out(pgq_error *e, const void *out)
{
    return out ? PGQ_OK : pgqi_error_set(e, PGQ_INVALID, "out must not be NULL");
}

pgq_status pgqi_enter_queue(pgq *q, const char *queue)
{
    pgq_status status = pgqi_enter(q);

    return status == PGQ_OK ? pgqi_check_name(&q->error, "queue", queue) : status;
}

/* A call that takes a queue's name, and gives an outcome and nothing else. */
static pgq_status by_name(pgq *q, const char *queue, const char *sql)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    pgqi_params p;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    return pgqi_command_outcome(q, sql, &p);
}

pgq_status pgq_delete_queue(pgq *q, const char *queue)
{
    return by_name(q, queue, "SELECT * FROM %s._delete_queue($1)");
}

pgq_status pgq_pause_queue(pgq *q, const char *queue)
{
    return by_name(q, queue, "SELECT * FROM %s._pause($1, true)");
}

pgq_status pgq_resume_queue(pgq *q, const char *queue)
{
    return by_name(q, queue, "SELECT * FROM %s._pause($1, false)");
}

pgq_status pgqi_queue_exists(pgq *q, const char *queue)
{
    return by_name(q, queue, "SELECT code, detail FROM %s._channel_of($1)");
}

pgq_status pgq_purge(pgq *q, const char *queue, int64_t *waiting, int64_t *in_flight)
{
    pgq_status status = pgqi_enter_queue(q, queue);
    pgqi_params p;
    PGresult *res;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    status = pgqi_call_outcome(q, "SELECT code, detail, waiting, in_flight FROM %s._purge($1)", &p, &res);
    if (status != PGQ_OK)
        return status;
    if (waiting)
        *waiting = pgqi_field_int(res, 0, 2);
    if (in_flight)
        *in_flight = pgqi_field_int(res, 0, 3);
    PQclear(res);
    return PGQ_OK;
}

pgq_status pgq_clean(pgq *q, const char *queue, pgq_cleaned *out)
{
    pgq_status status = queue ? pgqi_enter_queue(q, queue) : pgqi_enter(q);
    pgq_cleaned sums = {0, 0, 0, 0};
    pgqi_params p;
    PGresult *res;

    if (status != PGQ_OK)
        return status;
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    status = pgqi_call_outcome(
        q, "SELECT code, detail, promoted, returned, expired, windows FROM %s._clean($1)", &p, &res);
    if (status != PGQ_OK)
        return status;
    for (int i = 0; i < PQntuples(res); i++) {
        sums.promoted += pgqi_field_int(res, i, 2);
        sums.returned += pgqi_field_int(res, i, 3);
        sums.expired += pgqi_field_int(res, i, 4);
        sums.windows += pgqi_field_int(res, i, 5);
    }
    if (out)
        *out = sums;
    PQclear(res);
    return PGQ_OK;
}
