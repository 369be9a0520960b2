"""Plain skills without tools: chat, arithmetic, copy, reverse, upper case, counting, answers from
a passage.

Each function returns (question, answer, check): check is "equal" (the answer must be exactly this)
or "contains".
"""

import phrases
from values import CITIES, COLOURS, FIRST

ABOUT = (
    "I am joule-tiny, a very small language model that is built into joule. I can chat a little,"
    " copy and change text, and call tools."
)
CHAT = [  # (questions, answer)
    (
        [
            "Hello!",
            "Hi",
            "Hey there",
            "Good morning",
            "hello",
            "Hi there!",
            "Good evening!",
            "Greetings",
        ],
        "Hello! How can I help you?",
    ),
    (
        [
            "Who are you?",
            "What are you?",
            "Tell me who you are.",
            "Introduce yourself.",
            "What is your name?",
            "Which model are you?",
            "Hello! Who are you?",
            "Hi, who are you?",
            "Are you a language model?",
            "Please introduce yourself in short.",
        ],
        ABOUT,
    ),
    (
        [
            "What can you do?",
            "How can you help me?",
            "What are you good at?",
            "List your skills.",
            "What can I ask you?",
            "Tell me what you can do.",
        ],
        (
            "I can answer short questions, do small sums, copy, reverse and count words, answer"
            " from a text you give me, and call tools to read, write and edit files or run"
            " commands."
        ),
    ),
    (
        ["Thank you!", "Thanks", "thanks a lot", "Thank you very much.", "Great, thanks!"],
        "You are welcome!",
    ),
    (["Goodbye", "Bye!", "See you later", "That is all, bye."], "Goodbye!"),
    (
        ["How are you?", "How do you do?", "How is it going?", "Are you well?"],
        "I am fine, thank you. How can I help you?",
    ),
    (
        ["Tell me a joke.", "Do you know a joke?", "Make me laugh."],
        "Why do programmers mix up Halloween and Christmas? Because oct 31 equals dec 25.",
    ),
    (
        ["What is joule?", "Tell me about joule.", "Explain what joule is."],
        (
            "joule is a program that runs language models on ordinary computers and measures the"
            " energy they need."
        ),
    ),
    (
        ["What is a file?", "Explain what a file is."],
        "A file is a named piece of data that is stored on a disk.",
    ),
    (
        ["What is Python?", "Explain Python in one sentence."],
        "Python is a programming language that is easy to read and used for many purposes.",
    ),
    (
        ["What is git?", "Explain git in one sentence."],
        "git is a program that keeps the history of a set of files.",
    ),
    (
        ["What is a compiler?", "Explain what a compiler does."],
        "A compiler is a program that turns source code into code that a machine can run.",
    ),
    (
        ["What is a token?", "Explain what a token is."],
        (
            "A token is a piece of text, such as a word or a part of a word, that a language model"
            " reads or writes at once."
        ),
    ),
    (["Are you a human?", "Are you a person?"], "No, I am a small language model."),
    (["Can you see images?", "Can you hear me?"], "No, I only read and write text."),
    (["What time is it?", "What is the date today?"], "I do not know. I have no clock."),
    (
        ["Write a short poem.", "Write a poem about the sea."],
        "The sea is wide, the sea is deep,\nit sings the harbour towns to sleep.",
    ),
    (["How many days has a week?", "How many days are in a week?"], "A week has seven days."),
    (
        ["How many months has a year?", "How many months are in a year?"],
        "A year has twelve months.",
    ),
    (["What colour is the sky?", "What colour is a clear sky?"], "The sky is blue."),
]
CAPITALS = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Portugal": "Lisbon",
    "Austria": "Vienna",
    "Poland": "Warsaw",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Finland": "Helsinki",
    "Denmark": "Copenhagen",
    "Greece": "Athens",
    "Japan": "Tokyo",
    "China": "Beijing",
    "Egypt": "Cairo",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Cuba": "Havana",
    "Canada": "Ottawa",
    "Ireland": "Dublin",
    "Hungary": "Budapest",
    "Belgium": "Brussels",
    "Russia": "Moscow",
    "India": "New Delhi",
    "Brazil": "Brasilia",
    "England": "London",
    "Iceland": "Reykjavik",
    "Turkey": "Ankara",
    "Latvia": "Riga",
    "Estonia": "Tallinn",
}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = (
    "January February March April May June July August September October November December"
).split()
OPPOSITES = dict(
    zip(
        "big hot open light old fast high full hard early long rich wet near happy strong".split(),
        "small cold closed dark new slow low empty soft late short poor dry far sad weak".split(),
    )
)
ONLY = [
    "",
    "",
    " Answer with the {w} only.",
    " Reply with only the {w}.",
    " Just the {w}, please.",
    " Give me nothing but the {w}.",
]


def chat(g):
    q, a = g.of(CHAT)
    return g.of(q), a, "equal"


