"""What OpenCode is asked to do, and how the outcome is judged. A task is right when the files and the last answer are;
how the model got there is its own business."""

import os
import re


class Task:
    """prompts: one per turn. mode: "plain", "cancel-read", "cancel-write", "agents" (prompts at once, as
    sub-agents of one session). check(folder, answers) -> bool; None: only the protocol is looked at."""

    def __init__(self, name, kind, prompts, check=None, files=None, thinking=False, mode="plain"):
        self.name, self.kind, self.mode, self.thinking = name, kind, mode, thinking
        self.prompts = [prompts] if isinstance(prompts, str) else prompts
        self.files, self.check = files or {}, check


def text(folder, name):
    try:
        with open(os.path.join(folder, name)) as f:
            return f.read()
    except OSError:
        return ""


def says(word):
    return lambda folder, answers: bool(re.search(r"(?<!\w)%s(?!\w)" % re.escape(word), answers[-1], re.I))


def holds(name, line):
    return lambda folder, answers: text(folder, name).strip() == line


def contains(name, part, without=None):
    return lambda folder, answers: part in text(folder, name) and (not without or without not in text(folder, name))


def both(a, b):
    return lambda folder, answers: a(folder, answers) and b(folder, answers)


CALC = {"calc.py": "def add(a, b):\n    return a - b\n"}
NOTES = {"notes.txt": "line 1\nthe secret word is zanzibar\n"}
ABC = {"a.txt": "11\n", "b.txt": "22\n", "c.txt": "33\n"}
TREE = {"src/main.py": "print('hi')\n", "src/util.py": "LIMIT = 40\n", "docs/guide.md": "# Guide\n", "README.md": "x\n"}
PARALLEL = ("Read a.txt, b.txt and c.txt (use parallel tool calls in one turn) and give me the sum of the three "
            "numbers.")

TASKS = [
    Task("pong", "text", "Reply with the single word PONG and nothing else. Do not use any tool.", says("PONG")),
    Task("sum", "text", "What is 17 + 25? Answer with the number only.", says("42")),
    Task("write-line", "write", "Create a file named hello.txt containing exactly the line: hello world",
         holds("hello.txt", "hello world")),
    Task("write-quotes", "write", "Create a file named quote.txt containing exactly the line: say \"hi\" to {all}",
         holds("quote.txt", "say \"hi\" to {all}")),
    Task("read-word", "read", "What is the secret word in notes.txt? Answer with the word only.", says("zanzibar"), NOTES),
    Task("read-value", "read", "Read config.ini. What is the value of port?", says("8123"),
         {"config.ini": "host = example\nport = 8123\n"}),
    Task("edit-operator", "edit", "In calc.py the function add subtracts instead of adding. Fix it with a minimal edit.",
         contains("calc.py", "a + b", "a - b"), CALC),
    Task("edit-value", "edit", "In settings.py change the value of TIMEOUT from 30 to 60.",
         contains("settings.py", "TIMEOUT = 60"), {"settings.py": "HOST = 'a'\nTIMEOUT = 30\n"}),
    Task("bash-echo", "bash", "Run the command `echo $((17*23))` with the bash tool and tell me its output.", says("391")),
    Task("bash-count", "bash", "Run the command `wc -l < list.txt` and tell me its output.", says("4"),
         {"list.txt": "a\nb\nc\nd\n"}),
    Task("glob", "glob", "Find all Python files in this project with glob and list them.",
         both(says("main.py"), says("util.py")), TREE),
    Task("grep", "grep", "Which file contains the word LIMIT? Use grep.", says("util.py"), TREE),
    Task("two-step-run", "two-step", "Write fib.py with a function fib(n), a test file test_fib.py using plain asserts, run "
         "it with python3, and say OK when it passes.",
         lambda d, a: "def fib" in text(d, "fib.py") and "assert" in text(d, "test_fib.py")),
    Task("two-step-copy", "two-step", "Read notes.txt and write its second line to copy.txt.",
         holds("copy.txt", "the secret word is zanzibar"), NOTES),
    Task("parallel-read", "parallel", PARALLEL, says("66"), ABC),
    Task("parallel-write", "parallel", "Create x.txt with the line: one, and y.txt with the line: two. Use parallel tool "
         "calls in one turn.", both(holds("x.txt", "one"), holds("y.txt", "two"))),
    Task("think-text", "thinking", "What is 9 + 8? Answer with the number only.", says("17"), thinking=True),
    Task("think-write", "thinking", "Create a file named hello.txt containing exactly the line: hello world",
         holds("hello.txt", "hello world"), thinking=True),
    Task("think-read", "thinking", "What is the secret word in notes.txt? Answer with the word only.", says("zanzibar"), NOTES,
         thinking=True),
    Task("think-parallel", "thinking", PARALLEL, says("66"), ABC, thinking=True),
    Task("three-turns", "three turns", ["Create a file named a.txt containing exactly the line: alpha beta",
                                        "Read a.txt and tell me what is in it.",
                                        "In a.txt change alpha to omega."],
         holds("a.txt", "omega beta")),
    Task("three-turns-think", "three turns", ["What is the secret word in notes.txt? Answer with the word only.",
                                              "Create a file named w.txt containing exactly the line: zanzibar",
                                              "Run the command `cat w.txt` and tell me its output."],
         says("zanzibar"), NOTES, thinking=True),
    Task("cancel-read", "cancel", ["Read big.txt and tell me what is in it.",
                                   "Reply with the single word PONG and nothing else. Do not use any tool."],
         says("PONG"), {"big.txt": "".join("line %d of a long file\n" % i for i in range(200))}, mode="cancel-read"),
    Task("cancel-write", "cancel", ["Count from 1 to 200, one number per line. Do not use any tool.",
                                    "Reply with the single word PONG and nothing else. Do not use any tool."],
         says("PONG"), mode="cancel-write"),
    Task("agents", "sub-agents", ["What is the secret word in notes.txt? Answer with the word only.",
                                  "Run the command `echo $((17*23))` with the bash tool and tell me its output.",
                                  "Reply with the single word PONG and nothing else. Do not use any tool."],
         lambda d, a: says("zanzibar")(d, a[:1]) and says("391")(d, a[:2]) and says("PONG")(d, a), NOTES, mode="agents"),
]

SHORT = ["pong", "write-line", "think-read", "cancel-write"]
