/* SPDX-License-Identifier: MIT */
/* Payloads that are compressed as they are sent, and decompressed as they are taken, with zlib: the hooks of
 * pgq/codec.h at work. Senders and takers do not notice. Link with zlib, too.
 *
 * A compressed payload begins with a prefix, so that the decoder knows what it is, and what it was:
 *
 *     4 bytes   89 'z' 'l' 1      a byte that begins no text, the method, and the version of this prefix
 *     1 byte    'b', 't' or 'j'   the kind that was sent: binary, text or JSON
 *     4 bytes   its length, the highest byte first
 *
 * What does not get smaller is sent as it is, and so is what others have sent without hooks. */
#include <pgq/pgq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#define QUEUE      "compress-example"
#define SMALL      256       /* up to here it is not worth it */
#define LENGTH_MAX (1 << 20) /* of a payload: a few bytes must not become a full memory */
#define MAGIC      "\x89zl\x01"
#define MAGIC_LEN  4
#define PREFIX_LEN 9
#define KINDS      "btj" /* in the order of pgq_kind */

/* --- the hooks --- */

static int has_prefix(const unsigned char *p, size_t len)
{
    return len >= MAGIC_LEN && memcmp(p, MAGIC, MAGIC_LEN) == 0;
}

static int encode(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    /* What looks as if it were compressed has to be, or the decoder would be wrong about it. */
    int must = has_prefix(in, len);
    unsigned char *p;
    uLongf space;

    (void)arg;
    if ((len <= SMALL || len > LENGTH_MAX) && !must)
        return 0;
    if (len > LENGTH_MAX) {
        snprintf(error, error_size, "a payload of %zu bytes is over the limit of %d", len, LENGTH_MAX);
        return 1;
    }
    space = compressBound((uLong)len);
    p = malloc(PREFIX_LEN + space);
    if (!p || compress2(p + PREFIX_LEN, &space, in, (uLong)len, Z_DEFAULT_COMPRESSION) != Z_OK) {
        free(p);
        snprintf(error, error_size, "out of memory");
        return 1;
    }
    if (PREFIX_LEN + space >= len && !must) {
        free(p);
        return 0;
    }
    memcpy(p, MAGIC, MAGIC_LEN);
    p[4] = (unsigned char)KINDS[*kind];
    for (int i = 0; i < 4; i++)
        p[5 + i] = (unsigned char)(len >> (24 - 8 * i));
    *kind = PGQ_BINARY;
    *out = p;
    *out_len = PREFIX_LEN + space;
    return 0;
}

/* The length of what a prefix announces, and its kind; NULL, or what is wrong. */
static const char *read_prefix(const unsigned char *p, size_t len, size_t *length, pgq_kind *kind)
{
    const char *was = len > PREFIX_LEN ? strchr(KINDS, p[4]) : NULL;

    if (!was || *was == '\0')
        return "its prefix is wrong";
    *kind = (pgq_kind)(strlen(KINDS) - strlen(was));
    *length = (size_t)p[5] << 24 | (size_t)p[6] << 16 | (size_t)p[7] << 8 | p[8];
    return *length > LENGTH_MAX ? "it would be over the limit" : NULL;
}

/* Into length bytes, and not one more. NULL, or what is wrong. */
static const char *expand(const unsigned char *in, size_t len, unsigned char *out, size_t length)
{
    z_stream z;
    int result;

    memset(&z, 0, sizeof z);
    if (inflateInit(&z) != Z_OK)
        return "out of memory";
    z.next_in = in;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)length;
    result = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (result == Z_STREAM_END)
        return z.avail_out > 0 ? "it is too short" : z.avail_in > 0 ? "more bytes follow" : NULL;
    if (result == Z_DATA_ERROR && z.msg)
        return z.msg;
    return z.avail_in > 0 ? "it is too long" : "its end is missing";
}

static int decode(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len, char *error,
                  size_t error_size, void *arg)
{
    const unsigned char *p = in;
    const char *fault;
    size_t length;

    (void)arg;
    if (!has_prefix(p, len))
        return 0; /* as it was sent */
    fault = read_prefix(p, len, &length, kind);
    if (!fault) {
        *out = malloc(length + 1);
        fault = *out ? expand(p + PREFIX_LEN, len - PREFIX_LEN, *out, length) : "out of memory";
    }
    if (fault) {
        free(*out);
        *out = NULL;
        snprintf(error, error_size, "the compressed payload is corrupt: %s", fault);
        return 1;
    }
    *out_len = length;
    return 0;
}

