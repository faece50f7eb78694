/* SPDX-License-Identifier: MIT */
/* Storing a large batch by COPY. The server's function checks what is asked of a plain batch, gives out the
 * ids, rings, and says what statement it is and what every row begins with; what is added here is the id,
 * twice (a new message's position is its id), the kind and the payload. */
#include "alloc.h"
#include "enqueue.h"
#include "error.h"
#include "exec.h"

#include <string.h>

/* An element of an array is as a field of a row of COPY is. */
enum { ID_FIELD = PGQI_INT8_ELEMENT, KIND_FIELD = 6, PIECE = 65536 };

/* Its flags and the length of what extends it are 0. */
static const char signature[19] = "PGCOPY\n\377\r\n";

typedef struct feed {
    const pgqi_outgoing *const *messages;
    size_t n;
    const char *head; /* of each row */
    size_t head_len;
    const char *ids; /* the elements */
    size_t at;       /* the message in hand; n: all are through, n + 1: so is the end */
    int begun;       /* its row is there but for the payload */
    size_t done;     /* bytes of that */
    char *piece;
    size_t size;
    size_t len; /* of what is not handed on yet */
} feed;

static void put(feed *f, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(f->piece + f->len, bytes, len);
    f->len += len;
}

static void put_int(feed *f, int64_t value, int bytes)
{
    pgqi_put_int((unsigned char *)f->piece + f->len, value, bytes);
    f->len += (size_t)bytes;
}

/* 0: there is no room left. */
static int begin_row(feed *f, const pgqi_outgoing *m)
{
    if (f->size - f->len < f->head_len + 2 * ID_FIELD + KIND_FIELD + 4)
        return 0;
    put(f, f->head, f->head_len);
    put(f, f->ids + f->at * ID_FIELD, ID_FIELD);
    put(f, f->ids + f->at * ID_FIELD, ID_FIELD);
    put_int(f, 2, 4);
    put_int(f, m->o.kind, 2);
    put_int(f, (int64_t)m->len, 4);
    return 1;
}

/* Rows do not end where pieces do. */
static size_t next_piece(void *arg, const void **piece)
{
    feed *f = arg;
    size_t len;

    for (; f->at < f->n; f->at++, f->begun = 0, f->done = 0) {
        const pgqi_outgoing *m = f->messages[f->at];
        size_t room;
        size_t part;

        f->begun = f->begun || begin_row(f, m);
        room = f->begun ? f->size - f->len : 0;
        part = m->len - f->done < room ? m->len - f->done : room;
        put(f, (const char *)m->payload + f->done, part);
        f->done += part;
        if (!f->begun || f->done < m->len)
            break;
    }
    if (f->at == f->n && f->size - f->len >= 2) {
        put_int(f, -1, 2);
        f->at++;
    }
    *piece = f->piece;
    len = f->len;
    f->len = 0;
    return len;
}

/* A statement, what each row begins with, and the ids; or nothing. Not prepared: that would save nothing
 * here, and what is prepared can be lost. */
static const char ask_sql[] = "SELECT statement, head, ids FROM %s._enqueue_copy($1, $2, $3, $4)";
enum { STATEMENT, HEAD, IDS };

static pgq_status ask(pgq *q, const char *queue, const pgqi_outgoing *const *messages, size_t n,
                      PGresult **res)
{
    size_t longest = 0;
    pgq_kind kind = PGQ_BINARY;
    pgqi_params p;

    for (size_t i = 0; i < n; i++) {
        longest = messages[i]->len > longest ? messages[i]->len : longest;
        kind = messages[i]->o.kind > kind ? messages[i]->o.kind : kind;
    }
    pgqi_params_init(&p);
    pgqi_add_text(&p, queue);
    pgqi_add_int4(&p, (int32_t)n);
    pgqi_add_int4(&p, (int32_t)longest);
    pgqi_add_int2(&p, (int16_t)kind);
    return pgqi_call(q, ask_sql, &p, res);
}

static pgq_status copy(pgq *q, feed *f, const PGresult *answer)
{
    pgq_status status;

    f->ids = pgqi_field_int8s(answer, 0, IDS, f->n);
    if (!f->ids)
        return pgqi_error_set(&q->error, PGQ_VERSION, "the namespace gave out other ids than %zu", f->n);
    f->head = PQgetvalue(answer, 0, HEAD);
    f->head_len = (size_t)PQgetlength(answer, 0, HEAD);
    f->size = PIECE + f->head_len;
    f->piece = pgqi_alloc(1, f->size);
    if (!f->piece)
        return pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
    put(f, signature, sizeof signature);
    status = pgqi_copy_in(q, PQgetvalue(answer, 0, STATEMENT), next_piece, f);
    pgqi_free(f->piece);
    return status;
}

pgq_status pgqi_enqueue_copy(pgq *q, const char *queue, const pgqi_outgoing *const *messages, size_t n,
                             int64_t *ids, int *stored)
{
    feed f = {.messages = messages, .n = n};
    PGresult *answer = NULL;
    int joined;
    pgq_status status = pgqi_unit_begin(q, "BEGIN", &joined);

    *stored = 0;
    if (status != PGQ_OK)
        return status;
    status = ask(q, queue, messages, n, &answer);
    if (status == PGQ_OK && !PQgetisnull(answer, 0, STATEMENT)) {
        status = copy(q, &f, answer);
        *stored = status == PGQ_OK;
    }
    status = pgqi_unit_end(q, joined, *stored);
    *stored = *stored && status == PGQ_OK;
    if (ids && *stored)
        pgqi_get_int8s(f.ids, n, ids);
    PQclear(answer);
    return status;
}
