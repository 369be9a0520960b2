#!/usr/bin/env python3
"""Train the tokenizer of the bundled model: rank BPE in the form of Gemma 4 (see README.md for the
design).

Reads OUT/text.jsonl.xz, writes OUT/tokenizer.json in the format of Hugging Face `tokenizers`.

The vocabulary is built so that a string is cut into the same pieces wherever it stands, because a
small model can copy pieces but cannot respell them:
  - merges inside words of the shape [A-Z]?[a-z]+ only (learned from the text, ordinary BPE), so
    digits, capitals in a row, quotes, brackets, slashes, dots and underscores always stand alone;
  - a short fixed list of operators, runs of spaces and runs of newlines;
  - last in rank: a leading space joins the finished piece that follows it. A file name with and
    without a space before it therefore has the same pieces but for the first.
"""

import argparse
import collections
import json
import lzma
import re

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

VOCAB = 8192
SPACE = "\u2581"
# Text, GGUF token type (3 control, 4 user defined, 2 unknown)
SPECIAL = [
    ("<pad>", 3),
    ("<eos>", 3),
    ("<bos>", 3),
    ("<unk>", 2),
    ("<mask>", 3),
    ("<|turn>", 3),
    ("<turn|>", 3),
    ("<|think|>", 3),
    ("<|channel>", 4),
    ("<channel|>", 4),
    ("<|tool>", 3),
    ("<tool|>", 3),
    ("<|tool_call>", 4),
    ("<tool_call|>", 4),
    ("<|tool_response>", 4),
    ("<tool_response|>", 4),
    ('<|"|>', 4),
    ("<|image>", 3),
    ("<|image|>", 3),
    ("<image|>", 3),
    ("<|audio>", 3),
    ("<|audio|>", 3),
    ("<audio|>", 3),
    ("<|video|>", 3),
]
OPERATORS = [
    "==",
    "!=",
    "<=",
    ">=",
    "->",
    "=>",
    "+=",
    "-=",
    "**",
    "//",
    "::",
    "&&",
    "||",
    "--",
    "----",
    "--------",
    "__",
    "..",
    "...",
    "##",
    "###",
    "</",
    "/>",
    "====",
    "========",
]
NEWLINES, SPACES = 16, 20
N_SPACED = 2900  # pieces that also exist with a leading space
N_OTHER_CHARS = 90  # characters beyond ASCII


def read_text(path, split="train"):
    with lzma.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            if d["split"] == split:
                yield d


