/* SPDX-License-Identifier: MIT */
/* Dedup keys: one message of a key at a time, or in a window. Ordered keys: one message of a key in flight,
 * in order, while the other keys go on. */
#include "session.h"

#include <stdio.h>
#include <string.h>

static PGconn *a, *b, *c;

#define COUNT_IS(expected) check_text(expected, text(c, "SELECT * FROM mq.count('q')"))

static void duplicate_while_there(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 1)");
    long long id = number(a, "SELECT id FROM mq.enqueue_unique('q', 'one', 'k')");
    static const char *const sends[] = {
        "enqueue_unique('q', 'two', 'k')",
        "enqueue_unique('q', '2'::json, 'k', 600)", /* a duplicate opens no window */
        "enqueue_unique('q', '\\x02'::bytea, 'k', priority => 0, delay => 600, order_key => 'o')",
    };
    for (int stage = 0; stage < 3; stage++) {
        if (stage == 1) /* in flight by a lease, and in a scope */
            check_int(1, number(a, "SELECT attempts FROM mq.receive('q')"));
        if (stage == 2) {
            check_text("released", text(a, "SELECT mq.release(%lld, 1)", id));
            run(a, "BEGIN; SELECT mq.dequeue('q')");
        }
        for (unsigned i = 0; i < sizeof sends / sizeof *sends; i++) {
            char want[40];
            snprintf(want, sizeof want, "%lld|t", id);
            check_text(want, text(b, "SELECT * FROM mq.%s", sends[i]));
        }
        check_int(1, number(c, "SELECT count(*) FROM mq.message"));
    }
    check_text("done", text(a, "SELECT mq.ack(%lld, 2)", id));
    run(a, "COMMIT");
    check_int(0, number(c, "SELECT count(*) FROM mq.dedup_window"));
    /* Gone: the key is free; and so it is from other keys, and from other queues. */
    run(a, "SELECT mq.create_queue('other')");
    check_text("f", text(a, "SELECT duplicate FROM mq.enqueue_unique('q', 'x', 'k')"));
    check_text("f", text(a, "SELECT duplicate FROM mq.enqueue_unique('q', 'x', 'K')"));
    check_text("f", text(a, "SELECT duplicate FROM mq.enqueue_unique('q', 'x', 'k ')"));
    check_text("f", text(a, "SELECT duplicate FROM mq.enqueue_unique('other', 'x', 'k')"));
    check_text("k,K,k ", text(c, "SELECT dedup_key FROM mq.peek('q', 9)"));
    check_int(1, number(c, "SELECT sent_total FROM mq.stats('other')"));
}

/* However the first one goes, the key is free then; if it only seemed to go, it is not. */
static void freed(void)
{
    static const char *const ways[] = {
        "SELECT mq.ack(id, attempts) FROM mq.receive('q')",
        "SELECT mq.pop('q')",
        "SELECT mq.cancel(id) FROM mq.peek('q')",
        "SELECT mq.purge('q')",
        "SELECT mq.nack(id, attempts, 'e', false) FROM mq.receive('q')",
    };
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        run(a, "SELECT mq.reset(), mq.create_queue('q')");
        check_text("f", text(a, "SELECT duplicate FROM mq.enqueue_unique('q', 'x', 'k')"));
        run(a, "BEGIN; %s; ROLLBACK", ways[i]);
        check_text("t", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'k')"));
        run(a, "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue_unique('q', 'x', 'k')");
        /* Another one's send waits for who is just removing it. */
        run(a, "BEGIN; %s", ways[i]);
        start(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'k')");
        check(blocked(b));
        run(a, "COMMIT");
        check_text("f", finish(b));
        check_text("y", text(c, "SELECT body FROM mq.peek('q', 9)"));
    }
    /* A message past its time to live, which nobody has removed yet, is no reason to refuse one for ever. */
    run(a, "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue_unique('q', 'x', 'k', ttl => 0.001)");
    wait_until(a, "SELECT clock_timestamp() > min(expires) FROM mq.message");
    run(b, "SELECT mq.clean()");
    check_text("f", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'k')"));
}

