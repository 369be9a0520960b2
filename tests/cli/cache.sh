# Weights that are repacked once: the same tokens whatever happens, what is said about it, joule cache.
. ./lib.sh
"$J" synth -q --shape tiny-moe --type IQ3_S "$M" || echo "Bail out! no synthetic model"
R=$XDG_CACHE_HOME/joule/repack

# tokens FILE ARGS...: the logits of a few tokens; leaves $rc and $T/err.
tokens() {
    file=$1
    shift
    "$J" logits -m "$M" --tokens 2,5,9,40 -o "$file" "$@" >"$T/out" 2>"$T/err" </dev/null
    rc=$?
}

# said WHAT PATTERN: stderr of the last run has it.
said() {
    if [ "$rc" = 0 ] && grep -q -e "$2" "$T/err"; then
        pass "$1"
    else
        fail "$1" "exit $rc, expected 0 and '$2' on stderr" "$(cat "$T/err")"
    fi
}

files() {
    find "$R" -type f ! -name lock | wc -l | tr -d ' '
}

tokens "$T/plain" --no-repack
is "--no-repack says nothing" "0:" "$rc:$(cat "$T/err")"
is "and makes no folder" no "$([ -e "$R" ] && echo yes || echo no)"
exits 0 "a list of nothing" cache list
is "is empty" "" "$(out)"
exits 0 "in JSON, too" cache list --json
is "an empty array" "[]" "$(tr -d '\n' <"$T/out")"
exits 0 "nothing to clear" cache clear
JOULE_NO_REPACK=1 "$J" run -m "$M" --raw -p x -n 1 -q >"$T/out" 2>&1
is "the environment turns it off" no "$([ -e "$R" ] && echo yes || echo no)"

tokens "$T/made"
said "the first run repacks" "41 tensors repacked once.* 5.52 MB of IQ3_S as 6.82 MB of IQ3_S4, in .* s: $R/.*-v1.gguf"
same "the logits are the same" "$T/plain" "$T/made"
tokens "$T/used"
is "the second says nothing" "0:" "$rc:$(cat "$T/err")"
same "with the same logits" "$T/plain" "$T/used"
tokens "$T/used" -v
said "-v says what is used" "41 tensors repacked earlier and checked"
is "the folder is the user's alone" 700 "$(stat -c %a "$R" 2>/dev/null || stat -f %Lp "$R")"
for command in "run --raw --temp 0 -p x -n 2" "bench -p 4 -n 2 -r 1" "perplexity -f $SOURCE/README.md -c 64 --chunks 1"; do
    # shellcheck disable=SC2086
    run $command -m "$M" --no-repack
    cp "$T/out" "$T/a"
    # shellcheck disable=SC2086
    exits 0 "${command%% *}" $command -m "$M"
    [ "${command%% *}" = bench ] || same "the same text without repacking" "$T/a" "$T/out"
done
"$J" imatrix -q -m "$M" -f "$SOURCE/README.md" -c 64 --chunks 2 -o "$T/a" --no-repack
exits 0 "imatrix" imatrix -m "$M" -f "$SOURCE/README.md" -c 64 --chunks 2 -o "$T/b"
same "finds the matrices by their names, too" "$T/a" "$T/b"
is "all of them use one file" 1 "$(files)"

exits 0 "list" cache list
grep -q "6.90 MB .* s old  *41 tensors of .*tiny.gguf: $R/" "$T/out" && grep -q "6.90 MB  in all" "$T/out" &&
    pass "size, age, tensors, model, path" || fail "size, age, tensors, model, path" "$(out)"
exits 0 "list --json" cache list --json
if command -v python3 >/dev/null; then
    is "is JSON" "41 True True" "$(python3 -c 'import json, sys
