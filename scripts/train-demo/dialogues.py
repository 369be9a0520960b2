"""Generated conversations: one user request after another, with tool calls, results and answers.

task(g, box, family) returns a Task: the messages of one request as an ideal model would carry it
out, and how the final answer is judged. `box` maps concepts to the tools that the conversation
declares.
"""

import re

import phrases
import skills
from toolbox import CONCEPTS, CORE, client_tools, make_tool, nonsense_tool


class Task:
    def __init__(self, family, ask, steps, answer, check="contains", value=None, think=None):
        """steps: list of (calls, results, thought); calls = [(name, args)], results = [text]."""
        self.family, self.ask, self.steps = family, ask, steps
        self.answer, self.check, self.value = answer, check, answer if value is None else value
        self.think = think or "I can answer this directly."

    def messages(self):
        out = [{"role": "user", "content": self.ask}]
        for calls, results, thought in self.steps:
            out.append({"role": "assistant", "tool_calls": calls, "reasoning": thought})
            out += [{"role": "tool", "content": r, "name": c[0]} for c, r in zip(calls, results)]
        out.append({"role": "assistant", "content": self.answer, "reasoning": self.think})
        return out


def mark(g, s):
    """A short value as people write it: bare, or between marks that it does not contain."""
    if g.chance(0.45) and not re.search(r"\s", s) and not s.endswith((".", ",")):
        return s
    marks = [m for m in ["`", '"', "'", "`"] if m not in s]
    if not marks:
        return s
    m = g.of(marks)
    return m + s + m


def polite(g, s):
    """Wraps a request in the small words that people use."""
    if g.chance(0.3):
        s = (
            g.of(
                [
                    "Please ",
                    "please ",
                    "Can you ",
                    "Could you ",
                    "I want you to ",
                    "Now ",
                    "Next, ",
                    "Kindly ",
                    "Hey, ",
                    "Ok, ",
                    "Would you ",
                ]
            )
            + s[0].lower()
            + s[1:]
        )
    if g.chance(0.1):
        s += g.of([" Thanks!", " Thank you.", " please"]) if s.endswith(".") else ""
    if g.chance(0.06):
        s = s[0].lower() + s[1:]
    return s


def stop(g, s):
    return s + g.of([".", "", "."]) if s[-1] not in ".?!:`\"'" else s


# Each list of phrasings is split: the last of every five is used by held-out tests only
# (Gen.phrase).
WRITE_HEAD = [
    "Create a file named {p}",
    "Create {p}",
    "Write a file called {p}",
    "Make a new file {p}",
    "Save a file as {p}",
    "I need a file {p}",
    "Put a file at {p}",
    "Write to {p}",
    "Set up {p}",
    "Add a new file {p}",
    "Generate {p}",
    "Create the file {p}",
    "Make {p}",
    "Write {p}",
    "Start a new file {p}",
    "Give me a file {p}",
    "Prepare the file {p}",
    "Create a new text file {p}",
    "Produce a file called {p}",
    "Let there be a file {p}",
]
WRITE_TAIL = [
    " containing {c}",
    " with the content {c}",
    " with the text {c}",
    " that contains {c}",
    " that says {c}",
    " and put {c} in it",
    ". Its content should be {c}",
    ", content: {c}",
    " with {c} as its content",
    " with the line {c}",
    " which holds {c}",
    " and write {c} into it",
    " consisting of {c}",
    " filled with {c}",
    " whose text is {c}",
]
WRITE_END = [
    " containing exactly the line: {t}",
    " with exactly this text: {t}",
    " with this content: {t}",
    " that contains: {t}",
    " with the following content:\n\n{t}",
    ". The content is:\n{t}",
    " and write this: {t}",
    " holding only this line: {t}",
    " with the text below.\n\n{t}",
    ". Inside it write: {t}",
]
WRITE_FRONT = [
    "Write {c} to {p}",
    "Save {c} in {p}",
    "Put the text {c} into {p}",
    "Store {c} as {p}",
    "Write {c} into {p}",
    "Save the text {c} to the file {p}",
    "Put {c} in a file called {p}",
    "Place {c} in {p}",
    "Record {c} in the file {p}",
    "Keep {c} in {p}",
]
BLOCK_END = [
    " with this content:\n\n```{l}\n{b}\n```",
    " containing:\n```{l}\n{b}\n```",
    ":\n\n```{l}\n{b}\n```",
    " with the following text:\n\n```{l}\n{b}\n```",
    " with:\n\n{b}",
    " with the following content:\n\n{b}",
    ". Content:\n{b}",
    " holding these lines:\n```{l}\n{b}\n```",
    ". Use exactly this:\n\n```{l}\n{b}\n```",
    " with these lines:\n{b}",
]
OK_WRITE = [
    "Wrote file successfully.",
    "File written.",
    "ok",
    "OK",
    "File created successfully.",
    "Success",
    "done",
    "{n} bytes written",
]


