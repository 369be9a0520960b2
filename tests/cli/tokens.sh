# Text to ids and back.
. ./lib.sh

run tokenize -q -p "Hello world"
case $(out) in
"[2,"*"]") pass "tokenize prints a JSON array that begins with <bos>" ;;
*) fail "tokenize prints a JSON array that begins with <bos>" "$(out)" ;;
esac
with=$(out)
run tokenize -q --no-bos -p "Hello world"
is "--no-bos leaves <bos> out" "$with" "[2,$(out | cut -c2-)"
exits 0 "detokenize" detokenize -q "$with"
is "gives the text back" "Hello world" "$(out)"
printf 'a\tb\r\n\n\n  c \303\251 \346\274\242\345\255\227 \360\237\230\200 \001\177\000x' >"$T/text"
"$J" tokenize -q --no-bos -f "$T/text" >"$T/ids"
"$J" detokenize -q -f "$T/ids" >"$T/back"
same "control characters, scripts, emoji and NUL survive" "$T/text" "$T/back"
printf 'ok \377\376 \300\200 \355\240\200 end' >"$T/text"
"$J" tokenize -q --no-bos <"$T/text" >"$T/ids"
is "invalid UTF-8 is accepted" 0 "$?"
"$J" detokenize -q <"$T/ids" >"$T/back"
is "and detokenizes" 0 "$?"
printf 'ok ' | cmp -s -n 3 - "$T/back" && pass "to text" || fail "to text"
run tokenize -q --no-bos -p "<bos><turn|>"
plain=$(out)
run tokenize -q --no-bos --special -p "<bos><turn|>"
is "special tokens are read with --special" "[2,$(out | cut -d, -f2)" "$(out)"
[ "$plain" != "$(out)" ] && pass "and are text without it" || fail "and are text without it" "$plain"
ids=$(out)
run detokenize -q "$ids"
is "control tokens are hidden" "" "$(out)"
run detokenize -q --special "$ids"
is "and shown with --special" "<bos><turn|>" "$(out)"
run detokenize -q ""
is "an empty list is an empty text" "" "$(out)"
refuses 1 "out of range" "an id beyond the vocabulary" detokenize -q 5,8192000
refuses 1 "no token id at byte 2" "no number" detokenize -q 5,x
refuses 1 "no token id" "a negative id" detokenize -q "[-1]"
refuses 1 "no token id" "a fraction" detokenize -q "[1.5]"
refuses 1 "out of range" "a number beyond 64 bits" detokenize -q 99999999999999999999999999
refuses 1 "no-such-file" "a missing file" tokenize -q -f "$T/no-such-file"
refuses 1 "$T" "a folder as file" tokenize -q -f "$T"
if [ -c /dev/full ]; then
    "$J" tokenize -q -p x >/dev/full 2>"$T/err"
    is "a full disk is exit 1" 1 "$?"
fi
finish
