/* SPDX-License-Identifier: MIT */
/* The producer without a server, with one that cuts it off at every point, and without memory: each message
 * is stored exactly once or said not to be, and told once. */
#include "alloc.h"
#include "producer.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { MOST = 20000, WAIT_MS = 60000, FOREVER_US = 60000000 };

typedef struct fate {
    int told;
    pgq_status status;
    int64_t id;
    char text[200];
} fate;

static fate fates[MOST];
static long told;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void on_delivery(const pgq_delivery *d, void *arg)
{
    fate *one = d->arg;

    (void)arg;
    pthread_mutex_lock(&lock);
    told++;
    one->told++;
    one->status = d->status;
    one->id = d->id;
    snprintf(one->text, sizeof one->text, "%s", d->text);
    pthread_mutex_unlock(&lock);
}

static long told_so_far(void)
{
    long n;

    pthread_mutex_lock(&lock);
    n = told;
    pthread_mutex_unlock(&lock);
    return n;
}

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    memset(fates, 0, sizeof fates);
    told = 0;
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    return 0;
}

static pgq_producer_options options(const fixture *f)
{
    pgq_producer_options o = PGQ_PRODUCER_OPTIONS_INIT;

    o.name_space = f->ns;
    o.on_delivery = on_delivery;
    return o;
}

/* Its connection is called after the test's, with a p. */
static pgq_producer *open_at(const fixture *f, const char *dsn, const pgq_producer_options *o)
{
    char name[80];
    pgq_producer *p;
    pgq_error e;

    snprintf(name, sizeof name, "%s-p", f->ns);
    setenv("PGAPPNAME", name, 1);
    if (pgq_producer_open(dsn, o, &p) != PGQ_OK) {
        pgq_producer_last_error(p, &e);
        fail_msg("%s", e.message);
    }
    setenv("PGAPPNAME", f->ns, 1);
    return p;
}

static void put(pgq_producer *p, int i)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%d", i);

    assert_int_equal(pgq_producer_send(p, "q", text, (size_t)n, NULL, -1, &fates[i]), PGQ_OK);
}

static void fate_is(int i, pgq_status status, const char *text)
{
    if (fates[i].told != 1 || fates[i].status != status || !strstr(fates[i].text, text))
        fail_msg("message %d was told %d times, %s: %s", i, fates[i].told, pgq_status_name(fates[i].status),
                 fates[i].text);
}

/* All n are stored once, under the ids that were told. */
static void all_stored(const fixture *f, PGconn *conn, int n)
{
    char sql[200];
    PGresult *res;

    snprintf(sql, sizeof sql, "SELECT id, convert_from(payload, 'UTF8') FROM \"%s\".message", f->ns);
    res = PQexec(conn, sql);
    assert_int_equal(PQntuples(res), n);
    for (int i = 0; i < n; i++) {
        long at = strtol(PQgetvalue(res, i, 1), NULL, 10);

        fate_is((int)at, PGQ_OK, "");
        assert_true(fates[at].id == strtoll(PQgetvalue(res, i, 0), NULL, 10));
    }
    PQclear(res);
}

static long stored(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.message");
}

/* --- cut off again and again --- */

enum { THREADS = 4, EACH = 1500 };

typedef struct sender {
    pgq_producer *p;
    int number;
    pthread_t thread;
    int wrong;
} sender;

static void *send_many(void *arg)
{
    sender *s = arg;
    char text[32];

    for (int i = 0; i < EACH; i++) {
        int at = s->number * EACH + i;
        int n = snprintf(text, sizeof text, "%d", at);

        s->wrong += pgq_producer_send(s->p, "q", text, (size_t)n, NULL, -1, &fates[at]) != PGQ_OK;
    }
    return NULL;
}

