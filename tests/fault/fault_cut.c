/* SPDX-License-Identifier: MIT */
/* The socket is cut under every call; a backend ends between claim and settling. */
#include "fault/calls.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    return 0;
}

/* pid: of the backend that was cut off; what it was doing it may still do. */
static void works_again(const fixture *f, const fault_call *c, pgq *q, int pid)
{
    char gone[128];

    snprintf(gone, sizeof gone, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid);
    t_until(f, 10000, "0", gone);
    assert_ok(q, pgq_reconnect(q));
    assert_int_equal(PQpipelineStatus(pgq_connection(q)), PQ_PIPELINE_OFF);
    if (c->prepare)
        c->prepare(f);
    assert_status(q, c->call(q), c->good);
}

static void test_before_each_call(void **state)
{
    fixture *f = *state;
    static const int how[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
    const fault_call *c;

    for (size_t i = 0; (c = fault_call_at(i)) != NULL; i++) {
        for (size_t h = 0; h < COUNT_OF(how) && c->call != pgq_reconnect; h++) {
            int pid = PQbackendPID(pgq_connection(f->q));
            pgq_status status;

            if (c->prepare)
                c->prepare(f);
            shutdown(PQsocket(pgq_connection(f->q)), how[h]);
            status = c->call(f->q);
            if (status != PGQ_CONNECTION)
                fail_msg("%s: %s: %s", c->name, pgq_status_name(status), pgq_last_error(f->q)->message);
            assert_int_equal(pgq_last_error(f->q)->connection_dead, 1);
            assert_status(f->q, c->call(f->q), PGQ_CONNECTION);
            works_again(f, c, f->q, pid);
        }
    }
}

/* What another thread does to a call that waits for a lock. */
static void *cut_when_waiting(void *arg)
{
    pgq *q = arg;
    char sql[160];
    int pid = PQbackendPID(pgq_connection(q));
    int64_t until = t_now_us() + 10000000;
    PGconn *conn = PQconnectdb(t_dsn());
    int waiting = 0;

    snprintf(sql, sizeof sql, "SELECT 1 FROM pg_stat_activity WHERE pid = %d AND wait_event_type = 'Lock'",
             pid);
    while (!waiting && t_now_us() < until) {
        PGresult *res = PQexec(conn, sql);

        waiting = PQntuples(res) > 0;
        PQclear(res);
        t_pause_ms(2);
    }
    shutdown(PQsocket(pgq_connection(q)), SHUT_RDWR);
    PQfinish(conn);
    return waiting ? arg : NULL;
}

/* The call is on its way: the server works on it, and no answer comes. */
static void test_in_each_call(void **state)
{
    fixture *f = *state;
    const fault_call *c;

    for (size_t i = 0; (c = fault_call_at(i)) != NULL; i++) {
        int pid = PQbackendPID(pgq_connection(f->q));
        pthread_t thread;
        pgq_status status;
        void *waited;

        if (!c->reads)
            continue;
        if (c->prepare)
            c->prepare(f);
        t_run(f, f->sql, "BEGIN; LOCK TABLE mq.%s IN ACCESS EXCLUSIVE MODE",
              c->reads == 1 ? "queue" : "topic_log");
        assert_int_equal(pthread_create(&thread, NULL, cut_when_waiting, f->q), 0);
        status = c->call(f->q);
        pthread_join(thread, &waited);
        t_run(f, f->sql, "ROLLBACK");
        assert_ptr_equal(waited, f->q);
        if (status != PGQ_CONNECTION)
            fail_msg("%s: %s: %s", c->name, pgq_status_name(status), pgq_last_error(f->q)->message);
        works_again(f, c, f->q, pid);
    }
}

/* The rows are on their way, more of them than a socket takes, and the server waits at the third. */
static void test_in_a_copy(void **state)
{
    static char big[50000];
    fixture *f = *state;
    pgq_outgoing out[100];
    int pid = PQbackendPID(pgq_connection(f->q));
    pthread_t thread;
    pgq_status status;
    void *waited;
    char gone[128];

    for (size_t i = 0; i < COUNT_OF(out); i++)
        out[i] = (pgq_outgoing){big, i == 2 ? 1 : sizeof big, NULL};
    t_run(f, f->sql,
          "CREATE FUNCTION mq.third() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
          " ASSERT current_query() LIKE 'COPY %%'; LOCK TABLE mq.dead_letter; RETURN NEW; END $$");
    t_run(f, f->sql,
          "CREATE TRIGGER third BEFORE INSERT ON mq.message FOR EACH ROW"
          " WHEN (octet_length(NEW.payload) = 1) EXECUTE FUNCTION mq.third()");
    t_run(f, f->sql, "BEGIN; LOCK TABLE mq.dead_letter");
    assert_int_equal(pthread_create(&thread, NULL, cut_when_waiting, f->q), 0);
    status = pgq_enqueue_many(f->q, "q", out, COUNT_OF(out), 0, NULL, NULL);
    pthread_join(thread, &waited);
    t_run(f, f->sql, "COMMIT");
    assert_ptr_equal(waited, f->q);
    assert_int_equal(status, PGQ_CONNECTION);
    snprintf(gone, sizeof gone, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid);
    t_until(f, 10000, "0", gone);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    assert_ok(f->q, pgq_reconnect(f->q));
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, COUNT_OF(out), 0, NULL, NULL));
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), COUNT_OF(out));
}

