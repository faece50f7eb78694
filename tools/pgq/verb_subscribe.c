/* SPDX-License-Identifier: MIT */
/* topic subscribe, topic latest. */
#include "call.h"
#include "message_row.h"
#include "run.h"
#include "say.h"
#include "stop.h"

static int begin(call *c, const char *start, pgq_subscriber **s)
{
    pgq_subscribe_options o = PGQ_SUBSCRIBE_OPTIONS_INIT;
    *s = NULL;
    if (c->opt[O_HOLD].set && !c->opt[O_AS].set)
        return say_usage("--hold needs --as SUBSCRIBER: only a durable subscriber keeps messages");
    o.name = c->opt[O_AS].text;
    o.start = c->opt[O_FROM].set ? c->opt[O_FROM].text : start;
    if (c->opt[O_HOLD].set)
        o.hold_ms = c->opt[O_HOLD].number;
    pgq_status status = pgq_topic_subscribe(c->session->q, c->args[0], &o, s);
    return status == PGQ_OK ? EXIT_DONE : session_failed(c->session->q, status);
}

/* Writes messages, and then commits behind them if there is a name to do it by. What could not be written
 * comes again. */
static int hand_out(call *c, pgq_subscriber *s, const pgq_messages *messages)
{
    pgq *q = c->session->q;
    if (pgq_topic_trimmed(s))
        say_note("messages were removed before they were read, their time being over");
    if (stop_signal() || !message_topic_rows(c->out, messages) || !out_flush(c->out))
        return EXIT_FAILED;
    if (!c->opt[O_AS].set)
        return EXIT_DONE;
    stop_watch(NULL); /* it is written: a signal comes too late for it */
    pgq_status status = pgq_topic_commit(s);
    stop_watch(pgq_connection(q));
    return status == PGQ_OK ? EXIT_DONE : session_failed(q, status);
}

static int follow(call *c, pgq_subscriber *s)
{
    pgq_listen_options o = PGQ_LISTEN_OPTIONS_INIT;
    int timeout = c->opt[O_TIMEOUT].set ? (int)c->opt[O_TIMEOUT].number : -1;
    int64_t left = c->opt[O_COUNT].set ? c->opt[O_COUNT].number : INT64_MAX;
    int look = MESSAGE_LOOK_FIRST, status = EXIT_DONE;
    bool some = false;
    if (c->opt[O_POLL_INTERVAL].set)
        o.poll_interval_ms = (int)c->opt[O_POLL_INTERVAL].number;
    o.cancel_fd = stop_fd();
    while (status == EXIT_DONE && left > 0 && !stop_signal()) {
        pgq_messages *messages;
        pgq_status got = pgq_topic_wait(s, left < look ? (int)left : look, timeout, &o, &messages);
        if (got == PGQ_TIMEOUT && some)
            return EXIT_DONE;
        if (got != PGQ_OK) {
            status = session_failed(c->session->q, got);
            return got == PGQ_SHUTDOWN && some ? EXIT_DONE : status;
        }
        some = true;
        left -= (int64_t)pgq_messages_count(messages);
        look = message_next_look(messages);
        status = hand_out(c, s, messages);
        pgq_messages_free(messages);
    }
    return status;
}

int run_topic_subscribe(call *c)
{
    pgq_subscriber *s;
    int status = begin(c, "now", &s);
    if (status == EXIT_DONE)
        status = follow(c, s);
    pgq_subscriber_free(s);
    return status;
}

int run_topic_latest(call *c)
{
    pgq_subscriber *s;
    pgq_messages *messages = NULL;
    int status = begin(c, "oldest", &s);
    if (status == EXIT_DONE) {
        pgq_status got = pgq_topic_latest(s, &messages);
        status = got == PGQ_OK ? hand_out(c, s, messages) : session_failed(c->session->q, got);
    }
    pgq_messages_free(messages);
    pgq_subscriber_free(s);
    return status;
}
