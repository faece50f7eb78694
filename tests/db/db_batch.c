/* SPDX-License-Identifier: MIT */
/* Rows D1, D9, D13, E8, A3 and C9 for scopes of several messages. */
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_run(f, f->sql, "CREATE TABLE mq.work (v text, UNIQUE (v) DEFERRABLE INITIALLY DEFERRED)");
    return 0;
}

/* A handler that writes one row a message, then settles one by itself, runs SQL, and ends as it is told. */
typedef struct job {
    const fixture *f;
    pgq_status (*settles)(pgq *q, const pgq_receipt *r);
    size_t which; /* message it settles so */
    const char *sql[3];
    const char *fail;
    int ignore_errors, rc, ran;
    size_t n;
    char seen[256]; /* "payload attempts errors; " */
} job;

static int work(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    job *j = arg;
    size_t len = 0;

    j->ran++;
    j->n = pgq_messages_count(messages);
    j->seen[0] = '\0';
    for (size_t i = 0; i < j->n; i++) {
        const pgq_message *m = pgq_messages_get(messages, i);

        assert_int_equal(m->undecoded, 0);
        if (len < sizeof j->seen)
            len += (size_t)snprintf(j->seen + len, sizeof j->seen - len, "%s %d %d; ",
                                    (const char *)m->payload, m->attempts, m->errors);
        t_run(j->f, conn, "INSERT INTO mq.work VALUES ('%lld')", (long long)m->id);
    }
    assert_null(pgq_messages_get(messages, j->n));
    if (j->settles) {
        pgq_receipt r = t_receipt(pgq_messages_get(messages, j->which));

        assert_ok(q, j->settles(q, &r));
    }
    for (int i = 0; i < 3 && j->sql[i]; i++) {
        if (j->ignore_errors)
            t_sqlstate(j->f, conn, "%s", j->sql[i]);
        else
            t_run(j->f, conn, "%s", j->sql[i]);
    }
    return j->fail ? pgq_fail(q, "%s", j->fail) : j->rc;
}

static void send_three(pgq *q)
{
    t_send(q, "q", "a");
    t_send(q, "q", "b");
    t_send(q, "q", "c");
}

static long rows(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.work");
}

static long left(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.message");
}

static void idle(const pgq *q)
{
    assert_int_equal(PQtransactionStatus(pgq_connection(q)), PQTRANS_IDLE);
}

static void row_d1_order(void **state)
{
    static const int32_t priorities[] = {5, 999, 0, 5, 0};
    fixture *f = *state;
    job j = {.f = f};
    size_t done = 99;

    assert_status(f->q, pgq_dequeue_many(f->q, "q", 10, work, &j, &done), PGQ_EMPTY);
    assert_true(j.ran == 0 && done == 0);
    for (size_t i = 0; i < COUNT_OF(priorities); i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        char text[2] = {"abcde"[i], '\0'};

        o.priority = priorities[i];
        t_send_as(f->q, "q", text, &o);
    }
    assert_ok(f->q, pgq_dequeue_many(f->q, "q", 3, work, &j, &done));
    assert_string_equal(j.seen, "c 1 0; e 1 0; a 1 0; ");
    assert_int_equal(done, 3);
    assert_int_equal(left(f), 2);
    assert_ok(f->q, pgq_dequeue_many(f->q, "q", 1000, work, &j, NULL)); /* fewer is no error */
    assert_string_equal(j.seen, "d 1 0; b 1 0; ");
    assert_status(f->q, pgq_dequeue_many(f->q, "q", 1000, work, &j, &done), PGQ_EMPTY);
    assert_int_equal(j.ran, 2);
    assert_int_equal(left(f), 0);
    assert_int_equal(rows(f), 5);
    idle(f->q);
}

