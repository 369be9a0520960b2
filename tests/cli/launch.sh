# joule launch: the configuration, a server for as long as the client runs. The client is a script.
. ./lib.sh

mkdir "$T/bin" "$T/home"
cat >"$T/bin/opencode" <<'CLIENT'
#!/bin/sh
echo "arguments: $*"
printf '%s\n' "$OPENCODE_CONFIG_CONTENT"
exit 3
CLIENT
chmod +x "$T/bin/opencode"
PATH=$T/bin:$PATH
HOME=$T/home
export PATH HOME
unset XDG_CONFIG_HOME
port=$((20000 + $$ % 10000))

refuses 2 "which client" "launch without a client" launch
refuses 2 "which client" "launch of an unknown client" launch emacs
exits 0 "launch --print" launch opencode --print --port $port
has_config() {
    grep -q '"baseURL": "http://127.0.0.1:'$port'/v1"' "$T/out" && grep -q '"context":' "$T/out" &&
        grep -q 'lean.md}' "$T/out"
}
has_config && pass "the configuration names the server" || fail "the configuration names the server" "$(cat "$T/out")"

"$J" launch opencode --print -m /models/some-model.gguf -c 8192 --port $port >"$T/out"
grep -q '"model": "joule/some-model"' "$T/out" && grep -q '"context": 8192' "$T/out" &&
    pass "launch --print names the model that was asked for" ||
    fail "launch --print names the model that was asked for" "$(cat "$T/out")"
(PATH=/nowhere; export PATH; "$J" launch opencode --port $port) >"$T/out" 2>"$T/err" </dev/null
is "launch without the client: exit code" 1 $?
grep -q 'npm install' "$T/err" && pass "launch without the client says how to get it" ||
    fail "launch without the client says how to get it" "$(cat "$T/err")"

exits 3 "launch gives the client's exit code" launch opencode --port $port -t 1
has_config && pass "the client gets the configuration" || fail "the client gets the configuration" "$(cat "$T/out" "$T/err")"
grep -q 'arguments: -m joule/joule-tiny' "$T/out" && pass "the client gets the model" ||
    fail "the client gets the model" "$(cat "$T/out")"
exits 3 "launch with arguments of the client" launch opencode --port $port -t 1 -- run --agent lean
grep -q 'arguments: run --agent lean -m joule/joule-tiny' "$T/out" && pass "the client gets them" ||
    fail "the client gets them" "$(cat "$T/out")"
is "nothing was written without a terminal to ask on" "" "$(ls -A "$T/home")"
"$J" launch opencode --print --port $port >"$T/out"
grep -q '"context": 32768' "$T/out" && pass "the server ended with the client" ||
    fail "the server ended with the client" "$(cat "$T/out")"
finish
