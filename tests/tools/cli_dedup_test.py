#!/usr/bin/env python3
"""Sessions that share the beginning of another one: equal to those that read everything."""

import random
import signal
import subprocess
import time
import unittest

from cli_harness import (CliTest, LANDMARK, LANDMARK2, MODEL, OTHER_MODEL, SEED, SMALL_STEPS,
                         command, random_text)

# Options, and tokens after which both a step and a block end.
MODES = {
    "unmodified": (("--chunk", "128"), 128),
    "landmark": (("--adapter", LANDMARK, *SMALL_STEPS), 60),
    "uneven": (("--adapter", LANDMARK, "--chunk", "40", "--retrieve", "4"), 1),
    "raw": (("--raw", "--chunk", "128", "--kv-type", "f32"), 128),
}


class DedupTest(CliTest):
    def dedup(self, text, *options, name, model=MODEL):
        return self.ingest(text, "--dedup", *options, name=name, model=model).json

    def delete(self, name):
        self.good("sessions", "delete", name, "--store", self.store)

    def bytes_on_disk(self):
        return self.good("sessions", "list", "--store", self.store, "--json").json["disk_bytes"]


class EqualDigests(DedupTest):
    def test_the_result_is_that_of_reading_everything(self):
        rng = random.Random(f"{SEED}/dedup")
        common = random_text(4000)
        for mode, (options, step) in MODES.items():
            first = self.file("first.txt", common + random_text(1500, stream=1))
            cut = rng.randrange(1500, 4000)
            second = self.file("second.txt", common[:cut] + random_text(2500, stream=2))
            self.ingest(first, *options, name="first")
            self.ingest(second, *options, name="plain")
            plain = self.show("plain")
            self.delete("plain")
            shared = self.dedup(second, *options, name="second")
            with self.subTest(mode=mode, cut=cut):
                self.assertEqual(shared["dedup"]["session"], "first")
                self.assertGreater(shared["dedup"]["shared_tokens"], 0)
                self.assertEqual(shared["dedup"]["shared_tokens"] % step, 0)
                self.assertEqual(shared["tokens_read"] + shared["dedup"]["shared_tokens"],
                                 plain["tokens"])
                self.assertEqual(self.digest("second"), plain["digest"])
                self.assertEqual(self.show("second")["ingests"], plain["ingests"])
                self.good("verify", "--store", self.store)
                # Given again it changes nothing, and the source may go.
                self.assertEqual(self.dedup(second, *options, name="second")["tokens_read"], 0)
                self.delete("first")
                self.assertEqual(self.digest("second"), plain["digest"])
                # The next one shares with it as with any other.
                again = self.dedup(second, *options, name="again")
                self.assertEqual(again["dedup"]["session"], "second")
                self.assertEqual(self.digest("again"), plain["digest"])
            for name in ("second", "again"):
                self.delete(name)

    def test_the_longest_beginning_wins_and_saves_the_disk(self):
        common = random_text(12000)
        options = MODES["unmodified"][0]
        for name, cut in (("short", 3000), ("long", 9000), ("middle", 6000)):
            self.ingest(self.file(f"{name}.txt", common[:cut] + random_text(500, stream=cut)),
                        *options, name=name)
        text = self.file("text.txt", common)
        before = self.bytes_on_disk()
        done = self.good("ingest", *self.session("new"), "--model", MODEL, "--dedup", *options,
                         text)
        grown = self.bytes_on_disk() - before
        shown = self.show("new")
        self.assertRegex(done.stderr, r"the first \d+ tokens of \d+ are shared with session 'long'")
        self.assertLess(grown, 0.5 * shown["payload_bytes"])

    def test_a_text_of_which_all_is_there(self):
        options, step = MODES["unmodified"]
        text = self.file("text.txt", random_text(3000))
        self.ingest(text, *options, name="a")
        # A first text that ends with a step is shared wholly.
        for more in range(step):
            name = f"n{more}"
            done = self.dedup(text, "--tokens", str(100 + more), *options, name=name)
            if done["tokens"] % step == 0:
                self.assertEqual(done["tokens_read"], 0)
                self.assertEqual(done["dedup"]["shared_tokens"], done["tokens"])
                self.ingest(text, "--tokens", str(100 + more), *options, name="plain")
                self.assertEqual(self.digest(name), self.digest("plain"))
                return
        self.fail("no text ended with a step")


