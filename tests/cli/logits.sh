# Rows of logits: size, rows, independence of batching and threads, whole files only.
. ./lib.sh
make_model
ids=$("$J" tokenize -q -m "$M" -p "The quick brown fox jumps over the lazy dog. 0123456789")
count=$(echo "$ids" | tr ',' '\n' | wc -l | tr -d ' ')

exits 0 "--all" logits -m "$M" --tokens "$ids" --all -o "$T/all"
is "one row per token" "$((count * 4096 * 4))" "$(wc -c <"$T/all" | tr -d ' ')"
exits 0 "last row" logits -m "$M" --tokens "$ids" -o "$T/last"
tail -c 16384 "$T/all" >"$T/tail"
same "is the last of all rows" "$T/last" "$T/tail"
for more in "-b 1" "-b 7" "-ub 1" "-ub 5" "-t 1" "-t 2" "-t 3" "-c 4096" "-b 16 -ub 3 -t 3"; do
    # shellcheck disable=SC2086
    "$J" logits -q -m "$M" --tokens "$ids" --all $more -o "$T/other" </dev/null
    same "the same bits with $more" "$T/all" "$T/other"
done
echo "$ids" | "$J" logits -m "$M" --tokens-file - --all -o "$T/other" 2>/dev/null
same "ids from stdin" "$T/all" "$T/other"
echo "$ids" | tr -d '[]' | tr ',' '\n' >"$T/ids"
"$J" logits -m "$M" --tokens-file "$T/ids" --all -o "$T/other" </dev/null 2>/dev/null
same "ids from a file, one per line" "$T/all" "$T/other"
"$J" logits -q -m "$M" --tokens "$ids" -o /dev/stdout </dev/null | cmp -s - "$T/last" &&
    pass "to a pipe" || fail "to a pipe"

refuses 1 "out of range" "a token out of range" logits -m "$M" --tokens 2,4096 -o "$T/none"
refuses 1 "empty" "no tokens" logits -m "$M" --tokens "[]" -o "$T/none"
refuses 1 "use -c $count" "more tokens than context" logits -m "$M" --tokens "$ids" -c 4 -o "$T/none"
refuses 1 "no/such" "a folder that is not there" logits -m "$M" --tokens 2 -o "$T/no/such/file"
[ ! -c /dev/full ] || refuses 1 "full\|space" "a full disk" logits -m "$M" --tokens "$ids" --all -o /dev/full
[ ! -e "$T/none" ] && pass "none of these left a file" || fail "none of these left a file"
is "and nothing is left beside" "" "$(find "$T" -name '*.tmp')"
finish
