# What a session did, against what is expected: a line for each failure, and last "checks NUMBER". Files: expected, the
# digest, the blocks. Set: label, state, rows, counted.
function check(ok, what) {
    checks++
    if (!ok)
        print "FAILED: " label ": " what
}
FNR == 1 { file++ }
file == 1 && /^[a-z]/ { steps[++n] = $1; most[$1] = $2; flags[$1] = "," $3 ","; indexes[$1] = " "; for (i = 4; i <= NF; i++) indexes[$1] = indexes[$1] $i " " }
file == 2 && $2 == "plans" { planned[$1] = 1 }
file == 2 && $2 == "bad" { check(0, "no other access: " $0) }
# Where any message may have a key, a step that is not about keys may look at them.
file == 2 && $2 == "scan" && $3 ~ /^message_order/ && (state == "keyed" || state == "blocked") { next }
file == 2 && $2 == "scan" && !index(indexes[$1], " " $3 " ") && !told[$1, $3]++ { check(0, $1 ": the index " $3) }
file == 3 { blocks[$1] = $2; detail[$1] = $0 }
END {
    for (i = 1; i <= n; i++) {
        step = steps[i]
        check(step in planned, step ": no plans were seen")
        if (counted != "t")
            continue
        check(blocks[step] > 0, step ": no block was counted")
        # From the very start a look passes all that is dead or held; a cursor is there to spare that.
        if (index(flags[step], ",start,") && (state == "dead" || state == "locked"))
            continue
        # To find what is stuck it goes from key to key: there are 1,000 that have blocked messages.
        bound = most[step] + (index(flags[step], ",keys,") && state == "blocked" ? 10000 : 0)
        check(blocks[step] <= bound, "at most " bound " blocks, not " detail[step])
    }
    # Else the states are not what they should be.
    if (counted == "t" && (state == "dead" || state == "locked"))
        check(blocks["pop"] > rows / 100, "a look from the start walks over them, not " detail["pop"])
    print "checks", checks
}
