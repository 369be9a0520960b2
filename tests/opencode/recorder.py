"""A proxy between OpenCode and `joule serve` that writes down every exchange and looks for faults of the protocol:
whatever the client would stumble over, whether or not it did. What the model says is none of its business."""

import http.client
import http.server
import json
import select
import socket
import threading
import time

FINISH = {"stop", "length", "tool_calls"}
SILENCE_S = 15  # the server promises a sign of life every 5 s; machines may be busy


class Exchange:
    def __init__(self, number, headers, body):
        self.number = number
        self.session = headers.get("x-session-id", "")
        self.parent = headers.get("x-parent-session-id", "")
        self.body = body
        self.start = time.time()
        self.status = 0
        self.lines = []  # (seconds since the start, line of the stream)
        self.end = None
        self.client_left = False
        self.server_cut = False
        self.faults = []
        self.usage = {}
        self.finish = None
        self.calls = []

    @property
    def kind(self):
        return "main" if self.body.get("tools") else "small"

    def as_dict(self):
        return {k: getattr(self, k) for k in (
            "number", "kind", "session", "parent", "status", "client_left", "faults", "usage", "finish", "calls",
            "start", "end", "body", "lines")}


def parses(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def check_call_delta(x, calls, delta, names):
    call = calls.setdefault(delta.get("index"), None)
    function = delta.get("function")
    if not isinstance(function, dict):
        x.faults.append("a call delta without function")
        return
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        x.faults.append("arguments are not a string")
        return
    if call is None:
        if not isinstance(delta.get("id"), str) or not isinstance(function.get("name"), str):
            x.faults.append("the first delta of a call has no id or name")
        elif function["name"] not in names:
            x.faults.append("a call of %r, which is not among the tools" % function["name"])
        if arguments:
            x.faults.append("the first delta of a call has arguments already")
        call = calls[delta.get("index")] = {"id": delta.get("id"), "name": function.get("name"), "arguments": ""}
    elif arguments and parses(call["arguments"]):
        x.faults.append("arguments go on after they were whole JSON")
    call["arguments"] += arguments or ""


def check_chunk(x, chunk, calls, names):
    choices = chunk.get("choices")
    if "error" in chunk:
        x.faults.append("error in the stream: %s" % chunk["error"])
        return
    if not isinstance(choices, list):
        x.faults.append("an event without choices")
        return
    if chunk.get("usage"):
        x.usage = chunk["usage"]
    for choice in choices:
        delta = choice.get("delta") or {}
        if x.finish and delta:
            x.faults.append("text after finish_reason")
        if delta.get("role") not in (None, "assistant"):
            x.faults.append("role %r" % delta["role"])
        for call in delta.get("tool_calls") or []:
            check_call_delta(x, calls, call, names)
        x.finish = choice.get("finish_reason") or x.finish


def check_end(x, calls):
    x.calls = [c for c in calls.values() if c]
    if x.finish not in FINISH:
        x.faults.append("finish_reason is %r" % x.finish)
    if x.finish == "tool_calls" and not x.calls:
        x.faults.append("finish_reason is tool_calls without a call")
    if x.finish == "stop" and x.calls:
        x.faults.append("finish_reason is stop after a call")
    for call in x.calls if x.finish != "length" else []:
        if not parses(call["arguments"] or "{}"):
            x.faults.append("arguments are not a JSON object: %.80s" % call["arguments"])
    usage = x.usage
    total = usage.get("total_tokens", 0)
    if not total or total != usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0):
        x.faults.append("usage does not add up: %s" % usage)
    if cached(usage) > usage.get("prompt_tokens", 0):
        x.faults.append("more tokens cached than read: %s" % usage)
    if x.lines and x.lines[-1][1] != "data: [DONE]":
        x.faults.append("the stream does not end with [DONE]")


def cached(usage):
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)


