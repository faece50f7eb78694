/* SPDX-License-Identifier: MIT */
/* A case while sessions in REPEATABLE READ scan the queue's table, held against the same without them.
 *
 * Each reader scans the table SCANS times in a transaction, with a short rest between two scans, and begins
 * anew: so the oldest snapshot is always some way back, and the readers do not take the processors from the
 * queue, which would be measured in place of it. */
#include "cases.h"
#include "pair.h"

#include <stdio.h>
#include <stdlib.h>

#define READERS 4
#define SCANS   10
#define REST_MS 25

typedef struct reader {
    bench *b;
    int number;
    const char *table;
    pthread_t thread;
    PGconn *conn;
} reader;

static _Atomic bool active, over;
static _Atomic int busy;        /* readers in a transaction */
static _Atomic int64_t scanned; /* scans in all */

static void *reader_main(void *arg)
{
    reader *r = arg;
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*), sum(length(payload)) FROM %s", r->table);
    while (!over) {
        if (!active) {
            sleep_ms(1);
            continue;
        }
        busy++;
        run_sql(r->conn, "BEGIN ISOLATION LEVEL REPEATABLE READ");
        for (int i = 0; i < SCANS && active; i++) {
            run_sql(r->conn, sql);
            scanned++;
            sleep_ms(REST_MS + r->number); /* so that they do not keep step */
        }
        run_sql(r->conn, "COMMIT");
        busy--;
    }
    return NULL;
}

/* The readers are there in the first arm's slices alone. */
static void around_slice(void *arg, int which, bool before)
{
    (void)arg;
    if (which != 0)
        return;
    active = before;
    while (before ? busy < READERS : busy > 0)
        sleep_ms(1);
}

static void start(bench *b, reader list[READERS], const char *table)
{
    char *conninfo = bench_conninfo(b, "reader", NULL, NULL);
    over = false;
    for (int i = 0; i < READERS; i++) {
        list[i] = (reader){.b = b, .number = i, .table = table, .conn = connect_to(conninfo)};
        if (pthread_create(&list[i].thread, NULL, reader_main, &list[i]) != 0)
            die("a thread could not be started");
    }
    free(conninfo);
}

static void stop(reader list[READERS])
{
    over = true;
    for (int i = 0; i < READERS; i++) {
        pthread_join(list[i].thread, NULL);
        PQfinish(list[i].conn);
    }
}

/* One side with and without readers. Two arms on one floor table share its rows: one is filled for both. */
static double measure(bench *b, const arm_ops *ops, const char *table, const char *const labels[2],
                      bool spread)
{
    reader list[READERS];
    arm_ops with = *ops;
    arm_ops without = *ops;
    arm_where where = {NS, "bench read", b->q, b->o.batch};
    with.label = labels[0];
    without.label = labels[1];
    must(b->q, pgq_create_queue(b->q, "bench read", NULL, 1), "pgq_create_queue");
    start(b, list, table);
    arm *read = arm_open_at(b, &with, labels[0], b->o.clients, NULL, &where);
    arm *alone = arm_open(b, &without, labels[1], b->o.clients, NULL);
    pairs p = pairs_run(b, read, alone, around_slice, NULL);
    side sides[2] = {side_of(read, p.cpu[0]), side_of(alone, p.cpu[1])};
    report_side(b, &sides[0]);
    report_side(b, &sides[1]);
    if (spread)
        report_spread(b, p.least, p.median, p.most, p.count);
    stop(list);
    arm_close(read);
    arm_close(alone);
    pairs_free(&p);
    return p.median;
}

void run_readers(bench *b)
{
    static const char *const ours[2] = {"pgq read", "pgq"};
    static const char *const hand[2] = {"fl. read", "floor"};
    double seconds = b->o.seconds;
    report_begin(b);
    b->o.seconds = seconds / 2;
    double ratio = measure(b, b->o.of->work->pgq, NS ".message", ours, true);
    double beside = measure(b, b->o.of->work->floor, FLOOR ".message", hand, false);
    report_number(b, "scans", (double)scanned, "%lld scans by %d readers", (long long)scanned, READERS);
    report_number(b, "floor_ratio", beside, "the floor, with readers to without: %.3f", beside);
    report_ratio(b, ratio);
}
