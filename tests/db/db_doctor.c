/* SPDX-License-Identifier: MIT */
/* pgq_doctor(): its list, its options, and what only a library can find. The faults are those of
 * tests/sql/doctor.sh. */
#include "support/support.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The first finding of a check; NULL if there is none. It is the list's. */
static const pgq_finding *found(const pgq_findings *list, const char *check)
{
    for (size_t i = 0; i < pgq_findings_count(list); i++)
        if (strcmp(pgq_findings_get(list, i)->check, check) == 0)
            return pgq_findings_get(list, i);
    return NULL;
}

static pgq_findings *examine(pgq *q, const pgq_doctor_options *options)
{
    pgq_findings *list;

    assert_ok(q, pgq_doctor(q, options, &list));
    assert_non_null(list);
    return list;
}

/* Nothing that is this namespace's, or of this connection: others may use the server meanwhile. */
static void assert_healthy(pgq *q)
{
    static const char *const ours[] = {"version",           "pooler",    "no_consumer", "overdue",
                                       "dead_letters",      "bloat",     "dead_rows",   "public_grant",
                                       "missing_privilege", "long_scope"};
    pgq_findings *list = examine(q, NULL);

    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (found(list, ours[i]))
            fail_msg("%s: %s", ours[i], found(list, ours[i])->message);
    pgq_findings_free(list);
}

static void test_healthy(void **state)
{
    fixture *f = *state;

    assert_healthy(f->q);
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "x");
    assert_healthy(f->q);
}

static void test_finding(void **state)
{
    fixture *f = *state;
    pgq_doctor_options o = PGQ_DOCTOR_OPTIONS_INIT;
    const pgq_finding *it;
    pgq_findings *list;

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "x");
    t_run(f, f->sql, "UPDATE mq.message SET sent = sent - interval '10 min'");
    o.wait_age_ms = 590000;
    list = examine(f->q, &o);
    it = found(list, "no_consumer");
    assert_non_null(it);
    assert_int_equal(it->severity, PGQ_SEVERITY_PROBLEM);
    assert_string_equal(it->subject, "q");
    assert_non_null(strstr(it->message, "10 min"));
    assert_true(strlen(it->advice) > 10);
    assert_true(it->age_ms >= 600000 && it->age_ms < 700000);
    assert_true(it->bytes == -1 && it->rows == -1 && it->transactions == -1);
    assert_null(pgq_findings_get(list, pgq_findings_count(list)));
    pgq_findings_free(list);

    o.wait_age_ms = 700000;
    list = examine(f->q, &o);
    assert_null(found(list, "no_consumer"));
    pgq_findings_free(list);
}

/* Each option reaches its argument: at 0 the server's own state is enough for most. */
static void test_options(void **state)
{
    fixture *f = *state;
    PGconn *other = t_connect();
    pgq_doctor_options o = PGQ_DOCTOR_OPTIONS_INIT;
    const pgq_finding *it;
    pgq_findings *list;
    char pid[16];

    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    t_send(f->q, "q", "x");
    t_run(f, f->sql, "ANALYZE mq.message");
    t_run(f, other, "BEGIN");
    t_run(f, other, "SELECT mq.dequeue('q')");
    snprintf(pid, sizeof pid, "%d", PQbackendPID(other));
    o.scope_age_ms = 0;
    o.transaction_age_ms = 0;
    o.bloat_bytes = 0;
    o.dead_rows = 0;
    list = examine(f->q, &o);
    it = found(list, "long_scope");
    assert_non_null(it);
    assert_string_equal(it->subject, "q");
    assert_non_null(strstr(it->message, pid));
    assert_non_null(found(list, "long_transaction"));
    assert_non_null(found(list, "bloat"));
    assert_true(found(list, "bloat")->bytes > 0);
    assert_non_null(found(list, "never_analyzed"));
    assert_true(found(list, "never_analyzed")->rows >= 0);
    for (size_t i = 1; i < pgq_findings_count(list); i++)
        assert_true(pgq_findings_get(list, i - 1)->severity >= pgq_findings_get(list, i)->severity);
    pgq_findings_free(list);
    PQfinish(other);
}

static void test_invalid(void **state)
{
    static const pgq_doctor_options good = PGQ_DOCTOR_OPTIONS_INIT;
    pgq_doctor_options bad[9];
    fixture *f = *state;
    pgq_findings *list;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        bad[i] = good;
    bad[0].transaction_age_ms = -1;
    bad[1].scope_age_ms = 9999999001;
    bad[2].wait_age_ms = INT64_MIN;
    bad[3].horizon_age = -1;
    bad[4].dead_rows = -1;
    bad[5].bloat_bytes = -1;
    bad[6].dead_per_hour = 0;
    bad[7].notify_usage = 1.5;
    bad[8].size = 3;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        list = (pgq_findings *)bad;
        assert_status(f->q, pgq_doctor(f->q, &bad[i], &list), PGQ_INVALID);
        assert_null(list);
    }
    assert_status(f->q, pgq_doctor(f->q, NULL, NULL), PGQ_INVALID);
    assert_int_equal(pgq_findings_count(NULL), 0);
    assert_null(pgq_findings_get(NULL, 0));
    pgq_findings_free(NULL);
    assert_string_equal(pgq_severity_name(PGQ_SEVERITY_NOTE), "note");
    assert_string_equal(pgq_severity_name(PGQ_SEVERITY_WARNING), "warning");
    assert_string_equal(pgq_severity_name(PGQ_SEVERITY_PROBLEM), "problem");
    assert_string_equal(pgq_severity_name((pgq_severity)7), "unknown");
}

