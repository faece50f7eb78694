/* SPDX-License-Identifier: MIT */
/* Settling and receiving in one call. */
#include "support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    return 0;
}

/* Leases n messages that are sent first; their receipts. */
static void hold(const fixture *f, pgq_receipt *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        t_send(f->q, "q", "held");
        r[i] = t_lease(f->q, "q", PGQ_UNSET, NULL);
    }
}

static long leased(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE state = 2");
}

/* The first message's text, and how many there are; frees them. */
static void got(pgq_messages *m, size_t n, const char *first)
{
    assert_int_equal(pgq_messages_count(m), n);
    assert_string_equal(pgq_messages_get(m, 0)->payload, first);
    assert_int_equal(pgq_messages_get(m, 0)->state, PGQ_STATE_IN_FLIGHT);
    pgq_messages_free(m);
}

/* What ends and what is leased is one transaction, in each call of a chain. */
static void row_one_transaction(void **state)
{
    enum { N = 4, ROUNDS = 5 };
    fixture *f = *state;
    pgq_receipt r[N];
    size_t holding = 0;

    t_run(f, f->sql, "CREATE TABLE mq.log (op text, xid xid8)");
    t_run(f, f->sql,
          "CREATE FUNCTION mq.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
          " INSERT INTO mq.log VALUES (TG_OP, pg_current_xact_id()); RETURN NULL; END $$");
    t_run(f, f->sql,
          "CREATE TRIGGER note AFTER DELETE OR UPDATE ON mq.message"
          " FOR EACH ROW EXECUTE FUNCTION mq.note()");
    for (int i = 0; i < N * ROUNDS; i++)
        t_send(f->q, "q", "m");
    for (int round = 0; round <= ROUNDS; round++) {
        pgq_status results[N] = {PGQ_SERVER, PGQ_SERVER, PGQ_SERVER, PGQ_SERVER};
        size_t done = 99;
        pgq_messages *m = NULL;

        assert_status(f->q, pgq_ack_receive(f->q, r, holding, &done, results, "q", N, NULL, &m),
                      round < ROUNDS ? PGQ_OK : PGQ_EMPTY);
        assert_int_equal(done, holding);
        for (size_t i = 0; i < holding; i++)
            assert_int_equal(results[i], PGQ_OK);
        for (holding = 0; holding < pgq_messages_count(m); holding++) {
            r[holding] = t_receipt(pgq_messages_get(m, holding));
            assert_int_equal(r[holding].attempt, 1);
        }
        pgq_messages_free(m);
    }
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    /* The first only leases and the last only ends; each between does both, in one. */
    assert_string_equal(
        t_ask(f, f->sql,
              "SELECT string_agg(ops, ' ' ORDER BY xid) FROM (SELECT xid::text::bigint AS xid,"
              " string_agg(DISTINCT op || n, '+' ORDER BY op || n) AS ops FROM"
              " (SELECT op, xid, count(*) AS n FROM mq.log GROUP BY op, xid) a GROUP BY xid) b"),
        "UPDATE4 DELETE4+UPDATE4 DELETE4+UPDATE4 DELETE4+UPDATE4 DELETE4+UPDATE4 DELETE4");
}

/* The call is that of the receiving; who has lost a message reads it in the results. */
static void row_outcomes(void **state)
{
    static const pgq_status wanted[] = {PGQ_OK, PGQ_STALE, PGQ_NOT_FOUND, PGQ_OK};
    fixture *f = *state;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;

    o.lease_ms = 60000;
    for (int there = 0; there < 2; there++) {
        pgq_status results[4] = {PGQ_SERVER, PGQ_SERVER, PGQ_SERVER, PGQ_SERVER};
        pgq_receipt r[4];
        size_t done = 99;
        pgq_messages *m = NULL;

        hold(f, r, 4);
        r[1].attempt++;
        assert_ok(f->q, pgq_ack(f->q, &r[2], 1, NULL, NULL));
        if (there)
            t_send(f->q, "q", "next");
        assert_status(f->q, pgq_ack_receive(f->q, r, 4, &done, results, "q", 9, &o, &m),
                      there ? PGQ_OK : PGQ_EMPTY);
        assert_int_equal(pgq_last_error(f->q)->status, there ? PGQ_OK : PGQ_EMPTY);
        assert_string_equal(pgq_last_error(f->q)->message, "");
        for (int i = 0; i < 4; i++)
            assert_int_equal(results[i], wanted[i]);
        assert_int_equal(done, 2);
        if (there)
            got(m, 1, "next");
        assert_int_equal(leased(f), 1 + there); /* that of the wrong attempt, and the new one */
        t_run(f, f->sql, "DELETE FROM mq.message");
    }
    /* Whoever does not want to know need not. */
    hold(f, (pgq_receipt[1]){{0, 0}}, 1);
    assert_status(f->q,
                  pgq_ack_receive(f->q, (const pgq_receipt[]){{INT64_MAX, 1}}, 1, NULL, NULL, "q", 1, NULL,
                                  &(pgq_messages *){NULL}),
                  PGQ_EMPTY);
}

