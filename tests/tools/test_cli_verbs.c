/* SPDX-License-Identifier: MIT */
/* Each verb of pgq: when all is well, when there is nothing, with bad input, and when it fails. */
#include "cli_harness.h"

#include <stdio.h>

static void namespaces(void **state)
{
    static const cli_step steps[] = {
        {"pgq install", 0, "\tunchanged\n", NULL},
        {"pgq upgrade --fields result", 0, "=unchanged", NULL},
        {"export PGQ_NAMESPACE=${PGQ_NAMESPACE}_b; pgq upgrade", 1, NULL, "run \"pgq install\""},
        {"export PGQ_NAMESPACE=${PGQ_NAMESPACE}_b; pgq view", 1, NULL,
         "_b\" does not exist: run \"pgq install\""},
        {"export PGQ_NAMESPACE=${PGQ_NAMESPACE}_b; pgq install --fields result", 0, "=installed", NULL},
        {"pgq -n ${PGQ_NAMESPACE}_b view", 3, NULL, NULL},
        {"pgq view --namespace ${PGQ_NAMESPACE}_b --format yaml", 3, "=[]", NULL},
        {"export PGQ_NAMESPACE=${PGQ_NAMESPACE}_b; pgq drop", 2, NULL, "drop would drop the namespace"},
        {"export PGQ_NAMESPACE=${PGQ_NAMESPACE}_b; pgq drop --yes --fields result", 0, "=dropped", NULL},
        {"export PGQ_NAMESPACE=${PGQ_NAMESPACE}_b; pgq drop -y", 1, NULL, "run \"pgq install\""},
        {"export PGQ_NAMESPACE=; echo 'namespace = nowhere_at_all' >>$T/pgq/config; pgq view", 1, NULL,
         "nowhere_at_all"},
        {"pgq -q install", 0, NULL, NULL},
        {"psql -qX \"$PGQ_TEST_DSN\" -c \"CREATE ROLE ${PGQ_NAMESPACE}_r\"; pgq grant producer "
         "${PGQ_NAMESPACE}_r "
         "--fields part,result",
         0, "=producer\tgranted", NULL},
        {"export PGOPTIONS=\"-c role=${PGQ_NAMESPACE}_r\"; pgq enqueue q x -q; pgq pop q", 1, NULL,
         "see ROLES in pgq(1)"},
        {"pgq grant consumer ${PGQ_NAMESPACE}_r -q; export PGOPTIONS=\"-c role=${PGQ_NAMESPACE}_r\"; pgq pop "
         "q --raw",
         0, "=x", NULL},
        {"export PGOPTIONS=\"-c role=${PGQ_NAMESPACE}_r\"; pgq grant consumer ${PGQ_NAMESPACE}_r", 1, NULL,
         "see ROLES in pgq(1)"},
        {"export PGOPTIONS=\"-c role=${PGQ_NAMESPACE}_r\"; pgq shutdown", 1, NULL, "see ROLES in pgq(1)"},
        {"pgq grant monitor ${PGQ_NAMESPACE}_r --fields part,result", 0, "=monitor\tgranted", NULL},
        {"pgq revoke ${PGQ_NAMESPACE}_r nobody --fields result", 3, "=revoked",
         "role \"nobody\" was granted nothing"},
        {"pgq revoke ''", 2, NULL, "role"},
        {"psql -qX \"$PGQ_TEST_DSN\" -c \"DROP ROLE "
         "${PGQ_NAMESPACE}_r\"; "
         "pgq grant consumer ${PGQ_NAMESPACE}_r",
         1, NULL, "does not exist"},
        {"pgq grant producer ''", 2, NULL, "role"},
        {"pgq enqueue q x -q; pgq reset", 2, NULL,
         "reset would delete every queue and message of the namespace"},
        {"pgq reset --yes --fields result", 0, "=reset", NULL},
        {"pgq view", 3, NULL, NULL},
        {"pgq -n information_schema install", 2, NULL, "information_schema"},
        {"psql -qX \"$PGQ_TEST_DSN\" -c \"CREATE OR REPLACE FUNCTION $PGQ_NAMESPACE.version() RETURNS "
         "integer LANGUAGE sql "
         "AS 'SELECT 99'\" -c \"INSERT INTO $PGQ_NAMESPACE.migration (version, name) VALUES (99, 'x')\"; pgq "
         "install",
         1, NULL, "run \"pgq upgrade\"; if this pgq is the older one, install a newer pgq"},
    };
    CLI_STEPS(*state, steps);
}

