/* SPDX-License-Identifier: MIT */
/* What every call says to a NULL handle, to a bad name, to a queue that is not there, to a lost
 * connection, and without a namespace. */
#include "support/support.h"

#include <pgq/json.h>
#include <string.h>

typedef pgq_status (*call)(pgq *q, const char *queue);

/* What an out argument points to before the call. */
static int64_t garbage;

static int never(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)conn, (void)m, (void)arg;
    fail_msg("the handler ran");
    return 0;
}

static pgq_status enqueue(pgq *q, const char *queue)
{
    int64_t id = 42;
    pgq_status status = pgq_enqueue(q, queue, "x", 1, NULL, &id);

    assert_true(status == PGQ_OK || id == 42);
    return status;
}

static pgq_status enqueue_many(pgq *q, const char *queue)
{
    const pgq_outgoing one = {"x", 1, NULL};

    return pgq_enqueue_many(q, queue, &one, 1, 0, NULL, NULL);
}

static pgq_status enqueue_json(pgq *q, const char *queue)
{
    return pgq_enqueue_json(q, queue, NULL, NULL, NULL);
}

static pgq_status dequeue(pgq *q, const char *queue)
{
    return pgq_dequeue(q, queue, never, NULL);
}

static int never_many(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    (void)messages;
    return never(q, conn, NULL, arg);
}

static pgq_status dequeue_many(pgq *q, const char *queue)
{
    return pgq_dequeue_many(q, queue, 10, never_many, NULL, NULL);
}

static pgq_status listen(pgq *q, const char *queue)
{
    return pgq_listen(q, queue, 0, never, NULL, NULL);
}

static pgq_status pop(pgq *q, const char *queue)
{
    pgq_messages *out = (pgq_messages *)&garbage;
    pgq_status status = pgq_pop(q, queue, 1, &out);

    assert_true(status == PGQ_OK || !out);
    return status;
}

static pgq_status peek(pgq *q, const char *queue)
{
    pgq_messages *out = (pgq_messages *)&garbage;
    pgq_status status = pgq_peek(q, queue, 1, &out);

    assert_true(status == PGQ_OK || !out);
    return status;
}

static pgq_status list(pgq *q, const char *queue)
{
    pgq_messages *out = (pgq_messages *)&garbage;
    pgq_status status = pgq_list(q, queue, PGQ_STATE_DEAD, 1, 0, &out);

    assert_true(status == PGQ_OK || !out);
    return status;
}

static pgq_status count(pgq *q, const char *queue)
{
    pgq_counts c;

    return pgq_count(q, queue, &c);
}

static pgq_status requeue_dead(pgq *q, const char *queue)
{
    return pgq_requeue_dead(q, queue, NULL, 0, NULL, NULL);
}

static pgq_status purge_dead(pgq *q, const char *queue)
{
    const int64_t id = 1;

    return pgq_purge_dead(q, queue, &id, 1, NULL);
}

static pgq_status create(pgq *q, const char *queue)
{
    return pgq_create_queue(q, queue, NULL, 0);
}

static pgq_status set_queue(pgq *q, const char *queue)
{
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;

    a.lease_ms = 1;
    return pgq_set_queue(q, queue, &a, 0);
}

static pgq_status purge(pgq *q, const char *queue)
{
    return pgq_purge(q, queue, NULL, NULL);
}

/* In these three a queue of NULL is all of them, and no bad name. */
static pgq_status clean(pgq *q, const char *queue)
{
    return pgq_clean(q, queue ? queue : "", NULL);
}

static pgq_status list_queue(pgq *q, const char *queue)
{
    pgq_queue_list *out = (pgq_queue_list *)&garbage;
    pgq_status status = pgq_list_queues(q, queue ? queue : "", &out);

    assert_true(status == PGQ_OK || !out);
    pgq_queue_list_free(out);
    return status;
}

static pgq_status stats(pgq *q, const char *queue)
{
    pgq_stats_list *out = (pgq_stats_list *)&garbage;
    pgq_status status = pgq_stats(q, queue ? queue : "", &out);

    assert_true(status == PGQ_OK || !out);
    pgq_stats_free(out);
    return status;
}

static pgq_status consumers(pgq *q, const char *queue)
{
    pgq_consumer_list *out = (pgq_consumer_list *)&garbage;
    pgq_status status = pgq_consumers(q, queue ? queue : "", 10, &out);

    assert_true(status == PGQ_OK || !out);
    pgq_consumers_free(out);
    return status;
}

static pgq_status receive(pgq *q, const char *queue)
{
    pgq_messages *out = (pgq_messages *)&garbage;
    pgq_status status = pgq_receive(q, queue, 1, NULL, &out);

    assert_true(status == PGQ_OK || !out);
    return status;
}

