/* SPDX-License-Identifier: MIT */
/* What a handle is. Only src/ sees this. */
#ifndef PGQI_HANDLE_H
#define PGQI_HANDLE_H

#include "cursor.h"
#include "doze.h"
#include "prepared.h"

#include <pgq/codec.h>
#include <pgq/lease.h>

enum { PGQI_NAMESPACE_MAX = 63 };

/* A quoted identifier: each byte may be a quote that is doubled. */
typedef char pgqi_schema[2 * PGQI_NAMESPACE_MAX + 3];

/* Whose bell is waited for. */
typedef enum pgqi_bell_kind { PGQI_QUEUE, PGQI_TOPIC } pgqi_bell_kind;

struct pgq {
    PGconn *conn;
    int owned;
    int in_handler; /* a handler runs: its scope is open */
    int fail_set;   /* it has called pgq_fail() */
    char fail_text[1024];
    pgq_receipt handled;    /* the message that the handler is at */
    int settled;            /* it has settled it itself */
    struct pgqi_hold *hold; /* the lease it runs under; NULL: a scope */
    char name_space[PGQI_NAMESPACE_MAX + 1];
    pgqi_schema schema;
    pgq_error error;
    pgqi_cursors *cursors; /* where to look; a worker's threads share theirs */
    int one_missed;        /* the last claim found nothing: the next one is to say why */
    char *listening;       /* the queue or topic whose channel the connection listens on, or NULL */
    pgqi_bell_kind bell;   /* which of the two it is */
    char shutdown[64];     /* the other channel that it listens on */
    int shut;              /* a shutdown has been heard of, and not been told yet */
    int64_t tend_at_us;    /* when the logs of the topics are due to be tended; INT64_MAX: never */
    int handling;          /* the handler that runs is that of a subscriber */
    pgqi_doze doze;        /* of the waiting calls, kept from call to call */
    pgq_codec codec;
    pgqi_prepared prepared;
    char *conninfo;             /* of an owned handle */
    struct pgqi_keeper *keeper; /* extends the leases of pgq_receive_with(); NULL: not needed yet */
};

/* Checks and copies a namespace's name; NULL is "mq". */
pgq_status pgqi_set_namespace(char name_space[PGQI_NAMESPACE_MAX + 1], pgqi_schema schema, const char *name,
                              pgq_error *e);

/* Reads an options struct of the caller's, which may be of another version, over defaults of the given
 * size. NULL keeps the defaults. INVALID if it has members that this library does not know and sets them. */
pgq_status pgqi_read_options(void *to, size_t size, const void *from, pgq_error *e);

#endif
