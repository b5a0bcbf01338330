#!/usr/bin/env python3
"""Perplexity on the command line: one pass over a text, and windows of it in many settings."""

import math
import re
import signal
import statistics
import subprocess
import time
import unittest

from cli_harness import (CliTest, IN_LOSS, LANDMARK, LORA, MODEL, TIMEOUT_SECONDS, command,
                         random_text)

class OnePass(CliTest):
    def test_dense_and_retrieval_agree_where_everything_is_retrieved(self):
        text = self.file("text.txt", random_text(900))
        base = ("perplexity", "--model", MODEL, "--json", "--tokens", "400", text)
        dense = self.good(*base).json
        self.assertLessEqual({"tokens", "scored", "mean_nll", "perplexity", "attention",
                              "tokens_per_second"}, set(dense))
        self.assertEqual((dense["tokens"], dense["scored"]), (400, 399))
        self.assertTrue(math.isclose(dense["perplexity"], math.exp(dense["mean_nll"])))
        retrieval = self.good(*base, "--attention", "retrieval", "--retrieve", "20", "--kv-type",
                              "f32").json
        self.assertAlmostEqual(retrieval["mean_nll"], dense["mean_nll"], delta=0.02)
        self.assertEqual(retrieval["selection"], "per-token")
        each = self.good(*base, "--per-token-nll").json["nll"]
        self.assertEqual(len(each), 399)
        self.assertAlmostEqual(sum(each) / 399, dense["mean_nll"], places=4)

    def test_dense_makes_no_codes(self):
        text = self.file("text.txt", random_text(1500))
        base = ("perplexity", "--model", MODEL, "--json", "--per-token-nll", text)
        windows = ("--context", "100,200", "--windows", "2", "--targets", "20")
        for options in (("--tokens", "200"), ("--tokens", "200", "--adapter", LANDMARK),
                        ("--attention", "dense", *windows)):
            f16, q8 = (self.good(*base, *options, "--kv-type", kind).json
                       for kind in ("f16", "q8"))
            f16, q8 = ([s["nll"] for s in one.get("settings", (one,))] for one in (f16, q8))
            self.assertEqual(q8, f16)
        retrieval = ("--tokens", "200", "--chunk", "32", "--attention", "retrieval")
        read, kept = (self.good(*base, *retrieval, "--kv-type", kind).json["nll"]
                      for kind in ("q8", "f16"))
        self.assertNotEqual(read, kept, "these are read from codes")

    def test_a_text_of_one_token_is_refused(self):
        self.refused("perplexity", "--model", MODEL, self.file("a.txt", "a"),
                     saying="holds 1 token; perplexity needs two")

    def test_lists_and_windows_need_a_context(self):
        base = ("perplexity", "--model", MODEL, self.file("text.txt", random_text(900)))
        for options, saying in (
                (("--retrieve", "1,2"), "--retrieve takes a list only with --context"),
                (("--selection", "per-token,per-chunk"), "--selection takes a list only with"),
                (("--windows", "2"), "--windows and --targets need --context"),
                (("--targets", "2"), "--windows and --targets need --context")):
            with self.subTest(options=options):
                self.refused(*base, "--attention", "retrieval", *options, saying=saying)