static pgq_status ack_receive(pgq *q, const char *queue)
{
    const pgq_receipt unknown = {999999, 1};
    pgq_messages *out = (pgq_messages *)&garbage;
    pgq_status status = pgq_ack_receive(q, &unknown, 1, NULL, NULL, queue, 1, NULL, &out);

    assert_true(status == PGQ_OK || !out);
    return status;
}

static pgq_status receive_with(pgq *q, const char *queue)
{
    return pgq_receive_with(q, queue, never, NULL, NULL);
}

static pgq_status requeue_to(pgq *q, const char *queue)
{
    return pgq_requeue_dead(q, queue, NULL, 0, queue, NULL);
}

static const pgq_receipt unknown_receipt = {999999, 1};

static pgq_status ack(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_ack(q, &unknown_receipt, 1, NULL, NULL);
}

static pgq_status nack(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_nack(q, &unknown_receipt, 1, NULL, NULL, NULL);
}

static pgq_status extend(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_extend(q, &unknown_receipt, 1, 1000, NULL, NULL);
}

static pgq_status release(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_release(q, &unknown_receipt, 1, NULL, NULL);
}

static pgq_status receive_id(pgq *q, const char *queue)
{
    pgq_messages *out = (pgq_messages *)&garbage;
    pgq_status status = pgq_receive_id(q, 999999, PGQ_UNSET, &out);

    (void)queue;
    assert_true(status == PGQ_OK || !out);
    return status;
}

static pgq_status reschedule(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_reschedule(q, 999999, 0);
}

static pgq_status set_defaults(pgq *q, const char *queue)
{
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;

    (void)queue;
    a.lease_ms = 1;
    return pgq_set_defaults(q, &a, 0);
}

static pgq_status stats_of_all(pgq *q, const char *queue)
{
    pgq_stats_list *out = (pgq_stats_list *)&garbage;
    pgq_status status = pgq_stats(q, NULL, &out);

    (void)queue;
    assert_true(status == PGQ_OK || !out);
    pgq_stats_free(out);
    return status;
}

static pgq_status doctor(pgq *q, const char *queue)
{
    pgq_findings *out = (pgq_findings *)&garbage;
    pgq_status status = pgq_doctor(q, NULL, &out);

    (void)queue;
    assert_true(status == PGQ_OK || !out);
    pgq_findings_free(out);
    return status;
}

static pgq_status clean_all(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_clean(q, NULL, NULL);
}

static pgq_status get(pgq *q, const char *queue)
{
    pgq_messages *out;
    pgq_status status = pgq_get(q, 999999, &out);

    (void)queue;
    assert_null(out);
    return status;
}

static pgq_status cancel(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_cancel(q, 999999);
}

static pgq_status list_queues(pgq *q, const char *queue)
{
    pgq_queue_list *out = (pgq_queue_list *)&garbage;
    pgq_status status = pgq_list_queues(q, NULL, &out);

    (void)queue;
    assert_true(status == PGQ_OK || !out);
    pgq_queue_list_free(out);
    return status;
}

static pgq_status install(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_install(q);
}

static pgq_status drop(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_drop(q);
}

static pgq_status reset(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_reset(q);
}

static pgq_status installed_version(pgq *q, const char *queue)
{
    int version;

    (void)queue;
    return pgq_installed_version(q, &version);
}

static pgq_status set_auto_create(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_set_auto_create(q, 0);
}

static pgq_status grant_producer(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_grant_producer(q, "nobody");
}

static pgq_status grant_consumer(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_grant_consumer(q, "nobody");
}

static pgq_status grant_monitor(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_grant_monitor(q, "nobody");
}

static pgq_status revoke(pgq *q, const char *queue)
{
    (void)queue;
    return pgq_revoke(q, "nobody");
}

