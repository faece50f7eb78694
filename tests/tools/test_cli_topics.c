/* SPDX-License-Identifier: MIT */
/* pgq topic, and shutdown. */
#include "cli_harness.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static void publishing(void **state)
{
    static const cli_step steps[] = {
        {"pgq topic publish news one --fields topic,result", 0, "=news\tpublished", NULL},
        {"printf 'two\\n' | pgq topic publish news - --headers '{\"n\": 1.50}' -q", 0, NULL, NULL},
        {"printf '\\0' >$T/file; pgq topic publish news --file $T/file --kind binary -q", 0, NULL, NULL},
        {"printf 'a\\nb\\n' | pgq topic publish news --lines", 0, "=news\t2", NULL},
        {"printf 'c\\0d' | pgq topic publish news -0 --batch 1", 0, "=news\t2", NULL},
        {"printf '{\"payload\":{\"x\":1.50},\"headers\":{\"to\":\"me\"}}\\n\\n"
         "{\"payload\":\"AP8=\",\"encoding\":\"base64\"}\\n{\"payload\":\"t\"}' "
         "| pgq topic publish news --jsonl --headers '{\"to\":\"all\"}' --fields published",
         0, "=3", NULL},
        {"pgq topic subscribe news --from oldest --timeout 0 --format json --fields kind,headers,payload", 0,
         "={\"kind\":\"text\",\"headers\":null,\"payload\":\"one\"}\n"
         "{\"kind\":\"text\",\"headers\":{\"n\": 1.50},\"payload\":\"two\\n\"}\n"
         "{\"kind\":\"binary\",\"headers\":null,\"payload\":\"AA==\"}\n"
         "{\"kind\":\"text\",\"headers\":null,\"payload\":\"a\"}\n"
         "{\"kind\":\"text\",\"headers\":null,\"payload\":\"b\"}\n"
         "{\"kind\":\"text\",\"headers\":null,\"payload\":\"c\"}\n"
         "{\"kind\":\"text\",\"headers\":null,\"payload\":\"d\"}\n"
         "{\"kind\":\"json\",\"headers\":{\"to\":\"me\"},\"payload\":{\"x\":1.50}}\n"
         "{\"kind\":\"binary\",\"headers\":{\"to\":\"all\"},\"payload\":\"AP8=\"}\n"
         "{\"kind\":\"text\",\"headers\":{\"to\":\"all\"},\"payload\":\"t\"}",
         NULL},
        {"echo '{\"payload\":1,\"priority\":2}' | pgq topic publish news --jsonl", 2, NULL,
         "line 1 was not sent, nor any behind it: key \"priority\" is unknown"},
        {"printf '\\377' | pgq topic publish news", 2, NULL, "must be valid UTF-8"},
        {"printf 'ok\\n\\377\\n' | pgq topic publish fresh --lines", 2, NULL,
         "items 1 to 2 were not sent, those before were:"},
        {"pgq topic latest fresh", 3, NULL, NULL},
        {"pgq topic publish '' x", 2, NULL, "topic"},
        {"pgq topic publish news x --file $T/file", 2, NULL, "--file is not allowed with a payload"},
        {"pgq json '{\"cmd\":\"topic publish\",\"topic\":\"news\",\"payload\":[1.50],\"headers\":{\"a\":1}}' "
         "--format json | cut -d, -f2-",
         0, "=\"topic\":\"news\",\"result\":\"published\"}", NULL},
        {"pgq json '{\"cmd\":\"topic latest\",\"topic\":\"news\",\"fields\":\"headers,payload\"}'", 0,
         "={\"headers\":{\"a\":1},\"payload\":[1.50]}", NULL},
    };
    CLI_STEPS(*state, steps);
}

