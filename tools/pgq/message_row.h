/* SPDX-License-Identifier: MIT */
/* Messages as rows. */
#ifndef PGQ_CLI_MESSAGE_ROW_H
#define PGQ_CLI_MESSAGE_ROW_H

#include "call.h"

#include <pgq/message.h>

/* Writes all of them. false: stdout failed. */
bool message_rows(out *o, const pgq_messages *messages);

/* The same of a topic. */
bool message_topic_rows(out *o, const pgq_messages *messages);

/* How many messages to ask for at first, and next: as many as have some MB, judging by those of the look
 * before. */
enum { MESSAGE_LOOK_FIRST = 20 };
int message_next_look(const pgq_messages *messages);

#endif
