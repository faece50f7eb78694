/* SPDX-License-Identifier: MIT */
/* Rows E6 and E7: a handler under a lease, which is extended while it runs and no longer. */
#include "support/support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LEASE_MS = 800, WAIT_MS = 30000 }; /* a busy machine extends it in time */

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_run(f, f->sql, "CREATE TABLE mq.work (v text)");
    return 0;
}

/* With a lease that has to be extended in the time that a test takes. */
static pgq_status with(const fixture *f, pgq_handler handler, void *arg)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;

    o.lease_ms = LEASE_MS;
    return pgq_receive_with(f->q, "q", handler, arg, &o);
}

static long left(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.message");
}

/* Until the lease ends later than it does now by several of its lengths. */
static void await_extensions(const fixture *f)
{
    char sql[160];

    snprintf(sql, sizeof sql, "SELECT due > '%s'::timestamptz + interval '%d ms' FROM mq.message",
             t_ask(f, f->sql, "SELECT due FROM mq.message"), 2 * LEASE_MS);
    t_until(f, WAIT_MS, "t", sql);
}

static void await_lost(const pgq *q)
{
    for (int64_t until = t_now_us() + WAIT_MS * 1000LL; !pgq_lease_lost(q) && t_now_us() < until;)
        t_pause_ms(2);
    assert_int_equal(pgq_lease_lost(q), 1);
}

static void row_e6_done_and_failed(void **state)
{
    fixture *f = *state;
    witness w = {0};

    assert_status(f->q, with(f, t_witness, &w), PGQ_EMPTY);
    assert_int_equal(w.calls, 0);
    t_send(f->q, "q", "m");
    w.fail = "no luck";
    assert_status(f->q, with(f, t_witness, &w), PGQ_FAILED);
    assert_string_equal(pgq_last_error(f->q)->message, "no luck");
    w.fail = NULL;
    w.rc = 17;
    assert_status(f->q, with(f, t_witness, &w), PGQ_FAILED);
    assert_true(w.attempts == 2 && w.errors == 1);
    assert_string_equal(w.last_error, "no luck");
    w.rc = 0;
    assert_ok(f->q, with(f, t_witness, &w));
    assert_true(w.attempts == 3 && w.errors == 2);
    assert_string_equal(w.last_error, "the handler returned 17");
    assert_int_equal(left(f), 0);
    assert_int_equal(pgq_lease_lost(f->q), 0);
}

/* A handler's own transactions. */
typedef struct job {
    const fixture *f;
    const char *before, *after; /* SQL */
    int acks, rc;
} job;

static int work(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    job *j = arg;
    pgq_receipt r = t_receipt(m);

    assert_int_equal(PQtransactionStatus(conn), PQTRANS_IDLE); /* it runs without one */
    if (j->before)
        t_run(j->f, conn, "%s", j->before);
    if (j->acks)
        assert_ok(q, pgq_ack(q, &r, 1, NULL, NULL));
    if (j->after)
        t_run(j->f, conn, "%s", j->after);
    return j->rc;
}

static void row_e7_settled_by_the_handler(void **state)
{
    static const char insert[] = "BEGIN; INSERT INTO mq.work VALUES ('x')";
    static const struct {
        const char *before, *after;
        int acks, rc;
        pgq_status status;
        long work, left;
    } cases[] = {
        {insert, "COMMIT", 1, 0, PGQ_OK, 1, 0},       /* ack and own writes together */
        {insert, "ROLLBACK", 1, 1, PGQ_FAILED, 0, 1}, /* neither */
        {insert, "COMMIT", 0, 0, PGQ_OK, 1, 0},       /* own writes, and the call settles */
        {insert, "COMMIT", 0, 1, PGQ_FAILED, 1, 1},
        {NULL, NULL, 1, 0, PGQ_OK, 0, 0},
        {insert, NULL, 0, 0, PGQ_FAILED, 0, 1}, /* left open: it is rolled back */
        {insert, NULL, 1, 0, PGQ_FAILED, 0, 1},
        {NULL, NULL, 1, 1, PGQ_FAILED, 0, 0}, /* what is acked is acked */
    };
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        job j = {f, cases[i].before, cases[i].after, cases[i].acks, cases[i].rc};
        pgq_status status;

        t_send(f->q, "q", "m");
        status = with(f, work, &j);
        if (status != cases[i].status)
            fail_msg("case %zu: %s: %s", i, pgq_status_name(status), pgq_last_error(f->q)->message);
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.work"), cases[i].work);
        assert_int_equal(left(f), cases[i].left);
        if (cases[i].left)
            assert_int_equal(t_number(f, f->sql, "SELECT errors FROM mq.message"), 1);
        t_run(f, f->sql, "DELETE FROM mq.message");
        t_run(f, f->sql, "DELETE FROM mq.work");
    }
}

static int takes_long(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    job *j = arg;

    (void)conn, (void)m;
    await_extensions(j->f);
    assert_int_equal(pgq_lease_lost(q), 0);
    return j->rc;
}

