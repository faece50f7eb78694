/* SPDX-License-Identifier: MIT */
/* Queues made and deleted beside those who use them. */
#include "session.h"

static PGconn *a, *b, *c;

static void no_orphans(void)
{
    check_int(0, number(c, "SELECT count(*) FROM mq.message m WHERE NOT EXISTS"
                           " (SELECT FROM mq.queue q WHERE q.id = m.queue_id)"));
    check_int(0, number(c, "SELECT count(*) FROM mq.dead_letter d WHERE NOT EXISTS"
                           " (SELECT FROM mq.queue q WHERE q.id = d.queue_id)"));
}

static void delete_takes_everything(void)
{
    run(a,
        "SELECT mq.create_queue('q', error_limit => 1), mq.create_queue('stays'), mq.enqueue('stays', 's')");
    run(a, "SELECT mq.enqueue('q', 'dead'); SELECT mq.nack(id, 1, 'e') FROM mq.dequeue('q');"
           "SELECT mq.enqueue('q', 'ready'), mq.enqueue('q', 'delayed', delay => 600)");
    check_text("1|1|0|0|1", text(a, "SELECT * FROM mq.count('q')"));
    run(a, "SELECT mq.delete_queue('q')");
    check_text("MQ002", state(a, "SELECT mq.count('q')"));
    run(a, "SELECT mq.create_queue('q')");
    check_text("0|0|0|0|0", text(a, "SELECT * FROM mq.count('q')"));
    check_text("s", text(a, "SELECT body FROM mq.pop('stays')"));
    no_orphans();
}

static void delete_waits_for_senders(void)
{
    for (int commit = 0; commit < 2; commit++) {
        run(a, "SELECT mq.create_queue('q')");
        run(a, "BEGIN; SELECT mq.enqueue('q', 'm')");
        start(b, "SELECT mq.delete_queue('q')");
        check(blocked(b));
        run(a, commit ? "SELECT mq.enqueue('q', 'more'); COMMIT" : "ROLLBACK");
        check_text("", finish(b));
        check_text("MQ002", state(a, "SELECT mq.pop('q')"));
        check_int(0, number(c, "SELECT count(*) FROM mq.message"));
    }
}

static void senders_wait_for_delete(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(b, "BEGIN; SELECT mq.delete_queue('q')");
    start(a, "SELECT mq.enqueue('q', 'm')");
    check(blocked(a));
    run(b, "COMMIT");
    check_text("!MQ002", finish(a));
    no_orphans();

    run(a, "SELECT mq.create_queue('q')");
    run(b, "BEGIN; SELECT mq.delete_queue('q')");
    start(a, "SELECT mq.enqueue('q', 'm') > 0");
    check(blocked(a));
    run(b, "ROLLBACK");
    check_text("t", finish(a));
    check_text("m", text(a, "SELECT body FROM mq.pop('q')"));

    /* One who may make the queue makes a new one. */
    long long id = number(a, "SELECT id FROM mq.queue");
    run(b, "BEGIN; SELECT mq.delete_queue('q')");
    start(a, "SELECT mq.enqueue('q', 'new', create_queue => true) > 0");
    check(blocked(a));
    run(b, "COMMIT");
    check_text("t", finish(a));
    check(number(a, "SELECT id FROM mq.queue") > id);
    check_text("new", text(a, "SELECT body FROM mq.pop('q')"));
    no_orphans();
}

/* Whatever a consumer does with its message while the queue's deletion waits for it: both end, and nothing is
 * left. */
static void delete_waits_for_consumers(void)
{
    static const char *const ends[] = {
        "SELECT mq.ack(id, attempts + 1) FROM mq.message WHERE payload = '1'; COMMIT",
        "SELECT mq.nack(id, attempts + 1, 'e') FROM mq.message WHERE payload = '1'; COMMIT",
        "ROLLBACK",
    };
    for (int limit = 1; limit <= 2; limit++) {
        for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
            run(a, "SELECT mq.create_queue('q', error_limit => %d), mq.enqueue_many('q', '{1,2}')", limit);
            run(a, "BEGIN; SELECT mq.dequeue('q')");
            start(b, "SELECT mq.delete_queue('q')");
            check(blocked(b));
            start(a, "%s", ends[i]);
            check(finish(a)[0] != '!');
            check_text("", finish(b));
            check_int(0, number(c, "SELECT count(*) FROM mq.message"));
            check_int(0, number(c, "SELECT count(*) FROM mq.dead_letter"));
        }
    }
}

static void delete_beside_delete(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(a, "BEGIN; SELECT mq.delete_queue('q')");
    start(b, "SELECT mq.delete_queue('q')");
    check(blocked(b));
    run(a, "COMMIT");
    check_text("!MQ002", finish(b));
}

