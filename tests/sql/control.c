/* SPDX-License-Identifier: MIT */
/* What an operator does to a queue beside its users: pause, purge, clean, reschedule; and taking by id and by
 * filter. */
#include "session.h"

#include <stdio.h>

static PGconn *a, *b, *c;

static void sleeper(PGconn *s)
{
    run(s, "SELECT pg_advisory_unlock_all()");
    run(s, "LISTEN \"%s\"", text(s, "SELECT mq.channel('q')"));
    run(s, "SELECT mq.doze('q')");
    bells(s);
}

static void awake(PGconn *s)
{
    run(s, "SELECT pg_advisory_unlock_all()");
    run(s, "UNLISTEN *");
    bells(s);
}

static void paused(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.create_queue('other'), mq.enqueue_many('q', '{1,2,3}'), "
           "mq.enqueue('other', 'o')");
    long long held = number(a, "SELECT id FROM mq.receive('q')");
    run(b, "BEGIN; SELECT mq.dequeue('q')");
    run(a, "SELECT mq.pause('q')");
    check_text("other|f,q|t", text(a, "SELECT name, paused FROM mq.list_queues()"));
    static const char *const takes[] = {"pop('q', 9)", "receive('q', 9)", "dequeue('q', 9)"};
    for (unsigned i = 0; i < sizeof takes / sizeof *takes; i++)
        check_int(0, number(c, "SELECT count(*) FROM mq.%s", takes[i]));
    check_text("not_found", text(c, "SELECT (mq.receive_id(id)).state FROM mq.peek('q')"));
    check_text("o", text(c, "SELECT body FROM mq.pop('other')"));
    /* It takes messages still, what is in flight is settled as ever, and people may look. */
    run(a, "SELECT mq.enqueue('q', '4'), mq.enqueue('q', 'later', delay => 600)");
    check_text("done", text(b, "SELECT mq.ack(id, attempts + 1) FROM mq.message WHERE payload = '2'"));
    run(b, "COMMIT");
    check_text("extended", text(a, "SELECT mq.extend(%lld, 1, 60)", held));
    check_text("returned", text(a, "SELECT mq.nack(%lld, 1, 'e')", held));
    check_text("3|1|0|0|0", text(c, "SELECT * FROM mq.count('q')"));
    check_text("3,4,1", text(c, "SELECT body FROM mq.peek('q', 9)"));
    check_text("t", text(c, "SELECT paused FROM mq.stats('q')"));
    check_text("t", text(c, "SELECT due_in_ms IS NULL FROM mq.doze('q')"));
    run(c, "SELECT mq.awake('q')");
    /* Twice is once; rolled back is not at all. */
    run(a, "SELECT mq.pause('q')");
    run(a, "BEGIN; SELECT mq.resume('q'); ROLLBACK");
    check_int(0, number(c, "SELECT count(*) FROM mq.pop('q')"));
    run(a, "BEGIN; SELECT mq.resume('q')");
    check_int(0, number(c, "SELECT count(*) FROM mq.pop('q')"));
    run(a, "COMMIT");
    check_text("3,4,1", text(c, "SELECT body FROM mq.pop('q', 9)"));
    run(a, "SELECT mq.resume('q')");
    check_text("f,f", text(a, "SELECT paused FROM mq.list_queues()"));
}

/* Resuming wakes who sleeps, once; a queue that was not paused wakes nobody. */
static void resume_wakes(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.pause('q'), mq.enqueue('q', 'm')");
    sleeper(c);
    run(a, "BEGIN; SELECT mq.resume('q'); ROLLBACK");
    check_int(0, bells(c));
    run(a, "BEGIN; SELECT mq.resume('q')");
    check_text("t", text(c, "SELECT producing FROM mq.doze('q', true)"));
    check_int(0, bells(c));
    run(a, "COMMIT");
    check_int(1, wait_bell(c));
    check_text("m", text(c, "SELECT body FROM mq.pop('q')"));
    run(a, "SELECT mq.resume('q')");
    check_int(0, bells(c));
    run(a, "SELECT mq.pause('q')");
    check_int(0, bells(c));
    awake(c);
    /* Who announces itself while the resumer is in flight is told of it. */
    run(a, "BEGIN; SELECT mq.resume('q')");
    check_text("t", text(c, "SELECT producing FROM mq.doze('q')"));
    run(a, "COMMIT");
    awake(c);
}