/* Longer than several leases: nobody else gets it, whatever it comes to; and then nothing is extended. */
static void row_e6_long_handler(void **state)
{
    static const pgq_status wanted[] = {PGQ_OK, PGQ_FAILED};
    fixture *f = *state;

    for (int rc = 0; rc < 2; rc++) {
        job j = {.f = f, .rc = rc};

        t_send(f->q, "q", "m");
        assert_status(f->q, with(f, takes_long, &j), wanted[rc]);
        assert_int_equal(left(f), rc);
        if (rc)
            assert_string_equal(
                t_ask(f, f->sql, "SELECT attempts || ' ' || errors || ' ' || state FROM mq.message"),
                "1 1 0");
    }
    /* Taken again without a helper its lease runs out in time. */
    t_lease(f->q, "q", LEASE_MS, NULL);
    t_until(f, WAIT_MS, "t", "SELECT due < clock_timestamp() FROM mq.message");
}

/* The message's own lease, and the queue's, are kept up as the call's is. */
static void row_e6_whose_lease(void **state)
{
    fixture *f = *state;

    for (int whose = 0; whose < 2; whose++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        pgq_attributes a = PGQ_ATTRIBUTES_INIT;
        job j = {.f = f};

        if (whose == 0)
            o.lease_ms = LEASE_MS;
        a.lease_ms = whose == 0 ? 3600000 : LEASE_MS;
        assert_ok(f->q, pgq_set_queue(f->q, "q", &a, 0));
        t_send_as(f->q, "q", "m", &o);
        assert_ok(f->q, pgq_receive_with(f->q, "q", takes_long, &j, NULL));
        assert_int_equal(left(f), 0);
    }
}

static int is_robbed(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    job *j = arg;

    (void)conn;
    if (j->acks) /* another consumer has it */
        t_run(j->f, j->f->sql, "UPDATE mq.message SET attempts = attempts + 1 WHERE id = %lld",
              (long long)m->id);
    else /* its failure was counted */
        t_run(j->f, j->f->sql,
              "BEGIN; UPDATE mq.message SET due = clock_timestamp() WHERE id = %lld;"
              " SELECT * FROM mq.clean('q'); COMMIT",
              (long long)m->id);
    await_lost(q);
    return j->rc;
}

/* The lease is lost: the handler can see it, and what came of it is not counted. */
static void row_e6_lease_lost(void **state)
{
    fixture *f = *state;

    for (int i = 0; i < 4; i++) {
        job j = {.f = f, .acks = i / 2, .rc = i % 2};
        char before[64];

        t_send(f->q, "q", "m");
        assert_status(f->q, with(f, is_robbed, &j), PGQ_STALE);
        snprintf(before, sizeof before, "%s", i < 2 ? "1 1 0" : "2 0 2");
        assert_string_equal(
            t_ask(f, f->sql, "SELECT attempts || ' ' || errors || ' ' || state FROM mq.message"), before);
        assert_int_equal(pgq_lease_lost(f->q), 0); /* of a handler that runs */
        t_run(f, f->sql, "DELETE FROM mq.message");
    }
}

static int loses_connection(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    job *j = arg;

    (void)q, (void)m;
    t_kill(j->f, PQbackendPID(conn));
    await_extensions(j->f); /* it is kept up all the same */
    return j->rc;
}

/* The handle's connection is lost: the outcome is told by another. */
static void row_e6_connection_lost(void **state)
{
    fixture *f = *state;

    for (int rc = 0; rc < 2; rc++) {
        job j = {.f = f, .rc = rc};
        witness w = {0};

        t_send(f->q, "q", "m");
        assert_status(f->q, with(f, loses_connection, &j), rc ? PGQ_FAILED : PGQ_OK);
        assert_int_equal(left(f), rc);
        if (rc) {
            assert_ok(f->q, with(f, t_witness, &w));
            assert_true(w.attempts == 2 && w.errors == 1);
        }
    }
}

static void kill_extender(const fixture *f)
{
    char sql[256];

    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s' AND pid NOT IN (%d, %d)"
             " AND query LIKE '%%_keep%%'",
             f->ns, PQbackendPID(f->sql), PQbackendPID(pgq_connection(f->q)));
    t_until(f, WAIT_MS, "1", sql);
    t_kill(f, (int)t_number(
                  f, f->sql,
                  "SELECT pid FROM pg_stat_activity WHERE application_name = '%s' AND pid NOT IN (%d, %d)",
                  f->ns, PQbackendPID(f->sql), PQbackendPID(pgq_connection(f->q))));
}

static int loses_extender(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;

    (void)q, (void)conn, (void)m;
    /* Twice, and each time it comes back before the lease of 2 s runs out. */
    for (int i = 0; i < 2; i++) {
        char sql[160];

        kill_extender(f);
        snprintf(sql, sizeof sql, "SELECT due > '%s'::timestamptz FROM mq.message",
                 t_ask(f, f->sql, "SELECT due FROM mq.message"));
        t_until(f, WAIT_MS, "t", sql);
    }
    return 0;
}

