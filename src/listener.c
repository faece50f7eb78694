/* SPDX-License-Identifier: MIT */
/* Waiting for messages inside an event loop: the doze, driven without ever blocking. */
#include "listener.h"

#include "alloc.h"
#include "clock.h"
#include "doze.h"
#include "error.h"
#include "exec.h"
#include "queue.h"

#include <stdio.h>
#include <string.h>

enum { BACKOFF_FIRST_US = 10000, BACKOFF_MOST_US = 60000000, CHANNEL_MAX = 64 };

typedef enum stage {
    CONNECTING,
    ASKING_CHANNELS, /* the queues' channels */
    SUBSCRIBING,     /* LISTEN */
    DOZING,          /* what d says; busy while a query runs for it */
    LOOKING,         /* READY was said: the caller looks */
    PAUSED           /* after a failure, until pause_until_us */
} stage;

struct pgq_listener {
    char *conninfo;
    PGconn *conn;
    char name_space[PGQI_NAMESPACE_MAX + 1];
    pgqi_schema schema;
    struct names {
        size_t n;
        pgqi_element *names; /* as array elements */
    } names[2];              /* of queues, of topics: a pgqi_bell_kind each */
    char shutdown[CHANNEL_MAX];
    int shut; /* a shutdown has been heard of, and not been told yet */
    int rang; /* and a bell */
    stage stage;
    int busy; /* a query is under way */
    int flushing;
    PGresult *answer; /* of the query under way, until its end has come */
    PostgresPollingStatusType connecting;
    pgqi_doze d;
    int poll_interval_ms;
    int64_t backoff_us;
    int64_t pause_until_us;
    pgq_error error;
};

static pgq_status failed(pgq_listener *l)
{
    int64_t now = pgqi_now_us();

    PQclear(l->answer);
    l->answer = NULL;
    PQfinish(l->conn);
    l->conn = NULL;
    l->stage = PAUSED;
    l->busy = 0;
    l->pause_until_us = now + l->backoff_us;
    l->backoff_us = l->backoff_us > BACKOFF_MOST_US / 2 ? BACKOFF_MOST_US : l->backoff_us * 2;
    return l->error.status;
}

static pgq_status lost(pgq_listener *l)
{
    pgqi_error_from_server(&l->error, l->conn, NULL);
    return failed(l);
}

static pgq_status start_connecting(pgq_listener *l)
{
    pgqi_doze_init(&l->d, l->poll_interval_ms);
    l->shut = l->rang = 0;
    l->stage = CONNECTING;
    l->connecting = PGRES_POLLING_WRITING;
    l->conn = pgqi_connect(l->conninfo, 1);
    if (!l->conn) {
        pgqi_error_set(&l->error, PGQ_NO_MEMORY, "out of memory");
        return failed(l);
    }
    if (PQstatus(l->conn) == CONNECTION_BAD || PQsetnonblocking(l->conn, 1) != 0)
        return lost(l);
    return PGQ_OK;
}

static pgq_status copy_names(pgq_listener *l, pgqi_bell_kind kind, const char *const *names, size_t n)
{
    struct names *to = &l->names[kind];

    if (n == 0)
        return PGQ_OK;
    to->names = pgqi_alloc(n, sizeof *to->names);
    if (!to->names)
        return pgqi_error_set(&l->error, PGQ_NO_MEMORY, "out of memory");
    to->n = n;
    for (size_t i = 0; i < n; i++) {
        if (pgqi_check_name(&l->error, kind == PGQI_QUEUE ? "queue" : "topic", names[i]) != PGQ_OK)
            return PGQ_INVALID;
        to->names[i].data = pgqi_strdup(names[i]);
        to->names[i].len = strlen(names[i]);
        if (!to->names[i].data)
            return pgqi_error_set(&l->error, PGQ_NO_MEMORY, "out of memory");
    }
    return PGQ_OK;
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        pgqi_free((void *)names->names[i].data);
    pgqi_free(names->names);
}

