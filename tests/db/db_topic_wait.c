/* SPDX-License-Identifier: MIT */
/* Rows F5 and G2: waiting for the next message of a topic. */
#include "topics.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a helper's thread does meanwhile: two statements, each as soon as a query gives a row; "": none. */
typedef struct helper {
    char when[2][400];
    char sql[2][400];
    int64_t done_us[2];
} helper;

static void *run_helper(void *arg)
{
    helper *h = arg;
    int64_t until = t_now_us() + 10000000;
    PGconn *conn = PQconnectdb(t_dsn());

    /* No assertion here: cmocka wants those in its own thread. */
    for (int i = 0; i < 2 && h->sql[i][0]; i++) {
        int now = 0;

        while (!now && t_now_us() < until) {
            PGresult *res = PQexec(conn, h->when[i]);

            now = PQntuples(res) > 0;
            PQclear(res);
            t_pause_ms(2);
        }
        PQclear(PQexec(conn, h->sql[i]));
        h->done_us[i] = t_now_us();
    }
    PQfinish(conn);
    return NULL;
}

/* When a handle's backend has announced its sleep; still: and was idle since. */
static void when_asleep(helper *h, pgq *q, int still)
{
    snprintf(h->when[0], sizeof h->when[0],
             "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'"
             " AND pid = %d%s",
             PQbackendPID(pgq_connection(q)),
             still ? " AND a.state = 'idle' AND a.state_change < clock_timestamp() - interval '60 ms'" : "");
}

static pgq_status wait_while(helper *h, pgq_subscriber *s, pgq_messages **m, int64_t *woken_us)
{
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    pgq_status status;
    pthread_t thread;

    o.poll_interval_ms = -1;
    assert_int_equal(pthread_create(&thread, NULL, run_helper, h), 0);
    status = pgq_topic_wait(s, 10, 15000, &o, m);
    *woken_us = t_now_us();
    pthread_join(thread, NULL);
    return status;
}

static void test_F5_timeouts(void **state)
{
    static const int limits[] = {0, 1, 300};
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_messages *m;

    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        int64_t began = t_now_us();
        int64_t over;

        assert_status(f->q, pgq_topic_wait(s, 1, limits[i], NULL, &m), PGQ_TIMEOUT);
        assert_null(m);
        over = t_now_us() - began - limits[i] * 1000LL;
        assert_true(over >= 0 && over < 5000000); /* how long exactly: process_latency */
        assert_int_equal(pgq_last_error(f->q)->status, PGQ_TIMEOUT);
    }
    assert_int_equal(t_number(f, f->sql,
                              "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %d",
                              PQbackendPID(pgq_connection(f->q))),
                     0);
    pgq_subscriber_free(s);
}

/* Of a topic that does not exist yet, without any polling. */
static void test_F5_first_message(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "new", NULL, NULL);
    pgq_messages *m;

    for (int i = 0; i < 3; i++) {
        helper h = {0};
        int64_t woken_us;

        when_asleep(&h, f->q, 1);
        snprintf(h.sql[0], sizeof h.sql[0], "SELECT \"%s\".topic_publish('new', 'm'::text)", f->ns);
        assert_ok(f->q, wait_while(&h, s, &m, &woken_us));
        assert_string_equal(texts_of(m), "m ");
    }
    pgq_subscriber_free(s);
}

/* What is there is given at once, and how many there are counts, not how often it rang. */
static void test_F5_at_once(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_messages *m;

    publish(f->q, "t", "a");
    publish(f->q, "t", "b");
    publish(f->q, "t", "c");
    assert_ok(f->q, pgq_topic_wait(s, 2, -1, NULL, &m));
    assert_string_equal(texts_of(m), "a b ");
    assert_ok(f->q, pgq_topic_wait(s, 2, -1, NULL, &m));
    assert_string_equal(texts_of(m), "c ");
    assert_status(f->q, pgq_topic_wait(s, 2, 1, NULL, &m), PGQ_TIMEOUT);
    pgq_subscriber_free(s);
}

/* A publisher that holds its transaction open: the messages of others come without delay, its own when it
 * commits. */
