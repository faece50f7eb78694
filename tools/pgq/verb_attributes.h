/* SPDX-License-Identifier: MIT */
/* The attributes of queues, from options and in rows. */
#ifndef PGQ_CLI_VERB_ATTRIBUTES_H
#define PGQ_CLI_VERB_ATTRIBUTES_H

#include "call.h"

#include <pgq/queue.h>

/* Those that were given; how many. */
int attributes_read(const call *c, pgq_attributes *a);

/* --unset; false: a name is unknown, which was said. */
bool attributes_unset(const call *c, unsigned *unset);

void attributes_row(row *r, const pgq_queue_info *info, char own[256]);

#endif
