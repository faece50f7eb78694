#!/bin/bash
# Every shipped statement on the tables of messages, whatever they look like and however it is planned: by an index that
# serves it, and at a cost that does not grow with what is there. The cost is counted, in blocks of those tables and
# their indexes that a step touches. What no step runs is found, too.
#
#   PGQ_PLAN_ROWS    how many rows a state is made of (20000); "scripts/torture plans" takes a million
#   PGQ_PLAN_STATES  only these, of plans/states.sh
#   PGQ_PLAN_SHOW    a file that gets the most that each step was seen to touch
#   PGQ_PLAN_ALONE   on a server of its own, as the transactions of others keep dead rows there, which are counted then
#
# To let the matrix grow: a state in plans/states.sh; a step in plans/steps.sql, with its line in plans/expected.
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
rows=${PGQ_PLAN_ROWS:-20000}
# As shipped; generic for what does not say so itself; custom for everything.
modes='auto generic custom'
tables='message dead_letter dedup_window topic_position topic_message'
scratch=$(mktemp -d)
export PGAPPNAME=plans_$$  # all but the session of the steps: see plans/session.sql
# shellcheck source=plans/states.sh
. plans/states.sh
clean() {
    release
    drop_namespace
    rm -rf "$scratch"
    [ -z "${PGQ_PLAN_ALONE:-}" ] || stop main immediate || true
    rm -rf "${home:-$scratch}" "${home:-$scratch}.log"
}
if [ -n "${PGQ_PLAN_ALONE:-}" ]; then
    # shellcheck source-path=SCRIPTDIR
    . ./server.sh
    trap clean EXIT
    server initdb -D main -U postgres -A trust -E UTF8 -N
    configure main <<CONF
listen_addresses = ''
unix_socket_directories = '$home'
unix_socket_permissions = 0777
fsync = off
CONF
    start main 1
    PGQ_TEST_DSN="host=$home port=1 user=postgres dbname=postgres"
fi
trap clean EXIT

if [ "$(sqlstate "LOAD 'auto_explain'")" != 00000 ]; then
    echo "this role may not load auto_explain: skipped"
    exit 77
fi
# Before 15 a session's numbers reach the collector late.
counted=$(run_psql -c "SELECT current_setting('server_version_num')::integer >= 150000")

counting() {  # stdin: the steps; a count goes behind each
    awk 'function count() {
             printf "\\warn @@ -\nSET auto_explain.log_min_duration = -1; EXECUTE counts(\047%s\047); SET auto_explain.log_min_duration = 0;\n", step
         }
         BEGIN { step = "-" }
         /^\\warn @@/ { count(); step = $3 }
         { print }
         END { count() }' "$@"
}

script() {  # STATE MODE
    local i session=$2
    [ "$2" = generic ] && session=force_generic_plan
    [ "$2" = custom ] && session=force_custom_plan
    printf '%s\n' '\set SHOW_CONTEXT always' "LOAD 'auto_explain'; SET client_min_messages = log; SET track_functions = 'all';" \
        "SET plan_cache_mode = $session;" \
        "SET auto_explain.log_nested_statements = on; SET auto_explain.log_analyze = on; SET auto_explain.log_timing = off;"
    in_namespace "$(sed "s/OTHERS/$PGAPPNAME/" plans/session.sql)"
    echo
    # More than five times: then auto weighs a generic plan. The others have made up their minds.
    for i in $([ "$2" = auto ] && echo 1 2 3 4 5 6 || echo 1); do
        in_namespace "$(counting plans/steps.sql)"
        echo
    done
    in_namespace "$(counting plans/once.sql)"
    echo
    if [ "$1" = grown ]; then
        # What was planned while the table was small must serve when it is not.
        printf '%s\n' ". $PWD/lib.sh" "use_namespace '$namespace'" "rows=$rows" "$(declare -f fill)" \
            'fill 0 NULL' >"$scratch/grow.sh"
        printf '%s\n' "\\! bash $scratch/grow.sh" 'CALL pg_temp.others_are_gone();'
        in_namespace "$(counting plans/steps.sql)"
        echo
    elif [ "$1" = vacuumed ]; then
        in_namespace 'BEGIN; SELECT mq.reset(); ROLLBACK;'
        echo
    fi
    in_namespace "SELECT '@called', p.proname FROM pg_proc p
        WHERE p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'mq.message'::regclass)
          AND COALESCE(pg_stat_get_function_calls(p.oid), 0) + COALESCE(pg_stat_get_xact_function_calls(p.oid), 0) > 0;"
}

