/* SPDX-License-Identifier: MIT */
/* Many durations, in buckets of 1.6 % width. */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

#define HIST_SUB     64
#define HIST_BUCKETS (40 * HIST_SUB)

typedef struct hist {
    uint64_t count;
    int64_t sum;
    uint32_t bucket[HIST_BUCKETS];
} hist;

void hist_add(hist *h, int64_t ns);
void hist_merge(hist *to, const hist *from);
void hist_clear(hist *h);

/* In nanoseconds, at most one bucket too high; 0 if there is none. */
double hist_percentile(const hist *h, double p);
double hist_mean(const hist *h);

#endif
