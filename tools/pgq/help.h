/* SPDX-License-Identifier: MIT */
#ifndef PGQ_CLI_HELP_H
#define PGQ_CLI_HELP_H

#include "verb.h"

/* v: NULL: of the program. */
void help_print(const verb *v);

/* "-p, --priority N" */
void help_option(option_id id, const verb *v, char *out, size_t size);

/* What an option does, and the words that it allows. */
void help_text(option_id id, char *to, size_t size);

#endif
