/* SPDX-License-Identifier: MIT */
/* The calls about topics, each with all that it needs. */
#include "fault/calls.h"

#include <stdio.h>
#include <string.h>

static void clean(const fixture *f)
{
    t_run(f, f->sql, "DELETE FROM mq.topic_binding");
    t_run(f, f->sql, "DELETE FROM mq.topic_position");
    t_run(f, f->sql, "DELETE FROM mq.topic_subscriber");
    t_run(f, f->sql, "SELECT mq.topic_delete(topic) FROM mq.topic_log WHERE topic <> ''");
}

static void one_message(const fixture *f)
{
    clean(f);
    t_run(f, f->sql, "SELECT mq.topic_publish('t', 'one'::text, headers => '{\"a\": 1}')");
}

static void one_of_each(const fixture *f)
{
    one_message(f);
    t_run(f, f->sql, "SELECT mq.topic_create('own')");
    t_run(f, f->sql, "SELECT mq.topic_bind('t', 'q')");
    t_run(f, f->sql, "SELECT mq.topic_subscribe('t', 'me')");
}

static pgq_status publish(pgq *q)
{
    pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;

    o.headers = "{}";
    return pgq_topic_publish(q, "t", "x", 1, &o, NULL);
}

static pgq_status publish_many(pgq *q)
{
    pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;
    const pgq_publication all[] = {{"a", 1, &o}, {NULL, 0, NULL}, {"c", 1, NULL}};
    int64_t ids[3];

    o.headers = "{}";
    return pgq_topic_publish_many(q, "t", all, 3, ids);
}

static pgq_status subscribe(pgq *q, const char *name, const char *start, pgq_subscriber **s)
{
    pgq_subscribe_options o = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_status status;

    o.name = name;
    o.start = start;
    status = pgq_topic_subscribe(q, "t", &o, s);
    assert_true((status == PGQ_OK) == (*s != NULL));
    return status;
}

static pgq_status subscribe_alone(pgq *q)
{
    pgq_subscriber *s;
    pgq_status status = subscribe(q, "me", "oldest", &s);

    pgq_subscriber_free(s);
    return status;
}

/* All that is in the topic, or only what comes now, stands behind the position. */
static void nothing_is_passed_over(const pgq *q, const char *position, int all)
{
    fixture f = {0};
    PGconn *conn = t_connect(); /* that of the handle may be gone */
    long there = 1;
    long read;

    snprintf(f.ns, sizeof f.ns, "%s", pgq_namespace(q));
    t_run(&f, conn, "SET lock_timeout = '10s'");
    t_run(&f, conn, "SELECT mq.topic_publish('t', 'later'::text)");
    if (all)
        there = t_number(&f, conn, "SELECT count(*) FROM mq.topic_message WHERE topic = 't'");
    read = t_number(&f, conn, "SELECT count(*) FROM mq.topic_next('t', '%s', 10000)", position);
    PQfinish(conn);
    assert_int_equal(read, there);
}

/* Whatever went wrong, the subscriber has passed over nothing; its message is there the next time. It may
 * have moved, over what other transactions of the server were and are. */
static pgq_status read_from(pgq *q, const char *start,
                            pgq_status (*call)(pgq_subscriber *s, pgq_messages **m))
{
    pgq_messages *m = NULL;
    pgq_subscriber *s;
    pgq_status status = subscribe(q, NULL, start, &s);
    char before[512] = "";
    char behind[512] = "";
    int read = 0;

    if (status == PGQ_OK) {
        snprintf(before, sizeof before, "%s", pgq_topic_position(s));
        status = call(s, &m);
        snprintf(behind, sizeof behind, "%s", pgq_topic_position(s));
        read = m != NULL;
    }
    pgq_messages_free(m);
    pgq_subscriber_free(s);
    assert_int_equal(read, status == PGQ_OK);
    assert_true(strlen(before) + 1 < sizeof before && strlen(behind) + 1 < sizeof behind);
    if (status < 0 && strcmp(before, behind) != 0)
        nothing_is_passed_over(q, behind, strcmp(start, "oldest") == 0);
    return status;
}

static pgq_status call_next(pgq_subscriber *s, pgq_messages **m)
{
    return pgq_topic_next(s, 2, m);
}

static pgq_status call_latest(pgq_subscriber *s, pgq_messages **m)
{
    return pgq_topic_latest(s, m);
}

static pgq_status call_wait(pgq_subscriber *s, pgq_messages **m)
{
    return pgq_topic_wait(s, 2, 60, NULL, m);
}

static pgq_status next(pgq *q)
{
    return read_from(q, "oldest", call_next);
}

static pgq_status next_in_vain(pgq *q)
{
    return read_from(q, "now", call_next);
}

static pgq_status latest(pgq *q)
{
    return read_from(q, "oldest", call_latest);
}

static pgq_status wait(pgq *q)
{
    return read_from(q, "oldest", call_wait);
}

static pgq_status wait_in_vain(pgq *q)
{
    return read_from(q, "now", call_wait);
}

