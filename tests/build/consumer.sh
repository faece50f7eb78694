#!/usr/bin/env bash
# Installs the library, moves the tree, and builds users of it by pkg-config and by find_package,
# in C and in C++, shared and static.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
: "${PGQ_BINARY_DIR:?}" "${PGQ_CC:?}" "${PGQ_CXX:?}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/moved
main=$PGQ_SOURCE_DIR/tests/build/consumer/main.c

cmake --install "$PGQ_BINARY_DIR" --prefix "$work/installed" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
mv "$work/installed" "$prefix"
for file in include/pgq/pgq.h include/pgq/version.h share/pgq/pgq.sql; do
    [ -s "$prefix/$file" ] || fault "$file is not installed"
done
pc=$(find "$prefix" -name pgq.pc)
archive=$(find "$prefix" -name libpgq.a)
shared=$(find "$prefix" -name libpgq.so)
if [ -z "$pc" ] || [ -z "$archive" ] || [ -z "$shared" ]; then
    fault "pgq.pc, libpgq.a or libpgq.so is not installed"
    verdict
fi
PKG_CONFIG_PATH=$(dirname "$pc")${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
libdir=$(dirname "$shared")

# try program how: it runs, and is linked as it should be.
try() {
    local program=$1 how=$2 linked=shared
    LD_LIBRARY_PATH=$libdir "$program" "pgq_consumer_$$" >"$work/out" || fault "$how: it fails"
    [ -s "$work/out" ] || fault "$how: it printed no version"
    readelf -d "$program" | grep -q 'NEEDED.*libpgq\.so' || linked=static
    case $how in
    *"$linked"*) ;;
    *) fault "$how: it is linked $linked" ;;
    esac
    # Only the shared library's own file asks for json-c.
    if [ "$linked" = shared ] && readelf -d "$program" | grep -q 'NEEDED.*libjson-c'; then
        fault "$how: the program itself is linked to json-c"
    fi
}

# compile program source-language flag...
compile() {
    local program=$1 language=$2 compiler=$PGQ_CC standard=c99
    shift 2
    if [ "$language" = c++ ]; then
        compiler=$PGQ_CXX standard=c++11
    fi
    "$compiler" -x "$language" -std="$standard" -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror "$main" -x none \
        -o "$program" "$@"
}

# --- pkg-config ---

read -ra cflags < <(pkg-config --cflags pgq)
read -ra libs < <(pkg-config --libs pgq)
# --static names every library below libpq as well, which Debian does not have as archives; the
# usual static user links the archive of pgq to shared libraries, with what pgq.pc says is private.
mapfile -t requires < <(pkg-config --print-requires --print-requires-private pgq | awk '{ print $1 }')
read -ra below < <(pkg-config --libs "${requires[@]}")
# pkg-config may leave blanks at the end, which read -ra drops.
case " $(pkg-config --static --libs pgq) " in
*" -ljson-c "*) ;;
*) fault "pkg-config --static does not name json-c" ;;
esac
for language in c c++; do
    if compile "$work/shared" "$language" "${cflags[@]}" "${libs[@]}"; then
        try "$work/shared" "pkg-config, $language, shared"
    else
        fault "pkg-config, $language, shared: it does not build"
    fi
    if compile "$work/static" "$language" "${cflags[@]}" "$archive" "${below[@]}" -pthread; then
        try "$work/static" "pkg-config, $language, static"
    else
        fault "pkg-config, $language, static: it does not build"
    fi
done
[ "$(pkg-config --modversion pgq)" = "${PGQ_VERSION:?}" ] || fault "pgq.pc has another version"
[ -s "$(pkg-config --variable=sqldir pgq)/pgq.sql" ] || fault "pgq.pc does not lead to pgq.sql"

# --- find_package ---

if cmake -S "$PGQ_SOURCE_DIR/tests/build/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$PGQ_CC" -DCMAKE_CXX_COMPILER="$PGQ_CXX" >"$work/log" 2>&1 &&
    cmake --build "$work/build" >>"$work/log" 2>&1; then
    for program in c_shared c_static cpp_shared cpp_static; do
        try "$work/build/$program" "find_package, $program"
    done
else
    cat "$work/log" >&2
    fault "find_package: it does not build"
fi
verdict
