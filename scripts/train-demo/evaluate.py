#!/usr/bin/env python3
"""Score a model on the held-out examples of evalset.py, greedily, through `joule serve` or through
transformers.

    evalset.py --data DATA --client CLIENT --out eval.jsonl
    evaluate.py --examples eval.jsonl --joule build/joule --model MODEL.gguf --out results.jsonl
    evaluate.py --examples eval.jsonl --hf RUN --tokenizer DATA/tokenizer.json --out results.jsonl

Every request goes through the OpenAI API of the server, so the chat template, the tokenizer and
the parser of the answer are part of what is tested. An example is right if
  - every call has the right tool and exactly the right arguments (strings byte for byte),
  - the final answer equals the wanted one, or contains the wanted value where a sentence may be,
  - the model stopped by itself, and wrote a thought exactly when thinking was on.
Sets that judge a single call stop there; the others go on with the results of the tools.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import time
import urllib.request


class Server:
    """joule serve in a process of its own."""

    def __init__(self, joule, model, threads, port):
        self.url = f"http://127.0.0.1:{port}"
        self.p = subprocess.Popen(
            [
                joule,
                "serve",
                "-q",
                "-m",
                model,
                "-t",
                str(threads),
                "--port",
                str(port),
                "-np",
                "1",
                "-ctk",
                "f32",
                "-ctv",
                "f32",
            ],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                with urllib.request.urlopen(self.url + "/v1/models", timeout=5) as f:
                    self.name = json.load(f)["data"][0]["id"]
                return
            except OSError:
                if self.p.poll() is not None:
                    sys.exit(f"joule serve ended with status {self.p.returncode}")
                time.sleep(0.1)
        sys.exit("joule serve does not answer")

    def complete(self, messages, tools, thinking):
        body = {
            "model": self.name,
            "messages": messages,
            "temperature": 0,
            "max_tokens": 900,
            "chat_template_kwargs": {"enable_thinking": thinking},
        }
        if tools:
            body["tools"] = tools
        r = urllib.request.Request(
            self.url + "/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(r, timeout=900) as f:
            c = json.load(f)["choices"][0]
        m = c["message"]
        calls = [
            [t["function"]["name"], json.loads(t["function"]["arguments"] or "{}")]
            for t in m.get("tool_calls") or []
        ]
        return calls, m.get("content") or "", m.get("reasoning_content") or "", c["finish_reason"]

    def close(self):
        self.p.terminate()
        self.p.wait()


class Transformers:
    """The official classes, greedy, with the project's template and a parser of the call syntax."""

    def __init__(self, run, tokenizer):
        import torch
        import chat
        import make_tokenizer
        import model as md
        import train

        self.torch, self.chat = torch, chat
        torch.set_num_threads(1)
        self.tok = make_tokenizer.load(tokenizer)
        self.m = md.create(0)
        train.load_pieces(self.m, run)
        self.m.eval()

    def complete(self, messages, tools, thinking):
        text = self.chat.template().render(
            messages=[undo(m) for m in messages],
            tools=tools,
            bos_token="<bos>",
            enable_thinking=thinking,
            add_generation_prompt=True,
        )
        ids = self.torch.tensor([self.tok.encode(text, add_special_tokens=False).ids])
        stop = [self.tok.token_to_id(t) for t in ("<eos>", "<turn|>", "<|tool_response>")]
        with self.torch.no_grad():
            out = self.m.generate(
                ids, max_new_tokens=900, do_sample=False, eos_token_id=stop, pad_token_id=0
            )[0, ids.shape[1] :]
        out = out.tolist()
        ended = out and out[-1] in stop
        s = self.tok.decode(out[:-1] if ended else out, skip_special_tokens=False)
        if text.endswith("<|channel>thought\n"):
            s = "<|channel>thought\n" + s
        thought = "\n".join(re.findall(r"<\|channel>thought\n(.*?)\n?<channel\|>", s, re.S))
        s = re.sub(r"<\|channel>.*?<channel\|>", "", s, flags=re.S)
        calls = [
            [n, parse_args(a)]
            for n, a in re.findall(r"<\|tool_call>call:([^{]*)\{(.*?)\}<tool_call\|>", s, re.S)
        ]
        s = re.sub(r"<\|tool_call>.*?<tool_call\|>", "", s, flags=re.S)
        return calls, s.strip(), thought, ("tool_calls" if calls else "stop") if ended else "length"

    def close(self):
        pass


