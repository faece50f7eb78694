/* SPDX-License-Identifier: MIT */
/* A message as one line of JSON. */
#ifndef LISTEN_MESSAGE_JSON_H
#define LISTEN_MESSAGE_JSON_H

#include "buf.h"

#include <pgq/pgq.h>
#include <stdbool.h>

/* "binary", "text" or "json". */
const char *message_kind(const pgq_message *m);

/* Adds the line, newline included; that of a topic lacks what only queues have. JSON in the message is passed
 * on as it was sent, but for line breaks between its values, which become blanks. */
void message_line(buf *b, const pgq_message *m, bool of_topic);

#endif
