/* SPDX-License-Identifier: MIT */
/* Checks of text that are made before any SQL is sent. */
#ifndef PGQI_TEXT_H
#define PGQI_TEXT_H

#include <stddef.h>

/* Whether bytes are UTF-8 as the server takes it: no zero byte, no surrogate, nothing over-long. */
int pgqi_is_utf8(const void *bytes, size_t len);

/* The length of s without a character that is cut off at its end. */
size_t pgqi_utf8_trim(const char *s, size_t len);

/* What is wrong with a name, behind "a queue name", or NULL. The same rule as _name_fault in
 * sql/functions/outcome.sql. */
const char *pgqi_name_fault(const char *name);

#endif
