#!/usr/bin/env python3
"""A short continuation of a trained run on a CPU: many phrasings of the skills that need few tokens.

    tune.py --data DATA --client CLIENT --init RUN --out TUNED --steps 400

One thread needs about 4 s per step of 1024 tokens. Adam with a small learning rate that falls to zero; the loss is
computed at the places the model writes only. Writes weights-*.pt like train.py, and log.txt.
"""
import argparse
import json
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

import chat
import dialogues
import model as md
import pack
import train
import workflows
from values import Gen

PLAIN = ["copy", "copy", "pong", "reverse", "upper", "upper", "count", "arithmetic", "passage", "chat", "facts"]


def document(g, src):
    """A dialogue with as few other tokens as can be: plain skills, or one or two requests with the tools they need."""
    x = g.r.random()
    if x < 0.4:
        tools, families = [], [g.of(PLAIN) for _ in range(g.int(3, 8))]
        box = {}
    elif x < 0.5:
        tools, box = dialogues.toolbox(g, [g.of(["write", "bash", "read"])], extra=0, long_share=0)
        families = [g.of(PLAIN) for _ in range(g.int(2, 4))]
    elif x < 0.8:
        w = g.of(list(workflows.NEEDS))
        tools, box = dialogues.toolbox(g, workflows.NEEDS[w], extra=0, long_share=0)
        families = [w, g.of([k for k, n in workflows.NEEDS.items() if all(c in box for c in n)])]
    else:
        need = g.of([["read"], ["edit"], ["write"], ["read", "edit", "write", "bash"], ["glob", "grep", "bash"]])
        tools, box = dialogues.toolbox(g, need, extra=0, long_share=0)
        families = [g.of(need) for _ in range(2)]
    conv = {"system": pack.system_prompt(g, src, 0) if g.chance(0.3) else "", "tools": [t.schema for t in tools],
            "thinking": g.chance(0.2), "messages": []}
    live = set()
    for f in families:
        live.add(len(conv["messages"]))
        conv["messages"] += dialogues.task(g, box, f).messages()
    return src.tokens_of(chat.render(conv, live))


def batch(src, seed, step, n):
    g = Gen(random.Random(f"tune/{seed}/{step}"), src.corpus)
    ids, wts, misses, room = [], [], 0, n + 1
    while room > 40 and misses < 30:
        t, w = document(g, src)
        if len(t) > room:
            misses += 1
            continue
        ids.append(t)
        wts.append(w)
        room -= len(t)
    starts, at = [], 0
    for t in ids:
        starts.append(np.full(len(t), at, dtype=np.int32))
        at += len(t)
    return np.concatenate(ids).astype(np.int64), np.concatenate(wts), np.concatenate(starts)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", required=True)
    ap.add_argument("--client")
    ap.add_argument("--init", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=400)
    ap.add_argument("--seconds", type=float, default=0, help="the learning rate falls in time for this limit")
    ap.add_argument("--tokens", type=int, default=1024)
    ap.add_argument("--lr", type=float, default=2e-4)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.set_num_threads(1)
    src = pack.Source(a.data, a.client)
    m = md.create(0)
    begin = train.load_pieces(m, a.init)
    named = md.params(m)
    frozen = ("model.embed_tokens.weight",)
    tuned = [p for n, p in named.items() if n not in frozen]
    for p in tuned:
        p.requires_grad_(True)
    opt = torch.optim.Adam(tuned, lr=a.lr, betas=(0.9, 0.98), foreach=True)
    emb, norm = named["model.embed_tokens.weight"], named["model.norm.weight"]
    t0, mean = time.time(), None
    log = open(f"{a.out}/log.txt", "a", encoding="utf-8", buffering=1)
    for s in range(a.steps):
        p = max(s / a.steps, (time.time() - t0) / a.seconds if a.seconds else 0)
        if p >= 1:
            break
        t, w, start = batch(src, a.seed, s, a.tokens)
        t, w, start = torch.from_numpy(t), torch.from_numpy(w), torch.from_numpy(start)
        n = len(t)
        fast = md.Fast(m, n, compile=False, dtype=torch.bfloat16 if a.bf16 else torch.float32)
        x, balance = fast.hidden(t, torch.arange(n) - start, start)
        where = (w[1:] > 0.5).nonzero().squeeze(1)
        loss = F.cross_entropy(md.head(x[where], norm, emb), t[where + 1])
        (loss + 0.003 * balance).backward()
        for g in opt.param_groups:
            g["lr"] = a.lr * min(1, (s + 1) / 10) * (1 - p)
        opt.step()
        opt.zero_grad()
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        line = f"{time.time() - t0:8.1f} s  step {s} loss {loss.item():.4f} mean {mean:.4f} tokens {n} counted {len(where)}"
        print(line, flush=True)
        log.write(line + "\n")
        if s % 25 == 24:
            train.save_pieces(named, a.out, {"step": begin + s + 1, "tuned": s + 1, "seed": a.seed})
    train.save_pieces(named, a.out, {"step": begin + s + 1, "tuned": s + 1, "seed": a.seed})
    with open(f"{a.out}/finished", "w", encoding="utf-8") as f:
        json.dump({"steps": s + 1, "seconds": time.time() - t0}, f)


if __name__ == "__main__":
    main()
