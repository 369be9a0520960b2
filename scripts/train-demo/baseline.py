#!/usr/bin/env python3
"""Bits per byte on the held-out text: of a model run by joule, a 5-gram model of bytes, gzip and
xz, on the same bytes.

    baseline.py --data DATA [--joule build/joule --model models/joule-tiny.gguf] [--tokens 1024]

The 5-gram model predicts a byte from the four before it, with interpolated Kneser-Ney smoothing
(discount 0.75), counted on the training side of the same corpus. gzip and xz compress each
held-out file on its own, as they are used.
"""

import argparse
import gzip
import json
import lzma
import math
import os
import subprocess
import tempfile

import numpy as np

ORDER = 5


def packed(data, n):
    """The n-gram that ends at each byte, as one number."""
    x = np.zeros(len(data) - n + 1, dtype=np.int64)
    for i in range(n):
        x = x * 256 + data[i : len(data) - n + 1 + i]
    return x


class NGram:
    """Interpolated Kneser-Ney over bytes: real counts at the top order, continuation counts
    below."""

    def __init__(self, data, order=ORDER, discount=0.75):
        self.order, self.d, self.levels = order, discount, []
        types = None
        for n in range(order, 0, -1):
            if types is None:
                keys, counts = np.unique(packed(data, n), return_counts=True)
            else:  # the number of different bytes seen before this n-gram
                keys, counts = np.unique(types % 256**n, return_counts=True)
            types = keys
            ctx, first = np.unique(keys // 256, return_index=True)
            total = np.add.reduceat(counts, first)
            kinds = np.diff(np.append(first, len(keys)))
            self.levels.append((keys, counts, ctx, total, kinds))

    def bits(self, data):
        """Bits for the bytes of data from the fifth on."""
        p = np.full(len(data) - self.order + 1, 1 / 256)
        for n, (keys, counts, ctx, total, kinds) in zip(
            range(1, self.order + 1), reversed(self.levels)
        ):
            g = packed(data, n)[self.order - n :]
            i = np.minimum(np.searchsorted(keys, g), len(keys) - 1)
            c = np.where(keys[i] == g, counts[i], 0)
            j = np.minimum(np.searchsorted(ctx, g // 256), len(ctx) - 1)
            known = ctx[j] == g // 256
            t = np.where(known, total[j], 1)
            q = np.maximum(c - self.d, 0) / t + np.where(known, self.d * kinds[j] / t, 1.0) * p
            p = np.where(known, q, p)
        return -np.log2(p).sum(), len(p)


def joule_bits(joule, model, ids, folder):
    """Bits of the tokens after the first, from the logits that joule writes."""
    out = os.path.join(folder, "logits")
    subprocess.run(
        [
            joule,
            "logits",
            "-q",
            "-m",
            model,
            "--tokens-file",
            "-",
            "--all",
            "-o",
            out,
            "-t",
            "1",
            "-c",
            str(len(ids)),
        ],
        input=json.dumps(ids).encode(),
        check=True,
    )
    z = np.fromfile(out, dtype="<f4").reshape(len(ids), -1)[:-1].astype(np.float64)
    top = z.max(1, keepdims=True)
    lse = (top + np.log(np.exp(z - top).sum(1, keepdims=True)))[:, 0]
    return float((lse - z[np.arange(len(z)), ids[1:]]).sum() / math.log(2))


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--data", required=True)
    ap.add_argument("--joule")
    ap.add_argument("--model", default="models/joule-tiny.gguf")
    ap.add_argument(
        "--tokens",
        type=int,
        default=1024,
        help="the first tokens of each held-out document; 0: all of it",
    )
    a = ap.parse_args()
    import make_tokenizer

    tok = make_tokenizer.load(a.data + "/tokenizer.json")
    text = {}
    with lzma.open(a.data + "/text.jsonl.xz", "rt", encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            text.setdefault((d["kind"], d["split"]), []).append(d["text"])
    train = "\n".join(text["prose", "train"] + text["python", "train"]).encode()
    model = NGram(np.frombuffer(train, dtype=np.uint8).astype(np.int64))
    for kind in ("prose", "python"):
        bits = n = g = x = size = jb = n_tok = 0
        for doc in text[kind, "heldout"]:
            ids = tok.encode("<bos>" + doc, add_special_tokens=False).ids[
                : a.tokens + 1 if a.tokens else None
            ]
            raw = tok.decode(ids[1:], skip_special_tokens=False).encode()
            b, k = model.bits(np.frombuffer(raw, dtype=np.uint8).astype(np.int64))
            bits, n, size, n_tok = bits + b, n + k, size + len(raw), n_tok + len(ids) - 1
            g += len(gzip.compress(raw, 9))
            x += len(lzma.compress(raw, preset=9))
            if a.joule:
                with tempfile.TemporaryDirectory(
                    dir="/dev/shm" if os.path.isdir("/dev/shm") else None
                ) as folder:
                    jb += joule_bits(a.joule, a.model, ids, folder)
        print(
            f"{kind}: {len(text[kind, 'heldout'])} documents, {size} bytes, {n_tok} tokens; bits"
            " per byte: "
            + (f"joule {jb / size:.4f}, " if a.joule else "")
            + f"5-gram {bits / n:.4f}, gzip -9 {8 * g / size:.4f}, xz -9 {8 * x / size:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
