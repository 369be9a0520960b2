"""Requests that need several calls: in sequence, in parallel, and small programs written from a
description."""

import phrases
from dialogues import OK_WRITE, Task, mark, mark2, polite, shown

FUNCTIONS = {  # name -> (parameters, body, test)
    "fib": (
        "n",
        "    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
        "fib(10) == 55",
    ),
    "factorial": (
        "n",
        "    result = 1\n    for i in range(2, n + 1):\n        result *= i\n    return result",
        "factorial(5) == 120",
    ),
    "gcd": ("a, b", "    while b:\n        a, b = b, a % b\n    return a", "gcd(12, 18) == 6"),
    "add": ("a, b", "    return a + b", "add(2, 3) == 5"),
    "multiply": ("a, b", "    return a * b", "multiply(2, 3) == 6"),
    "is_even": ("n", "    return n % 2 == 0", "is_even(4)"),
    "square": ("x", "    return x * x", "square(3) == 9"),
    "is_prime": (
        "n",
        (
            "    if n < 2:\n        return False\n    for i in range(2, int(n ** 0.5) + 1):\n      "
            "  if n % i == 0:\n            return False\n    return True"
        ),
        "is_prime(7)",
    ),
    "reverse": ("s", "    return s[::-1]", "reverse('abc') == 'cba'"),
    "clamp": ("x, low, high", "    return max(low, min(x, high))", "clamp(5, 0, 3) == 3"),
    "mean": ("values", "    return sum(values) / len(values)", "mean([1, 2, 3]) == 2"),
    "is_palindrome": ("s", "    return s == s[::-1]", "is_palindrome('level')"),
}


def read_many(g, box):
    """Several files at once; sometimes the sum of the numbers in them."""
    t, n = box["read"], g.of([2, 2, 3])
    paths = list(dict.fromkeys(g.path() for _ in range(n)))
    listed = ", ".join(mark(g, p) for p in paths[:-1]) + " and " + mark(g, paths[-1])
    if g.chance(0.5):
        nums = [g.int(1, 50) for _ in paths]
        ask = g.phrase(
            [
                (
                    "Read {l} (use parallel tool calls in one turn) and give me the sum of the {w}"
                    " numbers."
                ),
                "Read {l} at the same time and add up the numbers.",
                "Read {l} in parallel. What is the sum of the numbers?",
                "What is the sum of the numbers in {l}? Read them in parallel.",
                "Add the numbers of {l}, reading all of them at once.",
            ],
            phrases.READ_MANY_SUM,
        ).format(l=listed, w={2: "two", 3: "three"}.get(len(paths), "all"))
        results = [
            str(v) + "\n" if g.chance(0.5) else shown(g, p, str(v)) for p, v in zip(paths, nums)
        ]
        total = str(sum(nums))
        return Task(
            "parallel",
            ask,
            [([t.call(path=p) for p in paths], results, "I will read all files at once.")],
            "The sum is " + total + ".",
            value=total,
            think=" + ".join(map(str, nums)) + " = " + total,
        )
    ask = g.phrase(
        [
            "Read {l}.",
            "Show me {l}.",
            "Open {l} at the same time.",
            "Read {l} in parallel.",
            "What is in {l}?",
        ],
        phrases.READ_MANY,
    ).format(l=listed)
    texts = [g.line() for _ in paths]
    a = "\n".join(f"{p}: {x}" for p, x in zip(paths, texts))
    return Task(
        "parallel",
        polite(g, ask),
        [
            (
                [t.call(path=p) for p in paths],
                [shown(g, p, x) for p, x in zip(paths, texts)],
                "I will read all files at once.",
            )
        ],
        a,
        "equal",
        think="I have all of them.",
    )


def write_many(g, box):
    t = box["write"]
    pairs = [(g.path(), g.fresh(lambda: g.words(1, 5))) for _ in range(2)]
    parts = [
        f"{mark(g, p)} {w} {mark2(g, c)}"
        for (p, c), w in zip(
            pairs, [g.of(["containing", "with the content", "with the text", "that says"])] * 2
        )
    ]
    ask = g.phrase(
        [
            "Create {a} and {b}.",
            "Write the files {a} and {b}.",
            "Make two files: {a} and {b}.",
            "I need {a}, and {b}.",
            "Save {a} as well as {b}.",
        ],
        phrases.WRITE_MANY,
    ).format(a=parts[0], b=parts[1])
    return Task(
        "parallel",
        polite(g, ask),
        [
            (
                [t.call(path=p, content=c) for p, c in pairs],
                [g.of(OK_WRITE).format(n=len(c)) for _, c in pairs],
                "I will write both files.",
            )
        ],
        f"I wrote `{pairs[0][0]}` and `{pairs[1][0]}`.",
        value=pairs[1][0],
        think="Both files are written.",
    )


