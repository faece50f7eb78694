/* SPDX-License-Identifier: MIT */
/* peek, list, get. */
#include "call.h"
#include "message_row.h"
#include "run.h"
#include "say.h"
#include "values.h"

#include <string.h>

enum { LIST_COUNT = 100 };

static int show(call *c, pgq_status status, pgq_messages *messages)
{
    if (status != PGQ_OK)
        return session_failed(c->session->q, status);
    message_rows(c->out, messages);
    pgq_messages_free(messages);
    return EXIT_DONE;
}

static int count(const call *c, int otherwise)
{
    return c->opt[O_COUNT].set ? (int)c->opt[O_COUNT].number : otherwise;
}

int run_peek(call *c)
{
    pgq_messages *messages;
    pgq_status status = pgq_peek(c->session->q, c->args[0], count(c, 1), &messages);
    return show(c, status, messages);
}

static pgq_state state_named(const char *name)
{
    return !name || *name == 'r'       ? PGQ_STATE_READY
           : strcmp(name, "dead") == 0 ? PGQ_STATE_DEAD
           : *name == 'd'              ? PGQ_STATE_DELAYED
           : *name == 'b'              ? PGQ_STATE_BLOCKED
                                       : PGQ_STATE_IN_FLIGHT;
}

static int list(call *c, pgq_state state)
{
    pgq_messages *messages;
    pgq_status status = pgq_list(c->session->q, c->args[0], state, count(c, LIST_COUNT),
                                 (int)c->opt[O_SKIP].number, &messages);
    return show(c, status, messages);
}

int run_list(call *c)
{
    return list(c, state_named(c->opt[O_STATE].text));
}

int run_dead_list(call *c)
{
    return list(c, PGQ_STATE_DEAD);
}

static int get(call *c, bool dead)
{
    pgq_messages *messages;
    int64_t id;
    if (!value_integer(c->args[0], 0, INT64_MAX, &id))
        return say_usage("\"%s\" is no ID: a whole number is", c->args[0]);
    pgq_status status = pgq_get(c->session->q, id, &messages);
    if (status == PGQ_OK && dead && pgq_messages_get(messages, 0)->state != PGQ_STATE_DEAD) {
        pgq_messages_free(messages);
        say_failed("message %lld is not dead: see \"pgq get\"", (long long)id);
        return EXIT_NOTHING;
    }
    return show(c, status, messages);
}

int run_get(call *c)
{
    return get(c, false);
}

int run_dead_show(call *c)
{
    return get(c, true);
}
