/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 40

static const char *dsn(void)
{
    return getenv("PGQ_TEST_DSN");
}

void need_server(void)
{
    if (!dsn()) {
        fprintf(stderr, "skipped: PGQ_TEST_DSN is not set\n");
        exit(77);
    }
}

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void nap(void)
{
    struct timespec t = {0, 5000000};
    nanosleep(&t, NULL);
}

/* --- the fixture --- */

static int made_connections; /* so that each namespace has a name of its own */

int fixture_setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    pgq_open_options options = PGQ_OPEN_OPTIONS_INIT;
    assert_non_null(f);
    f->stdout_fd = -1;
    snprintf(f->dir, sizeof f->dir, "/tmp/pgq-listen-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(setenv("T", f->dir, 1), 0);
    snprintf(f->name_space, sizeof f->name_space, "listen_%d_%d", (int)getpid(), made_connections++);
    options.name_space = f->name_space;
    /* By which terminate_backends() knows them. */
    assert_int_equal(setenv("PGAPPNAME", f->name_space, 1), 0);
    *state = f;
    if (pgq_open(dsn(), &options, &f->q) != PGQ_OK || pgq_install(f->q) != PGQ_OK ||
        pgq_create_queue(f->q, QUEUE, NULL, 0) != PGQ_OK)
        fail_msg("%s", pgq_last_error(f->q)->message);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

int fixture_teardown(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < PROCESSES; i++) {
        if (f->processes[i].pid > 0) {
            kill(f->processes[i].pid, SIGKILL);
            waitpid(f->processes[i].pid, NULL, 0);
        }
    }
    terminate_backends(f);
    pgq_drop(f->q);
    pgq_close(f->q);
    nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

/* --- processes --- */

static void redirect(const char *path, int fd)
{
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || dup2(file, fd) < 0)
        _exit(126);
    close(file);
}

static process *launch(fixture *f, const char **argv)
{
    process *p = &f->processes[f->started];
    if (f->started == PROCESSES)
        fail_msg("too many processes");
    snprintf(p->out, sizeof p->out, "%s/out.%d", f->dir, f->started);
    snprintf(p->err, sizeof p->err, "%s/err.%d", f->dir, f->started);
    f->started++;
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        if (f->stdout_fd >= 0)
            dup2(f->stdout_fd, STDOUT_FILENO);
        else
            redirect(p->out, STDOUT_FILENO);
        redirect(p->err, STDERR_FILENO);
        execv(PGQ_LISTEN, (char *const *)argv);
        _exit(125);
    }
    return p;
}

static void add_args(const char **argv, int n, va_list args)
{
    const char *arg;
    while ((arg = va_arg(args, const char *)) != NULL) {
        assert_true(n < ARGS_MAX - 1);
        argv[n++] = arg;
    }
    argv[n] = NULL;
}

process *listen_start(fixture *f, ...)
{
    const char *argv[ARGS_MAX] = {PGQ_LISTEN, "-d", dsn(), "-n", f->name_space, "-q", QUEUE};
    va_list args;
    va_start(args, f);
    add_args(argv, 7, args);
    va_end(args);
    return launch(f, argv);
}

process *listen_start_bare(fixture *f, ...)
{
    const char *argv[ARGS_MAX] = {PGQ_LISTEN};
    va_list args;
    va_start(args, f);
    add_args(argv, 1, args);
    va_end(args);
    return launch(f, argv);
}

