/* SPDX-License-Identifier: MIT */
#include "screen.h"

#include "clock.h"
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, no cursor, no wrapping; and back. */
static const char begin[] = "\033[?1049h\033[?25l\033[?7l\033[2J";
static const char end[] = "\033[?7h\033[?25h\033[?1049l";

static const int ending[] = {SIGHUP, SIGQUIT};
static const int told[] = {SIGWINCH, SIGTSTP, SIGCONT};

static struct termios before;
static volatile sig_atomic_t ours, stopped, resumed;
static sigset_t while_waiting;

bool screen_is_there(void)
{
    const char *term = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static void write_text(const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && (errno != EINTR || stop_signal()))
            return;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
}

/* Fit for a signal handler. */
static void give_back(void)
{
    if (!ours)
        return;
    ours = 0;
    ssize_t ignored = write(STDOUT_FILENO, end, sizeof end - 1);
    (void)ignored;
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void take(void)
{
    struct termios raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    write_text(begin, sizeof begin - 1);
    ours = 1;
}

static void on_end(int number)
{
    int saved = errno;
    give_back();
    signal(number, SIG_DFL);
    raise(number);
    errno = saved;
}

static void on_told(int number)
{
    if (number == SIGTSTP)
        stopped = 1;
    else if (number == SIGCONT)
        resumed = 1;
}

static bool handle(void (*handler)(int), const int *numbers, size_t n)
{
    struct sigaction action = {.sa_handler = handler};
    bool done = true;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < n; i++)
        done = done && sigaction(numbers[i], &action, NULL) == 0;
    return done;
}

bool screen_enter(void)
{
    const int ignored = SIGTTOU; /* the terminal is given back from the background, too */
    sigset_t held;
    sigemptyset(&held);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        sigaddset(&held, told[i]);
    if (tcgetattr(STDIN_FILENO, &before) != 0 || sigprocmask(SIG_BLOCK, &held, &while_waiting) != 0 ||
        !handle(on_end, ending, sizeof ending / sizeof *ending) ||
        !handle(on_told, told, sizeof told / sizeof *told) || !handle(SIG_IGN, &ignored, 1))
        return false;
    stop_before_death(give_back);
    take();
    return true;
}

void screen_leave(void)
{
    give_back();
    handle(SIG_DFL, told, sizeof told / sizeof *told);
    handle(SIG_DFL, ending, sizeof ending / sizeof *ending);
    sigprocmask(SIG_SETMASK, &while_waiting, NULL);
}

void screen_size(size_t *rows, size_t *columns)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    *rows = known ? size.ws_row : 24;
    *columns = known ? size.ws_col : 80;
}

void screen_draw(const buf *frame)
{
    if (ours)
        write_text(frame->data, frame->len);
}

/* Stops as the shell wants it, with the terminal given back, and takes it again when in the foreground. */
static void see_to_stops(void)
{
    if (stopped)
        give_back();
    while (stopped) {
        stopped = 0;
        raise(SIGSTOP);
        stopped = tcgetpgrp(STDIN_FILENO) != getpgrp();
        resumed = 1;
    }
    if (resumed)
        take();
    resumed = 0;
}

/* What was typed, and is not yet taken. */
static char typed[64];
static size_t typed_len;

static int take_key(size_t len, int key)
{
    typed_len -= len;
    memmove(typed, typed + len, typed_len);
    return key;
}

/* The arrows come as three characters. */
static int next_key(void)
{
    if (typed[0] != '\033')
        return take_key(1, (unsigned char)typed[0]);
    if (typed_len < 3 || (typed[1] != '[' && typed[1] != 'O'))
        return take_key(1, KEY_NONE);
    return take_key(3, typed[2] == 'A' ? KEY_UP : typed[2] == 'B' ? KEY_DOWN : KEY_NONE);
}

static int read_key(void)
{
    ssize_t n = read(STDIN_FILENO, typed, sizeof typed);
    if (n <= 0)
        return n < 0 && errno == EINTR ? KEY_NONE : KEY_GONE;
    typed_len = (size_t)n;
    return next_key();
}

int screen_key_until(int64_t until)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = stop_fd(), .events = POLLIN}};
    int ms = clock_poll_ms(until);
    struct timespec most = {ms / 1000, (ms % 1000) * 1000000L};
    if (stop_signal())
        return KEY_GONE;
    if (typed_len > 0)
        return next_key();
    int n = ppoll(fds, 2, &most, &while_waiting);
    see_to_stops();
    if (stop_signal())
        return KEY_GONE;
    return n > 0 && fds[0].revents ? read_key() : KEY_NONE;
}