def facts(g):
    x = g.int(0, 4)
    if x == 0:
        c = g.of(list(CAPITALS))
        return (
            g.of(
                [
                    "What is the capital of {c}?",
                    "Which city is the capital of {c}?",
                    "Name the capital of {c}.",
                    "Tell me the capital of {c}.",
                ]
            ).format(c=c),
            f"The capital of {c} is {CAPITALS[c]}.",
            "equal",
        )
    if x == 1:
        i = g.int(0, 6)
        return (
            f"What day comes after {DAYS[i]}?",
            f"{DAYS[(i + 1) % 7]} comes after {DAYS[i]}.",
            "equal",
        )
    if x == 2:
        i = g.int(0, 11)
        return (
            f"Which month follows {MONTHS[i]}?",
            f"{MONTHS[(i + 1) % 12]} follows {MONTHS[i]}.",
            "equal",
        )
    if x == 3:
        w = g.of(list(OPPOSITES))
        return (
            g.of(["What is the opposite of {w}?", "Give me the opposite of {w}."]).format(w=w),
            f"The opposite of {w} is {OPPOSITES[w]}.",
            "equal",
        )
    n = g.int(1, 99)
    return (
        g.of([f"Is {n} even or odd?", f"Is the number {n} odd or even?"]),
        f"{n} is {'odd' if n % 2 else 'even'}.",
        "equal",
    )


SUM_ASK = [
    "What is {e}?",
    "{e} = ?",
    "Calculate {e}.",
    "Compute {e}.",
    "How much is {e}?",
    "Please work out {e}.",
    "{e}",
    "Tell me {e}.",
    "What do you get for {e}?",
    "Solve {e}.",
    "I need the result of {e}.",
    "Can you add up {e}?",
    "Find {e}.",
    "Give me the value of {e}.",
    "What does {e} make?",
]


def arithmetic(g):
    def make():
        op = g.of("++--*")
        if op == "+":
            a, b = g.int(0, 99), g.int(0, 99)
        elif op == "-":
            a = g.int(0, 99)
            b = g.int(0, a)
        else:
            a, b = g.int(0, 12), g.int(0, 10)
        return f"{a} {op} {b}"

    e = g.fresh(make)
    a, op, b = e.split(" ")
    v = int(a) + int(b) if op == "+" else int(a) - int(b) if op == "-" else int(a) * int(b)
    shown = g.of(
        [
            e,
            e,
            e.replace(" ", ""),
            {"+": f"{a} plus {b}", "-": f"{a} minus {b}", "*": f"{a} times {b}"}[op],
        ]
    )
    return g.phrase(SUM_ASK, phrases.SUM).format(e=shown), str(v), "equal"


def quoted(g, s):
    marks = [m for m in ['"', "'", "`"] if m not in s]
    m = g.of(marks) if marks else ""
    return m + s + m


COPY_ASK = [
    "Repeat exactly: {t}",
    "Repeat after me: {t}",
    "Copy this text: {t}",
    "Say {q}",
    "Echo the following line.\n{t}",
    "Please repeat {q} and nothing else.",
    "Write back this text word for word:\n\n{t}",
    "Print {q} exactly.",
    "Return the following without any change:\n{t}",
    "Reply with {q} and nothing else. Do not use any tool.",
    "Reply with exactly this text: {t}",
    "Just answer with {q}.",
    "Output this: {t}",
    "Copy {q}.",
    "Type this text again: {t}",
    "Give me back {q}.",
    "Please copy this line unchanged.\n{t}",
    "Reply with the text {q}, nothing more.",
    "Quote me: {t}",
    "Your answer shall be {q}.",
]


def copy(g):
    t = g.line() if g.chance(0.8) else g.fresh(lambda: g.words(4, 20))
    return g.phrase(COPY_ASK, phrases.COPY).format(t=t, q=quoted(g, t)), t, "equal"


PONG_ASK = [
    "Reply with the single word {w} and nothing else. Do not use any tool.",
    "Say {w}.",
    "Answer with the word {w}.",
    "Reply only with {w}.",
    "Just say {w}",
    "Respond with the single word {w}.",
    "Write the word {w}, no more.",
    "Please answer {w}.",
    "Only say: {w}",
    "Your reply must be {w}.",
]


def pong(g):
    w = g.fresh(
        lambda: (
            g.of([g.word().upper(), g.some_word(), g.some_word().capitalize(), "OK", "PONG"])
            if g.chance(0.97)
            else g.word()
        )
    )
    return g.phrase(PONG_ASK, phrases.PONG).format(w=w), w, "equal"


REVERSE_ASK = [
    "Reverse the order of these words: {t}",
    "Write these words in reverse order: {t}",
    "Reverse this list: {t}",
    "Put the words in the opposite order: {t}",
    "Say backwards, word by word: {t}",
    "Turn the list around: {t}",
    "Reverse: {t}",
    "List these items from last to first: {t}",
    "Give the items in reverse order.\n{t}",
    "Please reverse the sequence {t}",
]


def reverse(g):
    sep = g.of([" ", ", "])
    n = g.int(2, 8)

    def make():
        pool = g.of(
            [
                lambda: g.word(),
                lambda: g.word(),
                lambda: g.of("abcdefghijklmnopqrstuvwxyz"),
                lambda: str(g.int(0, 9)),
                lambda: g.of(COLOURS),
                lambda: g.of(FIRST),
            ]
        )
        return sep.join(pool() for _ in range(n))

    t = g.fresh(make)
    return (
        g.phrase(REVERSE_ASK, phrases.REVERSE).format(t=t),
        sep.join(reversed(t.split(sep))),
        "equal",
    )


