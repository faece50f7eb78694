/* SPDX-License-Identifier: MIT */
/* pgq top on a terminal: what it shows, at every size; its keys; and the terminal as it was, whatever ends
 * it. */
#include "screen.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void shown_whole(screen *s)
{
    if (s->too_long || s->too_far)
        fail_msg("%d characters behind the end of a line of %d, %d times out of %d lines", s->too_long,
                 s->columns, s->too_far, s->rows);
}

static void fill(cli *t)
{
    cli_run(
        t,
        "pgq create paused 'a queue with \xc3\xbc and a name that is longer than any terminal is wide, or so "
        "its author was told when it was made' -q; pgq pause paused -q;"
        "seq 9 | pgq enqueue q --lines -q; pgq enqueue q later --delay 1h -q;"
        "pgq receive q -n 2 --lease 1h -q >/dev/null; pgq enqueue $'paused' $'x' -q;"
        "pgq receive q --fields receipt --format plain | pgq nack - --requeue=no -q");
    assert_int_equal(t->status, 0);
}

/* A session that takes, or sleeps, until it is finished. */
static PGconn *consume(cli *t, const char *sql)
{
    char text[256];
    PGconn *conn = PQconnectdb(getenv("PGQ_TEST_DSN"));
    snprintf(text, sizeof text, "SET search_path = %s; %s", t->name_space, sql);
    PGresult *res = PQexec(conn, text);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(conn));
    PQclear(res);
    return conn;
}

static void every_size(void **state)
{
    static const int sizes[][2] = {{50, 200}, {12, 60}, {9, 40}, {8, 40}, {5, 20}, {3, 10}, {1, 1}};
    cli *t = *state;
    screen s;
    fill(t);
    PGconn *scope = consume(t, "SET application_name = 'at work'; BEGIN; SELECT dequeue('q')");
    PGconn *sleeper = consume(t, "SELECT doze('q')");
    screen_start(&s, 24, 80, "exec pgq top --interval 50ms");
    CLI_WAIT_FOR(screen_has(&s, "sent/s, 0.0 received/s"));
    assert_true(screen_has(&s, t->name_space));
    assert_true(screen_has(&s, "6 ready, 1 waiting, 3 in flight, 1 dead; 0.0 sent/s"));
    assert_true(
        screen_has(&s, "queue         ready delayed blocked in_flight    dead  sent/s received/s  oldest"));
    assert_true(
        screen_has(&s, "a queue wi~       0       0       0         0       0     0.0        0.0       -"));
    assert_true(screen_has(&s, "= paused          1       0       0         0       0     0.0        0.0"));
    assert_true(screen_has(&s, "q                 5       1       0         3       1     0.0        0.0"));
    assert_true(screen_has(&s, "at work "));
    assert_true(screen_has(&s, "q        lease                                    2"));
    assert_true(screen_has(&s, "q        sleep"));
    assert_true(screen_has(&s, "59m"));
    assert_true(screen_has(&s, "q quit  s sort: queue"));
    shown_whole(&s);
    screen_resize(&s, 50, 200);
    CLI_WAIT_FOR(screen_has(&s, "or so its author was told when it was made"));
    CLI_WAIT_FOR(screen_has(&s, "client"));
    screen_type(&s, "q");
    assert_int_equal(screen_end(&s), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        screen_start(&s, sizes[i][0], sizes[i][1], "exec pgq top --interval 50ms");
        CLI_WAIT_FOR(screen_has(&s, sizes[i][1] < 7 ? "~" : "pgq top"));
        /* Twice, so that one was seen to its end. */
        screen_type(&s, "s");
        screen_type(&s, "q");
        assert_int_equal(screen_end(&s), 0);
        shown_whole(&s);
    }
    PQfinish(scope);
    PQfinish(sleeper);
}

