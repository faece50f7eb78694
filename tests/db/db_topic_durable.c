/* SPDX-License-Identifier: MIT */
/* Row F3: durable subscribers, whose position and whose work are committed together. */
#include "topics.h"

#include <stdio.h>
#include <string.h>

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    t_run(f, f->sql, "CREATE TABLE mq.work (what text UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    return 0;
}

static const char *done(const fixture *f)
{
    return t_ask(f, f->sql, "SELECT string_agg(what, '|' ORDER BY what) FROM mq.work");
}

static void test_F3_goes_on_where_it_was(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", "me", NULL);
    pgq_messages *m;

    publish(f->q, "t", "a");
    publish(f->q, "t", "b");
    publish(f->q, "t", "c");
    assert_ok(f->q, pgq_topic_next(s, 1, &m));
    assert_string_equal(texts_of(m), "a ");
    assert_ok(f->q, pgq_topic_commit(s));
    assert_ok(f->q, pgq_topic_next(s, 1, &m));
    assert_string_equal(texts_of(m), "b ");
    pgq_subscriber_free(s);
    /* It is not moved by the start of one who finds it. */
    s = subscribe(f->q, "t", "me", "now");
    assert_string_equal(read_all(f->q, s, 10), "b c ");
    assert_ok(f->q, pgq_topic_commit(s));
    assert_ok(f->q, pgq_topic_commit(s));
    pgq_subscriber_free(s);
    s = subscribe(f->q, "t", "me", "oldest");
    assert_string_equal(read_all(f->q, s, 10), "");
    /* Others are others. */
    pgq_subscriber_free(s);
    s = subscribe(f->q, "t", "you", "oldest");
    assert_string_equal(read_all(f->q, s, 10), "a b c ");
    pgq_subscriber_free(s);
}

static void test_F3_in_the_callers_transaction(void **state)
{
    fixture *f = *state;
    PGconn *conn;
    pgq *q = attach(f, &conn);
    pgq_subscriber *s = subscribe(q, "t", "me", NULL);

    for (int i = 0; i < 3; i++) {
        publish(f->q, "t", "a");
        publish(f->q, "t", "b");
        t_run(f, conn, "BEGIN");
        assert_string_equal(read_all(q, s, 1), "a b ");
        assert_ok(q, pgq_topic_commit(s));
        t_run(f, conn, "ROLLBACK");
        assert_string_equal(read_all(q, s, 1), "");
        assert_ok(q, pgq_topic_rewind(s));
        t_run(f, conn, "BEGIN");
        assert_string_equal(read_all(q, s, 1), "a b ");
        assert_ok(q, pgq_topic_commit(s));
        assert_ok(q, pgq_topic_rewind(s)); /* its own is the last one */
        assert_string_equal(read_all(q, s, 1), "");
        t_run(f, conn, "COMMIT");
    }
    pgq_subscriber_free(s);
    /* An ephemeral one notes where it was. */
    s = subscribe(q, "t", NULL, NULL);
    publish(f->q, "t", "x");
    assert_string_equal(read_all(q, s, 1), "x ");
    assert_ok(q, pgq_topic_rewind(s));
    assert_string_equal(read_all(q, s, 1), "x ");
    assert_ok(q, pgq_topic_commit(s));
    assert_ok(q, pgq_topic_rewind(s));
    assert_string_equal(read_all(q, s, 1), "");
    pgq_subscriber_free(s);
    pgq_close(q);
    PQfinish(conn);
}

/* A transaction that publishes commits a position, and publishes more. */
static void test_F3_position_of_a_publisher(void **state)
{
    static const char *const levels[] = {"READ COMMITTED", "REPEATABLE READ"};
    fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        PGconn *conn;
        pgq *q = attach(f, &conn);
        pgq_subscriber *s = subscribe(q, "t", i ? "two" : "one", NULL);

        t_run(f, conn, "BEGIN ISOLATION LEVEL %s", levels[i]);
        publish(q, "t", "a");
        assert_string_equal(read_all(q, s, 10), "");
        assert_ok(q, pgq_topic_commit(s));
        publish(q, "t", "b");
        t_run(f, conn, "COMMIT");
        publish(f->q, "t", "c");
        pgq_subscriber_free(s);
        s = subscribe(q, "t", i ? "two" : "one", NULL);
        assert_string_equal(read_all(q, s, 1), "a b c ");
        pgq_subscriber_free(s);
        pgq_close(q);
        PQfinish(conn);
    }
}

