#!/usr/bin/env python3
"""Train the bundled model. One GPU: about 20 minutes. CPU: see README.md.

    train.py --data DATA --client CLIENT --out RUN --steps 11000

Everything depends on --seed and the number of steps, not on the number of workers. The run can be
stopped at any time and continued with --resume. RUN/ holds state.pt (everything, for --resume),
weights-*.pt (bfloat16 weights in pieces, for --init, export and copying), log.txt.
"""

import argparse
import glob
import json
import math
import multiprocessing
import os
import pickle
import shutil
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import numpy as np  # noqa: E402
import torch  # noqa: E402

import evalset  # noqa: E402
import model as md  # noqa: E402
import pack  # noqa: E402

PIECE_BYTES = 15 << 20


def mix_at(p, tune=False):
    """What the batches hold at this share of the run."""
    if tune:
        return {"text": 0.10, "long": 0.03, "longest": 16384}
    if p < 0.08:
        return {"text": 0.30, "long": 0.0, "longest": 4096}
    if p < 0.60:
        return {"text": 0.20, "long": 0.02, "longest": 16384}
    return {"text": 0.12, "long": 0.10, "longest": 16384}


def rate_at(p, warm, tune=False):
    """Learning rate factor: warm up, hold, then fall in a straight line from 55 % of the run on (a
    tuning run: at once)."""
    if tune:
        return min(1.0, p / warm) * max(0.0, 1 - p)
    return min(1.0, p / warm) if p < warm else 1.0 if p < 0.55 else max(0.0, (1 - p) / 0.45)


def worker(src, w, a, n, folder, done):
    os.nice(5)
    for s in range(a.first + w, a.steps, a.workers):
        while s > done.value + a.ahead:
            time.sleep(0.05)
        b = pack.batch(src, a.seed, s, n, mix_at(s / a.steps, a.tune))
        tmp = f"{folder}/tmp{w}.npz"
        np.savez(tmp, **b)
        os.rename(tmp, f"{folder}/{s}.npz")


def ortho(g, steps=5):
    """Newton-Schulz iteration towards the nearest orthogonal matrix, for a batch [b, r, c] (the
    step of Muon)."""
    x = g.bfloat16() if g.is_cuda else g.float()
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-7)
    for _ in range(steps):
        y = x @ x.mT
        x = 3.4445 * x + (-4.7750 * y + 2.0315 * (y @ y)) @ x
    return x.mT if tall else x


def muon_step(grads, momentum):
    """New momentum and the update for stacked gradients of one shape."""
    momentum = torch.lerp(grads, momentum, 0.95)
    u = ortho(torch.lerp(grads, momentum, 0.95))
    return momentum, u.float() * (0.2 * max(u.size(-2), u.size(-1)) ** 0.5)


class Optimizer:
    """Muon for the matrices inside the layers, Adam for embeddings, router, norms and scalars."""

    def __init__(self, named, lr, compile):
        self.lr, self.t = lr, 0
        self.groups, self.adam = {}, []
        for n, p in named.items():
            if p.ndim >= 2 and "embed" not in n and "router" not in n:
                self.groups.setdefault((p.shape[-2], p.shape[-1], p.ndim), []).append(p)
            else:
                f = 0.5 if "embed" in n else 0.75 if "router.proj" in n else 0.5
                self.adam.append((p, f, torch.zeros_like(p), torch.zeros_like(p)))
        self.mom = {
            k: torch.zeros_like(self._stack([p for p in ps])) for k, ps in self.groups.items()
        }
        self.step_fn = torch.compile(muon_step, dynamic=False) if compile else muon_step

    @staticmethod
    def _stack(ts):
        return torch.cat(list(ts)) if ts[0].ndim == 3 else torch.stack(list(ts))

    @torch.no_grad()
    def step(self, factor, wd=0.06):
        self.t += 1
        lr = self.lr * factor
        for k, ps in self.groups.items():
            self.mom[k], u = self.step_fn(self._stack([p.grad for p in ps]), self.mom[k])
            parts = u.split(ps[0].shape[0]) if ps[0].ndim == 3 else u.unbind(0)
            data = [p.data for p in ps]
            torch._foreach_mul_(data, 1 - lr * wd)
            torch._foreach_add_(data, list(parts), alpha=-lr)
        b1, b2 = 0.9, 0.97
        c1, c2 = 1 - b1**self.t, 1 - b2**self.t
        gs = [p.grad for p, *_ in self.adam]
        m, v = [x[2] for x in self.adam], [x[3] for x in self.adam]
        torch._foreach_lerp_(m, gs, 1 - b1)
        torch._foreach_mul_(v, b2)
        torch._foreach_addcmul_(v, gs, gs, 1 - b2)
        den = torch._foreach_div(v, c2)
        torch._foreach_sqrt_(den)
        torch._foreach_add_(den, 1e-10)
        upd = torch._foreach_div(m, den)
        torch._foreach_mul_(upd, [-lr * f / c1 for _, f, _, _ in self.adam])
        torch._foreach_add_([p.data for p, *_ in self.adam], upd)

    def state(self):
        return {
            "t": self.t,
            "mom": self.mom,
            "m": [x[2] for x in self.adam],
            "v": [x[3] for x in self.adam],
        }

    def load(self, s):
        self.t = s["t"]
        for k in self.mom:
            self.mom[k].copy_(s["mom"][k])
        for x, m, v in zip(self.adam, s["m"], s["v"]):
            x[2].copy_(m)
            x[3].copy_(v)