static void two_sessions(void)
{
    run(a, "SELECT mq.create_queue('q')");
    for (int commit = 0; commit < 2; commit++) {
        run(a, "BEGIN");
        long long id = number(a, "SELECT id FROM mq.enqueue_unique('q', 'a', 'k')");
        check_int(id, number(a, "SELECT id FROM mq.enqueue_unique('q', 'again', 'k')"));
        start(b, "SELECT id = %lld, duplicate FROM mq.enqueue_unique('q', 'b', 'k')", id);
        check(blocked(b));
        run(a, commit ? "COMMIT" : "ROLLBACK");
        check_text(commit ? "t|t" : "f|f", finish(b));
        check_text(commit ? "a" : "b", text(c, "SELECT body FROM mq.pop('q', 9)"));
    }
    /* Sent and taken in one transaction while the other one waits. */
    run(a, "BEGIN; SELECT mq.enqueue_unique('q', 'a', 'k')");
    start(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'b', 'k')");
    check(blocked(b));
    run(a, "SELECT mq.pop('q'); COMMIT");
    check_text("f", finish(b));
    /* The same with a window: it stays taken. */
    run(a, "BEGIN");
    long long id = number(a, "SELECT id FROM mq.enqueue_unique('q', 'a', 'w', 600)");
    start(b, "SELECT id = %lld, duplicate FROM mq.enqueue_unique('q', 'b', 'w', 600)", id);
    check(blocked(b));
    check_text("done", text(a, "SELECT mq.ack(id, attempts) FROM mq.dequeue('q', 9) WHERE body = 'a'"));
    run(a, "COMMIT");
    check_text("t|t", finish(b));
    check_int(0, number(c, "SELECT count(*) FROM mq.message WHERE dedup_key = 'w'"));
    /* Behind a savepoint that is rolled back it was never there. */
    run(a, "BEGIN; SAVEPOINT s; SELECT mq.enqueue_unique('q', 'never', 's', 600); ROLLBACK TO s");
    check_text("f", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'mine', 's', 600)"));
    check_text("t", text(a, "SELECT duplicate FROM mq.enqueue_unique('q', 'late', 's', 600)"));
    run(a, "COMMIT");
}

/* One snapshot a transaction: it cannot know of the other one, so it fails, and can be tried again. */
static void old_snapshot(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM mq.message");
    run(b, "SELECT mq.enqueue_unique('q', 'b', 'k')");
    check_text("40001", state(a, "SELECT mq.enqueue_unique('q', 'a', 'k')"));
    run(a, "ROLLBACK; BEGIN ISOLATION LEVEL SERIALIZABLE");
    check_text("t", text(a, "SELECT duplicate FROM mq.enqueue_unique('q', 'a', 'k')"));
    run(a, "COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM mq.message");
    run(b, "SELECT mq.pop('q'); SELECT mq.enqueue_unique('q', 'w', 'w', 600); SELECT mq.pop('q')");
    check_text("40001", state(a, "SELECT mq.enqueue_unique('q', 'a', 'w', 600)"));
    run(a, "ROLLBACK");
    check_int(0, number(c, "SELECT count(*) FROM mq.message"));
}

static void windows(void)
{
    run(a, "SELECT mq.create_queue('q')");
    long long id = number(a, "SELECT id FROM mq.enqueue_unique('q', 'x', 'k', 600)");
    check_text("x", text(a, "SELECT body FROM mq.pop('q')"));
    check_int(id, number(b, "SELECT id FROM mq.enqueue_unique('q', 'y', 'k')"));
    check_text("t", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'k', 0)"));
    check_text("t", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'k', 9999999)"));
    check_text("t", text(b, "SELECT until < now() + interval '601 s' FROM mq.dedup_window"));
    run(a, "SELECT mq.enqueue_unique('q', 'x', 'brief', 0.001); SELECT mq.pop('q')");
    wait_until(a, "SELECT clock_timestamp() > until FROM mq.dedup_window WHERE key = 'brief'");
    check_text("f", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'brief', 600)"));
    check_text("y", text(b, "SELECT body FROM mq.pop('q')"));
    check_text("t", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'brief')"));
    /* Rolled back, it opened none. */
    run(a, "BEGIN; SELECT mq.enqueue_unique('q', 'x', 'r', 600); ROLLBACK");
    check_text("f", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'r')"));
    /* Purged messages leave their windows, deleted queues do not. */
    run(a, "SELECT mq.purge('q')");
    check_text("t", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'k')"));
    run(a, "SELECT mq.delete_queue('q')");
    run(a, "SELECT mq.create_queue('q')");
    check_int(0, number(c, "SELECT count(*) FROM mq.dedup_window"));
    check_text("f", text(b, "SELECT duplicate FROM mq.enqueue_unique('q', 'y', 'k')"));
    /* Old ones do not pile up, and clean removes those that are left. */
    for (int i = 0; i < 50; i++)
        run(a, "SELECT mq.enqueue_unique('q', 'x', 'key %d', 0.001); SELECT pg_sleep(0.001)", i);
    check(number(c, "SELECT count(*) FROM mq.dedup_window") < 10);
    wait_until(a, "SELECT clock_timestamp() > max(until) FROM mq.dedup_window");
    check(number(a, "SELECT windows FROM mq.clean('q')") > 0);
    check_int(0, number(c, "SELECT count(*) FROM mq.dedup_window"));
}

