/* SPDX-License-Identifier: MIT */
#include "fault/calls.h"

#include <pgq/json.h>
#include <stdlib.h>
#include <string.h>

static void empty(const fixture *f)
{
    t_run(f, f->sql, "DELETE FROM mq.message");
    t_run(f, f->sql, "DELETE FROM mq.dead_letter");
    t_run(f, f->sql, "DELETE FROM mq.dedup_window");
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

    return pgq_enqueue_many(q, "q", out, 3, 0, ids, NULL);
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

static int all_done(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    (void)q, (void)conn, (void)messages;
    return arg ? pgq_fail(q, "no") : 0;
}

static pgq_status dequeue_many(pgq *q)
{
    return pgq_dequeue_many(q, "q", 10, all_done, NULL, NULL);
}

static pgq_status dequeue_many_badly(pgq *q)
{
    return pgq_dequeue_many(q, "q", 10, all_done, q, NULL);
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

    return pgq_requeue_dead(q, "q", ids, 2, NULL, NULL);
}

static pgq_status purge_dead(pgq *q)
{
    return pgq_purge_dead(q, "q", NULL, 0, NULL);
}

static pgq_status create_queue(pgq *q)
{
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;

    a.lease_ms = 1000;
    return pgq_create_queue(q, "s", &a, 1);
}

static pgq_status delete_queue(pgq *q)
{
    return pgq_delete_queue(q, "r");
}

static pgq_status list_queues(pgq *q)
{
    pgq_queue_list *list;
    pgq_status status = pgq_list_queues(q, NULL, &list);

    assert_true((status == PGQ_OK) == (list != NULL));
    pgq_queue_list_free(list);
    return status;
}

static pgq_status get(pgq *q)
{
    pgq_messages *m;
    pgq_messages *one;
    pgq_status status = pgq_peek(q, "q", 1, &m);

    if (status == PGQ_OK) {
        status = pgq_get(q, pgq_messages_get(m, 0)->id, &one);
        assert_true((status == PGQ_OK) == (one != NULL));
        pgq_messages_free(one);
    }
    pgq_messages_free(m);
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

static void one_dead(const fixture *f)
{
    one_message(f);
    t_run(f, f->sql, "SELECT mq.nack(r.id, r.attempts, requeue => false) FROM mq.receive('q') r");
}

static pgq_status requeue_all_dead(pgq *q)
{
    return pgq_requeue_dead(q, "q", NULL, 0, "q", NULL);
}

static pgq_status enqueue_keyed(pgq *q)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    const pgq_outgoing out[] = {{"a", 1, &o}, {"b", 1, NULL}};
    pgq_status results[2];
    int64_t ids[2];

    o.order_key = "order";
    o.dedup_key = "dedup";
    o.dedup_window_ms = 1;
    return pgq_enqueue_many(q, "q", out, 2, 0, ids, results);
}

static pgq_status set_queue(pgq *q)
{
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;

    a.retry_factor = 2;
    return pgq_set_queue(q, "q", &a, PGQ_LEASE | PGQ_TTL);
}

static pgq_status set_defaults(pgq *q)
{
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;

    a.lease_ms = 30000;
    return pgq_set_defaults(q, &a, PGQ_DELAY);
}

static pgq_status pause_queue(pgq *q)
{
    return pgq_pause_queue(q, "r");
}

static pgq_status resume_queue(pgq *q)
{
    return pgq_resume_queue(q, "q");
}

static pgq_status purge(pgq *q)
{
    int64_t waiting, in_flight;

    return pgq_purge(q, "q", &waiting, &in_flight);
}

static pgq_status clean(pgq *q)
{
    pgq_cleaned c;

    return pgq_clean(q, "q", &c);
}

static pgq_status stats(pgq *q)
{
    pgq_stats_list *list;
    pgq_status status = pgq_stats(q, NULL, &list);

    assert_true((status == PGQ_OK) == (list != NULL));
    pgq_stats_free(list);
    return status;
}

static pgq_status consumers(pgq *q)
{
    pgq_consumer_list *list;
    pgq_status status = pgq_consumers(q, NULL, 10, &list);

    assert_true((status == PGQ_OK) == (list != NULL));
    pgq_consumers_free(list);
    return status;
}

static pgq_status doctor(pgq *q)
{
    pgq_findings *findings;
    pgq_status status = pgq_doctor(q, NULL, &findings);

    assert_true((status == PGQ_OK) == (findings != NULL));
    pgq_findings_free(findings);
    return status;
}

static pgq_status list(pgq *q)
{
    pgq_messages *m;
    pgq_status status = pgq_list(q, "q", PGQ_STATE_READY, 10, 0, &m);

    assert_true((status == PGQ_OK) == (m != NULL));
    pgq_messages_free(m);
    return status;
}

/* Hooks that make a copy, so that there is something to free. */
static int copies(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    (void)kind, (void)error, (void)error_size, (void)arg;
    *out = malloc(len + 1);
    if (!*out)
        return 1;
    memcpy(*out, in, len);
    *out_len = len;
    return 0;
}

static const pgq_codec codec = {sizeof codec, copies, copies, NULL};

static pgq_status enqueue_encoded(pgq *q)
{
    const pgq_outgoing out[] = {{"a", 1, NULL}, {"", 0, NULL}, {"c", 1, NULL}};

    assert_ok(q, pgq_set_codec(q, &codec)); /* it stays: it changes nothing */
    return pgq_enqueue_many(q, "q", out, 3, 0, NULL, NULL);
}

static pgq_status received(pgq *q, pgq_status status, pgq_messages *m)
{
    (void)q;
    assert_true((status == PGQ_OK) == (m != NULL));
    pgq_messages_free(m);
    return status;
}

static pgq_status receive(pgq *q)
{
    pgq_messages *m;
    pgq_status status = pgq_receive(q, "q", 10, NULL, &m);

    return received(q, status, m);
}

static pgq_status receive_filtered(pgq *q)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *m;
    pgq_status status;

    o.filter = "{\"a\": 1}";
    o.timeout_ms = 5000;
    o.lease_ms = 60000;
    assert_ok(q, pgq_set_codec(q, &codec));
    status = pgq_receive(q, "q", 10, &o, &m);
    if (status == PGQ_HOOK && strcmp(pgq_last_error(q)->message, "out of memory") == 0) {
        /* There was no room to decode it in: it is given as it was sent. */
        assert_int_equal(pgq_messages_get(m, 0)->undecoded, 1);
        pgq_messages_free(m);
        return PGQ_NO_MEMORY;
    }
    return received(q, status, m);
}

