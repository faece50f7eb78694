/* SPDX-License-Identifier: MIT */
/* A case while a transaction is held open: vacuum can remove nothing. Plain inserts in between show whether
 * the machine has become slower. */
#include "cases.h"
#include "floor.h"
#include "ours.h"
#include "pair.h"

#define TENTHS 10

typedef struct tenth {
    double messages, seconds;
    double inserts, insert_seconds;
} tenth;

static double per_second(double n, double seconds)
{
    return seconds > 0 ? n / seconds : 0;
}

static void measure(bench *b, arm *ours, arm *inserts, tenth parts[TENTHS])
{
    double slice_seconds = b->o.seconds / 40 < SLICE_SECONDS ? b->o.seconds / 40 : SLICE_SECONDS;
    int64_t began = now_ns();
    for (;;) {
        int at = (int)((double)(now_ns() - began) / 1e9 / b->o.seconds * TENTHS);
        if (at >= TENTHS)
            return;
        slice s = full_slice(ours, slice_seconds);
        slice plain = arm_slice(inserts, slice_seconds / 2);
        parts[at].messages += (double)s.messages;
        parts[at].seconds += s.seconds;
        parts[at].inserts += (double)plain.messages;
        parts[at].insert_seconds += plain.seconds;
        arm_keep(ours, &s);
        arm_keep(inserts, &plain);
    }
}

void run_held(bench *b)
{
    tenth parts[TENTHS] = {{0}};
    arm_ops plain = floor_send;
    plain.label = "inserts";
    arm_ops ops = *b->o.of->work->pgq;
    ops.waits_in_handler = true;
    arm *ours = arm_open(b, &ops, "pgq", b->o.clients, NULL);
    arm *inserts = arm_open(b, &plain, "inserts", b->o.clients, NULL);
    full_slice(ours, SLICE_SECONDS / 2);
    full_slice(ours, SLICE_SECONDS);
    full_slice(inserts, SLICE_SECONDS);
    arm_forget(ours);
    arm_forget(inserts);
    tidy(b, ours->ops->consumes);
    run_sql(b->control, "ALTER TABLE " NS ".message RESET (autovacuum_enabled)");
    PGconn *held = hold_transaction(b);
    measure(b, ours, inserts, parts);
    PQfinish(held);
    const tenth *last = &parts[TENTHS - 1];
    if (parts[0].seconds <= 0 || last->seconds <= 0)
        die("a tenth of %g seconds is too short for a slice: give more --seconds", b->o.seconds);
    side sides[2] = {side_of(ours, -1), side_of(inserts, -1)};
    report_begin(b);
    report_side(b, &sides[0]);
    report_side(b, &sides[1]);
    for (int i = 0; i < TENTHS; i++)
        report_step(b, "tenths", "s", b->o.seconds / TENTHS * i,
                    per_second(parts[i].messages, parts[i].seconds), "inserts",
                    per_second(parts[i].inserts, parts[i].insert_seconds));
    double ratio =
        per_second(last->messages, last->seconds) / per_second(parts[0].messages, parts[0].seconds);
    double drift = per_second(last->inserts, last->insert_seconds) /
                   per_second(parts[0].inserts, parts[0].insert_seconds);
    report_number(b, "inserts_ratio", drift, "plain inserts, last tenth to first: %.3f", drift);
    report_ratio(b, ratio);
    arm_close(ours);
    arm_close(inserts);
}
