/* SPDX-License-Identifier: MIT */
/* The asynchronous producer: order, gathering, refusals in the middle of a batch, room, flush, close. */
#include "support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 20000, WAIT_MS = 60000, FOREVER_US = 60000000 };

/* What became of each message: written by the producer's thread, read after flush or close, or under the
 * lock. */
typedef struct fate {
    int told;
    long place; /* how manyth it was told */
    pgq_status status;
    int64_t id;
    char text[160];
} fate;

static fate fates[MOST];
static long told;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void on_delivery(const pgq_delivery *d, void *arg)
{
    fate *one = d->arg;

    (void)arg;
    pthread_mutex_lock(&lock);
    one->told++;
    one->place = ++told;
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

static void await_told(long least)
{
    int64_t until = t_now_us() + WAIT_MS * 1000LL;

    while (told_so_far() < least) {
        if (t_now_us() > until)
            fail_msg("%ld in the place of %ld were told", told_so_far(), least);
        t_pause_ms(1);
    }
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
    assert_ok(f->q, pgq_create_queue(f->q, "r", NULL, 0));
    return 0;
}

static pgq_producer_options options(const fixture *f)
{
    pgq_producer_options o = PGQ_PRODUCER_OPTIONS_INIT;

    o.name_space = f->ns;
    o.on_delivery = on_delivery;
    return o;
}

static void status_is(pgq_producer *p, pgq_status got, pgq_status wanted)
{
    pgq_error e;

    pgq_producer_last_error(p, &e);
    if (got != wanted)
        fail_msg("%s in the place of %s: %s", pgq_status_name(got), pgq_status_name(wanted), e.message);
}

static pgq_producer *open_with(const pgq_producer_options *o)
{
    pgq_producer *p;

    status_is(p, pgq_producer_open(t_dsn(), o, &p), PGQ_OK);
    return p;
}

static void send_as(pgq_producer *p, int i, const char *queue, const char *text, const pgq_enqueue_options *o)
{
    status_is(p, pgq_producer_send(p, queue, text, strlen(text), o, -1, &fates[i]), PGQ_OK);
}

static void send(pgq_producer *p, int i, const char *queue, const char *text)
{
    send_as(p, i, queue, text, NULL);
}

static void fate_is(int i, pgq_status status, const char *text)
{
    if (fates[i].told != 1 || fates[i].status != status || !strstr(fates[i].text, text))
        fail_msg("message %d was told %d times, %s: %s", i, fates[i].told, pgq_status_name(fates[i].status),
                 fates[i].text);
    assert_true((fates[i].id > 0) == (status == PGQ_OK || status == PGQ_DUPLICATE));
}

static long stored(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(*) FROM mq.message");
}

static long transactions(const fixture *f)
{
    return t_number(f, f->sql, "SELECT count(DISTINCT xmin::text) FROM mq.message");
}

/* --- many threads --- */

enum { THREADS = 8, EACH = 2000 };

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
        int n = snprintf(text, sizeof text, "%d", s->number * EACH + i);

        s->wrong +=
            pgq_producer_send(s->p, "q", text, (size_t)n, NULL, -1, &fates[s->number * EACH + i]) != PGQ_OK;
    }
    return NULL;
}

/* Each is stored once, under the id that was told; those of one thread in their order. */
static void check_stored(const fixture *f, int n)
{
    char sql[200];
    PGresult *res;

    snprintf(sql, sizeof sql, "SELECT id, convert_from(payload, 'UTF8') FROM \"%s\".message ORDER BY id",
             f->ns);
    res = PQexec(f->sql, sql);
    assert_int_equal(PQntuples(res), n);
    for (int i = 0; i < n; i++) {
        long at = strtol(PQgetvalue(res, i, 1), NULL, 10);

        fate_is((int)at, PGQ_OK, "");
        assert_true(fates[at].id == strtoll(PQgetvalue(res, i, 0), NULL, 10));
    }
    PQclear(res);
    for (int i = 1; i < n; i++)
        if (i % EACH != 0)
            assert_true(fates[i].id > fates[i - 1].id && fates[i].place > fates[i - 1].place);
}

