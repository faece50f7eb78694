/* SPDX-License-Identifier: MIT */
/* The verbs. A new one is an entry here and a function; help, manual and completion follow. */
#include "verb.h"

#include "run.h"

#include <string.h>

#define ATTRIBUTES                                                                                           \
    O_LEASE, O_DELAY, O_MAX_SIZE, O_PRIORITY, O_REQUEUE, O_REQUEUE_PRIORITY, O_ERROR_LIMIT, O_TTL,           \
        O_RETRY_DELAY, O_RETRY_FACTOR, O_RETRY_MAX_DELAY, O_RETRY_JITTER, O_DROP_DEAD

static const option_id nothing[] = {O_END};
static const option_id sure[] = {O_YES, O_END};
static const option_id view[] = {O_NAMES, O_ATTRIBUTES, O_RATES, O_END};
static const option_id create[] = {O_IF_NOT_EXISTS, ATTRIBUTES, O_END};
static const option_id set[] = {O_DEFAULTS, O_AUTO_CREATE, O_UNSET, ATTRIBUTES, O_END};
static const option_id enqueue[] = {
    O_KIND,          O_PRIORITY,  O_DELAY,        O_TTL,          O_HEADERS,
    O_DUE,           O_LEASE,     O_REQUEUE,      O_ERROR_LIMIT,  O_REQUEUE_PRIORITY,
    O_ORDER_KEY,     O_DEDUP_KEY, O_DEDUP_WINDOW, O_CREATE_QUEUE, O_LEASE_SECONDS,
    O_REQUEUE_LIMIT, O_FILE,      O_LINES,        O_ZERO,         O_JSONL,
    O_BATCH,         O_END};
static const option_id receive[] = {O_COUNT,  O_ID,  O_LEASE, O_TIMEOUT, O_POLL_INTERVAL,
                                    O_FILTER, O_RAW, O_ZERO,  O_END};
static const option_id pop[] = {O_COUNT, O_ALL, O_RAW, O_ZERO, O_END};
static const option_id peek[] = {O_COUNT, O_RAW, O_ZERO, O_END};
static const option_id list[] = {O_STATE, O_COUNT, O_SKIP, O_RAW, O_ZERO, O_END};
static const option_id raw[] = {O_RAW, O_END};
static const option_id nack[] = {O_ERROR, O_REQUEUE, O_DELAY, O_END};
static const option_id extend[] = {O_LEASE, O_END};
static const option_id dead_list[] = {O_COUNT, O_SKIP, O_RAW, O_ZERO, O_END};
static const option_id dead_requeue[] = {O_ALL, O_TARGET, O_END};
static const option_id dead_purge[] = {O_ALL, O_YES, O_END};
static const option_id doctor[] = {O_TRANSACTION_AGE, O_SCOPE_AGE,    O_WAIT_AGE,
                                   O_HORIZON_AGE,     O_DEAD_ROWS,    O_BLOAT_BYTES,
                                   O_DEAD_PER_HOUR,   O_NOTIFY_USAGE, O_END};
static const option_id reschedule[] = {O_DELAY, O_END};
static const option_id consumers[] = {O_COUNT, O_END};
static const option_id top[] = {O_INTERVAL, O_SORT, O_END};
static const option_id watch[] = {O_COUNT, O_INTERVAL, O_END};

static const option_id topic_publish[] = {O_KIND, O_HEADERS, O_FILE,  O_LINES,
                                          O_ZERO, O_JSONL,   O_BATCH, O_END};
static const option_id topic_subscribe[] = {O_AS,  O_FROM, O_HOLD, O_COUNT, O_TIMEOUT, O_POLL_INTERVAL,
                                            O_RAW, O_ZERO, O_END};
static const option_id topic_latest[] = {O_AS, O_RAW, O_END};
static const option_id topic_create[] = {O_IF_NOT_EXISTS, O_RETAIN, O_MAX_MESSAGES, O_END};
static const option_id topic_set[] = {O_COMMON, O_RETAIN, O_MAX_MESSAGES, O_END};
static const option_id topic_bind[] = {O_FILTER, O_END};

