/* SPDX-License-Identifier: MIT */
/* pgq's command line, help, completion, manual and settings: they need no server. */
#include "cli_harness.h"

#include <stdio.h>

static void mistakes_are_explained(void **state)
{
    static const cli_step steps[] = {
        {"pgq", 2, NULL, "a VERB is needed: see pgq --help"},
        {"pgq frob", 2, NULL, "verb \"frob\" is unknown: there are install, "},
        {"pgq dead", 2, NULL, "dead needs another word behind it: list, show, requeue, purge"},
        {"pgq dead frob", 2, NULL, "dead needs another word behind it: list, show, requeue, purge"},
        {"pgq dead -q", 2, NULL, "dead needs another word behind it"},
        {"pgq dead --lease 5", 2, NULL, "option \"--lease\" is unknown here"},
        {"pgq 'dead list' q", 2, NULL, "verb \"dead list\" is unknown"},
        {"pgq topic", 2, NULL,
         "topic needs another word behind it: publish, subscribe, latest, list, subscribers, unsubscribe, "
         "create, set, delete, bind, unbind, tend"},
        {"pgq topic subscribe", 2, NULL, "topic subscribe needs an argument: pgq topic subscribe TOPIC"},
        {"pgq topic bind a", 2, NULL, "topic bind needs more arguments: pgq topic bind TOPIC QUEUE"},
        {"pgq topic publish a b c", 2, NULL, "\"c\" is not allowed here: pgq topic publish TOPIC"},
        {"pgq topic publish a b --priority 1", 2, NULL,
         "option \"--priority\" is unknown to topic publish: these are allowed: --kind --headers"},
        {"pgq json '{\"cmd\":\"topic publish\",\"topic\":\"a\"}'", 2, NULL,
         "object 1: topic publish needs a payload, or a file, here"},
        {"pgq grant admin me", 2, NULL, "grant needs another word behind it: producer, consumer, monitor"},
        {"pgq grant producer", 2, NULL, "grant producer needs an argument: pgq grant producer ROLE..."},
        {"pgq --frob view", 2, NULL,
         "option \"--frob\" is unknown here: before the verb these are allowed: --dsn"},
        {"pgq -x view", 2, NULL, "option \"-x\" is unknown here"},
        {"pgq view --lease 5", 2, NULL, "option \"--lease\" is unknown to view: these are allowed: --names"},
        {"pgq view -q -x", 2, NULL, "option \"-x\" is unknown to view"},
        {"pgq view -d", 2, NULL, "option \"-d\" needs a value: CONNINFO"},
        {"pgq view --dsn", 2, NULL, "option \"--dsn\" needs a value: CONNINFO"},
        {"pgq view --names=3", 2, NULL, "--names \"3\" is not allowed: it takes no value"},
        {"pgq view --namespace ''", 2, NULL, "--namespace \"\" is not allowed: the name of a schema"},
        {"pgq view --format xml", 2, NULL,
         "--format \"xml\" is not allowed: table|plain|json|yaml|prometheus are"},
        {"pgq view --format prometheus", 2, NULL,
         "--format prometheus is not allowed with view: it is of stats"},
        {"pgq create", 2, NULL, "create needs an argument: pgq create QUEUE..."},
        {"pgq peek", 2, NULL, "peek needs an argument: pgq peek QUEUE"},
        {"pgq peek a b", 2, NULL, "\"b\" is not allowed here: pgq peek QUEUE"},
        {"pgq create q -p -1", 2, NULL, "--priority \"-1\" is not allowed: 0 to 2147483647 are"},
        {"pgq create q -p 2147483648", 2, NULL, "--priority \"2147483648\" is not allowed"},
        {"pgq create q -p 1x", 2, NULL, "--priority \"1x\" is not allowed"},
        {"pgq create q --max-size 1073741824", 2, NULL, "0 to 1073741823, or none, is"},
        {"pgq create q --error-limit 0", 2, NULL,
         "--error-limit \"0\" is not allowed: 1 to 2147483647, or none, is"},
        {"pgq create q --lease soon", 2, NULL,
         "--lease \"soon\" is not allowed: 0 to 9999999 seconds are: 30, 1.5,"},
        {"pgq create q --lease 1.2345", 2, NULL, "--lease \"1.2345\" is not allowed"},
        {"pgq create q --lease 0.5ms", 2, NULL, "--lease \"0.5ms\" is not allowed"},
        {"pgq create q --lease 1w", 2, NULL, "--lease \"1w\" is not allowed"},
        {"pgq create q --lease 9999999001ms", 2, NULL, "is not allowed"},
        {"pgq create q --lease 116d", 2, NULL, "is not allowed"},
        {"pgq create q --lease none", 2, NULL, "--lease \"none\" is not allowed"},
        {"pgq create q --ttl 0", 2, NULL,
         "--ttl \"0\" is not allowed: some ms to 9999999 seconds, or none, is"},
        {"pgq create q --retry-factor 0.5", 2, NULL, "--retry-factor \"0.5\" is not allowed: 1 to 100 are"},
        {"pgq create q --retry-jitter nan", 2, NULL, "--retry-jitter \"nan\" is not allowed: 0 to 1 are"},
        {"pgq create q --requeue=maybe", 2, NULL, "--requeue \"maybe\" is not allowed: yes and no are"},
        {"pgq enqueue q x --kind xml", 2, NULL, "--kind \"xml\" is not allowed: text|json|binary are"},
        {"pgq enqueue q x --headers '[1]'", 2, NULL, "--headers \"[1]\" is not allowed: a JSON object is"},
        {"pgq enqueue q x --headers '{\"a\":1'", 2, NULL, "a JSON object is"},
        {"pgq enqueue q x --headers '{} x'", 2, NULL, "a JSON object is"},
        {"pgq enqueue q x --due tomorrow", 2, NULL,
         "--due \"tomorrow\" is not allowed: a time such as 2026-11-21T"},
        {"pgq enqueue q x --due 2026-02-30T00:00:00Z", 2, NULL,
         "--due \"2026-02-30T00:00:00Z\" is not allowed"},
        {"pgq enqueue q x --due 2026-02-03T00:00:00", 2, NULL, "is not allowed: a time"},
        {"pgq enqueue q x --due 2026-02-03T00:00:00+99:00", 2, NULL, "is not allowed: a time"},
        {"pgq enqueue q x --due 2026-02-03T00:00:00.1234567Z", 2, NULL, "is not allowed: a time"},
        {"pgq get x --raw --format json", 2, NULL, "--raw is not allowed with --format or --fields"},
        {"pgq completion tcsh", 2, NULL,
         "completion for \"tcsh\" is not there: bash, zsh and fish are allowed"},
        {"pgq man nonsense", 2, NULL, "\"nonsense\" is no group of verbs"},
        {"pgq json '{\"cmd\":\"view\"'", 2, NULL, "object 1: it is not JSON: it has no end"},
        {"pgq json '[1]'", 2, NULL, "object 1: an object is needed, such as {\"cmd\": \"view\"}"},
        {"pgq json '{}'", 2, NULL, "object 1: the object has no \"cmd\""},
        {"pgq json '{\"cmd\":\"frob\"}'", 2, NULL, "object 1: cmd \"frob\" is unknown"},
        {"pgq json '{\"cmd\":\"json\"}'", 2, NULL, "object 1: cmd \"json\" is unknown"},
        {"pgq json '{\"cmd\":\"view\",\"root\":\"/x\"}'", 2, NULL,
         "object 1: key \"root\" is unknown to view"},
        {"pgq json '{\"cmd\":\"view\",\"dsn\":\"x\"}'", 2, NULL, "key \"dsn\" is not allowed here"},
        {"pgq json '{\"cmd\":\"peek\"}'", 2, NULL, "object 1: peek needs an argument: pgq peek QUEUE"},
        {"pgq json '{\"cmd\":\"peek\",\"queue\":{}}'", 2, NULL,
         "queue is not allowed so: text or a number is"},
        {"pgq json '{\"cmd\":\"peek\",\"queue\":\"q\",\"count\":\"x\"}'", 2, NULL,
         "count x is not allowed: 1 to 2147483647 are"},
        {"pgq json '{\"cmd\":\"enqueue\",\"queue\":\"q\"}'", 2, NULL,
         "enqueue needs a payload, or a file, here"},
        {"pgq json '{\"cmd\":\"ack\",\"receipt\":\"-\"}'", 2, NULL, "receipt \"-\" is not allowed here"},
        {"echo '{\"cmd\"' | pgq json", 2, NULL, "object 1: it is not JSON: it has no end"},
        {"echo '{\"cmd\":}' | pgq json", 2, NULL, "object 1: it is not JSON: "},
    };
    CLI_STEPS(*state, steps);
}