/* --- sending and taking: nothing here knows of compression --- */

static pgq_status send_all(pgq *q)
{
    pgq_enqueue_options text = PGQ_ENQUEUE_OPTIONS_INIT, json = PGQ_ENQUEUE_OPTIONS_INIT;
    char list[20000];
    size_t len = 0;
    pgq_status status;

    text.kind = PGQ_TEXT;
    json.kind = PGQ_JSON;
    for (int i = 0; len < sizeof list - 100; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s{\"order\": %d, \"to\": \"Ada\"}",
                                i ? ", " : "[", i);
    list[len++] = ']';
    status = pgq_enqueue(q, QUEUE, "a short text", 12, &text, NULL);
    if (status == PGQ_OK)
        status = pgq_enqueue(q, QUEUE, list, len, &json, NULL);
    return status;
}

static int print(pgq *q, PGconn *conn, const pgq_message *message, void *arg)
{
    static const char *const kinds[] = {"binary", "text", "JSON"};
    const pgq_messages *stored = arg;
    size_t len = 0;

    (void)q;
    (void)conn;
    for (size_t i = 0; i < pgq_messages_count(stored); i++) {
        if (pgq_messages_get(stored, i)->id == message->id)
            len = pgq_messages_get(stored, i)->payload_len;
    }
    printf("%s: %zu bytes, %zu in the queue\n", kinds[message->kind], message->payload_len, len);
    return 0;
}

static pgq_status take_all(pgq *q, pgq *raw)
{
    pgq_messages *stored, *dead;
    pgq_status status = pgq_peek(raw, QUEUE, 100, &stored);

    while (status == PGQ_OK || status == PGQ_FAILED || status == PGQ_HOOK)
        status = pgq_dequeue(q, QUEUE, print, stored);
    pgq_messages_free(stored);
    if (status == PGQ_EMPTY)
        status = pgq_list(raw, QUEUE, PGQ_STATE_DEAD, 100, 0, &dead);
    if (status != PGQ_OK)
        return status == PGQ_EMPTY ? PGQ_OK : status;
    for (size_t i = 0; i < pgq_messages_count(dead); i++)
        printf("a dead letter: %s\n", pgq_messages_get(dead, i)->last_error);
    pgq_messages_free(dead);
    return pgq_purge_dead(raw, QUEUE, NULL, 0, NULL);
}

/* Something has changed a bit on the way. */
static pgq_status send_corrupt(pgq *raw)
{
    pgq_messages *stored;
    pgq_status status = pgq_peek(raw, QUEUE, 100, &stored);
    const pgq_message *last = pgq_messages_get(stored, pgq_messages_count(stored) - 1);
    unsigned char *copy = last ? malloc(last->payload_len) : NULL;

    if (copy) {
        memcpy(copy, last->payload, last->payload_len);
        copy[last->payload_len / 2] ^= 1;
        status = pgq_enqueue(raw, QUEUE, copy, last->payload_len, NULL, NULL);
    }
    free(copy);
    pgq_messages_free(stored);
    return status;
}

static pgq_status prepare(pgq *q)
{
    pgq_codec codec = {sizeof codec, encode, decode, NULL};
    pgq_attributes attributes = PGQ_ATTRIBUTES_INIT;
    pgq_status status = pgq_set_codec(q, &codec);

    attributes.error_limit = 1; /* what is corrupt stays so */
    if (status == PGQ_OK)
        status = pgq_install(q);
    if (status == PGQ_OK)
        status = pgq_create_queue(q, QUEUE, &attributes, 1);
    return status;
}

int main(void)
{
    pgq *q = NULL, *raw = NULL; /* raw has no hooks, and sees what is in the queue */
    pgq_status status = pgq_open("", NULL, &q);

    if (status == PGQ_OK)
        status = pgq_open("", NULL, &raw);
    if (status == PGQ_OK)
        status = prepare(q);
    if (status == PGQ_OK)
        status = send_all(q);
    if (status == PGQ_OK)
        status = send_corrupt(raw);
    if (status == PGQ_OK)
        status = take_all(q, raw);
    if (status != PGQ_OK)
        fprintf(stderr, "%s: %s%s\n", pgq_status_text(status), pgq_last_error(q)->message,
                raw ? pgq_last_error(raw)->message : "");
    pgq_close(raw);
    pgq_close(q);
    return status == PGQ_OK ? 0 : 1;
}
