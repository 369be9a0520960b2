"""A Hugging Face Hub on this machine, for one repository, that misbehaves on demand.

Repository "acme/MODE-anything": MODE says what goes wrong. Requests are recorded in Hub.log as
(path, range, authorization).
"""
import hashlib
import http.server
import json
import threading
import time

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """files: name -> bytes; large ones (".gguf", ".safetensors") are listed with a SHA-256."""

    def __init__(self, files):
        self.files = files
        self.log = []
        self.state = {}
        self.other = None  # another Hub, where redirects lead
        handler = type("Handler", (Handler,), {"hub": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # clients hang up, as they should
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self, key):
        self.state[key] = self.state.get(key, 0) + 1
        return self.state[key]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.hub.log.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        try:
            self.answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.listing("/".join(parts[2:4]))
        if parts[0] == "cdn":
            return self.body(parts[1], "/".join(parts[2:]))
        if len(parts) > 4 and parts[2] == "resolve":
            return self.resolve(parts[1], "/".join(parts[4:]))
        return self.plain(404)

    def plain(self, status, headers=(), text=b"{}"):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def listing(self, repo):
        mode = repo.split("/")[1].split("-")[0]
        if mode == "gated" and self.headers.get("Authorization") != "Bearer good":
            return self.plain(401, [("X-Error-Code", "GatedRepo")])
        if mode == "forbidden":
            return self.plain(403, [("X-Error-Code", "GatedRepo")])
        if mode == "private":
            return self.plain(401, [("X-Error-Code", "RepoNotFound")])
        if mode == "absent":
            return self.plain(404, [("X-Error-Code", "RepoNotFound")])
        if mode == "nonsense":
            return self.plain(200, text=b"<html>hello</html>")
        if mode == "evil":
            name = self.hub.state["evil"]
            return self.plain(200, text=json.dumps({"sha": COMMIT, "siblings": [
                {"rfilename": name, "size": 1, "lfs": {"sha256": "0" * 64, "size": 1}}]}).encode())
        siblings = []
        for name, data in self.hub.files.items():
            item = {"rfilename": name, "size": len(data), "blobId": git_sha1(data)}
            if name.endswith((".gguf", ".safetensors")):
                sha = hashlib.sha256(data).hexdigest()
                if mode == "wronghash":
                    sha = "f" * 64
                item["lfs"] = {"sha256": sha, "size": len(data), "pointerSize": 130}
            if mode == "huge":
                item["lfs"]["size"] = 10 ** 17
            siblings.append(item)
        return self.plain(200, text=json.dumps({"sha": COMMIT, "siblings": siblings}).encode())

    def resolve(self, repo, name):
        mode = repo.split("-")[0]
        if mode == "gated" and self.headers.get("Authorization") != "Bearer good":
            return self.plain(401, [("X-Error-Code", "GatedRepo")])
        data = self.hub.files[name]
        etag = hashlib.sha256(data).hexdigest() if mode != "changed" else "e" * 64
        if mode == "elsewhere":
            to = "%s/cdn/%s/%s" % (self.hub.other.url, repo, name)
            return self.plain(302, [("Location", to), ("X-Linked-Etag", '"%s"' % etag)])
        if mode == "relative":
            return self.plain(307, [("Location", "/cdn/%s/%s" % (repo, name))])
        if mode == "loop":
            return self.plain(302, [("Location", self.path)])
        if mode == "file":
            return self.plain(302, [("Location", "file:///etc/passwd")])
        if mode == "changed":
            return self.body(repo, name, [("X-Linked-Etag", '"%s"' % etag)])
        return self.body(repo, name)

    def body(self, repo, name, extra=()):
        """The file, as the mode has it."""
        mode = repo.split("-")[0]
        data = self.hub.files[name]
        n = self.hub.count(repo + name)
        if mode == "limit" and n <= 1:
            return self.plain(429, [("Retry-After", "1")])
        if mode == "limitlong":
            return self.plain(429, [("Retry-After", "100000")])
        if mode == "broken" and n <= 2:
            return self.plain(503)
        if mode == "alwaysbroken":
            return self.plain(503)
        if mode == "longer":
            data = data + b"x"
            return self.send(200, data, extra, announce=None)
        if mode == "shorter":
            return self.send(200, data[:-1], extra)
        first = 0
        asked = self.headers.get("Range")
        if asked and mode != "noranges":
            first = int(asked.split("=")[1].split("-")[0])
            if mode == "wrongrange":
                first = max(0, first - 5)
            if first >= len(data):
                return self.plain(416)
            extra = [*extra, ("Content-Range", "bytes %d-%d/%d" % (first, len(data) - 1, len(data)))]
        status = 206 if first or (asked and mode != "noranges") else 200
        cut = {"cut": 60000, "noranges": 100000 if n == 1 else None, "wrongrange": 70000 if n == 1 else None,
               "dead": 0, "stop": 80000 if n == 1 else None}.get(mode)
        if mode == "stall" and n == 1:
            return self.send(status, data[first:], extra, cut=50000, sleep=30)
        if mode == "slow":
            return self.send(status, data[first:], extra, cut=50000 if n == 1 else None, sleep=30)
        return self.send(status, data[first:], extra, cut=cut)

    def send(self, status, data, extra, announce=0, cut=None, sleep=0):
        self.send_response(status)
        for name, value in extra:
            self.send_header(name, value)
        if announce is not None:
            self.send_header("Content-Length", str(len(data)))
        else:
            self.close_connection = True
        self.end_headers()
        self.wfile.write(data if cut is None else data[:cut])
        self.wfile.flush()
        if cut is not None and cut < len(data):
            time.sleep(sleep)
            self.close_connection = True
            self.connection.close()
