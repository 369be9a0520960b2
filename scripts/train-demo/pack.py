"""From dialogues and text to streams of tokens: whole documents packed one after another, with
loss weights.

A batch is one stream of N tokens. Every document starts at position 0 and sees only itself. Batch
s of a run depends on (seed, s) alone, so any number of worker processes gives the same run.
"""

import functools
import json
import lzma
import random

import numpy as np

import chat
import dialogues
import skills
import workflows
from make_tokenizer import load
from toolbox import load_client
from values import Corpus, Gen

PERSONA = [
    "You are a helpful assistant.",
    "You are a careful coding agent.",
    "You help with files and commands.",
    "You are joule-tiny, a small model.",
    "Be brief.",
    "Answer in one sentence.",
    "You are a terminal assistant.",
    "Use the tools when they help.",
    "You are CODER, a careful local coding agent.",
    "Today is Monday.",
    "You work in a repository. Do what the user asks and nothing more.",
]
RULES = [
    "Use the tools that are declared below.",
    "Never guess file contents; read them.",
    "Paths may be relative.",
    "Keep answers short.",
    "Do not add comments unless asked.",
    "Prefer editing existing files.",
    "Report errors plainly.",
    "Ask if something is unclear.",
    "Run the tests after a change.",
    "Do not commit unless the user asks for it.",
    "Quote commands exactly.",
    "One step at a time.",
    "Independent calls may be made in parallel.",
]
TEXT_WEIGHT = 0.3
PLAIN_WEIGHT = 3.0  # the answers of plain skills are short


class Source:
    """Everything that workers share: tokenizer, corpus, recorded client requests."""

    def __init__(self, data, client=None):
        self.tok = load(data + "/tokenizer.json")
        with lzma.open(data + "/text.jsonl.xz", "rt", encoding="utf-8") as f:
            docs = [json.loads(x) for x in f]
        self.corpus = Corpus(docs)
        self.text = {s: [d["text"] for d in docs if d["split"] == s] for s in ("train", "heldout")}
        self.prose = {
            s: [
                d["text"]
                for d in docs
                if d["split"] == s and d["kind"] == "prose" and "<|" not in d["text"]
            ]
            for s in ("train", "heldout")
        }
        self.heldout_docs = {
            k: [d["text"] for d in docs if d["split"] == "heldout" and d["kind"] == k]
            for k in ("prose", "python")
        }
        self.client = load_client(client)
        self.cached = functools.lru_cache(4096)(self._encode)

    def _encode(self, text):
        return np.array(self.tok.encode(text, add_special_tokens=False).ids, dtype=np.uint16)

    def encode(self, text):
        return (
            self.cached(text)
            if len(text) > 300 and text.startswith("<|tool>")
            else self._encode(text)
        )

    def tokens_of(self, segments):
        ids, weights, carry = [], [], 0
        for text, w in segments:
            if text is None:
                carry = w
                continue
            t = self.encode(text)
            x = np.full(len(t), w, dtype=np.float32)
            if carry:
                x[0], carry = carry, 0
            ids.append(t)
            weights.append(x)
        return np.concatenate(ids), np.concatenate(weights)


def long_text(g, src, chars):
    """Prose of about this many characters, from random places of the corpus."""
    out, n = [], 0
    while n < chars:
        d = g.of(src.prose[g.split])
        k = int(g.r.random() * max(1, len(d) - 500))
        piece = d[k : k + min(chars - n + 200, g.int(400, 6000))]
        out.append(piece)
        n += len(piece)
    return "\n\n".join(out)[:chars]


def environment(g):
    return (
        "<env>\n  Working directory: "
        + g.of(["/home/user/project", "/work/" + g.some_word(), "/srv/" + g.some_word()])
        + "\n  Platform: linux\n  Today's date: "
        + g.of(skills.DAYS)[:3]
        + " "
        + g.of(skills.MONTHS)[:3]
        + " "
        + str(g.int(1, 28))
        + " "
        + str(g.int(2025, 2030))
        + "\n</env>"
    )


def system_prompt(g, src, chars):
    """A system prompt of about `chars` characters (0: none or a short one)."""
    parts = []
    if g.chance(0.6):
        parts.append(g.of(PERSONA))
    if g.chance(0.4):
        k = g.int(1, 6)
        parts.append("\n".join(g.of(["- ", "* ", ""]) + x for x in g.r.sample(RULES, k)))
    if chars > 0:
        parts.append(long_text(g, src, chars))
    if g.chance(0.3):
        parts.append(environment(g))
    g.r.shuffle(parts)
    return "\n\n".join(parts) if chars or g.chance(0.7) else ""