static void row_e6_extender_lost(void **state)
{
    fixture *f = *state;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    pgq_status status = PGQ_STALE;

    /* On a machine that is too busy to connect in time the lease is lost, and said to be. */
    for (int tries = 0; tries < 3 && status == PGQ_STALE; tries++) {
        t_run(f, f->sql, "DELETE FROM mq.message");
        t_send(f->q, "q", "m");
        o.lease_ms = 2000;
        status = pgq_receive_with(f->q, "q", loses_extender, f, &o);
    }
    assert_ok(f->q, status);
    assert_int_equal(left(f), 0);
}

static void row_e6_cancelled(void **state)
{
    fixture *f = *state;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    witness w = {0};
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    o.timeout_ms = -1;
    o.cancel_fd = fds[0];
    assert_status(f->q, pgq_receive_with(f->q, "q", t_witness, &w, &o), PGQ_CANCELED);
    t_send(f->q, "q", "m");
    assert_ok(f->q, pgq_receive_with(f->q, "q", t_witness, &w, &o)); /* what is there is taken */
    o.timeout_ms = 30;
    o.cancel_fd = -1;
    assert_status(f->q, pgq_receive_with(f->q, "q", t_witness, &w, &o), PGQ_TIMEOUT);
    close(fds[0]);
    close(fds[1]);
}

/* Closing ends the thread and its connection, be it used or not. */
static void row_e6_closed(void **state)
{
    fixture *f = *state;
    static const char mine[] =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = current_setting('application_name')";

    for (int used = 0; used < 3; used++) {
        fixture g = *f;
        job j = {.f = &g};
        witness w = {0};

        g.q = t_open(f);
        t_send(f->q, "q", "m");
        assert_ok(g.q, with(&g, used == 2 ? takes_long : t_witness, used == 2 ? (void *)&j : (void *)&w));
        if (used == 2)
            t_until(f, WAIT_MS, "4", mine);
        pgq_close(g.q);
        t_until(f, WAIT_MS, "2", mine);
    }
}

static int tries_more(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    pgq_messages *out;

    (void)conn, (void)m;
    assert_status(q, pgq_receive_with(q, "q", t_witness, arg, NULL), PGQ_STATE);
    assert_status(q, pgq_receive(q, "q", 1, NULL, &out), PGQ_STATE);
    assert_status(q, pgq_dequeue(q, "q", t_witness, arg), PGQ_STATE);
    assert_status(q, pgq_pop(q, "q", 1, &out), PGQ_STATE);
    assert_int_equal(pgq_lease_lost(q), 0);
    t_send(q, "q", "sent by the handler");
    return 0;
}

static void row_e6_refused(void **state)
{
    fixture *f = *state;
    pgq_open_options open = PGQ_OPEN_OPTIONS_INIT;
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    witness w = {0};
    pgq *attached;

    open.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &open, &attached), PGQ_OK);
    assert_status(attached, pgq_receive_with(attached, "q", t_witness, &w, NULL), PGQ_STATE);
    pgq_close(attached);
    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_receive_with(f->q, "q", t_witness, &w, NULL), PGQ_STATE);
    t_run(f, pgq_connection(f->q), "COMMIT");
    for (int i = 0; i < 3; i++) {
        o.lease_ms = (const int64_t[]){0, -1, 9999999001}[i];
        assert_status(f->q, pgq_receive_with(f->q, "q", t_witness, &w, &o), PGQ_INVALID);
    }
    assert_status(f->q, pgq_receive_with(f->q, "q", NULL, NULL, NULL), PGQ_INVALID);
    o.size = 1;
    assert_status(f->q, pgq_receive_with(f->q, "q", t_witness, &w, &o), PGQ_INVALID);
    assert_int_equal(w.calls, 0);
    assert_int_equal(pgq_lease_lost(NULL), 0);
    t_send(f->q, "q", "m");
    t_send(f->q, "q", "n");
    assert_ok(f->q, with(f, tries_more, &w));
    assert_int_equal(w.calls, 0);
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "n 0 0; sent by the handler 0 0; ");
}

static int extends_itself(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    job *j = arg;
    pgq_receipt r = t_receipt(m);

    assert_ok(q, pgq_extend(q, &r, 1, 60000, NULL, NULL));
    j->acks = 1;
    return is_robbed(q, conn, m, arg);
}

/* An extension is no settling: who loses the lease behind it has lost it. */
static void row_e2_extended_by_the_handler(void **state)
{
    fixture *f = *state;
    job j = {.f = f};

    t_send(f->q, "q", "m");
    assert_status(f->q, with(f, extends_itself, &j), PGQ_STALE);
    assert_int_equal(left(f), 1);
}

#define WITH_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TEST(row_e6_done_and_failed),
        WITH_TEST(row_e7_settled_by_the_handler),
        WITH_TEST(row_e6_long_handler),
        WITH_TEST(row_e6_whose_lease),
        WITH_TEST(row_e6_lease_lost),
        WITH_TEST(row_e6_connection_lost),
        WITH_TEST(row_e6_extender_lost),
        WITH_TEST(row_e6_cancelled),
        WITH_TEST(row_e6_closed),
        WITH_TEST(row_e6_refused),
        WITH_TEST(row_e2_extended_by_the_handler),
    };

    return RUN_WITH_SERVER(tests);
}
