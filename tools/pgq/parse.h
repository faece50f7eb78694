/* SPDX-License-Identifier: MIT */
/* The command line, read by the table of verbs. */
#ifndef PGQ_CLI_PARSE_H
#define PGQ_CLI_PARSE_H

#include "call.h"

/* Reads argv[0] to argv[argc - 1], the program's name not among them, into c->verb, c->opt and c->args, which
 * the caller frees. c->verb is NULL where there is none. What was given is in the order of getopt: options
 * stand anywhere, up to
 * "--"; those before the verb are the common ones. EXIT_DONE, or EXIT_USAGE, which was said. */
int parse_line(call *c, int argc, const char **argv);

/* The option of a verb with that name, in which _ may stand for -, or that letter; O_END: there is none. */
option_id parse_option(const verb *v, const char *name);

/* Whether what was given fits together; EXIT_DONE or EXIT_USAGE. */
int parse_check(const call *c);

#endif