def client_system(g, src, full):
    s = src.client["system"]
    if not full:
        s = (
            g.of(PERSONA)
            + "\n"
            + "\n".join(g.r.sample(RULES, g.int(0, 6)))
            + "\n"
            + s[s.index("You are powered by") :]
        )
        s = s[: s.index("Skills provide")] if g.chance(0.7) else s
    if g.chance(0.5):
        s = s.replace("mock-model", g.some_word()).replace(
            "/home/user/project",
            g.of(["/work/demo", "/tmp/" + g.some_word() + "/proj", "/home/" + g.some_word()]),
        )
        s = s.replace(
            "Mon Nov 23 2026",
            g.of(skills.DAYS)[:3]
            + " "
            + g.of(skills.MONTHS)[:3]
            + f" {g.int(1, 28)} {g.int(2025, 2030)}",
        )
    if g.chance(0.3):
        s += "\nInstructions from: /home/user/project/AGENTS.md\n" + "\n".join(
            g.r.sample(RULES, g.int(1, 5))
        )
    return s


SINGLE_FAMILIES = [
    "write",
    "write",
    "write",
    "read",
    "read",
    "edit",
    "bash",
    "bash",
    "glob",
    "grep",
]
PLAIN_FAMILIES = [
    "chat",
    "facts",
    "arithmetic",
    "copy",
    "copy",
    "pong",
    "reverse",
    "upper",
    "count",
    "passage",
    "passage",
    "arithmetic",
    "arithmetic",
    "arithmetic",
    "reverse",
    "reverse",
    "upper",
    "upper",
    "count",
    "count",
]


def pick_family(g, box):
    x = g.r.random()
    if not box or x < 0.16:
        return g.of(PLAIN_FAMILIES)
    if x < 0.46:
        names = [w for w, need in workflows.NEEDS.items() if all(c in box for c in need)]
        if names:
            return g.of(names)
    names = [f for f in SINGLE_FAMILIES if f in box]
    if names and (x < 0.85 or all(c in SINGLE_FAMILIES for c in box)):
        return g.of(names)
    return "single"


def conversation(g, src, n_turns, chars=0, kind="random"):
    """(conv, live) with n_turns requests. kind: "random" tools, "plain" (none), "lean" or "full"
    (a real agent's)."""
    if kind == "plain":
        tools, box = [], {}
    elif kind in ("lean", "full"):
        tools, box = dialogues.known_tools(g, src.client, kind == "lean")
    else:
        need = g.of(
            [
                ["write"],
                ["read"],
                ["write", "bash"],
                ["read", "write"],
                ["read", "edit"],
                ["glob", "read"],
                ["bash"],
                ["edit"],
                ["glob"],
                ["grep"],
                [],
                ["write", "read", "edit", "bash", "glob", "grep"],
            ]
        )
        tools, box = dialogues.toolbox(
            g, need, extra=g.of([None, None, 0, 0, 8]), long_share=0.25 if chars else 0.08
        )
    system = (
        client_system(g, src, kind == "full" or g.chance(0.3))
        if kind in ("lean", "full")
        else system_prompt(g, src, chars)
    )
    if kind in ("lean", "full") and chars:
        system += "\n\n" + long_text(g, src, chars)
    conv = {
        "system": system,
        "tools": [t.schema for t in tools],
        "thinking": g.chance(0.22),
        "messages": [],
    }
    live = set()
    for i in range(n_turns):
        if i == n_turns - 1 or g.chance(0.6):
            live.add(len(conv["messages"]))
        conv["messages"] += dialogues.task(g, box, pick_family(g, box)).messages()
    return conv, live


def title(g, src):
    """The agent's own request for a title."""
    sys = (
        src.client["title"]["messages"][0]["content"]
        if src.client
        else "You are a title generator. Output only a title."
    )
    tools, box = dialogues.toolbox(g, ["write", "read", "bash", "edit", "glob"], extra=0)
    t = dialogues.task(
        g, box, g.of(["write", "read", "bash", "edit", "glob", "arithmetic", "chat"])
    )
    text = " ".join(t.ask.split(" ")[:6]).split("\n")[0].strip(" .:,")[:48]
    ask = [
        {"role": "user", "content": "Generate a title for this conversation:\n"},
        {"role": "user", "content": t.ask},
    ]
    return {
        "system": sys,
        "tools": [],
        "thinking": g.chance(0.1),
        "messages": (
            ask
            + [
                {
                    "role": "assistant",
                    "content": text[:1].upper() + text[1:],
                    "reasoning": "A short title.",
                }
            ]
        ),
    }, None


