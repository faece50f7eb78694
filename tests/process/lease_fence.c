/* SPDX-License-Identifier: MIT */
/* A consumer is stopped past its lease. Whatever has become of its message meanwhile, it can change nothing
 * about it when it goes on, and is told so.
 *
 * PGQ_FENCE_ROUNDS (of all cases), PGQ_FENCE_LEASE_MS. */
#include "harness.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONG_MS = 600000, PATIENCE_MS = 60000 };

/* What becomes of the message while its consumer is stopped. */
typedef enum fate {
    LEASED,    /* the second consumer has it by a lease */
    IN_SCOPE,  /* or in a scope */
    RELEASED,  /* had it, and gave it back */
    NACKED,    /* had it, and failed */
    PUT_OFF,   /* had it, failed, and it is delayed */
    DEAD,      /* its lease was its last attempt */
    REQUEUED,  /* and it was put back */
    ACKED,     /* the second has done it */
    UNNOTICED, /* nobody has looked: it is the first one's still */
    FATES
} fate;

static const struct kind {
    const char *name;
    const char *queue;
    pgq_status told; /* what the first one is told */
    int attempts;    /* when the message is taken the next time; 0: it is gone */
    int errors;
} kinds[FATES] = {{"leased", "fence", PGQ_STALE, 0, 0},    {"in a scope", "fence", PGQ_STALE, 0, 0},
                  {"released", "fence", PGQ_STALE, 3, 1},  {"nacked", "fence", PGQ_STALE, 3, 2},
                  {"put off", "fence", PGQ_STALE, 3, 2},   {"dead", "mortal", PGQ_STALE, 0, 0},
                  {"requeued", "mortal", PGQ_STALE, 2, 0}, {"acked", "fence", PGQ_NOT_FOUND, 0, 0},
                  {"unnoticed", "fence", PGQ_OK, 0, 0}};

#define SPARE_QUEUE "spare"

typedef enum verb { ACK, NACK, EXTEND, RELEASE, VERBS } verb;
static const char *const verb_names[] = {"ack", "nack", "extend", "release"};

/* What the two tell each other. */
struct meeting {
    pgq_receipt receipt; /* of the first */
    atomic_int received;
    atomic_int go;
    atomic_int ended; /* the first has tried all it could */
};

static struct meeting *meeting;
static int64_t lease_ms;

static pgq_status settle(pgq *q, verb v, const pgq_receipt *receipts, size_t n, size_t *done,
                         pgq_status *results)
{
    switch (v) {
    case ACK:
        return pgq_ack(q, receipts, n, done, results);
    case NACK:
        return pgq_nack(q, receipts, n, NULL, done, results);
    case EXTEND:
        return pgq_extend(q, receipts, n, LONG_MS, done, results);
    default:
        return pgq_release(q, receipts, n, done, results);
    }
}

static int receive_one(pgq *q, const char *queue, int64_t ms, pgq_receipt *receipt, int32_t *errors)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    const pgq_message *m;
    pgq_messages *list;
    pgq_status status;

    o.lease_ms = ms;
    o.timeout_ms = PATIENCE_MS;
    status = pgq_receive(q, queue, 1, &o, &list);
    if (status == PGQ_TIMEOUT)
        return 0;
    must(q, status, "receive");
    m = pgq_messages_get(list, 0);
    receipt->id = m->id;
    receipt->attempt = m->attempts;
    if (errors)
        *errors = m->errors;
    pgq_messages_free(list);
    return 1;
}

static void wait_for(atomic_int *flag, const char *what)
{
    int64_t deadline = now_us() + PATIENCE_MS * 1000LL;

    while (!atomic_load(flag))
        if (now_us() > deadline)
            give_up("%s does not come", what);
        else
            pause_us(1000);
}

/* --- the first consumer --- */

static void try_alone(pgq *q, const struct kind *k, verb v)
{
    pgq_status result = PGQ_FAILED;
    size_t done = 99;
    pgq_status status = settle(q, v, &meeting->receipt, 1, &done, &result);
    /* To ack what is gone is no error. */
    pgq_status expected = v == ACK && k->told == PGQ_NOT_FOUND ? PGQ_EMPTY : k->told;

    check(status == expected && result == k->told && done == 0, "%s: %s: %s, result %s, %zu done", k->name,
          verb_names[v], pgq_status_name(status), pgq_status_name(result), done);
}

/* In one call with a message that is its own, and in a transaction: that one is done, and the transaction is
 * good.
 */
