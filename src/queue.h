/* SPDX-License-Identifier: MIT */
#ifndef PGQI_QUEUE_H
#define PGQI_QUEUE_H

#include "handle.h"

/* pgqi_enter(), and a check of the queue's name. */
pgq_status pgqi_enter_queue(pgq *q, const char *queue);

/* OK or NOT_FOUND. */
pgq_status pgqi_queue_exists(pgq *q, const char *queue);

#endif