def copy_document(g, src):
    """A string again and again, all tokens counted from the second time on: the bare skill of
    copying."""
    parts = []
    t = g.of([g.line, g.path, g.block, lambda: g.token(8, 40), lambda: g.words(3, 30)])()
    for _ in range(g.int(2, 4)):
        parts.append(g.of(["", " ", '"', "`", "'", '<|"|>', "(", "= "]) + t)
    n0 = len(src.encode("<bos>" + parts[0]))
    ids = src.encode("<bos>" + "\n".join(parts) + "\n<eos>")
    w = np.full(len(ids), 0.7, dtype=np.float32)
    w[: n0 + 1] = 0.05
    return ids, w


def text_document(g, src, n):
    """n tokens from a random place of the text corpus."""
    while True:
        d = g.of(src.text["train"])
        k = 0 if g.chance(0.3) else int(g.r.random() * len(d))
        t = src.encode(d[k : k + n * 6])[: n - 1]
        if len(t) == n - 1 or (len(t) > 64 and n > len(t) + 1):
            ids = np.concatenate([src.encode("<bos>"), t])
            w = np.full(len(ids), TEXT_WEIGHT, dtype=np.float32)
            w[0] = 0
            return ids, w
        if len(t) <= 64 and n > 64:
            continue
        n = len(t) + 1 if len(t) > 8 else n


def document(g, src, long_share):
    """One training document. long_share: the chance of a long conversation (3k to 16k tokens)."""
    if g.chance(long_share):
        room = g.of([3000, 4000, 6000, 8000, 8000, 11000, 13000, 16000])
        kind = (
            g.of(["random", "random", "lean", "lean", "full", "plain"])
            if src.client
            else g.of(["random", "plain"])
        )
        base = {"lean": 4500, "full": 9800}.get(kind, 1500)
        turns = g.int(4, 20)
        chars = max(0, int((room - base - turns * 130) * 2.6)) if g.chance(0.75) else 0
        return src.tokens_of(chat.render(*conversation(g, src, turns, chars, kind)))
    x = g.r.random()
    if x < 0.08:
        return copy_document(g, src)
    if x < 0.34:
        ids, w = src.tokens_of(chat.render(*conversation(g, src, g.of([4, 8, 16, 24]), 0, "plain")))
        return ids, w * PLAIN_WEIGHT
    if x < 0.35 and src.client:
        return src.tokens_of(chat.render(*title(g, src)))
    if x < 0.36:
        return text_document(g, src, g.of([256, 512, 1024, 2048, 4096]))
    chars = g.int(100, 2500) if g.chance(0.12) else 0
    return src.tokens_of(
        chat.render(*conversation(g, src, g.of([1, 2, 3, 4, 6, 8, 10]), chars, "random"))
    )


def batch(src, seed, step, n, mix):
    """Stream of n tokens: dict of tokens [n + 1], weights [n] of the token that follows, pos [n],
    start [n].

    mix: {"text": share of tokens that are plain text, "long": chance of a long conversation,
    "longest": tokens}.
    """
    g = Gen(random.Random(f"{seed}/{step}"), src.corpus)
    ids, wts, starts = [], [], []
    room, text_left = n + 1, int(n * mix["text"])
    while text_left > 256 and room > 4096:
        d = text_document(g, src, min(g.of([512, 1024, 2048, 2048, 4096]), text_left))
        ids.append(d[0])
        wts.append(d[1])
        room, text_left = room - len(d[0]), text_left - len(d[0])
    misses = 0
    while room > 64 and misses < 40:
        t, w = document(g, src, mix["long"])
        if len(t) > min(room, mix["longest"]) or not w.any():
            misses += 1
            continue
        ids.append(t)
        wts.append(w)
        room -= len(t)
    order = list(range(len(ids)))
    g.r.shuffle(order)
    ids, wts = [ids[i] for i in order], [wts[i] for i in order]
    if room:
        t = np.tile(src.encode("<pad>"), room)
        ids.append(t)
        wts.append(np.zeros(room, dtype=np.float32))
    tokens, weights = np.concatenate(ids), np.concatenate(wts)
    for t in ids:
        starts.append(
            np.full(
                len(t),
                sum(map(len, starts)) if len(starts) < 1 else starts[-1][-1] + len(starts[-1]),
                dtype=np.int32,
            )
        )
    start = np.concatenate(starts)[:n]
    w = weights[1 : n + 1].copy()
    w[np.concatenate(starts)[1 : n + 1] != start] = (
        0  # the last token of a document does not foretell the next one
    )
    return {
        "tokens": tokens[: n + 1].astype(np.int32),
        "weights": w.astype(np.float32),
        "start": start,
        "pos": np.arange(n, dtype=np.int32) - start,
    }
