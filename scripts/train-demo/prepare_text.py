#!/usr/bin/env python3
"""Make the text corpus of the bundled model from Debian packages with free licences.

Downloads the packages of PACKAGES with `apt-get download`, unpacks them with `dpkg -x` into a
scratch folder, turns documentation into plain text, and writes OUT/text.jsonl.xz, one document per
line:
    {"kind": "prose" | "python", "split": "train" | "heldout", "doc": "package:path", "text": "..."}
The split is by document and depends only on the document's name, so that it is the same in every
run.
"""

import argparse
import gzip
import hashlib
import html.parser
import json
import lzma
import os
import re
import subprocess

# package, licence of the part that is used, kind of text, most bytes of text taken from it
PACKAGES = [
    ("python3.11-doc", "PSF-2.0", "prose", 6_000_000),
    ("debian-handbook", "GPL-2+ or CC-BY-SA-3.0", "prose", 4_000_000),
    ("developers-reference", "GPL-2+", "prose", 2_000_000),
    ("debian-reference-en", "GPL-2+", "prose", 2_000_000),
    ("debian-policy", "GPL-2+", "prose", 1_500_000),
    ("python-django-doc", "BSD-3-Clause", "prose", 5_000_000),
    ("git-doc", "GPL-2", "prose", 3_000_000),
    ("sqlite3-doc", "public domain", "prose", 5_000_000),
    ("postgresql-doc-15", "PostgreSQL", "prose", 7_000_000),
    ("anarchism", "GPL-2", "prose", 5_000_000),
    ("libpython3.11-stdlib", "PSF-2.0", "python", 8_000_000),
    ("python3-django", "BSD-3-Clause", "python", 5_000_000),
    ("python3-sympy", "BSD-3-Clause", "python", 7_000_000),
    ("python3-twisted", "MIT", "python", 4_000_000),
    ("python3-networkx", "BSD-3-Clause", "python", 3_000_000),
]
HELDOUT_PER_MILLE = 20
MAX_DOC_BYTES = 120_000


class TextOfHtml(html.parser.HTMLParser):
    """Collects the visible text of a page; keeps the line breaks of <pre>."""

    BLOCK = {
        "p",
        "div",
        "li",
        "tr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "dt",
        "dd",
        "br",
        "table",
        "ul",
        "ol",
        "pre",
        "section",
        "blockquote",
    }
    SKIP = {"script", "style", "head", "nav", "footer", "header"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.skip, self.pre = [], 0, 0

    def handle_starttag(self, tag, attrs):
        if tag in self.SKIP:
            self.skip += 1
        if tag == "pre":
            self.pre += 1
        if tag in self.BLOCK:
            self.out.append("\n")
        if tag == "li":
            self.out.append("- ")

    def handle_endtag(self, tag):
        if tag in self.SKIP and self.skip:
            self.skip -= 1
        if tag == "pre" and self.pre:
            self.pre -= 1
        if tag in self.BLOCK:
            self.out.append("\n")

    def handle_data(self, data):
        if self.skip:
            return
        self.out.append(data if self.pre else re.sub(r"\s+", " ", data))


def text_of(path):
    """Returns the plain text of a file of documentation or code, or None if it is of no use."""
    name = path[:-3] if path.endswith(".gz") else path
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        raw = f.read()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if name.endswith((".html", ".htm")):
        p = TextOfHtml()
        p.feed(text)
        text = "".join(p.out)
        text = re.sub("[ \t]+\n", "\n", text)
        text = re.sub(r"\n{3,}", "\n\n", text)
        text = text.replace("¶", "").replace("\u00a0", " ")
    return text.strip() + "\n"


def wanted(path, kind):
    name = path[:-3] if path.endswith(".gz") else path
    if kind == "python":
        return name.endswith(".py") and "/idlelib/Icons" not in name and "/locale/" not in name
    if re.search(
        r"genindex|searchindex|/search\.html|py-modindex|/changelog|/copyright|_static|index\.html$",
        name,
    ):
        return False
    if "debian-handbook" in name and "/en-US/" not in name:
        return False
    if re.search(
        r"\.(de|es|fr|it|ja|ru|pt|zh|nl|id|ko|pl|pt-br|zh-cn|zh-tw)\.(html|txt)|/(de|es|fr|it|ja|ru|nl|zh)/",
        name,
    ):
        return False
    return name.endswith((".html", ".txt", ".rst"))


def split_of(doc):
    h = int(hashlib.sha256(doc.encode()).hexdigest()[:8], 16) % 1000
    return "heldout" if h < HELDOUT_PER_MILLE else "train"


def documents(pkg, kind, limit, scratch):
    root = os.path.join(scratch, pkg)
    if not os.path.isdir(root):
        have = [f for f in os.listdir(scratch) if f.startswith(pkg + "_") and f.endswith(".deb")]
        if not have:
            subprocess.run(["apt-get", "-q", "download", pkg], cwd=scratch, check=True)
            have = [
                f for f in os.listdir(scratch) if f.startswith(pkg + "_") and f.endswith(".deb")
            ]
        subprocess.run(["dpkg", "-x", have[0], root], cwd=scratch, check=True)
    files = []
    for d, _, names in os.walk(root):
        files += [os.path.join(d, n) for n in names]
    files = [f for f in files if not os.path.islink(f) and wanted(f, kind)]
    files.sort(key=lambda f: hashlib.sha256(f[len(root) :].encode()).hexdigest())
    total, seen = 0, set()
    for f in files:
        t = text_of(f)
        if t is None or len(t) < 400 or len(t) > MAX_DOC_BYTES * 4:
            continue
        digest = hashlib.sha256(t[:2000].encode()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        t = t[:MAX_DOC_BYTES]
        yield pkg + ":" + f[len(root) :], t
        total += len(t.encode())
        if total > limit:
            return


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument(
        "--scratch", required=True, help="folder for the downloaded and unpacked packages"
    )
    ap.add_argument("--out", required=True, help="folder for text.jsonl.xz")
    a = ap.parse_args()
    a.scratch = os.path.abspath(a.scratch)
    os.makedirs(a.scratch, exist_ok=True)
    os.makedirs(a.out, exist_ok=True)
    sums = {}
    with lzma.open(os.path.join(a.out, "text.jsonl.xz"), "wt", encoding="utf-8", preset=1) as out:
        for pkg, licence, kind, limit in PACKAGES:
            n = size = 0
            for doc, text in documents(pkg, kind, limit, a.scratch):
                s = split_of(doc)
                out.write(
                    json.dumps(
                        {"kind": kind, "split": s, "doc": doc, "text": text}, ensure_ascii=False
                    )
                    + "\n"
                )
                b = len(text.encode())
                n, size = n + 1, size + b
                sums[kind, s] = sums.get((kind, s), 0) + b
            print(f"{pkg:24} {kind:7} {n:5} documents {size:10} bytes  {licence}", flush=True)
    for k, v in sorted(sums.items()):
        print(*k, v, "bytes")


if __name__ == "__main__":
    main()
