# Damaged, hostile and unknown files: a message and exit 1, never a crash.
. ./lib.sh
make_model
bytes=$(wc -c <"$M" | tr -d ' ')

# ends_well WHAT FILE [COMMAND]: exit 0, or exit 1 with a message.
ends_well() {
    run ${3:-inspect} -m "$2"
    if [ "$rc" = 0 ] || { [ "$rc" = 1 ] && [ -s "$T/err" ]; }; then
        pass "$1"
    else
        fail "$1" "exit $rc" "$(cat "$T/err")"
    fi
}

: >"$T/empty"
refuses 1 "empty\|short\|GGUF" "an empty file" inspect "$T/empty"
echo "just a text" >"$T/text"
refuses 1 "GGUF" "a text" inspect "$T/text"
refuses 1 "$T" "a folder" inspect "$T"
refuses 1 "no-such" "a missing file" inspect "$T/no-such"
refuses 1 "." "a device" inspect /dev/null
if [ "$(id -u)" != 0 ]; then
    cp "$M" "$T/locked" && chmod 000 "$T/locked"
    refuses 1 "locked" "an unreadable file" inspect "$T/locked"
fi
for at in 1 3 4 7 8 15 16 23 24 100 1000 20000 100000 300000 $((bytes / 2)) $((bytes - 40)); do
    head -c $at "$M" >"$T/cut"
    refuses 1 "." "cut after $at bytes" run --raw -m "$T/cut" -p x -n 1
done

# poke OFFSET OCTAL...: a copy of the model with bytes replaced.
poke() {
    offset=$1
    shift
    cp "$M" "$T/poked"
    printf "$@" | dd of="$T/poked" bs=1 seek="$offset" conv=notrunc 2>/dev/null
}
poke 4 '\001\000\000\000'
refuses 1 "version" "GGUF version 1" inspect "$T/poked"
poke 4 '\377\377\377\377'
refuses 1 "version" "GGUF version 4294967295" inspect "$T/poked"
poke 8 '\377\377\377\377\377\377\377\177'
refuses 1 "." "more tensors than bytes" inspect "$T/poked"
poke 16 '\377\377\377\377\377\377\377\377'
refuses 1 "." "more keys than bytes" inspect "$T/poked"
poke 24 '\377\377\377\377\377\377\377\377'
refuses 1 "." "a key longer than the file" inspect "$T/poked"
at=$(grep -abo 'gemma4' "$M" | head -1 | cut -d: -f1)
poke "$at" 'gemma9'
refuses 1 "gemma9" "an unknown architecture is named" inspect "$T/poked"
at=$(grep -abo 'blk.0.attn_q.weight' "$M" | head -1 | cut -d: -f1)
poke "$at" 'blk.0.attn_x.weight'
refuses 1 "blk.0.attn_q.weight" "a missing tensor is named" inspect "$T/poked"
poke $((at + 19 + 4 + 8 + 8)) '\143\000\000\000'
refuses 1 "blk.0.attn_q.weight" "a tensor of an unknown type is named" inspect "$T/poked"
poke $((at + 19 + 4 + 8)) '\000\002\000\000\000\000\000\000'
refuses 1 "blk.0.attn_q.weight" "a tensor of the wrong shape is named" inspect "$T/poked"
at=$(grep -abo 'gemma4.block_count' "$M" | head -1 | cut -d: -f1)
poke $((at + 18 + 4)) '\377\377\377\377'
refuses 1 "block_count\|layers" "4294967295 layers" inspect "$T/poked"
at=$(grep -abo 'tokenizer.ggml.model' "$M" | head -1 | cut -d: -f1)
poke $((at + 20 + 4 + 8)) 'klingn'
refuses 1 "klingn" "an unknown tokenizer is named" inspect "$T/poked"

# joule doctor -m
exits 0 "doctor passes a sound file" doctor -q -m "$M"
grep -q "^ok    tensors            all 133 as published" "$T/out" && pass "and counts its tensors" ||
    fail "and counts its tensors" "$(out)"
