#!/usr/bin/env python3
"""bench/llamacpp.py writes with each side the command that measured it. Nothing is measured."""

import json
import os
import pathlib
import sys
import tempfile
import types
import unittest
from unittest import mock

BENCH = pathlib.Path(os.environ["CAIRN_SOURCE"]) / "bench"


def load():
    """The script, without the libraries that measuring needs."""
    sys.path.insert(0, str(BENCH))
    for name in ("numpy", "llama_cpp"):
        sys.modules[name] = types.SimpleNamespace(__version__="0")
    import llamacpp
    return llamacpp


class Commands(unittest.TestCase):
    def setUp(self):
        self.script = load()
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.enterContext(mock.patch.object(
            self.script, "measure_ours", lambda args, context: {"prefill": 1.0, "decode": 1.0}))
        self.enterContext(mock.patch.object(
            self.script, "measure_theirs",
            lambda args, context, flash: {"prefill": [1.0 + flash], "decode": [1.0]}))
        self.enterContext(mock.patch("builtins.print"))

    def measured(self, *options):
        self.script.main(["--cairn", "/elsewhere/cairn", "--model=/elsewhere/m.gguf", "--text",
                          "/elsewhere/t.txt", "--out", self.directory, *options])
        (path,) = pathlib.Path(self.directory).glob("llamacpp-*.json")
        return json.loads(path.read_text())

    def test_each_side_has_its_own(self):
        said = "bench/llamacpp.py --cairn CAIRN --model=MODEL --text TEXT --out OUT "
        first = "--flash 1 --contexts 2048 -- --host-memory '1 GiB'"
        self.measured("--flash", "1", "--contexts", "2048", "--", "--host-memory", "1 GiB")
        second = "--rows 32 --repeats 3 --contexts 2048 4096"
        result = self.measured(*second.split())
        self.assertNotIn("command", result)
        short, long = result["rows"]
        # What was measured before is kept, and so is how.
        self.assertEqual(short["ours"]["command"], said + first)
        self.assertEqual([side["command"] for side in short["theirs"]],
                         [said + first, said + second])
        self.assertEqual([side["command"] for side in (long["ours"], *long["theirs"])],
                         3 * [said + second])
        self.assertNotIn("/elsewhere", json.dumps(result))

    def test_a_command_of_an_older_file_is_not_kept(self):
        self.measured("--contexts", "2048")
        (path,) = pathlib.Path(self.directory).glob("llamacpp-*.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "command": "another"}))
        self.assertNotIn("command", self.measured("--contexts", "4096"))


if __name__ == "__main__":
    unittest.main()
