# quantize and imatrix: every type runs, plans, rules and budgets, continued runs, bad input.
. ./lib.sh
"$J" synth -q --shape tiny-moe --layers 1 --type BF16 "$M" || echo "Bail out! no synthetic model"
cat "$SOURCE/LICENSE" >"$T/text"
S=$T/small.gguf # for what is slow and needs no experts
"$J" synth -q --shape tiny --layers 1 --type BF16 "$S" || echo "Bail out! no small model"

for type in Q3_K IQ2_S UD-IQ4_XS; do
    "$J" quantize -q "$M" "$T/q" $type </dev/null 2>"$T/err" || fail "quantize $type" "$(cat "$T/err")"
    exits 0 "$type runs" run --raw -q -m "$T/q" -n 2 -p "Hello world"
done
"$J" quantize -q -t 1 "$M" "$T/a" Q4_K_M
"$J" quantize -q -t 3 "$M" "$T/b" q4_k_m
same "the same bytes at any number of threads" "$T/a" "$T/b"
"$J" quantize -q "$M" "$T/b" BF16
"$J" quantize -q "$T/b" "$T/c" Q4_K_M
same "and from a copy" "$T/a" "$T/c"

exits 0 "a plan" quantize --dry-run -v "$M" "$T/none" Q4_K --tensor-type 'attn_[vk]=Q6_K' --save-plan "$T/plan"
[ ! -e "$T/none" ] && pass "--dry-run writes no model" || fail "--dry-run writes no model"
grep -q "^attn_v .*Q6_K" "$T/err" && pass "the table shows the rule" || fail "the table shows the rule" "$(cat "$T/err")"
is "the plan has every matrix" "$(grep -c ' -> ' "$T/err")" "$(grep -vc '^#' "$T/plan")"
"$J" quantize -q "$M" "$T/a" Q4_K --tensor-type 'attn_[vk]=Q6_K'
"$J" quantize -q "$M" "$T/b" --plan "$T/plan"
same "a plan file gives what the options gave" "$T/a" "$T/b"
sed 's/^Q4_K  *\(blk.0.attn_q.weight\)/Q8_0 \1 # better/' "$T/plan" >"$T/edited"
exits 0 "an edited plan" quantize --dry-run -v "$M" --plan "$T/edited"
grep -q "blk.0.attn_q.weight .*Q8_0" "$T/err" && pass "is followed" || fail "is followed" "$(cat "$T/err")"

# imatrix
exits 0 "imatrix" imatrix -m "$M" -f "$T/text" -c 32 --chunks 2 -o "$T/imatrix"
grep -q "no token reached" "$T/err" && pass "warns of experts that were not seen" ||
    pass "warns of experts that were not seen # SKIP all were seen"
"$J" imatrix -q -m "$M" -f "$T/text" -c 32 --chunks 2 -t 3 -ub 5 -o "$T/imatrix2" 2>/dev/null
same "the same on other threads and batches" "$T/imatrix" "$T/imatrix2"
"$J" quantize -q "$M" "$T/a" Q3_K --pure
exits 0 "quantize with importance" quantize "$M" "$T/b" Q3_K --pure --imatrix "$T/imatrix"
is "is as large as without" "$(wc -c <"$T/a")" "$(wc -c <"$T/b")"
cmp -s "$T/a" "$T/b" && fail "but not the same" || pass "but not the same"

# fewer experts: 32 of which 4 are used
exits 0 "experts are dropped" quantize "$M" "$T/less" --drop-experts 8 --imatrix "$T/imatrix" --save-plan "$T/plan"
grep -q "8 of 32 experts are dropped" "$T/err" && grep -q "^layer 0  *[0-9]* [0-9]" "$T/err" && pass "the table names them" ||
    fail "the table names them" "$(cat "$T/err")"
