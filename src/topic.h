/* SPDX-License-Identifier: MIT */
/* What the calls about topics share. */
#ifndef PGQI_TOPIC_H
#define PGQI_TOPIC_H

#include "handle.h"

/* pgqi_enter(), and a check of the topic's name. */
pgq_status pgqi_enter_topic(pgq *q, const char *topic);

/* Tends the logs if that is due, and this is the place: on a connection of the handle's own, with no
 * transaction open. What came of the call before it stays: its status is given back. */
pgq_status pgqi_tended(pgq *q, pgq_status status);

/* When that is due: INT64_MAX: never. */
int64_t pgqi_tend_at(const pgq *q);

#endif
