#!/usr/bin/env bash
# Every public header stands alone, and may be included twice, in C and in C++, old and new.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
: "${PGQ_GENERATED:?}" "${PGQ_CC:?}" "${PGQ_CXX:?}" "${PGQ_LIBPQ_INCLUDE:?}"

headers=0
for path in "$PGQ_SOURCE_DIR"/include/pgq/*.h "$PGQ_GENERATED"/include/pgq/version.h; do
    header=$(basename "$path")
    headers=$((headers + 1))
    for standard in c99 c11 c++11 c++20; do
        case $standard in
        c++*) compiler=$PGQ_CXX language=c++ ;;
        *) compiler=$PGQ_CC language=c ;;
        esac
        printf '#include <pgq/%s>\n#include <pgq/%s>\nint main(void);\nint main(void) { return 0; }\n' \
            "$header" "$header" |
            "$compiler" -x "$language" -std="$standard" -Wall -Wextra -pedantic -Werror -fsyntax-only \
                -I "$PGQ_SOURCE_DIR/include" -I "$PGQ_GENERATED/include" -isystem "$PGQ_LIBPQ_INCLUDE" - ||
            fault "pgq/$header does not compile alone as $standard"
    done
done
[ "$headers" -ge 10 ] || fault "only $headers headers were found"
verdict
