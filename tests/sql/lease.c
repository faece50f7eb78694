/* SPDX-License-Identifier: MIT */
/* Leases: what was received stays its consumer's whatever becomes of the connection, until it is settled or
 * runs out; and nobody settles what another has. */
#include "session.h"

#include <stdio.h>

static PGconn *a, *b, *c;

/* Waits until the leases of every message have run out. */
static void run_out(void)
{
    wait_until(a,
               "SELECT clock_timestamp() > COALESCE(max(due), '-infinity') FROM mq.message WHERE state = 2");
}

/* And until somebody has noticed. */
static void take_back(void)
{
    run_out();
    run(a, "SELECT mq.clean('q')");
}

static void received(void)
{
    run(a, "SELECT mq.create_queue('q', lease => 60), mq.enqueue_many('q', '{1,2,3}')");
    PGconn *consumer = session_open();
    check_text("1|in_flight|1|0|t|t,2|in_flight|1|0|t|t",
               text(consumer,
                    "SELECT body, state, attempts, errors, first_received >= sent,"
                    " due BETWEEN clock_timestamp() + interval '50 s' AND clock_timestamp() + interval '60 s'"
                    " FROM mq.receive('q', 2)"));
    PQfinish(consumer); /* a lease outlives its connection */
    check_text("1|0|0|2|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("1,2", text(b, "SELECT body FROM mq.list('q', 'in_flight')"));
    check_text("3", text(b, "SELECT body FROM mq.peek('q', 9)"));
    check_text("3", text(b, "SELECT body FROM mq.receive('q', 9)"));
    check_int(0, number(b, "SELECT count(*) FROM mq.receive('q', 9)"));
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q', 9)"));
    check_int(0, number(b, "SELECT count(*) FROM mq.dequeue('q', 9)"));
    check_text("f,f,f", text(b, "SELECT mq.cancel(id) FROM mq.list('q', 'in_flight')"));
    check_text("in_flight,in_flight,in_flight",
               text(b, "SELECT mq.reschedule(id, 0) FROM mq.list('q', 'in_flight')"));
    check_text("in_flight,in_flight,in_flight",
               text(b, "SELECT (mq.receive_id(id)).state FROM mq.list('q', 'in_flight')"));
    check_text("done,done,done", text(c, "SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')"));
    check_text("0|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
    check_int(0, number(b, "SELECT count(*) FROM mq.message"));
}

/* A lease that nobody settled comes back, counted, whoever looks: by each way of taking, and by clean. */
static void expiry(void)
{
    static const char *const looks[] = {
        "SELECT count(*) FROM mq.pop('q')",
        "SELECT count(*) FROM mq.receive('q', 9)",
        "SELECT count(*) FROM mq.dequeue('q', 9)",
        "SELECT 0 FROM mq.clean('q')",
        "SELECT 0 FROM mq.clean()",
        "SELECT 0 FROM mq._promote_queue('q', '-infinity', true)",
    };
    for (unsigned i = 0; i < sizeof looks / sizeof *looks; i++) {
        run(a, "SELECT mq.reset(), mq.create_queue('q', retry_delay => 600)");
        long long id = number(a, "SELECT mq.enqueue('q', 'm', 7)");
        check_int(1, number(a, "SELECT attempts FROM mq.receive('q', 1, 0.001)"));
        run_out();
        check_text("0|0|0|1|0", text(b, "SELECT * FROM mq.count('q')"));
        check_int(0, number(b, "%s", looks[i]));
        check_text("0|1|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
        check_text("m|7|1|1|the lease ran out|t",
                   text(b, "SELECT body, priority, attempts, errors, last_error,"
                           " due BETWEEN now() + interval '500 s' AND now() + interval '600 s'"
                           " FROM mq.list('q', 'delayed')"));
        check_int(id, number(b, "SELECT id FROM mq.list('q', 'delayed')"));
    }
    run(a, "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3}')");
    run(a, "SELECT mq.receive('q', 3, 0.001)");
    take_back();
    check_text("1|2|1|t,2|2|1|t,3|2|1|t",
               text(b, "SELECT body, attempts, errors, first_received < due FROM mq.receive('q', 9)"));
}

/* Zero is a lease that runs out at once. */
static void no_time(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 3), mq.enqueue('q', 'm')");
    check_text("1", text(a, "SELECT attempts FROM mq.receive('q', 1, 0)"));
    take_back();
    check_text("2", text(b, "SELECT attempts FROM mq.receive('q', 1, 0)"));
    take_back();
    check_text("3", text(c, "SELECT attempts FROM mq.receive('q', 1, 0)"));
    check_int(0, number(a, "SELECT count(*) FROM mq.receive('q')"));
    check_text("3|3|error_limit", text(a, "SELECT attempts, errors, reason FROM mq.list('q', 'dead')"));
}

/* Who has lost the message can do nothing about it, in any way, however often it asks. */
static void fenced(long long id, int attempt, const char *answer)
{
    static const char *const asks[] = {
        "ack(id, attempt)",     "nack(id, attempt)",   "nack(id, attempt, 'e', false)",
        "release(id, attempt)", "extend(id, attempt)", "extend(id, attempt, 0)"};
    const char *before =
        text(c, "SELECT xmin, xmax, ctid, state, attempts, errors, due, position FROM mq.message");
    for (unsigned i = 0; i < sizeof asks / sizeof *asks; i++)
        check_text(answer, text(a, "SELECT mq.%s FROM (SELECT %lld::bigint AS id, %d AS attempt) r", asks[i],
                                id, attempt));
    check_text(answer, text(a, "SELECT outcome FROM mq.ack_many('{%lld}', '{%d}')", id, attempt));
    check_text(answer, text(a, "SELECT outcome FROM mq.nack_many('{%lld}', '{%d}')", id, attempt));
    check_text(answer, text(a, "SELECT outcome FROM mq.release_many('{%lld}', '{%d}')", id, attempt));
    check_text(answer, text(a, "SELECT outcome FROM mq.extend_many('{%lld}', '{%d}')", id, attempt));
    check_text(before,
               text(c, "SELECT xmin, xmax, ctid, state, attempts, errors, due, position FROM mq.message"));
}

static void fence(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 9)");
    long long id = number(a, "SELECT mq.enqueue('q', 'm')");
    fenced(id, 0, "stale"); /* nobody has it */
    fenced(id, 1, "stale");
    check_int(1, number(a, "SELECT attempts FROM mq.receive('q', 1, 0.001)"));
    fenced(id, 0, "stale");
    fenced(id, 2, "stale");
    take_back();
    check_int(2, number(b, "SELECT attempts FROM mq.receive('q', 1, 60)"));
    fenced(id, 1, "stale"); /* another one's lease */
    fenced(id, 3, "stale");
    check_text("returned", text(b, "SELECT mq.nack(%lld, 2, 'no', NULL, 600)", id));
    fenced(id, 2, "stale"); /* delayed */
    fenced(id, 3, "stale");
    check_text("ready", text(b, "SELECT mq.reschedule(%lld, 0)", id));
    fenced(id, 2, "stale"); /* ready */
    fenced(id, 3, "stale");
    run(b, "BEGIN");
    check_int(3, number(b, "SELECT attempts FROM mq.dequeue('q')"));
    fenced(id, 2, "stale"); /* another one's scope */
    fenced(id, 3, "stale");
    run(b, "COMMIT");
    check_int(4, number(b, "SELECT attempts FROM mq.receive('q')"));
    check_text("dead", text(b, "SELECT mq.nack(%lld, 4, 'no', false)", id));
    fenced(id, 4, "stale"); /* a dead letter */
    check_int(1, number(b, "SELECT mq.requeue_dead('q')"));
    fenced(id, 4, "stale");
    fenced(id, 5, "stale");
    check_int(5, number(b, "SELECT attempts FROM mq.receive('q')"));
    fenced(id, 4, "stale");
    check_text("done", text(b, "SELECT mq.ack(%lld, 5)", id));
    fenced(id, 5, "not_found");
    fenced(-1, 0, "not_found");
}

/* A lease that ran out and that nobody has noticed is still its consumer's. */
static void late_but_first(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3,4}')");
    run(a, "SELECT mq.receive('q', 4, 0.001)");
    run_out();
    check_text("done", text(a, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '1'"));
    check_text("extended", text(a, "SELECT mq.extend(id, 1, 60) FROM mq.message WHERE payload = '2'"));
    check_text("returned",
               text(a, "SELECT mq.nack(id, 1, NULL, NULL, 600) FROM mq.message WHERE payload = '3'"));
    check_text("released", text(a, "SELECT mq.release(id, 1) FROM mq.message WHERE payload = '4'"));
    check_text("1|1|0|1|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("4|2|0", text(b, "SELECT body, attempts, errors FROM mq.receive('q', 9)"));
}

static void extended(void)
{
    run(a, "SELECT mq.create_queue('q', lease => 50), mq.enqueue('q', 'own', lease => 70), mq.enqueue('q', "
           "'m')");
    run(a, "SELECT mq.receive('q', 2, 10)");
#define LEFT(body)                                                                                           \
    text(b, "SELECT round(extract(epoch FROM due - clock_timestamp()) / 10) FROM mq.message WHERE payload "  \
            "= '" body "'")
    check_text("7", LEFT("own"));
    check_text("1", LEFT("m"));
    check_text("extended,extended", text(a, "SELECT mq.extend(id, 1) FROM mq.message"));
    check_text("7", LEFT("own"));
    check_text("5", LEFT("m"));
    check_text("extended", text(a, "SELECT mq.extend(id, 1, 600) FROM mq.message WHERE payload = 'm'"));
    check_text("60", LEFT("m"));
    check_text("extended", text(a, "SELECT mq.extend(id, 1, 20) FROM mq.message WHERE payload = 'm'"));
    check_text("2", LEFT("m"));
    check_text("1,1", text(b, "SELECT attempts FROM mq.message"));
    /* Rolled back, it has not been. */
    run(a, "BEGIN");
    check_text("extended", text(a, "SELECT mq.extend(id, 1, 600) FROM mq.message WHERE payload = 'm'"));
    run(a, "ROLLBACK");
    check_text("2", LEFT("m"));
    check_text("released", text(a, "SELECT mq.extend(id, 1, 0) FROM mq.message WHERE payload = 'm'"));
    check_text("m|2|0", text(b, "SELECT body, attempts, errors FROM mq.receive('q', 9)"));
    check_text("m|extended,own|extended",
               text(a, "SELECT convert_from(payload, 'UTF8'), outcome FROM mq.message m, mq.extend_many("
                       "ARRAY(SELECT id FROM mq.message ORDER BY id), ARRAY[1, 2], 9999999) s"
                       " WHERE s.message_id = m.id ORDER BY 1"));
    check_text("1000000,1000000",
               text(b, "SELECT round(extract(epoch FROM due - clock_timestamp()) / 10) FROM mq.message"));
}

static void released(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 1, retry_delay => 600, requeue => false, "
           "requeue_priority => 1),"
           " mq.enqueue_many('q', '{1,2}', 7)");
    long long id = number(a, "SELECT id FROM mq.receive('q')");
    for (int i = 1; i < 5; i++) {
        check_text("released", text(a, "SELECT mq.release(%lld, %d)", id, i));
        check_text("stale", text(a, "SELECT mq.release(%lld, %d)", id, i));
        /* No failure, no delay; at the tail of its own priority. */
        check_text("2,1", text(b, "SELECT body FROM mq.peek('q', 9)"));
        check_text("7|0", text(b, "SELECT priority, errors FROM mq.list('q', 'ready', 1, 1)"));
        run(b, "BEGIN; SELECT mq.dequeue('q')");
        check_int(i + 1, number(a, "SELECT attempts FROM mq.receive('q')"));
        check_text("released",
                   text(b, "SELECT mq.release(id, attempts + 1) FROM mq.message WHERE state = 0"));
        run(b, "ROLLBACK");
        check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')")); /* counts 2, whose limit is 1 */
        check_int(1, number(b, "SELECT mq.requeue_dead('q')"));
    }
}

/* Whatever is done with a lease in a transaction that is rolled back has not happened, and leaves no trace.
 */
static void settled_and_rolled_back(void)
{
    static const char *const ways[] = {"ack(id, 1)", "nack(id, 1, 'e')", "nack(id, 1, 'e', false)",
                                       "release(id, 1)", "extend(id, 1, 600)"};
    run(a, "SELECT mq.create_queue('q', error_limit => 2)");
    long long id = number(a, "SELECT mq.enqueue('q', 'm')");
    run(a, "SELECT mq.receive('q', 1, 60)");
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        for (int how = 0; how < 3; how++) {
            PGconn *s = session_open();
            run(s, how == 1 ? "BEGIN; SAVEPOINT s" : "BEGIN");
            check(text(s, "SELECT mq.%s FROM mq.message WHERE id = %lld", ways[i], id)[0] != 's');
            if (how == 2) {
                session_kill(s);
            } else {
                run(s, how == 1 ? "ROLLBACK TO s; COMMIT" : "ROLLBACK");
                PQfinish(s);
            }
            check_int(0, number(b, "SELECT count(*) FROM mq.receive('q', 9)"));
            check_text(
                "2|1|0|t",
                text(b, "SELECT state, attempts, errors, due < now() + interval '61 s' FROM mq.message"));
        }
    }
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id));
}

