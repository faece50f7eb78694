/* SPDX-License-Identifier: MIT */
/* The same fields in each format, read back and compared; payloads of every sort; tables on a terminal. */
#include "cli_harness.h"

#include <json-c/json.h>
#include <stdio.h>
#include <sys/stat.h>

static bool have_yaml, have_prometheus;

/* What a field of the plain format stands for. */
static char *unescaped(const char *p, size_t len)
{
    char *text = calloc(1, len + 1);
    char *to = text;
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        char c = p[i];
        if (c == '\\' && p[i + 1] == 'x') {
            char hex[3] = {p[i + 2], p[i + 3], '\0'};
            c = (char)strtol(hex, NULL, 16);
            i += 3;
        } else if (c == '\\') {
            c = p[i + 1] == 't' ? '\t' : p[i + 1] == 'n' ? '\n' : p[i + 1] == 'r' ? '\r' : p[i + 1];
            i++;
        }
        *to++ = c;
    }
    *to = '\0';
    return text;
}

static void same_as_plain(const char *name, struct json_object *value, const char *p, size_t len)
{
    char *text = unescaped(p, len);
    struct json_object *parsed;
    switch (json_object_get_type(value)) {
    case json_type_null:
        if (strcmp(name, "payload") != 0)
            assert_true(len == 2 && strncmp(p, "\\N", 2) == 0);
        else
            assert_string_equal(text, "null");
        break;
    case json_type_string:
        if (strcmp(name, "encoding") == 0 && strcmp(text, "binary") == 0)
            assert_string_equal(json_object_get_string(value), "base64");
        else if (strcmp(text, json_object_get_string(value)) != 0 && *text != '"')
            fail_msg("%s: plain \"%s\", JSON \"%s\"", name, text, json_object_get_string(value));
        break;
    default:
        parsed = json_tokener_parse(text);
        if (!json_object_equal(parsed, value))
            fail_msg("%s: plain %s, JSON %s", name, text, json_object_to_json_string(value));
        json_object_put(parsed);
        break;
    }
    free(text);
}

/* The rows of a line of shell: as JSON, as YAML, and as plain text. binary: the last field is bytes. */
static int compare(cli *t, const char *line, bool binary)
{
    int rows = 0;
    cli_run(t, "%s --format plain", line);
    assert_int_equal(t->status, 0);
    char *plain = malloc(t->out_len + 1), *at = plain;
    assert_non_null(plain);
    memcpy(plain, t->out, t->out_len + 1);
    cli_run(t, "%s --format yaml >>$T/all.yaml", line);
    assert_int_equal(t->status, 0);
    cli_run(t, "%s --format json | tee -a $T/all.json", line);
    assert_int_equal(t->status, 0);
    for (char *json = t->out, *end; (end = strchr(json, '\n')) != NULL; json = end + 1, rows++) {
        *end = '\0';
        struct json_object *o = json_tokener_parse(json);
        if (!o)
            fail_msg("this is not JSON: %.2000s", json);
        size_t fields = (size_t)json_object_object_length(o), n = 0;
        json_object_object_foreach(o, name, value)
        {
            char *stop = strchr(at, ++n == fields ? '\n' : '\t');
            if (binary && n == fields)
                break;
            if (!stop)
                fail_msg("%s: plain has not as many fields as JSON", line);
            same_as_plain(name, value, at, (size_t)(stop - at));
            at = stop + 1;
        }
        json_object_put(o);
    }
    if (!binary && *at != '\0')
        fail_msg("%s: plain has more than JSON: %.2000s", line, at);
    free(plain);
    return rows;
}

