#!/usr/bin/env bash
# Every public function has the comment that CONTRIBUTING.md prescribes.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

out=$(awk '
    FNR == 1 { comment = ""; inside = 0 }
    /\/\*\*/ { comment = ""; inside = 1 }
    inside { comment = comment " " $0; if (/\*\//) inside = 0; next }
    /^PGQ_EXPORT/ {
        functions++
        if (comment == "")
            print FILENAME ":" FNR ": no comment stands before " $0
        else
            for (i = split("Transaction Blocking Threads Ownership Since", tags, " "); i > 0; i--)
                if (comment !~ (tags[i] "[:,]"))
                    print FILENAME ":" FNR ": the comment does not say " tags[i] ": " $0
    }
    # Any other line parts a comment from what follows it.
    { comment = "" }
    END { if (functions < 40) print "only " functions + 0 " public functions were found" }
' "$PGQ_SOURCE_DIR"/include/pgq/*.h)
while read -r line; do
    [ -z "$line" ] || fault "$line"
done <<<"$out"
verdict