static void no_server_says_what_to_do(void **state)
{
    static const cli_step steps[] = {
        {"pgq -d host=/nowhere view", 1, NULL, "; see --dsn, PGHOST and the settings file"},
        {"pgq --dsn=host=/nowhere -q enqueue q x", 1, NULL, "/nowhere"},
        {"pgq json '{\"cmd\":\"view\"}' -d host=/nowhere", 1, NULL, "object 1: "},
    };
    CLI_STEPS(*state, steps);
}

static void settings_file(void **state)
{
    static const cli_step steps[] = {
        {"echo 'colour = red' >$T/pgq/config; pgq view", 2, NULL,
         "/pgq/config, line 1: key \"colour\" is unknown: dsn, namespace and format are allowed"},
        {"printf '\\n# x\\n dsn\\n' >$T/pgq/config; pgq view", 2, NULL, "line 3: key = value is allowed"},
        {"echo 'format = xml' >$T/pgq/config; pgq view", 2, NULL,
         "line 1: table|plain|json|yaml|prometheus are"},
        {"echo 'dsn = host=/nowhere/at/all' >$T/pgq/config; pgq view", 1, NULL, "/nowhere/at/all"},
        {"pgq view -d host=/nowhere/else", 1, NULL, "/nowhere/else"},
        {"mkdir -p $T/.config/pgq; echo 'dsn = host=/nowhere/home' >$T/.config/pgq/config; "
         "XDG_CONFIG_HOME= HOME=$T pgq view",
         1, NULL, "/nowhere/home"},
        {"rm -r $T/pgq; mkdir $T/pgq $T/pgq/config; pgq view", 1, NULL, "cannot read "},
        {"echo 'colour = red' >$T/.config/pgq/config; pgq --help >/dev/null", 0, NULL, NULL},
    };
    CLI_STEPS(*state, steps);
}

