/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "say.h"
#include "values.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *trim(char *s)
{
    size_t n;
    s += strspn(s, " \t");
    n = strlen(s);
    while (n > 0 && strchr(" \t\r\n", s[n - 1]))
        s[--n] = '\0';
    return s;
}

/* Why a line is refused; NULL: it is not. */
static const char *take(config *c, char *line, char why[256])
{
    char *equals = strchr(line, '=');
    char **to = NULL;
    given format;
    const char *key;
    char *value;
    if (!equals)
        return "key = value is allowed, and # before a comment";
    *equals = '\0';
    key = trim(line);
    value = trim(equals + 1);
    if (strcmp(key, "dsn") == 0)
        to = &c->dsn;
    else if (strcmp(key, "namespace") == 0)
        to = &c->name_space;
    else if (strcmp(key, "format") == 0)
        to = &c->format;
    if (!to) {
        snprintf(why, 256, "key \"%.60s\" is unknown: dsn, namespace and format are allowed", key);
        return why;
    }
    if (to == &c->format && !value_read(O_FORMAT, value, &format, why))
        return why;
    free(*to);
    *to = strdup(value);
    return *to ? NULL : "out of memory";
}

static int read_lines(config *c, FILE *file, const char *path)
{
    char *line = NULL;
    size_t size = 0;
    int status = EXIT_DONE;
    for (int n = 1; status == EXIT_DONE && getline(&line, &size, file) >= 0; n++) {
        char why[256];
        char *text = trim(line);
        const char *fault = *text == '\0' || *text == '#' ? NULL : take(c, text, why);
        if (fault)
            status = say_usage("%s, line %d: %s", path, n, fault);
    }
    if (status == EXIT_DONE && ferror(file))
        status = say_failed("cannot read %s: %s", path, strerror(errno));
    free(line);
    return status;
}

int config_read(config *c)
{
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    *c = (config){0};
    if (xdg && *xdg == '/')
        snprintf(path, sizeof path, "%s/pgq/config", xdg);
    else if (home && *home)
        snprintf(path, sizeof path, "%s/.config/pgq/config", home);
    else
        return EXIT_DONE;
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT || errno == ENOTDIR ? EXIT_DONE
                                                   : say_failed("cannot read %s: %s", path, strerror(errno));
    int status = read_lines(c, file, path);
    fclose(file);
    return status;
}

void config_free(config *c)
{
    free(c->dsn);
    free(c->name_space);
    free(c->format);
    *c = (config){0};
}
