/* SPDX-License-Identifier: MIT */
/* The line by which a --stream command settles a message. */
#ifndef LISTEN_STREAM_ANSWER_H
#define LISTEN_STREAM_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct stream_answer {
    bool ok;
    char error[1000]; /* why not */
} stream_answer;

/* {"ok":true} or {"ok":false,"error":"..."}; if it names an id, it must be that of the message. Other
 * members are let pass. false: it is something else. */
bool stream_answer_read(const char *line, size_t len, int64_t id, stream_answer *answer);

#endif
