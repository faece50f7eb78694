/* SPDX-License-Identifier: MIT */
/* beanstalkd, by its protocol over a Unix socket. It has no batches: the commands of one are sent at once,
 * and then the answers are read. */
#include "driver.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PUT_HEAD     "put 0 0 30 64\r\n"
#define LINE_MAX_LEN 512

_Static_assert(PAYLOAD_LEN == 64, "the length stands in PUT_HEAD");

struct client {
    int fd;
    size_t from, to; /* what has been received and not read */
    char in[65536];
    char out[FILL_BATCH * (sizeof PUT_HEAD + PAYLOAD_LEN + 2)];
};

static const char *lacks(const char *name)
{
    return strncmp(name, "pop", 3) == 0 ? "always deletes a job by a command of its own" : NULL;
}

static void prepare(const char *where)
{
    (void)where; /* a tube is there when it is first used, and "default" always */
}

static void *open_client(const char *where)
{
    struct client *c = must_alloc(sizeof *c);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(where) >= sizeof address.sun_path)
        fail("the path of the socket is too long: %s", where);
    memcpy(address.sun_path, where, strlen(where));
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("%s: %s", where, strerror(errno));
    return c;
}

static void close_client(void *client)
{
    struct client *c = client;

    close(c->fd);
    free(c);
}

static void put(struct client *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(c->fd, data, len);

        if (n < 0)
            fail("write: %s", strerror(errno));
        data += n;
        len -= (size_t)n;
    }
}

static char next_char(struct client *c)
{
    if (c->from == c->to) {
        ssize_t n = read(c->fd, c->in, sizeof c->in);

        if (n <= 0)
            fail("read: %s", n < 0 ? strerror(errno) : "beanstalkd has closed the connection");
        c->from = 0;
        c->to = (size_t)n;
    }
    return c->in[c->from++];
}

/* One line without its end. */
static void get_line(struct client *c, char line[LINE_MAX_LEN])
{
    size_t len = 0;

    for (char ch = next_char(c); ch != '\n'; ch = next_char(c)) {
        if (ch != '\r' && len < LINE_MAX_LEN - 1)
            line[len++] = ch;
    }
    line[len] = '\0';
}

static void expect(struct client *c, const char *answer)
{
    char line[LINE_MAX_LEN];

    get_line(c, line);
    if (strncmp(line, answer, strlen(answer)) != 0)
        fail("beanstalkd said %s where %s was expected", line, answer);
}

static void send_messages(void *client, int n)
{
    static const char one[] = PUT_HEAD PAYLOAD "\r\n";
    struct client *c = client;

    for (int i = 0; i < n; i++)
        memcpy(c->out + (size_t)i * (sizeof one - 1), one, sizeof one - 1);
    put(c, c->out, (size_t)n * (sizeof one - 1));
    for (int i = 0; i < n; i++)
        expect(c, "INSERTED");
}

/* The id of a reserved job; 0: there was none. */
static unsigned long long reserved(struct client *c)
{
    char line[LINE_MAX_LEN];
    unsigned long long id;
    size_t len;

    get_line(c, line);
    if (strcmp(line, "TIMED_OUT") == 0)
        return 0;
    if (sscanf(line, "RESERVED %llu %zu", &id, &len) != 2)
        fail("beanstalkd said %s where RESERVED was expected", line);
    for (size_t i = 0; i < len + 2; i++)
        next_char(c);
    return id;
}

static int take(void *client, int n, enum mode mode)
{
    static const char reserve[] = "reserve-with-timeout 0\r\n";
    unsigned long long ids[BATCH];
    struct client *c = client;
    size_t len = 0;
    int count = 0;

    (void)mode;
    for (int i = 0; i < n; i++, len += sizeof reserve - 1)
        memcpy(c->out + len, reserve, sizeof reserve - 1);
    put(c, c->out, len);
    for (int i = 0; i < n; i++) {
        ids[count] = reserved(c);
        count += ids[count] != 0;
    }
    len = 0;
    for (int i = 0; i < count; i++)
        len += (size_t)snprintf(c->out + len, sizeof c->out - len, "delete %llu\r\n", ids[i]);
    put(c, c->out, len);
    for (int i = 0; i < count; i++)
        expect(c, "DELETED");
    return count;
}

/* --- one that waits --- */

static pthread_t listener_thread;
static struct client *listener;

static void *listen_for_jobs(void *arg)
{
    static const char reserve[] = "reserve\r\n";
    struct client *c = arg;
    char line[LINE_MAX_LEN];

    for (;;) {
        unsigned long long id;
        int len;

        put(c, reserve, sizeof reserve - 1);
        id = reserved(c);
        handled();
        len = snprintf(line, sizeof line, "delete %llu\r\n", id);
        put(c, line, (size_t)len);
        expect(c, "DELETED");
    }
    return NULL;
}

static void start_listener(const char *where)
{
    listener = open_client(where);
    if (pthread_create(&listener_thread, NULL, listen_for_jobs, listener) != 0)
        fail("no thread could be started");
}

static void stop_listener(void)
{
    pthread_cancel(listener_thread); /* it waits in read(), with nothing in its hands */
    pthread_join(listener_thread, NULL);
    close_client(listener);
}

int main(int argc, char **argv)
{
    static const struct peer peer = {
        .lacks = lacks,
        .prepare = prepare,
        .open = open_client,
        .close = close_client,
        .send = send_messages,
        .take = take,
        .start_listener = start_listener,
        .stop_listener = stop_listener,
    };

    return drive(&peer, argc, argv);
}