/* The calls that name a queue come first. */
static const struct {
    const char *name;
    call call;
    int names_queue;
    pgq_status unknown; /* what it says of a queue that is not there */
} calls[] = {
    {"enqueue", enqueue, 1, PGQ_NOT_FOUND},
    {"enqueue_many", enqueue_many, 1, PGQ_NOT_FOUND},
    {"enqueue_json", enqueue_json, 1, PGQ_NOT_FOUND},
    {"dequeue", dequeue, 1, PGQ_NOT_FOUND},
    {"dequeue_many", dequeue_many, 1, PGQ_NOT_FOUND},
    {"listen", listen, 1, PGQ_NOT_FOUND},
    {"pop", pop, 1, PGQ_NOT_FOUND},
    {"peek", peek, 1, PGQ_NOT_FOUND},
    {"list", list, 1, PGQ_NOT_FOUND},
    {"count", count, 1, PGQ_NOT_FOUND},
    {"requeue_dead", requeue_dead, 1, PGQ_NOT_FOUND},
    {"purge_dead", purge_dead, 1, PGQ_NOT_FOUND},
    {"delete_queue", pgq_delete_queue, 1, PGQ_NOT_FOUND},
    {"set_queue", set_queue, 1, PGQ_NOT_FOUND},
    {"pause_queue", pgq_pause_queue, 1, PGQ_NOT_FOUND},
    {"resume_queue", pgq_resume_queue, 1, PGQ_NOT_FOUND},
    {"purge", purge, 1, PGQ_NOT_FOUND},
    {"clean", clean, 1, PGQ_NOT_FOUND},
    {"list_queues of one", list_queue, 1, PGQ_NOT_FOUND},
    {"stats", stats, 1, PGQ_NOT_FOUND},
    {"consumers", consumers, 1, PGQ_NOT_FOUND},
    {"receive", receive, 1, PGQ_NOT_FOUND},
    {"ack_receive", ack_receive, 1, PGQ_NOT_FOUND},
    {"receive_with", receive_with, 1, PGQ_NOT_FOUND},
    {"requeue_dead to another", requeue_to, 1, PGQ_NOT_FOUND},
    {"create_queue", create, 1, PGQ_OK},
    {"ack", ack, 0, PGQ_EMPTY},
    {"nack", nack, 0, PGQ_NOT_FOUND},
    {"extend", extend, 0, PGQ_NOT_FOUND},
    {"release", release, 0, PGQ_NOT_FOUND},
    {"receive_id", receive_id, 0, PGQ_NOT_FOUND},
    {"reschedule", reschedule, 0, PGQ_NOT_FOUND},
    {"set_defaults", set_defaults, 0, PGQ_OK},
    {"stats of all", stats_of_all, 0, PGQ_OK},
    {"doctor", doctor, 0, PGQ_OK},
    {"clean all", clean_all, 0, PGQ_OK},
    {"get", get, 0, PGQ_NOT_FOUND},
    {"cancel", cancel, 0, PGQ_NOT_FOUND},
    {"list_queues", list_queues, 0, PGQ_OK},
    {"reset", reset, 0, PGQ_OK},
    {"installed_version", installed_version, 0, PGQ_OK},
    {"set_auto_create", set_auto_create, 0, PGQ_OK},
    {"grant_producer", grant_producer, 0, PGQ_SERVER},
    {"grant_consumer", grant_consumer, 0, PGQ_SERVER},
    {"grant_monitor", grant_monitor, 0, PGQ_SERVER},
    {"revoke", revoke, 0, PGQ_NOT_FOUND},
    {"drop", drop, 0, PGQ_OK},
    {"install", install, 0, PGQ_OK},
};

static void wants(const pgq *q, size_t i, pgq_status got, pgq_status wanted, const char *when)
{
    if (got != wanted)
        fail_msg("%s %s: %s in the place of %s: %s", calls[i].name, when, pgq_status_name(got),
                 pgq_status_name(wanted), pgq_last_error(q)->message);
    assert_int_equal(pgq_last_error(q)->status, q ? wanted : PGQ_INVALID);
    if (wanted < 0)
        assert_true(pgq_last_error(q)->message[0] != '\0');
}

static void test_null_handle(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        wants(NULL, i, calls[i].call(NULL, "q"), PGQ_INVALID, "of NULL");
    assert_int_equal(pgq_reconnect(NULL), PGQ_INVALID);
    assert_null(pgq_connection(NULL));
    assert_string_equal(pgq_namespace(NULL), "");
    assert_string_equal(pgq_last_error(NULL)->message, "the handle is NULL");
    assert_int_equal(pgq_fail(NULL, "x"), 1);
    pgq_close(NULL);
    pgq_messages_free(NULL);
    pgq_queue_list_free(NULL);
    assert_int_equal(pgq_messages_count(NULL), 0);
    assert_null(pgq_messages_get(NULL, 0));
    assert_int_equal(pgq_queue_list_count(NULL), 0);
    assert_null(pgq_queue_list_get(NULL, 0));
}

/* B10: no bad name reaches the server. */
static void test_B10_bad_names(void **state)
{
    static const char *const bad[] = {NULL, "", " a", "a ", "a\nb", "\x7f", "a\xc2\x85", "\xff", "\xc3"};
    char longest[162];
    fixture *f = *state;
    const char *before;

    memset(longest, 'x', 161);
    longest[161] = '\0';
    before = t_ask(f, f->sql, "SELECT query_start FROM pg_stat_activity WHERE pid = %d",
                   PQbackendPID(pgq_connection(f->q)));
    for (size_t i = 0; i < COUNT_OF(calls) && calls[i].names_queue; i++) {
        for (size_t n = 0; n < COUNT_OF(bad); n++)
            wants(f->q, i, calls[i].call(f->q, bad[n]), PGQ_INVALID, "of a bad name");
        wants(f->q, i, calls[i].call(f->q, longest), PGQ_INVALID, "of a long name");
    }
    assert_string_equal(before, t_ask(f, f->sql, "SELECT query_start FROM pg_stat_activity WHERE pid = %d",
                                      PQbackendPID(pgq_connection(f->q))));
}

