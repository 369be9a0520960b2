# Wrong usage is exit 2 with a message; environment twins; help and version.
. ./lib.sh
make_model

exits 0 "version" version
is "version text" "joule $(sed -n 's/.*VERSION_STRING "\(.*\)"/\1/p' "$SOURCE/include/joule/version.h")" \
    "$(cut -d' ' -f1-2 "$T/out")"
exits 0 "--version" --version
exits 0 "--help" --help
exits 2 "no command" 
refuses 2 "no command 'frobnicate'" "unknown command" frobnicate
refuses 2 "unknown or ambiguous option --frobnicate" "unknown option" run --frobnicate
refuses 2 "unknown or ambiguous option -Z" "unknown letter" run -Z
refuses 2 "needs a value" "value missing" run -p
refuses 2 "unexpected argument 'hello'" "stray argument" run hello
refuses 2 "no command 'frob'" "help on nothing" help frob
refuses 2 "bash, zsh or fish" "completion of an unknown shell" completion tcsh

for bad in "-c -1" "-c 99999999" "-c 1.5" "-c 12x" "-c 0x10" "-t -3" "-t 100000" "-b 0" "-ub -1" \
    "-n -2" "--temp -1" "--temp nan" "--temp inf" "--temp 1,5" "--top-k -1" "--top-p 1.5" "--min-p 2" \
    "--seed -1" "--seed 99999999999999999999999" "--seed x" "-ctk q4_7" "-ctv f" "--think maybe" \
    "--repeat-penalty 0" "--dry-base 0" "--color sometimes" "-c "; do
    # shellcheck disable=SC2086
    set -- $bad
    refuses 2 "'" "run $bad" run -m "$M" --raw -p x "$1" "${2-}"
done
refuses 1 "no-such-mask\|cpu" "an unknown instruction set" run --raw -m "$M" -p x -n 1 --cpu-mask no-such-mask
refuses 1 "logit-bias" "a logit bias without a number" run --raw -m "$M" -p x --logit-bias 12
refuses 1 "logit-bias" "a logit bias out of range" run --raw -m "$M" -p x --logit-bias 999999+1
refuses 2 "tokens" "logits without tokens" logits -m "$M" -o "$T/x"
refuses 2 "-o" "logits without output" logits -m "$M" --tokens 2
refuses 2 "which file" "synth without output" synth --shape tiny
refuses 2 "none of" "synth of an unknown shape" synth --shape huge "$T/x"
refuses 1 "no mixture" "synth of an unknown type" synth --shape tiny --type Q9_9 "$T/x"
refuses 1 "has 6 layers" "synth of too many layers" synth --shape tiny --layers 7 "$T/x"

JOULE_MODEL=$M JOULE_PREDICT=3 JOULE_RAW=1 JOULE_TEMP=0 JOULE_QUIET=yes "$J" run -p Hello >"$T/a" 2>"$T/e"
is "the environment replaces options" "0" "$?"
"$J" run -m "$M" --raw --temp 0 -n 3 -q -p Hello >"$T/b" 2>"$T/e2"
same "with the same effect" "$T/a" "$T/b"
is "-q leaves stderr empty" "" "$(cat "$T/e" "$T/e2")"
JOULE_PREDICT=1 "$J" run -m "$M" --raw --temp 0 -n 3 -q -p Hello >"$T/c" 2>&1
same "the command line wins over the environment" "$T/b" "$T/c"
JOULE_CTX_SIZE=many "$J" run -m "$M" --raw -p x >"$T/out" 2>"$T/err"
is "a bad environment value is wrong usage" 2 "$?"
grep -q JOULE_CTX_SIZE "$T/err" && pass "and is named" || fail "and is named" "$(cat "$T/err")"

if [ -c /dev/full ]; then
    "$J" help >/dev/full 2>"$T/err"
    is "help to a full disk fails" 1 "$?"
fi
JOULE_DATA_DIR=$T/nowhere "$J" run -p x >"$T/out" 2>"$T/err" </dev/null
is "no bundled model: exit 1" 1 "$?"
finish