def do_write(g, box, family="write"):
    t, p = box["write"], g.path()
    x = g.r.random()
    if x < 0.42 or family == "line":
        c = g.line()
        inline = not ('"' in c and "'" in c and "`" in c)
        if g.chance(0.35) or not inline:
            ask = g.phrase(WRITE_HEAD, phrases.WRITE_HEAD).format(p=mark(g, p)) + g.phrase(
                WRITE_END, phrases.WRITE_END
            ).format(t=c)
            ask = polite(g, ask) if g.chance(0.5) else ask
        else:
            q = next(m for m in g.r.sample(['"', "'", "`"], 3) if m not in c)
            q = q + c + q
            ask = (
                g.phrase(WRITE_FRONT, phrases.WRITE_FRONT).format(p=mark(g, p), c=q)
                if g.chance(0.3)
                else g.phrase(WRITE_HEAD, phrases.WRITE_HEAD).format(p=mark(g, p))
                + g.phrase(WRITE_TAIL, phrases.WRITE_TAIL).format(c=q)
            )
            ask = polite(g, stop(g, ask))
    elif x < 0.9:
        c = g.block()
        lang = g.of(["", "", "python", "text", "sh", "json"])
        ask = g.phrase(WRITE_HEAD, phrases.WRITE_HEAD).format(p=mark(g, p)) + g.phrase(
            BLOCK_END, phrases.BLOCK_END
        ).format(b=c, l=lang)
    else:
        s = g.fresh(lambda: g.words(1, 5))
        p = g.fresh(lambda: g.dirs(0, 1) + g.ident() + ".py")
        c = f'print("{s}")'
        ask = polite(
            g,
            g.of(
                [
                    "Write a Python script {p} that prints {s}.",
                    "Create {p}, a Python program that prints {s}.",
                    "Make a Python file {p} which prints {s}.",
                ]
            ).format(p=mark(g, p), s='"' + s + '"'),
        )
    r = g.of(OK_WRITE).format(n=len(c))
    return Task(
        "write",
        ask,
        [([t.call(path=p, content=c)], [r], f"I will write {p} with {t.name}.")],
        f"I wrote `{p}`.",
        value=p,
        think="The file is written.",
    )


EDIT_ASK = [
    "Replace {o} with {n} in {p}",
    "In {p}, replace {o} with {n}",
    "Change {o} to {n} in {p}",
    "In {p} change {o} to {n}",
    "Edit {p}: replace {o} by {n}",
    "Substitute {n} for {o} in {p}",
    "Swap {o} for {n} in the file {p}",
    "Update {p} so that {o} becomes {n}",
    "In the file {p}, {o} should be {n}",
    "Modify {p}: {o} -> {n}",
    "Turn {o} into {n} in {p}",
    "Fix {p}: it should say {n} instead of {o}",
    "Rewrite {o} as {n} inside {p}",
    "{p} has {o}, make it {n}",
    "Put {n} where {p} says {o}",
]


