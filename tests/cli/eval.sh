# perplexity, kl and eval: figures that agree with each other, files of logits, bad input.
. ./lib.sh
M=$DATA/joule-tiny-bf16.gguf
Q=$DATA/joule-tiny.gguf
cat "$SOURCE/LICENSE" >"$T/text"

# field NAME: a number of the JSON on stdout.
field() {
    sed -n "s/^  \"$1\": \([^,]*\),*$/\1/p" "$T/out"
}

# near WHAT A B BOUND: |A - B| <= BOUND
near() {
    if awk -v a="$2" -v b="$3" -v c="$4" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && b != "" && d <= c) }'; then
        pass "$1"
    else
        fail "$1" "$2 and $3 differ by more than $4"
    fi
}

exits 0 "perplexity" perplexity -m "$M" -f "$T/text" -c 32 --chunks 3 -o json --save-logits "$T/base"
is "chunks" 3 "$(field chunks)"
is "scores the second half of each" 45 "$(field tokens)"
ppl=$(field ppl)
is "size of the saved logits" $((20 + 3 * (32 * 4 + 15 * (8 + 2 * 8192)))) "$(wc -c <"$T/base" | tr -d ' ')"
"$J" perplexity -q -m "$M" -f "$T/text" -c 32 --chunks 3 -o json -t 3 -ub 7 >"$T/out" </dev/null
is "the same on other threads and batches" "$ppl" "$(field ppl)"
"$J" perplexity -q -m "$M" -c 32 --chunks 3 -f - <"$T/text" >"$T/out"
grep -q "^perplexity .* ± " "$T/out" && pass "a table for people" || fail "a table for people" "$(out)"
"$J" perplexity -q -m "$M" -c 32 --chunks 3 -f "$T/text" -o csv >"$T/out" </dev/null
is "csv has a head and a row" "chunks,tokens,nll,nll_error,ppl,ppl_error 2" "$(head -1 "$T/out") $(wc -l <"$T/out" | tr -d ' ')"

exits 0 "kl of a model with itself" kl -m "$M" --base "$T/base" -o json
near "is 0" "$(field kl_mean)" 0 1e-6
is "the best tokens are the same" 1 "$(field top1)"
near "the perplexity agrees" "$(field ppl)" "$ppl" 0.001
# (a right token more than 16 nats down is stored as 16 nats down)
awk -v a="$(field ppl_reference)" -v b="$ppl" 'BEGIN { exit !(a <= b + 0.01 && a > 0.8 * b) }' &&
    pass "and that of the saved logits" || fail "and that of the saved logits" "$(out)"
exits 0 "kl of another model" kl -m "$Q" --base "$T/base" -o json --chunks 2
is "over fewer chunks" 30 "$(field tokens)"
awk -v a="$(field kl_mean)" -v b="$(field kl_max)" 'BEGIN { exit !(a > 1e-4 && b >= a) }' &&
    pass "is above 0" || fail "is above 0" "$(out)"

refuses 2 "give the text" "no text" perplexity -m "$M"
echo short >"$T/short"
refuses 1 "least" "a text of less than two chunks" perplexity -m "$M" -f "$T/short" -c 32
refuses 1 "no/such" "a folder that is not there" perplexity -m "$M" -f "$T/text" -c 32 --save-logits "$T/no/such"
[ ! -c /dev/full ] || refuses 1 "full\|space" "a full disk" perplexity -m "$M" -f "$T/text" -c 32 --save-logits /dev/full
exits 0 "a point of a curve" kl -q -m "$M" --base "$T/base" --chunks 2 --points "$T/points.csv"
exits 0 "another, and the picture" \
    kl -q -m "$Q" --base "$T/base" --chunks 2 --points "$T/points.csv" --series s --svg "$T/curve.svg"
exits 0 "the same again" \
    kl -q -m "$Q" --base "$T/base" --chunks 2 --points "$T/points.csv" --series s --svg "$T/curve.svg"
is "three lines of points" 3 "$(wc -l <"$T/points.csv" | tr -d ' ')"
is "two circles" 2 "$(grep -c '<circle' "$T/curve.svg")"
python3 -c "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])" "$T/curve.svg" 2>/dev/null &&
    pass "the picture is XML" || fail "the picture is XML" "$(cat "$T/curve.svg")"
