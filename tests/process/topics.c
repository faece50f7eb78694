/* SPDX-License-Identifier: MIT */
/* Eight publishers, a third of whose transactions last up to 200 ms and some of which are rolled back;
 * durable subscribers that are killed and go on, and ephemeral ones that come and go. Backends are killed
 * meanwhile, and the log's segments change all the time. Every subscriber gets exactly what was committed
 * since it began: each message once, each publisher's in order.
 *
 * PGQ_TOPICS_MESSAGES (of all publishers), PGQ_TOPICS_KILL_MS. */
#include "harness.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PUBLISHERS = 8,
    DURABLE = 4,
    EPHEMERAL = 4,
    CHILDREN = PUBLISHERS + DURABLE + EPHEMERAL,
    BATCH = 200,
    PAGE = 400,
    RECORD = 32, /* characters of a row in VALUES */
    PATIENCE_US = 60000000
};

#define TOPIC "news"

struct state {
    atomic_int backends[CHILDREN]; /* process ids on the server; 0: none */
    atomic_int publishing;         /* publishers at work */
    atomic_int ending;             /* all was published: go when there is nothing more */
    atomic_long published;
    atomic_int lives;
    atomic_int lost; /* connections that were lost */
};

static struct state *state;
static long messages;

struct child {
    int number; /* its place in backends */
    pid_t pid;
};

/* --- connections that are killed --- */

static pgq *connect_as(const struct child *c)
{
    pgq *q = open_handle();

    atomic_store(&state->backends[c->number], PQbackendPID(pgq_connection(q)));
    return q;
}

static void connect_again(const struct child *c, pgq *q)
{
    atomic_store(&state->backends[c->number], 0);
    atomic_fetch_add(&state->lost, 1);
    while (pgq_reconnect(q) != PGQ_OK)
        pause_us(10000);
    atomic_store(&state->backends[c->number], PQbackendPID(pgq_connection(q)));
}

/* 1: done; 0: the connection is lost. */
static int run(PGconn *conn, const char *sql)
{
    PGresult *res = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(res);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && PQstatus(conn) == CONNECTION_OK)
        give_up("%s: %s", sql, PQerrorMessage(conn));
    PQclear(res);
    return PQstatus(conn) == CONNECTION_OK;
}

/* --- publishers --- */

struct batch {
    pgq_publication out[BATCH];
    char texts[BATCH][32];
    size_t count;
};

static void fill(struct batch *b, int publisher, long n)
{
    b->count = (size_t)between(1, between(0, 9) == 0 ? BATCH : BATCH / 5);
    for (size_t i = 0; i < b->count; i++) {
        b->out[i].payload = b->texts[i];
        b->out[i].len = (size_t)snprintf(b->texts[i], sizeof b->texts[i], "%d %ld", publisher, n + (long)i);
        b->out[i].options = NULL;
    }
}

static int publish(pgq *q, const struct batch *b, size_t from, size_t count)
{
    pgq_status status = count == 1
                            ? pgq_topic_publish(q, TOPIC, b->out[from].payload, b->out[from].len, NULL, NULL)
                            : pgq_topic_publish_many(q, TOPIC, b->out + from, count, NULL);

    if (status != PGQ_OK && status != PGQ_CONNECTION && PQstatus(pgq_connection(q)) == CONNECTION_OK)
        give_up("publish: %s: %s", pgq_status_name(status), pgq_last_error(q)->message);
    return status == PGQ_OK;
}

/* The truth stands in NS.sent, written in the same transaction. 0: the connection was lost. */
static int publish_batch(pgq *q, const struct batch *b, int publisher, long n, int back)
{
    PGconn *conn = pgq_connection(q);
    int slow = between(1, 3) == 1;
    size_t half = b->count / 2;
    char sql[256];

    snprintf(sql, sizeof sql,
             "INSERT INTO %s.sent (publisher, n) SELECT %d, i FROM generate_series(%ld, %ld) i", name_space(),
             publisher, n, n + (long)b->count - 1);
    if (!run(conn, "BEGIN") || !run(conn, sql) || (half > 0 && !publish(q, b, 0, half)))
        return 0;
    if (slow)
        pause_us(between(0, 200000));
    return publish(q, b, half, b->count - half) && run(conn, back ? "ROLLBACK" : "COMMIT");
}

