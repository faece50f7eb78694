/* SPDX-License-Identifier: MIT */
/* A process between pgq-listen and the server. Stopped by SIGSTOP, it is a network that was cut: nothing
 * comes through, and nobody is told. */
#ifndef TOOLS_RELAY_H
#define TOOLS_RELAY_H

#include "harness.h"

#define RELAY_CONNINFO 1024

/* Starts one for the server that the fixture's handle has; conninfo leads through it. */
pid_t relay_start(fixture *f, char conninfo[RELAY_CONNINFO]);

void relay_end(pid_t relay);

#endif