static void test_killed(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    sender senders[THREADS];
    long kills = 0;
    pgq_producer *p;

    o.max_pending = 40;
    o.max_batch = 20;
    p = open_at(f, t_dsn(), &o);
    for (int i = 0; i < THREADS; i++) {
        senders[i] = (sender){.p = p, .number = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    for (long before = 0; told_so_far() < THREADS * EACH - 100;) {
        /* The producer gets some messages through between two kills. */
        if (told_so_far() >= before + 30) {
            kills += t_number(f, f->sql,
                              "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                              " WHERE application_name = '%s-p' AND state IS NOT NULL",
                              f->ns);
            before = told_so_far();
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].wrong, 0);
    }
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    assert_int_equal(told, THREADS * EACH);
    assert_true(kills > 10);
    all_stored(f, f->sql, THREADS * EACH);
}

/* --- between COMMIT and its answer --- */

/* A commit waits for a key that f->sql holds. */
static void hold_commits(const fixture *f)
{
    t_run(f, f->sql,
          "CREATE FUNCTION mq.waits() RETURNS trigger LANGUAGE plpgsql AS"
          " $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$");
    t_run(f, f->sql,
          "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON mq.message"
          " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mq.waits()");
    t_run(f, f->sql, "SELECT pg_advisory_lock(4711)");
}

static void until_waiting(const fixture *f, const char *how_many)
{
    char sql[300];

    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s-p'"
             " AND wait_event = 'advisory' AND query = 'COMMIT'",
             f->ns);
    t_until(f, WAIT_MS, how_many, sql);
}

static void cut(pgq_producer *p)
{
    pthread_mutex_lock(&p->lock);
    assert_true(p->fd >= 0);
    shutdown(p->fd, SHUT_RDWR);
    pthread_mutex_unlock(&p->lock);
}

/* Until the producer has asked what became of it. */
static void until_asked(const fixture *f)
{
    char sql[300];

    snprintf(
        sql, sizeof sql,
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '%s-p' AND query LIKE '%%%s%%'",
        f->ns, "pg_terminate_backend(a.pid)");
    t_until(f, WAIT_MS, "t", sql);
}

static void test_cut_in_commit(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_producer *p;

    o.linger_us = FOREVER_US;
    for (int through = 0; through < 2; through++) {
        memset(fates, 0, sizeof fates);
        t_run(f, f->sql, "DELETE FROM mq.message");
        p = open_at(f, t_dsn(), &o);
        hold_commits(f);
        for (int i = 0; i < 3; i++)
            put(p, i);
        assert_int_equal(pgq_producer_flush(p, 1), PGQ_TIMEOUT);
        until_waiting(f, "1");
        cut(p);
        until_asked(f);
        assert_int_equal(fates[0].told, 0);
        if (!through)
            t_run(f, f->sql,
                  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s-p'"
                  " AND query = 'COMMIT'",
                  f->ns);
        if (!through)
            until_waiting(f, "1"); /* it is sent again */
        t_run(f, f->sql, "SELECT pg_advisory_unlock(4711)");
        assert_int_equal(pgq_producer_flush(p, WAIT_MS), PGQ_OK);
        assert_int_equal(t_number(f, f->sql, "SELECT last_value FROM mq.position") >= (through ? 3 : 6), 1);
        all_stored(f, f->sql, 3);
        assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
        t_run(f, f->sql, "DROP FUNCTION mq.waits() CASCADE");
    }
}

/* The time of a message is over while nobody knows: it is said that nobody knows. */
static void test_time_over_in_commit(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_producer *p;

    o.delivery_timeout_ms = 200;
    p = open_at(f, t_dsn(), &o);
    hold_commits(f);
    put(p, 0);
    until_waiting(f, "1");
    cut(p);
    assert_int_equal(pgq_producer_flush(p, WAIT_MS), PGQ_OK);
    fate_is(0, PGQ_CONNECTION, "before it was known whether it was committed: the commit is still under way");
    put(p, 1);
    until_waiting(f, "1");
    t_run(f, f->sql, "SELECT pg_advisory_unlock(4711)");
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    fate_is(1, PGQ_OK, "");
}

