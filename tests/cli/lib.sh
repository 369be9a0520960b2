# Helpers of the CLI tests. A test sources this file, checks, and ends with `finish`. Output is TAP.
# J: the program. T: a folder of its own, removed at the end. M: a synthetic MoE model in it.
set -u
LC_ALL=C
export LC_ALL
J=$JOULE
T=$(mktemp -d "${TMPDIR:-/tmp}/joule-cli.XXXXXX")
trap 'rm -rf "$T"' EXIT
for v in $(env | sed -n 's/^\(JOULE_[A-Z_]*\)=.*/\1/p'); do
    unset "$v"
done
unset NO_COLOR
JOULE_DATA_DIR=$DATA
XDG_CACHE_HOME=$T/cache
export JOULE_DATA_DIR XDG_CACHE_HOME
M=$T/tiny.gguf
n=0
n_bad=0

pass() {
    n=$((n + 1))
    echo "ok $n - $1"
}

fail() {
    n=$((n + 1))
    n_bad=$((n_bad + 1))
    echo "not ok $n - $1"
    shift
    for line in "$@"; do # on stderr too: of a failed test the runner shows that, and not what is after '#'
        line=$(printf '%s\n' "$line" | head -20 | sed 's/^/# /')
        printf '%s\n' "$line"
        printf '%s\n' "$line" >&2
    done
}

# Runs the program with empty stdin; leaves $rc, $T/out, $T/err.
run() {
    "$J" "$@" >"$T/out" 2>"$T/err" </dev/null
    rc=$?
}

# exits CODE WHAT ARGS...: the exit code is CODE.
exits() {
    want=$1 what=$2
    shift 2
    run "$@"
    if [ "$rc" = "$want" ]; then
        pass "$what"
    else
        fail "$what" "exit $rc, expected $want" "$(cat "$T/err")"
    fi
}

# refuses CODE PATTERN WHAT ARGS...: exit CODE, nothing on stdout, and stderr has the pattern.
refuses() {
    want=$1 pattern=$2 what=$3
    shift 3
    run "$@"
    if [ "$rc" = "$want" ] && [ ! -s "$T/out" ] && grep -q -e "$pattern" "$T/err"; then
        pass "$what"
    else
        fail "$what" "exit $rc, expected $want and '$pattern' on stderr" "$(cat "$T/out" "$T/err")"
    fi
}

# is WHAT EXPECTED ACTUAL
is() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        fail "$1" "expected: $2" "got:      $3"
    fi
}

# same WHAT FILE FILE: the same bytes.
same() {
    if cmp -s "$2" "$3"; then
        pass "$1"
    else
        fail "$1" "$(cmp "$2" "$3" 2>&1)"
    fi
}

out() {
    cat "$T/out"
}

make_model() {
    "$J" synth -q --shape tiny-moe --type Q8_0 "$M" || echo "Bail out! no synthetic model"
}

finish() {
    echo "1..$n"
    [ "$n_bad" = 0 ]
    exit
}