static void publisher(void *arg)
{
    const struct child *c = arg;
    pgq *q = connect_as(c);
    static struct batch b;
    long n = 0;

    while (atomic_load(&state->published) < messages) {
        int back = between(1, 10) == 1;

        fill(&b, c->number, n);
        if (!publish_batch(q, &b, c->number, n, back))
            connect_again(c, q); /* whether that was committed the server knows */
        else if (!back)
            atomic_fetch_add(&state->published, (long)b.count);
        n += (long)b.count;
    }
    atomic_store(&state->backends[c->number], 0);
    pgq_close(q);
    atomic_fetch_sub(&state->publishing, 1);
}

/* --- subscribers --- */

/* Writes down what was got. 0: the connection is lost. */
static int record(PGconn *conn, int subscriber, const pgq_messages *list)
{
    static char sql[PAGE * RECORD + 128];
    size_t len = (size_t)snprintf(sql, sizeof sql, "INSERT INTO %s.got (subscriber, publisher, n) VALUES",
                                  name_space());

    for (size_t i = 0; i < pgq_messages_count(list); i++) {
        char *rest;
        int publisher = (int)strtol(pgq_messages_get(list, i)->payload, &rest, 10);

        len += (size_t)snprintf(sql + len, sizeof sql - len, "%s(%d,%d,%ld)", i ? "," : "", subscriber,
                                publisher, strtol(rest, NULL, 10));
    }
    return run(conn, sql);
}

static int handle(pgq *q, PGconn *conn, const pgq_messages *list, void *arg)
{
    const struct child *c = arg;

    if (!record(conn, c->number, list))
        return 1;
    return between(1, 30) == 1 ? pgq_fail(q, "refused") : 0;
}

static pgq_subscriber *subscribe(pgq *q, const char *name)
{
    pgq_subscribe_options o = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_subscriber *s;

    o.name = name;
    if (name) {
        o.start = "oldest";
        o.hold_ms = 3600000;
    }
    if (pgq_topic_subscribe(q, TOPIC, &o, &s) == PGQ_OK)
        return s;
    if (PQstatus(pgq_connection(q)) == CONNECTION_OK)
        give_up("subscribe: %s", pgq_last_error(q)->message);
    return NULL;
}

/* Its work and its position are committed together, and it is killed as it may come. */
static void durable(void *arg)
{
    struct child *c = arg;
    pgq *q = connect_as(c);
    pgq_subscriber *s = NULL;
    char name[32];

    snprintf(name, sizeof name, "durable %d", c->number);
    for (;;) {
        int ending = atomic_load(&state->ending);
        pgq_status status;

        while (!s && !(s = subscribe(q, name)))
            connect_again(c, q);
        status = pgq_topic_listen(s, (int)between(1, PAGE), 300, handle, c, NULL);
        if (status == PGQ_TIMEOUT && ending)
            break;
        if (PQstatus(pgq_connection(q)) != CONNECTION_OK) {
            do {
                connect_again(c, q);
            } while (pgq_topic_rewind(s) != PGQ_OK && PQstatus(pgq_connection(q)) != CONNECTION_OK);
        } else if (status < 0 && status != PGQ_FAILED) {
            give_up("%s: %s: %s", name, pgq_status_name(status), pgq_last_error(q)->message);
        }
    }
    atomic_store(&state->backends[c->number], 0);
    pgq_subscriber_free(s);
    pgq_close(q);
}

