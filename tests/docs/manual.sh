#!/usr/bin/env bash
# The manual page pgq(3) has every function of the headers as it is declared, and none other; every status with its
# text; and is sound where there is a program to tell.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
page=$PGQ_SOURCE_DIR/docs/man/pgq.3

# Prototypes, one a line and without blanks. The page's are on lines of .B and .BI, over several of them if long.
sed -e 's@/\*[^*]*\*/@@g' "$PGQ_SOURCE_DIR"/include/pgq/*.h |
    awk '/^PGQ_EXPORT/ { on = 1 } on { text = text $0 } on && /;/ { print text; text = ""; on = 0 }' |
    sed -E 's/^PGQ_EXPORT//; s/ PGQ_PRINTF\([^)]*\)//' | tr -d ' \t' | sort >"$work/headers"
sed -nE 's/^\.BI? //p' "$page" | tr -d '" ' |
    awk '/^(constchar\*|constpgq|pgq_status|void|int|size_t|PGconn\*).*pgq_[a-z_]*\(/ { on = 1 }
         on { text = text $0 } on && /\)?;$/ { print text; text = ""; on = 0 }' | sort >"$work/page"
count=$(wc -l <"$work/headers")
[ "$count" -ge 50 ] || fault "only $count functions were found in the headers"
diff -u "$work/headers" "$work/page" >&2 || fault "pgq.3 and the headers have other functions, or other prototypes"

# X(NAME, value, "sqlstate", "text")
sed -nE 's/^ *X\(([A-Z_]+), -?[0-9]+, "[^"]*", "([^"]*)"\).*/\1\t\2/p' "$PGQ_SOURCE_DIR/include/pgq/status.h" >"$work/statuses"
# In the page: NAME, a tab, T{; the text; T}
awk -F '\t' '$2 == "T{" { getline text; print $1 "\t" text }' "$page" >"$work/texts"
[ "$(wc -l <"$work/statuses")" -ge 15 ] || fault "the statuses were not found"
while IFS= read -r line; do
    grep -qxF "$line" "$work/texts" || fault "pgq.3 has not: $line"
done <"$work/statuses"

if command -v groff >/dev/null; then
    for page in "$PGQ_SOURCE_DIR"/docs/man/*.[0-9]; do
        warnings=$(groff -t -man -Tutf8 -ww -Wbreak -z "$page" 2>&1)
        [ -z "$warnings" ] || fault "$warnings"
    done
fi
echo "$count functions"
verdict
