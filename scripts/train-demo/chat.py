"""The chat format as Python: renders a conversation for training, piece by piece with a loss
weight.

chat_template.jinja is the authority for users of the model; check_template.py renders random
conversations with both and compares. The generator needs its own renderer because it must know
which pieces the model writes.
"""

import functools
import os

Q = '<|"|>'


def literal(v, quote_keys=False):
    if isinstance(v, str):
        return Q + v + Q
    if isinstance(v, bool):
        return "true" if v else "false"
    if v is None:
        return "null"
    if isinstance(v, dict):
        key = (lambda k: Q + k + Q) if quote_keys else (lambda k: k)
        return (
            "{" + ",".join(key(k) + ":" + literal(v[k], quote_keys) for k in sorted_keys(v)) + "}"
        )
    if isinstance(v, (list, tuple)):
        return "[" + ",".join(literal(x, quote_keys) for x in v) + "]"
    return str(v)


def sorted_keys(d):
    return sorted(d, key=lambda k: k.lower())


def type_name(t):
    return Q + (t if isinstance(t, str) else t[0]).upper() + Q


def properties(props):
    out = []
    for name in sorted_keys(props):
        p = props[name]
        t = p.get("type", "string")
        t = (t if isinstance(t, str) else t[0]).upper()
        s = name + ":{"
        if "description" in p:
            s += "description:" + literal(p["description"]) + ","
        if t == "STRING" and "enum" in p:
            s += "enum:" + literal(p["enum"], True) + ","
        if t == "ARRAY" and "items" in p:
            it, parts = p["items"], []
            for k in sorted_keys(it):
                if k == "properties":
                    parts.append("properties:{" + properties(it[k]) + "}")
                elif k == "required":
                    parts.append("required:" + literal(it[k]))
                elif k == "type":
                    parts.append("type:" + type_name(it[k]))
                elif k in ("description", "enum"):
                    parts.append(k + ":" + literal(it[k], True))
            s += "items:{" + ",".join(parts) + "},"
        if p.get("nullable"):
            s += "nullable:true,"
        if t == "OBJECT" and "properties" in p:
            s += "properties:{" + properties(p["properties"]) + "},"
        if t == "OBJECT" and p.get("required"):
            s += "required:" + literal(p["required"]) + ","
        out.append(s + "type:" + Q + t + Q + "}")
    return ",".join(out)


def declaration(tool):
    """<|tool>declaration:...<tool|> of one tool in the form of the OpenAI API."""
    f = tool.get("function", tool)
    s = "declaration:" + f["name"] + "{description:" + Q + f.get("description", "") + Q
    p = f.get("parameters")
    if p:
        s += ",parameters:{"
        if p.get("properties"):
            s += "properties:{" + properties(p["properties"]) + "},"
        if p.get("required"):
            s += "required:" + literal(p["required"]) + ","
        s += "type:" + type_name(p.get("type", "object")) + "}"
    return "<|tool>" + s + "}<tool|>"


def call_text(name, args):
    return (
        "<|tool_call>call:"
        + name
        + "{"
        + ",".join(k + ":" + literal(args[k]) for k in sorted_keys(args))
        + "}<tool_call|>"
    )