/* All the YAML that compare() had, one list, against its JSON: by a real parser. */
static void compare_yaml(cli *t)
{
    int rows = 0;
    if (!have_yaml)
        return;
    cli_run(t, "/usr/bin/python3 -c 'import json, sys, yaml\n"
               "for row in yaml.safe_load(open(sys.argv[1], \"rb\")): print(json.dumps(row))' $T/all.yaml");
    if (t->status != 0)
        fail_msg("the YAML cannot be read: %.2000s", t->err);
    char *json = cli_slurp(t, "all.json", NULL), *at = json;
    for (char *yaml = t->out, *end; (end = strchr(yaml, '\n')) != NULL; yaml = end + 1, rows++) {
        char *stop = strchr(at, '\n');
        *end = '\0';
        assert_non_null(stop);
        *stop = '\0';
        struct json_object *a = json_tokener_parse(at), *b = json_tokener_parse(yaml);
        if (!json_object_equal(a, b))
            fail_msg("JSON %.2000s, YAML %.2000s", at, yaml);
        json_object_put(a);
        json_object_put(b);
        at = stop + 1;
    }
    assert_true(rows > 0 && *at == '\0');
    free(json);
}

static int64_t send_as(cli *t, pgq_kind kind, const char *payload, size_t len)
{
    pgq_enqueue_options o = PGQ_ENQUEUE_OPTIONS_INIT;
    int64_t id;
    o.kind = kind;
    o.headers = "{\"to\": \"a@b\", \"n\": [1, 2.50, {\"x\\ty\": null}]}";
    o.order_key = kind == PGQ_TEXT ? NULL : "k: #1";
    o.ttl_ms = 3600000;
    if (pgq_enqueue(t->q, "q", payload, len, &o, &id) != PGQ_OK)
        fail_msg("%s", pgq_last_error(t->q)->message);
    return id;
}

static void every_payload_in_every_format(void **state)
{
    cli *t = *state;
    static const struct {
        pgq_kind kind;
        const char *data;
        size_t len; /* 0: of the string */
    } payloads[] = {
        {PGQ_TEXT, "", 0},
        {PGQ_TEXT, "plain", 0},
        {PGQ_TEXT, "tab\t line\n return\r back\\slash \\N \\", 0},
        {PGQ_TEXT, "- \"quoted\" 'single' # : {a: b} [x] & * ! | > % @ ` ~ null", 0},
        {PGQ_TEXT,
         "\xc3\xbc \xe6\xbc\xa2 \xf0\x9f\x98\x80 \xe2\x80\xa8 \xef\xbb\xbf \xc2\x85 \xc2\x9b \xef\xbf\xbd",
         0},
        {PGQ_TEXT, "\x01\x07\x1b[31m\x7f", 0},
        {PGQ_TEXT, "null", 0},
        {PGQ_JSON, "null", 0},
        {PGQ_JSON, "true", 0},
        {PGQ_JSON, "17", 0},
        {PGQ_JSON, "\"s\\/ \\ud83d\\ude00 \\u0041 \\b\\f\\n\\r\\t \\u2028\"", 0},
        {PGQ_JSON, "{\"a\" : [1, 2.50, 1e2, -1E-2, 1.5E3, true, null, {}, []],\n\t\"k:\": \"v\"}", 0},
        {PGQ_JSON, "[1,[2,[3,{\"deep\":[\"\"]}]],\"x,y:z\"]", 0},
        {PGQ_BINARY, "", 0},
        {PGQ_BINARY, "\0", 1},
        {PGQ_BINARY, "\xff\xfe\n\t\0\\x", 7},
        {PGQ_BINARY, "text", 0},
    };
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        char line[64];
        size_t len = payloads[i].len ? payloads[i].len : strlen(payloads[i].data);
        int64_t id = send_as(t, payloads[i].kind, payloads[i].data, len);
        snprintf(line, sizeof line, "pgq get %lld", (long long)id);
        assert_int_equal(compare(t, line, payloads[i].kind == PGQ_BINARY), 1);
        cli_run(t, "%s --raw", line);
        assert_int_equal(t->out_len, len);
        assert_memory_equal(t->out, payloads[i].data, len);
        /* Bytes are in plain as they are. */
        if (payloads[i].kind == PGQ_BINARY) {
            cli_run(t, "%s --fields payload_size,payload --format plain", line);
            size_t at = (size_t)(strchr(t->out, '\t') + 1 - t->out);
            assert_int_equal(strtol(t->out, NULL, 10), len);
            assert_int_equal(t->out_len, at + len + 1);
            assert_memory_equal(t->out + at, payloads[i].data, len);
        }
    }
    compare_yaml(t);
}

