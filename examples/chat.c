/* SPDX-License-Identifier: MIT */
/* A chat: what is typed is published to a topic, and everybody in it sees everybody's lines.
 *
 *     chat NAME [ROOM]
 *
 * One thread, one poll(). Ends with its input, at Ctrl-C, or when the namespace is shut down. */
#include <errno.h>
#include <pgq/pgq.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int stop_pipe[2];

static void on_signal(int number)
{
    ssize_t written = write(stop_pipe[1], "", 1);

    (void)number;
    (void)written;
}

static int catch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    return pipe(stop_pipe) == 0 && sigaction(SIGINT, &action, NULL) == 0 &&
           sigaction(SIGTERM, &action, NULL) == 0;
}

/* Prints what has come since the last time. */
static pgq_status print_new(pgq_subscriber *subscriber)
{
    pgq_messages *messages;
    pgq_status status;

    while ((status = pgq_topic_next(subscriber, 100, &messages)) == PGQ_OK) {
        for (size_t i = 0; i < pgq_messages_count(messages); i++)
            printf("%s\n", (const char *)pgq_messages_get(messages, i)->payload);
        pgq_messages_free(messages);
    }
    if (pgq_topic_trimmed(subscriber))
        printf("(older lines are gone)\n");
    fflush(stdout);
    return status == PGQ_EMPTY ? PGQ_OK : status;
}

static pgq_status say(pgq *q, const char *room, const char *name, const char *line, size_t len)
{
    pgq_publish_options options = PGQ_PUBLISH_OPTIONS_INIT;
    char text[4352];
    int n = snprintf(text, sizeof text, "%s: %.*s", name, (int)len, line);

    options.kind = PGQ_TEXT;
    return pgq_topic_publish(q, room, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1, &options,
                             NULL);
}

/* Publishes the whole lines of what can be read now. 0 at the end of the input. */
static int say_lines(pgq *q, const char *room, const char *name, pgq_status *status)
{
    static char lines[4096];
    static size_t have;
    ssize_t n = read(STDIN_FILENO, lines + have, sizeof lines - have);
    char *end;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 1;
    have += n > 0 ? (size_t)n : 0;
    while (*status == PGQ_OK && (end = memchr(lines, '\n', have)) != NULL) {
        size_t len = (size_t)(end - lines);

        *status = say(q, room, name, lines, len);
        have -= len + 1;
        memmove(lines, end + 1, have);
    }
    if (*status == PGQ_OK && have > 0 && (n <= 0 || have == sizeof lines)) {
        *status = say(q, room, name, lines, have);
        have = 0;
    }
    return n > 0;
}

static pgq_status chat(pgq *q, pgq_listener *listener, pgq_subscriber *subscriber, const char *room,
                       const char *name)
{
    pgq_status status = PGQ_OK;
    int open = 1;

    while (status == PGQ_OK && open) {
        pgq_status now = pgq_listener_process(listener);
        int events = pgq_listener_events(listener);
        struct pollfd fds[3] = {
            {pgq_listener_fd(listener), 0, 0}, {STDIN_FILENO, POLLIN, 0}, {stop_pipe[0], POLLIN, 0}};

        if (now == PGQ_SHUTDOWN)
            break;
        if (now == PGQ_READY) {
            status = print_new(subscriber);
            continue; /* process() again: nothing was left */
        }
        if (now < 0) /* it tries again by itself */
            fprintf(stderr, "listener: %s\n", pgq_listener_last_error(listener)->message);
        fds[0].events =
            (short)((events & PGQ_EVENT_READ ? POLLIN : 0) | (events & PGQ_EVENT_WRITE ? POLLOUT : 0));
        if (poll(fds, 3, pgq_listener_timeout_ms(listener)) <= 0)
            continue;
        if (fds[1].revents)
            open = say_lines(q, room, name, &status);
        if (fds[2].revents)
            open = 0;
    }
    return status == PGQ_OK ? print_new(subscriber) : status;
}

int main(int argc, char **argv)
{
    const char *const rooms[] = {argc == 3 ? argv[2] : "chat"};
    pgq_listener_options options = PGQ_LISTENER_OPTIONS_INIT;
    pgq *q = NULL;
    pgq_listener *listener = NULL;
    pgq_subscriber *subscriber = NULL;
    pgq_status status;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: chat NAME [ROOM]\n");
        return 2;
    }
    if (!catch_signals()) {
        perror("chat");
        return 1;
    }
    options.topics = rooms;
    options.topic_count = 1;
    status = pgq_open("", NULL, &q);
    if (status == PGQ_OK)
        status = pgq_install(q);
    if (status == PGQ_OK)
        status = pgq_topic_subscribe(q, rooms[0], NULL, &subscriber); /* from now on */
    if (status == PGQ_OK && pgq_listener_open("", NULL, 0, &options, &listener) != PGQ_OK)
        fprintf(stderr, "listener: %s\n", pgq_listener_last_error(listener)->message);
    else if (status == PGQ_OK)
        status = chat(q, listener, subscriber, rooms[0], argv[1]);
    if (status != PGQ_OK)
        fprintf(stderr, "%s\n", pgq_last_error(q)->message);
    pgq_listener_close(listener);
    pgq_subscriber_free(subscriber);
    pgq_close(q);
    return status == PGQ_OK ? 0 : 1;
}
