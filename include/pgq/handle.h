/* SPDX-License-Identifier: MIT */
/** @file handle.h
 *  A handle: one connection and one namespace.
 */
#ifndef PGQ_HANDLE_H
#define PGQ_HANDLE_H

#include <libpq-fe.h>
#include <pgq/status.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** In a number of an options struct: not given; what holds then is said there. */
#define PGQ_UNSET (-2147483647 - 1)

/** A connection and a namespace. One thread at a time; it may move between threads. */
typedef struct pgq pgq;

typedef struct pgq_open_options {
    size_t size;            /**< sizeof(pgq_open_options) */
    const char *name_space; /**< a schema of 1 to 63 bytes; NULL: "mq" */
    int connect_attempts;   /**< tries while no server answers, at least 1; 0: 10. A server that refuses is
                               asked once */
    int connect_backoff_ms; /**< the pause after the first failed try, doubled each time up to 60 s; 0: 10 */
} pgq_open_options;

#define PGQ_OPEN_OPTIONS_INIT                                                                                \
    {                                                                                                        \
        sizeof(pgq_open_options), NULL, 0, 0                                                                 \
    }

/** Connects, and makes a handle that owns the connection.
 *
 *  @param conninfo a conninfo string or URI, given to libpq as it is; NULL or "": the environment
 *  @param options  NULL: the defaults
 *  @param out      the handle, set even on failure so that pgq_last_error() can be read, unless
 *                  memory ran out; close it either way
 *  @return OK, INVALID, NO_MEMORY, CONNECTION. That the namespace is installed is not checked here.
 *
 *  The library prepares statements on the connection, and names them pgq_*. DEALLOCATE ALL or DISCARD ALL
 *  costs one call an error at most: they are prepared again.
 *
 *  Transaction: none. Blocking: until connected, or refused as many times as options say; libpq's
 *  connect_timeout bounds each try. Threads: any. Ownership: the caller closes *out. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_open(const char *conninfo, const pgq_open_options *options, pgq **out);

/** Makes a handle on a connection of the caller's, to send and take messages in the caller's own
 *  transaction. Nothing about the connection changes: the library begins and ends no transaction on it,
 *  sets nothing, prepares nothing, and leaves its notices and notifications alone.
 *
 *  @param conn    stays the caller's, and must outlive the handle; not in pipeline mode during a call
 *  @param options NULL: the defaults; connect_* are not used
 *  @param out     as for pgq_open()
 *  @return OK, INVALID, NO_MEMORY
 *
 *  Transaction: none. Blocking: never. Threads: that of conn. Ownership: the caller closes *out, and
 *  conn itself. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_attach(PGconn *conn, const pgq_open_options *options, pgq **out);

/** Frees a handle, and closes its connection if it owns one. NULL is allowed.
 *
 *  Transaction: one that the handle began is rolled back. Blocking: never for long. Threads: that of
 *  the handle; not from within a handler. Ownership: q is gone. Since: 0.1. */
PGQ_EXPORT void pgq_close(pgq *q);

/** Connects an owned handle again after its connection was lost. What was open is gone.
 *
 *  @return OK, INVALID (attached, or NULL), CONNECTION, STATE (within a handler)
 *
 *  Transaction: a lost one is rolled back by the server. Blocking: one try to connect. Threads: that
 *  of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_reconnect(pgq *q);

/** The handle's connection, for the caller's own statements: within a handler they join its scope.
 *
 *  @return NULL if q is NULL or never connected
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle. Ownership: the handle's, do not
 *  finish it; leave no transaction, pipeline mode or LISTEN on an owned one. Prepared statements named pgq_*
 *  are the library's there: DEALLOCATE ALL or DISCARD ALL costs one call an error at most. Since: 0.1. */
PGQ_EXPORT PGconn *pgq_connection(const pgq *q);

/** What went wrong in the last call on q; never NULL. After a success its status is that of the call.
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle. Ownership: the handle's, valid
 *  until the next call on it. Since: 0.1. */
