/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include "buf.h"
#include "child.h"
#include "clock.h"
#include "command.h"
#include "log.h"
#include "message_env.h"
#include "message_json.h"
#include "stop.h"
#include "stream_answer.h"
#include "verdict.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX     (1024 * 1024)
#define QUOTED_MAX     200
#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS   10000

typedef struct stream {
    const command *how;
    child c;
    bool running;
    buf heard; /* what it has written that was not looked at yet */
    errors err;
    int err_fd; /* its stderr, read by a thread of its own, since it may write at any time */
    pthread_t reader;
    int reader_stop[2]; /* the write end is closed to stop the reader */
    int64_t pause_ms;   /* the next pause before it is started again; 0: none */
    int64_t not_before; /* the end of the pause that runs */
} stream;

static pthread_key_t slot_key;

/* --- its stderr --- */

static void *read_errors(void *arg)
{
    stream *s = arg;
    bool more = true;
    while (more) {
        struct pollfd fds[] = {{.fd = s->err_fd, .events = POLLIN},
                               {.fd = s->reader_stop[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            continue;
        more = errors_take(&s->err, s->err_fd) && !fds[1].revents;
    }
    errors_flush(&s->err);
    return NULL;
}

static int start_reader(stream *s)
{
    sigset_t all, before;
    errors_setup(&s->err, NULL, 0);
    if (pipe2(s->reader_stop, O_CLOEXEC) != 0)
        return errno;
    s->err_fd = s->c.err;
    s->c.err = -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = pthread_create(&s->reader, NULL, read_errors, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (why != 0) {
        child_close(&s->reader_stop[0]);
        child_close(&s->reader_stop[1]);
        child_close(&s->err_fd);
    }
    return why;
}

/* What it has written until now is in s->err then. */
static void stop_reader(stream *s)
{
    child_close(&s->reader_stop[1]);
    pthread_join(s->reader, NULL);
    child_close(&s->reader_stop[0]);
    child_close(&s->err_fd);
}

/* --- starting and ending --- */

static void pause_longer(stream *s)
{
    s->pause_ms = s->pause_ms == 0 ? PAUSE_FIRST_MS : s->pause_ms * 2;
    if (s->pause_ms > PAUSE_MAX_MS)
        s->pause_ms = PAUSE_MAX_MS;
    s->not_before = clock_ms() + s->pause_ms;
}

/* 0 or an errno. */
static int launch(stream *s, const char *name_space)
{
    char **env = message_env(name_space, NULL, s->how->of_topic);
    int why = env ? child_start(&s->c, s->how->path, s->how->argv, env, true) : ENOMEM;
    message_env_free(env);
    if (why == 0) {
        why = start_reader(s);
        if (why != 0) {
            child_end(&s->c, 0, NULL);
            child_reap(&s->c);
        }
    }
    s->running = why == 0;
    buf_clear(&s->heard);
    if (why != 0)
        pause_longer(s);
    return why;
}

/* It has exited, or is ended now. Says how it went: "exit status 1", and the end of its stderr. */
static void finish(stream *s, bool end, char status_text[CHILD_STATUS_TEXT], char said[ERRORS_TEXT])
{
    if (end)
        child_end(&s->c, s->how->kill_after_ms, NULL);
    stop_reader(s);
    child_status_text(child_reap(&s->c), status_text);
    errors_text(&s->err, said);
    errors_free(&s->err);
    s->running = false;
    pause_longer(s);
}

/* --- talking --- */

/* Reads what is there, without waiting; false: the end was reached. */
static bool hear(stream *s)
{
    char chunk[4096];
    while (!s->heard.failed && s->heard.len <= ANSWER_MAX) {
        ssize_t n = read(s->c.out, chunk, sizeof chunk);
        if (n > 0)
            buf_add(&s->heard, chunk, (size_t)n);
        else if (n == 0)
            return false;
        else if (errno != EINTR)
            return errno == EAGAIN;
    }
    return true;
}

/* Writes what it takes, without waiting. */
static void say(stream *s, const buf *line, size_t *sent)
{
    while (*sent < line->len) {
        ssize_t n = write(s->c.in, line->data + *sent, line->len - *sent);
        if (n >= 0)
            *sent += (size_t)n;
        else if (errno != EINTR)
            return; /* if it is for good, the process ends or its answer fails to come */
    }
}

typedef enum outcome { ANSWERED, DIED, CONFUSED, TIMED_OUT, INTERRUPTED } outcome;

/* Sends a line and waits for one. CONFUSED: what came cannot be the answer to it. */
static outcome talk(stream *s, const watch_hold *hold, const buf *line, watch_event *event)
{
    int64_t until = s->how->timeout_ms > 0 ? clock_ms() + s->how->timeout_ms : CLOCK_NEVER;
    size_t sent = 0;
    for (;;) {
        /* In this order: an answer counts, though it was the last thing it did. */
        bool gone = child_gone(&s->c);
        gone = !hear(s) || gone;
        if (s->heard.len > 0 && memchr(s->heard.data, '\n', s->heard.len))
            return sent == line->len ? ANSWERED : CONFUSED;
        if (gone)
            return DIED;
        if (s->heard.failed || s->heard.len > ANSWER_MAX)
            return CONFUSED;
        int64_t now = clock_ms();
        if (until != CLOCK_NEVER && now >= until)
            return TIMED_OUT;
        say(s, line, &sent);
        struct pollfd fds[] = {{.fd = s->c.pid_fd, .events = POLLIN},
                               {.fd = sent < line->len ? s->c.in : -1, .events = POLLOUT},
                               {.fd = s->c.out, .events = POLLIN}};
        int64_t look = until;
        if (s->c.pid_fd < 0 && (until == CLOCK_NEVER || until > now + CHILD_LOOK_MS))
            look = now + CHILD_LOOK_MS;
        *event = watch_wait(hold, fds, 3, look);
        if (*event != WATCH_NOTHING)
            return INTERRUPTED;
    }
}

/* --- one message --- */

/* After the pause that is due, a process that waits for a message. NULL, or why there is none. */
static const char *get_ready(stream *s, pgq *q, const watch_hold *hold)
{
    char status[CHILD_STATUS_TEXT], said[ERRORS_TEXT];
    if (s->running) {
        bool gone = child_gone(&s->c);
        gone = !hear(s) || gone;
        if (!gone && s->heard.len == 0)
            return NULL;
        /* What it says unasked would be taken for the answer to the next message. */
        finish(s, gone ? !child_gone_soon(&s->c) : true, status, said);
        log_note("restarted", "the command %s (%s)%s%s",
                 s->heard.len > 0 ? "wrote a line that nobody had asked for" : "ended between two messages",
                 status, *said ? ": " : "", said);
    }
    while (clock_ms() < s->not_before) {
        watch_event event = watch_wait(hold, NULL, 0, s->not_before);
        if (event != WATCH_NOTHING)
            return watch_reason(event);
    }
    int why = launch(s, pgq_namespace(q));
    return why == 0 ? NULL : strerror(why);
}

static int not_understood(stream *s, pgq *q)
{
    char status[CHILD_STATUS_TEXT], said[ERRORS_TEXT];
    buf quoted = {0};
    const char *end = s->heard.len > 0 ? memchr(s->heard.data, '\n', s->heard.len) : NULL;
    size_t n = end ? (size_t)(end - s->heard.data) : s->heard.len;
    if (n > QUOTED_MAX) {
        /* Cut at a character. */
        for (n = QUOTED_MAX; n > 0 && ((unsigned char)s->heard.data[n] & 0xc0) == 0x80; n--) {
        }
    }
    buf_json(&quoted, n > 0 ? s->heard.data : "", n);
    finish(s, true, status, said);
    verdict_fail(q, "the answer of the command is not understood: %s", quoted.failed ? "\"\"" : quoted.data);
    buf_free(&quoted);
    return 1;
}

/* Settles the message by the line that came. */
static int settle(stream *s, pgq *q, const pgq_message *m)
{
    char status[CHILD_STATUS_TEXT], said[ERRORS_TEXT];
    stream_answer answer;
    size_t len = (size_t)((char *)memchr(s->heard.data, '\n', s->heard.len) - s->heard.data);
    if (!stream_answer_read(s->heard.data, len, m->id, &answer))
        return not_understood(s, q);
    if (answer.ok)
        s->pause_ms = 0;
    if (s->heard.len > len + 1) {
        finish(s, true, status, said);
        log_note("restarted", "the command wrote more than one line for a message (%s)", status);
    }
    buf_clear(&s->heard);
    return answer.ok ? 0 : verdict_fail(q, "%s", answer.error);
}

static int hand_over(stream *s, pgq *q, const watch_hold *hold, const pgq_message *m)
{
    char status[CHILD_STATUS_TEXT], said[ERRORS_TEXT], reason[120];
    watch_event event = WATCH_NOTHING;
    buf line = {0};
    message_line(&line, m, s->how->of_topic);
    errors_empty(&s->err);
    outcome came = line.failed ? INTERRUPTED : talk(s, hold, &line, &event);
    bool no_memory = line.failed;
    buf_free(&line);
    if (no_memory)
        return verdict_fail(q, "out of memory");
    if (came == ANSWERED)
        return settle(s, q, m);
    if (came == CONFUSED)
        return not_understood(s, q);
    finish(s, came == DIED ? !child_gone_soon(&s->c) : true, status, said);
    if (came == DIED)
        snprintf(reason, sizeof reason, "the command ended without an answer (%s)", status);
    else if (came == TIMED_OUT)
        snprintf(reason, sizeof reason, "timeout after %g s", (double)s->how->timeout_ms / 1000);
    else
        snprintf(reason, sizeof reason, "%s", watch_reason(event));
    return verdict_fail(q, "%s%s%s", reason, *said ? ": " : "", said);
}

/* --- the thread's own --- */

/* At the end of a thread: the closed stdin tells the process that there is no more; it gets time to
 * act on it. */
static void close_slot(void *arg)
{
    stream *s = arg;
    char status[CHILD_STATUS_TEXT], said[ERRORS_TEXT];
    int64_t until = clock_ms() + s->how->kill_after_ms;
    if (s->running) {
        child_close(&s->c.in);
        while (!child_gone(&s->c) && clock_ms() < until) {
            struct pollfd fds[] = {{.fd = s->c.pid_fd, .events = POLLIN}, {.fd = s->c.out, .events = POLLIN}};
            int64_t look = clock_ms() + CHILD_LOOK_MS;
            if (watch_wait(NULL, fds, 2, s->c.pid_fd < 0 && look < until ? look : until) != WATCH_NOTHING)
                break;
            buf_clear(&s->heard);
            if (s->c.out >= 0 && !hear(s))
                child_close(&s->c.out);
        }
        finish(s, !child_gone(&s->c), status, said);
    }
    buf_free(&s->heard);
    free(s);
}

static stream *slot(const command *how)
{
    stream *s = pthread_getspecific(slot_key);
    if (s)
        return s;
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->how = how;
    if (pthread_setspecific(slot_key, s) == 0)
        return s;
    free(s);
    return NULL;
}

void stream_end(void)
{
    stream *s = pthread_getspecific(slot_key);
    if (s && pthread_setspecific(slot_key, NULL) == 0)
        close_slot(s);
}

bool stream_setup(void)
{
    return pthread_key_create(&slot_key, close_slot) == 0;
}

int stream_handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    stream *s = slot(arg);
    if (!s)
        return verdict_fail(q, "out of memory");
    if (stop_is_urgent())
        return verdict_fail(q, "%s", watch_reason(WATCH_STOPPED));
    watch_hold hold = watch_held(q, conn, s->how->leased);
    const char *why = get_ready(s, q, &hold);
    if (why)
        return verdict_fail(q, "cannot hand the message to %s: %s", s->how->path, why);
    return hand_over(s, q, &hold, m);
}