poke $((bytes - 32)) '\000\000\300\177'
exits 1 "doctor fails a file with a NaN" doctor -q -m "$T/poked"
grep -q "^FAIL  weights            blk.5.layer_output_scale.weight" "$T/out" && pass "and names the tensor" ||
    fail "and names the tensor" "$(out)"
at=$(grep -abo '<turn|>' "$M" | head -1 | cut -d: -f1)
poke "$at" '<turnX>'
exits 1 "doctor fails a file without <turn|>" doctor -q -m "$T/poked"
grep -q "^FAIL  special tokens .*<turn|> is missing" "$T/out" && pass "and names the token" ||
    fail "and names the token" "$(out)"
refuses 1 "GGUF" "doctor refuses a text" doctor -m "$T/text"
for shape in tiny-llama tiny-mistral; do
    run synth -q --shape $shape --type Q8_0 "$T/family"
    exits 0 "doctor passes $shape" doctor -q -m "$T/family"
    grep -q "^ok    special tokens" "$T/out" && grep -q "^ok    end of generation" "$T/out" &&
        pass "and knows its tokens" || fail "and knows its tokens" "$(out)"
done
run synth -q --shape tiny-llama --type Q8_0 "$T/family"
at=$(grep -abo '<|eot_id|>' "$T/family" | head -1 | cut -d: -f1)
printf 'x' | dd of="$T/family" bs=1 seek=$((at + 3)) conv=notrunc 2>/dev/null
exits 1 "doctor fails a Llama file without <|eot_id|>" doctor -q -m "$T/family"
grep -q "^FAIL  special tokens .*<|eot_id|> is missing" "$T/out" && pass "and names the token" ||
    fail "and names the token" "$(out)"
rm -f "$T/family"

# A model that is too big: refused with what is missing, which --allow-swap overrides.
if [ "$(uname)" = Linux ]; then
    run synth -q --shape llama-3.3-70b --type Q4_K_M --sparse "$T/big"
    is "a file of holes is there" 0 "$rc"
    run inspect --json "$T/big"
    free=$(awk '/^MemAvailable/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)
    if [ "$(du -k "$T/big" | cut -f1)" -lt 100000 ] && [ "$free" -lt 42000000000 ]; then
        refuses 1 "the model needs [0-9.]* GiB, [0-9.]* GiB is free: [0-9.]* GiB too little" "Llama 70B is refused" \
            run --raw -m "$T/big" -p x -n 1
        sum=$(sed -n 's/.*needs \([0-9.]*\) GiB, \([0-9.]*\) GiB is free: \([0-9.]*\) GiB.*/\1 \2 \3/p' "$T/err" |
            awk '{ d = $1 - $2 - $3; print (d < 0.011 && d > -0.011) }')
        is "by what is missing exactly" 1 "$sum"
        refuses 1 "GiB too little" "perplexity refuses it, too" perplexity -m "$T/big" -f "$T/empty"
        refuses 1 "the text has 1 tokens" "--allow-swap gets past that" \
            perplexity -m "$T/big" -f "$T/empty" --allow-swap
    fi
    rm -f "$T/big"
fi

# Bytes changed all over the header, reproducibly.
i=0
x=12345
while [ $i -lt 120 ]; do
    x=$(((x * 1103515245 + 12345) % 2147483648))
    at=$((x / 7 % 3000))
    [ $((i % 3)) = 0 ] && at=$((x / 7 % 150000))
    poke $at "\\$(printf %o $((x / 65536 % 256)))"
    ends_well "byte $at changed" "$T/poked" tokenize
    i=$((i + 1))
done
i=0
while [ $i -lt 40 ]; do
    x=$(((x * 1103515245 + 12345) % 2147483648))
    at=$((x / 7 % 1500))
    poke $at '\377\377\377\377'
    run run --raw -q -m "$T/poked" -p x -n 1
    { [ "$rc" = 0 ] || [ "$rc" = 1 ]; } && pass "4 bytes at $at set" || fail "4 bytes at $at set" "exit $rc"
    i=$((i + 1))
done
is "nothing is left beside" "" "$(find "$T" -name '*.tmp*')"
finish
