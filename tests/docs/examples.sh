#!/usr/bin/env bash
# The programs of examples/ do what they say.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
make_database "pgq_docs_examples_$$"
: "${PGQ_EXAMPLES:?run by ctest}"

send() {  # ORDER
    "$PGQ_EXAMPLES/enqueue_in_transaction" "$1" >>"$work/sent" 2>&1
}

# The first one installs the namespace.
check "what json printed" 'to Ada: { "to": "Ada", "items": 3 }' "$("$PGQ_EXAMPLES/json" 2>&1)"

# The order and its message: both, or neither.
sql "SELECT mq.create_queue('orders', error_limit => 3)" >/dev/null
send A1 || fault "enqueue_in_transaction failed: $(cat "$work/sent")"
check "an order and its message" "A1|1" "$(sql "SELECT o.id, c.ready FROM orders o, mq.count('orders') c")"
! send A1 || fault "the same order was taken twice"
check "after an order that failed" "1|1" "$(sql "SELECT (SELECT count(*) FROM orders), ready FROM mq.count('orders')")"

# The worker ships what is there, and what comes; one that fails comes back until it is a dead letter; and it stops.
"$PGQ_EXAMPLES/worker" >"$work/worker" 2>&1 &
worker=$!
send A2
sql "SELECT mq.enqueue('orders', 'nobody''s')" >/dev/null
wait_for 20 "SELECT string_agg(id, ' ' ORDER BY id) FROM orders WHERE shipped" "A1 A2"
wait_for 20 "SELECT errors, last_error FROM mq.list('orders', 'dead')" \
    "3|order nobody's is unknown, or was shipped before"
kill -TERM "$worker"
status=0
wait "$worker" || status=$?
check "the worker's exit status" 0 "$status"
grep -q '^stopping' "$work/worker" || fault "the worker did not say that it stops: $(cat "$work/worker")"

# What is typed comes back, in order, a last line without an end too.
said=$(printf 'one\ntwo words\nthree' | "$PGQ_EXAMPLES/event_loop" | sed 's/^[0-9]*: //' | xargs -d '\n' printf '%s,')
check "what event_loop printed" "one,two words,three," "$said"

# What others send is printed while its input stays open.
mkfifo "$work/input"
"$PGQ_EXAMPLES/event_loop" <"$work/input" >"$work/lines" 2>&1 &
loop=$!
exec 9>"$work/input"
sql "SELECT mq.enqueue('lines', 'from elsewhere')" >/dev/null
wait_for 20 "SELECT ready + in_flight FROM mq.count('lines')" 0
exec 9>&-
status=0
wait "$loop" || status=$?
check "event_loop's exit status" 0 "$status"
grep -q ': from elsewhere$' "$work/lines" || fault "event_loop did not print it: $(cat "$work/lines")"

# What is compressed is smaller in the queue, and comes back as it was; what is corrupt is a dead letter that says so.
if [ -x "$PGQ_EXAMPLES/compress" ]; then
    status=0
    said=$("$PGQ_EXAMPLES/compress" 2>&1) || status=$?
    check "compress's exit status ($said)" 0 "$status"
    check "what compress printed" "text: 12 bytes, 12 in the queue|JSON: N bytes, M in the queue|a dead letter" \
        "$(sed -E 's/^JSON: 19[0-9]{3} bytes, 1[0-9]{3} in/JSON: N bytes, M in/; s/^(a dead letter): .*compressed payload is corrupt: .+/\1/' \
            <<<"$said" | paste -sd '|')"
    # Prefixes that lie: zlib's 300 bytes, said to be fewer, more, very many, of no kind; cut off; with more behind them; nothing.
    z=78da4b4c1c05c40200d8a871ad
    for bytes in "62000000ff$z" "6200000190$z" "6219000000$z" "7a0000012c$z" "620000012c${z%??????}" "620000012c${z}00" ""; do
        sql "SELECT mq.enqueue('compress-example', '\\x897a6c01$bytes'::bytea)" >/dev/null
    done
    said=$("$PGQ_EXAMPLES/compress" 2>&1 | sed -n 's/^a dead letter: .*corrupt: //p' | sort | paste -sd '|')
    check "what compress said of lies" \
        "incorrect data check|it is too long|it is too short|it would be over the limit|its end is missing|its prefix is wrong|its prefix is wrong|more bytes follow" \
        "$said"
fi

if [ -x "$PGQ_EXAMPLES/producer" ]; then
    status=0
    said=$("$PGQ_EXAMPLES/producer" 2>&1) || status=$?
    check "producer's exit status" 0 "$status"
    check "what producer printed" "1000 messages are stored" "$said"
fi

# Two in one room, one in another: each of the two sees both, and what was said before somebody came is not for him.
mkfifo "$work/ada" "$work/bob" "$work/eve"
for name in ada bob eve; do
    room=$([ "$name" = eve ] && echo cellar || echo chat)
    "$PGQ_EXAMPLES/chat" "$name" "$room" <"$work/$name" >"$work/$name.out" 2>&1 &
    chats+=($!)
done
exec 6>"$work/ada" 7>"$work/bob" 8>"$work/eve"
# Each is there when its first line has come back to it.
says() {  # NAME FD LINE
    echo "$3" >&"$2"
    for ((i = 0; i < 400; i++)); do
        grep -qxF "$1: $3" "$work/$1.out" && return
        sleep 0.05
    done
    fault "$1 does not see \"$3\": $(cat "$work/$1.out")"
}
says ada 6 hello
says bob 7 "is anybody there?"
says eve 8 alone
says ada 6 "yes; it's me"
exec 7>&-
kill -INT "${chats[2]}"
status=0
wait "${chats[1]}" && wait "${chats[2]}" || status=$?
check "the exit status of chat at the end of its input, and at Ctrl-C" 0 "$status"
sql "SELECT mq.shutdown()" >/dev/null
wait "${chats[0]}" || status=$?
check "chat's exit status at a shutdown" 0 "$status"
exec 6>&- 8>&-
check "what ada saw" "ada: hello|bob: is anybody there?|ada: yes; it's me" "$(paste -sd '|' "$work/ada.out")"
check "what bob saw" "bob: is anybody there?|ada: yes; it's me" "$(paste -sd '|' "$work/bob.out" | sed 's/^ada: hello|//')"
check "what eve saw" "eve: alone" "$(cat "$work/eve.out")"

verdict