static void test_threads(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    sender senders[THREADS] = {{0}};
    pgq_producer *p;

    o.max_pending = 3000; /* so that they have to wait for room */
    p = open_with(&o);
    for (int i = 0; i < THREADS; i++) {
        senders[i] = (sender){.p = p, .number = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].wrong, 0);
    }
    assert_int_equal(pgq_producer_flush(p, WAIT_MS), PGQ_OK);
    check_stored(f, THREADS * EACH);
    assert_true(transactions(f) < THREADS * EACH / 10);
    assert_int_equal(pgq_producer_close(p, 0), PGQ_OK);
    assert_int_equal(told, THREADS * EACH);
}

/* --- gathering --- */

static void test_linger(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_producer *p;

    o.linger_us = FOREVER_US;
    p = open_with(&o);
    for (int i = 0; i < 10; i++)
        send(p, i, i % 2 ? "q" : "r", "m");
    assert_int_equal(pgq_producer_flush(p, 0), PGQ_TIMEOUT);
    assert_int_equal(stored(f), 0);
    assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
    assert_int_equal(told, 10);
    assert_int_equal(stored(f), 10);
    assert_int_equal(transactions(f), 1);
    for (int i = 1; i < 10; i++)
        assert_int_equal(fates[i].place, i + 1);
    assert_int_equal(pgq_producer_flush(p, 0), PGQ_OK);
    send(p, 10, "q", "closed with");
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    assert_int_equal(told, 11);
    o.linger_us = 1000;
    p = open_with(&o);
    send(p, 11, "q", "goes when its time is over");
    await_told(12);
    o.linger_us = 0;
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    p = open_with(&o);
    send(p, 12, "q", "goes at once");
    await_told(13);
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
}

/* A batch that is full does not linger: by number, by bytes, by queues. */
static void test_full(void **state)
{
    enum { BIG = 3 << 20, QUEUES = 70 };
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_enqueue_options create = PGQ_ENQUEUE_OPTIONS_INIT;
    char *big = calloc(1, BIG);
    pgq_producer *p;

    assert_non_null(big);
    t_run(f, f->sql, "SELECT mq.set_queue('q', max_size => -1)");
    o.linger_us = FOREVER_US;
    o.max_batch = 5;
    p = open_with(&o);
    for (int i = 0; i < 10; i++)
        send(p, i, "q", "m");
    await_told(10);
    assert_int_equal(transactions(f), 2);
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    o.max_batch = 0;
    p = open_with(&o);
    for (int i = 10; i < 13; i++)
        status_is(p, pgq_producer_send(p, "q", big, BIG, NULL, -1, &fates[i]), PGQ_OK);
    await_told(12);
    assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message WHERE length(payload) = %d", BIG),
                     3);
    assert_int_equal(transactions(f), 4);
    create.create_queue = 1;
    for (int i = 0; i < 2 * QUEUES; i++) {
        char name[16];

        snprintf(name, sizeof name, "of many %d", i % QUEUES);
        send_as(p, 13 + i, name, "m", &create);
    }
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    for (int i = 0; i < 13 + 2 * QUEUES; i++)
        fate_is(i, PGQ_OK, "");
    assert_true(transactions(f) > 5);
    free(big);
}

/* --- refusals --- */

