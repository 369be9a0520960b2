#!/usr/bin/env python3
"""joule pull, list, rm and -m hf:... against a Hub that misbehaves. Prints TAP.

Usage: JOULE=build/joule DATA=models test_pull.py
"""
import hashlib
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from server import COMMIT, Hub, git_sha1  # noqa: E402

JOULE = os.environ["JOULE"]
MODEL = os.path.join(os.environ["DATA"], "joule-tiny.gguf")
BIG = random.Random(1).randbytes(300000)
FILES = {"tiny-Q8_0.gguf": BIG}
TOKEN = "hf_secretsecretsecret"


class Case:
    """One repository, one cache, one Hub."""

    def __init__(self, repo, files=None):
        self.repo = "acme/" + repo
        self.folder = tempfile.mkdtemp(prefix="joule-pull.")
        self.cache = os.path.join(self.folder, "hub")
        self.hub = Hub(files or FILES)
        self.home = os.path.join(self.cache, "models--acme--" + repo)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("HF_", "JOULE_")) and not k.lower().endswith("_proxy")}
        self.env.update(HF_ENDPOINT=self.hub.url, HF_HUB_CACHE=self.cache, LC_ALL="C")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.hub.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *args, env=None, limit=60):
        p = subprocess.run([JOULE, *args], env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=limit)
        self.out, self.err = p.stdout, p.stderr
        assert TOKEN not in self.out + self.err, "the token is printed"
        return p.returncode

    def pull(self, what="", **kwargs):
        return self.run("pull", "hf:" + self.repo + what, **kwargs)

    def blob(self, data):
        return os.path.join(self.home, "blobs", hashlib.sha256(data).hexdigest())

    def blobs(self):
        try:
            return sorted(os.listdir(os.path.join(self.home, "blobs")))
        except FileNotFoundError:
            return []

    def snapshot(self, name):
        return os.path.join(self.home, "snapshots", COMMIT, name)

    def got(self, name="tiny-Q8_0.gguf", data=BIG):
        """The file is in the cache, as other programs expect it."""
        path = self.snapshot(name)
        assert open(path, "rb").read() == data
        link = os.readlink(path)
        assert link == "../" * (2 + name.count("/")) + "blobs/" + os.path.basename(os.path.realpath(path)), link
        assert open(os.path.join(self.home, "refs", "main")).read() == COMMIT
        assert not [b for b in self.blobs() if b.endswith(".incomplete")], self.blobs()

    def ok(self, **kwargs):
        rc = self.pull(**kwargs)
        assert rc == 0, (rc, self.err)
        self.got()

    def fails(self, *words, rc=1, **kwargs):
        got = self.pull(**kwargs)
        assert got == rc and self.out == "", (got, self.out, self.err)
        for word in words:
            assert word in self.err, (word, self.err)
        assert not os.path.exists(self.snapshot("tiny-Q8_0.gguf"))
        assert len(self.err.strip().splitlines()[-1]) < 420


def test_plain():
    with Case("good") as c:
        c.ok()
        assert c.out.strip() == c.snapshot("tiny-Q8_0.gguf")
        n = len(c.hub.log)
        c.ok()  # asks for the list, downloads nothing
        assert len(c.hub.log) == n + 1


def test_folders_of_the_environment():
    for env, where in (({"HF_HUB_CACHE": "", "HF_HOME": "/H"}, "H/hub"),
                       ({"HF_HUB_CACHE": "", "XDG_CACHE_HOME": "/X"}, "X/huggingface/hub"),
                       ({"HF_HUB_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/U"}, "U/.cache/huggingface/hub")):
        with Case("good") as c:
            env = {k: v.replace("/", c.folder + "/") for k, v in env.items()}
            assert c.pull(env=env) == 0, c.err
            assert os.path.exists(os.path.join(c.folder, where, "models--acme--good", "refs", "main"))


