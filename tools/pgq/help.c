/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 79, INDENT = 28 };

/* Whether the letter means another option of the verb. */
static bool letter_is_taken(option_id id, const verb *v)
{
    for (size_t i = 0; v && v->options[i] != O_END; i++) {
        if (v->options[i] != id && options[v->options[i]].letter == options[id].letter)
            return true;
    }
    return false;
}

void help_option(option_id id, const verb *v, char *out, size_t size)
{
    const option *o = &options[id];
    char letter[5] = "    ";
    if (o->letter && !letter_is_taken(id, v))
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    if (o->type == TYPE_FLAG)
        snprintf(out, size, "%s--%s", letter, o->name);
    else if (o->type == TYPE_YES_NO)
        snprintf(out, size, "%s--%s[=%s]", letter, o->name, o->value);
    else
        snprintf(out, size, "%s--%s %s", letter, o->name, o->value);
}

/* Words, filled into lines that begin with a number of blanks, of which some are there already. */
static void fill(const char *text, size_t indent, size_t column)
{
    while (*text) {
        size_t len = strcspn(text, " \n");
        if (column > indent && column + 1 + len > WIDTH) {
            putchar('\n');
            column = 0;
        }
        if (column < indent || column == 0) {
            printf("%*s", (int)(indent - column), "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        fwrite(text, 1, len, stdout);
        column += len;
        text += len;
        if (*text == '\n') {
            putchar('\n');
            column = 0;
        }
        if (*text)
            text++;
    }
    putchar('\n');
}

static void entry(const char *left, const char *right)
{
    size_t len = strlen(left) + 2;
    printf("  %s", left);
    if (len + 2 > INDENT) {
        putchar('\n');
        len = 0;
    }
    fill(right, INDENT, len);
}

void help_text(option_id id, char *to, size_t size)
{
    const option *o = &options[id];
    size_t n = (size_t)snprintf(to, size, "%s", o->help);
    for (const char *p = o->words; p && n < size; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        n += (size_t)snprintf(to + n, size - n, "%s%.*s", p == o->words ? ": " : ", ", (int)strcspn(p, "|"),
                              p);
}

static void print_option(option_id id, const verb *v)
{
    char left[64], right[512];
    help_option(id, v, left, sizeof left);
    help_text(id, right, sizeof right);
    entry(left, right);
}

static void print_verb(const verb *v)
{
    option_id id;
    size_t i = 0;
    printf("Usage: pgq %s%s%s%s\n", v->name, v->options[0] != O_END ? " [OPTION...]" : "",
           *v->arguments ? " " : "", v->arguments);
    printf("%c%s", v->summary[0] - 'a' + 'A', v->summary + 1);
    printf(v->alias ? "; ddmq's word is %s\n" : "\n", v->alias);
    if (*v->text) {
        putchar('\n');
        fill(v->text, 0, 0);
    }
    if (v->options[0] != O_END)
        puts("\nOptions:");
    for (; v->options[i] != O_END; i++)
        print_option(v->options[i], v);
    puts("\nOptions of every verb:");
    for (; (id = verb_option(v, i)) != O_END; i++)
        print_option(id, v);
}

static void print_entry(const verb *v)
{
    char right[256];
    snprintf(right, sizeof right, "%s%s%s", v->summary, v->alias ? "; also: " : "", v->alias ? v->alias : "");
    entry(v->name, right);
}

static void print_family(const char *first)
{
    size_t len = strlen(first);
    printf("Usage: pgq %s WORD [OPTION...] [ARGUMENT...]\n\n", first);
    for (size_t i = 0; i < verb_count; i++) {
        if (strncmp(verbs[i].name, first, len) == 0 && verbs[i].name[len] == ' ')
            print_entry(&verbs[i]);
    }
    printf("\npgq %s WORD --help tells of one.\n", first);
}

void help_print(const verb *v, const char *family)
{
    if (v || family) {
        if (v)
            print_verb(v);
        else
            print_family(family);
        return;
    }
    puts("Usage: pgq [-d CONNINFO] [-n NAMESPACE] VERB [OPTION...] [ARGUMENT...]\n"
         "PostgreSQL as a transactional message queue: the command line.");
    for (size_t g = 0; g < group_count; g++) {
        printf("\n%s:\n", groups[g].title);
        for (size_t i = 0; i < verb_count; i++) {
            if (strcmp(verbs[i].group, groups[g].name) == 0 && !(verbs[i].flags & VERB_HIDDEN))
                print_entry(&verbs[i]);
        }
    }
    puts("\nOptions of every verb:");
    for (size_t i = 0; common_options[i] != O_END; i++)
        print_option(common_options[i], NULL);
    puts("\nExit status: 0 done, 1 failed, 2 usage, 3 nothing there.\n"
         "pgq VERB --help tells of a verb. See pgq(1).");
}
