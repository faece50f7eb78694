/* SPDX-License-Identifier: MIT */
/* Why a message has failed: for the library, and for whoever calls a handler without it. */
#ifndef LISTEN_VERDICT_H
#define LISTEN_VERDICT_H

#include <pgq/pgq.h>

#define VERDICT_TEXT 1024

/* pgq_fail(), of which verdict_text() tells later. */
int verdict_fail(pgq *q, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* What this thread said last. */
const char *verdict_text(void);

#endif
