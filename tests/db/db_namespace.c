/* SPDX-License-Identifier: MIT */
/* Rows A and B1: connections and namespaces. */
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pgq *open_named(const char *name)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    o.name_space = name;
    assert_ok(q, pgq_open(t_dsn(), &o, &q));
    return q;
}

/* A1: conninfo, URI and the environment come to the same. */
static void test_A1_conninfo_and_environment(void **state)
{
    fixture *f = *state;
    PGconn *known = f->sql;
    char uri[512];
    pgq *q;

    setenv("PGHOST", PQhost(known), 1);
    setenv("PGPORT", PQport(known), 1);
    setenv("PGUSER", PQuser(known), 1);
    setenv("PGDATABASE", PQdb(known), 1);
    if (PQpass(known)[0])
        setenv("PGPASSWORD", PQpass(known), 1);
    snprintf(uri, sizeof uri, "postgresql:///%s?connect_timeout=7", PQdb(known));
    for (int i = 0; i < 4; i++) {
        const char *const infos[] = {NULL, "", uri, "connect_timeout=7"};

        assert_ok(q, pgq_open(infos[i], NULL, &q));
        assert_string_equal(PQdb(pgq_connection(q)), PQdb(known));
        assert_string_equal(pgq_namespace(q), "mq");
        assert_string_equal(PQparameterStatus(pgq_connection(q), "client_encoding"), "UTF8");
        pgq_close(q);
    }
}

/* A6: the server's own words, and what can be done about it. */
static void test_A6_errors(void **state)
{
    fixture *f = *state;
    char conninfo[512];
    pgq *q;

    snprintf(conninfo, sizeof conninfo, "host=%s port=%s user=%s dbname=no-such-database", PQhost(f->sql),
             PQport(f->sql), PQuser(f->sql));
    assert_int_equal(pgq_open(conninfo, NULL, &q), PGQ_CONNECTION);
    assert_non_null(strstr(pgq_last_error(q)->message, "no-such-database"));
    assert_null(strchr(pgq_last_error(q)->message, '\n'));
    assert_int_equal(pgq_last_error(q)->connection_dead, 1);
    pgq_close(q);
    assert_int_equal(pgq_open("no equals sign", NULL, &q), PGQ_CONNECTION);
    pgq_close(q);
    assert_status(f->q, pgq_enqueue(f->q, "none", "x", 1, NULL, NULL), PGQ_NOT_FOUND);
    assert_int_equal(pgq_last_error(f->q)->connection_dead, 0);
    /* A success clears it. */
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_int_equal(pgq_last_error(f->q)->status, PGQ_OK);
    assert_string_equal(pgq_last_error(f->q)->message, "");
    assert_string_equal(pgq_last_error(f->q)->sqlstate, "");
}

static void test_options(void **state)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    (void)state;
    o.connect_attempts = -1;
    assert_int_equal(pgq_open(t_dsn(), &o, &q), PGQ_INVALID);
    pgq_close(q);
    o.connect_attempts = 1;
    o.connect_backoff_ms = -1;
    assert_int_equal(pgq_open(t_dsn(), &o, &q), PGQ_INVALID);
    pgq_close(q);
}

/* A4: two namespaces share neither queues nor messages nor wake-ups. */
static void test_A4_apart(void **state)
{
    static const char *const odd[] = {"Upper \"quoted\"",   "with space", "select",
                                      "d\xc3\xa9j\xc3\xa0", "a.b",        "it's"};
    fixture *f = *state;
    pgq_messages *m;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        char name[96];
        pgq *q;

        snprintf(name, sizeof name, "%s %s", odd[i], f->ns);
        q = open_named(name);
        assert_string_equal(pgq_namespace(q), name);
        assert_ok(q, pgq_install(q));
        assert_status(q, pgq_enqueue(q, "q", "x", 1, NULL, NULL), PGQ_NOT_FOUND);
        assert_ok(q, pgq_create_queue(q, "q", NULL, 0));
        t_run(f, f->sql, "LISTEN \"%s\"", t_ask(f, f->sql, "SELECT mq.channel('q')"));
        t_run(f, f->sql, "SELECT mq.doze('q')"); /* a sleeper, whom only his own namespace wakes */
        t_send(q, "q", "there");
        t_run(f, f->sql, "SELECT mq.awake('q')");
        PQconsumeInput(f->sql);
        assert_null(PQnotifies(f->sql));
        assert_status(f->q, pgq_pop(f->q, "q", 1, &m), PGQ_EMPTY);
        assert_ok(q, pgq_drop(q));
        pgq_close(q);
    }
}