pgq_status pgq_listener_open(const char *conninfo, const char *const *queues, size_t n,
                             const pgq_listener_options *options, pgq_listener **out)
{
    pgq_listener_options o = PGQ_LISTENER_OPTIONS_INIT;
    pgq_listener *l;
    pgq_status status;

    if (!out)
        return PGQ_INVALID;
    *out = NULL;
    l = pgqi_alloc(1, sizeof *l);
    if (!l)
        return PGQ_NO_MEMORY;
    *out = l;
    l->stage = PAUSED;
    l->pause_until_us = INT64_MAX;
    l->backoff_us = BACKOFF_FIRST_US;
    status = pgqi_read_options(&o, sizeof o, options, &l->error);
    if (status == PGQ_OK)
        status = pgqi_set_namespace(l->name_space, l->schema, o.name_space, &l->error);
    if (status == PGQ_OK &&
        ((!queues && n > 0) || (!o.topics && o.topic_count > 0) || n + o.topic_count == 0))
        status = pgqi_error_set(&l->error, PGQ_INVALID, "a listener needs at least one queue or topic");
    if (status == PGQ_OK)
        status = copy_names(l, PGQI_QUEUE, queues, n);
    if (status == PGQ_OK)
        status = copy_names(l, PGQI_TOPIC, o.topics, o.topic_count);
    if (status != PGQ_OK)
        return status;
    l->conninfo = pgqi_strdup(conninfo ? conninfo : "");
    if (!l->conninfo)
        return pgqi_error_set(&l->error, PGQ_NO_MEMORY, "out of memory");
    l->poll_interval_ms = o.poll_interval_ms;
    return start_connecting(l);
}

void pgq_listener_close(pgq_listener *listener)
{
    if (!listener)
        return;
    PQclear(listener->answer);
    PQfinish(listener->conn);
    free_names(&listener->names[PGQI_QUEUE]);
    free_names(&listener->names[PGQI_TOPIC]);
    pgqi_free(listener->conninfo);
    pgqi_free(listener);
}

int pgq_listener_fd(const pgq_listener *listener)
{
    return listener && listener->conn ? PQsocket(listener->conn) : -1;
}

int pgq_listener_events(const pgq_listener *listener)
{
    if (!listener || !listener->conn)
        return 0;
    if (listener->stage == CONNECTING)
        return listener->connecting == PGRES_POLLING_READING ? PGQ_EVENT_READ : PGQ_EVENT_WRITE;
    return PGQ_EVENT_READ | (listener->flushing ? PGQ_EVENT_WRITE : 0);
}

int pgq_listener_timeout_ms(const pgq_listener *listener)
{
    if (!listener)
        return -1;
    if (listener->stage == PAUSED)
        return pgqi_until_ms(listener->pause_until_us, pgqi_now_us());
    if (listener->stage == CONNECTING || listener->busy)
        return -1;
    if (listener->stage == DOZING && listener->d.act == PGQI_SLEEP)
        return pgqi_until_ms(listener->d.until_us, pgqi_now_us());
    return 0;
}

const pgq_error *pgq_listener_last_error(const pgq_listener *listener)
{
    static const pgq_error none = {PGQ_INVALID, "", "the listener is NULL", "", 0, 0, 0};

    return listener ? &listener->error : &none;
}

int pgqi_listener_thorough(const pgq_listener *listener)
{
    return listener->d.thorough;
}

/* What is asked, of each queue and each topic: a function of its name, and the columns of its answer. */
typedef struct question {
    const char *of_queue, *of_topic;
    const char *columns;
    const char *of_all; /* NULL: none; the last row is its answer */
    int announced;      /* $3 says whether the sleep is announced */
} question;

static const question channels = {"_channel_of(u.name)", "_topic_channel_of(u.name)",
                                  "r.code, r.detail, r.channel", "_shutdown_channel()", 0};
static const question dozes = {"doze(u.name, $3)", "topic_doze(u.name, $3)",
                               "r.code, r.detail, r.producing, r.consuming, r.due_in_ms", NULL, 1};
static const question awakes = {"awake(u.name)", "topic_awake(u.name)", "1", NULL, 0};