static void reading(void **state)
{
    static const cli_step steps[] = {
        {"pgq topic subscribe news --timeout 0", 3, NULL, NULL},
        {"pgq topic latest news", 3, NULL, NULL},
        {"pgq topic list", 3, NULL, NULL},
        {"pgq topic list --format json", 3, NULL, NULL},
        {"pgq topic subscribers news --format yaml", 3, "=[]", NULL},
        {"pgq topic subscribe news --as me --timeout 0 --hold 1h", 3, NULL, NULL},
        {"seq 5 | pgq topic publish news --lines -q; pgq topic subscribe news --as me -n 2 --raw", 0, "=1\n2",
         NULL},
        {"pgq topic subscribe news --as me -n 2 --raw -0 | tr '\\0' ,; echo", 0, "=3,4,", NULL},
        {"pgq topic subscribers --fields topic,subscriber,behind,hold_ms,commits", 0,
         "=news\tme\t1\t3600000\t2", NULL},
        /* What could not be written was not read. */
        {"pgq topic subscribe news --as me --timeout 0 >/dev/full", 1, NULL,
         "cannot write to stdout: No space left on device"},
        {"pgq topic subscribe news --as me --timeout 0 --raw --from now --hold none", 0, "=5", NULL},
        {"pgq topic subscribe news --as me --timeout 0", 3, NULL, NULL},
        {"pgq topic subscribers news --fields behind,age_ms,hold_ms,commits", 0, "=0\t\\N\t\\N\t3", NULL},
        {"P=$(pgq topic subscribers --fields position); seq 6 7 | pgq topic publish news --lines -q;"
         "pgq topic subscribe news --from $P --raw --timeout 0",
         0, "=6\n7", NULL},
        {"pgq topic latest news --raw; echo", 0, "=7", NULL},
        {"pgq topic latest news --format plain --fields topic,kind,payload", 0, "=news\ttext\t7", NULL},
        {"pgq topic latest news --as me --raw; echo", 0, "=7", NULL},
        {"pgq topic latest news --as me", 3, NULL, NULL},
        {"pgq topic subscribe news --from yesterday", 2, NULL,
         "\"yesterday\" is no position in a topic: \"now\", \"oldest\" or a position is allowed"},
        {"pgq topic subscribe news --hold 5", 2, NULL, "--hold needs --as SUBSCRIBER"},
        {"pgq topic subscribe news --as '' --timeout 0", 2, NULL, "subscriber"},
        {"pgq topic unsubscribe news me", 0, "=news\tme\tunsubscribed", NULL},
        {"pgq topic unsubscribe news me", 3, NULL, "topic \"news\" has no subscriber \"me\""},
        {"pgq topic unsubscribe news", 2, NULL, "topic unsubscribe needs more arguments"},
        {"pgq topic list --fields topic,messages,retain_ms,max_messages,own_log,bytes,subscribers,queues", 0,
         "=news\t7\t600000\t\\N\tfalse\t\\N\t0\t[]", NULL},
    };
    CLI_STEPS(*state, steps);
}

static void keeping(void **state)
{
    static const cli_step steps[] = {
        {"pgq topic create a b --retain 5m --max-messages 1000", 0, "a\tcreated\nb\tcreated\n", NULL},
        {"pgq topic create a", 1, NULL, "exists"},
        {"pgq topic create a c --if-not-exists", 0, "a\texists\nc\tcreated\n", NULL},
        {"pgq topic publish old x -q; pgq topic create old --if-not-exists", 1, NULL,
         "\"old\" lies in the common log already"},
        {"pgq topic create x --retain 1ms", 2, NULL, "a retention of 1 ms is out of range"},
        {"pgq topic create x --max-messages 0", 2, NULL,
         "--max-messages \"0\" is not allowed: 1 to 9223372036854775807, or none, is"},
        {"pgq topic list a --fields topic,retain_ms,max_messages,own_log", 0, "=a\t300000\t1000\ttrue", NULL},
        {"pgq topic set a b --max-messages none", 0, "a\tchanged\nb\tchanged\n", NULL},
        {"pgq topic set --common --retain 1h", 0, "=\\N\tchanged", NULL},
        {"pgq topic list --fields topic,retain_ms,max_messages", 0,
         "=a\t300000\t\\N\nb\t300000\t\\N\nc\t600000\t\\N\nold\t3600000\t\\N", NULL},
        {"pgq topic set a", 2, NULL, "topic set needs --retain or --max-messages"},
        {"pgq topic set --retain 5m", 2, NULL, "topic set needs a TOPIC, or --common"},
        {"pgq topic set a --common --retain 5m", 2, NULL, "--common is not allowed with \"a\""},
        {"pgq topic set nowhere --retain 5m", 3, NULL, "\"nowhere\""},
        {"pgq topic bind a q --filter '{\"to\": \"me\"}'", 0, "=a\tq\tbound", NULL},
        {"pgq create 'odd \"1\"' -q; pgq topic bind a 'odd \"1\"' -q; pgq topic list a --fields queues", 0,
         "=[\"odd \\\\\"1\\\\\"\",\"q\"]", NULL},
        {"pgq topic publish a 1 -q; pgq topic publish a 2 --headers '{\"to\": \"me\", \"n\": 1}' -q;"
         "pgq pop q -n 9 --fields payload,headers --format plain",
         0, "=2\t{\"to\": \"me\", \"n\": 1}", NULL},
        {"pgq topic bind a nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq topic bind a q --filter '[1]'", 2, NULL, "--filter \"[1]\" is not allowed: a JSON object is"},
        {"pgq topic unbind a q", 0, "=a\tq\tunbound", NULL},
        {"pgq topic unbind a q", 3, NULL, "queue \"q\" is not bound to topic \"a\""},
        {"pgq topic tend | grep -cx '[0-9]*'", 0, "=1", NULL},
        {"pgq topic delete a b", 2, NULL,
         "topic delete would delete the topic \"a\" and 1 more with all messages and subscribers: give "
         "--yes"},
        {"pgq topic delete a b -y", 0, "a\tdeleted\nb\tdeleted\n", NULL},
        {"pgq topic delete a -y", 3, NULL, "\"a\""},
        {"pgq topic list --fields topic", 0, "=c\nold", NULL},
        {"pgq -n ${PGQ_NAMESPACE}_none topic list", 1, NULL, "run \"pgq install\""},
        {"pgq -n ${PGQ_NAMESPACE}_none shutdown", 1, NULL, "run \"pgq install\""},
        {"pgq shutdown --fields result", 0, "=shut_down", NULL},
    };
    CLI_STEPS(*state, steps);
}