static void test_refusals(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_enqueue_options json = PGQ_ENQUEUE_OPTIONS_INIT, headers = json, keyed = json, key = json;
    pgq_producer *p;

    t_run(f, f->sql, "SELECT mq.set_queue('q', max_size => 8)");
    json.kind = PGQ_JSON;
    headers.headers = "[]";
    keyed.dedup_key = "k";
    key.order_key = "";
    o.linger_us = FOREVER_US;
    p = open_with(&o);
    send(p, 0, "q", "first");
    send(p, 1, "nowhere", "a");
    send_as(p, 2, "q", "k", &keyed);
    send(p, 3, "q", "nine bytes");
    send_as(p, 4, "q", "{", &json);
    send(p, 5, "r", "no limit here");
    send_as(p, 6, "q", "2", &json);
    send_as(p, 7, "q", "k again", &keyed);
    send_as(p, 8, "q", "x", &headers);
    send(p, 9, "nowhere", "b");
    send_as(p, 10, "q", "x", &key);
    send(p, 11, "q", "last");
    assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
    fate_is(0, PGQ_OK, "");
    fate_is(1, PGQ_NOT_FOUND, "queue \"nowhere\" does not exist");
    fate_is(2, PGQ_OK, "");
    fate_is(3, PGQ_TOO_LONG, "a payload of 10 bytes is over the limit");
    assert_null(strstr(fates[3].text, "message "));
    fate_is(4, PGQ_INVALID, "not valid JSON");
    fate_is(5, PGQ_OK, "");
    fate_is(6, PGQ_OK, "");
    fate_is(7, PGQ_DUPLICATE, "");
    assert_true(fates[7].id == fates[2].id);
    fate_is(8, PGQ_INVALID, "headers");
    fate_is(9, PGQ_NOT_FOUND, "nowhere");
    fate_is(10, PGQ_INVALID, "order key");
    fate_is(11, PGQ_OK, "");
    assert_string_equal(t_ask(f, f->sql,
                              "SELECT string_agg(convert_from(payload, 'UTF8'), ' ' ORDER BY id)"
                              " FROM mq.message"),
                        "no limit here first k 2 last");
    assert_int_equal(transactions(f), 1);
    for (int i = 0; i < 12; i++)
        assert_int_equal(fates[i].place, i + 1);
    send_as(p, 12, "q", "k third", &keyed);
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    fate_is(12, PGQ_DUPLICATE, "");
    assert_true(fates[12].id == fates[2].id);
}

/* However many are bad, the others are stored in their order, in one transaction. */
static void test_many_refusals(void **state)
{
    enum { N = 1000 };
    static const struct {
        int from, step, good; /* which are good */
    } cases[] = {{0, 2, 500}, {N, 1, 0}, {0, N - 1, 2}, {300, 3, 234}, {1, 300, 4}};
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_producer *p;

    t_run(f, f->sql, "SELECT mq.set_queue('q', max_size => 4)");
    o.linger_us = FOREVER_US;
    p = open_with(&o);
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        int64_t last = 0;

        memset(fates, 0, sizeof fates);
        t_run(f, f->sql, "DELETE FROM mq.message");
        for (int i = 0; i < N; i++)
            send(p, i, "q",
                 i >= cases[c].from && (i - cases[c].from) % cases[c].step == 0 ? "good" : "not so");
        assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
        for (int i = 0; i < N; i++) {
            if (i >= cases[c].from && (i - cases[c].from) % cases[c].step == 0) {
                fate_is(i, PGQ_OK, "");
                assert_true(fates[i].id > last);
                last = fates[i].id;
            } else {
                fate_is(i, PGQ_TOO_LONG, "a payload of 6 bytes");
            }
        }
        assert_int_equal(stored(f), cases[c].good);
        assert_int_equal(transactions(f), cases[c].good > 0);
    }
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
}

/* create_queue counts for the messages from it on. */
static void test_create_queue(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_enqueue_options create = PGQ_ENQUEUE_OPTIONS_INIT, bad = create;
    pgq_producer *p;

    create.create_queue = 1;
    bad.headers = "1";
    o.linger_us = FOREVER_US;
    p = open_with(&o);
    send(p, 0, "new", "too early");
    send_as(p, 1, "new", "one", &create);
    send_as(p, 2, "new", "no", &bad);
    send(p, 3, "new", "two");
    send_as(p, 4, "new", "three", &create);
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    fate_is(0, PGQ_NOT_FOUND, "\"new\"");
    fate_is(1, PGQ_OK, "");
    fate_is(2, PGQ_INVALID, "headers");
    fate_is(3, PGQ_OK, "");
    fate_is(4, PGQ_OK, "");
    assert_true(fates[1].id < fates[3].id && fates[3].id < fates[4].id);
    assert_int_equal(transactions(f), 1);
}

