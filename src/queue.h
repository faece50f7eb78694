/* SPDX-License-Identifier: MIT */
#ifndef PGQI_QUEUE_H
#define PGQI_QUEUE_H

#include "handle.h"

/* Says what is wrong with a name; what: "queue", ... OK, INVALID. */
pgq_status pgqi_check_name(pgq_error *e, const char *what, const char *name);

/* Text that the server must not be sent unless it is UTF-8; NULL is. OK, INVALID. */
pgq_status pgqi_check_text(pgq_error *e, const char *what, const char *text);

/* Where a call is to put what it gives. OK, INVALID. */
pgq_status pgqi_check_out(pgq_error *e, const void *out);

/* pgqi_enter(), and a check of the queue's name. */
pgq_status pgqi_enter_queue(pgq *q, const char *queue);

/* OK or NOT_FOUND. */
pgq_status pgqi_queue_exists(pgq *q, const char *queue);

#endif
