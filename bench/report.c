/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "cases.h"
#include "server.h"

#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static json_object *root;

/* As many digits as were measured. */
static void put(json_object *to, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", value);
    if (!isfinite(value))
        json_object_object_add(to, key, NULL);
    else
        json_object_object_add(to, key, json_object_new_double_s(value, text));
}

void report_begin(const bench *b)
{
    const char *server = PQparameterStatus(b->control, "server_version");
    const char *of = b->o.of ? b->o.of->name : "";
    char with[32] = "";
    if (b->o.batch > 1)
        snprintf(with, sizeof with, ", batches of %d", b->o.batch);
    if (!b->o.json) {
        printf("%s%s%s: %d client%s, %d bytes%s, %g s; pgq %s, PostgreSQL %s\n", b->o.what->name,
               *of ? " " : "", of, b->o.clients, b->o.clients == 1 ? "" : "s", b->o.payload, with,
               b->o.seconds, pgq_version_string(), server ? server : "?");
        return;
    }
    root = json_object_new_object();
    json_object_object_add(root, "case", json_object_new_string(b->o.what->name));
    if (*of)
        json_object_object_add(root, "of", json_object_new_string(of));
    json_object_object_add(root, "clients", json_object_new_int(b->o.clients));
    json_object_object_add(root, "payload", json_object_new_int(b->o.payload));
    json_object_object_add(root, "batch", json_object_new_int(b->o.batch));
    put(root, "seconds", b->o.seconds);
    json_object_object_add(root, "pgq", json_object_new_string(pgq_version_string()));
    json_object_object_add(root, "server", json_object_new_string(server ? server : ""));
}

static void side_text(const side *s)
{
    printf("  %-8s %10.0f messages/s", s->label, s->rate);
    if (s->latency && s->latency->count > 0)
        printf("; a call p50 %.3f, p95 %.3f, p99 %.3f ms", hist_percentile(s->latency, 0.5) / 1e6,
               hist_percentile(s->latency, 0.95) / 1e6, hist_percentile(s->latency, 0.99) / 1e6);
    printf("\n");
    if (s->wal < 0 && s->trips < 0 && s->cpu_us < 0)
        return;
    const char *comma = "";
    printf("           a message:");
    if (s->wal >= 0) {
        printf(" WAL %.0f bytes (%s)", s->wal, wal_how());
        comma = ",";
    }
    if (s->wal_send >= 0)
        printf(" and %.0f to send it", s->wal_send);
    if (s->trips >= 0) {
        printf("%s round trips %.3g", comma, s->trips);
        comma = ",";
    }
    if (s->cpu_us >= 0)
        printf("%s server CPU %.1f us", comma, s->cpu_us);
    printf("\n");
}

static void put_if(json_object *to, const char *key, double value)
{
    if (value >= 0)
        put(to, key, value);
}

void report_side(const bench *b, const side *s)
{
    if (!b->o.json) {
        side_text(s);
        return;
    }
    json_object *o = json_object_new_object();
    put(o, "rate", s->rate);
    json_object_object_add(o, "messages", json_object_new_int64(s->messages));
    if (s->latency && s->latency->count > 0) {
        put(o, "p50_us", hist_percentile(s->latency, 0.5) / 1e3);
        put(o, "p95_us", hist_percentile(s->latency, 0.95) / 1e3);
        put(o, "p99_us", hist_percentile(s->latency, 0.99) / 1e3);
        put(o, "mean_us", hist_mean(s->latency) / 1e3);
    }
    put_if(o, "wal_bytes", s->wal);
    if (s->wal >= 0)
        json_object_object_add(o, "wal_how", json_object_new_string(wal_how()));
    put_if(o, "wal_send_bytes", s->wal_send);
    put_if(o, "round_trips", s->trips);
    put_if(o, "server_cpu_us", s->cpu_us);
    json_object *sides = NULL;
    if (!json_object_object_get_ex(root, "sides", &sides)) {
        sides = json_object_new_object();
        json_object_object_add(root, "sides", sides);
    }
    json_object_object_add(sides, s->label, o);
}

void report_spread(const bench *b, double least, double median, double most, int pairs)
{
    if (!b->o.json) {
        printf("  ratios of %d pairs of slices: %.3f to %.3f, median %.3f\n", pairs, least, most, median);
        return;
    }
    json_object *o = json_object_new_object();
    put(o, "min", least);
    put(o, "median", median);
    put(o, "max", most);
    json_object_object_add(o, "count", json_object_new_int(pairs));
    json_object_object_add(root, "pairs", o);
}

void report_number(const bench *b, const char *key, double value, const char *format, ...)
{
    if (b->o.json) {
        put(root, key, value);
        return;
    }
    va_list args;
    va_start(args, format);
    printf("  ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

void report_step(const bench *b, const char *list, const char *what, double at, double rate,
                 const char *beside, double other)
{
    if (!b->o.json) {
        printf("  %10g %-10s %10.0f messages/s", at, what, rate);
        if (beside)
            printf("; %s %10.0f", beside, other);
        printf("\n");
        return;
    }
    json_object *array = NULL;
    if (!json_object_object_get_ex(root, list, &array)) {
        array = json_object_new_array();
        json_object_object_add(root, list, array);
    }
    json_object *o = json_object_new_object();
    put(o, what, at);
    put(o, "rate", rate);
    if (beside)
        put(o, beside, other);
    json_object_array_add(array, o);
}

void report_ratio(const bench *b, double ratio)
{
    if (!b->o.json) {
        printf("ratio %.3f\n", ratio);
        return;
    }
    put(root, "ratio", ratio);
    printf("%s\n", json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN));
    json_object_put(root);
    root = NULL;
}