def undo(m):
    """Arguments as objects, which the template wants."""
    if not m.get("tool_calls"):
        return m
    return {
        **m,
        "tool_calls": [
            {
                **t,
                "function": {**t["function"], "arguments": json.loads(t["function"]["arguments"])},
            }
            for t in m["tool_calls"]
        ],
    }


def parse_args(s):
    out = {}
    for k, text, other in re.findall(
        r'(?:^|,)([^:{},]+):(?:<\|"\|>(.*?)<\|"\|>|([^,<]*))', s, re.S
    ):
        out[k] = json.loads(other) if other else text
    return out


def judge(engine, ex):
    """None if the example is right, else what is wrong."""
    messages = [{"role": "system", "content": ex["system"]}] if ex["system"] else []
    ideal = ex["messages"]
    i = 0
    while i < len(ideal):
        m = ideal[i]
        if m["role"] == "user":
            messages.append({"role": "user", "content": m["content"]})
            i += 1
            continue
        calls, text, thought, finish = engine.complete(messages, ex["tools"], ex["thinking"])
        if finish not in ("stop", "tool_calls"):
            return "no clean stop: " + finish
        if bool(thought.strip()) != ex["thinking"]:
            return "thought " + ("missing" if ex["thinking"] else "unasked")
        want = [[n, a] for n, a in m.get("tool_calls") or []]
        if calls != want:
            return "calls " + json.dumps(calls, ensure_ascii=False) + " text " + repr(text[:80])
        if not want:
            value = ex["value"] if ex["check"] == "contains" else m["content"]
            ok = (
                value.strip() in text
                if ex["check"] == "contains"
                else text.strip() == value.strip()
            )
            return None if ok else "answer " + repr(text)
        if ex["judge"] == "call":
            return None
        messages.append(
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": f"c{i}_{k}",
                        "type": "function",
                        "function": {"name": n, "arguments": json.dumps(a, ensure_ascii=False)},
                    }
                    for k, (n, a) in enumerate(want)
                ],
                **({"reasoning_content": m["reasoning"]} if ex["thinking"] else {}),
            }
        )
        for t in messages[-1]["tool_calls"]:
            i += 1
            messages.append(
                {"role": "tool", "tool_call_id": t["id"], "content": ideal[i]["content"]}
            )
        i += 1
    return "unfinished"


def table(results):
    n, ok = collections.Counter(), collections.Counter()
    for r in results:
        for key in (r["set"], f"{r['set']}/{r['family']}"):
            n[key] += 1
            ok[key] += r["wrong"] is None
    for key in n:
        print(f"{key:26} {ok[key]:4} of {n[key]:4}  {100 * ok[key] / n[key]:6.1f} %")


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--examples", required=True)
    ap.add_argument(
        "--out",
        required=True,
        help="one JSON line per example; examples that it holds are not run again",
    )
    ap.add_argument("--joule")
    ap.add_argument("--model", default="models/joule-tiny.gguf")
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--port", type=int, default=9977)
    ap.add_argument("--hf", help="folder with weights-*.pt: use transformers instead of joule")
    ap.add_argument("--tokenizer")
    ap.add_argument("--counts", default="", help="set=n,set=n: how many of a set (default all)")
    a = ap.parse_args()
    counts = dict((k, int(v)) for k, v in (x.split("=") for x in a.counts.split(",") if x))
    results, seen = [], set()
    if os.path.exists(a.out):
        with open(a.out, encoding="utf-8") as f:
            results = [json.loads(x) for x in f]
        seen = {(r["set"], r["index"]) for r in results}
    engine = (
        Transformers(a.hf, a.tokenizer) if a.hf else Server(a.joule, a.model, a.threads, a.port)
    )
    try:
        with open(a.examples, encoding="utf-8") as f, open(a.out, "a", encoding="utf-8") as out:
            for line in f:
                ex = json.loads(line)
                if (ex["set"], ex["index"]) in seen or ex["index"] >= counts.get(
                    ex["set"], 1 << 30
                ):
                    continue
                t0 = time.time()
                wrong = judge(engine, ex)
                r = {
                    "set": ex["set"],
                    "index": ex["index"],
                    "family": ex["family"],
                    "wrong": wrong,
                    "seconds": round(time.time() - t0, 2),
                    "ask": ex["messages"][0]["content"] if wrong else None,
                }
                out.write(json.dumps(r, ensure_ascii=False) + "\n")
                out.flush()
                results.append(r)
    finally:
        engine.close()
    table(results)


if __name__ == "__main__":
    main()