static void row_none_to_settle(void **state)
{
    fixture *f = *state;
    size_t done = 99;
    pgq_messages *m;

    assert_status(f->q, pgq_ack_receive(f->q, NULL, 0, &done, NULL, "q", 1, NULL, &m), PGQ_EMPTY);
    assert_null(m);
    assert_int_equal(done, 0);
    t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_ack_receive(f->q, NULL, 0, &done, NULL, "q", 1, NULL, &m));
    got(m, 1, "m");
}

static int within(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    pgq_receipt r = t_receipt(m);
    pgq_messages *out;

    (void)conn, (void)arg;
    assert_status(q, pgq_ack_receive(q, &r, 1, NULL, NULL, "q", 1, NULL, &out), PGQ_STATE);
    assert_null(out);
    return 0;
}

/* An error of either half leaves both undone. */
static void row_errors_undo(void **state)
{
    fixture *f = *state;
    pgq_receive_options filter = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_receive_options lease = PGQ_RECEIVE_OPTIONS_INIT;
    const struct {
        const char *queue;
        int max;
        const pgq_receive_options *options;
        pgq_status status;
        const char *text;
    } cases[] = {
        {"none", 1, NULL, PGQ_NOT_FOUND, "none"},    {"q", 1, &filter, PGQ_INVALID, "not a JSON object"},
        {"q", 0, NULL, PGQ_INVALID, "1 to 100000"},  {"q", 100001, NULL, PGQ_INVALID, "1 to 100000"},
        {"q", 1, &lease, PGQ_INVALID, "9999999000"}, {" q", 1, NULL, PGQ_INVALID, "blank"},
    };
    pgq_messages *m;
    pgq_receipt r[2];
    size_t done;

    filter.filter = "[1]";
    lease.lease_ms = -1;
    hold(f, r, 2);
    t_send(f->q, "q", "next");
    for (int open = 0; open < 2; open++) {
        if (open)
            t_run(f, pgq_connection(f->q), "BEGIN");
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            m = (pgq_messages *)&r;
            done = 99;
            assert_status(
                f->q,
                pgq_ack_receive(f->q, r, 2, &done, NULL, cases[i].queue, cases[i].max, cases[i].options, &m),
                cases[i].status);
            assert_non_null(strstr(pgq_last_error(f->q)->message, cases[i].text));
            assert_null(m);
            assert_int_equal(done, 0);
            assert_int_equal(PQtransactionStatus(pgq_connection(f->q)),
                             open ? PQTRANS_INTRANS : PQTRANS_IDLE);
        }
        if (open)
            t_run(f, pgq_connection(f->q), "COMMIT");
        assert_int_equal(leased(f), 2);
    }
    assert_status(f->q, pgq_ack_receive(f->q, NULL, 1, NULL, NULL, "q", 1, NULL, &m), PGQ_INVALID);
    assert_status(f->q, pgq_ack_receive(f->q, r, SIZE_MAX, NULL, NULL, "q", 1, NULL, &m), PGQ_INVALID);
    assert_status(f->q, pgq_ack_receive(f->q, r, 2, NULL, NULL, "q", 1, NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_ack_receive(NULL, r, 2, NULL, NULL, "q", 1, NULL, &m), PGQ_INVALID);
    assert_int_equal(leased(f), 2);
    assert_ok(f->q, pgq_dequeue(f->q, "q", within, NULL));
    /* And the same receipts are good for the next call. */
    t_send(f->q, "q", "last");
    assert_ok(f->q, pgq_ack_receive(f->q, r, 2, &done, NULL, "q", 1, NULL, &m));
    assert_int_equal(done, 2);
    got(m, 1, "last");
}

