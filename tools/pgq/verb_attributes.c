/* SPDX-License-Identifier: MIT */
#include "verb_attributes.h"

#include "say.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef enum member_type { MEMBER_INT, MEMBER_INT32, MEMBER_INT64, MEMBER_DOUBLE } member_type;

static const struct {
    option_id option;
    pgq_attribute bit;
    const char *name; /* of the field */
    member_type type;
    size_t offset;
    bool yes_no;
} members[] = {
#define MEMBER(option, bit, member, type, yes_no)                                                            \
    {                                                                                                        \
        option, bit, #member, type, offsetof(pgq_attributes, member), yes_no                                 \
    }
    MEMBER(O_LEASE, PGQ_LEASE, lease_ms, MEMBER_INT64, false),
    MEMBER(O_DELAY, PGQ_DELAY, delay_ms, MEMBER_INT64, false),
    MEMBER(O_MAX_SIZE, PGQ_MAX_SIZE, max_size, MEMBER_INT64, false),
    MEMBER(O_PRIORITY, PGQ_PRIORITY, priority, MEMBER_INT32, false),
    MEMBER(O_REQUEUE, PGQ_REQUEUE, requeue, MEMBER_INT, true),
    MEMBER(O_REQUEUE_PRIORITY, PGQ_REQUEUE_PRIORITY, requeue_priority, MEMBER_INT32, false),
    MEMBER(O_ERROR_LIMIT, PGQ_ERROR_LIMIT, error_limit, MEMBER_INT32, false),
    MEMBER(O_TTL, PGQ_TTL, ttl_ms, MEMBER_INT64, false),
    MEMBER(O_RETRY_DELAY, PGQ_RETRY_DELAY, retry_delay_ms, MEMBER_INT64, false),
    MEMBER(O_RETRY_FACTOR, PGQ_RETRY_FACTOR, retry_factor, MEMBER_DOUBLE, false),
    MEMBER(O_RETRY_MAX_DELAY, PGQ_RETRY_MAX_DELAY, retry_max_delay_ms, MEMBER_INT64, false),
    MEMBER(O_RETRY_JITTER, PGQ_RETRY_JITTER, retry_jitter, MEMBER_DOUBLE, false),
    MEMBER(O_DROP_DEAD, PGQ_DROP_DEAD, drop_dead, MEMBER_INT, true),
#undef MEMBER
};
enum { MEMBERS = sizeof members / sizeof *members };

int attributes_read(const call *c, pgq_attributes *a)
{
    pgq_attributes none = PGQ_ATTRIBUTES_INIT;
    int n = 0;
    *a = none;
    for (size_t i = 0; i < MEMBERS; i++) {
        const given *g = &c->opt[members[i].option];
        char *at = (char *)a + members[i].offset;
        int32_t narrow = (int32_t)g->number;
        int plain = (int)g->number;
        if (!g->set)
            continue;
        n++;
        if (members[i].type == MEMBER_DOUBLE)
            memcpy(at, &g->real, sizeof g->real);
        else if (members[i].type == MEMBER_INT64)
            memcpy(at, &g->number, sizeof g->number);
        else if (members[i].type == MEMBER_INT32)
            memcpy(at, &narrow, sizeof narrow);
        else
            memcpy(at, &plain, sizeof plain);
    }
    return n;
}

static bool same(const char *text, size_t len, const char *name)
{
    if (strlen(name) != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((text[i] == '_' ? '-' : text[i]) != name[i])
            return false;
    }
    return true;
}

bool attributes_unset(const call *c, unsigned *unset)
{
    *unset = 0;
    for (const char *p = c->opt[O_UNSET].text; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        size_t len = strcspn(p, ","), i = 0;
        while (i < MEMBERS && !same(p, len, options[members[i].option].name))
            i++;
        if (i == MEMBERS) {
            say_usage(
                "--unset \"%.*s\" is not allowed: the names of attributes are, such as lease or error-limit",
                (int)len, p);
            return false;
        }
        *unset |= (unsigned)members[i].bit;
    }
    return true;
}

static void add(row *r, size_t i, const char *at)
{
    int64_t wide;
    int32_t narrow;
    int plain;
    double real;
    switch (members[i].type) {
    case MEMBER_DOUBLE:
        memcpy(&real, at, sizeof real);
        row_real(r, members[i].name, real);
        return;
    case MEMBER_INT64:
        memcpy(&wide, at, sizeof wide);
        break;
    case MEMBER_INT32:
        memcpy(&narrow, at, sizeof narrow);
        wide = narrow;
        break;
    default:
        memcpy(&plain, at, sizeof plain);
        wide = plain;
        break;
    }
    if (members[i].yes_no)
        row_bool(r, members[i].name, wide == 1);
    else if (wide == -1)
        row_null(r, members[i].name); /* none */
    else
        row_integer(r, members[i].name, wide);
}

void attributes_row(row *r, const pgq_queue_info *info, char own[256])
{
    size_t n = 0;
    own[0] = '\0';
    row_text(r, "queue", info->name);
    row_bool(r, "paused", info->paused);
    for (size_t i = 0; i < MEMBERS; i++) {
        add(r, i, (const char *)&info->attributes + members[i].offset);
        if (info->own & (unsigned)members[i].bit)
            n += (size_t)snprintf(own + n, 256 - n, "%s%s", n ? "," : "", options[members[i].option].name);
    }
    row_text(r, "own", own);
    row_time(r, "created", info->created);
    row_time(r, "modified", info->modified);
}
