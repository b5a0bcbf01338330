#!/usr/bin/env python3
"""Completion in bash, zsh and fish: each in a fresh shell, where it is installed."""

import os
import re
import shutil
import subprocess
import unittest

from cli_harness import BINARY, CliTest, MODEL, TIMEOUT_SECONDS, commands_of, plain, random_text

# Words that the options of these names take, as completion offers them; each must be accepted.
CHOICES = {
    "--index": ("auto", "exact", "int8", "lists", "faiss"),
    "--kv-type": ("f16", "f32", "q8"),
    "--selection": ("per-token", "per-chunk", "per-token-shared-heads"),
}

# Calls _cairn as bash does, for the words of a line of which the last one is being written.
BASH = """
source <("$0" completion bash)
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_cairn
printf '%s\\n' "${COMPREPLY[@]}"
"""

# The same in zsh; what would offer something prints it.
ZSH = """
function compdef() { }
function compset() { }
function _describe() {
  [[ "$1" == -o ]] && shift
  local -a offered; offered=("${(@P)2}")
  print -rl -- "${offered[@]%%:*}"
}
function _files() { print -r -- "files${1:+ directories}" }
source <("$0" completion zsh)
words=("$@")
CURRENT=${#words}
_cairn
true
"""

FISH = """
source ($argv[1] completion fish | psub)
complete -C "$argv[2]"
"""