/* A key that YAML must be told of. */
static void long_keys(void **state)
{
    cli *t = *state;
    char json[4096];
    snprintf(json, sizeof json, "{\"%02000d\": {\"%0300d\": 1}, \"b\": 2}", 7, 8);
    send_as(t, PGQ_JSON, json, strlen(json));
    assert_int_equal(compare(t, "pgq peek q", false), 1);
    compare_yaml(t);
}

static void every_row_in_every_format(void **state)
{
    static const struct {
        const char *line;
        int rows;
    } rows[] = {
        {"pgq view --fields queue,ready,delayed,dead,paused,exact,sent_rate", 2},
        {"pgq view --attributes", 2},
        {"pgq view --names", 2},
        {"pgq stats --fields queue,sent_total,ready_estimate,exact,paused", 2},
        {"pgq list q --state dead", 2},
        {"pgq dead list q", 2},
        {"pgq watch -n 2 --fields queue,event,sent,received,ready,dead,paused", 2},
        {"pgq topic list --fields topic,messages,oldest,newest,retain_ms,max_messages,own_log,bytes,"
         "subscribers,queues",
         2},
        {"pgq topic subscribers --fields topic,subscriber,behind,hold_ms,commits,committed,created,position",
         1},
        {"pgq topic subscribe news --from oldest --timeout 0", 3},
        {"pgq topic latest news", 1},
        {"pgq topic create news2 --if-not-exists", 1},
        {"pgq topic set --common --retain 5m", 1},
        {"pgq install", 1},
        {"pgq create 'odd: \"x\" #' --if-not-exists", 1},
        {"pgq set q -p 5 --retry-jitter 0.1", 1},
        {"pgq enqueue q x --dedup-key k", 1},
        {"pgq pause q", 1},
        {"pgq purge q -y --fields queue,in_flight", 1},
        {"pgq clean", 1},
        {"pgq dead requeue q --all --target 'odd: \"x\" #' --fields queue", 1},
    };
    cli *t = *state;
    cli_run(
        t,
        "pgq create 'odd: \"x\" #' -q; printf 'a\\nb\\n' | pgq enqueue q --lines -q;"
        "pgq receive q -n 2 --fields receipt --format plain | pgq nack - --requeue=no --error "
        "$'a\\tb\\n\"' -q;"
        "pgq set q --retry-factor 1.25 --retry-jitter 0.1 --error-limit 3 -q; pgq enqueue q x "
        "--dedup-key k -q;"
        "pgq topic publish news $'a\\tb' --headers '{\"n\": 1.50}' -q; pgq topic publish news '{\"a\": [1]}' "
        "--kind json -q;"
        "pgq topic publish news '' -q; pgq topic subscribe news --as 'me: \"x\"' --from oldest -n 1 "
        "--hold 1h -q >/dev/null;"
        "pgq topic create news2 -q; pgq topic bind news2 'odd: \"x\" #' -q");
    assert_int_equal(t->status, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (compare(t, rows[i].line, false) != rows[i].rows)
            fail_msg("%s: not %d rows", rows[i].line, rows[i].rows);
    }
    compare_yaml(t);
}

/* By the parser of the Prometheus project's own client: each sample against the JSON, and no sample besides.
 */
