/* SPDX-License-Identifier: MIT */
/* What becomes of a message that failed: when it comes back, where, and when it does not. */
#include "session.h"

#include <stdio.h>
#include <string.h>

static PGconn *a, *b;

#define DUE "round(extract(epoch FROM due - clock_timestamp()))"

/* The pause after each failure, in whole seconds; 0: ready at once. ways: the attributes of the queue. */
static void pauses(const char *attributes, const long long *expected, int n)
{
    run(a, "SELECT mq.reset(), mq.create_queue('q'%s), mq.enqueue('q', 'm')", attributes);
    for (int i = 0; i < n; i++) {
        check_text("returned", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.receive('q')"));
        check_int(expected[i], number(b, "SELECT COALESCE(" DUE ", 0) FROM mq.message"));
        check_int(expected[i] ? 1 : 0, number(b, "SELECT delayed FROM mq.count('q')"));
        if (expected[i])
            check_text("ready", text(a, "SELECT mq.reschedule(id, 0) FROM mq.message"));
    }
}

static void delays(void)
{
    pauses("", (const long long[]){0, 0, 0}, 3);
    pauses(", retry_delay => 600", (const long long[]){600, 600, 600}, 3);
    pauses(", retry_delay => 10, retry_factor => 2", (const long long[]){10, 20, 40, 80, 160}, 5);
    pauses(", retry_delay => 10, retry_factor => 2, retry_max_delay => 50",
           (const long long[]){10, 20, 40, 50, 50}, 5);
    pauses(", retry_delay => 100, retry_factor => 1.5", (const long long[]){100, 150, 225}, 3);
    pauses(", retry_factor => 100", (const long long[]){0, 0}, 2);
    /* The cap is that of the growth: what is set as the delay holds. */
    pauses(", retry_delay => 60, retry_max_delay => 0, retry_factor => 2", (const long long[]){60, 60}, 2);
    pauses(", retry_delay => 7200", (const long long[]){7200, 7200}, 2);
    pauses(", retry_delay => 7200, retry_max_delay => 9999999", (const long long[]){7200, 7200}, 2);
    /* The largest of everything, after very many errors. */
    run(a, "SELECT mq.reset(), mq.create_queue('q', retry_delay => 9999999, retry_factor => 100, "
           "retry_max_delay => 9999999),"
           " mq.enqueue('q', 'm')");
    run(a, "UPDATE mq.message SET errors = 2147483000");
    check_text("returned", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.receive('q')"));
    check_text("t", text(b, "SELECT " DUE " BETWEEN 9999990 AND 9999999 FROM mq.message"));
}

static void jitter(void)
{
    run(a, "SELECT mq.create_queue('q', retry_delay => 1000, retry_jitter => 0.5), mq.enqueue_many('q', "
           "array_fill('x'::text, "
           "ARRAY[200]))");
    check_int(
        200,
        number(
            a,
            "SELECT count(*) FROM mq.receive('q', 200) r, mq.nack(r.id, r.attempts) n WHERE n = 'returned'"));
    check_text("t|t|t", text(b, "SELECT min(" DUE ") BETWEEN 490 AND 600, max(" DUE ") BETWEEN 900 AND 1000,"
                                " count(DISTINCT due) > 150 FROM mq.message"));
    run(a, "SELECT mq.set_queue('q', retry_jitter => 1), mq.purge('q'), mq.enqueue_many('q', "
           "array_fill('x'::text, ARRAY[200]))");
    check_int(
        200,
        number(
            a,
            "SELECT count(*) FROM mq.receive('q', 200) r, mq.nack(r.id, r.attempts) n WHERE n = 'returned'"));
    check_text("t|t", text(b, "SELECT min(" DUE ") < 200, max(" DUE ") <= 1000 FROM mq.message"));
}

/* A nack's own delay and requeue go before those of the message and the queue. */
static void of_the_call(void)
{
    run(a, "SELECT mq.create_queue('q', retry_delay => 600, requeue => false), mq.enqueue('q', 'm', requeue "
           "=> true)");
    check_text("returned", text(a, "SELECT mq.nack(id, attempts) FROM mq.receive('q')"));
    check_int(600, number(b, "SELECT " DUE " FROM mq.message"));
    check_text("ready", text(a, "SELECT mq.reschedule(id, 0) FROM mq.message"));
    check_text("returned", text(a, "SELECT mq.nack(id, attempts, delay => 0) FROM mq.receive('q')"));
    check_text("returned", text(a, "SELECT mq.nack(id, attempts, delay => 30) FROM mq.receive('q')"));
    check_int(30, number(b, "SELECT " DUE " FROM mq.message"));
    check_text("ready", text(a, "SELECT mq.reschedule(id, 0) FROM mq.message"));
    check_text("dead",
               text(a, "SELECT mq.nack(id, attempts, 'enough', requeue => false) FROM mq.receive('q')"));
    check_text("m|4|4|enough|not_requeued",
               text(b, "SELECT body, attempts, errors, last_error, reason FROM mq.list('q', 'dead')"));
    /* The message's own comes back with it. */
    check_int(1, number(a, "SELECT mq.requeue_dead('q')"));
    check_text("returned", text(a, "SELECT mq.nack(id, attempts, delay => 0) FROM mq.receive('q')"));
    run(a, "SELECT mq.purge('q'), mq.enqueue('q', 'n'), mq.enqueue('q', 'o', requeue => false)");
    check_text("returned,dead", text(a, "SELECT mq.nack(id, attempts, requeue => CASE body WHEN 'n' THEN "
                                        "true END) FROM mq.receive('q', 2)"));
    check_text("o|not_requeued", text(b, "SELECT body, reason FROM mq.list('q', 'dead')"));
}

static void requeue_priority(void)
{
    run(a, "SELECT mq.create_queue('q', requeue_priority => 7), mq.enqueue_many('q', '{1,2}', 5),"
           " mq.enqueue('q', 'own', 5, requeue_priority => 9), mq.enqueue('q', 'none', 5, requeue_priority "
           "=> -1),"
           " mq.enqueue('q', 'zero', 5, requeue_priority => 0), mq.enqueue('q', 'calm', 6)");
    check_int(5, number(a, "SELECT count(mq.nack(id, attempts)) FROM mq.receive('q', 5)"));
    check_text("zero|0,none|5,calm|6,1|7,2|7,own|9", text(b, "SELECT body, priority FROM mq.peek('q', 9)"));
    /* A release keeps the priority; another failure keeps the requeue priority, a requeued letter too. */
    check_text("released", text(a, "SELECT mq.release(id, attempts) FROM mq.receive('q')"));
    check_text("dead", text(a, "SELECT mq.nack(id, attempts, requeue => false) FROM mq.receive('q')"));
    check_int(1, number(a, "SELECT mq.requeue_dead('q')"));
    check_text("zero|0|3", text(b, "SELECT body, priority, attempts FROM mq.peek('q')"));
    run(a, "SELECT mq.set_queue('q', unset => '{requeue_priority}')");
    check_int(6, number(a, "SELECT count(mq.nack(id, attempts)) FROM mq.receive('q', 6)"));
    check_text("zero|0,none|5,calm|6,1|7,2|7,own|9", text(b, "SELECT body, priority FROM mq.peek('q', 9)"));
}

/* One failure: 0 nack of a lease, 1 expiry, 2 death in a scope, 3 rollback of a scope, 4 nack in a scope, 5
 * rollback of a receive, 6 death before the commit of a receive. */
static void fail_by(int way)
{
    PGconn *victim = session_open();
    if (way == 0) {
        run(victim, "SELECT mq.nack(id, attempts, 'e') FROM mq.receive('q')");
    } else if (way == 1) {
        run(victim, "SELECT mq.receive('q', 1, 0)");
        run(b, "SELECT mq.clean('q')");
    } else if (way == 4) {
        run(victim, "SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q')");
    } else {
        run(victim, "BEGIN");
        check_int(1, number(victim, "SELECT count(*) FROM mq.%s('q')", way < 4 ? "dequeue" : "receive"));
        if (way == 2 || way == 6) {
            session_kill(victim);
            victim = NULL;
        } else {
            run(victim, "ROLLBACK");
        }
        check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')")); /* counts it */
    }
    if (victim)
        PQfinish(victim);
}

/* N failures and no more, of whatever sort, by the limit of the queue or of the message. */
static void error_limit(void)
{
    static const char *const mixes[] = {"0",   "1",   "2",   "3",   "4",       "5",       "6",
                                        "000", "111", "222", "555", "0123456", "6543210", "1120"};
    for (unsigned m = 0; m < sizeof mixes / sizeof *mixes; m++) {
        for (int own = 0; own < 2; own++) {
            int limit = (int)strlen(mixes[m]);
            run(a, "SELECT mq.reset(), mq.create_queue('q', error_limit => %d)", own ? 1 : limit);
            if (own)
                run(a, "SELECT mq.enqueue('q', 'm', error_limit => %d)", limit);
            else
                run(a, "SELECT mq.enqueue('q', 'm')");
            for (int i = 0; i < limit; i++) {
                check_int(i, number(b, "SELECT errors FROM mq.message"));
                fail_by(mixes[m][i] - '0');
            }
            check_text("0|0|0|0|1", text(b, "SELECT * FROM mq.count('q')"));
            check_int(
                limit,
                number(b,
                       "SELECT errors FROM mq.list('q', 'dead') WHERE reason = 'error_limit' AND attempts = "
                       "errors"
                       " AND last_error IS NOT NULL AND died >= first_received AND first_received >= sent"));
        }
    }
}

/* No limit, whoever says so. */
static void no_limit(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 1), mq.enqueue('q', 'm', error_limit => -1)");
    for (int i = 1; i <= 10; i++) {
        fail_by(i % 7);
        check_int(i, number(b, "SELECT errors FROM mq.message"));
    }
    run(a, "SELECT mq.reset(), mq.set_defaults(error_limit => 1), mq.create_queue('q', error_limit => -1), "
           "mq.enqueue('q', 'm')");
    for (int i = 1; i <= 3; i++)
        fail_by(0);
    check_int(3, number(b, "SELECT errors FROM mq.message"));
    /* The limit counts from when it is set. */
    run(a, "SELECT mq.set_queue('q', error_limit => 2)");
    check_text("dead", text(a, "SELECT mq.nack(id, attempts) FROM mq.receive('q')"));
    run(a, "SELECT mq.set_defaults(unset => '{error_limit}')");
}

static void dropped(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 1, drop_dead => true), mq.enqueue_unique('q', 'm', "
           "'k', order_key => 'o'),"
           " mq.enqueue('q', 'n', order_key => 'o')");
    check_text("dropped", text(a, "SELECT mq.nack(id, attempts) FROM mq.receive('q')"));
    check_text("n", text(a, "SELECT body FROM mq.peek('q', 9)"));
    check_text("dropped", text(a, "SELECT mq.nack(id, attempts, requeue => false) FROM mq.receive('q')"));
    run(a, "SELECT mq.enqueue('q', 'o')");
    fail_by(3);
    check_text("0|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
    check_int(0, number(b, "SELECT count(*) FROM mq.message"));
}

/* The text of the last failure that said something. */
static void last_error(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.enqueue('q', 'm')");
    run(a, "SELECT mq.nack(id, attempts, 'first') FROM mq.receive('q')");
    run(a, "SELECT mq.nack(id, attempts) FROM mq.receive('q')");
    check_text("first", text(b, "SELECT last_error FROM mq.peek('q')"));
    run(a, "SELECT mq.nack(id, attempts, '') FROM mq.receive('q')");
    check_text("|t", text(b, "SELECT last_error, last_error = '' FROM mq.peek('q')"));
    fail_by(1);
    check_text("the lease ran out", text(b, "SELECT last_error FROM mq.peek('q')"));
    run(a, "SELECT mq.nack(id, attempts, repeat('é', 20000), false) FROM mq.receive('q')");
    check_int(10000, number(b, "SELECT length(last_error) FROM mq.list('q', 'dead')"));
}

static void dead_letters(void)
{
    run(a, "SELECT mq.create_queue('q', lease => 77), mq.create_queue('target', lease => 5, priority => 1),"
           " mq.enqueue('q', 'm', 3, headers => '{\"h\": 1}', lease => 33, requeue => true, error_limit => 9,"
           " requeue_priority => 4), mq.enqueue_many('q', '{2,3,4}')");
    check_int(4, number(a, "SELECT count(*) FROM mq.receive('q', 9) r, mq.nack(r.id, r.attempts, r.body, "
                           "false) n WHERE n = 'dead'"));
    check_text("MQ002", state(a, "SELECT mq.requeue_dead('q', target => 'none')"));
    check_text("MQ002", state(a, "SELECT mq.requeue_dead('none', target => 'q')"));
    check_text("MQ001", state(a, "SELECT mq.requeue_dead('q', target => '')"));
    check_int(4, number(a, "SELECT dead FROM mq.count('q')"));
    run(a, "BEGIN");
    check_int(4, number(a, "SELECT mq.requeue_dead('q', target => 'target')"));
    run(a, "ROLLBACK");
    check_text("0|0|0|0|4", text(b, "SELECT * FROM mq.count('q')"));
    check_int(0, number(a, "SELECT mq.requeue_dead('q', '{}', 'target')"));
    check_int(0, number(a, "SELECT mq.requeue_dead('q', '{NULL,-1}', 'target')"));
    check_int(
        0, number(a, "SELECT mq.requeue_dead('target', (SELECT array_agg(id) FROM mq.list('q', 'dead')))"));
    check_int(
        1,
        number(a,
               "SELECT mq.requeue_dead('q', (SELECT array_agg(id) FROM mq.list('q', 'dead', 1)), 'target')"));
    check_text("m|3|1|0|m|{\"h\": 1}|target",
               text(b, "SELECT body, priority, attempts, errors, last_error, headers, queue"
                       " FROM mq.peek('target')"));
    check_text("33|4|9|t",
               text(b, "SELECT lease_ms / 1000, requeue_priority, error_limit, requeue FROM mq.message"));
    check_int(3, number(a, "SELECT mq.requeue_dead('q', NULL, 'target')"));
    check_text("m,2,3,4", text(b, "SELECT body FROM mq.pop('target', 9)"));
    check_text("0|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
}

/* The order of what is due, delayed and returned: by priority, then by when it became ready. */
static void order_of_what_returns(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(a, "SELECT mq.enqueue('q', 'low' || i, 500, delay => 0.001) FROM generate_series(1, 40) i");
    run(a, "SELECT mq.enqueue('q', 'urgent', 0, delay => 0.002), mq.enqueue('q', 'last', 2147483647, delay "
           "=> 0.001)");
    wait_until(a, "SELECT clock_timestamp() > max(due) FROM mq.message");
    check_text("urgent", text(a, "SELECT body FROM mq.receive('q')"));
    check_text("low1", text(a, "SELECT body FROM mq.pop('q')"));
    check_int(39, number(a, "SELECT count(*) FROM mq.pop('q', 39)"));
    check_text("last", text(a, "SELECT body FROM mq.pop('q', 9)"));
    run(a, "SELECT mq.purge('q')");
    /* Twelve of equal priority: in order, and a failed one behind them. */
    run(a, "SELECT mq.enqueue_many('q', ARRAY(SELECT i::text FROM generate_series(1, 12) i))");
    check_text("returned", text(a, "SELECT mq.nack(id, attempts) FROM mq.receive('q')"));
    check_text("2,3,4,5,6,7,8,9,10,11,12,1", text(b, "SELECT body FROM mq.pop('q', 12)"));
}

int main(void)
{
    a = session_open();
    b = session_open();
    TEST(delays);
    TEST(jitter);
    TEST(of_the_call);
    TEST(requeue_priority);
    TEST(error_limit);
    TEST(no_limit);
    TEST(dropped);
    TEST(last_error);
    TEST(dead_letters);
    TEST(order_of_what_returns);
    PQfinish(a);
    PQfinish(b);
    return finished();
}
