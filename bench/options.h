/* SPDX-License-Identifier: MIT */
/* The command line. One table gives getopt_long() its options and --help its text. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_case;

typedef struct options {
    const char *conninfo; /* NULL: the environment's */
    const struct bench_case *what;
    const struct bench_case *of; /* of held and readers: what is measured under them; else NULL */
    double seconds;
    int clients;
    int payload; /* bytes */
    int batch;
    int sleepers, awake;
    long rows;
    bool json;
} options;

typedef enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG } options_result;

/* RUN: o is set. DONE: --help or --version was answered. WRONG: stderr says what is. */
options_result options_read(options *o, int argc, char **argv);

#endif
