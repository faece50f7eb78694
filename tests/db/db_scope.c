/* SPDX-License-Identifier: MIT */
/* Rows D1, D2, D9, D10, D11, D12, D13 and E8: scopes on an owned connection, and pop. */
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

/* A handler that runs SQL, and may send, before it ends as it is told. */
typedef struct job {
    const fixture *f;
    const char *sql[3];
    const char *send;
    int ignore_errors;
    int rc;
    int ran;
    pgq_status status; /* of what it tried by the handle */
} job;

static int work(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    job *j = arg;

    (void)m;
    j->ran++;
    for (int i = 0; i < 3 && j->sql[i]; i++) {
        if (j->ignore_errors)
            t_sqlstate(j->f, conn, "%s", j->sql[i]);
        else
            t_run(j->f, conn, "%s", j->sql[i]);
    }
    if (j->send)
        t_send(q, "q", j->send);
    return j->rc;
}

static void row(const fixture *f, const char *wanted)
{
    assert_string_equal(t_ask(f, f->sql, "SELECT string_agg(v, ',' ORDER BY v) FROM mq.work"), wanted);
}

static const char *message_row(const fixture *f)
{
    return t_ask(
        f, f->sql,
        "SELECT attempts || ' ' || errors || ' ' || last_error FROM mq.message ORDER BY position LIMIT 1");
}

static void test_D1_success_commits_both(void **state)
{
    fixture *f = *state;
    job j = {.f = f, .sql = {"INSERT INTO mq.work VALUES ('done')"}};

    t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_dequeue(f->q, "q", work, &j));
    row(f, "done");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
}

/* E8, D12: the row is gone, the message at the tail, the error counted, its text the handler's. */
static void test_E8_failure(void **state)
{
    static const struct {
        const char *sql;
        int ignore, rc;
        const char *fail, *text;
    } cases[] = {
        {"INSERT INTO mq.work VALUES ('x')", 0, 1, "no account \xe2\x82\xac 5", "no account \xe2\x82\xac 5"},
        {"INSERT INTO mq.work VALUES ('x')", 0, 17, NULL, "the handler returned 17"},
        {"SELECT 1/0", 1, 1, NULL, "division by zero"},
        {"SELECT 1/0", 1, 0, NULL, "division by zero"}, /* it says it is fine: it is not */
        {"SELECT 1/0", 1, 1, "its own words", "its own words"},
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        job j = {.f = f, .sql = {cases[i].sql}, .ignore_errors = cases[i].ignore, .rc = cases[i].rc};
        int64_t id = t_send(f->q, "q", "first");
        witness w = {0};
        pgq_status status;

        t_send(f->q, "q", "second");
        if (cases[i].fail) {
            w.fail = cases[i].fail;
            status = pgq_dequeue(f->q, "q", t_witness, &w);
        } else {
            status = pgq_dequeue(f->q, "q", work, &j);
        }
        assert_status(f->q, status, PGQ_FAILED);
        assert_non_null(strstr(pgq_last_error(f->q)->message, cases[i].text));
        row(f, "");
        w.fail = NULL;
        assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
        assert_string_equal(w.payload, "second");
        assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
        assert_true(w.id == id && w.attempts == 2 && w.errors == 1);
        assert_non_null(strstr(w.last_error, cases[i].text));
    }
}

static int fails_in_sql_and_says(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;

    (void)m;
    t_run(f, conn, "INSERT INTO mq.work VALUES ('undone')");
    t_sqlstate(f, conn, "SELECT 1/0");
    return pgq_fail(q, "mine: %d", 42);
}

static void test_E8_own_error_is_not_masked(void **state)
{
    fixture *f = *state;

    t_send(f->q, "q", "m");
    assert_status(f->q, pgq_dequeue(f->q, "q", fails_in_sql_and_says, f), PGQ_FAILED);
    assert_string_equal(pgq_last_error(f->q)->message, "mine: 42");
    assert_string_equal(message_row(f), "1 1 mine: 42");
    row(f, "");
}