def check_stream(x):
    """Everything that can be said of one exchange."""
    names = {t["function"]["name"] for t in x.body.get("tools") or []}
    calls = {}
    last = 0
    for at, line in x.lines:
        if at - last > SILENCE_S:
            x.faults.append("%.0f s of silence" % (at - last))
        last = at
        if line.startswith("data: ") and line != "data: [DONE]":
            try:
                check_chunk(x, json.loads(line[6:]), calls, names)
            except ValueError:
                x.faults.append("an event that is not JSON: %.80s" % line)
        elif line and not line.startswith((":", "data: ")):
            x.faults.append("a line that is no event: %.80s" % line)
    x.calls = [c for c in calls.values() if c]
    if x.client_left:
        return
    if x.status != 200:
        x.faults.append("status %d: %.200s" % (x.status, " ".join(line for _, line in x.lines)))
    elif x.server_cut:
        x.faults.append("the connection broke")
    else:
        check_end(x, calls)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass  # a client that left; the exchange says so


class Recorder:
    def __init__(self, upstream_port):
        self.upstream_port = upstream_port
        self.exchanges = []
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), self.handler())
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def begin(self, headers, body):
        with self.lock:
            x = Exchange(len(self.exchanges), {k.lower(): v for k, v in headers.items()}, body)
            self.exchanges.append(x)
        return x

    def open_exchanges(self):
        with self.lock:
            return [x for x in self.exchanges if x.end is None]

    def handler(recorder):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                x = recorder.begin(self.headers, json.loads(raw))
                try:
                    self.forward(raw, x)
                finally:
                    x.end = time.time()
                    check_stream(x)
                self.close_connection = True

            def do_GET(self):
                recorder.begin(self.headers, {}).faults.append("GET " + self.path)

            def client_is_gone(self):
                try:
                    readable, _, _ = select.select([self.connection], [], [], 0)
                    return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
                except (OSError, ValueError):
                    return True

            def forward(self, raw, x):
                up = http.client.HTTPConnection("127.0.0.1", recorder.upstream_port)
                keep = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                up.request("POST", self.path, raw, {**keep, "Connection": "close"})
                sock = up.sock
                done = threading.Event()

                def watch():  # a client that leaves while the server is silent
                    while not done.wait(0.02):
                        if self.client_is_gone() and not done.is_set():
                            x.client_left = True
                            sock.shutdown(socket.SHUT_RDWR)
                            return

                threading.Thread(target=watch, daemon=True).start()
                try:
                    self.copy(up.getresponse(), x)
                except (OSError, http.client.HTTPException):
                    x.server_cut = not x.client_left
                finally:
                    done.set()
                    up.close()

            def copy(self, response, x):
                x.status = response.status
                self.send_response(response.status)
                for key in ("Content-Type", "Retry-After"):
                    if response.getheader(key):
                        self.send_header(key, response.getheader(key))
                self.send_header("Connection", "close")
                self.end_headers()
                for line in iter(response.readline, b""):
                    text = line.decode().rstrip("\n")
                    if text:
                        x.lines.append((round(time.time() - x.start, 3), text))
                    try:
                        self.wfile.write(line)
                        self.wfile.flush()
                    except OSError:
                        x.client_left = True
                        raise

        return Handler


def repeated(exchanges):
    """Requests that the client sent again, which it does when it could not use the answer."""
    seen = {}
    again = []
    for x in exchanges:
        key = (x.session, json.dumps(x.body, sort_keys=True))
        before = seen.get(key)
        if before is not None and not before.client_left:
            again.append("request %d is request %d again" % (x.number, before.number))
        seen[key] = x
    return again


def repeated_ids(exchanges):
    """Ids of calls that occur twice in a conversation."""
    seen = {}
    again = []
    for x in exchanges:
        for call in x.calls:
            if call["id"] in seen.setdefault(x.session, set()):
                again.append("call id %s occurs twice" % call["id"])
            seen[x.session].add(call["id"])
    return again


def read_again(exchanges):
    """For each request that extends the one before it in its session: tokens that were read or written
    before and had to be read again. The last token of an answer has never been read, so it is not counted."""
    last = {}
    out = []
    for x in exchanges:
        if x.kind != "main" or not x.usage:
            continue
        before = last.get(x.session)
        last[x.session] = x
        if before is None:
            continue
        n = len(before.body["messages"])
        if x.body["messages"][:n] != before.body["messages"] or x.body["tools"] != before.body["tools"]:
            continue
        new_turn = any(m["role"] == "user" for m in x.body["messages"][n:])
        out.append({"request": x.number, "new_turn": new_turn,
                    "again": max(0, before.usage["total_tokens"] - 1 - cached(x.usage))})
    return out
