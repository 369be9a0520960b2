"""`joule serve` on a free port, for tests that talk to it with other people's clients."""

import json
import os
import socket
import subprocess
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
JOULE = os.path.abspath(os.environ.get("JOULE", os.path.join(ROOT, "build", "joule")))
MODEL = os.path.join(ROOT, "models", "joule-tiny.gguf")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, seconds=600):
    end = time.time() + seconds
    while not condition():
        if time.time() > end:
            raise RuntimeError("waited %d s in vain for %s" % (seconds, what))
        time.sleep(0.02)


class Serve:
    def __init__(self, *args, joule=JOULE, log=os.devnull):
        self.port = free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.log = open(log, "w")
        self.process = subprocess.Popen([joule, "serve", "--port", str(self.port), *args], stdout=self.log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        wait_until(self.alive, "joule serve")

    def alive(self):
        if self.process.poll() is not None:
            raise RuntimeError("joule serve ended at once: see " + self.log.name)
        try:
            return urllib.request.urlopen(self.url + "/health").status == 200
        except OSError:
            return False

    def running(self):
        """Answers in progress."""
        return sum(1 for slot in json.load(urllib.request.urlopen(self.url + "/slots")) if slot["is_processing"])

    def stop(self):
        """The exit code; 0 is right."""
        self.process.terminate()
        code = self.process.wait(120)
        self.log.close()
        return code