static void batches(void)
{
    run(a, "SELECT mq.create_queue('q')");
    long long id = number(a, "SELECT id FROM mq.enqueue_unique('q', 'there', 'd')");
    check_text("t|t|t|t|t",
               text(a,
                    "SELECT ids[2] = ids[4], ids[3] = %lld, ids[1] <> ids[2], cardinality(ids) = 6, ids[5] "
                    "<> ids[6] FROM"
                    " mq.enqueue_many('q', '{1,2,3,4,5,6}', dedup_keys => '{c,b,d,b,NULL,NULL}') ids",
                    id));
    check_text("there,1,2,5,6", text(a, "SELECT body FROM mq.pop('q', 99)"));
    check_int(5, number(a, "SELECT sent_total FROM mq.stats('q')"));
    /* Two batches with the same keys, in opposite orders. */
    run(a, "BEGIN; SELECT mq.enqueue_many('q', '{1,2,3}', dedup_keys => '{z,y,x}')");
    start(b, "SELECT mq.enqueue_many('q', '{4,5,6}', dedup_keys => '{x,y,z}') = (SELECT array_agg(id ORDER "
             "BY dedup_key)"
             " FROM mq.message)");
    check(blocked(b));
    run(a, "COMMIT");
    check(finish(b)[0] != '!');
    COUNT_IS("3|0|0|0|0");
}

/* Eight at once, singly, in batches and in transactions of their own: each key once, and all are told its id.
 */
static void many_senders(void)
{
    PGconn *p[8];
    run(a, "SELECT mq.create_queue('q')");
    for (int i = 0; i < 8; i++)
        p[i] = session_open();
    for (int from = 0; from < 200; from += 20) {
        for (int i = 0; i < 8; i++) {
            if (i < 4)
                start(p[i],
                      "SELECT '' FROM mq.enqueue_many('q', ARRAY(SELECT 'by %d' FROM generate_series(1, "
                      "20)), dedup_keys =>"
                      " ARRAY(SELECT 'k' || n FROM generate_series(%d, %d) n ORDER BY md5(n || '%d')))",
                      i, from, from + 19, i);
            else
                start(p[i],
                      "BEGIN; SELECT count((mq.enqueue_unique('q', 'by %d', 'k' || n%s)).id)"
                      " FROM (SELECT n FROM generate_series(%d, %d) n ORDER BY ('k' || n) COLLATE \"C\") s; "
                      "COMMIT",
                      i, i > 5 ? ", 600" : "", from, from + 19);
        }
        for (int i = 0; i < 8; i++)
            check_text("", finish(p[i]));
    }
    check_text("200|200", text(a, "SELECT count(*), count(DISTINCT dedup_key) FROM mq.message"));
    check_int(200, number(a, "SELECT sent_total FROM mq.stats('q')"));
    for (int i = 0; i < 8; i++)
        PQfinish(p[i]);
}

