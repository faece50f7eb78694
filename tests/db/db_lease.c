/* SPDX-License-Identifier: MIT */
/* Rows D3, D4, D5, E1, E2, E4 and E7: leases, and settling by receipt. */
#include "support/support.h"

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

static int64_t server_now(const fixture *f)
{
    const char *us = t_ask(f, f->sql, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
    long long now = 0;

    assert_int_equal(sscanf(us, "%lld", &now), 1);
    return now;
}

static void row_d3_lease(void **state)
{
    fixture *f = *state;
    int64_t id = t_send(f->q, "q", "m");
    int64_t first, before = server_now(f), after;
    const pgq_message *m;
    pgq_messages *got;

    got = t_receive(f->q, "q", 1, 50000);
    after = server_now(f);
    m = pgq_messages_get(got, 0);
    assert_true(m->id == id && m->attempts == 1 && m->errors == 0 && m->state == PGQ_STATE_IN_FLIGHT);
    assert_true(m->due >= before + 50000000 && m->due <= after + 50000000); /* now + lease */
    first = m->first_received;
    assert_true(first >= before && first <= after);
    pgq_messages_free(got);
    /* It is nobody else's, whatever becomes of the connection. */
    assert_ok(f->q, pgq_reconnect(f->q));
    assert_status(f->q, pgq_receive(f->q, "q", 1, NULL, &got), PGQ_EMPTY);
    assert_string_equal(t_listed(f, "q", PGQ_STATE_IN_FLIGHT), "m 1 0; ");
    /* When it has run out any consumer finds it: counted, and first received as before. */
    t_expire(f, id);
    got = t_receive(f->q, "q", 1, 1000);
    m = pgq_messages_get(got, 0);
    assert_true(m->id == id && m->attempts == 2 && m->errors == 1 && m->first_received == first);
    assert_string_equal(m->last_error, "the lease ran out");
    pgq_messages_free(got);
    /* A lease of 0 has run out as it is given. */
    t_expire(f, id);
    got = t_receive(f->q, "q", 1, 0);
    pgq_messages_free(got);
    got = t_receive(f->q, "q", 1, 0);
    assert_int_equal(pgq_messages_get(got, 0)->attempts, 4);
    pgq_messages_free(got);
}

/* It comes back though no client does anything but take, by whatever call. */
static void row_d3_comes_back(void **state)
{
    fixture *f = *state;

    for (int way = 0; way < 4; way++) {
        int64_t until = t_now_us() + 10000000;
        pgq_status status = PGQ_EMPTY;
        pgq_receipt r;
        witness w = {0};

        t_send(f->q, "q", "m");
        r = t_lease(f->q, "q", 300, NULL);
        while (status == PGQ_EMPTY && t_now_us() < until) {
            pgq_messages *m = NULL;

            if (way == 0)
                status = pgq_dequeue(f->q, "q", t_witness, &w);
            else if (way == 1)
                status = pgq_pop(f->q, "q", 1, &m);
            else if (way == 2)
                status = pgq_receive(f->q, "q", 1, NULL, &m);
            else
                status = pgq_receive_with(f->q, "q", t_witness, &w, NULL);
            pgq_messages_free(m);
            t_pause_ms(5);
        }
        assert_ok(f->q, status);
        if (way == 0 || way == 3)
            assert_true(w.id == r.id && w.attempts == 2 && w.errors == 1);
        t_run(f, f->sql, "DELETE FROM mq.message");
    }
}

static void row_d4_batch(void **state)
{
    enum { N = 50 };
    static const int bad[] = {0, -1, 100001};
    fixture *f = *state;
    int64_t ids[N];
    pgq_messages *m;

    assert_status(f->q, pgq_receive(f->q, "q", 1, NULL, &m), PGQ_EMPTY);
    assert_null(m);
    for (int i = 0; i < N; i++)
        ids[i] = t_send(f->q, "q", "m");
    m = t_receive(f->q, "q", 20, PGQ_UNSET);
    assert_int_equal(pgq_messages_count(m), 20);
    for (size_t i = 0; i < 20; i++)
        assert_true(pgq_messages_get(m, i)->id == ids[i]);
    pgq_messages_free(m);
    m = t_receive(f->q, "q", 100000, PGQ_UNSET); /* fewer is no error */
    assert_int_equal(pgq_messages_count(m), N - 20);
    assert_true(pgq_messages_get(m, 0)->id == ids[20]);
    pgq_messages_free(m);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_status(f->q, pgq_receive(f->q, "q", bad[i], NULL, &m), PGQ_INVALID);
    assert_status(f->q, pgq_receive(f->q, "q", 1, NULL, NULL), PGQ_INVALID);
    for (int i = 0; i < 3; i++) {
        pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;

        o.lease_ms = (const int64_t[]){-1, 9999999001, INT64_MAX}[i];
        assert_status(f->q, pgq_receive(f->q, "q", 1, &o, &m), PGQ_INVALID);
        assert_null(m);
    }
}

static int receives_by_id(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const fixture *f = arg;
    pgq_messages *got;

    (void)conn;
    assert_status(q, pgq_receive_id(q, m->id, PGQ_UNSET, &got), PGQ_STATE);
    assert_status(f->q, pgq_receive_id(f->q, m->id, PGQ_UNSET, &got), PGQ_IN_FLIGHT);
    assert_null(got);
    return 0;
}

static void row_d5_by_id(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options late = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq *other = t_open(f);
    int64_t first = t_send(f->q, "q", "first");
    int64_t id = t_send(f->q, "q", "wanted");
    pgq_messages *m;

    assert_ok(f->q, pgq_receive_id(f->q, id, 60000, &m));
    assert_int_equal(pgq_messages_count(m), 1);
    assert_string_equal(pgq_messages_get(m, 0)->payload, "wanted");
    assert_string_equal(pgq_messages_get(m, 0)->queue, "q");
    assert_true(pgq_messages_get(m, 0)->id == id && pgq_messages_get(m, 0)->attempts == 1);
    pgq_messages_free(m);
    assert_status(f->q, pgq_receive_id(f->q, id, 60000, &m), PGQ_IN_FLIGHT);
    assert_null(m);
    assert_string_equal(pgq_last_error(f->q)->message, ""); /* a normal outcome */
    assert_ok(other, pgq_dequeue(other, "q", receives_by_id, f));
    assert_status(f->q, pgq_receive_id(f->q, first, 60000, &m), PGQ_NOT_FOUND); /* done */
    assert_status(f->q, pgq_receive_id(f->q, INT64_MAX, 60000, &m), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_receive_id(f->q, -1, 60000, &m), PGQ_NOT_FOUND);
    late.delay_ms = 60000;
    late.dedup_key = "k";
    id = t_send_as(f->q, "q", "late", &late);
    assert_status(f->q, pgq_receive_id(f->q, id, 60000, &m), PGQ_NOT_FOUND); /* not ready */
    assert_ok(f->q, pgq_reschedule(f->q, id, 0));
    assert_ok(f->q, pgq_receive_id(f->q, id, 60000, &m));
    assert_string_equal(pgq_messages_get(m, 0)->dedup_key, "k");
    pgq_messages_free(m);
    assert_status(f->q, pgq_receive_id(f->q, id, -1, &m), PGQ_INVALID);
    assert_status(f->q, pgq_receive_id(f->q, id, 9999999001, &m), PGQ_INVALID);
    assert_status(f->q, pgq_receive_id(f->q, id, PGQ_UNSET, NULL), PGQ_INVALID);
    pgq_close(other);
}

static void row_e1_ack(void **state)
{
    enum { N = 40 };
    fixture *f = *state;
    pgq_receipt r[N + 2];
    pgq_status results[N + 2];
    size_t done = 99;
    pgq_messages *m;

    assert_ok(f->q, pgq_ack(f->q, NULL, 0, &done, NULL));
    assert_int_equal(done, 0);
    for (int i = 0; i < N; i++)
        t_send(f->q, "q", "m");
    m = t_receive(f->q, "q", N, PGQ_UNSET);
    for (size_t i = 0; i < N; i++)
        r[i] = t_receipt(pgq_messages_get(m, N - 1 - i)); /* in any order */
    pgq_messages_free(m);
    assert_ok(f->q, pgq_ack(f->q, r, N / 2, &done, results));
    assert_int_equal(done, N / 2);
    for (size_t i = 0; i < N / 2; i++)
        assert_int_equal(results[i], PGQ_OK);
    /* Some done before, and some unknown: no error, and the others are done. */
    r[N] = (pgq_receipt){INT64_MAX, 1};
    r[N + 1] = (pgq_receipt){-1, 1};
    assert_status(f->q, pgq_ack(f->q, r, N + 2, &done, results), PGQ_EMPTY);
    assert_int_equal(done, N / 2);
    for (size_t i = 0; i < N + 2; i++)
        assert_int_equal(results[i], i >= N / 2 && i < N ? PGQ_OK : PGQ_NOT_FOUND);
    assert_string_equal(pgq_last_error(f->q)->message, "");
    assert_status(f->q, pgq_ack(f->q, r, 1, &done, NULL), PGQ_EMPTY);
    assert_int_equal(done, 0);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    assert_status(f->q, pgq_ack(f->q, NULL, 1, &done, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_ack(f->q, r, SIZE_MAX, &done, NULL), PGQ_INVALID);
}

static pgq_status settle(const fixture *f, int verb, const pgq_receipt *r, pgq_status *result)
{
    switch (verb) {
    case 0:
        return pgq_ack(f->q, r, 1, NULL, result);
    case 1:
        return pgq_nack(f->q, r, 1, NULL, NULL, result);
    case 2:
        return pgq_extend(f->q, r, 1, 60000, NULL, result);
    case 3:
        return pgq_extend(f->q, r, 1, 0, NULL, result);
    default:
        return pgq_release(f->q, r, 1, NULL, result);
    }
}

/* Who has lost a message can change nothing about it, and is told so: however it was lost, whatever it tries.
 */
static void row_e2_fencing(void **state)
{
    static const char *const lost[] = {"to another's lease", "to the count of its failure",
                                       "released by itself", "nacked by itself", "to the dead letters"};
    fixture *f = *state;

    for (size_t how = 0; how < COUNT_OF(lost); how++) {
        for (int verb = 0; verb < 5; verb++) {
            pgq_nack_options die = PGQ_NACK_OPTIONS_INIT;
            pgq_status result = PGQ_SERVER, status;
            char before[2048];
            pgq_receipt r;

            die.requeue = 0;
            t_send(f->q, "q", "m");
            r = t_lease(f->q, "q", PGQ_UNSET, NULL);
            if (how < 2) {
                t_expire(f, r.id);
                assert_ok(f->q, pgq_clean(f->q, "q", NULL));
            }
            if (how == 0)
                t_lease(f->q, "q", PGQ_UNSET, NULL);
            if (how == 2)
                assert_ok(f->q, pgq_release(f->q, &r, 1, NULL, NULL));
            if (how > 2)
                assert_ok(f->q, pgq_nack(f->q, &r, 1, how == 4 ? &die : NULL, NULL, NULL));
            snprintf(before, sizeof before, "%s", t_ask(f, f->sql, "SELECT m::text FROM mq.message m"));
            status = settle(f, verb, &r, &result);
            if (status != PGQ_STALE || result != PGQ_STALE)
                fail_msg("lost %s, verb %d: %s", lost[how], verb, pgq_status_name(status));
            assert_true(pgq_last_error(f->q)->message[0] != '\0');
            assert_string_equal(t_ask(f, f->sql, "SELECT m::text FROM mq.message m"), before);
            t_run(f, f->sql, "DELETE FROM mq.message");
            t_run(f, f->sql, "DELETE FROM mq.dead_letter");
        }
    }
}

/* A lease that has run out is its consumer's until somebody has noticed. */
static void row_e2_unnoticed(void **state)
{
    fixture *f = *state;

    for (int verb = 0; verb < 5; verb++) {
        pgq_status result;
        pgq_receipt r;

        t_send(f->q, "q", "m");
        r = t_lease(f->q, "q", PGQ_UNSET, NULL);
        t_expire(f, r.id);
        assert_ok(f->q, settle(f, verb, &r, &result));
        assert_int_equal(result, PGQ_OK);
        t_run(f, f->sql, "DELETE FROM mq.message");
    }
}

/* One of many is lost: the others are done. */
static void row_e2_one_of_many(void **state)
{
    static const pgq_status wanted[] = {PGQ_OK, PGQ_STALE, PGQ_NOT_FOUND, PGQ_OK};
    fixture *f = *state;

    for (int verb = 0; verb < 4; verb++) {
        pgq_receipt r[4];
        pgq_status results[4], status;
        size_t done = 0;

        for (int i = 0; i < 4; i++) {
            t_send(f->q, "q", "m");
            r[i] = t_lease(f->q, "q", PGQ_UNSET, NULL);
        }
        r[1].attempt++;
        assert_ok(f->q, pgq_ack(f->q, &r[2], 1, NULL, NULL));
        status = verb == 0   ? pgq_ack(f->q, r, 4, &done, results)
                 : verb == 1 ? pgq_nack(f->q, r, 4, NULL, &done, results)
                 : verb == 2 ? pgq_extend(f->q, r, 4, 1000, &done, results)
                             : pgq_release(f->q, r, 4, &done, results);
        assert_int_equal(status, PGQ_STALE);
        assert_int_equal(done, 2);
        for (int i = 0; i < 4; i++)
            assert_int_equal(results[i], wanted[i]);
        t_run(f, f->sql, "DELETE FROM mq.message");
    }
}

static void row_e4_extend_and_release(void **state)
{
    static const int64_t leases[] = {1, 1000, 9999999000, PGQ_UNSET};
    fixture *f = *state;
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_receipt r, unknown = {INT64_MAX, 1};
    pgq_messages *m;

    o.lease_ms = 77000;
    t_send_as(f->q, "q", "m", &o);
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    for (size_t i = 0; i < COUNT_OF(leases); i++) {
        int64_t ms = leases[i] == PGQ_UNSET ? 77000 : leases[i];
        int64_t before = server_now(f), after;

        assert_ok(f->q, pgq_extend(f->q, &r, 1, leases[i], NULL, NULL));
        after = server_now(f);
        assert_ok(f->q, pgq_list(f->q, "q", PGQ_STATE_IN_FLIGHT, 1, 0, &m));
        assert_in_range(pgq_messages_get(m, 0)->due, before + ms * 1000, after + ms * 1000);
        assert_int_equal(pgq_messages_get(m, 0)->attempts, 1);
        pgq_messages_free(m);
    }
    assert_status(f->q, pgq_extend(f->q, &r, 1, -1, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_extend(f->q, &r, 1, 9999999001, NULL, NULL), PGQ_INVALID);
    assert_status(f->q, pgq_extend(f->q, &unknown, 1, 1000, NULL, NULL), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_release(f->q, &unknown, 1, NULL, NULL), PGQ_NOT_FOUND);
    assert_status(f->q, pgq_nack(f->q, &unknown, 1, NULL, NULL, NULL), PGQ_NOT_FOUND);
    /* Released, or extended by 0: back at once, at the tail, and no error. */
    t_send(f->q, "q", "next");
    assert_ok(f->q, pgq_extend(f->q, &r, 1, 0, NULL, NULL));
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "next 0 0; m 1 0; ");
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    assert_ok(f->q, pgq_release(f->q, &r, 1, NULL, NULL));
    assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), "m 1 0; next 1 0; ");
}

