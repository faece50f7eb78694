/* SPDX-License-Identifier: MIT */
#include "error.h"
#include "handle.h"
#include "support/cm.h"

#include <pgq/pgq.h>
#include <stdlib.h>
#include <string.h>

/* A later version's struct: the enqueue options with one member more. */
struct newer {
    pgq_enqueue_options known;
    int64_t more;
};

static void test_sizes(void **state)
{
    static const struct {
        size_t size;
        int64_t more;
        pgq_status status;
    } cases[] = {
        {0, 0, PGQ_INVALID},
        {sizeof(size_t) - 1, 0, PGQ_INVALID},
        {sizeof(size_t), 0, PGQ_OK},
        {sizeof(pgq_enqueue_options), 1, PGQ_OK}, /* more is not part of it */
        {sizeof(struct newer), 0, PGQ_OK},
        {sizeof(struct newer), 1, PGQ_INVALID},
        {sizeof(struct newer), INT64_MIN, PGQ_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
        struct newer given = {PGQ_ENQUEUE_OPTIONS_INIT, cases[i].more};
        pgq_error e = {.status = PGQ_OK};

        given.known.size = cases[i].size;
        given.known.priority = 5;
        assert_int_equal(pgqi_read_options(&o, sizeof o, &given, &e), cases[i].status);
        /* A struct that ends before a member leaves its default. */
        assert_int_equal(o.priority, cases[i].status == PGQ_OK && cases[i].size >= sizeof o ? 5 : PGQ_UNSET);
        assert_true((e.message[0] != '\0') == (cases[i].status != PGQ_OK));
    }
}

static void test_null_keeps_the_defaults(void **state)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_error e;

    (void)state;
    o.priority = 77;
    assert_int_equal(pgqi_read_options(&o, sizeof o, NULL, &e), PGQ_OK);
    assert_int_equal(o.priority, 77);
}

static void test_documented_defaults(void **state)
{
    const pgq_open_options open = PGQ_OPEN_OPTIONS_INIT;
    const pgq_attributes queue = PGQ_ATTRIBUTES_INIT;
    const pgq_enqueue_options enqueue = PGQ_ENQUEUE_OPTIONS_INIT;
    const pgq_receive_options receive = PGQ_RECEIVE_OPTIONS_INIT;
    const pgq_nack_options nack = PGQ_NACK_OPTIONS_INIT;
    const pgq_listen_options listen = PGQ_LISTEN_OPTIONS_INIT;
    const pgq_listener_options listener = PGQ_LISTENER_OPTIONS_INIT;
    const pgq_worker_options worker = PGQ_WORKER_OPTIONS_INIT;

    (void)state;
    assert_int_equal(open.size, sizeof open);
    assert_null(open.name_space);
    assert_int_equal(open.connect_attempts, 0);
    assert_int_equal(open.connect_backoff_ms, 0);
    assert_int_equal(queue.size, sizeof queue);
    assert_true(queue.lease_ms == PGQ_UNSET && queue.delay_ms == PGQ_UNSET && queue.max_size == PGQ_UNSET);
    assert_true(queue.priority == PGQ_UNSET && queue.requeue == PGQ_UNSET &&
                queue.requeue_priority == PGQ_UNSET && queue.error_limit == PGQ_UNSET);
    assert_true(queue.ttl_ms == PGQ_UNSET && queue.retry_delay_ms == PGQ_UNSET &&
                queue.retry_max_delay_ms == PGQ_UNSET && queue.drop_dead == PGQ_UNSET);
    assert_true(queue.retry_factor <= PGQ_UNSET && queue.retry_jitter <= PGQ_UNSET);
    assert_int_equal(receive.size, sizeof receive);
    assert_true(receive.lease_ms == PGQ_UNSET && receive.timeout_ms == 0 && receive.poll_interval_ms == 0);
    assert_true(receive.cancel_fd == -1 && !receive.filter);
    assert_int_equal(nack.size, sizeof nack);
    assert_true(!nack.error && nack.requeue == PGQ_UNSET && nack.delay_ms == PGQ_UNSET);
    assert_int_equal(enqueue.size, sizeof enqueue);
    assert_int_equal(enqueue.kind, PGQ_BINARY);
    assert_int_equal(enqueue.priority, PGQ_UNSET);
    assert_true(enqueue.delay_ms == PGQ_UNSET && enqueue.ttl_ms == PGQ_UNSET && !enqueue.headers);
    assert_true(enqueue.due == 0 && enqueue.lease_ms == PGQ_UNSET && enqueue.requeue == PGQ_UNSET);
    assert_true(enqueue.error_limit == PGQ_UNSET && enqueue.requeue_priority == PGQ_UNSET);
    assert_true(!enqueue.order_key && !enqueue.dedup_key && enqueue.dedup_window_ms == 0);
    assert_int_equal(enqueue.create_queue, 0);
    assert_int_equal(listen.size, sizeof listen);
    assert_int_equal(listen.poll_interval_ms, 0);
    assert_int_equal(listen.cancel_fd, -1);
    assert_null(listen.filter);
    assert_int_equal(listener.size, sizeof listener);
    assert_null(listener.name_space);
    assert_int_equal(listener.poll_interval_ms, 0);
    assert_int_equal(worker.size, sizeof worker);
    assert_null(worker.name_space);
    assert_int_equal(worker.threads, 0);
    assert_int_equal(worker.drain, 0);
    assert_true(worker.max_messages == 0 && worker.long_scope_ms == 0 && worker.poll_interval_ms == 0);
    assert_true(!worker.on_event && !worker.event_arg && worker.lease_ms == 0);
}

