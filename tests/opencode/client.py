"""OpenCode without a terminal: `opencode serve` and its HTTP API, in a home folder of its own."""

import fcntl
import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

from serve import free_port

QUIET = {"OPENCODE_DISABLE_" + name: "1" for name in (
    "AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE", "EMBEDDED_WEB_UI", "CLAUDE_CODE",
    "EXTERNAL_SKILLS")}


def loopback_only():
    """Starts this program again in a network of its own that has nothing but the loopback device. Without the rights
    for that it goes on as it is, and says so."""
    if os.environ.get("JOULE_LOOPBACK_ONLY") == "1":
        with socket.socket() as s:
            fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
        return
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0:
        os.environ["JOULE_LOOPBACK_ONLY"] = "1"
        os.execvp("unshare", ["unshare", "-rn", sys.executable, *sys.argv])
    print("the network is not cut off: no right to make a namespace")


def find():
    """The program, or None. The npm package's own start script needs node; the program beside it does not."""
    return os.environ.get("OPENCODE_BIN") or shutil.which("opencode")


def configuration(joule, serve_port, recorder_port):
    """What `joule launch opencode --print` prints, with the recorder in the place of the server, everything
    allowed (nobody is there to ask) and a second model that thinks."""
    printed = subprocess.run([joule, "launch", "opencode", "--print", "--port", str(serve_port)],
                             check=True, capture_output=True, text=True)
    config = json.loads(printed.stdout)
    provider = config["provider"]["joule"]
    provider["options"]["baseURL"] = "http://127.0.0.1:%d/v1" % recorder_port
    name = next(iter(provider["models"]))
    think = json.loads(json.dumps(provider["models"][name]))
    think["options"] = {"chat_template_kwargs": {"enable_thinking": True}}
    provider["models"]["thinking"] = think
    config.update(autoupdate=False, share="disabled", enabled_providers=["joule"])
    config.setdefault("permission", {"*": "allow"})
    return config, name


class Client:
    def __init__(self, program, folder, config):
        self.project = os.path.join(folder, "project")
        home = os.path.join(folder, "home")
        os.makedirs(home)
        self.clean({})
        subprocess.run(["git", "init", "-q", "."], cwd=self.project, check=True)
        self.port = free_port()
        self.log = open(os.path.join(folder, "opencode.log"), "w")
        env = {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": folder, "LANG": "C.UTF-8",
               "OPENCODE_CONFIG_CONTENT": json.dumps(config), **QUIET}
        self.process = subprocess.Popen(
            [program, "serve", "--hostname", "127.0.0.1", "--port", str(self.port)], cwd=self.project, env=env,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        self.wait()

    def clean(self, files):
        """The project folder as a task finds it. Its path is the same for all tasks, and so is the prompt."""
        if os.path.isdir(self.project):
            for name in os.listdir(self.project):
                path = os.path.join(self.project, name)
                if os.path.isdir(path) and name != ".git":
                    shutil.rmtree(path)
                elif name != ".git":
                    os.remove(path)
        for name, text in files.items():
            path = os.path.join(self.project, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
        os.makedirs(self.project, exist_ok=True)

    def wait(self):
        """Until it says that it listens: a request that comes a moment earlier is never answered."""
        end = time.time() + 600
        while True:
            with open(self.log.name) as f:
                if "listening on" in f.read():
                    return
            if self.process.poll() is not None or time.time() > end:
                raise RuntimeError("opencode did not start: see " + self.log.name)
            time.sleep(0.2)

    def call(self, method, path, body=None, timeout=3600):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        conn.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        data = conn.getresponse().read()
        conn.close()
        return json.loads(data) if data.strip() else None

    def session(self, parent=None):
        return self.call("POST", "/session", {"parentID": parent} if parent else {})["id"]

    def ask(self, session, prompt, agent, model, wait=True):
        body = {"parts": [{"type": "text", "text": prompt}], "agent": agent,
                "model": {"providerID": "joule", "modelID": model}}
        return self.call("POST", "/session/%s/%s" % (session, "message" if wait else "prompt_async"), body)

    def abort(self, session):
        self.call("POST", "/session/%s/abort" % session)

    def messages(self, session):
        return self.call("GET", "/session/%s/message" % session)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def answer(message):
    """The text of an answer as the client shows it."""
    return "".join(p.get("text", "") for p in (message or {}).get("parts", []) if p["type"] == "text")


def troubles(messages):
    """What the client itself reports: errors of a turn, calls it could not take. A tool that ran and failed is
    the model's affair."""
    out = []
    for m in messages:
        error = m["info"].get("error")
        if error and error.get("name") != "MessageAbortedError":
            out.append("the client reports: %.300s" % json.dumps(error))
        for p in m["parts"]:
            if p["type"] == "tool" and p["tool"] == "invalid":
                out.append("the client takes this call for invalid: %.300s" % json.dumps(p["state"].get("input")))
    return out
