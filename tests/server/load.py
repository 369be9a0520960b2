"""What the load, crash and replay scripts share: a server of their own, requests over plain sockets, streams."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Serve:
    """`joule serve` (or another server: command) on a free port. cache: folder for XDG_CACHE_HOME."""

    def __init__(self, args, joule=None, cache=None, command=None, log=None, timeout=600):
        self.port = free_port()
        self.log = log or tempfile.NamedTemporaryFile(prefix="serve-", suffix=".log", delete=False).name
        env = dict(os.environ)
        if cache:
            env["XDG_CACHE_HOME"] = cache
        argv = command or [joule or os.path.join(ROOT, "build", "joule"), "serve"]
        with open(self.log, "a") as out:
            self.process = subprocess.Popen(argv + ["--port", str(self.port)] + args, stdout=out,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env)
        end = time.time() + timeout
        while not self.healthy():
            if self.process.poll() is not None or time.time() > end:
                raise RuntimeError("the server did not start: " + open(self.log).read()[-2000:])
            time.sleep(0.02)

    def healthy(self):
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def get(self, path):
        return request(self.port, path)

    def metrics(self):
        text = self.get("/metrics")[1].decode()
        return {k: float(v) for k, v in re.findall(r"^joule_(\w+) (\S+)$", text, re.M)}

    def resident(self):
        """Resident set in bytes, file pages left out; descriptors open."""
        status = open("/proc/%d/status" % self.process.pid).read()
        anon = int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) * 1024
        return anon, len(os.listdir("/proc/%d/fd" % self.process.pid))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


def send(port, path, body, rcvbuf=0):
    """Sends a request and returns the socket."""
    s = socket.socket()
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(3600)
    s.connect(("127.0.0.1", port))
    data = json.dumps(body).encode() if body is not None else b""
    head = "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n" % ("POST" if body is not None else "GET",
                                                                          path, port)
    s.sendall((head + "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data)).encode() + data)
    return s


def request(port, path, body=None):
    """(status, body) of a request that is not streamed."""
    with send(port, path, body) as s:
        text = b""
        while piece := s.recv(1 << 16):
            text += piece
    head, _, rest = text.partition(b"\r\n\r\n")
    if not head:
        return 0, b""
    return int(head.split()[1]), unchunk(rest) if b"chunked" in head.lower() else rest


def unchunk(text):
    out = b""
    while text:
        size, _, text = text.partition(b"\r\n")
        n = int(size or b"0", 16)
        if n == 0:
            break
        out += text[:n]
        text = text[n + 2:]
    return out


class Stream:
    """A streamed chat: events as they come. faults: what should not have been."""

    def __init__(self, port, body, rcvbuf=0, path="/v1/chat/completions"):
        self.start = time.time()
        self.times = []  # of events with text
        self.events = []
        self.done = False
        self.status = 0
        self.text = ""
        self.socket = send(port, path, dict(body, stream=True, stream_options={"include_usage": True}), rcvbuf)
        self.lines = self.read_lines()

    def read_lines(self):
        f = self.socket.makefile("rb")
        first = f.readline()
        self.status = int(first.split()[1]) if first else 0
        chunked = False
        for line in f:
            chunked = chunked or b"chunked" in line.lower()
            if line == b"\r\n":
                break
        for line in f:  # lines of chunk sizes are no lines of events
            yield line

    def step(self):
        """Takes the next event; False at the end."""
        for line in self.lines:
            if not line.startswith(b"data: "):
                continue
            data = line[6:].strip()
            if data == b"[DONE]":
                self.done = True
                return False
            event = json.loads(data)
            self.events.append(event)
            for choice in event.get("choices", []):
                delta = choice.get("delta", {})
                if delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls"):
                    self.times.append(time.time())
                    self.text += delta.get("content") or ""
            return True
        return False

    def finish(self):
        while self.step():
            pass
        self.close()
        return self

    def close(self):
        self.socket.close()

    def usage(self):
        return next((e["usage"] for e in reversed(self.events) if e.get("usage")), {})

    def answer(self):
        """The message as a client keeps it: calls put together from their pieces."""
        calls = {}
        text = ""
        for e in self.events:
            for c in e.get("choices", []):
                delta = c.get("delta", {})
                text += delta.get("content") or ""
                for call in delta.get("tool_calls") or []:
                    known = calls.setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
                    known["id"] = call.get("id") or known["id"]
                    known["name"] = call.get("function", {}).get("name") or known["name"]
                    known["arguments"] += call.get("function", {}).get("arguments") or ""
        return text, [calls[i] for i in sorted(calls)]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def in_threads(n, fn):
    """Runs fn(0) .. fn(n - 1) in threads; raises the first exception."""
    errors = []

    def run(i):
        try:
            fn(i)
        except Exception as e:  # reported below
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