static int done(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    (void)q, (void)conn, (void)messages, (void)arg;
    return 0;
}

static int fails(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    (void)conn, (void)messages, (void)arg;
    return pgq_fail(q, "no");
}

static pgq_status listen_as(pgq *q, const char *name, pgq_batch_handler handler)
{
    pgq_subscriber *s;
    pgq_status status = subscribe(q, name, "oldest", &s);

    if (status == PGQ_OK)
        status = pgq_topic_listen(s, 2, 60, handler, NULL, NULL);
    pgq_subscriber_free(s);
    return status;
}

static pgq_status listen(pgq *q)
{
    return listen_as(q, NULL, done);
}

static pgq_status listen_durably(pgq *q)
{
    return listen_as(q, "me", done);
}

static pgq_status listen_badly(pgq *q)
{
    return listen_as(q, "me", fails);
}

static pgq_status commit_as(pgq *q, const char *name)
{
    pgq_subscriber *s;
    pgq_status status = subscribe(q, name, "oldest", &s);

    if (status == PGQ_OK)
        status = pgq_topic_commit(s);
    if (status == PGQ_OK)
        status = pgq_topic_rewind(s);
    pgq_subscriber_free(s);
    return status;
}

static pgq_status commit(pgq *q)
{
    return commit_as(q, NULL);
}

static pgq_status commit_durably(pgq *q)
{
    return commit_as(q, "me");
}

static pgq_status unsubscribe(pgq *q)
{
    return pgq_topic_unsubscribe(q, "t", "me");
}

static pgq_status create(pgq *q)
{
    return pgq_topic_create(q, "new", NULL, 0);
}

static pgq_status set(pgq *q)
{
    pgq_retention r = PGQ_RETENTION_INIT;

    r.retain_ms = 60000;
    return pgq_topic_set(q, "own", &r);
}

static pgq_status delete_topic(pgq *q)
{
    return pgq_topic_delete(q, "own");
}

static pgq_status bind(pgq *q)
{
    return pgq_topic_bind(q, "t", "q", "{\"a\": 1}");
}

static pgq_status unbind(pgq *q)
{
    return pgq_topic_unbind(q, "t", "q");
}

static pgq_status tend(pgq *q)
{
    return pgq_topic_tend(q, NULL);
}

static pgq_status list_topics(pgq *q)
{
    pgq_topic_list *list;
    pgq_status status = pgq_list_topics(q, "t", &list);

    assert_true((status == PGQ_OK) == (list != NULL));
    assert_int_equal(pgq_topic_list_count(list), status == PGQ_OK);
    pgq_topic_list_free(list);
    return status;
}

static pgq_status subscribers(pgq *q)
{
    pgq_subscriber_list *list;
    pgq_status status = pgq_topic_subscribers(q, "t", &list);

    assert_true((status == PGQ_OK) == (list != NULL));
    pgq_subscriber_list_free(list);
    return status;
}

const fault_call fault_topic_calls[] = {
    {"topic_publish", clean, publish, PGQ_OK, 2},
    {"topic_publish_many", clean, publish_many, PGQ_OK, 2},
    {"topic_publish, bound", one_of_each, publish, PGQ_OK, 2},
    {"topic_subscribe", clean, subscribe_alone, PGQ_OK, 0},
    {"topic_next", one_message, next, PGQ_OK, 2},
    {"topic_next, empty", clean, next_in_vain, PGQ_EMPTY, 2},
    {"topic_latest", one_message, latest, PGQ_OK, 2},
    {"topic_wait", one_message, wait, PGQ_OK, 2},
    {"topic_wait in vain", clean, wait_in_vain, PGQ_TIMEOUT, 2},
    {"topic_listen", one_message, listen, PGQ_OK, 2},
    {"topic_listen, durable", one_message, listen_durably, PGQ_OK, 2},
    {"topic_listen, failing", one_message, listen_badly, PGQ_FAILED, 2},
    {"topic_commit", clean, commit, PGQ_OK, 0},
    {"topic_commit, durable", clean, commit_durably, PGQ_OK, 0},
    {"topic_unsubscribe", one_of_each, unsubscribe, PGQ_OK, 0},
    {"topic_create", clean, create, PGQ_OK, 2},
    {"topic_set", one_of_each, set, PGQ_OK, 2},
    {"topic_delete", one_of_each, delete_topic, PGQ_OK, 2},
    {"topic_bind", one_of_each, bind, PGQ_OK, 1},
    {"topic_unbind", one_of_each, unbind, PGQ_OK, 1},
    {"topic_tend", one_of_each, tend, PGQ_OK, 2},
    {"list_topics", one_of_each, list_topics, PGQ_OK, 2},
    {"topic_subscribers", one_of_each, subscribers, PGQ_OK, 2},
    {"shutdown", NULL, pgq_shutdown, PGQ_OK, 0},
};
const size_t fault_topic_call_count = COUNT_OF(fault_topic_calls);
