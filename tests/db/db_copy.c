/* SPDX-License-Identifier: MIT */
/* Rows C3 and A3 for batches that go by COPY: what there is to see is as for any other batch. */
#include "enqueue.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { N = 300 };

static pgq_outgoing out[N];
static char texts[N][8];

/* Batches from two messages on are copied. mq.way tells how each came. */
static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_run(f, f->sql, "CREATE TABLE mq.way (n bigint GENERATED ALWAYS AS IDENTITY, copied boolean)");
    t_run(f, f->sql, "GRANT INSERT ON mq.way TO PUBLIC");
    t_run(f, f->sql,
          "CREATE FUNCTION mq.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
          " INSERT INTO mq.way (copied) VALUES (current_query() LIKE 'COPY %%'); RETURN NULL; END $$");
    t_run(f, f->sql, "CREATE TRIGGER note AFTER INSERT ON mq.message EXECUTE FUNCTION mq.note()");
    for (int i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "%d", i);
        out[i] = (pgq_outgoing){texts[i], strlen(texts[i]), NULL};
    }
    pgqi_copy_from(2, SIZE_MAX);
    return 0;
}

static int teardown(void **state)
{
    pgqi_copy_from(0, 0);
    return t_teardown(state);
}

static long stored(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.message");
}

/* Whether the last batch was copied. */
static int copied(const fixture *f)
{
    return t_ask(f, f->sql, "SELECT copied FROM mq.way ORDER BY n DESC LIMIT 1")[0] == 't';
}

/* A row trigger that does what it is told at the message in the middle. */
static void at_the_middle(const fixture *f, const char *what)
{
    t_run(f, f->sql,
          "CREATE OR REPLACE FUNCTION mq.middle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
          " IF NEW.payload = '%d' THEN %s; END IF; RETURN NEW; END $$",
          N / 2, what);
    t_run(f, f->sql,
          "CREATE OR REPLACE TRIGGER middle BEFORE INSERT ON mq.message FOR EACH ROW"
          " EXECUTE FUNCTION mq.middle()");
}

static pgq *attach(const fixture *f, PGconn *conn)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    o.name_space = f->ns;
    assert_int_equal(pgq_attach(conn, &o, &q), PGQ_OK);
    return q;
}

/* --- the same as without --- */

/* Payloads of every kind and size, more than once as long as what goes at once. */
static size_t odd_ones(pgq_outgoing *messages)
{
    static char big[200000];
    static pgq_enqueue_options text = PGQ_ENQUEUE_OPTIONS_INIT;
    size_t n = 0;

    text.kind = PGQ_TEXT;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7 + i / 251);
    messages[n++] = (pgq_outgoing){NULL, 0, NULL};
    messages[n++] = (pgq_outgoing){"", 0, &text};
    messages[n++] = (pgq_outgoing){"\0", 1, NULL};
    messages[n++] = (pgq_outgoing){"a\0b\n\\N\t\xff\xff", 10, NULL};
    messages[n++] = (pgq_outgoing){"\xc3\xa9\xe2\x82\xac", 5, &text};
    messages[n++] = (pgq_outgoing){big, sizeof big, NULL};
    messages[n++] = (pgq_outgoing){big, 1, NULL};
    /* A row, and a payload in it, ends at each byte about the end of a piece. */
    for (size_t i = 0; i < 100; i++)
        messages[n++] = (pgq_outgoing){big, 65400 + i, NULL};
    for (size_t i = 0; n < N; i++)
        messages[n++] = (pgq_outgoing){big + i, i * 13, NULL};
    return n;
}

static void rows_as(const fixture *f, const pgq_outgoing *messages, size_t n, char rows[64])
{
    pgq_status results[N];
    int64_t ids[N];

    t_run(f, f->sql, "DELETE FROM mq.message");
    memset(results, 0x55, sizeof results);
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", messages, n, 0, ids, results));
    for (size_t i = 0; i < n; i++)
        assert_true(results[i] == PGQ_OK && ids[i] == ids[0] + (int64_t)i);
    assert_int_equal(t_number(f, f->sql,
                              "SELECT count(*) FROM mq.message WHERE id = position AND id BETWEEN %lld AND "
                              "%lld AND sent BETWEEN now() - interval '1 min' AND now()",
                              (long long)ids[0], (long long)ids[n - 1]),
                     n);
    assert_int_equal(t_number(f, f->sql, "SELECT count(DISTINCT sent) FROM mq.message"), 1);
    snprintf(
        rows, 64, "%s",
        t_ask(f, f->sql,
              "SELECT md5(string_agg((to_jsonb(m) - '{id,position,sent}'::text[])::text, '' ORDER BY id))"
              " FROM mq.message m"));
}

