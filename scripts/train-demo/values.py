"""Random values for the generated dialogues: words, names, paths, file contents, commands.

Every string that a held-out test must not share with training goes through Gen.fresh(): a hash of
the string decides to which side it belongs (1 in 10 is held out), and each side only ever draws
its own.
"""

import hashlib
import json
import re

import phrases

FIRST = (
    "Ada Ben Carla Dmitri Elena Farid Greta Hugo Ines Jonas Kira Leo Marta Nadia Omar Paula Quentin"
    " Rosa Sven Tara Ursula Viktor Wanda Xavier Yara Zoe Alan Bella Chen Dora Emil Fiona Goran Hana"
    " Ivan Julia Karl Lena Milo Nora Oscar Petra Rita Simon Tilda Uma Vera Walter Amir Boris Celia"
    " Diego Erik Freya Gita Henrik Irma Joel Klara Liam Maya Nils Olga Pedro Ruth Stefan Thea"
    " Victor"
).split()
CITIES = (
    "Lisbon Oslo Kyoto Prague Lima Dublin Nairobi Quito Vienna Hanoi Cairo Athens Bergen Tallinn"
    " Geneva Porto Malaga Riga Turin Basel Havana Sofia Krakow Bogota Delhi Osaka Seoul Tunis Accra"
    " Dakar Perth Boston Denver Austin Toronto Montreal Leeds Glasgow Cardiff Lyon Nantes Hamburg"
    " Bremen Zurich Milan Naples Seville"
).split()
COLOURS = (
    "red blue green yellow purple orange black white brown grey pink silver golden violet".split()
)
EXT = (
    "txt md py c h js ts json yaml yml toml ini cfg conf sh html css csv xml log rs go java rb php"
    " sql env lock cpp hpp tsx jsx lua tex rst diff bak tmp"
).split()
DIRS = (
    "src lib docs test tests app config scripts tools data include public assets build etc server"
    " client core utils examples packages internal pkg bin notes drafts reports logs backup archive"
    " modules services api web"
).split()
CONS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"


def held(s):
    return hashlib.sha1(s.encode()).digest()[0] < 26