/* A close that does not wait any longer, with a COMMIT that does not end. */
static void test_close_in_commit(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_producer *p = open_at(f, t_dsn(), &o);

    hold_commits(f);
    put(p, 0);
    until_waiting(f, "1");
    put(p, 1);
    assert_int_equal(pgq_producer_close(p, 0), PGQ_TIMEOUT);
    fate_is(0, PGQ_CONNECTION, "closed");
    fate_is(1, PGQ_TIMEOUT, "closed");
    t_run(f, f->sql, "SELECT pg_advisory_unlock(4711)");
}

/* Who is cut off before the COMMIT arrives would keep the transaction open: it is ended. */
static void test_idle_is_ended(void **state)
{
    fixture *f = *state;
    pgqi_batch batch = {.unknown = 1};
    PGconn *other = t_connect();
    pgqi_era era;

    assert_ok(f->q, pgqi_era_read(f->q, &era));
    batch.era = era;
    t_run(f, other, "BEGIN");
    batch.xid = t_number(f, other, "SELECT pg_current_xact_id()");
    assert_status(f->q, pgqi_batch_ask(f->q, &batch, &era), PGQ_CONFLICT);
    assert_int_equal(batch.unknown, 1);
    for (int i = 0; batch.unknown && i < 1000; i++) {
        pgqi_batch_ask(f->q, &batch, &era);
        t_pause_ms(5);
    }
    assert_int_equal(batch.unknown, 0);
    PQfinish(other);
}

/* What the server says of a number, and what that means if it is not the same server any more. */
static void test_judged(void **state)
{
    enum { SAME, RESTARTED, CRASHED, TAKEN_OVER };
    static const struct {
        int what;
        int64_t redo; /* of the last checkpoint; the batch ended at 500 */
        pgq_status status;
        int committed;
    } cases[] = {
        {SAME, 100, PGQ_OK, 1},      {SAME, 900, PGQ_OK, 1},          {RESTARTED, 900, PGQ_STALE, 0},
        {RESTARTED, 400, PGQ_OK, 0}, {CRASHED, 900, PGQ_STALE, 0},    {CRASHED, 400, PGQ_STALE, 0},
        {CRASHED, 100, PGQ_OK, 1},   {TAKEN_OVER, 900, PGQ_STALE, 0}, {TAKEN_OVER, 400, PGQ_STALE, 0},
    };
    fixture *f = *state;
    long committed = t_number(f, f->sql, "SELECT pg_current_xact_id()");
    long aborted;
    pgqi_era was = {.postmaster_us = 1, .crash_us = 1, .redo = 100, .timeline = "00000001"};

    t_run(f, f->sql, "BEGIN");
    aborted = t_number(f, f->sql, "SELECT pg_current_xact_id()");
    t_run(f, f->sql, "ROLLBACK");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgqi_taken m = {.status = PGQ_OK, .id = 7};
        pgqi_batch batch = {.unknown = 1, .xid = committed, .lsn = 500, .era = was};
        pgqi_era now = was;

        pgqi_taken_append(&batch.list, &m);
        now.redo = cases[i].redo;
        now.postmaster_us += cases[i].what == RESTARTED;
        now.crash_us += cases[i].what != SAME;
        if (cases[i].what == TAKEN_OVER)
            now.timeline[7] = '2';
        assert_status(f->q, pgqi_batch_ask(f->q, &batch, &now), cases[i].status);
        assert_int_equal(m.done, cases[i].committed);
        assert_int_equal(batch.unknown, cases[i].status != PGQ_OK);
        batch.unknown = 1;
        batch.xid = aborted;
        m.done = 0;
        assert_ok(f->q, pgqi_batch_ask(f->q, &batch, &now));
        assert_true(!m.done && !batch.unknown);
        batch.xid = committed + 1000000000; /* never given out */
        assert_ok(f->q, pgqi_batch_ask(f->q, &batch, &now));
        assert_true(!m.done && !batch.unknown);
        batch.xid = 3; /* too long ago */
        assert_status(f->q, pgqi_batch_ask(f->q, &batch, &now),
                      *t_ask(f, f->sql, "SELECT pg_xact_status('3')") ? PGQ_OK : PGQ_STALE);
    }
}