PGQ_EXPORT const pgq_error *pgq_last_error(const pgq *q);

/** The name of the handle's namespace; "" for NULL.
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle. Ownership: the handle's. Since: 0.1. */
PGQ_EXPORT const char *pgq_namespace(const pgq *q);

/* --- the namespace itself --- */

/** Installs the namespace, or brings it up to this library's version. Running it again changes nothing;
 *  two at once wait for each other. A namespace made by a newer library is left as it is.
 *
 *  @return OK, VERSION (a newer one is there), INVALID (the schema holds something else), PERMISSION, ...
 *
 *  Transaction: one of its own, or joins the caller's on an attached handle. Blocking: while another
 *  installer is at work. Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_install(pgq *q);

/** Drops the namespace: its schema, with every queue, message and dead letter in it.
 *
 *  @return OK, NOT_INSTALLED, PERMISSION, ...
 *
 *  Transaction: one of its own, or joins the caller's. Blocking: while anything uses the tables.
 *  Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_drop(pgq *q);

/** Empties the namespace: every queue, message and dead letter goes; settings and grants stay.
 *
 *  @return OK, NOT_INSTALLED, PERMISSION, ...
 *
 *  Transaction: one of its own, or joins the caller's. Blocking: while anything uses the tables.
 *  Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_reset(pgq *q);

/** Ends every wait in the namespace with SHUTDOWN: of pgq_listen() and its kin, of pgq_topic_wait() and
 *  pgq_topic_listen(), of listeners and workers, pgq-listen among them, that are connected. Who waits again,
 * or begins to, is not kept from it.
 *
 *  @return OK, NOT_INSTALLED, PERMISSION (no grant has it: it is the owner's), ...
 *
 *  Transaction: joins one if it is open, and then the waits end when it commits. Blocking: one round trip.
 *  Threads: that of the handle. Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_shutdown(pgq *q);

/** The version of the installed namespace, to be held against pgq_schema_version().
 *
 *  @return OK, NOT_INSTALLED, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_installed_version(pgq *q, int *out);

/** The version of the namespace that this library installs.
 *
 *  Transaction: none. Blocking: never. Threads: any. Ownership: none. Since: 0.1. */
PGQ_EXPORT int pgq_schema_version(void);

/** Lets a send to an unknown queue create it, in the whole namespace. Off after an install.
 *
 *  @param enabled 0 or 1
 *  @return OK, NOT_INSTALLED, PERMISSION, ...
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_set_auto_create(pgq *q, int enabled);

/** Grants a role what it takes to send, and no more: it can neither read nor take a message.
 *
 *  @return OK, INVALID, NOT_INSTALLED, PERMISSION, SERVER (no such role)
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_grant_producer(pgq *q, const char *role);

/** Grants a role what it takes to take, settle, look and cancel, and no more: it can neither send
 *  nor change a queue. One role may have several grants.
 *
 *  @return OK, INVALID, NOT_INSTALLED, PERMISSION, SERVER (no such role)
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_grant_consumer(pgq *q, const char *role);

/** Grants a role what it takes to look at everything and to wait for it, and no more: it can change nothing.
 *  The sessions of other roles are the server's to show: pg_monitor sees them.
 *
 *  @return OK, INVALID, NOT_INSTALLED, PERMISSION, SERVER (no such role)
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_grant_monitor(pgq *q, const char *role);

/** Takes back whatever a role was granted in the namespace, by these calls or by hand; no upgrade grants it
 *  again. What it owns, and what it has by being a member of another role, stays.
 *
 *  @return OK, NOT_FOUND (it was granted nothing, or there is no such role), INVALID, NOT_INSTALLED,
 *          PERMISSION
 *
 *  Transaction: joins one if it is open. Blocking: one round trip. Threads: that of the handle.
 *  Ownership: none. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_revoke(pgq *q, const char *role);

#ifdef __cplusplus
}
#endif
#endif
