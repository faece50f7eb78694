/* SPDX-License-Identifier: MIT */
/* One child a message. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SH "--", "sh", "-c"

static void assert_line(const char *text, const char *line)
{
    char with_breaks[512];
    snprintf(with_breaks, sizeof with_breaks, "\n%s\n", line);
    if (!strstr(text, with_breaks))
        fail_msg("no line \"%s\" in:\n%.4000s", line, text);
}

static void payload_and_environment(void **state)
{
    fixture *f = *state;
    char line[128];
    const char *headers =
        "{\"to\": \"a@b.de\", \"x-n\":12345678901234567890123.50, \"deep\": {\"a\": [1, \"}\"]},"
        " \"none\":null, \"ok\":true, \"quote\": \"say \\\"\\u00fc\\\"\", \"nul\": \"a\\u0000b\","
        " \"X-N2\":1, \"x_n2\" : 2}";
    setenv("PGQ_ID", "stale", 1);
    setenv("PGQ_HEADER_STALE", "stale", 1);
    setenv("PGQ_LAST_ERROR", "stale", 1);
    setenv("NOTIFY_SOCKET", "/nowhere", 1);
    int64_t id = send_as(f, PGQ_TEXT, "hello\n", 6, headers);
    process *p = listen_start(f, "--drain", SH, "cat > $T/payload; (echo; env) > $T/env; echo out", NULL);
    unsetenv("PGQ_ID");
    unsetenv("PGQ_HEADER_STALE");
    unsetenv("PGQ_LAST_ERROR");
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(listen_wait(p), 0);
    assert_true(counts_are(f, 0, 0));
    char *payload = slurp_in(f, "payload");
    assert_string_equal(payload, "hello\n");
    free(payload);
    char *env = slurp_in(f, "env");
    snprintf(line, sizeof line, "PGQ_ID=%lld", (long long)id);
    assert_line(env, line);
    snprintf(line, sizeof line, "PGQ_NAMESPACE=%s", f->name_space);
    assert_line(env, line);
    char *at = strstr(env, "\nPGQ_HEADERS=");
    assert_non_null(at);
    assert_memory_equal(at + strlen("\nPGQ_HEADERS="), headers, strlen(headers));
    assert_line(env, "PGQ_QUEUE=" QUEUE);
    assert_line(env, "PGQ_ATTEMPT=1");
    assert_line(env, "PGQ_KIND=text");
    assert_line(env, "PGQ_PRIORITY=999");
    assert_line(env, "PGQ_ERRORS=0");
    assert_line(env, "PGQ_HEADER_TO=a@b.de");
    assert_line(env, "PGQ_HEADER_X_N=12345678901234567890123.50");
    assert_line(env, "PGQ_HEADER_OK=true");
    assert_line(env, "PGQ_HEADER_QUOTE=say \"\xc3\xbc\"");
    assert_line(env, "PGQ_HEADER_X_N2=2");
    assert_null(strstr(env, "PGQ_HEADER_X_N2=1"));
    assert_null(strstr(env, "PGQ_HEADER_DEEP"));
    assert_null(strstr(env, "PGQ_HEADER_NONE"));
    assert_null(strstr(env, "PGQ_HEADER_NUL"));
    assert_null(strstr(env, "PGQ_LAST_ERROR"));
    assert_null(strstr(env, "NOTIFY_SOCKET"));
    assert_null(strstr(env, "stale"));
    at = strstr(env, "\nPGQ_ENQUEUED=");
    assert_non_null(at);
    int y, mo, d, h, mi, s, us, n = 0;
    assert_int_equal(
        sscanf(at, "\nPGQ_ENQUEUED=%4d-%2d-%2dT%2d:%2d:%2d.%6dZ%n", &y, &mo, &d, &h, &mi, &s, &us, &n), 7);
    assert_int_equal(n, (int)strlen("\nPGQ_ENQUEUED=2026-11-21T10:00:00.123456Z"));
    assert_true(y >= 2024);
    free(env);
    assert_holds(p->out, "out\n");
    assert_holds(p->err, " done queue=" QUEUE " id=");
    assert_holds(p->err, " attempt=1 ms=");
}

static void namespace_from_the_environment(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    setenv("PGQ_NAMESPACE", f->name_space, 1);
    process *p =
        listen_start_bare(f, "-d", getenv("PGQ_TEST_DSN"), "-q", QUEUE, "--drain", "--", "true", NULL);
    unsetenv("PGQ_NAMESPACE");
    assert_int_equal(listen_wait(p), 0);
    assert_true(counts_are(f, 0, 0));
}

static void big_payload_arrives_whole(void **state)
{
    fixture *f = *state;
    size_t len = 3000000;
    pgq_attributes any_size = PGQ_ATTRIBUTES_INIT;
    any_size.max_size = -1;
    assert_int_equal(pgq_set_queue(f->q, QUEUE, &any_size, 0), PGQ_OK);
    char *payload = malloc(len);
    assert_non_null(payload);
    for (size_t i = 0; i < len; i++)
        payload[i] = (char)(i * i >> 3);
    send_as(f, PGQ_BINARY, payload, len, NULL);
    process *p = listen_start(f, "--drain", SH, "cat > $T/payload", NULL);
    assert_int_equal(listen_wait(p), 0);
    char path[64];
    snprintf(path, sizeof path, "%s/payload", f->dir);
    FILE *file = fopen(path, "re");
    char *got = calloc(1, len + 1);
    assert_non_null(file);
    assert_non_null(got);
    assert_int_equal(fread(got, 1, len + 1, file), len);
    assert_memory_equal(got, payload, len);
    fclose(file);
    free(got);
    /* And a command that reads none of it, or closes its stdin and goes on, does no wrong. */
    send_as(f, PGQ_BINARY, payload, len, NULL);
    send_as(f, PGQ_BINARY, payload, len, NULL);
    free(payload);
    assert_int_equal(listen_run(f, "--count", "1", "--", "true", NULL), 0);
    assert_int_equal(listen_run(f, "--count", "1", SH, "exec < /dev/null; sleep 0.05", NULL), 0);
    assert_true(counts_are(f, 0, 0));
}

