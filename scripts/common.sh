# shellcheck shell=bash
# Functions shared by scripts/test and scripts/demo; to be sourced by bash.
#
#   require tool...       installs what is missing, by apt: cc c++ cmake make pkg-config libpq json-c
#                         zlib cmocka server psql valgrind ps zsh fish yaml-parser prometheus-parser
#   start_server [on|off] starts a private PostgreSQL with fsync on or off, and sets server_dsn; it is stopped
#                         and removed when the script ends, however it ends
#   run log command...    runs a command quietly; shows the log if it fails
#   at_exit function      one more thing to do at the end, before the server is stopped
#   stop_server, say, die
set -euo pipefail

say() {
    printf '%s: %s\n' "${0##*/}" "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# --- the end of the script ---

exit_functions=()
step_pid=
server_dir=
# shellcheck disable=SC2034  # for the script
server_dsn=
cluster_conf_saved=

at_exit() {
    exit_functions=("$@" "${exit_functions[@]}")
}

finish() {
    local status=$? function
    trap - EXIT
    trap '' INT TERM HUP
    end_step
    for function in "${exit_functions[@]}"; do
        "$function" || true
    done
    restore_cluster_conf
    stop_server
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Each step has a process group of its own, so that it can be ended with all that it has started.
end_step() {
    local i
    [ -n "$step_pid" ] || return 0
    kill -TERM -- "-$step_pid" 2>/dev/null || true
    for ((i = 0; i < 50; i++)); do
        kill -0 -- "-$step_pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$step_pid" 2>/dev/null || true
    step_pid=
}

# step command...: as the shell would run it, but the script's traps are served meanwhile.
step() {
    local status=0
    set -m
    "$@" </dev/null &
    step_pid=$!
    set +m
    wait "$step_pid" || status=$?
    end_step
    return "$status"
}

run() {
    local log=$1 status=0
    shift
    mkdir -p "$(dirname "$log")"
    step "$@" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
        say "failed, with status $status: $*" >&2
    fi
    return "$status"
}

# --- what is missing ---

# The directory of the newest server's programs that this machine has; fails if it has none of 14 or later.
server_bin() {
    local dir version
    while read -r dir; do
        if [ ! -x "$dir/initdb" ] || [ ! -x "$dir/postgres" ] || [ ! -x "$dir/pg_ctl" ]; then
            continue
        fi
        version=$("$dir/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
        if [ "$version" -ge 14 ]; then
            printf '%s\n' "$dir"
            return 0
        fi
    done < <(
        printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV
        dirname "$(command -v pg_ctl || echo /nonexistent/pg_ctl)"
        pg_config --bindir 2>/dev/null || true
    )
    return 1
}

has() {
    case $1 in
    cc | c++ | make | pkg-config | valgrind | ps | psql | zsh | fish) command -v "$1" >/dev/null ;;
    cmake) command -v cmake >/dev/null && printf '3.22\n%s\n' "$(cmake --version | sed -n '1s/.* //p')" | sort -CV ;;
    libpq | json-c | zlib | cmocka) command -v pkg-config >/dev/null && pkg-config --exists "$1" ;;
    # The python that apt installs for, whatever comes first in PATH.
    yaml-parser) /usr/bin/python3 -c 'import yaml' 2>/dev/null ;;
    prometheus-parser) /usr/bin/python3 -c 'import prometheus_client' 2>/dev/null ;;
    server) server_bin >/dev/null ;;
    *) die "nobody knows what $1 is" ;;
    esac
}

package_of() {
    case $1 in
    cc) echo "gcc libc6-dev" ;;
    c++) echo g++ ;;
    libpq) echo libpq-dev ;;
    json-c) echo libjson-c-dev ;;
    zlib) echo zlib1g-dev ;;
    cmocka) echo libcmocka-dev ;;
    ps) echo procps ;;
    psql) echo postgresql-client ;;
    yaml-parser) echo python3-yaml ;;
    prometheus-parser) echo python3-prometheus-client ;;
    server) echo server ;;
    *) echo "$1" ;;
    esac
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        sudo "$@"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# A new server package makes a cluster and starts it, unless this file says otherwise. It is put back.
cluster_conf=/etc/postgresql-common/createcluster.conf