def do_edit(g, box):
    t, p = box["edit"], g.path()
    x = g.r.random()
    if x < 0.6:
        o = g.fresh(
            lambda: g.of(
                [g.ident, g.value, lambda: g.words(1, 4), lambda: g.ident() + " = " + g.value()]
            )()
        )
        n = g.fresh(
            lambda: g.of(
                [g.ident, g.value, lambda: g.words(1, 4), lambda: g.ident() + " = " + g.value()]
            )()
        )
        ask = polite(
            g,
            stop(
                g,
                g.phrase(EDIT_ASK, phrases.EDIT).format(o=mark2(g, o), n=mark2(g, n), p=mark(g, p)),
            ),
        )
    else:
        o, n = g.line(), g.line()
        if g.chance(0.4):
            o, n = g.block(), g.block()
        ask = polite(
            g,
            g.phrase(
                [
                    "In {p}, replace\n```\n{o}\n```\nwith\n```\n{n}\n```",
                    "Edit {p}. Old:\n{o}\nNew:\n{n}",
                    "Change this in {p}:\n\n```\n{o}\n```\n\nto this:\n\n```\n{n}\n```",
                    "Replace the text\n{o}\nin {p} with\n{n}",
                    "In {p} swap\n```\n{o}\n```\nfor\n```\n{n}\n```",
                ],
                phrases.EDIT_BLOCK,
            ).format(o=o, n=n, p=mark(g, p)),
        )
    r = g.of(
        ["Edit applied successfully.", "ok", "1 replacement made", "The file has been updated."]
    )
    return Task(
        "edit",
        ask,
        [([t.call(path=p, old=o, new=n)], [r], f"I will edit {p} with {t.name}.")],
        f"I edited `{p}`.",
        value=p,
        think="The file is edited.",
    )


def mark2(g, s):
    marks = [m for m in ["`", '"', "'"] if m not in s]
    m = g.of(marks) if marks else ""
    return m + s + m


BASH_ASK = [
    "Run {c}",
    "Run the command {c}",
    "Execute {c}",
    "Please run {c} in the shell",
    "Execute the command {c}",
    "Use the shell to run {c}",
    "Run {c} for me",
    "Start {c}",
    "Run this command: {c}",
    "Execute this: {c}",
    "In the terminal, run {c}",
    "Do {c}",
    "Launch {c}",
    "Call {c} on the command line",
    "Try {c}",
]
BASH_TELL = [
    " and tell me its output",
    " and show me the output",
    " and give me the result",
    " and tell me what it prints",
    ". What does it print?",
    ". What is the output?",
    " and report what comes out",
    " with the bash tool and tell me its output",
    ". Tell me the output",
    ", then say what it printed",
]
INTENTS = [
    (
        [
            "Show the current directory.",
            "Which directory are we in?",
            "Print the working directory.",
        ],
        "pwd",
    ),
    (
        ["List the files here.", "What files are in this folder?", "List all files with details."],
        "ls -la",
    ),
    (
        ["Show the git status.", "What does git say about the working tree?", "Check git status."],
        "git status",
    ),
    (
        ["Show the last commits.", "Show the git log.", "What were the last commits?"],
        "git log --oneline -10",
    ),
    (
        ["How much disk space is free?", "Show the disk usage.", "Check the free disk space."],
        "df -h",
    ),
    (["How much memory is free?", "Show the memory usage."], "free -h"),
    (["What is the date?", "Show the current date and time."], "date"),
    (["Who am I on this machine?", "Which user is this?"], "whoami"),
    (["Run the tests.", "Run the test suite.", "Execute all tests."], "pytest -q"),
    (["Build the project.", "Compile the project."], "make"),
    (["Which kernel is this?", "Show the system name."], "uname -a"),
    (["Show the running processes.", "List the processes."], "ps aux"),
    (["Show the changes in git.", "Show the git diff."], "git diff"),
]
INTENTS_P = [
    (
        [
            "Run the script {p} with Python.",
            "Execute {p} with python3.",
            "Start the Python program {p}.",
        ],
        "python3 {p}",
    ),
    (["Count the lines of {p}.", "How many lines does {p} have? Use the shell."], "wc -l {p}"),
    (["Create the directory {d}.", "Make a folder {d}."], "mkdir -p {d}"),
    (["Remove the file {p} with the shell.", "Delete {p} in the terminal."], "rm {p}"),
    (["Make {p} executable."], "chmod +x {p}"),
    (["Run the tests in {p}."], "pytest -q {p}"),
    (["Show the size of {d}.", "How big is the folder {d}?"], "du -sh {d}"),
]


