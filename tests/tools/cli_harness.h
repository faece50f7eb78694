/* SPDX-License-Identifier: MIT */
/* Drives the real pgq by a shell, as a user would: "pgq" is in the PATH, the server in the settings file, and
 * the namespace of the test in PGQ_NAMESPACE. */
#ifndef TOOLS_CLI_HARNESS_H
#define TOOLS_CLI_HARNESS_H

#include <pgq/pgq.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
/* Behind what it needs. */
#include <cmocka.h>

#define DEADLINE_MS 30000

typedef struct cli {
    pgq *q; /* NULL without a server */
    char name_space[40];
    char dir[40]; /* $T */
    char *out, *err;
    size_t out_len;
    int status;
} cli;

/* For cmocka: *state is a cli, with the namespace installed and the queue q in it. */
int cli_setup(void **state);
/* The same without a server. */
int cli_setup_offline(void **state);
int cli_teardown(void **state);

/* Exits with 77 if there is no server to test with. */
void cli_need_server(void);

/* Runs a line of shell; its output and exit status are kept until the next one. */
void cli_run(cli *t, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* Starts one in the background, in a process group of its own; out goes to $T/bg.out. */
pid_t cli_start(cli *t, const char *line);
/* Waits for its end: the exit status, or 1000 and the signal. */
int cli_wait(pid_t pid);

/* Runs a line on a terminal of so many columns, types input as soon as prompt is there, and keeps all that
 * came. */
void cli_terminal(cli *t, int columns, const char *line, const char *prompt, const char *input);

typedef struct cli_step {
    const char *line;
    int status;
    const char *out; /* NULL: empty; with = before it: exactly that and a line end; else it is contained */
    const char *err; /* NULL: empty; else it is contained, in one line */
} cli_step;

void cli_steps(cli *t, const cli_step *steps, size_t n);
#define CLI_STEPS(t, steps) cli_steps(t, steps, sizeof(steps) / sizeof *(steps))

int64_t cli_now_ms(void);
void cli_nap(void);

#define CLI_WAIT_FOR(condition)                                                                              \
    do {                                                                                                     \
        int64_t wait_until_ = cli_now_ms() + DEADLINE_MS;                                                    \
        while (!(condition)) {                                                                               \
            if (cli_now_ms() > wait_until_)                                                                  \
                fail_msg("not within %d ms: %s", DEADLINE_MS, #condition);                                   \
            cli_nap();                                                                                       \
        }                                                                                                    \
    } while (0)

/* A file of $T; free it. */
char *cli_slurp(const cli *t, const char *name, size_t *len);

pgq_counts cli_counts(const cli *t, const char *queue);

#endif
