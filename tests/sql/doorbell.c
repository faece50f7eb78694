/* SPDX-License-Identifier: MIT */
/* The doorbell: who is rung for, and when; and what a sleeper is told of those in flight. */
#include "session.h"

static PGconn *sleeper, *a, *b;

/* Listens, and announces itself unless it only listens. */
static void listen_to(PGconn *s, const char *queue, int announce)
{
    run(s, "UNLISTEN *; SELECT pg_advisory_unlock_all()");
    run(s, "LISTEN \"%s\"", text(s, "SELECT mq.channel('%s')", queue));
    if (announce)
        check_text("|f|f", text(s, "SELECT code, producing, consuming FROM mq.doze('%s')", queue));
    check_int(0, bells(s));
}

static void rings_if_somebody_sleeps(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.create_queue('other')");
    listen_to(sleeper, "q", 0);
    run(a, "SELECT mq.enqueue('q', 'unheard'), mq.enqueue_many('q', '{1,2}')");
    check_int(0, bells(sleeper));

    listen_to(sleeper, "q", 1);
    run(a, "SELECT mq.enqueue('other', 'not mine')");
    check_int(0, bells(sleeper));
    run(a, "BEGIN; SELECT mq.enqueue('q', '1'); SELECT mq.enqueue_many('q', '{2,3}')");
    check_int(0, bells(sleeper));
    run(a, "COMMIT");
    check_int(1, wait_bell(sleeper));
    check_int(0, bells(sleeper));
    /* It rings until the sleeper says that it is awake. */
    run(b, "SELECT mq.enqueue('q', 'x')");
    check_int(1, wait_bell(sleeper));
    run(sleeper, "SELECT mq.awake('q')");
    run(a, "SELECT mq.enqueue('q', 'x')");
    check_int(0, bells(sleeper));
    check_int(0, number(a, "SELECT count(*) FROM pg_locks WHERE classid = 'mq.queue'::regclass AND"
                           " locktype = 'advisory'"));
}

static void rolled_back_wakes_nobody(void)
{
    run(a, "SELECT mq.create_queue('q')");
    listen_to(sleeper, "q", 1);
    run(a, "BEGIN; SELECT mq.enqueue('q', 'x'); ROLLBACK");
    check_int(0, bells(sleeper));
    run(a, "BEGIN; SAVEPOINT s; SELECT mq.enqueue('q', 'x'); ROLLBACK TO s; COMMIT");
    check_int(0, bells(sleeper));
    PGconn *victim = session_open();
    run(victim, "BEGIN; SELECT mq.enqueue('q', 'x')");
    session_kill(victim);
    check_int(0, bells(sleeper));
}

/* What makes a message available rings, and what does not, does not. */
static void what_rings(void)
{
    run(a, "SELECT mq.create_queue('q', error_limit => 2), mq.enqueue('q', 'x')");
    listen_to(sleeper, "q", 1);
    run(a, "BEGIN; SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q')");
    check_int(0, bells(sleeper));
    run(a, "COMMIT");
    check_int(1, wait_bell(sleeper));
    run(a, "SELECT mq.nack(id, attempts, 'e') FROM mq.dequeue('q')");
    check_int(1, number(a, "SELECT dead FROM mq.count('q')"));
    check_int(0, bells(sleeper));
    run(a, "SELECT mq.requeue_dead('q')");
    check_int(1, wait_bell(sleeper));
    run(a, "SELECT mq.requeue_dead('q')");
    check_int(0, bells(sleeper));
    run(a, "SELECT mq.pop('q'), mq.peek('q')");
    check_int(0, bells(sleeper));
    /* A delayed one rings too: a sleeper has to hear of the new time. */
    run(a, "SELECT mq.enqueue('q', 'x', delay => 600)");
    check_int(1, wait_bell(sleeper));
    check_text("MQ004", state(a, "SELECT mq.enqueue('q', repeat('x', 70000))"));
    check_text("{}", text(a, "SELECT mq.enqueue_many('q', '{}')"));
    check_int(0, bells(sleeper));
    /* A message that was lost and is counted by another consumer's look is available again. */
    run(a, "SELECT mq.enqueue('q', 'lost')");
    check_int(1, wait_bell(sleeper));
    run(a, "BEGIN; SELECT mq.pop('q'); ROLLBACK");
    check_int(0, bells(sleeper));
    run(b, "SELECT mq.pop('q')");
    check_int(1, wait_bell(sleeper));
}

