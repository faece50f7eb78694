/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct entry {
    atomic_int handed;
    atomic_int release_tried;
    atomic_int released;
};

struct totals {
    atomic_long stale;
    atomic_long longer;
};

static struct entry *entries;
static struct totals *totals;
static long messages;
static int64_t received_before; /* the total, at the last look */

void ledger_begin(long how_many)
{
    messages = how_many;
    entries = shared((size_t)messages * sizeof *entries);
    totals = shared(sizeof *totals);
    query_once("CREATE TABLE NS.ledger (n bigint, id bigint, attempt int, errors int, pid int)");
}

void ledger_handed(long n)
{
    atomic_fetch_add(&entries[n].handed, 1);
}

void ledger_release_tried(long n)
{
    atomic_fetch_add(&entries[n].release_tried, 1);
}

void ledger_released(long n)
{
    atomic_fetch_add(&entries[n].released, 1);
}

void ledger_stale(void)
{
    atomic_fetch_add(&totals->stale, 1);
}

long ledger_stales(void)
{
    return atomic_load(&totals->stale);
}

void ledger_long(void)
{
    atomic_fetch_add(&totals->longer, 1);
}

long ledger_longs(void)
{
    return atomic_load(&totals->longer);
}

int ledger_done(pgq *by, const pgq_message *m, long n)
{
    pgq_receipt receipt = {m->id, m->attempts};
    pgq_status result = PGQ_OK;
    pgq_status status;
    size_t done = 0;

    query(by, "BEGIN");
    queryf(by, "INSERT INTO NS.ledger (n, id, attempt, errors, pid) VALUES (%ld, %lld, %d, %d, %ld)", n,
           (long long)m->id, m->attempts, m->errors, (long)getpid());
    status = pgq_ack(by, &receipt, 1, &done, &result);
    if (status != PGQ_STALE && status != PGQ_EMPTY)
        must(by, status, "ack");
    query(by, done == 1 ? "COMMIT" : "ROLLBACK");
    if (done == 0)
        ledger_stale();
    check((done == 1) == (status == PGQ_OK) && (done == 1) == (result == PGQ_OK),
          "an ack has done %zu and says %s, %s", done, pgq_status_name(status), pgq_status_name(result));
    return done == 1;
}

/* --- what adds up --- */

static pgq_queue_stats stats_of(pgq *q, const char *queue)
{
    pgq_queue_stats s;
    pgq_stats_list *list;

    must(q, pgq_stats(q, queue, &list), "stats");
    s = *pgq_stats_get(list, 0);
    s.name = queue;
    pgq_stats_free(list);
    return s;
}