static void test_F3_two_of_one_name(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);
    pgq_subscriber *a = subscribe(f->q, "t", "me", NULL);
    pgq_subscriber *b = subscribe(other, "t", "me", NULL);
    pgq_messages *m;

    publish(f->q, "t", "1");
    publish(f->q, "t", "2");
    assert_string_equal(read_all(f->q, a, 5), "1 2 ");
    assert_ok(other, pgq_topic_next(b, 1, &m));
    assert_string_equal(texts_of(m), "1 ");
    assert_ok(other, pgq_topic_commit(b));
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_topic_commit(a), PGQ_STALE);
    assert_status(f->q, pgq_topic_commit(a), PGQ_STALE);
    assert_ok(f->q, pgq_topic_rewind(a));
    assert_string_equal(read_all(f->q, a, 5), "2 ");
    assert_ok(f->q, pgq_topic_commit(a));
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_status(other, pgq_topic_commit(b), PGQ_STALE);
    pgq_subscriber_free(a);
    pgq_subscriber_free(b);
    pgq_close(other);
}

static void test_F3_unsubscribe(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", "me", NULL);

    publish(f->q, "t", "1");
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_topic_unsubscribe(f->q, "t", "you"), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_topic_unsubscribe(f->q, "u", "me"), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_topic_unsubscribe(f->q, "t", ""), PGQ_INVALID);
    assert_status(f->q, pgq_topic_unsubscribe(f->q, NULL, "me"), PGQ_INVALID);
    assert_int_equal(pgq_topic_unsubscribe(NULL, "t", "me"), PGQ_INVALID);
    assert_ok(f->q, pgq_topic_unsubscribe(f->q, "t", "me"));
    assert_status(f->q, pgq_topic_unsubscribe(f->q, "t", "me"), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_topic_commit(s), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_topic_rewind(s), PGQ_NOT_FOUND);
    t_run(f, pgq_connection(f->q), "COMMIT");
    /* What it has is still to be read, if not to be committed. */
    assert_string_equal(read_all(f->q, s, 5), "1 ");
    pgq_subscriber_free(s);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.topic_position"), 0);
}

static void test_F3_lag(void **state)
{
    fixture *f = *state;
    pgq_subscribe_options o = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_subscriber *a = subscribe(f->q, "t", "a", NULL);
    const pgq_subscriber_info *i;
    pgq_subscriber_list *list;
    pgq_subscriber *b, *c;
    pgq_messages *m;

    o.name = "b";
    o.hold_ms = 90000;
    assert_ok(f->q, pgq_topic_subscribe(f->q, "t", &o, &b));
    c = subscribe(f->q, "u", "a", NULL);
    publish(f->q, "t", "1");
    publish(f->q, "t", "2");
    publish(f->q, "t", "3");
    assert_ok(f->q, pgq_topic_next(a, 2, &m));
    pgq_messages_free(m);
    assert_ok(f->q, pgq_topic_commit(a));
    assert_string_equal(read_all(f->q, b, 10), "1 2 3 ");
    assert_ok(f->q, pgq_topic_commit(b));
    assert_ok(f->q, pgq_topic_subscribers(f->q, NULL, &list));
    assert_int_equal(pgq_subscriber_list_count(list), 3);
    assert_null(pgq_subscriber_list_get(list, 3));
    i = pgq_subscriber_list_get(list, 0);
    assert_string_equal(i->topic, "t");
    assert_string_equal(i->name, "a");
    assert_int_equal(i->behind, 1);
    assert_true(i->age_ms >= 0 && i->age_ms < 60000);
    assert_int_equal(i->hold_ms, -1);
    assert_int_equal(i->commits, 1);
    assert_true(i->created > 1700000000000000 && i->committed >= i->created);
    assert_string_equal(i->position, pgq_topic_position(a));
    i = pgq_subscriber_list_get(list, 1);
    assert_string_equal(i->name, "b");
    assert_int_equal(i->behind, 0);
    assert_int_equal(i->age_ms, -1);
    assert_int_equal(i->hold_ms, 90000);
    assert_string_equal(pgq_subscriber_list_get(list, 2)->topic, "u");
    pgq_subscriber_list_free(list);
    assert_ok(f->q, pgq_topic_subscribers(f->q, "u", &list));
    assert_int_equal(pgq_subscriber_list_count(list), 1);
    pgq_subscriber_list_free(list);
    assert_ok(f->q, pgq_topic_subscribers(f->q, "nobody", &list));
    assert_int_equal(pgq_subscriber_list_count(list), 0);
    pgq_subscriber_list_free(list);
    assert_status(f->q, pgq_topic_subscribers(f->q, "", &list), PGQ_INVALID);
    assert_null(list);
    assert_status(f->q, pgq_topic_subscribers(f->q, "t", NULL), PGQ_INVALID);
    assert_int_equal(pgq_topic_subscribers(NULL, NULL, &list), PGQ_INVALID);
    assert_int_equal(pgq_subscriber_list_count(NULL), 0);
    pgq_subscriber_list_free(NULL);
    pgq_subscriber_free(a);
    pgq_subscriber_free(b);
    pgq_subscriber_free(c);
}