/* A receive that is rolled back, or whose client dies before the commit, was an attempt: the consumer may
 * have begun. */
static void receive_rolled_back(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 3), mq.enqueue('q', 'm')");
    run(a, "BEGIN; SELECT mq.receive('q'); ROLLBACK");
    check_text("1|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
    check_text("2|1", text(b, "SELECT attempts, errors FROM mq.receive('q', 1, 0)"));
    take_back();
    PGconn *victim = session_open();
    run(victim, "BEGIN; SELECT mq.receive('q')");
    session_kill(victim);
    check_int(0, number(b, "SELECT count(*) FROM mq.receive('q')"));
    check_text("3|3|error_limit|the consumer died or rolled back",
               text(b, "SELECT attempts, errors, reason, last_error FROM mq.list('q', 'dead')"));
}

/* Two that settle the same lease at once: the second waits, and is told. */
static void settled_twice_at_once(void)
{
    run(a, "SELECT mq.create_queue('q')");
    long long id = number(a, "SELECT mq.enqueue('q', 'm')");
    static const char *const seconds[] = {"ack(id, attempt)", "nack(id, attempt, 'second')",
                                          "extend(id, attempt, 9)", "release(id, attempt)"};
    int attempt = 0;
    for (unsigned i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        check_int(++attempt, number(a, "SELECT attempts FROM mq.receive('q')"));
        run(a, "BEGIN");
        check_text("returned", text(a, "SELECT mq.nack(%lld, %d, 'first')", id, attempt));
        start(b, "SELECT mq.%s FROM (SELECT %lld::bigint AS id, %d AS attempt) r", seconds[i], id, attempt);
        check(blocked(b));
        run(a, "COMMIT");
        check_text("stale", finish(b));
        check_text("first", text(c, "SELECT last_error FROM mq.peek('q')"));
        check_int(++attempt, number(a, "SELECT attempts FROM mq.receive('q')"));
        run(a, "BEGIN");
        check_text("extended", text(a, "SELECT mq.extend(%lld, %d, 60)", id, attempt));
        start(b, "SELECT mq.%s FROM (SELECT %lld::bigint AS id, %d AS attempt) r", seconds[i], id, attempt);
        check(blocked(b));
        run(a, "ROLLBACK");
        check(finish(b)[0] != 's'); /* nothing has happened: the second one does */
        if (i == 0) {
            id = number(a, "SELECT mq.enqueue('q', 'm')");
            attempt = 0;
        } else if (i == 2) {
            check_text("released", text(b, "SELECT mq.release(%lld, %d)", id, attempt));
        }
    }
}