static void purged(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.create_queue('other'), mq.enqueue('other', 'o')");
    run(a, "SELECT mq.enqueue_many('q', '{1,2,3,4,5}'), mq.enqueue('q', 'd', delay => 600),"
           " mq.enqueue('q', 'o1', order_key => 'k'), mq.enqueue('q', 'dead', 0)");
    run(a, "SELECT mq.enqueue('q', 'o2', order_key => 'k')");
    check_text("dead", text(a, "SELECT mq.nack(id, attempts, 'e', false) FROM mq.receive('q')"));
    run(a, "SELECT mq.receive('q', 2)");
    check_text("4|1|1|2|1", text(a, "SELECT * FROM mq.count('q')"));
    run(a, "BEGIN");
    check_text("6|2", text(a, "SELECT * FROM mq.purge('q')"));
    check_text("0|0|0|0|1", text(a, "SELECT * FROM mq.count('q')"));
    run(a, "ROLLBACK");
    check_text("4|1|1|2|1", text(b, "SELECT * FROM mq.count('q')"));
    /* Rolled back, it is no consumer's death. */
    check_text("3|1|0,4|1|0,5|1|0,o1|1|0", text(b, "SELECT body, attempts, errors FROM mq.receive('q', 9)"));
    check_text("extended",
               text(a, "SELECT DISTINCT mq.extend(id, attempts, 60) FROM mq.list('q', 'in_flight')"));
    check_text("2|6", text(b, "SELECT * FROM mq.purge('q')"));
    check_text("0|0", text(b, "SELECT * FROM mq.purge('q')"));
    check_text("0|0|0|0|1", text(b, "SELECT * FROM mq.count('q')"));
    check_text("o", text(b, "SELECT body FROM mq.pop('other')"));
    check_text("MQ002", state(b, "SELECT mq.purge('none')"));
    /* The queue goes on. */
    run(a, "SELECT mq.enqueue('q', 'new', order_key => 'k')");
    check_text("new", text(b, "SELECT body FROM mq.pop('q', 9)"));
}

/* It waits for who holds some of them, whatever becomes of those; each message is counted once. */
static void purge_waits(void)
{
    static const char *const ends[] = {
        "SELECT mq.ack(id, attempts + 1) FROM mq.message WHERE payload = '1'",
        "SELECT mq.nack(id, attempts + 1, 'e') FROM mq.message WHERE payload = '1'",
        "SELECT mq.nack(id, attempts + 1, 'e', delay => 600) FROM mq.message WHERE payload = '1'",
        "SELECT mq.release(id, attempts + 1) FROM mq.message WHERE payload = '1'",
        "SELECT mq.nack(id, attempts + 1, 'e', false) FROM mq.message WHERE payload = '1'",
        "SELECT 1",
    };
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
        for (int commit = 0; commit < 2; commit++) {
            run(a, "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3}')");
            run(a, "BEGIN; SELECT mq.dequeue('q')");
            start(b, "SELECT waiting, in_flight FROM mq.purge('q')");
            check(blocked(b));
            run(c, "SELECT mq.enqueue('q', 'sent since')");
            run(a, "%s", ends[i]);
            run(a, commit ? "COMMIT" : "ROLLBACK");
            check_text("2|1", finish(b));
            check_text("sent since", text(c, "SELECT body FROM mq.peek('q', 9)"));
            check_int(1, number(c, "SELECT count(*) FROM mq.message"));
        }
    }
    /* Of a lease that is just being settled. */
    run(a, "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue_many('q', '{1,2}')");
    run(a, "SELECT mq.receive('q')");
    run(a, "BEGIN; SELECT mq.nack(id, attempts, 'e') FROM mq.list('q', 'in_flight')");
    start(b, "SELECT waiting, in_flight FROM mq.purge('q')");
    check(blocked(b));
    run(a, "COMMIT");
    check_text("1|1", finish(b));
    check_int(0, number(c, "SELECT count(*) FROM mq.message"));
    /* Who settles a lease that is just being purged waits, and is told. */
    run(a, "SELECT mq.enqueue('q', '1')");
    long long id = number(a, "SELECT id FROM mq.receive('q')");
    run(b, "BEGIN; SELECT mq.purge('q')");
    start(a, "SELECT mq.ack(%lld, 1)", id);
    check(blocked(a));
    check_int(0, number(c, "SELECT count(*) FROM mq.receive('q')"));
    run(b, "COMMIT");
    check(finish(a)[0] != '!');
    check_text("not_found", text(a, "SELECT mq.ack(%lld, 1)", id));
}