def do_bash(g, box):
    t = box["bash"]
    args, r, tell = {}, g.of([g.line, g.number, g.line, lambda: "ok", g.some_word])(), False
    x = g.r.random()
    if x < 0.8:
        c = g.command()
        ask = g.phrase(BASH_ASK, phrases.BASH).format(
            c=mark2(g, c) if g.chance(0.85) and "`" not in c else c
        )
        tell = g.chance(0.7) and ask[-1] in "`\"'"
        if tell:
            ask += g.phrase(BASH_TELL, phrases.BASH_TELL)
        if "timeout" in t.args and g.chance(0.3) and ask[-1] in "`\"'":
            args["timeout"] = g.int(1, 120) * 1000
            ask += g.of([" with a timeout of {n} ms", ", timeout {n}"]).format(n=args["timeout"])
        if "dir" in t.args and g.chance(0.3) and not tell and ask[-1] in "`\"'":
            args["dir"] = g.directory()
            ask += g.of([" in the directory {d}", " in {d}", ", working directory {d}"]).format(
                d=mark(g, args["dir"])
            )
        m = re.search(r"echo \$\(\((\d+)([+*-])(\d+)\)\)", c) or re.search(
            r"print\((\d+) ([+*-]) (\d+)\)", c
        )
        if m:
            a, b = int(m[1]), int(m[3])
            r = str(a + b if m[2] == "+" else a * b if m[2] == "*" else a - b)
        ask = polite(
            g, ask + (g.of([".", ""]) if ask[-1] in "`\"'" or tell and ask[-1] not in ".?" else "")
        )
    elif x < 0.9:
        q, c = g.of(INTENTS)
        ask = polite(g, g.of(q))
    else:
        q, c = g.of(INTENTS_P)
        p, d = g.path(), g.directory()
        ask, c = polite(g, g.of(q).format(p=p, d=d)), c.format(p=p, d=d)
    return Task(
        "bash",
        ask,
        [([t.call(command=c, **args)], [r + g.of(["", "\n"])], f"I will run {c} with {t.name}.")],
        "The output is: " + r,
        value=r,
        think="The command has finished.",
    )


GLOB_ASK = [
    "Find all files matching {p}",
    "Which files match {p}?",
    "List the files that match {p}",
    "Search for files named {p}",
    "Find {p}",
    "Show me all {p} files",
    "Look for files with the pattern {p}",
    "Glob {p}",
    "Get the paths matching {p}",
    "What files fit the pattern {p}?",
    "Locate {p}",
    "Are there files like {p}?",
    "Give me every file of the form {p}",
    "I am looking for {p}",
    "Which paths fit {p}?",
]


def do_glob(g, box):
    t, p, args = box["glob"], g.pattern(), {}
    ask = g.phrase(GLOB_ASK, phrases.GLOB).format(p=mark2(g, p))
    if "dir" in t.args and g.chance(0.3) and ask[-1] in "`\"'":
        args["dir"] = g.directory()
        ask += g.of([" in {d}", " below {d}", " in the folder {d}"]).format(d=mark(g, args["dir"]))
    files = [g.path() for _ in range(g.int(1, 4))]
    return Task(
        "glob",
        polite(g, stop(g, ask)),
        [([t.call(pattern=p, **args)], ["\n".join(files)], f"I will look for {p} with {t.name}.")],
        f"Found {len(files)}:\n" + "\n".join(files),
        value="\n".join(files),
        think="I have the list.",
    )


GREP_ASK = [
    "Search for {r}",
    "Search the code for {r}",
    "Find {r} in the files",
    "Where is {r} used?",
    "Look for {r} in the project",
    "Grep for {r}",
    "Find all lines that contain {r}",
    "Which files mention {r}?",
    "Search the contents for {r}",
    "Find every use of {r}",
    "Show lines matching {r}",
    "Look up {r} in the sources",
    "Where does {r} occur?",
    "Hunt for {r}",
    "Which lines have {r}?",
]


def do_grep(g, box):
    t, x, args = box["grep"], g.regex(), {}
    ask = g.phrase(GREP_ASK, phrases.GREP).format(r=mark2(g, x))
    for kind, make, forms in [
        ("dir", g.directory, [" in {v}", " below {v}"]),
        (
            "include",
            lambda: "*." + g.of(["py", "c", "md", "js"]),
            [" only in {v} files", ", files {v}"],
        ),
    ]:
        if kind in t.args and g.chance(0.25) and ask[-1] in "`\"'":
            args[kind] = make()
            ask += g.of(forms).format(v=mark2(g, args[kind]))
    p, n = g.path(), g.int(1, 400)
    r = g.of([f"Found 1 matches\n{p}:\n  Line {n}: {g.line()}\n", f"{p}:{n}:{g.line()}"])
    return Task(
        "grep",
        polite(g, stop(g, ask)),
        [([t.call(regex=x, **args)], [r], f"I will search for {x} with {t.name}.")],
        f"Found in {p}, line {n}.",
        value=p,
        think="There is one match.",
    )