def write_then_run(g, box):
    p = g.fresh(lambda: g.dirs(0, 1) + g.ident() + ".py")
    s = g.fresh(lambda: g.words(1, 4))
    c = f'print("{s}")'
    ask = g.phrase(
        [
            "Create {p} with {c} and then run it with python3.",
            "Write {c} to {p}, then run python3 on it.",
            "Save {c} as {p} and run it.",
            'Make a script {p} that prints "{s}" and run it with python3.',
            "Put {c} into {p} and execute it with python3.",
        ],
        phrases.WRITE_RUN,
    ).format(p=mark(g, p), c="`" + c + "`", s=s)
    w, b = box["write"], box["bash"]
    return Task(
        "sequence",
        polite(g, ask),
        [
            ([w.call(path=p, content=c)], [g.of(OK_WRITE).format(n=len(c))], f"First I write {p}."),
            ([b.call(command="python3 " + p)], [s + "\n"], "Now I run it."),
        ],
        "The output is: " + s,
        value=s,
        think="The program has run.",
    )


def read_then_write(g, box):
    a, b = g.path(), g.path()
    c = g.line() if g.chance(0.6) else g.block()
    ask = g.phrase(
        [
            "Copy the content of {a} to {b}.",
            "Read {a} and write the same text to {b}.",
            "Read {a}, then save it as {b}.",
            "Make {b} a copy of {a}.",
            "Duplicate {a} as {b}.",
        ],
        phrases.COPY_FILE,
    ).format(a=mark(g, a), b=mark(g, b))
    return Task(
        "sequence",
        polite(g, ask),
        [
            ([box["read"].call(path=a)], [shown(g, a, c).rstrip("\n")], f"First I read {a}."),
            (
                [box["write"].call(path=b, content=c)],
                [g.of(OK_WRITE).format(n=len(c))],
                f"Now I write {b}.",
            ),
        ],
        f"I copied `{a}` to `{b}`.",
        value=b,
        think="The copy is made.",
    )


def read_then_edit(g, box):
    """A function computes the wrong thing: read it, fix it."""
    p = g.fresh(lambda: g.dirs(0, 1) + g.ident() + ".py")
    f = g.fresh(lambda: g.ident().replace("-", "_"))
    wrong, right, did, does = g.of(
        [
            ("-", "+", "subtracts", "adding"),
            ("+", "-", "adds", "subtracting"),
            ("+", "*", "adds", "multiplying"),
            ("-", "*", "subtracts", "multiplying"),
            ("*", "+", "multiplies", "adding"),
            ("/", "*", "divides", "multiplying"),
            ("*", "/", "multiplies", "dividing"),
            ("*", "-", "multiplies", "subtracting"),
        ]
    )
    x, y = g.of([("a", "b"), ("x", "y"), ("m", "n"), ("left", "right")])
    if g.chance(0.3):
        f = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}[right]
    text = f"def {f}({x}, {y}):\n    return {x} {wrong} {y}"
    if g.chance(0.4):
        text = (
            g.of(["import os\n\n\n", "# " + g.words(2, 4) + "\n", '"""' + g.words(2, 5) + '"""\n'])
            + text
        )
    ask = g.phrase(
        [
            "In {p} the function {f} {did} instead of {does}. Fix it with a minimal edit.",
            "The function {f} in {p} {did} instead of {does}. Fix it.",
            "Fix {f} in {p}: it {did} instead of {does}.",
            "{f} in {p} {did}, but it should be {does}. Please fix that.",
            "There is a bug in {p}: {f} {did} instead of {does}.",
        ],
        phrases.FIX,
    ).format(p=p, f=f, did=did, does=does)
    return Task(
        "sequence",
        ask,
        [
            ([box["read"].call(path=p)], [shown(g, p, text)], f"First I read {p}."),
            (
                [box["edit"].call(path=p, old=f"{x} {wrong} {y}", new=f"{x} {right} {y}")],
                [g.of(["Edit applied successfully.", "ok"])],
                f"The operator must be {right}.",
            ),
        ],
        f"I fixed `{f}` in `{p}`.",
        value=p,
        think="The edit is applied.",
    )


def glob_then_read(g, box):
    pat, p, c = g.pattern(), g.path(), g.line()
    ask = g.phrase(
        [
            "Find the file matching {g} and read it.",
            "Look for {g} and show me the file you find.",
            "Search {g}, then read the file.",
            "There is one file like {g}. What does it say?",
            "Read the only file that fits {g}.",
        ],
        phrases.GLOB_READ,
    ).format(g=mark2(g, pat))
    return Task(
        "sequence",
        polite(g, ask),
        [
            ([box["glob"].call(pattern=pat)], [p], "First I look for the file."),
            ([box["read"].call(path=p)], [shown(g, p, c)], f"Now I read {p}."),
        ],
        c,
        "equal",
        think="I have the text.",
    )