/* Sends it about all the queues, whose names are $1, and the topics, $2. */
static pgq_status ask(pgq_listener *l, const question *q)
{
    const char *separator = "";
    char sql[1024];
    size_t len = 0;
    pgqi_params p;
    int sent;

    pgqi_params_init(&p);
    for (int kind = PGQI_QUEUE; kind <= PGQI_TOPIC; kind++) {
        pgqi_add_array(&p, PGQI_TEXT, l->names[kind].names, l->names[kind].n);
        if (l->names[kind].n == 0)
            continue;
        len += (size_t)snprintf(
            sql + len, sizeof sql - len, "%sSELECT %s FROM unnest($%d) AS u (name), LATERAL %s.%s r",
            separator, q->columns, kind + 1, l->schema, kind == PGQI_QUEUE ? q->of_queue : q->of_topic);
        separator = " UNION ALL ";
    }
    if (q->of_all)
        snprintf(sql + len, sizeof sql - len, "%sSELECT NULL, NULL, %s.%s", separator, l->schema, q->of_all);
    if (q->announced)
        pgqi_add_bool(&p, l->d.announced);
    sent = !p.failed && PQsendQueryParams(l->conn, sql, p.n, p.types, p.values, p.lengths, p.formats, 1);
    pgqi_params_free(&p);
    if (!sent)
        return lost(l);
    l->busy = 1;
    return PGQ_OK;
}

/* The last channel is that of shutdowns. */
static pgq_status subscribe(pgq_listener *l, const PGresult *answer)
{
    size_t size = (size_t)PQntuples(answer) * (CHANNEL_MAX + 16) + 1;
    char *sql = pgqi_alloc(1, size);
    size_t len = 0;
    int sent = 0;

    for (int i = 0; sql && i < PQntuples(answer); i++)
        len += (size_t)snprintf(sql + len, size - len, "LISTEN \"%.*s\";", CHANNEL_MAX,
                                PQgetvalue(answer, i, 2));
    snprintf(l->shutdown, sizeof l->shutdown, "%s", PQgetvalue(answer, PQntuples(answer) - 1, 2));
    if (sql)
        sent = PQsendQuery(l->conn, sql);
    pgqi_free(sql);
    if (!sent)
        return lost(l);
    l->stage = SUBSCRIBING;
    l->busy = 1;
    return PGQ_OK;
}

static void announced(pgq_listener *l, const PGresult *res)
{
    int producing = 0;
    int consuming = 0;
    int64_t due = -1;

    for (int i = 0; i < PQntuples(res); i++) {
        int64_t this_due = PQgetisnull(res, i, 4) ? -1 : pgqi_field_int(res, i, 4);

        producing |= (int)pgqi_field_int(res, i, 2);
        consuming |= (int)pgqi_field_int(res, i, 3);
        if (this_due >= 0 && (due < 0 || this_due < due))
            due = this_due;
    }
    pgqi_doze_announced(&l->d, producing, consuming, due, pgqi_now_us());
}

static int asked_for_outcomes(const pgq_listener *l)
{
    return l->stage == ASKING_CHANNELS || (l->stage == DOZING && l->d.act == PGQI_ANNOUNCE);
}

/* The answer to what was sent in this stage. */
static pgq_status answered(pgq_listener *l, const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        pgqi_error_from_server(&l->error, l->conn, res);
        return failed(l);
    }
    for (int i = 0; asked_for_outcomes(l) && i < PQntuples(res); i++)
        if (!PQgetisnull(res, i, 0)) {
            pgqi_error_from_code(&l->error, PQgetvalue(res, i, 0), PQgetvalue(res, i, 1));
            return failed(l);
        }
    if (l->stage == ASKING_CHANNELS)
        return subscribe(l, res);
    if (l->stage == SUBSCRIBING) {
        l->stage = DOZING;
        l->backoff_us = BACKOFF_FIRST_US;
    } else if (l->stage == DOZING && l->d.act == PGQI_ANNOUNCE) {
        announced(l, res);
    } else if (l->stage == DOZING && l->d.act == PGQI_AWAKE) {
        pgqi_doze_left(&l->d);
    }
    return PGQ_OK;
}

