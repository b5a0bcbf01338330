#!/usr/bin/env python3
"""Sessions to files and back: the same session, in any store, whole or not at all."""

import random
import shutil
import signal
import subprocess
import time
import unittest

from cli_harness import (CliTest, LANDMARK, MODEL, SEED, SMALL_STEPS, TIMEOUT_SECONDS, command,
                         random_text)

MODES = {
    "unmodified": ("--chunk", "128"),
    "landmark": ("--adapter", LANDMARK, *SMALL_STEPS),
}


class TransferTest(CliTest):
    def setUp(self):
        super().setUp()
        self.other = self.directory / "other"
        self.exported = self.directory / "novel.cairn"

    def export(self, name="s", file=None):
        return self.good("sessions", "export", name, file or self.exported, "--store", self.store,
                         "--json").json

    def bring(self, *options, store=None):
        """Imports the file."""
        return self.good("sessions", "import", self.exported, "--store", store or self.other,
                         "--json", *options).json

    def ask(self, name, store):
        return self.good("ask", "--store", store, "--session", name, "--retrieve", "4",
                         "--max-tokens", "4", "--json", "Who?").json["answer"]


class Transfer(TransferTest):
    def test_it_is_the_same_session_and_goes_on(self):
        text = self.file("text.txt", random_text(6000))
        more = self.file("more.txt", random_text(3000, stream=1))
        for mode, options in MODES.items():
            self.ingest(text, *options, name=mode)
            before = self.show(mode)
            done = self.export(mode)
            self.assertEqual(done["exported"], mode)
            self.assertEqual(done["file_bytes"], self.exported.stat().st_size)
            self.assertGreater(done["file_bytes"], before["payload_bytes"])
            made = self.bring()
            with self.subTest(mode=mode):
                self.assertEqual(made, {"imported": mode, "tokens": before["tokens"],
                                        "blocks": before["blocks"],
                                        "payload_bytes": before["payload_bytes"]})
                self.assertEqual(self.show(mode, self.other), before)
                self.assertEqual(self.ask(mode, self.other), self.ask(mode, self.store))
                self.bring("--as", "again", store=self.store)
                self.assertEqual(self.digest("again"), before["digest"])
                for name, store in ((mode, self.other), ("again", self.store)):
                    self.good("ingest", "--store", store, "--session", name, "--model", MODEL,
                              *options, more)
                self.ingest(more, *options, name=mode)
                self.assertEqual(self.digest(mode, self.other), self.digest(mode))
                self.assertEqual(self.digest("again"), self.digest(mode))
                self.good("sessions", "delete", "again", "--store", self.store)
        self.good("verify", "--store", self.other)
        self.good("verify", "--store", self.store)
        said = self.good("sessions", "import", self.exported, "--as", "b", "--store", self.other)
        self.assertRegex(said.stderr, "session 'b' has [0-9]+ tokens, .*iB of keys and values")

    def test_a_fork_goes_alone(self):
        self.ingest(self.file("text.txt", random_text(6000)))
        self.good("sessions", "fork", "s", "cut", "--at", "1000", "--store", self.store)
        self.export("cut")
        self.bring()
        self.assertEqual(self.show("cut", self.other), self.show("cut"))
        self.good("sessions", "fork", "s", "none", "--at", "0", "--store", self.store)
        self.export("none")
        self.bring()
        self.assertEqual(self.digest("none", self.other), self.digest("none"))
        listed = self.good("sessions", "list", "--store", self.other, "--json").json["sessions"]
        self.assertEqual([session["name"] for session in listed], ["cut", "none"])

    def test_killed_at_random_moments_nothing_or_all_is_there(self):
        rng = random.Random(f"{SEED}/import")
        self.ingest(self.file("short.txt", random_text(500)), name="first")
        self.export("first")
        self.bring()
        self.ingest(self.file("text.txt", random_text(40000)))
        digest = self.digest()
        self.export()
        start = time.monotonic()
        self.bring("--as", "whole")
        seconds = time.monotonic() - start
        for round_number in range(6):
            process = subprocess.Popen(
                command("sessions", "import", self.exported, "--as", "s", "--store", self.other),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.2, 1) * seconds)
            process.send_signal(signal.SIGKILL)
            process.wait(TIMEOUT_SECONDS)
            with self.subTest(round=round_number):
                names = [session["name"] for session in self.good(
                    "sessions", "list", "--store", self.other, "--json").json["sessions"]]
                self.assertIn(names, (["first", "whole"], ["first", "s", "whole"]))
                self.assertEqual(self.good("verify", "--store", self.other,
                                           "--json").json["damaged"], [])
                if "s" in names:
                    self.assertEqual(self.digest("s", self.other), digest)
                    self.good("sessions", "delete", "s", "--store", self.other)
        self.assertEqual(self.digest("whole", self.other), digest)