def shown(g, p, text):
    """A file as a read tool shows it."""
    lines = text.split("\n")
    x = g.r.random()
    if x < 0.4:
        return (
            f"<path>{p}</path>\n<type>file</type>\n<content>\n"
            + "\n".join(f"{i}: {s}" for i, s in enumerate(lines, 1))
            + f"\n\n(End of file - total {len(lines)} lines)\n</content>"
        )
    if x < 0.5:
        return "\n".join(f"{i:5}| {s}" for i, s in enumerate(lines, 1))
    return text + g.of(["", "\n"])


READ_ASK = [
    "Read {p}",
    "Show me {p}",
    "Open {p}",
    "What is in {p}?",
    "Read the file {p} and tell me what it says",
    "Show the content of {p}",
    "Print {p}",
    "What does {p} contain?",
    "Display {p}",
    "Look at {p} and tell me what it says",
    "Give me the contents of {p}",
    "View {p}",
    "Tell me what {p} holds",
    "I want to see {p}",
    "What is written in {p}?",
]
KEY_ASK = [
    "What is the value of {k} in {p}?",
    "Which value has {k} in {p}?",
    "Look into {p} and tell me {k}.",
    "Read {p}. What is {k}?",
    "What is {k} set to in {p}?",
    "Tell me the {k} from {p}.",
    "Find {k} in the file {p}.",
    "In {p}, what is {k}?",
    "Give me the {k} that {p} defines.",
    "{p} has a setting {k}. What is it?",
]
WORD_ASK = [
    "What is the secret word in {p}?",
    "Read {p} and tell me the secret word.",
    "Find the secret word in {p}.",
    "Which secret word does {p} contain?",
    "{p} holds a secret word. Which one?",
]


def value_only(g, what, value):
    """How the answer is wanted: (addition to the request, answer, check)."""
    if g.chance(0.35):
        return (
            g.of(
                [
                    " Answer with the value only.",
                    " Reply with the value only.",
                    " Just the value, please.",
                    " Give only the value, nothing else.",
                    " Answer with the word only.",
                ]
            ),
            value,
            "equal",
        )
    return "", f"{what} is {value}.", "contains"


def do_read(g, box):
    t, p, args, extra = box["read"], g.path(), {}, ""
    x = g.r.random()
    if x < 0.4:
        keys = list(dict.fromkeys(g.fresh(g.ident) for _ in range(g.int(1, 7))))
        vals = [g.fresh(g.value) for _ in keys]
        i, sep = g.int(0, len(keys) - 1), g.of([" = ", ": ", "=", " "])
        text = "\n".join(k + sep + v for k, v in zip(keys, vals))
        if g.chance(0.3):
            text = "# " + g.words(1, 4) + "\n" + text
        extra, a, check = value_only(g, "The value", vals[i])
        ask, value = (
            g.phrase(KEY_ASK, phrases.KEY).format(k=mark(g, keys[i]), p=mark(g, p)),
            vals[i],
        )
    elif x < 0.55:
        w = g.fresh(g.some_word)
        lines = [g.line() for _ in range(g.int(0, 4))]
        lines.insert(
            g.int(0, len(lines)),
            g.of(
                [
                    "the secret word is {w}",
                    "The secret word: {w}",
                    "secret word = {w}",
                    "The secret word is {w}.",
                ]
            ).format(w=w),
        )
        text, value = "\n".join(lines), w
        extra, a, check = value_only(g, "The secret word", w)
        ask = g.phrase(WORD_ASK, phrases.WORD).format(p=mark(g, p))
    elif x < 0.68:
        lines = [g.line() for _ in range(g.int(1, 6))]
        i = g.of([0, -1])
        text, value = "\n".join(lines), lines[i]
        ask = g.phrase(
            [
                "What is the {w} line of {p}?",
                "Tell me the {w} line of {p}.",
                "Read {p} and give me the {w} line.",
                "Show the {w} line in {p}.",
                "{p}: which is the {w} line?",
            ],
            phrases.LINE,
        ).format(w="first" if i == 0 else "last", p=mark(g, p))
        a, check = value, "equal"
    elif x < 0.78:
        rels = [skills.relation(g) for _ in range(g.int(1, 4))]
        k = g.of(rels)
        text, a, check = "\n".join(r[0] for r in rels), k[2], "equal"
        ask, value = (
            g.phrase(
                [
                    "Read {p}: {q}",
                    "{q} Look it up in {p}.",
                    "Open {p}. {q}",
                    "In {p} it says: {q}",
                    "The file {p} knows it: {q}",
                ],
                phrases.KNOWS,
            ).format(p=p, q=k[1]),
            a,
        )
    else:
        text = g.line() if g.chance(0.5) else g.block()
        ask = stop(g, g.phrase(READ_ASK, phrases.READ).format(p=mark(g, p)))
        a, value, check = text, text, "equal"
        if "limit" in t.args and g.chance(0.4):
            args["limit"] = g.int(1, 200)
            ask += g.of([" Only {n} lines.", " Read at most {n} lines."]).format(n=args["limit"])
        if "offset" in t.args and g.chance(0.4):
            args["offset"] = g.int(1, 900)
            ask += g.of([" Start at line {n}.", " From line {n} on."]).format(n=args["offset"])
    return Task(
        "read",
        polite(g, ask) + extra,
        [([t.call(path=p, **args)], [shown(g, p, text)], f"I will read {p} with {t.name}.")],
        a,
        check,
        value,
        "Now I can answer.",
    )


