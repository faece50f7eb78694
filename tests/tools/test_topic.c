/* SPDX-License-Identifier: MIT */
/* --topic. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>

#define SH    "--", "sh", "-c"
#define TOPIC "news"
/* Starts pgq-listen on TOPIC. */
#define FOLLOW(f, ...)                                                                                       \
    listen_start_bare(f, "-d", getenv("PGQ_TEST_DSN"), "-n", (f)->name_space, "--topic", TOPIC, __VA_ARGS__, \
                      NULL)

/* What a command does with "bad": it fails, as long as there is no file "good". */
#define TRY                                                                                                  \
    "x=$(cat); echo $x:$PGQ_ATTEMPT:$PGQ_ERRORS:$PGQ_LAST_ERROR >> $T/seen; "                                \
    "[ $x != bad ] || [ -e $T/good ] || { echo no good >&2; exit 3; }"

static int64_t publish_as(fixture *f, pgq_kind kind, const char *payload, const char *headers)
{
    pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;
    int64_t id = 0;
    o.kind = kind;
    o.headers = headers;
    if (pgq_topic_publish(f->q, TOPIC, payload, strlen(payload), &o, &id) != PGQ_OK)
        fail_msg("%s", pgq_last_error(f->q)->message);
    return id;
}

static int64_t publish(fixture *f, const char *text)
{
    return publish_as(f, PGQ_TEXT, text, NULL);
}

/* A durable subscriber that begins here. */
static pgq_subscriber *subscribe(fixture *f, const char *name)
{
    pgq_subscribe_options o = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_subscriber *s = NULL;
    o.name = name;
    if (pgq_topic_subscribe(f->q, TOPIC, &o, &s) != PGQ_OK)
        fail_msg("%s", pgq_last_error(f->q)->message);
    return s;
}

static void begin(fixture *f, const char *name)
{
    pgq_subscriber_free(subscribe(f, name));
}

static int64_t behind(fixture *f)
{
    pgq_subscriber_list *list = NULL;
    assert_int_equal(pgq_topic_subscribers(f->q, TOPIC, &list), PGQ_OK);
    const pgq_subscriber_info *info = pgq_subscriber_list_get(list, 0);
    int64_t n = info ? info->behind : -1;
    pgq_subscriber_list_free(list);
    return n;
}

static void assert_seen(const fixture *f, const char *what)
{
    char *seen = slurp_in(f, "seen");
    assert_string_equal(seen, what);
    free(seen);
}

static void stop(process *p)
{
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 0);
}

static void a_command_gets_what_comes(void **state)
{
    fixture *f = *state;
    char line[64];
    setenv("PGQ_QUEUE", "stale", 1);
    setenv("PGQ_PRIORITY", "stale", 1);
    setenv("PGQ_TOPIC", "stale", 1);
    publish(f, "too early");
    process *p = FOLLOW(f, SH, "cat >> $T/payload; env > $T/env.$PGQ_ID");
    unsetenv("PGQ_QUEUE");
    unsetenv("PGQ_PRIORITY");
    unsetenv("PGQ_TOPIC");
    WAIT_FOR(file_holds(p->err, " started"));
    int64_t id = publish_as(f, PGQ_JSON, "[1.50]", "{\"to\": \"all\"}");
    publish(f, "2");
    WAIT_FOR(count_in_file(p->err, " done topic=" TOPIC " id=") == 2);
    stop(p);
    char *payload = slurp_in(f, "payload");
    assert_string_equal(payload, "[1.50]2");
    free(payload);
    snprintf(line, sizeof line, "env.%lld", (long long)id);
    char *env = slurp_in(f, line);
    snprintf(line, sizeof line, "PGQ_ID=%lld\n", (long long)id);
    assert_non_null(strstr(env, line));
    assert_non_null(strstr(env, "PGQ_TOPIC=" TOPIC "\n"));
    assert_non_null(strstr(env, "PGQ_KIND=json\n"));
    assert_non_null(strstr(env, "PGQ_ATTEMPT=1\n"));
    assert_non_null(strstr(env, "PGQ_ERRORS=0\n"));
    assert_non_null(strstr(env, "PGQ_HEADER_TO=all\n"));
    assert_non_null(strstr(env, "PGQ_ENQUEUED=20"));
    assert_null(strstr(env, "PGQ_QUEUE="));
    assert_null(strstr(env, "PGQ_PRIORITY="));
    free(env);
    assert_holds(p->err, " attempt=1 ms=");
    assert_holds(p->err, " stopped done=2 failed=0\n");
}

