/* SPDX-License-Identifier: MIT */
/* Messages as rows. */
#ifndef PGQ_CLI_MESSAGE_ROW_H
#define PGQ_CLI_MESSAGE_ROW_H

#include "call.h"

#include <pgq/message.h>

/* Writes all of them. false: stdout failed. */
bool message_rows(out *o, const pgq_messages *messages);

#endif
