/* SPDX-License-Identifier: MIT */
/* What a failed attempt leaves: by nack, by rollback, by the backend's death; and what is no attempt. */
#include "session.h"

#include <stdio.h>
#include <string.h>

static PGconn *a, *b, *c;

static const char *DIED = "the consumer died or rolled back";

/* The outcome of the next look: what was abandoned is counted then, and back afterwards. */
static void count_lost(PGconn *conn)
{
    check_int(0, number(conn, "SELECT count(*) FROM mq.pop('q')"));
}

static void rollback_counts(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 9), mq.enqueue('q', 'm')");
    run(a, "BEGIN");
    check_text("m|1|0", text(a, "SELECT body, attempts, errors FROM mq.dequeue('q')"));
    run(a, "ROLLBACK");
    check_text("1|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
    count_lost(b);
    check_text("m|1|1|the consumer died or rolled back",
               text(b, "SELECT body, attempts, errors, last_error FROM mq.peek('q')"));
    run(a, "BEGIN");
    check_text("m|2|1|t", text(a, "SELECT body, attempts, errors, first_received < now() FROM mq.pop('q')"));
    run(a, "ROLLBACK");
    count_lost(b);
    check_text("m|3|2", text(b, "SELECT body, attempts, errors FROM mq.pop('q')"));
}

/* Committing a scope without settling its message is a failed attempt too. */
static void left_unsettled(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue('q', 'm')");
    run(a, "SELECT mq.dequeue('q')");
    count_lost(b);
    check_text("2|1", text(b, "SELECT attempts, errors FROM mq.pop('q')"));
}

static void killed_backend_counts(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3}')");
    PGconn *victim = session_open();
    run(victim, "BEGIN; SELECT mq.dequeue('q', 2); CREATE TABLE mq.leftover (n integer)");
    check_text("1|0|0|2|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("3", text(b, "SELECT body FROM mq.pop('q', 9)"));
    session_kill(victim);
    check_text("2|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
    count_lost(b);
    check_text("1|2|1|the consumer died or rolled back,2|2|1|the consumer died or rolled back",
               text(b, "SELECT body, attempts, errors, last_error FROM mq.pop('q', 9)"));
    check_text("", text(b, "SELECT relname FROM pg_class WHERE relname = 'leftover'"));

    /* In the middle of a statement. */
    run(a, "SELECT mq.enqueue('q', 'x')");
    victim = session_open();
    run(victim, "BEGIN; SELECT mq.pop('q')");
    start(victim, "SELECT pg_sleep(600)");
    session_kill(victim);
    count_lost(c);
    check_text("x|2|1", text(c, "SELECT body, attempts, errors FROM mq.pop('q')"));
}

/* What a claim has counted is undone with its transaction, and counted by the next one, once. */
static void counting_rolled_back(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue('q', 'm')");
    run(a, "BEGIN; SELECT mq.dequeue('q'); ROLLBACK");
    for (int i = 0; i < 3; i++) {
        run(b, "BEGIN");
        count_lost(b);
        run(b, "ROLLBACK");
    }
    count_lost(b);
    check_text("2|1", text(b, "SELECT attempts, errors FROM mq.pop('q')"));
}

static void fail_by(int way, long long id, const char *outcome)
{
    PGconn *victim = session_open();
    const char *attempt = text(victim, "SELECT attempts + 1 FROM mq.message WHERE id = %lld", id);
    run(victim, "BEGIN");
    check_text(attempt, text(victim, "SELECT attempts FROM mq.dequeue('q')"));
    if (way == 0) {
        check_text(outcome, text(victim, "SELECT mq.nack(%lld, %s, 'said no')", id, attempt));
        run(victim, "COMMIT");
    } else if (way == 1) {
        run(victim, "ROLLBACK");
    } else if (way == 2) {
        session_kill(victim);
    } else {
        run(victim, "SAVEPOINT s");
        check_text("22012", state(victim, "SELECT 1/0"));
        run(victim, "ROLLBACK TO s");
        check_text(outcome, text(victim, "SELECT mq.nack(%lld, %s, 'said no')", id, attempt));
        run(victim, "COMMIT");
    }
    if (way != 2)
        PQfinish(victim);
    if (way == 1 || way == 2)
        count_lost(b);
}

/* limit failures, and no more, then a dead letter; ways: the digits of fail_by, taken in turn. */
static void until_dead(const char *ways)
{
    int limit = (int)strlen(ways);
    run(a, "SELECT mq.reset(), mq.create_queue('q', error_limit => %d)", limit);
    long long id = number(a, "SELECT mq.enqueue('q', 'bad', 3, headers => '{\"h\":1}')");
    for (int i = 0; i < limit; i++) {
        check_text("1|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
        check_int(i, number(b, "SELECT errors FROM mq.message WHERE id = %lld", id));
        fail_by(ways[i] - '0', id, i + 1 < limit ? "returned" : "dead");
    }
    check_text("0|0|0|0|1", text(b, "SELECT * FROM mq.count('q')"));
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));
    int last = ways[limit - 1] - '0';
    check_int(id, number(b, "SELECT id FROM mq.list('q', 'dead')"));
    check_int(limit, number(b, "SELECT attempts FROM mq.list('q', 'dead')"));
    check_int(limit, number(b, "SELECT errors FROM mq.list('q', 'dead')"));
    check_text(last == 1 || last == 2 ? DIED : "said no",
               text(b, "SELECT last_error FROM mq.list('q', 'dead')"));
    check_text("bad|3|{\"h\":1}|dead|t|t",
               text(b, "SELECT body, priority, headers, state, died >= first_received, first_received >= sent"
                       " FROM mq.list('q', 'dead')"));
}