static void version_is_told(void **state)
{
    static const cli_step steps[] = {
        {"pgq --version", 0, "=pgq " PGQ_VERSION_STRING, NULL},
        {"pgq view -V", 0, "=pgq " PGQ_VERSION_STRING, NULL},
        {"pgq --version >/dev/full", 1, NULL, "cannot write to stdout: No space left on device"},
    };
    CLI_STEPS(*state, steps);
}

/* The committed pages are what the program prints. */
static void manual_is_in_step(void **state)
{
    cli *t = *state;
    cli_run(t, "pgq man | diff -u %s/pgq.1 - >&2", PGQ_MAN_DIR);
    if (t->status != 0)
        fail_msg("docs/man/pgq.1 is not what \"pgq man\" prints: %.2000s", t->err);
    cli_run(t,
            "for page in %s/pgq-*.1; do g=${page##*/pgq-} g=${g%%.1};"
            " case $g in listen|bench) continue ;; esac;"
            " pgq man $g | diff -u $page - >&2 || exit 1; echo $g; done",
            PGQ_MAN_DIR);
    if (t->status != 0)
        fail_msg("a page of docs/man is not what \"pgq man GROUP\" prints: %.2000s", t->err);
    assert_string_equal(t->out, "dead\nlook\nnamespace\nqueue\nsend\nshell\ntake\ntopic\n");
}

