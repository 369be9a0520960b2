# joule run with the chat template of the bundled model: answers, tools, thinking, the terminal.
. ./lib.sh

exits 0 "an answer" run -p "Hello, who are you?" --temp 0 -n 64
[ -s "$T/out" ] && pass "is printed" || fail "is printed"
grep -q "bundled test model, not Gemma 4 26B" "$T/err" && pass "stderr names the bundled model" ||
    fail "stderr names the bundled model" "$(cat "$T/err")"
refuses 1 "prompt is empty" "an empty prompt" run -n 1
exits 0 "with a system text" run -sys "You are terse." -p "Hello" --temp 0 -n 32
exits 0 "with thinking" run --think on -p "What is 2 + 2?" --temp 0 -n 64
thought=$(out)
exits 0 "with thinking hidden" run --think on --hide-thinking -p "What is 2 + 2?" --temp 0 -n 64
is "the answer is the same" "$thought" "$(out)"
grep -q "thinking" "$T/err" && fail "and no thought is shown" "$(cat "$T/err")" || pass "and no thought is shown"

cat >"$T/tools.json" <<'END'
[{"type":"function","function":{"name":"write","description":"Write a file","parameters":{"type":"object",
"properties":{"path":{"type":"string","description":"Path of the file"},"content":{"type":"string",
"description":"Content"}},"required":["path","content"]}}}]
END
exits 0 "tools are declared" run --tools "$T/tools.json" --temp 0 -n 96 -p "Create notes.txt with the content hello"
calls=$(grep -c '^{"name":".*","arguments":{.*}}$' "$T/out")
[ "$calls" -ge 0 ] && [ -s "$T/out" ] && pass "and the reply is printed ($calls calls)" || fail "and the reply is printed"
printf 'not json' >"$T/bad.json"
refuses 1 "." "tools that are not JSON" run --tools "$T/bad.json" -p x -n 1
printf '{}' >"$T/bad.json"
refuses 1 "." "tools that are no array" run --tools "$T/bad.json" -p x -n 1
refuses 1 "no-such" "tools that are not there" run --tools "$T/no-such.json" -p x -n 1
"$J" synth -q --shape tiny --type Q8_0 --vocab "$DATA/joule-tiny.gguf" "$M"
exits 0 "a synthetic model takes the template of the bundled one" run -m "$M" -p "Hello" -n 4

# The terminal, through a pseudo terminal: $T/screen is what it shows.
screen_bytes() { wc -c <"$T/screen"; }
# patiently COMMAND...: until it succeeds, for at most two minutes
patiently() {
    tries=0
    until "$@" || [ $tries = 1200 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}
has_grown() { [ "$(screen_bytes)" -ge "$1" ]; }
at_prompt() { [ "$(tail -c 2 "$T/screen")" = "> " ]; }
shows() { grep -q -e "$1" "$T/screen"; }
# types LINE [BYTES]: at the prompt, and waits until the line and that much more is on the screen
types() {
    patiently at_prompt
    types_goal=$(($(screen_bytes) + ${#1} + ${2:-0}))
    printf '%s\r' "$1"
    patiently has_grown "$types_goal"
}
# `exec`: a shell left waiting for the program would end with 130 after Ctrl-C, whatever the program returned.
on_terminal() { # ARGS...: typed lines come from stdin
    HOME=$T XDG_STATE_HOME=$T/state TERM=xterm SHELL=/bin/sh \
        script -qec "exec '$J' run $*" /dev/null >"$T/screen" 2>&1
}

if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    : >"$T/screen"
    for line in '/help' 'What is 2 + 2?' '/think on' '/reset' '/result x' '/exit'; do
        types "$line"
    done | on_terminal --temp 0 -n 32
    is "a chat on a terminal ends with /exit" 0 "$?"
    shows "forget the conversation" && pass "/help" || fail "/help" "$(cat "$T/screen")"
    shows "no tool call waits" && pass "/result without a call" || fail "/result without a call"
    grep -q "What" "$T/state/joule/history" 2>/dev/null && pass "the history is kept" ||
        fail "the history is kept" "$(cat "$T/screen")"
    # Ctrl-C during an answer that would not end, while Ctrl-S holds its output, then another message.
    : >"$T/screen"
    {
        types 'Tell me a story.' 200
        printf '\023'
        sleep 1
        printf '\003'
        patiently shows "(stopped)"
        types '/help'
        patiently shows "forget the conversation"
        types '/exit'
    } | on_terminal --ignore-eos --seed 3 --temp 3 --top-k 0 --top-p 1 --min-p 0
    is "a chat goes on after Ctrl-C" 0 "$?"
    shows "(stopped)" && pass "which stops the answer" || fail "which stops the answer" "$(cat "$T/screen")"
    shows "forget the conversation" && pass "and only the answer" ||
        fail "and only the answer" "$(cat "$T/screen")"
fi
finish
