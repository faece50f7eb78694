/* SPDX-License-Identifier: MIT */
#include "cli_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_ = 8192 };

static const char *dsn(void)
{
    return getenv("PGQ_TEST_DSN");
}

void cli_need_server(void)
{
    if (!dsn()) {
        fprintf(stderr, "skipped: PGQ_TEST_DSN is not set\n");
        exit(77);
    }
}

int64_t cli_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void cli_nap(void)
{
    struct timespec t = {0, 5000000};
    nanosleep(&t, NULL);
}

/* --- the fixture --- */

static void settings(const cli *t)
{
    char path[128];
    snprintf(path, sizeof path, "%s/pgq", t->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/pgq/config", t->dir);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    if (dsn())
        fprintf(file, "# of the test\n\n  dsn = %s\n", dsn());
    assert_int_equal(fclose(file), 0);
}

static void environment(const cli *t)
{
    char path[4096];
    const char *before = getenv("PATH");
    if (strncmp(before, PGQ_CLI_DIR ":", strlen(PGQ_CLI_DIR ":")) != 0) {
        snprintf(path, sizeof path, "%s:%s", PGQ_CLI_DIR, before);
        setenv("PATH", path, 1);
    }
    setenv("T", t->dir, 1);
    setenv("XDG_CONFIG_HOME", t->dir, 1);
    setenv("PGQ_NAMESPACE", t->name_space, 1);
    unsetenv("NO_COLOR");
    unsetenv("PGAPPNAME");
}

int cli_setup_offline(void **state)
{
    static int made;
    cli *t = calloc(1, sizeof *t);
    assert_non_null(t);
    snprintf(t->dir, sizeof t->dir, "/tmp/pgq-cli-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->name_space, sizeof t->name_space, "cli_%d_%d", (int)getpid(), made++);
    settings(t);
    environment(t);
    *state = t;
    return 0;
}

int cli_setup(void **state)
{
    pgq_open_options options = PGQ_OPEN_OPTIONS_INIT;
    cli_setup_offline(state);
    cli *t = *state;
    options.name_space = t->name_space;
    if (pgq_open(dsn(), &options, &t->q) != PGQ_OK || pgq_install(t->q) != PGQ_OK ||
        pgq_create_queue(t->q, "q", NULL, 0) != PGQ_OK)
        fail_msg("%s", pgq_last_error(t->q)->message);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

int cli_teardown(void **state)
{
    cli *t = *state;
    if (t->q) {
        pgq_drop(t->q);
        pgq_close(t->q);
    }
    nftw(t->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(t->out);
    free(t->err);
    free(t);
    return 0;
}

/* --- processes --- */

char *cli_slurp(const cli *t, const char *name, size_t *len)
{
    char path[128];
    size_t n, used = 0, cap = 65536;
    char *text = malloc(cap);
    assert_non_null(text);
    snprintf(path, sizeof path, "%s/%s", t->dir, name);
    FILE *file = fopen(path, "re");
    while (file && (n = fread(text + used, 1, cap - used - 1, file)) > 0) {
        used += n;
        if (cap - used < 2) {
            cap *= 2;
            text = realloc(text, cap);
            assert_non_null(text);
        }
    }
    if (file)
        fclose(file);
    text[used] = '\0';
    if (len)
        *len = used;
    return text;
}

static void redirect(const cli *t, const char *name, int fd)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", t->dir, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || dup2(file, fd) < 0)
        _exit(126);
    close(file);
}

static pid_t launch(cli *t, const char *line, const char *out, const char *err)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        setpgid(0, 0);
        dup2(null, STDIN_FILENO);
        redirect(t, out, STDOUT_FILENO);
        redirect(t, err, STDERR_FILENO);
        execl("/bin/bash", "bash", "-c", line, (char *)NULL);
        _exit(125);
    }
    return pid;
}

int cli_wait(pid_t pid)
{
    int64_t until = cli_now_ms() + 4 * DEADLINE_MS;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (cli_now_ms() > until) {
            kill(-pid, SIGKILL);
            fail_msg("a line did not end");
        }
        struct timespec brief = {0, 500000};
        nanosleep(&brief, NULL);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

pid_t cli_start(cli *t, const char *line)
{
    return launch(t, line, "bg.out", "bg.err");
}

void cli_run(cli *t, const char *format, ...)
{
    char line[LINE_MAX_];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert_true(n > 0 && n < LINE_MAX_);
    t->status = cli_wait(launch(t, line, "out", "err"));
    free(t->out);
    free(t->err);
    t->out = cli_slurp(t, "out", &t->out_len);
    t->err = cli_slurp(t, "err", NULL);
}

/* --- a terminal --- */

static pid_t launch_on(int terminal, const char *line)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *name = ptsname(terminal);
        setsid();
        int fd = name ? open(name, O_RDWR) : -1; /* becomes the controlling one */
        if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
            _exit(126);
        setenv("TERM", "xterm", 1);
        execl("/bin/bash", "bash", "-c", line, (char *)NULL);
        _exit(125);
    }
    return pid;
}