static void more_than_fits(void **state)
{
    cli *t = *state;
    screen s;
    PGconn *sleepers[12];
    cli_run(t, "pgq create n$(seq -s ' n' -w 30) -q");
    for (int i = 0; i < 12; i++)
        sleepers[i] = consume(t, "SELECT doze('q')");
    screen_start(&s, 24, 80, "exec pgq top --interval 50ms");
    CLI_WAIT_FOR(screen_has(&s, "queues 1 to 11 of 31"));
    assert_true(screen_has(&s, "and 7 more: see pgq consumers"));
    assert_true(screen_has(&s, "n11  ") && !screen_has(&s, "n12  "));
    screen_type(&s, "j\033[B");
    CLI_WAIT_FOR(screen_has(&s, "queues 3 to 13 of 31"));
    screen_type(&s, "k\033[A\033[Ak");
    CLI_WAIT_FOR(screen_has(&s, "queues 1 to 11 of 31"));
    screen_type(&s, "jjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjj");
    CLI_WAIT_FOR(screen_has(&s, "queues 21 to 31 of 31"));
    shown_whole(&s);
    screen_type(&s, "q");
    assert_int_equal(screen_end(&s), 0);
    for (int i = 0; i < 12; i++)
        PQfinish(sleepers[i]);
}

/* Which line begins with that; -1: none does. */
static int line_of(const screen *s, const char *begin)
{
    for (int i = 0; i < s->rows; i++) {
        if (strncmp(s->cells[i], begin, strlen(begin)) == 0)
            return i;
    }
    return -1;
}

static void rates_and_order(void **state)
{
    cli *t = *state;
    screen s;
    cli_run(t, "pgq create a b -q; seq 3 | pgq enqueue b --lines -q");
    screen_start(&s, 24, 80, "exec pgq top a b --interval 1h --sort ready");
    CLI_WAIT_FOR(screen_has(&s, "s sort: ready"));
    assert_true(line_of(&s, "b ") < line_of(&s, "a "));
    assert_true(screen_has(&s, "; - sent/s, - received/s") && !screen_has(&s, "q    "));
    cli_run(t, "seq 500 | pgq enqueue a --lines -q");
    screen_type(&s, " ");
    CLI_WAIT_FOR(screen_has(&s, "503 ready"));
    assert_true(line_of(&s, "a ") < line_of(&s, "b "));
    assert_false(screen_has(&s, "- sent/s"));
    assert_false(screen_has(&s, " 0.0 sent/s"));
    assert_true(screen_has(&s, " 0.0 received/s"));
    for (const char *const *next = (const char *const[]){"delayed", "in_flight", "dead", "sent", "received",
                                                         "oldest", "queue", NULL};
         *next; next++) {
        char text[32];
        snprintf(text, sizeof text, "s sort: %s ", *next);
        screen_type(&s, "s");
        CLI_WAIT_FOR(screen_has(&s, text));
        if (strcmp(*next, "oldest") == 0)
            assert_true(line_of(&s, "b ") < line_of(&s, "a "));
    }
    screen_type(&s, "q");
    assert_int_equal(screen_end(&s), 0);
}

static void every_way_out(void **state)
{
    static const struct {
        const char *typed;
        int sent, status;
    } ways[] = {{"q", 0, 0},
                {"\003", 0, 130},
                {"", SIGTERM, 143},
                {"", SIGINT, 130},
                {"", SIGHUP, 1000 + SIGHUP},
                {"\034", 0, 1000 + SIGQUIT}};
    screen s;
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        screen_start(&s, 24, 80, "exec pgq top");
        CLI_WAIT_FOR(screen_has(&s, "q quit"));
        assert_false(screen_is_plain(&s));
        screen_type(&s, ways[i].typed);
        if (ways[i].sent)
            kill(s.pid, ways[i].sent);
        assert_int_equal(screen_end(&s), ways[i].status);
    }
}

static void stopped_and_resumed(void **state)
{
    screen s;
    int status;
    (void)state;
    screen_start(&s, 24, 80, "exec pgq top");
    CLI_WAIT_FOR(screen_has(&s, "q quit"));
    screen_type(&s, "\032");
    CLI_WAIT_FOR(waitpid(s.pid, &status, WNOHANG | WUNTRACED) == s.pid);
    assert_true(WIFSTOPPED(status));
    assert_true(screen_is_plain(&s));
    kill(s.pid, SIGCONT);
    CLI_WAIT_FOR(screen_has(&s, "q quit") && !screen_is_plain(&s));
    screen_type(&s, "q");
    assert_int_equal(screen_end(&s), 0);
}

