/* SPDX-License-Identifier: MIT */
/* A child that is kept: a line in, a line out. */
#include "harness.h"

#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define STREAM "--stream", "--", "sh", "-c"

/* Says that all is well, for as long as it is asked. */
#define OBEY "while read -r line; do printf '%s\\n' \"$line\" >> $T/lines; echo '{\"ok\":true}'; done"

static void stop(process *p)
{
    assert_int_equal(kill(p->pid, SIGTERM), 0);
    assert_int_equal(listen_wait(p), 0);
}

static struct json_object *member(struct json_object *o, const char *name)
{
    struct json_object *m = NULL;
    if (!json_object_object_get_ex(o, name, &m))
        fail_msg("no member %s", name);
    return m;
}

/* Line number n of $T/lines, parsed. */
static struct json_object *line(fixture *f, int n)
{
    char *all = slurp_in(f, "lines");
    char *at = all;
    while (n-- > 0) {
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    at[strcspn(at, "\n")] = '\0';
    struct json_object *o = json_tokener_parse(at);
    assert_non_null(o);
    free(all);
    return o;
}

static void lines_hold_the_message(void **state)
{
    fixture *f = *state;
    const unsigned char bytes[] = {0, 255, '\n', 0x80, 'a'};
    int64_t id = send_as(f, PGQ_TEXT, "say \"\xc3\xbc\"\n\x01", 10, "{\"a\":\n 1.50}");
    send_as(f, PGQ_JSON, "{\"n\":\n[12345678901234567890123.50, 1e2]}", 40, NULL);
    send_as(f, PGQ_BINARY, bytes, sizeof bytes, NULL);
    send_as(f, PGQ_BINARY, "", 0, NULL);
    send_as(f, PGQ_BINARY, "abc", 3, NULL);
    send_as(f, PGQ_BINARY, "abcd", 4, NULL);
    assert_int_equal(listen_run(f, "--drain", STREAM, OBEY, NULL), 0);
    assert_true(counts_are(f, 0, 0));
    struct json_object *o = line(f, 0);
    assert_true(json_object_get_int64(member(o, "id")) == id);
    assert_string_equal(json_object_get_string(member(o, "queue")), QUEUE);
    assert_int_equal(json_object_get_int(member(o, "attempt")), 1);
    assert_int_equal(json_object_get_string_len(member(o, "enqueued")), 27);
    assert_string_equal(json_object_get_string(member(o, "kind")), "text");
    assert_int_equal(json_object_get_int(member(o, "priority")), 999);
    assert_int_equal(json_object_get_int(member(o, "errors")), 0);
    assert_null(member(o, "last_error"));
    assert_string_equal(json_object_get_string(member(o, "payload")), "say \"\xc3\xbc\"\n\x01");
    json_object_put(o);
    char *all = slurp_in(f, "lines");
    assert_non_null(strstr(all, "\"headers\":{\"a\":  1.50},"));
    assert_non_null(
        strstr(all, "\"headers\":null,\"payload\":{\"n\": [12345678901234567890123.50, 1e2]}}\n"));
    assert_non_null(strstr(all, "\"kind\":\"binary\""));
    assert_non_null(strstr(all, "\"payload_base64\":\"AP8KgGE=\"}\n"));
    assert_non_null(strstr(all, "\"payload_base64\":\"\"}\n"));
    assert_non_null(strstr(all, "\"payload_base64\":\"YWJj\"}\n"));
    assert_non_null(strstr(all, "\"payload_base64\":\"YWJjZA==\"}\n"));
    free(all);
}

static void one_process_a_job(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 50; i++)
        send_text(f, "x");
    assert_int_equal(listen_run(f, "--drain", STREAM, "echo start >> $T/starts; " OBEY, NULL), 0);
    assert_true(counts_are(f, 0, 0));
    char path[64];
    snprintf(path, sizeof path, "%s/starts", f->dir);
    assert_int_equal(count_in_file(path, "start"), 1);
    for (int i = 0; i < 2; i++)
        send_text(f, "x");
    /* Two at once: each waits until both have started. */
    assert_int_equal(
        listen_run(f, "-j", "2", "--drain", STREAM,
                   "echo start >> $T/starts; until [ $(wc -l < $T/starts) = 3 ]; do sleep 0.02; done; " OBEY,
                   NULL),
        0);
}

