# Which statements no step has run. First file: FUNCTION LINE of those that were; second: NUMBER, FUNCTION, LANGUAGE and
# the source's lines, parted by bars. Of functions in SQL it is enough that they were called: line 0.
function close_function(   i) {
    for (i = 1; i <= wanting; i++)
        print name " line " where[i] ": " what[i]
    wanting = 0
}
NR == FNR { seen[$1, $2] = 1; next }
{
    split($0, part, "|")
    if (part[2] != name) {
        close_function()
        name = part[2]
        until = 0
    }
    text = $0
    sub(/^[^|]*\|[^|]*\|[^|]*\|/, "", text)
    sub(/--.*/, "", text)
    if (part[3] == "sql") {
        if (text ~ tables && !((name, 0) in seen)) { where[++wanting] = part[1]; what[wanting] = text }
        next
    }
    if ((name, part[1]) in seen)
        until = 1
    if (!until && text ~ ("(FROM|JOIN|INTO|UPDATE|TRUNCATE) +" tables)) { where[++wanting] = part[1]; what[wanting] = text }
    if (text ~ /(;|LOOP|THEN) *$/)
        until = 0
}
END { close_function() }
