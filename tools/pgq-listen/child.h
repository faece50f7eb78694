/* SPDX-License-Identifier: MIT */
/* One child process: started in a process group of its own, watched, ended. */
#ifndef LISTEN_CHILD_H
#define LISTEN_CHILD_H

#include "errors.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct child {
    pid_t pid;
    int pid_fd; /* readable once it has exited; -1: the kernel has none, and child_gone() has to be asked */
    int in;     /* its stdin, for us to write; -1: closed */
    int out;    /* its stdout, for us to read; -1: it has ours, or it was closed */
    int err;    /* its stderr, for us to read; -1: closed */
} child;

/* Where there is no pid_fd, the longest time between two looks. */
#define CHILD_LOOK_MS 20

/* Raises the limit of open files to what as many children need; children get the old one back.
 * false: that is over the hard limit. */
bool child_allow(int children);

/* The path of a command, found as a shell would. NULL: there is none, and errno says why. Free it. */
char *child_find(const char *command);

/* Starts a child; our ends of its pipes do not block. Returns 0, or an errno.
 * capture: its stdout is for us too. */
int child_start(child *c, const char *path, char *const *argv, char *const *envp, bool capture);

/* Whether it has exited. It still has to be reaped. */
bool child_gone(const child *c);

/* The same, after a moment if need be: a process closes its pipes shortly before it has exited. */
bool child_gone_soon(const child *c);

/* TERM to its process group, after kill_after_ms KILL; returns when it has exited. Meanwhile its stderr
 * goes to e, unless that is NULL. */
void child_end(child *c, int64_t kill_after_ms, errors *e);

/* Takes the status of a child that has exited, as waitpid() gives it, and closes what is open. */
int child_reap(child *c);

/* "exit status 3", "signal 9": what such a status means. */
#define CHILD_STATUS_TEXT 32
void child_status_text(int status, char out[CHILD_STATUS_TEXT]);

/* Closes *fd, unless it is -1, and sets it to -1. */
void child_close(int *fd);

#endif
