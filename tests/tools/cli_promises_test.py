#!/usr/bin/env python3
"""What docs/cli.md promises to scripts: exit codes, keys of documents, and no colours."""

import json
import pathlib
import re
import signal
import subprocess
import time
import unittest

from cli_harness import (BINARY, CliTest, DATA, LANDMARK, MODEL, SMALL_STEPS, TIMEOUT_SECONDS,
                         command, commands_of, on_terminal, plain, random_text)

MANUAL = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
TIERS = {"tiers", "stored_bytes", "seconds_waited", "cold_only_share", "device_steps",
         "host_steps"}


def section(name):
    return re.search(rf"(?ms)^## {re.escape(name)}\n(.*?)(?=^## |\Z)", MANUAL).group(1)


class ExitCodes(CliTest):
    def test_the_manual_has_those_that_there_are(self):
        table = re.search(r"\| exit code .*?\n\n", MANUAL, re.S).group(0)
        self.assertEqual(re.findall(r"^\| (\d+) \|", table, re.M), ["0", "1", "2", "130"])

    def test_0_and_1(self):
        self.ingest(self.file("text.txt", random_text(300)))
        self.assertEqual(plain("sessions", "list", "--store", self.store).code, 0)
        self.assertEqual(plain("sessions", "show", "t", "--store", self.store).code, 1)
        self.assertEqual(plain("conform", DATA / "golden.json").code, 0)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BINARY, "sessions", "list", "--store", str(self.store)],
                                  stdout=full, check=False, timeout=TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, 1)
        for value in (("--threads", "0"), ("--host-memory", "10GB"), ("--index", "foo")):
            self.assertEqual(plain("ask", *self.session(), *value, "Who?").code, 1, value)

    def test_every_command_that_has_threads_looks_at_their_number(self):
        refused = 0
        for path, text in commands_of().items():
            if "Subcommands:" in text or "--threads" not in text:
                continue
            usage = re.search(r"(?m)^Usage: .* \[OPTIONS\](.*)$", text).group(1)
            given = ["x" for word in usage.split() if not word.startswith("[")]
            for option in re.findall(r"(?m)^  (--[a-z-]+) .*REQUIRED", text):
                given += [option, "x"]
            for number in ("0", "1025"):
                with self.subTest(command=path, number=number):
                    self.refused(*path, *given, "--threads", number,
                                 saying=f"--threads {number}: use 1 to 1024")
                    refused += 1
        self.assertGreater(refused, 40)

    def test_2(self):
        for words in ((), ("aks",), ("ask", "--store"), ("ask", "--no-such"), ("sessions", "lst"),
                      ("--config", "/nonexistent/file", "sessions", "list", "--store", "x")):
            self.assertEqual(plain(*words).code, 2, words)
        self.assertEqual(plain("sessions", "list", "--store", "x",
                               variables={"CAIRN_THREADS": "many"}).code, 2)

    def test_130(self):
        text = self.file("text.txt", random_text(400000))
        for how in (signal.SIGINT, signal.SIGTERM):
            name = f"s{int(how)}"
            process = subprocess.Popen(
                command("ingest", *self.session(name), "--model", MODEL, "--quiet", text),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            end = time.monotonic() + TIMEOUT_SECONDS
            shown = ("sessions", "show", name, "--store", self.store)
            while process.poll() is None and plain(*shown).code != 0:  # at first, no store
                self.assertLess(time.monotonic(), end)
                time.sleep(0.02)
            process.send_signal(how)
            _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
            self.assertEqual(process.returncode, 130, stderr)
            self.assertRegex(stderr.decode(), "^cairn: ")


class Json(CliTest):
    def test_every_command_has_it_but_those_that_the_manual_names(self):
        without = {path for path, text in commands_of().items()
                   if "Subcommands:" not in text and "--json" not in text}
        self.assertEqual(without, {("chat",), ("man",), ("completion", "bash"),
                                   ("completion", "zsh"), ("completion", "fish")})
        row = re.search(r"^\| `--json` .*$", MANUAL, re.M).group(0)
        for name in ("chat", "completion", "man", "sessions list --names"):
            self.assertIn(f"`{name}`", row)

    def test_it_is_refused_where_it_is_not(self):
        self.ingest(self.file("text.txt", random_text(300)))
        self.refused("chat", *self.session(), "--json", code=2, saying="--json")
        names = ("sessions", "list", "--store", self.store, "--names")
        self.refused(*names, "--json", saying="--names prints no JSON")
        self.assertEqual(self.good(*names).stdout, "s\n")


class Documents(CliTest):
    """The keys at the top of each document are all named in the section of its command."""

    def holds(self, name, document, keys):
        self.assertEqual(set(document), set(keys), name)
        text = section(name)
        if "[tiers](#tiers)" in text:
            text += section("Tiers")
        for key in keys:
            self.assertIn(f"`{key}`", text, f"{name} does not have it")

    def json(self, *words):
        return self.good(*words, "--json").json

    def test_of_sessions_and_answers(self):
        store = ("--store", self.store)
        text = self.file("text.txt", random_text(3000))
        self.holds("ingest", self.ingest(text, "--adapter", LANDMARK, *SMALL_STEPS).json,
                   TIERS | {"session", "tokens", "tokens_read", "seconds", "tokens_per_second",
                            "index_bytes"})
        few = ("--retrieve", "4", "--max-tokens", "2")
        answer = {"question", "answer", "question_tokens", "answer_tokens", "seconds_to_first",
                  "seconds_per_token"}
        self.holds("ask", self.json("ask", *self.session(), *few, "Who?"),
                   TIERS | answer | {"answers", "session", "tokens", "kept"})
        self.holds("why", self.json("why", *self.session(), *few, "Who?"),
                   TIERS | {"question", "answer", "session", "tokens", "first_token", "passages",
                            "answer_tokens"})
        self.holds("generate", self.json("generate", *self.session(), *few, "--prompt", "in"),
                   TIERS | {"text", "prompt_tokens", "tokens", "seconds_per_token"})
        self.holds("sessions", self.json("sessions", "list", *store),
                   {"sessions", "damaged", "disk_bytes"})
        self.holds("sessions", self.json("sessions", "show", "s", *store),
                   {"name", "tokens", "rows", "blocks", "payload_bytes", "commits", "extents",
                    "history", "landmark_bytes", "sketch_bytes", "token_bytes", "tail_bytes",
                    "digest", "model", "own_bytes", "shares_with", "shared_tokens", "forks",
                    "adapters", "options", "ingests", "turn_open", "beginning", "index"})
        self.holds("sessions", self.json("sessions", "fork", "s", "t", *store),
                   {"forked", "name", "tokens", "blocks", "shared_bytes"})
        self.holds("sessions", self.json("sessions", "rename", "t", "u", *store),
                   {"renamed", "name"})
        exported = self.directory / "u.cairn"
        self.holds("sessions", self.json("sessions", "export", "u", exported, *store),
                   {"exported", "tokens", "file", "file_bytes"})
        self.holds("sessions", self.json("sessions", "import", exported, "--as", "v", *store),
                   {"imported", "tokens", "blocks", "payload_bytes"})
        self.holds("sessions", self.json("sessions", "delete", "v", *store),
                   {"deleted", "freed_bytes"})

    def test_of_stores(self):
        store = ("--store", self.store)
        self.ingest(self.file("text.txt", random_text(3000)))
        self.holds("verify", self.json("verify", *store),
                   {"sessions", "entries", "block_records", "payload_bytes", "damaged"})
        self.holds("repair", self.json("repair", *store, "--dry-run"),
                   {"dry_run", "repaired", "hopeless"})
        self.holds("backup", self.json("backup", *store, self.directory / "copy"),
                   {"backup", "sessions", "block_records", "payload_bytes"})
        self.holds("compact", self.json("compact", *store),
                   {"bytes_before", "bytes_after", "files_before", "files_after",
                    "rewritten_bytes", "removed_entries", "damaged_blocks", "damages"})
        self.holds("upgrade", self.json("upgrade", *store),
                   {"format_before", "format", "block_records", "payload_bytes"})
        self.holds("inspect", self.json("inspect", "blocks", *self.session()),
                   {"blocks", "unfinished_rows", "unfinished_bytes", "session"})
        self.holds("inspect", self.json("inspect", "block", *self.session(), "0/0/0"),
                   {"session", "block", "layer", "head", "extent", "ordinal", "tokens", "shape",
                    "dtype", "payload_bytes", "keys", "values"})
        self.holds("inspect", self.json("inspect", "text", *self.session()),
                   {"session", "tokens", "blocks", "text"})
        self.holds("inspect", self.json("inspect", "layout", *store),
                   {"disk_bytes", "levels", "files", "sessions"})
        self.good("sessions", "fork", "s", "t", *store)
        self.holds("inspect", self.json("inspect", "diff", *store, "s", "t"),
                   {"sessions", "tokens", "equal_tokens", "block", "before", "after",
                    "shared_blocks", "shared_bytes", "payload_bytes", "why_not_alike"})

    def test_of_what_needs_no_store(self):
        text = self.file("text.txt", random_text(3000))
        self.holds("perplexity", self.json("perplexity", "--model", MODEL, text),
                   {"tokens", "scored", "mean_nll", "perplexity", "attention",
                    "tokens_per_second"})
        self.holds("eval", self.json("eval", "passkey", "--model", MODEL, "--lengths", "1k",
                                     "--samples", "1", "--filler", "paper", "--max-tokens", "1"),
                   {"settings", "mode", "lengths", "texts"})
        self.holds("conform", self.json("conform", DATA / "golden.json"),
                   {"tolerance", "failed", "cases"})
        self.holds("bench search", self.json("bench", "search", "--vectors", "1", "--dims", "16",
                                             "--turns", "1", "--without-faiss"),
                   {"date", "cpu", "cores", "clock", "turns", "dots", "blas_core", "data", "rows",
                    "growth"})
        self.holds("bench attention",
                   self.json("bench", "attention", "--tokens", "4096", "--rounds", "1"),
                   {"decode_seconds", "prefill_seconds", "prefill_rows", "decode_read_bytes",
                    "kernel_bytes_per_second", "memory_bytes_per_second",
                    "kernel_share_of_memory", "tokens", "blocks_per_head", "query_heads",
                    "kv_heads", "head_dim", "block_rows", "kv_type", "retrieve", "index",
                    "index_bytes"})
        self.holds("version", plain("--version", "--json").json,
                   {"version", "commit", "features", "instructions", "libraries"})
        self.holds("doctor", json.loads(plain("doctor", "--store", self.store, "--json").stdout),
                   {"usable", "findings", "disk", "program"})


class Terminal(CliTest):
    """No colours, on a terminal or off it; a progress line erases itself, on a terminal alone."""

    ERASE = "\r\x1b[K"

    def test_nothing_is_coloured(self):
        text = self.file("text.txt", random_text(8000))
        for number, variables in enumerate(({"TERM": "xterm-256color"},
                                            {"TERM": "xterm-256color", "NO_COLOR": "1"},
                                            {"TERM": "dumb"})):
            read = ("ingest", *self.session(f"s{number}"), "--model", MODEL, text)
            shown = on_terminal(command(*read), **variables)
            self.assertIn("tokens/s", shown)
            dumb = variables["TERM"] == "dumb"
            self.assertEqual(shown.count(self.ERASE) > 0, not dumb, variables)
            self.assertNotIn("\x1b", shown.replace(self.ERASE, ""))
            for words in (("ask", *self.session(f"s{number}"), "--max-tokens", "2", "Who?"),
                          ("sessions", "list", "--store", self.store), ("ask", "--help"),
                          ("nonsense",)):
                with self.subTest(words=words, variables=variables):
                    shown = on_terminal(command(*words), **variables)
                    self.assertNotEqual(shown, "")
                    self.assertNotIn("\x1b", shown.replace(self.ERASE, ""))
        for words in (("sessions", "list", "--store", self.store), ("--help",),
                      ("verify", "--store", self.store), ("nonsense",)):
            done = plain(*words, variables={"TERM": "xterm-256color", "CLICOLOR_FORCE": "1"})
            self.assertNotIn("\x1b", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