/* An ack beside the look that finds the lease run out: one of them has it. */
static void settled_beside_expiry(void)
{
    run(a, "SELECT mq.create_queue('q')");
    long long id = number(a, "SELECT mq.enqueue('q', 'm')");
    run(a, "SELECT mq.receive('q', 1, 0)");
    run(b, "BEGIN; SELECT mq._promote_queue('q', '-infinity', true)");
    start(a, "SELECT mq.ack(%lld, 1)", id);
    check(blocked(a));
    run(b, "COMMIT");
    check_text("stale", finish(a));
    check_int(2, number(a, "SELECT attempts FROM mq.receive('q', 1, 0)"));
    run(a, "BEGIN");
    check_text("done", text(a, "SELECT mq.ack(%lld, 2)", id));
    check_int(0, number(b, "SELECT count(*) FROM mq.receive('q')")); /* passes it by */
    run(a, "COMMIT");
    check_int(0, number(b, "SELECT count(*) FROM mq.message"));
}

/* What is due, and locked by somebody else, is passed by, and not chosen again and again. */
static void due_and_held(void)
{
    run(a, "SELECT mq.create_queue('q')");
    long long id = number(a, "SELECT mq.enqueue('q', 'm')");
    run(a, "SELECT mq.receive('q', 1, 0)");
    run(a, "BEGIN");
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id));
    run(b, "SET statement_timeout = '20s'");
    check_int(0, number(b, "SELECT returned FROM mq.clean('q')"));
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));
    check_int(0, number(b, "SELECT count(*) FROM mq.dequeue('q')"));
    run(a, "ROLLBACK");
    check_int(1, number(b, "SELECT returned FROM mq.clean('q')"));
    run(b, "RESET statement_timeout");
}