static void dead_letters(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.create_queue('other')");
    run(a, "SELECT mq.enqueue_unique('q', 'first', 'k'), mq.enqueue('q', 'plain')");
    check_text("dead,dead", text(a, "SELECT mq.nack(id, attempts, 'e', false) FROM mq.receive('q', 2)"));
    check_text("f", text(a, "SELECT duplicate FROM mq.enqueue_unique('q', 'second', 'k')"));
    /* One message of a key: the letter stays while there is another. */
    check_int(1, number(a, "SELECT mq.requeue_dead('q')"));
    check_text("first|k", text(a, "SELECT body, dedup_key FROM mq.list('q', 'dead')"));
    check_int(0, number(a, "SELECT mq.requeue_dead('q', (SELECT array_agg(id) FROM mq.list('q', 'dead')))"));
    check_text("second,plain", text(a, "SELECT body FROM mq.pop('q', 9)"));
    check_int(1, number(a, "SELECT mq.requeue_dead('q', target => 'other')"));
    check_text("t", text(a, "SELECT duplicate FROM mq.enqueue_unique('other', 'x', 'k')"));
    check_text("f", text(a, "SELECT duplicate FROM mq.enqueue_unique('q', 'x', 'k')"));
    check_text("first|k|1", text(a, "SELECT body, dedup_key, attempts FROM mq.list('other')"));
}

/* Ordered keys. */

static void send(const char *bodies, const char *key)
{
    run(a,
        "SELECT mq.enqueue('q', b, order_key => '%s') FROM unnest('{%s}'::text[]) WITH ORDINALITY u (b, n) "
        "ORDER BY n",
        key, bodies);
}