static void test_same_rows(void **state)
{
    const fixture *f = *state;
    pgq_outgoing messages[N];
    size_t n = odd_ones(messages);
    char before[64], after[64];
    pgq_messages *m;

    t_run(f, f->sql, "SELECT mq.set_queue('q', max_size => -1, priority => 7)");
    pgqi_copy_from(N + 1, SIZE_MAX);
    rows_as(f, messages, n, before);
    assert_false(copied(f));
    pgqi_copy_from(N, SIZE_MAX);
    rows_as(f, messages, n, after);
    assert_true(copied(f));
    assert_string_equal(before, after);
    assert_int_equal(t_number(f, f->sql, "SELECT sent_total FROM mq.stats('q')"), 2 * n);
    for (size_t i = 0; i < n; i++) {
        assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
        assert_int_equal(pgq_messages_get(m, 0)->payload_len, messages[i].len);
        if (messages[i].len > 0)
            assert_memory_equal(pgq_messages_get(m, 0)->payload, messages[i].payload, messages[i].len);
        pgq_messages_free(m);
    }
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
}

static void test_from_what_size_on(void **state)
{
    static pgq_outgoing many[PGQI_COPY_MESSAGES];
    static char big[PGQI_COPY_BYTES];
    const fixture *f = *state;

    for (size_t i = 0; i < PGQI_COPY_MESSAGES; i++)
        many[i] = (pgq_outgoing){"m", 1, NULL};
    pgqi_copy_from(0, 0);
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", many, PGQI_COPY_MESSAGES - 1, 0, NULL, NULL));
    assert_false(copied(f));
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", many, PGQI_COPY_MESSAGES, 0, NULL, NULL));
    assert_true(copied(f));
    assert_int_equal(stored(f), 2 * PGQI_COPY_MESSAGES - 1);
    t_run(f, f->sql, "SELECT mq.set_queue('q', max_size => -1)");
    many[0] = (pgq_outgoing){big, PGQI_COPY_BYTES - 2, NULL};
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", many, 2, 0, NULL, NULL));
    assert_false(copied(f));
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", many, 3, 0, NULL, NULL));
    assert_true(copied(f));
}

/* The statement comes from the server as a text. */
static void test_quoted_namespace(void **state)
{
    const fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_counts c;
    char name[64];
    pgq *q;

    snprintf(name, sizeof name, "%.40s '\"\\ x", f->ns);
    o.name_space = name;
    assert_ok(q, pgq_open(t_dsn(), &o, &q));
    assert_ok(q, pgq_install(q));
    assert_ok(q, pgq_create_queue(q, "q", NULL, 0));
    assert_ok(q, pgq_enqueue_many(q, "q", out, N, 0, NULL, NULL));
    assert_ok(q, pgq_count(q, "q", &c));
    assert_int_equal(c.ready, N);
    assert_ok(q, pgq_drop(q));
    pgq_close(q);
}

static void rings(const fixture *f)
{
    const int64_t until = t_now_us() + 10000000;
    PGnotify *note = NULL;

    while (!note && t_now_us() < until) {
        assert_int_equal(PQconsumeInput(f->sql), 1);
        note = PQnotifies(f->sql);
        t_pause_ms(1);
    }
    assert_non_null(note);
    PQfreemem(note);
}

/* It is woken when the rows can be seen; whoever wants to sleep before that is told of them. */
static void test_doorbell(void **state)
{
    const fixture *f = *state;
    PGconn *third = t_connect();

    for (int joined = 0; joined < 2; joined++) {
        t_run(f, f->sql, "SELECT mq.reset()");
        assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
        t_run(f, f->sql, "LISTEN \"%s\"", t_ask(f, f->sql, "SELECT mq.channel('q')"));
        t_run(f, f->sql, "SELECT mq.doze('q')");
        if (joined)
            t_run(f, pgq_connection(f->q), "BEGIN");
        assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL));
        if (joined) {
            assert_string_equal(t_ask(f, third, "SELECT producing FROM mq.doze('q')"), "t");
            assert_null(PQnotifies(f->sql));
            t_run(f, pgq_connection(f->q), "COMMIT");
        }
        rings(f);
        assert_string_equal(t_ask(f, third, "SELECT producing FROM mq.doze('q', true)"), "f");
        t_run(f, f->sql, "UNLISTEN *; SELECT pg_advisory_unlock_all()");
        t_run(f, third, "SELECT pg_advisory_unlock_all()");
    }
    PQfinish(third);
}

