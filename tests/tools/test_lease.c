/* SPDX-License-Identifier: MIT */
/* --lease: messages that are held without a transaction, for as long as the work takes. */
#include "relay.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define SH     "--", "sh", "-c"
#define STREAM "--stream", "--", "sh", "-c"

/* Short enough to be waited for, and long enough for a busy machine to extend it in time. */
#define LEASE    "--lease=3"
#define LEASE_US 3000000

/* Tells of its start, and then waits for the file "go". */
#define UNTIL_GO "echo $PGQ_ATTEMPT >> $T/runs; echo $$ > $T/pid; until [ -e $T/go ]; do sleep 0.02; done"

/* Waits until the lease has been extended to beyond the time at which it would have run out. */
static void outlast_the_lease(fixture *f)
{
    int64_t first = 0;
    WAIT_FOR((first = lease_end(f)) > 0);
    WAIT_FOR(lease_end(f) > first + LEASE_US);
}

/* Waits until it has been extended once more. */
static void see_extended(fixture *f)
{
    int64_t first = 0;
    WAIT_FOR((first = lease_end(f)) > 0);
    WAIT_FOR(lease_end(f) > first);
}

static void stop(process *p)
{
    assert_int_equal(kill(p->pid, SIGTERM), 0);
    assert_int_equal(listen_wait(p), 0);
}

static void assert_runs(fixture *f, const char *expected)
{
    char *runs = slurp_in(f, "runs");
    assert_string_equal(runs, expected);
    free(runs);
}

/* --- how long a message is held --- */

static void longer_than_the_lease(void **state)
{
    fixture *f = *state;
    /* Each of two would take what the other one lost. */
    process *one = listen_start(f, LEASE, SH, UNTIL_GO, NULL);
    process *two = listen_start(f, LEASE, SH, UNTIL_GO, NULL);
    send_text(f, "x");
    outlast_the_lease(f);
    touch(f, "go");
    WAIT_FOR(count_in_file(one->err, " done queue=") + count_in_file(two->err, " done queue=") == 1);
    assert_true(counts_are(f, 0, 0));
    assert_runs(f, "1\n");
    stop(one);
    stop(two);
    assert_int_equal(count_in_file(one->err, "lease-lost") + count_in_file(two->err, "lease-lost"), 0);
}

static void thirty_seconds_if_not_said(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, "--lease", SH, UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    pgq_messages *messages = NULL;
    assert_int_equal(pgq_list(f->q, QUEUE, PGQ_STATE_IN_FLIGHT, 1, 0, &messages), PGQ_OK);
    const pgq_message *m = pgq_messages_get(messages, 0);
    assert_in_range(m->due - m->first_received, 30000000, 60000000);
    pgq_messages_free(messages);
    touch(f, "go");
    WAIT_FOR(file_holds(p->err, " done queue="));
    stop(p);
}

/* Connections with a transaction that was open when the command's start had been seen. */
static int transactions(fixture *f, const char *since)
{
    char columns[160];
    snprintf(columns, sizeof columns,
             "count(*) FILTER (WHERE xact_start <= '%s' OR backend_xmin IS NOT NULL)", since);
    return ask(f, columns);
}

static void no_transaction_meanwhile(void **state)
{
    fixture *f = *state;
    char since[64];
    for (int leased = 0; leased < 2; leased++) {
        send_text(f, "x");
        process *p = leased ? listen_start(f, LEASE, "--count", "1", SH, UNTIL_GO, NULL)
                            : listen_start(f, "--count", "1", SH, UNTIL_GO, NULL);
        WAIT_FOR(pid_in(f, "pid") > 0);
        PGresult *r = PQexec(pgq_connection(f->q), "SELECT clock_timestamp()");
        assert_int_equal(PQresultStatus(r), PGRES_TUPLES_OK);
        snprintf(since, sizeof since, "%s", PQgetvalue(r, 0, 0));
        PQclear(r);
        /* In a scope there is one, so that this would be seen. */
        if (leased)
            WAIT_FOR(transactions(f, since) == 0);
        else
            assert_true(transactions(f, since) >= 1);
        assert_int_equal(counts_of(f).in_flight, 1);
        assert_false(is_gone(pid_in(f, "pid")));
        touch(f, "go");
        assert_int_equal(listen_wait(p), 0);
        unlink_in(f, "go");
        unlink_in(f, "pid");
    }
    assert_true(counts_are(f, 0, 0));
}