static pgq_status listen(pgq_subscriber *s, work *w)
{
    w->texts[0] = '\0';
    return pgq_topic_listen(s, 2, 0, do_work, w, NULL);
}

static void test_F3_listen(void **state)
{
    fixture *f = *state;

    for (int durable = 0; durable < 2; durable++) {
        pgq_subscriber *s = subscribe(f->q, "t", durable ? "me" : NULL, NULL);
        work w = {.f = f};

        assert_status(f->q, listen(s, &w), PGQ_TIMEOUT);
        publish(f->q, "t", durable ? "A" : "a");
        publish(f->q, "t", durable ? "B" : "b");
        publish(f->q, "t", durable ? "C" : "c");
        w.rc = 1;
        assert_status(f->q, listen(s, &w), PGQ_FAILED);
        assert_string_equal(pgq_last_error(f->q)->message, "not today");
        assert_string_equal(w.texts, durable ? "A B " : "a b ");
        w.rc = 0;
        assert_ok(f->q, listen(s, &w));
        assert_string_equal(w.texts, durable ? "A B " : "a b ");
        assert_ok(f->q, pgq_topic_rewind(s));
        w.sql = "SELECT 1 / 0";
        assert_status(f->q, listen(s, &w), PGQ_FAILED);
        assert_non_null(strstr(pgq_last_error(f->q)->message, "division by zero"));
        w.sql = NULL;
        assert_ok(f->q, listen(s, &w));
        assert_string_equal(w.texts, durable ? "C " : "c ");
        assert_status(f->q, listen(s, &w), PGQ_TIMEOUT);
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
        pgq_subscriber_free(s);
    }
    assert_string_equal(done(f), "A B |C |a b |c ");
}

/* What only the commit finds out. */
static void test_F3_listen_commit_fails(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", "me", NULL);
    work w = {.f = f};

    publish(f->q, "t", "a");
    t_run(f, f->sql, "INSERT INTO mq.work VALUES ('a ')");
    assert_status(f->q, listen(s, &w), PGQ_FAILED);
    assert_string_equal(pgq_last_error(f->q)->sqlstate, "23505");
    t_run(f, f->sql, "DELETE FROM mq.work");
    assert_ok(f->q, listen(s, &w));
    assert_string_equal(done(f), "a ");
    publish(f->q, "t", "b");
    assert_ok(f->q, pgq_topic_unsubscribe(f->q, "t", "me"));
    assert_status(f->q, listen(s, &w), PGQ_NOT_FOUND);
    assert_string_equal(done(f), "a ");
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
    pgq_subscriber_free(s);
}

