#!/usr/bin/env python3
"""Bad input on the command line: one clear sentence, a code not 0, the session as it was."""

import pathlib
import re
import shutil
import struct
import subprocess
import time
import unittest

from cli_harness import (CliTest, LANDMARK, LORA, MODEL, NEWER_STORE, OTHER_MODEL, SMALL_STEPS,
                         TIMEOUT_SECONDS, command, random_text)


def tensor_type_offset(content, name):
    """Where the type of a tensor stands in a GGUF file: behind its name, rank and dimensions."""
    start = content.index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)
    (rank,) = struct.unpack_from("<I", content, start)
    return start + 4 + 8 * rank


class BadModel(CliTest):
    def refused_model(self, content, saying):
        path = self.file("model.gguf", content)
        self.refused("generate", "--model", path, "--prompt", "x", saying=saying)
        text = self.file("text.txt", random_text(300))
        self.refused("ingest", *self.session(), "--model", path, text, saying=saying)
        self.assertEqual(self.session_names(), [], "a bad model leaves no session behind")

    def test_a_missing_file(self):
        self.refused("generate", "--model", self.directory / "no.gguf", "--prompt", "x",
                     saying="no file .*no.gguf")

    def test_a_directory(self):
        self.refused("generate", "--model", self.directory, "--prompt", "x",
                     saying="not a regular file")

    def test_an_empty_file(self):
        self.refused_model(b"", "model.gguf")

    def test_files_cut_short(self):
        whole = pathlib.Path(MODEL).read_bytes()
        for size in (3, 10, 23, 200, 5000, len(whole) // 2, len(whole) - 40):
            with self.subTest(size=size):
                self.refused_model(whole[:size], "model.gguf")

    def test_garbage(self):
        self.refused_model(b"\x00\xff\x17" * 4000, "not a GGUF file")
        self.refused_model(b"GGUF" + b"\xff" * 4000, "model.gguf")

    def test_an_unknown_architecture_is_named(self):
        key = b"general.architecture"
        content = bytearray(pathlib.Path(MODEL).read_bytes())
        place = content.index(key) + len(key) + 4 + 8  # value type, length
        self.assertEqual(content[place:place + 5], b"llama")
        content[place:place + 5] = b"mamba"
        self.refused_model(bytes(content), "mamba")

    def test_an_unknown_tensor_type_is_named(self):
        for number, name in ((999, "999"), (10, "Q2_K|type 10")):
            content = bytearray(pathlib.Path(MODEL).read_bytes())
            place = tensor_type_offset(bytes(content), "blk.1.attn_v.weight")
            struct.pack_into("<I", content, place, number)
            with self.subTest(type=number):
                self.refused_model(bytes(content), name)

    def test_fewer_rows_of_the_embedding_than_tokens(self):
        content = bytearray(pathlib.Path(MODEL).read_bytes())
        place = tensor_type_offset(bytes(content), "token_embd.weight") - 8
        (rows,) = struct.unpack_from("<Q", content, place)
        struct.pack_into("<Q", content, place, rows - 1)
        self.refused_model(bytes(content), f"{rows} tokens and an embedding of {rows - 1}")

    def test_an_adapter_that_is_none(self):
        self.refused("generate", "--model", MODEL, "--adapter", OTHER_MODEL, "--prompt", "x",
                     saying="not a LoRA adapter")
        self.refused("generate", "--model", MODEL, "--adapter", LORA + "=much", "--prompt", "x",
                     saying="'much' is not a scale")


class BadUse(CliTest):
    """Every test begins with a session that must be the same afterwards."""

    def setUp(self):
        super().setUp()
        self.text = self.file("text.txt", random_text(2000))
        self.ingest(self.text)
        self.before = self.show()
        self.more = self.file("more.txt", random_text(2000, stream=1))

    def tearDown(self):
        self.assertEqual(self.show(), self.before, "the session has changed")

    def refused_ingest(self, *options, saying, model=MODEL, text=None, name="s", stdin=b""):
        self.refused("ingest", *self.session(name), "--model", model, *options,
                     text or self.more, saying=saying, stdin=stdin)

    def test_another_model(self):
        self.refused_ingest(model=OTHER_MODEL, saying="made with another model")
        self.refused("ask", *self.session(), "--model", OTHER_MODEL, "Who?",
                     saying="made with another model")
        for adapter, name in ((LORA, "lora.gguf"), (LANDMARK, r"landmark.gguf \(with landmarks\)")):
            self.refused_ingest("--adapter", adapter, saying="made without landmarks "
                                rf"\(no adapter\), adapter .*{name} was not part of it")

    def test_options_that_shaped_the_session(self):
        for option, value in (("--block-tokens", "32"), ("--representatives", "2"),
                              ("--kv-type", "f32"), ("--chunk", "128"),
                              ("--selection", "per-token")):
            with self.subTest(option=option):
                saying = option + ".*the session was made with"
                self.refused_ingest(option, value, saying=saying)
                self.refused("ask", *self.session(), option, value, "Who?", saying=saying)
        self.refused_ingest("--raw", saying="made without --raw")

    def test_options_that_cannot_be(self):
        for arguments, saying in (
                (("--retrieve", "200"), "context of 8192"),
                (("--retrieve", "-1"), "--retrieve -1: .*not be negative"),
                (("--recent", "-5"), "--recent -5: .*not be negative"),
                (("--sinks", "-2"), "--sinks -2: .*not be negative"),
                (("--query-stride", "0"), "--query-stride 0: use 1 or more"),
                (("--threads", "0"), "--threads 0: use 1"),
                (("--host-memory", "lots"), "--host-memory: .*lots"),
                (("--disk-limit", "3 parsecs"), "--disk-limit: .*parsecs"),
                (("--selection", "random"), "'random' is not a selection"),
                (("--index", "tree"), "tree"),
                (("--tokens", "-5"), "--tokens")):
            with self.subTest(arguments=arguments):
                self.refused_ingest(*arguments, saying=saying)

    def test_an_empty_text(self):
        empty = self.file("empty.txt", "")
        self.refused_ingest(text=empty, saying="is empty")
        self.refused_ingest(text="-", saying="standard input is empty")
        self.refused_ingest(text=self.directory / "none.txt", saying="cannot read .*none.txt")
        self.refused("ask", *self.session(), "--questions", empty, saying="is empty")
        self.refused("ask", *self.session(), saying="no question")

    def test_a_name_that_is_none(self):
        for name in ("../s", "a/b", ".hidden", "two words", "näme", "x" * 129, "a\nb"):
            with self.subTest(name=name):
                self.refused("ask", *("--store", self.store), f"--session={name}", "Who?",
                             saying="cannot name a session")
                self.refused("ingest", *("--store", self.store), f"--session={name}", "--model",
                             MODEL, self.more, saying="cannot name a session")

    def test_a_session_or_store_that_is_not_there(self):
        self.refused("ask", *self.session("other"), "Who?", saying="no session 'other'.* s")
        self.refused("sessions", "delete", "other", "--store", self.store,
                     saying="no session 'other'")
        gone = self.directory / "gone"
        self.refused("ask", "--store", gone, "--session", "s", "Who?", saying="no store at")
        self.refused("sessions", "list", "--store", gone, saying="no store at")
        self.assertFalse(gone.exists())
        self.refused("ingest", "--store", gone / "deep", "--session", "s", "--model", MODEL,
                     self.more, saying="does not exist")

    def test_a_directory_of_other_things_is_no_store(self):
        for arguments in (("ingest", "--model", MODEL, self.more), ("ask", "Who?")):
            self.refused(arguments[0], "--store", self.directory, "--session", "s",
                         *arguments[1:], saying="no store")
        self.assertEqual(self.text.read_text(), random_text(2000))

    def test_a_budget_too_small_says_what_would_do(self):
        done = None
        for memory in ("1KiB", "100KiB"):
            done = self.refused("ask", *self.session(), "--host-memory", memory, "Who?",
                                saying="at least [0-9]+ bytes")
        least = re.search("at least ([0-9]+) bytes", done.stderr).group(1)
        self.good("ask", *self.session(), "--host-memory", least, "--max-tokens", "2", "Who?")
        self.refused("ask", *self.session(), "--host-memory", int(least) - 1, "Who?",
                     saying=f"at least {least} bytes")
        self.refused("ask", *self.session(), "--compute-memory", "1KiB", "Who?",
                     saying="compute tier.*at least [0-9]+ bytes")

    def test_the_disk_limit(self):
        self.refused_ingest("--disk-limit", "100KiB", saying="--disk-limit 100.0 KiB")

    def test_a_landmark_adapter_refuses_options_it_decides(self):
        for option in ("--block-tokens", "--sinks", "--recent", "--representatives"):
            with self.subTest(option=option):
                self.refused_ingest("--adapter", LANDMARK, *SMALL_STEPS, option, "4", name="new",
                                    saying=option + ".*landmark")
        self.refused_ingest("--adapter", LANDMARK, name="new", saying="trained on 256")

    def test_mistakes_of_usage(self):
        for arguments in (("ingest",), (), ("ask", "--store", self.store),
                          ("sessions",), ("sessions", "show", "--store", self.store),
                          ("generate", "--model", MODEL),
                          ("ask", *self.session(), "Who?", "--no-such-option"),
                          ("perplexity", "--model", MODEL, "--attention", "some", self.text),
                          ("ask", *self.session(), "Who?", "--retrieve", "many")):
            with self.subTest(arguments=arguments):
                self.refused(*arguments, code=2, saying="see `cairn")


class BadStore(CliTest):
    def test_representatives_that_cannot_be(self):
        text = self.file("text.txt", random_text(500))
        for number in (0, 65):
            self.refused("ingest", *self.session(), "--model", MODEL, "--representatives", number,
                         text, saying="use --representatives 1 to 64")

    def test_a_place_that_is_only_read(self):
        self.ingest(self.file("text.txt", random_text(500)))
        lock = self.store / "lock"
        lock.unlink()
        lock.mkdir()  # as little to be opened for writing as on a disk that is only read
        self.refused("ask", *self.session(), "Who?",
                     saying="cannot open .*lock: .*; this command needs a store that can be "
                            "written to: `cairn backup`")
        self.good("sessions", "list", "--store", self.store)
        self.good("backup", "--store", self.store, self.directory / "copy")

    def test_two_writers(self):
        text = self.file("text.txt", random_text(100000))
        self.ingest(self.file("short.txt", random_text(500)), name="other")
        before = self.show("other")
        first = subprocess.Popen(command("ingest", *self.session(), "--model", MODEL, text),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while first.poll() is None and "s" not in self.session_names():
                time.sleep(0.01)
            self.assertIsNone(first.poll(), "the first writer was too quick for this test")
            for arguments in (("ask", "Who?"), ("ingest", "--model", MODEL, text)):
                self.refused(arguments[0], *self.session("other"), *arguments[1:], saying="in use")
            self.assertEqual(self.show("other"), before)  # reading goes on
            self.assertIsNone(first.poll(), "the first writer was too quick for this test")
        finally:
            first.kill()
            first.wait(TIMEOUT_SECONDS)
        self.good("ask", *self.session("other"), "--max-tokens", "1", "Who?")

    def test_a_refused_ingest_leaves_nothing_that_was_not_there(self):
        text = self.file("text.txt", random_text(20000))
        before = sorted(self.directory.rglob("*"))
        refusals = ((("--retrieve", "1000"), "exceed"), (("--retrieve", "-1"), "retrieve"),
                    (("--host-memory", "1KiB"), "host"),
                    (("--disk-limit", "1500KiB"), "disk-limit"),
                    (("--chunk", "100000"), "exceed"))
        for options, saying in refusals:
            with self.subTest(options=options):
                self.refused("ingest", *self.session(), "--model", MODEL, *options, text,
                             saying=saying)
                self.assertEqual(sorted(self.directory.rglob("*")), before)
        self.store.mkdir()
        self.refused("ingest", *self.session(), "--model", MODEL, "--retrieve", "1000", text,
                     saying="exceed")
        self.assertEqual(list(self.store.iterdir()), [])
        # In a store that was there, only the session goes.
        self.ingest(text, "--tokens", "100", name="other")
        for options, saying in refusals:
            with self.subTest(options=options):
                self.refused("ingest", *self.session(), "--model", MODEL, *options, text,
                             saying=saying)
                self.assertEqual(self.session_names(), ["other"])
        self.good("verify", "--store", self.store)

    def test_a_store_of_a_newer_format(self):
        text = self.file("text.txt", random_text(500))
        self.ingest(text)
        subprocess.run([NEWER_STORE, str(self.store)], check=True, timeout=TIMEOUT_SECONDS)
        self.refused("sessions", "list", "--store", self.store, saying="newer cairn")
        self.refused("ask", *self.session(), "Who?", saying="newer cairn")
        self.refused("ingest", *self.session(), "--model", MODEL, text, saying="newer cairn")
        for command_name in ("upgrade", "compact", "repair", "verify"):
            self.refused(command_name, "--store", self.store, saying="newer cairn")

    def test_a_flipped_byte_is_an_error_or_harmless(self):
        self.ingest(self.file("text.txt", random_text(3000)))
        blocks = self.show()["blocks"]
        ask = ("ask", *self.session(), "--retrieve", blocks, "--max-tokens", "3", "--json",
               "--quiet", "Who?")
        answer = self.good(*ask).json["answer"]
        segments = self.payload_files()
        self.assertTrue(segments)
        whole, found = self.directory / "whole", 0
        shutil.copytree(self.store, whole)
        for segment in segments:
            content = segment.read_bytes()
            # Every payload is read: most flips must be met.
            for place in range(100, len(content), len(content) // 9):
                shutil.rmtree(self.store)
                shutil.copytree(whole, self.store)
                damaged = bytearray(content)
                damaged[place] ^= 0x10
                segment.write_bytes(damaged)
                with self.subTest(segment=segment.name, place=place):
                    found += self.is_met(ask, answer)
        self.assertGreaterEqual(found, 6)

    def is_met(self, ask, answer):
        done = subprocess.run(command(*ask), capture_output=True, check=False,
                              timeout=TIMEOUT_SECONDS)
        if done.returncode == 0:
            self.assertIn(f'"answer":"{answer}"'.replace("\n", "\\n").encode(), done.stdout)
            return 0
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr.decode(), r"^cairn: ")
        self.assertLessEqual(done.stderr.count(b"\n"), 6)
        self.assertEqual(done.stdout, b"")
        return re.search(rb"extent \d+ block \d+ layer \d+ head \d+", done.stderr) is not None

    def test_files_of_the_store_that_are_gone(self):
        self.ingest(self.file("text.txt", random_text(3000)))
        for pattern in ("blocks/*.seg", "db/CURRENT", "db/MANIFEST-*"):
            broken = self.directory / "broken"
            shutil.copytree(self.store, broken)
            next(broken.glob(pattern)).unlink()
            self.refused("ask", "--store", broken, "--session", "s", "Who?", saying="broken")
            shutil.rmtree(broken)


if __name__ == "__main__":
    unittest.main()