static void try_with_another(pgq *q, const struct kind *k)
{
    pgq_receipt both[2] = {meeting->receipt, {0, 0}};
    pgq_status results[2] = {PGQ_FAILED, PGQ_FAILED};
    size_t done = 99;
    pgq_status status;

    if (!receive_one(q, SPARE_QUEUE, LONG_MS, &both[1], NULL))
        give_up("the spare message is not there");
    query(q, "BEGIN");
    status = pgq_ack(q, both, 2, &done, results);
    check(status == (k->told == PGQ_STALE ? PGQ_STALE : PGQ_EMPTY) && results[0] == k->told &&
              results[1] == PGQ_OK && done == 1,
          "%s: ack of two: %s, results %s and %s, %zu done", k->name, pgq_status_name(status),
          pgq_status_name(results[0]), pgq_status_name(results[1]), done);
    query(q, "COMMIT");
}

/* Late, but nobody has noticed. */
static void go_on(pgq *q, const struct kind *k)
{
    static const verb verbs[] = {EXTEND, ACK};

    for (int i = 0; i < 2; i++) {
        pgq_status result = PGQ_FAILED;
        size_t done = 99;
        pgq_status status = settle(q, verbs[i], &meeting->receipt, 1, &done, &result);

        check(status == PGQ_OK && result == PGQ_OK && done == 1, "%s: %s: %s, result %s, %zu done", k->name,
              verb_names[verbs[i]], pgq_status_name(status), pgq_status_name(result), done);
    }
}

static void be_first(void *arg)
{
    const struct kind *k = arg;
    int first_verb = (int)between(0, VERBS - 1);
    pgq *q = open_handle();

    if (!receive_one(q, k->queue, lease_ms, &meeting->receipt, NULL))
        give_up("%s: the message does not come", k->name);
    atomic_store(&meeting->received, 1);
    wait_for(&meeting->go, "the sign to go on");
    if (k->told == PGQ_OK) {
        go_on(q, k);
    } else {
        for (int i = 0; i < VERBS; i++)
            try_alone(q, k, (verb)((first_verb + i) % VERBS));
        try_with_another(q, k);
    }
    atomic_store(&meeting->ended, 1);
    pgq_close(q);
}

/* --- the second --- */

struct scene {
    const struct kind *k;
    fate f;
    pid_t first;
    pgq *looker; /* a connection to look by */
};

/* All there is to know of the message, the locks on its row included. */
static int64_t fingerprint(pgq *q)
{
    long long id = meeting->receipt.id;

    return queryf(q,
                  "SELECT COALESCE("
                  "(SELECT hashtextextended(concat(m, m.ctid, m.xmin, m.xmax), 0) FROM NS.message m WHERE "
                  "m.id = %lld), "
                  "(SELECT hashtextextended(concat(d, d.ctid, d.xmin, d.xmax), 0) FROM NS.dead_letter d "
                  "WHERE d.id = %lld), "
                  "0)",
                  id, id);
}

static void let_first_try(const struct scene *s)
{
    int64_t before = fingerprint(s->looker);

    kill(s->first, SIGCONT);
    atomic_store(&meeting->go, 1);
    wait_for(&meeting->ended, "the first consumer's end");
    check(s->f == UNNOTICED || fingerprint(s->looker) == before, "%s: the message has changed", s->k->name);
    check(s->f == ACKED || before != 0, "%s: the message is not there", s->k->name);
}

static int in_scope(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    const struct scene *s = arg;

    (void)q;
    (void)conn;
    check(m->id == meeting->receipt.id && m->attempts == meeting->receipt.attempt + 1 && m->errors == 1,
          "%s: message %lld comes with %d attempts and %d errors", s->k->name, (long long)m->id, m->attempts,
          m->errors);
    let_first_try(s);
    return 0;
}

static pgq_receipt take_over(pgq *q, const struct scene *s)
{
    pgq_receipt mine = {0, 0};
    int32_t errors = 0;

    if (!receive_one(q, s->k->queue, LONG_MS, &mine, &errors))
        give_up("%s: the message does not come back", s->k->name);
    check(mine.id == meeting->receipt.id && mine.attempt == meeting->receipt.attempt + 1 && errors == 1,
          "%s: message %lld comes with %d attempts and %d errors", s->k->name, (long long)mine.id,
          mine.attempt, errors);
    return mine;
}

static void await_death(pgq *q, const struct scene *s)
{
    int64_t deadline = now_us() + PATIENCE_MS * 1000LL;
    pgq_messages *list;

    while (pgq_receive(q, s->k->queue, 1, NULL, &list) == PGQ_EMPTY)
        if (query(q, "SELECT count(*) FROM NS.dead_letter") == 1)
            return;
        else if (now_us() > deadline)
            break;
        else
            pause_us(10000);
    give_up("%s: the message does not die", s->k->name);
}