/* --- what is not for it --- */

static void test_not_plain(void **state)
{
    pgq_enqueue_options o[] = {PGQ_ENQUEUE_OPTIONS_INIT, PGQ_ENQUEUE_OPTIONS_INIT, PGQ_ENQUEUE_OPTIONS_INIT,
                               PGQ_ENQUEUE_OPTIONS_INIT, PGQ_ENQUEUE_OPTIONS_INIT};
    const fixture *f = *state;
    pgq_outgoing three[] = {{"1", 1, NULL}, {"2", 1, NULL}, {"3", 1, NULL}};

    o[0].kind = PGQ_JSON;
    o[1].priority = 3;
    o[2].headers = "{}";
    o[3].order_key = "k";
    o[4].dedup_key = "k";
    for (size_t i = 0; i < COUNT_OF(o); i++) {
        three[1].options = &o[i];
        assert_ok(f->q, pgq_enqueue_many(f->q, "q", three, 3, 0, NULL, NULL));
        assert_false(copied(f));
        assert_int_equal(stored(f), 3 * (i + 1));
    }
    three[1] = (pgq_outgoing){"{", 1, &o[0]};
    assert_status(f->q, pgq_enqueue_many(f->q, "q", three, 3, 0, NULL, NULL), PGQ_INVALID);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "message 2 of 3"));
}

/* A queue that wants something of its messages, or a transaction that sees nothing new. */
static void test_not_simple(void **state)
{
    static const char *const sets[] = {
        "SELECT mq.set_queue('q', delay => 600)",
        "SELECT mq.set_queue('q', delay => 0, ttl => 600)",
    };
    const fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);

    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        t_run(f, f->sql, "%s", sets[i]);
        assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL));
        assert_false(copied(f));
    }
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE due IS NOT NULL"), N);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE expires IS NOT NULL"), N);
    t_run(f, f->sql, "SELECT mq.set_queue('q', ttl => -1)");
    t_run(f, conn, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL));
    t_run(f, conn, "COMMIT");
    assert_false(copied(f));
    assert_ok(f->q, pgq_pause_queue(f->q, "q")); /* nobody is kept from sending to it */
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL));
    assert_true(copied(f));
    assert_int_equal(stored(f), 4 * N);
}

/* Refused as ever, also in a transaction, which stays what it was. */
static void test_refused(void **state)
{
    const fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);

    t_run(f, f->sql, "SELECT mq.set_queue('q', max_size => 3)");
    out[200] = (pgq_outgoing){"four", 4, NULL};
    for (int joined = 0; joined < 2; joined++) {
        if (joined)
            t_run(f, conn, "BEGIN");
        assert_status(f->q, pgq_enqueue_many(f->q, "none", out, N, 0, NULL, NULL), PGQ_NOT_FOUND);
        assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_TOO_LONG);
        assert_non_null(strstr(pgq_last_error(f->q)->message, "message 201 of 300"));
        assert_int_equal(pgq_last_error(f->q)->needs_rollback, 0);
        assert_int_equal(PQtransactionStatus(conn), joined ? PQTRANS_INTRANS : PQTRANS_IDLE);
        if (joined)
            t_run(f, conn, "COMMIT");
        assert_int_equal(stored(f), 0);
    }
    out[200].len = 3;
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL));
    assert_true(copied(f));
    assert_ok(f->q, pgq_enqueue_many(f->q, "made", out, N, 1, NULL, NULL));
    assert_int_equal(stored(f), 2 * N);
    t_run(f, conn, "SET default_transaction_read_only = on");
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_SERVER);
    assert_string_equal(pgq_last_error(f->q)->sqlstate, "25006");
    assert_int_equal(PQtransactionStatus(conn), PQTRANS_IDLE);
}

