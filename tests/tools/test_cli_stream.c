/* SPDX-License-Identifier: MIT */
/* Very many messages through pipes; signals and readers that leave; a role that may only look; watching.
 *
 * PGQ_TEST_MESSAGES: how many go from a pipe to a pipe (20000). */
#include "cli_harness.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t number_in(const char *text, const char *before)
{
    const char *at = strstr(text, before);
    return at ? strtoll(at + strlen(before), NULL, 10) : -1;
}

static void from_pipe_to_pipe(void **state)
{
    cli *t = *state;
    const char *n = getenv("PGQ_TEST_MESSAGES");
    n = n ? n : "20000";
    cli_run(
        t,
        "seq %s | sed 's/.*/{\"payload\":{\"n\":&},\"headers\":{\"of\":\"test\"}}/' | pgq enqueue q --jsonl",
        n);
    if (t->status != 0)
        fail_msg("%.2000s", t->err);
    assert_int_equal(number_in(t->out, "q\t"), strtoll(n, NULL, 10));
    cli_run(t,
            "set -o pipefail; pgq pop q --all | sed 's/.*\"payload\":{\"n\":\\([0-9]*\\)}}$/\\1/' |"
            " cmp - <(seq %s)",
            n);
    if (t->status != 0)
        fail_msg("not all came back, or not in order: %.2000s", t->err);
    pgq_counts left = cli_counts(t, "q");
    assert_true(left.ready == 0 && left.in_flight == 0 && left.dead == 0);
}

/* From one queue to another, by leases and receipts. */
static void receive_and_ack_in_a_pipe(void **state)
{
    cli *t = *state;
    cli_run(t,
            "seq 2500 | pgq enqueue q --lines -q && pgq receive q -n 5000 --fields receipt --format plain |"
            " pgq ack - --fields result | uniq -c | tr -s ' '");
    assert_string_equal(t->out, " 2500 done\n");
    assert_int_equal(cli_counts(t, "q").in_flight, 0);
}

/* What is there is sent while more is to come. */
static void slow_input_is_not_held_back(void **state)
{
    cli *t = *state;
    cli_run(t, "mkfifo $T/in");
    pid_t pid = cli_start(t, "exec pgq enqueue q --lines <$T/in");
    char path[128];
    snprintf(path, sizeof path, "%s/in", t->dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "a\nb\nhal", 7), 7);
    CLI_WAIT_FOR(cli_counts(t, "q").ready == 2);
    assert_int_equal(write(fd, "f\n", 2), 2);
    CLI_WAIT_FOR(cli_counts(t, "q").ready == 3);
    /* While it waits for more, a signal ends it at once. */
    kill(pid, SIGTERM);
    assert_int_equal(cli_wait(pid), 143);
    close(fd);
    char *err = cli_slurp(t, "bg.err", NULL);
    assert_string_equal(err, "pgq: interrupted: 3 were sent, and no more\n");
    free(err);
}

static void interrupted_enqueueing(void **state)
{
    cli *t = *state;
    pid_t pid = cli_start(t, "exec pgq enqueue q --lines < <(yes some text)");
    CLI_WAIT_FOR(cli_counts(t, "q").ready > 3000);
    kill(pid, SIGINT);
    assert_int_equal(cli_wait(pid), 130);
    char *err = cli_slurp(t, "bg.err", NULL);
    int64_t sent = number_in(err, "interrupted: ");
    free(err);
    assert_true(sent > 0);
    assert_int_equal(cli_counts(t, "q").ready, sent);
}

/* Waits for a session with the namespace as its name. */
static void wait_for_session(const cli *t, const char *condition)
{
    char sql[512];
    PGconn *look = PQconnectdb(getenv("PGQ_TEST_DSN"));
    int there = 0;
    assert_int_equal(PQstatus(look), CONNECTION_OK);
    snprintf(sql, sizeof sql, "SELECT FROM pg_stat_activity WHERE application_name = '%s' AND %s",
             t->name_space, condition);
    for (int64_t until = cli_now_ms() + DEADLINE_MS; !there && cli_now_ms() < until; cli_nap()) {
        PGresult *r = PQexec(look, sql);
        there = PQntuples(r);
        PQclear(r);
    }
    PQfinish(look);
    assert_true(there);
}