static void error_limit(void)
{
    static const char *const mixes[] = {"0", "1", "2", "3", "000", "111", "222", "333", "0123", "2102", "13"};
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        until_dead(mixes[i]);
}

static void no_limit(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue('q', 'm')");
    for (int i = 1; i <= 20; i++)
        check_text("returned", text(a, "SELECT mq.nack(id, attempts, NULL) FROM mq.dequeue('q')"));
    check_text("21|20|", text(a, "SELECT attempts, errors, last_error FROM mq.pop('q')"));
}

/* The head is never blocked by a message that fails again and again. */
static void poison_passes(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 2), mq.enqueue_many('q', '{poison,good}')");
    check_text("returned",
               text(a, "SELECT mq.nack(id, attempts, repeat('long', 5000)) FROM mq.dequeue('q')"));
    check_text("good", text(a, "SELECT body FROM mq.pop('q')"));
    check_int(10000, number(a, "SELECT length(last_error) FROM mq.peek('q')"));
    check_text("dead", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q')"));
    check_text("poison|e", text(a, "SELECT body, last_error FROM mq.list('q', 'dead')"));
}

static void dead_letters(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 1), mq.create_queue('other', error_limit => 1)");
    run(a, "SELECT mq.enqueue_many('q', '{1,2,3,4}'), mq.enqueue('other', 'o')");
    for (int i = 0; i < 4; i++)
        check_text("dead", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q')"));
    check_text("dead", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('other')"));
    check_text("2,3", text(a, "SELECT body FROM mq.list('q', 'dead', 2, 1)"));
    check_int(0,
              number(a, "SELECT mq.requeue_dead('q', (SELECT array_agg(id) FROM mq.list('other', 'dead')))"));
    check_int(
        1, number(a, "SELECT mq.requeue_dead('q', (SELECT array_agg(id) FROM mq.list('q', 'dead', 1, 2)))"));
    check_text("3|2|0|e", text(a, "SELECT body, attempts, errors, last_error FROM mq.pop('q', 9)"));
    check_int(1,
              number(a, "SELECT mq.purge_dead('q', (SELECT array_agg(id) FROM mq.list('q', 'dead', 1, 0)))"));
    run(a, "BEGIN");
    check_int(2, number(a, "SELECT mq.requeue_dead('q')"));
    check_text("0|0|0|0|2", text(b, "SELECT * FROM mq.count('q')"));
    run(a, "ROLLBACK");
    run(a, "SELECT mq.enqueue('q', 'first')");
    check_int(2, number(a, "SELECT mq.requeue_dead('q', NULL)"));
    check_text("first,2,4", text(a, "SELECT body FROM mq.peek('q', 9)"));
    check_text("3|0|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
    /* A clean count: it takes the limit's number of errors again. */
    check_text("dead,dead", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q', 2)"));
    check_int(2, number(a, "SELECT mq.purge_dead('q')"));
    check_text("1|0|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
    check_text("0|0|0|0|1", text(a, "SELECT * FROM mq.count('other')"));
}

/* Two that requeue at once requeue each letter once. */
static void requeue_beside_requeue(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 1), mq.enqueue_many('q', '{1,2,3}')");
    check_text("dead,dead,dead", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q', 9)"));
    run(a, "BEGIN");
    check_int(3, number(a, "SELECT mq.requeue_dead('q')"));
    start(b, "SELECT mq.requeue_dead('q')");
    check(blocked(b));
    run(a, "COMMIT");
    check_text("0", finish(b));
    check_text("3|0|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
}

static void cancel(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.create_queue('other')");
    long long id = number(a, "SELECT mq.enqueue('q', '1')");
    long long two = number(a, "SELECT mq.enqueue('q', '2')");
    long long late = number(a, "SELECT mq.enqueue('q', '3', delay => 600)");
    check_text("t", text(b, "SELECT mq.cancel(%lld)", late));
    check_text("f", text(b, "SELECT mq.cancel(%lld)", late));
    run(a, "BEGIN; SELECT mq.dequeue('q')");
    check_text("f", text(b, "SELECT mq.cancel(%lld)", id));
    check_text("f", text(a, "SELECT mq.cancel(%lld)", id));
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id));
    run(a, "COMMIT");
    check_text("f", text(b, "SELECT mq.cancel(%lld)", id));

    /* While it is open, nobody gets the message; rolled back, nothing has happened to it. */
    run(a, "BEGIN; SELECT mq.cancel(%lld)", two);
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));
    check_text("f", text(b, "SELECT mq.cancel(%lld)", two));
    run(a, "ROLLBACK");
    check_text("1|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("2|1|0|", text(b, "SELECT body, attempts, errors, last_error FROM mq.pop('q')"));
}

/* A rolled-back cancel is no attempt: not one, nor two, nor behind a savepoint, nor by a death, whatever else
 * is cancelled since. */
static void cancel_is_no_attempt(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 1), mq.create_queue('other'), mq.enqueue_many('q', "
           "'{1,2,3,4,5}')");
    long long first = number(a, "SELECT min(id) FROM mq.message");
    run(a, "BEGIN; SELECT mq.cancel(%lld); ROLLBACK", first);
    run(a, "BEGIN; SELECT mq.cancel(%lld); ROLLBACK", first + 1);
    run(a, "BEGIN; SAVEPOINT s; SELECT mq.cancel(%lld); ROLLBACK TO s; COMMIT", first + 2);
    run(a, "BEGIN; SAVEPOINT s; SELECT mq.cancel(%lld); RELEASE s; ROLLBACK", first + 3);
    PGconn *victim = session_open();
    run(victim, "BEGIN; SELECT mq.cancel(%lld)", first + 4);
    session_kill(victim);
    check_text("t", text(a, "SELECT mq.cancel(mq.enqueue('other', 'x'))"));
    check_text("5|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("1|1|0,2|1|0,3|1|0,4|1|0,5|1|0", text(b, "SELECT body, attempts, errors FROM mq.pop('q', 9)"));
    check_text("0|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
}

/* But an attempt after a rolled-back cancel counts, and so does one before it. */
static void cancel_hides_no_attempt(void)
{
    run(a, "SELECT mq.create_queue('q')");
    long long id = number(a, "SELECT mq.enqueue('q', 'm')");
    run(a, "BEGIN; SELECT mq.cancel(%lld); ROLLBACK", id);
    run(a, "BEGIN; SELECT mq.dequeue('q'); ROLLBACK");
    count_lost(b);
    check_text("1", text(b, "SELECT errors FROM mq.peek('q')"));
}

/* Many who take, fail, return and roll back at once: every failure is counted once, none is made up. */
static void storm(void)
{
    PGconn *p[6];
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', array_fill('x'::text, ARRAY[300]))");
    for (int i = 0; i < 6; i++)
        p[i] = session_open();
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 6; i++)
            start(p[i], "SELECT count(mq.nack(id, attempts, 'said no')) FROM mq.dequeue('q', %d)",
                  1 + (round + i) % 30);
        for (int i = 0; i < 6; i++)
            check(finish(p[i])[0] != '!');
    }
    check_int(300, number(a, "SELECT count(*) FROM mq.message"));
    check_int(
        0, number(a, "SELECT count(*) FROM mq.message WHERE last_error <> 'said no' OR errors <> attempts"));
    check(number(a, "SELECT sum(errors) FROM mq.message") > 1000);
    for (int i = 0; i < 6; i++)
        PQfinish(p[i]);
}

/* Settles what the transaction holds; how many. */
#define SETTLE(c, call)                                                                                      \
    number(c, "SELECT count(*) FILTER (WHERE mq." call " IN ('done', 'returned')) FROM mq.message"           \
              " WHERE xmax::text = pg_current_xact_id()::text")

/* Transactions that overlap, and end in every way: the books balance to the last attempt. None ends while
 * another one is taking: see docs/design.md, "A death leaves a trace", for the instant in which it may pass.
 */
static void balance(void)
{
    PGconn *p[5];
    long long failed = 0, done = 0; /* failed: of the messages that are left */
    long long taken[5];
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', array_fill('x'::text, ARRAY[400]))");
    for (int i = 0; i < 5; i++)
        p[i] = session_open();
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 5; i++)
            run(p[i], "BEGIN");
        for (int i = 0; i < 5; i++)
            start(p[i], "SELECT count(*) FROM mq.dequeue('q', %d)", 1 + (round + i) % 9);
        for (int i = 0; i < 5; i++)
            check_int(1, sscanf(finish(p[i]), "%lld", &taken[i]));
        for (int i = 0; i < 5; i++) {
            long long n = taken[i];
            int way = (round + i) % 4;
            if (way == 3) /* what is done takes its errors along */
                failed -= number(p[i], "SELECT COALESCE(sum(errors), 0) FROM mq.message"
                                       " WHERE xmax::text = pg_current_xact_id()::text");
            if (way == 0) {
                run(p[i], "ROLLBACK");
            } else if (way == 1) {
                session_kill(p[i]);
                p[i] = session_open();
            } else {
                check_int(n, way == 2 ? SETTLE(p[i], "nack(id, attempts + 1, 'said no')")
                                      : SETTLE(p[i], "ack(id, attempts + 1)"));
                run(p[i], "COMMIT");
            }
            *(way == 3 ? &done : &failed) += n;
        }
    }
    run(a, "BEGIN; SELECT mq.dequeue('q', 100000)"); /* finds and counts what is lost */
    check_int(failed, number(a, "SELECT sum(errors) FROM mq.message"));
    check_int(400 - done, number(a, "SELECT count(*) FROM mq.message"));
    run(a, "ROLLBACK");
    check(failed > 100 && done > 50 && done < 400);
    for (int i = 0; i < 5; i++)
        PQfinish(p[i]);
}

int main(void)
{
    a = session_open();
    b = session_open();
    c = session_open();
    TEST(rollback_counts);
    TEST(left_unsettled);
    TEST(killed_backend_counts);
    TEST(counting_rolled_back);
    TEST(error_limit);
    TEST(no_limit);
    TEST(poison_passes);
    TEST(dead_letters);
    TEST(requeue_beside_requeue);
    TEST(cancel);
    TEST(cancel_is_no_attempt);
    TEST(cancel_hides_no_attempt);
    TEST(storm);
    TEST(balance);
    PQfinish(a);
    PQfinish(b);
    PQfinish(c);
    return finished();
}
