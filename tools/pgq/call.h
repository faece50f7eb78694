/* SPDX-License-Identifier: MIT */
/* One verb as it was asked for, and what it works with. */
#ifndef PGQ_CLI_CALL_H
#define PGQ_CLI_CALL_H

#include "out.h"
#include "session.h"
#include "verb.h"

struct call {
    const verb *verb;
    const char *family; /* the first word of a verb of two; NULL: none */
    given opt[O_OPTIONS];
    const char **args; /* borrowed strings */
    size_t arg_count;
    const char *payload; /* of the json verb: in the place of the argument; may hold zero bytes */
    size_t payload_len;
    session *session;
    out *out;
    bool quiet;
};

#endif
