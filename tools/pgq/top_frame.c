/* SPDX-License-Identifier: MIT */
/* The screen of top: no line is longer than the terminal is wide, and no frame has more of them than it is
 * high. */
#include "clock.h"
#include "out.h"
#include "top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 24, COLUMNS_MOST = 12, WIDE = 120, NAME_LEAST = 8 };

typedef struct column {
    const char *name;
    size_t width; /* 0: what the names need, or what is left */
    bool right;
    bool wide; /* on a wide terminal only */
} column;

static const column queue_columns[] = {
    {"queue", 0, false, false},  {"ready", 7, true, false},       {"delayed", 7, true, false},
    {"blocked", 7, true, false}, {"in_flight", 9, true, false},   {"dead", 7, true, false},
    {"sent/s", 7, true, false},  {"received/s", 10, true, false}, {"oldest", 7, true, false},
};
static const column consumer_columns[] = {
    {"queue", 0, false, false},   {"activity", 8, false, false},     {"pid", 7, true, false},
    {"role", 16, false, true},    {"application", 16, false, false}, {"client", 24, false, true},
    {"messages", 8, true, false}, {"message_id", 10, true, false},   {"age", 6, true, false},
    {"ends_in", 7, true, false},
};
#define COUNT_OF(a) (sizeof(a) / sizeof *(a))

typedef struct page {
    buf *b;
    size_t row, rows, columns;
    bool colour;
} page;

/* --- what the cells say --- */

static void count_text(int64_t n, bool exact, char text[CELL])
{
    const char *about = exact ? "" : "~";
    double value = (double)n;
    if (n < 1000000)
        snprintf(text, CELL, "%s%lld", about, (long long)n);
    else if (n < 1000000000)
        snprintf(text, CELL, "%s%.*fM", about, n < 10000000 ? 2 : n < 100000000 ? 1 : 0, value / 1e6);
    else
        snprintf(text, CELL, "%s%.*fG", about, n < 10000000000 ? 2 : n < 100000000000 ? 1 : 0, value / 1e9);
}

static void rate_text(double rate, char text[CELL])
{
    if (rate < 0)
        snprintf(text, CELL, "-");
    else if (rate < 99.95)
        snprintf(text, CELL, "%.1f", rate);
    else
        count_text((int64_t)(rate + 0.5), true, text);
}