static void test_F5_slow_publisher(void **state)
{
    fixture *f = *state;
    PGconn *conn;
    pgq *slow = attach(f, &conn);
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    int64_t most = 0;
    pgq_messages *m;

    t_run(f, conn, "BEGIN");
    publish(slow, "t", "slow");
    for (int i = 0; i < 5; i++) {
        helper h = {0};
        int64_t woken_us;

        snprintf(h.sql[0], sizeof h.sql[0], "SELECT \"%s\".topic_publish('t', 'quick'::text)", f->ns);
        when_asleep(&h, f->q, 0); /* it looks again and again while that transaction is open */
        assert_ok(f->q, wait_while(&h, s, &m, &woken_us));
        assert_string_equal(texts_of(m), "quick ");
        if (woken_us - h.done_us[0] > most)
            most = woken_us - h.done_us[0];
    }
    print_message("behind a slow publisher: %lld us at most\n", (long long)most);
    assert_true(most < 1000000);
    t_run(f, conn, "COMMIT");
    assert_ok(f->q, pgq_topic_wait(s, 10, 15000, NULL, &m));
    assert_string_equal(texts_of(m), "slow ");
    pgq_subscriber_free(s);
    pgq_close(slow);
    PQfinish(conn);
}

/* It commits while the subscriber waits: that rings. */
static void *commit_later(void *arg)
{
    t_pause_ms(200);
    PQclear(PQexec(arg, "COMMIT"));
    return NULL;
}

static void test_F5_slow_publisher_commits(void **state)
{
    fixture *f = *state;
    PGconn *conn;
    pgq *slow = attach(f, &conn);
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    pgq_messages *m;
    pthread_t thread;

    o.poll_interval_ms = -1;
    t_run(f, conn, "BEGIN");
    publish(slow, "t", "slow");
    assert_int_equal(pthread_create(&thread, NULL, commit_later, conn), 0);
    assert_ok(f->q, pgq_topic_wait(s, 10, 15000, &o, &m));
    assert_string_equal(texts_of(m), "slow ");
    pthread_join(thread, NULL);
    pgq_subscriber_free(s);
    pgq_close(slow);
    PQfinish(conn);
}

/* A handle that waits for a queue, then for a topic of the same name, then for the queue again. */
static void test_F5_a_queue_of_the_same_name(void **state)
{
    fixture *f = *state;
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_messages *m;

    assert_ok(f->q, pgq_create_queue(f->q, "t", NULL, 0));
    for (int i = 0; i < 2; i++) {
        helper h = {0};
        int64_t woken_us;
        witness w = {0};

        when_asleep(&h, f->q, 1);
        assert_status(f->q, pgq_listen(f->q, "t", 0, t_witness, &w, &o), PGQ_TIMEOUT);
        snprintf(h.sql[0], sizeof h.sql[0], "SELECT \"%s\".topic_publish('t', 'm'::text)", f->ns);
        assert_ok(f->q, wait_while(&h, s, &m, &woken_us));
        assert_string_equal(texts_of(m), "m ");
    }
    pgq_subscriber_free(s);
}

static void test_F5_cancel(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    pgq_messages *m;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    o.cancel_fd = fds[0];
    assert_status(f->q, pgq_topic_wait(s, 1, -1, &o, &m), PGQ_CANCELED);
    publish(f->q, "t", "a");
    assert_ok(f->q, pgq_topic_wait(s, 1, -1, &o, &m));
    assert_string_equal(texts_of(m), "a ");
    close(fds[0]);
    close(fds[1]);
    pgq_subscriber_free(s);
}

static int never(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    (void)q;
    (void)conn;
    (void)messages;
    (void)arg;
    fail_msg("the handler was called");
    return 1;
}