static int cuts(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)m;
    shutdown(PQsocket(conn), SHUT_RDWR);
    return *(int *)arg;
}

static int ends_backend(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)m;
    t_kill(arg, PQbackendPID(conn));
    return 0;
}

/* Between claim and settling: CONNECTION, and the next consumer counts the attempt. */
static void test_between_claim_and_settling(void **state)
{
    fixture *f = *state;
    pgq *victim = t_open(f);

    for (int i = 0; i < 3; i++) {
        int rc = i;
        witness w = {0};
        int pid = PQbackendPID(pgq_connection(victim));
        char gone[128];

        t_send(f->q, "q", "m");
        assert_status(victim,
                      i < 2 ? pgq_dequeue(victim, "q", cuts, &rc) : pgq_dequeue(victim, "q", ends_backend, f),
                      PGQ_CONNECTION);
        snprintf(gone, sizeof gone, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid);
        t_until(f, 10000, "0", gone);
        assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
        assert_int_equal(w.attempts, 2);
        assert_int_equal(w.errors, 1);
        assert_ok(victim, pgq_reconnect(victim));
        assert_status(victim, pgq_dequeue(victim, "q", t_witness, &w), PGQ_EMPTY);
    }
    pgq_close(victim);
}

/* On the caller's connection likewise; the rest is the caller's to do. */
static void test_attached(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    PGconn *conn = t_connect();
    witness w = {0};
    int rc = 0;
    int pid = PQbackendPID(conn);
    char gone[128];
    pgq *q;

    o.name_space = f->ns;
    assert_int_equal(pgq_attach(conn, &o, &q), PGQ_OK);
    t_send(f->q, "q", "m");
    t_run(f, conn, "BEGIN");
    assert_status(q, pgq_dequeue(q, "q", cuts, &rc), PGQ_CONNECTION);
    assert_status(q, pgq_dequeue(q, "q", cuts, &rc), PGQ_CONNECTION);
    assert_int_equal(pgq_last_error(q)->connection_dead, 1);
    pgq_close(q);
    PQfinish(conn);
    snprintf(gone, sizeof gone, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid);
    t_until(f, 10000, "0", gone);
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
    assert_int_equal(w.errors, 1);
}

/* A handler under a lease: its outcome is told by another connection. */
static void test_between_lease_and_settling(void **state)
{
    fixture *f = *state;
    pgq *victim = t_open(f);

    for (int i = 0; i < 3; i++) {
        int rc = i;
        witness w = {0};

        t_send(f->q, "q", "m");
        assert_status(victim,
                      i < 2 ? pgq_receive_with(victim, "q", cuts, &rc, NULL)
                            : pgq_receive_with(victim, "q", ends_backend, f, NULL),
                      i == 1 ? PGQ_FAILED : PGQ_OK);
        assert_int_equal(PQstatus(pgq_connection(victim)), CONNECTION_OK);
        if (i == 1) {
            assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
            assert_true(w.attempts == 2 && w.errors == 1);
        }
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    }
    pgq_close(victim);
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_before_each_call),
        FAULT_TEST(test_in_each_call),
        FAULT_TEST(test_in_a_copy),
        FAULT_TEST(test_between_claim_and_settling),
        FAULT_TEST(test_between_lease_and_settling),
        FAULT_TEST(test_attached),
    };

    return RUN_WITH_SERVER(tests);
}
