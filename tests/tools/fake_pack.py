"""A directory as pack.sh makes it, of programs that are scripts: what tests of run.sh run, without
a build and without a GPU."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(os.environ["CAIRN_GPU_CHECK"])

# Says what run.sh asks of `cairn doctor`; $FAKE_CAIRN is Python that does the rest, given words.
CAIRN = """#!/usr/bin/env python3
import json, os, signal, sys, time
words = sys.argv[1:]
def value(name, otherwise=None):
    return words[words.index(name) + 1] if name in words else otherwise
if words == ["doctor"]:
    print("GPU  cuda:0, a pretence; of nothing")
    sys.exit(0)
with open(os.environ["FAKE_LOG"], "a") as log:
    print(json.dumps(words), file=log)
exec(os.environ.get("FAKE_CAIRN", ""))
"""
# A program of googletest with tests of which a file beside it says what becomes of them: "ok",
# "fails", "aborts", "hangs", or "poisons" the process, in which all later ones fail with it.
GTEST = """#!/usr/bin/env python3
import fnmatch, json, os, sys, time
tests = json.load(open(sys.argv[0] + ".json"))
words = dict(word.partition("=")[::2] for word in sys.argv[1:])
chosen = [test for test in tests if any(fnmatch.fnmatchcase(test, pattern) for pattern in
                                        words.get("--gtest_filter", "*").split(":"))]
if "--gtest_list_tests" in words:
    for suite in dict.fromkeys(test.rpartition(".")[0] for test in chosen):
        print(suite + ".  # TypeParam = int")
        for test in chosen:
            if test.rpartition(".")[0] == suite:
                print("  " + test.rpartition(".")[2] + "  # GetParam() = a.b, c")
    sys.exit(0)
with open(os.environ["FAKE_LOG"], "a") as log:
    print(json.dumps([os.path.basename(sys.argv[0]), len(chosen)]), file=log)
poisoned, failed = False, []
for test in chosen:
    print("[ RUN      ] " + test, flush=True)
    becomes = tests[test]
    if becomes == "aborts":
        os.abort()
    if becomes == "hangs":
        time.sleep(100)
    poisoned |= becomes == "poisons"
    if poisoned or becomes == "fails":
        failed.append(test)
        print("[  FAILED  ] " + test + ", where GetParam() = a.b | c (1 ms)")
    else:
        print("[       OK ] " + test + " (1 ms)")
print(f"[==========] {len(chosen)} tests ran.")
print(f"[  PASSED  ] {len(chosen) - len(failed)} tests.")
if failed:
    print(f"[  FAILED  ] {len(failed)} tests, listed below:")
for test in failed:
    print("[  FAILED  ] " + test + ", where GetParam() = a.b | c")
sys.exit(1 if failed else 0)
"""
LOADER = '#!/bin/bash\nshift 2\nexec "$@"\n'


class FakePack(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)
        self.pack, self.results = self.directory / "pack", self.directory / "results"
        for name in ("bin", "lib"):
            (self.pack / name).mkdir(parents=True)
        for script in [*SCRIPTS.iterdir(), SCRIPTS.parent.parent / "bench/sdpa_device.py"]:
            if script.name != "pack.sh":
                (self.pack / script.name).symlink_to(script)
        (self.pack / "version.txt").write_text("cairn 0\nfake\n")
        self.put("lib/ld-linux-fake.so.2", LOADER)
        self.put("bin/cairn", CAIRN)
        self.log = self.directory / "log"
        self.log.touch()

    def put(self, name, text):
        """A script of the pack."""
        (self.pack / name).write_text(text)
        (self.pack / name).chmod(0o755)

    def put_tests(self, name, **becomes):
        """A program of tests: of each, by suite, a test a word of what becomes of it."""
        self.put(f"bin/{name}", GTEST)
        (self.pack / f"bin/{name}.json").write_text(json.dumps(
            {f"Of/{suite}.Test/{number}": word for suite, words in becomes.items()
             for number, word in enumerate(words.split())}))

    def run_it(self, *options, code=0, **variables):
        """Runs run.sh; its summary, and the rows of it by "STEP | WHAT": (status, note)."""
        done = subprocess.run(
            [self.pack / "run.sh", self.results, *options], capture_output=True, check=False,
            text=True, timeout=100,
            env={**os.environ, "FAKE_LOG": str(self.log), "CAIRN_CONFIG": "/dev/null", **variables})
        summary = (self.results / "summary.md").read_text()
        self.assertEqual(done.returncode, code, done.stderr + summary)
        rows = re.findall(r"^\| (\w+ \| [^|]+) \| (\w+) \| (.*) \|$", summary, re.MULTILINE)
        return summary, {name: (status, note) for name, status, note in rows}
