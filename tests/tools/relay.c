/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT  "5432" /* part of the socket's name */
#define PAIRS 16

typedef struct target {
    struct sockaddr_storage address;
    socklen_t len;
} target;

static target socket_in(const char *dir, const char *port)
{
    target t = {0};
    struct sockaddr_un *un = (struct sockaddr_un *)&t.address;
    un->sun_family = AF_UNIX;
    int n = snprintf(un->sun_path, sizeof un->sun_path, "%s/.s.PGSQL.%s", dir, port);
    assert_true(n > 0 && (size_t)n < sizeof un->sun_path);
    t.len = sizeof *un;
    return t;
}

/* Where the fixture's handle is connected to. */
static target server_of(fixture *f)
{
    PGconn *conn = pgq_connection(f->q);
    if (*PQhost(conn) == '/')
        return socket_in(PQhost(conn), PQport(conn));
    target t = {0};
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const char *host = *PQhostaddr(conn) ? PQhostaddr(conn) : PQhost(conn);
    assert_int_equal(getaddrinfo(host, PQport(conn), &hints, &found), 0);
    memcpy(&t.address, found->ai_addr, found->ai_addrlen);
    t.len = found->ai_addrlen;
    freeaddrinfo(found);
    return t;
}

/* --- the process; it ends when its parent does --- */

static bool pass(int from, int to)
{
    char bytes[8192];
    ssize_t n = read(from, bytes, sizeof bytes);
    for (ssize_t done = 0, w; done < n; done += w) {
        w = write(to, bytes + done, (size_t)(n - done));
        if (w <= 0)
            return false;
    }
    return n > 0;
}

static _Noreturn void relay(int door, const target *server)
{
    struct pollfd fds[1 + 2 * PAIRS];
    for (int i = 0; i < 1 + 2 * PAIRS; i++)
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    fds[0].fd = door;
    for (;;) {
        if (poll(fds, 1 + 2 * PAIRS, -1) < 0)
            continue;
        for (int i = 1; i < 1 + 2 * PAIRS; i++) {
            int other = (i - 1) % 2 == 0 ? i + 1 : i - 1;
            if (fds[i].fd < 0 || !fds[i].revents || pass(fds[i].fd, fds[other].fd))
                continue;
            close(fds[i].fd);
            close(fds[other].fd);
            fds[i].fd = fds[other].fd = -1;
            fds[other].revents = 0;
        }
        int slot = 1;
        while (slot < 1 + 2 * PAIRS && fds[slot].fd >= 0)
            slot += 2;
        if (!fds[0].revents || slot >= 1 + 2 * PAIRS)
            continue;
        int in = accept4(door, NULL, NULL, SOCK_CLOEXEC);
        int out = socket(server->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (in < 0 || connect(out, (const struct sockaddr *)&server->address, server->len) != 0)
            _exit(1);
        fds[slot].fd = in;
        fds[slot + 1].fd = out;
        fds[slot].revents = fds[slot + 1].revents = 0;
    }
}

/* --- its parent's side --- */

/* As a value of a conninfo string. */
static size_t add_value(char *conninfo, size_t n, const char *key, const char *value)
{
    n += (size_t)snprintf(conninfo + n, RELAY_CONNINFO - n, " %s='", key);
    for (; *value && n < RELAY_CONNINFO - 4; value++) {
        if (*value == '\'' || *value == '\\')
            conninfo[n++] = '\\';
        conninfo[n++] = *value;
    }
    conninfo[n++] = '\'';
    conninfo[n] = '\0';
    return n;
}

pid_t relay_start(fixture *f, char conninfo[RELAY_CONNINFO])
{
    PGconn *conn = pgq_connection(f->q);
    target server = server_of(f);
    target here = socket_in(f->dir, PORT);
    int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&here.address, here.len), 0);
    assert_int_equal(listen(door, PAIRS), 0);
    size_t n = add_value(conninfo, 0, "host", f->dir);
    n = add_value(conninfo, n, "port", PORT);
    n = add_value(conninfo, n, "user", PQuser(conn));
    n = add_value(conninfo, n, "dbname", PQdb(conn));
    if (PQpass(conn))
        add_value(conninfo, n, "password", PQpass(conn));
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        if (getppid() != parent)
            _exit(1);
        relay(door, &server);
    }
    close(door);
    return pid;
}

void relay_end(pid_t relay)
{
    kill(relay, SIGKILL);
    waitpid(relay, NULL, 0);
}
