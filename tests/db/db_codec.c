/* SPDX-License-Identifier: MIT */
/* Row C9: hooks that encode and decode. */
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Turns the bits of each byte over, and counts its calls. A payload that contains '!' fails. */
typedef struct hooks {
    int encoded, decoded;
    const char *reason;
    int as_binary;
} hooks;

static int turn(const void *in, size_t len, void **out, size_t *out_len)
{
    const unsigned char *from = in;
    unsigned char *to = malloc(len ? len : 1);

    if (!to)
        return 1;
    for (size_t i = 0; i < len; i++)
        to[i] = (unsigned char)~from[i];
    *out = to;
    *out_len = len;
    return 0;
}

static int encode(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    hooks *h = arg;

    h->encoded++;
    if (memchr(in, '!', len)) {
        snprintf(error, error_size, "%s", h->reason);
        return 7;
    }
    if (h->as_binary)
        *kind = PGQ_BINARY;
    return turn(in, len, out, out_len);
}

static int decode(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    hooks *h = arg;

    (void)kind;
    h->decoded++;
    if (memchr(in, '!', len)) {
        snprintf(error, error_size, "%s", h->reason);
        return -1;
    }
    return turn(in, len, out, out_len);
}

static int leaves(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    (void)in, (void)len, (void)kind, (void)out, (void)out_len, (void)error, (void)error_size, (void)arg;
    return 0;
}

static hooks the;

static const pgq_codec codec = {sizeof codec, encode, decode, &the};

static int setup(void **state)
{
    fixture *f;

    if (t_setup(state) != 0)
        return -1;
    f = *state;
    the = (hooks){.reason = "no room", .as_binary = 1};
    assert_ok(f->q, pgq_create_queue(f->q, "q", NULL, 0));
    assert_ok(f->q, pgq_set_codec(f->q, &codec));
    return 0;
}

static int sees(pgq *q, PGconn *conn, const pgq_message *m, void *arg)
{
    (void)q, (void)conn;
    assert_int_equal(m->payload_len, strlen(arg));
    assert_string_equal(m->payload, arg); /* a zero byte follows it */
    assert_int_equal(m->undecoded, 0);
    return 0;
}

/* By every call that sends and every call that gives messages. */
static void row_c9_round_trip(void **state)
{
    static char text[] = "some text", empty[] = "";
    fixture *f = *state;
    const pgq_outgoing out[] = {{text, 9, NULL}, {NULL, 0, NULL}};
    pgq_messages *m;

    for (int way = 0; way < 6; way++) {
        assert_ok(f->q, pgq_enqueue_many(f->q, "q", out, 2, 0, NULL, NULL));
        assert_string_equal(
            t_ask(f, f->sql, "SELECT encode(payload, 'hex') FROM mq.message ORDER BY id LIMIT 1"),
            "8c90929adf8b9a878b");
        m = NULL;
        if (way == 0)
            assert_ok(f->q, pgq_pop(f->q, "q", 2, &m));
        else if (way == 1)
            assert_ok(f->q, pgq_peek(f->q, "q", 2, &m));
        else if (way == 2)
            assert_ok(f->q, pgq_list(f->q, "q", PGQ_STATE_READY, 2, 0, &m));
        else if (way == 3)
            assert_ok(f->q, pgq_receive(f->q, "q", 2, NULL, &m));
        for (int i = 0; i < 2 && !m; i++)
            assert_ok(f->q, way == 4 ? pgq_dequeue(f->q, "q", sees, i ? empty : text)
                                     : pgq_receive_with(f->q, "q", sees, i ? empty : text, NULL));
        if (m) {
            assert_ok(f->q, sees(f->q, NULL, pgq_messages_get(m, 0), text) ? PGQ_FAILED : PGQ_OK);
            assert_ok(f->q, sees(f->q, NULL, pgq_messages_get(m, 1), empty) ? PGQ_FAILED : PGQ_OK);
            pgq_messages_free(m);
        }
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    }
    assert_int_equal(the.encoded, 12);
    assert_int_equal(the.decoded, 12); /* the empty payload too goes through the hooks */
    t_send(f->q, "q", text);
    assert_int_equal(the.encoded, 13);
    assert_string_equal(t_ask(f, f->sql, "SELECT kind FROM mq.message"), "0"); /* the hook said so */
}

static void row_c9_encode_fails(void **state)
{
    fixture *f = *state;
    const pgq_outgoing out[] = {{"good", 4, NULL}, {"bad!", 4, NULL}};

    t_run(f, pgq_connection(f->q), "BEGIN");
    assert_status(f->q, pgq_enqueue(f->q, "q", "bad!", 4, NULL, NULL), PGQ_HOOK);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "no room"));
    assert_int_equal(pgq_last_error(f->q)->needs_rollback, 0);
    assert_status(f->q, pgq_enqueue_many(f->q, "q", out, 2, 0, NULL, NULL), PGQ_HOOK);
    assert_non_null(strstr(pgq_last_error(f->q)->message, "2 of 2"));
    assert_int_equal(PQtransactionStatus(pgq_connection(f->q)), PQTRANS_INTRANS);
    t_run(f, pgq_connection(f->q), "COMMIT");
    assert_int_equal(t_number(f, f->sql, "SELECT count(*) FROM mq.message"), 0);
    the.reason = "\xff\xfe";
    assert_status(f->q, pgq_enqueue(f->q, "q", "bad!", 4, NULL, NULL), PGQ_HOOK);
    assert_true(pgq_last_error(f->q)->message[0] != '\0');
}

