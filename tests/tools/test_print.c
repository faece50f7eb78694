/* SPDX-License-Identifier: MIT */
/* Without a command: a line a message. And what the log looks like. */
#include "harness.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void lines_on_stdout(void **state)
{
    fixture *f = *state;
    char begin[128];
    int64_t id = send_text(f, "tab\there \\");
    send_as(f, PGQ_JSON, "null", 4, NULL);
    send_as(f, PGQ_BINARY, "\0\1\2\3\4\5", 6, "{}");
    process *p = listen_start(f, "--drain", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_true(counts_are(f, 0, 0));
    snprintf(begin, sizeof begin, "{\"id\":%lld,\"queue\":\"" QUEUE "\",\"attempt\":1,\"enqueued\":\"20",
             (long long)id);
    assert_holds(p->out, begin);
    assert_holds(p->out,
                 "Z\",\"due\":null,\"kind\":\"text\",\"priority\":999,\"order_key\":null,\"dedup_key\":null,"
                 "\"errors\":0,\"last_error\":null,\"headers\":null,"
                 "\"payload\":\"tab\\there \\\\\"}\n");
    assert_holds(p->out, "\"headers\":null,\"payload\":null}\n");
    assert_holds(p->out, "\"headers\":{},\"payload_base64\":\"AAECAwQF\"}\n");
    assert_int_equal(count_in_file(p->out, "\n"), 3);
}

static void every_line_is_whole(void **state)
{
    fixture *f = *state;
    enum { MESSAGES = 200 };
    char text[6000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < MESSAGES; i++)
        send_as(f, PGQ_TEXT, text, (size_t)i * 29, NULL);
    process *p = listen_start(f, "-j", "4", "--drain", "--quiet", NULL);
    assert_int_equal(listen_wait(p), 0);
    char *all = slurp(p->out);
    int n = 0;
    size_t bytes = 0;
    for (char *line = all, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, n++) {
        struct json_object *payload;
        *end = '\0';
        struct json_object *o = json_tokener_parse(line);
        assert_true(json_object_object_get_ex(o, "payload", &payload));
        bytes += (size_t)json_object_get_string_len(payload);
        json_object_put(o);
    }
    free(all);
    assert_int_equal(n, MESSAGES);
    assert_int_equal(bytes, 29 * MESSAGES * (MESSAGES - 1) / 2);
}

static void reader_that_left(void **state)
{
    fixture *f = *state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    f->stdout_fd = ends[1];
    send_text(f, "x");
    process *p = listen_start(f, NULL);
    close(ends[1]);
    assert_int_equal(listen_wait(p), 1);
    assert_returned(f, 1, 1, "pgq-listen cannot write to stdout: Broken pipe");
    assert_int_equal(count_in_file(p->err, "cannot write to stdout: Broken pipe\"\n"), 2);
}

static void full_disk(void **state)
{
    fixture *f = *state;
    f->stdout_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(f->stdout_fd >= 0);
    for (int i = 0; i < 3; i++)
        send_text(f, "x");
    process *p = listen_start(f, "-j", "3", NULL);
    close(f->stdout_fd);
    assert_int_equal(listen_wait(p), 1);
    assert_true(counts_are(f, 3, 0));
    assert_int_equal(count_in_file(p->err, " error text=\"cannot write to stdout: No space left on device\""),
                     1);
}

static void slow_reader_gets_all(void **state)
{
    fixture *f = *state;
    int ends[2];
    size_t len = 60000, total = 0;
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, 'x', len);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < 5; i++)
        send_as(f, PGQ_TEXT, text, len, NULL);
    free(text);
    f->stdout_fd = ends[1];
    process *p = listen_start(f, "-j", "2", "--drain", NULL);
    close(ends[1]);
    /* The pipe is full, and both jobs wait with a message in hand. */
    WAIT_FOR(counts_of(f).in_flight == 2);
    char *all = malloc(6 * len);
    assert_non_null(all);
    ssize_t n;
    while ((n = read(ends[0], all + total, 1000)) > 0)
        total += (size_t)n;
    all[total] = '\0';
    close(ends[0]);
    assert_int_equal(listen_wait(p), 0);
    /* Though each took many writes, none got into another. */
    int lines = 0;
    for (char *line = all, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++) {
        const char *payload = strstr(line, "\"payload\":\"");
        assert_non_null(payload);
        assert_int_equal(strspn(payload + strlen("\"payload\":\""), "x"), len);
    }
    free(all);
    assert_int_equal(lines, 5);
}

static void second_signal_while_the_reader_sleeps(void **state)
{
    fixture *f = *state;
    int ends[2];
    size_t len = 60000;
    char *text = calloc(1, len);
    assert_non_null(text);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++)
        send_as(f, PGQ_BINARY, text, len, NULL);
    free(text);
    f->stdout_fd = ends[1];
    process *p = listen_start(f, NULL);
    close(ends[1]);
    WAIT_FOR(counts_are(f, 1, 1) || counts_are(f, 2, 1));
    kill(p->pid, SIGTERM);
    WAIT_FOR(file_holds(p->err, " stopping"));
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 1);
    close(ends[0]);
    assert_true(counts_of(f).ready >= 2);
}

static void log_in_json(void **state)
{
    fixture *f = *state;
    static const char *const members[] = {"time", "event", "queue", "id", "attempt", "ms"};
    send_text(f, "x");
    process *p = listen_start(f, "--drain", "--log-format", "json", NULL);
    assert_int_equal(listen_wait(p), 0);
    char *all = slurp(p->err);
    bool seen = false;
    for (char *line = all, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        struct json_object *m;
        *end = '\0';
        struct json_object *o = json_tokener_parse(line);
        assert_true(json_object_object_get_ex(o, "event", &m));
        if (strcmp(json_object_get_string(m), "done") == 0) {
            seen = true;
            for (size_t i = 0; i < sizeof members / sizeof *members; i++)
                assert_true(json_object_object_get_ex(o, members[i], &m));
            assert_true(json_object_object_get_ex(o, "time", &m));
            assert_int_equal(json_object_get_string_len(m), strlen("2026-11-21T10:00:00.123Z"));
        }
        json_object_put(o);
    }
    free(all);
    assert_true(seen);
    assert_holds(p->err, "\"event\":\"stopped\",\"done\":1,\"failed\":0}\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_on_stdout), TEST(every_line_is_whole),  TEST(reader_that_left),
        TEST(full_disk),       TEST(slow_reader_gets_all), TEST(second_signal_while_the_reader_sleeps),
        TEST(log_in_json),
    };
    need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