static void test_F5_bad_arguments(void **state)
{
    fixture *f = *state;
    PGconn *conn;
    pgq *attached = attach(f, &conn);
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    pgq_subscriber *theirs = subscribe(attached, "t", NULL, NULL);
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    pgq_messages *m;

    assert_status(f->q, pgq_topic_wait(s, 0, 0, NULL, &m), PGQ_INVALID);
    assert_status(f->q, pgq_topic_wait(s, 100001, 0, NULL, &m), PGQ_INVALID);
    assert_status(f->q, pgq_topic_wait(s, 1, 0, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_topic_listen(s, 1, 0, NULL, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_topic_listen(s, 0, 0, never, NULL, NULL), PGQ_INVALID);
    o.filter = "{}";
    assert_status(f->q, pgq_topic_wait(s, 1, 0, &o, &m), PGQ_INVALID);
    assert_status(f->q, pgq_topic_listen(s, 1, 0, never, NULL, &o), PGQ_INVALID);
    assert_int_equal(pgq_topic_wait(NULL, 1, 0, NULL, &m), PGQ_INVALID);
    assert_int_equal(pgq_topic_listen(NULL, 1, 0, never, NULL, NULL), PGQ_INVALID);
    assert_status(attached, pgq_topic_wait(theirs, 1, 0, NULL, &m), PGQ_STATE);
    assert_status(attached, pgq_topic_listen(theirs, 1, 0, never, NULL, NULL), PGQ_STATE);
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_topic_wait(s, 1, 0, NULL, &m), PGQ_STATE);
    t_run(f, pgq_connection(f->q), "ROLLBACK");
    pgq_subscriber_free(s);
    pgq_subscriber_free(theirs);
    pgq_close(attached);
    PQfinish(conn);
}

static void test_F5_connection_lost(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", "me", NULL);
    helper h = {0};
    int64_t woken_us;
    pgq_messages *m;

    when_asleep(&h, f->q, 1);
    snprintf(h.sql[0], sizeof h.sql[0], "SELECT pg_terminate_backend(%d)",
             PQbackendPID(pgq_connection(f->q)));
    assert_status(f->q, wait_while(&h, s, &m, &woken_us), PGQ_CONNECTION);
    assert_null(m);
    assert_ok(f->q, pgq_reconnect(f->q));
    publish(f->q, "t", "a");
    assert_ok(f->q, pgq_topic_wait(s, 1, 15000, NULL, &m)); /* it goes on where it was */
    assert_string_equal(texts_of(m), "a ");
    assert_ok(f->q, pgq_topic_commit(s));
    pgq_subscriber_free(s);
}

/* A subscriber that sleeps tends the logs, too. */
static void test_F6_asleep(void **state)
{
    fixture *f = *state;
    pgq_retention r = PGQ_RETENTION_INIT;
    pgq_subscriber *s = subscribe(f->q, "t", NULL, NULL);
    helper h = {0};
    int64_t woken_us;
    pgq_messages *m;

    r.retain_ms = 1000;
    assert_ok(f->q, pgq_topic_create(f->q, "u", &r, 0));
    t_run(f, f->sql, "SELECT mq.topic_publish('u', 'x'::text)");
    when_asleep(&h, f->q, 0);
    snprintf(
        h.sql[0], sizeof h.sql[0],
        "SELECT pg_advisory_xact_lock('\"%s\".topic_segment'::regclass::oid::integer, 0);"
        "UPDATE \"%s\".topic_segment SET opened = opened - interval '1 s', sealed = sealed - interval '1 s'",
        f->ns, f->ns);
    snprintf(h.when[1], sizeof h.when[1],
             "SELECT 1 WHERE NOT EXISTS (SELECT FROM \"%s\".topic_message WHERE topic = 'u')", f->ns);
    snprintf(h.sql[1], sizeof h.sql[1], "SELECT \"%s\".topic_publish('t', 'm'::text)", f->ns);
    assert_ok(f->q, wait_while(&h, s, &m, &woken_us));
    assert_string_equal(texts_of(m), "m ");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.topic_message WHERE topic = 'u'"), 0);
    pgq_subscriber_free(s);
}

/* --- the pull interface --- */

static pgq_listener *open_on(const fixture *f, const char *queue, const char *const *topics, size_t n)
{
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    pgq_listener *l;

    o.name_space = f->ns;
    o.poll_interval_ms = -1;
    o.topics = topics;
    o.topic_count = n;
    assert_int_equal(pgq_listener_open(t_dsn(), &queue, queue ? 1 : 0, &o, &l), PGQ_OK);
    return l;
}

/* Turns until it says so; with asleep, until it says WAIT and has nothing to wait for but the fd. */
static void await(const fixture *f, pgq_listener *l, pgq_status wanted, int asleep)
{
    int64_t until = t_now_us() + 10000000;

    for (;;) {
        int events = pgq_listener_events(l);
        int timeout = pgq_listener_timeout_ms(l);
        struct pollfd fd = {pgq_listener_fd(l), 0, 0};
        pgq_status status;

        fd.events =
            (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
        poll(&fd, 1, timeout < 0 || timeout > 50 ? 50 : timeout);
        status = pgq_listener_process(l);
        if (status == wanted &&
            (!asleep ||
             (pgq_listener_timeout_ms(l) < 0 &&
              t_number(f, f->sql,
                       "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE"
                       " l.locktype = 'advisory' AND a.state = 'idle' AND a.application_name = '%s'",
                       f->ns) > 0)))
            return;
        if (status < 0)
            fail_msg("%s: %s", pgq_status_name(status), pgq_listener_last_error(l)->message);
        if (t_now_us() > until)
            fail_msg("no %s", pgq_status_name(wanted));
    }
}

static void test_G2_topics(void **state)
{
    static const char *const topics[] = {"t", "not there yet"};
    fixture *f = *state;
    pgq *from = t_open(f);

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    for (int with_queue = 0; with_queue < 2; with_queue++) {
        pgq_listener *l = open_on(f, with_queue ? "q" : NULL, topics, 2);
        pgq_subscriber *s[2];

        for (int i = 0; i < 2; i++)
            s[i] = subscribe(f->q, topics[i], NULL, NULL);
        await(f, l, PGQ_READY, 0);
        for (int i = 0; i < 4; i++) {
            await(f, l, PGQ_WAIT, 1);
            publish(from, topics[i % 2], "m");
            await(f, l, PGQ_READY, 0);
            assert_string_equal(read_all(f->q, s[i % 2], 1), "m ");
            if (i < 2)
                pgq_listener_busy(l);
        }
        if (with_queue) {
            witness w = {0};

            await(f, l, PGQ_WAIT, 1);
            t_send(from, "q", "m");
            await(f, l, PGQ_READY, 0);
            assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
        }
        pgq_listener_close(l);
        pgq_subscriber_free(s[0]);
        pgq_subscriber_free(s[1]);
    }
    pgq_close(from);
}

static void test_G2_bad_topics(void **state)
{
    static const char *const bad[] = {"t", ""};
    fixture *f = *state;
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    pgq_listener *l;

    o.name_space = f->ns;
    assert_int_equal(pgq_listener_open(t_dsn(), NULL, 0, &o, &l), PGQ_INVALID);
    assert_string_equal(pgq_listener_last_error(l)->message, "a listener needs at least one queue or topic");
    pgq_listener_close(l);
    o.topic_count = 1;
    assert_int_equal(pgq_listener_open(t_dsn(), NULL, 0, &o, &l), PGQ_INVALID);
    pgq_listener_close(l);
    o.topics = bad;
    o.topic_count = 2;
    assert_int_equal(pgq_listener_open(t_dsn(), NULL, 0, &o, &l), PGQ_INVALID);
    assert_string_equal(pgq_listener_last_error(l)->message,
                        "a topic name must not be empty: 1 to 160 bytes are allowed");
    pgq_listener_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_F5_timeouts),
        DB_TEST(test_F5_first_message),
        DB_TEST(test_F5_at_once),
        DB_TEST(test_F5_slow_publisher),
        DB_TEST(test_F5_slow_publisher_commits),
        DB_TEST(test_F5_a_queue_of_the_same_name),
        DB_TEST(test_F5_cancel),
        DB_TEST(test_F5_bad_arguments),
        DB_TEST(test_F5_connection_lost),
        DB_TEST(test_F6_asleep),
        DB_TEST(test_G2_topics),
        DB_TEST(test_G2_bad_topics),
    };

    return RUN_WITH_SERVER(tests);
}