static void span_text(int64_t ms, char text[CELL])
{
    int64_t s = ms / 1000;
    if (ms < 0)
        snprintf(text, CELL, "-");
    else if (ms < 1000)
        snprintf(text, CELL, "%dms", (int)ms);
    else if (s < 60)
        snprintf(text, CELL, "%d.%ds", (int)s, (int)(ms % 1000 / 100));
    else if (s < 3600)
        snprintf(text, CELL, "%dm%02ds", (int)(s / 60), (int)(s % 60));
    else if (s < 360000)
        snprintf(text, CELL, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
    else
        snprintf(text, CELL, "%lldd", (long long)(s / 86400));
}

/* --- lines --- */

static void begin_line(page *p)
{
    /* Cleared first: behind a full line the cursor still stands on its last character. */
    buf_printf(p->b, "\033[%zu;1H\033[2K", ++p->row);
}

static void line(page *p, const char *attribute, const char *text)
{
    buf shown = {0};
    begin_line(p);
    if (*text) {
        table_visible(&shown, text, strlen(text));
        buf_str(p->b, p->colour ? attribute : "");
        table_put(p->b, shown.data, shown.len, p->columns, false, true);
        buf_str(p->b, p->colour && *attribute ? "\033[m" : "");
    }
    p->b->failed |= shown.failed;
    buf_free(&shown);
}

static void blank(page *p)
{
    line(p, "", "");
}

/* The first column has what the names need, and not more than the others leave. */
static void widths(const page *p, const column *columns, size_t n, size_t longest, size_t width[COLUMNS_MOST])
{
    size_t others = 0;
    for (size_t i = 1; i < n; i++) {
        width[i] = columns[i].wide && p->columns < WIDE ? 0 : columns[i].width;
        others += width[i] ? width[i] + 1 : 0;
    }
    size_t most = others + NAME_LEAST < p->columns ? p->columns - others : NAME_LEAST;
    width[0] = longest < most ? longest : most;
    if (width[0] < NAME_LEAST)
        width[0] = NAME_LEAST;
}

static void table_line(page *p, const column *columns, size_t n, const size_t width[COLUMNS_MOST],
                       const char *const cells[COLUMNS_MOST])
{
    size_t left = p->columns;
    for (size_t i = 0; i < n && left > 0; i++) {
        buf shown = {0};
        if (width[i] == 0)
            continue;
        if (i > 0) {
            buf_str(p->b, " ");
            if (--left == 0)
                break;
        }
        size_t fits = width[i] < left ? width[i] : left;
        table_visible(&shown, cells[i], strlen(cells[i]));
        table_put(p->b, shown.data ? shown.data : "", shown.len, fits, columns[i].right, false);
        p->b->failed |= shown.failed;
        buf_free(&shown);
        left -= fits;
    }
}

static void header(page *p, const column *columns, size_t n, const size_t width[COLUMNS_MOST])
{
    const char *cells[COLUMNS_MOST];
    for (size_t i = 0; i < n; i++)
        cells[i] = columns[i].name;
    begin_line(p);
    buf_str(p->b, p->colour ? "\033[7m" : "");
    table_line(p, columns, n, width, cells);
    buf_str(p->b, p->colour ? "\033[m" : "");
}

/* --- the parts --- */

static void title(const top *t, page *p, size_t shown)
{
    char text[512], time[CLOCK_TEXT], span[CELL];
    double sent = 0, received = 0;
    char ready[CELL], delayed[CELL], in_flight[CELL], dead[CELL], in_rate[CELL], out_rate[CELL];
    int64_t sums[4] = {0, 0, 0, 0};
    bool exact = true;
    for (size_t i = 0; i < t->queue_count; i++) {
        const pgq_queue_stats *s = t->queues[i].stats;
        sums[0] += s->ready_estimate;
        sums[1] += s->delayed_estimate + s->blocked_estimate;
        sums[2] += s->in_flight_estimate;
        sums[3] += s->dead_estimate;
        exact = exact && s->exact;
        sent = t->queues[i].sent < 0 ? -1 : sent + t->queues[i].sent;
        received = t->queues[i].received < 0 ? -1 : received + t->queues[i].received;
    }
    clock_text(t->time_us, 3, time);
    span_text(t->interval_ms, span);
    snprintf(text, sizeof text, "pgq top %.8s  %s  every %s", time + 11, t->place, span);
    line(p, "\033[1m", text);
    count_text(sums[0], exact, ready);
    count_text(sums[1], exact, delayed);
    count_text(sums[2], exact, in_flight);
    count_text(sums[3], exact, dead);
    rate_text(t->queue_count > 0 ? sent : -1, in_rate);
    rate_text(t->queue_count > 0 ? received : -1, out_rate);
    snprintf(text, sizeof text, "%s ready, %s waiting, %s in flight, %s dead; %s sent/s, %s received/s",
             ready, delayed, in_flight, dead, in_rate, out_rate);
    line(p, "", text);
    snprintf(text, sizeof text, "queues %zu to %zu of %zu", t->from + 1, t->from + shown, t->queue_count);
    if (*t->trouble)
        line(p, "\033[31m", t->trouble);
    else
        line(p, "", shown < t->queue_count ? text : "");
}

static size_t longest_name(const top *t)
{
    size_t longest = 0;
    for (size_t i = 0; i < t->queue_count; i++) {
        size_t width = table_width(t->queues[i].stats->name, strlen(t->queues[i].stats->name));
        width += t->queues[i].stats->paused ? 2 : 0;
        longest = width > longest ? width : longest;
    }
    return longest;
}

static void queue_line(page *p, const top_queue *q, const size_t width[COLUMNS_MOST])
{
    const pgq_queue_stats *s = q->stats;
    char name[512], cells[8][CELL];
    const char *line_cells[COLUMNS_MOST] = {name};
    snprintf(name, sizeof name, "%s%s", s->paused ? "= " : "", s->name);
    count_text(s->ready_estimate, s->exact, cells[0]);
    count_text(s->delayed_estimate, s->exact, cells[1]);
    count_text(s->blocked_estimate, s->exact, cells[2]);
    count_text(s->in_flight_estimate, s->exact, cells[3]);
    count_text(s->dead_estimate, s->exact, cells[4]);
    rate_text(q->sent, cells[5]);
    rate_text(q->received, cells[6]);
    span_text(s->oldest_ready_ms, cells[7]);
    for (size_t i = 0; i < COUNT_OF(cells); i++)
        line_cells[i + 1] = cells[i];
    begin_line(p);
    table_line(p, queue_columns, COUNT_OF(queue_columns), width, line_cells);
}

static void queue_part(const top *t, page *p, size_t shown)
{
    size_t width[COLUMNS_MOST];
    widths(p, queue_columns, COUNT_OF(queue_columns), longest_name(t), width);
    header(p, queue_columns, COUNT_OF(queue_columns), width);
    for (size_t i = t->from; i < t->from + shown; i++)
        queue_line(p, &t->queues[i], width);
    if (t->queue_count == 0)
        line(p, "", "no queue is here");
}

static void consumer_line(page *p, const pgq_consumer *c, const size_t width[COLUMNS_MOST])
{
    char pid[CELL] = "", messages[CELL] = "", id[CELL] = "", age[CELL], ends[CELL];
    if (c->pid > 0)
        snprintf(pid, CELL, "%d", c->pid);
    if (c->messages > 0)
        count_text(c->messages, true, messages);
    if (c->message_id > 0)
        snprintf(id, CELL, "%lld", (long long)c->message_id);
    span_text(c->age_ms, age);
    span_text(c->ends_in_ms, ends);
    const char *cells[COLUMNS_MOST] = {
        c->queue, pgq_activity_name(c->activity), pid, c->role, c->application, c->client, messages, id, age,
        ends};
    begin_line(p);
    table_line(p, consumer_columns, COUNT_OF(consumer_columns), width, cells);
}

static void consumer_part(const top *t, page *p, size_t shown)
{
    size_t width[COLUMNS_MOST], longest = 0;
    char more[64];
    for (size_t i = 0; i < t->consumer_count; i++) {
        size_t n = table_width(t->consumers[i]->queue, strlen(t->consumers[i]->queue));
        longest = n > longest ? n : longest;
    }
    widths(p, consumer_columns, COUNT_OF(consumer_columns), longest, width);
    header(p, consumer_columns, COUNT_OF(consumer_columns), width);
    if (t->consumer_count == 0) {
        line(p, "", *t->no_consumers ? t->no_consumers : "nobody takes from these queues");
        return;
    }
    bool cut = shown < t->consumer_count;
    for (size_t i = 0; i + cut < shown; i++)
        consumer_line(p, t->consumers[i], width);
    if (cut && shown > 0) {
        snprintf(more, sizeof more, "and %zu more: see pgq consumers", t->consumer_count - shown + 1);
        line(p, "", more);
    }
}

static void footer(const top *t, page *p)
{
    char text[256], name[16];
    top_sort_name(t->sort, name);
    snprintf(text, sizeof text, "q quit  s sort: %s  space look now  up, down scroll  = paused  ~ estimate",
             name);
    line(p, "\033[2m", text);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void top_frame(top *t, buf *b, size_t rows, size_t columns)
{
    enum { LINES = 7, LEAST = 9 }; /* those that are no queue's and no consumer's; for both tables */
    page p = {b, 0, rows, columns, t->colour};
    bool both = rows >= LEAST;
    size_t room = both ? rows - LINES : rows > 5 ? rows - 5 : 0;
    size_t takers = t->consumer_count > 0 ? t->consumer_count : 1;
    size_t share = room > takers && room - takers > room * 2 / 3 ? room - takers : room * 2 / 3;
    size_t queues = smaller(t->queue_count, both ? (share > 0 ? share : 1) : room);
    t->from = smaller(t->from, t->queue_count - queues);
    if (rows > 4) {
        title(t, &p, queues);
        queue_part(t, &p, queues);
    } else {
        line(&p, "", "pgq top: this terminal is too small");
    }
    if (both) {
        blank(&p);
        consumer_part(t, &p, smaller(takers, rows - p.row - 2));
    }
    while (p.row + 1 < rows)
        blank(&p);
    if (rows > 4)
        footer(t, &p);
}
