/* SPDX-License-Identifier: MIT */
/* JSON objects as options: of "pgq json", and of the lines of --jsonl. */
#ifndef PGQ_CLI_JSON_VALUE_H
#define PGQ_CLI_JSON_VALUE_H

#include "buf.h"
#include "verb.h"

#include <json-c/json.h>

typedef enum json_result { JSON_GOOD, JSON_BAD, JSON_CUT } json_result;

/* A JSON value of the text. BAD, with why; CUT, likewise: it has no end. *used: how many bytes it and the
 * blanks behind it take; with NULL nothing may be behind it. */
json_result json_read(const char *text, size_t len, struct json_object **out, size_t *used, char why[256]);

/* Where the value of an object's member stands in its text; NULL: nowhere. The text was read before. */
const char *json_member(const char *text, size_t len, const char *name, size_t *value_len);

/* Sets an option from a value; null and false for a flag: nothing is given. Text that it keeps is made in
 * *made, to be freed by the caller; NULL: none. false: not allowed, and why says so. */
bool json_option(option_id id, struct json_object *value, given *out, char **made, char why[256]);

/* Bytes of base64; false: it is none. */
bool json_base64(const char *text, size_t len, buf *out);

#endif