def two_writes(g, box):
    t = box["write"]
    pairs = [(g.path(), g.fresh(lambda: g.words(1, 5))) for _ in range(2)]
    ask = g.phrase(
        [
            "First write {a} to {p}, then write {b} to {q}.",
            "Write {a} to {p} and after that {b} to {q}, one after the other.",
            "Create {p} with {a}. When that is done, create {q} with {b}.",
            "One after the other: put {a} into {p}, then {b} into {q}.",
            "Step 1: {p} gets {a}. Step 2: {q} gets {b}.",
        ],
        phrases.TWO_WRITES,
    ).format(
        a=mark2(g, pairs[0][1]),
        p=mark(g, pairs[0][0]),
        b=mark2(g, pairs[1][1]),
        q=mark(g, pairs[1][0]),
    )
    return Task(
        "sequence",
        polite(g, ask),
        [
            ([t.call(path=p, content=c)], [g.of(OK_WRITE).format(n=len(c))], f"I will write {p}.")
            for p, c in pairs
        ],
        f"I wrote `{pairs[0][0]}` and `{pairs[1][0]}`.",
        value=pairs[1][0],
        think="Both files are written.",
    )


def program(g, box):
    """A small known function with a test, from its name."""
    f = g.of(list(FUNCTIONS))
    par, body, test = FUNCTIONS[f]
    code = f"def {f}({par}):\n{body}\n"
    p = f + ".py" if g.chance(0.7) else g.fresh(lambda: g.dirs(0, 1) + g.word() + ".py")
    w, b = box["write"], box["bash"]
    mod = p[:-3].split("/")[-1]
    if g.chance(0.5):
        ask = g.phrase(
            [
                "Write {p} with a function {f}({a}).",
                "Create {p} with the function {f}({a}).",
                "Write a Python function {f}({a}) into {p}.",
                "Put a function {f}({a}) into {p}.",
                "I need {f}({a}) in {p}.",
            ]
        ).format(p=p, f=f, a=par)
        return Task(
            "program",
            polite(g, ask),
            [
                (
                    [w.call(path=p, content=code)],
                    [g.of(OK_WRITE).format(n=len(code))],
                    f"I will write {f} to {p}.",
                )
            ],
            f"I wrote `{p}`.",
            value=p,
            think="The file is written.",
        )
    d = p[: len(p) - len(mod) - 3]
    q = d + "test_" + mod + ".py"
    tests = f'from {mod} import {f}\n\nassert {test}\nprint("OK")\n'
    ask = g.phrase(
        [
            (
                "Write {p} with a function {f}({a}), a test file {q} using plain asserts, run it"
                " with python3, and say OK when it passes."
            ),
            (
                "Write {f}({a}) to {p}, a test {q} with asserts, then run the test with python3 and"
                " say OK if it passes."
            ),
            (
                "Create {p} with {f}({a}) and a test file {q}; run the test with python3 and say OK"
                " when it passes."
            ),
            "Make {p} holding {f}({a}), test it in {q} with asserts, run that and say OK.",
            "Please write {p} (function {f}({a})), {q} (asserts), run {q} with python3 and say OK.",
        ]
    ).format(p=p, q=q, f=f, a=par)
    return Task(
        "program",
        ask,
        [
            (
                [w.call(path=p, content=code)],
                [g.of(OK_WRITE).format(n=len(code))],
                f"First I write {p}.",
            ),
            (
                [w.call(path=q, content=tests)],
                [g.of(OK_WRITE).format(n=len(tests))],
                f"Now I write {q}.",
            ),
            ([b.call(command="python3 " + q)], ["OK\n"], f"Now I run {q}."),
        ],
        "OK",
        "equal",
        think="The test passed.",
    )


WORKFLOWS = {
    "read_many": read_many,
    "write_many": write_many,
    "write_run": write_then_run,
    "copy_file": read_then_write,
    "fix": read_then_edit,
    "glob_read": glob_then_read,
    "two_writes": two_writes,
    "program": program,
}
NEEDS = {
    "read_many": ["read"],
    "write_many": ["write"],
    "write_run": ["write", "bash"],
    "copy_file": ["read", "write"],
    "fix": ["read", "edit"],
    "glob_read": ["glob", "read"],
    "two_writes": ["write"],
    "program": ["write", "bash"],
}
