/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SQL_MAX = 8192, ANSWERS = 8, ANSWER_MAX = 1024 };

const char *t_dsn(void)
{
    const char *dsn = getenv("PGQ_TEST_DSN");

    if (!dsn)
        fputs("PGQ_TEST_DSN is not set: skipped\n", stderr);
    return dsn;
}

/* What failed leaks what it had: LeakSanitizer would bury the reason under pages of that. */
int t_verdict(int failed)
{
    if (failed) {
        fflush(NULL);
        _exit(1);
    }
    return 0;
}

int64_t t_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void t_pause_ms(int ms)
{
    poll(NULL, 0, ms);
}

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

PGconn *t_connect(void)
{
    PGconn *conn = PQconnectdb(t_dsn());

    if (PQstatus(conn) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(conn));
    PQsetClientEncoding(conn, "UTF8");
    PQsetNoticeProcessor(conn, ignore_notice, NULL);
    return conn;
}

pgq *t_open(const fixture *f)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    o.name_space = f->ns;
    assert_ok(q, pgq_open(t_dsn(), &o, &q));
    return q;
}

int t_setup(void **state)
{
    static int number;
    fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    *state = f;
    snprintf(f->ns, sizeof f->ns, "test-%ld-%d", (long)getpid(), ++number);
    setenv("PGAPPNAME", f->ns, 1);
    f->sql = t_connect();
    f->q = t_open(f);
    assert_ok(f->q, pgq_install(f->q));
    return 0;
}

int t_teardown(void **state)
{
    fixture *f = *state;

    PQfinish(f->sql);
    f->sql = t_connect();
    t_run(f, f->sql,
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s'"
          " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
          f->ns);
    t_run(f, f->sql, "DROP SCHEMA IF EXISTS \"%s\" CASCADE", f->ns);
    PQfinish(f->sql);
    pgq_close(f->q);
    free(f);
    return 0;
}

void t_status(const pgq *q, pgq_status got, pgq_status wanted, const char *what, const char *file, int line)
{
    if (got != wanted) {
        print_error("%s gave %s in the place of %s: %s [%s]\n", what, pgq_status_name(got),
                    pgq_status_name(wanted), q ? pgq_last_error(q)->message : "",
                    q ? pgq_last_error(q)->sqlstate : "");
        _fail(file, line);
    }
}

/* The text with the test's namespace in it. */
static void expand(const fixture *f, char *out, const char *format, va_list args) PGQ_PRINTF(3, 0);
static void expand(const fixture *f, char *out, const char *format, va_list args)
{
    char text[SQL_MAX];
    size_t n = 0;
    int len = vsnprintf(text, sizeof text, format, args);

    assert_in_range(len, 1, SQL_MAX - 1);
    for (const char *at = text; *at;) {
        if (strncmp(at, "mq.", 3) == 0 && (at == text || !strchr("\"_abcdefghijklmnopqrstuvwxyz", at[-1]))) {
            n += (size_t)snprintf(out + n, SQL_MAX - n, "\"%s\".", f->ns);
            at += 3;
        } else {
            out[n++] = *at++;
        }
        assert_true(n < SQL_MAX - 80);
    }
    out[n] = '\0';
}

static PGresult *run(const fixture *f, PGconn *conn, const char *format, va_list args) PGQ_PRINTF(3, 0);
static PGresult *run(const fixture *f, PGconn *conn, const char *format, va_list args)
{
    char sql[SQL_MAX];
    PGresult *res;

    expand(f, sql, format, args);
    res = PQexec(conn, sql);
    if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK) {
        print_error("%s\n", sql);
        PQclear(res);
        fail_msg("%s", PQerrorMessage(conn));
    }
    return res;
}

void t_run(const fixture *f, PGconn *conn, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    PQclear(run(f, conn, format, args));
    va_end(args);
}

