/* SPDX-License-Identifier: MIT */
/* The command line: it needs no server. */
#include "harness.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs pgq-listen with a line of arguments, parted by single blanks; its output goes to *out. */
static int run(const char *line, char **out)
{
    char command[1024];
    size_t len = 0, cap = 65536;
    snprintf(command, sizeof command, "exec 2>&1 < /dev/null; exec env -u PGQ_NAMESPACE %s %s", PGQ_LISTEN,
             line);
    FILE *file = popen(command, "re");
    assert_non_null(file);
    *out = calloc(1, cap);
    assert_non_null(*out);
    size_t n;
    while ((n = fread(*out + len, 1, cap - 1 - len, file)) > 0)
        len += n;
    int status = pclose(file);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The next "--name" in text from *p on; false: there is none. Dashes of troff are read as such. */
static bool next_option(const char **p, char *name, size_t size)
{
    for (; **p; ++*p) {
        const char *q = *p;
        size_t n = 0;
        bool dashes = q[0] == '-' && q[1] == '-';
        if (!dashes && strncmp(q, "\\-\\-", 4) != 0)
            continue;
        for (q += dashes ? 2 : 4; islower((unsigned char)*q) || *q == '-' || strncmp(q, "\\-", 2) == 0; q++) {
            if (*q != '\\' && n + 1 < size)
                name[n++] = *q;
        }
        name[n] = '\0';
        *p = q;
        if (n > 0)
            return true;
    }
    return false;
}

static bool has_option(const char *text, const char *name)
{
    char other[64];
    while (next_option(&text, other, sizeof other)) {
        if (strcmp(other, name) == 0)
            return true;
    }
    return false;
}

static void help_and_man_page_agree(void **state)
{
    char *help, name[64];
    int n = 0;
    (void)state;
    assert_int_equal(run("--help", &help), 0);
    char *man = slurp(PGQ_LISTEN_MAN);
    for (const char *p = help; next_option(&p, name, sizeof name); n++) {
        if (!has_option(man, name))
            fail_msg("the man page does not name --%s", name);
    }
    assert_int_equal(n, 23); /* the usage names two of them once more */
    for (const char *p = man; next_option(&p, name, sizeof name);) {
        if (!has_option(help, name))
            fail_msg("--help does not name --%s", name);
    }
    free(man);
    free(help);
}

static void version_is_told(void **state)
{
    char *out;
    (void)state;
    assert_int_equal(run("--version", &out), 0);
    assert_string_equal(out, "pgq-listen " PGQ_VERSION_STRING "\n");
    free(out);
}

static void mistakes_are_explained(void **state)
{
    static const struct {
        const char *args, *says;
    } cases[] = {
        {"", "one -q QUEUE, or more, is needed"},
        {"--frobnicate -q a",
         "option \"--frobnicate\" is unknown or ambiguous: these are allowed: --conninfo"},
        {"-x -q a", "option \"-x\" is unknown"},
        {"-q", "option \"-q\" needs a value"},
        {"-q a --timeout", "option \"--timeout\" needs a value"},
        {"-q a --drain=3", "option \"--drain\" takes no value"},
        {"-q a -j 0", "--jobs \"0\" is not allowed: 1 to 1024 are"},
        {"-q a -j 1025", "1 to 1024 are"},
        {"-q a -j 2x", "--jobs \"2x\" is not allowed"},
        {"-q a -j -1", "--jobs \"-1\" is not allowed"},
        {"-q a --count 0", "a whole number from 1 is"},
        {"-q a --count 99999999999999999999", "a whole number from 1 is"},
        {"-q a --timeout 0 -- true", "0.001 to 9999999 seconds are"},
        {"-q a --timeout nan -- true", "--timeout \"nan\" is not allowed"},
        {"-q a --timeout 1. -- true", "--timeout \"1.\" is not allowed"},
        {"-q a --timeout 0.0001 -- true", "at most three decimals"},
        {"-q a --timeout 9999999.001 -- true", "to 9999999 seconds are"},
        {"-q a --timeout 1", "--timeout needs a COMMAND"},
        {"-q a --kill-after x -- true", "0 to 9999999 seconds are"},
        {"-q a --poll 3000000", "0 to 2000000 seconds are"},
        {"-q a --log-format xml", "text and json are"},
        {"-q a --stream", "--stream needs a COMMAND"},
        {"-q a --lease=0 -- true", "--lease \"0\" is not allowed: 0.001 to 9999999 seconds are"},
        {"-q a --lease=0.0009 -- true", "0.001 to 9999999 seconds are"},
        {"-q a --lease=10000000 -- true", "0.001 to 9999999 seconds are"},
        {"-q a --lease=9999999.001", "0.001 to 9999999 seconds are"},
        {"-q a --lease=-1", "0.001 to 9999999 seconds are"},
        {"-q a --lease=1.2345", "with at most three decimals"},
        {"-q a --lease= -- true", "--lease \"\" is not allowed: 0.001 to 9999999 seconds are"},
        {"-q a --lease=soon", "0.001 to 9999999 seconds are"},
        {"-q a --lease 5 -- true", "\"5\" is not allowed here: options are"},
        {"-q a -n ''", "the name of a schema"},
        {"-q a true", "\"true\" is not allowed here: options are, and a COMMAND behind --"},
        {"-q a --", "-- needs a COMMAND behind it"},
        {"-q a -- /nowhere/command", "cannot run /nowhere/command: No such file or directory"},
        {"-q a -- no-such-command-anywhere",
         "cannot run no-such-command-anywhere: No such file or directory"},
        {"-q a -- /etc/passwd", "cannot run /etc/passwd: Permission denied"},
        {"-q a -- /", "cannot run /: Permission denied"},
        {"-q ' a' -d host=/nowhere", "blank"},
        {"--topic a -q b", "--topic and --queue do not go together"},
        {"--topic a --topic b", "--topic \"b\" is one too many: one topic is read"},
        {"--topic a -j 2 -- true", "--jobs does not go with --topic"},
        {"--topic a --lease -- true", "--lease does not go with --topic"},
        {"-q a --as me", "--as needs --topic TOPIC"},
        {"-q a --from oldest", "--from needs --topic TOPIC"},
        {"-q a --hold 5", "--hold needs --topic TOPIC"},
        {"-q a --retries 5 -- true", "--retries needs --topic TOPIC"},
        {"--as me", "or one --topic TOPIC"},
        {"--topic a --hold 5 -- true", "--hold needs --as SUBSCRIBER"},
        {"--topic a --as me --hold 10000000", "0 to 9999999 seconds are"},
        {"--topic a --retries 5", "--retries needs a COMMAND"},
        {"--topic a --retries -1 -- true", "--retries \"-1\" is not allowed: 0 to 1000000 are"},
        {"--topic a --stream", "--stream needs a COMMAND"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out;
        int status = run(cases[i].args, &out);
        const char *end = strchr(out, '\n');
        /* One line, of which the end says what is allowed. */
        if (status != 2 || !strstr(out, cases[i].says) || !end || end[1] != '\0')
            fail_msg("pgq-listen %s: exit status %d, says: %s", cases[i].args, status, out);
        free(out);
    }
}

static void a_closed_stdout_is_noticed(void **state)
{
    char *out;
    (void)state;
    assert_int_equal(run("-q a -d host=/nowhere >&-", &out), 1);
    free(out);
}

static void no_server_is_a_failure(void **state)
{
    char *out;
    (void)state;
    assert_int_equal(run("-q a -d host=/nowhere", &out), 1);
    assert_non_null(strstr(out, " error text=\"cannot start: "));
    assert_non_null(strstr(out, "/nowhere"));
    free(out);
    assert_int_equal(run("--topic a -d host=/nowhere", &out), 1);
    assert_non_null(strstr(out, " error text=\"cannot start: "));
    free(out);
    assert_int_equal(run("-q a -d host=/nowhere --log-format json", &out), 1);
    assert_non_null(strstr(out, "\"event\":\"error\",\"text\":\"cannot start: "));
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_man_page_agree), cmocka_unit_test(version_is_told),
        cmocka_unit_test(mistakes_are_explained),  cmocka_unit_test(a_closed_stdout_is_noticed),
        cmocka_unit_test(no_server_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