/* What the server objects to as an error fails all of the transaction, and nothing else. */
static void test_server_errors(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_enqueue_options odd = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_producer *p;

    odd.priority = 77;
    o.linger_us = FOREVER_US;
    p = open_with(&o);
    t_run(f, f->sql, "ALTER TABLE mq.message ADD CONSTRAINT odd CHECK (priority <> 77)");
    send(p, 0, "q", "a");
    send_as(p, 1, "q", "b", &odd);
    assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
    fate_is(0, PGQ_SERVER, "violates check constraint \"odd\"");
    fate_is(1, PGQ_SERVER, "violates check constraint \"odd\"");
    send(p, 2, "q", "c");
    assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
    fate_is(2, PGQ_OK, "");
    assert_int_equal(stored(f), 1);
    t_run(f, f->sql, "DROP FUNCTION mq._enqueue_many");
    send(p, 3, "q", "d");
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    fate_is(3, PGQ_VERSION, "_enqueue_many");
}

/* A trigger that fails the first time, when told; and with what. */
static void fail_once(const fixture *f, const char *when, const char *state)
{
    t_run(f, f->sql, "CREATE SEQUENCE mq.tries");
    t_run(f, f->sql,
          "CREATE FUNCTION mq.fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
          " IF nextval('mq.tries') = 1 THEN RAISE 'once' USING ERRCODE = '%s'; END IF; RETURN NULL; END $$",
          state);
    t_run(f, f->sql,
          "CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON mq.message %s FOR EACH ROW"
          " EXECUTE FUNCTION mq.fails()",
          when);
}

/* What may succeed later is tried again, in the statement and at the commit. */
static void test_tried_again(void **state)
{
    static const struct {
        const char *when, *sqlstate;
        pgq_status status;
    } cases[] = {
        {"", "40001", PGQ_OK},
        {"", "53100", PGQ_OK},
        {"", "57014", PGQ_OK},
        {"", "26000", PGQ_OK},
        {"", "25006", PGQ_OK},
        {"DEFERRABLE INITIALLY DEFERRED", "40P01", PGQ_OK},
        {"DEFERRABLE INITIALLY DEFERRED", "23505", PGQ_SERVER},
        {"", "42501", PGQ_PERMISSION},
    };
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_producer *p = open_with(&o);

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int at = (int)(2 * i);

        t_run(f, f->sql, "DELETE FROM mq.message");
        fail_once(f, cases[i].when, cases[i].sqlstate);
        send(p, at, "q", "m");
        assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
        fate_is(at, cases[i].status, cases[i].status == PGQ_OK ? "" : "once");
        assert_int_equal(stored(f), cases[i].status == PGQ_OK);
        send(p, at + 1, "q", "m");
        assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
        fate_is(at + 1, PGQ_OK, "");
        t_run(f, f->sql, "DROP FUNCTION mq.fails() CASCADE");
        t_run(f, f->sql, "DROP SEQUENCE mq.tries");
    }
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
}

/* --- hooks --- */

/* Upper case, as text; what begins with a question mark fails. */
static int shout(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                 size_t error_size, void *arg)
{
    char *made = malloc(len + 1);

    assert_ptr_equal(arg, fates);
    if (!made || (len > 0 && *(const char *)in == '?')) {
        free(made);
        snprintf(error, error_size, "no questions");
        return 1;
    }
    for (size_t i = 0; i < len; i++)
        made[i] = (char)(((const char *)in)[i] & ~0x20);
    *kind = PGQ_TEXT;
    *out = made;
    *out_len = len;
    return 0;
}

