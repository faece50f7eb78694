/* SPDX-License-Identifier: MIT */
/* A queue in an event loop of one's own: one thread, one poll(). What is typed is sent to the queue,
 * and what comes from the queue is printed, whoever sent it. Ends when its input does, or the namespace is
 * shut down, and nothing is left. */
#include <errno.h>
#include <pgq/pgq.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUEUE "lines"

static int print(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    (void)q;
    (void)conn;
    (void)arg;
    printf("%lld: %s\n", (long long)message->id, (const char *)message->payload);
    return fflush(stdout) == 0 ? 0 : pgq_fail(q, "cannot write");
}

/* READY: take what is there. */
static pgq_status take(pgq *q, pgq_listener *listener)
{
    pgq_status status;

    while ((status = pgq_dequeue(q, QUEUE, print, NULL)) == PGQ_OK || status == PGQ_FAILED)
        pgq_listener_busy(listener);
    return status == PGQ_EMPTY ? PGQ_OK : status;
}

/* Sends the whole lines of what can be read now. 0 at the end of the input. */
static int send_lines(pgq *q, pgq_status *status)
{
    static char line[4096];
    static size_t have;
    ssize_t n = read(STDIN_FILENO, line + have, sizeof line - have);
    char *end;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 1;
    have += n > 0 ? (size_t)n : 0;
    while (*status == PGQ_OK && (end = memchr(line, '\n', have)) != NULL) {
        size_t len = (size_t)(end - line);
        *status = pgq_enqueue(q, QUEUE, line, len, NULL, NULL);
        have -= len + 1;
        memmove(line, end + 1, have);
    }
    if (*status == PGQ_OK && have > 0 && (n <= 0 || have == sizeof line)) {
        *status = pgq_enqueue(q, QUEUE, line, have, NULL, NULL);
        have = 0;
    }
    return n > 0;
}

static pgq_status loop(pgq *q, pgq_listener *listener)
{
    pgq_status status = PGQ_OK;
    int open = 1;

    while (status == PGQ_OK && open) {
        pgq_status now = pgq_listener_process(listener);
        int events = pgq_listener_events(listener);
        struct pollfd fds[2];

        if (now == PGQ_READY) {
            status = take(q, listener);
            continue; /* process() again: nothing was left */
        }
        if (now == PGQ_SHUTDOWN)
            break;
        if (now < 0) /* it tries again by itself */
            fprintf(stderr, "listener: %s\n", pgq_listener_last_error(listener)->message);
        fds[0].fd = pgq_listener_fd(listener);
        fds[0].events =
            (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
        fds[1].fd = STDIN_FILENO;
        fds[1].events = POLLIN;
        fds[1].revents = 0;
        if (poll(fds, 2, pgq_listener_timeout_ms(listener)) > 0 && fds[1].revents)
            open = send_lines(q, &status);
    }
    return status == PGQ_OK ? take(q, listener) : status;
}

int main(void)
{
    static const char *const queues[] = {QUEUE};
    pgq *q = NULL;
    pgq_listener *listener = NULL;
    pgq_status status = pgq_open("", NULL, &q);

    if (status == PGQ_OK)
        status = pgq_install(q);
    if (status == PGQ_OK)
        status = pgq_create_queue(q, QUEUE, NULL, 1);
    if (status == PGQ_OK && pgq_listener_open("", queues, 1, NULL, &listener) != PGQ_OK)
        fprintf(stderr, "listener: %s\n", pgq_listener_last_error(listener)->message);
    else if (status == PGQ_OK)
        status = loop(q, listener);
    if (status != PGQ_OK)
        fprintf(stderr, "%s\n", pgq_last_error(q)->message);
    pgq_listener_close(listener);
    pgq_close(q);
    return status == PGQ_OK ? 0 : 1;
}
