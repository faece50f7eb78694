/* SPDX-License-Identifier: MIT */
/* Bytes of WAL a message of 64 bytes, all transactions counted, images of whole pages not: those depend on
 * how often the server makes a checkpoint. */
#include "budget.h"

#include <stdio.h>
#include <string.h>

static const budget budgets[] = {
    {"send by 10000", 272, 300},
    {"send and pop by 100", 435, 480},
    {"send and scope, one by one", 505, 550},
    {"lease and ack by 100", 521, 575},
    {"send, lease and ack by 100", 839, 920},
};

enum { BATCH = 100, ROUNDS = 20, SINGLES = 1000, COPIED = 10000, TRIES = 3 };

/* pg_walinspect tells the images apart. In the namespace, so that it goes with that; unless it is there
 * already. */
static void need_walinspect(const fixture *f)
{
    char sql[512];
    PGresult *res;
    int made;

    if (t_number(f, f->sql, "SELECT count(*) FROM pg_extension WHERE extname = 'pg_walinspect'") > 0)
        return;
    snprintf(sql, sizeof sql, "CREATE EXTENSION pg_walinspect SCHEMA \"%s\"", f->ns);
    res = PQexec(f->sql, sql);
    made = PQresultStatus(res) == PGRES_COMMAND_OK;
    PQclear(res);
    if (!made) {
        print_message("no pg_walinspect here: skipped\n");
        skip();
    }
}

typedef void (*work)(pgq *q);

/* What was written from there on for the relations of the namespace, and the ends of those transactions:
 * other sessions may be at work on the same server. */
static double bytes_since(const fixture *f, const char *from)
{
    const char *schema = t_ask(
        f, f->sql, "SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_walinspect'");

    return (double)t_number(
        f, f->sql,
        "WITH record AS MATERIALIZED ("
        " SELECT r.xid::text, r.record_length - r.fpi_length AS bytes, r.resource_manager = 'Transaction' AS "
        "ends,"
        "  substring(r.block_ref FROM 'rel [0-9]+/[0-9]+/([0-9]+)')::oid AS file"
        " FROM %s.pg_get_wal_records_info('%s', pg_current_wal_flush_lsn()) r),"
        "own AS ("
        " SELECT * FROM record WHERE file IN (SELECT pg_relation_filenode(c.oid) FROM pg_class c"
        "  WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'mq.message'::regclass)))"
        "SELECT ((SELECT sum(bytes) FROM own)"
        " + (SELECT sum(bytes) FROM record WHERE ends AND xid IN (SELECT xid FROM own)))::bigint",
        schema, from);
}

typedef void (*work)(pgq *q);

/* The least of some tries: a leaf that splits, a page that is pruned, come when they come. */
static double bytes_of(const fixture *f, work prepare, work w, long messages)
{
    double least = 0;

    for (int i = 0; i < TRIES; i++) {
        char from[64];
        double bytes;

        if (prepare)
            prepare(f->q);
        snprintf(from, sizeof from, "%s", t_ask(f, f->sql, "SELECT pg_current_wal_insert_lsn()"));
        w(f->q);
        /* A commit that is flushed, behind them all. */
        t_run(f, f->sql, "SET synchronous_commit = on; CREATE TABLE mq.flushed (); DROP TABLE mq.flushed");
        bytes = bytes_since(f, from);
        assert_true(bytes > 0);
        if (i == 0 || bytes < least)
            least = bytes;
    }
    return least / (double)messages;
}

/* By COPY. */
static void send_large(pgq *q)
{
    static const char payload[64] = "sixty-four bytes, most of them zero";
    static pgq_outgoing out[COPIED];

    for (int i = 0; i < COPIED; i++)
        out[i] = (pgq_outgoing){payload, sizeof payload, NULL};
    assert_ok(q, pgq_enqueue_many(q, B_QUEUE, out, COPIED, 0, NULL, NULL));
}

static void send_and_pop(pgq *q)
{
    for (int i = 0; i < ROUNDS; i++) {
        b_send(q, BATCH);
        b_pop(q, BATCH);
    }
}

static void send_and_scope(pgq *q)
{
    for (int i = 0; i < SINGLES; i++) {
        b_send(q, 1);
        assert_ok(q, pgq_dequeue(q, B_QUEUE, b_nothing, NULL));
    }
}

static void lease_and_ack(pgq *q)
{
    pgq_receipt receipts[BATCH];

    for (int i = 0; i < ROUNDS; i++) {
        b_receive(q, BATCH, receipts);
        assert_ok(q, pgq_ack(q, receipts, BATCH, NULL, NULL));
    }
}

static void send_all(pgq *q)
{
    for (int i = 0; i < ROUNDS; i++)
        b_send(q, BATCH);
}

static void send_lease_and_ack(pgq *q)
{
    pgq_receipt receipts[BATCH];

    for (int i = 0; i < ROUNDS; i++) {
        b_send(q, BATCH);
        b_receive(q, BATCH, receipts);
        assert_ok(q, pgq_ack(q, receipts, BATCH, NULL, NULL));
    }
}

static void test_wal(void **state)
{
    static const struct {
        const char *what;
        work prepare, work;
        long messages;
    } cases[] = {
        {"send and pop by 100", NULL, send_and_pop, BATCH * ROUNDS},
        {"send and scope, one by one", NULL, send_and_scope, SINGLES},
        {"lease and ack by 100", send_all, lease_and_ack, BATCH * ROUNDS},
        {"send, lease and ack by 100", NULL, send_lease_and_ack, BATCH * ROUNDS},
        {"send by 10000", NULL, send_large, COPIED},
    };
    const fixture *f = *state;
    int kept = 1;

    need_walinspect(f);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        kept &= b_keeps(budgets, COUNT_OF(budgets), cases[i].what,
                        bytes_of(f, cases[i].prepare, cases[i].work, cases[i].messages));
    assert_true(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {BUDGET_TEST(test_wal)};

    return RUN_WITH_SERVER(tests);
}