/* Every verb of the list has help, with each option that its completion knows. */
static void help_and_completion_agree(void **state)
{
    cli *t = *state;
    cli_run(t, "pgq --help | sed -n 's/^  \\([a-z][a-z ]*[a-z]\\)  .*/\\1/p' >$T/verbs; wc -l <$T/verbs;"
               "eval \"$(pgq completion bash)\" || exit 1;"
               "while read -r verb; do"
               "  pgq $verb --help | grep -o -- '^ \\{6\\}--[a-z0-9-]*\\|^  -., --[a-z-]*' |"
               "    grep -o -- '--.*' | sort >$T/help;"
               "  COMP_WORDS=(pgq $verb --) COMP_CWORD=$((1 + $(wc -w <<<\"$verb\"))); COMPREPLY=(); _pgq;"
               "  printf '%%s\\n' \"${COMPREPLY[@]}\" | sort >$T/completion;"
               "  diff $T/help $T/completion >&2 || { echo \"$verb\" >&2; exit 1; };"
               "done <$T/verbs;"
               "COMP_WORDS=(pgq dead re) COMP_CWORD=2; _pgq; echo ${COMPREPLY[@]};"
               "COMP_WORDS=(pgq pu) COMP_CWORD=1; _pgq; echo ${COMPREPLY[@]};"
               "COMP_WORDS=(pgq view --format js) COMP_CWORD=3; _pgq; echo ${COMPREPLY[@]};"
               "COMP_WORDS=(pgq -n ns pee) COMP_CWORD=3; _pgq; echo ${COMPREPLY[@]}");
    if (t->status != 0)
        fail_msg("help and completion differ: %.2000s", t->err);
    assert_string_equal(t->out, "53\nrequeue\npurge publish\njson\npeek\n");
    cli_run(t, "pgq completion zsh | sed -n 2p; pgq completion fish | grep -c '^complete -c pgq'");
    assert_non_null(strstr(t->out, "bashcompinit\n"));
    assert_true(strtol(strchr(t->out, '\n') + 1, NULL, 10) > 100);
    cli_run(t, "pgq publish --help");
    assert_non_null(strstr(t->out, "Usage: pgq enqueue [OPTION...] QUEUE"));
    assert_non_null(strstr(t->out, "ddmq's word is publish"));
    cli_run(t, "pgq dead --help; pgq dead -q list --help | head -n 1");
    assert_int_equal(t->status, 0);
    assert_non_null(strstr(t->out, "Usage: pgq dead WORD [OPTION...] [ARGUMENT...]\n"));
    assert_non_null(strstr(t->out, "\n  dead purge "));
    assert_null(strstr(t->out, "grant producer"));
    assert_non_null(strstr(t->out, "Usage: pgq dead list [OPTION...] QUEUE\n"));
}

/* Tab, in the shells themselves; pgq then only says what it was called with. */
static void completion_in_its_shells(void **state)
{
    static const struct {
        const char *shell, *settings, *line;
    } shells[] = {
        {"bash",
         "pgq completion bash >$T/rc; echo \"PS1='ready> '; pgq() { echo \\\"ran: \\$*\\\"; }\" >>$T/rc",
         "exec bash --noprofile --rcfile $T/rc -i"},
        /* Without the functions for hundreds of other programs. */
        {"zsh",
         "(echo 'setopt extendedglob; fpath=(${fpath:#*/Completion/^(Base|Zsh)}); autoload -U compinit; "
         "compinit -u -D';"
         " pgq completion zsh; echo \"PS1='ready> '; pgq() { echo \\\"ran: \\$*\\\" }\") >$T/.zshrc",
         "ZDOTDIR=$T exec zsh -i"},
        {"fish",
         "(pgq completion fish; echo 'function pgq; echo \"ran: $argv\"; end; function fish_prompt; echo "
         "\"ready> \"; end')"
         " >$T/rc.fish",
         "HOME=$T exec fish --no-config -C 'source $T/rc.fish'"},
    };
    static const char *const ran[] = {"ran: receive q", "ran: dead requeue q --all",
                                      "ran: view --format json", "ran: grant consumer me",
                                      "ran: top --sort in_flight"};
    cli *t = *state;
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        cli_run(t, "command -v %s", shells[i].shell);
        if (t->status != 0) {
            print_message("%s is not here: completion in it was not tried\n", shells[i].shell);
            continue;
        }
        cli_run(t, "%s", shells[i].settings);
        cli_terminal(t, 80, shells[i].line, "ready>",
                     "pgq rec\tq\npgq dead re\tq --a\t\npgq view --format js\t\npgq grant con\tme\n"
                     "pgq top --so\tin_\t\nexit\n");
        for (size_t k = 0; k < sizeof ran / sizeof *ran; k++) {
            if (!strstr(t->out, ran[k]))
                fail_msg("%s: not \"%s\" but %.3000s", shells[i].shell, ran[k], t->out);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cli_setup_offline, cli_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mistakes_are_explained),   TEST(no_server_says_what_to_do), TEST(settings_file),
        TEST(version_is_told),          TEST(manual_is_in_step),         TEST(help_and_completion_agree),
        TEST(completion_in_its_shells),
    };
    setenv("PGHOST", "/nowhere", 1); /* whatever the settings file does not say */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
