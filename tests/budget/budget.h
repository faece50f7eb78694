/* SPDX-License-Identifier: MIT */
/* For tests that hold what a message costs to a limit. */
#ifndef BUDGET_BUDGET_H
#define BUDGET_BUDGET_H

#include "support/support.h"

/* One line of a test's table. The limit is some 10 % above what was measured: to go beyond it is a decision,
 * to be made by changing the line. */
typedef struct budget {
    const char *what;
    double measured; /* when the line was written */
    double limit;
} budget;

/* Prints the figure beside its line, and says whether it is within the limit. */
int b_keeps(const budget *table, size_t lines, const char *what, double got);
/* Fails the test if it is not. */
#define assert_budget(table, what, got) assert_true(b_keeps(table, COUNT_OF(table), what, got))

#define B_QUEUE "q"

/* A fixture with the queue B_QUEUE, whose tables no autovacuum touches. */
int b_setup(void **state);
#define BUDGET_TEST(f) cmocka_unit_test_setup_teardown(f, b_setup, t_teardown)

/* count messages of 64 bytes, in one call if there are more than one. */
void b_send(pgq *q, int count);
/* Takes and drops exactly count messages. */
void b_pop(pgq *q, int count);
/* Leases count messages; their receipts go to receipts. */
void b_receive(pgq *q, int count, pgq_receipt *receipts);

/* A handler that does nothing. */
int b_nothing(pgq *q, PGconn *conn, const pgq_message *message, void *arg);

#endif
