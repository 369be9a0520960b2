# What inspect says about a file whose contents are known.
. ./lib.sh
make_model

exits 0 "inspect" inspect "$M"
grep -q "^architecture    gemma4" "$T/out" && pass "architecture" || fail "architecture" "$(out)"
grep -q "^layers          6, width 256, 4 of 32 experts" "$T/out" && pass "layers and experts" ||
    fail "layers and experts" "$(out)"
grep -q "133 tensors" "$T/out" && pass "tensor count" || fail "tensor count" "$(out)"
grep -q "^memory .* at -c 4096 -ctk f16 -ctv f16:" "$T/out" && pass "memory at the trained context" ||
    fail "memory at the trained context" "$(out)"
run inspect -m "$M" -c 1024 -ctk q8_0 -ctv q8_0
grep -q "at -c 1024 -ctk q8_0 -ctv q8_0" "$T/out" && pass "memory at another context" ||
    fail "memory at another context" "$(out)"
sum=$(sed -n '/^tensors/,$p' "$T/out" | awk 'NR > 1 { n += $(NF-3) } END { print n }')
is "the groups hold every tensor" 133 "$sum"

run inspect --json "$M"
number() {
    sed -n "s/^  \"$1\": \([0-9]*\),\$/\1/p" "$T/out"
}
is "JSON: layers" 6 "$(number n_layer)"
is "JSON: vocabulary" 4096 "$(number n_vocab)"
is "JSON: file size" "$(wc -c <"$M" | tr -d ' ')" "$(number file_bytes)"
[ "$(number n_params_active)" -lt "$(number n_params)" ] && pass "JSON: fewer parameters are active than held" ||
    fail "JSON: fewer parameters are active than held" "$(out)"
is "JSON: braces match" "$(tr -cd '{[' <"$T/out" | wc -c)" "$(tr -cd '}]' <"$T/out" | wc -c)"
if command -v python3 >/dev/null; then
    python3 -m json.tool "$T/out" >/dev/null 2>"$T/err" && pass "JSON parses" || fail "JSON parses" "$(cat "$T/err")"
fi
exits 0 "without a file: the bundled model" inspect
grep -q "bundled test model, not Gemma 4 26B" "$T/err" && pass "which stderr says" || fail "which stderr says" "$(cat "$T/err")"
exits 0 "doctor" doctor
for key in processor cores features kernels memory "bundled model"; do
    grep -q "^$key: ." "$T/out" && pass "doctor tells $key" || fail "doctor tells $key" "$(out)"
done
for kind in "balanced, the default" performance efficiency; do
    grep -q "^placement $kind: threads [0-9]" "$T/out" && pass "doctor tells placement $kind" ||
        fail "doctor tells placement $kind" "$(out)"
done

# Two kinds of cores, described by a tree of files: every second processor is a slow one.
cpu=0
while [ $cpu -lt "$(getconf _NPROCESSORS_CONF)" ]; do
    mkdir -p "$T/sys/devices/system/cpu/cpu$cpu"
    echo $((1024 - cpu % 2 * 600)) >"$T/sys/devices/system/cpu/cpu$cpu/cpu_capacity"
    cpu=$((cpu + 1))
done
if [ "$(uname -s)" = Linux ] && [ $cpu -ge 2 ]; then
    JOULE_SYSFS=$T/sys
    export JOULE_SYSFS
    run doctor
    grep -q "^core groups: .* x capacity 1024 .*, .* x capacity 424 .*speed 0.41" "$T/out" &&
        pass "both kinds are seen" || fail "both kinds are seen" "$(out)"
    grep -q "^placement efficiency: threads 0+[0-9]* in prefill, .* background" "$T/out" &&
        pass "the thrifty ones have a placement" || fail "the thrifty ones have a placement" "$(out)"
    run run --raw -q -m "$M" --temp 0 -n 12 -p "Once upon a time there was"
    cp "$T/out" "$T/balanced"
    for placement in performance efficiency; do
        run run --raw -q -m "$M" --temp 0 -n 12 -p "Once upon a time there was" --placement $placement
        same "the same text with placement $placement" "$T/balanced" "$T/out"
    done
    unset JOULE_SYSFS
fi
exits 2 "a placement that is none" run --raw -q -m "$M" -n 1 -p Hello --placement sideways
finish