static void test_namespaces(void **state)
{
    char longest[65];
    static const struct {
        const char *name, *schema; /* schema NULL: INVALID */
    } cases[] = {
        {NULL, "\"mq\""},       {"mq", "\"mq\""},   {"Up per", "\"Up per\""},
        {"a\"b", "\"a\"\"b\""}, {"\"", "\"\"\"\""}, {"", NULL},
        {"pg_own", NULL},       {"\xff", NULL},     {"pgx", "\"pgx\""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char name[PGQI_NAMESPACE_MAX + 1] = "";
        pgqi_schema schema = "";
        pgq_error e;
        pgq_status status = pgqi_set_namespace(name, schema, cases[i].name, &e);

        assert_int_equal(status, cases[i].schema ? PGQ_OK : PGQ_INVALID);
        if (cases[i].schema)
            assert_string_equal(schema, cases[i].schema);
    }
    memset(longest, '"', sizeof longest);
    for (size_t len = 62; len <= 64; len++) {
        char name[PGQI_NAMESPACE_MAX + 1];
        pgqi_schema schema;
        pgq_error e;

        longest[len] = '\0';
        assert_int_equal(pgqi_set_namespace(name, schema, longest, &e), len <= 63 ? PGQ_OK : PGQ_INVALID);
        assert_true(len > 63 || strlen(schema) == 2 * len + 2);
        longest[len] = '"';
    }
}

/* Bad options are told on the object that the caller gets all the same. */
static void test_makers(void **state)
{
    const char *queue = "q";
    pgq_open_options open = PGQ_OPEN_OPTIONS_INIT;
    pgq_listener_options listen = PGQ_LISTENER_OPTIONS_INIT;
    pgq_worker_options work = PGQ_WORKER_OPTIONS_INIT;
    pgq_listener *l = NULL;
    pgq_worker *w = NULL;
    pgq *q = NULL;

    (void)state;
    open.size = listen.size = work.size = 1;
    assert_int_equal(pgq_open("", &open, &q), PGQ_INVALID);
    assert_int_equal(pgq_last_error(q)->status, PGQ_INVALID);
    pgq_close(q);
    assert_int_equal(pgq_attach(NULL, &open, &q), PGQ_INVALID);
    pgq_close(q);
    assert_int_equal(pgq_attach(NULL, NULL, &q), PGQ_INVALID);
    pgq_close(q);
    assert_int_equal(pgq_listener_open("", &queue, 1, &listen, &l), PGQ_INVALID);
    assert_int_equal(pgq_listener_last_error(l)->status, PGQ_INVALID);
    pgq_listener_close(l);
    assert_int_equal(pgq_worker_new("", &work, &w), PGQ_INVALID);
    assert_int_equal(pgq_worker_last_error(w)->status, PGQ_INVALID);
    pgq_worker_free(w);
    assert_int_equal(pgq_open("", NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_attach(NULL, NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_listener_open("", &queue, 1, NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_worker_new("", NULL, NULL), PGQ_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_null_keeps_the_defaults),
        cmocka_unit_test(test_documented_defaults),
        cmocka_unit_test(test_namespaces),
        cmocka_unit_test(test_makers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
