/* SPDX-License-Identifier: MIT */
/* What the program says on stderr: one line an event. Any thread may speak. */
#ifndef LISTEN_LOG_H
#define LISTEN_LOG_H

#include <pgq/pgq.h>
#include <stdbool.h>

typedef enum log_format { LOG_TEXT, LOG_JSON } log_format;

/* quiet: messages that were done are not told. source: what messages come from, "queue" or "topic". */
void log_setup(log_format format, bool quiet, const char *source);

void log_event(const pgq_event_info *info);

/* An event of the program's own, with a text, or NULL. */
void log_note(const char *event, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* The same, of a message. */
void log_message(const char *event, const char *name, int64_t id, const char *text);

/* The last line: how many messages were done, and how many failed. */
void log_stopped(int64_t done, int64_t failed);

/* Lines that a command wrote on its stderr: as they are, or in JSON as events. The last one may lack
 * its line break. id 0: of no message in particular. */
void log_relay(const char *queue, int64_t id, const char *lines, size_t len);

#endif
