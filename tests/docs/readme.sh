#!/usr/bin/env bash
# The program of the README does what the README says, on a database where pgq has never been.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
make_database "pgq_docs_readme_$$"

extract "$PGQ_SOURCE_DIR/README.md" "$work" >/dev/null
link "$work/readme.c" "$work/readme"
sql "CREATE TABLE orders (id integer PRIMARY KEY, shipped boolean NOT NULL DEFAULT false)"
sql "INSERT INTO orders VALUES (17), (18)"

status=0
said=$("$work/readme") || status=$?
check "its exit status ($said)" 0 "$status"
check "the orders" "17|t 18|f" "$(sql 'SELECT * FROM orders ORDER BY id' | xargs)"
check "what is left in the queue" "0|0|0|0|0" "$(sql "SELECT * FROM mq.count('orders')")"

# The work fails: it is not there, and the message is back with the server's text.
sql "ALTER TABLE orders ADD CHECK (NOT (id = 17 AND shipped)) NOT VALID"
sql "UPDATE orders SET shipped = false"
status=0
said=$("$work/readme") || status=$?
check "its exit status when the work fails ($said)" 1 "$status"
check "the orders when the work fails" "17|f 18|f" "$(sql 'SELECT * FROM orders ORDER BY id' | xargs)"
check "the message when the work fails" "1|t" \
    "$(sql "SELECT errors, last_error LIKE '%check constraint%' FROM mq.list('orders')")"
verdict
