/* SPDX-License-Identifier: MIT */
/* For the tests that interleave sessions: each session is a connection, and a statement may be started in
 * one while others go on. SQL is written for the namespace mq; the test's own is put in its place. */
#ifndef SESSION_H
#define SESSION_H

#include <libpq-fe.h>

#if defined(__GNUC__)
#define SESSION_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define SESSION_PRINTF(f, a)
#endif

/* Connects; ends the program with 77 if PGQ_TEST_DSN is not set. */
PGconn *session_open(void);
/* Ends the backend, as a crash of the client's machine would, and frees the connection. */
void session_kill(PGconn *c);

/* Runs statements that must succeed. */
void run(PGconn *c, const char *format, ...) SESSION_PRINTF(2, 3);
/* The rows: columns parted by '|', rows by ','. Valid until 16 more calls of text() and state(). */
const char *text(PGconn *c, const char *format, ...) SESSION_PRINTF(2, 3);
/* The first column of the first row; -1 if there is none. */
long long number(PGconn *c, const char *format, ...) SESSION_PRINTF(2, 3);
/* The SQLSTATE that a statement ends with; "00000" if it succeeds. */
const char *state(PGconn *c, const char *format, ...) SESSION_PRINTF(2, 3);

/* Starts a statement and does not wait for it. */
void start(PGconn *c, const char *format, ...) SESSION_PRINTF(2, 3);
/* Waits until what was started waits for a lock; 0 if it ended instead. */
int blocked(PGconn *c);
/* Waits for what was started, and gives what text() would; "!" and the SQLSTATE if it failed. */
const char *finish(PGconn *c);

/* Notifications that have come by now; all are taken. */
int bells(PGconn *c);
/* Waits for a notification, for at most 5 s; how many came. */
int wait_bell(PGconn *c);

/* Waits until a query gives true, for at most 10 s; else the check fails. */
void wait_until(PGconn *c, const char *format, ...) SESSION_PRINTF(2, 3);

void check_that(int ok, const char *what, const char *file, int line);
void check_same(const char *expected, const char *got, const char *what, const char *file, int line);
void check_number(long long expected, long long got, const char *what, const char *file, int line);
#define check(what)               check_that((what) != 0, #what, __FILE__, __LINE__)
#define check_text(expected, got) check_same(expected, got, #got, __FILE__, __LINE__)
#define check_int(expected, got)  check_number(expected, got, #got, __FILE__, __LINE__)

/* Runs a test between two resets of the namespace, with its name told if a check fails. */
void test(const char *name, void (*body)(void));
#define TEST(body) test(#body, body)
/* The exit status. */
int finished(void);

#endif
