/* SPDX-License-Identifier: MIT */
/* Scopes beside each other: what is seen when, who gets what, in which order, and who may settle it. */
#include "session.h"

#include <stdio.h>
#include <string.h>

static PGconn *a, *b, *c;

static void commit_makes_visible(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(a, "BEGIN; SELECT mq.enqueue('q', 'm')");
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));
    check_text("0|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("m", text(a, "SELECT body FROM mq.peek('q')"));
    run(a, "COMMIT");
    check_text("m", text(b, "SELECT body FROM mq.pop('q')"));

    run(a, "BEGIN; SELECT mq.enqueue('q', 'never'); ROLLBACK");
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));

    run(a, "BEGIN; SELECT mq.enqueue('q', '1'); SAVEPOINT s; SELECT mq.enqueue('q', '2'); ROLLBACK TO s; "
           "COMMIT");
    check_text("1", text(b, "SELECT body FROM mq.pop('q', 10)"));
}

static void own_message_in_one_transaction(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(a, "BEGIN; SELECT mq.enqueue('q', 'm')");
    check_text("m|1", text(a, "SELECT body, attempts FROM mq.dequeue('q')"));
    check_int(0, number(a, "SELECT count(*) FROM mq.dequeue('q')"));
    check_text("done", text(a, "SELECT mq.ack(id, attempts + 1) FROM mq.message"));
    run(a, "COMMIT");
    check_int(0, number(b, "SELECT count(*) FROM mq.message"));
}

static void others_pass_by(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3}')");
    run(a, "BEGIN");
    run(b, "BEGIN");
    run(c, "BEGIN");
    check_text("1", text(a, "SELECT body FROM mq.dequeue('q')"));
    check_text("2", text(b, "SELECT body FROM mq.dequeue('q')"));
    check_text("3", text(c, "SELECT body FROM mq.dequeue('q', 9)"));
    check_int(0, number(c, "SELECT count(*) FROM mq.dequeue('q')"));
    check_text("0|0|0|3|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("1,2,3", text(b, "SELECT body FROM mq.list('q', 'in_flight')"));
    check_int(0, number(b, "SELECT count(*) FROM mq.peek('q', 9)"));
    /* Each settles its own, whoever began first. */
    check_text("done", text(c, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '3'"));
    check_text("done", text(b, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '2'"));
    check_text("done", text(a, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '1'"));
    run(c, "COMMIT");
    run(b, "COMMIT");
    run(a, "COMMIT");
    check_int(0, number(b, "SELECT count(*) FROM mq.message"));
}

static void held_twice_by_none(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2}')");
    run(a, "BEGIN");
    run(b, "BEGIN");
    check_text("1", text(a, "SELECT body FROM mq.dequeue('q')"));
    check_text("2", text(b, "SELECT body FROM mq.dequeue('q')"));
    /* The younger one of two open transactions knows what it holds. */
    check_int(0, number(b, "SELECT count(*) FROM mq.dequeue('q')"));
    check_int(0, number(a, "SELECT count(*) FROM mq.dequeue('q')"));
    check_text("0|0|0|2|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("t,t", text(b, "SELECT errors = 0 FROM mq.message"));
    run(a, "ROLLBACK");
    run(b, "ROLLBACK");
}

static void not_held(void)
{
    run(a, "SELECT mq.create_queue('q')");
    long long id = number(a, "SELECT mq.enqueue('q', 'm')");
    const char *before = text(a, "SELECT xmin, xmax, ctid, attempts, errors FROM mq.message");
    check_text("stale|stale", text(a, "SELECT mq.ack(%lld, 1), mq.nack(%lld, 1, 'no')", id, id));
    check_text("stale|stale", text(a, "SELECT mq.ack(%lld, 0), mq.nack(%lld, NULL, 'no')", id, id));
    check_text(before, text(a, "SELECT xmin, xmax, ctid, attempts, errors FROM mq.message"));

    run(a, "BEGIN");
    check_text("1", text(a, "SELECT attempts FROM mq.dequeue('q')"));
    check_text("stale|stale", text(b, "SELECT mq.ack(%lld, 1), mq.nack(%lld, 1, 'no')", id, id));
    check_text("stale|stale", text(a, "SELECT mq.ack(%lld, 2), mq.nack(%lld, 2, 'no')", id, id));
    check_text("stale|stale", text(a, "SELECT mq.ack(%lld, NULL), mq.nack(%lld, 0, 'no')", id, id));
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id));
    check_text("not_found|not_found", text(a, "SELECT mq.ack(%lld, 1), mq.nack(%lld, 1, 'no')", id, id));
    run(a, "ROLLBACK");
    check_text("stale|stale", text(a, "SELECT mq.ack(%lld, 1), mq.nack(%lld, 1, 'no')", id, id));
    /* The attempt of a rolled-back scope is over: it does not settle what another took since. */
    check_int(0, number(b, "SELECT count(*) FROM mq.dequeue('q')"));
    run(b, "BEGIN");
    check_text("2", text(b, "SELECT attempts FROM mq.dequeue('q')"));
    check_text("stale|stale", text(a, "SELECT mq.ack(%lld, 1), mq.nack(%lld, 1, 'no')", id, id));
    check_text("returned", text(b, "SELECT mq.nack(%lld, 2, 'yes')", id));
    run(b, "COMMIT");
    check_text("2|2|yes", text(a, "SELECT attempts, errors, last_error FROM mq.peek('q')"));
}

static void savepoints(void)
{
    run(a, "SELECT mq.create_queue('q'); CREATE TEMP TABLE work (n integer)");
    long long id = number(a, "SELECT mq.enqueue('q', 'm')");
    /* The work is undone, the message stays held, the failure is counted once and not handed out again. */
    run(a, "BEGIN");
    check_text("1", text(a, "SELECT attempts FROM mq.dequeue('q')"));
    run(a, "SAVEPOINT work; INSERT INTO work VALUES (1)");
    check_text("22012", state(a, "SELECT 1/0"));
    run(a, "ROLLBACK TO work");
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));
    check_text("returned", text(a, "SELECT mq.nack(%lld, 1, 'division')", id));
    check_int(0, number(a, "SELECT count(*) FROM mq.dequeue('q', 9)"));
    run(a, "COMMIT");
    check_int(0, number(a, "SELECT count(*) FROM work"));
    check_text("2|1|division", text(b, "SELECT attempts, errors, last_error FROM mq.pop('q')"));

    /* Settled behind a savepoint that is rolled back: it is still held, and can be settled again. */
    id = number(a, "SELECT mq.enqueue('q', 'n')");
    run(a, "BEGIN; SELECT mq.dequeue('q'); SAVEPOINT s");
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id));
    run(a, "ROLLBACK TO s");
    check_text("0|0|0|1|0", text(b, "SELECT * FROM mq.count('q')"));
    check_int(0, number(a, "SELECT count(*) FROM mq.dequeue('q')"));
    check_text("returned", text(a, "SELECT mq.nack(%lld, 1, 'once')", id));
    run(a, "ROLLBACK TO s");
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id));
    run(a, "COMMIT");
    check_int(0, number(b, "SELECT count(*) FROM mq.message"));

    /* Taken behind a savepoint: rolled back, it is free; released, it is held. */
    id = number(a, "SELECT mq.enqueue('q', 'o')");
    run(a, "BEGIN; SAVEPOINT s; SELECT mq.dequeue('q'); RELEASE s");
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id));
    run(a, "ROLLBACK");
    check_text("1|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
}

