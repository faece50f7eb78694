# A session's log to lines:
#   STEP scan INDEX             an index of a table of messages that was scanned
#   STEP bad WHAT               any other way to such a table, more than a thousand rows that were sorted or taken by a
#                               bitmap before one was given, a compilation, an error
#   STEP plans COUNT            how many plans were seen
#   STEP at FUNCTION LINE       where a plan for such a table stands, for plans.sh to see what was never run
function many(line) { return match(line, /actual rows=[0-9]+/) && substr(line, RSTART + 12, RLENGTH - 12) + 0 > 1000 }
function flush(   i, line, touched, sorted) {
    if (!inplan)
        return
    plans[step]++
    for (i = 1; i <= n; i++) {
        line = nodes[i]
        if (line ~ /(^|-> *)(Incremental )?Sort / && many(nodes[i + 1]))
            sorted = 1
        if (line ~ /Bitmap Index Scan on (message|dead_letter|dedup_window|topic_position|topic_message)_/) {
            sub(/.* on /, "", line)
            sub(/ .*/, "", line)
            print step, "scan", line
        }
        if (line !~ / on (message|dead_letter|dedup_window|topic_position|topic_message(_[0-9]+)?)( |$)/)
            continue
        touched = 1
        if (line ~ /Bitmap Heap Scan/) {
            if (many(line))
                print step, "bad", line
        } else if (line ~ /Index (Only )?Scan (Backward )?using [a-z0-9_]+ on /) {
            sub(/.* using /, "", line)
            sub(/ .*/, "", line)
            sub(/^topic_message_[0-9]+/, "topic_message", line)  # whichever segment
            print step, "scan", line
        } else if (line ~ /Scan/) {
            print step, "bad", line
        }
    }
    if (touched && sorted)
        print step, "bad", "a sort in: " query
    if (jit)
        print step, "bad", "JIT in: " query
    if (touched && place != "")
        print step, "at", place
    inplan = context = 0
}
/^@@ / { flush(); step = $2; next }
/LOG:  duration:/ { flush(); inplan = 1; n = context = 0; query = place = ""; jit = 0; next }
/^(psql:[^ ]* )?(ERROR|FATAL|PANIC):  / { flush(); print step, "bad", $0; next }
/^(psql:[^ ]* )?[A-Z]+:  / && !/CONTEXT:/ { flush(); next }
inplan && /CONTEXT:  / { context = 1 }
inplan && context {
    # The innermost function is named first.
    if (place == "" && match($0, /PL\/pgSQL function [^(]*\([^)]*\) line [0-9]+/)) {
        place = substr($0, RSTART + 18, RLENGTH - 18)
        line = place
        sub(/.* line /, "", line)
        sub(/\(.*/, "", place)
        sub(/.*\./, "", place)
        gsub(/"/, "", place)
        place = place " " line
    }
    next
}
inplan && /\(cost=/ { nodes[++n] = $0; next }
inplan && /JIT:/ { jit = 1 }
inplan && n == 0 { query = query " " $0 }
END { flush(); for (step in plans) print step, "plans", plans[step] }