class Gen:
    """A random source tied to one side of the split ("train" or "heldout")."""

    def __init__(self, rng, corpus, split="train"):
        self.r, self.c, self.split = rng, corpus, split

    def chance(self, p):
        return self.r.random() < p

    def of(self, seq):
        return seq[int(self.r.random() * len(seq))]

    def phrase(self, seq, more=()):
        """One of a list of phrasings: the last of every five belongs to the held-out side. more:
        for training only."""
        n = len(seq) // 5
        if self.split == "heldout" and n:
            return self.of(seq[len(seq) - n :])
        if more and self.split == "train" and self.chance(0.7):
            barred = {x.strip(" .?:\n") for x in seq[len(seq) - n :]}
            for _ in range(20):
                s = phrases.expand(self, self.of(more))
                if s.strip(" .?:\n") not in barred:
                    return self.noise(s)
        return self.noise(self.of(seq[: len(seq) - n]))

    def noise(self, s):
        """Now and then one word of a phrasing is lost, doubled by another or replaced: nobody asks
        twice in the same way."""
        if self.split != "train" or not self.chance(0.3):
            return s
        w = s.split(" ")
        free = [i for i, x in enumerate(w) if x.isalpha()]
        if len(free) > 2:
            i = self.of(free)
            x = self.r.random()
            w[i : i + 1] = (
                []
                if x < 0.4
                else (
                    [self.word()] if x < 0.6 else [w[i], self.word()] if x < 0.8 else [w[i].lower()]
                )
            )
        s = " ".join(w)
        if self.chance(0.3):
            s = self.of(
                [str.lower, str.lower, lambda t: t.rstrip("."), lambda t: self.word() + ": " + t]
            )(s)
        return s if s.count("{") == s.count("}") else " ".join(w)

    def fresh(self, make):
        """make() until the value is on our side of the split."""
        for _ in range(5000):
            v = make()
            if held(v) == (self.split == "heldout"):
                return v
        raise RuntimeError("no value of this side: " + repr(v))

    # words and numbers
    def int(self, a, b):
        return a + int(self.r.random() * (b - a + 1))

    def word(self):
        w = self.c.words
        return w[int(len(w) * self.r.random() ** 2)]

    def nonce(self):
        n = self.int(2, 3)
        s = "".join(self.of(CONS) + self.of(VOWELS) for _ in range(n))
        return s + (self.of(CONS) if self.chance(0.6) else "")

    def token(self, lo=4, hi=12):
        abc = self.of(
            [
                "abcdefghijklmnopqrstuvwxyz0123456789",
                "0123456789abcdef",
                "ABCDEFGHJKLMNPQRSTUVWXYZ23456789",
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
            ]
        )
        return "".join(self.of(abc) for _ in range(self.int(lo, hi)))

    def name(self):
        return self.of(FIRST) if self.chance(0.6) else self.nonce().capitalize()

    def number(self):
        return str(self.int(0, 10 ** self.int(1, 5)))

    def some_word(self):
        x = self.r.random()
        return self.word() if x < 0.6 else self.nonce() if x < 0.85 else self.token(3, 8)

    def words(self, lo, hi):
        return " ".join(
            self.some_word() if self.chance(0.2) else self.word() for _ in range(self.int(lo, hi))
        )

    def ident(self):
        parts = [self.some_word() for _ in range(self.int(1, 3))]
        x = self.r.random()
        if x < 0.5:
            return "_".join(parts)
        if x < 0.75:
            return parts[0] + "".join(p.capitalize() for p in parts[1:])
        return "".join(p.capitalize() for p in parts) if x < 0.85 else "-".join(parts)

    # paths
    def filename(self):
        parts = [self.some_word() for _ in range(self.of([1, 1, 2, 2, 3]))]
        if self.chance(0.15):
            parts.append(self.number())
        s = self.of(["_", "-", "", "_", "."]).join(parts)
        if self.chance(0.08):
            s = s.capitalize() if self.chance(0.5) else s.upper()
        return s + (
            "." + self.of(EXT[:12] if self.chance(0.7) else EXT) if self.chance(0.94) else ""
        )

    def dirs(self, lo=0, hi=3):
        return "".join(
            (self.of(DIRS) if self.chance(0.5) else self.some_word()) + "/"
            for _ in range(self.int(lo, hi))
        )

    def path(self):
        def make():
            d = "" if self.chance(0.45) else self.dirs(1, 3)
            if self.chance(0.2):
                d = (
                    self.of(
                        [
                            "/home/" + self.some_word() + "/",
                            "/tmp/",
                            "./",
                            "../",
                            "~/",
                            "/etc/",
                            "/var/log/",
                            "/srv/",
                            "/home/user/project/",
                            "/work/",
                            "/opt/" + self.some_word() + "/",
                        ]
                    )
                    + d
                )
            return d + self.filename()

        return self.fresh(make)

    def directory(self):
        return self.fresh(
            lambda: (
                self.of(["", "", "./", "/", "/home/" + self.some_word() + "/", "/var/"])
                + self.dirs(1, 3)
            ).rstrip("/")
            or "src"
        )

    def pattern(self):
        def make():
            e = self.of(EXT)
            return self.of(
                [
                    "**/*." + e,
                    "*." + e,
                    self.dirs(1, 2) + "**/*." + e,
                    self.some_word() + "*." + e,
                    self.dirs(1, 2) + "*." + e,
                    "**/" + self.some_word() + "*",
                    "**/*" + self.some_word() + "*",
                    "**/*.{" + e + "," + self.of(EXT) + "}",
                    "**/" + self.filename(),
                    self.some_word() + "_[0-9]*." + e,
                ]
            )

        return self.fresh(make)

    def regex(self):
        w = self.some_word()
        return self.fresh(
            lambda: self.of(
                [
                    self.ident(),
                    "def " + self.ident(),
                    "TODO",
                    "class " + self.ident(),
                    "import " + self.some_word(),
                    self.some_word() + ".*" + self.some_word(),
                    "^" + w + "$",
                    w + "\\(",
                    self.words(2, 3),
                    self.ident() + " = ",
                    "#include <" + w + ".h>",
                    "[a-z]+_" + self.some_word(),
                    w + "|" + self.some_word(),
                ]
            )
        )

    def command(self):
        p, d, w = self.path, lambda: self.dirs(1, 2).rstrip("/") or "src", self.some_word

        def make():
            return self.of(
                [
                    lambda: "ls -la " + d(),
                    lambda: "cat " + self.filename(),
                    lambda: "python3 " + self.filename(),
                    lambda: "echo " + self.words(1, 4),
                    lambda: 'git commit -m "' + self.words(2, 5) + '"',
                    lambda: "mkdir -p " + d(),
                    lambda: "rm -f " + self.filename(),
                    lambda: "cp " + self.filename() + " " + d(),
                    lambda: "mv " + self.filename() + " " + self.filename(),
                    lambda: "grep -rn '" + w() + "' " + d(),
                    lambda: "make " + w(),
                    lambda: "npm run " + w(),
                    lambda: "pip install " + w() + "==" + self.version(),
                    lambda: "git checkout -b " + self.ident(),
                    lambda: "pytest -q " + d() + "/test_" + w() + ".py",
                    lambda: "find . -name '*." + self.of(EXT) + "' | wc -l",
                    lambda: "echo $(("
                    + str(self.int(2, 99))
                    + self.of(["+", "*", "-"])
                    + str(self.int(2, 99))
                    + "))",
                    lambda: "head -n " + str(self.int(1, 50)) + " " + self.filename(),
                    lambda: "tar czf " + w() + ".tar.gz " + d(),
                    lambda: "chmod +x " + self.filename(),
                    lambda: "curl -s http://localhost:" + str(self.int(1000, 9999)) + "/" + w(),
                    lambda: "wc -l " + p(),
                    lambda: "sed -n '"
                    + str(self.int(1, 20))
                    + ","
                    + str(self.int(21, 90))
                    + "p' "
                    + self.filename(),
                    lambda: "docker run --rm " + w() + ":" + self.version(),
                    lambda: "gcc -O2 -o " + w() + " " + w() + ".c",
                    lambda: 'python3 -c "print('
                    + str(self.int(1, 99))
                    + self.of([" + ", " * ", " - "])
                    + str(self.int(1, 99))
                    + ')"',
                    lambda: w() + " --" + w() + "=" + w() + " " + self.filename(),
                    lambda: "./" + w() + ".sh " + self.number(),
                    lambda: "cargo test " + w(),
                    lambda: "go run ./" + d(),
                    lambda: "sort " + self.filename() + " | uniq -c",
                    lambda: "export " + w().upper() + "=" + self.token(),
                ]
            )()

        return self.fresh(make)

    def version(self):
        return ".".join(str(self.int(0, 20)) for _ in range(self.int(2, 3)))

    def url(self):
        return self.fresh(
            lambda: "https://"
            + self.of(["", "www.", "docs.", "api."])
            + self.some_word()
            + "."
            + self.of(["com", "org", "net", "io", "dev"])
            + "/"
            + self.dirs(0, 2)
            + self.some_word()
        )

    # contents
    def sentence(self):
        return self.of(
            [
                lambda: self.name()
                + " "
                + self.of(["moved to", "works in", "visited", "likes", "left"])
                + " "
                + self.of(CITIES)
                + ".",
                lambda: self.words(3, 9).capitalize() + self.of([".", ".", "!", "?", ""]),
                lambda: self.c.prose_line(self.r, self.split),
                lambda: self.c.prose_line(self.r, self.split),
            ]
        )()

    def line(self):
        """One line of text, 1 to about 16 words."""

        def make():
            return self.of(
                [
                    self.sentence,
                    self.sentence,
                    lambda: self.words(1, 6),
                    lambda: self.words(2, 8),
                    self.token,
                    lambda: self.token(8, 24),
                    lambda: self.ident() + self.of([" = ", "=", ": "]) + self.value(),
                    lambda: self.c.code_line(self.r, self.split).strip(),
                    lambda: self.words(1, 3) + " " + self.number(),
                    lambda: "hello " + self.some_word(),
                    lambda: self.number(),
                    lambda: self.url(),
                    lambda: ",".join(self.some_word() for _ in range(self.int(2, 6))),
                    lambda: json.dumps(
                        {
                            self.some_word(): self.of([self.some_word(), self.int(0, 999)])
                            for _ in range(self.int(1, 3))
                        }
                    ),
                    lambda: "print(" + self.of("'\"") + self.words(1, 4) + self.of("'\"") + ")",
                ]
            )()

        return self.fresh(lambda: fix_line(make()))

    def value(self):
        return self.of(
            [
                self.number,
                self.some_word,
                self.version,
                self.token,
                lambda: self.of(["true", "false", "on", "off", "yes", "no"]),
                lambda: self.filename(),
            ]
        )()

    def block(self):
        """Several lines: code, settings, a list, prose, JSON."""
        n = self.int(2, 10)

        def make():
            return self.of(
                [
                    lambda: self.c.code_block(self.r, self.split, n),
                    lambda: self.c.code_block(self.r, self.split, n),
                    lambda: self.c.code_block(self.r, self.split, n),
                    lambda: "\n".join(self.ident() + " = " + self.value() for _ in range(n)),
                    lambda: "\n".join(self.some_word() + ": " + self.value() for _ in range(n)),
                    lambda: "\n".join("- " + self.words(1, 5) for _ in range(n)),
                    lambda: "\n".join(self.sentence() for _ in range(min(n, 5))),
                    lambda: "# "
                    + self.words(1, 3).capitalize()
                    + "\n\n"
                    + "\n".join(self.sentence() for _ in range(min(n, 3))),
                    lambda: "\n".join(self.words(1, 5) for _ in range(n)),
                    lambda: "\n".join(",".join(self.value() for _ in range(3)) for _ in range(n)),
                    lambda: json.dumps(
                        {
                            self.some_word(): self.of([self.value(), self.int(0, 99), True])
                            for _ in range(self.int(1, 5))
                        },
                        indent=self.of([2, 4]),
                    ),
                    lambda: "#!/bin/sh\n" + "\n".join(self.command() for _ in range(min(n, 4))),
                    lambda: "def "
                    + self.ident().replace("-", "_")
                    + "(a, b):\n    return a "
                    + self.of("+-*/")
                    + " b",
                ]
            )()

        return self.fresh(lambda: fix_block(make()))