class BadFiles(TransferTest):
    def setUp(self):
        super().setUp()
        self.ingest(self.file("text.txt", random_text(2000)))
        self.export()
        self.whole = self.exported.read_bytes()

    def refused_import(self, *options, saying):
        self.refused("sessions", "import", self.exported, "--store", self.other, *options,
                     saying=saying)

    def test_damaged_files_say_where_and_make_no_store(self):
        size = len(self.whole)
        for place in (16, 40, 200, size // 3, size // 2, size - 20):
            damaged = bytearray(self.whole)
            damaged[place] ^= 1
            self.exported.write_bytes(damaged)
            with self.subTest(place=place):
                self.refused_import(saying="novel.cairn is damaged in part [0-9]+, at byte [0-9]+")
        for length in (0, 10, 16, 300, size // 2, size - 1):
            self.exported.write_bytes(self.whole[:length])
            with self.subTest(length=length):
                self.refused_import(saying="cut short|not the file of a session")
        self.exported.write_bytes(self.whole[:8] + b"\x02" + self.whole[9:])
        self.refused_import(saying="has format 2 .*use a newer cairn")
        shutil.copy(MODEL, self.exported)
        self.refused_import(saying="not the file of a session")
        self.exported.unlink()
        self.refused_import(saying="no file .*novel.cairn")
        self.exported.mkdir()
        self.refused_import(saying="not a regular file")
        self.assertFalse(self.other.exists())

    def test_names_and_stores(self):
        self.refused("sessions", "import", self.exported, "--store", self.store,
                     saying="there is a session 's' already")
        self.refused_import("--as", "a/b", saying="cannot name a session")
        self.refused("sessions", "import", self.exported, "--store", self.directory,
                     saying="no store")
        self.refused_import("--disk-limit", "100KiB", saying="--disk-limit 100.0 KiB")
        self.assertFalse(self.other.exists(), "a refused import leaves no store")
        self.bring()
        self.refused_import("--as", "t", "--disk-limit", "100KiB", saying="--disk-limit 100.0 KiB")
        names = self.good("sessions", "list", "--store", self.other, "--json").json["sessions"]
        self.assertEqual([session["name"] for session in names], ["s"])
        self.bring("--as", "t")

    def test_export_refuses_what_it_cannot_write_and_keeps_what_was_there(self):
        export = ("sessions", "export", "--store", self.store)
        self.refused(*export, "other", self.exported, saying="no session 'other'")
        self.refused(*export, "s", self.directory, saying="is a directory")
        self.refused(*export, "s", self.directory / "no" / "file", saying="cannot create .*no/file")
        self.refused(*export, "s", code=2, saying="see `cairn")
        table = self.payload_files()[0]
        damaged = bytearray(table.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        table.write_bytes(damaged)
        self.refused(*export, "s", self.exported, saying="extent [0-9]+ block [0-9]+ layer")
        self.assertEqual(self.exported.read_bytes(), self.whole)
        self.assertEqual(sorted(path.name for path in self.directory.glob("novel*")),
                         ["novel.cairn"])


if __name__ == "__main__":
    unittest.main()
