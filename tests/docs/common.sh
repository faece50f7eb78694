# Shared by the tests of the documents.
# shellcheck shell=bash
set -euo pipefail
: "${PGQ_SOURCE_DIR:?run by ctest}"

work=$(mktemp -d)
database=
trap 'finish' EXIT
trap 'exit 130' INT TERM
faults=0

finish() {
    local status=$?
    drop_database || true
    rm -rf "$work"
    exit "$status"
}

fault() {  # TEXT: one more thing that is wrong
    printf '%s\n' "$*" >&2
    faults=$((faults + 1))
}

verdict() {
    [ "$faults" -eq 0 ] || { printf '%d found\n' "$faults" >&2; exit 1; }
    exit 0
}

# --- a database of the test's own, in libpq's environment; for programs that take the namespace mq ---

drop_database() {
    [ -n "$database" ] || return 0
    PGDATABASE=$admin_database psql -X -q -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"
    database=
}

make_database() {  # NAME
    if [ -z "${PGQ_TEST_DSN:-}" ]; then
        echo "PGQ_TEST_DSN is not set: skipped"
        exit 77
    fi
    local server
    # A password has to be in PGPASSWORD or PGPASSFILE.
    server=$(printf '\\echo :HOST\n\\echo :PORT\n\\echo :USER\n\\echo :DBNAME\n' | psql -X -q -d "$PGQ_TEST_DSN")
    { read -r PGHOST && read -r PGPORT && read -r PGUSER && read -r admin_database; } <<<"$server"
    export PGHOST PGPORT PGUSER
    export PGDATABASE=$admin_database
    psql -X -q -v ON_ERROR_STOP=1 -c "CREATE DATABASE $1 TEMPLATE template0"
    database=$1
    export PGDATABASE=$database
}

sql() {  # TEXT
    psql -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"
}

check() {  # WHAT EXPECTED GOT
    [ "$2" = "$3" ] || fault "$1: expected '$2', got '$3'"
}

wait_for() {  # SECONDS SQL EXPECTED: until a query gives that
    local got i
    for ((i = 0; i < $1 * 20; i++)); do
        got=$(sql "$2")
        [ "$got" != "$3" ] || return 0
        sleep 0.05
    done
    fault "$2: expected '$3' within $1 s, got '$got'"
}

# --- C in documents ---

# Writes the C between "<!-- example: NAME -->" and "<!-- end -->" to NAME in a directory, and prints the
# names. A block without an end, or without C, is a fault.
extract() {  # FILE DIRECTORY
    awk -v dir="$2" '
        /^<!-- example: .* -->$/ { if (name) bad = 1; name = $3; lines = 0; next }
        /^<!-- end -->$/ { if (!name || !lines) bad = 1; print name; close(dir "/" name); name = ""; next }
        name && /^```c$/ { code = 1; next }
        name && /^```$/ { code = 0; next }
        name && code { print > (dir "/" name); lines++ }
        END { if (name || bad) exit 1 }' "$1" || { echo "examples of $1 are not well formed" >&2; return 1; }
}

compile() {  # ARG...
    "$PGQ_CC" -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
        -Wstrict-prototypes -Werror \
        -I "$PGQ_SOURCE_DIR/include" -I "$PGQ_GENERATED/include" -I "$PGQ_LIBPQ_INCLUDE" "$@"
}

link() {  # SOURCE PROGRAM
    compile -o "$2" "$1" "$PGQ_LIBRARY" -Wl,-rpath,"$(dirname "$PGQ_LIBRARY")" -lpq
}