static int settles_in_a_scope(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    pgq_receipt r = t_receipt(m);
    int verb = *(int *)arg;

    (void)conn;
    if (verb == 0)
        assert_ok(q, pgq_ack(q, &r, 1, NULL, NULL));
    r.attempt++;
    assert_status(q, pgq_ack(q, &r, 1, NULL, NULL), verb == 0 ? PGQ_EMPTY : PGQ_STALE);
    return 0;
}

/* Ack, own writes and the next send in one transaction on the caller's connection. */
static void row_e7_in_one_transaction(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq_status result;
    pgq_receipt r;
    pgq *mine;
    int verb = 1;

    o.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &o, &mine), PGQ_OK);
    t_run(f, f->sql, "CREATE TABLE mq.work (v text)");
    t_send(f->q, "q", "one");
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    for (int commit = 0; commit < 2; commit++) {
        t_run(f, f->sql, "BEGIN");
        t_run(f, f->sql, "INSERT INTO mq.work VALUES ('done')");
        assert_ok(mine, pgq_ack(mine, &r, 1, NULL, NULL));
        t_send(mine, "q", "two");
        assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
        t_run(f, f->sql, commit ? "COMMIT" : "ROLLBACK");
        assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.work"), commit);
        assert_string_equal(t_listed(f, "q", PGQ_STATE_IN_FLIGHT), commit ? "" : "one 1 0; ");
        assert_string_equal(t_listed(f, "q", PGQ_STATE_READY), commit ? "two 0 0; " : "");
    }
    /* A receipt that is lost leaves the transaction usable: the caller decides. */
    r = t_lease(f->q, "q", PGQ_UNSET, NULL);
    t_run(f, f->sql, "BEGIN");
    r.attempt++;
    assert_status(mine, pgq_ack(mine, &r, 1, NULL, &result), PGQ_STALE);
    assert_int_equal(result, PGQ_STALE);
    assert_int_equal(pgq_last_error(mine)->needs_rollback, 0);
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    t_run(f, f->sql, "COMMIT");
    /* What a scope holds can be settled by its receipt too. */
    t_run(f, f->sql, "DELETE FROM mq.message");
    t_send(f->q, "q", "in a scope");
    assert_ok(f->q, pgq_dequeue(f->q, "q", settles_in_a_scope, &verb));
    pgq_close(mine);
}

#define LEASE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEASE_TEST(row_d3_lease),
        LEASE_TEST(row_d3_comes_back),
        LEASE_TEST(row_d4_batch),
        LEASE_TEST(row_d5_by_id),
        LEASE_TEST(row_e1_ack),
        LEASE_TEST(row_e2_fencing),
        LEASE_TEST(row_e2_unnoticed),
        LEASE_TEST(row_e2_one_of_many),
        LEASE_TEST(row_e4_extend_and_release),
        LEASE_TEST(row_e7_in_one_transaction),
    };

    return RUN_WITH_SERVER(tests);
}
