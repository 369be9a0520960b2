#!/usr/bin/env python3
"""Held-out examples: one request each, with the ideal transcript.

Everything that matters is drawn from the held-out side of the split (values.py): tool names,
argument names, paths, contents, phrasings. Sets:
  short     one tool call, tools with invented names, short prompt
  lean      one tool call behind a real agent's lean prompt and its six tools
  full      the same behind the agent's whole prompt and all its tools
  depthN    one tool call, invented tools, a prompt filled up to N tokens with other text
  leanN     the same with the lean agent's tools
  twostep   a call, its result, and an answer that needs the result; or two calls in sequence
  parallel  several calls at once
  nocall    plain requests although tools are declared
  plain     the plain skills without tools
  leantwo   two steps with the lean agent's tools

A fifth of the examples of each set has thinking on.
"""

import argparse
import json
import random

import chat
import dialogues
import pack
import skills
from values import Gen

SINGLE = ["write", "write", "write", "read", "edit", "bash", "glob", "grep"]
TWO = ["read", "read", "bash", "write_run", "copy_file", "fix", "glob_read", "two_writes"]
PLAIN = ["arithmetic", "copy", "pong", "reverse", "upper", "count", "passage", "facts", "chat"]
NEED = {
    "write_run": ["write", "bash"],
    "copy_file": ["read", "write"],
    "fix": ["read", "edit"],
    "glob_read": ["glob", "read"],
    "two_writes": ["write"],
    "read_many": ["read"],
    "write_many": ["write"],
}
SETS = [
    "short",
    "lean",
    "full",
    "twostep",
    "leantwo",
    "parallel",
    "nocall",
    "plain",
    "depth0",
    "depth4000",
    "depth8000",
    "depth12000",
    "depth16000",
    "lean4000",
    "lean8000",
    "lean12000",
]


def deep_system(g, src, base, target):
    """A system prompt that fills up to `target` tokens when the rest of the prompt has `base`."""
    want = max(0, target - base)
    text = pack.long_text(g, src, int(want * 4.2) + 200)
    ids = src.encode(text)[:want]
    return src.tok.decode(list(ids), skip_special_tokens=False)


def example(src, name, index):
    g = Gen(random.Random(f"eval/{name}/{index}"), src.corpus, "heldout")
    kind = name.rstrip("0123456789")
    depth = int(name[len(kind) :] or 0)
    if kind in ("plain", "nocall"):
        family = PLAIN[index % len(PLAIN)]
    elif kind in ("twostep", "leantwo"):
        family = TWO[index % len(TWO)]
    elif kind == "parallel":
        family = ["read_many", "write_many"][index % 2]
    else:
        family = SINGLE[index % len(SINGLE)]
    if kind == "plain":
        tools, box, system = [], {}, ""
    elif kind in ("lean", "full", "leantwo"):
        tools, box = dialogues.known_tools(g, src.client, kind != "full")
        system = pack.client_system(g, src, kind == "full")
    else:
        tools, box = dialogues.toolbox(
            g,
            NEED.get(family, [family] if family in dialogues.CONCEPTS else ["write", "bash"]),
            long_share=0.1,
        )
        system = pack.system_prompt(g, src, 0)
    for _ in range(100):
        t = dialogues.task(g, box, family)
        if kind == "twostep" or kind == "leantwo":
            if family == "read" and t.family == "read" and len(t.value) > 80:
                continue
        break
    conv = {
        "system": system,
        "tools": [x.schema for x in tools],
        "thinking": index % 5 == 4,
        "messages": t.messages(),
    }
    if depth:
        base = sum(
            len(src.encode(s))
            for s, _ in chat.render({**conv, "messages": conv["messages"][:1]})
            if s
        )
        conv["system"] = (system + "\n\n" + deep_system(g, src, base, depth)).strip()
    judged = "call" if kind in ("short", "lean", "full", "depth") else "all"
    return {
        "set": name,
        "index": index,
        "family": family,
        "judge": judged,
        "check": t.check,
        "value": t.value,
        **conv,
    }


def tokens_of(src, ex):
    """Tokens, and a flag for each that the model must get right (of the first generation only if
    judge is "call")."""
    segs = chat.render({k: ex[k] for k in ("system", "tools", "thinking", "messages")})
    if ex["judge"] == "call":
        out, seen = [], False
        for s, w in segs:
            if seen and not w and s is not None:
                break
            if s is None:
                out.append(("<|tool_response>", 1))
                break
            seen = seen or bool(w)
            out.append((s, w))
        segs = out
    return src.tokens_of(segs)


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--data", required=True)
    ap.add_argument("--client", help="folder with recorded requests of the agent")
    ap.add_argument("--out", required=True, help="JSON lines")
    ap.add_argument("--sets", default=",".join(SETS))
    ap.add_argument("--count", type=int, default=200)
    a = ap.parse_args()
    src = pack.Source(a.data, a.client)
    with open(a.out, "w", encoding="utf-8") as f:
        for s in a.sets.split(","):
            for i in range(a.count):
                f.write(json.dumps(example(src, s, i), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