static const char *ask(const fixture *f, PGconn *conn, const char *format, va_list args) PGQ_PRINTF(3, 0);
static const char *ask(const fixture *f, PGconn *conn, const char *format, va_list args)
{
    static char answers[ANSWERS][ANSWER_MAX];
    static unsigned next;
    char *answer = answers[next++ % ANSWERS];
    PGresult *res = run(f, conn, format, args);

    snprintf(answer, ANSWER_MAX, "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "(no row)");
    PQclear(res);
    return answer;
}

const char *t_ask(const fixture *f, PGconn *conn, const char *format, ...)
{
    const char *answer;
    va_list args;

    va_start(args, format);
    answer = ask(f, conn, format, args);
    va_end(args);
    return answer;
}

long t_number(const fixture *f, PGconn *conn, const char *format, ...)
{
    const char *answer;
    va_list args;

    va_start(args, format);
    answer = ask(f, conn, format, args);
    va_end(args);
    return strtol(answer, NULL, 10);
}

const char *t_sqlstate(const fixture *f, PGconn *conn, const char *format, ...)
{
    static char state[6];
    char sql[SQL_MAX];
    const char *got;
    PGresult *res;
    va_list args;

    va_start(args, format);
    expand(f, sql, format, args);
    va_end(args);
    res = PQexec(conn, sql);
    got = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    snprintf(state, sizeof state, "%s", got ? got : "");
    PQclear(res);
    return state;
}

void t_until(const fixture *f, int ms, const char *wanted, const char *sql)
{
    int64_t until = t_now_us() + ms * 1000LL;
    const char *answer;

    while (strcmp(answer = t_ask(f, f->sql, "%s", sql), wanted) != 0) {
        if (t_now_us() > until)
            fail_msg("after %d ms \"%s\" gives %s in the place of %s", ms, sql, answer, wanted);
        t_pause_ms(5);
    }
}

int64_t t_send(pgq *q, const char *queue, const char *text)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    int64_t id = 0;

    o.kind = PGQ_TEXT;
    assert_ok(q, pgq_enqueue(q, queue, text, strlen(text), &o, &id));
    return id;
}

int64_t t_send_as(pgq *q, const char *queue, const char *text, const pgq_enqueue_options *options)
{
    int64_t id = 0;

    assert_ok(q, pgq_enqueue(q, queue, text, strlen(text), options, &id));
    return id;
}

pgq_messages *t_receive(pgq *q, const char *queue, int max, int64_t lease_ms)
{
    pgq_receive_options o = PGQ_RECEIVE_OPTIONS_INIT;
    int64_t until = t_now_us() + 10000000;
    pgq_messages *m = NULL;
    pgq_status status;

    o.lease_ms = lease_ms;
    while ((status = pgq_receive(q, queue, max, &o, &m)) == PGQ_EMPTY && t_now_us() < until)
        t_pause_ms(2);
    assert_ok(q, status);
    return m;
}

pgq_receipt t_receipt(const pgq_message *m)
{
    return (pgq_receipt){m->id, m->attempts};
}

pgq_receipt t_lease(pgq *q, const char *queue, int64_t lease_ms, char body[64])
{
    pgq_messages *m = t_receive(q, queue, 1, lease_ms);
    const pgq_message *first = pgq_messages_get(m, 0);
    pgq_receipt receipt = t_receipt(first);

    if (body)
        snprintf(body, 64, "%s", (const char *)first->payload);
    pgq_messages_free(m);
    return receipt;
}

void t_expire(const fixture *f, int64_t id)
{
    t_run(f, f->sql, "UPDATE mq.message SET due = clock_timestamp() WHERE id = %lld AND state = 2",
          (long long)id);
}

const char *t_listed(const fixture *f, const char *queue, pgq_state state)
{
    static char text[ANSWER_MAX];
    size_t n = 0;
    pgq_messages *m;
    pgq_status status = pgq_list(f->q, queue, state, 100, 0, &m);

    text[0] = '\0';
    if (status != PGQ_EMPTY)
        assert_ok(f->q, status);
    for (size_t i = 0; i < pgq_messages_count(m); i++) {
        const pgq_message *one = pgq_messages_get(m, i);

        n += (size_t)snprintf(text + n, sizeof text - n, "%s %d %d; ", (const char *)one->payload,
                              one->attempts, one->errors);
        assert_true(n < sizeof text);
    }
    pgq_messages_free(m);
    return text;
}

void t_kill(const fixture *f, int pid)
{
    char sql[128];

    t_run(f, f->sql, "SELECT pg_terminate_backend(%d)", pid);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid);
    t_until(f, 10000, "0", sql);
}

int t_witness(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    witness *w = arg;

    (void)conn;
    w->calls++;
    w->id = m->id;
    w->len = m->payload_len;
    w->attempts = m->attempts;
    w->errors = m->errors;
    snprintf(w->payload, sizeof w->payload, "%.*s", (int)m->payload_len, (const char *)m->payload);
    snprintf(w->last_error, sizeof w->last_error, "%s", m->last_error ? m->last_error : "");
    return w->fail ? pgq_fail(q, "%s", w->fail) : w->rc;
}
