/* SPDX-License-Identifier: MIT */
#ifndef PGQ_CLI_HELP_H
#define PGQ_CLI_HELP_H

#include "verb.h"

/* Of a verb, or of the verbs that have that first word, or of the program. */
void help_print(const verb *v, const char *family);

/* "-p, --priority N" */
void help_option(option_id id, const verb *v, char *out, size_t size);

/* What an option does, and the words that it allows. */
void help_text(option_id id, char *to, size_t size);

#endif