/* As many as there may be: their work and their end are one transaction. */
static void row_d1_one_transaction(void **state)
{
    fixture *f = *state;
    job j = {.f = f};
    size_t done = 0;

    t_run(f, f->sql, "CREATE TABLE mq.log (xid xid8)");
    t_run(f, f->sql,
          "CREATE FUNCTION mq.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
          " INSERT INTO mq.log VALUES (pg_current_xact_id()); RETURN NULL; END $$");
    t_run(f, f->sql,
          "CREATE TRIGGER note AFTER DELETE ON mq.message FOR EACH ROW EXECUTE FUNCTION mq.note()");
    t_run(f, f->sql, "CREATE TRIGGER note AFTER INSERT ON mq.work FOR EACH ROW EXECUTE FUNCTION mq.note()");
    for (int i = 0; i < 1000; i++)
        t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_dequeue_many(f->q, "q", 1000, work, &j, &done));
    assert_int_equal(done, 1000);
    assert_string_equal(t_ask(f, f->sql, "SELECT count(*) || ' ' || count(DISTINCT xid) FROM mq.log"),
                        "2000 1");
    assert_int_equal(left(f), 0);
}

static void row_d1_bad_arguments(void **state)
{
    static const int bad[] = {0, -1, 1001};
    fixture *f = *state;
    job j = {.f = f};
    size_t done;

    send_three(f->q);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        done = 99;
        assert_status(f->q, pgq_dequeue_many(f->q, "q", bad[i], work, &j, &done), PGQ_INVALID);
        assert_non_null(strstr(pgq_last_error(f->q)->message, "1 to 1000"));
        assert_int_equal(done, 0);
    }
    assert_status(f->q, pgq_dequeue_many(f->q, "q", 1, NULL, &j, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_dequeue_many(f->q, " q", 1, work, &j, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_dequeue_many(f->q, "none", 1, work, &j, NULL), PGQ_NOT_FOUND);
    assert_int_equal(pgq_dequeue_many(NULL, "q", 1, work, &j, &done), PGQ_INVALID);
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_dequeue_many(f->q, "q", 1, work, &j, NULL), PGQ_STATE);
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_int_equal(j.ran, 0);
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "a 0 0; b 0 0; c 0 0; ");
}

/* All fail together: the work is undone, and each is counted with the text, in their order at the tail. */
static void row_e8_failure(void **state)
{
    static const struct {
        const char *sql;
        int ignore, rc;
        const char *fail, *text;
    } cases[] = {
        {NULL, 0, 1, "no account \xe2\x82\xac 5", "no account \xe2\x82\xac 5"},
        {NULL, 0, 17, NULL, "the handler returned 17"},
        {"SELECT 1/0", 1, 0, NULL, "division by zero"}, /* it says it is fine: it is not */
        {"SELECT 1/0", 1, 1, "its own words", "its own words"},
        {"INSERT INTO mq.work SELECT v FROM mq.work LIMIT 1", 0, 0, NULL, "work_v_key"}, /* deferred */
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        job j = {.f = f,
                 .sql = {cases[i].sql},
                 .fail = cases[i].fail,
                 .ignore_errors = cases[i].ignore,
                 .rc = cases[i].rc};
        size_t done = 99;

        send_three(f->q);
        t_send(f->q, "q", "next");
        assert_status(f->q, pgq_dequeue_many(f->q, "q", 3, work, &j, &done), PGQ_FAILED);
        assert_non_null(strstr(pgq_last_error(f->q)->message, cases[i].text));
        assert_int_equal(done, 0);
        assert_int_equal(rows(f), 0);
        assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "next 0 0; a 1 1; b 1 1; c 1 1; ");
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE last_error LIKE '%%%s%%'",
                                  cases[i].text),
                         3);
        idle(f->q);
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    }
}

static pgq_status nacks(pgq *q, const pgq_receipt *r)
{
    pgq_nack_options o = PGQ_NACK_OPTIONS_INIT;

    o.error = "only this one";
    return pgq_nack(q, r, 1, &o, NULL, NULL);
}

