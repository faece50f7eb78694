/* SPDX-License-Identifier: MIT */
/* Row A3: the caller's own connection and transaction. */
#include "support/support.h"

#include <stdio.h>
#include <string.h>

/* The caller's connection is f->sql; f->q looks from outside. */
typedef struct caller {
    fixture *f;
    pgq *q;
} caller;

static caller *the;

static int setup(void **state)
{
    static caller c;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;

    if (t_setup(state) != 0)
        return -1;
    c.f = *state;
    o.name_space = c.f->ns;
    assert_int_equal(pgq_attach(c.f->sql, &o, &c.q), PGQ_OK);
    assert_ok(c.f->q, pgq_create_queue(c.f->q, "q", NULL, 0));
    t_run(c.f, c.f->sql, "CREATE TABLE mq.work (v text)");
    the = &c;
    return 0;
}

static int teardown(void **state)
{
    pgq_close(the->q);
    return t_teardown(state);
}

static void run(const char *sql)
{
    t_run(the->f, the->f->sql, "%s", sql);
}

static int64_t outside_ready(void)
{
    pgq_counts c;

    assert_ok(the->f->q, pgq_count(the->f->q, "q", &c));
    return c.ready;
}

static void test_enqueue(void **state)
{
    (void)state;
    t_send(the->q, "q", "at once");
    assert_int_equal(outside_ready(), 1);
    run("BEGIN");
    t_send(the->q, "q", "lost");
    assert_int_equal(outside_ready(), 1);
    run("ROLLBACK");
    assert_int_equal(outside_ready(), 1);
    run("BEGIN");
    t_send(the->q, "q", "kept");
    assert_int_equal(outside_ready(), 1);
    run("COMMIT");
    assert_int_equal(outside_ready(), 2);
}

static int writes(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const char *fail = arg;

    (void)m;
    assert_ptr_equal(q, the->q);
    assert_ptr_equal(conn, the->f->sql);
    run("INSERT INTO mq.work VALUES ('handler')");
    return fail ? pgq_fail(q, "%s", fail) : 0;
}

static void test_dequeue(void **state)
{
    fixture *f = *state;
    witness w = {0};

    t_send(f->q, "q", "m");
    run("BEGIN");
    assert_ok(the->q, pgq_dequeue(the->q, "q", writes, NULL));
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_EMPTY);
    run("ROLLBACK");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.work"), 0);
    assert_int_equal(outside_ready(), 1);
    run("BEGIN");
    run("INSERT INTO mq.work VALUES ('caller')");
    assert_status(the->q, pgq_dequeue(the->q, "q", writes, (void *)(uintptr_t) "why"),
                  PGQ_EMPTY); /* its death is counted first */
    run("COMMIT");
    run("BEGIN");
    run("INSERT INTO mq.work VALUES ('caller')");
    assert_status(the->q, pgq_dequeue(the->q, "q", writes, (void *)(uintptr_t) "why"), PGQ_FAILED);
    /* Not handed out again in the transaction that failed it. */
    assert_status(the->q, pgq_dequeue(the->q, "q", writes, NULL), PGQ_EMPTY);
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    run("COMMIT");
    assert_string_equal(t_ask(f, f->sql, "SELECT string_agg(v, ',') FROM mq.work"), "caller,caller");
    assert_string_equal(
        t_ask(f, f->sql, "SELECT attempts || ' ' || errors || ' ' || last_error FROM mq.message"), "2 2 why");
    run("BEGIN");
    assert_ok(the->q, pgq_dequeue(the->q, "q", writes, NULL));
    run("COMMIT");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.work"), 3);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
}

static int fails_in_sql(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)m, (void)arg;
    t_sqlstate(the->f, conn, "SELECT 1/0");
    return 0;
}

static void test_sql_error_in_the_handler(void **state)
{
    fixture *f = *state;

    t_send(f->q, "q", "m");
    run("BEGIN");
    run("INSERT INTO mq.work VALUES ('before')");
    assert_status(the->q, pgq_dequeue(the->q, "q", fails_in_sql, NULL), PGQ_FAILED);
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    run("COMMIT");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.work"), 1);
    assert_non_null(strstr(t_ask(f, f->sql, "SELECT last_error FROM mq.message"), "division by zero"));
}

static int ends(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)conn, (void)m;
    run(arg);
    return 0;
}

