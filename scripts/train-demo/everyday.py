"""Requests for the small everyday tools: list, delete, move, fetch, weather and so on."""

import skills
from dialogues import Task, mark2, polite
from values import CITIES


def simple(g, box, concept, forms, values, result, answer, value):
    t = box[concept]
    ask = polite(
        g,
        g.phrase(forms).format(
            **{k: mark2(g, v) if isinstance(v, str) else v for k, v in values.items()}
        ),
    )
    return Task(
        concept,
        ask,
        [([t.call(**values)], [result], f"I will use {t.name}.")],
        answer,
        value=value,
        think="The tool has answered.",
    )


def do_other(g, box, concept):
    """The small everyday tools."""
    if concept == "list":
        f = [g.fresh(g.filename) for _ in range(g.int(1, 5))]
        d = g.directory()
        return simple(
            g,
            box,
            concept,
            [
                "List the folder {dir}.",
                "What is in the directory {dir}?",
                "Show the entries of {dir}.",
                "Which files are in {dir}?",
                "Look into the folder {dir}.",
            ],
            {"dir": d},
            "\n".join(f),
            f"{d} contains:\n" + "\n".join(f),
            "\n".join(f),
        )
    if concept == "delete":
        p = g.path()
        return simple(
            g,
            box,
            concept,
            [
                "Delete {path}.",
                "Remove the file {path}.",
                "Erase {path}.",
                "Get rid of {path}.",
                "Throw away {path}.",
            ],
            {"path": p},
            "deleted",
            f"I deleted `{p}`.",
            p,
        )
    if concept == "move":
        a, b = g.path(), g.path()
        return simple(
            g,
            box,
            concept,
            [
                "Rename {src} to {dst}.",
                "Move {src} to {dst}.",
                "Please move the file {src} to {dst}.",
                "Change the name of {src} to {dst}.",
                "{src} should be called {dst}.",
            ],
            {"src": a, "dst": b},
            "ok",
            f"I moved `{a}` to `{b}`.",
            b,
        )
    if concept == "fetch":
        u, r = g.url(), skills.relation(g)
        return simple(
            g,
            box,
            concept,
            [
                "Fetch {url}.",
                "Open the page {url} and tell me what it says.",
                "Get {url}.",
                "What does the page {url} say?",
                "Load {url} for me.",
            ],
            {"url": u},
            r[0],
            r[0],
            r[0],
        )
    if concept == "search":
        q, r = g.fresh(lambda: g.words(2, 6)), skills.relation(g)
        return simple(
            g,
            box,
            concept,
            [
                "Search the web for {query}.",
                "Look up {query} online.",
                "What does the web say about {query}?",
                "Find something on {query} on the internet.",
                "Ask the search engine for {query}.",
            ],
            {"query": q},
            r[0],
            r[0],
            r[0],
        )
    if concept == "weather":
        c, n, w = (
            g.fresh(g.some_word).capitalize() if g.chance(0.4) else g.of(CITIES),
            g.int(-20, 40),
            g.of(["sunny", "cloudy", "rainy", "windy", "foggy", "clear"]),
        )
        t = box[concept]
        ask = polite(
            g,
            g.phrase(
                [
                    "What is the weather in {c}?",
                    "How warm is it in {c}?",
                    "Weather in {c}?",
                    "Is it raining in {c}?",
                    "How is the weather in {c} today?",
                    "Check the weather for {c}.",
                    "Tell me the weather of {c}.",
                    "What is it like outside in {c}?",
                    "Do I need a coat in {c}?",
                    "Forecast for {c}, please.",
                ]
            ).format(c=c),
        )
        r = g.of(["{n} degrees, {w}", "temperature: {n}, sky: {w}", "{w}, {n} C"]).format(n=n, w=w)
        return Task(
            concept,
            ask,
            [([t.call(city=c)], [r], f"I will ask {t.name} about {c}.")],
            f"It is {n} degrees and {w} in {c}.",
            value=f"{n} degrees and {w}",
            think="The tool has answered.",
        )
    if concept == "calc":
        a, b, o = g.int(10, 9999), g.int(10, 9999), g.of("+-*")
        e, v = f"{a} {o} {b}", str(a + b if o == "+" else a - b if o == "-" else a * b)
        t = box[concept]
        ask = polite(
            g,
            g.phrase(
                [
                    "Calculate {e} with the tool.",
                    "Use the calculator for {e}.",
                    "Compute {e} with the tool.",
                    "Work out {e} with the calculator.",
                    "Let the tool evaluate {e}.",
                ]
            ).format(e=e),
        )
        return Task(
            concept,
            ask,
            [([t.call(expr=e)], [v], f"I will use {t.name}.")],
            f"{e} = {v}",
            value=v,
            think="The tool has answered.",
        )
    if concept == "send":
        n, m = g.fresh(g.name), g.fresh(g.sentence)
        return simple(
            g,
            box,
            concept,
            [
                "Send the message {message} to {person}.",
                "Tell {person}: {message}",
                "Write to {person}: {message}",
                "Let {person} know this: {message}",
                "Message {person} with {message}",
            ],
            {"person": n, "message": m},
            "sent",
            f"I sent the message to {n}.",
            n,
        )
    if concept == "remind":
        n, m = g.int(1, 240), g.fresh(lambda: g.words(1, 5))
        return simple(
            g,
            box,
            concept,
            [
                "Remind me in {minutes} minutes: {message}",
                "Set a reminder {message} in {minutes} minutes.",
                "In {minutes} minutes remind me of {message}.",
                "Alert me about {message} after {minutes} minutes.",
                "{message} is due in {minutes} minutes, remind me.",
            ],
            {"message": m, "minutes": n},
            "reminder set",
            f"I will remind you in {n} minutes.",
            str(n),
        )
    if concept == "setting":
        k, v = g.fresh(g.ident), g.fresh(g.value)
        return simple(
            g,
            box,
            concept,
            [
                "Set {key} to {val}.",
                "Store {val} under {key}.",
                "Change the setting {key} to {val}.",
                "Put {val} into {key}.",
                "Let {key} be {val}.",
            ],
            {"key": k, "val": v},
            "ok",
            f"I set {k} to {v}.",
            v,
        )
    k, v = g.fresh(g.ident), g.fresh(g.value)
    return simple(
        g,
        box,
        "lookup",
        [
            "Look up {key}.",
            "What is stored under {key}?",
            "Get the entry {key}.",
            "Which value has {key}?",
            "Tell me what {key} is.",
        ],
        {"key": k},
        v,
        f"{k} is {v}.",
        v,
    )
