/* SPDX-License-Identifier: MIT */
/* pgq: the command line. */
#include "call.h"
#include "config.h"
#include "help.h"
#include "parse.h"
#include "say.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A connection must never get the numbers 0 to 2. false: rows would go to a stdout that is closed. */
static bool have_standard_fds(void)
{
    if (fcntl(STDOUT_FILENO, F_GETFD) < 0)
        return false;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) != fd)
            return false;
    }
    return true;
}

static const char *first_of(const char *a, const char *b, const char *c)
{
    return a && *a ? a : b && *b ? b : c;
}

static int run(call *c, const config *file)
{
    session s = {.dsn = first_of(c->opt[O_DSN].text, file->dsn, NULL)};
    out o;
    int status;
    s.name_space = first_of(c->opt[O_NAMESPACE].text, getenv("PGQ_NAMESPACE"), file->name_space);
    c->session = &s;
    c->out = &o;
    c->quiet = c->opt[O_QUIET].set;
    status = out_setup(&o, c, first_of(c->opt[O_FORMAT].text, file->format, NULL));
    if (status == EXIT_DONE && !(c->verb->flags & VERB_OFFLINE))
        session_open(&s, &status);
    if (status == EXIT_DONE)
        status = c->verb->run(c);
    status = out_end(&o, status);
    session_close(&s);
    return session_status(status);
}

static int with_verb(call *c)
{
    config file;
    int status = parse_check(c);
    if (status != EXIT_DONE)
        return status;
    if (!stop_setup())
        return say_failed("cannot handle signals: %s", strerror(errno));
    status = config_read(&file);
    if (status == EXIT_DONE)
        status = run(c, &file);
    config_free(&file);
    return status;
}

/* What printf() has not got rid of yet. */
static int flushed(int status)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE)
        return say_failed("cannot write to stdout: %s", strerror(errno));
    return status;
}

int main(int argc, char **argv)
{
    call c = {0};
    int status;
    setlocale(LC_CTYPE, "");
    if (!have_standard_fds())
        return say_failed("stdout is closed: there is nowhere to write to");
    status = parse_line(&c, argc - 1, (const char **)(argv + 1));
    if (status == EXIT_DONE && c.opt[O_VERSION].set)
        printf("pgq %s\n", pgq_version_string());
    else if (status == EXIT_DONE && c.opt[O_HELP].set)
        help_print(c.verb, c.family);
    else if (status == EXIT_DONE && !c.verb)
        status = say_usage("a VERB is needed: see pgq --help");
    else if (status == EXIT_DONE)
        status = with_verb(&c);
    free(c.args);
    return flushed(status);
}
