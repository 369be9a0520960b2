# Checkpoint folders in the place of a model file: a folder of one's own and a snapshot of the Hub's cache.
. ./lib.sh
"$MAKE_CHECKPOINT" "$SOURCE/tests/golden" "$T" llama3 2>"$T/err" || echo "Bail out! no checkpoint: $(cat "$T/err")"
D=$T/checkpoint-llama3
HF_HUB_CACHE=$T/hub
export HF_HUB_CACHE

exits 0 "a checkpoint folder" inspect -m "$D"
grep -q "converted once, to $D/joule.gguf" "$T/err" && [ -s "$D/joule.gguf" ] &&
    pass "is converted beside it" || fail "is converted beside it" "$(cat "$T/err")"
exits 0 "the second time" inspect -m "$D"
grep -q "converted once" "$T/err" && fail "it is there already" || pass "it is there already"
"$J" convert -q "$D" "$T/by-hand.gguf"
same "it is what joule convert makes" "$D/joule.gguf" "$T/by-hand.gguf"
rm "$D/joule.gguf"

R=$T/hub/models--acme--tiny
S=$R/snapshots/0123456789abcdef0123456789abcdef01234567
mkdir -p "$R/blobs" "$R/refs" "$S"
printf 0123456789abcdef0123456789abcdef01234567 >"$R/refs/main"
for file in "$D"/*; do
    name=$(basename "$file")
    cp "$file" "$R/blobs/$name.blob" && ln -s "../../blobs/$name.blob" "$S/$name"
done
before=$(cd "$R" && find . | sort)
made=$T/cache/joule/converted/acme--tiny/0123456789abcdef0123456789abcdef01234567.gguf
exits 0 "a snapshot of the Hub's cache" inspect -m hf:acme/tiny
is "is left as it is" "$before" "$(cd "$R" && find . | sort)"
"$J" convert -q "$D" "$T/by-hand.gguf" --name tiny
same "the model is in joule's cache, named after the repository" "$made" "$T/by-hand.gguf"
exits 0 "the snapshot as a folder" inspect -m "$S"
grep -q "converted once" "$T/err" && fail "finds the same file" "$(cat "$T/err")" || pass "finds the same file"
rm "$made"
head -c 1000 "$D/model.safetensors" >"$R/blobs/model.safetensors.blob"
refuses 1 "safetensors" "a damaged snapshot" inspect -m hf:acme/tiny
[ -e "$made" ] && fail "makes no file" || pass "makes no file"
: >"$T/file"
(XDG_CACHE_HOME=$T/file && export XDG_CACHE_HOME && run inspect -m hf:acme/tiny && [ "$rc" = 1 ] &&
    grep -q "XDG_CACHE_HOME" "$T/err") && pass "no cache folder: a message" || fail "no cache folder: a message" "$(cat "$T/err")"

cp "$D/model.safetensors" "$R/blobs/model.safetensors.blob"
exits 0 "the mended snapshot" inspect -m hf:acme/tiny
exits 0 "joule rm" rm hf:acme/tiny --yes
[ -e "$made" ] && fail "takes the converted file, too" || pass "takes the converted file, too"
finish