# Each function's own setting gives way, too.
plan_custom() {
    sql "DO \$do\$ DECLARE f regprocedure; BEGIN
             FOR f IN SELECT p.oid FROM pg_proc p
                      WHERE p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'mq.message'::regclass)
                        AND 'plan_cache_mode=force_generic_plan' = ANY (p.proconfig) LOOP
                 EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_custom_plan', f);
             END LOOP; END \$do\$"
}

# stdin: what the session said; "STEP TOTAL RELATION=BLOCKS...", the most of all rounds.
blocks() {
    awk -F '|' '
        function close_step(   d) {
            if (step != "" && begun && (!(step in most) || total > most[step])) { most[step] = total; where[step] = detail }
            begun = 1
        }
        $1 != "@count" { next }
        $2 != step || ($2, $3) in round { close_step(); step = $2; total = 0; detail = ""; split("", round) }
        { round[$2, $3] = 1; d = $4 - last[$3]; last[$3] = $4; total += d; if (d) detail = detail " " $3 "=" d }
        END { close_step(); for (s in most) print s, most[s] where[s] }'
}

judge() {  # STATE MODE
    local got
    got=$(awk -v label="$1, $2" -v state="$1" -v rows="$rows" -v counted="$counted" -f plans/judge.awk \
        plans/expected "$scratch/digest" "$scratch/blocks")
    checks=$((checks + $(sed -n 's/^checks //p' <<<"$got")))
    failures=$((failures + $(grep -c '^FAILED' <<<"$got" || true)))
    grep '^FAILED' <<<"$got" | sort | uniq -c | head -30 || true
    check "$1, $2: the rows are there" t "$(remain "$1")"
    [ -z "${PGQ_PLAN_SHOW:-}" ] || sed "s/^/$1 $2 /" "$scratch/blocks" >>"$PGQ_PLAN_SHOW"
}

check "each step has its line" "$(sed -n 's/^\\warn @@ //p' plans/steps.sql plans/once.sql)" "$(sed -n 's/^\([a-z][a-z_]*\) .*/\1/p' plans/expected)"
for state in ${PGQ_PLAN_STATES:-$states}; do
    for mode in $modes; do
        if [[ $mode = auto || $shared != *" $state "* ]]; then
            release
            drop_namespace
            install_namespace
            for table in ${tables% *}; do  # segments of topics have none
                sql "ALTER TABLE mq.$table SET (autovacuum_enabled = off)"
            done
            sql "SELECT mq.create_queue('q'), mq.create_queue('r'), mq.create_queue('s'), mq.create_queue('m'),
                        mq.create_queue('d', error_limit => 1, drop_dead => true)" >/dev/null
            topics
            "state_$state"
        fi
        if [ "$state" = expired ]; then again_expired; fi
        [ "$mode" != custom ] || plan_custom
        script "$state" "$mode" >"$scratch/script.sql"
        run_psql -v VERBOSITY=default -f "$scratch/script.sql" >"$scratch/out" 2>"$scratch/log" || true
        awk -f plans/digest.awk "$scratch/log" >"$scratch/digest"
        blocks <"$scratch/out" | grep -v '^- ' >"$scratch/blocks"
        awk '$2 == "at" { print $3, $4 }' "$scratch/digest" | sort -u >>"$scratch/seen"
        sed -n 's/^@called|\(.*\)/\1 0/p' "$scratch/out" | sort -u >>"$scratch/seen"
        judge "$state" "$mode"
    done
done
if [ -z "${PGQ_PLAN_STATES:-}" ]; then
    sql "SELECT l.n, p.proname, a.lanname, l.line FROM pg_proc p JOIN pg_language a ON a.oid = p.prolang
         CROSS JOIN regexp_split_to_table(p.prosrc, E'\n') WITH ORDINALITY l (line, n)
         WHERE p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'mq.message'::regclass)
           AND p.proname NOT IN ('topic_restored', '_first_unread')  -- once after a restore: all of it is rewritten
         ORDER BY p.oid, l.n" >"$scratch/source"
    check "every statement was run by some step" '' \
        "$(awk -v tables="$namespace[.](${tables// /|})([^a-z_]|\$)" -f plans/uncovered.awk <(sort -u "$scratch/seen") "$scratch/source")"
fi
finish