static void test_handler_ends_the_transaction(void **state)
{
    static const char *const endings[] = {"ROLLBACK", "COMMIT", "ROLLBACK; BEGIN", "COMMIT AND CHAIN"};
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        t_send(f->q, "q", "m");
        run("BEGIN");
        assert_status(the->q, pgq_dequeue(the->q, "q", ends, (void *)(uintptr_t)endings[i]), PGQ_STALE);
        assert_true(pgq_last_error(the->q)->needs_rollback ==
                    (PQtransactionStatus(f->sql) == PQTRANS_INERROR));
        if (PQtransactionStatus(f->sql) != PQTRANS_IDLE)
            run("ROLLBACK");
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 1);
        run("DELETE FROM mq.message");
    }
}

static void test_pop(void **state)
{
    fixture *f = *state;
    pgq_messages *m;

    t_send(f->q, "q", "m");
    run("BEGIN");
    assert_ok(the->q, pgq_pop(the->q, "q", 5, &m));
    pgq_messages_free(m);
    run("ROLLBACK");
    assert_int_equal(outside_ready(), 1);
    assert_ok(the->q, pgq_pop(the->q, "q", 5, &m)); /* no transaction: one of its own */
    assert_int_equal(pgq_messages_get(m, 0)->attempts, 2);
    pgq_messages_free(m);
    assert_int_equal(outside_ready(), 0);
}

static void test_state(void **state)
{
    fixture *f = *state;
    witness w = {0};

    t_send(f->q, "q", "m");
    assert_status(the->q, pgq_dequeue(the->q, "q", t_witness, &w), PGQ_STATE);
    assert_status(the->q, pgq_listen(the->q, "q", 0, t_witness, &w, NULL), PGQ_STATE);
    assert_status(the->q, pgq_reconnect(the->q), PGQ_INVALID);
    run("BEGIN");
    assert_string_equal(t_sqlstate(f, f->sql, "SELECT 1/0"), "22012");
    assert_status(the->q, pgq_dequeue(the->q, "q", t_witness, &w), PGQ_ABORTED);
    assert_int_equal(pgq_last_error(the->q)->needs_rollback, 1);
    run("ROLLBACK");
    assert_int_equal(w.calls, 0);
}

static void test_refusals_leave_it_usable(void **state)
{
    fixture *f = *state;
    witness w = {0};

    t_run(f, f->sql, "UPDATE mq.queue SET max_size = 3");
    run("BEGIN");
    run("INSERT INTO mq.work VALUES ('x')");
    assert_status(the->q, pgq_dequeue(the->q, "q", t_witness, &w), PGQ_EMPTY);
    assert_status(the->q, pgq_enqueue(the->q, "q", "long", 4, NULL, NULL), PGQ_TOO_LONG);
    assert_status(the->q, pgq_enqueue(the->q, "none", "x", 1, NULL, NULL), PGQ_NOT_FOUND);
    assert_status(the->q, pgq_enqueue(the->q, " bad", "x", 1, NULL, NULL), PGQ_INVALID);
    assert_status(the->q, pgq_dequeue(the->q, "none", t_witness, &w), PGQ_NOT_FOUND);
    assert_status(the->q, pgq_create_queue(the->q, "q", NULL, 0), PGQ_EXISTS);
    assert_int_equal(pgq_last_error(the->q)->needs_rollback, 0);
    run("COMMIT");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.work"), 1);
}

/* Two that read before they write: the second's transaction fails, as its isolation asks. */
static void test_conflict(void **state)
{
    fixture *f = *state;

    run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    run("SELECT count(*) FROM mq.queue");
    assert_ok(f->q, pgq_delete_queue(f->q, "q"));
    assert_status(the->q, pgq_enqueue(the->q, "q", "x", 1, NULL, NULL), PGQ_CONFLICT);
    assert_int_equal(pgq_last_error(the->q)->retryable, 1);
    assert_int_equal(pgq_last_error(the->q)->needs_rollback, 1);
    assert_status(the->q, pgq_enqueue(the->q, "q", "x", 1, NULL, NULL), PGQ_ABORTED);
    run("ROLLBACK");
}

/* All that could have changed about the connection, as one text. */
static const char *snapshot(char out[512])
{
    PGconn *conn = the->f->sql;
    const char *sql =
        "SELECT md5((SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_settings)) || ' '"
        " || (SELECT count(*) FROM pg_prepared_statements) || ' ' || (SELECT count(*) FROM pg_cursors) || ' '"
        " || COALESCE((SELECT string_agg(c, ',') FROM pg_listening_channels() c), '-') || ' '"
        " || (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory') || ' '"
        " || (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) || ' '"
        " || current_user || ' ' || current_schemas(true)::text";
    const char *in_server = t_ask(the->f, conn, "%s", sql);

    snprintf(out, 512, "%s tx %d enc %d nonblock %d pipeline %d status %d", in_server,
             (int)PQtransactionStatus(conn), PQclientEncoding(conn), PQisnonblocking(conn),
             (int)PQpipelineStatus(conn), (int)PQstatus(conn));
    return out;
}