static void queues(void **state)
{
    static const cli_step steps[] = {
        {"pgq create a 'b c' --lease 5m --error-limit=3 --ttl none", 0, "a\tcreated\nb c\tcreated\n", NULL},
        {"pgq create a", 1, NULL, "\"a\" exists already"},
        {"pgq create a --if-not-exists", 0, "=a\texists", NULL},
        {"pgq create ' a'", 2, NULL, "blank"},
        {"pgq create -q d", 0, NULL, NULL},
        {"pgq view -n", 0, "=a\nb c\nd\nq", NULL},
        {"pgq view -a a --fields lease_ms,error_limit,ttl_ms,priority,own", 0,
         "=300000\t3\t\\N\t999\tlease,error-limit,ttl", NULL},
        {"pgq set a --unset lease,error_limit -p 5 --retry-factor 1.5 --requeue=no", 0, "=a\tchanged", NULL},
        {"pgq view -a a --fields lease_ms,error_limit,priority,retry_factor,requeue,own", 0,
         "=30000\t\\N\t5\t1.5\tfalse\tpriority,requeue,ttl,retry-factor", NULL},
        {"pgq set a", 2, NULL, "set needs an attribute to change"},
        {"pgq set", 2, NULL, "set needs a QUEUE, or --defaults"},
        {"pgq set nowhere -p 1", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq set a --unset colour", 2, NULL,
         "--unset \"colour\" is not allowed: the names of attributes are"},
        {"pgq set a -p 1 --auto-create", 2, NULL,
         "--auto-create is the namespace's: give --defaults with it"},
        {"pgq set a --defaults -p 1", 2, NULL, "--defaults is not allowed with \"a\""},
        {"pgq set --defaults --auto-create --max-size 100 --drop-dead", 0, "=\\N\tchanged", NULL},
        {"pgq enqueue made x --fields queue,result", 0, "=made\tsent", NULL},
        {"pgq view -a made --fields max_size,drop_dead", 0, "=100\ttrue", NULL},
        {"pgq enqueue made $(seq -s 0 60)", 2, NULL, "see \"pgq set QUEUE --max-size\""},
        {"pgq set --defaults --auto-create=no --unset max-size,drop-dead", 0, "=\\N\tchanged", NULL},
        {"pgq enqueue unmade x", 3, NULL, "\"unmade\" does not exist"},
        {"pgq enqueue -f unmade x --fields result", 0, "=sent", NULL},
        {"pgq pause a d", 0, "a\tpaused\nd\tpaused\n", NULL},
        {"pgq pause a nowhere", 3, "=a\tpaused", "\"nowhere\" does not exist"},
        {"pgq enqueue a x -q; pgq receive a", 3, NULL, NULL},
        {"pgq view a --fields ready,paused", 0, "=1\ttrue", NULL},
        {"pgq resume a", 0, "=a\tresumed", NULL},
        {"pgq resume nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq receive a --fields payload --format plain", 0, "=x", NULL},
        {"pgq purge a", 2, NULL, "purge would delete all messages of the queue \"a\" for good: give --yes"},
        {"pgq enqueue a y -q; pgq purge a --yes", 0, "=a\t1\t1", NULL},
        {"pgq purge a -y", 0, "=a\t0\t0", NULL},
        {"pgq purge nowhere -y", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq clean", 0, "=\\N\t0\t0\t0\t0", NULL},
        {"pgq enqueue a z -q --delay 1ms; sleep 0.01; pgq clean a --fields queue,promoted", 0, "=a\t1", NULL},
        {"pgq clean nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq delete a d", 2, NULL,
         "delete would delete the queue \"a\" and 1 more with all that is in it: give --yes"},
        {"pgq delete -y a d", 0, "a\tdeleted\nd\tdeleted\n", NULL},
        {"pgq delete -y a", 3, NULL, "\"a\" does not exist"},
    };
    CLI_STEPS(*state, steps);
}

static void sending(void **state)
{
    static const cli_step steps[] = {
        {"pgq enqueue q one --fields id,queue,result", 0, "\tq\tsent\n", NULL},
        {"echo -n two | pgq enqueue q -", 0, "\tsent\n", NULL},
        {"echo -n three | pgq publish q", 0, "\tsent\n", NULL},
        {"echo -n four >$T/four; pgq enqueue q --file $T/four", 0, "\tsent\n", NULL},
        {"pgq enqueue q -- -5", 0, "\tsent\n", NULL},
        {"pgq pop q -n 9 --raw", 0, "=one\ntwo\nthree\nfour\n-5", NULL},
        {"pgq pop q", 3, NULL, NULL},
        {"pgq enqueue q x --file $T/four", 2, NULL,
         "--file is not allowed with a payload on the command line"},
        {"pgq enqueue q --file $T/none", 2, NULL, "/none: No such file or directory"},
        {"pgq enqueue q x --lines", 2, NULL, "a batch is read from stdin or --file: leave \"x\" away"},
        {"pgq enqueue q --lines --jsonl", 2, NULL, "only one of --lines, --null and --jsonl is allowed"},
        {"pgq enqueue q --batch 5", 2, NULL, "--batch needs --lines, --null or --jsonl"},
        {"pgq enqueue nowhere x", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq enqueue q '{' --kind json", 2, NULL, "JSON"},
        {"pgq enqueue q x --dedup-key k --dedup-window 1h --fields result", 0, "=sent", NULL},
        {"pgq enqueue q x --dedup-key k --fields result", 0, "=duplicate", NULL},
        {"pgq pop q -q --fields dedup_key --format plain", 0, "=k", NULL},
        {"pgq enqueue q x -p 3 --ttl 1h --headers '{\"a\": 1.50}' --order-key o --kind json 2>/dev/null", 2,
         NULL, NULL},
        {"pgq enqueue q '[1]' -p 3 --ttl 1h --headers '{\"a\": 1.50}' --order-key o --kind json -q; "
         "pgq peek q --fields priority,headers,order_key,kind,payload",
         0, "=3\t{\"a\": 1.50}\to\tjson\t[1]", NULL},
        {"pgq pop q -n 9 | wc -l", 0, "=1", NULL},
        {"D=$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%S); pgq enqueue q later --due $D.5Z -q;"
         "pgq enqueue q later --due $(date -u -d \"$D Z +2 hours 30 min\" +%Y-%m-%dT%H:%M:%S)+02:30 -q;"
         "pgq list q --state delayed --fields due | sed \"s/$D/D/\"",
         0, "=D.000000Z\nD.500000Z", NULL},
        {"pgq enqueue q later --due 2999-01-01T00:00:00Z", 2, NULL, "the due time is out of range"},
        {"printf 'a\\n\\nb' | pgq enqueue q --lines", 0, "=q\t3\t0", NULL},
        {"printf 'c\\nd\\0e' | pgq enqueue q -0 -p 5000", 0, "=q\t2\t0", NULL},
        {"printf '' | pgq enqueue q --lines", 0, "=q\t0\t0", NULL},
        {"pgq pop q --all --fields payload --format plain", 0, "a\n\nb\nc\\nd\ne\n", NULL},
        {"printf '%s\\n' '{\"payload\":\"x\",\"priority\":7,\"dedup_key\":\"j\"}' "
         "'{\"payload\":\"x\",\"dedup_key\":\"j\"}' "
         "'' '{\"payload\":{\"n\":1.50},\"headers\":{\"h\":\"v\"},\"order_key\":\"o\"}' "
         "'{\"payload\":\"AP8=\",\"encoding\":\"base64\"}' '{\"payload\":\"\",\"delay\":null}' | pgq enqueue "
         "q --jsonl -p 8",
         0, "=q\t4\t1", NULL},
        {"pgq pop q -n 9 --fields priority,kind,headers,order_key,payload --format json", 0,
         "{\"priority\":7,\"kind\":\"text\",\"headers\":null,\"order_key\":null,\"payload\":\"x\"}\n"
         "{\"priority\":8,\"kind\":\"json\",\"headers\":{\"h\":\"v\"},\"order_key\":\"o\",\"payload\":{\"n\":"
         "1.50}}\n"
         "{\"priority\":8,\"kind\":\"binary\",\"headers\":null,\"order_key\":null,\"payload\":\"AP8=\"}\n"
         "{\"priority\":8,\"kind\":\"text\",\"headers\":null,\"order_key\":null,\"payload\":\"\"}\n",
         NULL},
        {"printf '{\"payload\":\"good\"}\\n{\"payload\":1,\"colour\":2}\\n' | pgq enqueue q --jsonl", 2, NULL,
         "line 2 was not sent, nor any behind it: key \"colour\" is unknown"},
        {"pgq pop q --raw", 0, "=good", NULL},
        {"echo '{\"priority\":1}' | pgq enqueue q --jsonl", 2, NULL,
         "line 1 was not sent, nor any behind it: it has no payload"},
        {"echo '{\"payload\":\"x\",\"delay\":\"soon\"}' | pgq enqueue q --jsonl", 2, NULL,
         "delay soon is not allowed: "},
        {"echo '{\"payload\":\"x\",\"encoding\":\"base64\"}' | pgq enqueue q --jsonl", 2, NULL,
         "its payload is not base64"},
        {"echo '{\"payload\":\"x\",\"encoding\":\"hex\"}' | pgq enqueue q --jsonl", 2, NULL,
         "encoding \"hex\" is not allowed"},
        {"echo '[1]' | pgq enqueue q --jsonl", 2, NULL, "it is no object"},
        {"echo '{\"payload\":\"x\"} 5' | pgq enqueue q --jsonl", 2, NULL,
         "something stands behind the JSON value"},
        {"printf 'a\\nb\\n\\xff\\n' | pgq enqueue q --lines --batch 2", 2, NULL,
         "items 3 to 3 were not sent, those before were: message 1 of 1: a text payload must be valid UTF-8"},
        {"pgq pop q --all --raw", 0, "=a\nb", NULL},
        {"printf 'a\\n' | pgq enqueue nowhere --lines", 3, NULL, "\"nowhere\" does not exist"},
        {"printf 'a\\n' | pgq enqueue nowhere --lines -f", 0, "=nowhere\t1\t0", NULL},
    };
    CLI_STEPS(*state, steps);
}

static void taking(void **state)
{
    static const cli_step steps[] = {
        {"pgq receive q", 3, NULL, NULL},
        {"pgq receive q --timeout 10ms", 3, NULL, NULL},
        {"pgq receive nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq receive q -n 0", 2, NULL, "--count \"0\" is not allowed: 1 to 2147483647 are"},
        {"printf 'a\\nb\\nc\\nd\\n' | pgq enqueue q --lines -q", 0, NULL, NULL},
        {"pgq consume q -n 2 --lease 1h | tee $T/two | wc -l", 0, "=2", NULL},
        {"pgq get $(sed -n '1s/{\"id\":\\([0-9]*\\),.*/\\1/p' $T/two) --fields state,attempts,payload", 0,
         "=in_flight\t1\ta", NULL},
        {"sed 's/.*\"receipt\":\"\\([0-9:]*\\)\".*/\\1/' $T/two | pgq ack - --fields result", 0,
         "=done\ndone", NULL},
        {"sed 's/.*\"receipt\":\"\\([0-9:]*\\)\".*/\\1/' $T/two | tr '\\n' ' ' | pgq ack - --fields result",
         3, "=not_found\nnot_found", NULL},
        {"pgq receive q --raw -n 9 --filter '{\"a\":1}'", 3, NULL, NULL},
        {"pgq receive q --fields receipt --format plain >$T/r; pgq extend $(cat $T/r) --lease 2h --fields "
         "result",
         0, "=done", NULL},
        {"pgq release $(cat $T/r) --fields result", 0, "=done", NULL},
        {"pgq ack $(cat $T/r) --fields result", 1, "=stale", NULL},
        {"pgq release $(cat $T/r) 999999:1 --fields result", 1, "=stale\nnot_found", NULL},
        {"pgq receive q -n 1 --fields receipt --format plain >$T/r; pgq nack $(cat $T/r) --error oops "
         "--delay 1h --fields result",
         0, "=done", NULL},
        {"pgq list q --state delayed --fields errors,last_error,payload", 0, "=1\toops\td", NULL},
        {"pgq receive q --fields receipt --format plain >$T/r; pgq nack $(cat $T/r) --error dead "
         "--requeue=no -q",
         0, NULL, NULL},
        {"pgq ack 17", 2, NULL, "\"17\" is no receipt: ID:ATTEMPTS is, the field receipt"},
        {"pgq ack x:1", 2, NULL, "\"x:1\" is no receipt"},
        {"pgq nack 1:-1", 2, NULL, "\"1:-1\" is no receipt"},
        {"echo 1:1:1 | pgq extend -", 2, NULL, "\"1:1:1\" is no receipt"},
        {"pgq ack -", 0, NULL, NULL},
        {"seq 3 | pgq enqueue q --lines -q; pgq receive q -n 3 --fields receipt --format plain >$T/r; "
         "(head -n 2 $T/r; echo junk; tail -n 1 $T/r) | pgq ack - --fields result",
         2, "=done\ndone", "\"junk\" is no receipt"},
        {"pgq ack $(tail -n 1 $T/r) junk", 2, NULL, "\"junk\" is no receipt"},
        {"pgq list q --state in_flight --fields payload", 0, "=3", NULL},
        {"pgq release $(tail -n 1 $T/r) -q; pgq receive --id $(pgq peek q --fields id) --fields "
         "payload,attempts",
         0, "={\"payload\":\"3\",\"attempts\":2}", NULL},
        {"pgq receive --id $(pgq list q --state in_flight --fields id)", 1, NULL, "is in flight"},
        {"pgq reschedule $(pgq list q --state in_flight --fields id) --fields result", 1, "=in_flight", NULL},
        {"pgq ack $(pgq list q --state in_flight --fields id):2 --fields result", 0, "=done", NULL},
        {"pgq receive --id 999999", 3, NULL, "message 999999 does not exist"},
        {"pgq receive --id 1 q", 2, NULL, "--id is not allowed with \"q\""},
        {"pgq receive --id 1 --count 2", 2, NULL, "--id is not allowed with --count"},
        {"pgq receive", 2, NULL, "receive needs a QUEUE, or --id ID"},
        {"pgq reschedule 999999", 3, "=999999\tnot_found", NULL},
        {"pgq reschedule x", 2, NULL, "\"x\" is no ID"},
        {"pgq create n -q; pgq enqueue n later --delay 1h -q; pgq count n n", 0,
         "=n\t0\t1\t0\t0\t0\nn\t0\t1\t0\t0\t0", NULL},
        {"pgq reschedule $(pgq list n --state delayed --fields id) --fields result; pgq pop n --raw", 0,
         "=rescheduled\nlater", NULL},
        {"pgq count nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq extend 1:1 --lease -5", 2, NULL, "--lease \"-5\" is not allowed"},
        {"pgq cancel 999999", 3, "=999999\tnot_found", NULL},
        {"pgq cancel $(pgq enqueue q x --fields id) --fields result", 0, "=canceled", NULL},
        {"pgq cancel x", 2, NULL, "\"x\" is no ID: a whole number is"},
        {"pgq enqueue q x -q; pgq pop q --raw -0 | od -c | head -n 1", 0, "   x  \\0", NULL},
        {"pgq pop q --all", 3, NULL, NULL},
        {"pgq pop q --all -n 5", 2, NULL, "--all is not allowed with --count"},
        {"pgq pop nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq enqueue q x -q; pgq pop q --fields nonsense", 2, NULL,
         "field \"nonsense\" is unknown or one too many: there are id, queue"},
        {"pgq peek q --fields payload,attempts,errors", 0, "=x\t1\t0", NULL},
        {"pgq receive q >/dev/full", 1, NULL, "cannot write to stdout: No space left on device"},
        {"pgq peek q --fields payload,attempts,errors,state", 0, "=x\t2\t0\tready", NULL},
        {"pgq pop q >/dev/full", 1, NULL, "cannot write to stdout: No space left on device"},
        {"pgq peek q --fields payload,attempts,errors,state", 0, "=x\t3\t0\tready", NULL},
        {"(sleep 0.05; pgq enqueue q soon -q) & pgq pop q -q >/dev/null; pgq receive q -t 20 --raw", 0,
         "=soon", NULL},
    };
    CLI_STEPS(*state, steps);
}

static void looking(void **state)
{
    static const cli_step steps[] = {
        {"pgq peek q", 3, NULL, NULL},
        {"pgq peek nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq list q", 3, NULL, NULL},
        {"pgq list q --format json", 3, NULL, NULL},
        {"pgq list q --format yaml", 3, "=[]", NULL},
        {"pgq list nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq list q --state ripe", 2, NULL, "ready|delayed|blocked|in_flight|dead are"},
        {"pgq get 999999", 3, NULL, "message 999999 does not exist"},
        {"pgq get one", 2, NULL, "\"one\" is no ID"},
        {"pgq get 1 2", 2, NULL, "\"2\" is not allowed here: pgq get ID"},
        {"seq 5 | pgq enqueue q --lines -q; pgq list q -n 2 --skip 1 --raw", 0, "=2\n3", NULL},
        {"pgq peek q -n 2 --raw", 0, "=1\n2", NULL},
        {"pgq list q --fields payload", 0, "=1\n2\n3\n4\n5", NULL},
        {"pgq view --fields queue,ready,delayed,blocked,in_flight,dead,paused,exact", 0,
         "=q\t5\t0\t0\t0\t0\tfalse\ttrue", NULL},
        {"pgq view q q --fields queue", 0, "=q\nq", NULL},
        {"pgq view q --rates 10ms --fields sent_rate,received_rate", 0, "=0\t0", NULL},
        {"pgq view --names --attributes", 2, NULL,
         "only one of --names, --attributes and --rates is allowed"},
        {"pgq view nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq view -n nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq stats nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq stats --fields queue,sent_total,received_total,ready_estimate,exact", 0, "=q\t5\t0\t5\ttrue",
         NULL},
        {"pgq pop q -n 3 >/dev/null; pgq stats q --fields received_total", 0, "=3", NULL},
        {"pgq doctor --wait-age 0 --fields check,severity,subject | grep q$", 0, "=no_consumer\tproblem\tq",
         NULL},
        {"pgq doctor --wait-age 0 --format json", 1, "\"subject\":\"q\",\"message\":\"queue", NULL},
        {"pgq doctor --dead-per-hour 0", 2, NULL, "--dead-per-hour \"0\" is not allowed: 1 to 1000000"},
        {"pgq doctor q", 2, NULL, "\"q\" is not allowed here: pgq doctor"},
        {"pgq -n ${PGQ_NAMESPACE}_none doctor", 1, NULL, "run \"pgq install\""},
        {"pgq pause q -q; pgq doctor --wait-age 0 --fields subject | grep -c '^q$'; pgq resume q -q", 0, "=0",
         NULL},
        {"pgq consumers", 3, NULL, NULL},
        {"pgq consumers nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq consumers -n 0", 2, NULL, "--count \"0\" is not allowed"},
        {"pgq create held -q; pgq enqueue held x -q; pgq receive held -q >/dev/null; "
         "pgq consumers held q --fields queue,activity,pid,role,messages,age_ms",
         0, "=held\tlease\t\\N\t\\N\t1\t\\N", NULL},
        {"pgq delete held -y -q; pgq receive q -t 30 --filter '{\"no\":1}' & "
         "until pgq consumers q --fields activity,application,messages | grep ^sleep; do sleep 0.01; done; "
         "kill $!",
         0, "=sleep\tpgq\t0", NULL},
        {"pgq watch nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq watch -n 1 --fields queue,event,sent,ready", 0, "=q\tseen\t0\t2", NULL},
        {"pgq watch q --interval 5ms", 2, NULL, "--interval \"5ms\" is not allowed"},
        {"pgq create 'a\"\\\\' -q; pgq stats --format prometheus | sed -n \"s/$PGQ_NAMESPACE/NS/; "
         "/^pgq_messages{.*ready/p; /sent_messages_total/p; /oldest/p\" | sed 's/} [0-9]*\\.[0-9]*$/} T/'",
         0,
         "=# HELP pgq_sent_messages_total Messages sent, also those whose transaction was rolled back.\n"
         "# TYPE pgq_sent_messages_total counter\n"
         "pgq_sent_messages_total{namespace=\"NS\",queue=\"a\\\"\\\\\\\\\"} 0\n"
         "pgq_sent_messages_total{namespace=\"NS\",queue=\"q\"} 5\n"
         "pgq_messages{namespace=\"NS\",queue=\"a\\\"\\\\\\\\\",state=\"ready\"} 0\n"
         "pgq_messages{namespace=\"NS\",queue=\"q\",state=\"ready\"} 2\n"
         "# HELP pgq_oldest_ready_seconds Age of the oldest message next in line; absent if none is ready.\n"
         "# TYPE pgq_oldest_ready_seconds gauge\n"
         "pgq_oldest_ready_seconds{namespace=\"NS\",queue=\"q\"} T",
         NULL},
    };
    CLI_STEPS(*state, steps);
}

static void dead_letters(void **state)
{
    static const cli_step steps[] = {
        {"pgq dead list q", 3, NULL, NULL},
        {"pgq dead list nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq dead show 999999", 3, NULL, "message 999999 does not exist"},
        {"pgq dead show $(pgq enqueue q alive --fields id)", 3, NULL, "is not dead: see \"pgq get\""},
        {"pgq pop q -n 9 >/dev/null; seq 4 | pgq enqueue q --lines -q; "
         "pgq receive q -n 9 --fields receipt --format plain | pgq nack - --requeue=no --error e -q",
         0, NULL, NULL},
        {"pgq dead list q --fields state,reason,last_error,payload", 0,
         "=dead\tnot_requeued\te\t1\ndead\tnot_requeued\te\t2\ndead\tnot_requeued\te\t3\ndead\tnot_"
         "requeued\te\t4",
         NULL},
        {"pgq dead list q -n 1 --skip 2 --raw", 0, "=3", NULL},
        {"pgq dead show $(pgq dead list q -n 1 --fields id) --fields payload", 0, "=1", NULL},
        {"pgq dead show $(pgq dead list q -n 1 --fields id) --raw", 0, "1", NULL},
        {"pgq dead requeue q", 2, NULL, "dead requeue needs an ID behind the queue, or --all"},
        {"pgq dead requeue q x", 2, NULL, "\"x\" is no ID"},
        {"pgq dead requeue q 5 --all", 2, NULL, "--all is not allowed with \"5\""},
        {"pgq dead requeue q 999999", 3, "=q\t0", NULL},
        {"pgq dead requeue q $(pgq dead list q -n 1 --fields id)", 0, "=q\t1", NULL},
        {"pgq pop q --raw", 0, "=1", NULL},
        {"pgq create other -q; pgq dead requeue q $(pgq dead list q -n 1 --fields id) --target other -q; pgq "
         "pop other --raw",
         0, "=2", NULL},
        {"pgq dead requeue q --all --target nowhere", 3, NULL, "\"nowhere\" does not exist"},
        {"pgq dead purge q $(pgq dead list q -n 1 --fields id)", 2, NULL,
         "delete 1 dead letters of the queue \"q\" for good: give --yes"},
        {"pgq dead purge q $(pgq dead list q -n 1 --fields id) -y", 0, "=q\t1", NULL},
        {"pgq dead purge q --all", 2, NULL, "delete all dead letters of the queue \"q\" for good"},
        {"pgq dead purge q --all --yes", 0, "=q\t1", NULL},
        {"pgq dead purge q --all --yes", 0, "=q\t0", NULL},
        {"pgq dead purge nowhere --all --yes", 3, NULL, "\"nowhere\" does not exist"},
    };
    CLI_STEPS(*state, steps);
}

/* Its README's words, where they make sense here. */
static void ddmq_words(void **state)
{
    static const cli_step steps[] = {
        {"pgq publish -f mail 'hello' -p 4 -t 600 -r -l 2 --requeue_prio 1 --fields queue,result", 0,
         "=mail\tsent", NULL},
        {"pgq peek mail --fields priority", 0, "=4", NULL},
        {"pgq consume mail --fields id,priority,payload --format plain", 0, "\t4\thello\n", NULL},
        {"pgq consume mail", 3, NULL, NULL},
        {"pgq list mail --state in_flight --format json", 0, "\"priority\":4", NULL},
        {"pgq publish mail again -l 1 -q; for i in 1 2 3; do"
         " r=$(pgq consume mail --fields receipt --format plain) && pgq nack $r -q && echo $i; done",
         3, "=1\n2", NULL},
        {"pgq dead list mail --fields attempts,errors", 0, "=2\t2", NULL},
        {"pgq view -n mail q", 0, "=mail\nq", NULL},
        {"pgq json "
         "'{\"cmd\":\"publish\",\"queue\":\"q\",\"message\":\"m\",\"priority\":1,\"timeout\":5,\"requeue\":"
         "true,"
         "\"requeue_prio\":2,\"f\":false}' | grep -c '\"result\":\"sent\"'",
         0, "=1", NULL},
        {"pgq json '{\"cmd\":\"consume\",\"queue\":\"q\",\"fields\":\"payload\"}'", 0, "={\"payload\":\"m\"}",
         NULL},
        {"pgq json '{\"cmd\":\"consume\",\"queue\":\"q\"}'", 3, NULL, NULL},
    };
    CLI_STEPS(*state, steps);
}

/* What its document says of each option of publish and consume: -p, -t, -r, -l, --requeue_prio, -n, --format.
 */
static void ddmq_options(void **state)
{
    static const cli_step steps[] = {
        /* priority: a lower one is consumed first; else the order of publishing */
        {"for m in '8 -p 8' '2 -p 2' 'a' 'b' '0 -p 0'; do pgq publish q $m -q; done; pgq consume q -n 9 "
         "--format plain "
         "--fields priority,payload",
         0, "=0\t0\n2\t2\n8\t8\n999\ta\n999\tb", NULL},
        {"pgq purge q -y -q; pgq consume q", 3, NULL, NULL},
        /* timeout: so long the consumer has it, whatever the queue says */
        {"pgq publish q m -t 600 -q; pgq consume q -q >$T/m; pgq consumers q --fields ends_in_ms | grep -c "
         "'^59[0-9]\\{4\\}$\\|^600000$'",
         0, "=1", NULL},
        {"pgq purge q -y -q; pgq publish q m -t 0.05 -q; pgq consume q -q >$T/m; "
         "until pgq consume q --fields attempts,payload --format plain; do sleep 0.01; done",
         0, "=2\tm", NULL},
        /* requeue: what failed is published again, or is not */
        {"pgq purge q -y -q; pgq publish q m -r -q; pgq nack $(pgq consume q --fields receipt --format "
         "plain) -q; "
         "pgq consume q --fields payload --format plain",
         0, "=m", NULL},
        {"pgq purge q -y -q; pgq publish q m --requeue=no -q; pgq nack $(pgq consume q --fields receipt "
         "--format plain) "
         "-q; pgq consume q",
         3, NULL, NULL},
        /* requeue_limit: so often, besides the first time */
        {"pgq publish q m -l 2 -q; for i in 1 2 3 4; do r=$(pgq consume q --fields receipt --format plain) "
         "&& "
         "pgq nack $r -q && echo $i; done",
         3, "=1\n2\n3", NULL},
        /* requeue_prio: with which it comes back */
        {"pgq publish q m -p 9 --requeue_prio 1 -q; pgq nack $(pgq consume q --fields receipt --format "
         "plain) -q; "
         "pgq peek q --fields priority,payload",
         0, "=1\tm", NULL},
        /* consume -n, and its formats; view -n: the names only, and its formats */
        {"pgq publish q n -q; pgq publish q o -q; pgq consume q -n 2 --fields payload", 0,
         "={\"payload\":\"m\"}\n{\"payload\":\"n\"}", NULL},
        {"pgq consume q --format yaml --fields payload,priority", 0, "=- payload: \"o\"\n  priority: 999",
         NULL},
        {"pgq create p -q; pgq view -n", 0, "=p\nq", NULL},
        {"pgq view q --format json --fields queue,ready,in_flight", 0,
         "={\"queue\":\"q\",\"ready\":0,\"in_flight\":3}", NULL},
        {"pgq view q --format plain --fields queue,ready,in_flight", 0, "=q\t0\t3", NULL},
        /* -f: the queue is created; without it, it has to be there */
        {"pgq publish new m", 3, NULL, "\"new\" does not exist"},
        {"pgq publish new m -f --fields result", 0, "=sent", NULL},
    };
    CLI_STEPS(*state, steps);
}

static void verbs_as_json(void **state)
{
    static const cli_step steps[] = {
        {"pgq json '{\"cmd\":\"create\",\"queue\":[\"a\",\"b\"],\"lease\":\"5m\",\"error-limit\":3}'", 0,
         "={\"queue\":\"a\",\"result\":\"created\"}\n{\"queue\":\"b\",\"result\":\"created\"}", NULL},
        {"pgq json "
         "'{\"cmd\":\"view\",\"queue\":\"a\",\"attributes\":true,\"fields\":\"lease_ms,error_limit\"}'",
         0, "={\"lease_ms\":300000,\"error_limit\":3}", NULL},
        {"printf '{\"cmd\":\"enqueue\",\"queue\":\"a\",\n \"payload\":{\"n\":1.50, "
         "\"b\":12345678901234567890123}}"
         "{\"cmd\":\"enqueue\",\"queue\":\"a\",\"payload\":\"-\",\"fields\":\"result\"}\n\n"
         "{\"cmd\":\"peek\",\"queue\":\"a\",\"count\":2,\"fields\":\"kind,payload\"} ' | pgq json | tail -n "
         "3",
         0,
         "={\"result\":\"sent\"}\n{\"kind\":\"json\",\"payload\":{\"n\":1.50, "
         "\"b\":12345678901234567890123}}\n"
         "{\"kind\":\"text\",\"payload\":\"-\"}",
         NULL},
        {"pgq json '{\"cmd\":\"purge\",\"queue\":\"a\"}'", 2, NULL,
         "object 1: purge would delete all messages"},
        {"pgq json '{\"cmd\":\"purge\",\"queue\":\"a\",\"yes\":true}' '{\"cmd\":\"pop\",\"queue\":\"a\"}'", 3,
         "={\"queue\":\"a\",\"waiting\":2,\"in_flight\":0}", NULL},
        {"pgq json '{\"cmd\":\"pop\",\"queue\":\"a\"} {\"cmd\":\"pop\",\"queue\":\"none\"} "
         "{\"cmd\":\"view\"}' | grep -c queue",
         0, "=3", "object 2: queue \"none\" does not exist"},
        {"pgq json '{\"cmd\":\"view\",\"format\":\"plain\",\"names\":true}' '{\"cmd\":\"frob\"}' "
         "'{\"cmd\":\"view\"}'",
         2, "=a\nb\nq", "object 2: cmd \"frob\" is unknown"},
        {"pgq json --format plain '{\"cmd\":\"dead list\",\"queue\":\"a\"}'", 3, NULL, NULL},
        {"pgq json '{\"cmd\":\"enqueue\",\"queue\":\"a\",\"payload\":\"a\\u0000b\"}'", 2, NULL,
         "object 1: a text payload must be"},
        {"pgq json "
         "'{\"cmd\":\"enqueue\",\"queue\":\"a\",\"payload\":\"a\\u0000b\",\"kind\":\"binary\",\"quiet\":true}"
         "'",
         0, NULL, NULL},
        {"pgq json '{\"cmd\":\"cancel\",\"id\":999999}'", 3, "={\"id\":999999,\"result\":\"not_found\"}",
         NULL},
    };
    CLI_STEPS(*state, steps);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cli_setup, cli_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(namespaces),   TEST(queues),     TEST(sending),      TEST(taking),        TEST(looking),
        TEST(dead_letters), TEST(ddmq_words), TEST(ddmq_options), TEST(verbs_as_json),
    };
    cli_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
