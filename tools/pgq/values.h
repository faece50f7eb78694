/* SPDX-License-Identifier: MIT */
/* The values of options. */
#ifndef PGQ_CLI_VALUES_H
#define PGQ_CLI_VALUES_H

#include "verb.h"

/* Reads what was given for an option, NULL where a value was left out. false: it is not allowed; what is
 * allowed stands in why. text is kept, not copied. */
bool value_read(option_id id, const char *text, given *out, char why[256]);

/* A whole number; false: it is none, or out of the range. */
bool value_integer(const char *text, int64_t min, int64_t max, int64_t *out);

#endif
