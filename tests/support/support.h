/* SPDX-License-Identifier: MIT */
/* For tests with a server: a namespace of its own for each test, connections, waiting with deadlines.
 *
 * SQL is written for the namespace mq; the test's own is put in the place of "mq.". */
#ifndef SUPPORT_SUPPORT_H
#define SUPPORT_SUPPORT_H

#include "support/cm.h"

#include <pgq/pgq.h>

/* One test's. All connections carry the namespace as their application name. */
typedef struct fixture {
    char ns[64];
    pgq *q;      /* a handle on the namespace, installed */
    PGconn *sql; /* another connection, to look from outside */
} fixture;

/* Runs the tests, or says 77 if there is no server to test with. */
#define RUN_WITH_SERVER(tests) (t_dsn() ? t_verdict(cmocka_run_group_tests(tests, NULL, NULL)) : 77)
#define DB_TEST(f)             cmocka_unit_test_setup_teardown(f, t_setup, t_teardown)

const char *t_dsn(void);
int t_verdict(int failed);    /* for main() to return, if it does return */
int t_setup(void **state);    /* installs a namespace */
int t_teardown(void **state); /* ends whatever still uses it, and drops it */

/* More connections. Those of t_open() end by pgq_close(), those of t_connect() by PQfinish(). */
pgq *t_open(const fixture *f);
PGconn *t_connect(void);

/* Fails the test unless the call gave that status; says what the handle's error is. */
#define assert_status(q, call, wanted) t_status(q, call, wanted, #call, __FILE__, __LINE__)
#define assert_ok(q, call)             assert_status(q, call, PGQ_OK)
void t_status(const pgq *q, pgq_status got, pgq_status wanted, const char *what, const char *file, int line);

/* Runs SQL that must succeed. */
void t_run(const fixture *f, PGconn *conn, const char *format, ...) PGQ_PRINTF(3, 4);
/* One value as text, "" for NULL; valid until the next but seven call. */
const char *t_ask(const fixture *f, PGconn *conn, const char *format, ...) PGQ_PRINTF(3, 4);
long t_number(const fixture *f, PGconn *conn, const char *format, ...) PGQ_PRINTF(3, 4);
/* The SQLSTATE that a statement ends with, "" if it succeeds. */
const char *t_sqlstate(const fixture *f, PGconn *conn, const char *format, ...) PGQ_PRINTF(3, 4);
/* Asks again and again until the answer is the wanted one; fails the test after ms. */
void t_until(const fixture *f, int ms, const char *wanted, const char *sql);

int64_t t_now_us(void);
void t_pause_ms(int ms); /* within a loop that waits for a condition */

/* A text message with default options; its id. */
int64_t t_send(pgq *q, const char *queue, const char *text);
/* The same with options, which may be NULL. */
int64_t t_send_as(pgq *q, const char *queue, const char *text, const pgq_enqueue_options *options);
/* Leases up to max messages, as soon as there is one: what falls due may take a look or two. lease_ms:
 * PGQ_UNSET, too. */
pgq_messages *t_receive(pgq *q, const char *queue, int max, int64_t lease_ms);
/* The same for one message, of which the receipt is enough; its text goes to body unless that is NULL. */
pgq_receipt t_lease(pgq *q, const char *queue, int64_t lease_ms, char body[64]);
pgq_receipt t_receipt(const pgq_message *m);
/* Lets a lease have run out just now. */
void t_expire(const fixture *f, int64_t id);
/* "text attempts errors; " of each message in a state, in order. */
const char *t_listed(const fixture *f, const char *queue, pgq_state state);
/* Ends a connection's backend, and waits until it is gone. */
void t_kill(const fixture *f, int pid);

/* What a handler saw, and what it is to do. */
typedef struct witness {
    int calls;
    int rc;           /* what to return */
    const char *fail; /* unless NULL: pgq_fail() with it */
    int64_t id;
    char payload[256];
    size_t len;
    int32_t attempts, errors;
    char last_error[256];
} witness;

int t_witness(pgq *q, PGconn *conn, const pgq_message *m, void *arg); /* arg: a witness */

#endif