static void receiver(void *arg, const PGresult *res)
{
    (void)res;
    ++*(int *)arg;
}

static void every_call(int in_transaction)
{
    const pgq_outgoing one = {"x", 1, NULL};
    witness w = {0};
    pgq_counts c;
    pgq_messages *m;
    pgq_queue_list *list;
    int version;

    assert_ok(the->q, pgq_create_queue(the->q, "n", NULL, 1));
    t_send(the->q, "q", "a");
    assert_ok(the->q, pgq_enqueue_many(the->q, "q", &one, 1, 0, NULL, NULL));
    t_send(the->q, "q", "c");
    assert_ok(the->q, pgq_peek(the->q, "q", 1, &m));
    pgq_messages_free(m);
    assert_ok(the->q, pgq_pop(the->q, "q", 1, &m));
    pgq_messages_free(m);
    if (in_transaction) {
        assert_ok(the->q, pgq_dequeue(the->q, "q", t_witness, &w));
        w.rc = 1;
        assert_status(the->q, pgq_dequeue(the->q, "q", t_witness, &w), PGQ_FAILED);
    }
    assert_ok(the->q, pgq_count(the->q, "q", &c));
    assert_ok(the->q, pgq_list_queues(the->q, NULL, &list));
    pgq_queue_list_free(list);
    assert_ok(the->q, pgq_requeue_dead(the->q, "q", NULL, 0, NULL, NULL));
    assert_ok(the->q, pgq_installed_version(the->q, &version));
    assert_status(the->q, pgq_cancel(the->q, 1 << 30), PGQ_NOT_FOUND);
    assert_status(the->q, pgq_enqueue(the->q, "none", "x", 1, NULL, NULL), PGQ_NOT_FOUND);
    assert_ok(the->q, pgq_install(the->q));
}

static void test_nothing_changes(void **state)
{
    fixture *f = *state;
    char before[512], after[512];
    PQnoticeReceiver was;
    PGnotify *note;
    int notices = 0;

    run("CREATE TEMP TABLE mine (a int)"); /* so that there is a temporary schema */
    run("DO 'BEGIN END'");                 /* and that plpgsql has its settings */
    run("LISTEN \"the caller's\"");
    run("SET search_path = pg_catalog");
    run("SET client_min_messages = debug1");
    run("SET statement_timeout = '77s'");
    run("PREPARE mine AS SELECT 1");
    was = PQsetNoticeReceiver(f->sql, receiver, &notices);
    snapshot(before);
    every_call(0);
    assert_string_equal(snapshot(after), before);
    run("BEGIN ISOLATION LEVEL READ COMMITTED");
    every_call(1);
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    run("NOTIFY \"the caller's\", 'kept'");
    run("COMMIT");
    assert_string_equal(snapshot(after), before);
    every_call(0);
    note = PQnotifies(f->sql);
    assert_non_null(note);
    assert_string_equal(note->extra, "kept");
    PQfreemem(note);
    assert_ptr_equal(PQsetNoticeReceiver(f->sql, was, NULL), receiver);
    /* Closing the handle leaves the connection alone too. */
    pgq_close(the->q);
    the->q = NULL;
    assert_string_equal(snapshot(after), before);
}

static void test_nonblocking_stays(void **state)
{
    fixture *f = *state;

    assert_int_equal(PQsetnonblocking(f->sql, 1), 0);
    every_call(0);
    assert_int_equal(PQisnonblocking(f->sql), 1);
    PQsetnonblocking(f->sql, 0);
}

#define ATTACH_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ATTACH_TEST(test_enqueue),
        ATTACH_TEST(test_dequeue),
        ATTACH_TEST(test_sql_error_in_the_handler),
        ATTACH_TEST(test_handler_ends_the_transaction),
        ATTACH_TEST(test_pop),
        ATTACH_TEST(test_state),
        ATTACH_TEST(test_refusals_leave_it_usable),
        ATTACH_TEST(test_conflict),
        ATTACH_TEST(test_nothing_changes),
        ATTACH_TEST(test_nonblocking_stays),
    };

    return RUN_WITH_SERVER(tests);
}