static pgq_status receive_in_vain(pgq *q)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *m;
    pgq_status status;

    o.timeout_ms = 60;
    status = pgq_receive(q, "q", 1, &o, &m);
    return received(q, status, m);
}

static pgq_status receive_id(pgq *q)
{
    pgq_messages *m;
    pgq_status status = pgq_receive_id(q, 1 << 30, 1000, &m);

    return received(q, status, m);
}

static pgq_status receive_with(pgq *q)
{
    return pgq_receive_with(q, "q", done, NULL, NULL);
}

static pgq_status receive_with_badly(pgq *q)
{
    return pgq_receive_with(q, "q", fails, NULL, NULL);
}

static const pgq_receipt unknown[] = {{1 << 30, 1}, {(1 << 30) + 1, 2}};

static pgq_status ack(pgq *q)
{
    pgq_status results[2];
    size_t n;

    return pgq_ack(q, unknown, 2, &n, results);
}

static pgq_status ack_receive(pgq *q)
{
    pgq_status results[2];
    pgq_messages *m;
    size_t n;
    pgq_status status = pgq_ack_receive(q, unknown, 2, &n, results, "q", 10, NULL, &m);

    return received(q, status, m);
}

static pgq_status ack_receive_in_vain(pgq *q)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *m;
    pgq_status status;

    o.timeout_ms = 60;
    status = pgq_ack_receive(q, unknown, 2, NULL, NULL, "q", 1, &o, &m);
    return received(q, status, m);
}

static pgq_status nack(pgq *q)
{
    pgq_nack_options o = PGQ_NACK_OPTIONS_INIT;

    o.error = "no";
    o.delay_ms = 10;
    return pgq_nack(q, unknown, 2, &o, NULL, NULL);
}

static pgq_status extend(pgq *q)
{
    return pgq_extend(q, unknown, 2, 1000, NULL, NULL);
}

static pgq_status release(pgq *q)
{
    return pgq_release(q, unknown, 2, NULL, NULL);
}

static pgq_status reschedule(pgq *q)
{
    return pgq_reschedule(q, 1 << 30, 1000);
}