static void refusal_is_the_last_error(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    assert_int_equal(
        listen_run(f, "--count", "1", STREAM,
                   "while read -r l; do echo '{\"ok\":false,\"error\":\"no account \\u00fc\"}'; done", NULL),
        0);
    assert_returned(f, 1, 1, "no account \xc3\xbc");
    assert_int_equal(
        listen_run(f, "--count", "1", STREAM, "while read -r l; do echo '{ \"ok\" : false }'; done", NULL),
        0);
    assert_returned(f, 2, 2, "the command gave no reason");
}

static void other_answers_fail_the_message(void **state)
{
    fixture *f = *state;
    static const char *const answers[] = {
        "done",
        "",
        "{\"ok\":1}",
        "{\"OK\":true}",
        "{\"ok\":true} {}",
        "[true]",
        "{\"ok\":true,\"id\":999999999}",
    };
    char command[256], quoted[128];
    int n = sizeof answers / sizeof *answers;
    send_text(f, "x");
    for (int i = 0; i < n; i++) {
        snprintf(command, sizeof command, "read -r l; echo '%s'; sleep 1000", answers[i]);
        assert_int_equal(listen_run(f, "--count", "1", "--kill-after", "0.1", STREAM, command, NULL), 0);
        snprintf(quoted, sizeof quoted, "the answer of the command is not understood: \"%.5s",
                 strchr(answers[i], '"') ? "" : answers[i]);
        assert_returned(f, i + 1, i + 1, quoted);
        f->started = 0;
    }
    /* Quoted by its beginning only; and one without an end is not waited for. */
    assert_int_equal(listen_run(f, "--count", "1", STREAM,
                                "read -r l; printf 'never %01000000d ends %0100000d' 1 2; read -r l", NULL),
                     0);
    assert_returned(f, n + 1, n + 1, "not understood: \"never 000000");
}

static void garbage_does_not_settle_the_next(void **state)
{
    fixture *f = *state;
    int64_t first = send_text(f, "x");
    int64_t second = send_text(f, "y");
    /* The second line of its first life would be the answer to the next message. */
    process *p = listen_start(f, "--count", "3", "--kill-after", "0.1", STREAM,
                              "while read -r l; do if [ -e $T/warned ]; then echo '{\"ok\":true}'; else "
                              "touch $T/warned; printf 'warning\\n{\"ok\":true}\\n'; fi; done",
                              NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_true(counts_are(f, 0, 0));
    char failed[64], done[64];
    snprintf(failed, sizeof failed, " failed queue=" QUEUE " id=%lld attempt=1 ", (long long)first);
    snprintf(done, sizeof done, " done queue=" QUEUE " id=%lld attempt=1 ", (long long)second);
    assert_holds(p->err, failed);
    assert_holds(p->err, done);
}

static void an_unasked_line_restarts(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, "--kill-after", "0.1", STREAM,
                              "echo $$ >> $T/starts; read -r l; printf '{\"ok\":true}\\n'; sleep 0.1; "
                              "echo '{\"ok\":true}'; touch $T/said; while :; do sleep 1000; done",
                              NULL);
    WAIT_FOR(file_holds(p->err, " done queue="));
    char said[64];
    snprintf(said, sizeof said, "%s/said", f->dir);
    WAIT_FOR(access(said, F_OK) == 0);
    send_text(f, "y");
    WAIT_FOR(count_in_file(p->err, " done queue=") == 2);
    assert_holds(p->err, " restarted text=\"the command wrote a line that nobody had asked for");
    stop(p);
}

