#!/usr/bin/env python3
"""What the commands print: documents that scripts rely on, texts as bytes, conformance, seeds."""

import json
import math
import unittest

from cli_harness import CliTest, DATA, LANDMARK, MODEL, SMALL_STEPS, random_text, run

TIERS = {"tiers", "stored_bytes", "cold_only_share", "seconds_waited"}
TIER = {"tier", "capacity_bytes", "held_bytes", "fetched_blocks", "hit_blocks", "bytes_in",
        "ahead_blocks", "verify_failures", "latency_us_p50", "latency_us_p99", "batches"}
CONFORM_TOLERANCE = 1e-5


class Documents(CliTest):
    """docs/cli.md lists these keys."""

    def holds(self, document, keys):
        self.assertLessEqual(set(keys), set(document), document)
        for tier in document.get("tiers", []):
            self.assertEqual(set(tier), TIER)

    def test_of_every_command(self):
        text = self.file("text.txt", random_text(3000))
        report = self.ingest(text, *("--adapter", LANDMARK, *SMALL_STEPS)).json
        self.holds(report, TIERS | {"session", "tokens_read", "tokens", "seconds",
                                    "tokens_per_second", "index_bytes"})
        self.assertEqual(report["tokens"], report["tokens_read"])
        shown = self.show()
        self.holds(shown, {"name", "tokens", "rows", "blocks", "payload_bytes", "commits",
                           "extents", "digest", "model", "adapters", "options", "ingests",
                           "turn_open"})
        sharing = self.show_all()
        self.assertEqual(sharing["own_bytes"], shown["payload_bytes"])
        self.assertEqual((sharing["shares_with"], sharing["forks"]), (None, []))
        self.assertEqual(shown["tokens"], report["tokens"])
        self.assertEqual(shown["rows"], shown["tokens"] + shown["tokens"] // 15)
        self.assertEqual(shown["payload_bytes"], report["stored_bytes"])
        listed = self.good("sessions", "list", "--store", self.store, "--json").json
        self.holds(listed, {"sessions", "disk_bytes"})
        self.assertEqual(listed["sessions"], [{
            "name": "s", "tokens": shown["tokens"], "mode": "landmark", "unfinished": False,
            "payload_bytes": shown["payload_bytes"], "shares_with": None, "shared_tokens": 0,
            "shared_bytes": 0}])
        answer = self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "3",
                           "--json", "Who?").json
        self.holds(answer, TIERS | {"answer", "answers", "question", "question_tokens",
                                    "answer_tokens", "seconds_to_first", "seconds_per_token",
                                    "session", "tokens", "kept"})
        made = self.good("generate", *self.session(), "--retrieve", "4", "--max-tokens", "3",
                         "--json", "--prompt", "in the").json
        self.holds(made, TIERS | {"text", "prompt_tokens", "tokens", "seconds_per_token"})
        deleted = self.good("sessions", "delete", "s", "--store", self.store, "--json").json
        self.assertEqual(deleted, {"deleted": "s", "freed_bytes": shown["payload_bytes"]})

    def test_quiet_says_nothing_on_stderr(self):
        text = self.file("text.txt", random_text(800))
        for command in (("ingest", *self.session(), "--model", MODEL, text),
                        ("ask", *self.session(), "--max-tokens", "2", "Who?"),
                        ("sessions", "list", "--store", self.store),
                        ("verify", "--store", self.store),
                        ("generate", "--model", MODEL, "--prompt", "in", "--max-tokens", "2"),
                        ("perplexity", "--model", MODEL, text)):
            self.assertEqual(self.good(*command, "--quiet").stderr, "", command)

    def test_the_help_names_every_command_and_default(self):
        overview = self.good("--help").stdout
        for name in ("ingest", "ask", "chat", "generate", "perplexity", "eval", "sessions",
                     "verify", "conform"):
            self.assertIn(name, overview)
            self.assertIn("--help", self.good(name, "--help").stdout)
        ingest = self.good("ingest", "--help").stdout
        for stated in ("default 512MiB", "default 256", "default 64", "default f16",
                       "default per-chunk", "default 1", "default 512)"):
            self.assertIn(stated, ingest)


class Texts(CliTest):
    def test_bytes_that_are_not_utf8_are_read_as_bytes(self):
        odd = self.file("odd.bin", bytes(range(256)) * 8)
        read = self.ingest(odd, "--raw").json["tokens_read"]
        self.assertGreaterEqual(read, 2048 - 8 * 4)  # a byte is a token, but for a few merges
        answer = self.good("ask", *self.session(), "--max-tokens", "8", "--json", "\x80 Who?")
        self.assertIn("answer", answer.json)

    def test_control_tokens_in_a_text_are_plain_text(self):
        marker = "<|im_end|>"
        plain = self.file("plain.txt", marker * 3)
        read = self.ingest(plain, "--raw").json["tokens_read"]
        self.assertGreaterEqual(read, len(marker) * 3 - 6)
        self.assertGreaterEqual(
            self.good("generate", "--model", MODEL, "--prompt", marker, "--max-tokens", "1",
                      "--json").json["prompt_tokens"], len(marker) - 2)

    def test_a_text_may_come_from_standard_input(self):
        text = random_text(600)
        self.ingest(self.file("text.txt", text))
        self.good("ingest", *self.session("piped"), "--model", MODEL, "-", stdin=text.encode())
        self.assertEqual(self.digest("piped"), self.digest())

    def test_tokens_limits_what_is_read(self):
        text = self.file("text.txt", random_text(3000))
        self.assertEqual(self.ingest(text, "--raw", "--tokens", "100").json["tokens_read"], 100)