/* The way to the server is a link, which goes and comes back. */
static void server_goes_and_comes_back(void **state)
{
    cli *t = *state;
    screen s;
    PGconn *conn = pgq_connection(t->q);
    if (*PQhost(conn) != '/') {
        print_message("skipped: the server is not reached by a Unix socket\n");
        return;
    }
    cli_run(t, "ln -s %s/.s.PGSQL.%s $T/.s.PGSQL.5432", PQhost(conn), PQport(conn));
    setenv("TEST_USER", PQuser(conn), 1);
    setenv("TEST_DB", PQdb(conn), 1);
    screen_start(&s, 24, 80,
                 "PGAPPNAME=$PGQ_NAMESPACE exec pgq top --interval 50ms -d \"host=$T port=5432 "
                 "user=$TEST_USER dbname=$TEST_DB\"");
    CLI_WAIT_FOR(screen_has(&s, "q quit"));
    assert_true(line_of(&s, "0 ready") > 0);
    cli_run(t,
            "rm $T/.s.PGSQL.5432; psql -qXAt \"$PGQ_TEST_DSN\" -c \"SELECT pg_terminate_backend(pid) FROM "
            "pg_stat_activity WHERE application_name = '%s'\"",
            t->name_space);
    assert_string_equal(t->out, "t\n");
    CLI_WAIT_FOR(screen_has(&s, "trying again: "));
    CLI_WAIT_FOR(screen_has(&s, "on socket"));
    assert_true(screen_has(&s, "q quit") && line_of(&s, "q ") > 0);
    cli_run(t, "pgq enqueue q x -q; ln -s %s/.s.PGSQL.%s $T/.s.PGSQL.5432", PQhost(conn), PQport(conn));
    CLI_WAIT_FOR(screen_has(&s, "1 ready") && !screen_has(&s, "trying again"));
    shown_whole(&s);
    screen_type(&s, "q");
    assert_int_equal(screen_end(&s), 0);
}

static void namespace_goes(void **state)
{
    cli *t = *state;
    screen s;
    screen_start(&s, 24, 80, "exec pgq top --interval 50ms");
    CLI_WAIT_FOR(screen_has(&s, "q quit"));
    cli_run(t, "pgq drop -y");
    CLI_WAIT_FOR(screen_has(&s, "does not exist"));
    cli_run(t, "pgq install -q");
    CLI_WAIT_FOR(screen_has(&s, "no queue is here") && !screen_has(&s, "does not exist"));
    screen_type(&s, "q");
    assert_int_equal(screen_end(&s), 0);
}

static void refusals(void **state)
{
    static const cli_step steps[] = {
        {"pgq top", 2, NULL, "top needs a terminal for stdin and stdout"},
        {"pgq top --interval 5ms", 2, NULL, "--interval \"5ms\" is not allowed"},
        {"pgq top --sort size", 2, NULL, "--sort \"size\" is not allowed: queue|ready|"},
        {"pgq top --format json", 2, NULL, "--format is not allowed with top"},
    };
    cli *t = *state;
    CLI_STEPS(t, steps);
    cli_terminal(t, 80, "TERM=dumb pgq top", NULL, NULL);
    assert_int_equal(t->status, 2);
    assert_non_null(strstr(t->out, "and its name in TERM"));
    cli_terminal(t, 80, "pgq top nowhere", NULL, NULL);
    assert_int_equal(t->status, 3);
    assert_non_null(strstr(t->out, "queue \"nowhere\" does not exist"));
    assert_null(strstr(t->out, "\033[?1049h"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cli_setup, cli_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_size),          TEST(more_than_fits),
        TEST(rates_and_order),     TEST(every_way_out),
        TEST(stopped_and_resumed), TEST(server_goes_and_comes_back),
        TEST(namespace_goes),      TEST(refusals),
    };
    cli_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