static void a_line_is_printed(void **state)
{
    fixture *f = *state;
    char line[256];
    int64_t first = publish_as(f, PGQ_TEXT, "hello", "{\"n\":1.50}");
    int64_t second = publish_as(f, PGQ_JSON, "{\"a\": 1}", NULL);
    for (int i = 0; i < 250; i++)
        publish(f, "x");
    process *p = FOLLOW(f, "--from", "oldest", "--drain");
    assert_int_equal(listen_wait(p), 0);
    assert_int_equal(count_in_file(p->out, "\n"), 252);
    snprintf(line, sizeof line, "{\"id\":%lld,\"topic\":\"" TOPIC "\",\"attempt\":1,\"enqueued\":\"20",
             (long long)first);
    assert_holds(p->out, line);
    assert_holds(p->out, "Z\",\"kind\":\"text\",\"errors\":0,\"last_error\":null,\"headers\":{\"n\":1.50},"
                         "\"payload\":\"hello\"}\n");
    snprintf(line, sizeof line, "\n{\"id\":%lld,", (long long)second);
    assert_holds(p->out, line);
    assert_holds(p->out, "\"headers\":null,\"payload\":{\"a\": 1}}\n");
    /* A position that another one has come to. */
    pgq_subscriber *s = NULL;
    assert_int_equal(pgq_topic_subscribe(f->q, TOPIC, NULL, &s), PGQ_OK);
    publish(f, "new");
    p = FOLLOW(f, "--from", pgq_topic_position(s), "--count", "1", "--quiet");
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->out, "\"payload\":\"new\"");
    assert_int_equal(count_in_file(p->err, " done topic="), 0);
    pgq_subscriber_free(s);
    p = FOLLOW(f, "--from", "yesterday");
    assert_int_equal(listen_wait(p), 2);
    assert_holds(p->err, "cannot start: \\\"yesterday\\\" is no position");
}

static void killed_in_mid_command(void **state)
{
    fixture *f = *state;
    begin(f, "me");
    publish(f, "1");
    publish(f, "2");
    publish(f, "3");
    process *p =
        FOLLOW(f, "--as", "me", SH,
               "x=$(cat); echo $x >> $T/seen; [ $x != 2 ] || { echo $$ > $T/pid; exec sleep 1000; }");
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_int_equal(behind(f), 2);
    assert_int_equal(kill(p->pid, SIGKILL), 0);
    assert_int_equal(listen_wait(p), 1000 + SIGKILL);
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    assert_int_equal(behind(f), 2);
    p = FOLLOW(f, "--as", "me", "--drain", SH, "(cat; echo) >> $T/seen");
    assert_int_equal(listen_wait(p), 0);
    assert_seen(f, "1\n2\n2\n3\n");
    assert_int_equal(behind(f), 0);
    /* Nothing is there twice. */
    assert_int_equal(listen_wait(FOLLOW(f, "--as", "me", "--drain", "--", "false")), 0);
}

static void a_failure_is_tried_again(void **state)
{
    fixture *f = *state;
    begin(f, "me");
    publish(f, "1");
    publish(f, "bad");
    publish(f, "3");
    process *p = FOLLOW(f, "--as", "me", SH, TRY);
    WAIT_FOR(file_in_holds(f, "seen", "bad:3:2:exit status 3: no good\n"));
    assert_int_equal(behind(f), 2);
    assert_false(file_in_holds(f, "seen", "3:1:0"));
    touch(f, "good");
    WAIT_FOR(file_in_holds(f, "seen", "3:1:0:\n"));
    WAIT_FOR(behind(f) == 0);
    stop(p);
    assert_holds(p->err, " failed topic=" TOPIC " id=");
    assert_holds(p->err, " attempt=2 ms=");
    assert_holds(p->err, " stopped done=3 failed=");
    assert_int_equal(count_in_file(p->err, " skipped"), 0);
}

