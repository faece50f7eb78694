/* SPDX-License-Identifier: MIT */
/* The environment of a command. */
#ifndef LISTEN_MESSAGE_ENV_H
#define LISTEN_MESSAGE_ENV_H

#include <pgq/pgq.h>
#include <stdbool.h>

/* Our own environment, without what was meant for us alone, and with PGQ_NAMESPACE and, unless m is
 * NULL, PGQ_ID and the rest of what a message of a queue or a topic is. NULL: memory ran out. */
char **message_env(const char *name_space, const pgq_message *m, bool of_topic);

void message_env_free(char **env);

#endif