static pgq_status buries(pgq *q, const pgq_receipt *r)
{
    pgq_nack_options o = PGQ_NACK_OPTIONS_INIT;

    o.requeue = 0;
    return pgq_nack(q, r, 1, &o, NULL, NULL);
}

static pgq_status acks(pgq *q, const pgq_receipt *r)
{
    return pgq_ack(q, r, 1, NULL, NULL);
}

static pgq_status releases(pgq *q, const pgq_receipt *r)
{
    return pgq_release(q, r, 1, NULL, NULL);
}

/* It thinks better of it: the message is held still. */
static pgq_status nacks_and_takes_it_back(pgq *q, const pgq_receipt *r)
{
    pgq_status status;

    PQclear(PQexec(pgq_connection(q), "SAVEPOINT mine"));
    status = nacks(q, r);
    PQclear(PQexec(pgq_connection(q), "ROLLBACK TO mine"));
    return status;
}

/* What the handler has settled itself stays so, and the others' work is kept. */
static void row_e8_settles_one_itself(void **state)
{
    static const struct {
        pgq_status (*settles)(pgq *q, const pgq_receipt *r);
        size_t done;
        const char *ready;
        long dead;
    } cases[] = {
        {nacks, 2, "b 1 1; ", 0},
        {buries, 2, "", 1},
        {acks, 2, "", 0},
        {releases, 2, "b 1 0; ", 0},
        {nacks_and_takes_it_back, 3, "", 0},
    };
    fixture *f = *state;

    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
        job j = {.f = f, .settles = cases[i / 2].settles, .which = 1, .rc = i % 2};
        size_t done = 99;

        send_three(f->q);
        assert_status(f->q, pgq_dequeue_many(f->q, "q", 5, work, &j, &done), i % 2 ? PGQ_FAILED : PGQ_OK);
        if (i % 2 == 0) {
            assert_int_equal(done, cases[i / 2].done);
            assert_int_equal(rows(f), 3);
            assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), cases[i / 2].ready);
            assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.dead_letter"), cases[i / 2].dead);
            assert_int_equal(
                t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE last_error = 'only this one'"),
                i == 0);
        } else { /* all failed, and so did what the handler had settled: that was undone with its work */
            assert_int_equal(done, 0);
            assert_int_equal(rows(f), 0);
            assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "a 1 1; b 1 1; c 1 1; ");
        }
        t_run(f, f->sql, "DELETE FROM mq.message");
        t_run(f, f->sql, "DELETE FROM mq.dead_letter");
        t_run(f, f->sql, "DELETE FROM mq.work");
    }
}

/* The handler ends the transaction, or the savepoint: STALE, whatever it returns. */
static void row_d1_stale(void **state)
{
    static const char *const endings[][3] = {
        {"COMMIT", NULL, NULL},      {"ROLLBACK", NULL, NULL},         {"COMMIT", "BEGIN", NULL},
        {"ROLLBACK", "BEGIN", NULL}, {"COMMIT AND CHAIN", NULL, NULL},
    };
    fixture *f = *state;

    for (size_t i = 0; i < 2 * COUNT_OF(endings); i++) {
        job j = {.f = f, .rc = i % 2, .sql = {endings[i / 2][0], endings[i / 2][1], NULL}};
        size_t done = 99;

        send_three(f->q);
        assert_status(f->q, pgq_dequeue_many(f->q, "q", 3, work, &j, &done), PGQ_STALE);
        assert_true(strlen(pgq_last_error(f->q)->message) > 0);
        assert_int_equal(done, 0);
        assert_int_equal(left(f), 3);
        idle(f->q);
        t_run(f, f->sql, "DELETE FROM mq.message");
        t_run(f, f->sql, "DELETE FROM mq.work");
    }
}

static int loses_backend(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    const fixture *f = arg;

    (void)q, (void)messages;
    t_run(f, conn, "INSERT INTO mq.work VALUES ('lost')");
    t_kill(f, PQbackendPID(conn));
    return 0;
}