SINGLE = {
    "write": do_write,
    "read": do_read,
    "edit": do_edit,
    "bash": do_bash,
    "glob": do_glob,
    "grep": do_grep,
}


def single(g, box):
    import everyday

    c = g.of([k for k in box if k != "none"])
    return SINGLE[c](g, box) if c in SINGLE else everyday.do_other(g, box, c)


PREFIX = [
    "Hi. ",
    "Hello! ",
    "One more thing: ",
    "Ok, next: ",
    "Task: ",
    "- ",
    "Next: ",
    "Now ",
    "And now: ",
    "Also: ",
    "Then: ",
    "Question: ",
    "Hey! ",
    "Thanks. ",
    "Good. ",
    "Fine. ",
    "Right, ",
    "Well, ",
    "So: ",
    "Quick one: ",
    "Help me: ",
    "Request: ",
    "User: ",
    "Well done. ",
    "Let us go on. ",
    "Another one. ",
    "Here is the next task. ",
    "I have a request. ",
    "For my project: ",
    "Please do this: ",
]


def task(g, box, family):
    """One request of a family; in training some get a few words in front."""
    t = plain_or_tools(g, box, family)
    if g.split == "train" and g.chance(0.2):
        t.ask = g.of(PREFIX) + t.ask
    return t


def plain_or_tools(g, box, family):
    import everyday
    import workflows

    if family in skills.PLAIN:
        q, a, check = skills.PLAIN[family](g)
        return Task(family, q, [], a, check)
    if family in workflows.WORKFLOWS:
        return workflows.WORKFLOWS[family](g, box)
    if family in SINGLE:
        return SINGLE[family](g, box)
    return single(g, box) if family == "single" else everyday.do_other(g, box, family)


def toolbox(g, need=(), extra=None, long_share=0.25):
    """Tools under random names: those needed, some other concepts, some nonsense. Returns (tools
    in order, box)."""
    taken, concepts = set(), list(need)
    others = [c for c in CONCEPTS if c not in concepts]
    for _ in range(g.int(0, 5) if extra is None else extra):
        c = g.of([c for c in CORE if c in others] or others) if g.chance(0.4) else g.of(others)
        if c in others:
            others.remove(c)
            concepts.append(c)
    tools = [make_tool(g, c, taken, long_share) for c in concepts]
    tools += [
        nonsense_tool(g, taken) for _ in range(g.of([0, 0, 1, 2]) if extra is None else extra // 3)
    ]
    g.r.shuffle(tools)
    return tools, {t.concept: t for t in tools if t.concept != "none"}


def known_tools(g, client, lean):
    tools = client_tools(client, lean)
    return tools, {t.concept: t for t in tools if t.concept != "none"}
