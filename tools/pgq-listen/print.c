/* SPDX-License-Identifier: MIT */
#include "print.h"

#include "buf.h"
#include "clock.h"
#include "log.h"
#include "message_json.h"
#include "stop.h"
#include "verdict.h"
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t stdout_lock = PTHREAD_MUTEX_INITIALIZER;

/* How much to write at once: the whole line, but to a pipe no more than surely fits once poll() has
 * said that it is writable; a write that blocks could not be called off. */
static size_t piece(size_t left)
{
    struct stat st;
    if (left <= PIPE_BUF ||
        (fstat(STDOUT_FILENO, &st) == 0 && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)))
        return left;
    return PIPE_BUF;
}

/* 0, an errno, or -1 when *event says what kept it from being written. */
static int write_line(const watch_hold *hold, const char *p, size_t left, watch_event *event)
{
    while (left > 0) {
        struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
        *event = watch_wait(hold, &fd, 1, CLOCK_NEVER);
        if (*event != WATCH_NOTHING)
            return -1;
        if (!fd.revents)
            continue;
        ssize_t n = write(STDOUT_FILENO, p, piece(left));
        if (n >= 0) {
            p += n;
            left -= (size_t)n;
            hold = NULL; /* half a line would spoil the next one: end it, though the message is lost */
        } else if (errno != EINTR && errno != EAGAIN) {
            return errno;
        }
    }
    return 0;
}

int print_handle(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    buf line = {0};
    watch_event event = WATCH_NOTHING;
    const print_how *how = arg;
    watch_hold hold = watch_held(q, conn, how->leased);
    int why = ENOMEM;
    message_line(&line, m, how->of_topic);
    pthread_mutex_lock(&stdout_lock);
    bool broken = stop_has_failed();
    if (!line.failed && !broken)
        why = write_line(&hold, line.data, line.len, &event);
    if (!broken && why > 0) {
        log_note("error", "cannot write to stdout: %s", strerror(why));
        stop_for_failure();
    }
    pthread_mutex_unlock(&stdout_lock);
    buf_free(&line);
    if (broken)
        return verdict_fail(q, "stdout of pgq-listen is broken");
    if (why < 0)
        return verdict_fail(q, "%s", watch_reason(event));
    return why == 0 ? 0 : verdict_fail(q, "pgq-listen cannot write to stdout: %s", strerror(why));
}