static void one_at_a_time(void)
{
    run(a, "SELECT mq.create_queue('q')");
    send("1,2,3", "k");
    send("x", "other");
    run(a, "SELECT mq.enqueue('q', 'free')");
    COUNT_IS("3|0|2|0|0");
    check_text("1,x,free", text(c, "SELECT body FROM mq.peek('q', 9)"));
    check_text("2,3", text(c, "SELECT body FROM mq.list('q', 'blocked')"));
    check_text("1,x,free", text(a, "SELECT body FROM mq.receive('q', 9)"));
    check_int(0, number(b, "SELECT count(*) FROM mq.receive('q', 9)"));
    check_text("done", text(a, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '1'"));
    check_text("2", text(b, "SELECT body FROM mq.receive('q', 9)"));
    check_text("done", text(b, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '2'"));
    check_text("3", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_int(2, number(c, "SELECT count(*) FROM mq.message"));
    /* A batch of them comes one by one too, also to who asks for many. */
    run(a, "SELECT mq.reset(), mq.create_queue('q'),"
           " mq.enqueue_many('q', '{1,2,3,4}', order_keys => '{k,k,l,NULL}')");
    check_text("1,3,4", text(a, "SELECT body FROM mq.pop('q', 9)"));
    check_text("2", text(a, "SELECT body FROM mq.pop('q', 9)"));
}

/* In a scope, by a lease, by pop in an open transaction: the rest of the key waits for it, and no longer. */
static void scope_and_lease(void)
{
    static const char *const takes[] = {"dequeue('q')", "receive('q')", "pop('q')"};
    for (int take = 0; take < 3; take++) {
        for (int commit = 0; commit < 2; commit++) {
            run(a, "SELECT mq.reset(), mq.create_queue('q')");
            send("1,2", "k");
            run(a, "BEGIN");
            check_text("1", text(a, "SELECT body FROM mq.%s", takes[take]));
            check_int(0, number(b, "SELECT count(*) FROM mq.receive('q', 9)"));
            check_int(0, number(b, "SELECT count(*) FROM mq.pop('q', 9)"));
            if (take < 2)
                check_text("done", text(a, "SELECT mq.ack(id, 1) FROM mq.message WHERE payload = '1'"));
            check_int(0, number(b, "SELECT count(*) FROM mq.dequeue('q', 9)"));
            run(a, commit ? "COMMIT" : "ROLLBACK");
            check_text(commit ? "2|0" : "1|1", text(b, "SELECT body, errors FROM mq.receive('q', 9)"));
        }
    }
    /* In one transaction the next one comes as soon as the first is done. */
    run(a, "SELECT mq.reset(), mq.create_queue('q')");
    send("1,2", "k");
    run(a, "BEGIN");
    check_text("1|done", text(a, "SELECT body, mq.ack(id, attempts) FROM mq.dequeue('q', 9)"));
    check_text("2|done", text(a, "SELECT body, mq.ack(id, attempts) FROM mq.dequeue('q', 9)"));
    run(a, "ROLLBACK");
    check_text("1", text(b, "SELECT body FROM mq.receive('q', 9)"));
}

/* A head that fails blocks its key, and no other, until it is done or dead. */
static void failing_head(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 3, retry_delay => 600)");
    send("1,2", "k");
    send("x", "other");
    check_text("returned", text(a, "SELECT mq.nack(id, attempts, 'e', delay => 0) FROM mq.receive('q')"));
    check_text("x", text(a, "SELECT body FROM mq.pop('q')"));
    check_text("1", text(a, "SELECT body FROM mq.peek('q', 9)"));
    check_text("returned", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.receive('q')"));
    COUNT_IS("0|1|1|0|0"); /* its delay delays the others */
    check_int(0, number(b, "SELECT count(*) FROM mq.receive('q', 9)"));
    check_text("ready", text(a, "SELECT mq.reschedule(id, 0) FROM mq.list('q', 'delayed')"));
    check_text("dead", text(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.receive('q')"));
    COUNT_IS("1|0|0|0|1");
    check_text("2", text(b, "SELECT body FROM mq.receive('q', 9)"));
    /* The letter comes back before those that were sent after it. */
    send("3", "k");
    check_int(1, number(a, "SELECT mq.requeue_dead('q')"));
    check_int(0, number(b, "SELECT count(*) FROM mq.receive('q', 9)"));
    check_text("done", text(a, "SELECT mq.ack(id, 1) FROM mq.list('q', 'in_flight')"));
    check_text("1", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_text("3", text(b, "SELECT body FROM mq.pop('q', 9)"));
}

/* However the head goes, the next one is ready then, and a sleeper hears of it. */
static void head_goes(void)
{
    static const char *const ways[] = {
        "SELECT mq.ack(id, attempts) FROM mq.receive('q')",
        "SELECT mq.ack(id, attempts) FROM mq.dequeue('q')",
        "SELECT * FROM mq.ack_many(ARRAY(SELECT id FROM mq.receive('q')), '{1}')",
        "SELECT mq.pop('q')",
        "SELECT mq.cancel(id) FROM mq.peek('q')",
        "SELECT mq.nack(id, attempts, 'e', false) FROM mq.receive('q')",
        "SELECT mq.nack(id, attempts, 'e', false) FROM mq.dequeue('q')",
    };
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        run(c, "SELECT pg_advisory_unlock_all()");
        run(c, "UNLISTEN *");
        run(a, "SELECT mq.reset(), mq.create_queue('q')");
        send("1,2,3", "k");
        run(c, "LISTEN \"%s\"", text(c, "SELECT mq.channel('q')"));
        run(c, "SELECT mq.doze('q')");
        check_int(0, bells(c));
        run(a, "BEGIN; %s; COMMIT", ways[i]);
        check_int(1, wait_bell(c));
        run(c, "SELECT mq.awake('q')");
        check_text("2", text(b, "SELECT body FROM mq.receive('q', 9)"));
        /* The next in line is cancelled or dies while it waits: the one behind it is next. */
        check_text("t", text(a, "SELECT mq.cancel(id) FROM mq.list('q', 'blocked')"));
        run(a, "SELECT mq.enqueue('q', '4', order_key => 'k')");
        check_text("done", text(b, "SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')"));
        check_text("4", text(b, "SELECT body FROM mq.receive('q', 9)"));
    }
    run(c, "SELECT pg_advisory_unlock_all()");
    /* By its time to live, whether a consumer finds it or clean. */
    for (int by_clean = 0; by_clean < 2; by_clean++) {
        run(a,
            "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue('q', '1', order_key => 'k', ttl => 0.001)");
        send("2", "k");
        wait_until(a, "SELECT clock_timestamp() > min(expires) FROM mq.message");
        if (by_clean)
            check_text("1", text(a, "SELECT expired FROM mq.clean('q')"));
        else
            check(number(a, "SELECT count(*) FROM mq.receive('q', 9)") <= 1);
        run(b, "SELECT mq.release(id, attempts) FROM mq.list('q', 'in_flight')");
        check_text("2", text(b, "SELECT body FROM mq.receive('q', 9)"));
    }
    /* By the death of its consumers. */
    run(a, "SELECT mq.reset(), mq.create_queue('q', error_limit => 2)");
    send("1,2", "k");
    run(a, "SELECT mq.receive('q', 1, 0)");
    run(a, "SELECT mq.clean('q')");
    run(a, "BEGIN; SELECT mq.dequeue('q'); ROLLBACK");
    check(number(b, "SELECT count(*) FROM mq.dequeue('q', 9)") <= 1);
    check_int(1, number(b, "SELECT dead FROM mq.count('q')"));
}

/* Who sends while the head is just going sees it and waits behind it: somebody must look again. */
static void sent_while_the_head_goes(void)
{
    static const char *const ways[] = {
        "SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')",
        "SELECT mq.nack(id, attempts, 'e', false) FROM mq.list('q', 'in_flight')",
        "SELECT * FROM mq.ack_many(ARRAY(SELECT id FROM mq.list('q', 'in_flight')), '{1}')",
        "SELECT mq.purge('q')",
    };
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        run(c, "SELECT pg_advisory_unlock_all()");
        run(c, "UNLISTEN *");
        run(a, "SELECT mq.reset(), mq.create_queue('q')");
        send("1", "k");
        run(a, "SELECT mq.receive('q')");
        run(a, "BEGIN; %s", ways[i]);
        run(b, "SELECT mq.enqueue('q', '2', order_key => 'k')");
        /* A sleeper looks, finds nothing, announces itself; then it must be told of somebody in flight, or be
         * rung for. */
        run(c, "LISTEN \"%s\"", text(c, "SELECT mq.channel('q')"));
        check_int(0, number(c, "SELECT count(*) FROM mq.receive('q')"));
        const char *doze = text(c, "SELECT producing OR consuming FROM mq.doze('q')");
        bells(c);
        check_int(0, number(c, "SELECT count(*) FROM mq.receive('q')"));
        run(a, "COMMIT");
        check(strcmp(doze, "t") == 0 || bells(c) > 0);
        check_text("2", text(c, "SELECT body FROM mq.receive('q')"));
    }
    run(c, "SELECT pg_advisory_unlock_all()");
    /* The next in line is just being cancelled, and is not after all. */
    run(a, "SELECT mq.reset(), mq.create_queue('q')");
    send("1,2", "k");
    run(a, "SELECT mq.receive('q')");
    run(b, "BEGIN");
    check_text("t", text(b, "SELECT mq.cancel(id) FROM mq.list('q', 'blocked')"));
    check_text("done", text(a, "SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')"));
    run(b, "ROLLBACK");
    check_text("2", text(a, "SELECT body FROM mq.receive('q')"));
}

/* The earlier number may be committed later: never are two of a key in flight. */
static void racing_senders(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(a, "BEGIN; SELECT mq.enqueue('q', 'early number', order_key => 'k')");
    run(b, "SELECT mq.enqueue('q', 'late number', order_key => 'k')");
    check_text("late number", text(b, "SELECT body FROM mq.receive('q')"));
    run(a, "COMMIT");
    check_int(0, number(b, "SELECT count(*) FROM mq.receive('q', 9)"));
    check_text("done", text(b, "SELECT mq.ack(id, attempts) FROM mq.list('q', 'in_flight')"));
    check_text("early number", text(b, "SELECT body FROM mq.receive('q', 9)"));
    /* Both there when the first is asked for: in the order of their numbers. */
    run(a, "SELECT mq.reset(), mq.create_queue('q')");
    run(a, "BEGIN; SELECT mq.enqueue('q', 'early number', order_key => 'k')");
    run(b, "SELECT mq.enqueue('q', 'late number', order_key => 'k')");
    run(a, "COMMIT");
    check_text("early number", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_text("late number", text(b, "SELECT body FROM mq.pop('q', 9)"));
    /* In a scope, too. */
    run(a, "BEGIN; SELECT mq.enqueue('q', 'early number', order_key => 'k')");
    run(b, "SELECT mq.enqueue('q', 'late number', order_key => 'k')");
    run(b, "BEGIN");
    check_text("late number", text(b, "SELECT body FROM mq.dequeue('q')"));
    run(a, "COMMIT");
    check_int(0, number(a, "SELECT count(*) FROM mq.dequeue('q', 9)"));
    check_text("not_found", text(a, "SELECT (mq.receive_id(min(id))).state FROM mq.message"));
    run(b, "ROLLBACK");
}

static void delay_in_the_middle(void)
{
    run(a, "SELECT mq.create_queue('q')");
    send("1", "k");
    run(a, "SELECT mq.enqueue('q', '2', order_key => 'k', delay => 600)");
    send("3", "k");
    check_text("1", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q', 9)"));
    COUNT_IS("0|1|1|0|0");
    check_text("ready", text(a, "SELECT mq.reschedule(id, 0) FROM mq.list('q', 'delayed')"));
    check_text("2", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_text("3", text(b, "SELECT body FROM mq.pop('q', 9)"));
    /* Due before its turn: it waits. */
    send("1", "k");
    run(a, "SELECT mq.enqueue('q', '2', order_key => 'k', delay => 0.001)");
    wait_until(a, "SELECT clock_timestamp() > max(due) FROM mq.message");
    check_text("1", text(b, "SELECT body FROM mq.receive('q', 9)"));
    check_int(0, number(b, "SELECT count(*) FROM mq.receive('q', 9)"));
    COUNT_IS("0|0|1|1|0");
    check_text("done", text(b, "SELECT mq.ack(id, 1) FROM mq.list('q', 'in_flight')"));
    check_text("2", text(b, "SELECT body FROM mq.receive('q', 9)"));
    /* A delayed one that is cancelled makes way. */
    run(a, "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue('q', '1', order_key => 'k', delay => 600)");
    send("2", "k");
    check_text("t", text(a, "SELECT mq.cancel(id) FROM mq.list('q', 'delayed')"));
    check_text("2", text(b, "SELECT body FROM mq.receive('q', 9)"));
    /* Priorities do not put a message before an earlier one of its key. */
    run(a, "SELECT mq.reset(), mq.create_queue('q'), mq.enqueue('q', '1', 9, order_key => 'k')");
    run(a, "SELECT mq.enqueue('q', '2', 0, order_key => 'k')");
    check_text("1", text(b, "SELECT body FROM mq.pop('q', 9)"));
    check_text("2", text(b, "SELECT body FROM mq.pop('q', 9)"));
}

/* Many consumers, every way of settling: of each key one at a time, in order, each once. */
static void ordered_storm(void)
{
    PGconn *p[6];
    int last[5] = {0}, done = 0;
    run(a, "SELECT mq.create_queue('q')");
    run(a, "SELECT mq.enqueue('q', n::text, order_key => (n %% 5)::text) FROM generate_series(5, 204) n");
    for (int i = 0; i < 6; i++)
        p[i] = session_open();
    for (int round = 0; round < 400 && done < 200; round++) {
        for (int i = 0; i < 6; i++)
            start(p[i], "SELECT id, attempts, body FROM mq.receive('q')");
        char seen[5] = {0};
        const char *got[6];
        for (int i = 0; i < 6; i++)
            got[i] = finish(p[i]);
        for (int i = 0; i < 6; i++) {
            long long id;
            int attempts, n;
            if (sscanf(got[i], "%lld|%d|%d", &id, &attempts, &n) != 3)
                continue;
            check(!seen[n % 5]++); /* nobody else has one of the key */
            int way = (n + attempts + round) % 3;
            if (way == 0) {
                check_text("done", text(p[i], "SELECT mq.ack(%lld, %d)", id, attempts));
                check(n > last[n % 5] && (last[n % 5] == 0 || n == last[n % 5] + 5));
                last[n % 5] = n;
                done++;
            } else {
                check(text(p[i], way == 1 ? "SELECT mq.nack(%lld, %d)" : "SELECT mq.release(%lld, %d)", id,
                           attempts)[0] == 'r');
            }
        }
    }
    check_int(200, done);
    for (int i = 0; i < 6; i++)
        PQfinish(p[i]);
}

int main(void)
{
    a = session_open();
    b = session_open();
    c = session_open();
    TEST(duplicate_while_there);
    TEST(freed);
    TEST(two_sessions);
    TEST(old_snapshot);
    TEST(windows);
    TEST(batches);
    TEST(many_senders);
    TEST(dead_letters);
    TEST(one_at_a_time);
    TEST(scope_and_lease);
    TEST(failing_head);
    TEST(head_goes);
    TEST(sent_while_the_head_goes);
    TEST(racing_senders);
    TEST(delay_in_the_middle);
    TEST(ordered_storm);
    PQfinish(a);
    PQfinish(b);
    PQfinish(c);
    return finished();
}