/* --- refusals --- */

static void ignore(void *arg, int begins)
{
    (void)arg, (void)begins;
}

/* How often the server was waited for, to send N messages of which each nth is bad; then it was. */
static int round_trips(const fixture *f, int nth, int from)
{
    enum { N = 1000 };
    pgqi_taken *messages = calloc(N, sizeof *messages);
    pgqi_batch batch = {.groups = 1};
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    FILE *trace = tmpfile();
    char line[4096];
    int syncs = 0;
    pgqi_era era;

    assert_true(messages && trace);
    for (int i = 0; i < N; i++) {
        messages[i].out = (pgqi_outgoing){"12345", i >= from && i % nth == 0 ? 5 : 4, o, NULL};
        messages[i].queue = "q";
        pgqi_taken_append(&batch.list, &messages[i]);
    }
    assert_ok(f->q, pgqi_era_read(f->q, &era));
    PQtrace(pgq_connection(f->q), trace);
    assert_ok(f->q, pgqi_batch_send(f->q, &batch, &era, ignore, NULL));
    PQuntrace(pgq_connection(f->q));
    rewind(trace);
    while (fgets(line, sizeof line, trace))
        syncs += strstr(line, "\tSync") != NULL;
    fclose(trace);
    for (int i = 0; i < N; i++) {
        assert_int_equal(messages[i].done, 1);
        assert_int_equal(messages[i].status, messages[i].out.len == 5 ? PGQ_TOO_LONG : PGQ_OK);
        free(messages[i].text);
    }
    free(messages);
    return syncs;
}

/* A few round trips, however many messages are bad. */
static void test_round_trips(void **state)
{
    fixture *f = *state;

    t_run(f, f->sql, "SELECT mq.set_queue('q', max_size => 4)");
    round_trips(f, 2, 1000); /* the statements are prepared */
    round_trips(f, 2, 1000);
    assert_int_equal(round_trips(f, 2, 1000), 2);
    assert_int_equal(round_trips(f, 999, 500), 3);
    assert_int_equal(round_trips(f, 1, 999), 3);
    assert_in_range(round_trips(f, 1, 0), 3, 22);
    assert_in_range(round_trips(f, 2, 0), 3, 22);
}

/* --- a server that is away --- */

/* A database of its own, which can be closed. */
static void make_database(const fixture *f, char name[40], char conninfo[600])
{
    PGconn *c = f->sql;

    snprintf(name, 40, "pgq_%ld", strtol(f->ns + strlen("test-"), NULL, 10));
    t_run(f, c, "CREATE DATABASE %s TEMPLATE template0", name);
    snprintf(conninfo, 600, "host='%s' port=%s user='%s' password='%s' dbname=%s", PQhost(c), PQport(c),
             PQuser(c), PQpass(c) ? PQpass(c) : "", name);
}

