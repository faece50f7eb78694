#!/usr/bin/env bash
# The rules of CONTRIBUTING.md that a script can hold the source to.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
cd "$PGQ_SOURCE_DIR"

mapfile -t library < <(find src -name '*.[ch]' | sort)
mapfile -t headers < <(find include -name '*.h' | sort)
mapfile -t programs < <(find tools examples bench -name '*.[ch]' 2>/dev/null | sort)
mapfile -t all < <(printf '%s\n' "${library[@]}" "${headers[@]}" "${programs[@]}" | grep .)
if [ "${#library[@]}" -lt 20 ] || [ "${#headers[@]}" -lt 10 ]; then
    fault "the sources were not found"
fi

# calls "name|name" file...: where these functions are called.
calls() {
    local names=$1
    shift
    [ $# -eq 0 ] || grep -HnE "(^|[^A-Za-z0-9_])($names)[[:space:]]*\(" "$@" || true
}

# refuse why: every line of the input is a fault.
refuse() {
    local line
    while read -r line; do
        fault "$1: $line"
    done
}

except() {
    grep -Ev "^($1):" || true
}

refuse "a file of more than 700 lines" < <(wc -l "${all[@]}" | awk '$2 != "total" && $1 > 700')
refuse "a line of more than 110 columns" < <(
    for file in "${all[@]}"; do
        # Bytes are counted, less those that continue a character of UTF-8.
        LC_ALL=C awk '{ line = $0; gsub(/[\200-\277]/, "", line) } length(line) > 110 { print FILENAME ":" FNR }' "$file"
    done
)
refuse "a function of more than 60 lines" < <(
    awk 'FNR == 1 { start = 0 } /^\{$/ { start = FNR }
         /^\}$/ && start { if (FNR - start - 1 > 60) print FILENAME ":" start; start = 0 }' "${all[@]}"
)
refuse "a tab or a blank at the end of a line" < <(grep -HnP '\t|[ \r]$' "${all[@]}" || true)
refuse "no SPDX line" < <(
    for file in "${all[@]}"; do
        head -n 1 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file"
    done
)
refuse "a banned function" < <(
    calls 'strcpy|stpcpy|strcat|strncat|strncpy|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof|alloca|system|popen|tmpnam|mktemp' \
        "${all[@]}"
)
refuse "memory is had from src/alloc.c alone" < <(
    calls 'malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf' "${library[@]}" | except 'src/alloc\.c'
)
refuse "statements are sent by src/exec.c and src/listener.c alone" < <(
    calls 'PQ(exec|send|prepare|describe|put|fn)[A-Za-z]*' "${library[@]}" | except 'src/exec\.c|src/listener\.c'
)
refuse "a feature macro belongs into cmake/PgqTarget.cmake" < <(
    grep -HnE '#[[:space:]]*define[[:space:]]+_(GNU|POSIX_C|XOPEN|DEFAULT|BSD)_?SOURCE' "${all[@]}" || true
)
refuse "a program includes an internal header" < <(
    [ "${#programs[@]}" -eq 0 ] || grep -HnE '#[[:space:]]*include[[:space:]]*"(\.\./)+src/' "${programs[@]}" || true
)
refuse "unfinished" < <(grep -HnwE 'TODO|FIXME|XXX|HACK' "${all[@]}" || true)
verdict
