# joule run --raw: reproducible text, inputs, statistics, limits.
. ./lib.sh
make_model
raw() {
    run run --raw -m "$M" "$@"
}

raw --temp 0 -n 24 -p "Hello"
is "raw run" 0 "$rc"
cp "$T/out" "$T/greedy"
grep -q "^load [0-9.]* s | prompt [0-9]* tokens, [0-9.]* t/s | generated [0-9]* tokens, [0-9.]* t/s, [0-9.]* CPU s per token | peak memory [0-9]* MiB$" "$T/err" &&
    pass "statistics on stderr" || fail "statistics on stderr" "$(cat "$T/err")"
for more in "-t 1" "-t 3" "-b 2" "-ub 1" "-c 512" "--mlock" "--prefault" "--no-repack" "--repeat-penalty 1"; do
    # shellcheck disable=SC2086
    raw --temp 0 -n 24 -p "Hello" $more
    same "the same text with $more" "$T/greedy" "$T/out"
done
raw --seed 7 -n 24 -p "Hello"
cp "$T/out" "$T/seven"
raw --seed 7 -n 24 -p "Hello"
same "the same seed gives the same text" "$T/seven" "$T/out"
raw --seed 8 -n 24 -p "Hello"
cmp -s "$T/seven" "$T/out" && fail "another seed gives another text" || pass "another seed gives another text"
raw --top-k 1 --seed 3 -n 24 -p "Hello"
same "top-k 1 is greedy" "$T/greedy" "$T/out"
raw --temp 0 --repeat-penalty 5 --repeat-last-n -1 -n 24 -p "aaaaaaaa"
is "penalties run" 0 "$rc"
raw --temp 0 --dry-multiplier 2 --typical 0.9 --min-p 0.1 --presence-penalty 1 --frequency-penalty 1 -n 8 -p Hello
is "the whole chain runs" 0 "$rc"
raw --temp 0 -n 8 -l 100+1000 -p Hello -v --ignore-eos
is "a logit bias decides" "$("$J" detokenize -m "$M" 100,100,100,100,100,100,100,100 2>/dev/null)" "$(out)"

printf 'Hello' | "$J" run --raw -q -m "$M" --temp 0 -n 24 >"$T/out" 2>/dev/null
same "prompt from stdin" "$T/greedy" "$T/out"
printf 'Hello' >"$T/prompt"
raw --temp 0 -n 24 -f "$T/prompt"
same "prompt from a file" "$T/greedy" "$T/out"
raw -n 0 -p "Hello"
is "-n 0 generates nothing" "" "$(out)"
refuses 1 "a model cannot be split between GPU and CPU" "a part of the layers on a GPU: run" run -m "$M" -ngl 1 -p Hello
refuses 1 "a model cannot be split between GPU and CPU" "a part of the layers on a GPU: serve" serve -m "$M" -ngl 1 --port 0
raw --temp 0 -c 32 -p "Hello" --ignore-eos
grep -q "context of 32 tokens is full" "$T/err" && pass "a full context is said" || fail "a full context is said" "$(cat "$T/err")"
for kv in f32 q8_0; do
    raw --temp 0 -n 4 -p Hello -ctk $kv -ctv $kv
    is "KV cache $kv" 0 "$rc"
done
i=0
while [ $i -lt 300 ]; do
    printf 'word %d ' $i
    i=$((i + 1))
done >"$T/long"
refuses 1 "use -c" "a prompt longer than the context" run --raw -m "$M" -c 64 -f "$T/long"
refuses 2 "no place for" "--raw with --system" run --raw -m "$M" --system x -p y
raw -c 8192 -n 1 -p x
grep -q "beyond the 4096" "$T/err" && pass "a context beyond the model's is said" ||
    fail "a context beyond the model's is said" "$(cat "$T/err")"
printf '\377\376\200 bytes' >"$T/bytes"
raw --temp 0 -n 4 -f "$T/bytes"
is "invalid UTF-8 as prompt" 0 "$rc"
if [ -c /dev/full ]; then
    "$J" run --raw -m "$M" -n 4 -p Hello >/dev/full 2>"$T/err" </dev/null
    is "stdout on a full disk is exit 1" 1 "$?"
fi
(
    "$J" run --raw -m "$M" -p Hello --ignore-eos -c 4096 >"$T/out" 2>"$T/err" </dev/null &
    pid=$!
    sleep 1
    kill -INT $pid 2>/dev/null || true
    wait $pid
    echo $? >"$T/code"
)
code=$(cat "$T/code")
# A shell without job control starts background commands with SIGINT ignored until the program catches it.
is "Ctrl-C ends with 130" 130 "$code"
finish
