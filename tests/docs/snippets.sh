#!/usr/bin/env bash
# The C in the documents compiles without a warning; what has a main() links.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

mapfile -t documents < <(find "$PGQ_SOURCE_DIR" -maxdepth 1 -name '*.md'; find "$PGQ_SOURCE_DIR/docs" -name '*.md')
found=0
for document in "${documents[@]}"; do
    mkdir -p "$work/c"
    names=$(extract "$document" "$work/c")
    # An example that nothing marks would not be tried.
    check "C in $document that is not marked" "$(grep -c '^<!-- example:' "$document" || true)" \
        "$(grep -c '^```c$' "$document" || true)"
    for name in $names; do
        found=$((found + 1))
        if grep -q '^int main(' "$work/c/$name"; then
            link "$work/c/$name" "$work/program" || fault "$document: $name does not build"
        else
            compile -c -o "$work/object" "$work/c/$name" || fault "$document: $name does not compile"
        fi
    done
    rm -rf "$work/c"
done

# The manual's example is text between macros.
sed -n '/^\.SH EXAMPLES/,/^\.fi/p' "$PGQ_SOURCE_DIR/docs/man/pgq.3" | grep -v '^\.' |
    sed -e 's/\\-/-/g' -e 's/\\e/\\/g' >"$work/manual.c"
grep -q '^int main(' "$work/manual.c" || fault "pgq.3 has no example"
link "$work/manual.c" "$work/program" || fault "the example of pgq.3 does not build"

[ "$found" -ge 2 ] || fault "only $found examples were found"
echo "$found examples"
verdict
