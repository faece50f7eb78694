/* SPDX-License-Identifier: MIT */
/** @file codec.h
 *  Hooks that encode payloads as they are sent and decode them as they are taken: to compress or to encrypt,
 * say.
 */
#ifndef PGQ_CODEC_H
#define PGQ_CODEC_H

#include <pgq/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Changes one payload.
 *
 *  @param in     len bytes; the empty payload too goes through the hook
 *  @param kind   of the payload; the hook may set it, to PGQ_BINARY say. What a decoder is to know it must
 * find in the payload itself
 *  @param out    the new payload, made with malloc(); the library frees it. NULL with *out_len 0: as it was
 *  @param error  may be written, at most error_size bytes with the end: why it failed
 *  @return 0; anything else: it failed */
typedef int (*pgq_codec_hook)(const void *in, size_t len, pgq_kind *kind, void **out, size_t *out_len,
                              char *error, size_t error_size, void *arg);

typedef struct pgq_codec {
    size_t size;           /**< sizeof(pgq_codec) */
    pgq_codec_hook encode; /**< NULL: none */
    pgq_codec_hook decode; /**< NULL: none */
    void *arg;             /**< the caller's, given to both */
} pgq_codec;

/** Sets the hooks of a handle. Every call that sends encodes, and every call that gives messages decodes.
 *
 *  If encode fails the call that sends is HOOK and nothing is sent. A queue's maximum size holds for what is
 * encoded. If decode fails the message is not lost: the call is HOOK and gives its messages all the same,
 * that one as it was sent and with undecoded set; in a scope, or under pgq_receive_with(), the handler is not
 * run for it and the error is counted.
 *
 *  @param codec copied; NULL: no hooks
 *  @return OK, INVALID
 *
 *  Transaction: none. Blocking: never. Threads: that of the handle; the hooks run on it. Ownership: arg is
 * the caller's. Since: 0.1. */
PGQ_EXPORT pgq_status pgq_set_codec(pgq *q, const pgq_codec *codec);

#ifdef __cplusplus
}
#endif
#endif
