/* SPDX-License-Identifier: MIT */
#include "topics.h"

#include <stdio.h>
#include <string.h>

int64_t publish(pgq *q, const char *topic, const char *text)
{
    pgq_publish_options o = PGQ_PUBLISH_OPTIONS_INIT;
    int64_t id = 0;

    o.kind = PGQ_TEXT;
    assert_ok(q, pgq_topic_publish(q, topic, text, strlen(text), &o, &id));
    return id;
}

pgq_subscriber *subscribe(pgq *q, const char *topic, const char *name, const char *start)
{
    pgq_subscribe_options o = PGQ_SUBSCRIBE_OPTIONS_INIT;
    pgq_subscriber *s;

    o.name = name;
    o.start = start;
    assert_ok(q, pgq_topic_subscribe(q, topic, &o, &s));
    return s;
}

static size_t add(char *to, size_t size, size_t len, const pgq_messages *messages)
{
    for (size_t i = 0; i < pgq_messages_count(messages) && len < size; i++) {
        const pgq_message *m = pgq_messages_get(messages, i);

        len += (size_t)snprintf(to + len, size - len, "%.*s ", (int)m->payload_len, (const char *)m->payload);
    }
    return len;
}

static char *next_text(void)
{
    static char texts[8][1024];
    static int at;
    char *text = texts[at++ % 8];

    text[0] = '\0';
    return text;
}

const char *texts_of(pgq_messages *messages)
{
    char *text = next_text();

    add(text, 1024, 0, messages);
    pgq_messages_free(messages);
    return text;
}

const char *read_all(pgq *q, pgq_subscriber *s, int max)
{
    char *text = next_text();
    size_t len = 0;

    for (;;) {
        pgq_messages *m;
        pgq_status status = pgq_topic_next(s, max, &m);

        if (status == PGQ_EMPTY)
            return text;
        assert_status(q, status, PGQ_OK);
        assert_true(pgq_messages_count(m) > 0 && pgq_messages_count(m) <= (size_t)max);
        len = add(text, 1024, len, m);
        pgq_messages_free(m);
    }
}

pgq *attach(const fixture *f, PGconn **conn)
{
    pgq_open_options o = PGQ_OPEN_OPTIONS_INIT;
    pgq *q;

    *conn = t_connect();
    o.name_space = f->ns;
    assert_int_equal(pgq_attach(*conn, &o, &q), PGQ_OK);
    return q;
}

int do_work(pgq *q, PGconn *conn, const pgq_messages *messages, void *arg)
{
    work *w = arg;

    w->calls++;
    add(w->texts, sizeof w->texts, 0, messages);
    t_run(w->f, conn, "INSERT INTO mq.work VALUES ('%s')", w->texts);
    if (w->sql)
        PQclear(PQexec(conn, w->sql));
    return w->rc ? pgq_fail(q, "not today") : 0;
}
