/* SPDX-License-Identifier: MIT */
#include "errors.h"

#include "log.h"
#include "utf8.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

void errors_setup(errors *e, const char *queue, int64_t id)
{
    *e = (errors){.queue = queue, .id = id};
    pthread_mutex_init(&e->lock, NULL);
}

void errors_flush(errors *e)
{
    if (e->line_len > 0)
        log_relay(e->queue, e->id, e->line, e->line_len);
    e->line_len = 0;
}

/* Whole lines go on at once, so that those of several commands do not mix. */
static void pass_on(errors *e, const char *p, size_t len)
{
    while (len > 0) {
        size_t n = sizeof e->line - e->line_len;
        n = len < n ? len : n;
        memcpy(e->line + e->line_len, p, n);
        e->line_len += n;
        p += n;
        len -= n;
        const char *end = memrchr(e->line, '\n', e->line_len);
        size_t whole = end ? (size_t)(end - e->line) + 1 : 0;
        if (whole > 0) {
            log_relay(e->queue, e->id, e->line, whole);
            e->line_len -= whole;
            memmove(e->line, e->line + whole, e->line_len);
        } else if (e->line_len == sizeof e->line) {
            errors_flush(e);
        }
    }
}

static void keep(errors *e, const char *p, size_t len)
{
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < len; i++)
        e->kept[(e->total + i) % ERRORS_KEPT] = p[i];
    e->total += len;
    pthread_mutex_unlock(&e->lock);
}

bool errors_take(errors *e, int fd)
{
    char chunk[ERRORS_KEPT];
    /* Bounded, so that a command that never stops writing does not keep us from looking after it. */
    for (int i = 0; i < 64; i++) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n > 0) {
            keep(e, chunk, (size_t)n);
            pass_on(e, chunk, (size_t)n);
        } else if (n == 0) {
            return false;
        } else if (errno != EINTR) {
            return errno == EAGAIN;
        }
    }
    return true;
}

void errors_empty(errors *e)
{
    pthread_mutex_lock(&e->lock);
    e->total = 0;
    pthread_mutex_unlock(&e->lock);
}

/* Copies as UTF-8 without control characters, which have no place in an error's text. */
static size_t clean(const char *in, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        size_t c = utf8_char(in + i, len - i);
        if (c == 0) {
            memcpy(out + n, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT));
            n += strlen(UTF8_REPLACEMENT);
            i++;
        } else if (c == 1 && (in[i] == 0x7f || (in[i] < 0x20 && in[i] != '\n' && in[i] != '\t'))) {
            out[n++] = ' ';
            i++;
        } else {
            memcpy(out + n, in + i, c);
            n += c;
            i += c;
        }
    }
    return n;
}

void errors_text(errors *e, char out[ERRORS_TEXT])
{
    char raw[ERRORS_KEPT];
    char text[ERRORS_KEPT * 3];
    pthread_mutex_lock(&e->lock);
    size_t len = e->total < ERRORS_KEPT ? (size_t)e->total : ERRORS_KEPT;
    for (size_t i = 0; i < len; i++)
        raw[i] = e->kept[(e->total - len + i) % ERRORS_KEPT];
    pthread_mutex_unlock(&e->lock);
    /* The oldest bytes may be the rest of a character. */
    size_t from = 0;
    while (len == ERRORS_KEPT && from < 3 && ((unsigned char)raw[from] & 0xc0) == 0x80)
        from++;
    size_t n = clean(raw + from, len - from, text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    size_t begin = 0;
    if (n > ERRORS_TEXT - 1) {
        begin = n - (ERRORS_TEXT - 1);
        const char *line = memchr(text + begin, '\n', n - begin);
        if (text[begin - 1] == '\n')
            line = text + begin - 1;
        if (line)
            begin = (size_t)(line - text) + 1;
        else
            while (((unsigned char)text[begin] & 0xc0) == 0x80)
                begin++;
    }
    while (begin < n && isspace((unsigned char)text[begin]))
        begin++;
    memcpy(out, text + begin, n - begin);
    out[n - begin] = '\0';
}

void errors_free(errors *e)
{
    pthread_mutex_destroy(&e->lock);
}
