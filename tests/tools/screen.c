/* SPDX-License-Identifier: MIT */
#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void set_size(screen *s, int rows, int columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    s->rows = rows;
    s->columns = columns;
    for (int i = 0; i < SCREEN_ROWS; i++) {
        memset(s->cells[i], ' ', SCREEN_COLUMNS);
        s->cells[i][columns] = '\0';
    }
    assert_int_equal(ioctl(s->fd, TIOCSWINSZ, &size), 0);
}

void screen_start(screen *s, int rows, int columns, const char *line)
{
    *s = (screen){.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    assert_true(s->fd >= 0 && grantpt(s->fd) == 0 && unlockpt(s->fd) == 0);
    set_size(s, rows, columns);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid > 0)
        return;
    const struct rlimit none = {0, 0};
    const char *name = ptsname(s->fd);
    setsid();
    setrlimit(RLIMIT_CORE, &none);
    int fd = name ? open(name, O_RDWR) : -1;
    if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    if (fd > 2)
        close(fd);
    setenv("TERM", "xterm", 1);
    execl("/bin/bash", "bash", "-c", line, (char *)NULL);
    _exit(125);
}

void screen_resize(screen *s, int rows, int columns)
{
    set_size(s, rows, columns);
}

void screen_type(screen *s, const char *keys)
{
    assert_int_equal(write(s->fd, keys, strlen(keys)), strlen(keys));
}

static void set_mode(screen *s, const char *number, bool on)
{
    if (strcmp(number, "1049") == 0)
        s->other = on;
    else if (strcmp(number, "25") == 0)
        s->hidden = !on;
    else if (strcmp(number, "7") == 0)
        s->unwrapped = !on;
    else
        fail_msg("mode %s is none that this terminal knows", number);
}

static void obey(screen *s, const char *parameters, char what)
{
    char number[8] = "";
    if (what == 'H') {
        char *rest;
        long row = strtol(parameters, &rest, 10), column = *rest == ';' ? strtol(rest + 1, NULL, 10) : 1;
        s->too_far += row < 1 || row > s->rows || column < 1 || column > s->columns;
        s->row = row < 1 || row > s->rows ? 0 : (int)row - 1;
        s->column = column < 1 || column > s->columns ? 0 : (int)column - 1;
    } else if (what == 'K' && strcmp(parameters, "2") == 0) {
        memset(s->cells[s->row], ' ', (size_t)s->columns);
    } else if (what == 'J') {
        for (int i = 0; i < s->rows; i++)
            memset(s->cells[i], ' ', (size_t)s->columns);
    } else if (*parameters == '?' && (what == 'h' || what == 'l')) {
        snprintf(number, sizeof number, "%.*s", 7, parameters + 1);
        set_mode(s, number, what == 'h');
    } else if (what != 'm') {
        fail_msg("ESC [ %s %c is nothing that this terminal knows", parameters, what);
    }
}

static void take(screen *s, unsigned char c)
{
    if (s->escaped > 0) {
        s->escape[s->escaped++] = (char)c;
        assert_true(s->escaped < sizeof s->escape);
        if (s->escaped > 2 && c >= 0x40) {
            s->escape[s->escaped - 1] = '\0';
            s->escaped = 0;
            obey(s, s->escape + 2, (char)c);
        }
    } else if (c == 0x1b) {
        s->escape[s->escaped++] = (char)c;
    } else if (c == '\n' || c == '\r') {
        s->column = 0;
    } else if ((c & 0xc0) != 0x80 && c >= 0x20) {
        if (s->column >= s->columns)
            s->too_long++;
        else
            s->cells[s->row][s->column++] = c < 0x80 ? (char)c : '?';
    }
}

bool screen_has(screen *s, const char *text)
{
    unsigned char bytes[8192];
    struct pollfd fd = {.fd = s->fd, .events = POLLIN};
    while (poll(&fd, 1, 0) > 0) {
        ssize_t n = read(s->fd, bytes, sizeof bytes);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            take(s, bytes[i]);
    }
    for (int i = 0; i < s->rows; i++) {
        if (strstr(s->cells[i], text))
            return true;
    }
    return false;
}

bool screen_is_plain(screen *s)
{
    struct termios now;
    screen_has(s, "");
    return tcgetattr(s->fd, &now) == 0 && now.c_lflag & ICANON && now.c_lflag & ECHO && !s->other &&
           !s->hidden && !s->unwrapped;
}

int screen_end(screen *s)
{
    int64_t until = cli_now_ms() + DEADLINE_MS;
    int status = 0;
    while (screen_has(s, ""), waitpid(s->pid, &status, WNOHANG) != s->pid) {
        if (cli_now_ms() > until) {
            kill(s->pid, SIGKILL);
            fail_msg("the program on the terminal does not end");
        }
        cli_nap();
    }
    assert_true(screen_is_plain(s));
    close(s->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
