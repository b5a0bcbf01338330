"""What the command-line tests share: running cairn, tiny models, a store of one's own.

Needs CAIRN_BINARY, CAIRN_TINY_MODELS (a directory written by make_tiny_model), CAIRN_NEWER_STORE,
CAIRN_OLDER_SESSION and CAIRN_DAMAGE_ENTRY (the programs make_newer_store, make_older_session and
damage_entry) and CAIRN_TEST_DATA in the environment.
CAIRN_TEST_SEED replays the random parts of a run.
"""

import fcntl
import functools
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import unittest

# The tests are the settings' own: neither a developer's configuration file nor variables with the
# names of options reach the commands.
REAL_MODEL = os.environ.get("CAIRN_MODEL") or os.environ.get("CAIRN_DEFAULT_MODEL", "")
REAL_ADAPTER = os.environ.get("CAIRN_ADAPTER", "")
OWN_VARIABLES = ("BINARY", "DEVICE_BINARY", "TINY_MODELS", "NEWER_STORE", "OLDER_SESSION",
                 "DAMAGE_ENTRY", "GPU_CHECK", "TEST_DATA", "TEST_SEED", "DEFAULT_MODEL")
for _name in [name for name in os.environ if name.startswith("CAIRN_")]:
    if _name.removeprefix("CAIRN_") not in OWN_VARIABLES:
        del os.environ[_name]
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"

BINARY = os.environ["CAIRN_BINARY"]
MODELS = pathlib.Path(os.environ["CAIRN_TINY_MODELS"])
NEWER_STORE = os.environ["CAIRN_NEWER_STORE"]
OLDER_SESSION = os.environ["CAIRN_OLDER_SESSION"]
DAMAGE_ENTRY = os.environ["CAIRN_DAMAGE_ENTRY"]
DATA = pathlib.Path(os.environ["CAIRN_TEST_DATA"])
SEED = int(os.environ.get("CAIRN_TEST_SEED", "20231117"))

MODEL = str(MODELS / "tiny.gguf")
OTHER_MODEL = str(MODELS / "other.gguf")
LANDMARK = str(MODELS / "landmark.gguf")
LANDMARK2 = str(MODELS / "landmark2.gguf")
IN_LOSS = str(MODELS / "in_loss.gguf")
LORA = str(MODELS / "lora.gguf")
LORA2 = str(MODELS / "lora2.gguf")
# The landmark adapter was trained on 256 rows of 16-row blocks: (4 + 1) * 16 + 64 + 15 fit.
SMALL_STEPS = ("--chunk", "64", "--retrieve", "4")

# Keys of `sessions show` that other sessions change, or a journey to another store.
SHARING = ("own_bytes", "shares_with", "shared_tokens", "forks", "history")

TIMEOUT_SECONDS = 120
MOST_LINES_OF_STDERR = 6
WORDS = ("in the beginning was a long tale of the sea and another one on the anthill near the "
         "river then there came rain in autumn").split()



print(f"CAIRN_TEST_SEED={SEED}", flush=True)


def random_text(characters, stream=0):
    """Words of the toy vocabulary's taste with numbers between; the same for the same arguments."""
    rng = random.Random(f"{SEED}/{stream}")
    words, size = [], 0
    while size < characters:
        word = rng.choice(WORDS) if rng.random() < 0.9 else str(rng.randrange(1000))
        words.append(word + ("\n" if rng.random() < 0.1 else " "))
        size += len(words[-1])
    return "".join(words)


class Finished:
    """An exit code, both streams, and the JSON document on stdout."""

    def __init__(self, code, stdout, stderr):
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    @property
    def json(self):
        return json.loads(self.stdout)


def command(*arguments):
    """Two threads unless told: digests are equal at equal --threads only."""
    threads = () if "--threads" in arguments else ("--threads", "2")
    return [BINARY, *map(str, arguments), *threads]


def run(*arguments, stdin=b""):
    done = subprocess.run(command(*arguments), input=stdin, capture_output=True, check=False,
                          timeout=TIMEOUT_SECONDS)
    return Finished(done.returncode, done.stdout.decode("utf-8", "strict"),
                    done.stderr.decode("utf-8", "replace"))


