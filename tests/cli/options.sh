# Every option of the table is in the help of its commands, in the man page, in the three completions
# and in docs/usage.md, and these name no other option.
. ./lib.sh

run help --options
cp "$T/out" "$T/table"
run help --man
sed 's/\\-/-/g' "$T/out" >"$T/man"
for shell in bash zsh fish; do
    run completion $shell
    cp "$T/out" "$T/$shell"
done
tab=$(printf '\t')

missing=
while IFS="$tab" read -r name letter alias type def env commands; do
    for c in $(echo "$commands" | tr ',' ' '); do
        [ -f "$T/help-$c" ] || "$J" help "$c" >"$T/help-$c"
        grep -q -e "--$name\( \|$\)" "$T/help-$c" || missing="$missing help:$c:--$name"
        [ "$letter" = - ] || grep -q -e "^  -$letter, " "$T/help-$c" || missing="$missing help:$c:-$letter"
        sed -n "/^    $c) words=/p" "$T/bash" | grep -q -e " --$name[ \"]" || missing="$missing bash:$c:--$name"
        sed -n "/^    $c) spec=/,/^    ) ;;/p" "$T/zsh" | grep -q -e "'--$name\[" || missing="$missing zsh:$c:--$name"
        grep -e " -l $name " "$T/fish" | grep -q -e "[ ]$c[ ']" || missing="$missing fish:$c:--$name"
    done
    grep -q -e "--$name" "$T/man" || missing="$missing man:--$name"
    grep -q -e "$env" "$T/man" || missing="$missing man:$env"
    grep -q -e "\`--$name" "$SOURCE/docs/usage.md" || missing="$missing usage.md:--$name"
    if [ "$alias" != - ]; then
        grep -q -e "-$alias" "$T/man" || missing="$missing man:$alias"
        grep -q -e "-$alias" "$SOURCE/docs/usage.md" || missing="$missing usage.md:$alias"
    fi
done <"$T/table"
is "every option is in help, man page, completions and docs/usage.md" "" "$missing"

known=$(cut -f1 "$T/table"; cut -f3 "$T/table" | grep -v '^-$')
unknown=
for source in man bash zsh fish "$SOURCE/docs/usage.md"; do
    case $source in /*) file=$source ;; *) file=$T/$source ;; esac
    # What is behind a lone -- are arguments of another program.
    for name in $(sed 's/ -- .*//' "$file" | grep -o -e '[ `(,'"'"']--[a-z][a-z-]*' | sed 's/^.--//' | sort -u); do
        echo "$known" | grep -q -x -e "$name" || unknown="$unknown $source:--$name"
    done
done
is "no text names an option that is not in the table" "" "$unknown"

is "long names and aliases are unique" "" \
    "$( (cut -f1 "$T/table"; cut -f3 "$T/table" | grep -v '^-$') | sort | uniq -d)"
is "letters are unique within a command" "" \
    "$(awk -F '\t' '$2 != "-" { n = split($7, c, ","); for (i = 1; i <= n; i++) print c[i] " -" $2 }' "$T/table" | sort | uniq -d)"

run help
for c in $(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$T/out"); do
    exits 0 "joule $c --help" "$c" --help
    grep -q -e "joule $c" "$SOURCE/docs/usage.md" && pass "docs/usage.md has joule $c" ||
        fail "docs/usage.md has joule $c"
done
if command -v bash >/dev/null; then
    bash -n "$T/bash" && pass "the bash completion parses" || fail "the bash completion parses"
fi
if command -v zsh >/dev/null; then
    zsh -n "$T/zsh" && pass "the zsh completion parses" || fail "the zsh completion parses"
fi
if command -v fish >/dev/null; then
    fish -n "$T/fish" && pass "the fish completion parses" || fail "the fish completion parses"
fi
finish