/* Reads what has arrived. WAIT: the answer is not all there. */
static pgq_status receive(pgq_listener *l)
{
    PGresult *res;
    pgq_status status = PGQ_OK;

    l->flushing = PQflush(l->conn);
    if (l->flushing < 0 || !PQconsumeInput(l->conn))
        return lost(l);
    if (PQisBusy(l->conn))
        return PGQ_WAIT;
    res = PQgetResult(l->conn);
    if (res) {
        /* LISTEN gives an answer for each queue: the last one, or the failure that ended it, counts. */
        PQclear(l->answer);
        l->answer = res;
        return PGQ_OK;
    }
    res = l->answer;
    l->answer = NULL;
    l->busy = 0;
    if (res)
        status = answered(l, res);
    PQclear(res);
    return status;
}

static void hear(pgq_listener *l)
{
    PGnotify *note;

    while ((note = PQnotifies(l->conn))) {
        if (strcmp(note->relname, l->shutdown) == 0)
            l->shut = 1;
        else
            l->rang = 1;
        PQfreemem(note);
    }
}

int pgqi_listener_shut(pgq_listener *listener)
{
    if (!listener->conn || listener->stage == CONNECTING)
        return -1;
    listener->flushing = PQflush(listener->conn);
    if (listener->flushing < 0 || !PQconsumeInput(listener->conn))
        return -1;
    hear(listener);
    return listener->shut;
}

static pgq_status look(pgq_listener *l)
{
    l->rang = 0; /* what has rung before the look is answered by it */
    if (l->d.leave) {
        if (ask(l, &awakes) != PGQ_OK)
            return l->error.status;
        l->flushing = PQflush(l->conn);
        pgqi_doze_left(&l->d);
    }
    l->stage = LOOKING;
    return PGQ_READY;
}

static pgq_status doze(pgq_listener *l)
{
    if (l->d.act == PGQI_SLEEP && !PQconsumeInput(l->conn))
        return lost(l);
    hear(l);
    if (l->shut) {
        l->shut = 0;
        return PGQ_SHUTDOWN;
    }
    switch (l->d.act) {
    case PGQI_LOOK:
        return look(l);
    case PGQI_ANNOUNCE:
        return ask(l, &dozes);
    case PGQI_AWAKE:
        return ask(l, &awakes);
    default:
        if (l->rang)
            pgqi_doze_rung(&l->d);
        else if (pgqi_now_us() >= l->d.until_us)
            pgqi_doze_late(&l->d);
        else
            return PGQ_WAIT;
        l->rang = 0;
        return PGQ_OK;
    }
}

static pgq_status connect_on(pgq_listener *l)
{
    l->connecting = PQconnectPoll(l->conn);
    if (l->connecting == PGRES_POLLING_FAILED)
        return lost(l);
    if (l->connecting != PGRES_POLLING_OK)
        return PGQ_WAIT;
    l->stage = ASKING_CHANNELS;
    return ask(l, &channels);
}

static pgq_status step(pgq_listener *l)
{
    if (l->stage == PAUSED)
        return pgqi_now_us() < l->pause_until_us ? PGQ_WAIT : start_connecting(l);
    if (l->stage == CONNECTING)
        return connect_on(l);
    if (l->busy)
        return receive(l);
    if (l->stage == LOOKING) {
        pgqi_doze_empty(&l->d, pgqi_now_us());
        l->stage = DOZING;
    }
    return doze(l);
}

pgq_status pgq_listener_process(pgq_listener *listener)
{
    pgq_status status;

    if (!listener)
        return PGQ_INVALID;
    pgqi_error_clear(&listener->error, PGQ_OK);
    do {
        status = step(listener);
    } while (status == PGQ_OK);
    if (status >= 0)
        listener->error.status = status;
    return status;
}

void pgq_listener_busy(pgq_listener *listener)
{
    if (!listener || listener->stage != LOOKING)
        return;
    pgqi_doze_found(&listener->d);
    listener->stage = DOZING;
    /* That the connection is lost is for process() to say. */
    if (listener->d.act == PGQI_AWAKE && PQstatus(listener->conn) == CONNECTION_OK &&
        ask(listener, &awakes) == PGQ_OK)
        listener->flushing = PQflush(listener->conn);
}