static void prometheus_is_read_back(void **state)
{
    cli *t = *state;
    cli_run(t, "pgq create 'a\"b\\c' $'\xc3\xbc {x=\"1\"} #' idle -q; pgq pause idle -q; seq 5 | pgq enqueue "
               "q --lines -q;"
               "pgq enqueue 'a\"b\\c' x --delay 1h -q; pgq receive q -n 2 -q >/dev/null;"
               "pgq receive q --fields receipt --format plain | pgq nack - --requeue=no -q;"
               "pgq stats --format json >$T/stats.json && pgq stats --format prometheus >$T/stats.prom");
    assert_int_equal(t->status, 0);
    if (!have_prometheus)
        return;
    cli_run(t, "/usr/bin/python3 - $PGQ_NAMESPACE <<'END'\n"
               "import json, os, sys\n"
               "from prometheus_client.parser import text_string_to_metric_families as parse\n"
               "directory = os.environ['T']\n"
               "got = {}\n"
               "for family in parse(open(directory + '/stats.prom', encoding='utf-8').read()):\n"
               "    assert family.documentation and family.type in ('counter', 'gauge'), family\n"
               "    for s in family.samples:\n"
               "        assert s.labels.pop('namespace') == sys.argv[1], s\n"
               "        key = (s.name, s.labels.pop('queue'), s.labels.pop('state', None))\n"
               "        assert not s.labels and key not in got, s\n"
               "        got[key] = (family.type, s.value)\n"
               "rows = [json.loads(line) for line in open(directory + '/stats.json', encoding='utf-8')]\n"
               "assert len(rows) == 4, rows\n"
               "for row in rows:\n"
               "    q = row['queue']\n"
               "    want = {('pgq_' + n + '_messages_total', q, None): ('counter', row[n + '_total']) for n "
               "in ('sent', "
               "'received')}\n"
               "    for state in ('ready', 'delayed', 'blocked', 'in_flight', 'dead'):\n"
               "        want['pgq_messages', q, state] = ('gauge', row[state + '_estimate'])\n"
               "    want['pgq_queue_paused', q, None] = ('gauge', row['paused'])\n"
               "    want['pgq_messages_exact', q, None] = ('gauge', row['exact'])\n"
               "    for key, value in want.items():\n"
               "        assert got.pop(key) == value, (key, value)\n"
               "    age = got.pop(('pgq_oldest_ready_seconds', q, None), None)\n"
               "    assert (age is None) == (row['oldest_ready_ms'] is None), row\n"
               "    assert age is None or 0 <= age[1] - row['oldest_ready_ms'] / 1000 < 60, (age, row)\n"
               "assert not got, got\n"
               "END");
    if (t->status != 0)
        fail_msg("the text for Prometheus is not what the JSON says: %.2000s", t->err);
}

static void text_is_checked_and_bytes_are_not(void **state)
{
    static const cli_step steps[] = {
        {"printf 'a\\xff' | pgq enqueue q", 2, NULL,
         "a text payload must be valid UTF-8 without a zero byte"},
        {"printf 'a\\0b' | pgq enqueue q", 2, NULL, "a text payload must be valid UTF-8 without a zero byte"},
        {"printf '\\xed\\xa0\\x80' | pgq enqueue q", 2, NULL, "a text payload must be valid UTF-8"},
        {"printf '\\xff\\0\\n' | pgq enqueue q --kind binary -q; pgq pop q --fields payload", 0,
         "={\"payload\":\"/wAK\"}", NULL},
        {"printf 'a\\n\\nb\\n' | pgq enqueue q -q; pgq pop q --fields payload", 0,
         "={\"payload\":\"a\\n\\nb\\n\"}", NULL},
        {"pgq enqueue q '' -q; pgq pop q --fields payload,payload_size", 0,
         "={\"payload\":\"\",\"payload_size\":0}", NULL},
    };
    CLI_STEPS(*state, steps);
}

/* PGQ_TEST_PAYLOAD_MB: how large. */
static void large_payload(void **state)
{
    cli *t = *state;
    const char *mb = getenv("PGQ_TEST_PAYLOAD_MB");
    cli_run(t,
            "pgq set q --max-size none -q; head -c %s000000 /dev/urandom >$T/large;"
            "pgq enqueue q --kind binary --file $T/large -q && id=$(pgq peek q --fields id) &&"
            "pgq get $id --raw | cmp - $T/large &&"
            "pgq pop q | sed 's/.*\"payload\":\"//; s/\"}$//' | base64 -d | cmp - $T/large",
            mb ? mb : "2");
    if (t->status != 0)
        fail_msg("%.2000s", t->err);
}