int64_t ledger_look(pgq *q, const char *queue, long sent)
{
    pgq_counts c;
    pgq_queue_stats s = stats_of(q, queue);
    int64_t waiting;
    int64_t done;

    query(q, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    must(q, pgq_count(q, queue, &c), "count");
    done = query(q, "SELECT count(*) FROM NS.ledger");
    query(q, "COMMIT");
    waiting = c.ready + c.delayed + c.blocked + c.in_flight;
    check(waiting + c.dead + done == sent, "%lld in the queue, %lld dead, %lld done: %ld were sent",
          (long long)waiting, (long long)c.dead, (long long)done, sent);
    check(s.sent_total == sent, "sent_total is %lld, not %ld", (long long)s.sent_total, sent);
    check(s.received_total >= received_before, "received_total has gone down from %lld to %lld",
          (long long)received_before, (long long)s.received_total);
    received_before = s.received_total;
    return waiting;
}

static void none(const char *what, const char *sql)
{
    int64_t n = query_once(sql);

    check(n == 0, "%s: %lld", what, (long long)n);
}

/* Once each, done or dead. */
static void check_ends(int error_limit)
{
    pgq *q = open_handle();

    query(q, "CREATE TABLE NS.ends AS SELECT n, id, attempt AS attempts, errors, false AS dead FROM "
             "NS.ledger UNION ALL "
             "SELECT convert_from(payload, 'UTF8')::bigint, id, attempts, errors, true FROM NS.dead_letter");
    none("messages that ended twice",
         "SELECT count(*) FROM (SELECT n FROM NS.ends GROUP BY n HAVING count(*) > 1) t");
    none("ids that ended twice",
         "SELECT count(*) FROM (SELECT id FROM NS.ends GROUP BY id HAVING count(*) > 1) t");
    check(query(q, "SELECT count(*) FROM NS.ends") == messages, "messages are lost: %lld of %ld have ended",
          (long long)query(q, "SELECT count(*) FROM NS.ends"), messages);
    check(queryf(q, "SELECT count(*) FROM NS.ends WHERE dead AND errors <> %d", error_limit) == 0,
          "dead letters of more or fewer errors than %d", error_limit);
    check(queryf(q, "SELECT count(*) FROM NS.ends WHERE NOT dead AND errors >= %d", error_limit) == 0,
          "messages were done after %d errors", error_limit);
    pgq_close(q);
}

/* Each time that a message was handed out has ended in an error, a release, or its being done. */
static void check_attempts(long unseen)
{
    pgq *q = open_handle();
    PGresult *res;
    char sql[128];
    long more = 0;

    snprintf(sql, sizeof sql, "SELECT n, attempts, errors, dead::int FROM %s.ends", name_space());
    res = PQexec(pgq_connection(q), sql);
    check(PQresultStatus(res) == PGRES_TUPLES_OK, "%s", PQerrorMessage(pgq_connection(q)));
    for (int i = 0; i < PQntuples(res); i++) {
        struct entry *e = &entries[strtol(PQgetvalue(res, i, 0), NULL, 10)];
        long attempts = strtol(PQgetvalue(res, i, 1), NULL, 10);
        long ended = strtol(PQgetvalue(res, i, 2), NULL, 10) + (PQgetvalue(res, i, 3)[0] == '0');

        check(attempts >= ended + e->released && attempts <= ended + e->release_tried,
              "message %s: %ld attempts, %ld ended by errors or well, %d released", PQgetvalue(res, i, 0),
              attempts, ended, e->released);
        check(attempts >= e->handed, "message %s: %ld attempts, but it was handed out %d times",
              PQgetvalue(res, i, 0), attempts, e->handed);
        more += attempts - e->handed;
    }
    check(more <= unseen, "%ld attempts are counted that no consumer has seen", more);
    printf("%ld attempts were not seen by their consumer\n", more);
    PQclear(res);
    pgq_close(q);
}

static void check_statistics(const char *queue)
{
    pgq *q = open_handle();
    int64_t attempts = query(q, "SELECT sum(attempts) FROM NS.ends");
    int64_t dead = query(q, "SELECT count(*) FROM NS.ends WHERE dead");
    pgq_queue_stats s = stats_of(q, queue);
    pgq_counts c;

    must(q, pgq_count(q, queue, &c), "count");
    check(s.sent_total == messages, "sent_total is %lld, not %ld", (long long)s.sent_total, messages);
    check(s.received_total == attempts, "received_total is %lld, the attempts are %lld",
          (long long)s.received_total, (long long)attempts);
    check(s.dead_estimate == dead && c.dead == dead,
          "dead: %lld by the statistics, %lld counted, %lld in truth", (long long)s.dead_estimate,
          (long long)c.dead, (long long)dead);
    check(s.ready_estimate + s.delayed_estimate + s.blocked_estimate + s.in_flight_estimate == 0,
          "the statistics see messages where there are none");
    check(c.ready + c.delayed + c.blocked + c.in_flight == 0, "messages are counted where there are none");
    check(s.exact == 1 && s.oldest_ready_ms == -1, "exact %d, oldest ready %lld", s.exact,
          (long long)s.oldest_ready_ms);
    printf("%lld attempts, %lld dead letters\n", (long long)attempts, (long long)dead);
    pgq_close(q);
}

void ledger_check(const char *queue, int error_limit, long unseen)
{
    check_ends(error_limit);
    check_attempts(unseen);
    check_statistics(queue);
}

void ledger_check_hopeless(int every, int rest)
{
    pgq *q = open_handle();
    int64_t unlucky;

    check(queryf(q, "SELECT count(*) FROM NS.ends WHERE n %% %d = %d AND NOT dead", every, rest) == 0,
          "hopeless messages were done");
    unlucky = queryf(q, "SELECT count(*) FROM NS.ends WHERE n %% %d <> %d AND dead", every, rest);
    printf("%lld others have died\n", (long long)unlucky);
    check(unlucky * 100 <= messages, "%lld messages are dead that were not hopeless", (long long)unlucky);
    pgq_close(q);
}
