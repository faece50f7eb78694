/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include "cases.h"
#include "relay.h"
#include "server.h"

#include <stdlib.h>

#define TRIES        6      /* to fill a queue high enough for a slice */
#define LONGEST      300000 /* rows that sends may leave behind */
#define WARM_CALLS   5
#define TRIP_CALLS   40 /* fewer of large batches */
#define TRIP_SECONDS 0.25

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x;
    double b = *(const double *)y;
    return (a > b) - (a < b);
}

double median_of(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

slice full_slice(arm *a, double seconds)
{
    int64_t left = 0;
    for (int i = 0; i < TRIES; i++) {
        arm_fill(a);
        slice s = arm_slice(a, seconds);
        if (!s.dry && s.messages > 0)
            return s;
        left = a->ready;
        a->ready = a->ready > 0 ? a->ready : 0;
        arm_forget(a);
    }
    die("%s: %d slices in a row ended because nothing was found, the last one with %lld messages left",
        a->ops->label, TRIES, (long long)left);
}

/* Autovacuum is off, so that it does not hit one side by chance. */
void tidy(bench *b, bool consumes)
{
    int64_t rows = int_sql(b->control, "SELECT GREATEST(pg_relation_size('" NS ".message'),"
                                       " pg_relation_size('" FLOOR ".message')) / 200");
    if (!consumes && rows > LONGEST)
        run_sql(b->control, "TRUNCATE " NS ".message, " FLOOR ".message");
    run_sql(b->control, "TRUNCATE " FLOOR ".work");
    if (consumes) {
        run_sql(b->control, "VACUUM " NS ".message");
        run_sql(b->control, "VACUUM " FLOOR ".message");
    }
}

static double hooked_slice(arm *a, int which, double seconds, around hook, void *arg, slice *s)
{
    if (hook)
        hook(arg, which, true);
    *s = full_slice(a, seconds);
    if (hook)
        hook(arg, which, false);
    return (double)s->messages / s->seconds;
}

pairs pairs_run(bench *b, arm *first, arm *second, around hook, void *arg)
{
    arm *arms[2] = {first, second};
    double seconds = b->o.seconds / 4 < SLICE_SECONDS ? b->o.seconds / 4 : SLICE_SECONDS;
    int count = (int)(b->o.seconds / (2 * seconds) + 0.5);
    pairs p = {.count = count > 0 ? count : 1};
    p.ratio = allocate((size_t)p.count, sizeof *p.ratio);
    slice s;
    for (int i = 0; i < 2; i++) { /* to warm up: a second one with the level that the first has told */
        hooked_slice(arms[i], i, seconds / 2, hook, arg, &s);
        hooked_slice(arms[i], i, seconds, hook, arg, &s);
        arm_forget(arms[i]);
        p.cpu[i] = 0;
    }
    for (int i = 0; i < p.count; i++) {
        double rate[2];
        tidy(b, first->ops->consumes);
        for (int k = 0; k < 2; k++) {
            int which = (i + k) % 2;
            double cpu = server_seconds(b, arms[which]->role);
            rate[which] = hooked_slice(arms[which], which, seconds, hook, arg, &s);
            p.cpu[which] += cpu < 0 ? -1e9 : server_seconds(b, arms[which]->role) - cpu;
            arm_keep(arms[which], &s);
        }
        p.ratio[i] = rate[0] / rate[1];
    }
    p.median = median_of(p.ratio, p.count);
    p.least = p.ratio[0];
    p.most = p.ratio[p.count - 1];
    return p;
}

void pairs_free(pairs *p)
{
    free(p->ratio);
}

side side_of(arm *a, double cpu_seconds)
{
    side s = {.label = a->ops->label,
              .messages = a->sum_messages,
              .latency = &a->latency,
              .wal = -1,
              .wal_send = -1,
              .trips = -1,
              .cpu_us = -1};
    s.rate = (double)a->sum_messages / a->sum_seconds;
    if (cpu_seconds >= 0 && a->sum_messages > 0)
        s.cpu_us = cpu_seconds * 1e6 / (double)a->sum_messages;
    return s;
}

/* A slice of its own, as what goes on between the marks is all counted. */
void measure_wal(arm *a, side *s)
{
    double seconds = a->b->o.seconds / 4 < SLICE_SECONDS ? a->b->o.seconds / 4 : SLICE_SECONDS;
    for (int i = 0; i < TRIES; i++) {
        int64_t ready = a->ready;
        a->level += a->ready; /* so that some have to be sent */
        wal_mark start = wal_here(a->b);
        arm_fill(a);
        wal_mark filled = wal_here(a->b);
        ready = a->ready - ready;
        slice done = arm_slice(a, seconds);
        wal_mark end = wal_here(a->b);
        if (done.dry || done.messages == 0)
            continue;
        s->wal = wal_bytes(a->b, &filled, &end) / (double)done.messages;
        if (a->ops->consumes && ready > 0)
            s->wal_send = wal_bytes(a->b, &start, &filled) / (double)ready;
        return;
    }
    die("%s: the queue ran dry while its WAL was measured", a->ops->label);
}

/* --- round trips --- */

typedef struct counted {
    const relay *r;
    int64_t trips;
} counted;

static void reached(void *arg, bool end)
{
    counted *c = arg;
    c->trips = relay_trips(c->r) - (end ? c->trips : 0);
}

/* So that a batch of a hundred thousand is not sent forty times. */
static int trip_calls(int batch)
{
    int calls = TRIP_CALLS * 1000 / (batch > 1000 ? batch : 1000);
    return calls > 2 ? calls : 2;
}

void measure_trips(bench *b, const arm_ops *ops, side *s)
{
    static const char queue[] = "bench trips";
    int calls = WARM_CALLS + trip_calls(b->o.batch);
    relay *r = relay_open(b);
    counted c = {.r = r};
    arm_where where = {NS, queue, b->q, b->o.batch};
    char *conninfo = bench_conninfo(b, "trips", relay_dir(r), NULL);
    must(b->q, pgq_create_queue(b->q, queue, NULL, 1), "pgq_create_queue");
    arm *a = arm_open_at(b, ops, "trips", ops->finish ? b->o.clients : 1, conninfo, &where);
    if (!ops->finish)
        a->probe = (probe){.from = WARM_CALLS, .to = calls, .reached = reached, .arg = &c};
    if (ops->consumes)
        arm_fill_to(a, (int64_t)b->o.batch * calls * 4);
    int64_t before = relay_trips(r);
    slice done = ops->finish ? arm_slice(a, TRIP_SECONDS) : arm_calls(a, calls);
    if (ops->finish) { /* what its clients have called is not yet sent: the whole of it counts */
        c.trips = relay_trips(r) - before;
        a->probe.messages = done.messages;
    }
    if (done.dry || done.calls < calls || a->probe.messages == 0)
        die("%s: the round trips could not be counted", ops->label);
    s->trips = (double)c.trips / (double)a->probe.messages;
    arm_close(a);
    relay_close(r);
    free(conninfo);
}

/* --- the run --- */

void run_pair(bench *b)
{
    const work *w = b->o.what->work;
    arm *ours = arm_open(b, w->pgq, "pgq", b->o.clients, NULL);
    arm *hand = arm_open(b, w->floor, "floor", b->o.clients, NULL);
    pairs p = pairs_run(b, ours, hand, NULL, NULL);
    side sides[2] = {side_of(ours, p.cpu[0]), side_of(hand, p.cpu[1])};
    measure_wal(ours, &sides[0]);
    measure_wal(hand, &sides[1]);
    measure_trips(b, w->pgq, &sides[0]);
    measure_trips(b, w->floor, &sides[1]);
    report_begin(b);
    report_side(b, &sides[0]);
    report_side(b, &sides[1]);
    report_spread(b, p.least, p.median, p.most, p.count);
    report_ratio(b, p.median);
    arm_close(ours);
    arm_close(hand);
    pairs_free(&p);
}