def render(conv, live=None, generation=False):
    """Segments (text, weight): weight 1 where the model writes. conv = {system, tools, thinking,
    messages}.

    Messages: {"role": "user", "content"}; {"role": "assistant", "content", "reasoning",
    "tool_calls": [(name, args)]};
    {"role": "tool", "content", "name"}. `live` holds the indices of the user messages whose answer
    is rendered as it is
    generated (thought kept, or the empty thought of the generation prompt); the others as history.
    Default: the last.
    """
    think, out, msgs = conv.get("thinking", False), [("<bos>", 0)], conv["messages"]
    users = [i for i, m in enumerate(msgs) if m["role"] == "user"]
    live = {users[-1]} if live is None else live
    add = lambda t, w=0: out.append((t, w)) if t else None
    if think or conv.get("tools") or conv.get("system"):
        add("<|turn>system\n" + ("<|think|>\n" if think else ""))
        system = conv.get("system") or ""
        add(system.strip() if isinstance(system, str) else system)
        for t in conv.get("tools") or []:
            add(t if isinstance(t, str) else declaration(t))
        add("<turn|>\n")
    open_turn = alive = False
    for i, m in enumerate(msgs):
        if m["role"] == "user":
            add("<|turn>user\n" + m["content"].strip() + "<turn|>\n")
            alive, open_turn = i in live, False
        elif m["role"] == "tool":
            add(
                "<|tool_response>response:"
                + m["name"]
                + "{value:"
                + Q
                + m["content"]
                + Q
                + "}<tool_response|>"
            )
        else:
            first = not open_turn
            if first:
                add(
                    "<|turn>model\n"
                    + ("<|channel>thought\n<channel|>" if alive and not think else "")
                )
                open_turn = True
            w = 1 if alive or not think else 0
            if think and alive:
                body = (m.get("reasoning") or "") + "\n<channel|>"
                if first:
                    add("<|channel>thought\n" + body, 1)
                else:
                    add("<|channel>thought\n")
                    add(body, 1)
            calls = "".join(call_text(n, a) for n, a in m.get("tool_calls") or [])
            text = calls + (m.get("content") or "").strip()
            if calls:
                responded = i + 1 < len(msgs) and msgs[i + 1]["role"] == "tool"
                add_model(add, text, w, first and not alive)
                if not responded:
                    add("<|tool_response>", w)
                else:
                    out.append(
                        (None, w)
                    )  # the <|tool_response> that follows is also the model's stop token
            else:
                add_model(add, text + "<turn|>", w, first and not alive)
                add("\n")
                open_turn = False
    if generation:
        if msgs[-1]["role"] == "tool":
            add("<|channel>thought\n" if think else "")
        else:
            add("<|turn>model\n" + ("" if think else "<|channel>thought\n<channel|>"))
    return out


def add_model(add, text, weight, history):
    """As history without the empty thought the first piece cannot be foretold (it would be the
    thought): no loss."""
    if history and weight and text.startswith("<|tool_call>"):
        add("<|tool_call>", 0)
        text = text[len("<|tool_call>") :]
    add(text, weight)


def render_text(conv, generation=False):
    return "".join(t for t, _ in render(conv, generation=generation) if t)


@functools.lru_cache(1)
def template():
    import jinja2.sandbox

    with open(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_template.jinja"),
        encoding="utf-8",
    ) as f:
        return jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        ).from_string(f.read())


def openai_messages(conv):
    """The conversation in the form of the OpenAI API (arguments as objects), and its tools."""
    msgs = [{"role": "system", "content": conv["system"]}] if conv.get("system") else []
    pending = []
    for n, m in enumerate(conv["messages"]):
        if m["role"] == "assistant":
            x = {"role": "assistant", "content": m.get("content") or ""}
            if m.get("reasoning") and conv.get("thinking"):
                x["reasoning_content"] = m["reasoning"]
            if m.get("tool_calls"):
                x["tool_calls"] = [
                    {
                        "id": f"call_{n}_{i}",
                        "type": "function",
                        "function": {"name": c, "arguments": a},
                    }
                    for i, (c, a) in enumerate(m["tool_calls"])
                ]
                pending = [c["id"] for c in x["tool_calls"]]
            msgs.append(x)
        elif m["role"] == "tool":
            msgs.append({"role": "tool", "tool_call_id": pending.pop(0), "content": m["content"]})
        else:
            msgs.append({"role": m["role"], "content": m["content"]})
    return msgs


def render_jinja(conv, generation=False):
    return template().render(
        messages=openai_messages(conv),
        tools=conv.get("tools"),
        bos_token="<bos>",
        enable_thinking=conv.get("thinking", False),
        add_generation_prompt=generation,
    )
