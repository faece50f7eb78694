/* SPDX-License-Identifier: MIT */
/* Ids and receipts, as they are given. */
#ifndef PGQ_CLI_IDS_H
#define PGQ_CLI_IDS_H

#include <pgq/lease.h>
#include <stdbool.h>
#include <stddef.h>

/* n ids; free them. false: it was said what is wrong. */
bool ids_read(const char *const *texts, size_t n, int64_t **ids);

/* "ID:ATTEMPTS"; false likewise. */
bool receipt_read(const char *text, pgq_receipt *out);

#endif