static void failure_tells_status_and_stderr(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p =
        listen_start(f, "--count", "1", SH, "echo first >&2; printf 'no account 17\\n\\n' >&2; exit 3", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_returned(f, 1, 1, "exit status 3: first\nno account 17");
    assert_holds(p->err, "first\nno account 17\n");
    assert_holds(p->err, " failed queue=" QUEUE " id=");
    assert_holds(p->err, "error=\"exit status 3: first\\nno account 17\"");
    /* The next one is told. */
    p = listen_start(f, "--count", "1", SH, "echo $PGQ_ATTEMPT $PGQ_ERRORS \"$PGQ_LAST_ERROR\"", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->out, "2 1 exit status 3: first\nno account 17\n");
}

static void signal_is_a_failure(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    assert_int_equal(listen_run(f, "--count", "1", SH, "echo ouch >&2; kill -9 $$", NULL), 0);
    assert_returned(f, 1, 1, "signal 9: ouch");
}

static void long_stderr_is_cut_at_a_line(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    /* 1000 lines of 21 bytes, in characters of two bytes, so that cuts at any byte would show. */
    process *p = listen_start(
        f, "--count", "1", SH,
        "echo first >&2; i=1000; while [ $i -lt 2000 ]; do echo ${i}üüüüüüüü; i=$((i+1)); done >&2; exit 1",
        NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, "\n1000üüüüüüüü\n");
    assert_int_equal(count_in_file(p->err, "üüüüüüüü\n"), 1000);
    pgq_messages *messages = ready_ones(f);
    const char *error = pgq_messages_get(messages, 0)->last_error;
    const char *kept = strchr(error, ':') + 2;
    assert_int_equal(strncmp(error, "exit status 1: ", 15), 0);
    assert_true(strlen(error) > 800 && strlen(error) <= 1023);
    assert_string_equal(error + strlen(error) - 20, "1999üüüüüüüü");
    assert_int_equal(kept[0], '1');
    assert_int_equal(kept[1], '9');
    assert_int_equal((strlen(kept) + 1) % 21, 0);
    pgq_messages_free(messages);
}

static void stderr_of_any_bytes_becomes_text(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p =
        listen_start(f, "--count", "1", SH, "printf 'a\\377b\\000c\\033[1md\\303' >&2; exit 1", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_returned(f, 1, 1,
                    "exit status 1: a\xef\xbf\xbd"
                    "b c [1md\xef\xbf\xbd");
    /* One long line of characters of three bytes: cut between two of them. */
    assert_int_equal(
        listen_run(f, "--count", "1", SH,
                   "i=0; while [ $i -lt 2000 ]; do printf '\\342\\202\\254' >&2; i=$((i+1)); done; exit 1",
                   NULL),
        0);
    assert_returned(f, 2, 2, "exit status 1: \xe2\x82\xac\xe2\x82\xac");
}

static void timeout_kills_a_stubborn_group(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    int64_t began = now_ms();
    process *p = listen_start(f, "--count", "1", "--timeout", "0.3", "--kill-after", "0.3", SH,
                              "trap '' TERM; echo $$ > $T/pid; (echo stubborn >&2; exec sleep 1000) & "
                              "echo $! > $T/grandchild; while :; do sleep 1000; done",
                              NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_true(now_ms() - began >= 600);
    assert_returned(f, 1, 1, "timeout after 0.3 s: stubborn");
    assert_true(pid_in(f, "pid") > 0);
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    WAIT_FOR(is_gone(pid_in(f, "grandchild")));
}

static void timeout_leaves_time_to_clean_up(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    assert_int_equal(listen_run(f, "--count", "1", "--timeout", "0.2", SH,
                                "trap 'echo cleaned > $T/cleaned; exit 0' TERM; sleep 1000 & wait", NULL),
                     0);
    assert_true(file_in_holds(f, "cleaned", "cleaned"));
    /* Exit status 0 after the time is up is a timeout all the same. */
    assert_returned(f, 1, 1, "timeout after 0.2 s");
}

static void child_starts_with_a_clean_state(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    /* Something that pgq-listen was given by mistake. */
    assert_int_equal(dup2(STDIN_FILENO, 7), 7);
    assert_int_equal(
        listen_run(f, "--drain", SH,
                   "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status > $T/signals; ls /proc/$$/fd > $T/fds; "
                   "cut -d' ' -f1,5 /proc/$$/stat > $T/group; echo $$ $$ >> $T/group",
                   NULL),
        0);
    close(7);
    char *signals = slurp_in(f, "signals");
    assert_non_null(strstr(signals, "SigBlk:\t0000000000000000\n"));
    assert_non_null(strstr(signals, "SigIgn:\t0000000000000000\n"));
    free(signals);
    /* What the shell opens for itself is 10 and up. */
    char *fds = slurp_in(f, "fds");
    int seen = 0;
    for (char *at = fds; *at; at = strchr(at, '\n') + 1) {
        long fd = strtol(at, NULL, 10);
        seen += fd <= 2;
        assert_true(fd <= 2 || fd >= 10);
    }
    assert_int_equal(seen, 3);
    free(fds);
    char *group = slurp_in(f, "group");
    size_t half = strlen(group) / 2;
    assert_memory_equal(group, group + half, half);
    free(group);
}

static void jobs_run_at_once(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 3; i++)
        send_text(f, "x");
    /* Each waits for the others: one after another they would not end. */
    assert_int_equal(
        listen_run(f, "-j", "3", "--drain", SH,
                   "touch $T/at.$PGQ_ID; until [ $(ls $T/at.* | wc -l) = 3 ]; do sleep 0.02; done", NULL),
        0);
    assert_true(counts_are(f, 0, 0));
}

static void killed_in_mid_job(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(
        f, SH, "trap 'echo told > $T/told; exit' TERM; echo $$ > $T/pid; sleep 1000 & wait", NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_true(counts_are(f, 0, 1));
    assert_int_equal(kill(p->pid, SIGKILL), 0);
    assert_int_equal(listen_wait(p), 1000 + SIGKILL);
    /* It is back, and the child was told that its work is not wanted any more. */
    WAIT_FOR(counts_are(f, 1, 0));
    WAIT_FOR(file_in_holds(f, "told", "told"));
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    p = listen_start(f, "--count", "1", SH, "echo attempt=$PGQ_ATTEMPT errors=$PGQ_ERRORS", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->out, "attempt=2 errors=1\n");
}

static void server_gone_in_mid_job(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, SH, "[ -e $T/pid ] && exit 0; echo $$ > $T/pid; sleep 1000", NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_int_equal(terminate_backends(f), 2);
    /* The child is ended, and the message is tried again on a new connection. */
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    WAIT_FOR(file_holds(p->err, " done queue=" QUEUE));
    assert_holds(p->err, "attempt=2");
    /* Said once, or, if the listener was back before the child had ended, once more. */
    WAIT_FOR(file_holds(p->err, " reconnected"));
    WAIT_FOR(count_in_file(p->err, " reconnected") == count_in_file(p->err, " disconnected"));
    assert_in_range(count_in_file(p->err, " disconnected"), 1, 2);
    send_text(f, "y");
    WAIT_FOR(count_in_file(p->err, " done queue=" QUEUE) == 2);
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 0);
}

static void server_gone_while_idle(void **state)
{
    fixture *f = *state;
    process *p = listen_start(f, "-j", "2", "--", "true", NULL);
    WAIT_FOR(connections(f) == 3);
    assert_int_equal(terminate_backends(f), 3);
    WAIT_FOR(file_holds(p->err, " reconnected"));
    send_text(f, "x");
    WAIT_FOR(file_holds(p->err, " done queue=" QUEUE));
    assert_in_range(count_in_file(p->err, " disconnected"), 1, 3);
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 0);
}

static void command_that_cannot_be_run(void **state)
{
    fixture *f = *state;
    char command[64];
    snprintf(command, sizeof command, "%s/command", f->dir);
    FILE *file = fopen(command, "we");
    assert_non_null(file);
    fputs("#!/bin/sh\nrm \"$0\"\n", file);
    fclose(file);
    assert_int_equal(chmod(command, 0700), 0);
    send_text(f, "x");
    send_text(f, "y");
    assert_int_equal(listen_run(f, "--count", "2", "--", command, NULL), 0);
    assert_returned(f, 1, 1, "command: No such file or directory");
}

static void headers_too_large_for_an_environment(void **state)
{
    fixture *f = *state;
    size_t len = 300000;
    char *headers = malloc(len);
    assert_non_null(headers);
    memset(headers, 'x', len);
    memcpy(headers, "{\"a\":\"", 6);
    memcpy(headers + len - 3, "\"}", 3);
    send_as(f, PGQ_TEXT, "x", 1, headers);
    free(headers);
    assert_int_equal(listen_run(f, "--count", "1", "--", "true", NULL), 0);
    assert_returned(f, 1, 1, "Argument list too long");
}

static void stderr_is_wrapped_in_json(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, "--count", "1", "--log-format", "json", SH,
                              "printf 'say \"a\"\\nb' >&2; exit 1", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, "\"event\":\"stderr\",\"queue\":\"" QUEUE "\",\"id\":");
    assert_holds(p->err, "\"text\":\"say \\\"a\\\"\"}\n");
    assert_holds(p->err, "\"text\":\"b\"}\n");
    assert_holds(p->err, "\"error\":\"exit status 1: say \\\"a\\\"\\nb\"}\n");
    char *all = slurp(p->err);
    for (char *line = all, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        assert_true(strncmp(line, "{\"time\":\"20", 11) == 0 && end[-1] == '}');
    free(all);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(payload_and_environment),
        TEST(namespace_from_the_environment),
        TEST(big_payload_arrives_whole),
        TEST(failure_tells_status_and_stderr),
        TEST(signal_is_a_failure),
        TEST(long_stderr_is_cut_at_a_line),
        TEST(stderr_of_any_bytes_becomes_text),
        TEST(timeout_kills_a_stubborn_group),
        TEST(timeout_leaves_time_to_clean_up),
        TEST(child_starts_with_a_clean_state),
        TEST(jobs_run_at_once),
        TEST(killed_in_mid_job),
        TEST(server_gone_in_mid_job),
        TEST(server_gone_while_idle),
        TEST(command_that_cannot_be_run),
        TEST(headers_too_large_for_an_environment),
        TEST(stderr_is_wrapped_in_json),
    };
    need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