/* Reads for a while, from now on. Its connection may go; where it is it knows itself. */
static void live(const struct child *c, pgq *q, pgq *notes)
{
    int life = CHILDREN + atomic_fetch_add(&state->lives, 1);
    int64_t until = now_us() + between(500000, 5000000);
    pgq_subscriber *s;
    char *first;

    while (!(s = subscribe(q, NULL)))
        connect_again(c, q);
    first = strdup(pgq_topic_position(s));
    for (;;) {
        int ending = atomic_load(&state->ending);
        pgq_messages *list;
        pgq_status status = between(0, 1) ? pgq_topic_next(s, (int)between(1, PAGE), &list)
                                          : pgq_topic_wait(s, (int)between(1, PAGE), 300, NULL, &list);

        if (status == PGQ_OK && !record(pgq_connection(notes), life, list))
            give_up("the notes' connection is lost");
        pgq_messages_free(list);
        if (status != PGQ_OK && (ending || now_us() > until) && !strchr(pgq_topic_position(s), '/'))
            break;
        if (PQstatus(pgq_connection(q)) != CONNECTION_OK)
            connect_again(c, q);
        else if (status < 0)
            give_up("ephemeral: %s: %s", pgq_status_name(status), pgq_last_error(q)->message);
    }
    check(!pgq_topic_trimmed(s), "an ephemeral subscriber was too late");
    queryf(notes, "INSERT INTO NS.lives (subscriber, first, last) VALUES (%d, '%s', '%s')", life, first,
           pgq_topic_position(s));
    free(first);
    pgq_subscriber_free(s);
}

static void ephemeral(void *arg)
{
    const struct child *c = arg;
    pgq *q = connect_as(c);
    pgq *notes = open_handle();

    while (!atomic_load(&state->ending))
        live(c, q, notes);
    atomic_store(&state->backends[c->number], 0);
    pgq_close(notes);
    pgq_close(q);
}

/* --- the run --- */

static void kill_one(pgq *q, struct child *c)
{
    int victim = (int)between(0, CHILDREN - 1);
    int backend = atomic_load(&state->backends[victim]);

    if (victim >= PUBLISHERS && victim < PUBLISHERS + DURABLE && between(0, 1)) {
        atomic_store(&state->backends[victim], 0);
        kill_now(c[victim].pid);
        c[victim].pid = start(durable, &c[victim]);
    } else if (backend) {
        queryf(q, "SELECT pg_terminate_backend(%d)::int", backend);
    }
}

/* Segments change every half second, though the messages are kept for longer. With the key of whoever tends
 * them, who locks them one by one. */
static void age(pgq *q)
{
    query(q, "SELECT pg_advisory_xact_lock('NS.topic_segment'::regclass::oid::integer, 0);"
             "UPDATE NS.topic_segment SET opened = opened - interval '1 hour' WHERE sealed IS NULL");
}

static int64_t segments_used(pgq *q)
{
    return query(q, "SELECT max(number) - min(number) FROM NS.topic_segment");
}

static void run_all(struct child *c, int64_t kill_us)
{
    pgq *q = open_handle();
    int64_t next_kill = now_us() + kill_us;
    int64_t next_age = now_us();
    int64_t progress = now_us();
    long seen = 0;

    for (int i = 0; i < CHILDREN; i++) {
        c[i].number = i;
        c[i].pid = start(i < PUBLISHERS ? publisher : i < PUBLISHERS + DURABLE ? durable : ephemeral, &c[i]);
    }
    while (atomic_load(&state->publishing) > 0) {
        long n = atomic_load(&state->published);

        if (n > seen)
            progress = now_us();
        seen = n;
        if (now_us() > progress + PATIENCE_US)
            give_up("%ld of %ld messages are published, and nothing goes on", n, messages);
        if (now_us() > next_kill) {
            kill_one(q, c);
            next_kill += kill_us;
        }
        if (now_us() > next_age) {
            age(q);
            next_age += 500000;
        }
        pause_us(10000);
    }
    check(segments_used(q) > 0, "the log has not changed its segment once");
    atomic_store(&state->ending, 1);
    for (int i = 0; i < CHILDREN; i++)
        check(ended_well(c[i].pid), "child %d did not end well", i);
    pgq_close(q);
}