static void priority_then_first_in(void)
{
    run(a, "SELECT mq.create_queue('q', priority => 5)");
    run(a,
        "SELECT mq.enqueue('q', 'd'), mq.enqueue('q', 'e'), mq.enqueue('q', 'g', 6), mq.enqueue('q', 'a', 0),"
        " mq.enqueue('q', 'f', 5), mq.enqueue('q', 'c', 4), mq.enqueue('q', 'b', 0), mq.enqueue('q', 'h', "
        "2147483647)");
    check_text("a,b,c,d,e,f,g,h", text(b, "SELECT body FROM mq.peek('q', 9)"));
    check_text("a,b,c", text(b, "SELECT body FROM mq.pop('q', 3)"));
    check_text("d,e,f,g,h", text(b, "SELECT body FROM mq.pop('q', 9)"));
}

/* Ten producers send by turns, in transactions of one to three messages; one consumer. */
static void each_producer_in_its_order(void)
{
    PGconn *p[10];
    int sent[10] = {0}, got[10] = {0}, total = 0;
    run(a, "SELECT mq.create_queue('q')");
    for (int i = 0; i < 10; i++)
        p[i] = session_open();
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 10; i++) {
            start(p[i],
                  "SELECT mq.enqueue_many('q', ARRAY(SELECT '%d ' || n FROM generate_series(%d, %d) n))", i,
                  sent[i], sent[i] + (i + round) % 3);
            sent[i] += (i + round) % 3 + 1;
        }
        for (int i = 0; i < 10; i++)
            check(finish(p[i])[0] == '{');
    }
    for (;;) {
        const char *body = text(b, "SELECT body FROM mq.pop('q', 1)");
        int producer, n;
        if (sscanf(body, "%d %d", &producer, &n) != 2)
            break;
        check_int(got[producer], n);
        got[producer] = n + 1;
        total++;
    }
    for (int i = 0; i < 10; i++) {
        check_int(sent[i], got[i]);
        PQfinish(p[i]);
    }
    check_int(600, total);
}

