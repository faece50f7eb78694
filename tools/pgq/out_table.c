/* SPDX-License-Identifier: MIT */
/* A table for people: columns in line, no wider than the terminal, and nothing in it that a terminal would
 * obey. */
#include "out.h"
#include "say.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { GAP = 2, WIDTH_DEFAULT = 80, CELL_MAX = 4096 };

struct table {
    bool lines, colour;
    size_t columns, rows, cap;
    size_t width[ROW_FIELDS];
    bool right[ROW_FIELDS];
    const char *names[ROW_FIELDS];
    bool named; /* the header is written */
    buf *cells; /* rows * columns */
};

table *table_new(bool lines)
{
    table *t = calloc(1, sizeof *t);
    if (t) {
        t->lines = lines;
        t->colour = say_colour(STDOUT_FILENO);
    }
    return t;
}

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return WIDTH_DEFAULT;
}

/* How many columns a character takes. */
static size_t char_width(const char *p, size_t n)
{
    wchar_t wide;
    mbstate_t state = {0};
    if (mbrtowc(&wide, p, n, &state) != n)
        return 1;
    int width = wcwidth(wide);
    return width < 0 ? 1 : (size_t)width;
}

size_t table_width(const char *p, size_t len)
{
    size_t width = 0;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_char(p + i, len - i);
        width += char_width(p + i, n);
        i += n;
    }
    return width;
}

void table_visible(buf *b, const char *p, size_t len)
{
    for (size_t i = 0; i < len && b->len < CELL_MAX;) {
        size_t n = utf8_char(p + i, len - i);
        unsigned char c = (unsigned char)p[i];
        if (n == 0 || c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)p[i + 1] < 0xa0)) {
            n = n ? n : 1;
            for (size_t k = 0; k < n; k++)
                buf_printf(b, "\\x%02x", (unsigned char)p[i + k]);
        } else {
            buf_add(b, p + i, n);
        }
        i += n;
    }
}

static void add_cell(buf *b, const field *f)
{
    if (f->type == FIELD_NULL)
        return;
    if (f->type == FIELD_TEXT || f->type == FIELD_JSON || f->type == FIELD_BYTES)
        table_visible(b, f->data, f->len);
    else
        out_plain_field(b, f);
}

static bool is_number(const field *f)
{
    return f->type == FIELD_INTEGER || f->type == FIELD_REAL;
}

bool table_row(table *t, const row *r, bool all)
{
    size_t columns = 0;
    buf *cells = t->cells;
    if (t->rows == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        cells = realloc(t->cells, t->cap * ROW_FIELDS * sizeof *cells);
        if (!cells)
            return false;
        t->cells = cells;
    }
    for (size_t i = 0; i < r->n; i++) {
        const field *f = &r->fields[i];
        if (f->detail && !all && !t->lines)
            continue;
        buf *cell = &t->cells[t->rows * ROW_FIELDS + columns];
        *cell = (buf){0};
        add_cell(cell, f);
        size_t width = table_width(cell->data ? cell->data : "", cell->len);
        t->names[columns] = f->name;
        if (strlen(f->name) > t->width[columns])
            t->width[columns] = strlen(f->name);
        if (width > t->width[columns])
            t->width[columns] = width;
        t->right[columns] |= is_number(f);
        columns++;
    }
    t->columns = columns;
    t->rows++;
    return true;
}

static void blanks(buf *b, size_t n)
{
    while (n-- > 0)
        buf_str(b, " ");
}

void table_put(buf *b, const char *p, size_t len, size_t width, bool right, bool last)
{
    size_t used = table_width(p, len), fits = 0, wide = 0;
    if (used <= width) {
        if (right)
            blanks(b, width - used);
        buf_add(b, p, len);
        if (!right && !last)
            blanks(b, width - used);
        return;
    }
    while (fits < len) {
        size_t n = utf8_char(p + fits, len - fits);
        size_t w = char_width(p + fits, n);
        if (wide + w + 1 > width)
            break;
        wide += w;
        fits += n;
    }
    buf_add(b, p, fits);
    buf_str(b, "~");
    if (!last)
        blanks(b, width - wide - 1);
}

/* What the last columns get where all is too wide. */
static size_t fitted(const table *t, size_t column, size_t *left)
{
    size_t width = t->width[column];
    if (width > *left)
        width = *left > 0 ? *left : 1;
    *left -= width + GAP < *left ? width + GAP : *left;
    return width;
}

static void write_line(const table *t, buf *b, const buf *cells, size_t terminal)
{
    size_t left = terminal;
    for (size_t i = 0; i < t->columns && left > 0; i++) {
        const char *text = !cells ? t->names[i] : cells[i].data ? cells[i].data : "";
        size_t width = fitted(t, i, &left);
        table_put(b, text, strlen(text), width, t->right[i], i + 1 == t->columns || left == 0);
        if (i + 1 < t->columns && left > 0)
            blanks(b, GAP);
    }
}

static void write_fields(const table *t, buf *b, const buf *cells)
{
    size_t widest = 0;
    for (size_t i = 0; i < t->columns; i++) {
        if (strlen(t->names[i]) > widest)
            widest = strlen(t->names[i]);
    }
    for (size_t i = 0; i < t->columns; i++) {
        buf_str(b, t->colour ? "\033[1m" : "");
        table_put(b, t->names[i], strlen(t->names[i]), widest, false, false);
        buf_str(b, t->colour ? "\033[m" : "");
        blanks(b, GAP);
        buf_str(b, cells[i].data ? cells[i].data : "");
        buf_str(b, "\n");
    }
}

void table_write(table *t, buf *b)
{
    size_t terminal = terminal_width();
    for (size_t i = 0; i < t->rows; i++) {
        buf *cells = &t->cells[i * ROW_FIELDS];
        if (!t->named && !t->lines) {
            buf_str(b, t->colour ? "\033[1m" : "");
            write_line(t, b, NULL, terminal);
            buf_str(b, t->colour ? "\033[m\n" : "\n");
            t->named = true;
        }
        if (t->lines) {
            write_fields(t, b, cells);
        } else {
            write_line(t, b, cells, terminal);
            buf_str(b, "\n");
        }
        for (size_t k = 0; k < t->columns; k++) {
            b->failed |= cells[k].failed;
            buf_free(&cells[k]);
        }
    }
    t->rows = 0;
}

void table_free(table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->rows; i++) {
        for (size_t k = 0; k < t->columns; k++)
            buf_free(&t->cells[i * ROW_FIELDS + k]);
    }
    free(t->cells);
    free(t);
}