/* It is not lost: given as it was sent, beside the others; in a handler's place the error is counted. */
static void row_c9_decode_fails(void **state)
{
    fixture *f = *state;
    pgq_messages *m = NULL;
    witness w = {0};

    for (int way = 0; way < 4; way++) {
        t_run(f, f->sql, "SELECT mq.enqueue('q', '\\x%s'::bytea)", "9e"); /* "a", encoded */
        t_run(f, f->sql, "SELECT mq.enqueue('q', 'bad!'::bytea)");
        t_run(f, f->sql, "SELECT mq.enqueue('q', '\\x%s'::bytea)", "9d");
        if (way < 3) {
            pgq_status status = way == 0   ? pgq_pop(f->q, "q", 3, &m)
                                : way == 1 ? pgq_receive(f->q, "q", 3, NULL, &m)
                                           : pgq_peek(f->q, "q", 3, &m);

            assert_status(f->q, status, PGQ_HOOK);
            assert_non_null(strstr(pgq_last_error(f->q)->message, "no room"));
            assert_int_equal(pgq_messages_count(m), 3);
            assert_string_equal(pgq_messages_get(m, 0)->payload, "a");
            assert_string_equal(pgq_messages_get(m, 1)->payload, "bad!");
            assert_string_equal(pgq_messages_get(m, 2)->payload, "b");
            for (size_t i = 0; i < 3; i++)
                assert_int_equal(pgq_messages_get(m, i)->undecoded, i == 1);
            pgq_messages_free(m);
        } else {
            assert_ok(f->q, pgq_dequeue(f->q, "q", t_witness, &w));
            assert_status(f->q, pgq_dequeue(f->q, "q", t_witness, &w), PGQ_FAILED);
            assert_non_null(strstr(pgq_last_error(f->q)->message, "no room"));
            assert_ok(f->q, pgq_receive_with(f->q, "q", t_witness, &w, NULL));
            assert_status(f->q, pgq_receive_with(f->q, "q", t_witness, &w, NULL), PGQ_FAILED);
            assert_int_equal(w.calls, 2); /* the handler never saw it */
            assert_non_null(
                strstr(t_ask(f, f->sql, "SELECT errors || last_error FROM mq.message"), "no room"));
            assert_int_equal(t_number(f, f->sql, "SELECT errors FROM mq.message"), 2);
        }
        assert_ok(f->q, pgq_purge(f->q, "q", NULL, NULL));
    }
}

/* The maximum size holds for what is encoded; the kind for what it is then. */
static void row_c9_limits(void **state)
{
    fixture *f = *state;
    pgq_codec none = {sizeof none, leaves, leaves, NULL};
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    pgq_attributes a = PGQ_ATTRIBUTES_INIT;
    pgq_messages *m;

    the.as_binary = 0;
    o.kind = PGQ_TEXT;
    assert_status(f->q, pgq_enqueue(f->q, "q", "text", 4, &o, NULL), PGQ_INVALID); /* no UTF-8 now */
    a.max_size = 3;
    assert_ok(f->q, pgq_set_queue(f->q, "q", &a, 0));
    assert_status(f->q, pgq_enqueue(f->q, "q", "four", 4, NULL, NULL), PGQ_TOO_LONG);
    /* Hooks that change nothing; one of the two; none. */
    assert_ok(f->q, pgq_set_codec(f->q, &none));
    t_send(f->q, "q", "abc");
    none.encode = NULL;
    assert_ok(f->q, pgq_set_codec(f->q, &none));
    assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
    assert_string_equal(pgq_messages_get(m, 0)->payload, "abc");
    assert_int_equal(pgq_messages_get(m, 0)->kind, PGQ_TEXT);
    pgq_messages_free(m);
    assert_ok(f->q, pgq_set_codec(f->q, NULL));
    t_send(f->q, "q", "a!");
    assert_ok(f->q, pgq_pop(f->q, "q", 1, &m));
    pgq_messages_free(m);
    none.size = 3;
    assert_status(f->q, pgq_set_codec(f->q, &none), PGQ_INVALID);
    assert_int_equal(pgq_set_codec(NULL, NULL), PGQ_INVALID);
}

#define CODEC_TEST(f) cmocka_unit_test_setup_teardown(f, setup, t_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CODEC_TEST(row_c9_round_trip),
        CODEC_TEST(row_c9_encode_fails),
        CODEC_TEST(row_c9_decode_fails),
        CODEC_TEST(row_c9_limits),
    };

    return RUN_WITH_SERVER(tests);
}
