/* SPDX-License-Identifier: MIT */
/* enqueue, topic publish: one message, or a batch from a stream. */
#include "batch.h"
#include "call.h"
#include "feed.h"
#include "progress.h"
#include "run.h"
#include "say.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { IDLE_MS = 100, BATCH_MOST = 1000 };

/* --- one --- */

static bool publishes(const call *c)
{
    return c->verb->run == run_topic_publish;
}

static int publish_one(call *c, const void *payload, size_t len)
{
    pgq *q = c->session->q;
    pgq_enqueue_options all;
    pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;
    int64_t id = 0;
    batch_options(c->opt, &all);
    o.kind = all.kind;
    o.headers = all.headers;
    pgq_status status = pgq_topic_publish(q, c->args[0], payload, len, &o, &id);
    if (status != PGQ_OK)
        return session_failed(q, status);
    row r = {0};
    row_integer(&r, "id", id);
    row_text(&r, "topic", c->args[0]);
    row_text(&r, "result", "published");
    out_row(c->out, &r);
    return EXIT_DONE;
}

static int send_one(call *c, const void *payload, size_t len)
{
    if (publishes(c))
        return publish_one(c, payload, len);
    pgq *q = c->session->q;
    pgq_enqueue_options o;
    int64_t id = 0;
    batch_options(c->opt, &o);
    pgq_status status = pgq_enqueue(q, c->args[0], payload, len, &o, &id);
    if (status != PGQ_OK && status != PGQ_DUPLICATE)
        return session_failed(q, status);
    row r = {0};
    row_integer(&r, "id", id);
    row_text(&r, "queue", c->args[0]);
    row_text(&r, "result", status == PGQ_OK ? "sent" : "duplicate");
    out_row(c->out, &r);
    return EXIT_DONE;
}

static int send_all_of(call *c, int fd)
{
    feed f = {.fd = fd};
    const char *data = NULL;
    size_t len = 0;
    int status = EXIT_FAILED;
    if (feed_all(&f, &data, &len) == FEED_END)
        status = send_one(c, data, len);
    feed_free(&f);
    return status;
}

/* --- a batch --- */

typedef struct stream {
    call *c;
    batch b;
    feed f;
    char end;
    bool json;
    int64_t lines; /* read */
    int64_t begin; /* the line that the batch begins behind */
    int64_t sent, duplicates;
} stream;

static int send_batch(stream *s)
{
    pgq *q = s->c->session->q;
    int64_t n = (int64_t)s->b.n, before = s->duplicates;
    if (n == 0)
        return EXIT_DONE;
    pgq_status status =
        publishes(s->c) ? batch_publish(&s->b, q, s->c->args[0])
                        : batch_send(&s->b, q, s->c->args[0], s->c->opt[O_CREATE_QUEUE].set, &s->duplicates);
    if (status != PGQ_OK) {
        say_where("items %lld to %lld were not sent, those before were:", (long long)s->begin + 1,
                  (long long)s->lines);
        int result = session_failed(q, status);
        say_where("%s", "");
        return result;
    }
    s->sent += n - (s->duplicates - before);
    s->begin = s->lines;
    progress_count(s->sent);
    return EXIT_DONE;
}

static bool is_blank(const char *item, size_t len)
{
    while (len > 0 && (item[len - 1] == ' ' || item[len - 1] == '\t' || item[len - 1] == '\r'))
        len--;
    return len == 0;
}

static int add_item(stream *s, const char *item, size_t len, const pgq_enqueue_options *o)
{
    char why[256] = "out of memory";
    bool good = true;
    s->lines++;
    if (!s->json)
        good = batch_add(&s->b, item, len, o);
    else if (!is_blank(item, len))
        good = batch_add_json(&s->b, item, len, s->c->verb, s->c->opt, why);
    if (good)
        return batch_is_full(&s->b) ? send_batch(s) : EXIT_DONE;
    int64_t line = s->lines--;
    int status = send_batch(s); /* those before it are sent */
    return status != EXIT_DONE
               ? status
               : say_usage("line %lld was not sent, nor any behind it: %s", (long long)line, why);
}

