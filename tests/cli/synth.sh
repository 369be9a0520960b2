# Synthetic files: the tables of the published shapes, reproducible bytes, no partial files.
. ./lib.sh

"$J" synth -q --shape tiny-moe --type Q8_0 "$T/a"
"$J" synth -q --shape tiny-moe --type Q8_0 -t 3 "$T/b"
same "the same bytes at any number of threads" "$T/a" "$T/b"
"$J" synth -q --shape tiny-moe --type Q8_0 --seed 2 "$T/b"
cmp -s "$T/a" "$T/b" && fail "another seed gives other bytes" || pass "another seed gives other bytes"
for shape in tiny tiny-moe tiny-ple; do
    for type in F32 F16 BF16 Q8_0 Q4_0 Q4_K_M Q5_K_M UD-IQ4_XS UD-Q4_K_M QAT-Q4_0 Q2_K Q3_K IQ1_S IQ2_XXS MXFP4; do
        "$J" synth -q --shape $shape --type $type "$T/m" </dev/null 2>"$T/err"
        exits 0 "$shape $type runs" run --raw -q -m "$T/m" -n 4 -p "Hello world"
    done
done
refuses 1 "no-such" "a folder that is not there" synth -q --shape tiny "$T/no-such/file"
[ ! -c /dev/full ] || refuses 1 "full\|space" "a full disk" synth -q --shape tiny /dev/full
refuses 1 "not GGUF\|magic\|GGUF" "a vocabulary file that is none" synth -q --shape tiny --vocab "$J" "$T/x"
[ ! -e "$T/x" ] && pass "leaves no file" || fail "leaves no file"
(
    "$J" synth -q --shape gemma-4-e2b --layers 1 --type Q4_0 "$T/big" </dev/null 2>"$T/err" &
    pid=$!
    sleep 1
    kill -INT $pid 2>/dev/null || true
    wait $pid
    echo $? >"$T/code"
)
case $(cat "$T/code") in
130) [ ! -e "$T/big" ] && pass "Ctrl-C leaves no file" || fail "Ctrl-C leaves no file" ;;
0) pass "Ctrl-C leaves no file # SKIP it was written before the signal" ;;
*) fail "Ctrl-C leaves no file" "exit $(cat "$T/code")" "$(cat "$T/err")" ;;
esac
is "and nothing is left beside" "" "$(find "$T" -name '*.tmp*')"
finish