/* A producer's grants are enough; where row security would have it refused, it is not tried. */
static void test_roles(void **state)
{
    const fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);
    char role[80];

    snprintf(role, sizeof role, "%s_r", f->ns);
    t_run(f, f->sql, "CREATE ROLE \"%s\"", role);
    t_run(f, conn, "SET ROLE \"%s\"", role);
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_PERMISSION);
    assert_int_equal(PQtransactionStatus(conn), PQTRANS_IDLE);
    t_run(f, f->sql, "SELECT mq.grant_producer('%s')", role);
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL));
    assert_true(copied(f));
    t_run(f, f->sql, "ALTER TABLE mq.message ENABLE ROW LEVEL SECURITY");
    t_run(f, f->sql, "CREATE POLICY all_of_it ON mq.message USING (true)");
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL));
    assert_false(copied(f));
    assert_int_equal(stored(f), 2 * N);
    t_run(f, conn, "RESET ROLE");
    t_run(f, f->sql, "DROP OWNED BY \"%s\"", role);
    t_run(f, f->sql, "SELECT mq.grant_consumer('%s')", role);
    assert_string_equal(t_ask(f, f->sql,
                              "SELECT has_function_privilege('%s', p.oid, 'EXECUTE') FROM pg_proc p"
                              " WHERE p.oid = 'mq._enqueue_copy'::regproc",
                              role),
                        "f");
    t_run(f, f->sql, "DROP OWNED BY \"%s\"; DROP ROLE \"%s\"", role, role);
}

/* --- transactions --- */

static void test_in_a_transaction(void **state)
{
    const fixture *f = *state;
    PGconn *conn = t_connect();
    pgq *q = attach(f, conn);

    assert_ok(q, pgq_enqueue_many(q, "q", out, N, 0, NULL, NULL));
    assert_int_equal(PQtransactionStatus(conn), PQTRANS_IDLE);
    assert_int_equal(stored(f), N);
    t_run(f, conn, "BEGIN");
    assert_ok(q, pgq_enqueue_many(q, "q", out, N, 0, NULL, NULL));
    assert_int_equal(stored(f), N);
    t_run(f, conn, "ROLLBACK");
    assert_int_equal(stored(f), N);
    t_run(f, conn, "BEGIN; SAVEPOINT mine");
    assert_ok(q, pgq_enqueue_many(q, "q", out, N, 0, NULL, NULL));
    t_run(f, conn, "ROLLBACK TO mine");
    assert_ok(q, pgq_enqueue_many(q, "q", out, N, 0, NULL, NULL));
    assert_ok(q, pgq_enqueue_many(q, "q", out, N, 0, NULL, NULL));
    t_run(f, conn, "RELEASE mine; COMMIT");
    assert_true(copied(f));
    assert_int_equal(stored(f), 3 * N);
    pgq_close(q);
    PQfinish(conn);
}

static long most_memory(void)
{
    struct rusage use;

    assert_int_equal(getrusage(RUSAGE_SELF, &use), 0);
    return use.ru_maxrss;
}

/* 60 MB pass through little memory, also on a connection of the caller's that does not block, and is left
 * so. */
static void test_memory(void **state)
{
    static char big[200000];
    static pgq_outgoing many[N];
    const fixture *f = *state;
    PGconn *conn = t_connect();
    pgq *q = attach(f, conn);

    t_run(f, f->sql, "SELECT mq.set_queue('q', max_size => -1)");
    for (int i = 0; i < N; i++)
        many[i] = (pgq_outgoing){big, sizeof big, NULL};
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        long before = most_memory();

        assert_int_equal(PQsetnonblocking(conn, nonblocking), 0);
        assert_ok(q, pgq_enqueue_many(q, "q", many, N, 0, NULL, NULL));
        assert_in_range(most_memory() - before, 0, 5000);
        assert_true(copied(f));
        assert_int_equal(PQisnonblocking(conn), nonblocking);
    }
    at_the_middle(f, "RAISE 'no'");
    many[3] =
        (pgq_outgoing){texts[N / 2], strlen(texts[N / 2]), NULL}; /* which is told when most is not sent */
    assert_status(q, pgq_enqueue_many(q, "q", many, N, 0, NULL, NULL), PGQ_SERVER);
    assert_string_equal(pgq_last_error(q)->message, "no");
    assert_int_equal(stored(f), 2 * N);
    pgq_close(q);
    PQfinish(conn);
}

typedef struct sender {
    const fixture *f;
    int rc;
} sender;

static int sends(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const sender *s = arg;

    (void)m;
    assert_status(q, pgq_enqueue_many(q, "q", out, N, 0, NULL, NULL), s->rc == 2 ? PGQ_SERVER : PGQ_OK);
    assert_int_equal(PQtransactionStatus(conn), PQTRANS_INTRANS);
    return s->rc == 1;
}

static void test_in_a_scope(void **state)
{
    const fixture *f = *state;

    t_run(f, f->sql, "SELECT mq.create_queue('in')");
    for (int rc = 0; rc < 3; rc++) {
        sender s = {f, rc};

        t_run(f, f->sql, "DELETE FROM mq.message");
        t_send(f->q, "in", "m");
        if (rc == 2)
            at_the_middle(f, "RAISE 'no'");
        assert_status(f->q, pgq_dequeue(f->q, "in", sends, &s), rc == 1 ? PGQ_FAILED : PGQ_OK);
        assert_int_equal(stored(f), rc == 0 ? N : rc == 1);
    }
}