/* A5: what an open scope held goes back. */
static int close_connection_of(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;

    (void)q, (void)m;
    t_kill(f, PQbackendPID(conn));
    return 0;
}

static void test_A5_close_returns_messages(void **state)
{
    fixture *f = *state;
    witness w = {0};
    pgq *q = t_open(f);

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "m");
    assert_status(q, pgq_dequeue(q, "q", close_connection_of, f), PGQ_CONNECTION);
    pgq_close(q);
    assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
    assert_int_equal(w.attempts, 2);
    assert_int_equal(w.errors, 1);
}

static void test_B1_install_again(void **state)
{
    fixture *f = *state;
    const char *before;
    int version = 0;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "kept");
    before = t_ask(f, f->sql,
                   "SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_proc WHERE pronamespace = "
                   "'\"%s\"'::regnamespace",
                   f->ns);
    for (int i = 0; i < 2; i++)
        assert_ok(f->q, pgq_install(f->q));
    assert_string_equal(before, t_ask(f, f->sql,
                                      "SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_proc WHERE "
                                      "pronamespace = '\"%s\"'::regnamespace",
                                      f->ns));
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 1);
    assert_ok(f->q, pgq_installed_version(f->q, &version));
    assert_int_equal(version, pgq_schema_version());
    assert_status(f->q, pgq_installed_version(f->q, NULL), PGQ_INVALID);
}

static void test_B1_two_at_once(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    assert_ok(f->q, pgq_drop(f->q));
    o.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &o, &q), PGQ_OK);
    t_run(f, f->sql, "BEGIN");
    assert_ok(q, pgq_install(q));
    t_run(f, pgq_connection(f->q), "SET lock_timeout = '100ms'");
    assert_status(f->q, pgq_install(f->q), PGQ_CONFLICT); /* it waited */
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
    t_run(f, f->sql, "COMMIT");
    assert_ok(f->q, pgq_install(f->q));
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    pgq_close(q);
}

static void test_B1_joins_the_transaction(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;
    int version;

    assert_ok(f->q, pgq_drop(f->q));
    o.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &o, &q), PGQ_OK);
    t_run(f, f->sql, "BEGIN");
    assert_ok(q, pgq_install(q));
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    t_run(f, f->sql, "ROLLBACK");
    assert_status(f->q, pgq_installed_version(f->q, &version), PGQ_NOT_INSTALLED);
    assert_status(f->q, pgq_drop(f->q), PGQ_NOT_INSTALLED);
    pgq_close(q);
}

static void test_B1_something_else(void **state)
{
    fixture *f = *state;

    assert_ok(f->q, pgq_drop(f->q));
    t_run(f, f->sql, "CREATE SCHEMA \"%s\"", f->ns);
    t_run(f, f->sql, "CREATE TABLE mq.precious (a int)");
    assert_status(f->q, pgq_install(f->q), PGQ_INVALID);
    assert_status(f->q, pgq_drop(f->q), PGQ_NOT_INSTALLED);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.precious"), 0);
}

static void test_B1_newer(void **state)
{
    fixture *f = *state;
    int version;

    t_run(f, f->sql, "INSERT INTO mq.migration (version, name) VALUES (1000, 'later')");
    assert_status(f->q, pgq_install(f->q), PGQ_VERSION);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "1000"));
    assert_ok(f->q, pgq_installed_version(f->q, &version));
    assert_int_equal(version, 1000);
}

static void test_B1_reset(void **state)
{
    fixture *f = *state;
    pgq_queue_list *list;

    assert_ok(f->q, pgq_set_auto_create(f->q, 1));
    t_send(f->q, "q", "x");
    assert_ok(f->q, pgq_reset(f->q));
    assert_ok(f->q, pgq_list_queues(f->q, NULL, &list));
    assert_int_equal(pgq_queue_list_count(list), 0);
    pgq_queue_list_free(list);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    t_send(f->q, "again", "x"); /* the setting stays */
}