def save_pieces(named, folder, meta):
    """bfloat16 weights in files below PIECE_BYTES, replaced one by one; latest.json last."""
    pieces, size = [{}], 0
    for n, p in named.items():
        b = p.numel() * 2
        if size + b > PIECE_BYTES:
            pieces.append({})
            size = 0
        pieces[-1][n] = p.detach().to("cpu", torch.bfloat16).clone()
        size += b
    for i, x in enumerate(pieces):
        torch.save({"step": meta["step"], "weights": x}, f"{folder}/tmp.pt")
        os.rename(f"{folder}/tmp.pt", f"{folder}/weights-{i}.pt")
    with open(f"{folder}/latest.json", "w", encoding="utf-8") as f:
        json.dump({**meta, "pieces": len(pieces)}, f)


def load_pieces(model, folder):
    """Puts the pieces of a folder into a model; refuses pieces of different steps or missing
    tensors."""
    named, steps = md.params(model), set()
    seen = set()
    for path in sorted(glob.glob(f"{folder}/weights-*.pt")):
        d = torch.load(path, map_location="cpu")
        steps.add(d["step"])
        with torch.no_grad():
            for n, t in d["weights"].items():
                named[n].copy_(t)
                seen.add(n)
    assert len(steps) == 1 and seen == set(
        named
    ), f"{folder}: steps {steps}, {len(seen)} of {len(named)} tensors"
    return steps.pop()


def eval_streams(src, n, count, every=False):
    """Held-out examples packed into streams: for each (dict of arrays, [(set, family, first,
    last)])."""
    sets = ["short", "twostep", "parallel", "plain", "nocall"]
    if src.client:
        sets += ["lean", "leantwo", "full"]
    if n > 16384:
        sets += (
            [s for s in evalset.SETS if s[-1].isdigit() and src.client]
            if every
            else ["depth8000", "lean12000"]
        )
    items = []
    for s in sets:
        k = count if not s[-1].isdigit() and s != "full" else max(8, count // 2)
        for i in range(k):
            ex = evalset.example(src, s, i)
            items.append((s, ex["family"], *evalset.tokens_of(src, ex)))
    for kind in ("prose", "python"):
        used = 0
        for d in sorted(src.heldout_docs[kind], key=len):
            if len(d) < 3000 or used > 40 * count:
                continue
            t = src.encode("<bos>" + d)[:2048]
            items.append(
                (kind, kind, t, np.concatenate([[0], np.full(len(t) - 1, 0.5, np.float32)]))
            )
            used += len(t)
    streams, ids, meta = [], [], []
    items = [x for x in items if len(x[2]) <= n]
    size = 0
    for x in items + [None]:
        if x is None or size + len(x[2]) > n + 1:
            pad = n + 1 - size
            t = np.concatenate([y[2] for y in ids] + [np.zeros(pad, np.uint16)]).astype(np.int32)
            w = np.concatenate([y[3] for y in ids] + [np.zeros(pad, np.float32)])
            start = np.concatenate(
                [np.full(len(y[2]), m[2], np.int32) for y, m in zip(ids, meta)]
                + [np.full(pad, size, np.int32)]
            )
            streams.append(
                (
                    {
                        "tokens": t,
                        "weights": w[1:],
                        "start": start[:n],
                        "pos": np.arange(n, dtype=np.int32) - start[:n],
                    },
                    meta,
                )
            )
            ids, meta, size = [], [], 0
        if x is not None:
            meta.append((x[0], x[1], size, size + len(x[2])))
            ids.append(x)
            size += len(x[2])
    return streams


def final_streams(src, a, folder):
    """Makes the streams of the last evaluation beside the training; a file takes them over."""
    os.nice(10)
    with open(f"{folder}/final.tmp", "wb") as f:
        pickle.dump(eval_streams(src, a.tokens, a.final_count, True), f)
    os.rename(f"{folder}/final.tmp", f"{folder}/final.pkl")


def to_device(b, dev):
    t = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in b.items()}
    if dev.type == "cuda":
        t = {k: v.pin_memory().to(dev, non_blocking=True) for k, v in t.items()}
    t["tokens"] = t["tokens"].long()
    return t


