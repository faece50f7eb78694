/* SPDX-License-Identifier: MIT */
/* What ends the program: signals, --drain, --count, and what keeps it from starting. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>

#define SH "--", "sh", "-c"

/* A command that waits for the file "go". */
#define UNTIL_GO "echo $$ > $T/pid; until [ -e $T/go ]; do sleep 0.02; done"

static void first_signal_finishes(fixture *f, int number)
{
    send_text(f, "x");
    send_text(f, "y");
    process *p = listen_start(f, SH, UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    assert_int_equal(kill(p->pid, number), 0);
    WAIT_FOR(file_holds(p->err, " stopping"));
    assert_false(is_gone(pid_in(f, "pid")));
    touch(f, "go");
    assert_int_equal(listen_wait(p), 0);
    /* The one is done, the other was not taken. */
    assert_returned(f, 0, 0, NULL);
    assert_holds(p->err, " stopped done=1 failed=0\n");
}

static void first_term_finishes(void **state)
{
    first_signal_finishes(*state, SIGTERM);
}

static void first_int_finishes(void **state)
{
    first_signal_finishes(*state, SIGINT);
}

static void second_signal_ends_the_children(void **state)
{
    fixture *f = *state;
    send_text(f, "x");
    process *p = listen_start(f, "--kill-after", "0.2", SH, "trap '' TERM; " UNTIL_GO, NULL);
    WAIT_FOR(pid_in(f, "pid") > 0);
    kill(p->pid, SIGINT);
    WAIT_FOR(file_holds(p->err, " stopping"));
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 1);
    assert_true(is_gone(pid_in(f, "pid")));
    assert_returned(f, 1, 1, "pgq-listen was told to stop at once");
}

static void signal_while_idle(void **state)
{
    fixture *f = *state;
    process *p = listen_start(f, "-j", "3", "--", "true", NULL);
    WAIT_FOR(file_holds(p->err, " started"));
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, " stopped done=0 failed=0\n");
}

static void shutdown_ends_it(void **state)
{
    fixture *f = *state;
    process *p = listen_start(f, "--", "true", NULL);
    WAIT_FOR(file_holds(p->err, " started"));
    assert_int_equal(pgq_shutdown(f->q), PGQ_OK);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, " shutdown text=\"the wait was ended: the namespace is being shut down\"\n");
    assert_holds(p->err, " stopped done=0 failed=0\n");
}

static void drain_ends_with_the_last(void **state)
{
    fixture *f = *state;
    pgq_enqueue_options later = PGQ_ENQUEUE_OPTIONS_INIT;
    later.delay_ms = 600000;
    assert_int_equal(pgq_enqueue(f->q, QUEUE, "later", 5, &later, NULL), PGQ_OK);
    for (int i = 0; i < 20; i++)
        send_text(f, "x");
    process *p = listen_start(f, "-j", "2", "--drain", "--quiet", "--", "true", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, " stopped done=20 failed=0\n");
    assert_false(file_holds(p->err, " done queue="));
    pgq_counts counts = counts_of(f);
    assert_int_equal(counts.ready, 0);
    assert_int_equal(counts.delayed, 1);
    assert_int_equal(listen_run(f, "--drain", "--", "true", NULL), 0);
}

static void count_ends_after_that_many(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 5; i++)
        send_text(f, "x");
    process *p =
        listen_start(f, "-j", "2", "--count", "3", SH, "[ $PGQ_ERRORS = 0 ] && exit 0; exit 1", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, " stopped done=3 failed=0\n");
    assert_true(counts_are(f, 2, 0));
    p = listen_start(f, "--count", "1", "--", "false", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->err, " stopped done=0 failed=1\n");
}

static void several_queues(void **state)
{
    fixture *f = *state;
    assert_int_equal(pgq_create_queue(f->q, "mail & \"more\"", NULL, 0), PGQ_OK);
    assert_int_equal(pgq_enqueue(f->q, "mail & \"more\"", "x", 1, NULL, NULL), PGQ_OK);
    send_text(f, "x");
    process *p = listen_start(f, "-q", "mail & \"more\"", "--drain", SH, "echo \"<$PGQ_QUEUE>\"", NULL);
    assert_int_equal(listen_wait(p), 0);
    assert_holds(p->out, "<" QUEUE ">\n");
    assert_holds(p->out, "<mail & \"more\">\n");
    assert_holds(p->err, " done queue=\"mail & \\\"more\\\"\" id=");
}

static void a_woken_worker_works(void **state)
{
    fixture *f = *state;
    process *p = listen_start(f, "--poll", "0", "--", "true", NULL);
    WAIT_FOR(file_holds(p->err, " started"));
    for (int i = 1; i <= 5; i++) {
        send_text(f, "x");
        WAIT_FOR(count_in_file(p->err, " done queue=") == i);
    }
    kill(p->pid, SIGTERM);
    assert_int_equal(listen_wait(p), 0);
}

static void what_is_not_there_is_a_failure(void **state)
{
    fixture *f = *state;
    const char *server = getenv("PGQ_TEST_DSN");
    process *p = listen_start_bare(f, "-d", server, "-n", f->name_space, "-q", "nowhere", "--", "true", NULL);
    assert_int_equal(listen_wait(p), 1);
    assert_holds(p->err, "nowhere");
    p = listen_start_bare(f, "-d", server, "-n", "pgq_no_such_namespace", "-q", QUEUE, "--", "true", NULL);
    assert_int_equal(listen_wait(p), 1);
    assert_holds(p->err, " error text=\"cannot start: ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(first_term_finishes),
        TEST(first_int_finishes),
        TEST(second_signal_ends_the_children),
        TEST(signal_while_idle),
        TEST(shutdown_ends_it),
        TEST(drain_ends_with_the_last),
        TEST(count_ends_after_that_many),
        TEST(several_queues),
        TEST(a_woken_worker_works),
        TEST(what_is_not_there_is_a_failure),
    };
    need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
