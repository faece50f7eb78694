/* SPDX-License-Identifier: MIT */
/* Payloads through the hooks of a handle. */
#ifndef PGQI_CODEC_H
#define PGQI_CODEC_H

#include "handle.h"

#include <pgq/codec.h>

/* Checks and copies; NULL: no hooks. */
pgq_status pgqi_read_codec(pgq_codec *to, const pgq_codec *from, pgq_error *e);

/* Changes *payload and *len to what is to be sent. *made is the caller's to pgqi_free_foreign(), NULL if
 * nothing was made. OK, HOOK. */
pgq_status pgqi_encode(pgq *q, const void **payload, size_t *len, pgq_kind *kind, void **made);

/* The same for what was taken; *made is the caller's to pgqi_free(), and ends with a zero byte. OK, HOOK,
 * NO_MEMORY. */
pgq_status pgqi_decode(pgq *q, const void **payload, size_t *len, pgq_kind *kind, void **made);

#endif
