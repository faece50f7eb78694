/* SPDX-License-Identifier: MIT */
#include "codec.h"

#include "alloc.h"
#include "error.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

pgq_status pgqi_read_codec(pgq_codec *to, const pgq_codec *from, pgq_error *e)
{
    pgq_codec codec = {sizeof codec, NULL, NULL, NULL};
    pgq_status status = pgqi_read_options(&codec, sizeof codec, from, e);

    if (status == PGQ_OK)
        *to = codec;
    return status;
}

pgq_status pgq_set_codec(pgq *q, const pgq_codec *codec)
{
    if (!q)
        return PGQ_INVALID;
    pgqi_error_clear(&q->error, PGQ_OK);
    return pgqi_read_codec(&q->codec, codec, &q->error);
}

static pgq_status run(pgq *q, const char *what, pgq_codec_hook hook, const void *in, size_t len,
                      pgq_kind *kind, void **out, size_t *out_len)
{
    char text[512] = "";
    pgq_kind given = *kind;
    int rc;

    *out = NULL;
    *out_len = 0;
    rc = hook(in, len, kind, out, out_len, text, sizeof text, q->codec.arg);
    text[sizeof text - 1] = '\0';
    if (rc == 0 && *kind != PGQ_BINARY && *kind != PGQ_TEXT && *kind != PGQ_JSON) {
        snprintf(text, sizeof text, "it gave the kind %d", (int)*kind);
        rc = 1;
    }
    if (rc == 0)
        return PGQ_OK;
    pgqi_free_foreign(*out);
    *out = NULL;
    *kind = given;
    text[pgqi_utf8_trim(text, strlen(text))] = '\0';
    if (!pgqi_is_utf8(text, strlen(text)))
        snprintf(text, sizeof text, "its reason is not valid UTF-8");
    return pgqi_error_set(&q->error, PGQ_HOOK, "the %s hook failed: %s", what,
                          *text ? text : "it gave no reason");
}

pgq_status pgqi_encode(pgq *q, const void **payload, size_t *len, pgq_kind *kind, void **made)
{
    size_t out_len;
    pgq_status status;

    *made = NULL;
    if (!q->codec.encode)
        return PGQ_OK;
    status = run(q, "encode", q->codec.encode, *payload, *len, kind, made, &out_len);
    if (status == PGQ_OK && *made) {
        *payload = *made;
        *len = out_len;
    }
    return status;
}

pgq_status pgqi_decode(pgq *q, const void **payload, size_t *len, pgq_kind *kind, void **made)
{
    size_t out_len;
    void *out;
    pgq_status status;
    char *copy;

    *made = NULL;
    if (!q->codec.decode)
        return PGQ_OK;
    status = run(q, "decode", q->codec.decode, *payload, *len, kind, &out, &out_len);
    if (status != PGQ_OK || !out)
        return status;
    copy = pgqi_alloc(1, out_len + 1);
    if (copy) {
        memcpy(copy, out, out_len);
        *payload = *made = copy;
        *len = out_len;
    }
    pgqi_free_foreign(out);
    return copy ? PGQ_OK : pgqi_error_set(&q->error, PGQ_NO_MEMORY, "out of memory");
}