/* --- while it runs --- */

static bool has_written(const cli *t, const char *text)
{
    char *out = cli_slurp(t, "bg.out", NULL);
    bool has = strstr(out, text) != NULL;
    free(out);
    return has;
}

static void following(void **state)
{
    cli *t = *state;
    cli_run(t, "pgq topic subscribe news --as me --timeout 0; pgq topic publish news first -q");
    pid_t pid = cli_start(t, "exec pgq topic subscribe news --as me --raw --poll-interval none");
    CLI_WAIT_FOR(has_written(t, "first\n"));
    cli_run(t, "pgq topic publish news second -q");
    CLI_WAIT_FOR(has_written(t, "second\n"));
    kill(pid, SIGINT);
    assert_int_equal(cli_wait(pid), 130);
    cli_run(t, "pgq topic publish news third -q; pgq topic subscribe news --as me --raw --timeout 0");
    assert_string_equal(t->out, "third\n");
    /* The reader has left: nothing that it has not had is passed over. */
    cli_run(t, "seq 20000 | pgq topic publish news --lines -q;"
               "pgq topic subscribe news --as me --raw | head -n 1; echo ${PIPESTATUS[0]};"
               "pgq topic subscribe news --as me --raw --timeout 0 | tail -n 1");
    assert_string_equal(t->out, "1\n1\n20000\n");
    cli_run(t,
            "seq 20000 >$T/seq; pgq topic subscribe news --from oldest --raw --timeout 0 | tail -n 20000 | "
            "cmp - $T/seq");
    assert_int_equal(t->status, 0);
}

/* Who waits says why it ends; 3: it has had nothing. */
static void shut_down(void **state)
{
    static const char said[] = "pgq: the wait was ended: the namespace is being shut down\n";
    static const struct {
        const char *line, *written;
        int status;
    } waits[] = {
        {"exec pgq receive q --timeout 60", "", 3},
        {"exec pgq topic subscribe news --raw", "", 3},
        {"exec pgq topic subscribe news --raw --from oldest", "first\n", 0},
        {"exec pgq watch --fields queue,event --format plain", "q\tseen\n", 0},
    };
    cli *t = *state;
    cli_run(t, "pgq topic publish news first -q");
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        int status;
        pid_t pid = cli_start(t, waits[i].line);
        CLI_WAIT_FOR(has_written(t, waits[i].written));
        /* It may not wait yet. */
        CLI_WAIT_FOR((cli_run(t, "pgq shutdown -q"), waitpid(pid, &status, WNOHANG) == pid));
        char *out = cli_slurp(t, "bg.out", NULL), *err = cli_slurp(t, "bg.err", NULL);
        assert_string_equal(err, said);
        assert_string_equal(out, waits[i].written);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), waits[i].status);
        free(out);
        free(err);
    }
}

static void another_has_the_name(void **state)
{
    cli *t = *state;
    cli_run(
        t,
        "mkfifo $T/pipe; pgq topic subscribe news --as me --timeout 0; head -c 200000 /dev/zero | tr '\\0' x "
        "| pgq topic publish news -q; pgq topic publish news last -q");
    /* Its reader does not read on: the messages are read, and not committed. */
    pid_t pid = cli_start(t, "exec pgq topic subscribe news --as me --raw --timeout 0 >$T/pipe");
    cli_run(t, "exec 5<$T/pipe; read -rn 1 <&5; pgq topic latest news --as me --raw; cat <&5 >/dev/null");
    assert_string_equal(t->out, "last");
    assert_int_equal(cli_wait(pid), 1);
    char *err = cli_slurp(t, "bg.err", NULL);
    assert_non_null(strstr(err, "another process"));
    free(err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cli_setup, cli_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(publishing), TEST(reading),   TEST(keeping),
        TEST(following),  TEST(shut_down), TEST(another_has_the_name),
    };
    cli_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