static void test_hooks(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_codec codec = {sizeof codec, shout, NULL, fates};
    pgq_producer *p;
    pgq_error e;

    o.codec = &codec;
    p = open_with(&o);
    memset(&codec, 0, sizeof codec); /* it was copied */
    send(p, 0, "q", "quiet");
    assert_int_equal(pgq_producer_send(p, "q", "?", 1, NULL, -1, NULL), PGQ_HOOK);
    pgq_producer_last_error(p, &e);
    assert_int_equal(e.status, PGQ_HOOK);
    assert_string_equal(e.message, "the encode hook failed: no questions");
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    assert_int_equal(told, 1);
    assert_string_equal(t_ask(f, f->sql, "SELECT kind || convert_from(payload, 'UTF8') FROM mq.message"),
                        "1QUIET");
}

/* --- room, and time --- */

/* Nothing can be sent until it is unlocked. */
static void lock_queues(const fixture *f)
{
    t_run(f, f->sql, "BEGIN; LOCK TABLE mq.queue IN ACCESS EXCLUSIVE MODE");
}

static void *send_patiently(void *arg)
{
    sender *s = arg;

    s->wrong = pgq_producer_send(s->p, "q", "patient", 7, NULL, -1, &fates[s->number]) != PGQ_OK;
    return NULL;
}

static void test_room(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    sender s = {.number = 1};
    pgq_producer *p;
    pgq_error e;

    o.max_pending = 1;
    s.p = p = open_with(&o);
    lock_queues(f);
    send(p, 0, "q", "first");
    assert_int_equal(pgq_producer_send(p, "q", "x", 1, NULL, 0, NULL), PGQ_TIMEOUT);
    assert_int_equal(pgq_producer_send(p, "q", "x", 1, NULL, 20, NULL), PGQ_TIMEOUT);
    pgq_producer_last_error(p, &e);
    assert_string_equal(e.message, "there was no room within 20 ms: 1 messages and 5 bytes are pending");
    assert_int_equal(pthread_create(&s.thread, NULL, send_patiently, &s), 0);
    assert_int_equal(pgq_producer_flush(p, 0), PGQ_TIMEOUT);
    assert_int_equal(pgq_producer_flush(p, 20), PGQ_TIMEOUT);
    t_run(f, f->sql, "ROLLBACK");
    pthread_join(s.thread, NULL);
    assert_int_equal(s.wrong, 0);
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    fate_is(0, PGQ_OK, "");
    fate_is(1, PGQ_OK, "");
    assert_int_equal(stored(f), 2);
    o.max_pending = 0;
    o.max_pending_bytes = 10;
    p = open_with(&o);
    lock_queues(f);
    send(p, 2, "q", "longer than ten bytes");
    assert_int_equal(pgq_producer_send(p, "q", "x", 1, NULL, 0, NULL), PGQ_TIMEOUT);
    t_run(f, f->sql, "ROLLBACK");
    assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
    lock_queues(f);
    send(p, 3, "q", "12345");
    send(p, 4, "q", "12345");
    assert_int_equal(pgq_producer_send(p, "q", "x", 1, NULL, 0, NULL), PGQ_TIMEOUT);
    t_run(f, f->sql, "ROLLBACK");
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    assert_int_equal(told, 5);
}

/* What a close does not wait for fails, is told, and is never stored. */
static void test_close_in_time(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_producer *p = open_with(&o);
    int64_t began;

    lock_queues(f);
    for (int i = 0; i < 2500; i++)
        send(p, i, "q", "m");
    began = t_now_us();
    assert_int_equal(pgq_producer_close(p, 50), PGQ_TIMEOUT);
    assert_true(t_now_us() - began >= 50000);
    t_run(f, f->sql, "ROLLBACK");
    for (int i = 0; i < 2500; i++) {
        fate_is(i, PGQ_TIMEOUT, "the producer was closed before it was delivered");
        assert_int_equal(fates[i].place, i + 1);
    }
    t_until(
        f, WAIT_MS, "0",
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%_enqueue_many%' AND pid <> pg_backend_pid()"
        " AND wait_event_type = 'Lock'");
    assert_int_equal(stored(f), 0);
    assert_int_equal(pgq_producer_close(NULL, 0), PGQ_OK);
}

/* --- from within on_delivery --- */