static void test_unknown_queue(void **state)
{
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(calls); i++)
        wants(f->q, i, calls[i].call(f->q, "unknown"), calls[i].unknown, "of what is not there");
}

/* In the caller's transaction a refusal leaves it usable. */
static void test_transaction_survives(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    o.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &o, &q), PGQ_OK);
    t_run(f, f->sql, "BEGIN");
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        if (calls[i].unknown != PGQ_NOT_FOUND || calls[i].call == listen || calls[i].call == receive_with)
            continue;
        wants(q, i, calls[i].call(q, "unknown"), PGQ_NOT_FOUND, "in a transaction");
        if (calls[i].names_queue)
            wants(q, i, calls[i].call(q, " bad"), PGQ_INVALID, "in a transaction");
        assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    }
    t_run(f, f->sql, "COMMIT");
    pgq_close(q);
}

static void test_failed_transaction(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    o.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &o, &q), PGQ_OK);
    t_run(f, f->sql, "BEGIN");
    assert_string_equal(t_sqlstate(f, f->sql, "SELECT 1/0"), "22012");
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        wants(q, i, calls[i].call(q, "unknown"), PGQ_ABORTED, "in a failed transaction");
        assert_int_equal(pgq_last_error(q)->needs_rollback, 1);
    }
    t_run(f, f->sql, "ROLLBACK");
    assert_ok(q, pgq_create_queue(q, "after", NULL, 0));
    pgq_close(q);
}

static void test_pipeline_and_busy(void **state)
{
    fixture *f = *state;
    PGconn *conn = pgq_connection(f->q);
    PGresult *res;

    assert_int_equal(PQenterPipelineMode(conn), 1);
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        wants(f->q, i, calls[i].call(f->q, "q"), PGQ_STATE, "in pipeline mode");
    assert_int_equal(PQexitPipelineMode(conn), 1);
    assert_int_equal(PQsendQuery(conn, "SELECT pg_sleep(0.05)"), 1);
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        wants(f->q, i, calls[i].call(f->q, "q"), PGQ_STATE, "while a command runs");
    while ((res = PQgetResult(conn)))
        PQclear(res);
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
}

static void test_encoding(void **state)
{
    fixture *f = *state;

    PQsetClientEncoding(pgq_connection(f->q), "LATIN1");
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        wants(f->q, i, calls[i].call(f->q, "q"), PGQ_STATE, "in LATIN1");
    PQsetClientEncoding(pgq_connection(f->q), "UTF8");
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
}

static void test_lost_connection(void **state)
{
    fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        t_kill(f, PQbackendPID(pgq_connection(f->q)));
        wants(f->q, i, calls[i].call(f->q, "q"), PGQ_CONNECTION, "after the backend was ended");
        assert_true(pgq_last_error(f->q)->connection_dead && pgq_last_error(f->q)->retryable);
        wants(f->q, i, calls[i].call(f->q, "q"), PGQ_CONNECTION, "again");
        assert_ok(f->q, pgq_reconnect(f->q));
        assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_IDLE);
        assert_int_equal(PQpipelineStatus(pgq_connection(f->q)), PQ_PIPELINE_OFF);
    }
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
}

static void test_not_installed(void **state)
{
    fixture *f = *state;

    assert_ok(f->q, pgq_drop(f->q));
    for (size_t i = 0; i + 1 < COUNT_OF(calls); i++)
        wants(f->q, i, calls[i].call(f->q, "q"), PGQ_NOT_INSTALLED, "without a namespace");
    assert_ok(f->q, pgq_install(f->q));
}

/* A handle that never got a connection says so. */
static void test_never_connected(void **state)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    (void)state;
    o.name_space = "";
    assert_int_equal(pgq_open(t_dsn(), &o, &q), PGQ_INVALID);
    assert_null(pgq_connection(q));
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        wants(q, i, calls[i].call(q, "q"), PGQ_CONNECTION, "without a connection");
    assert_int_equal(pgq_reconnect(q), PGQ_INVALID);
    pgq_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_null_handle),        DB_TEST(test_B10_bad_names),
        DB_TEST(test_unknown_queue),      DB_TEST(test_transaction_survives),
        DB_TEST(test_failed_transaction), DB_TEST(test_pipeline_and_busy),
        DB_TEST(test_encoding),           DB_TEST(test_lost_connection),
        DB_TEST(test_not_installed),      DB_TEST(test_never_connected),
    };

    return RUN_WITH_SERVER(tests);
}
