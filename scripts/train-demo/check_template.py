#!/usr/bin/env python3
"""Compares chat.py with chat_template.jinja on random conversations, as history and before each
answer.

    check_template.py --data DATA [--client RECORDED] [--count 400]
"""

import argparse
import random

import chat
import pack
from values import Gen


def python_text(conv, generation):
    """The text of chat.py with every turn as history: without thinking no answer has the empty
    thought."""
    live = None if conv["thinking"] else set()
    return "".join(t for t, _ in chat.render(conv, live=live, generation=generation) if t)


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--data", required=True)
    ap.add_argument("--client")
    ap.add_argument("--count", type=int, default=400)
    a = ap.parse_args()
    src = pack.Source(a.data, a.client)
    g = Gen(random.Random(1), src.corpus)
    kinds = ["random", "plain"] + (["lean", "full"] if src.client else [])
    for _ in range(a.count):
        conv, _ = pack.conversation(g, src, g.int(1, 3), 0, g.of(kinds))
        assert python_text(conv, False) == chat.render_jinja(conv), conv
        conv["messages"].pop()
        assert python_text(conv, True) == chat.render_jinja(conv, generation=True), conv
    print(f"{a.count} conversations are rendered alike")


if __name__ == "__main__":
    main()
