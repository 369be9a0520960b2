#!/usr/bin/env python3
"""Write the GGUF files of a trained run: weights-*.pt and tokenizer.json to one file per type.

    export_gguf.py --run RUN --tokenizer DATA/tokenizer.json --out PREFIX [--types Q8_0,BF16,F32]

writes PREFIX-q8_0.gguf and so on. The weights of a run are bfloat16 numbers, so the BF16 file is
exact.
"""

import argparse
import hashlib
import os
import sys

import train

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import chat  # noqa: E402
import hf_to_gguf  # noqa: E402
import model as md  # noqa: E402


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--run", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--types", default="Q8_0,BF16")
    ap.add_argument("--hf", help="also save the official checkpoint (safetensors) in this folder")
    a = ap.parse_args()
    m = md.create(0)
    step = train.load_pieces(m, a.run)
    with open(
        os.path.join(os.path.dirname(chat.__file__), "chat_template.jinja"), encoding="utf-8"
    ) as f:
        template = f.read()
    meta = hf_to_gguf.tokenizer_metadata(a.tokenizer, template)
    meta["general.license"] = "MIT"
    meta["general.description"] = (
        "A very small Gemma 4 MoE model for demonstration and tests, trained from scratch"
    )
    weights = {n: p.detach() for n, p in md.params(m).items()}
    for t in a.types.split(","):
        path = f"{a.out}-{t.lower()}.gguf"
        hf_to_gguf.write_gguf(path, m.config, weights, meta, t, "joule-tiny")
        with open(path, "rb") as f:
            data = f.read()
        print(f"{path}: step {step}, {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    if a.hf:
        m.save_pretrained(a.hf)


if __name__ == "__main__":
    main()
