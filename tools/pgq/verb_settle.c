/* SPDX-License-Identifier: MIT */
/* ack, nack, extend, release, by receipts; cancel. */
#include "call.h"
#include "feed.h"
#include "ids.h"
#include "run.h"
#include "say.h"
#include "stop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 1000, RECEIPT_MAX = 48 };

typedef pgq_status (*settle)(call *c, const pgq_receipt *receipts, size_t n, pgq_status *results);

typedef struct settling {
    call *c;
    settle how;
    size_t n;
    pgq_receipt receipts[AT_ONCE];
    pgq_status results[AT_ONCE];
    bool stale, missing;
} settling;

static int settle_all(settling *s)
{
    size_t n = s->n;
    s->n = 0;
    if (n == 0)
        return EXIT_DONE;
    pgq_status status = s->how(s->c, s->receipts, n, s->results);
    if (status < 0 && status != PGQ_STALE && status != PGQ_NOT_FOUND)
        return session_failed(s->c->session->q, status);
    for (size_t i = 0; i < n; i++) {
        pgq_status result = s->results[i];
        row r = {0};
        s->stale |= result == PGQ_STALE;
        s->missing |= result == PGQ_NOT_FOUND;
        row_integer(&r, "id", s->receipts[i].id);
        row_integer(&r, "attempts", s->receipts[i].attempt);
        row_text(&r, "result", result == PGQ_OK ? "done" : result == PGQ_STALE ? "stale" : "not_found");
        out_row(s->c->out, &r);
    }
    return EXIT_DONE;
}

static int add(settling *s, const char *text)
{
    if (!receipt_read(text, &s->receipts[s->n]))
        return EXIT_USAGE;
    s->n++;
    return s->n < AT_ONCE ? EXIT_DONE : settle_all(s);
}

/* Receipts on stdin. Those that are there are settled before more are waited for. */
static int add_from_stdin(settling *s)
{
    feed f = {.fd = STDIN_FILENO};
    int status = EXIT_DONE;
    const char *line;
    size_t len;
    feed_result got = FEED_IDLE;
    while (status == EXIT_DONE && (got = feed_next(&f, '\n', s->n > 0 ? 0 : -1, &line, &len)) <= FEED_IDLE) {
        if (got == FEED_IDLE) {
            status = settle_all(s);
            if (status == EXIT_DONE && !out_flush(s->c->out))
                status = EXIT_FAILED;
            continue;
        }
        while (status == EXIT_DONE && len > 0) {
            char text[RECEIPT_MAX] = "";
            size_t n = 0;
            while (n < len && !strchr(" \t\r", line[n]))
                n++;
            memcpy(text, line, n < sizeof text ? n : sizeof text - 1);
            if (n > 0)
                status = add(s, text);
            n += n < len;
            line += n;
            len -= n;
        }
    }
    feed_free(&f);
    /* Those before what is no receipt are good. */
    if (status == EXIT_USAGE && settle_all(s) != EXIT_DONE)
        return EXIT_FAILED;
    return got == FEED_FAILED && status == EXIT_DONE ? EXIT_FAILED : status;
}

static bool check_receipts(const call *c)
{
    pgq_receipt ignored;
    bool good = true;
    for (size_t i = 0; good && i < c->arg_count; i++)
        good = strcmp(c->args[i], "-") == 0 || receipt_read(c->args[i], &ignored);
    return good;
}

static int run(call *c, settle how)
{
    if (!check_receipts(c))
        return EXIT_USAGE;
    settling *s = calloc(1, sizeof *s);
    int status = EXIT_DONE;
    if (!s)
        return say_failed("out of memory");
    s->c = c;
    s->how = how;
    for (size_t i = 0; i < c->arg_count && status == EXIT_DONE && !stop_signal(); i++)
        status = strcmp(c->args[i], "-") == 0 ? add_from_stdin(s) : add(s, c->args[i]);
    if (status == EXIT_DONE)
        status = settle_all(s);
    if (status == EXIT_DONE)
        status = s->stale ? EXIT_FAILED : s->missing ? EXIT_NOTHING : EXIT_DONE;
    free(s);
    return status;
}

static pgq_status ack(call *c, const pgq_receipt *receipts, size_t n, pgq_status *results)
{
    return pgq_ack(c->session->q, receipts, n, NULL, results);
}

static pgq_status nack(call *c, const pgq_receipt *receipts, size_t n, pgq_status *results)
{
    pgq_nack_options o = PGQ_NACK_OPTIONS_INIT;
    o.error = c->opt[O_ERROR].text;
    if (c->opt[O_REQUEUE].set)
        o.requeue = (int)c->opt[O_REQUEUE].number;
    if (c->opt[O_DELAY].set)
        o.delay_ms = c->opt[O_DELAY].number;
    return pgq_nack(c->session->q, receipts, n, &o, NULL, results);
}

static pgq_status extend(call *c, const pgq_receipt *receipts, size_t n, pgq_status *results)
{
    int64_t lease = c->opt[O_LEASE].set ? c->opt[O_LEASE].number : PGQ_UNSET;
    return pgq_extend(c->session->q, receipts, n, lease, NULL, results);
}

static pgq_status release(call *c, const pgq_receipt *receipts, size_t n, pgq_status *results)
{
    return pgq_release(c->session->q, receipts, n, NULL, results);
}

int run_ack(call *c)
{
    return run(c, ack);
}

int run_nack(call *c)
{
    return run(c, nack);
}

int run_extend(call *c)
{
    return run(c, extend);
}

int run_release(call *c)
{
    return run(c, release);
}

/* What is done to one message, and how its row says so. */
typedef struct one_by_one {
    pgq_status (*act)(call *c, int64_t id);
    const char *done;
} one_by_one;

static int run_ids(call *c, const one_by_one *how)
{
    int64_t *ids;
    int result = EXIT_DONE;
    if (!ids_read(c->args, c->arg_count, &ids))
        return EXIT_USAGE;
    for (size_t i = 0; i < c->arg_count && !stop_signal(); i++) {
        pgq_status status = how->act(c, ids[i]);
        if (status != PGQ_OK && status != PGQ_NOT_FOUND && status != PGQ_IN_FLIGHT) {
            result = session_failed(c->session->q, status);
            break;
        }
        row r = {0};
        row_integer(&r, "id", ids[i]);
        row_text(&r, "result",
                 status == PGQ_OK          ? how->done
                 : status == PGQ_NOT_FOUND ? "not_found"
                                           : "in_flight");
        out_row(c->out, &r);
        if (status == PGQ_IN_FLIGHT || (status == PGQ_NOT_FOUND && result == EXIT_DONE))
            result = status == PGQ_IN_FLIGHT ? EXIT_FAILED : EXIT_NOTHING;
    }
    free(ids);
    return result;
}

static pgq_status cancel(call *c, int64_t id)
{
    return pgq_cancel(c->session->q, id);
}

static pgq_status reschedule(call *c, int64_t id)
{
    return pgq_reschedule(c->session->q, id, c->opt[O_DELAY].set ? c->opt[O_DELAY].number : 0);
}

int run_cancel(call *c)
{
    static const one_by_one how = {cancel, "canceled"};
    return run_ids(c, &how);
}

int run_reschedule(call *c)
{
    static const one_by_one how = {reschedule, "rescheduled"};
    return run_ids(c, &how);
}