def evaluate(fast, streams, dev, src):
    """Share of examples whose every token of the model is the likeliest one, which is what greedy
    decoding needs."""
    exact, bits = {}, {}
    for b, meta in streams:
        t = to_device(b, dev)
        _, _, ce, best = fast.loss(t["tokens"], t["weights"], t["pos"], t["start"])
        ce, right = ce.float().cpu().numpy(), (best == t["tokens"][1:]).cpu().numpy()
        for name, family, lo, hi in meta:
            w = b["weights"][lo : hi - 1]
            if name == family:
                ids = b["tokens"][lo + 1 : hi]
                text = src.tok.decode(list(ids), skip_special_tokens=False)
                x = bits.setdefault(name, [0.0, 0])
                x[0] += float(ce[lo : hi - 1].sum()) / math.log(2)
                x[1] += len(text.encode())
            else:
                ok = bool(right[lo : hi - 1][w > 0].all())
                for key in (name, f"{name}/{family}"):
                    exact.setdefault(key, []).append(ok)
    out = {k: round(v[0] / v[1], 4) for k, v in bits.items()}
    out.update({k: round(sum(v) / len(v), 3) for k, v in exact.items()})
    return out


def arguments():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--data", required=True, help="folder with text.jsonl.xz and tokenizer.json")
    ap.add_argument(
        "--client", help="folder with recorded requests of the agent (observed_tools.json ...)"
    )
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=11000)
    ap.add_argument(
        "--stop-after",
        type=int,
        default=0,
        help="end after this step (the schedule is still that of --steps)",
    )
    ap.add_argument("--tokens", type=int, default=65536, help="tokens per step, a multiple of 128")
    ap.add_argument("--lr", type=float, default=4e-3)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--workers", type=int, default=12)
    ap.add_argument("--ahead", type=int, default=200)
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--init", help="folder with weights-*.pt to start from")
    ap.add_argument(
        "--seconds",
        type=float,
        default=0,
        help="time limit: the learning rate falls in time for it",
    )
    ap.add_argument("--save-seconds", type=float, default=100)
    ap.add_argument("--eval-every", type=int, default=1000)
    ap.add_argument("--eval-count", type=int, default=64)
    ap.add_argument(
        "--final-count", type=int, default=200, help="examples per set in the last evaluation"
    )
    ap.add_argument("--balance", type=float, default=0.01)
    ap.add_argument(
        "--tune",
        action="store_true",
        help="a short run from --init: other mix, rate falls from the start",
    )
    ap.add_argument("--no-compile", action="store_true")
    ap.add_argument("--threads", type=int, default=0)
    a = ap.parse_args()
    a.first = 0
    return a


def main():
    a = arguments()
    t_start = time.time()
    os.makedirs(a.out, exist_ok=True)
    logf = open(f"{a.out}/log.txt", "a", encoding="utf-8", buffering=1)

    def log(s):
        line = f"{time.time() - t_start:8.1f} s  {s}"
        print(line, flush=True)
        logf.write(line + "\n")

    src = pack.Source(a.data, a.client)
    state = torch.load(f"{a.out}/state.pt", map_location="cpu") if a.resume else None
    a.first = state["step"] if state else 0
    last = min(a.steps, a.stop_after or a.steps)
    folder = ("/dev/shm" if os.path.isdir("/dev/shm") else a.out) + f"/joule-batches-{os.getpid()}"
    os.makedirs(folder)
    ctx = multiprocessing.get_context("fork")
    done = ctx.Value("i", a.first)
    crew = [
        ctx.Process(target=worker, args=(src, w, a, a.tokens, folder, done), daemon=True)
        for w in range(a.workers)
    ]
    crew.append(ctx.Process(target=final_streams, args=(src, a, folder), daemon=True))
    for p in crew:
        p.start()
    try:
        run(a, src, state, last, folder, done, log, t_start)
    finally:
        for p in crew:
            p.terminate()
        shutil.rmtree(folder, ignore_errors=True)