const group groups[] = {
    {"namespace", "The namespace",
     "Installs, upgrades and drops the schema that the queues are in, and says which role may send and which "
     "may take."},
    {"queue", "Queues", "Makes, changes, empties and deletes queues."},
    {"send", "Sending", "Sends messages, one or very many."},
    {"take", "Taking and settling", "Takes messages, and says what became of them."},
    {"look", "Looking", "Shows queues and messages. Nothing about them changes."},
    {"dead", "Dead letters", "Shows what failed for good, brings it back, or deletes it."},
    {"topic", "Topics",
     "Publishes to topics and reads them: every subscriber gets each message, and all are kept for a time."},
    {"shell", "For scripts and shells", "Every verb by JSON, and completion."},
};
const size_t group_count = sizeof groups / sizeof *groups;

#define RECEIPTS_TEXT                                                                                        \
    "A RECEIPT is ID:ATTEMPTS, the field receipt of what receive gave. The attempts are the fence: who has " \
    "lost the message is told stale, and changes nothing. \"-\" reads receipts from stdin, parted by "       \
    "blanks or line ends.\n"                                                                                 \
    "What is no receipt is an error of usage: of the command line then none is settled, of stdin those "     \
    "before it "                                                                                             \
    "are.\n"                                                                                                 \
    "A row each says done, stale or not_found. Exit status 1 if one is stale, else 3 if one is not found."