static void tells_who_is_in_flight(void)
{
    run(a, "SELECT mq.create_queue('q'), mq.create_queue('other'), mq.enqueue('other', 'o')");
    run(a, "BEGIN; SELECT mq.enqueue('q', 'x')");
    check_text("t|f", text(sleeper, "SELECT producing, consuming FROM mq.doze('q')"));
    check_text("f|f", text(sleeper, "SELECT producing, consuming FROM mq.doze('other'), mq.awake('other')"));
    run(a, "COMMIT");
    check_text("f|f", text(sleeper, "SELECT producing, consuming FROM mq.doze('q', true)"));
    run(a, "BEGIN; SELECT mq.dequeue('q')");
    check_text("f|t", text(sleeper, "SELECT producing, consuming FROM mq.doze('q', true)"));
    run(b, "BEGIN; SELECT mq.enqueue('q', 'y')");
    check_text("t|t", text(sleeper, "SELECT producing, consuming FROM mq.doze('q', true)"));
    run(a, "ROLLBACK");
    check_text("t|f", text(sleeper, "SELECT producing, consuming FROM mq.doze('q', true)"));
    run(b, "ROLLBACK");
    check_text("f|f", text(sleeper, "SELECT producing, consuming FROM mq.doze('q', true)"));
    /* A failed look for nothing counts as a consumer too, until it ends. */
    run(a, "BEGIN; SELECT mq.pop('q', 9)");
    run(b, "BEGIN");
    check_int(0, number(b, "SELECT count(*) FROM mq.pop('q')"));
    run(a, "COMMIT");
    check_text("f|t", text(sleeper, "SELECT producing, consuming FROM mq.doze('q', true)"));
    run(b, "COMMIT");
    run(sleeper, "SELECT mq.awake('q')");
    check_int(0, number(a, "SELECT count(*) FROM pg_locks WHERE classid = 'mq.queue'::regclass AND"
                           " locktype = 'advisory'"));
}

/* Two who are asked to doze, and a producer that was before one of them and after the other. */
static void no_wake_up_is_lost(void)
{
    run(a, "SELECT mq.create_queue('q')");
    listen_to(sleeper, "q", 1);
    run(a, "BEGIN; SELECT mq.enqueue('q', 'x')"); /* sees one sleeper */
    run(b, "SELECT pg_advisory_unlock_all()");
    run(b, "LISTEN \"%s\"", text(b, "SELECT mq.channel('q')"));
    check_text("t", text(b, "SELECT producing FROM mq.doze('q')"));
    run(a, "COMMIT");
    check_int(1, wait_bell(sleeper));
    check_int(1, wait_bell(b));
    run(b, "UNLISTEN *; SELECT mq.awake('q')");
    run(sleeper, "SELECT mq.awake('q')");

    run(a, "BEGIN; SELECT mq.enqueue('q', 'y')"); /* sees none */
    check_text("t", text(sleeper, "SELECT producing FROM mq.doze('q')"));
    run(a, "COMMIT");
    check_int(0, bells(sleeper)); /* so the sleeper, which was told, looks again */
    check_text("f", text(sleeper, "SELECT producing FROM mq.doze('q', true)"));
    check_int(2, number(sleeper, "SELECT ready FROM mq.count('q')"));
    /* One that sends again in the same transaction rings for who came in between. */
    run(a, "BEGIN; SELECT mq.enqueue('q', 'z')");
    check_text("t", text(b, "SELECT producing FROM mq.doze('q')"));
    run(a, "SELECT mq.enqueue('q', 'z'); COMMIT");
    check_int(1, wait_bell(sleeper));
    run(b, "SELECT mq.awake('q')");
}

static void sleepers_end(void)
{
    run(a, "SELECT mq.create_queue('q')");
    listen_to(sleeper, "q", 0);
    PGconn *victim = session_open();
    run(victim, "SELECT mq.doze('q')");
    session_kill(victim);
    run(a, "SELECT mq.enqueue('q', 'x')");
    check_int(0, bells(sleeper)); /* who has died sleeps no more */
    /* NULL is not announced; announced twice needs two awakes. */
    run(sleeper, "SELECT mq.doze('q', NULL), mq.doze('q')");
    run(sleeper, "SELECT mq.awake('q')");
    run(a, "SELECT mq.enqueue('q', 'x')");
    check_int(1, wait_bell(sleeper));
    run(sleeper, "SELECT mq.awake('q')");
    run(a, "SELECT mq.enqueue('q', 'x')");
    check_int(0, bells(sleeper));
}

static void tells_the_next_time(void)
{
    run(a, "SELECT mq.create_queue('q')");
    check_text("t", text(sleeper, "SELECT due_in_ms IS NULL FROM mq.doze('q')"));
    run(a, "SELECT mq.enqueue('q', 'x', delay => 600), mq.enqueue('q', 'y', delay => 60)");
    check_text("t", text(sleeper, "SELECT due_in_ms BETWEEN 50000 AND 60000 FROM mq.doze('q', true)"));
    run(a, "SELECT mq.enqueue('q', 'z', delay => 0.001)");
    wait_until(a, "SELECT clock_timestamp() > min(due) FROM mq.message");
    check_int(0, number(sleeper, "SELECT due_in_ms FROM mq.doze('q', true)"));
    check_text("t",
               text(sleeper, "SELECT due_in_ms > 500000 FROM mq.doze('q', true, now() + interval '100 s')"));
    run(sleeper, "SELECT mq.awake('q')");
}

int main(void)
{
    a = session_open();
    b = session_open();
    sleeper = session_open();
    TEST(rings_if_somebody_sleeps);
    TEST(rolled_back_wakes_nobody);
    TEST(what_rings);
    run(sleeper, "SELECT pg_advisory_unlock_all()");
    TEST(tells_who_is_in_flight);
    TEST(no_wake_up_is_lost);
    run(sleeper, "SELECT pg_advisory_unlock_all()");
    TEST(sleepers_end);
    TEST(tells_the_next_time);
    PQfinish(a);
    PQfinish(b);
    PQfinish(sleeper);
    return finished();
}
