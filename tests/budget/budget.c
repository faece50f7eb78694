/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include <stdio.h>
#include <string.h>

enum { PAYLOAD = 64, MOST = 100 };

int b_keeps(const budget *table, size_t lines, const char *what, double got)
{
    for (size_t i = 0; i < lines; i++)
        if (strcmp(table[i].what, what) == 0) {
            int kept = got <= table[i].limit;

            print_message("%-40s %9.2f, limit %9.2f, was %9.2f%s\n", what, got, table[i].limit,
                          table[i].measured, kept ? "" : "  OVERDRAWN");
            return kept;
        }
    fail_msg("the table has no line \"%s\"", what);
    return 0;
}

int b_setup(void **state)
{
    static const char *const tables[] = {"message", "dead_letter", "dedup_window", "queue"};
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        t_run(f, f->sql, "ALTER TABLE mq.%s SET (autovacuum_enabled = off)", tables[i]);
    assert_ok(f->q, pgq_create_queue(f->q, B_QUEUE, NULL, 0));
    return 0;
}

void b_send(pgq *q, int count)
{
    static const char payload[PAYLOAD] = "sixty-four bytes, most of them zero";
    pgq_outgoing out[MOST];

    assert_in_range(count, 1, MOST);
    for (int i = 0; i < count; i++) {
        out[i].payload = payload;
        out[i].len = sizeof payload;
        out[i].options = NULL;
    }
    if (count == 1)
        assert_ok(q, pgq_enqueue(q, B_QUEUE, payload, sizeof payload, NULL, NULL));
    else
        assert_ok(q, pgq_enqueue_many(q, B_QUEUE, out, (size_t)count, 0, NULL, NULL));
}

void b_pop(pgq *q, int count)
{
    pgq_messages *list;

    assert_ok(q, pgq_pop(q, B_QUEUE, count, &list));
    assert_int_equal(pgq_messages_count(list), count);
    pgq_messages_free(list);
}

void b_receive(pgq *q, int count, pgq_receipt *receipts)
{
    pgq_messages *list;

    assert_ok(q, pgq_receive(q, B_QUEUE, count, NULL, &list));
    assert_int_equal(pgq_messages_count(list), count);
    for (int i = 0; i < count; i++)
        receipts[i] = t_receipt(pgq_messages_get(list, (size_t)i));
    pgq_messages_free(list);
}

int b_nothing(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    (void)q, (void)conn, (void)message, (void)arg;
    return 0;
}