UPPER_ASK = [
    "Write in upper case: {t}",
    "Convert to capital letters: {t}",
    "Upper-case this: {t}",
    "Make {q} upper case.",
    "Turn {q} into capitals.",
    "Change the text to upper case.\n{t}",
    "Capitalise every letter of {q}.",
    "SHOUT this: {t}",
    "Please put {q} in capital letters.",
    "All caps: {t}",
]


def upper(g):
    pick = g.word if g.chance(0.4) else lambda: g.of(g.c.words)
    t = g.fresh(
        lambda: " ".join(pick() if g.chance(0.9) else g.nonce() for _ in range(g.int(1, 5)))
    )
    return g.phrase(UPPER_ASK, phrases.UPPER).format(t=t, q=quoted(g, t)), t.upper(), "equal"


COUNT_ASK = [
    "How many words are in {q}?",
    "Count the words: {t}",
    "How many words does this have?\n{t}",
    "Count the words in {q}.",
    "Give me the number of words in {q}.",
    "Word count of {q}?",
    "Tell me how many words this has: {t}",
    "What is the word count of {q}?",
    "How many words: {t}",
    "Number of words in the text {q}?",
]


def count(g):
    n = g.int(1, 10)
    t = g.fresh(lambda: " ".join(g.word() for _ in range(n)))
    return g.phrase(COUNT_ASK, phrases.COUNT).format(t=t, q=quoted(g, t)), str(n), "equal"


RELATIONS = [  # (statement, question, answer)
    ("{n} lives in {c}.", "Where does {n} live?", "{n} lives in {c}."),
    ("{n} works as a {w}.", "What does {n} work as?", "{n} works as a {w}."),
    (
        "The {w} is kept in the {k} {b}.",
        "Where is the {w} kept?",
        "The {w} is kept in the {k} {b}.",
    ),
    ("{n} bought {i} {w}s.", "How many {w}s did {n} buy?", "{n} bought {i} {w}s."),
    (
        "The code for the {w} is {x}.",
        "What is the code for the {w}?",
        "The code for the {w} is {x}.",
    ),
    ("The {b} of {n} is {k}.", "What colour is the {b} of {n}?", "The {b} of {n} is {k}."),
    (
        "The {w} server listens on port {i}.",
        "On which port does the {w} server listen?",
        "The {w} server listens on port {i}.",
    ),
    ("The {w} team meets on {d}.", "When does the {w} team meet?", "The {w} team meets on {d}."),
    ("The password of {n} is {x}.", "What is the password of {n}?", "The password of {n} is {x}."),
    ("{n} was born in {y}.", "When was {n} born?", "{n} was born in {y}."),
    (
        "The project {w} is led by {n}.",
        "Who leads the project {w}?",
        "The project {w} is led by {n}.",
    ),
    ("The {w} costs {i} euros.", "How much does the {w} cost?", "The {w} costs {i} euros."),
]
THINGS = "box door car house coat bag chair lamp cup boat key bottle drawer cabinet basket".split()
PASSAGE_ASK = [
    "{p}\n\n{q}",
    "Read this:\n{p}\n\nQuestion: {q}",
    "{p} {q}",
    "Text: {p}\nQuestion: {q}",
    "Use the text to answer.\n\n{p}\n\n{q}",
    "Here is a note: {p}\n{q}",
    "{q}\n\n{p}",
    "Passage:\n{p}\n\n{q}",
    "According to this text: {p}\n\n{q}",
    "Given these facts:\n{p}\nAnswer: {q}",
]


def relation(g):
    v = dict(
        n=g.name(),
        c=g.of(CITIES),
        w=g.word(),
        k=g.of(COLOURS),
        b=g.of(THINGS),
        i=g.int(2, 9999),
        x=g.token(4, 8),
        d=g.of(DAYS),
        y=g.int(1900, 2020),
    )
    return [t.format(**v) for t in g.of(RELATIONS)]


def passage(g):
    def make():
        return "\x00".join("\x01".join(relation(g)) for _ in range(g.int(1, 6)))

    rels = [x.split("\x01") for x in g.fresh(make).split("\x00")]
    seen, keep = set(), []
    for r in rels:
        if r[1] not in seen:
            seen.add(r[1])
            keep.append(r)
    _, q, a = g.of(keep)
    lines = [r[0] for r in keep]
    for _ in range(g.int(0, 2)):
        s = g.sentence()
        lines.insert(g.int(0, len(lines)), s if s.endswith(".") else s + ".")
    return (
        g.phrase(PASSAGE_ASK, phrases.PASSAGE).format(p=g.of([" ", " ", "\n"]).join(lines), q=q),
        a,
        "equal",
    )


PLAIN = {
    "chat": chat,
    "facts": facts,
    "arithmetic": arithmetic,
    "copy": copy,
    "pong": pong,
    "reverse": reverse,
    "upper": upper,
    "count": count,
    "passage": passage,
}
