# shellcheck shell=bash
# What the peers need: packages, clients, servers. To be sourced by run, after scripts/common.sh.
#
#   install_peer NAME     what it needs is there, or why[NAME] says why it cannot run
#   start_database        the one PostgreSQL of all peers
#   make_template NAME    an empty queue of that peer, to be copied for each case
#   fresh NAME            starts from an empty queue, and sets where
#   stop_daemon           ends what fresh started
#   client NAME CASE SECONDS   prints what a case has given
# root, here, scratch, why and versions are run's, too; server_dir and server_dsn are common.sh's.
# shellcheck disable=SC2154,SC2034

graphile_version=0.18.0
pgboss_version=12.35.0
rsmq_version=0.12.4
node_version=22

declare -A why versions
node=
daemon_pid=
where=

# --- installing ---

# A package may not start its service: the peers run one at a time, and as they are set up here.
policy=/usr/sbin/policy-rc.d
policy_made=

remove_policy() {
    [ -z "$policy_made" ] || as_root rm -f "$policy"
    policy_made=
}

updated=
apt_peer() {
    local log status=0
    log=$(mktemp)
    if [ ! -e "$policy" ]; then
        policy_made=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
    fi
    [ -n "$updated" ] || as_root apt-get update -q >"$log" 2>&1 || true
    updated=1
    say "installing $*"
    if ! apt_install "$@" >>"$log" 2>&1 </dev/null; then
        tail -3 "$log" >&2
        status=1
    fi
    rm -f "$log"
    remove_policy
    return "$status"
}

package_version() {
    dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo unknown
}