def test_cut_connections():
    with Case("cut") as c:
        c.ok()
        ranges = [r for path, r, _ in c.hub.log if "resolve" in path]
        assert ranges == [None] + ["bytes=%d-" % n for n in range(60000, 300000, 60000)], ranges


def test_dead_server_gives_up():
    with Case("dead") as c:
        c.fails("given up after 5 tries")


def test_server_without_ranges():
    with Case("noranges") as c:
        c.ok()
        assert "starts over" in c.err


def test_wrong_range():
    with Case("wrongrange") as c:
        c.ok()
        assert "another part" in c.err


def test_stalled_server():
    with Case("stall") as c:
        c.ok(env={"HF_HUB_DOWNLOAD_TIMEOUT": "2"})
        assert "trying again" in c.err


def test_hash_of_server_is_wrong():
    with Case("wronghash") as c:
        c.fails("hash", "removed")
        assert c.blobs() == [], c.blobs()


def test_server_changes_its_mind():
    with Case("changed") as c:
        c.fails("than it listed")


def test_damaged_left_over():
    with Case("good") as c:
        os.makedirs(os.path.dirname(c.blob(BIG)))
        with open(c.blob(BIG) + ".incomplete", "wb") as f:
            f.write(b"\0" * 1000)
        c.ok()
        assert "damaged" in c.err
    with Case("good") as c:  # longer than the file
        os.makedirs(os.path.dirname(c.blob(BIG)))
        with open(c.blob(BIG) + ".incomplete", "wb") as f:
            f.write(BIG + b"more")
        c.ok()


def test_left_over_of_another_program():
    with Case("good") as c:
        os.makedirs(os.path.dirname(c.blob(BIG)))
        with open(c.blob(BIG) + ".incomplete", "wb") as f:
            f.write(BIG[:123456])
        c.ok()
        assert [r for path, r, _ in c.hub.log if "resolve" in path] == ["bytes=123456-"]


def test_redirect_drops_the_token():
    with Case("elsewhere") as c:
        c.hub.other = Hub(FILES)
        c.ok(env={"HF_TOKEN": TOKEN})
        assert all(a == "Bearer " + TOKEN for _, _, a in c.hub.log)
        assert c.hub.other.log and all(a is None for _, _, a in c.hub.other.log), c.hub.other.log
        c.hub.other.close()


def test_relative_redirect_keeps_it():
    with Case("relative") as c:
        c.ok(env={"HF_TOKEN": TOKEN})
        assert all(a == "Bearer " + TOKEN for _, _, a in c.hub.log)


def test_bad_redirects():
    with Case("loop") as c:
        c.fails("redirects more than")
    with Case("file") as c:
        c.fails("file")


def test_refusals():
    with Case("gated") as c:
        c.fails("gated", "licence", "HF_TOKEN", "/acme/gated")
        c.fails("gated", "no access yet", env={"HF_TOKEN": TOKEN})
        c.ok(env={"HF_TOKEN": "good"})
    with Case("forbidden") as c:
        c.fails("gated", env={"HF_TOKEN": TOKEN})
    with Case("private") as c:
        c.fails("does not exist or is private")
    with Case("absent") as c:
        c.fails("404")
    with Case("nonsense") as c:
        c.fails("no list of files")
    with Case("good") as c:
        c.fails("HF_TOKEN", env={"HF_TOKEN": "two words"})
        c.fails("HF_ENDPOINT", env={"HF_ENDPOINT": "gopher://x"})
        c.fails("127.0.0.1:1", env={"HF_ENDPOINT": "http://127.0.0.1:1"})


def test_limits_of_the_server():
    with Case("limit") as c:
        start = time.monotonic()
        c.ok()
        assert time.monotonic() - start >= 1 and "429" in c.err
    with Case("limitlong") as c:
        c.fails("429", "100000 s")
    with Case("broken") as c:
        c.ok()
        assert c.err.count("503") == 2
    with Case("alwaysbroken") as c:
        c.fails("503", "given up")


def test_wrong_lengths():
    with Case("longer") as c:
        c.fails("more than the 300000 bytes")
    with Case("shorter") as c:
        c.fails("sends 299999 bytes, but lists 300000")