static int long_text(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    char text[3000];

    (void)conn, (void)m, (void)arg;
    memset(text, 'a', sizeof text);
    for (size_t i = 1; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof text - 1] = '\0';
    return pgq_fail(q, "%s", text);
}

/* At most 1023 bytes are kept, and never half a character. */
static void test_E8_long_text(void **state)
{
    fixture *f = *state;

    t_send(f->q, "q", "m");
    assert_status(f->q, pgq_dequeue(f->q, "q", long_text, f), PGQ_FAILED);
    assert_in_range(t_number(f, f->sql, "SELECT octet_length(last_error) FROM mq.message"), 1020, 1023);
}

static int bad_text(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)conn, (void)m, (void)arg;
    return pgq_fail(q, "%s", "not UTF-8: \xff\xfe, in the middle");
}

/* A handler's text that is not UTF-8 must not keep its failure from being counted. */
static void test_E8_text_that_is_not_utf8(void **state)
{
    fixture *f = *state;

    t_send(f->q, "q", "m");
    assert_status(f->q, pgq_dequeue(f->q, "q", bad_text, f), PGQ_FAILED);
    assert_string_equal(t_ask(f, f->sql, "SELECT attempts || ' ' || errors FROM mq.message"), "1 1");
    assert_non_null(strstr(t_ask(f, f->sql, "SELECT last_error FROM mq.message"), "in the middle"));
}

static void test_D1_deferred_constraint(void **state)
{
    fixture *f = *state;
    job j = {.f = f, .sql = {"INSERT INTO mq.work VALUES ('twice')", "INSERT INTO mq.work VALUES ('twice')"}};

    t_send(f->q, "q", "m");
    assert_status(f->q, pgq_dequeue(f->q, "q", work, &j), PGQ_FAILED);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "work_v_key"));
    row(f, "");
    assert_non_null(strstr(message_row(f), "1 1 duplicate key"));
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
}

static void test_D1_follow_up(void **state)
{
    fixture *f = *state;
    job j = {.f = f, .send = "next", .rc = 1};
    witness w = {0};

    t_send(f->q, "q", "m");
    assert_status(f->q, pgq_dequeue(f->q, "q", work, &j), PGQ_FAILED);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 1);
    j.rc = 0;
    assert_ok(f->q, pgq_dequeue(f->q, "q", work, &j));
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
    assert_string_equal(w.payload, "next");
}

static int tries_to_take(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    witness *w = arg;
    pgq_messages *out;

    (void)conn, (void)m;
    assert_status(q, pgq_dequeue(q, "q", t_witness, w), PGQ_STATE);
    assert_status(q, pgq_pop(q, "q", 1, &out), PGQ_STATE);
    assert_null(out);
    assert_status(q, pgq_listen(q, "q", 0, t_witness, w, NULL), PGQ_STATE);
    assert_status(q, pgq_reconnect(q), PGQ_STATE);
    assert_ok(q, pgq_peek(q, "q", 1, &out));
    pgq_messages_free(out);
    return 0;
}

static void test_D1_no_take_within_a_handler(void **state)
{
    fixture *f = *state;
    witness w = {0};

    t_send(f->q, "q", "a");
    t_send(f->q, "q", "b");
    assert_ok(f->q, pgq_dequeue(f->q, "q", tries_to_take, &w));
    assert_int_equal(w.calls, 0);
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
    assert_string_equal(w.payload, "b");
}