npm_peer() { # directory package@version...
    local dir=$scratch/npm/$1
    shift
    mkdir -p "$dir"
    [ -e "$dir/package.json" ] || echo '{"private": true}' >"$dir/package.json"
    if [ "$(cat "$dir/installed" 2>/dev/null)" != "$*" ]; then
        say "installing $*"
        if ! (cd "$dir" && npm install --no-audit --no-fund --loglevel=error "$@") >"$dir/log" 2>&1 </dev/null; then
            tail -3 "$dir/log" >&2
            return 1
        fi
        echo "$*" >"$dir/installed"
    fi
    cp "$here"/*.mjs "$dir/"
}

# The newest clients want a newer Node.js than Debian has; npm has that, too.
install_node() {
    [ -z "$node" ] || return 0
    command -v npm >/dev/null || apt_peer nodejs npm || return 1
    node=$(command -v node)
    [ "$("$node" -p 'parseInt(process.versions.node)')" -ge "$node_version" ] && return 0
    node=
    npm_peer node "node@$node_version" || return 1
    node=$scratch/npm/node/node_modules/.bin/node
    "$node" --version >/dev/null || { node='' && return 1; }
}

npm_client() { # name directory package version
    install_node || { why[$1]="Node.js $node_version could not be installed" && return; }
    npm_peer "$2" "$3@$4" || { why[$1]="npm could not install $3 $4" && return; }
    versions[$1]="$3 $4, Node.js $("$node" --version)"
}

build_client() { # name source...
    local name=$1 file flags=(-std=c11 -O2 -D_GNU_SOURCE -Wall -Wextra -Werror) includes source=() libraries=()
    shift
    for file in "$@"; do source+=("$here/$file"); done
    read -ra includes < <(pkg-config --cflags libpq)
    if [ "$name" = pgq ]; then
        includes+=("-I$root/include" "-I$scratch/pgq/generated/include")
        libraries=("$scratch/pgq/libpgq.a" -ljson-c)
    fi
    cc "${flags[@]}" "${includes[@]}" "${source[@]}" "${libraries[@]}" -lpq -lpthread -o "$scratch/peer_$name" ||
        die "the client of $name does not compile"
}

install_pgq() {
    local log=$scratch/pgq-build.log
    run "$log" cmake -S "$root" -B "$scratch/pgq" -DCMAKE_BUILD_TYPE=Release -DPGQ_BUILD_TESTS=OFF \
        -DPGQ_BUILD_TOOLS=OFF -DPGQ_BUILD_EXAMPLES=OFF || die "pgq does not configure"
    run "$log" cmake --build "$scratch/pgq" --target pgq_static -j "$(nproc)" || die "pgq does not build"
    build_client pgq peer_pgq.c driver.c
    versions[pgq]=$(sed -n 's/^project(pgq VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")$(commit_of_pgq)
}

commit_of_pgq() {
    local commit
    commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null) || return 0
    [ -z "$(git -C "$root" status --porcelain -- src include sql 2>/dev/null)" ] || commit="$commit and later changes"
    printf ' (%s)' "$commit"
}

install_pgmq() {
    local control
    if [ -z "${PGMQ_SQL:-}" ]; then
        why[pgmq]="its SQL file is in no package of Debian or npm, and was not given by PGMQ_SQL=FILE"
        return
    fi
    [ -r "$PGMQ_SQL" ] || die "PGMQ_SQL is $PGMQ_SQL: a file that can be read is wanted"
    build_client pgmq peer_pgmq.c driver.c sql.c
    control=$(dirname "$PGMQ_SQL")/../pgmq.control
    versions[pgmq]=${PGMQ_VERSION:-$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$control" 2>/dev/null || true)}
    [ -n "${versions[pgmq]}" ] ||
        versions[pgmq]="of unknown version; the digest of its SQL is $(sha256sum "$PGMQ_SQL" | cut -c1-12)"
    versions[pgmq]+=", SQL only"
}

install_pgq3() {
    local bin major
    bin=$(server_bin)
    major=$("$bin/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
    if [ ! -e "$bin/../lib/pgq_lowlevel.so" ] || ! command -v pgqd >/dev/null; then
        apt_peer "postgresql-$major-pgq3" pgqd ||
            { why[pgq3]="apt could not install postgresql-$major-pgq3 and pgqd" && return; }
    fi
    build_client pgq3 peer_pgq3.c driver.c sql.c
    versions[pgq3]="$(package_version "postgresql-$major-pgq3"), pgqd $(package_version pgqd)"
}

install_beanstalkd() {
    command -v beanstalkd >/dev/null || apt_peer beanstalkd ||
        { why[beanstalkd]="apt could not install beanstalkd" && return; }
    build_client beanstalkd peer_beanstalkd.c driver.c
    versions[beanstalkd]=$(package_version beanstalkd)
}

install_rsmq() {
    command -v redis-server >/dev/null || apt_peer redis-server ||
        { why[rsmq]="apt could not install redis-server" && return; }
    npm_client rsmq rsmq rsmq "$rsmq_version"
    versions[rsmq]="${versions[rsmq]:-}, Redis $(package_version redis-server)"
}

install_peer() {
    case $1 in
    graphile) npm_client graphile graphile graphile-worker "$graphile_version" ;;
    pgboss) npm_client pgboss pgboss pg-boss "$pgboss_version" ;;
    *) "install_$1" ;;
    esac
}

# --- the servers ---

psql_do() { # database statement...
    local database=$1 statement arguments=()
    shift
    for statement in "$@"; do arguments+=(-c "$statement"); done
    psql -X -q -At -v ON_ERROR_STOP=1 -d "${server_dsn/dbname=postgres/dbname=$database}" "${arguments[@]}"
}

database_settings=(
    "shared_buffers = '512MB'" "max_wal_size = '8GB'" "checkpoint_timeout = '30min'"
    "fsync = on" "synchronous_commit = on" "full_page_writes = on" "autovacuum_naptime = '10s'"
)

start_database() {
    local setting bin
    start_server on
    for setting in "${database_settings[@]}"; do
        psql_do postgres "ALTER SYSTEM SET $setting"
    done
    bin=$(server_bin)
    as_server "$bin/pg_ctl" restart -w -s -m fast -D "$server_dir/data" -l "$server_dir/server.log" </dev/null
}

is_sql() {
    case $1 in pgq | pgmq | graphile | pgboss | pgq3) return 0 ;; *) return 1 ;; esac
}

make_template() {
    is_sql "$1" || return 0
    psql_do postgres "CREATE DATABASE empty_$1"
    where=${server_dsn/dbname=postgres/dbname=empty_$1}
    if [ "$1" = pgmq ]; then
        psql -X -q -v ON_ERROR_STOP=1 -d "$where" -f "$PGMQ_SQL" >"$scratch/pgmq.log" 2>&1 || return 1
    fi
    client "$1" prepare 1 >"$scratch/prepare.log" 2>&1
}

stop_daemon() {
    [ -n "$daemon_pid" ] || return 0
    kill "$daemon_pid" 2>/dev/null || true
    wait "$daemon_pid" 2>/dev/null || true
    daemon_pid=
}

daemon() { # log command...: and waits for its socket, which is where
    local i log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
    daemon_pid=$!
    for ((i = 0; i < 100; i++)); do
        [ ! -S "$where" ] || return 0
        sleep 0.05
    done
    cat "$log" >&2
    return 1
}

fresh() {
    stop_daemon
    rm -rf "$server_dir/daemon"
    case $1 in
    beanstalkd)
        mkdir -p "$server_dir/daemon"
        where=$server_dir/daemon/socket
        daemon "$server_dir/daemon.log" beanstalkd -b "$server_dir/daemon" -f 0 -l "unix:$where"
        ;;
    rsmq)
        mkdir -p "$server_dir/daemon"
        where=$server_dir/daemon/socket
        daemon "$server_dir/daemon.log" redis-server --port 0 --unixsocket "$where" \
            --dir "$server_dir/daemon" --appendonly yes --appendfsync always --save '' && client rsmq prepare 1
        ;;
    *)
        psql_do postgres "DROP DATABASE IF EXISTS bench WITH (FORCE)" \
            "CREATE DATABASE bench TEMPLATE empty_$1" CHECKPOINT
        where=${server_dsn/dbname=postgres/dbname=bench}
        [ "$1" != pgq3 ] || start_pgqd
        ;;
    esac
}

# Its own ticks, once a second, stand between those that the client asks for.
start_pgqd() {
    cat >"$server_dir/pgqd.ini" <<CONF
[pgqd]
base_connstr = host=$server_dir user=postgres
initial_database = postgres
database_list = bench
syslog = 0
CONF
    pgqd -q "$server_dir/pgqd.ini" >"$server_dir/daemon.log" 2>&1 </dev/null &
    daemon_pid=$!
}

# One case of a peer: prints a line of JSON.
client() { # name case seconds
    case $1 in
    graphile | pgboss | rsmq)
        timeout --foreground 180 "$node" "$scratch/npm/$1/peer_$1.mjs" "$(uri_of_where)" "$2" "$3"
        ;;
    *) timeout --foreground 180 "$scratch/peer_$1" "$where" "$2" "$3" ;;
    esac
}

# The clients of Node.js want a URI where libpq takes a conninfo string.
uri_of_where() {
    if [ -S "$where" ]; then
        printf '%s' "$where"
    else
        printf 'postgres://postgres@/%s?host=%s' "${where##*dbname=}" "$server_dir"
    fi
}
