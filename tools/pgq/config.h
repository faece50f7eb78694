/* SPDX-License-Identifier: MIT */
/* The settings file. */
#ifndef PGQ_CLI_CONFIG_H
#define PGQ_CLI_CONFIG_H

typedef struct config {
    char *dsn, *name_space, *format; /* NULL: not set */
} config;

/* EXIT_DONE, also if there is no file; else it was said what is wrong. Free what was read either way. */
int config_read(config *c);
void config_free(config *c);

#endif
