# Shell functions that demo and check share: steps with a clock, quiet commands with a log. Sourced.

say() { printf '%s\n' "$*"; }

step_no=0
started=$(date +%s)
bold=''
plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi

step() {
    step_no=$((step_no + 1))
    printf '\n%s== %s%s  (%d s)\n' "$bold" "$*" "$plain" $(($(date +%s) - started))
}

# Homebrew keeps libedit out of the default search path.
brew_paths() {
    if command -v brew >/dev/null 2>&1; then
        PKG_CONFIG_PATH=$(brew --prefix)/opt/libedit/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
        export PKG_CONFIG_PATH
    fi
}

# quietly LOG COMMAND...: output into logs/LOG; its end is shown if the command fails.
logs=build-logs
quietly() {
    quiet_log=$logs/$1
    shift
    mkdir -p "$logs"
    if "$@" >"$quiet_log" 2>&1; then
        return 0
    fi
    say "FAILED: $*"
    say "the end of $quiet_log:"
    tail -n 40 "$quiet_log" | sed 's/^/    /'
    return 1
}

# compile LOG FOLDER TARGET...: ninja, with its one line of progress on a terminal, with a log elsewhere.
compile() {
    compile_log=$1
    shift
    if [ -t 1 ] && [ -z "${CI:-}" ]; then
        ninja -C "$@"
    else
        quietly "$compile_log" ninja -C "$@"
    fi
}

# show COMMAND...: the command as a person would type it, then its output.
show() {
    printf '$'
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./:=,-]*) printf ' "%s"' "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$@" </dev/null
}

# setup_build FOLDER OPTION...: configures once.
setup_build() {
    [ -f "$1/build.ninja" ] || quietly "setup-$(basename "$1").log" meson setup "$@"
}
