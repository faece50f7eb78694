/* SPDX-License-Identifier: MIT */
/* Completion for shells: made from the table, and complete in itself. */
#include "call.h"
#include "run.h"
#include "say.h"

#include <stdio.h>
#include <string.h>

/* Each first word of a verb once. */
static bool is_first(size_t i)
{
    size_t len = strcspn(verbs[i].name, " ");
    for (size_t j = 0; j < i; j++) {
        if (strcspn(verbs[j].name, " ") == len && strncmp(verbs[j].name, verbs[i].name, len) == 0)
            return false;
    }
    return !(verbs[i].flags & VERB_HIDDEN);
}

static void first_words(void)
{
    for (size_t i = 0; i < verb_count; i++) {
        if (is_first(i))
            printf("%.*s ", (int)strcspn(verbs[i].name, " "), verbs[i].name);
        if (verbs[i].alias)
            printf("%s ", verbs[i].alias);
    }
}

static void second_words(const char *first, size_t len)
{
    for (size_t i = 0; i < verb_count; i++) {
        if (strncmp(verbs[i].name, first, len) == 0 && verbs[i].name[len] == ' ')
            printf("%s ", verbs[i].name + len + 1);
    }
}

static void option_names(const verb *v)
{
    option_id id;
    for (size_t i = 0; (id = verb_option(v, i)) != O_END; i++)
        printf("--%s ", options[id].name);
}

static void words_of(const char *words)
{
    for (; *words; words++)
        putchar(*words == '|' ? ' ' : *words);
}

static void values(void)
{
    for (size_t i = 0; i < O_OPTIONS; i++) {
        if (options[i].type == TYPE_WORD) {
            printf("    --%s) words=\"", options[i].name);
            words_of(options[i].words);
            puts("\" ;;");
        } else if (options[i].type == TYPE_FILE) {
            printf("    --%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", options[i].name);
        }
    }
}

/* zsh reads bash's by bashcompinit. */
static void bash(void)
{
    puts("_pgq() {\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= second= words= i\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        case ${COMP_WORDS[i]} in\n"
         "        -d|-n|--dsn|--namespace|--format|--fields) i=$((i + 1)) ;;\n"
         "        -*) ;;\n"
         "        *) verb=${COMP_WORDS[i]} second=${COMP_WORDS[i+1]}; break ;;\n"
         "        esac\n"
         "    done\n"
         "    case $prev in");
    values();
    puts("    esac");
    puts("    if [ -z \"$words\" ]; then\n"
         "    case \"$verb $second\" in");
    for (size_t i = 0; i < verb_count; i++) {
        const verb *v = &verbs[i];
        printf("    \"%s%s\"", v->name, strchr(v->name, ' ') ? "" : " \"*\"");
        if (v->alias)
            printf("|\"%s \"*", v->alias);
        printf(") words=\"");
        if (strcmp(v->name, "completion") == 0)
            printf("bash zsh fish ");
        option_names(v);
        puts("\" ;;");
    }
    for (size_t i = 0; i < verb_count; i++) {
        int len = (int)strcspn(verbs[i].name, " ");
        if (verbs[i].name[len] == '\0' || !is_first(i))
            continue;
        printf("    \"%.*s \"*) words=\"", len, verbs[i].name);
        second_words(verbs[i].name, (size_t)len);
        puts("\" ;;");
    }
    printf("    *) words=\"");
    first_words();
    option_names(NULL);
    puts("\" ;;\n"
         "    esac\n"
         "    fi\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "}\n"
         "complete -F _pgq pgq");
}

/* Text within the quotes of fish. */
static void fish_quoted(const char *s)
{
    putchar('\'');
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\')
            putchar('\\');
        putchar(*s);
    }
    putchar('\'');
}

static void fish_option(const char *condition, option_id id)
{
    const option *o = &options[id];
    printf("complete -c pgq -n ");
    fish_quoted(condition);
    printf(" -l %s%s", o->name,
           o->type == TYPE_FLAG || o->type == TYPE_YES_NO ? ""
           : o->type == TYPE_FILE                         ? " -rF"
                                                          : " -x");
    if (o->type == TYPE_WORD) {
        printf(" -a '");
        words_of(o->words);
        putchar('\'');
    }
    printf(" -d ");
    fish_quoted(o->help);
    putchar('\n');
}

static const char *group_text(const char *name)
{
    for (size_t g = 0; g < group_count; g++) {
        if (strcmp(groups[g].name, name) == 0)
            return groups[g].text;
    }
    return "";
}

static void fish(void)
{
    puts("complete -c pgq -f");
    for (size_t i = 0; i < verb_count; i++) {
        const verb *v = &verbs[i];
        char seen[128];
        size_t len = strcspn(v->name, " ");
        if (v->flags & VERB_HIDDEN)
            continue;
        if (v->name[len] == ' ') {
            snprintf(seen, sizeof seen, "__fish_seen_subcommand_from %.*s", (int)len, v->name);
            printf("complete -c pgq -n '%s' -a %s -d ", seen, v->name + len + 1);
            fish_quoted(v->summary);
            putchar('\n');
        }
        if (is_first(i)) {
            printf("complete -c pgq -n __fish_use_subcommand -a %.*s -d ", (int)len, v->name);
            fish_quoted(strncmp(v->group, v->name, len) == 0 ? group_text(v->group) : v->summary);
            putchar('\n');
        }
        snprintf(seen, sizeof seen, "__fish_seen_subcommand_from %s%s%s",
                 v->name + (v->name[len] ? len + 1 : 0), v->alias ? " " : "", v->alias ? v->alias : "");
        for (size_t o = 0; v->options[o] != O_END; o++)
            fish_option(seen, v->options[o]);
    }
    for (size_t i = 0; common_options[i] != O_END; i++)
        fish_option("true", common_options[i]);
}

int run_completion(call *c)
{
    if (strcmp(c->args[0], "bash") == 0) {
        bash();
    } else if (strcmp(c->args[0], "zsh") == 0) {
        puts("(( $+functions[compdef] )) || { autoload -U +X compinit && compinit; }\n"
             "autoload -U +X bashcompinit && bashcompinit");
        bash();
    } else if (strcmp(c->args[0], "fish") == 0) {
        fish();
    } else {
        return say_usage("completion for \"%s\" is not there: bash, zsh and fish are allowed", c->args[0]);
    }
    return EXIT_DONE;
}
