/* SPDX-License-Identifier: MIT */
#include "fault/calls.h"

#include <pgq/json.h>

static void empty(const fixture *f)
{
    t_run(f, f->sql, "DELETE FROM mq.message");
    t_run(f, f->sql, "DELETE FROM mq.dead_letter");
    t_run(f, f->sql, "DELETE FROM mq.queue WHERE name <> 'q'");
}

static void one_message(const fixture *f)
{
    empty(f);
    t_run(f, f->sql, "SELECT mq.enqueue('q', 'one'::text, headers => '{\"a\": 1}')");
}

static void another_queue(const fixture *f)
{
    empty(f);
    t_run(f, f->sql, "SELECT mq.create_queue('r')");
}

static int done(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)conn, (void)m, (void)arg;
    return 0;
}

static int fails(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)conn, (void)m, (void)arg;
    return pgq_fail(q, "no");
}

static pgq_status enqueue(pgq *q)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

    o.headers = "{}";
    return pgq_enqueue(q, "q", "x", 1, &o, NULL);
}

static pgq_status enqueue_many(pgq *q)
{
    const pgq_outgoing out[] = {{"a", 1, NULL}, {NULL, 0, NULL}, {"c", 1, NULL}};
    int64_t ids[3];

    return pgq_enqueue_many(q, "q", out, 3, 0, ids);
}

static pgq_status enqueue_json(pgq *q)
{
    return pgq_enqueue_json(q, "q", NULL, NULL, NULL);
}

static pgq_status dequeue(pgq *q)
{
    return pgq_dequeue(q, "q", done, NULL);
}

static pgq_status dequeue_badly(pgq *q)
{
    return pgq_dequeue(q, "q", fails, NULL);
}

static pgq_status listen(pgq *q)
{
    return pgq_listen(q, "q", 5000, done, NULL, NULL);
}

static pgq_status listen_in_vain(pgq *q)
{
    return pgq_listen(q, "q", 60, done, NULL, NULL);
}

static pgq_status pop(pgq *q)
{
    pgq_messages *m;
    pgq_status status = pgq_pop(q, "q", 10, &m);

    assert_true((status == PGQ_OK) == (m != NULL));
    pgq_messages_free(m);
    return status;
}

static pgq_status peek(pgq *q)
{
    pgq_messages *m;
    pgq_status status = pgq_peek(q, "q", 10, &m);

    assert_true((status == PGQ_OK) == (m != NULL));
    pgq_messages_free(m);
    return status;
}

static pgq_status count(pgq *q)
{
    pgq_counts c;

    return pgq_count(q, "q", &c);
}

static pgq_status requeue_dead(pgq *q)
{
    const int64_t ids[] = {1, 2};

    return pgq_requeue_dead(q, "q", ids, 2, NULL);
}

static pgq_status purge_dead(pgq *q)
{
    return pgq_purge_dead(q, "q", NULL, 0, NULL);
}

static pgq_status create_queue(pgq *q)
{
    pgq_queue_options o = PGQ_QUEUE_OPTIONS_INIT;

    o.if_not_exists = 1;
    return pgq_create_queue(q, "s", &o);
}

static pgq_status delete_queue(pgq *q)
{
    return pgq_delete_queue(q, "r");
}

static pgq_status list_queues(pgq *q)
{
    pgq_queue_list *list;
    pgq_status status = pgq_list_queues(q, &list);

    assert_true((status == PGQ_OK) == (list != NULL));
    pgq_queue_list_free(list);
    return status;
}

static pgq_status cancel(pgq *q)
{
    return pgq_cancel(q, 1 << 30);
}

static pgq_status installed_version(pgq *q)
{
    int version;

    return pgq_installed_version(q, &version);
}

static pgq_status auto_create(pgq *q)
{
    return pgq_set_auto_create(q, 0);
}

static pgq_status grant(pgq *q)
{
    return pgq_grant_producer(q, "nobody has this name");
}

const fault_call fault_calls[] = {
    {"enqueue", NULL, enqueue, PGQ_OK},
    {"enqueue_many", NULL, enqueue_many, PGQ_OK},
    {"enqueue_json", NULL, enqueue_json, PGQ_OK},
    {"dequeue", one_message, dequeue, PGQ_OK},
    {"dequeue, failing", one_message, dequeue_badly, PGQ_FAILED},
    {"dequeue, empty", empty, dequeue, PGQ_EMPTY},
    {"listen", one_message, listen, PGQ_OK},
    {"listen in vain", empty, listen_in_vain, PGQ_TIMEOUT},
    {"pop", one_message, pop, PGQ_OK},
    {"pop, empty", empty, pop, PGQ_EMPTY},
    {"peek", one_message, peek, PGQ_OK},
    {"count", NULL, count, PGQ_OK},
    {"requeue_dead", NULL, requeue_dead, PGQ_OK},
    {"purge_dead", NULL, purge_dead, PGQ_OK},
    {"create_queue", NULL, create_queue, PGQ_OK},
    {"delete_queue", another_queue, delete_queue, PGQ_OK},
    {"list_queues", NULL, list_queues, PGQ_OK},
    {"cancel", NULL, cancel, PGQ_NOT_FOUND},
    {"installed_version", NULL, installed_version, PGQ_OK},
    {"set_auto_create", NULL, auto_create, PGQ_OK},
    {"grant_producer", NULL, grant, PGQ_SERVER},
    {"reconnect", NULL, pgq_reconnect, PGQ_OK},
    {"install", NULL, pgq_install, PGQ_OK},
};

const size_t fault_call_count = COUNT_OF(fault_calls);
