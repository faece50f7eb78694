/* SPDX-License-Identifier: MIT */
/* Rows that a message leaves dead, for vacuum to remove: versions that were deleted or updated, in any table
 * of the namespace. */
#include "budget.h"

#include <string.h>

/* Exact: a message costs whole rows. */
static const budget budgets[] = {
    {"send, pop", 1, 1},
    {"send, scope", 1, 1},
    {"send, lease, ack", 2, 2},
    {"send delayed, promotion, pop", 2, 2},
    {"send, scope failed once, scope", 2, 2},
    {"send, lease, extend, ack", 3, 3},
};

enum { MESSAGES = 50 };

/* What the handle's session has done is not told before it says so, and only since version 15. */
static long dead_rows(const fixture *f)
{
    PQclear(PQexec(pgq_connection(f->q), "SELECT pg_stat_force_next_flush()"));
    PQclear(PQexec(pgq_connection(f->q), "SELECT 1"));
    return t_number(
        f, f->sql,
        "SELECT sum(n_tup_del + n_tup_upd)::bigint FROM pg_stat_user_tables WHERE schemaname = '%s'", f->ns);
}

static int fails(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    (void)conn, (void)message, (void)arg;
    return pgq_fail(q, "not yet");
}

static void pops(const fixture *f)
{
    b_send(f->q, 1);
    b_pop(f->q, 1);
}

static void scopes(const fixture *f)
{
    b_send(f->q, 1);
    assert_ok(f->q, pgq_dequeue(f->q, B_QUEUE, b_nothing, NULL));
}

static void leases(const fixture *f)
{
    pgq_receipt receipt;

    b_send(f->q, 1);
    b_receive(f->q, 1, &receipt);
    assert_ok(f->q, pgq_ack(f->q, &receipt, 1, NULL, NULL));
}

static void extends(const fixture *f)
{
    pgq_receipt receipt;

    b_send(f->q, 1);
    b_receive(f->q, 1, &receipt);
    assert_ok(f->q, pgq_extend(f->q, &receipt, 1, 60000, NULL, NULL));
    assert_ok(f->q, pgq_ack(f->q, &receipt, 1, NULL, NULL));
}

static void delays(const fixture *f)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_messages *list = NULL;
    int64_t until = t_now_us() + 10000000;

    o.delay_ms = 1;
    t_send_as(f->q, B_QUEUE, "later", &o);
    while (pgq_pop(f->q, B_QUEUE, 1, &list) == PGQ_EMPTY && t_now_us() < until)
        t_pause_ms(1);
    assert_int_equal(pgq_messages_count(list), 1);
    pgq_messages_free(list);
}

static void fails_once(const fixture *f)
{
    b_send(f->q, 1);
    assert_status(f->q, pgq_dequeue(f->q, B_QUEUE, fails, NULL), PGQ_FAILED);
    assert_ok(f->q, pgq_dequeue(f->q, B_QUEUE, b_nothing, NULL));
}

static void test_rows(void **state)
{
    static const struct {
        const char *what;
        void (*work)(const fixture *f);
    } cases[] = {
        {"send, pop", pops},
        {"send, scope", scopes},
        {"send, lease, ack", leases},
        {"send delayed, promotion, pop", delays},
        {"send, scope failed once, scope", fails_once},
        {"send, lease, extend, ack", extends},
    };
    const fixture *f = *state;
    int kept = 1;

    if (PQserverVersion(f->sql) < 150000)
        skip();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        long before;
        double rows;

        cases[i].work(f);
        before = dead_rows(f);
        for (int n = 0; n < MESSAGES; n++)
            cases[i].work(f);
        rows = (double)(dead_rows(f) - before) / MESSAGES;
        assert_true(rows >= 1); /* else nothing was counted */
        kept &= b_keeps(budgets, COUNT_OF(budgets), cases[i].what, rows);
    }
    assert_true(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {BUDGET_TEST(test_rows)};

    return RUN_WITH_SERVER(tests);
}