const fault_call fault_calls[] = {
    {"enqueue", NULL, enqueue, PGQ_OK, 1},
    {"enqueue_many", NULL, enqueue_many, PGQ_OK, 1},
    {"enqueue_json", NULL, enqueue_json, PGQ_OK, 1},
    {"dequeue", one_message, dequeue, PGQ_OK, 1},
    {"dequeue, failing", one_message, dequeue_badly, PGQ_FAILED, 1},
    {"dequeue, empty", empty, dequeue, PGQ_EMPTY, 1},
    {"dequeue_many", one_message, dequeue_many, PGQ_OK, 1},
    {"dequeue_many, failing", one_message, dequeue_many_badly, PGQ_FAILED, 1},
    {"dequeue_many, empty", empty, dequeue_many, PGQ_EMPTY, 1},
    {"listen", one_message, listen, PGQ_OK, 1},
    {"listen in vain", empty, listen_in_vain, PGQ_TIMEOUT, 1},
    {"pop", one_message, pop, PGQ_OK, 1},
    {"pop, empty", empty, pop, PGQ_EMPTY, 1},
    {"peek", one_message, peek, PGQ_OK, 1},
    {"get", one_message, get, PGQ_OK, 1},
    {"count", NULL, count, PGQ_OK, 1},
    {"requeue_dead", NULL, requeue_dead, PGQ_OK, 1},
    {"purge_dead", NULL, purge_dead, PGQ_OK, 1},
    {"create_queue", NULL, create_queue, PGQ_OK, 1},
    {"delete_queue", another_queue, delete_queue, PGQ_OK, 1},
    {"list_queues", NULL, list_queues, PGQ_OK, 1},
    {"cancel", NULL, cancel, PGQ_NOT_FOUND, 0},
    {"installed_version", NULL, installed_version, PGQ_OK, 0},
    {"set_auto_create", NULL, auto_create, PGQ_OK, 0},
    {"grant_producer", NULL, grant, PGQ_SERVER, 0},
    {"enqueue, keyed", empty, enqueue_keyed, PGQ_OK, 1},
    {"enqueue, encoded", empty, enqueue_encoded, PGQ_OK, 1},
    {"receive", one_message, receive, PGQ_OK, 1},
    {"receive, empty", empty, receive, PGQ_EMPTY, 1},
    {"receive, filtered", one_message, receive_filtered, PGQ_OK, 1},
    {"receive in vain", empty, receive_in_vain, PGQ_TIMEOUT, 1},
    {"receive_with", one_message, receive_with, PGQ_OK, 1},
    {"receive_with, failing", one_message, receive_with_badly, PGQ_FAILED, 1},
    {"receive_with, empty", empty, receive_with, PGQ_EMPTY, 1},
    {"set_queue", NULL, set_queue, PGQ_OK, 1},
    {"set_defaults", NULL, set_defaults, PGQ_OK, 1},
    {"pause_queue", another_queue, pause_queue, PGQ_OK, 1},
    {"resume_queue", NULL, resume_queue, PGQ_OK, 1},
    {"purge", one_message, purge, PGQ_OK, 1},
    {"clean", NULL, clean, PGQ_OK, 1},
    {"stats", NULL, stats, PGQ_OK, 1},
    {"consumers", NULL, consumers, PGQ_OK, 1},
    {"doctor", NULL, doctor, PGQ_OK, 1},
    {"list", one_message, list, PGQ_OK, 1},
    {"requeue_dead, all", one_dead, requeue_all_dead, PGQ_OK, 1},
    {"receive_id", NULL, receive_id, PGQ_NOT_FOUND, 0},
    {"ack", NULL, ack, PGQ_EMPTY, 0},
    {"ack_receive", one_message, ack_receive, PGQ_OK, 1},
    {"ack_receive, empty", empty, ack_receive, PGQ_EMPTY, 1},
    {"ack_receive in vain", empty, ack_receive_in_vain, PGQ_TIMEOUT, 1},
    {"nack", NULL, nack, PGQ_NOT_FOUND, 0},
    {"extend", NULL, extend, PGQ_NOT_FOUND, 0},
    {"release", NULL, release, PGQ_NOT_FOUND, 0},
    {"reschedule", NULL, reschedule, PGQ_NOT_FOUND, 0},
    {"reconnect", NULL, pgq_reconnect, PGQ_OK, 0},
    {"install", NULL, pgq_install, PGQ_OK, 0},
};

const size_t fault_call_count = COUNT_OF(fault_calls);