class NotShared(DedupTest):
    def why(self, text, *options, name="new", model=MODEL):
        done = self.dedup(text, *options, name=name, model=model)
        self.assertIsNone(done["dedup"]["session"])
        self.assertEqual(done["dedup"]["shared_tokens"], 0)
        whys = {other["session"]: other["why"] for other in done["dedup"]["not_shared"]}
        self.delete(name)
        return whys["old"]

    def test_what_must_be_equal(self):
        text = self.file("text.txt", random_text(4000))
        base = MODES["landmark"][0]
        self.ingest(text, *base, name="old")
        self.assertIn("another model", self.why(text, "--chunk", "64", model=OTHER_MODEL))
        self.assertIn("adapters", self.why(text, "--adapter", LANDMARK2, *SMALL_STEPS))
        self.assertIn("made with", self.why(text, "--adapter", LANDMARK, "--chunk", "32",
                                            "--retrieve", "4"))
        self.assertIn("made with", self.why(text, *base, "--selection", "per-token"))
        self.assertIn("made with", self.why(text, *base, "--kv-type", "f32"))
        self.assertIn("made with", self.why(text, *base, "--raw"))
        self.assertIn("read with", self.why(text, "--adapter", LANDMARK, "--chunk", "64",
                                            "--retrieve", "3"))
        self.assertIn("read with", self.why(text, *base, "--query-stride", "2"))
        self.assertIn("read with", self.why(text, *base, "--threads", "1"))
        self.assertIn("too few", self.why(self.file("other.txt", random_text(3000, stream=9)),
                                          *base))

    def test_behind_a_cut_inside_a_step_nothing_is_shared(self):
        options, step = MODES["unmodified"]
        text = self.file("text.txt", random_text(6000))
        self.ingest(text, *options, name="whole")
        plain = self.digest("whole")
        self.good("sessions", "fork", "whole", "old", "--at", str(step * 3 + 64), "--store",
                  self.store)
        self.ingest(text, *options, name="old")
        self.assertNotEqual(self.digest("old"), plain, "the steps behind the cut are others")
        self.delete("whole")
        shared = self.dedup(text, *options, name="new")
        self.assertEqual(shared["dedup"]["shared_tokens"], step * 3)
        self.assertEqual(self.digest("new"), plain)

    def test_a_damaged_one_is_passed_over(self):
        options = MODES["unmodified"][0]
        text = self.file("text.txt", random_text(6000))
        self.ingest(text, *options, name="old")
        plain = self.digest("old")
        largest = self.payload_files()[0]
        self.flip(largest, [2000])
        self.assertIn("checksum", self.why(text, *options).lower())
        self.ingest(text, "--dedup", *options, name="new")
        self.assertEqual(self.digest("new"), plain)


class Interrupted(DedupTest):
    def test_killed_at_any_moment_it_goes_on(self):
        options = MODES["unmodified"][0]
        common = random_text(30000)
        self.ingest(self.file("first.txt", common), *options, name="first")
        text = self.file("second.txt", common + random_text(90000, stream=3))
        self.ingest(text, *options, name="plain")
        plain = self.show("plain")
        self.delete("plain")
        arguments = command("ingest", *self.session("s"), "--model", MODEL, "--dedup", "--json",
                            "--quiet", *options, text)
        rng = random.Random(f"{SEED}/kill")
        for _ in range(4):
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.02, 1.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.good("ingest", *self.session("s"), "--model", MODEL, "--dedup", *options, text)
        self.assertEqual(self.digest("s"), plain["digest"])
        self.assertEqual(self.show("s")["ingests"], plain["ingests"])
        self.good("verify", "--store", self.store)


if __name__ == "__main__":
    unittest.main()
