#!/usr/bin/env python3
"""The Python package over the real library: sessions and pasts, errors, and the program beside it.

Needs CAIRN (the program), CAIRN_LIBRARY and CAIRN_TINY_MODELS in the environment.
"""
import array
import ctypes
import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

import cairn

MODEL = os.environ["CAIRN_TINY_MODELS"] + "/tiny.gguf"
TEXT = "In the beginning was a long tale of the sea and another one on the anthill. " * 20
TIMEOUT_SECONDS = 120


class InAStore(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cairn_python_"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.path = self.directory / "store"
        self.store = cairn.Store(self.path, create=True)
        self.addCleanup(lambda: self.store.close())

    def program(self, *arguments):
        """What the program says, once the store is given up; it must succeed."""
        done = self.started(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def started(self, *arguments):
        """The same, without settings of whoever runs the test."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")}
        return subprocess.run([os.environ["CAIRN"], *map(str, arguments), "--store", self.path],
                              capture_output=True, text=True, check=False,
                              timeout=TIMEOUT_SECONDS,
                              env={**kept, "CAIRN_CONFIG": "/dev/null"})


class Sessions(InAStore):
    def setUp(self):
        super().setUp()
        self.model = cairn.Model(MODEL)
        self.session = self.store.session("tale", self.model)

    def tearDown(self):
        self.session.close()
        self.model.close()

    def test_a_text_is_read_and_asked_as_by_the_program(self):
        seen = []
        self.session.read(TEXT, "tale.txt", lambda done, total: seen.append((done, total)))
        self.assertEqual(seen[-1][0], seen[-1][1])
        self.assertEqual(len(self.session), self.session.committed)
        before = len(self.session)
        self.session.read(TEXT)  # which changes nothing
        self.assertEqual(len(self.session), before)
        pieces = []
        answer = self.session.ask("Who?", 12, on_text=pieces.append)
        self.assertEqual("".join(pieces), answer)
        self.assertEqual(len(self.session), before)
        self.session.close()
        self.store.close()
        told = json.loads(self.program("ask", "--session", "tale", "--max-tokens", 12, "--json",
                                       "Who?"))
        self.assertEqual(told["answer"].strip(), answer.strip())

    def test_tokens_go_in_and_out(self):
        tokens = self.model.tokenize("a tale of Käse")
        self.assertEqual(self.model.text(tokens), "a tale of Käse")
        self.session.append(tokens)
        self.assertEqual(self.session.tokens(), tokens)
        self.assertEqual(self.session.tokens(1, 2), tokens[1:3])
        self.assertEqual(self.session.committed, 0)
        self.session.revert()
        self.assertEqual(len(self.session), 0)
        self.session.append(tokens)
        self.session.commit()
        self.assertEqual(self.session.committed, len(tokens))
        self.assertEqual(self.store.sessions(), {"tale": len(tokens)})
        text = self.session.generate("and", 5)
        self.assertEqual(self.session.generate("and", 1, temperature=0.8, seed=3,
                                               on_text=lambda piece: True).count("\0"), 0)
        self.assertIsInstance(text, str)
        with self.assertRaisesRegex(ValueError, "has a zero"):
            self.session.ask("Who\0?")
        with self.assertRaisesRegex(ValueError, "has a zero"):
            self.store.delete("tale\0 of another")
        for most in (0, -1, 1 << 64):
            with self.assertRaisesRegex(ValueError, "use 1 or more"):
                self.session.ask("Who?", most)
        for bad in ([-1], [1 << 32]):
            with self.assertRaisesRegex(ValueError, "no token"):
                self.session.append(bad)

    def test_what_a_callback_raises_comes_out(self):
        with self.assertRaisesRegex(KeyError, "mine"):
            def fail(_done, _total):
                raise KeyError("mine")
            self.session.read(TEXT, progress=fail)
        with self.assertRaises(cairn.Interrupted):
            self.session.read(TEXT, progress=lambda done, total: True)

    def test_one_call_at_a_time_is_made(self):
        self.session.append(self.model.tokenize("a tale"))
        before = len(self.session)
        for within in (self.session.close, self.session.commit, self.store.sessions,
                       lambda: self.session.append([1]), lambda: len(self.session),
                       lambda: self.model.tokenize("a"), self.model.close):
            with self.assertRaisesRegex(cairn.Busy, "whose callback this is"):
                self.session.generate("And", 3, on_text=lambda _: within())
            self.session.revert()
            self.session.append(self.model.tokenize("a tale"))
            self.assertEqual((len(self.session), self.session.committed), (before, 0))
        refused = []

        def meanwhile():
            try:
                self.session.append([1])
            except cairn.Busy as error:
                refused.append(error)

        def piece(_text):
            thread = threading.Thread(target=meanwhile)
            thread.start()
            thread.join()
            return True

        self.session.generate("And", 3, on_text=piece)
        self.assertEqual(len(refused), 1)

    def test_ctrl_c_ends_reading(self):
        script = ("import cairn, os, signal, sys, threading\n"
                  "store = cairn.Store(sys.argv[1], create=True)\n"
                  "session = store.session('s', cairn.Model(sys.argv[2]))\n"
                  "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
                  "try:\n"
                  "    session.read('A long tale of the sea. ' * 100000)\n"
                  "except KeyboardInterrupt:\n"
                  "    print('ended', len(session))\n")
        done = subprocess.run([sys.executable, "-c", script, self.directory / "other", MODEL],
                              capture_output=True, text=True, check=False,
                              timeout=TIMEOUT_SECONDS)
        self.assertRegex(done.stdout, r"^ended \d+\n$", done.stderr)

    def test_errors_say_what_and_why(self):
        with self.assertRaisesRegex(cairn.Busy, "open already") as raised:
            cairn.Session(self.store, "tale", self.model)
        self.assertEqual(raised.exception.status, 8)
        with self.assertRaises(cairn.NotFound):
            cairn.Session(self.store, "nobody", self.model)
        with self.assertRaisesRegex(cairn.InvalidArgument, "no option 'colour'"):
            self.store.session("other", self.model, colour="red")
        with self.assertRaisesRegex(LookupError, "nothing.gguf"):
            cairn.Model(self.directory / "nothing.gguf")
        with self.assertRaises(cairn.Busy):
            self.store.close()
        with self.assertRaises(cairn.Busy):
            cairn.Store(self.path)
        self.session.close()
        self.session.close()
        # What nobody has any more is closed.
        self.store.session("other", self.model)
        self.store.session("other", self.model).close()
        with self.assertRaisesRegex(ValueError, "is closed"):
            len(self.session)

    def test_forks_and_what_is_damaged(self):
        self.session.read(TEXT)
        self.store.fork("tale", "other")
        self.assertEqual(self.store.verify(), [])
        self.store.delete("other")
        self.assertEqual(list(self.store.sessions()), ["tale"])
        self.session.close()
        self.store.close()
        segments = [file for file in self.path.rglob("*") if file.suffix == ".seg"
                    or "segment" in str(file)]
        largest = max((f for f in segments if f.is_file()), key=lambda f: f.stat().st_size)
        with open(largest, "r+b") as file:
            file.seek(5000)
            byte = file.read(1)
            file.seek(5000)
            file.write(bytes([byte[0] ^ 1]))
        with cairn.Store(self.path, read_only=True) as looked_at:
            found = looked_at.verify("tale")
        self.assertEqual([damage.session for damage in found], ["tale"])


def rotated(row, position, frequencies):
    """A row of D numbers rotated as for a position, halves together."""
    half = len(frequencies)
    turned = list(row)
    for c, frequency in enumerate(frequencies):
        sine, cosine = math.sin(position * frequency), math.cos(position * frequency)
        turned[c] = row[c] * cosine - row[c + half] * sine
        turned[c + half] = row[c] * sine + row[c + half] * cosine
    return turned


class Pasts(InAStore):
    ROWS, DIM = 100, 4
    MODEL = cairn.PastModel("noise", layers=1, query_heads=2, kv_heads=1, frequencies=[1.0, 0.2],
                            context=2048)
    OPTIONS = {"block_tokens": 16, "chunk": 16, "recent": 16, "kv_type": "f32",
               "representatives": 2}

    def setUp(self):
        super().setUp()
        draw = random.Random(5)
        self.q, self.k, self.v = (array.array("f", (draw.gauss(0, 1) for _ in range(count)))
                                  for count in (2 * self.ROWS * self.DIM, self.ROWS * self.DIM,
                                                self.ROWS * self.DIM))

    def feed(self, past, first, end):
        """Steps of up to 16 rows; the output of all."""
        out = array.array("f")
        for row in range(first, end, 16):
            rows = min(16, end - row)
            o = array.array("f", bytes(4 * 2 * rows * self.DIM))
            queries = slice(2 * row * self.DIM, 2 * (row + rows) * self.DIM)
            keys = slice(row * self.DIM, (row + rows) * self.DIM)
            past.begin(rows)
            self.assertIs(past.attend(0, self.q[queries], self.k[keys], self.v[keys], o), o)
            past.end(range(row, row + rows))
            out += o
        return out

    def dense(self, row, head):
        """Attention over all rows up to `row`, as the model would compute it itself."""
        start = (2 * row + head) * self.DIM
        query = rotated(self.q[start:start + self.DIM], row, self.MODEL.frequencies)
        total, weights = [0.0] * self.DIM, 0.0
        for past in range(row + 1):
            place = slice(past * self.DIM, (past + 1) * self.DIM)
            key = rotated(self.k[place], past, self.MODEL.frequencies)
            weight = math.exp(sum(a * b for a, b in zip(query, key)) / math.sqrt(self.DIM))
            weights += weight
            total = [t + weight * x for t, x in zip(total, self.v[place])]
        return [t / weights for t in total]

    def test_with_all_blocks_it_is_dense_attention(self):
        with self.store.past("noise", self.MODEL, retrieve=32, **self.OPTIONS) as past:
            out = self.feed(past, 0, self.ROWS)
            self.assertEqual(len(past), self.ROWS)
        for row in (0, 17, 50, self.ROWS - 1):
            for head in (0, 1):
                start = (2 * row + head) * self.DIM
                for got, wanted in zip(out[start:start + self.DIM], self.dense(row, head)):
                    self.assertAlmostEqual(got, wanted, delta=2e-5)

    def test_it_is_gone_on_with_after_a_commit(self):
        with self.store.past("whole", self.MODEL, retrieve=1, **self.OPTIONS) as past:
            whole = self.feed(past, 0, self.ROWS)
        with self.store.past("parts", self.MODEL, retrieve=1, **self.OPTIONS) as past:
            out = self.feed(past, 0, 48)
            past.commit()
            self.feed(past, 48, 64)  # and is lost
        self.store.close()
        self.store = cairn.Store(self.path)
        with self.store.past("parts", self.MODEL, retrieve=1, **self.OPTIONS) as past:
            self.assertEqual((len(past), past.committed), (48, 48))
            self.assertEqual(past.tokens(40), list(range(40, 48)))
            out += self.feed(past, 48, self.ROWS)
            past.choose(retrieve=3, selection="per-token")
            past.revert()
            self.assertEqual(len(past), 48)
        self.assertEqual(out, whole)

    def test_the_program_looks_at_it_and_does_not_go_on(self):
        with self.store.past("noise", self.MODEL, **self.OPTIONS) as past:
            self.feed(past, 0, self.ROWS)
            past.commit()
        self.store.fork("noise", "copy")
        self.store.close()
        shown = self.program("sessions", "show", "noise")
        self.assertIn("noise, run by another program", shown)
        self.assertIn("100 in 100 rows, 6 sealed blocks", shown)
        self.assertRegex(self.program("sessions", "list"), r"copy\s+100 tokens")
        self.program("verify")
        self.program("inspect", "blocks", "--session", "noise")
        self.program("inspect", "layout")
        self.program("sessions", "fork", "noise", "short", "--at", 50)
        self.program("sessions", "export", "noise", self.directory / "noise.cairn")
        self.program("sessions", "import", self.directory / "noise.cairn", "--as", "back")
        for command in (("ask", "--session", "noise", "Who?"),
                        ("why", "--session", "noise", "Who?"),
                        ("ask", "--session", "noise", "--model", MODEL, "Who?"),
                        ("inspect", "text", "--session", "noise"),
                        ("ingest", "--session", "noise", "--model", MODEL, __file__)):
            done = self.started(*command)
            self.assertNotEqual(done.returncode, 0, command)
            self.assertIn("'noise', which another program runs", done.stderr, command)
        with cairn.Store(self.path) as store, \
                store.past("short", self.MODEL, **self.OPTIONS) as past:
            self.assertEqual(len(past), 48, "whole blocks")

    def test_numbers_that_do_not_fit_are_refused_before_they_are_read(self):
        with self.store.past("noise", self.MODEL, **self.OPTIONS) as past:
            with self.assertRaisesRegex(ValueError, "begin one"):
                past.attend(0, self.q, self.k, self.v, self.q)
            past.begin(2)
            turned = memoryview(bytes(32)).cast("f", (1, 2, 4))
            with self.assertRaisesRegex(ValueError, "there are 1, counted from 0"):
                past.attend(1 << 32, self.q, self.k, self.v, self.q)
            good = {"q": array.array("f", bytes(64)), "k": array.array("f", bytes(32)),
                    "v": array.array("f", bytes(32)), "out": array.array("f", bytes(64))}
            for name, bad, why in (("q", array.array("f", bytes(32)), r"q is \[8\].*\[2, 2, 4\]"),
                                   ("k", turned, r"k is \[1, 2, 4\].*\[2, 1, 4\]"),
                                   ("k", array.array("d", bytes(64)), "type d"),
                                   ("v", memoryview(array.array("f", bytes(64)))[::2], "gaps"),
                                   ("out", bytes(64), "written to|type B")):
                with self.assertRaisesRegex(ValueError, why):
                    past.attend(0, **{**good, name: bad})
            read_only = memoryview(bytes(good["k"])).cast("f")
            with self.assertRaisesRegex(cairn.InvalidArgument, "overlap"):
                past.attend(0, **{**good, "out": good["q"]})
            shaped = (ctypes.c_float * 4 * 1 * 2)()
            past.attend(0, **{**good, "k": read_only, "v": shaped})
            past.end([1, 2])
            for rows in (0, -1, 17):
                with self.assertRaises(ValueError):
                    past.begin(rows)
        with self.assertRaisesRegex(cairn.Mismatch, "rotary"):
            changed = cairn.PastModel("noise", 1, 2, 1, [1.0, 0.3], 2048)
            self.store.past("noise", changed, **self.OPTIONS)


if __name__ == "__main__":
    unittest.main()