static void a_failure_is_passed_over(void **state)
{
    fixture *f = *state;
    begin(f, "me");
    publish(f, "1");
    publish(f, "bad");
    publish(f, "3");
    process *p = FOLLOW(f, "--as", "me", "--retries", "2", "--drain", SH, TRY);
    assert_int_equal(listen_wait(p), 0);
    assert_seen(f,
                "1:1:0:\nbad:1:0:\nbad:2:1:exit status 3: no good\nbad:3:2:exit status 3: no good\n3:1:0:\n");
    assert_holds(p->err, " skipped topic=" TOPIC " id=");
    assert_holds(p->err, " text=\"failed 3 times: it is passed over\"\n");
    assert_holds(p->err, " stopped done=2 failed=3\n");
    assert_int_equal(behind(f), 0);
    /* An ephemeral one goes on at once; one that was passed over counts. */
    unlink_in(f, "seen");
    p = FOLLOW(f, "--from", "oldest", "--count", "2", SH, TRY);
    assert_int_equal(listen_wait(p), 0);
    assert_seen(f, "1:1:0:\nbad:1:0:\n");
    assert_holds(p->err, " stopped done=1 failed=1\n");
}

static void another_process_has_the_subscriber(void **state)
{
    fixture *f = *state;
    pgq_messages *messages = NULL;
    pgq_subscriber *s = subscribe(f, "me");
    publish(f, "1");
    publish(f, "2");
    publish(f, "3");
    process *p =
        FOLLOW(f, "--as", "me", SH, "(cat; echo) >> $T/seen; until [ -e $T/go ]; do sleep 0.02; done");
    WAIT_FOR(file_in_holds(f, "seen", "1\n"));
    assert_int_equal(pgq_topic_next(s, 2, &messages), PGQ_OK);
    pgq_messages_free(messages);
    assert_int_equal(pgq_topic_commit(s), PGQ_OK);
    pgq_subscriber_free(s);
    touch(f, "go");
    WAIT_FOR(behind(f) == 0);
    assert_seen(f, "1\n3\n");
    assert_holds(p->err, " stale topic=" TOPIC " id=");
    assert_holds(p->err, "another process has committed for the subscriber: going on from there");
    /* Unsubscribed, it has nowhere to keep its position. */
    assert_int_equal(pgq_topic_unsubscribe(f->q, TOPIC, "me"), PGQ_OK);
    publish(f, "4");
    assert_int_equal(listen_wait(p), 1);
    assert_holds(p->err, " error text=\"cannot go on: ");
}

static void server_gone(void **state)
{
    fixture *f = *state;
    begin(f, "me");
    publish(f, "1");
    process *p = FOLLOW(f, "--as", "me", SH,
                        "x=$(cat); echo $x:$PGQ_ATTEMPT:$PGQ_ERRORS >> $T/seen; "
                        "echo $$ > $T/pid; until [ -e $T/go ]; do sleep 0.02; done");
    WAIT_FOR(pid_in(f, "pid") > 0);
    /* It goes on with its work, for which nothing is open in the server, and its position is committed anew.
     */
    assert_int_equal(ask(f, "count(*) FILTER (WHERE xact_start IS NOT NULL)"), 0);
    assert_int_equal(terminate_backends(f), 1);
    touch(f, "go");
    WAIT_FOR(file_holds(p->err, " done topic=" TOPIC));
    assert_int_equal(behind(f), 0);
    assert_seen(f, "1:1:0\n");
    /* And while it waits. */
    WAIT_FOR(connections(f) == 1);
    assert_int_equal(terminate_backends(f), 1);
    publish(f, "2");
    WAIT_FOR(count_in_file(p->err, " done topic=" TOPIC) == 2);
    assert_int_equal(count_in_file(p->err, " disconnected"), 2);
    assert_int_equal(count_in_file(p->err, " reconnected"), 2);
    stop(p);
    assert_int_equal(behind(f), 0);
}