/* A server that refuses the claim undoes the settling; one that refuses the settling gives nothing. */
static void row_server_refuses(void **state)
{
    static const char *const ops[] = {"DELETE", "UPDATE"};
    fixture *f = *state;
    pgq_messages *m;
    pgq_receipt r[2];
    size_t done;

    hold(f, r, 2);
    t_send(f->q, "q", "next");
    t_run(f, f->sql,
          "CREATE FUNCTION mq.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
          " RAISE EXCEPTION 'not today'; END $$");
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        t_run(f, f->sql,
              "CREATE TRIGGER refuse BEFORE %s ON mq.message FOR EACH ROW EXECUTE FUNCTION mq.refuse()",
              ops[i]);
        for (int open = 0; open < 2; open++) {
            done = 99;
            if (open)
                t_run(f, pgq_connection(f->q), "BEGIN");
            assert_status(f->q, pgq_ack_receive(f->q, r, 2, &done, NULL, "q", 1, NULL, &m), PGQ_SERVER);
            assert_non_null(strstr(pgq_last_error(f->q)->message, "not today"));
            assert_int_equal(pgq_last_error(f->q)->needs_rollback, 0);
            assert_null(m);
            assert_int_equal(done, 0);
            if (open)
                t_run(f, pgq_connection(f->q), "COMMIT");
            assert_int_equal(leased(f), 2);
        }
        t_run(f, f->sql, "DROP TRIGGER refuse ON mq.message");
    }
    assert_ok(f->q, pgq_ack_receive(f->q, r, 2, &done, NULL, "q", 1, NULL, &m));
    got(m, 1, "next");
}

/* In the caller's transaction, and its commit settles both; without one, a transaction of its own. */
static void row_attached(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_receive_options wait = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *m;
    pgq_receipt r;
    size_t done;
    pgq *mine;

    o.name_space = f->ns;
    wait.timeout_ms = 1000;
    assert_int_equal(pgq_attach(f->sql, &o, &mine), PGQ_OK);
    hold(f, &r, 1);
    t_send(f->q, "q", "next");
    assert_status(mine, pgq_ack_receive(mine, &r, 1, NULL, NULL, "q", 1, &wait, &m), PGQ_STATE);
    for (int commit = 0; commit < 2; commit++) {
        t_run(f, f->sql, "BEGIN");
        assert_ok(mine, pgq_ack_receive(mine, &r, 1, &done, NULL, "q", 1, NULL, &m));
        assert_int_equal(done, 1);
        assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
        /* Nobody else sees it, but that the one is locked. */
        assert_string_equal(t_listed(f, "q", PGQ_STATE_IN_FLIGHT), "next 0 0; held 1 0; ");
        if (commit)
            r = t_receipt(pgq_messages_get(m, 0));
        t_run(f, f->sql, commit ? "COMMIT" : "ROLLBACK");
        got(m, 1, "next");
        t_run(f, f->sql, "UPDATE mq.message SET state = state"); /* leaves no trace of the rollback */
    }
    assert_string_equal(t_listed(f, "q", PGQ_STATE_IN_FLIGHT), "next 1 0; ");
    t_send(f->q, "q", "last");
    assert_status(mine, pgq_ack_receive(mine, &r, 1, &done, NULL, "none", 1, NULL, &m), PGQ_NOT_FOUND);
    assert_int_equal(done, 0);
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_IDLE);
    assert_int_equal(leased(f), 1);
    assert_ok(mine, pgq_ack_receive(mine, &r, 1, &done, NULL, "q", 1, NULL, &m));
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_IDLE);
    got(m, 1, "last");
    assert_string_equal(t_listed(f, "q", PGQ_STATE_IN_FLIGHT), "last 1 0; ");
    pgq_close(mine);
}

/* The settling makes the next of the key ready, and the same call has it. */
static void row_order_key(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_messages *m;
    pgq_receipt r;

    o.order_key = "k";
    t_send_as(f->q, "q", "first", &o);
    t_send_as(f->q, "q", "second", &o);
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_ok(f->q, pgq_ack_receive(f->q, &r, 1, NULL, NULL, "q", 9, NULL, &m));
    got(m, 1, "second");
}

