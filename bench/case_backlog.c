/* SPDX-License-Identifier: MIT */
/* Pops from a queue in which more and more messages are ready. */
#include "cases.h"
#include "floor.h"
#include "ours.h"
#include "pair.h"

static const int64_t depths[] = {1000, 10000, 100000, 1000000, 3000000, 10000000, 100000000};
#define DEPTHS (sizeof depths / sizeof *depths)

void run_backlog(bench *b)
{
    arm *ours = arm_open(b, &pgq_pop_one, "pgq", b->o.clients, NULL);
    arm *hand = arm_open(b, &floor_pop, "floor", b->o.clients, NULL);
    double seconds = b->o.seconds;
    double first = 0;
    double worst = 1e9;
    size_t steps = 0;
    while (steps < DEPTHS && depths[steps] <= b->o.rows)
        steps++;
    report_begin(b);
    b->o.seconds = seconds / (double)steps;
    for (size_t i = 0; i < steps; i++) {
        ours->base = hand->base = depths[i];
        arm_fill(ours);
        arm_fill(hand);
        ours->sum_messages = hand->sum_messages = 0;
        ours->sum_seconds = hand->sum_seconds = 0;
        pairs p = pairs_run(b, ours, hand, NULL, NULL);
        double rate = (double)ours->sum_messages / ours->sum_seconds;
        report_step(b, "depths", "ready", (double)depths[i], rate, "floor",
                    (double)hand->sum_messages / hand->sum_seconds);
        first = i == 0 ? rate : first;
        worst = rate / first < worst ? rate / first : worst;
        pairs_free(&p);
    }
    report_ratio(b, worst);
    arm_close(ours);
    arm_close(hand);
}