/* The handler ends the transaction: STALE, whatever it returns. */
static void test_D1_stale(void **state)
{
    static const char *const endings[][3] = {
        {"COMMIT", NULL, NULL},
        {"ROLLBACK", NULL, NULL},
        {"COMMIT", "BEGIN", NULL},
        {"ROLLBACK", "BEGIN", NULL},
    };
    fixture *f = *state;

    for (size_t i = 0; i < 2 * COUNT_OF(endings); i++) {
        job j = {.f = f, .rc = i % 2, .sql = {endings[i / 2][0], endings[i / 2][1], endings[i / 2][2]}};
        pgq_messages *m;
        pgq_status status;

        t_send(f->q, "q", "m");
        status = pgq_dequeue(f->q, "q", work, &j);
        if (status != PGQ_STALE)
            fail_msg("ending %zu gave %s: %s", i, pgq_status_name(status), pgq_last_error(f->q)->message);
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
        assert_true(strlen(pgq_last_error(f->q)->message) > 0);
        t_until(f, 2000, "1", "SELECT count(*) FROM mq.message");
        while (pgq_pop(f->q, "q", 1, &m) == PGQ_OK)
            pgq_messages_free(m);
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    }
}

static int loses_backend(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;

    (void)q, (void)m;
    t_run(f, conn, "INSERT INTO mq.work VALUES ('lost')");
    t_kill(f, PQbackendPID(conn));
    return 0;
}

/* D13: the message is back at once, and the attempt counts, up to the limit. */
static void test_D13_death_counts(void **state)
{
    fixture *f = *state;
    pgq_attributes o = PGQ_ATTRIBUTES_INIT;
    pgq *victim = t_open(f);
    witness w = {0};
    pgq_counts c;

    o.error_limit = 3;
    assert_ok(f->q, pgq_delete_queue(f->q, "q"));
    assert_ok(f->q, pgq_create_queue(f->q, "q", &o, 0));
    t_send(f->q, "q", "killer");
    for (int i = 0; i < 3; i++) {
        assert_status(victim, pgq_dequeue(victim, "q", loses_backend, f), PGQ_CONNECTION);
        assert_int_equal(pgq_last_error(victim)->connection_dead, 1);
        assert_ok(victim, pgq_reconnect(victim));
    }
    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_EMPTY);
    assert_ok(f->q, pgq_count(f->q, "q", &c));
    assert_int_equal(c.dead, 1);
    row(f, "");
    assert_string_equal(
        t_ask(f, f->sql, "SELECT attempts || ' ' || errors || ' ' || last_error FROM mq.dead_letter"),
        "3 3 the consumer died or rolled back");
    pgq_close(victim);
}

static int others_go_on(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;
    witness w = {0};

    (void)q, (void)conn, (void)m;
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
    assert_string_equal(w.payload, "b");
    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_EMPTY);
    return 0;
}

static void test_D1_others_pass_by(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);

    t_send(f->q, "q", "a");
    t_send(f->q, "q", "b");
    assert_ok(other, pgq_dequeue(other, "q", others_go_on, f));
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    pgq_close(other);
}

static void test_D2_pop(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);
    pgq_messages *m;
    pgq_messages *n;

    for (int i = 0; i < 5; i++)
        t_send(f->q, "q", "m");
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_ok(f->q, pgq_pop(f->q, "q", 3, &m));
    assert_int_equal(pgq_messages_count(m), 3);
    assert_ok(other, pgq_pop(other, "q", 9, &n));
    assert_int_equal(pgq_messages_count(n), 2); /* fewer is no error */
    for (size_t i = 0; i < 2; i++)
        assert_true(pgq_messages_get(n, i)->id > pgq_messages_get(m, 2)->id);
    pgq_messages_free(m);
    pgq_messages_free(n);
    t_run(f, pgq_connection(f->q), "ROLLBACK");
    assert_ok(other, pgq_pop(other, "q", 9, &n));
    assert_int_equal(pgq_messages_count(n), 3);
    assert_int_equal(pgq_messages_get(n, 0)->errors, 1);
    pgq_messages_free(n);
    assert_status(f->q, pgq_pop(f->q, "q", 0, &m), PGQ_INVALID);
    assert_status(f->q, pgq_pop(f->q, "q", 100001, &m), PGQ_INVALID);
    assert_status(f->q, pgq_pop(f->q, "q", 1, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_pop(f->q, "q", 100000, &m), PGQ_EMPTY);
    pgq_close(other);
}

