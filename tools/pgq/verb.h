/* SPDX-License-Identifier: MIT */
/* The table of verbs and options: what is parsed, and what help, completion and the manual pages say. */
#ifndef PGQ_CLI_VERB_H
#define PGQ_CLI_VERB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOTHING = 3 };

typedef enum option_type {
    TYPE_FLAG,
    TYPE_YES_NO,   /* its value may be left out: yes */
    TYPE_INTEGER,  /* min to max; "none", where that is allowed, is -1 */
    TYPE_REAL,     /* min to max */
    TYPE_DURATION, /* in milliseconds, likewise */
    TYPE_TIME,     /* microseconds since 1970-01-01 00:00 UTC */
    TYPE_TEXT,
    TYPE_JSON, /* an object */
    TYPE_FILE,
    TYPE_WORD /* one of words */
} option_type;

/* Every option there is. One name means one thing in every verb that has it. */
typedef enum option_id {
    O_DSN,
    O_NAMESPACE,
    O_FORMAT,
    O_FIELDS,
    O_QUIET,
    O_HELP,
    O_VERSION,
    O_YES,
    O_NAMES,
    O_ATTRIBUTES,
    O_RATES,
    O_DEFAULTS,
    O_AUTO_CREATE,
    O_IF_NOT_EXISTS,
    O_UNSET,
    O_LEASE,
    O_DELAY,
    O_MAX_SIZE,
    O_PRIORITY,
    O_REQUEUE,
    O_REQUEUE_PRIORITY,
    O_ERROR_LIMIT,
    O_TTL,
    O_RETRY_DELAY,
    O_RETRY_FACTOR,
    O_RETRY_MAX_DELAY,
    O_RETRY_JITTER,
    O_DROP_DEAD,
    O_KIND,
    O_HEADERS,
    O_DUE,
    O_ORDER_KEY,
    O_DEDUP_KEY,
    O_DEDUP_WINDOW,
    O_CREATE_QUEUE,
    O_LEASE_SECONDS,
    O_REQUEUE_LIMIT,
    O_FILE,
    O_LINES,
    O_ZERO,
    O_JSONL,
    O_BATCH,
    O_COUNT,
    O_TIMEOUT,
    O_POLL_INTERVAL,
    O_FILTER,
    O_RAW,
    O_STATE,
    O_SKIP,
    O_ERROR,
    O_ALL,
    O_TARGET,
    O_INTERVAL,
    O_SORT,
    O_ID,
    O_AS,
    O_FROM,
    O_HOLD,
    O_RETAIN,
    O_MAX_MESSAGES,
    O_COMMON,
    O_TRANSACTION_AGE,
    O_SCOPE_AGE,
    O_WAIT_AGE,
    O_HORIZON_AGE,
    O_DEAD_ROWS,
    O_BLOAT_BYTES,
    O_DEAD_PER_HOUR,
    O_NOTIFY_USAGE,
    O_OPTIONS,        /* how many */
    O_END = O_OPTIONS /* of a verb's list */
} option_id;

typedef struct option {
    const char *name;
    char letter; /* 0: none */
    option_type type;
    int64_t min, max;
    bool none;         /* the word "none" is a value: -1 */
    const char *value; /* its name in help */
    const char *words; /* of TYPE_WORD, parted by | */
    const char *help;
} option;

extern const option options[O_OPTIONS];
extern const option_id common_options[]; /* of every verb, ended by O_END */

typedef struct given {
    bool set;
    int64_t number;
    double real;
    const char *text;
} given;

typedef struct call call;

enum { ARGS_NAMED = 3, NO_LIMIT = 1 << 30 };

enum {                   /* flags of a verb */
       VERB_OFFLINE = 1, /* needs no server */
       VERB_HIDDEN = 2,
       VERB_REPORTS = 4,   /* its rows only say what it did: --quiet is without them */
       VERB_JSON_ROWS = 8, /* its format is json unless another one is asked for */
       VERB_ONE_ROW = 16,  /* on a terminal a field stands on a line */
       VERB_PAYLOAD = 32   /* its second argument is a payload: in JSON any value */
};

typedef struct verb {
    const char *name;  /* of one word or two */
    const char *alias; /* ddmq's; NULL: none */
    const char *group;
    const char *arguments;         /* as help has them; "" */
    const char *named[ARGS_NAMED]; /* the keys of the arguments in JSON; the last one takes a list, too */
    int min, max;                  /* how many arguments */
    unsigned flags;
    const option_id *options;
    const char *summary;
    const char *text; /* paragraphs, parted by \n */
    int (*run)(call *c);
} verb;

extern const verb verbs[];
extern const size_t verb_count;

typedef struct group {
    const char *name, *title, *text;
} group;

extern const group groups[];
extern const size_t group_count;

/* The verb of that name or alias; NULL if there is none. */
const verb *verb_find(const char *name);

/* The ith option of a verb, its own before the common ones; O_END behind the last. */
option_id verb_option(const verb *v, size_t i);

#endif