def fix_line(s):
    s = re.sub(r"\s+", " ", s).strip()[:160].strip()
    return s if s and "<|" not in s and "|>" not in s else "plain text"


def fix_block(s):
    s = s.strip("\n")[:1200].rstrip()
    return (
        s
        if s.strip() and "<|" not in s and "|>" not in s and "```" not in s
        else "first line\nsecond line"
    )


class Corpus:
    """Lines and blocks from the text corpus, by split; words by frequency."""

    def __init__(self, docs):
        self.prose, self.code, counts = (
            {"train": [], "heldout": []},
            {"train": [], "heldout": []},
            {},
        )
        for d in docs:
            lines = d["text"].split("\n")
            if d["kind"] == "prose":
                self.prose[d["split"]] += [
                    x.strip() for x in lines if 20 < len(x) < 160 and x.count(" ") > 3
                ]
                if d["split"] == "train":
                    for w in re.findall("(?<![A-Za-z'])[a-z]{2,10}(?![A-Za-z'])", d["text"][:6000]):
                        counts[w] = counts.get(w, 0) + 1
            else:
                self.code[d["split"]].append(lines)
        self.words = sorted((w for w, n in counts.items() if n > 3), key=lambda w: (-counts[w], w))[
            40:5000
        ]

    def prose_line(self, r, split):
        p = self.prose[split]
        s = p[int(r.random() * len(p))]
        if len(s) > 60 and r.random() < 0.5:
            w = s.split(" ")
            k = int(r.random() * max(1, len(w) - 6))
            s = " ".join(w[k : k + 3 + int(r.random() * 10)])
        return s

    def code_line(self, r, split):
        lines = self.code[split][int(r.random() * len(self.code[split]))]
        for _ in range(20):
            s = lines[int(r.random() * len(lines))]
            if 4 < len(s.strip()) < 90:
                return s
        return "return None"

    def code_block(self, r, split, n):
        lines = self.code[split][int(r.random() * len(self.code[split]))]
        k = int(r.random() * max(1, len(lines) - n))
        b = [x.rstrip()[:100] for x in lines[k : k + n]]
        while b and not b[0]:
            b.pop(0)
        if not b:
            return "pass\npass"
        pad = min((len(x) - len(x.lstrip()) for x in b if x), default=0)
        return "\n".join(x[pad:] for x in b)