/* A rolled-back deletion is no attempt at any message, whatever else is withdrawn since. */
static void delete_rolled_back(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 1), mq.create_queue('other'), mq.enqueue_many('q', "
           "'{1,2,3}'),"
           " mq.enqueue('q', '4', delay => 0.001)");
    wait_until(a, "SELECT clock_timestamp() > max(due) FROM mq.message");
    run(a, "BEGIN; SELECT mq.delete_queue('q'); ROLLBACK");
    run(a, "BEGIN; SAVEPOINT s; SELECT mq.delete_queue('q'); ROLLBACK TO s; COMMIT");
    run(a, "SELECT mq.cancel(mq.enqueue('other', 'x'))");
    check_text("1|1|0,2|1|0,3|1|0,4|1|0", text(b, "SELECT body, attempts, errors FROM mq.pop('q', 9)"));
    check_text("0|0|0|0|0", text(b, "SELECT * FROM mq.count('q')"));
}

/* With one snapshot for the transaction, the queue may be gone before the message is written: that must not
 * pass. */
static void send_by_an_old_snapshot(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    run(b, "SELECT mq.delete_queue('q')");
    check_text("40001", state(a, "SELECT mq.enqueue('q', 'lost')"));
    run(a, "ROLLBACK");
    run(a, "SELECT mq.create_queue('q')");
    run(a, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT mq.enqueue('q', 'kept'); COMMIT");
    check_text("kept", text(b, "SELECT body FROM mq.pop('q')"));
    no_orphans();
}

static void many_first_sends(void)
{
    PGconn *p[8];
    for (int i = 0; i < 8; i++)
        p[i] = session_open();
    for (int round = 0; round < 10; round++) {
        run(a, "SELECT mq.reset(), mq.set_auto_create(%s)", round % 2 ? "true" : "false");
        for (int i = 0; i < 8; i++)
            start(p[i], "BEGIN; SELECT mq.enqueue('made', 'from %d'%s) > 0; COMMIT", i,
                  round % 2 ? "" : ", create_queue => true");
        for (int i = 0; i < 8; i++)
            check_text("", finish(p[i]));
        check_int(1, number(a, "SELECT count(*) FROM mq.queue"));
        check_int(8, number(a, "SELECT count(DISTINCT body) FROM mq.pop('made', 100)"));
    }
    for (int i = 0; i < 8; i++)
        PQfinish(p[i]);
}

static void many_creators(void)
{
    PGconn *p[8];
    for (int i = 0; i < 8; i++)
        p[i] = session_open();
    for (int round = 0; round < 10; round++) {
        int made = 0, exists = 0;
        run(a, "SELECT mq.reset()");
        for (int i = 0; i < 8; i++)
            start(p[i], "SELECT mq.create_queue('q', if_not_exists => %s)", round % 2 ? "true" : "false");
        for (int i = 0; i < 8; i++) {
            const char *s = finish(p[i]);
            made += s[0] == '\0';
            exists += s[0] == '!' && s[1] == 'M' && s[5] == '3';
        }
        check_int(round % 2 ? 8 : 1, made);
        check_int(round % 2 ? 0 : 7, exists);
        check_int(1, number(a, "SELECT count(*) FROM mq.queue"));
    }
    for (int i = 0; i < 8; i++)
        PQfinish(p[i]);
}

static void create_beside_create(void)
{
    run(a, "BEGIN; SELECT mq.create_queue('q')");
    start(b, "SELECT mq.create_queue('q')");
    check(blocked(b));
    run(a, "ROLLBACK");
    check_text("", finish(b));
    run(a, "BEGIN; SELECT mq.create_queue('r', priority => 1)");
    start(b, "SELECT mq.create_queue('r', priority => 2, if_not_exists => true)");
    check(blocked(b));
    run(a, "COMMIT");
    check_text("", finish(b));
    check_int(1, number(a, "SELECT priority FROM mq.queue WHERE name = 'r'"));
    /* A queue is there for its own transaction at once, and gone with it. */
    run(a, "BEGIN; SELECT mq.create_queue('s'), mq.enqueue('s', 'x')");
    check_text("MQ002", state(b, "SELECT mq.pop('s')"));
    run(a, "ROLLBACK");
    check_text("MQ002", state(a, "SELECT mq.pop('s')"));
    no_orphans();
}

/* reset waits for those who have touched a queue, and locks the tables in the order in which they do. */
static void reset_beside_a_sender(void)
{
    run(a, "SELECT mq.create_queue('q')");
    run(a, "BEGIN; SELECT mq.list_queues()");
    start(b, "SELECT mq.reset()");
    check(blocked(b));
    check_text("00000", state(a, "SELECT mq.enqueue('q', 'm')"));
    run(a, "COMMIT");
    check_text("", finish(b));
    check_int(0, number(a, "SELECT count(*) FROM mq.message"));
}

int main(void)
{
    a = session_open();
    b = session_open();
    c = session_open();
    TEST(delete_takes_everything);
    TEST(delete_waits_for_senders);
    TEST(senders_wait_for_delete);
    TEST(delete_waits_for_consumers);
    TEST(delete_beside_delete);
    TEST(delete_rolled_back);
    TEST(send_by_an_old_snapshot);
    TEST(many_first_sends);
    TEST(many_creators);
    TEST(create_beside_create);
    TEST(reset_beside_a_sender);
    PQfinish(a);
    PQfinish(b);
    PQfinish(c);
    return finished();
}
