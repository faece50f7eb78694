/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include "say.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int ask_first(const call *c, const char *what)
{
    char answer[16];
    size_t n = 0;
    char ch;
    if (c->opt[O_YES].set)
        return EXIT_DONE;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return say_usage("%s would %s: give --yes to do that in a script", c->verb->name, what);
    fprintf(stderr, "pgq: %s? This cannot be undone. [y/N] ", what);
    while (read(STDIN_FILENO, &ch, 1) == 1 && ch != '\n') {
        if (n + 1 < sizeof answer)
            answer[n++] = ch;
    }
    answer[n] = '\0';
    if (strcmp(answer, "y") == 0 || strcmp(answer, "Y") == 0 || strcmp(answer, "yes") == 0)
        return EXIT_DONE;
    return say_failed("nothing was done");
}