static void assert_version(pgq *q, pgq_severity severity, const char *text)
{
    pgq_findings *list = examine(q, NULL);
    const pgq_finding *it = found(list, "version");

    assert_non_null(it);
    assert_int_equal(it->severity, severity);
    assert_string_equal(it->subject, pgq_namespace(q));
    if (!strstr(it->message, text) && !strstr(it->advice, text))
        fail_msg("%s %s", it->message, it->advice);
    pgq_findings_free(list);
}

static void test_version(void **state)
{
    fixture *f = *state;
    pgq_findings *list;

    t_run(f, f->sql, "INSERT INTO mq.migration (version, name) VALUES (99, 'of the future')");
    assert_version(f->q, PGQ_SEVERITY_WARNING, "newer library");
    t_run(f, f->sql, "DELETE FROM mq.migration WHERE version IN (99, %d)", pgq_schema_version());
    assert_version(f->q, PGQ_SEVERITY_PROBLEM, "up to date");
    t_run(f, f->sql, "INSERT INTO mq.migration (version, name) VALUES (%d, 'again')", pgq_schema_version());
    assert_healthy(f->q);
    t_run(f, f->sql, "UPDATE mq.namespace SET functions = md5(functions)");
    assert_version(f->q, PGQ_SEVERITY_WARNING, "another release");
    assert_ok(f->q, pgq_install(f->q));
    assert_healthy(f->q);
    /* One from before there was a doctor. */
    t_run(f, f->sql, "ALTER FUNCTION mq._doctor RENAME TO _no_doctor");
    assert_status(f->q, pgq_doctor(f->q, NULL, &list), PGQ_VERSION);
    assert_null(list);
}

/* In the caller's transaction, which may be read-only. */
static void test_attached(void **state)
{
    fixture *f = *state;
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    o.name_space = f->ns;
    assert_int_equal(pgq_attach(f->sql, &o, &q), PGQ_OK);
    t_run(f, f->sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    assert_healthy(q);
    assert_int_equal(PQtransactionStatus(f->sql), PQTRANS_INTRANS);
    t_run(f, f->sql, "COMMIT");
    pgq_close(q);
}

/* --- something in between that tells its client of another process, as a pooler does --- */

typedef struct between {
    int door;
    struct sockaddr_storage server;
    socklen_t server_len;
} between;

/* Where the server's stream is in its messages: a type, a length of four bytes, and the rest. */
typedef struct stream {
    unsigned char type;
    unsigned at;
    unsigned len;
} stream;

/* BackendKeyData is 'K', 12, the process and a secret. */
static void rewrite(stream *s, unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s->at == 0) {
            s->type = bytes[i];
            s->len = 0;
        } else if (s->at <= 4) {
            s->len = s->len << 8 | bytes[i];
        } else if (s->at == 8 && s->type == 'K') {
            bytes[i] ^= 1;
        }
        s->at = s->at >= 4 && s->at == s->len ? 0 : s->at + 1;
    }
}

static void *relay(void *arg)
{
    between *b = arg;
    int client = accept(b->door, NULL, NULL);
    int server = socket(b->server.ss_family, SOCK_STREAM, 0);
    struct pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    unsigned char bytes[8192];
    stream s = {0};
    int open = connect(server, (struct sockaddr *)&b->server, b->server_len) == 0;

    while (open && poll(fds, 2, 10000) > 0)
        for (int i = 0; i < 2 && open; i++) {
            ssize_t n;

            if (!fds[i].revents)
                continue;
            n = read(fds[i].fd, bytes, sizeof bytes);
            if (n > 0 && i == 1)
                rewrite(&s, bytes, (size_t)n);
            open = n > 0 && write(fds[1 - i].fd, bytes, (size_t)n) == n;
        }
    close(client);
    close(server);
    return NULL;
}

static void test_pooler(void **state)
{
    fixture *f = *state;
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/pgq-doctor-XXXXXX", conninfo[256];
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    PGconn *direct = pgq_connection(f->q);
    between b = {.server_len = sizeof b.server};
    pgq_findings *list;
    pthread_t thread;
    pgq *q;

    assert_non_null(mkdtemp(dir));
    snprintf(here.sun_path, sizeof here.sun_path, "%s/.s.PGSQL.5432", dir);
    assert_int_equal(getpeername(PQsocket(direct), (struct sockaddr *)&b.server, &b.server_len), 0);
    b.door = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(b.door, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(listen(b.door, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, relay, &b), 0);
    snprintf(conninfo, sizeof conninfo, "host=%s port=5432 user='%s' password='%s' dbname='%s'", dir,
             PQuser(direct), PQpass(direct), PQdb(direct));
    o.name_space = f->ns;
    assert_ok(q, pgq_open(conninfo, &o, &q));
    list = examine(q, NULL);
    assert_non_null(found(list, "pooler"));
    assert_int_equal(found(list, "pooler")->severity, PGQ_SEVERITY_WARNING);
    assert_string_equal(found(list, "pooler")->subject, "connection");
    pgq_findings_free(list);
    pgq_close(q);
    pthread_join(thread, NULL);
    close(b.door);
    unlink(here.sun_path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(test_healthy), DB_TEST(test_finding),  DB_TEST(test_options), DB_TEST(test_invalid),
        DB_TEST(test_version), DB_TEST(test_attached), DB_TEST(test_pooler),
    };

    return RUN_WITH_SERVER(tests);
}
