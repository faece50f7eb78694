/* SPDX-License-Identifier: MIT */
/* Two arms in turns, in short slices: A B, B A, A B, ... so that a machine that drifts hits both alike. */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include "arm.h"
#include "report.h"

#define SLICE_SECONDS 0.5

typedef struct pairs {
    double *ratio; /* of each pair, the first arm's rate to the second's */
    int count;
    double least, median, most;
    double cpu[2]; /* seconds of the server's processor time; below 0: not known */
} pairs;

/* What is to be done before and after a slice of either arm; may be NULL. */
typedef void (*around)(void *arg, int which, bool before);

/* Measures for the run's time. What is not NULL must be freed: pairs_free(). */
pairs pairs_run(bench *b, arm *first, arm *second, around hook, void *arg);
void pairs_free(pairs *p);

/* One slice that is not dry, of an arm that is filled before it. */
slice full_slice(arm *a, double seconds);

/* Puts both sides' tables into the same state: vacuumed, and not too long. */
void tidy(bench *b, bool consumes);

/* What pairs and the short runs behind them say of an arm. */
side side_of(arm *a, double cpu_seconds);
void measure_wal(arm *a, side *s);
void measure_trips(bench *b, const arm_ops *ops, side *s);

double median_of(double *values, int n); /* sorts them */

#endif