static void two_lines_for_one_restart(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    send_text(f, "y");
    /* The first message is done; the rest must not be taken for part of the next answer. */
    process *p = listen_start(
        f, "--count", "2", "--kill-after", "0.1", STREAM,
        "while read -r l; do if [ -e $T/wrote ]; then echo '{\"ok\":true}'; else touch $T/wrote; "
        "printf '{\"ok\":true}\\n{\"ok\":false,'; fi; done",
        NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_true(counts_are(f, 0, 0));
    assert_holds(p->err, " stopped done=2 failed=0\n");
    assert_holds(p->err, " restarted text=\"the command wrote more than one line for a message");
}

static void death_fails_the_message_in_hand(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    assert_int_equal(listen_run(f, "--count", "1", STREAM, "read -r l; echo 'out of luck' >&2; exit 7", NULL),
                     0);
    assert_returned(f, 1, 1, "the command ended without an answer (exit status 7): out of luck");
    assert_int_equal(listen_run(f, "--count", "1", STREAM, "read -r l; kill -9 $$", NULL), 0);
    assert_returned(f, 2, 2, "(signal 9)");
    /* An answer counts, though it is the last thing it does. */
    assert_int_equal(listen_run(f, "--count", "1", STREAM, "read -r l; echo '{\"ok\":true}'", NULL), 0);
    assert_true(counts_are(f, 0, 0));
}

static void death_between_messages_fails_none(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(
        f, STREAM, "echo $$ > $T/pid; read -r l; echo '{\"ok\":true}'; echo bye >&2; exit 4", NULL);
    for (int i = 1; i <= 3; i++) {
        WAIT_FOR(count_in_file(p->err, " done queue=") == i);
        WAIT_FOR(is_gone(pid_in(f, "pid")));
        send_text(f, "y");
    }
    WAIT_FOR(count_in_file(p->err, " done queue=") == 4);
    assert_int_equal(count_in_file(p->err, " failed "), 0);
    assert_holds(p->err, " restarted text=\"the command ended between two messages (exit status 4): bye\"");
    stop(p);
}

static void restarts_back_off(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    /* Seven deaths: pauses of 10, 20, 40, 80, 160, 320 ms between them. */
    process *p =
        listen_start(f, "--count", "8", STREAM,
                     "date +%s%3N >> $T/times; [ $(wc -l < $T/times) = 8 ] && while read -r l; do echo "
                     "'{\"ok\":true}'; done; exit 1",
                     NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_true(counts_are(f, 0, 0));
    char *times = slurp_in(f, "times");
    char *at = times;
    long long before = strtoll(at, &at, 10);
    for (int i = 0; i < 7; i++) {
        long long then = strtoll(at, &at, 10);
        /* What the process needs from its start to its first line may differ by a few ms. */
        assert_true(then - before >= (10 << i) - 8);
        before = then;
    }
    free(times);
}

static void success_ends_the_back_off(void **state)
{
    fixture *f = *state;
    /* Dies after each answer: the pause stays at its first 10 ms, so that 30 of them are quick. */
    for (int i = 0; i < 30; i++)
        send_text(f, "x");
    int64_t began = now_ms();
    assert_int_equal(listen_run(f, "--drain", STREAM, "read -r l; echo '{\"ok\":true}'", NULL), 0);
    assert_true(now_ms() - began < 20000);
    assert_true(counts_are(f, 0, 0));
}

static void timeout_is_for_each_message(void **state)
{
    fixture *f = *state;
    send_text(f, "quick");
    send_text(f, "quick");
    send_text(f, "slow");
    process *p = listen_start(
        f, "--count", "3", "--timeout", "1", "--kill-after", "0.2", STREAM,
        "trap '' TERM; while read -r l; do case $l in *slow*) echo stuck >&2; sleep 1000;; *) sleep "
        "0.6; echo '{\"ok\":true}';; esac; done",
        NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_returned(f, 1, 1, "timeout after 1 s: stuck");
    assert_int_equal(count_in_file(p->err, " done queue="), 2);
}

static void stop_closes_stdin(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    assert_int_equal(listen_run(f, "--drain", STREAM, OBEY "; sleep 0.2; echo bye > $T/bye", NULL), 0);
    assert_true(file_in_holds(f, "bye", "bye"));
    /* Who does not go gets TERM; who ignores that too, KILL. */
    send_text(f, "x");
    assert_int_equal(
        listen_run(
            f, "--drain", "--kill-after", "0.2", STREAM,
            "trap 'echo term > $T/term; exit' TERM; read -r l; echo '{\"ok\":true}'; sleep 1000 & wait",
            NULL),
        0);
    assert_true(file_in_holds(f, "term", "term"));
    send_text(f, "x");
    assert_int_equal(
        listen_run(f, "--drain", "--kill-after", "0.2", STREAM,
                   "trap '' TERM; echo $$ > $T/pid; read -r l; echo '{\"ok\":true}'; sleep 1000; sleep 1000",
                   NULL),
        0);
    assert_true(is_gone(pid_in(f, "pid")));
}

static void second_signal_ends_the_stream(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p =
        listen_start(f, "--kill-after", "0.2", STREAM,
                     "trap '' TERM; read -r l; echo $$ > $T/pid; while :; do sleep 1000; done", NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    kill(p->pid, SIGTERM);
    WAIT_FOR(file_holds(p->err, " stopping"));
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 1);
    assert_true(is_gone(pid_in(f, "pid")));
    assert_returned(f, 1, 1, "pgq-listen was told to stop at once");
}

static void server_gone_ends_the_stream(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(
        f, STREAM,
        "while read -r l; do case $l in *'\"attempt\":1,'*) echo $$ > $T/pid; sleep 1000;; *) echo "
        "'{\"ok\":true}';; esac; done",
        NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_int_equal(terminate_backends(f), 2);
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    WAIT_FOR(file_holds(p->err, " done queue="));
    assert_holds(p->err, " attempt=2 ");
    stop(p);
}

static void stderr_flows_while_idle(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    /* More than a pipe holds, with no message in hand. */
    process *p = listen_start(
        f, STREAM,
        "read -r l; echo '{\"ok\":true}'; i=0; while [ $i -lt 3000 ]; do echo "
        "0123456789012345678901234567890123456789; i=$((i+1)); done >&2; echo flowed > $T/flowed; read -r l",
        NULL);
    WAIT_FOR(file_in_holds(f, "flowed", "flowed"));
    WAIT_FOR(count_in_file(p->err, "0123456789012345678901234567890123456789\n") == 3000);
    stop(p);
}

static void big_lines_pass(void **state)
{
    fixture *f = *state;
    pgq_attributes any_size = PGQ_ATTRIBUTES_INIT;
    size_t len = 2000000;
    any_size.max_size = -1;
    assert_int_equal(pgq_set_queue(f->q, QUEUE, &any_size, 0), PGQ_OK);
    char *payload = malloc(len + 1);
    assert_non_null(payload);
    memset(payload, 'x', len);
    payload[len] = '\0';
    send_as(f, PGQ_TEXT, payload, len, NULL);
    assert_int_equal(
        listen_run(f, "--drain", STREAM, "head -n 1 > $T/lines; echo '{\"ok\":true}'; cat", NULL), 0);
    struct json_object *o = line(f, 0);
    assert_string_equal(json_object_get_string(member(o, "payload")), payload);
    json_object_put(o);
    /* An answer to a line that was not read cannot be meant for it. */
    send_as(f, PGQ_TEXT, payload, len, NULL);
    free(payload);
    assert_int_equal(listen_run(f, "--count", "1", "--kill-after", "0.1", STREAM,
                                "echo '{\"ok\":true}'; sleep 1000", NULL),
                     0);
    assert_returned(f, 1, 1, "not understood");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_hold_the_message),
        TEST(one_process_a_job),
        TEST(refusal_is_the_last_error),
        TEST(other_answers_fail_the_message),
        TEST(garbage_does_not_settle_the_next),
        TEST(an_unasked_line_restarts),
        TEST(two_lines_for_one_restart),
        TEST(death_fails_the_message_in_hand),
        TEST(death_between_messages_fails_none),
        TEST(restarts_back_off),
        TEST(success_ends_the_back_off),
        TEST(timeout_is_for_each_message),
        TEST(stop_closes_stdin),
        TEST(second_signal_ends_the_stream),
        TEST(server_gone_ends_the_stream),
        TEST(stderr_flows_while_idle),
        TEST(big_lines_pass),
    };
    need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
