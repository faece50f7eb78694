/* SPDX-License-Identifier: MIT */
/* A server that refuses connections: tries and pauses are as many and as long as told. */
#include "support/support.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A port where each connection is taken and closed, and counted. */
typedef struct refuser {
    int fd;
    int port;
    int stop[2];
    int taken;
    pthread_t thread;
} refuser;

static void *refuse(void *arg)
{
    refuser *r = arg;
    struct pollfd fds[2] = {{r->fd, POLLIN, 0}, {r->stop[0], POLLIN, 0}};

    for (;;) {
        int client;

        poll(fds, 2, -1);
        if (fds[1].revents)
            return NULL;
        client = accept(r->fd, NULL, NULL);
        if (client >= 0) {
            r->taken++;
            close(client);
        }
    }
}

static void start(refuser *r)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;

    memset(r, 0, sizeof *r);
    r->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(r->fd >= 0);
    assert_int_equal(bind(r->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(r->fd, 16), 0);
    assert_int_equal(getsockname(r->fd, (struct sockaddr *)&address, &len), 0);
    r->port = ntohs(address.sin_port);
    assert_int_equal(pipe(r->stop), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, refuse, r), 0);
}

static void stop(refuser *r)
{
    assert_int_equal(write(r->stop[1], "", 1), 1);
    pthread_join(r->thread, NULL);
    close(r->fd);
    close(r->stop[0]);
    close(r->stop[1]);
}

static void test_A2_attempts(void **state)
{
    static const struct {
        int attempts, backoff_ms, tries, least_ms;
    } cases[] = {
        {0, 0, 10, 5110}, {1, 500, 1, 0}, {2, 40, 2, 40}, {5, 0, 5, 150}, {4, 20, 4, 140},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
        char conninfo[160];
        int64_t began;
        refuser r;
        pgq *q;

        start(&r);
        snprintf(conninfo, sizeof conninfo,
                 "host=127.0.0.1 port=%d dbname=x user=x sslmode=disable gssencmode=disable", r.port);
        o.connect_attempts = cases[i].attempts;
        o.connect_backoff_ms = cases[i].backoff_ms;
        began = t_now_us();
        assert_int_equal(pgq_open(conninfo, &o, &q), PGQ_CONNECTION);
        assert_true(t_now_us() - began >= cases[i].least_ms * 1000LL);
        stop(&r);
        /* Between two tries the server is asked whether it answers at all. */
        assert_int_equal(r.taken, 2 * cases[i].tries - 1);
        assert_int_equal(pgq_last_error(q)->status, PGQ_CONNECTION);
        assert_int_equal(pgq_last_error(q)->retryable, 1);
        assert_int_equal(pgq_reconnect(q), PGQ_CONNECTION); /* nobody is there at all now */
        assert_true(strlen(pgq_last_error(q)->message) > 0);
        pgq_close(q);
    }
}

/* A server that answers, and says no, is not asked again. */
static void test_A2_refused_for_good(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    char conninfo[512];
    int64_t began = t_now_us();
    pgq *q;

    snprintf(conninfo, sizeof conninfo, "host=%s port=%s user=%s dbname=no-such-database", PQhost(f->sql),
             PQport(f->sql), PQuser(f->sql));
    o.connect_attempts = 3;
    o.connect_backoff_ms = 5000;
    assert_int_equal(pgq_open(conninfo, &o, &q), PGQ_CONNECTION);
    assert_true(t_now_us() - began < 5000000);
    pgq_close(q);
}

/* The first try may fail, and a later one succeed. */
static void test_A2_comes_back(void **state)
{
    fixture *f = *state;
    pgq *q;

    shutdown(PQsocket(pgq_connection(f->q)), SHUT_RDWR);
    assert_status(f->q, pgq_reset(f->q), PGQ_CONNECTION);
    for (int i = 0; i < 3; i++)
        assert_ok(f->q, pgq_reconnect(f->q)); /* also when nothing is wrong */
    assert_ok(f->q, pgq_reset(f->q));
    assert_int_equal(pgq_open("host=/nonexistent-directory", NULL, &q), PGQ_CONNECTION);
    assert_int_equal(pgq_reconnect(q), PGQ_CONNECTION);
    pgq_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_A2_attempts),
        DB_TEST(test_A2_refused_for_good),
        DB_TEST(test_A2_comes_back),
    };

    return RUN_WITH_SERVER(tests);
}
