/* SPDX-License-Identifier: MIT */
/* Before something is destroyed. */
#ifndef PGQ_CLI_ASK_H
#define PGQ_CLI_ASK_H

#include "call.h"

/* Asks on a terminal whether to do what; with --yes it need not. EXIT_DONE: do it. */
int ask_first(const call *c, const char *what);

#endif