const verb verbs[] = {
    {"install",
     NULL,
     "namespace",
     "",
     {NULL},
     0,
     0,
     VERB_REPORTS,
     nothing,
     "install the namespace, or bring it up to date",
     "Running it again changes nothing. A namespace of a newer pgq is left as it is.",
     run_install},
    {"upgrade",
     NULL,
     "namespace",
     "",
     {NULL},
     0,
     0,
     VERB_REPORTS,
     nothing,
     "bring an installed namespace up to date",
     "Exit status 1 if it is not installed.",
     run_upgrade},
    {"drop",
     NULL,
     "namespace",
     "",
     {NULL},
     0,
     0,
     VERB_REPORTS,
     sure,
     "drop the namespace with every queue and message in it",
     "It asks first.",
     run_drop},
    {"reset",
     NULL,
     "namespace",
     "",
     {NULL},
     0,
     0,
     VERB_REPORTS,
     sure,
     "delete every queue and message of the namespace",
     "Settings and grants stay. It asks first.",
     run_reset},
    {"shutdown",
     NULL,
     "namespace",
     "",
     {NULL},
     0,
     0,
     VERB_REPORTS,
     nothing,
     "end every wait in the namespace",
     "Workers, pgq-listen among them, listeners, and who waits for a message of a queue or a topic: each is "
     "told SHUTDOWN. receive, topic subscribe and watch say so on standard error, and end. Who begins to "
     "wait later is not kept from it. No grant gives it.",
     run_shutdown},
    {"grant producer",
     NULL,
     "namespace",
     "ROLE...",
     {"role"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "let roles send, and no more",
     "A role may have several parts.",
     run_grant_producer},
    {"grant consumer",
     NULL,
     "namespace",
     "ROLE...",
     {"role"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "let roles take, settle, look and cancel, and no more",
     "A role may have several parts.",
     run_grant_consumer},
    {"grant monitor",
     NULL,
     "namespace",
     "ROLE...",
     {"role"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "let roles look, at everything, and no more",
     "A role may have several parts. The sessions of other roles are the server's to show: GRANT "
     "pg_read_all_stats, or pg_monitor, lets doctor and consumers see them.",
     run_grant_monitor},
    {"revoke",
     NULL,
     "namespace",
     "ROLE...",
     {"role"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "take back from roles what they were granted",
     "All parts, and what was granted in the namespace by hand. No upgrade grants it again. Exit status 3 if "
     "there was nothing.",
     run_revoke},

    {"create",
     NULL,
     "queue",
     "QUEUE...",
     {"queue"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     create,
     "create queues",
     "Attributes that are not given are the namespace's, now and later.",
     run_create},
    {"set",
     NULL,
     "queue",
     "QUEUE... | --defaults",
     {"queue"},
     0,
     NO_LIMIT,
     VERB_REPORTS,
     set,
     "change attributes of queues, or of the namespace",
     "Those that are given are changed, and no other.",
     run_set},
    {"delete",
     NULL,
     "queue",
     "QUEUE...",
     {"queue"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     sure,
     "delete queues with all that is in them",
     "It asks first.",
     run_delete},
    {"pause",
     NULL,
     "queue",
     "QUEUE...",
     {"queue"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "hand out nothing of queues until resume",
     "They take messages as ever, and what is in flight is settled.",
     run_pause},
    {"resume",
     NULL,
     "queue",
     "QUEUE...",
     {"queue"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "end a pause",
     "Who waits for the queue is woken.",
     run_resume},
    {"purge",
     NULL,
     "queue",
     "QUEUE...",
     {"queue"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     sure,
     "delete all messages of queues, dead letters aside",
     "It asks first. Each queue is one transaction: interrupted, all of its messages are there.",
     run_purge},
    {"clean",
     NULL,
     "queue",
     "[QUEUE...]",
     {"queue"},
     0,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "do what is due, delete what is outdated",
     "Delivery never needs it: consumers see to it as they look. Without QUEUE: all queues.",
     run_clean},

    {"enqueue",
     "publish",
     "send",
     "QUEUE [PAYLOAD | - | --file PATH]",
     {"queue", "payload"},
     1,
     2,
     VERB_REPORTS | VERB_PAYLOAD,
     enqueue,
     "send a message, or a batch",
     "Without PAYLOAD, or with -, the payload is what stdin holds, to the byte.\n"
     "With --lines each line of stdin or of the file is a message, with --null what a zero byte ends, and "
     "with --jsonl each line is an object: \"payload\" is the payload, text or, unless it is a string, JSON; "
     "\"encoding\" may say base64; the other keys are options of this verb (kind, priority, delay, ttl, "
     "headers, due, lease, requeue, error_limit, requeue_priority, order_key, dedup_key, dedup_window), and "
     "go before those of the command line.\n"
     "A batch is sent in transactions of at most --batch messages and some 8 MB, each one when it is full, "
     "or "
     "when nothing more has come for a tenth of a second. Interrupted or failed, it says how many were sent: "
     "all of what was in earlier transactions, and nothing of the last one.",
     run_enqueue},

    {"receive",
     "consume",
     "take",
     "QUEUE | --id ID",
     {"queue"},
     0,
     1,
     VERB_JSON_ROWS,
     receive,
     "take messages by a lease",
     "Settle them with their receipts: ack, nack, extend, release. What is not settled comes back when its "
     "lease has run out.\n"
     "Messages that could not be written are given back at once, with the attempt counted.\n"
     "Exit status 3 if none came, be it that --timeout is over or that pgq shutdown has ended the wait.",
     run_receive},
    {"pop",
     NULL,
     "take",
     "QUEUE",
     {"queue"},
     1,
     1,
     VERB_JSON_ROWS,
     pop,
     "take messages, and delete them once they are written",
     "At most 1000 of them are held in a transaction, which ends when they are written: what could not be "
     "written is given back, with the attempt counted. A reader that stops reading holds that transaction "
     "open.",
     run_pop},
    {"ack",
     NULL,
     "take",
     "RECEIPT...",
     {"receipt"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "settle messages that were done",
     RECEIPTS_TEXT,
     run_ack},
    {"nack",
     NULL,
     "take",
     "RECEIPT...",
     {"receipt"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nack,
     "settle messages that failed",
     "The error is counted, and the message comes back or is a dead letter.\n" RECEIPTS_TEXT,
     run_nack},
    {"extend",
     NULL,
     "take",
     "RECEIPT...",
     {"receipt"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     extend,
     "move the end of leases",
     "Without --lease: by the message's own lease, or the queue's.\n" RECEIPTS_TEXT,
     run_extend},
    {"release",
     NULL,
     "take",
     "RECEIPT...",
     {"receipt"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "give messages back: neither done nor failed",
     "The attempt stays counted.\n" RECEIPTS_TEXT,
     run_release},
    {"cancel",
     NULL,
     "take",
     "ID...",
     {"id"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     nothing,
     "take back messages that nobody has",
     "A row each says canceled or not_found, which is also that of one in flight. Exit status 3 if one is "
     "not found.",
     run_cancel},
    {"reschedule",
     NULL,
     "take",
     "ID...",
     {"id"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     reschedule,
     "let messages that nobody has become ready at another time",
     "That is --delay from now, by default at once, at the tail of their priority.\n"
     "A row each says rescheduled, in_flight or not_found. Exit status 1 if one is in flight, else 3 if one "
     "is "
     "not found.",
     run_reschedule},

    {"view",
     NULL,
     "look",
     "[QUEUE...]",
     {"queue"},
     0,
     NO_LIMIT,
     0,
     view,
     "what queues there are, and what is in them",
     "The counts are estimates where exact says false, which is beyond 10,000 messages of a sort.",
     run_view},
    {"peek",
     NULL,
     "look",
     "QUEUE",
     {"queue"},
     1,
     1,
     0,
     peek,
     "the messages that the next takers would get",
     "",
     run_peek},
    {"list",
     NULL,
     "look",
     "QUEUE",
     {"queue"},
     1,
     1,
     0,
     list,
     "the messages in a state",
     "In the order of delivery, of falling due, or of dying; 100 of them unless --count says otherwise.",
     run_list},
    {"get",
     NULL,
     "look",
     "ID",
     {"id"},
     1,
     1,
     VERB_ONE_ROW,
     raw,
     "one message, in whatever state",
     "With --raw nothing is behind the payload: it is what was sent, to the byte.",
     run_get},
    {"count",
     NULL,
     "look",
     "QUEUE...",
     {"queue"},
     1,
     NO_LIMIT,
     0,
     nothing,
     "exact numbers, by a scan",
     "For numbers at any depth see view and stats.",
     run_count},
    {"stats",
     NULL,
     "look",
     "[QUEUE...]",
     {"queue"},
     0,
     NO_LIMIT,
     0,
     nothing,
     "totals and counts, at any depth",
     "Cheap enough for every second. --format prometheus is the text format of Prometheus.",
     run_stats},
    {"doctor",
     NULL,
     "look",
     "",
     {NULL},
     0,
     0,
     VERB_ONE_ROW,
     doctor,
     "what is wrong with the queues, and what to do about it",
     "A row for each finding, the worst first: what keeps vacuum from removing dead rows, dead rows and "
     "bloat, autovacuum's settings, "
     "the notification queue, privileges, another version, long scopes, queues that nobody takes from, dead "
     "letters, a pooler in between. "
     "The options say from which on something is a finding.\n"
     "A note says what the role may not see: pg_monitor sees all. Exit status 1 if there is a warning or a "
     "problem, 0 if there is none.",
     run_doctor},
    {"consumers",
     NULL,
     "look",
     "[QUEUE...]",
     {"queue"},
     0,
     NO_LIMIT,
     0,
     consumers,
     "who takes from queues, and has what",
     "A row for each session that takes in an open transaction (scope) or sleeps until a message comes "
     "(sleep), and one "
     "for the leases of a queue, together, as nothing says whose they are; message_id is the first message "
     "that it "
     "has, of leases the one that ends first. 100 rows a queue unless --count says otherwise; without QUEUE "
     "100 in all.\n"
     "Of other roles' sessions only a member of pg_read_all_stats sees client and age.",
     run_consumers},
    {"top",
     NULL,
     "look",
     "[QUEUE...]",
     {"queue"},
     0,
     NO_LIMIT,
     0,
     top,
     "a live view of queues and their consumers, on the whole terminal",
     "It needs a terminal; for scripts there are view --rates, watch and consumers. Rates are those since "
     "the look "
     "before. When the server is gone it says so, and goes on when it is back.\n"
     "Keys: q quits, s sorts by the next key, space looks at once, up and down scroll the queues.",
     run_top},
    {"watch",
     NULL,
     "look",
     "[QUEUE...]",
     {"queue"},
     0,
     NO_LIMIT,
     0,
     watch,
     "follow what happens in queues",
     "A row a queue first, then one whenever numbers of a queue have changed: sent and received since its "
     "last row, and how many there are. It is woken by what is sent, and looks every --interval besides. "
     "--count ends it after so many rows, and pgq shutdown at once, with exit status 0.",
     run_watch},

    {"dead list",
     NULL,
     "dead",
     "QUEUE",
     {"queue"},
     1,
     1,
     0,
     dead_list,
     "the dead letters of a queue",
     "In the order of dying; 100 of them unless --count says otherwise.",
     run_dead_list},
    {"dead show",
     NULL,
     "dead",
     "ID",
     {"id"},
     1,
     1,
     VERB_ONE_ROW,
     raw,
     "one dead letter",
     "With --raw nothing is behind the payload: it is what was sent, to the byte.",
     run_dead_show},
    {"dead requeue",
     NULL,
     "dead",
     "QUEUE {ID... | --all}",
     {"queue", "id"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     dead_requeue,
     "put dead letters back, with a clean error count",
     "One stays while a message of its dedup key is there.",
     run_dead_requeue},
    {"dead purge",
     NULL,
     "dead",
     "QUEUE {ID... | --all}",
     {"queue", "id"},
     1,
     NO_LIMIT,
     VERB_REPORTS,
     dead_purge,
     "delete dead letters for good",
     "It asks first.",
     run_dead_purge},

#include "verbs_topic.h"

    {"json",
     NULL,
     "shell",
     "[OBJECT...]",
     {NULL},
     0,
     NO_LIMIT,
     VERB_OFFLINE,
     nothing,
     "run verbs given as JSON objects",
     "{\"cmd\": \"enqueue\", \"queue\": \"orders\", \"payload\": \"17\", \"priority\": 1}: cmd is a verb; "
     "the "
     "other keys are its arguments (queue, topic, payload, subscriber, receipt, id; a list where there may "
     "be several) and its "
     "options, with _ or - in their names; true is a flag, false and null are nothing given. A payload that "
     "is no string is sent as "
     "JSON; ddmq's key message is accepted for payload. An unknown key is an error.\n"
     "Without OBJECT they are read from stdin, one behind the other. Rows are JSON unless format says "
     "otherwise. All run on one connection; the first that fails ends it.",
     run_json},
    {"completion",
     NULL,
     "shell",
     "bash|zsh|fish",
     {NULL},
     1,
     1,
     VERB_OFFLINE,
     nothing,
     "print completion for a shell",
     "For bash: eval \"$(pgq completion bash)\".",
     run_completion},
    {"man",
     NULL,
     "shell",
     "[GROUP]",
     {NULL},
     0,
     1,
     VERB_OFFLINE | VERB_HIDDEN,
     nothing,
     "print the manual page pgq(1), or that of a group of verbs",
     "",
     run_man},
};
const size_t verb_count = sizeof verbs / sizeof *verbs;

const verb *verb_find(const char *name)
{
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i].name, name) == 0 || (verbs[i].alias && strcmp(verbs[i].alias, name) == 0))
            return &verbs[i];
    }
    return NULL;
}

option_id verb_option(const verb *v, size_t i)
{
    size_t own = 0;
    while (v && v->options[own] != O_END)
        own++;
    if (i < own)
        return v->options[i];
    for (size_t c = 0; c <= i - own; c++) {
        if (common_options[c] == O_END)
            return O_END;
    }
    return common_options[i - own];
}