static void row_d13_death_counts(void **state)
{
    fixture *f = *state;
    pgq *victim = t_open(f);
    job j = {.f = f};
    size_t done = 99;

    send_three(f->q);
    assert_status(victim, pgq_dequeue_many(victim, "q", 3, loses_backend, f, &done), PGQ_CONNECTION);
    assert_int_equal(pgq_last_error(victim)->connection_dead, 1);
    assert_int_equal(done, 0);
    assert_int_equal(rows(f), 0);
    assert_ok(f->q, pgq_dequeue_many(f->q, "q", 3, work, &j, &done));
    assert_string_equal(j.seen, "a 2 1; b 2 1; c 2 1; ");
    assert_int_equal(done, 3);
    assert_ok(victim, pgq_reconnect(victim));
    assert_status(victim, pgq_dequeue_many(victim, "q", 3, work, &j, NULL), PGQ_EMPTY);
    pgq_close(victim);
}

static int others_go_on(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    const fixture *f = arg;
    job j = {.f = f};
    pgq_messages *out;

    (void)conn, (void)messages;
    assert_status(q, pgq_dequeue_many(q, "q", 1, work, &j, NULL), PGQ_STATE);
    assert_status(q, pgq_pop(q, "q", 1, &out), PGQ_STATE);
    assert_int_equal(pgq_lease_lost(q), 0);
    assert_ok(f->q, pgq_dequeue_many(f->q, "q", 9, work, &j, NULL));
    assert_string_equal(j.seen, "c 1 0; ");
    return 0;
}

static void row_d1_others_pass_by(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);

    send_three(f->q);
    assert_ok(other, pgq_dequeue_many(other, "q", 2, others_go_on, f, NULL));
    assert_int_equal(left(f), 0);
    pgq_close(other);
}

/* One of a key at a time; the others of the batch are of other keys, or of none. */
static void row_order_keys(void **state)
{
    static const char *const keys[] = {"k", "k", NULL, "l", "k"};
    fixture *f = *state;
    job j = {.f = f};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        char text[2] = {"abcde"[i], '\0'};

        o.order_key = keys[i];
        t_send_as(f->q, "q", text, &o);
    }
    assert_ok(f->q, pgq_dequeue_many(f->q, "q", 9, work, &j, NULL));
    assert_string_equal(j.seen, "a 1 0; c 1 0; d 1 0; ");
    j.rc = 1; /* what failed holds back those behind it */
    assert_status(f->q, pgq_dequeue_many(f->q, "q", 9, work, &j, NULL), PGQ_FAILED);
    assert_string_equal(j.seen, "b 1 0; ");
    j.rc = 0;
    assert_ok(f->q, pgq_dequeue_many(f->q, "q", 9, work, &j, NULL));
    assert_string_equal(j.seen, "b 2 1; ");
    assert_ok(f->q, pgq_dequeue_many(f->q, "q", 9, work, &j, NULL));
    assert_string_equal(j.seen, "e 1 0; ");
}

/* The caller's transaction decides. */
static void row_a3_attached(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    job j = {.f = f};
    size_t done = 0;
    pgq *mine;

    o.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &o, &mine), PGQ_OK);
    send_three(f->q);
    assert_status(mine, pgq_dequeue_many(mine, "q", 9, work, &j, NULL), PGQ_STATE);
    t_run(f, f->sql, "BEGIN");
    assert_status(mine, pgq_dequeue_many(mine, "none", 9, work, &j, NULL), PGQ_NOT_FOUND);
    j.rc = 1;
    assert_status(mine, pgq_dequeue_many(mine, "q", 2, work, &j, &done), PGQ_FAILED);
    assert_int_equal(rows(f), 0);
    j.rc = 0;
    assert_ok(mine, pgq_dequeue_many(mine, "q", 9, work, &j, &done)); /* not what failed in it */
    assert_string_equal(j.seen, "c 1 0; ");
    assert_int_equal(done, 1);
    assert_status(mine, pgq_dequeue_many(mine, "q", 9, work, &j, &done), PGQ_EMPTY);
    assert_int_equal(done, 0);
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    t_run(f, f->sql, "COMMIT");
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "a 1 1; b 1 1; ");
    assert_int_equal(rows(f), 1);
    t_run(f, f->sql, "BEGIN");
    j.settles = nacks;
    assert_ok(mine, pgq_dequeue_many(mine, "q", 9, work, &j, &done));
    assert_int_equal(done, 1);
    t_run(f, f->sql, "COMMIT");
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "a 2 2; ");
    t_run(f, f->sql, "BEGIN");
    j = (job){.f = f, .sql = {"ROLLBACK", "BEGIN"}};
    assert_status(mine, pgq_dequeue_many(mine, "q", 9, work, &j, &done), PGQ_STALE);
    t_run(f, f->sql, "ROLLBACK");
    assert_int_equal(left(f), 1);
    pgq_close(mine);
}