class Completion(CliTest):
    def setUp(self):
        super().setUp()
        path = f"{os.path.dirname(BINARY)}:{os.environ['PATH']}"
        home = self.directory / "home"
        self.environment = {**os.environ, "PATH": path, "HOME": str(home),
                            "XDG_CONFIG_HOME": str(home)}
        self.here = self.directory / "here"
        for directory in (home, self.here):
            directory.mkdir()

    def shell(self, *command, **options):
        if shutil.which(command[0]) is None:
            self.skipTest(f"{command[0]} is not installed")
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False,
                              cwd=self.here, env={**self.environment, **options},
                              timeout=TIMEOUT_SECONDS, stdin=subprocess.DEVNULL)
        self.assertEqual((done.returncode, done.stderr), (0, ""), command)
        return done.stdout.split("\n")[:-1]

    def of_bash(self, *words, **options):
        return {word for word in self.shell("bash", "--norc", "-c", BASH, BINARY, "cairn", *words,
                                            **options) if word}

    def of_zsh(self, *words, **options):
        return set(self.shell("zsh", "-f", "-c", ZSH, BINARY, "cairn", *words, **options))

    def of_fish(self, *words, **options):
        line = " ".join(("cairn", *map(str, words)))
        lines = self.shell("fish", "--no-config", "-c", FISH, BINARY, line, **options)
        return {line.split("\t")[0] for line in lines}

    def check(self, complete):
        commands = {path[0] for path in commands_of() if len(path) == 1}
        self.assertLessEqual({"ask", "sessions", "doctor", "completion"}, commands)
        self.assertEqual(complete(""), commands)
        self.assertEqual({word for word in complete("sess") if word.startswith("sess")},
                         {"sessions"})
        self.assertLessEqual({"list", "show", "fork", "rename", "delete", "export", "import"},
                             complete("sessions", ""))
        self.assertLessEqual({"--store", "--keep", "--config", "--help"}, complete("ask", "--"))
        self.assertNotIn("--keep", complete("ingest", "--"))
        self.assertLessEqual({"--history", "--json"}, complete("sessions", "show", "--"))
        self.assertNotIn("--keep", complete("sessions", "show", "--"))
        for option, choices in CHOICES.items():
            self.assertEqual(complete("ask", option, ""), set(choices))
        self.assertEqual(complete("completion", ""), {"bash", "zsh", "fish"})

    def check_sessions(self, complete):
        text = self.file("text.txt", random_text(300))
        for name in ("genesis", "exodus"):
            self.ingest(text, name=name)
        both = {"genesis", "exodus"}
        self.assertEqual(complete("ask", "--store", self.store, "--session", ""), both)
        self.assertEqual(complete("sessions", "show", "--store", self.store, ""), both)
        self.assertEqual(complete("ask", "--session", "", CAIRN_STORE=str(self.store)), both)
        self.assertEqual(complete("ask", "--session", ""), set())
        self.assertEqual(complete("ask", "--store", self.directory / "no", "--session", ""), set())

    def check_files(self, complete, mark=None):
        self.file("here/book.txt", "x")
        (self.here / "texts").mkdir()
        files, directories = mark or ({"book.txt", "texts"}, {"texts"})
        offered = lambda *words: {word.rstrip("/") for word in complete(*words)}
        self.assertLessEqual(files, offered("ingest", ""))
        self.assertEqual(offered("ingest", "--store", ""), directories)
        self.assertLessEqual(files, offered("ingest", "--model", ""))
        self.assertEqual(offered("ingest", "--threads", ""), set())

    def test_bash(self):
        self.check(self.of_bash)
        self.assertEqual(self.of_bash("ask", "--index", "=", "l"), {"lists"})
        self.assertEqual(self.of_bash("ask", "--index", "="), set(CHOICES["--index"]))
        self.assertEqual(self.of_bash("ask", "--index", "li"), {"lists"})

    def test_zsh(self):
        self.check(self.of_zsh)
        self.assertEqual(self.of_zsh("ask", "--index=l"), set(CHOICES["--index"]))

    def test_fish(self):
        self.check(self.of_fish)
        self.assertEqual(self.of_fish("ask", "--index", "li"), {"lists"})

    def test_sessions_and_files_in_bash(self):
        self.check_sessions(self.of_bash)
        self.check_files(self.of_bash)
        self.assertEqual(self.of_bash("ask", "--store", "=", self.store, "--session", "g"),
                         {"genesis"})

    def test_sessions_and_files_in_zsh(self):
        self.check_sessions(self.of_zsh)
        self.check_files(self.of_zsh, ({"files"}, {"files directories"}))

    def test_sessions_and_files_in_fish(self):
        self.check_sessions(self.of_fish)
        self.check_files(self.of_fish)

    def test_what_is_offered_is_accepted(self):
        generate = ("generate", "--model", MODEL, "--prompt", "in", "--max-tokens", "1")
        for option, choices in CHOICES.items():
            for choice in choices:
                done = plain(*generate, option, choice)
                self.assertEqual(done.code, 0, f"{option} {choice}: {done.stderr}")
        text = self.file("text.txt", random_text(300))
        for choice in ("dense", "retrieval"):
            self.good("perplexity", "--model", MODEL, "--attention", choice, text)

    def test_another_shell_is_refused(self):
        self.assertEqual(plain("completion", "tcsh").code, 2)
        self.assertEqual(plain("completion").code, 2)


class Help(unittest.TestCase):
    def test_every_command_has_examples_of_its_own_options(self):
        seen = 0
        commands = commands_of()
        for path, text in commands.items():
            with self.subTest(command=path):
                examples = text.split("\nExamples:\n")
                self.assertEqual(len(examples), 2, text)
                lines = re.findall(r"^  ([^#\s].*)$", examples[1], re.MULTILINE)
                self.assertIn(len(lines), (1, 2))
                for line in lines:
                    self.assertIn(" ".join(("cairn", *path)), line)
                    called = re.search(r"cairn ((?:[a-z]+ )*[a-z]+)", line).group(1).split()
                    called = commands.get(tuple(called[:2])) or commands[tuple(called[:1])]
                    for option in re.findall(r"--[a-z-]+", line):
                        self.assertRegex(called, rf"(?m)^  {option} ", line)
                seen += 1
        self.assertGreater(seen, 35)


if __name__ == "__main__":
    unittest.main()