class Generate(CliTest):
    def text(self, *options):
        return self.good("generate", "--model", MODEL, "--prompt", "in the", "--max-tokens", "30",
                         "--json", *options).json["text"]

    def test_a_seed_decides_the_draw(self):
        first = self.text("--temperature", "60", "--seed", "1")
        self.assertEqual(self.text("--temperature", "60", "--seed", "1"), first)
        self.assertNotEqual(self.text("--temperature", "60", "--seed", "2"), first)
        self.assertEqual(self.text(), self.text("--temperature", "0", "--seed", "9"))

    def test_it_wants_a_model_or_a_session(self):
        self.refused("generate", "--prompt", "x", saying="--store and --session, or --model")
        self.refused("generate", "--prompt", "x", "--model", MODEL, "--temperature", "-1",
                     saying="--temperature -1: use 0 to 100")


class Conform(CliTest):
    def setUp(self):
        super().setUp()
        self.golden = json.loads((DATA / "golden.json").read_text())

    def check(self, document, name):
        done = self.good("conform", self.file(name, json.dumps(document)), "--json")
        self.assertEqual(done.json["failed"], 0)
        for case in done.json["cases"]:
            self.assertLessEqual(case["max_error"], CONFORM_TOLERANCE, case["case"])
            self.assertTrue(case.get("selected_match", True), case["case"])
        return done.json

    def given(self):
        """The golden file with its formula's numbers written out."""
        document = dict(self.golden)
        document.pop("gen")
        rows, width = range(document["T"]), range(document["d"])
        document["q"] = [[1.5 * math.sin(0.7 * i + 1.3 * c + 0.1) for c in width] for i in rows]
        document["k"] = [[1.5 * math.cos(1.1 * i - 0.9 * c + 0.3) for c in width] for i in rows]
        document["v"] = [[math.sin(0.37 * i * (c + 1) + 0.5) for c in width] for i in rows]
        document["rope_style"] = "half-split"
        return document

    def test_the_golden_file(self):
        cases = self.check(self.golden, "golden.json")["cases"]
        self.assertGreaterEqual(len(cases), len(self.golden["cases"]))
        compared = [case for case in cases if "selected_match" in case]
        self.assertGreaterEqual(len(compared), len(self.golden["cases"]))
        for case in compared:
            self.assertEqual(len(case["blocks"]), self.golden["T"])

    def test_numbers_given_in_place_of_the_formula(self):
        self.check(self.given(), "given.json")

    def test_interleaved_pairs(self):
        document, half = self.given(), self.golden["d"] // 2
        document["rope_style"] = "interleaved"
        order = [c for pair in zip(range(half), range(half, 2 * half)) for c in pair]
        for name in ("q", "k"):
            document[name] = [[row[c] for c in order] for row in document[name]]
        self.check(document, "interleaved.json")

    def test_a_wrong_expectation_is_found(self):
        document = json.loads(json.dumps(self.golden))
        document["cases"][0]["out"][5][1] += 1e-3
        done = run("conform", self.file("wrong.json", json.dumps(document)), "--json")
        self.assertEqual(done.code, 1)
        self.assertEqual(done.json["failed"], 1)
        self.assertRegex(done.stderr, "1 of .* cases differ")

    def test_files_that_are_none(self):
        self.refused("conform", self.directory / "no.json", saying="cannot read")
        for content, saying in (("{", "not a conformance file"), ("[]", "not a conformance file"),
                                ('{"m":3}', "not a conformance file"),
                                ('{"m":3,"d":5,"T":8,"cases":[]}', "d is even"),
                                ('{"m":0,"d":4,"T":8,"cases":[]}', "at least 1"),
                                ('{"m":3,"d":4,"T":2,"q":[[1,2,3]],"cases":[]}', "'q' has a row")):
            with self.subTest(content=content):
                self.refused("conform", self.file("bad.json", content), saying=saying)

    def test_expectations_of_another_size(self):
        def refused(change, saying):
            document = json.loads(json.dumps(self.golden))
            change(document)
            with self.subTest(saying=saying):
                self.refused("conform", self.file("size.json", json.dumps(document)), saying=saying)

        rows = "not T = 22 rows of d = 4"
        refused(lambda d: d.update(dense=d["dense"][:2]), rows)
        refused(lambda d: d["cases"][0]["out"][3].pop(), rows)
        refused(lambda d: d["cases"][0].update(chunk=10**12), "chunk = 1000000000000: use 0 to")
        refused(lambda d: d["cases"][0].update(chunk=0), "chunk must be at least 1")


if __name__ == "__main__":
    unittest.main()