restore_cluster_conf() {
    [ -n "$cluster_conf_saved" ] || return 0
    as_root cp "$cluster_conf_saved" "$cluster_conf" || true
    rm -f "$cluster_conf_saved"
    cluster_conf_saved=
}

install_server() {
    local package=postgresql-15 saved
    apt-cache show "$package" >/dev/null 2>&1 || package=postgresql
    apt_install postgresql-common || return 1
    saved=$(mktemp) && cat "$cluster_conf" >"$saved" || return 1
    cluster_conf_saved=$saved
    printf 'create_main_cluster = false\n' | as_root tee "$cluster_conf" >/dev/null || return 1
    apt_install "$package" || return 1
    restore_cluster_conf
}

require() {
    local tool log packages=() server=
    for tool in "$@"; do
        has "$tool" || read -ra packages < <(echo "${packages[*]} $(package_of "$tool")")
    done
    [ "${#packages[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "missing, and there is no apt-get to install it: ${packages[*]}"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        die "missing: ${packages[*]}. Run this as root, or install sudo, or install them"
    say "installing ${packages[*]}"
    # A password may be asked for now, not behind the log.
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || sudo true
    log=$(mktemp)
    if [[ " ${packages[*]} " == *" server "* ]]; then
        server=1
        read -ra packages < <(echo " ${packages[*]} " | sed 's/ server / /')
    fi
    if ! { as_root apt-get update -q &&
        { [ "${#packages[@]}" -eq 0 ] || apt_install "${packages[@]}"; } &&
        { [ -z "$server" ] || install_server; }; } >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        die "the packages could not be installed"
    fi
    rm -f "$log"
    for tool in "$@"; do
        has "$tool" || die "$tool is still missing"
    done
}

# --- the private server ---

# initdb and postgres refuse to run as root.
as_server() {
    if [ "$(id -u)" -ne 0 ]; then
        (cd "$server_dir" && "$@")
    elif id postgres >/dev/null 2>&1; then
        (cd "$server_dir" && setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups "$@")
    else
        (cd "$server_dir" && setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@")
    fi
}

start_server() {
    local fsync=${1:-on} bin locale=C parent=${TMPDIR:-/tmp}
    bin=$(server_bin) || die "there is no PostgreSQL server of version 14 or later"
    # The path of a socket has to be short.
    [ "${#parent}" -le 60 ] || parent=/tmp
    server_dir=$(mktemp -d "$parent/pgq-server.XXXXXX")
    if [ "$(id -u)" -eq 0 ]; then
        chown "$(id -u postgres 2>/dev/null || id -u nobody)" "$server_dir"
    fi
    if locale -a 2>/dev/null | grep -qiE '^C\.utf-?8$'; then
        locale=C.UTF-8
    fi
    as_server "$bin/initdb" -D "$server_dir/data" -U postgres -A trust -E UTF8 --locale="$locale" -N \
        >"$server_dir/initdb.log" 2>&1 || {
        cat "$server_dir/initdb.log" >&2
        die "initdb failed"
    }
    as_server tee -a "$server_dir/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$server_dir'
unix_socket_permissions = 0777
max_connections = 200
fsync = $fsync
log_min_messages = warning
CONF
    as_server "$bin/pg_ctl" start -w -t 60 -s -D "$server_dir/data" -l "$server_dir/server.log" </dev/null || {
        cat "$server_dir/server.log" >&2
        die "the server did not start"
    }
    # shellcheck disable=SC2034  # for the script
    server_dsn="host=$server_dir user=postgres dbname=postgres"
}

stop_server() {
    local bin
    [ -n "$server_dir" ] || return 0
    if [ -s "$server_dir/data/postmaster.pid" ] && bin=$(server_bin); then
        as_server "$bin/pg_ctl" stop -s -m fast -w -t 30 -D "$server_dir/data" >/dev/null 2>&1 ||
            as_server "$bin/pg_ctl" stop -s -m immediate -w -t 30 -D "$server_dir/data" || true
    fi
    rm -rf "$server_dir"
    server_dir=
}
