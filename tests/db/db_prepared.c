/* SPDX-License-Identifier: MIT */
/* Prepared statements: on connections of the library's own, for what is sent twice, and never in the way. */
#include "support/support.h"

#include <string.h>

static long prepared(fixture *f, PGconn *conn)
{
    return t_number(f, conn, "SELECT count(*) FROM pg_prepared_statements");
}

static void send_and_take(pgq *q, int times)
{
    for (int i = 0; i < times; i++) {
        pgq_messages *m;

        t_send(q, "q", "x");
        assert_ok(q, pgq_pop(q, "q", 1, &m));
        assert_string_equal(pgq_messages_get(m, 0)->payload, "x");
        pgq_messages_free(m);
    }
}

static void test_own_connection(void **state)
{
    fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "x");
    assert_int_equal(prepared(f, conn), 0);
    send_and_take(f->q, 5);
    assert_true(prepared(f, conn) >= 2);
}

static void test_deallocated(void **state)
{
    fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    for (int i = 0; i < 3; i++) {
        send_and_take(f->q, 5);
        t_run(f, conn, "%s", i == 1 ? "DISCARD ALL" : "DEALLOCATE ALL");
    }
    send_and_take(f->q, 1);
}

static void test_name_taken(void **state)
{
    fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_run(f, conn, "PREPARE pgq_0 AS SELECT 1");
    t_run(f, conn, "PREPARE pgq_1 AS SELECT 1");
    send_and_take(f->q, 5);
    assert_int_equal(prepared(f, conn), 2);
}

static void test_reconnected(void **state)
{
    fixture *f = *state;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    send_and_take(f->q, 5);
    t_kill(f, PQbackendPID(pgq_connection(f->q)));
    assert_status(f->q, pgq_enqueue(f->q, "q", "x", 1, NULL, NULL), PGQ_CONNECTION);
    assert_ok(f->q, pgq_reconnect(f->q));
    send_and_take(f->q, 5);
}

static void test_reinstalled(void **state)
{
    fixture *f = *state;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    send_and_take(f->q, 5);
    assert_ok(f->q, pgq_drop(f->q));
    assert_ok(f->q, pgq_install(f->q));
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    send_and_take(f->q, 5);
}

static void test_borrowed_connection(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    o.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &o, &q), PGQ_OK);
    send_and_take(q, 5);
    assert_int_equal(prepared(f, f->sql), 0);
    pgq_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_own_connection), DB_TEST(test_deallocated), DB_TEST(test_reconnected),
        DB_TEST(test_name_taken),     DB_TEST(test_reinstalled), DB_TEST(test_borrowed_connection),
    };

    return RUN_WITH_SERVER(tests);
}