static void test_D9_order(void **state)
{
    static const int32_t priorities[] = {5, 999, 0, 5, INT32_MAX, 0, 10, 9};
    static const char wanted[] = "cfadhgbe";
    fixture *f = *state;
    char got[9] = "";

    for (size_t i = 0; i < COUNT_OF(priorities); i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;

        o.priority = priorities[i];
        assert_ok(f->q, pgq_enqueue(f->q, "q", &"abcdefgh"[i], 1, &o, NULL));
    }
    for (size_t i = 0; i < COUNT_OF(priorities); i++) {
        witness w = {0};

        assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
        got[i] = w.payload[0];
    }
    assert_string_equal(got, wanted);
}

static void test_D10_empty(void **state)
{
    fixture *f = *state;
    witness w = {0};

    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_EMPTY);
    assert_int_equal(pgq_last_error(f->q)->status, PGQ_EMPTY);
    assert_string_equal(pgq_last_error(f->q)->message, "");
    assert_int_equal(w.calls, 0);
    assert_status(f->q, pgq_dequeue(f->q, "q", NULL, NULL), PGQ_INVALID);
    /* An empty payload is a message. */
    assert_ok(f->q, pgq_enqueue(f->q, "q", NULL, 0, NULL, NULL));
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
    assert_true(w.calls == 1 && w.len == 0);
}

static void test_D11_limit_of_one(void **state)
{
    fixture *f = *state;
    pgq_attributes o = PGQ_ATTRIBUTES_INIT;
    witness w = {.fail = "poison"};

    o.error_limit = 1;
    assert_ok(f->q, pgq_create_queue(f->q, "one", &o, 0));
    t_send(f->q, "one", "a");
    assert_status(f->q, pgq_dequeue(f->q, "one", t_witness, &w), PGQ_FAILED);
    assert_status(f->q, pgq_dequeue(f->q, "one", t_witness, &w), PGQ_EMPTY);
    assert_string_equal(t_ask(f, f->sql, "SELECT errors || ' ' || last_error FROM mq.dead_letter"),
                        "1 poison");
}

static int nested(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;

    (void)q, (void)m;
    t_run(f, conn, "SAVEPOINT mine");
    t_run(f, conn, "INSERT INTO mq.work VALUES ('gone')");
    t_run(f, conn, "ROLLBACK TO mine");
    t_run(f, conn, "INSERT INTO mq.work VALUES ('kept')");
    return 0;
}

static void test_D1_savepoints_are_welcome(void **state)
{
    fixture *f = *state;

    t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_dequeue(f->q, "q", nested, f));
    row(f, "kept");
}

/* A transaction that the caller left open on the handle's own connection. */
static void test_open_transaction(void **state)
{
    fixture *f = *state;
    witness w = {0};

    t_send(f->q, "q", "m");
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_STATE);
    assert_status(f->q, pgq_listen(f->q, "q", 0, t_witness, &w, NULL), PGQ_STATE);
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
}

#define SCOPE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCOPE_TEST(test_D1_success_commits_both),
        SCOPE_TEST(test_E8_failure),
        SCOPE_TEST(test_E8_own_error_is_not_masked),
        SCOPE_TEST(test_E8_long_text),
        SCOPE_TEST(test_E8_text_that_is_not_utf8),
        SCOPE_TEST(test_D1_deferred_constraint),
        SCOPE_TEST(test_D1_follow_up),
        SCOPE_TEST(test_D1_no_take_within_a_handler),
        SCOPE_TEST(test_D1_stale),
        SCOPE_TEST(test_D13_death_counts),
        SCOPE_TEST(test_D1_others_pass_by),
        SCOPE_TEST(test_D2_pop),
        SCOPE_TEST(test_D9_order),
        SCOPE_TEST(test_D10_empty),
        SCOPE_TEST(test_D11_limit_of_one),
        SCOPE_TEST(test_D1_savepoints_are_welcome),
        SCOPE_TEST(test_open_transaction),
    };

    return RUN_WITH_SERVER(tests);
}