/* The handler has ended the transaction, and perhaps begun another. */
static void test_F3_listen_ended(void **state)
{
    static const char *const how[] = {"ROLLBACK", "COMMIT", "ROLLBACK; BEGIN", "COMMIT; BEGIN"};
    fixture *f = *state;

    for (int i = 0; i < 8; i++) {
        work w = {.f = f, .sql = how[i / 2]};
        pgq_subscriber *s;
        char text[16];

        snprintf(text, sizeof text, "%d", i);
        s = subscribe(f->q, "t", i % 2 ? text : NULL, NULL);
        publish(f->q, "t", text);
        assert_status(f->q, listen(s, &w), PGQ_STALE);
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
        t_run(f, f->sql, "DELETE FROM mq.work");
        w.sql = NULL;
        assert_ok(f->q, listen(s, &w)); /* it is where it was */
        snprintf(text, sizeof text, "%d ", i);
        assert_string_equal(w.texts, text);
        assert_status(f->q, listen(s, &w), PGQ_TIMEOUT);
        pgq_subscriber_free(s);
    }
}

typedef struct rivals {
    work w;
    pgq *other;
    pgq_subscriber *theirs;
} rivals;

static int overtaken(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    rivals *r = arg;
    pgq_messages *m;

    assert_ok(r->other, pgq_topic_next(r->theirs, 1, &m));
    pgq_messages_free(m);
    assert_ok(r->other, pgq_topic_commit(r->theirs));
    return do_work(q, conn, messages, &r->w);
}

static void test_F3_listen_stale(void **state)
{
    fixture *f = *state;
    rivals r = {.w = {.f = f}, .other = t_open(f)};
    pgq_subscriber *s = subscribe(f->q, "t", "me", NULL);

    r.theirs = subscribe(r.other, "t", "me", NULL);
    publish(f->q, "t", "a");
    publish(f->q, "t", "b");
    assert_status(f->q, pgq_topic_listen(s, 5, 0, overtaken, &r, NULL), PGQ_STALE);
    assert_string_equal(r.w.texts, "a b ");
    assert_string_equal(done(f), "");
    r.w.texts[0] = '\0';
    assert_ok(f->q, pgq_topic_listen(s, 5, 0, do_work, &r.w, NULL));
    assert_string_equal(r.w.texts, "b "); /* it has gone on from there */
    assert_string_equal(done(f), "b ");
    pgq_subscriber_free(r.theirs);
    pgq_subscriber_free(s);
    pgq_close(r.other);
}

/* The connection is lost in the handler: nothing is done, and it comes again. */
static int loses(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    work *w = arg;
    int rc = do_work(q, conn, messages, w);

    t_kill(w->f, PQbackendPID(conn));
    return rc;
}

static void test_F3_listen_connection_lost(void **state)
{
    fixture *f = *state;

    for (int i = 0; i < 4; i++) {
        pgq_subscriber *s = subscribe(f->q, "t", i == 1 ? "me" : i == 3 ? "you" : NULL, NULL);
        work w = {.f = f, .rc = i / 2};

        publish(f->q, "t", "a");
        assert_status(f->q, pgq_topic_listen(s, 5, 0, loses, &w, NULL), PGQ_CONNECTION);
        assert_int_equal(pgq_last_error(f->q)->connection_dead, 1);
        assert_status(f->q, listen(s, &w), PGQ_CONNECTION);
        assert_status(f->q, pgq_topic_commit(s), PGQ_CONNECTION);
        assert_ok(f->q, pgq_reconnect(f->q));
        assert_string_equal(done(f), "");
        w.rc = 0;
        assert_ok(f->q, listen(s, &w));
        assert_string_equal(w.texts, "a ");
        assert_string_equal(done(f), "a ");
        t_run(f, f->sql, "DELETE FROM mq.work");
        pgq_subscriber_free(s);
    }
}

/* It is lost after the commit, whose answer has not come: the work is not done twice. */
static void test_F3_listen_committed_unheard(void **state)
{
    fixture *f = *state;
    pgq_subscriber *s = subscribe(f->q, "t", "me", NULL);
    work w = {.f = f};

    publish(f->q, "t", "a");
    publish(f->q, "t", "b");
    /* As if: the position has moved, and this process does not know. */
    t_run(f, f->sql,
          "SELECT mq.topic_commit('t', 'me', 0, n.position) FROM mq.topic_next('t', (SELECT position FROM "
          "mq.topic_subscribers('t')), 1) n");
    assert_status(f->q, listen(s, &w), PGQ_STALE);
    assert_string_equal(done(f), "");
    assert_ok(f->q, listen(s, &w));
    assert_string_equal(done(f), "b ");
    pgq_subscriber_free(s);
}

