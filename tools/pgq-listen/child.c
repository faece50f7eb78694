/* SPDX-License-Identifier: MIT */
#include "child.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FDS_PER_CHILD 12 /* pipes, both ends while it starts, the process, and a connection */
#define FDS_OTHERS    64

#define CHILD_MOMENT_MS 200

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define CLOSE_RANGE_ON_EXEC 4u

static struct rlimit files_before;
static bool files_raised;

bool child_allow(int children)
{
    rlim_t needed = (rlim_t)children * FDS_PER_CHILD + FDS_OTHERS;
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_cur >= needed)
        return true;
    if (now.rlim_max < needed)
        return false;
    files_before = now;
    now.rlim_cur = needed;
    files_raised = setrlimit(RLIMIT_NOFILE, &now) == 0;
    return files_raised;
}

static bool is_program(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    if (S_ISREG(st.st_mode))
        return access(path, X_OK) == 0;
    errno = EACCES;
    return false;
}

char *child_find(const char *command)
{
    if (strchr(command, '/'))
        return is_program(command) ? strdup(command) : NULL;
    const char *dir = getenv("PATH");
    if (!dir)
        dir = "/usr/local/bin:/usr/bin:/bin";
    int why = ENOENT;
    for (bool more = *command != '\0'; more;) {
        size_t len = strcspn(dir, ":");
        char path[PATH_MAX];
        int n = snprintf(path, sizeof path, "%.*s/%s", len ? (int)len : 1, len ? dir : ".", command);
        if (n > 0 && (size_t)n < sizeof path && is_program(path))
            return strdup(path);
        if (errno == EACCES)
            why = EACCES;
        more = dir[len] == ':';
        dir += len + 1;
    }
    errno = why;
    return NULL;
}

void child_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- starting --- */

/* Two ends of each; report carries the errno of a failed exec. */
typedef struct pipes {
    int in[2], out[2], err[2], report[2];
} pipes;

typedef struct start {
    pipes p;
    const char *path;
    char *const *argv;
    char *const *envp;
    pid_t parent;
} start;

static void close_pipes(pipes *p)
{
    int *all[] = {p->in, p->out, p->err, p->report};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        child_close(&all[i][0]);
        child_close(&all[i][1]);
    }
}

static bool open_pipes(pipes *p, bool capture)
{
    *p = (pipes){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    return pipe2(p->in, O_CLOEXEC) == 0 && pipe2(p->err, O_CLOEXEC) == 0 &&
           pipe2(p->report, O_CLOEXEC) == 0 && (!capture || pipe2(p->out, O_CLOEXEC) == 0);
}

/* In the child. Other threads of the parent may have held any lock: nothing but system calls. */
static _Noreturn void become(const start *s)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t none;
    setpgid(0, 0);
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &normal, NULL);
    /* Should we be killed, the message is another consumer's at once, or when the lease has run out: it must
     * not be worked on twice. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    bool ready = getppid() == s->parent && dup2(s->p.in[0], STDIN_FILENO) >= 0 &&
                 dup2(s->p.err[1], STDERR_FILENO) >= 0 &&
                 (s->p.out[1] < 0 || dup2(s->p.out[1], STDOUT_FILENO) >= 0);
    /* Whatever some library has opened, and not marked yet. */
    syscall(SYS_close_range, STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_ON_EXEC);
    if (files_raised)
        setrlimit(RLIMIT_NOFILE, &files_before);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (ready)
        execve(s->path, s->argv, s->envp);
    int why = errno;
    ssize_t ignored = write(s->p.report[1], &why, sizeof why);
    (void)ignored;
    _exit(127);
}