static void cleaned(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.create_queue('other'), mq.create_queue('idle'), mq.enqueue('q', "
           "'leased')");
    run(a, "SELECT mq.receive('q', 1, 0.001)");
    run(a,
        "SELECT mq.enqueue('q', 'due', delay => 0.001), mq.enqueue('q', 'later', delay => 600),"
        " mq.enqueue('q', 'old', ttl => 0.001), mq.enqueue('q', 'old and late', delay => 600, ttl => 0.001),"
        " mq.enqueue_unique('q', 'w', 'k', 0.1), mq.enqueue('other', 'old', ttl => 0.001)");
    wait_until(a, "SELECT clock_timestamp() > GREATEST(max(expires), max(due) FILTER (WHERE due < now() + "
                  "interval '1 min'),"
                  " (SELECT max(until) FROM mq.dedup_window)) FROM mq.message");
    check_text("other|0|0|1|0", text(a, "SELECT * FROM mq.clean('other')"));
    check_text("idle|0|0|0|0,other|0|0|0|0,q|1|1|2|1", text(a, "SELECT * FROM mq.clean() ORDER BY name"));
    check_text("q|0|0|0|0", text(a, "SELECT * FROM mq.clean('q')"));
    check_text("3|1|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
    check_int(4, number(a, "SELECT count(*) FROM mq.message"));
    check_text("MQ002", state(a, "SELECT mq.clean('none')"));
}

static void clean_beside_consumers(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3}', ttl => 0.5)");
    run(a, "BEGIN; SELECT mq.dequeue('q')");
    run(b, "SELECT mq.receive('q')");
    wait_until(c, "SELECT clock_timestamp() > max(expires) FROM mq.message");
    check_text("q|0|0|1|0", text(c, "SELECT * FROM mq.clean('q')"));
    check_text("done", text(a, "SELECT mq.ack(id, attempts + 1) FROM mq.message WHERE payload = '1'"));
    run(a, "COMMIT");
    check_text("done", text(b, "SELECT mq.ack(id, attempts) FROM mq.message WHERE payload = '2'"));
    /* Two at once; and one that is rolled back is no death. */
    run(a, "SELECT mq.reset(), mq.create_queue('q', error_limit => 1), mq.enqueue_many('q', '{1,2,3}', delay "
           "=> 0.001),"
           " mq.enqueue('q', '4', ttl => 0.05)");
    wait_until(c, "SELECT clock_timestamp() > max(due) AND clock_timestamp() > max(expires) FROM mq.message");
    run(a, "BEGIN");
    check_text("q|3|0|1|0", text(a, "SELECT * FROM mq.clean('q')"));
    check_text("q|0|0|0|0", text(b, "SELECT * FROM mq.clean('q')"));
    run(a, "ROLLBACK");
    check_text("q|3|0|1|0", text(b, "SELECT * FROM mq.clean('q')"));
    check_text("1|1|0,2|1|0,3|1|0", text(c, "SELECT body, attempts, errors FROM mq.pop('q', 9)"));
    check_text("0|0|0|0|0", text(c, "SELECT * FROM mq.count('q')"));
    /* What it makes ready it rings for. */
    run(a, "SELECT mq.enqueue('q', 'due', delay => 0.001)");
    wait_until(a, "SELECT clock_timestamp() > max(due) FROM mq.message");
    sleeper(c);
    run(a, "SELECT mq.clean()");
    check_int(1, wait_bell(c));
    awake(c);
}

