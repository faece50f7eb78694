/* SPDX-License-Identifier: MIT */
#include "say.h"

#include "progress.h"
#include "verb.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char where[128];

bool say_colour(int fd)
{
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

/* One write() a line, and no control character of somebody else's in it. */
static void say(const char *begin, const char *end, const char *format, va_list args)
{
    char text[2048];
    int n = vsnprintf(text, sizeof text, format, args);
    for (char *p = text; n > 0 && *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    }
    progress_clear();
    fprintf(stderr, "%spgq:%s %s%s%s\n", begin, end, where, *where ? " " : "", text);
}

static void say_error(const char *format, va_list args)
{
    bool colour = say_colour(STDERR_FILENO);
    say(colour ? "\033[31m" : "", colour ? "\033[m" : "", format, args);
}

int say_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_error(format, args);
    va_end(args);
    return EXIT_USAGE;
}

int say_failed(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_error(format, args);
    va_end(args);
    return EXIT_FAILED;
}

void say_note(const char *format, ...)
{
    va_list args;
    if (!isatty(STDERR_FILENO))
        return;
    va_start(args, format);
    say("", "", format, args);
    va_end(args);
}

void say_where(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(where, sizeof where, format, args);
    va_end(args);
}