/* --- failure in the middle --- */

static void test_server_error(void **state)
{
    static const struct {
        const char *what, *state;
    } cases[] = {
        {"RAISE 'no' USING ERRCODE = 'disk_full'", "53100"},
        {"PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(60)", "57014"},
    };
    const fixture *f = *state;
    PGconn *conn = t_connect();
    pgq *q = attach(f, conn);

    t_run(f, f->sql, "CREATE TABLE mq.work (v text)");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        at_the_middle(f, cases[i].what);
        assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_SERVER);
        assert_string_equal(pgq_last_error(f->q)->sqlstate, cases[i].state);
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
        t_run(f, conn, "BEGIN; INSERT INTO mq.work VALUES ('before')");
        assert_status(q, pgq_enqueue_many(q, "q", out, N, 0, NULL, NULL), PGQ_SERVER);
        assert_string_equal(pgq_last_error(q)->sqlstate, cases[i].state);
        assert_int_equal(pgq_last_error(q)->needs_rollback, 0);
        assert_int_equal(PQtransactionStatus(conn), PQTRANS_INTRANS);
        assert_ok(q, pgq_enqueue_many(q, "q", out, N / 2, 0, NULL, NULL)); /* which that one is not in */
        t_run(f, conn, "INSERT INTO mq.work VALUES ('after'); COMMIT");
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.work"), 2 * (i + 1));
        assert_int_equal(stored(f), (N / 2) * (i + 1));
    }
    pgq_close(q);
    PQfinish(conn);
}

/* What is checked at the end only. */
static void test_commit_fails(void **state)
{
    const fixture *f = *state;

    at_the_middle(f, "NULL");
    t_run(f, f->sql,
          "CREATE FUNCTION mq.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'late'; END $$");
    t_run(f, f->sql,
          "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON mq.message DEFERRABLE INITIALLY DEFERRED"
          " FOR EACH ROW WHEN (NEW.payload = '%d') EXECUTE FUNCTION mq.late()",
          N / 2);
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_SERVER);
    assert_string_equal(pgq_last_error(f->q)->message, "late");
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
    assert_int_equal(stored(f), 0);
}

static void test_backend_dies(void **state)
{
    const fixture *f = *state;

    at_the_middle(f, "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60)");
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_CONNECTION);
    assert_int_equal(pgq_last_error(f->q)->connection_dead, 1);
    assert_int_equal(stored(f), 0);
    at_the_middle(f, "NULL");
    assert_ok(f->q, pgq_reconnect(f->q));
    assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL));
    assert_int_equal(stored(f), N);
}

/* Functions that are not the library's. */
static void test_other_version(void **state)
{
    static const char *const answers[] = {"SELECT 'COPY mq.way FROM STDIN', ''::bytea, '{1,2}'::bigint[]",
                                          "SELECT 'SELECT 1', ''::bytea, array_fill(1::bigint, '{300}')"};
    const fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        t_run(f, f->sql,
              "CREATE OR REPLACE FUNCTION mq._enqueue_copy(queue text, count integer, longest integer, kind "
              "smallint, OUT statement text, OUT head bytea, OUT ids bigint[]) LANGUAGE sql AS $$ %s $$",
              answers[i]);
        assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL),
                      i == 0 ? PGQ_VERSION : PGQ_SERVER);
        assert_true(strlen(pgq_last_error(f->q)->message) > 0);
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
    }
    t_run(f, f->sql, "DROP FUNCTION mq._enqueue_copy");
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, N, 0, NULL, NULL), PGQ_VERSION);
    assert_int_equal(stored(f), 0);
}

#define COPY_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COPY_TEST(test_same_rows),        COPY_TEST(test_from_what_size_on),
        COPY_TEST(test_quoted_namespace), COPY_TEST(test_doorbell),
        COPY_TEST(test_not_plain),        COPY_TEST(test_not_simple),
        COPY_TEST(test_refused),          COPY_TEST(test_roles),
        COPY_TEST(test_in_a_transaction), COPY_TEST(test_memory),
        COPY_TEST(test_in_a_scope),       COPY_TEST(test_server_error),
        COPY_TEST(test_commit_fails),     COPY_TEST(test_backend_dies),
        COPY_TEST(test_other_version),
    };

    return RUN_WITH_SERVER(tests);
}
