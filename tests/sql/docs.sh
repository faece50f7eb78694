#!/bin/bash
# docs.sh DOCUMENT: runs the ```sql blocks of a document as one session, in order. A comment "-- => TEXT" after
# a statement's end is its whole output (columns parted by |, rows by " / "), or an SQLSTATE, "-- => ERROR
# MQ002"; without one the statement has to succeed.
document=$(realpath "$1")
cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./lib.sh
roles="web_shop mailer auditor"

clean() {
    local role
    drop_namespace
    for role in $roles; do
        run_psql -c "DROP OWNED BY ${role}_$$" -c "DROP ROLE ${role}_$$" >/dev/null 2>&1 || true
    done
}
trap clean EXIT

statements() {  # to lines for expect
    awk '
    /^```sql$/ { inside = 1; next }
    /^```/ { if (inside && text != "") print "broken\tno end: " text; inside = 0; text = ""; next }
    !inside { next }
    {
        line = $0
        want = "ok"
        if (match(line, /-- => .*/)) {
            want = substr(line, RSTART + 6)
            line = substr(line, 1, RSTART - 1)
            if (want ~ /^ERROR /) sub(/^ERROR /, "", want)
            else want = "=" (want == "nothing" ? "" : want)
        }
        sub(/[ ]*-- .*/, "", line)
        sub(/^--$/, "", line)
        sub(/[ ]+$/, "", line)
        if (line == "") { if (want != "ok") print "broken\ta result without a statement: " $0; next }
        text = text (text == "" ? "" : " ") line
        if (text ~ /;$/) {
            sub(/;$/, "", text)
            print want "\t" text
            text = ""
        }
    }' "$document"
}

install_namespace
script=$(statements)
for role in $roles; do script=${script//$role/${role}_$$}; done
script=${script//SCHEMA mq /SCHEMA $quoted }
check "the document has examples" yes "$([ "$(wc -l <<<"$script")" -gt 30 ] && echo yes)"
expect <<<"$script"

# Every public function has its section, and every section its function.
check "the functions and the sections" \
    "$(sql "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = '$quoted'::regnamespace AND proname !~ '^_' ORDER BY 1")" \
    "$(sed -n 's/^### `\([a-z_]*\)(.*/\1/p' "$document" | LC_ALL=C sort -u)"
# And the arguments are those of the section, in their order, unless the overloads of a function differ in them.
while IFS='|' read -r function arguments; do
    check "the arguments of $function" "$arguments" \
        "$(sed -n "s/^### \`$function(\(.*\))\`.*/\1/p" "$document" | sed 's/ = [^,]*//g')"
done < <(sql "SELECT min(proname), min(array_to_string(proargnames[1:pronargs], ', ')) FROM pg_proc
              WHERE pronamespace = '$quoted'::regnamespace AND proname !~ '^_'
              GROUP BY proname HAVING count(DISTINCT array_to_string(proargnames[1:pronargs], ', ')) <= 1 ORDER BY 1")
finish
