# shellcheck shell=bash
# Shared by the build checks.
set -euo pipefail

: "${PGQ_SOURCE_DIR:?run by ctest}"
faults=0

# fault text: one more thing that is wrong.
fault() {
    printf '%s\n' "$*" >&2
    faults=$((faults + 1))
}

# verdict: ends the script.
verdict() {
    if [ "$faults" -gt 0 ]; then
        printf '%d found\n' "$faults" >&2
        exit 1
    fi
    exit 0
}