def plain(*arguments, variables=(), **options):
    """The command as it is, without --threads, with `variables` in its environment."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, check=False,
                          env={**os.environ, **dict(variables)}, timeout=TIMEOUT_SECONDS,
                          stdin=subprocess.DEVNULL, **options)
    return Finished(done.returncode, done.stdout.decode("utf-8", "strict"),
                    done.stderr.decode("utf-8", "replace"))


def on_terminal(words, columns=0, stdout=None, **variables):
    """What a command writes to a terminal that is its stderr, and its stdout if that is not given;
    its width is said if it is not 0."""
    ours, theirs = pty.openpty()
    if columns:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 10, columns, 0, 0))
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout or theirs, stderr=theirs,
                          env={**os.environ, **variables}) as process:
        os.close(theirs)
        shown = b""
        while select.select([ours], [], [], TIMEOUT_SECONDS)[0]:
            try:
                more = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not more:
                break
            shown += more
        process.wait(TIMEOUT_SECONDS)
    os.close(ours)
    return shown.decode()


@functools.lru_cache
def commands_of(*path):
    """Help of the command that these words call and of all below it, by their words."""
    text = plain(*path, "--help").stdout
    found = {path: text}
    below = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.MULTILINE)
    for name in re.findall(r"^  (\S+)", below.group(1), re.MULTILINE) if below else ():
        found.update(commands_of(*path, name))
    return found


class CliTest(unittest.TestCase):
    """Each test has a directory of its own, with a store at self.store once it makes one."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cairn_cli_"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.store = self.directory / "store"

    def file(self, name, content):
        path = self.directory / name
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)
        return path

    def good(self, *arguments, stdin=b""):
        """Runs a command that must succeed."""
        done = run(*arguments, stdin=stdin)
        self.assertEqual(done.code, 0, f"{arguments}: {done.stderr}")
        return done

    def refused(self, *arguments, saying, code=1, stdin=b""):
        """Runs a command that must fail with one clear sentence."""
        done = run(*arguments, stdin=stdin)
        self.assertEqual(done.code, code, f"{arguments}: {done.stdout}{done.stderr}")
        lines = done.stderr.rstrip("\n").split("\n")
        self.assertLessEqual(len(lines), MOST_LINES_OF_STDERR, done.stderr)
        self.assertTrue(lines[-1].startswith("cairn: "), done.stderr)
        self.assertRegex(done.stderr, re.compile(saying, re.IGNORECASE))
        self.assertEqual(done.stdout, "", "a failed command leaves stdout empty")
        return done

    def session(self, name="s"):
        return ("--store", self.store, "--session", name)

    def ingest(self, text, *options, name="s", model=MODEL):
        return self.good("ingest", *self.session(name), "--model", model, "--json", *options, text)

    def damage_entry(self, prefix):
        """Changes a byte of the last catalog entry whose key begins so."""
        subprocess.run([DAMAGE_ENTRY, str(self.store), prefix], check=True,
                       timeout=TIMEOUT_SECONDS)

    def payload_files(self):
        """Segments, largest first."""
        return sorted((self.store / "blocks").glob("*.seg"), key=os.path.getsize, reverse=True)

    def flip(self, path, places):
        content = bytearray(path.read_bytes())
        for place in places:
            content[place] ^= 0x10
        path.write_bytes(content)

    def session_names(self):
        if not self.store.exists():
            return []
        listed = self.good("sessions", "list", "--store", self.store, "--json").json
        return [session["name"] for session in listed["sessions"]]

    def show(self, name="s", store=None):
        """What `sessions show` tells of a session by itself, wherever it is."""
        shown = self.show_all(name, store)
        return {key: value for key, value in shown.items() if key not in SHARING}

    def show_all(self, name="s", store=None):
        """The same, with what it shares with others and how it grew."""
        return self.good("sessions", "show", name, "--store", store or self.store, "--json").json

    def digest(self, name="s", store=None):
        return self.show(name, store)["digest"]
