#!/usr/bin/env bash
# What the shared library exports, what the headers declare, and src/libpgq.symbols are one list.
#   symbols.sh --print     the list as the headers have it, to update src/libpgq.symbols with
# shellcheck source=common.sh
PGQ_SOURCE_DIR=${PGQ_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
. "$(dirname "$0")/common.sh"
export LC_ALL=C

declared() {
    awk '/^PGQ_EXPORT/ {
             if (match($0, /pgq_[a-z0-9_]+ *\(/))
                 print substr($0, RSTART, RLENGTH - 1)
             else
                 print "undecipherable: " FILENAME ": " $0
         }' "$PGQ_SOURCE_DIR"/include/pgq/*.h | sort
}

if [ "${1:-}" = --print ]; then
    declared
    exit 0
fi
: "${PGQ_LIBRARY:?}" "${PGQ_STATIC_LIBRARY:?}"

same() {
    diff -u --label "$1" --label "$2" "$3" "$4" >&2 || fault "$1 and $2 differ"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
declared >"$work/headers"
nm -D --defined-only --format=posix "$PGQ_LIBRARY" | awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' | sort >"$work/exported"
# Not grep -q: it would go before nm has written all, and nm would be at fault.
nm -D --defined-only "$PGQ_LIBRARY" | grep "@@LIBPGQ_0" >"$work/versioned" || fault "the symbols carry no version LIBPGQ_0"
[ -s "$work/headers" ] || fault "the headers declare nothing"
same "the headers" src/libpgq.symbols "$work/headers" "$PGQ_SOURCE_DIR/src/libpgq.symbols"
same src/libpgq.symbols "the library" "$PGQ_SOURCE_DIR/src/libpgq.symbols" "$work/exported"

# The static library hides nothing, so its own names have to keep to the prefixes.
nm -g --defined-only --format=posix "$PGQ_STATIC_LIBRARY" |
    awk 'NF > 2 && $1 !~ /^pgqi?_/ && $2 ~ /[A-Z]/ { print $1 }' >"$work/foreign"
while read -r name; do
    fault "the static library defines $name, which has none of the prefixes pgq_ and pgqi_"
done <"$work/foreign"
verdict
