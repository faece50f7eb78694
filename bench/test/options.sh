#!/usr/bin/env bash
# pgq-bench's command line: what is refused says what is allowed, and the manual page knows every option and case.
#   options.sh PROGRAM MANUAL
set -euo pipefail
program=$1
manual=$2
faults=0

fault() {
    printf 'fault: %s\n' "$*" >&2
    faults=$((faults + 1))
}

# refused text argument...: exit status 2, and that text on stderr.
refused() {
    local text=$1 status=0 said
    shift
    said=$("$program" "$@" 2>&1 >/dev/null) || status=$?
    [ "$status" -eq 2 ] || fault "pgq-bench $*: exit status $status, not 2"
    [[ $said == *"$text"* ]] || fault "pgq-bench $*: it says \"$said\", not \"$text\""
}

refused 'a CASE is needed'
refused 'case "nonsense" is not allowed: these are: send ' nonsense
refused '"more" is not allowed here' send more
refused 'case "held" needs a CASE behind it' held
refused 'case "wake" is not allowed here: these are: send ' held wake
refused '--clients "0" is not allowed: 1 to 1024 are' send --clients 0
refused '--seconds "1.5" is not allowed' send --seconds 1.5
refused '--payload "65537" is not allowed: 0 to 65536 are' send --payload 65537
refused '--batch is not allowed with case "send"' send --batch 10
refused '--batch "100001" is not allowed: 1 to 100000 are' send-batch --batch 100001
refused '--batch "1001" is not allowed with case "pop-batch": 1 to 1000 are' pop-batch --batch 1001
refused '--rows is not allowed with case "send"' send --rows 1000
refused '--sleepers and --awake are not allowed with case "pop"' pop --sleepers 1
refused 'option "--nonsense" is unknown or ambiguous' send --nonsense
refused 'option "--clients" needs a value' send --clients
refused 'option "--json" takes no value' send --json=1

help=$("$program" --help)
[[ $("$program" --version) == "pgq-bench "[0-9]* ]] || fault "--version does not say the version"
page=$(sed 's/\\-/-/g' "$manual")
while read -r word; do
    grep -qF -- "$word" <<<"$page" || fault "the manual page does not know $word"
done < <(
    grep -oE -- '--[a-z]+' <<<"$help" | sort -u
    sed -n '/^Cases:/,/^$/s/^  \([a-z-]*\) .*/\1/p' <<<"$help"
)
[ "$(sed -n '/^Cases:/,/^$/s/^  \([a-z-]*\) .*/\1/p' <<<"$help" | wc -l)" -ge 15 ] || fault "--help lacks cases"
[ "$faults" -eq 0 ]