static int refuse(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    (void)kind;
    (void)arg;
    *out = NULL;
    *out_len = 0;
    snprintf(error, error_size, "no");
    return len == 1 && *(const char *)in == '!';
}

static void test_F3_listen_hook(void **state)
{
    fixture *f = *state;
    pgq_codec codec = {.size = sizeof codec, .decode = refuse};
    pgq_subscriber *s = subscribe(f->q, "t", "me", NULL);
    work w = {.f = f};
    pgq_messages *m;

    publish(f->q, "t", "a");
    publish(f->q, "t", "!");
    assert_ok(f->q, pgq_set_codec(f->q, &codec));
    assert_status(f->q, listen(s, &w), PGQ_HOOK);
    assert_int_equal(w.calls, 0);
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
    assert_status(f->q, pgq_topic_next(s, 2, &m), PGQ_HOOK);
    assert_string_equal(texts_of(m), "a ! ");
    assert_status(f->q, listen(s, &w), PGQ_TIMEOUT);
    pgq_subscriber_free(s);
}

typedef struct nested {
    pgq_subscriber *same, *another;
    int calls;
} nested;

static int try_all(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    nested *n = arg;
    pgq_messages *m;

    (void)conn;
    (void)messages;
    n->calls++;
    for (int i = 0; i < 2; i++) {
        pgq_subscriber *s = i ? n->same : n->another;

        assert_status(q, pgq_topic_next(s, 1, &m), PGQ_STATE);
        assert_status(q, pgq_topic_latest(s, &m), PGQ_STATE);
        assert_status(q, pgq_topic_wait(s, 1, 0, NULL, &m), PGQ_STATE);
        assert_status(q, pgq_topic_listen(s, 1, 0, try_all, n, NULL), PGQ_STATE);
        assert_status(q, pgq_topic_commit(s), PGQ_STATE);
        assert_status(q, pgq_topic_rewind(s), PGQ_STATE);
    }
    assert_status(q, pgq_topic_tend(q, NULL), PGQ_STATE);
    publish(q, "t", "in the same transaction");
    return 0;
}

static int read_another(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    pgq_messages *m;

    (void)conn;
    (void)message;
    assert_ok(q, pgq_topic_next(arg, 1, &m));
    pgq_messages_free(m);
    assert_ok(q, pgq_topic_commit(arg));
    return 0;
}

static void test_F3_within_a_handler(void **state)
{
    fixture *f = *state;
    nested n = {subscribe(f->q, "t", "me", NULL), subscribe(f->q, "t", NULL, NULL), 0};

    publish(f->q, "t", "a");
    assert_ok(f->q, pgq_topic_listen(n.same, 1, 0, try_all, &n, NULL));
    assert_int_equal(n.calls, 1);
    assert_string_equal(read_all(f->q, n.same, 1), "in the same transaction ");
    /* In the scope of a message of a queue, a topic can be read. */
    assert_ok(f->q, pgq_topic_rewind(n.same));
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_dequeue(f->q, "q", read_another, n.same));
    assert_ok(f->q, pgq_topic_rewind(n.same));
    assert_string_equal(read_all(f->q, n.same, 1), "");
    pgq_subscriber_free(n.same);
    pgq_subscriber_free(n.another);
}

int main(void)
{
#define DURABLE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)
    const struct CMUnitTest tests[] = {
        DURABLE_TEST(test_F3_goes_on_where_it_was),
        DURABLE_TEST(test_F3_in_the_callers_transaction),
        DURABLE_TEST(test_F3_position_of_a_publisher),
        DURABLE_TEST(test_F3_two_of_one_name),
        DURABLE_TEST(test_F3_unsubscribe),
        DURABLE_TEST(test_F3_lag),
        DURABLE_TEST(test_F3_listen),
        DURABLE_TEST(test_F3_listen_commit_fails),
        DURABLE_TEST(test_F3_listen_ended),
        DURABLE_TEST(test_F3_listen_stale),
        DURABLE_TEST(test_F3_listen_connection_lost),
        DURABLE_TEST(test_F3_listen_committed_unheard),
        DURABLE_TEST(test_F3_listen_hook),
        DURABLE_TEST(test_F3_within_a_handler),
    };

    return RUN_WITH_SERVER(tests);
}