/* What came of the exec: the pipe closes when it succeeds. */
static int read_report(int fd)
{
    int why = 0;
    ssize_t n;
    do {
        n = read(fd, &why, sizeof why);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof why ? why : 0;
}

static void reap(pid_t pid, int *status)
{
    while (waitpid(pid, status, 0) < 0 && errno == EINTR) {
    }
}

static void keep_end(int *ours, int *kept)
{
    *ours = *kept;
    *kept = -1;
    if (*ours >= 0)
        fcntl(*ours, F_SETFL, O_NONBLOCK);
}

int child_start(child *c, const char *path, char *const *argv, char *const *envp, bool capture)
{
    start s = {.path = path, .argv = argv, .envp = envp, .parent = getpid()};
    sigset_t all, before;
    *c = (child){.pid = -1, .pid_fd = -1, .in = -1, .out = -1, .err = -1};
    if (!open_pipes(&s.p, capture)) {
        int why = errno;
        close_pipes(&s.p);
        return why;
    }
    /* Our handlers must not run in the child: it shares their pipe. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    c->pid = fork();
    int why = errno;
    if (c->pid == 0)
        become(&s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (c->pid < 0) {
        close_pipes(&s.p);
        return why;
    }
    setpgid(c->pid, c->pid); /* both do: whoever is first */
    child_close(&s.p.report[1]);
    why = read_report(s.p.report[0]);
    if (why != 0) {
        reap(c->pid, NULL);
        close_pipes(&s.p);
        return why;
    }
    keep_end(&c->in, &s.p.in[1]);
    keep_end(&c->out, &s.p.out[0]);
    keep_end(&c->err, &s.p.err[0]);
    close_pipes(&s.p);
    c->pid_fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    return 0;
}

/* --- ending --- */

bool child_gone(const child *c)
{
    siginfo_t info = {0};
    /* It is not reaped here: as long as it is a zombie, its number and its group's are not given away. */
    return waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == c->pid;
}

bool child_gone_soon(const child *c)
{
    int64_t until = clock_ms() + CHILD_MOMENT_MS;
    while (!child_gone(c)) {
        struct pollfd fd = {.fd = c->pid_fd, .events = POLLIN};
        int wait = clock_poll_ms(until);
        if (wait == 0)
            return false;
        poll(&fd, 1, c->pid_fd < 0 && wait > CHILD_LOOK_MS ? CHILD_LOOK_MS : wait);
    }
    return true;
}

static void signal_group(const child *c, int number)
{
    if (kill(-c->pid, number) != 0)
        kill(c->pid, number); /* it has left its group */
}

/* Reads and drops. false: the end was reached. */
static bool discard(int fd)
{
    char chunk[4096];
    for (int i = 0; i < 64; i++) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0 || (n < 0 && errno != EINTR))
            return n < 0 && errno == EAGAIN;
    }
    return true;
}

static void drain(child *c, errors *e)
{
    if (c->out >= 0 && !discard(c->out))
        child_close(&c->out);
    if (c->err >= 0 && !(e ? errors_take(e, c->err) : discard(c->err)))
        child_close(&c->err);
}

void child_end(child *c, int64_t kill_after_ms, errors *e)
{
    int64_t until = clock_ms() + kill_after_ms;
    bool killed = false;
    child_close(&c->in);
    signal_group(c, SIGTERM);
    signal_group(c, SIGCONT); /* a stopped process would not see it */
    for (;;) {
        bool gone = child_gone(c);
        drain(c, e);
        /* Others of its group may live on, and then hold its pipes. */
        if (gone && (killed || (c->out < 0 && c->err < 0)))
            break;
        if (!killed && clock_ms() >= until) {
            signal_group(c, SIGKILL);
            killed = true;
        }
        int wait = clock_poll_ms(killed || c->pid_fd < 0 ? clock_ms() + CHILD_LOOK_MS : until);
        struct pollfd fds[] = {{.fd = gone ? -1 : c->pid_fd, .events = POLLIN},
                               {.fd = c->out, .events = POLLIN},
                               {.fd = c->err, .events = POLLIN}};
        poll(fds, 3, wait);
    }
    signal_group(c, SIGKILL);
    drain(c, e);
}

int child_reap(child *c)
{
    int status = 0;
    reap(c->pid, &status);
    child_close(&c->in);
    child_close(&c->out);
    child_close(&c->err);
    child_close(&c->pid_fd);
    c->pid = -1;
    return status;
}

void child_status_text(int status, char out[CHILD_STATUS_TEXT])
{
    if (WIFSIGNALED(status))
        snprintf(out, CHILD_STATUS_TEXT, "signal %d", WTERMSIG(status));
    else
        snprintf(out, CHILD_STATUS_TEXT, "exit status %d", WEXITSTATUS(status));
}
