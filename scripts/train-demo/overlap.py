#!/usr/bin/env python3
"""How much the held-out examples share with the training dialogues: exact values, and n-grams of
words.

Draws as many training dialogues as wanted with the generator (another seed than any run), collects
tool names, the argument names of calls, argument values, requests and the word 3-, 5- and 8-grams
of requests, and counts which of the held-out ones occur. Values (paths, contents, commands) stand
in requests, so a mask hides them when phrasings are compared.
"""

import argparse
import json
import random
import re

import pack
from values import Gen

WORD = re.compile(r"[A-Za-z0-9_]+|[^\sA-Za-z0-9_]")


def facts_of(tools, messages):
    """Names, values and requests of a dialogue; values longer than 3 characters."""
    out = {"tool": set(), "argument": set(), "value": set(), "request": []}
    for t in tools:
        f = t["function"]
        out["tool"].add(f["name"])
    ask, values = None, []
    for m in messages + [{"role": "user", "content": ""}]:
        if m["role"] == "user":
            if ask:
                out["request"].append((ask, values))
            ask, values = m["content"], []
        for _, args in m.get("tool_calls") or []:
            out["argument"] |= set(args)
            values += [v for v in args.values() if isinstance(v, str)]
    for _, vs in out["request"]:
        out["value"] |= {v for v in vs if len(v) > 3}
    return out


def masked(ask, values):
    for v in sorted(values, key=len, reverse=True):
        ask = ask.replace(v, "@")
    return re.sub(r"['\"`]@['\"`]", "@", ask)


def grams(text, n):
    w = WORD.findall(text)
    return {tuple(w[i : i + n]) for i in range(len(w) - n + 1)}


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--data", required=True)
    ap.add_argument("--client")
    ap.add_argument("--examples", required=True)
    ap.add_argument("--dialogues", type=int, default=20000)
    ap.add_argument("--sets", default="short,plain,twostep,parallel")
    a = ap.parse_args()
    src = pack.Source(a.data, a.client)
    seen = {"tool": set(), "argument": set(), "value": set(), "request": set(), "masked": set()}
    ngram = {(k, n): set() for k in ("request", "masked") for n in (3, 5, 8)}
    for i in range(a.dialogues):
        g = Gen(random.Random(f"overlap/{i}"), src.corpus)
        conv, _ = pack.conversation(g, src, 4, 0, "plain" if g.chance(0.3) else "random")
        f = facts_of(conv["tools"], conv["messages"])
        for k in ("tool", "argument", "value"):
            seen[k] |= f[k]
        for ask, values in f["request"]:
            for kind, s in (("request", ask), ("masked", masked(ask, values))):
                seen[kind].add(s)
                for n in (3, 5, 8):
                    ngram[kind, n] |= grams(s, n)
    total, hit = {}, {}
    with open(a.examples, encoding="utf-8") as fh:
        for line in fh:
            ex = json.loads(line)
            if ex["set"] not in a.sets.split(","):
                continue
            f = facts_of(ex["tools"], ex["messages"])
            for k in ("tool", "argument", "value"):
                total.setdefault(k, set()).update(f[k])
                hit.setdefault(k, set()).update(f[k] & seen[k])
            for ask, values in f["request"]:
                for kind, s in (("request", ask), ("masked", masked(ask, values))):
                    total.setdefault(kind, set()).add(s)
                    hit.setdefault(kind, set()).update({s} & seen[kind])
                    for n in (3, 5, 8):
                        x = grams(s, n)
                        total.setdefault((kind, n), set()).update(x)
                        hit.setdefault((kind, n), set()).update(x & ngram[kind, n])
    for k in total:
        name = k if isinstance(k, str) else f"{k[1]}-grams of {k[0]}s"
        print(
            f"{name:24} {len(hit[k]):6} of {len(total[k]):6} held-out ones seen in training  "
            f"({100 * len(hit[k]) / max(1, len(total[k])):.2f} %)"
        )


if __name__ == "__main__":
    main()