def run(a, src, state, last, folder, done, log, t_start):
    if a.threads:
        torch.set_num_threads(a.threads)
    dev = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    m = md.create(a.seed, src.tok)
    if a.init:
        load_pieces(m, a.init)
    g = torch.Generator().manual_seed(0)
    err = (0, 0) if a.tune else md.check(m, torch.randint(30, 8000, (700,), generator=g))
    log(f"largest difference to the official forward (CPU, float32): {err[0]:.2e} of {err[1]:.1f}")
    assert err[0] < 1e-3
    m.to(dev)
    named = md.params(m)
    for p in named.values():
        p.requires_grad_(True)
        p.grad = torch.zeros_like(p)
    compile = dev.type == "cuda" and not a.no_compile
    fast = md.Fast(m, a.tokens, compile, torch.bfloat16 if dev.type == "cuda" else torch.float32)
    opt = Optimizer(named, a.lr, compile and not a.tune)
    if state:
        with torch.no_grad():
            for n, p in named.items():
                p.copy_(state["weights"][n])
        opt.load(state["opt"])
    streams = [] if a.tune else eval_streams(src, a.tokens, a.eval_count)
    log(
        f"{sum(p.numel() for p in named.values())} parameters on {dev}, {len(streams)} evaluation"
        " streams"
    )
    grads = [q.grad for q in named.values()]
    t_save = t_loop = time.time()
    seen, stalls, shown = 0, 0.0, []
    for s in range(a.first, last):
        t0 = time.time()
        path = f"{folder}/{s}.npz"
        while not os.path.exists(path):
            time.sleep(0.002)
        with np.load(path) as z:
            b = {k: z[k] for k in z.files}
        os.remove(path)
        done.value = s
        stalls += time.time() - t0
        p = s / a.steps
        if (
            a.seconds
        ):  # counted from the first step done, so that compilation does not change the run
            p = max(p, (time.time() - t_loop) / a.seconds)
        if p >= 1:
            log(f"time limit at step {s}")
            break
        t = to_device(b, dev)
        loss, balance, ce, best = fast.loss(t["tokens"], t["weights"], t["pos"], t["start"])
        (loss + a.balance * balance).backward()
        opt.step(rate_at(p, 0.02, a.tune))
        torch._foreach_zero_(grads)
        seen += a.tokens
        if s == a.first:
            if dev.type == "cuda":
                torch.cuda.synchronize()
            log(f"first step done, compiled in {time.time() - t_loop:.1f} s")
            t_loop = time.time()
        if s % 50 == 0 or s < 5:
            wt = t["weights"] > 0.9
            right = (best == t["tokens"][1:])[wt].float().mean().item()
            txt = (t["weights"] - pack.TEXT_WEIGHT).abs() < 1e-3
            log(
                f"step {s} loss {loss.item():.4f} balance {balance.item():.3f} dialogue"
                f" {ce[wt].mean().item():.4f} right {right:.4f} text {ce[txt].mean().item():.4f}"
                f" {seen / (time.time() - t_loop + 1e-3):.0f} tok/s stalled {stalls:.1f} s"
            )
        if a.eval_every and (s + 1) % a.eval_every == 0 and s + 1 < last:
            log(
                "eval "
                + json.dumps(
                    {k: v for k, v in evaluate(fast, streams, dev, src).items() if "/" not in k}
                )
            )
        if time.time() - t_save > a.save_seconds:
            t_save = time.time()
            save(a, named, opt, s + 1, seen)
    save(a, named, opt, s + 1, seen)
    log(
        "eval "
        + json.dumps({k: v for k, v in evaluate(fast, streams, dev, src).items() if "/" not in k})
    )
    if a.final_count:
        while not os.path.exists(f"{folder}/final.pkl"):
            time.sleep(0.1)
        with open(f"{folder}/final.pkl", "rb") as f:
            log("final " + json.dumps(evaluate(fast, pickle.load(f), dev, src)))
    log(f"done: step {s + 1}, {seen / 1e6:.1f} M tokens in {time.time() - t_loop:.0f} s")
    with open(f"{a.out}/finished", "w", encoding="utf-8") as f:
        f.write("yes\n")


def save(a, named, opt, step, seen):
    torch.save(
        {
            "step": step,
            "weights": {n: p.detach().cpu() for n, p in named.items()},
            "opt": opt.state(),
        },
        f"{a.out}/state.tmp",
    )
    os.rename(f"{a.out}/state.tmp", f"{a.out}/state.pt")
    save_pieces(
        named, a.out, {"step": step, "tokens": seen, "seed": a.seed, "steps": a.steps, "lr": a.lr}
    )


if __name__ == "__main__":
    main()