class Grid(CliTest):
    WINDOWS, TARGETS = 3, 40
    SELECTIONS = ("per-token", "per-token-shared-heads", "per-chunk")

    def setUp(self):
        super().setUp()
        self.text = self.file("text.txt", random_text(4000))
        self.base = ("perplexity", "--model", MODEL, "--windows", self.WINDOWS, "--targets",
                     self.TARGETS, "--chunk", "32", self.text)

    def grid(self, *options):
        document = self.good(*self.base, "--json", "--per-token-nll", *options).json
        self.assertEqual((document["windows"], document["targets"]), (self.WINDOWS, self.TARGETS))
        return document

    def settings(self, *options):
        """The losses by context, selection and k."""
        return {(s["context"], s.get("selection"), s.get("retrieve")): s["nll"]
                for s in self.grid(*options)["settings"]}

    def test_a_setting_alone_is_what_it_is_in_the_grid(self):
        for options in (("--adapter", LANDMARK), ("--recent", "32", "--block-tokens", "16"),
                        ("--adapter", IN_LOSS, "--adapter", LORA)):
            grid = self.settings(*options, "--context", "100,300", "--retrieve", "0,1,4",
                                 "--selection", ",".join(self.SELECTIONS))
            self.assertEqual(list(grid), [(c, s, k) for c in (100, 300) for s in self.SELECTIONS
                                          for k in (0, 1, 4)])
            for key in ((100, "per-token", 0), (300, "per-chunk", 1), (300, "per-token", 4)):
                alone = self.settings(*options, "--context", key[0], "--selection", key[1],
                                      "--retrieve", key[2])
                self.assertEqual(alone, {key: grid[key]})
            self.assertNotEqual(grid[100, "per-token", 4], grid[300, "per-token", 4])
            self.assertNotEqual(grid[300, "per-token", 0], grid[300, "per-token", 4])
            self.assertNotEqual(grid[300, "per-token", 1], grid[300, "per-chunk", 1])
            # Without blocks there is nothing to share; sums are only made in another order.
            self.assertAlmostEqual(statistics.fmean(grid[300, "per-token", 0]),
                                   statistics.fmean(grid[300, "per-chunk", 0]), delta=0.02)

    def test_the_numbers_of_a_setting_belong_together(self):
        document = self.grid("--context", "100", "--retrieve", "2")
        self.assertEqual(document["attention"], "retrieval")
        (setting,) = document["settings"]
        self.assertEqual(setting["scored"], self.WINDOWS * self.TARGETS)
        self.assertEqual(setting["scored"], len(setting["nll"]))
        means = [statistics.fmean(setting["nll"][i * self.TARGETS:(i + 1) * self.TARGETS])
                 for i in range(self.WINDOWS)]
        self.assertAlmostEqual(setting["mean_nll"], statistics.fmean(means), places=5)
        self.assertAlmostEqual(setting["perplexity"], math.exp(setting["mean_nll"]), places=5)
        self.assertAlmostEqual(setting["standard_error"],
                               statistics.stdev(means) / math.sqrt(self.WINDOWS), places=5)
        self.assertGreater(setting["tokens_per_second"], 0)
        one = self.good("perplexity", "--model", MODEL, "--json", "--context", "300", "--windows",
                        "1", self.text).json
        self.assertEqual(one["targets"], 256)
        self.assertIsNone(one["settings"][0]["standard_error"])

    def test_the_last_window_is_the_end_of_the_text(self):
        """The same tokens in one pass: from an empty memory, the last targets."""
        whole = self.good("perplexity", "--model", MODEL, "--json", "--per-token-nll", "--tokens",
                          "120", self.text).json["nll"]
        (setting,) = self.good("perplexity", "--model", MODEL, "--json", "--per-token-nll",
                               "--tokens", "120", "--context", "120", "--attention", "dense",
                               "--windows", "1", "--targets", self.TARGETS, "--chunk", "32",
                               self.text).json["settings"]
        self.assertEqual(len(setting["nll"]), self.TARGETS)
        for a, b in zip(setting["nll"], whole[-self.TARGETS:]):
            self.assertAlmostEqual(a, b, delta=0.1)  # steps of another length round differently
        self.assertAlmostEqual(statistics.fmean(setting["nll"]),
                               statistics.fmean(whole[-self.TARGETS:]), delta=0.01)

    def test_retrieving_everything_is_dense_attention(self):
        dense = self.grid("--context", "100,300", "--attention", "dense", "--kv-type", "f32")
        self.assertEqual(dense["attention"], "dense")
        self.assertEqual([s["context"] for s in dense["settings"]], [100, 300])
        everything = self.grid("--context", "100,300", "--retrieve", "20", "--recent", "32",
                               "--block-tokens", "16", "--kv-type", "f32")
        for a, b in zip(dense["settings"], everything["settings"]):
            self.assertNotIn("retrieve", a)
            self.assertEqual((b["retrieve"], b["selection"]), (20, "per-token"))
            self.assertAlmostEqual(a["mean_nll"], b["mean_nll"], delta=0.02)

    def test_the_table(self):
        options = ("--context", "100,300", "--retrieve", "0,4", "--selection",
                   "per-token,per-chunk", "--adapter", LANDMARK)
        lines = self.good(*self.base, *options).stdout.splitlines()
        self.assertEqual(lines[0].split(), ["context", "selection", "k=0", "k=4"])
        cells = [line.split() for line in lines[1:]]
        self.assertEqual([row[:2] for row in cells], [[c, s] for c in ("100", "300")
                                                      for s in ("per-token", "per-chunk")])
        perplexities = [f"{s['perplexity']:.4f}" for s in self.grid(*options)["settings"]]
        self.assertEqual([cell for row in cells for cell in row[2:]], perplexities)
        dense = self.good(*self.base, "--context", "100", "--attention", "dense").stdout
        self.assertRegex(dense, r"^ context +dense\n +100 +[0-9.]+\n$")

    def test_what_cannot_be(self):
        tokens = self.grid("--context", "100")["tokens"]
        for options, saying in (
                (("--context", "40"), "40 leaves no token before 40 targets; use 41 or more"),
                (("--context", "100,9000"),
                 f"3 windows of a text of {tokens} tokens have {tokens // 3} each, --context is "
                 "up to 9000"),
                (("--context", "0"), "0 leaves no token"),
                (("--context", "100", "--retrieve", "1,500"), "context of 8192"),
                (("--context", "100", "--retrieve", "1,-1"), "must not be negative"),
                (("--context", "100", "--selection", "per-token,none"), "'none' is not a selec"),
                (("--context", "100", "--attention", "dense", "--retrieve", "1"),
                 "dense retrieves nothing; leave out"),
                (("--context", "100", "--attention", "dense", "--selection", "per-chunk"),
                 "dense retrieves nothing; leave out"),
                (("--context", "100", "--adapter", LANDMARK, "--retrieve", "4,20"),
                 "trained on 256")):
            with self.subTest(options=options):
                self.refused(*self.base, *options, saying=saying)
        for option in ("--targets", "--windows"):
            self.refused("perplexity", "--model", MODEL, "--context", "100", option, "0", self.text,
                         saying=f"{option} 0: use 1 or more")
        self.refused(*self.base, "--context", "100,many", code=2, saying="see `cairn")

    def test_an_interrupt_says_where(self):
        long = self.file("long.txt", random_text(60000))
        process = subprocess.Popen(
            command("perplexity", "--model", MODEL, "--context", "4000", "--retrieve", "0,1,2,4,8",
                    "--windows", "4", long), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.7)
        self.assertIsNone(process.poll(), "the command was too quick for this test")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        self.assertEqual((process.returncode, stdout), (130, b""))
        self.assertRegex(stderr.decode(), re.compile(
            "stopped at window [0-9]+ of 4, setting [0-9]+ of 5, token [0-9]+ of 4000; nothing"))


if __name__ == "__main__":
    unittest.main()
