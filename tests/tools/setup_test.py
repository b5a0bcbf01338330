#!/usr/bin/env python3
"""What tools/setup.sh leaves of the environment to the commands that a script starts.

Needs CAIRN_SOURCE in the environment.
"""

import os
import pathlib
import subprocess
import unittest

SETUP = pathlib.Path(os.environ["CAIRN_SOURCE"]) / "tools/setup.sh"


def environment(script=":", **variables):
    """Of a command that a script starts, and the script's output before."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")}
    done = subprocess.run(["bash", "-c", f'source "$1"; {script}; echo --; env -0', "-", SETUP],
                          env={**kept, **variables}, capture_output=True, text=True, check=True,
                          timeout=30)
    output, _, entries = done.stdout.partition("--\n")
    return output, dict(entry.split("=", 1) for entry in entries.split("\0") if "=" in entry)


class Setup(unittest.TestCase):
    def test_settings_of_the_caller_stay_out(self):
        _, found = environment(CAIRN_STORE="/elsewhere", CAIRN_CHUNK="2", CAIRN_MODEL="m.gguf",
                               CAIRN_CONFIG="/elsewhere", CAIRN_ASK_MAX_TOKENS="1")
        ours = {name: value for name, value in found.items() if name.startswith("CAIRN_")}
        self.assertEqual(ours, {"CAIRN_CONFIG": "/dev/null"})

    def test_the_scripts_see_their_own(self):
        output, _ = environment('echo "$CAIRN_DEMO_SEED $CAIRN_MODEL"', CAIRN_DEMO_SEED="7",
                                CAIRN_MODEL="m.gguf")
        self.assertEqual(output, "7 m.gguf\n")

    def test_the_tests_see_theirs(self):
        _, found = environment(CAIRN_TEST_SEED="5")
        self.assertEqual(found.get("CAIRN_TEST_SEED"), "5")


if __name__ == "__main__":
    unittest.main()
