/* SPDX-License-Identifier: MIT */
#include "values.h"

#include "json_value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool value_integer(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= min && *out <= max;
}

/* "1.5h": a number with at most three decimals, and a unit; none: seconds. */
static bool read_duration(const char *text, int64_t min, int64_t max, int64_t *ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");
    const char *p = text + digits;
    char whole[16];
    int64_t n, thousandths = 0;
    if (digits >= sizeof whole || digits == 0)
        return false;
    memcpy(whole, text, digits);
    whole[digits] = '\0';
    if (*p == '.') {
        int64_t place = 100;
        if (strspn(p + 1, "0123456789") == 0 || strspn(p + 1, "0123456789") > 3)
            return false;
        for (p++; *p >= '0' && *p <= '9'; p++, place /= 10)
            thousandths += (*p - '0') * place;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(p, units[i].name) != 0)
            continue;
        if (!value_integer(whole, 0, max / units[i].ms, &n) || thousandths * units[i].ms % 1000 != 0)
            return false;
        *ms = n * units[i].ms + thousandths * units[i].ms / 1000;
        return *ms >= min && *ms <= max;
    }
    return false;
}

static bool read_fraction(const char **p, int64_t *us)
{
    int64_t place = 100000;
    *us = 0;
    if (**p != '.')
        return true;
    if (strspn(*p + 1, "0123456789") == 0 || strspn(*p + 1, "0123456789") > 6)
        return false;
    for (++*p; **p >= '0' && **p <= '9'; ++*p, place /= 10)
        *us += (**p - '0') * place;
    return true;
}

/* "2026-11-21T10:00:00.5Z", a blank for the T, an offset such as +02:00 for the Z. */
static bool read_time(const char *text, int64_t *out)
{
    struct tm tm = {0}, back;
    int64_t us;
    int hours, minutes, used = 0, offset = 0;
    const char *p = text;
    char between;
    if (strspn(text, "0123456789") != 4 ||
        sscanf(text, "%4d-%2d-%2d%c%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &between,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 7 ||
        used != 19 || (between != 'T' && between != ' '))
        return false;
    p += used;
    if (!read_fraction(&p, &us))
        return false;
    if (*p == '+' || *p == '-') {
        if (sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || used != 5 || hours > 15 ||
            minutes > 59 || hours < 0 || minutes < 0)
            return false;
        offset = (*p == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
        p += 6;
    } else if (*p++ != 'Z') {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    back = tm;
    time_t seconds = timegm(&back);
    /* What was no date has been made one. */
    if (*p != '\0' || back.tm_mday != tm.tm_mday || back.tm_mon != tm.tm_mon || back.tm_hour != tm.tm_hour ||
        back.tm_min != tm.tm_min || back.tm_sec != tm.tm_sec)
        return false;
    *out = ((int64_t)seconds - offset) * 1000000 + us;
    return *out > 0;
}

static bool is_word(const char *text, const char *words)
{
    size_t len = strlen(text);
    for (const char *p = words; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
        if (len > 0 && strncmp(p, text, len) == 0 && (p[len] == '|' || p[len] == '\0'))
            return true;
    }
    return false;
}

static bool is_object(const char *text)
{
    struct json_object *o;
    char why[256];
    bool is =
        json_read(text, strlen(text), &o, NULL, why) == JSON_GOOD && json_object_is_type(o, json_type_object);
    json_object_put(o);
    return is;
}

/* What is allowed, in words. */
static void allowed(const option *o, char why[256])
{
    const char *none = o->none ? ", or none," : "";
    const char *are = o->none ? "is" : "are";
    switch (o->type) {
    case TYPE_INTEGER:
        snprintf(why, 256, "%lld to %lld%s %s", (long long)o->min, (long long)o->max, none, are);
        break;
    case TYPE_REAL:
        snprintf(why, 256, "%lld to %lld are, with decimals", (long long)o->min, (long long)o->max);
        break;
    case TYPE_DURATION:
        snprintf(why, 256, "%s to %lld seconds%s %s: 30, 1.5, 500ms, 10s, 5m, 2h, 7d",
                 o->min == 0 ? "0" : "some ms", (long long)o->max / 1000, none, are);
        break;
    case TYPE_TIME:
        snprintf(why, 256, "a time such as 2026-11-21T10:00:00Z or 2026-11-21T10:00:00.5+02:00 is");
        break;
    case TYPE_WORD:
        snprintf(why, 256, "%s are", o->words);
        break;
    case TYPE_JSON:
        snprintf(why, 256, "a JSON object is");
        break;
    case TYPE_YES_NO:
        snprintf(why, 256, "yes and no are");
        break;
    default:
        snprintf(why, 256, "it takes no value");
        break;
    }
}

static bool read_as(const option *o, const char *text, given *out)
{
    char *end;
    if (o->none && strcmp(text, "none") == 0) {
        out->number = -1;
        return true;
    }
    switch (o->type) {
    case TYPE_INTEGER:
        return value_integer(text, o->min, o->max, &out->number);
    case TYPE_REAL:
        errno = 0;
        out->real = strtod(text, &end);
        return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && isfinite(out->real) &&
               out->real >= (double)o->min && out->real <= (double)o->max;
    case TYPE_DURATION:
        return read_duration(text, o->min, o->max, &out->number);
    case TYPE_TIME:
        return read_time(text, &out->number);
    case TYPE_WORD:
        return is_word(text, o->words);
    case TYPE_JSON:
        return is_object(text);
    case TYPE_YES_NO:
        out->number = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
        return out->number == 1 || strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
    case TYPE_FLAG:
        return false;
    case TYPE_TEXT:
    case TYPE_FILE:
        break;
    }
    return true;
}

bool value_read(option_id id, const char *text, given *out, char why[256])
{
    const option *o = &options[id];
    *out = (given){.set = true, .text = text};
    if (!text) {
        out->number = 1;
        return true;
    }
    if (read_as(o, text, out))
        return true;
    *out = (given){0};
    allowed(o, why);
    return false;
}