void cli_terminal(cli *t, int columns, const char *line, const char *prompt, const char *input)
{
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int64_t until = cli_now_ms() + DEADLINE_MS;
    size_t cap = 1 << 20;
    int ended = 0;
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0 ||
        ioctl(terminal, TIOCSWINSZ, &size) != 0)
        fail_msg("no terminal: %s", strerror(errno));
    pid_t pid = launch_on(terminal, line);
    free(t->out);
    t->out = calloc(1, cap);
    assert_non_null(t->out);
    t->out_len = 0;
    while (cli_now_ms() < until && t->out_len + 1 < cap) {
        struct pollfd fd = {.fd = terminal, .events = POLLIN};
        if (poll(&fd, 1, 20) > 0) {
            ssize_t n = read(terminal, t->out + t->out_len, cap - t->out_len - 1);
            if (n > 0)
                t->out_len += (size_t)n;
            else if (ended)
                break;
        }
        if (prompt && strstr(t->out, prompt)) {
            prompt = NULL;
            assert_int_equal(write(terminal, input, strlen(input)), strlen(input));
        }
        if (!ended && waitpid(pid, &t->status, WNOHANG) == pid)
            ended = 1;
    }
    close(terminal);
    if (!ended) {
        kill(-pid, SIGKILL);
        fail_msg("%s did not end; it said: %.2000s", line, t->out);
    }
    t->status = WIFEXITED(t->status) ? WEXITSTATUS(t->status) : 1000 + WTERMSIG(t->status);
}

/* --- steps --- */

static bool matches(const char *got, const char *wanted)
{
    size_t len;
    if (!wanted)
        return *got == '\0';
    if (*wanted != '=')
        return strstr(got, wanted) != NULL;
    len = strlen(wanted + 1);
    return strncmp(got, wanted + 1, len) == 0 && strcmp(got + len, "\n") == 0;
}

static bool is_a_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return *text == '\0' || (end && end[1] == '\0');
}

void cli_steps(cli *t, const cli_step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cli_run(t, "%s", steps[i].line);
        if (t->status != steps[i].status || !matches(t->out, steps[i].out) ||
            !matches(t->err, steps[i].err) || !is_a_line(t->err))
            fail_msg("%s: exit status %d, not %d; stdout: \"%.2000s\", not \"%s\"; stderr: \"%.2000s\", not "
                     "\"%s\"",
                     steps[i].line, t->status, steps[i].status, t->out, steps[i].out ? steps[i].out : "",
                     t->err, steps[i].err ? steps[i].err : "");
    }
}

pgq_counts cli_counts(const cli *t, const char *queue)
{
    pgq_counts counts;
    if (pgq_count(t->q, queue, &counts) != PGQ_OK)
        fail_msg("%s", pgq_last_error(t->q)->message);
    return counts;
}