def word_merges(texts, size):
    """Ordinary BPE over the words; returns pieces in order of rank and merges as pairs."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Split(Regex(" "), "removed")
    letters = [chr(c) for c in range(65, 91)] + [chr(c) for c in range(97, 123)]
    trainer = trainers.BpeTrainer(
        vocab_size=size + len(letters),
        initial_alphabet=letters,
        show_progress=False,
        max_token_length=16,
    )
    tok.train_from_iterator((" ".join(re.findall("[A-Z]?[a-z]+", t)) for t in texts), trainer)
    model = json.loads(tok.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    return ["".join(m) for m in merges], merges


def run_merges(ch, longest):
    """Pieces ch*2 .. ch*longest, and every merge of two runs, short results first: any run up to
    longest becomes one."""
    pieces, merges = [], []
    for n in range(2, longest + 1):
        pieces.append(ch * n)
        for k in range(n - 1, 0, -1):
            merges.append((ch * k, ch * (n - k)))
    return pieces, merges


def operator_merges():
    """Each operator is built from two known pieces; same-character runs are tried in every way."""
    known, merges = set(), []
    for op in sorted(OPERATORS, key=lambda o: (len(o), o)):
        for k in range(1, len(op)):
            a, b = op[:k], op[k:]
            if (len(a) == 1 or a in known) and (len(b) == 1 or b in known):
                merges.append((a, b))
        known.add(op)
    return sorted(known, key=lambda o: (len(o), o)), merges


def build(vocab, merges, fast):
    tok = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    tok.normalizer = normalizers.Replace(" ", SPACE)
    # fast: cut before every space as well. The same tokens, because no merge joins a piece to a
    # space that follows it.
    cut = f"\n+|{SPACE}*[^{SPACE}\n]+|{SPACE}+" if fast else "[^\n]+|\n+"
    tok.pre_tokenizer = pre_tokenizers.Split(Regex(cut), "isolated")
    tok.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tok.add_special_tokens([s for s, _ in SPECIAL])
    return tok


def load(path, fast=True):
    """The tokenizer of a tokenizer.json; fast gives the same tokens sooner."""
    with open(path, encoding="utf-8") as f:
        model = json.load(f)["model"]
    return build(model["vocab"], [tuple(m) for m in model["merges"]], fast)


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument(
        "--data", required=True, help="folder with text.jsonl.xz; tokenizer.json is written here"
    )
    ap.add_argument(
        "--extra", nargs="*", default=[], help="more text files to count, each as if it were long"
    )
    ap.add_argument("--out", help="default DATA/tokenizer.json")
    a = ap.parse_args()
    docs = [d["text"] for i, d in enumerate(read_text(a.data + "/text.jsonl.xz")) if i % 2 == 0]
    for path in a.extra:
        with open(path, encoding="utf-8") as f:
            docs += [f.read()] * 10

    counts = collections.Counter()
    for t in docs:
        counts.update(c for c in t if ord(c) > 126)
    other = sorted(
        c for c, _ in counts.most_common(N_OTHER_CHARS + 1) if c not in (SPACE, "\u00a0")
    )[:N_OTHER_CHARS]
    chars = ["\t"] + [chr(c) for c in range(33, 127)] + [SPACE] + other
    nl, nl_m = run_merges("\n", NEWLINES)
    sp, sp_m = run_merges(SPACE, SPACES)
    ops, op_m = operator_merges()
    fixed = (
        [s for s, _ in SPECIAL]
        + [f"<0x{b:02X}>" for b in range(256)]
        + ["\n"]
        + nl
        + chars
        + sp
        + ops
    )
    words, word_m = word_merges(docs, VOCAB - len(fixed) - N_SPACED)
    merges = nl_m + sp_m + op_m + word_m
    base = build({t: i for i, t in enumerate(fixed + words)}, merges, fast=False)

    after_space = collections.Counter()
    for t in docs[::4]:
        toks = base.encode(t, add_special_tokens=False).tokens
        after_space.update(
            b
            for x, b in zip(toks, toks[1:])
            if x == SPACE and not b[0].isdigit() and b[0] not in "<\n"
        )
    room = VOCAB - len(fixed) - len(words)
    spaced = [
        p for p, _ in after_space.most_common() if p not in (SPACE,) and not p.startswith("<0x")
    ][:room]
    vocab = {t: i for i, t in enumerate(fixed + words + [SPACE + p for p in spaced])}
    assert len(vocab) == VOCAB, len(vocab)
    merges += [(SPACE, p) for p in spaced]
    tok, quick = build(vocab, merges, False), build(vocab, merges, True)

    for n in range(1, NEWLINES + 1):
        assert tok.encode("\n" * n).tokens == ["\n" * n], n
    for n in range(1, SPACES + 1):
        assert tok.encode(" " * n).tokens == [SPACE * n], n
    n_tok = n_bytes = 0
    for t in docs[1::9]:
        ids = tok.encode(t).ids
        assert ids == quick.encode(t).ids and tok.decode(ids, skip_special_tokens=False) == t
        n_tok, n_bytes = n_tok + len(ids), n_bytes + len(t.encode())
    tok.save(a.out or a.data + "/tokenizer.json")
    print(
        f"{len(vocab)} tokens, {len(merges)} merges, {n_bytes / n_tok:.3f} bytes per token of the"
        " text"
    )


if __name__ == "__main__":
    main()