/* A consumer's part is taken back; a monitor's is granted in its place, and taken back. */
static void looks_only(fixture *f, const char *role)
{
    PGconn *conn = pgq_connection(f->q);
    pgq_messages *m = NULL;
    pgq_stats_list *list;
    witness w = {0};

    assert_ok(f->q, pgq_revoke(f->q, role));
    t_send(f->q, "q", "seen");
    t_run(f, conn, "SET ROLE \"%s\"", role);
    assert_status(f->q, pgq_peek(f->q, "q", 1, &m), PGQ_PERMISSION);
    t_run(f, conn, "RESET ROLE");
    assert_status(f->q, pgq_grant_monitor(f->q, ""), PGQ_INVALID);
    assert_status(f->q, pgq_grant_monitor(f->q, "no such role"), PGQ_SERVER);
    assert_ok(f->q, pgq_grant_monitor(f->q, role));
    t_run(f, conn, "SET ROLE \"%s\"", role);
    assert_ok(f->q, pgq_peek(f->q, "q", 1, &m));
    pgq_messages_free(m);
    assert_ok(f->q, pgq_stats(f->q, "q", &list));
    assert_int_equal(pgq_stats_get(list, 0)->ready_estimate, 1);
    pgq_stats_free(list);
    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_PERMISSION);
    assert_status(f->q, pgq_enqueue(f->q, "q", "x", 1, NULL, NULL), PGQ_PERMISSION);
    assert_status(f->q, pgq_revoke(f->q, role), PGQ_PERMISSION);
    t_run(f, conn, "RESET ROLE");
    assert_ok(f->q, pgq_revoke(f->q, role));
    assert_status(f->q, pgq_revoke(f->q, role), PGQ_NOT_FOUND);
    assert_non_null(strstr(pgq_last_error(f->q)->message, role));
    assert_status(f->q, pgq_revoke(f->q, "no such role"), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_revoke(f->q, NULL), PGQ_INVALID);
}

/* Grants give each half what it needs and no more; seen by SET ROLE. */
static void test_grants(void **state)
{
    fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);
    pgq_messages *m = NULL;
    witness w = {0};
    char role[80];

    snprintf(role, sizeof role, "role of %s", f->ns);
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_run(f, f->sql, "CREATE ROLE \"%s\"", role);
    t_run(f, conn, "SET ROLE \"%s\"", role);
    assert_status(f->q, pgq_enqueue(f->q, "q", "x", 1, NULL, NULL), PGQ_PERMISSION);
    t_run(f, conn, "RESET ROLE");
    assert_status(f->q, pgq_grant_producer(f->q, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_grant_consumer(f->q, ""), PGQ_INVALID);
    assert_status(f->q, pgq_grant_producer(f->q, "no such role"), PGQ_SERVER);
    assert_ok(f->q, pgq_grant_producer(f->q, role));
    t_run(f, conn, "SET ROLE \"%s\"", role);
    t_send(f->q, "q", "mine");
    assert_status(f->q, pgq_pop(f->q, "q", 1, &m), PGQ_PERMISSION);
    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_PERMISSION);
    assert_int_equal(PQtransactionStatus(conn), PQTRANS_IDLE);
    assert_status(f->q, pgq_delete_queue(f->q, "q"), PGQ_PERMISSION);
    t_run(f, conn, "RESET ROLE");
    t_run(f, conn, "DROP OWNED BY \"%s\"", role);
    assert_ok(f->q, pgq_grant_consumer(f->q, role));
    t_run(f, conn, "SET ROLE \"%s\"", role);
    w.fail = "once";
    assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_FAILED);
    w.fail = NULL;
    assert_ok(f->q, pgq_listen(f->q, "q", 1000, t_witness, &w, NULL));
    assert_status(f->q, pgq_listen(f->q, "q", 60, t_witness, &w, NULL), PGQ_TIMEOUT);
    assert_status(f->q, pgq_enqueue(f->q, "q", "x", 1, NULL, NULL), PGQ_PERMISSION);
    assert_status(f->q, pgq_create_queue(f->q, "r", NULL, 0), PGQ_PERMISSION);
    t_run(f, conn, "RESET ROLE");
    looks_only(f, role);
    t_run(f, conn, "DROP ROLE \"%s\"", role);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_A1_conninfo_and_environment),
        DB_TEST(test_A4_apart),
        DB_TEST(test_A5_close_returns_messages),
        DB_TEST(test_A6_errors),
        DB_TEST(test_options),
        DB_TEST(test_B1_install_again),
        DB_TEST(test_B1_two_at_once),
        DB_TEST(test_B1_joins_the_transaction),
        DB_TEST(test_B1_something_else),
        DB_TEST(test_B1_newer),
        DB_TEST(test_B1_reset),
        DB_TEST(test_grants),
    };

    return RUN_WITH_SERVER(tests);
}