static void shut(const fixture *f, const char *name, int closed)
{
    t_run(f, f->sql, "ALTER DATABASE %s ALLOW_CONNECTIONS %s", name, closed ? "false" : "true");
    if (closed)
        t_run(f, f->sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", name);
}

static void test_away(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_open_options oo = PGQ_OPEN_OPTIONS_INIT;
    char name[40], conninfo[600];
    pgq_producer *patient, *p;
    PGconn *conn;
    pgq *q;

    make_database(f, name, conninfo);
    oo.name_space = f->ns;
    assert_ok(q, pgq_open(conninfo, &oo, &q));
    assert_ok(q, pgq_install(q));
    assert_ok(q, pgq_create_queue(q, "q", NULL, 0));
    pgq_close(q);
    patient = open_at(f, conninfo, &o);
    o.delivery_timeout_ms = 100;
    o.max_batch = 2;
    p = open_at(f, conninfo, &o);
    shut(f, name, 1);
    for (int i = 0; i < 10; i++)
        put(i < 5 ? patient : p, i);
    assert_int_equal(pgq_producer_flush(p, WAIT_MS), PGQ_OK);
    for (int i = 5; i < 10; i++)
        fate_is(i, PGQ_TIMEOUT, "it could not be delivered in time: ");
    assert_int_equal(pgq_producer_flush(patient, 0), PGQ_TIMEOUT);
    put(p, 10);
    assert_int_equal(pgq_producer_close(p, 0), PGQ_TIMEOUT);
    fate_is(10, PGQ_TIMEOUT, "");
    shut(f, name, 0);
    assert_int_equal(pgq_producer_flush(patient, WAIT_MS), PGQ_OK);
    conn = PQconnectdb(conninfo);
    all_stored(f, conn, 5);
    PQfinish(conn);
    shut(f, name, 1);
    put(patient, 11);
    assert_int_equal(pgq_producer_close(patient, 20), PGQ_TIMEOUT);
    fate_is(11, PGQ_TIMEOUT, "closed");
    t_run(f, f->sql, "DROP DATABASE %s", name);
}

/* --- without memory --- */

static int copies(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    (void)kind, (void)error, (void)error_size, (void)arg;
    *out = malloc(len + 1);
    if (!*out)
        return 1;
    memcpy(*out, in, len);
    *out_len = len;
    return 0;
}

/* How many of n messages were taken; the nth allocation fails. */
static long run_without(const fixture *f, const pgq_producer_options *o, long nth, int n, int taken[])
{
    pgq_enqueue_options headers = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_producer *p;
    pgq_status status;
    long made;

    headers.headers = "{}";
    pgqi_alloc_fail_at(nth);
    status = pgq_producer_open(t_dsn(), o, &p);
    assert_true(status == PGQ_OK || status == PGQ_NO_MEMORY);
    for (int i = 0; i < n; i++) {
        const char *queue = i == 2 ? "nowhere" : "q";

        taken[i] = 0;
        if (status != PGQ_OK)
            continue;
        taken[i] = pgq_producer_send(p, queue, "m", 1, i ? &headers : NULL, -1, &fates[i]) == PGQ_OK;
    }
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    made = pgqi_alloc_made();
    pgqi_alloc_fail_at(0);
    (void)f;
    return made;
}

static void test_without_memory(void **state)
{
    enum { N = 4, ROUNDS = 200 };
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_codec codec = {sizeof codec, copies, NULL, NULL};
    int refused = 0, failed = 0;
    long nth = 1;

    o.linger_us = FOREVER_US;
    o.codec = &codec;
    for (; nth < ROUNDS; nth++) {
        int taken[N];
        long made, there;

        memset(fates, 0, sizeof fates);
        t_run(f, f->sql, "DELETE FROM mq.message");
        made = run_without(f, &o, nth, N, taken);
        there = 0;
        for (int i = 0; i < N; i++) {
            pgq_status good = i == 2 ? PGQ_NOT_FOUND : PGQ_OK;

            assert_int_equal(fates[i].told, taken[i]);
            refused += !taken[i];
            if (!taken[i])
                continue;
            if (fates[i].status != good)
                fate_is(i, PGQ_NO_MEMORY, "out of memory");
            failed += fates[i].status == PGQ_NO_MEMORY;
            there += fates[i].status == PGQ_OK;
        }
        assert_int_equal(stored(f), there);
        if (made < nth)
            break;
    }
    assert_true(nth < ROUNDS);
    assert_true(refused > N && failed > N);
}

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_killed),
        FAULT_TEST(test_cut_in_commit),
        FAULT_TEST(test_time_over_in_commit),
        FAULT_TEST(test_close_in_commit),
        FAULT_TEST(test_idle_is_ended),
        FAULT_TEST(test_judged),
        FAULT_TEST(test_round_trips),
        FAULT_TEST(test_away),
        FAULT_TEST(test_without_memory),
    };

    return RUN_WITH_SERVER(tests);
}