static void rescheduled(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue_many('q', '{1,2,3}')");
    long long id = number(a, "SELECT min(id) FROM mq.message");
    check_text("delayed", text(a, "SELECT mq.reschedule(%lld, 600)", id));
    check_text("2|1|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
    sleeper(c);
    check_text("delayed", text(a, "SELECT mq.reschedule(%lld, 0.001)", id));
    check_int(1, wait_bell(c)); /* who sleeps until the later time must know */
    awake(c);
    wait_until(a, "SELECT clock_timestamp() > max(due) FROM mq.message");
    check_text("2,3,1", text(b, "SELECT body FROM mq.receive('q', 3)"));
    check_text("in_flight", text(a, "SELECT mq.reschedule(%lld, 0)", id));
    check_text("released", text(b, "SELECT mq.release(%lld, 1)", id));
    run(b, "BEGIN; SELECT mq.dequeue('q')");
    check_text("in_flight", text(a, "SELECT mq.reschedule(%lld, 0)", id));
    check_text("in_flight", text(b, "SELECT mq.reschedule(%lld, 0)", id));
    run(b, "ROLLBACK");
    /* A consumer's death is not forgotten over it. */
    number(a, "SELECT length(mq.reschedule(%lld, 0))", id);
    number(a, "SELECT count(*) FROM mq.clean('q')");
    check_int(1, number(a, "SELECT errors FROM mq.receive('q')"));
    run(a, "SELECT mq.purge('q')");
    check_text("not_found", text(a, "SELECT mq.reschedule(%lld, 0)", id));
    /* Rolled back it has not been, and was no attempt. */
    id = number(a, "SELECT mq.enqueue('q', 'm')");
    run(a, "BEGIN; SELECT mq.reschedule(%lld, 600); ROLLBACK", id);
    run(a, "BEGIN; SAVEPOINT s; SELECT mq.reschedule(%lld, 600); ROLLBACK TO s; COMMIT", id);
    check_text("m|1|0", text(b, "SELECT body, attempts, errors FROM mq.receive('q')"));
}

static void by_id(void)
{
    run(a, "SELECT mq.create_queue('q', lease => 50), mq.enqueue_many('q', '{1,2,3}'), mq.enqueue('q', "
           "'late', delay => 600),"
           " mq.enqueue('q', 'brief', ttl => 0.001)");
    long long id = number(a, "SELECT min(id) FROM mq.message");
    check_text("2|in_flight|1|t",
               text(a, "SELECT body, state, attempts, due < now() + interval '51 s' FROM mq.receive_id(%lld)",
                    id + 1));
    check_text("in_flight|", text(b, "SELECT state, id FROM mq.receive_id(%lld)", id + 1));
    check_text("3|t",
               text(b, "SELECT body, due > now() + interval '60 s' FROM mq.receive_id(%lld, 70)", id + 2));
    check_text("not_found", text(b, "SELECT state FROM mq.receive_id(%lld)", id + 3));
    wait_until(a, "SELECT clock_timestamp() > max(expires) FROM mq.message");
    check_text("not_found", text(b, "SELECT state FROM mq.receive_id(%lld)", id + 4));
    check_text("not_found", text(b, "SELECT state FROM mq.receive_id(-1)"));
    /* Held in a scope, or by who is just receiving it. */
    run(a, "BEGIN; SELECT mq.dequeue('q')");
    check_text("in_flight", text(b, "SELECT state FROM mq.receive_id(%lld)", id));
    check_text("in_flight", text(a, "SELECT state FROM mq.receive_id(%lld)", id));
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id));
    run(a, "COMMIT");
    check_text("not_found", text(b, "SELECT state FROM mq.receive_id(%lld)", id));
    check_text("done", text(a, "SELECT mq.ack(%lld, 1)", id + 1));
    check_int(3, number(a, "SELECT received_total FROM mq.stats('q')"));
    /* Rolled back: an attempt, as with receive. */
    id = number(a, "SELECT mq.enqueue('q', 'm')");
    run(a, "BEGIN; SELECT mq.receive_id(%lld); ROLLBACK", id);
    number(a, "SELECT count(*) FROM mq.receive_id(%lld)", id);
    number(a, "SELECT count(*) FROM mq.receive_id(%lld)", id);
    check_text("2|1", text(a, "SELECT attempts, errors FROM mq.list('q', 'in_flight') WHERE id = %lld", id));
}