static void await_expiry(pgq *q, const struct scene *s)
{
    int64_t deadline = now_us() + PATIENCE_MS * 1000LL;

    while (queryf(q, "SELECT count(*) FROM NS.message WHERE id = %lld AND due < clock_timestamp()",
                  (long long)meeting->receipt.id) == 0)
        if (now_us() > deadline)
            give_up("%s: the lease does not end", s->k->name);
        else
            pause_us(10000);
}

/* Does to the message what this round is about, and lets the first one try. */
static void interfere(pgq *q, const struct scene *s)
{
    pgq_nack_options later = PGQ_NACK_OPTIONS_INIT;
    pgq_receipt mine = {0, 0};
    size_t done = 1;

    later.delay_ms = LONG_MS;
    if (s->f == UNNOTICED)
        await_expiry(q, s);
    else if (s->f == DEAD || s->f == REQUEUED)
        await_death(q, s);
    else if (s->f != IN_SCOPE)
        mine = take_over(q, s);
    if (s->f == RELEASED)
        must(q, pgq_release(q, &mine, 1, &done, NULL), "release");
    else if (s->f == NACKED)
        must(q, pgq_nack(q, &mine, 1, NULL, &done, NULL), "nack");
    else if (s->f == PUT_OFF)
        must(q, pgq_nack(q, &mine, 1, &later, &done, NULL), "nack");
    else if (s->f == ACKED)
        must(q, pgq_ack(q, &mine, 1, &done, NULL), "ack");
    else if (s->f == REQUEUED)
        must(q, pgq_requeue_dead(q, s->k->queue, NULL, 0, NULL, NULL), "requeue_dead");
    check(done == 1, "%s: the second could not settle", s->k->name);
    if (s->f == IN_SCOPE)
        must(q, pgq_listen(q, s->k->queue, PATIENCE_MS, in_scope, (void *)s, NULL), "listen");
    else
        let_first_try(s);
    if (s->f == LEASED) {
        must(q, pgq_ack(q, &mine, 1, &done, NULL), "ack");
        check(done == 1, "%s: the second's ack has done %zu", s->k->name, done);
    }
}

/* What is left of the message goes on as if the first one had never tried. */
static void clear_up(pgq *q, const struct scene *s)
{
    pgq_receipt r = {0, 0};
    int32_t errors = 0;
    size_t done = 0;

    if (s->f == PUT_OFF)
        must(q, pgq_reschedule(q, meeting->receipt.id, 0), "reschedule");
    if (s->k->attempts > 0) {
        if (!receive_one(q, s->k->queue, LONG_MS, &r, &errors))
            give_up("%s: the message is not there any more", s->k->name);
        check(r.attempt == s->k->attempts && errors == s->k->errors,
              "%s: %d attempts and %d errors at the end", s->k->name, r.attempt, errors);
        must(q, pgq_ack(q, &r, 1, &done, NULL), "ack");
        check(done == 1, "%s: the last ack has done %zu", s->k->name, done);
    }
    if (s->f == DEAD)
        must(q, pgq_purge_dead(q, s->k->queue, NULL, 0, NULL), "purge_dead");
    check(query(q, "SELECT (SELECT count(*) FROM NS.message) + (SELECT count(*) FROM NS.dead_letter)") == 0,
          "%s: something is left", s->k->name);
}

static void play(fate f)
{
    struct scene s = {&kinds[f], f, 0, open_handle()};
    pgq *q = open_handle();

    atomic_store(&meeting->received, 0);
    atomic_store(&meeting->go, 0);
    atomic_store(&meeting->ended, 0);
    must(q, pgq_enqueue(q, s.k->queue, "x", 1, NULL, NULL), "enqueue");
    if (s.k->told != PGQ_OK)
        must(q, pgq_enqueue(q, SPARE_QUEUE, "y", 1, NULL, NULL), "enqueue");
    s.first = start(be_first, (void *)s.k);
    wait_for(&meeting->received, "the first consumer");
    stop_now(s.first);
    interfere(q, &s);
    check(ended_well(s.first), "%s: the first consumer did not end well", s.k->name);
    clear_up(q, &s);
    pgq_close(q);
    pgq_close(s.looker);
}

int main(void)
{
    long rounds;

    begin("lease_fence");
    rounds = setting("PGQ_FENCE_ROUNDS", 3);
    lease_ms = setting("PGQ_FENCE_LEASE_MS", 200);
    meeting = shared(sizeof *meeting);
    make_queue("fence", 0);
    make_queue("mortal", 1);
    make_queue(SPARE_QUEUE, 0);
    for (long i = 0; i < rounds; i++)
        for (int f = 0; f < FATES; f++)
            play((fate)f);
    printf("%ld rounds of %d cases\n", rounds, FATES);
    return finish();
}
