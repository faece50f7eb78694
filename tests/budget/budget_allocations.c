/* SPDX-License-Identifier: MIT */
/* Allocations that the library makes for a message; libpq's own are not counted. */
#include "budget.h"

#include "../../src/alloc.h"

static const budget budgets[] = {
    {"enqueue", 0, 0},          {"enqueue_many of 100", 0.06, 0.07}, {"pop of 1", 7, 8},
    {"pop of 100", 0.07, 0.08}, {"receive and ack of 1", 15, 16.5},  {"receive and ack of 100", 0.15, 0.17},
    {"dequeue", 7, 8},
};

enum { BATCH = 100, CALLS = 50 };

static void enqueues(pgq *q)
{
    b_send(q, 1);
}

static void enqueues_many(pgq *q)
{
    b_send(q, BATCH);
}

static void pops(pgq *q)
{
    b_pop(q, 1);
}

static void pops_many(pgq *q)
{
    b_pop(q, BATCH);
}

static void settles(pgq *q, int count)
{
    pgq_receipt receipts[BATCH];

    b_receive(q, count, receipts);
    assert_ok(q, pgq_ack(q, receipts, (size_t)count, NULL, NULL));
}

static void receives(pgq *q)
{
    settles(q, 1);
}

static void receives_many(pgq *q)
{
    settles(q, BATCH);
}

static void dequeues(pgq *q)
{
    assert_ok(q, pgq_dequeue(q, B_QUEUE, b_nothing, NULL));
}

static void test_allocations(void **state)
{
    static const struct {
        const char *what;
        void (*call)(pgq *q);
        int takes; /* so many messages; 0: it sends */
        int messages;
    } cases[] = {
        {"enqueue", enqueues, 0, 1},
        {"enqueue_many of 100", enqueues_many, 0, BATCH},
        {"pop of 1", pops, 1, 1},
        {"pop of 100", pops_many, BATCH, BATCH},
        {"receive and ack of 1", receives, 1, 1},
        {"receive and ack of 100", receives_many, BATCH, BATCH},
        {"dequeue", dequeues, 1, 1},
    };
    const fixture *f = *state;
    int kept = 1;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        long made = 0;

        /* The first call of a handle may make what the others use. */
        for (int n = 0; n <= CALLS; n++) {
            if (cases[i].takes)
                b_send(f->q, cases[i].takes);
            pgqi_alloc_fail_at(0);
            cases[i].call(f->q);
            if (n > 0)
                made += pgqi_alloc_made();
        }
        t_run(f, f->sql, "DELETE FROM mq.message");
        kept &= b_keeps(budgets, COUNT_OF(budgets), cases[i].what, (double)made / CALLS / cases[i].messages);
    }
    assert_true(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {BUDGET_TEST(test_allocations)};

    return RUN_WITH_SERVER(tests);
}