static pgq_producer *own;
static int to_send;
static pgq_status seen[4];

static void sends_more(const pgq_delivery *d, void *arg)
{
    int next = (int)((fate *)d->arg - fates) + 1;

    on_delivery(d, arg);
    seen[0] = pgq_producer_flush(own, -1);
    seen[1] = pgq_producer_close(own, -1);
    if (next == to_send)
        return;
    seen[2] = pgq_producer_send(own, "q", "more", 4, NULL, -1, &fates[next]);
    seen[3] = pgq_producer_send(own, "q", "too much", 8, NULL, -1, NULL);
}

static void test_on_delivery_sends(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);

    o.on_delivery = sends_more;
    o.max_pending = 1;
    to_send = 20;
    own = open_with(&o);
    send(own, 0, "q", "first");
    await_told(to_send);
    assert_int_equal(pgq_producer_flush(own, -1), PGQ_OK);
    assert_int_equal(seen[0], PGQ_INVALID);
    assert_int_equal(seen[1], PGQ_STATE);
    assert_int_equal(seen[2], PGQ_OK);
    assert_int_equal(seen[3], PGQ_STATE);
    assert_int_equal(pgq_producer_close(own, -1), PGQ_OK);
    assert_int_equal(stored(f), to_send);
}

/* --- arguments --- */

static void refuses(const pgq_producer_options *o, const char *conninfo, pgq_status wanted, const char *text)
{
    pgq_producer *p;
    pgq_error e;

    assert_int_equal(pgq_producer_open(conninfo, o, &p), wanted);
    assert_non_null(p);
    pgq_producer_last_error(p, &e);
    assert_int_equal(e.status, wanted);
    if (!strstr(e.message, text))
        fail_msg("\"%s\" does not say %s", e.message, text);
    assert_int_equal(pgq_producer_send(p, "q", "x", 1, NULL, -1, NULL), PGQ_STATE);
    assert_int_equal(pgq_producer_flush(p, -1), PGQ_OK);
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
}

static void test_open_refuses(void **state)
{
    fixture *f = *state;
    pgq_producer_options o;

    assert_int_equal(pgq_producer_open(t_dsn(), NULL, NULL), PGQ_INVALID);
    o = options(f), o.linger_us = -1;
    refuses(&o, t_dsn(), PGQ_INVALID, "linger_us -1 is out of range: 0 to 60000000");
    o = options(f), o.linger_us = 60000001;
    refuses(&o, t_dsn(), PGQ_INVALID, "linger_us");
    o = options(f), o.max_batch = 100001;
    refuses(&o, t_dsn(), PGQ_INVALID, "max_batch 100001 is out of range: 1 to 100000");
    o = options(f), o.max_pending = -1;
    refuses(&o, t_dsn(), PGQ_INVALID, "max_pending -1");
    o = options(f), o.delivery_timeout_ms = -2;
    refuses(&o, t_dsn(), PGQ_INVALID, "delivery_timeout_ms -2");
    o = options(f), o.size = 1;
    refuses(&o, t_dsn(), PGQ_INVALID, "size 1");
    o = options(f), o.name_space = "";
    refuses(&o, t_dsn(), PGQ_INVALID, "namespace");
    o = options(f), o.name_space = "not installed";
    refuses(&o, t_dsn(), PGQ_NOT_INSTALLED, "not installed");
    o = options(f);
    refuses(&o, "host=/nonexistent-directory", PGQ_CONNECTION, "nonexistent");
}