def test_free_space():
    with Case("huge") as c:
        c.fails("too little", "HF_HUB_CACHE")
        assert not [p for p, _, _ in c.hub.log if "resolve" in p]


def test_full_disk():
    """A limit on the size of files stands for the full disk: the write fails the same way."""
    with Case("good") as c:
        p = subprocess.run(["sh", "-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" pull hf:acme/good", JOULE], env=c.env,
                           capture_output=True, text=True, timeout=60)
        assert p.returncode == 1 and "cannot write" in p.stderr, p.stderr
        assert not os.path.exists(c.snapshot("tiny-Q8_0.gguf"))
        c.ok()  # goes on
        assert [r for path, r, _ in c.hub.log if "resolve" in path][-1] is not None


def test_interrupt_and_resume():
    with Case("slow") as c:
        p = subprocess.Popen([JOULE, "pull", "hf:acme/slow"], env={**c.env, "HF_HUB_DOWNLOAD_TIMEOUT": "60"},
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        part = c.blob(BIG) + ".incomplete"
        for _ in range(400):
            if os.path.exists(part) and os.path.getsize(part) == 50000:
                break
            time.sleep(0.05)
        assert c.run("pull", "hf:acme/slow") == 1 and "another process" in c.err, c.err
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=20)
        assert p.returncode == 130 and "kept" in err, (p.returncode, err)
        assert os.path.getsize(part) == 50000
        assert c.run("list") == 0 and "stopped download" in c.out
        c.ok()
        assert [r for path, r, _ in c.hub.log if "resolve" in path][-1] == "bytes=50000-"


def test_names_that_leave_the_folder():
    for name in ("../../x.gguf", "/etc/x.gguf", "a//x.gguf", "a/./x.gguf", "a\nx.gguf"):
        with Case("evil") as c:
            c.hub.state["evil"] = name
            c.fails("is called")


def test_bad_specs():
    with Case("good") as c:
        for spec in ("hf:", "hf:acme", "hf:acme/", "hf:/x", "hf:acme/x/y", "hf:acme/x:", "hf:acme/..", "hf:a b/c",
                     "hf:acme/x@:Q4", "hf:acme/x@../..", "nothing"):
            assert c.run("pull", spec) == 1 and "names no model" in c.err, (spec, c.err)
        assert c.run("pull") == 2
        assert c.hub.log == []


PARTS = {"m/big-UD-IQ4_XS-0000%d-of-00003.gguf" % i: random.Random(i).randbytes(5000 + i) for i in (1, 2, 3)}
MANY = {**PARTS, "x-Q4_K_M.gguf": b"1" * 50, "x-UD-Q4_K_M.gguf": b"2" * 60, "x-Q8_0.gguf": b"3" * 70,
        "mmproj-Q8_0.gguf": b"4", "imatrix.gguf": b"5", "README.md": b"hello"}


def test_choice():
    with Case("many", MANY) as c:
        assert c.pull(":UD-IQ4_XS") == 0, c.err
        for name, data in PARTS.items():
            c.got(name, data)
        assert c.out.strip() == c.snapshot("m/big-UD-IQ4_XS-00001-of-00003.gguf")
        assert len(c.blobs()) == 3
        assert c.pull(":q4_k_m") == 0 and c.out.strip().endswith("/x-Q4_K_M.gguf")
        assert c.pull() == 0 and c.out.strip().endswith("/x-Q4_K_M.gguf")
        assert c.pull(":ud-q4_k_m") == 0 and c.out.strip().endswith("/x-UD-Q4_K_M.gguf")
        assert c.pull(":x-Q8_0.gguf") == 0 and c.out.strip().endswith("/x-Q8_0.gguf")
        assert c.pull(":Q9_9") == 1 and "UD-IQ4_XS" in c.err and "Q8_0" in c.err, c.err
        assert c.pull("@" + COMMIT + ":Q8_0") == 0

        assert c.run("list", "--json") == 0
        entries = {e["spec"]: e for e in json.loads(c.out)}
        assert sorted(entries) == ["hf:acme/many:" + q for q in ("Q4_K_M", "Q8_0", "UD-IQ4_XS", "UD-Q4_K_M")]
        assert entries["hf:acme/many:UD-IQ4_XS"]["bytes"] == 15006
        assert entries["hf:acme/many:UD-IQ4_XS"]["n_files"] == 3

        assert c.run("rm", "hf:acme/many:UD-IQ4_XS") == 2 and "--yes" in c.err
        assert c.run("rm", "--yes", "hf:acme/many:UD-IQ4_XS") == 0, c.err
        assert len(c.blobs()) == 3 and not os.path.exists(c.snapshot("m"))
        assert c.run("rm", "--yes", "hf:acme/many:UD-IQ4_XS") == 1 and "has no" in c.err
        assert c.run("rm", "--yes", "hf:acme/many") == 0
        assert not os.path.exists(c.home)
        assert c.run("list") == 0 and c.out == ""


def test_missing_part():
    files = dict(PARTS)
    del files["m/big-UD-IQ4_XS-00002-of-00003.gguf"]
    with Case("many", files) as c:
        assert c.pull(":UD-IQ4_XS") == 1 and "2 of its 3 parts" in c.err, c.err


def test_checkpoint():
    files = {"config.json": b"{}", "model.safetensors": b"7" * 99, "tokenizer.json": b"{ }", "pytorch_model.bin": b"no",
             "README.md": b"no", "onnx/config.json": b"no"}
    with Case("cp", files) as c:
        assert c.pull() == 0, c.err
        assert sorted(os.listdir(c.snapshot(""))) == ["config.json", "model.safetensors", "tokenizer.json"]
        assert os.path.basename(os.path.realpath(c.snapshot("config.json"))) == git_sha1(b"{}")
        assert c.run("list") == 0 and "(checkpoint)" in c.out
        assert c.pull(":Q4_K_M") == 1 and "no GGUF files" in c.err


def test_use():
    with Case("good", {"tiny-Q8_0.gguf": open(MODEL, "rb").read()}) as c:
        spec = "hf:acme/good:Q8_0"
        assert c.run("tokenize", "-m", spec, "-p", "Hello") == 1 and "joule pull " + spec in c.err, c.err
        assert c.hub.log == []  # without being asked
        for answer, rc in (("n\n", 1), ("y\n", 0)):
            master, slave = pty.openpty()
            p = subprocess.Popen([JOULE, "tokenize", "-q", "-m", spec, "-p", "Hello"], env=c.env, stdin=slave,
                                 stdout=subprocess.PIPE, stderr=slave)
            os.write(master, answer.encode())
            out, _ = p.communicate(timeout=60)
            os.close(slave)
            said = os.read(master, 10000)
            os.close(master)
            assert p.returncode == rc, (answer, p.returncode, out, said)
        assert out.startswith(b"["), out
        n = len(c.hub.log)
        assert c.run("tokenize", "-m", spec, "-p", "Hello") == 0 and c.out.encode() == out
        assert c.run("tokenize", "-m", "hf:acme/good", "-p", "Hello") == 0
        assert len(c.hub.log) == n


def main():
    tests = [(name, fn) for name, fn in globals().items() if name.startswith("test_")]
    only = sys.argv[1:]
    bad = 0
    tests = [t for t in tests if not only or t[0] in only]
    for i, (name, fn) in enumerate(tests, 1):
        try:
            fn()
            print("ok %d - %s" % (i, name), flush=True)
        except Exception:  # every kind of failure is a failed test
            bad += 1
            text = traceback.format_exc()
            print("not ok %d - %s" % (i, name), flush=True)
            print("".join("# %s\n" % line for line in text.splitlines()), file=sys.stderr, flush=True)
    print("1..%d" % len(tests))
    return 1 if bad else 0


sys.exit(main())
