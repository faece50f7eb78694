/* SPDX-License-Identifier: MIT */
/* What can be measured. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "arm.h"

/* The same work, done by pgq and by hand. */
typedef struct work {
    const arm_ops *pgq;
    const arm_ops *floor;
} work;

typedef struct bench_case {
    const char *name;
    const char *help;
    void (*run)(bench *b);
    const work *work; /* NULL: not one that held and readers can measure */
    int batch;        /* the default; 0: it takes messages one by one */
    int most;         /* in a batch; 0: 1000 */
    int clients;      /* the default; 0: 1 */
    double seconds;   /* the default; 0: 10 */
    long rows;        /* the default; 0: it has none */
    bool takes_case;
    bool bell;
} bench_case;

extern const bench_case cases[]; /* ended by one without a name */

/* The runs; each prints its report. */
void run_pair(bench *b);
void run_bell(bench *b);
void run_subscribers(bench *b);
void run_worker(bench *b);
void run_wake(bench *b);
void run_held(bench *b);
void run_dead(bench *b);
void run_crowd(bench *b);
void run_readers(bench *b);
void run_backlog(bench *b);

#endif
