/* SPDX-License-Identifier: MIT */
#include "log.h"

#include "buf.h"
#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEASE_ADVICE "its work is ended here; a longer --lease outlasts longer outages of the server"

static log_format format_in_use = LOG_TEXT;
static bool quiet_in_use;
static const char *source_in_use = "queue";
static pthread_mutex_t stderr_lock = PTHREAD_MUTEX_INITIALIZER;

void log_setup(log_format format, bool quiet, const char *source)
{
    source_in_use = source;
    format_in_use = format;
    quiet_in_use = quiet;
}

/* What cannot be written is lost: there is nobody left to tell. */
static void write_stderr(const char *p, size_t len)
{
    pthread_mutex_lock(&stderr_lock);
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, p, len);
        if (n >= 0) {
            p += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
            poll(&fd, 1, 1000);
        } else if (errno != EINTR) {
            break;
        }
    }
    pthread_mutex_unlock(&stderr_lock);
}

static void begin_line(buf *b, const char *event)
{
    char now[CLOCK_TEXT];
    clock_text(clock_wall_us(), 3, now);
    buf_printf(b, format_in_use == LOG_JSON ? "{\"time\":\"%s\",\"event\":\"%s\"" : "%s %s", now, event);
}

static void end_line(buf *b)
{
    buf_str(b, format_in_use == LOG_JSON ? "}\n" : "\n");
    if (!b->failed)
        write_stderr(b->data, b->len);
    buf_free(b);
}

/* In text, a value that could be misread is written as JSON would write it. */
static void add_text(buf *b, const char *name, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/@+,";
    bool json = format_in_use == LOG_JSON;
    buf_printf(b, json ? ",\"%s\":" : " %s=", name);
    if (json || *value == '\0' || value[strspn(value, plain)] != '\0')
        buf_json(b, value, strlen(value));
    else
        buf_str(b, value);
}

static void add_number(buf *b, const char *name, int64_t value)
{
    buf_printf(b, format_in_use == LOG_JSON ? ",\"%s\":%lld" : " %s=%lld", name, (long long)value);
}

static const char *event_name(pgq_event event)
{
    switch (event) {
    case PGQ_EVENT_STARTED:
        return "started";
    case PGQ_EVENT_DONE:
        return "done";
    case PGQ_EVENT_FAILED:
        return "failed";
    case PGQ_EVENT_DISCONNECTED:
        return "disconnected";
    case PGQ_EVENT_RECONNECTED:
        return "reconnected";
    case PGQ_EVENT_LONG_SCOPE:
        return "long-scope";
    case PGQ_EVENT_ERROR:
        return "error";
    case PGQ_EVENT_STOPPING:
        return "stopping";
    case PGQ_EVENT_LEASE_LOST:
        return "lease-lost";
    }
    return "unknown";
}

void log_event(const pgq_event_info *info)
{
    buf b = {0};
    if (quiet_in_use && info->event == PGQ_EVENT_DONE)
        return;
    begin_line(&b, event_name(info->event));
    if (info->queue)
        add_text(&b, source_in_use, info->queue);
    if (info->id != 0) {
        add_number(&b, "id", info->id);
        add_number(&b, "attempt", info->attempt);
        add_number(&b, "ms", info->elapsed_us / 1000);
    }
    if (info->text && *info->text)
        add_text(&b, "error", info->text);
    if (info->event == PGQ_EVENT_LEASE_LOST)
        add_text(&b, "text", LEASE_ADVICE);
    end_line(&b);
}

void log_note(const char *event, const char *format, ...)
{
    char text[2048];
    buf b = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    begin_line(&b, event);
    add_text(&b, "text", text);
    end_line(&b);
}

void log_message(const char *event, const char *name, int64_t id, const char *text)
{
    buf b = {0};
    begin_line(&b, event);
    add_text(&b, source_in_use, name);
    add_number(&b, "id", id);
    add_text(&b, "text", text);
    end_line(&b);
}

void log_stopped(int64_t done, int64_t failed)
{
    buf b = {0};
    begin_line(&b, "stopped");
    add_number(&b, "done", done);
    add_number(&b, "failed", failed);
    end_line(&b);
}

static void relay_json(const char *queue, int64_t id, const char *line, size_t len)
{
    buf b = {0};
    begin_line(&b, "stderr");
    if (queue)
        add_text(&b, source_in_use, queue);
    if (id != 0)
        add_number(&b, "id", id);
    buf_str(&b, ",\"text\":");
    buf_json(&b, line, len);
    end_line(&b);
}

void log_relay(const char *queue, int64_t id, const char *lines, size_t len)
{
    if (format_in_use == LOG_TEXT) {
        buf b = {0};
        buf_add(&b, lines, len);
        if (len > 0 && lines[len - 1] != '\n')
            buf_add(&b, "\n", 1);
        if (!b.failed)
            write_stderr(b.data, b.len);
        buf_free(&b);
        return;
    }
    while (len > 0) {
        const char *end = memchr(lines, '\n', len);
        size_t n = end ? (size_t)(end - lines) : len;
        relay_json(queue, id, lines, n);
        n += end ? 1 : 0;
        lines += n;
        len -= n;
    }
}
