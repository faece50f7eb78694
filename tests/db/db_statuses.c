/* SPDX-License-Identifier: MIT */
/* Every status of PGQ_STATUS_MAP comes from a call; the last test walks the map. NO_MEMORY needs the fault
 * injection and stands in fault_alloc. */
#include "support/support.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    pgq_status status;
    const char *name;
} map[] = {
#define ROW(name, value, sqlstate, text) {PGQ_##name, #name},
    PGQ_STATUS_MAP(ROW)
#undef ROW
};

static int seen[COUNT_OF(map)];

/* The call gave that status: from now on it has been seen. */
static void gives(pgq_status got, pgq_status wanted)
{
    if (got != wanted)
        fail_msg("%s in the place of %s", pgq_status_name(got), pgq_status_name(wanted));
    for (size_t i = 0; i < COUNT_OF(map); i++)
        seen[i] |= map[i].status == got;
}

static int commits(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)m;
    t_run(arg, conn, "COMMIT");
    return 0;
}

static void test_taking(void **state)
{
    fixture *f = *state;
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    witness w = {0};
    int fds[2];

    gives(pgq_create_queue(f->q, "q", NULL, 0), PGQ_OK);
    gives(pgq_create_queue(f->q, "q", NULL, 0), PGQ_EXISTS);
    gives(pgq_create_queue(f->q, "", NULL, 0), PGQ_INVALID);
    gives(pgq_delete_queue(f->q, "none"), PGQ_NOT_FOUND);
    gives(pgq_dequeue(f->q, "q", t_witness, &w), PGQ_EMPTY);
    gives(pgq_listen(f->q, "q", 10, t_witness, &w, NULL), PGQ_TIMEOUT);
    assert_int_equal(pipe(fds), 0);
    close(fds[1]); /* its end can be read */
    o.cancel_fd = fds[0];
    gives(pgq_listen(f->q, "q", 10000, t_witness, &w, &o), PGQ_CANCELED);
    close(fds[0]);
    t_run(f, f->sql, "UPDATE mq.queue SET max_size = 1");
    gives(pgq_enqueue(f->q, "q", "xx", 2, NULL, NULL), PGQ_TOO_LONG);
    t_send(f->q, "q", "x");
    w.rc = 1;
    gives(pgq_dequeue(f->q, "q", t_witness, &w), PGQ_FAILED);
    gives(pgq_dequeue(f->q, "q", commits, f), PGQ_STALE);
    t_run(f, pgq_connection(f->q), "BEGIN");
    gives(pgq_dequeue(f->q, "q", t_witness, &w), PGQ_STATE);
    assert_string_equal(t_sqlstate(f, pgq_connection(f->q), "SELECT 1/0"), "22012");
    gives(pgq_enqueue(f->q, "q", "x", 1, NULL, NULL), PGQ_ABORTED);
    t_run(f, pgq_connection(f->q), "ROLLBACK");
}

static int breaks(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    (void)in, (void)len, (void)kind, (void)out, (void)out_len, (void)error, (void)error_size, (void)arg;
    return 1;
}

static void test_keys_leases_and_hooks(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_codec codec = {sizeof codec, breaks, NULL, NULL};
    pgq_messages *m;
    int64_t id;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    o.dedup_key = "k";
    assert_ok(f->q, pgq_enqueue(f->q, "q", "x", 1, &o, &id));
    gives(pgq_enqueue(f->q, "q", "x", 1, &o, NULL), PGQ_DUPLICATE);
    assert_ok(f->q, pgq_receive(f->q, "q", 1, NULL, &m));
    pgq_messages_free(m);
    gives(pgq_receive_id(f->q, id, PGQ_UNSET, &m), PGQ_IN_FLIGHT);
    assert_ok(f->q, pgq_set_codec(f->q, &codec));
    gives(pgq_enqueue(f->q, "q", "x", 1, NULL, NULL), PGQ_HOOK);
}