e, = json.load(open(sys.argv[1]))
print(e["n_tensors"], e["usable"], e["bytes"] > 6000000 and e["path"].startswith("/") and e["age_s"] < 300)' "$T/out")"
fi
refuses 2 "list or clear" "cache alone" cache
refuses 2 "list or clear" "cache of something else" cache frob
refuses 2 "1 file, 6.90 MB; say --yes" "clear asks" cache clear
is "and removes nothing" 1 "$(files)"
echo mine >"$R/notes.txt"
exits 0 "clear --yes" cache clear --yes
grep -q "1 file removed, 6.90 MB freed" "$T/err" && pass "says so" || fail "says so" "$(cat "$T/err")"
is "what is not joule's stays" "mine" "$(cat "$R/notes.txt")"
rm "$R/notes.txt"

tokens "$T/made"
f=$(ls "$R"/*.gguf)
printf x | dd of="$f" bs=1 seek=2000000 conv=notrunc 2>/dev/null
tokens "$T/used"
said "a damaged file is named" "$f is damaged: checksum of tensor .* is wrong; it is made anew"
same "and made anew, with the same logits" "$T/plain" "$T/used"
tokens "$T/used"
is "once" "0:" "$rc:$(cat "$T/err")"
: >"$f"
exits 0 "list of an unusable file" cache list
grep -q "not usable" "$T/out" && pass "says so" || fail "says so" "$(out)"
exits 0 "clear takes it" cache clear --yes -q

# What stands in the way is a notice, and the run goes on.
(
    trap '' XFSZ
    ulimit -f 1000
    tokens "$T/limited"
    echo "$rc" >"$T/rc"
    cp "$T/err" "$T/limited.err"
)
rc=$(cat "$T/rc") && cp "$T/limited.err" "$T/err"
said "a file limit" "not repacked, used as they are: cannot write $R/.*no-repack"
same "the logits are the same" "$T/plain" "$T/limited"
is "nothing is left" 0 "$(files)"
rm -r "$R"
: >"$R"
tokens "$T/used"
said "a file in the folder's place" "not repacked, used as they are: .*$R"
same "the logits are the same" "$T/plain" "$T/used"
rm "$R"
mkdir -m 755 "$R"
tokens "$T/used"
said "a folder that others can enter" "not repacked.*chmod 700"
rmdir "$R"
if [ "$(id -u)" != 0 ]; then
    mkdir -m 500 "$R"
    tokens "$T/used"
    said "a folder without the right to write" "not repacked.*$R: Permission denied"
    rmdir "$R"
fi

# Two at once: one writes, the other waits for nothing.
"$J" synth -q --shape gemma-4-e2b --type IQ3_S --layers 2 --sparse "$T/big.gguf" || fail "synth"
M=$T/big.gguf
tokens "$T/plain" --no-repack
"$J" logits -m "$M" --tokens 2,5,9,40 -o "$T/one" 2>"$T/one.err" &
one=$!
"$J" logits -m "$M" --tokens 2,5,9,40 -o "$T/two" 2>"$T/two.err" &
two=$!
wait $one && wait $two && pass "two programs at once" || fail "two programs at once" "$(cat "$T/one.err" "$T/two.err")"
same "the first has the same logits" "$T/plain" "$T/one"
same "and the second" "$T/plain" "$T/two"
is "one of them wrote" 1 "$(cat "$T/one.err" "$T/two.err" | grep -c 'repacked once')"
is "one file" 1 "$(files)"

# stopped SIGNAL: sends it once the folder is locked; the exit code.
stopped() {
    rm -rf "$R"
    "$J" logits -m "$M" --tokens 2 -o "$T/used" 2>"$T/err" &
    pid=$!
    tries=0
    until [ -e "$R/lock" ] || [ $tries = 1000 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
    kill "-$1" $pid
    wait $pid 2>/dev/null
    echo $?
}
is "Ctrl-C" 130 "$(stopped INT)"
grep -q "repacking was stopped; nothing is left" "$T/err" && pass "says so" || fail "says so" "$(cat "$T/err")"
is "and leaves nothing" 0 "$(files)"
is "kill -9" 137 "$(stopped KILL)"
tokens "$T/used"
said "the next run makes it" "repacked once"
is "one file" 1 "$(files)"
finish
