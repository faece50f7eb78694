/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS    64
#define QUIET_MS 5

struct relay {
    struct sockaddr_storage server;
    socklen_t server_len;
    int door;
    int wake[2]; /* ends the thread */
    char dir[64];
    pthread_t thread;
    _Atomic int64_t trips;
    bool answered[PAIRS]; /* the client has heard the server since it spoke */
};

static char open_dir[64]; /* for relay_remove() */

static struct sockaddr_un socket_in(const char *dir, const char *port)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int n = snprintf(un.sun_path, sizeof un.sun_path, "%s/.s.PGSQL.%s", dir, port);
    if (n < 0 || (size_t)n >= sizeof un.sun_path)
        die("the path of a socket in %s is too long", dir);
    return un;
}

static void find_server(relay *r, const PGconn *conn)
{
    const char *port = PQport(conn) && *PQport(conn) ? PQport(conn) : "5432";
    if (*PQhost(conn) == '/') {
        struct sockaddr_un un = socket_in(PQhost(conn), port);
        memcpy(&r->server, &un, sizeof un);
        r->server_len = sizeof un;
        return;
    }
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const char *host = PQhostaddr(conn) && *PQhostaddr(conn) ? PQhostaddr(conn) : PQhost(conn);
    int fault = getaddrinfo(host, port, &hints, &found);
    if (fault != 0)
        die("%s: %s", host, gai_strerror(fault));
    memcpy(&r->server, found->ai_addr, found->ai_addrlen);
    r->server_len = found->ai_addrlen;
    freeaddrinfo(found);
}

static bool pass(int from, int to)
{
    char bytes[65536];
    ssize_t n = read(from, bytes, sizeof bytes);
    for (ssize_t done = 0, w; done < n; done += w) {
        w = send(to, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
        if (w <= 0)
            return false;
    }
    return n > 0;
}

/* A pipeline is sent in pieces, and its first answers may come between them: the server's words are held back
 * until the client says no more without them. */
static bool hear_out(int client, int server)
{
    struct pollfd more = {.fd = client, .events = POLLIN};
    while (poll(&more, 1, QUIET_MS) > 0) {
        if (!pass(client, server))
            return false;
    }
    return true;
}

/* fds: the door, the wake, and then a client and its server, and so on. */
static void serve(relay *r, struct pollfd *fds, int i)
{
    int slot = (i - 2) / 2;
    bool from_client = i % 2 == 0;
    int other = fds[from_client ? i + 1 : i - 1].fd;
    if (from_client && r->answered[slot])
        r->trips++;
    r->answered[slot] = !from_client;
    if ((from_client || hear_out(other, fds[i].fd)) && pass(fds[i].fd, other))
        return;
    for (int k = 2 + 2 * slot; k < 4 + 2 * slot; k++) {
        close(fds[k].fd);
        fds[k].fd = -1;
        fds[k].revents = 0;
    }
}

static void let_in(relay *r, struct pollfd *fds)
{
    int slot = 0;
    while (slot < PAIRS && fds[2 + 2 * slot].fd >= 0)
        slot++;
    if (slot == PAIRS)
        die("too many connections through the relay");
    int in = accept4(r->door, NULL, NULL, SOCK_CLOEXEC);
    int out = socket(r->server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (in < 0 || out < 0 || connect(out, (const struct sockaddr *)&r->server, r->server_len) != 0)
        die("the relay cannot reach the server");
    fds[2 + 2 * slot].fd = in;
    fds[3 + 2 * slot].fd = out;
    r->answered[slot] = false;
}

static void *relay_main(void *arg)
{
    relay *r = arg;
    struct pollfd fds[2 + 2 * PAIRS];
    for (int i = 0; i < 2 + 2 * PAIRS; i++)
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    fds[0].fd = r->door;
    fds[1].fd = r->wake[0];
    while (!fds[1].revents) {
        if (poll(fds, 2 + 2 * PAIRS, -1) < 0)
            continue;
        for (int i = 2; i < 2 + 2 * PAIRS; i++) {
            if (fds[i].fd >= 0 && fds[i].revents)
                serve(r, fds, i);
        }
        if (fds[0].revents)
            let_in(r, fds);
    }
    for (int i = 2; i < 2 + 2 * PAIRS; i++) {
        if (fds[i].fd >= 0)
            close(fds[i].fd);
    }
    return NULL;
}

relay *relay_open(const bench *b)
{
    relay *r = allocate(1, sizeof *r);
    const char *parent = getenv("TMPDIR");
    if (!parent || !*parent || strlen(parent) > 40)
        parent = "/tmp";
    find_server(r, b->control);
    snprintf(r->dir, sizeof r->dir, "%s/pgq-bench.XXXXXX", parent);
    if (!mkdtemp(r->dir))
        die("a directory in %s could not be made", parent);
    snprintf(open_dir, sizeof open_dir, "%s", r->dir);
    struct sockaddr_un here = socket_in(r->dir, "5432");
    r->door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->door < 0 || bind(r->door, (struct sockaddr *)&here, sizeof here) != 0 ||
        listen(r->door, PAIRS) != 0 || pipe(r->wake) != 0)
        die("a socket in %s could not be opened", r->dir);
    if (pthread_create(&r->thread, NULL, relay_main, r) != 0)
        die("a thread could not be started");
    return r;
}

const char *relay_dir(const relay *r)
{
    return r->dir;
}

int64_t relay_trips(const relay *r)
{
    return r->trips;
}

void relay_remove(void)
{
    if (*open_dir) {
        struct sockaddr_un here = socket_in(open_dir, "5432");
        unlink(here.sun_path);
        rmdir(open_dir);
        *open_dir = '\0';
    }
}

void relay_close(relay *r)
{
    if (write(r->wake[1], "", 1) != 1)
        die("the relay could not be stopped");
    pthread_join(r->thread, NULL);
    close(r->door);
    close(r->wake[0]);
    close(r->wake[1]);
    relay_remove();
    free(r);
}