static void returned_goes_to_the_tail(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3}', 7), mq.enqueue('q', 'low', 8)");
    check_text("returned", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q')"));
    check_text("2,3,1,low", text(a, "SELECT body FROM mq.peek('q', 9)"));
    /* A failed message does not come back in the transaction that failed it: the next one does. */
    run(a, "BEGIN");
    check_text("2|returned", text(a, "SELECT body, mq.nack(id, attempts, 'e') FROM mq.dequeue('q')"));
    check_text("3|returned", text(a, "SELECT body, mq.nack(id, attempts, 'e') FROM mq.dequeue('q')"));
    check_text("1", text(a, "SELECT body FROM mq.dequeue('q')"));
    check_text("low", text(a, "SELECT body FROM mq.dequeue('q', 9)"));
    run(a, "COMMIT");
    /* 1 and low were held and not settled: their attempts failed. */
    check_text("2,3", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_text("1|3|2,low|2|1", text(b, "SELECT body, attempts, errors FROM mq.pop('q', 9)"));
}

static void delayed(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue('q', 'later', delay => 0.3), mq.enqueue('q', 'much "
           "later', delay => 600)");
    check_text("later,much later", text(b, "SELECT body FROM mq.list('q', 'delayed')"));
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));
    wait_until(b, "SELECT clock_timestamp() > min(due) FROM mq.message");
    check_text(
        "later|1|0|t",
        text(b,
             "SELECT body, attempts, errors, first_received >= sent + interval '0.3 s' FROM mq.pop('q', 9)"));
    check_text("0|1|0|0|0", text(b, "SELECT * FROM mq.count('q')"));

    /* Due ones pass from hand to hand like any other, and a rollback counts as for any other. */
    run(a, "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3}', delay => 0.001)");
    wait_until(b, "SELECT clock_timestamp() > max(due) FROM mq.message");
    run(a, "BEGIN");
    check_text("1", text(a, "SELECT body FROM mq.dequeue('q')"));
    check_text("2,3", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_text("returned", text(a, "SELECT mq.nack(id, 1, 'e') FROM mq.list('q', 'in_flight')"));
    run(a, "COMMIT");
    check_text("1|2|1|e", text(b, "SELECT body, attempts, errors, last_error FROM mq.pop('q')"));
}

/* Many consumers fall upon many due messages at once: each is taken once, and none is thought to have failed.
 */
static void due_all_at_once(void)
{
    PGconn *p[8];
    long long got = 0;
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', array_fill('x'::text, ARRAY[4000]), delay => "
           "0.05)");
    wait_until(b, "SELECT clock_timestamp() > max(due) FROM mq.message");
    for (int i = 0; i < 8; i++)
        p[i] = session_open();
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 8; i++)
            start(p[i], "SELECT count(*) FROM mq.pop('q', 40) WHERE attempts = 1 AND errors = 0");
        for (int i = 0; i < 8; i++) {
            long long n = 0;
            check_int(1, sscanf(finish(p[i]), "%lld", &n));
            got += n;
        }
    }
    for (int i = 0; i < 8; i++)
        PQfinish(p[i]);
    check_text("0|0|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
    check_int(4000, got);
}

static void expired(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue('q', 'brief', ttl => 0.05), mq.enqueue('q', 'long', ttl "
           "=> 600),"
           " mq.enqueue('q', 'never due', delay => 0.06, ttl => 0.05)");
    wait_until(b, "SELECT clock_timestamp() > max(sent) + interval '70 ms' FROM mq.message");
    check_text("long", text(b, "SELECT body FROM mq.peek('q', 9)"));
    check_int(1, number(b, "SELECT ready FROM mq.count('q')"));
    check_text("long", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_int(0, number(b, "SELECT count(*) FROM mq.message"));
    check_int(0, number(b, "SELECT dead FROM mq.count('q')"));
}

/* One snapshot serves the whole transaction, which is older than its own xid and than what others do. */
static void repeatable_read(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2}')");
    run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    for (int i = 0; i < 3; i++)
        run(b, "SELECT pg_current_xact_id()");
    check_text("1", text(a, "SELECT body FROM mq.dequeue('q')"));
    check_text("2", text(a, "SELECT body FROM mq.dequeue('q')"));
    check_int(0, number(a, "SELECT count(*) FROM mq.dequeue('q')"));
    check_text("0|0|0|2|0", text(a, "SELECT * FROM mq.count('q')"));
    check_text("done,done", text(a, "SELECT mq.ack(id, 1) FROM mq.list('q', 'in_flight')"));
    run(a, "COMMIT");
    check_int(0, number(b, "SELECT count(*) FROM mq.message"));
}

int main(void)
{
    a = session_open();
    b = session_open();
    c = session_open();
    TEST(commit_makes_visible);
    TEST(own_message_in_one_transaction);
    TEST(others_pass_by);
    TEST(held_twice_by_none);
    TEST(not_held);
    TEST(savepoints);
    TEST(priority_then_first_in);
    TEST(each_producer_in_its_order);
    TEST(returned_goes_to_the_tail);
    TEST(delayed);
    TEST(due_all_at_once);
    TEST(expired);
    TEST(repeatable_read);
    PQfinish(a);
    PQfinish(b);
    PQfinish(c);
    return finished();
}