static void many_at_once(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', array_fill('x'::text, ARRAY[5]))");
    run(a, "SELECT mq.receive('q', 4)");
    long long first = number(a, "SELECT min(id) FROM mq.message");
    /* In any order, twice, strange ones among them: each is told. */
    check_text("-1|not_found,0|done,0|not_found,1|done,4|stale,9223372036854775807|not_found",
               text(a,
                    "SELECT CASE WHEN message_id BETWEEN %lld AND %lld THEN message_id - %lld ELSE "
                    "message_id END, outcome"
                    " FROM mq.ack_many(ARRAY[%lld, 9223372036854775807, -1, %lld, %lld, %lld],"
                    " ARRAY[1, 1, 1, 1, 2, 1]) ORDER BY 1, 2",
                    first, first + 9, first, first + 1, first, first, first + 4));
    check_text("2|returned,3|stale",
               text(a,
                    "SELECT message_id - %lld, outcome FROM mq.nack_many(ARRAY[%lld, %lld],"
                    " ARRAY[2, 1], 'e', NULL, 600) ORDER BY 1",
                    first, first + 3, first + 2));
    check_text("2|stale,3|released",
               text(a,
                    "SELECT message_id - %lld, outcome FROM mq.release_many(ARRAY[%lld, %lld],"
                    " ARRAY[1, 1]) ORDER BY 1",
                    first, first + 3, first + 2));
    check_text("2|1|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
    /* A thousand in one call. */
    run(a, "SELECT mq.enqueue_many('q', array_fill('x'::text, ARRAY[1000]))");
    check_int(1002, number(a, "SELECT count(*) FROM mq.receive('q', 1002)"));
    check_text("done|1002", text(a, "SELECT outcome, count(*) FROM mq.list('q', 'in_flight', 2000) i,"
                                    " LATERAL mq.ack_many(ARRAY[i.id], ARRAY[i.attempts]) GROUP BY 1"));
    check_text("0|1|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
}

/* Own work, the ack and the next send in one transaction. */
static void in_one_transaction(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.create_queue('next'), mq.enqueue('q', 'm'); CREATE TEMP TABLE "
           "work (n integer)");
    run(a, "SELECT mq.receive('q', 1, 0.001)");
    take_back();
    run(a, "BEGIN; INSERT INTO work VALUES (1); SELECT mq.enqueue('next', 'n')");
    check_int(2, number(b, "SELECT attempts FROM mq.receive('q')"));
    check_text("stale", text(a, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = 'm'"));
    run(a, "ROLLBACK"); /* as a consumer must that hears it */
    check_int(0, number(c, "SELECT count(*) FROM mq.pop('next')"));
    run(b, "BEGIN; SELECT mq.enqueue('next', 'n')");
    check_text("done", text(b, "SELECT mq.ack(id, 2) FROM mq.message WHERE payload = 'm'"));
    run(b, "COMMIT");
    check_text("n", text(c, "SELECT body FROM mq.pop('next')"));
    check_int(0, number(c, "SELECT count(*) FROM mq.message"));
}

/* With one snapshot for the transaction nothing is settled that another has settled since. */
static void repeatable_read(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2}')");
    run(a, "SELECT mq.receive('q', 2, 0.001)");
    run_out();
    run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM mq.message");
    run(b, "SELECT mq.clean('q')");
    check_text("2,2", text(b, "SELECT attempts FROM mq.receive('q', 2)"));
    check_text("40001", state(a, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '1'"));
    run(a, "ROLLBACK");
    run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    check_text("stale", text(a, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '1'"));
    check_text("done", text(a, "SELECT mq.ack(id, 2) FROM mq.message WHERE payload = '1'"));
    run(a, "COMMIT");
    run(a, "BEGIN ISOLATION LEVEL SERIALIZABLE");
    check_text("extended|released", text(a, "SELECT mq.extend(id, 2), mq.release(id, 2) FROM mq.message"));
    run(a, "COMMIT");
    check_text("2|3", text(b, "SELECT body, attempts FROM mq.receive('q')"));
}

/* Many consumers, leases of every length, settled in every way: nobody settles twice, and the books balance.
 */
static void storm(void)
{
    PGconn *p[6];
    long long done = 0;
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', array_fill('x'::text, ARRAY[300]))");
    for (int i = 0; i < 6; i++)
        p[i] = session_open();
    for (int round = 0; round < 40; round++) {
        static const char *const ways[] = {"ack(id, attempts)", "nack(id, attempts, 'e')",
                                           "release(id, attempts)", "extend(id, attempts, 0.001)",
                                           "ack(id, attempts - 1)"};
        for (int i = 0; i < 6; i++)
            start(p[i], "SELECT count(*) FILTER (WHERE mq.%s = 'done') FROM mq.receive('q', %d, %s)",
                  ways[(round + i) % 5], 1 + (round + i) % 9, i % 2 ? "60" : "0");
        for (int i = 0; i < 6; i++) {
            long long n = 0;
            check_int(1, sscanf(finish(p[i]), "%lld", &n));
            done += n;
        }
    }
    check_int(300 - done, number(a, "SELECT count(*) FROM mq.message"));
    check_int(0, number(a, "SELECT count(*) FROM mq.message WHERE errors > attempts OR attempts < 0"));
    check(done > 50 && done < 300);
    for (int i = 0; i < 6; i++)
        PQfinish(p[i]);
}

int main(void)
{
    a = session_open();
    b = session_open();
    c = session_open();
    TEST(received);
    TEST(expiry);
    TEST(no_time);
    TEST(fence);
    TEST(late_but_first);
    TEST(extended);
    TEST(released);
    TEST(settled_and_rolled_back);
    TEST(receive_rolled_back);
    TEST(settled_twice_at_once);
    TEST(settled_beside_expiry);
    TEST(due_and_held);
    TEST(many_at_once);
    TEST(in_one_transaction);
    TEST(repeatable_read);
    TEST(storm);
    PQfinish(a);
    PQfinish(b);
    PQfinish(c);
    return finished();
}
