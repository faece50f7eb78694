# For the SQL tests that need private servers: source it behind lib.sh. The programs are those of the server that the other
# tests use; where they cannot be had, the test is skipped.
# shellcheck shell=bash
bin=$(run_psql -c "SELECT setting FROM pg_config WHERE name = 'BINDIR'" 2>/dev/null) || bin=
if [ ! -x "$bin/initdb" ] || [ ! -x "$bin/pg_basebackup" ] || [ "$("$bin/postgres" -V)" != "postgres (PostgreSQL) $(run_psql -c 'SHOW server_version')" ]; then
    echo "the server's programs are not on this machine: skipped"
    exit 77
fi
home=$(mktemp -d /tmp/pgq-test.XXXXXX)
as=()  # the server refuses to run as root
if [ "$(id -u)" -eq 0 ]; then
    user=$(id -u postgres 2>/dev/null || id -u nobody)
    as=(setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups)
    chown "$user" "$home"
fi
server() { (cd "$home" && "${as[@]}" "$bin/$1" "${@:2}" </dev/null >>"$home.log" 2>&1); }  # PROGRAM ARGUMENT...
start() { server pg_ctl start -w -s -D "$home/$1" -l "$home/$1.log" -o "-p $2"; }           # NAME PORT
stop() { server pg_ctl stop -w -s -m "${2:-fast}" -D "$home/$1"; }                           # NAME [MODE]

# The end of a postgresql.conf: stdin.
configure() { "${as[@]}" tee -a "$home/$1/postgresql.conf" >/dev/null; }  # NAME