/* It says EMPTY only after a look from the very start. */
static void row_looks_behind_the_cursor(void **state)
{
    fixture *f = *state;
    pgq_messages *m;
    pgq_receipt r[20];

    hold(f, r, COUNT_OF(r)); /* the cursor has come as far */
    t_send(f->q, "q", "behind");
    t_run(f, f->sql, "UPDATE mq.message SET position = -1 WHERE state = 0");
    assert_ok(f->q, pgq_ack_receive(f->q, r, COUNT_OF(r), NULL, NULL, "q", 9, NULL, &m));
    got(m, 1, "behind");
}

static int decode(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    (void)kind, (void)out, (void)out_len, (void)error, (void)error_size, (void)arg;
    return memchr(in, '!', len) != NULL;
}

static void row_c9_undecoded(void **state)
{
    static const pgq_codec codec = {sizeof codec, NULL, decode, NULL};
    fixture *f = *state;

    for (int open = 0; open < 2; open++) {
        pgq_messages *m;
        pgq_receipt r;
        size_t done;

        hold(f, &r, 1);
        assert_ok(f->q, pgq_set_codec(f->q, &codec));
        t_send(f->q, "q", "bad!");
        t_send(f->q, "q", "good");
        if (open)
            t_run(f, pgq_connection(f->q), "BEGIN");
        assert_status(f->q, pgq_ack_receive(f->q, &r, 1, &done, NULL, "q", 9, NULL, &m), PGQ_HOOK);
        if (open)
            t_run(f, pgq_connection(f->q), "COMMIT");
        assert_int_equal(done, 1);
        assert_int_equal(pgq_messages_get(m, 0)->undecoded, 1);
        assert_int_equal(pgq_messages_get(m, 1)->undecoded, 0);
        got(m, 2, "bad!");
        assert_int_equal(leased(f), 2);
        t_run(f, f->sql, "DELETE FROM mq.message");
        assert_ok(f->q, pgq_set_codec(f->q, NULL));
    }
}

/* One who waits in a thread of its own; no assertion there. */
typedef struct waiter {
    pgq *q;
    pgq_receipt r;
    int timeout_ms;
    size_t done;
    pgq_status status;
    char text[64];
} waiter;

static void *waits(void *arg)
{
    waiter *w = arg;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_messages *m = NULL;

    o.timeout_ms = w->timeout_ms;
    w->status = pgq_ack_receive(w->q, &w->r, 1, &w->done, NULL, "q", 1, &o, &m);
    if (m)
        snprintf(w->text, sizeof w->text, "%s", (const char *)pgq_messages_get(m, 0)->payload);
    pgq_messages_free(m);
    return NULL;
}

/* The receipts are settled before it waits. */
static void row_waits(void **state)
{
    fixture *f = *state;
    pgq *other = t_open(f);
    waiter w = {.q = other, .timeout_ms = 60000};
    pthread_t thread;

    hold(f, &w.r, 1);
    assert_int_equal(pthread_create(&thread, NULL, waits, &w), 0);
    t_until(f, 30000, "0", "SELECT count(*) FROM mq.message");
    t_send(f->q, "q", "came");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_ok(other, w.status);
    assert_string_equal(w.text, "came");
    assert_int_equal(w.done, 1);
    /* And if nothing comes, they are settled all the same. */
    t_run(f, f->sql, "DELETE FROM mq.message");
    hold(f, &w.r, 1);
    w.timeout_ms = 50;
    waits(&w);
    assert_status(other, w.status, PGQ_TIMEOUT);
    assert_int_equal(w.done, 1);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    /* What is there is had at once, without a wait. */
    hold(f, &w.r, 1);
    t_send(f->q, "q", "there");
    w.timeout_ms = -1;
    waits(&w);
    assert_ok(other, w.status);
    assert_string_equal(w.text, "there");
    pgq_close(other);
}

#define ACK_RECEIVE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ACK_RECEIVE_TEST(row_one_transaction), ACK_RECEIVE_TEST(row_outcomes),
        ACK_RECEIVE_TEST(row_none_to_settle),  ACK_RECEIVE_TEST(row_errors_undo),
        ACK_RECEIVE_TEST(row_server_refuses),  ACK_RECEIVE_TEST(row_attached),
        ACK_RECEIVE_TEST(row_order_key),       ACK_RECEIVE_TEST(row_looks_behind_the_cursor),
        ACK_RECEIVE_TEST(row_c9_undecoded),    ACK_RECEIVE_TEST(row_waits),
    };

    return RUN_WITH_SERVER(tests);
}
