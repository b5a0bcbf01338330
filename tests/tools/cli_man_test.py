#!/usr/bin/env python3
"""Manual pages: made of what help is made of, and without a warning of man's."""

import os
import re
import shutil
import subprocess
import unittest

from cli_harness import CliTest, TIMEOUT_SECONDS, commands_of, plain


def shown(page):
    """A page as `man` prints it, without backspaces."""
    done = subprocess.run(["man", "--warnings", "-l", str(page)], capture_output=True, text=True,
                          check=True, timeout=TIMEOUT_SECONDS,
                          env={**os.environ, "MANWIDTH": "200", "LC_ALL": "C.UTF-8",
                               "MAN_KEEP_FORMATTING": "", "MANROFFOPT": "-c"})
    return re.sub(".\x08", "", done.stdout), done.stderr


class Pages(CliTest):
    def setUp(self):
        super().setUp()
        self.pages = self.directory / "man1"
        done = plain("man", self.pages)
        self.assertEqual((done.code, done.stdout), (0, ""), done.stderr)

    def test_one_of_each_command_with_all_of_its_options(self):
        names = {f"cairn-{path[0]}.1" for path in commands_of() if path} | {"cairn.1"}
        self.assertEqual({page.name for page in self.pages.iterdir()}, names)
        for path, text in commands_of().items():
            name = "-".join(("cairn", *path[:1]))
            page = (self.pages / f"{name}.1").read_text().replace("\\-", "-")
            for option in re.findall(r"^  (?:-h,)?(--[a-z-]+)", text, re.MULTILINE):
                self.assertIn(rf"\fB{option}\fR", page, path)
            for line in re.findall(r"^  (?!#)(.*cairn .*)$", text.split("\nExamples:\n")[1],
                                   re.MULTILINE):
                self.assertIn(line.replace('"', r"\(dq").replace("~", r"\(ti"), page)

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "needs man and groff")
    def test_man_has_nothing_to_say_against_them(self):
        for page in sorted(self.pages.iterdir()):
            text, warnings = shown(page)
            self.assertEqual(warnings, "", page.name)
            self.assertRegex(text, r"EXIT STATUS\n +0 +Done\.")
        text, _ = shown(self.pages / "cairn-ask.1")
        self.assertRegex(text, r"(?m)^ +cairn ask --store DIR --session NAME \[OPTIONS\] \[QUEST")
        self.assertRegex(text, r'(?m)^ +cairn ask --store texts --session book "Who built the ark')
        text, _ = shown(self.pages / "cairn.1")
        for said in ("CAIRN_STORE, CAIRN_HOST_MEMORY", "$XDG_CONFIG_HOME/cairn/config",
                     "cairn-sessions(1)", "130"):
            self.assertIn(said, text)

    @unittest.skipUnless(shutil.which("mandoc"), "needs mandoc")
    def test_mandoc_has_nothing_to_say_against_them(self):
        done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *sorted(self.pages.iterdir())],
                              capture_output=True, text=True, check=False,
                              timeout=TIMEOUT_SECONDS)
        said = [line for line in done.stdout.splitlines() if "missing date" not in line]
        self.assertEqual(said, [])

    def test_a_place_that_cannot_be_written(self):
        done = plain("man", self.directory / "no" / "where")
        self.assertEqual(done.code, 1)
        self.assertRegex(done.stderr, "^cairn: cannot create directory .*where")


if __name__ == "__main__":
    unittest.main()