static int run_stream(stream *s)
{
    pgq_enqueue_options o;
    int status = EXIT_DONE;
    feed_result got = FEED_ITEM;
    batch_options(s->c->opt, &o);
    while (status == EXIT_DONE && got != FEED_END) {
        const char *item;
        size_t len;
        got = feed_next(&s->f, s->end, s->b.n > 0 ? IDLE_MS : -1, &item, &len);
        if (got == FEED_SIGNAL || got == FEED_FAILED)
            return EXIT_FAILED;
        status = got == FEED_ITEM ? add_item(s, item, len, &o) : send_batch(s);
        if (stop_signal())
            return EXIT_FAILED;
    }
    return status;
}

static int send_stream(call *c, int fd)
{
    stream s = {
        .c = c, .f = {.fd = fd}, .end = c->opt[O_ZERO].set ? '\0' : '\n', .json = c->opt[O_JSONL].set};
    if (!batch_setup(&s.b, c->opt[O_BATCH].set ? (size_t)c->opt[O_BATCH].number : BATCH_MOST, publishes(c)))
        return EXIT_FAILED;
    progress_begin(c->quiet, false, "sending");
    int status = run_stream(&s);
    progress_end();
    batch_free(&s.b);
    feed_free(&s.f);
    if (status != EXIT_DONE && stop_signal())
        say_failed("interrupted: %lld were sent, and no more", (long long)(s.sent));
    if (status != EXIT_DONE)
        return status;
    row r = {0};
    row_text(&r, publishes(c) ? "topic" : "queue", c->args[0]);
    row_integer(&r, publishes(c) ? "published" : "sent", s.sent);
    if (!publishes(c))
        row_integer(&r, "duplicates", s.duplicates);
    out_row(c->out, &r);
    return EXIT_DONE;
}

/* --- which --- */

static int check(const call *c, bool in_line)
{
    bool lines = c->opt[O_LINES].set, json = c->opt[O_JSONL].set, zero = c->opt[O_ZERO].set;
    if (lines + json + zero > 1)
        return say_usage("only one of --lines, --null and --jsonl is allowed");
    if (in_line && c->opt[O_FILE].set)
        return say_usage("--file is not allowed with a payload on the command line");
    if (in_line && (lines || json || zero))
        return say_usage("a batch is read from stdin or --file: leave \"%s\" away", c->args[1]);
    if (c->opt[O_BATCH].set && !(lines || json || zero))
        return say_usage("--batch needs --lines, --null or --jsonl");
    if (!c->opt[O_FILE].set && !in_line && isatty(STDIN_FILENO))
        say_note("reading from the terminal; end with Ctrl-D");
    return EXIT_DONE;
}

static int send(call *c)
{
    const char *path = c->opt[O_FILE].text;
    bool in_line = c->payload || (c->arg_count > 1 && strcmp(c->args[1], "-") != 0);
    int fd = STDIN_FILENO, status = check(c, in_line);
    if (status != EXIT_DONE)
        return status;
    if (c->payload)
        return send_one(c, c->payload, c->payload_len);
    if (in_line)
        return send_one(c, c->args[1], strlen(c->args[1]));
    if (path && strcmp(path, "-") != 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return say_usage("cannot open %s: %s", path, strerror(errno));
    status = c->opt[O_LINES].set || c->opt[O_ZERO].set || c->opt[O_JSONL].set ? send_stream(c, fd)
                                                                              : send_all_of(c, fd);
    if (fd != STDIN_FILENO)
        close(fd);
    return status;
}

int run_enqueue(call *c)
{
    return send(c);
}

int run_topic_publish(call *c)
{
    return send(c);
}