static void filtered(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue('q', '1', headers => '{\"kind\": \"a\", \"n\": 1}'),"
           " mq.enqueue('q', '2', headers => '{\"kind\": \"b\", \"tags\": [1, 2, 3]}'), mq.enqueue('q', '3'),"
           " mq.enqueue('q', '4', headers => '{\"kind\": \"a\", \"deep\": {\"x\": 1, \"y\": 2}}'),"
           " mq.enqueue('q', '5', headers => '{\"bad\": \"\\u0000\", \"kind\": \"a\"}'), mq.enqueue('q', "
           "'6', headers => '{}')");
    check_text("2", text(a, "SELECT body FROM mq.dequeue('q', 9, '{\"kind\": \"b\"}')"));
    number(a, "SELECT count(*) FROM mq.pop('q', 9, '{\"kind\": \"b\"}')"); /* counts the one left unsettled */
    check_text("4", text(a, "SELECT body FROM mq.pop('q', 9, '{\"deep\": {\"y\": 2}}')"));
    check_text("2", text(a, "SELECT body FROM mq.pop('q', 9, '{\"tags\": [3, 1]}')"));
    check_int(0, number(a, "SELECT count(*) FROM mq.pop('q', 9, '{\"kind\": \"A\"}')"));
    check_int(0, number(a, "SELECT count(*) FROM mq.pop('q', 9, '{\"n\": \"1\"}')"));
    check_text("1", text(a, "SELECT body FROM mq.receive('q', 9, NULL, '{\"n\": 1.0, \"kind\": \"a\"}')"));
    static const char *const bad[] = {"[]", "1", "null", "\"x\""};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        check_text("MQ001", state(a, "SELECT mq.pop('q', 9, '%s')", bad[i]));
    /* Whoever takes without a filter gets the rest, those without headers too. */
    check_text("3,5,6", text(a, "SELECT body FROM mq.pop('q', 9)"));
    /* Those passed by are not touched: neither counted nor locked. */
    run(a, "SELECT mq.enqueue('q', 'plain'), mq.enqueue('q', 'wanted', headers => '{\"w\": 1}')");
    run(a, "BEGIN");
    check_text("wanted", text(a, "SELECT body FROM mq.dequeue('q', 1, '{\"w\": 1}')"));
    check_text("plain|1|0", text(b, "SELECT body, attempts, errors FROM mq.pop('q', 9)"));
    run(a, "ROLLBACK");
    /* An ordered key goes by its head: what stands behind it is not taken past it. */
    run(a, "SELECT mq.purge('q')");
    run(a, "SELECT mq.enqueue('q', 'head', order_key => 'k')");
    run(a, "SELECT mq.enqueue('q', 'next', order_key => 'k', headers => '{\"w\": 1}')");
    check_int(0, number(a, "SELECT count(*) FROM mq.receive('q', 9, NULL, '{\"w\": 1}')"));
    check_text("head", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_text("next", text(a, "SELECT body FROM mq.receive('q', 9, NULL, '{\"w\": 1}')"));
}

int main(void)
{
    a = session_open();
    b = session_open();
    c = session_open();
    TEST(paused);
    TEST(resume_wakes);
    TEST(purged);
    TEST(purge_waits);
    TEST(cleaned);
    TEST(clean_beside_consumers);
    TEST(rescheduled);
    TEST(by_id);
    TEST(filtered);
    PQfinish(a);
    PQfinish(b);
    PQfinish(c);
    return finished();
}
