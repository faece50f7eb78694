/* SPDX-License-Identifier: MIT */
/* sd_notify, with the test as the service manager. */
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket bound to a path of the fixture's or, after @, to an abstract name; NOTIFY_SOCKET names it. */
static int manager(fixture *f, bool abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[80];
    snprintf(path, sizeof path, "%s%s/notify", abstract ? "@" : "", f->dir);
    memcpy(address.sun_path, path, strlen(path));
    if (abstract)
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + (abstract ? 0 : 1));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    return fd;
}

/* Reads until a datagram contains a text. */
static void expect(int fd, const char *text)
{
    char got[512];
    int64_t until = now_ms() + DEADLINE_MS;
    do {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now_ms() > until || poll(&p, 1, DEADLINE_MS) != 1)
            fail_msg("no datagram with %s", text);
        ssize_t n = recv(fd, got, sizeof got - 1, 0);
        assert_true(n >= 0);
        got[n] = '\0';
    } while (!strstr(got, text));
}

static void ready_status_and_stopping(fixture *f, bool abstract)
{
    int fd = manager(f, abstract);
    process *p = listen_start(f, "--notify", "--", "true", NULL);
    expect(fd, "READY=1\nSTATUS=working: 0 done, 0 failed");
    WAIT_FOR(connections(f) == 2);
    assert_int_equal(terminate_backends(f), 2);
    expect(fd, "STATUS=waiting for the server");
    expect(fd, "STATUS=working");
    kill(p->pid, SIGTERM);
    expect(fd, "STOPPING=1\nSTATUS=stopping");
    assert_int_equal(listen_wait(p), 0);
    close(fd);
    unsetenv("NOTIFY_SOCKET");
}

static void by_a_path(void **state)
{
    ready_status_and_stopping(*state, false);
}

static void by_an_abstract_name(void **state)
{
    ready_status_and_stopping(*state, true);
}

static void counts_are_told(void **state)
{
    fixture *f = *state;
    char status[64];
    int fd = manager(f, false);
    process *p = listen_start(f, "--notify", "--", "true", NULL);
    expect(fd, "READY=1");
    /* At most one in a second: the first after that time tells of all before it. */
    int sent = 0;
    struct pollfd next = {.fd = fd, .events = POLLIN};
    for (bool told = false; !told && sent < 100; sent++) {
        send_text(f, "x");
        told = poll(&next, 1, 100) == 1;
    }
    expect(fd, " done, 0 failed");
    WAIT_FOR(count_in_file(p->err, " done queue=") == sent);
    kill(p->pid, SIGTERM);
    snprintf(status, sizeof status, "STATUS=stopping: %d done, 0 failed", sent);
    expect(fd, status);
    assert_int_equal(listen_wait(p), 0);
    close(fd);
    unsetenv("NOTIFY_SOCKET");
}

static void watchdog_is_pinged(void **state)
{
    fixture *f = *state;
    int fd = manager(f, false);
    setenv("WATCHDOG_USEC", "200000", 1);
    process *p = listen_start(f, "--notify", "--", "true", NULL);
    expect(fd, "WATCHDOG=1");
    int64_t began = now_ms();
    for (int i = 0; i < 5; i++)
        expect(fd, "WATCHDOG=1");
    /* Each 100 ms, and no more often. */
    assert_true(now_ms() - began >= 400);
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 0);
    /* Meant for another process. */
    setenv("WATCHDOG_PID", "1", 1);
    p = listen_start(f, "--notify", "--drain", "--", "sleep", "0.5", NULL);
    assert_int_equal(listen_wait(p), 0);
    char got[512];
    ssize_t n;
    bool second = false;
    while ((n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT)) > 0) {
        got[n] = '\0';
        second = second || strstr(got, "READY=1");
        assert_false(second && strstr(got, "WATCHDOG=1"));
    }
    assert_true(second);
    close(fd);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    unsetenv("NOTIFY_SOCKET");
}

static void nobody_to_notify(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(listen_run(f, "--notify", "--drain", "--", "true", NULL), 0);
    /* A manager that is not there. */
    setenv("NOTIFY_SOCKET", "/nowhere/socket", 1);
    assert_int_equal(listen_run(f, "--notify", "--drain", "--", "true", NULL), 0);
    /* An address that is none. */
    setenv("NOTIFY_SOCKET", "nowhere", 1);
    process *p = listen_start(f, "--notify", "--drain", "--", "true", NULL);
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(listen_wait(p), 1);
    assert_holds(p->err, "is not allowed: a path of at most 107 bytes is, from / or @");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(by_a_path),          TEST(by_an_abstract_name), TEST(counts_are_told),
        TEST(watchdog_is_pinged), TEST(nobody_to_notify),
    };
    need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