static int hold(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    cli *t = arg;
    (void)q;
    (void)conn;
    (void)m;
    pid_t pid = cli_start(t, "PGAPPNAME=$PGQ_NAMESPACE exec pgq purge q --yes");
    wait_for_session(t, "wait_event_type = 'Lock'"); /* for the message that is held here */
    kill(pid, SIGINT);
    assert_int_equal(cli_wait(pid), 130);
    return 0;
}

static void interrupted_purging(void **state)
{
    cli *t = *state;
    cli_run(t, "seq 3000 | pgq enqueue q --lines -q");
    assert_int_equal(pgq_dequeue(t->q, "q", hold, t), PGQ_OK);
    assert_int_equal(cli_counts(t, "q").ready, 2999);
    char *err = cli_slurp(t, "bg.err", NULL);
    assert_string_equal(err, "");
    free(err);
}

/* Each verb that may take long, in the middle of its statement: it ends, and nothing of it was done. */
static void interrupted_anywhere(void **state)
{
    static const char *const verbs[] = {
        "purge q --yes",
        "delete q -y",
        "reset -y",
        "drop -y",
        "clean",
        "enqueue q x",
        "pop q --all",
        "receive q",
        "receive q -t none",
        "peek q",
        "dead requeue q --all",
        "dead purge q --all -y",
        "list q",
        "count q",
        "view",
        "ack - <$T/receipts",
        "nack - <$T/receipts",
        "release - <$T/receipts",
        "create new",
        "set q -p 1",
        "json '{\"cmd\":\"purge\",\"queue\":\"q\",\"yes\":true}'",
        "doctor",
        "consumers",
        "stats",
        "watch",
    };
    cli *t = *state;
    char line[256], sql[256];
    PGconn *other = PQconnectdb(getenv("PGQ_TEST_DSN"));
    cli_run(
        t,
        "seq 30 | pgq enqueue q --lines -q; pgq receive q -n 10 --fields receipt --format plain | pgq nack - "
        "--requeue=no -q; pgq receive q -n 10 --lease 1h --fields receipt --format plain >$T/receipts");
    snprintf(sql, sizeof sql, "BEGIN; LOCK TABLE %s.namespace, %s.queue, %s.message, %s.dead_letter",
             t->name_space, t->name_space, t->name_space, t->name_space);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        PQclear(PQexec(other, sql));
        assert_int_equal(PQtransactionStatus(other), PQTRANS_INTRANS);
        snprintf(line, sizeof line, "PGAPPNAME=$PGQ_NAMESPACE exec pgq %s", verbs[i]);
        pid_t pid = cli_start(t, line);
        wait_for_session(t, "wait_event_type = 'Lock'");
        kill(pid, SIGINT);
        int status = cli_wait(pid);
        if (status != 130)
            fail_msg("pgq %s: exit status %d", verbs[i], status);
        PQclear(PQexec(other, "ROLLBACK"));
        pgq_counts left = cli_counts(t, "q");
        if (left.ready != 10 || left.in_flight != 10 || left.dead != 10)
            fail_msg("pgq %s: there are %d, %d and %d", verbs[i], (int)left.ready, (int)left.in_flight,
                     (int)left.dead);
    }
    PQfinish(other);
    cli_run(t, "pgq ack - <$T/receipts --fields result | uniq -c | tr -s ' '; pgq view -n");
    assert_string_equal(t->out, " 10 done\nq\n");
}

static void interrupted_waiting(void **state)
{
    cli *t = *state;
    pid_t pid = cli_start(t, "PGAPPNAME=$PGQ_NAMESPACE exec pgq receive q --timeout none");
    wait_for_session(t, "state = 'idle'");
    kill(pid, SIGTERM);
    assert_int_equal(cli_wait(pid), 143);
}

