/* SPDX-License-Identifier: MIT */
#include "feed.h"

#include "say.h"
#include "stop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 65536 };

/* Makes room for PIECE more bytes behind those that are there. */
static bool make_room(feed *f)
{
    if (f->from > 0 && f->from >= f->cap / 2) {
        memmove(f->data, f->data + f->from, f->len);
        f->from = 0;
    }
    if (f->from + f->len + PIECE <= f->cap)
        return true;
    size_t cap = (f->from + f->len + PIECE) * 2;
    char *data = realloc(f->data, cap);
    if (!data) {
        say_failed("out of memory");
        return false;
    }
    f->data = data;
    f->cap = cap;
    return true;
}

/* Reads some more: ITEM for some, or IDLE, END, SIGNAL, FAILED. */
static feed_result read_more(feed *f, int idle_ms)
{
    for (;;) {
        if (!make_room(f))
            return FEED_FAILED;
        if (!stop_readable(f->fd, idle_ms)) {
            if (stop_signal())
                return FEED_SIGNAL;
            if (idle_ms >= 0)
                return FEED_IDLE;
            continue;
        }
        ssize_t n = read(f->fd, f->data + f->from + f->len, f->cap - f->from - f->len);
        if (n > 0) {
            f->len += (size_t)n;
            return FEED_ITEM;
        }
        if (n == 0) {
            f->ended = true;
            return FEED_END;
        }
        if (errno != EINTR && errno != EAGAIN) {
            say_failed("cannot read the input: %s", strerror(errno));
            return FEED_FAILED;
        }
    }
}

static feed_result take(feed *f, size_t len, size_t all, const char **item, size_t *item_len)
{
    *item = f->data + f->from;
    *item_len = len;
    f->from += all;
    f->len -= all;
    f->seen = 0;
    return FEED_ITEM;
}

feed_result feed_next(feed *f, char end, int idle_ms, const char **item, size_t *len)
{
    for (;;) {
        const char *at = f->len > f->seen ? memchr(f->data + f->from + f->seen, end, f->len - f->seen) : NULL;
        if (at) {
            size_t n = (size_t)(at - (f->data + f->from));
            return take(f, n, n + 1, item, len);
        }
        f->seen = f->len;
        if (f->ended)
            return f->len > 0 ? take(f, f->len, f->len, item, len) : FEED_END;
        feed_result got = read_more(f, idle_ms);
        if (got != FEED_ITEM && got != FEED_END)
            return got;
    }
}

feed_result feed_all(feed *f, const char **data, size_t *len)
{
    feed_result got;
    while ((got = read_more(f, -1)) == FEED_ITEM) {
    }
    *data = f->data + f->from;
    *len = f->len;
    return got;
}

void feed_free(feed *f)
{
    free(f->data);
    f->data = NULL;
}