/* An ephemeral one has its position with it. */
static void server_gone_between_two_messages(void **state)
{
    fixture *f = *state;
    process *p = FOLLOW(f, "--poll", "0");
    WAIT_FOR(file_holds(p->err, " started"));
    publish(f, "1");
    WAIT_FOR(file_holds(p->err, " done topic="));
    kill(p->pid, SIGSTOP);
    assert_int_equal(terminate_backends(f), 1);
    publish(f, "2");
    kill(p->pid, SIGCONT);
    WAIT_FOR(count_in_file(p->err, " done topic=") == 2);
    assert_holds(p->out, "\"payload\":\"2\"");
    stop(p);
}

static void stopping(void **state)
{
    fixture *f = *state;
    begin(f, "me");
    publish(f, "1");
    publish(f, "2");
    process *p = FOLLOW(f, "--as", "me", SH,
                        "(cat; echo) >> $T/seen; touch $T/at; until [ -e $T/go ]; do sleep 0.02; done");
    WAIT_FOR(file_in_holds(f, "seen", "1\n"));
    kill(p->pid, SIGTERM);
    touch(f, "go");
    assert_int_equal(listen_wait(p), 0);
    assert_int_equal(behind(f), 1);
    unlink_in(f, "go");
    /* Twice: the command is ended, and the message comes again. */
    p = FOLLOW(f, "--as", "me", SH, "echo $$ > $T/pid; exec sleep 1000");
    WAIT_FOR(pid_in(f, "pid") > 0);
    kill(p->pid, SIGTERM);
    WAIT_FOR(file_holds(p->err, " stopping"));
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 1);
    assert_true(is_gone(pid_in(f, "pid")));
    assert_int_equal(behind(f), 1);
    /* In the pause before the next try. */
    p = FOLLOW(f, "--as", "me", "--", "false");
    WAIT_FOR(count_in_file(p->err, " failed topic=") == 8);
    stop(p);
    assert_int_equal(behind(f), 1);
    /* All of the namespace. */
    p = FOLLOW(f, "--from", "now", "--", "true");
    WAIT_FOR(file_holds(p->err, " started"));
    WAIT_FOR(pgq_shutdown(f->q) == PGQ_OK && is_gone(p->pid));
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, " shutdown text=");
}

static void a_process_is_kept(void **state)
{
    fixture *f = *state;
    publish(f, "1");
    publish(f, "2");
    process *p = FOLLOW(f, "--from", "oldest", "--drain", "--stream", SH,
                        "while read -r line; do echo \"$line\" >> $T/seen; echo '{\"ok\":true}'; done; "
                        "echo end >> $T/seen");
    assert_int_equal(listen_wait(p), 0);
    char *seen = slurp_in(f, "seen");
    assert_non_null(strstr(seen, "\"topic\":\"" TOPIC "\""));
    assert_non_null(strstr(seen, "\"payload\":\"1\"}\n{"));
    assert_non_null(strstr(seen, "\"payload\":\"2\"}\nend\n"));
    free(seen);
    assert_holds(p->err, " stopped done=2 failed=0\n");
}

static void messages_that_are_gone(void **state)
{
    fixture *f = *state;
    pgq_retention r = PGQ_RETENTION_INIT;
    r.retain_ms = 1000;
    assert_int_equal(pgq_topic_create(f->q, TOPIC, &r, 0), PGQ_OK);
    begin(f, "me");
    publish(f, "1");
    WAIT_FOR(pgq_topic_tend(f->q, NULL) == PGQ_OK && behind(f) == 0);
    publish(f, "2");
    process *p = FOLLOW(f, "--as", "me", "--hold", "5", "--count", "1");
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->out, "\"payload\":\"2\"");
    assert_holds(p->err, " trimmed text=\"messages of topic \\\"" TOPIC "\\\" were removed");
    pgq_subscriber_list *list = NULL;
    assert_int_equal(pgq_topic_subscribers(f->q, TOPIC, &list), PGQ_OK);
    assert_int_equal(pgq_subscriber_list_get(list, 0)->hold_ms, 5000);
    pgq_subscriber_list_free(list);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_gets_what_comes),
        TEST(a_line_is_printed),
        TEST(killed_in_mid_command),
        TEST(a_failure_is_tried_again),
        TEST(a_failure_is_passed_over),
        TEST(another_process_has_the_subscriber),
        TEST(server_gone),
        TEST(server_gone_between_two_messages),
        TEST(stopping),
        TEST(a_process_is_kept),
        TEST(messages_that_are_gone),
    };
    need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