static void check_durable(pgq *q)
{
    int64_t sent = query(q, "SELECT count(*) FROM NS.sent");

    for (int i = PUBLISHERS; i < PUBLISHERS + DURABLE; i++) {
        int64_t got = queryf(q, "SELECT count(*) FROM NS.got WHERE subscriber = %d", i);
        int64_t common = queryf(q,
                                "SELECT count(*) FROM (SELECT publisher, n FROM NS.sent INTERSECT "
                                "SELECT publisher, n FROM NS.got WHERE subscriber = %d) t",
                                i);

        check(got == sent && common == sent,
              "durable subscriber %d got %lld messages, %lld of the %lld that there are", i, (long long)got,
              (long long)common, (long long)sent);
    }
}

/* Of a life, what was committed after its first snapshot and before its last. */
static void check_ephemeral(pgq *q)
{
    int64_t wrong =
        query(q, "SELECT count(*) FROM NS.lives l CROSS JOIN LATERAL ("
                 "(SELECT publisher, n FROM NS.sent WHERE pg_visible_in_snapshot(xid, l.last::pg_snapshot) "
                 "AND NOT pg_visible_in_snapshot(xid, l.first::pg_snapshot) "
                 "EXCEPT ALL SELECT publisher, n FROM NS.got g WHERE g.subscriber = l.subscriber) UNION ALL "
                 "(SELECT publisher, n FROM NS.got g WHERE g.subscriber = l.subscriber EXCEPT ALL "
                 "SELECT publisher, n FROM NS.sent WHERE pg_visible_in_snapshot(xid, l.last::pg_snapshot) "
                 "AND NOT pg_visible_in_snapshot(xid, l.first::pg_snapshot))) t");
    int64_t lives = query(q, "SELECT count(*) FROM NS.lives");

    check(wrong == 0, "%lld messages too many or too few for ephemeral subscribers", (long long)wrong);
    check(lives >= EPHEMERAL, "%lld ephemeral subscribers have lived", (long long)lives);
}

static void check_order(pgq *q)
{
    int64_t back = query(q, "SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY subscriber, publisher "
                            "ORDER BY at) AS before FROM NS.got) t WHERE n <= before");

    check(back == 0, "%lld messages came after a later one of their publisher", (long long)back);
}

int main(void)
{
    static struct child children[CHILDREN];
    pgq_retention retention = PGQ_RETENTION_INIT;
    pgq *q;

    begin("process_topics");
    messages = setting("PGQ_TOPICS_MESSAGES", 20000);
    state = shared(sizeof *state);
    atomic_store(&state->publishing, PUBLISHERS);
    q = open_handle();
    query(q, "CREATE TABLE NS.sent (publisher int, n bigint, xid xid8 DEFAULT pg_current_xact_id())");
    query(q, "CREATE TABLE NS.got (subscriber int, publisher int, n bigint, at bigserial)");
    query(q, "CREATE TABLE NS.lives (subscriber int, first text, last text)");
    retention.retain_ms = 15000;
    must(q, pgq_topic_create(q, TOPIC, &retention, 0), "create");
    run_all(children, setting("PGQ_TOPICS_KILL_MS", 300) * 1000);
    check_durable(q);
    check_ephemeral(q);
    check_order(q);
    printf("%lld messages, %d connections lost, %d ephemeral lives, %lld segments\n",
           (long long)query(q, "SELECT count(*) FROM NS.sent"), atomic_load(&state->lost),
           atomic_load(&state->lives), (long long)query(q, "SELECT count(*) FROM NS.topic_segment"));
    pgq_close(q);
    return finish();
}