/* --- what ends early --- */

static void killed_in_mid_job(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(
        f, LEASE, SH, "trap 'echo told > $T/told; exit' TERM; echo $$ > $T/pid; sleep 1000 & wait", NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_int_equal(kill(p->pid, SIGKILL), 0);
    assert_int_equal(listen_wait(p), 1000 + SIGKILL);
    WAIT_FOR(file_in_holds(f, "told", "told"));
    int64_t end = lease_end(f);
    assert_true(end > 0);
    /* It comes back when the lease has run out, and the attempt counts. */
    p = listen_start(f, "--lease", "--count", "1", SH,
                     "date +%s%6N > $T/taken; echo attempt=$PGQ_ATTEMPT errors=$PGQ_ERRORS", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->out, "attempt=2 errors=1\n");
    char *taken = slurp_in(f, "taken");
    assert_true(strtoll(taken, NULL, 10) >= end);
    free(taken);
    assert_true(counts_are(f, 0, 0));
}

static void server_gone_in_mid_job(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, LEASE, SH, UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_true(terminate_backends(f) >= 2);
    /* The lease outlives the connections: the command goes on, and the lease is extended by new ones. */
    see_extended(f);
    assert_false(is_gone(pid_in(f, "pid")));
    touch(f, "go");
    WAIT_FOR(file_holds(p->err, " done queue=" QUEUE));
    assert_holds(p->err, " attempt=1 ");
    assert_true(counts_are(f, 0, 0));
    assert_runs(f, "1\n");
    stop(p);
    assert_holds(p->err, " stopped done=1 failed=0\n");
}

static void first_signal_finishes(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    send_text(f, "y");
    process *p = listen_start(f, LEASE, SH, UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_int_equal(kill(p->pid, SIGTERM), 0);
    WAIT_FOR(file_holds(p->err, " stopping"));
    /* The lease is extended to the end. */
    see_extended(f);
    touch(f, "go");
    assert_int_equal(listen_wait(p), 0);
    assert_returned(f, 0, 0, NULL);
    assert_holds(p->err, " stopped done=1 failed=0\n");
}

static void connections_lost_while_it_stops(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, "--lease", SH, UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_int_equal(kill(p->pid, SIGTERM), 0);
    WAIT_FOR(file_holds(p->err, " stopping"));
    assert_true(terminate_backends(f) >= 1);
    touch(f, "go");
    /* The outcome is told by a new connection all the same. */
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, " stopped done=1 failed=0\n");
    assert_true(counts_are(f, 0, 0));
}

static void second_signal_ends_the_command(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p =
        listen_start(f, "--lease=9999999", "--kill-after", "0.2", SH, "trap '' TERM; " UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    kill(p->pid, SIGINT);
    WAIT_FOR(file_holds(p->err, " stopping"));
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 1);
    assert_true(is_gone(pid_in(f, "pid")));
    /* At once, and not when the lease has run out. */
    assert_returned(f, 1, 1, "pgq-listen was told to stop at once");
}

static void failures_are_told(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, "--lease", "--count", "1", SH, "echo no account >&2; exit 3", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_returned(f, 1, 1, "exit status 3: no account");
    p = listen_start(f, "--lease", "--count", "1", "--timeout", "0.2", "--", "sleep", "1000", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_returned(f, 2, 2, "timeout after 0.2 s");
    assert_holds(p->err, " failed queue=" QUEUE " id=");
}

/* --- what is lost --- */

/* Somebody else gives the message back. */
static void take_away(fixture *f, int64_t id, int32_t attempt)
{
    pgq_receipt receipt = {.id = id, .attempt = attempt};
    assert_int_equal(pgq_release(f->q, &receipt, 1, NULL, NULL), PGQ_OK);
}

static void lost_lease_ends_the_command(void **state)
{
    fixture *f = *state;
    char line[80];
    int64_t id = send_text(f, "x");
    process *p = listen_start(f, LEASE, SH,
                              "[ $PGQ_ATTEMPT = 2 ] && exit 0; trap 'echo told > $T/told; exit' TERM; "
                              "echo $$ > $T/pid; sleep 1000 & wait",
                              NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    take_away(f, id, 1);
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    assert_true(file_in_holds(f, "told", "told"));
    /* The next attempt is not harmed by what comes of the first one. */
    WAIT_FOR(file_holds(p->err, " done queue="));
    assert_holds(p->err, " attempt=2 ");
    assert_true(counts_are(f, 0, 0));
    stop(p);
    snprintf(line, sizeof line, " lease-lost queue=" QUEUE " id=%lld ", (long long)id);
    assert_int_equal(count_in_file(p->err, line), 1);
    assert_holds(p->err,
                 "another consumer may have the message\" text=\"its work is ended here; a longer --lease ");
    assert_holds(p->err, " stopped done=1 failed=1\n");
}

static void stopped_past_its_lease(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, "--lease=1", SH, UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_int_equal(kill(p->pid, SIGSTOP), 0);
    assert_int_equal(listen_run(f, "--lease", "--count", "1", SH, "echo $PGQ_ATTEMPT > $T/other", NULL), 0);
    assert_true(file_in_holds(f, "other", "2\n"));
    assert_false(is_gone(pid_in(f, "pid")));
    /* Awake again, it learns that it has lost the message, and ends the command. */
    assert_int_equal(kill(p->pid, SIGCONT), 0);
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    WAIT_FOR(file_holds(p->err, " lease-lost queue="));
    stop(p);
    assert_holds(p->err, " stopped done=0 failed=1\n");
    assert_true(counts_are(f, 0, 0));
}

/* Nothing comes through to the server, or from it, and nobody says so: the clock has to tell. */
static void cut_off(fixture *f, bool extended)
{
    char conninfo[RELAY_CONNINFO];
    pid_t relay = relay_start(f, conninfo);
    send_text(f, "x");
    process *p = listen_start_bare(f, "-d", conninfo, "-n", f->name_space, "-q", QUEUE, LEASE, SH,
                                   "[ $PGQ_ATTEMPT = 1 ] || exit 0; " UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    if (extended)
        see_extended(f);
    assert_int_equal(kill(relay, SIGSTOP), 0);
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    /* Nobody else has taken it meanwhile, so that the failure still counts. */
    assert_int_equal(kill(relay, SIGCONT), 0);
    WAIT_FOR(file_holds(p->err, " done queue="));
    assert_holds(p->err, " lease-lost queue=");
    assert_holds(p->err, " attempt=2 ");
    stop(p);
    relay_end(relay);
}

static void cut_off_at_once(void **state)
{
    cut_off(*state, false);
}

static void cut_off_when_extended(void **state)
{
    cut_off(*state, true);
}

/* --- the other ways to work --- */

static void a_stream_under_leases(void **state)
{
    fixture *f = *state;
    process *p =
        listen_start(f, LEASE, "--kill-after", "0.2", STREAM,
                     "echo start >> $T/starts; while read -r l; do echo $$ > $T/pid; case $l in "
                     "*'\"attempt\":1,'*stuck*) sleep 1000;; "
                     "*slow*) until [ -e $T/go ]; do sleep 0.02; done;; esac; echo '{\"ok\":true}'; done",
                     NULL);
    send_text(f, "slow");
    see_extended(f);
    touch(f, "go");
    WAIT_FOR(count_in_file(p->err, " done queue=") == 1);
    unlink_in(f, "pid");
    int64_t id = send_text(f, "stuck");
    WAIT_FOR(pid_in(f, "pid") > 0);
    take_away(f, id, 1);
    WAIT_FOR(is_gone(pid_in(f, "pid")));
    WAIT_FOR(count_in_file(p->err, " done queue=") == 2);
    assert_int_equal(count_in_file(p->err, " lease-lost "), 1);
    stop(p);
    /* One process for both messages, and one after it was ended. */
    char *starts = slurp_in(f, "starts");
    assert_string_equal(starts, "start\nstart\n");
    free(starts);
}

static void a_slow_reader_holds_no_transaction(void **state)
{
    fixture *f = *state;
    int ends[2];
    size_t len = 60000, total = 0;
    char *text = malloc(len), got[4096];
    assert_non_null(text);
    memset(text, 'x', len);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++)
        send_as(f, PGQ_TEXT, text, len, NULL);
    free(text);
    f->stdout_fd = ends[1];
    process *p = listen_start(f, LEASE, "--drain", NULL);
    close(ends[1]);
    /* The pipe is full. */
    WAIT_FOR(counts_are(f, 1, 1));
    WAIT_FOR(transactions(f, "now") == 0);
    see_extended(f);
    for (ssize_t n; (n = read(ends[0], got, sizeof got)) > 0;)
        total += (size_t)n;
    close(ends[0]);
    assert_int_equal(listen_wait(p), 0);
    assert_true(total > 3 * len && total < 3 * len + 3000);
    assert_true(counts_are(f, 0, 0));
    assert_holds(p->err, " stopped done=3 failed=0\n");
}

static void commands_learn_the_keys_and_the_end(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options options = PGQ_ENQUEUE_OPTIONS_INIT;
    options.order_key = "ada";
    options.dedup_key = "order 17";
    setenv("PGQ_DUE", "stale", 1);
    setenv("PGQ_ORDER_KEY", "stale", 1);
    setenv("PGQ_DEDUP_KEY", "stale", 1);
    assert_int_equal(pgq_enqueue(f->q, QUEUE, "x", 1, &options, NULL), PGQ_OK);
    process *p = listen_start(f, "--lease", "--count", "1", SH,
                              "echo \"<$PGQ_ORDER_KEY|$PGQ_DEDUP_KEY|$PGQ_DUE>\"; exit 1", NULL);
    assert_int_equal(listen_wait(p), 0);
    int y, mo, d, h, mi, s, us, n = 0;
    char *out = slurp(p->out);
    assert_int_equal(
        sscanf(out, "<ada|order 17|%4d-%2d-%2dT%2d:%2d:%2d.%6dZ>%n", &y, &mo, &d, &h, &mi, &s, &us, &n), 7);
    assert_int_equal(n, (int)strlen("<ada|order 17|2026-11-21T10:00:00.123456Z>"));
    free(out);
    p = listen_start(f, "--lease", "--count", "1", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->out, "Z\",\"due\":\"20");
    assert_holds(p->out, ",\"priority\":999,\"order_key\":\"ada\",\"dedup_key\":\"order 17\",\"errors\":1,");
    /* In a scope there is no end. */
    send_text(f, "x");
    p = listen_start(f, "--count", "1", SH, "echo \"<${PGQ_ORDER_KEY-}|${PGQ_DEDUP_KEY-}|${PGQ_DUE-}>\"",
                     NULL);
    unsetenv("PGQ_DUE");
    unsetenv("PGQ_ORDER_KEY");
    unsetenv("PGQ_DEDUP_KEY");
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->out, "<||>\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(longer_than_the_lease),
        TEST(thirty_seconds_if_not_said),
        TEST(no_transaction_meanwhile),
        TEST(killed_in_mid_job),
        TEST(server_gone_in_mid_job),
        TEST(first_signal_finishes),
        TEST(connections_lost_while_it_stops),
        TEST(second_signal_ends_the_command),
        TEST(failures_are_told),
        TEST(lost_lease_ends_the_command),
        TEST(stopped_past_its_lease),
        TEST(cut_off_at_once),
        TEST(cut_off_when_extended),
        TEST(a_stream_under_leases),
        TEST(a_slow_reader_holds_no_transaction),
        TEST(commands_learn_the_keys_and_the_end),
    };
    need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