refuses 2 "points" "a picture without points" kl -m "$M" --base "$T/base" --svg "$T/curve.svg"
echo nonsense >>"$T/points.csv"
run kl -q -m "$M" --base "$T/base" --chunks 2 --points "$T/points.csv"
is "points that are none are refused" 1 "$rc"
grep -q "line 4" "$T/err" && pass "with their line" || fail "with their line" "$(cat "$T/err")"
refuses 2 "base" "kl without a base" kl -m "$M"
refuses 1 "no file of saved logits" "a text as base" kl -m "$M" --base "$T/text"
refuses 1 "no-such" "a base that is not there" kl -m "$M" --base "$T/no-such"
head -c 5000 "$T/base" >"$T/cut"
refuses 1 "not complete" "a base that is cut" kl -m "$M" --base "$T/cut"
"$J" synth -q --shape tiny --type Q8_0 "$T/other"
refuses 1 "vocabulary" "a base of another vocabulary" kl -m "$T/other" --base "$T/base"
"$J" perplexity -q -m "$M" -f "$T/text" -c 512 --save-logits "$T/stopped" >/dev/null 2>&1 </dev/null &
pid=$!
kill -INT $pid 2>/dev/null
wait $pid
[ ! -e "$T/stopped" ] || [ "$(wc -c <"$T/stopped")" -gt 100000 ] && pass "Ctrl-C leaves no part of a file" ||
    fail "Ctrl-C leaves no part of a file"

# Questions: the bundled model knows these.
cat >"$T/questions" <<'EOF'
{"prompt": "import os\nimport", "choices": [" sys\n", "qqqqzzzz"], "answer": 0}

{"messages": [{"role": "user", "content": "Say pong."}], "answer": "pong"}
{"messages": [{"role": "user", "content": "Say pong."}], "answer": "no, I will not"}
EOF
exits 0 "eval" eval "$T/questions" -o json
is "one question with choices" "1 1" "$(field choices) $(field acc)"
is "two with texts" 2 "$(field exact)"
echo '{"prompt": "x"' >"$T/bad"
refuses 1 "line 1" "a line that is no JSON" eval "$T/bad"
echo '{"choices": ["a", "b"], "answer": 0}' >"$T/bad"
refuses 1 "line 1.*prompt" "a line without a prompt" eval "$T/bad"
printf '\n{"prompt": "x", "choices": ["a", "b"], "answer": 2}\n' >"$T/bad"
refuses 1 "line 2.*answer" "an answer out of range" eval "$T/bad"
echo '{"prompt": "x", "choices": ["a", ""], "answer": 0}' >"$T/bad"
refuses 1 "line 1.*choice" "an empty choice" eval "$T/bad"
: >"$T/bad"
refuses 1 "no questions" "an empty file" eval "$T/bad"
refuses 2 "which file" "no file" eval

# The machine, and a benchmark's shares of it.
JOULE_CPU_MASK=avx2 "$J" bench --roofline -t 1 -o json >"$T/out" 2>"$T/err" </dev/null
is "the roofline" 0 $?
grep -q '^{"threads": 1, "read_gb_s": [0-9]*[.][0-9]*, "read_how": "[a-z0-9]*, [0-9]* streams* per thread, ' "$T/out" && pass "bandwidth, and how it was reached" ||
    fail "bandwidth, and how it was reached" "$(out)"
grep -Eq '"int8": [{]("avx2": [0-9.]*)?[}]' "$T/out" && pass "peaks of what the mask leaves" ||
    fail "peaks of what the mask leaves" "$(out)"
refuses 1 "mmx2000" "an unknown instruction set" bench --roofline --cpu-mask mmx2000
exits 0 "a benchmark" bench -m "$M" -p 16 -n 4 -r 1 -d 0,20 -t 1
grep -q "threads read .* GB/s (.* per thread.*); int8 peak" "$T/out" && pass "says what the machine could do" ||
    fail "says what the machine could do" "$(out)"
grep -Eq '^[|] tg4 @ d20 .* [0-9]+ % [|]' "$T/out" && pass "and the share of it" || fail "and the share of it" "$(out)"
finish