exits 0 "the model runs" run --raw -q -m "$T/less" -n 2 -p "Hello world"
"$J" inspect -m "$T/less" 2>&1 | grep -q "4 of 24 experts" && pass "with 24 experts" || fail "with 24 experts"
exits 0 "a plan that names them" quantize "$M" "$T/b" --plan "$T/plan"
same "gives the same file, without importance" "$T/less" "$T/b"
sed 's/^\(drop  *blk.0 \)[^#]*/\10,1,2,3,4,5,6,31/' "$T/plan" >"$T/edited"
exits 0 "an edited plan" quantize "$M" "$T/b" --plan "$T/edited"
grep -q "^layer 0 *0 1 2 3 4 5 6 31\$" "$T/err" && pass "is followed" || fail "is followed" "$(cat "$T/err")"
cmp -s "$T/less" "$T/b" && fail "gives another file" || pass "gives another file"
part=$(($(wc -c <"$T/less") * 4 / 5))
head -c $part "$T/less" >"$T/again.partial"
exits 0 "a run goes on with fewer experts" quantize "$M" "$T/again" --plan "$T/plan"
grep -q "earlier run" "$T/err" && pass "and says so" || fail "and says so" "$(cat "$T/err")"
same "with the same result" "$T/less" "$T/again"
head -c $part "$T/b" >"$T/again.partial"
exits 0 "the rest of a run that dropped others" quantize "$M" "$T/again" --plan "$T/plan"
grep -q "earlier run" "$T/err" && fail "is not used" "$(cat "$T/err")" || pass "is not used"
same "the result is right" "$T/less" "$T/again"
"$J" quantize -q "$M" "$T/more" --drop-experts 28 --imatrix "$T/imatrix" --drop-by use Q8_0
exits 0 "as few as a token uses" run --raw -q -m "$T/more" -n 2 -p "Hello world"
exits 0 "a budget with fewer experts" quantize --dry-run "$M" --bpw 5 --drop-experts 8 --imatrix "$T/imatrix"
refuses 1 "plan with the budget" "a measured budget with fewer experts" quantize --dry-run "$M" --bpw 5 -f "$T/text" --drop-experts 8 --imatrix "$T/imatrix"
refuses 1 "at most 28" "too few left" quantize "$M" "$T/none" --drop-experts 29 --imatrix "$T/imatrix"
refuses 1 "at most 28" "none left" quantize "$M" "$T/none" --drop-experts 32 --imatrix "$T/imatrix"
refuses 2 "drop-experts" "a negative number" quantize "$M" "$T/none" --drop-experts -1 --imatrix "$T/imatrix"
refuses 1 "joule imatrix" "no importance" quantize "$M" "$T/none" --drop-experts 8
refuses 1 "no experts" "a dense model" quantize "$S" "$T/none" --drop-experts 8
refuses 1 "line 2.*leave one" "a number and a plan" quantize "$M" "$T/none" --plan "$T/plan" --drop-experts 8 --imatrix "$T/imatrix"
bad_drop() { # LINE PATTERN WHAT
    echo "$1" >"$T/bad.plan"
    refuses 1 "$2" "$3" quantize "$M" "$T/none" --plan "$T/bad.plan"
}
bad_drop "drop blk.0 1,32" "line 1.*0 to 31" "an expert that is not there"
bad_drop "drop blk.0 1,1" "line 1.*different" "an expert twice"
bad_drop "drop blk.0 one" "line 1.*0 to 31" "no number"
bad_drop "drop blk.0" "line 1.*write drop" "no expert"
bad_drop "drop blk.7 1" "line 1.*layer 7" "no such layer"
bad_drop "drop blk.-1 1" "line 1.*layer -1" "a negative layer"
bad_drop "drop layer0 1" "line 1.*write drop" "no layer"
printf 'drop blk.0 1\ndrop blk.0 2\n' >"$T/bad.plan"
refuses 1 "line 2.*before" "a layer twice" quantize "$M" "$T/none" --plan "$T/bad.plan"
"$J" synth -q --shape tiny-moe --layers 2 --type Q8_0 "$T/two"
printf 'drop blk.0 1\ndrop blk.1 2,3\n' >"$T/bad.plan"
refuses 1 "1 experts in layer 0 and 2 in layer 1.*as many" "layers that lose different numbers" quantize "$T/two" "$T/none" --plan "$T/bad.plan"
printf 'drop blk.1 1\n' >"$T/bad.plan"
refuses 1 "1 of 2 layers" "a layer that loses none" quantize "$T/two" "$T/none" --plan "$T/bad.plan"

# budgets
for bpw in 5; do
    exits 0 "$bpw bits per weight" quantize -q "$S" "$T/q" --bpw $bpw
    params=$("$J" inspect --json -m "$S" | sed -n 's/.*"n_params": *\([0-9]*\).*/\1/p' | head -1)
    awk -v size="$(wc -c <"$T/q")" -v params="$params" -v bpw=$bpw \
        'BEGIN { have = 8 * size / params; exit !(have <= bpw && have > bpw - 0.25) }' &&
        pass "are kept and nearly used" || fail "are kept and nearly used" "$(wc -c <"$T/q") bytes, $params parameters"
done
exits 0 "a budget by measurement" quantize --dry-run "$S" --bpw 5 -f "$T/text" --chunks 1 --save-plan "$T/plan"
"$J" quantize -q "$S" "$T/none" --dry-run --bpw 5 --plan "$T/plan" --save-plan "$T/again.plan"
same "a plan's measurements give the same plan, without the text" "$T/plan" "$T/again.plan"
exits 0 "and another budget" quantize --dry-run "$S" --bpw 7 --plan "$T/plan" --save-plan "$T/again.plan"
cmp -s "$T/plan" "$T/again.plan" && fail "which is another plan" || pass "which is another plan"
sed 's/sensitivity=[^ ]*/sensitivity=-1/' "$T/plan" >"$T/bad.plan"
refuses 1 "line 2.*sensitivity" "a plan with a bad measurement" quantize --dry-run "$S" --bpw 5 --plan "$T/bad.plan"
grep -q "# KL " "$T/plan" && pass "the plan shows the damage" || fail "the plan shows the damage" "$(head -5 "$T/plan")"
exits 0 "a budget of decoding" quantize --dry-run "$S" --budget-decode 2MB
refuses 1 "the least is" "a budget that is too small" quantize "$S" "$T/none" --budget 100kB
echo "too short to measure" >"$T/short"
refuses 1 "has .* tokens" "a text that is too short" quantize "$S" "$T/none" --budget 2MB -f "$T/short"
refuses 1 "the least is" "of the two, the budget first" quantize "$S" "$T/none" --budget 100kB -f "$T/short"
refuses 1 "no size" "a budget that is no size" quantize "$S" "$T/none" --budget much
refuses 2 "one of" "two wishes" quantize "$S" "$T/none" Q4_K --bpw 4