int listen_wait(process *p)
{
    int64_t until = now_ms() + DEADLINE_MS;
    int status;
    while (waitpid(p->pid, &status, WNOHANG) == 0) {
        if (now_ms() > until) {
            char *err = slurp(p->err);
            print_error("pgq-listen did not end; it said: %.4000s\n", err);
            free(err);
            fail();
        }
        nap();
    }
    p->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

bool is_gone(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    char *stat = slurp(path);
    const char *state = strrchr(stat, ')');
    bool gone = !state || state[2] == 'Z' || state[2] == 'X';
    free(stat);
    return gone;
}

/* --- files --- */

void touch(const fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
}

void unlink_in(const fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_int_equal(unlink(path), 0);
}

char *slurp(const char *path)
{
    size_t len = 0, cap = 4096;
    char *text = malloc(cap);
    assert_non_null(text);
    FILE *file = fopen(path, "re");
    size_t n;
    while (file && (n = fread(text + len, 1, cap - len - 1, file)) > 0) {
        len += n;
        if (cap - len < 2) {
            cap *= 2;
            text = realloc(text, cap);
            assert_non_null(text);
        }
    }
    if (file)
        fclose(file);
    text[len] = '\0';
    return text;
}

char *slurp_in(const fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return slurp(path);
}

bool file_holds(const char *path, const char *text)
{
    return count_in_file(path, text) > 0;
}

bool file_in_holds(const fixture *f, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return file_holds(path, text);
}

int count_in_file(const char *path, const char *text)
{
    int n = 0;
    char *all = slurp(path);
    for (const char *p = strstr(all, text); p; p = strstr(p + strlen(text), text))
        n++;
    free(all);
    return n;
}

void must_hold(const char *path, const char *text, const char *file, int line)
{
    char *all = slurp(path);
    bool held = strstr(all, text) != NULL;
    if (!held)
        print_error("not in %s: \"%s\"; it holds: %.4000s\n", path, text, all);
    free(all);
    if (!held)
        _fail(file, line);
}

pid_t pid_in(const fixture *f, const char *name)
{
    char *text = slurp_in(f, name);
    pid_t pid = strchr(text, '\n') ? (pid_t)strtol(text, NULL, 10) : 0;
    free(text);
    return pid;
}

/* --- messages --- */

int64_t send_as(fixture *f, pgq_kind kind, const void *payload, size_t len, const char *headers)
{
    int64_t id = 0;
    pgq_enqueue_options options = PGQ_ENQUEUE_OPTIONS_INIT;
    options.kind = kind;
    options.headers = headers;
    if (pgq_enqueue(f->q, QUEUE, payload, len, &options, &id) != PGQ_OK)
        fail_msg("%s", pgq_last_error(f->q)->message);
    return id;
}

int64_t send_text(fixture *f, const char *text)
{
    return send_as(f, PGQ_TEXT, text, strlen(text), NULL);
}

pgq_counts counts_of(fixture *f)
{
    pgq_counts counts;
    if (pgq_count(f->q, QUEUE, &counts) != PGQ_OK)
        fail_msg("%s", pgq_last_error(f->q)->message);
    return counts;
}

bool counts_are(fixture *f, int64_t ready, int64_t in_flight)
{
    pgq_counts counts = counts_of(f);
    return counts.ready == ready && counts.in_flight == in_flight;
}

static pgq_messages *list(fixture *f, pgq_state state)
{
    pgq_messages *messages = NULL;
    if (pgq_list(f->q, QUEUE, state, 100, 0, &messages) < 0)
        fail_msg("%s", pgq_last_error(f->q)->message);
    return messages;
}

pgq_messages *ready_ones(fixture *f)
{
    return list(f, PGQ_STATE_READY);
}

int64_t lease_end(fixture *f)
{
    pgq_messages *messages = list(f, PGQ_STATE_IN_FLIGHT);
    int64_t due = pgq_messages_count(messages) == 1 ? pgq_messages_get(messages, 0)->due : 0;
    pgq_messages_free(messages);
    return due;
}

void assert_returned(fixture *f, int attempts, int errors, const char *last_error)
{
    WAIT_FOR(counts_are(f, 1, 0));
    pgq_messages *messages = ready_ones(f);
    const pgq_message *m = pgq_messages_get(messages, 0);
    assert_non_null(m);
    assert_int_equal(m->attempts, attempts);
    assert_int_equal(m->errors, errors);
    if (last_error && (!m->last_error || !strstr(m->last_error, last_error)))
        fail_msg("last error \"%s\" does not contain \"%s\"", m->last_error ? m->last_error : "", last_error);
    pgq_messages_free(messages);
}

int ask(fixture *f, const char *columns)
{
    char sql[512];
    const char *values[] = {f->name_space};
    snprintf(sql, sizeof sql,
             "SELECT %s FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = $1",
             columns);
    PGresult *r = PQexecParams(pgq_connection(f->q), sql, 1, NULL, values, NULL, NULL, 0);
    int n = PQresultStatus(r) == PGRES_TUPLES_OK ? (int)strtol(PQgetvalue(r, 0, 0), NULL, 10) : -1;
    PQclear(r);
    return n;
}

int connections(fixture *f)
{
    return ask(f, "count(*)");
}

int terminate_backends(fixture *f)
{
    return ask(f, "count(pg_terminate_backend(pid))");
}
