#!/usr/bin/env python3
"""Compacting a store: fewer files, freed bytes, and sessions that are what they were."""

import random
import signal
import subprocess
import time
import unittest

from cli_harness import (CliTest, LANDMARK, MODEL, SEED, SMALL_STEPS, command, plain,
                         random_text)

OPTIONS = ("--chunk", "128")


class CompactTest(CliTest):
    def compact(self, *options):
        return self.good("compact", "--store", self.store, "--json", *options).json

    def grow(self, name, texts, *options):
        """Each text is read by a run of its own."""
        for i in range(texts):
            self.ingest(self.file(f"{name}{i}.txt", random_text(6000, stream=i)), *OPTIONS,
                        *options, name=name)

    def test_a_store_has_few_files_and_goes_on_after_compacting(self):
        self.grow("a", 4)
        self.ingest(self.file("b.txt", random_text(3000)), "--adapter", LANDMARK, *SMALL_STEPS,
                    name="b")
        before = {name: self.show(name) for name in ("a", "b")}
        done = self.compact()
        self.assertLessEqual(done["files_after"], 2)
        self.assertEqual(done["damaged_blocks"], 0)
        self.assertLessEqual(done["bytes_after"], done["bytes_before"])
        self.good("verify", "--store", self.store)
        self.assertEqual({name: self.show(name) for name in ("a", "b")}, before)
        again = self.compact()
        self.assertEqual(again["rewritten_bytes"], 0, "nothing is left to do")
        # It goes on as a store that was never compacted.
        more = self.file("more.txt", random_text(4000, stream=9))
        self.good("sessions", "export", "a", self.directory / "a.cairn", "--store", self.store)
        other = self.directory / "other"
        self.good("sessions", "import", self.directory / "a.cairn", "--store", other)
        self.ingest(more, *OPTIONS, name="a")
        self.good("ingest", "--store", other, "--session", "a", "--model", MODEL, *OPTIONS, more)
        self.assertEqual(self.digest("a"), self.digest("a", other))

    def test_what_nobody_shares_any_more_is_freed(self):
        self.grow("a", 3)
        self.good("sessions", "fork", "a", "b", "--at", "200", "--store", self.store)
        shared = self.show("b")
        size = self.good("inspect", "layout", "--store", self.store, "--json").json["disk_bytes"]
        self.good("sessions", "delete", "a", "--store", self.store)
        done = self.compact()
        self.assertLess(done["bytes_after"], 0.6 * size)
        self.good("verify", "--store", self.store)
        self.assertEqual(self.show("b"), shared)
        self.assertEqual(self.compact()["rewritten_bytes"], 0)

    def test_damage_is_said_and_stays(self):
        self.grow("a", 3)
        self.flip(self.payload_files()[0], [3000])
        self.good("compact", "--store", self.store)
        self.assertEqual(self.good_or_damaged("verify"), 1)
        self.good("repair", "--store", self.store, "--cut")
        self.good("verify", "--store", self.store)
        self.compact()
        self.good("verify", "--store", self.store)

    def good_or_damaged(self, name):
        return subprocess.run(command(name, "--store", self.store), capture_output=True,
                              check=False, timeout=60).returncode

    def test_an_unreadable_session_keeps_its_blocks(self):
        self.grow("a", 2)
        self.grow("b", 2)
        self.damage_entry("s/b")
        done = self.good("compact", "--store", self.store)
        self.assertIn("cannot be read", done.stderr)
        self.good("sessions", "delete", "b", "--store", self.store)
        self.compact()
        self.good("verify", "--store", self.store)

    def test_other_writers(self):
        self.refused("compact", "--store", self.directory / "none", saying="no store")
        text = self.file("long.txt", random_text(400000, stream=5))
        writer = subprocess.Popen(command("ingest", *self.session("w"), "--model", MODEL, *OPTIONS,
                                          text), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            shown = ("sessions", "show", "w", "--store", self.store)
            while writer.poll() is None and plain(*shown).code != 0:  # at first, no store
                time.sleep(0.01)
            self.assertIsNone(writer.poll(), "the writer was too quick for this test")
            self.refused("compact", "--store", self.store, saying="in use by another process")
        finally:
            writer.kill()
            writer.wait()

    def test_killed_at_any_moment(self):
        rng = random.Random(f"{SEED}/compact")
        self.grow("a", 3)
        for round_ in range(6):
            self.grow("a", 4 + round_)
            before = self.show("a")
            process = subprocess.Popen(command("compact", "--store", self.store, "--quiet"))
            time.sleep(rng.uniform(0.0, 0.08))
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.good("verify", "--store", self.store)
            self.assertEqual(self.show("a"), before)
        self.compact()
        self.assertEqual(self.show("a"), before)
        self.good("verify", "--store", self.store)


if __name__ == "__main__":
    unittest.main()