static void test_send_refuses(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_enqueue_options text = PGQ_ENQUEUE_OPTIONS_INIT, wrong = text;
    pgq_producer *p = open_with(&o);
    pgq_error e;

    pgq_producer_last_error(p, &e);
    assert_int_equal(e.status, PGQ_OK);
    assert_string_equal(e.message, "");
    text.kind = PGQ_TEXT;
    wrong.size = 3;
    assert_int_equal(pgq_producer_send(NULL, "q", "x", 1, NULL, 0, NULL), PGQ_INVALID);
    assert_int_equal(pgq_producer_send(p, NULL, "x", 1, NULL, 0, NULL), PGQ_INVALID);
    assert_int_equal(pgq_producer_send(p, "", "x", 1, NULL, 0, NULL), PGQ_INVALID);
    assert_int_equal(pgq_producer_send(p, "q", NULL, 1, NULL, 0, NULL), PGQ_INVALID);
    assert_int_equal(pgq_producer_send(p, "q", "\xff", 1, &text, 0, NULL), PGQ_INVALID);
    assert_int_equal(pgq_producer_send(p, "q", "x", 1, &wrong, 0, NULL), PGQ_INVALID);
    pgq_producer_last_error(p, &e);
    assert_non_null(strstr(e.message, "size 3"));
    assert_int_equal(pgq_producer_send(p, "q", "x", 1, NULL, -2, NULL), PGQ_INVALID);
    assert_int_equal(pgq_producer_flush(NULL, 0), PGQ_INVALID);
    assert_int_equal(pgq_producer_flush(p, -2), PGQ_INVALID);
    pgq_producer_last_error(NULL, &e);
    assert_int_equal(e.status, PGQ_INVALID);
    pgq_producer_last_error(p, NULL);
    status_is(p, pgq_producer_send(p, "q", NULL, 0, NULL, 0, &fates[0]), PGQ_OK); /* an empty one is one */
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    fate_is(0, PGQ_OK, "");
    assert_int_equal(told, 1);
    assert_int_equal(stored(f), 1);
}

/* Whatever a message says of itself comes through; and on_delivery may be none. */
static void test_options(void **state)
{
    fixture *f = *state;
    pgq_producer_options o = options(f);
    pgq_enqueue_options all = PGQ_ENQUEUE_OPTIONS_INIT;
    char headers[] = "{\"a\": 1}", order[] = "o", dedup[] = "d";
    pgq_producer *p;

    o.on_delivery = NULL;
    o.linger_us = FOREVER_US;
    p = open_with(&o);
    all.kind = PGQ_TEXT;
    all.priority = 7;
    all.ttl_ms = 3600000;
    all.delay_ms = 1000000;
    all.lease_ms = 5000;
    all.error_limit = 3;
    all.requeue = 0;
    all.requeue_priority = 9;
    all.dedup_window_ms = 1000;
    all.headers = headers;
    all.order_key = order;
    all.dedup_key = dedup;
    status_is(p, pgq_producer_send(p, "q", "all", 3, &all, 0, NULL), PGQ_OK);
    headers[0] = order[0] = dedup[0] = '\0'; /* they were copied */
    status_is(p, pgq_producer_send(p, "q", "none", 4, NULL, 0, NULL), PGQ_OK);
    assert_int_equal(pgq_producer_close(p, -1), PGQ_OK);
    assert_string_equal(
        t_ask(f, f->sql,
              "SELECT concat_ws(' ', kind, state, priority, headers, lease_ms, requeue, error_limit,"
              " requeue_priority, order_key, dedup_key, expires - sent, due - sent) FROM mq.message ORDER BY "
              "id"),
        "1 1 7 {\"a\": 1} 5000 f 3 9 o d 01:00:00 00:16:40");
    assert_int_equal(stored(f), 2);
}

#define PRODUCER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRODUCER_TEST(test_threads),       PRODUCER_TEST(test_linger),
        PRODUCER_TEST(test_full),          PRODUCER_TEST(test_refusals),
        PRODUCER_TEST(test_many_refusals), PRODUCER_TEST(test_create_queue),
        PRODUCER_TEST(test_server_errors), PRODUCER_TEST(test_tried_again),
        PRODUCER_TEST(test_hooks),         PRODUCER_TEST(test_room),
        PRODUCER_TEST(test_close_in_time), PRODUCER_TEST(test_on_delivery_sends),
        PRODUCER_TEST(test_open_refuses),  PRODUCER_TEST(test_send_refuses),
        PRODUCER_TEST(test_options),
    };

    return RUN_WITH_SERVER(tests);
}