static int decode(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    (void)kind, (void)out, (void)out_len, (void)arg;
    if (!memchr(in, '!', len))
        return 0;
    snprintf(error, error_size, "bad seal on %.*s", (int)len, (const char *)in);
    return 1;
}

/* The others are handled; each that could not be decoded is counted, with its own text. */
static void row_c9_undecoded(void **state)
{
    static const pgq_codec codec = {sizeof codec, NULL, decode, NULL};
    static const char *const texts[] = {"x!", "a", "y!", "b", "c"};
    fixture *f = *state;

    assert_ok(f->q, pgq_set_codec(f->q, &codec));
    for (int rc = 0; rc < 2; rc++) {
        job j = {.f = f, .rc = rc};
        size_t done = 99;

        for (size_t i = 0; i < COUNT_OF(texts); i++)
            t_send(f->q, "q", texts[i]);
        assert_status(f->q, pgq_dequeue_many(f->q, "q", 9, work, &j, &done), rc ? PGQ_FAILED : PGQ_HOOK);
        assert_non_null(strstr(pgq_last_error(f->q)->message, rc ? "returned 1" : "bad seal on x!"));
        assert_string_equal(j.seen, "a 1 0; b 1 0; c 1 0; ");
        assert_int_equal(done, rc ? 0 : 3);
        assert_int_equal(rows(f), rc ? 0 : 3);
        assert_int_equal(left(f), rc ? 5 : 2);
        for (size_t i = 0; i < COUNT_OF(texts); i += 2)
            if (strchr(texts[i], '!'))
                assert_int_equal(
                    t_number(f, f->sql,
                             "SELECT errors FROM mq.message WHERE last_error LIKE '%%bad seal on %s'",
                             texts[i]),
                    1);
        idle(f->q);
        t_run(f, f->sql, "DELETE FROM mq.message");
        t_run(f, f->sql, "DELETE FROM mq.work");
    }
    t_send(f->q, "q", "x!");
    for (int i = 1; i < 3; i++) {
        job j = {.f = f};

        assert_status(f->q, pgq_dequeue_many(f->q, "q", 9, work, &j, NULL), PGQ_HOOK);
        assert_int_equal(j.ran, 0); /* none is left for the handler */
        assert_int_equal(t_number(f, f->sql, "SELECT errors FROM mq.message"), i);
    }
}

#define BATCH_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BATCH_TEST(row_d1_order),
        BATCH_TEST(row_d1_one_transaction),
        BATCH_TEST(row_d1_bad_arguments),
        BATCH_TEST(row_e8_failure),
        BATCH_TEST(row_e8_settles_one_itself),
        BATCH_TEST(row_d1_stale),
        BATCH_TEST(row_d13_death_counts),
        BATCH_TEST(row_d1_others_pass_by),
        BATCH_TEST(row_order_keys),
        BATCH_TEST(row_a3_attached),
        BATCH_TEST(row_c9_undecoded),
    };

    return RUN_WITH_SERVER(tests);
}
