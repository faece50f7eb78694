/* SPDX-License-Identifier: MIT */
/* What was measured, as text on stdout, or as one JSON object. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "arm.h"

/* Of one side. What is below 0 could not be had. */
typedef struct side {
    const char *label;
    double rate; /* messages a second */
    int64_t messages;
    const hist *latency;
    double wal;      /* bytes a message */
    double wal_send; /* bytes a message to send what was taken, by batches */
    double trips;    /* round trips a message */
    double cpu_us;   /* microseconds of the server's processor time a message */
} side;

void report_begin(const bench *b);
void report_side(const bench *b, const side *s);

/* Pairs of slices: their ratios. */
void report_spread(const bench *b, double least, double median, double most, int pairs);

/* Further numbers, by name and in words. */
void report_number(const bench *b, const char *key, double value, const char *format, ...)
    __attribute__((__format__(__printf__, 4, 5)));

/* A list of steps: its name, what varies, and the rate at each, with another one beside it; beside NULL:
 * none. */
void report_step(const bench *b, const char *list, const char *what, double at, double rate,
                 const char *beside, double other);

/* The last of all. */
void report_ratio(const bench *b, double ratio);

#endif