# a run that was stopped goes on
"$J" quantize -q "$S" "$T/whole" Q4_K
part=$(($(wc -c <"$T/whole") * 4 / 5))
head -c $part "$T/whole" >"$T/again.partial"
exits 0 "a run goes on" quantize "$S" "$T/again" Q4_K
grep -q "earlier run" "$T/err" && pass "and says so" || fail "and says so" "$(cat "$T/err")"
same "with the same result" "$T/whole" "$T/again"
head -c $part "$T/whole" >"$T/again.partial"
exits 0 "the rest of another plan is not used" quantize "$S" "$T/again" Q3_K
"$J" quantize -q --restart "$S" "$T/other" Q3_K
same "the result is right" "$T/other" "$T/again"
is "nothing is left beside" "" "$(find "$T" -name '*.tmp' -o -name '*.partial')"
"$J" quantize -q "$S" "$T/stopped" Q4_K </dev/null 2>"$T/err" &
pid=$!
while [ ! -e "$T/stopped.partial" ] && [ ! -e "$T/stopped" ] && kill -0 $pid 2>/dev/null; do :; done
kill -INT $pid 2>/dev/null || true
wait $pid
case $? in
130) [ ! -e "$T/stopped" ] && [ -e "$T/stopped.partial" ] && pass "Ctrl-C leaves only the part" ||
    fail "Ctrl-C leaves only the part" "$(ls "$T")" ;;
0) pass "Ctrl-C leaves only the part # SKIP it was written before the signal" ;;
*) fail "Ctrl-C leaves only the part" "$(cat "$T/err")" ;;
esac
"$J" quantize -q "$S" "$T/stopped" Q4_K
same "and the next run ends it" "$T/whole" "$T/stopped"

# bad input
bytes=$(wc -c <"$M" | tr -d ' ')
cp "$M" "$T/nan"
printf '\000\000\300\177' | dd of="$T/nan" bs=1 seek=$((bytes - 32)) conv=notrunc 2>/dev/null
refuses 1 "blk.0.layer_output_scale.weight .*not a finite number" "a NaN is refused by name" quantize "$T/nan" "$T/none" Q8_0
cp "$M" "$T/nan"
printf '\300\177' | dd of="$T/nan" bs=1 seek=$((bytes / 2 / 2 * 2)) conv=notrunc 2>/dev/null
refuses 1 "tensor .* not a finite number in row" "in a matrix, too" quantize "$T/nan" "$T/none" Q8_0
[ ! -e "$T/none" ] && [ ! -e "$T/none.partial" ] && pass "leaves no file" || fail "leaves no file"
refuses 1 "no mix" "an unknown type" quantize "$M" "$T/none" Q9_9
refuses 2 "which type" "no type" quantize "$M" "$T/none"
refuses 2 "which file" "no output" quantize "$M"
refuses 1 "no-such" "a missing file" quantize "$T/no-such" "$T/none" Q8_0
refuses 1 "GGUF" "a text" quantize "$T/text" "$T/none" Q8_0
refuses 1 "no/such" "a folder that is not there" quantize "$M" "$T/no/such/file" Q8_0
[ ! -c /dev/full ] || refuses 1 "full\|space" "a full disk" quantize "$M" /dev/full Q8_0
refuses 1 "REGEX=TYPE" "a rule without a type" quantize "$M" "$T/none" Q8_0 --tensor-type attn
refuses 1 "character" "a rule that is no expression" quantize "$M" "$T/none" Q8_0 --tensor-type '(=Q8_0'
refuses 1 "matches" "a rule that matches nothing" quantize "$M" "$T/none" Q8_0 --tensor-type 'nothing=Q4_K'
echo "Q4_K no.such.tensor" >"$T/plan"
refuses 1 "line 1.*no.such.tensor" "a plan with a wrong name" quantize "$M" "$T/none" --plan "$T/plan"
printf '# x\nQ9 blk.0.attn_q.weight\n' >"$T/plan"
refuses 1 "line 2.*Q9" "a plan with a wrong type" quantize "$M" "$T/none" --plan "$T/plan"
refuses 1 "importance" "a model as importance" quantize "$M" "$T/none" Q4_K --imatrix "$M"
refuses 1 "another model" "importance of another model" quantize "$DATA/joule-tiny-bf16.gguf" "$T/none" Q4_K --imatrix "$T/imatrix"
refuses 2 "text" "imatrix without text" imatrix -m "$M" -o "$T/none"
refuses 2 "which file" "imatrix without output" imatrix -m "$M" -f "$T/text"
finish