/* Two transactions that wait for one another. */
static void test_conflict(void **state)
{
    fixture *f = *state;

    assert_ok(f->q, pgq_create_queue(f->q, "a", NULL, 0));
    t_run(f, f->sql, "BEGIN; SELECT 1 FROM mq.queue FOR UPDATE");
    t_run(f, pgq_connection(f->q), "SET lock_timeout = '50ms'");
    gives(pgq_delete_queue(f->q, "a"), PGQ_CONFLICT);
    assert_int_equal(pgq_last_error(f->q)->retryable, 1);
    t_run(f, f->sql, "COMMIT");
}

static void test_serialization(void **state)
{
    fixture *f = *state;
    PGconn *mine = pgq_connection(f->q);

    assert_ok(f->q, pgq_create_queue(f->q, "a", NULL, 0));
    t_run(f, mine, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    t_run(f, mine, "SELECT count(*) FROM mq.queue");
    t_run(f, f->sql, "UPDATE mq.queue SET priority = 3");
    gives(pgq_delete_queue(f->q, "a"), PGQ_CONFLICT);
    assert_string_equal(pgq_last_error(f->q)->sqlstate, "40001");
    assert_int_equal(pgq_last_error(f->q)->needs_rollback, 1);
    t_run(f, mine, "ROLLBACK");
}

static void test_namespace(void **state)
{
    fixture *f = *state;
    char role[80];
    int version;

    snprintf(role, sizeof role, "%s-role", f->ns);
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_run(f, f->sql, "CREATE ROLE \"%s\"", role);
    t_run(f, pgq_connection(f->q), "SET ROLE \"%s\"", role);
    gives(pgq_enqueue(f->q, "q", "x", 1, NULL, NULL), PGQ_PERMISSION);
    assert_string_equal(pgq_last_error(f->q)->sqlstate, "42501");
    t_run(f, pgq_connection(f->q), "RESET ROLE");
    t_run(f, f->sql, "DROP ROLE \"%s\"", role);
    gives(pgq_grant_producer(f->q, "no such role"), PGQ_SERVER);
    t_run(f, f->sql, "INSERT INTO mq.migration (version, name) VALUES (999, 'later')");
    gives(pgq_install(f->q), PGQ_VERSION);
    assert_ok(f->q, pgq_drop(f->q));
    gives(pgq_installed_version(f->q, &version), PGQ_NOT_INSTALLED);
    t_kill(f, PQbackendPID(pgq_connection(f->q)));
    gives(pgq_installed_version(f->q, &version), PGQ_CONNECTION);
}

static void test_listener(void **state)
{
    fixture *f = *state;
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    const char *queue = "q";
    int64_t until = t_now_us() + 10000000;
    pgq_status status;
    pgq_listener *l;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    o.name_space = f->ns;
    assert_int_equal(pgq_listener_open(t_dsn(), &queue, 1, &o, &l), PGQ_OK);
    gives(pgq_listener_process(l), PGQ_WAIT);
    while ((status = pgq_listener_process(l)) == PGQ_WAIT && t_now_us() < until)
        t_pause_ms(1);
    gives(status, PGQ_READY);
    assert_ok(f->q, pgq_shutdown(f->q));
    while ((status = pgq_listener_process(l)) != PGQ_SHUTDOWN && t_now_us() < until)
        t_pause_ms(1);
    gives(status, PGQ_SHUTDOWN);
    pgq_listener_close(l);
}

static void test_every_status_was_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(map); i++)
        if (!seen[i] && map[i].status != PGQ_NO_MEMORY)
            fail_msg("no test has produced %s", map[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_taking),
        DB_TEST(test_keys_leases_and_hooks),
        DB_TEST(test_conflict),
        DB_TEST(test_serialization),
        DB_TEST(test_namespace),
        DB_TEST(test_listener),
        cmocka_unit_test(test_every_status_was_seen),
    };

    return RUN_WITH_SERVER(tests);
}