/* The reader does not read: what was written is gone from the queue, what was not is back. */
static void interrupted_popping(void **state)
{
    cli *t = *state;
    char path[128], text[65536];
    int64_t lines = 0;
    ssize_t n;
    cli_run(t, "mkfifo $T/pipe; seq 20000 | pgq enqueue q --lines -q");
    pid_t pid = cli_start(t, "exec pgq pop q --all >$T/pipe");
    snprintf(path, sizeof path, "%s/pipe", t->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    CLI_WAIT_FOR(cli_counts(t, "q").in_flight > 0 && cli_counts(t, "q").ready < 20000);
    kill(pid, SIGTERM);
    assert_int_equal(cli_wait(pid), 143);
    while ((n = read(fd, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    }
    close(fd);
    pgq_counts left = cli_counts(t, "q");
    assert_int_equal(left.in_flight, 0);
    assert_true(left.ready < 20000 && left.ready + lines >= 20000);
    cli_run(t, "pgq list q -n 100000 --fields errors | sort | uniq -c | tr -s ' '");
    assert_non_null(strstr(t->out, " 0\n"));
    assert_ptr_equal(strchr(t->out, '\n'), strrchr(t->out, '\n'));
}

static void reader_that_left(void **state)
{
    cli *t = *state;
    cli_run(t, "seq 20000 | pgq enqueue q --lines -q; pgq pop q --all | head -n 1; echo ${PIPESTATUS[0]}");
    assert_non_null(strstr(t->out, "\"payload\":\"1\"}\n1\n"));
    assert_string_equal(t->err, "");
    pgq_counts left = cli_counts(t, "q");
    assert_true(left.in_flight == 0 && left.dead == 0 && left.ready > 10000);
    cli_run(t, "pgq list q -n 100000 | head -n 1 | wc -l; pgq view >&-; echo $?");
    assert_string_equal(t->out, "1\n1\n");
}

static void watching(void **state)
{
    cli *t = *state;
    size_t len = 0;
    pid_t pid = cli_start(t, "exec pgq watch --format json --interval 50ms");
    char *seen = NULL;
#define CLI_SEEN(text) (free(seen), seen = cli_slurp(t, "bg.out", &len), strstr(seen, text) != NULL)
    CLI_WAIT_FOR(CLI_SEEN("\"queue\":\"q\",\"event\":\"seen\",\"sent\":0"));
    cli_run(t, "pgq enqueue q x -q");
    /* What is counted is seen before the commit: what is ready may stand in a later line. */
    CLI_WAIT_FOR(CLI_SEEN("\"event\":\"changed\",\"sent\":1,\"received\":0,") &&
                 strstr(strstr(seen, "\"sent\":1,"), "\"ready\":1,"));
    cli_run(t, "pgq pop q");
    CLI_WAIT_FOR(CLI_SEEN("\"event\":\"changed\",\"sent\":0,\"received\":1,") &&
                 strstr(strstr(seen, "\"received\":1,"), "\"ready\":0,"));
    cli_run(t, "pgq create more -q; pgq pause more -q");
    CLI_WAIT_FOR(CLI_SEEN("\"queue\":\"more\",\"event\":\"created\"") && strstr(seen, "\"paused\":true"));
    cli_run(t, "pgq delete more -y -q");
    CLI_WAIT_FOR(CLI_SEEN("\"queue\":\"more\",\"event\":\"deleted\""));
    kill(pid, SIGINT);
    assert_int_equal(cli_wait(pid), 130);
    free(seen);
}

/* --- a role that may only look --- */

static void query(cli *t, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

static void query(cli *t, const char *format, ...)
{
    char sql[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    PGresult *r = PQexec(pgq_connection(t->q), sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(r));
    PQclear(r);
}

#define CLI_AS_EYE                                                                                           \
    "export PGOPTIONS=\"-c role=${PGQ_NAMESPACE}_eye\" ID=$(cat $T/id) DEAD=$(cat $T/dead) RECEIPT=$(cat "   \
    "$T/receipt); pgq %s"

/* Looking by the clock alone would take longer than the test waits. */
static void woken_by_what_is_sent(cli *t)
{
    static const char *const lines[][2] = {
        {"exec pgq watch empty -n 2 --interval 1h", "pgq enqueue empty x -q; pgq pop empty -q"},
        {"exec pgq topic subscribe news -n 1 --poll-interval none", "pgq topic publish news x -q"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[256];
        int status;
        snprintf(line, sizeof line, "export PGOPTIONS=\"-c role=${PGQ_NAMESPACE}_eye\"; %s", lines[i][0]);
        pid_t pid = cli_start(t, line);
        /* It may not wait yet. */
        CLI_WAIT_FOR((cli_run(t, "%s", lines[i][1]), waitpid(pid, &status, WNOHANG) == pid));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void may_only_look(void **state)
{
    static const char *const reading[] = {
        "view",
        "view -a",
        "view -n",
        "peek q",
        "list q",
        "get $ID",
        "stats",
        "stats --format prometheus",
        "watch -n 1",
        "count q",
        "consumers",
        "doctor --wait-age 100d",
        "dead list q",
        "dead show $DEAD",
        "json '{\"cmd\":\"view\"}'",
        "topic list",
        "topic subscribers",
        "topic latest news",
        "topic subscribe news --from oldest --timeout 0",
        "topic subscribe news --from oldest -n 1",
        "upgrade", /* to what it is */
    };
    static const char *const writing[] = {
        "install -n ${PGQ_NAMESPACE}_b",
        "drop -y",
        "create new",
        "set q -p 1",
        "set --defaults -p 1",
        "set --defaults --auto-create",
        "delete q -y",
        "pause q",
        "resume q",
        "purge q -y",
        "enqueue q x",
        "receive q",
        "pop q",
        "ack $RECEIPT",
        "nack $RECEIPT",
        "extend $RECEIPT",
        "release $RECEIPT",
        "cancel $ID",
        "reschedule $ID",
        "reset -y",
        "grant consumer postgres",
        "grant monitor postgres",
        "revoke ${PGQ_NAMESPACE}_eye",
        "shutdown",
        "clean q",
        "dead requeue q --all",
        "dead purge q --all -y",
        "topic publish news x",
        "topic subscribe news --as you --timeout 0",
        "topic subscribe news --as me -n 1",
        "topic unsubscribe news me",
        "topic create new",
        "topic set --common --retain 5m",
        "topic delete own -y",
        "topic bind news q",
        "topic unbind news q",
        "topic tend",
        /* Also where nothing would be done. */
        "purge empty -y",
        "receive empty",
        "receive --id 999999999",
        "nack 999999999:1",
        "clean empty",
        "dead requeue empty --all",
        "topic delete nowhere -y",
    };
    cli *t = *state;
    const char *ns = t->name_space;
    cli_run(t, "seq 3 | pgq enqueue q --lines -q; pgq receive q --fields receipt --format plain | pgq nack - "
               "--requeue=no -q;"
               "pgq receive q --fields receipt --format plain >$T/receipt; pgq peek q --fields id >$T/id; "
               "pgq dead list q --fields id >$T/dead;"
               "pgq topic publish news x -q; pgq topic subscribe news --as me --timeout 0; "
               "pgq topic publish news y -q; pgq topic create own -q");
    query(t, "CREATE ROLE %s_eye", ns);
    cli_run(t, "pgq grant monitor ${PGQ_NAMESPACE}_eye --fields part,result; pgq create empty -q");
    assert_string_equal(t->out, "monitor\tgranted\n");
    for (size_t i = 0; i < sizeof reading / sizeof *reading; i++) {
        cli_run(t, CLI_AS_EYE, reading[i]);
        /* The doctor's notes, of what this role may not see, are no fault. */
        if (t->status != 0 || t->out_len == 0 || *t->err)
            fail_msg("pgq %s: exit status %d: %.1000s", reading[i], t->status, t->err);
    }
    for (size_t i = 0; i < sizeof writing / sizeof *writing; i++) {
        cli_run(t, CLI_AS_EYE, writing[i]);
        if (t->status != 1 ||
            !strstr(t->err, ": the owner of the namespace can grant it, see ROLES in pgq(1)\n"))
            fail_msg("pgq %s: exit status %d: %.1000s%.1000s", writing[i], t->status, t->out, t->err);
    }
    woken_by_what_is_sent(t);
    /* With nothing left the role can be dropped. */
    cli_run(t, "pgq revoke ${PGQ_NAMESPACE}_eye");
    assert_string_equal(strchr(t->out, '\t'), "\trevoked\n");
    cli_run(t, CLI_AS_EYE, "view");
    assert_int_equal(t->status, 1);
    cli_run(t, "pgq revoke ${PGQ_NAMESPACE}_eye");
    assert_int_equal(t->status, 3);
    assert_non_null(strstr(t->err, "_eye\" was granted nothing\n"));
    query(t, "DROP ROLE %s_eye", ns);
    pgq_counts left = cli_counts(t, "q");
    assert_true(left.ready == 1 && left.in_flight == 1 && left.dead == 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cli_setup, cli_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(from_pipe_to_pipe),
        TEST(receive_and_ack_in_a_pipe),
        TEST(slow_input_is_not_held_back),
        TEST(interrupted_enqueueing),
        TEST(interrupted_purging),
        TEST(interrupted_waiting),
        TEST(interrupted_popping),
        TEST(interrupted_anywhere),
        TEST(reader_that_left),
        TEST(watching),
        TEST(may_only_look),
    };
    cli_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