/* --- a terminal --- */

static void tables(void **state)
{
    cli *t = *state;
    cli_run(t, "pgq enqueue q $'evil\\033[31m and a text that is longer than any line of eighty columns has "
               "room for, and on' -q");
    cli_terminal(t, 80, "pgq view", NULL, NULL);
    assert_non_null(strstr(
        t->out, "\033[1mqueue  ready  delayed  blocked  in_flight  dead  oldest_ready_ms  paused\033[m\r\n"));
    assert_non_null(strstr(t->out, "\r\nq          1        0        0          0     0"));
    cli_terminal(t, 80, "pgq peek q", NULL, NULL);
    assert_null(strstr(t->out, "\033[31m"));
    for (char *line = t->out, *end; (end = strstr(line, "\r\n")) != NULL; line = end + 2)
        assert_true(end - line <= 80 + 7);
    cli_terminal(t, 200, "NO_COLOR=1 pgq peek q", NULL, NULL);
    assert_null(strchr(t->out, '\033'));
    assert_non_null(strstr(t->out, "evil\\x1b[31m and a text"));
    cli_terminal(t, 80, "pgq get $(pgq peek q --fields id --format plain)", NULL, NULL);
    assert_non_null(strstr(t->out, "\033[1mstate         \033[m  ready\r\n"));
    assert_non_null(strstr(t->out, "payload_size"));
    cli_terminal(t, 80, "pgq peek nowhere", NULL, NULL);
    assert_int_equal(t->status, 3);
    assert_non_null(strstr(t->out, "\033[31mpgq:\033[m queue \"nowhere\" does not exist"));
    cli_terminal(t, 80, "pgq list q --state dead", NULL, NULL);
    assert_int_equal(t->status, 3);
    assert_string_equal(t->out, "pgq: nothing there\r\n");
}

static void questions(void **state)
{
    cli *t = *state;
    cli_run(t, "pgq enqueue q x -q");
    cli_terminal(t, 80, "pgq purge q", "[y/N] ", "\n");
    assert_int_equal(t->status, 1);
    assert_non_null(
        strstr(t->out, "delete all messages of the queue \"q\" for good? This cannot be undone."));
    assert_non_null(strstr(t->out, "nothing was done"));
    assert_int_equal(cli_counts(t, "q").ready, 1);
    cli_terminal(t, 80, "pgq purge q", "[y/N] ", "y\n");
    assert_int_equal(t->status, 0);
    assert_int_equal(cli_counts(t, "q").ready, 0);
}

static void progress(void **state)
{
    cli *t = *state;
    pid_t quiet = cli_start(t, "(echo 1; sleep 1.2; echo 2) | pgq enqueue q --lines");
    cli_terminal(t, 80, "(echo 1; sleep 1.2; echo 2) | pgq enqueue q --lines", NULL, NULL);
    assert_int_equal(t->status, 0);
    assert_non_null(strstr(t->out, "\r\033[Kpgq: sending: 2, "));
    assert_int_equal(cli_wait(quiet), 0);
    char *err = cli_slurp(t, "bg.err", NULL);
    assert_string_equal(err, "");
    free(err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cli_setup, cli_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_payload_in_every_format),
        TEST(long_keys),
        TEST(every_row_in_every_format),
        TEST(prometheus_is_read_back),
        TEST(text_is_checked_and_bytes_are_not),
        TEST(large_payload),
        TEST(tables),
        TEST(questions),
        TEST(progress),
    };
    cli_need_server();
    have_yaml = system("/usr/bin/python3 -c 'import yaml' 2>/dev/null") == 0;
    have_prometheus = system("/usr/bin/python3 -c 'import prometheus_client' 2>/dev/null") == 0;
    if (!have_prometheus)
        fprintf(stderr,
                "the system's python3 with prometheus_client is not here: its text is not read back\n");
    if (!have_yaml)
        fprintf(stderr, "the system's python3 with its yaml is not here: YAML is not read back\n");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
