#!/usr/bin/env python3
"""cairn eval: texts, results, resuming, and what is refused; pass keys with the real model.

The real model is $CAIRN_MODEL (or the build's CAIRN_DEFAULT_MODEL) with $CAIRN_ADAPTER; without one
its test is skipped.
"""

import csv
import json
import os
import signal
import subprocess
import time
import unittest
import xml.etree.ElementTree

from cli_harness import (CliTest, LANDMARK, LORA, MODEL, OTHER_MODEL, REAL_ADAPTER, REAL_MODEL,
                         TIMEOUT_SECONDS, command, random_text)



class Eval(CliTest):
    def setUp(self):
        super().setUp()
        self.text = self.file("text.txt", random_text(30000))
        self.scratch = self.directory / "scratch"

    def arguments(self, *options, task="passkey", model=MODEL, chunk="128", max_tokens="4"):
        return ("eval", task, "--model", model, "--text", self.text, "--chunk", chunk,
                "--max-tokens", max_tokens, *options)

    def measure(self, *options, **named):
        return self.good(*self.arguments("--json", *options, **named)).json

    def results(self):
        return [json.loads(line) for line in
                (self.scratch / "results.jsonl").read_text().splitlines()]


class Results(Eval):
    def test_texts_have_the_asked_tokens_and_facts_their_depths(self):
        for task in ("passkey", "facts"):
            with self.subTest(task=task):
                done = self.measure("--lengths", "1500,2k", "--samples", "2", task=task)
                self.assertEqual([(t["length"], t["text"]) for t in done["texts"]],
                                 [(1500, 0), (1500, 1), (2048, 0), (2048, 1)])
                for text in done["texts"]:
                    self.assertEqual(text["tokens"], text["length"])
                    self.assertEqual(text["tokens_read"], text["length"])
                    self.assertEqual([a["bin"] for a in text["answers"]], [0, 1, 2, 3, 4])
                    for answer in text["answers"]:
                        self.assertEqual(int(answer["depth"] * 5), answer["bin"])
                for length in done["lengths"]:
                    self.assertEqual(length["asked"], 10)
                    self.assertEqual([d["asked"] for d in length["depths"]], [2] * 5)
                    self.assertEqual(sum(k["asked"] for k in length["kinds"].values()), 10)
                    self.assertLessEqual({"found", "contains", "accuracy", "interval", "tiers",
                                          "tokens_per_second", "ms_per_answer_token"}, set(length))

    def test_the_seed_decides(self):
        def hashes(seed):
            done = self.measure("--lengths", "1k", "--samples", "2", "--facts-per-text", "1",
                                "--seed", seed)
            return [(text["hash"], [a["answer"] for a in text["answers"]])
                    for text in done["texts"]]
        first = hashes("1")
        self.assertEqual(hashes("1"), first)
        self.assertNotEqual(first[0], first[1])
        self.assertFalse({h for h, _ in first} & {h for h, _ in hashes("2")})

    def test_files_and_reports(self):
        table, picture = self.directory / "t.csv", self.directory / "p.svg"
        done = self.good(*self.arguments("--lengths", "1k,2k", "--samples", "3", "--depths", "3",
                                         "--facts-per-text", "1", "--csv", table, "--heat-map",
                                         picture, "--adapter", LANDMARK, "--retrieve", "4",
                                         chunk="64"))
        rows = list(csv.DictReader(table.read_text().splitlines()))
        self.assertEqual([(r["length"], r["asked"]) for r in rows],
                         [("1024", "1")] * 3 + [("2048", "1")] * 3)
        root = xml.etree.ElementTree.parse(picture).getroot()
        self.assertTrue(root.tag.endswith("svg"))
        self.assertRegex(done.stdout, r"(?m)^1k +[0-3]/3 ")
        self.assertRegex(done.stdout, r"landmark: 4 blocks of 15 tokens per KV head")
        self.assertRegex(done.stderr, r"wrong in text 1 of 1024 tokens at \d+ %: What is the pass "
                                      r"key\? \d{5}, not ")
        self.assertEqual([p.name for p in self.directory.glob("*.new")], [])
        quiet = self.good(*self.arguments("--lengths", "1k", "--samples", "1", "--depths", "1",
                                          "--quiet"))
        self.assertEqual(quiet.stderr, "")

    def test_another_question(self):
        done = self.measure("--lengths", "1k", "--samples", "1", "--facts-per-text", "1",
                            "--question", "Which number is it?")
        self.assertEqual(done["texts"][0]["answers"][0]["question"], "Which number is it?")

    def test_the_papers_filler_and_a_preface(self):
        options = ("eval", "passkey", "--model", MODEL, "--filler", "paper", "--lengths", "1k",
                   "--samples", "1", "--depths", "1", "--max-tokens", "2", "--json")
        plain = self.good(*options).json["texts"][0]
        prefaced = self.good(*options, "--preface", "There is a number.").json["texts"][0]
        self.assertEqual((plain["tokens"], prefaced["tokens"]), (1024, 1024))
        self.assertNotEqual(plain["hash"], prefaced["hash"])

    def test_a_short_text_is_repeated_and_that_is_said(self):
        short = self.file("short.txt", random_text(400))
        done = self.good("eval", "passkey", "--model", MODEL, "--text", short, "--text", short,
                         "--lengths", "2k", "--samples", "1", "--depths", "1", "--max-tokens", "2")
        self.assertRegex(done.stderr, r"the text has \d+ tokens, so texts of 2048 repeat parts")


class Resume(Eval):
    LONG = ("--lengths", "6k,9k", "--samples", "2", "--depths", "2")

    def start(self, *options, environment=None):
        return subprocess.Popen(command(*self.arguments(*self.LONG, *options)),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)

    def stop(self, process, how, when):
        """Signals once `when()` holds; returns the exit code and stderr."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not when() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(how)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        return process.returncode, stderr.decode()

    def lines(self):
        log = self.scratch / "results.jsonl"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def outcome(self, texts):
        kept = ("hash", "length", "text", "tokens")
        answer = ("question", "answer", "right", "positions")
        return [{**{k: text[k] for k in kept},
                 "answers": [[a[k] for k in answer] for a in text["answers"]]} for text in texts]

    def test_killed_or_interrupted_it_ends_with_the_same_answers(self):
        whole = self.measure(*self.LONG)
        for how in (signal.SIGKILL, signal.SIGINT):
            with self.subTest(how=how):
                scratch = ("--scratch", self.scratch)
                for finished in (1, 2):
                    process = self.start(*scratch)
                    code, stderr = self.stop(process, how,
                                             lambda: self.lines() >= 1 + finished)
                    self.assertIn(code, (-how, 130), stderr)
                    if how == signal.SIGINT:
                        self.assertRegex(stderr, "stopped with . of 4 texts finished; the same "
                                                 "command goes on")
                before = self.lines() - 1
                done = self.measure(*self.LONG, *scratch)
                self.assertLess(before, 4)
                self.assertEqual(self.outcome(done["texts"]), self.outcome(whole["texts"]))
                self.assertEqual(self.results()[0]["settings"], done["settings"])
                self.assertFalse((self.scratch / "store").exists())
                (self.scratch / "results.jsonl").unlink()

    def test_a_text_half_read_is_gone_on_with(self):
        """A text is stopped after its first commit, at about 4,096 of 9,216 tokens."""
        options = ("--lengths", "9k", "--samples", "1", "--depths", "1", "--facts-per-text", "1",
                   "--scratch", self.scratch)
        process = subprocess.Popen(command(*self.arguments(*options)), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        store = self.scratch / "store"
        # A commit writes blocks into the store.
        code, stderr = self.stop(process, signal.SIGINT, lambda: any(store.glob("blocks/*.seg")))
        self.assertEqual(code, 130, stderr)
        done = self.good(*self.arguments("--json", *options))
        self.assertRegex(done.stderr, r"going on at token \d+ of text 1 of 9216 tokens")
        text = done.json["texts"][0]
        self.assertEqual(text["tokens"], 9216)
        self.assertLess(text["tokens_read"], 9216)

    def test_a_damaged_last_line_is_dropped_and_another_is_not(self):
        options = ("--lengths", "1k", "--samples", "3", "--depths", "1", "--scratch", self.scratch)
        whole = self.measure(*options)
        log = self.scratch / "results.jsonl"
        lines = log.read_text().splitlines(keepends=True)
        self.assertEqual(len(lines), 4)
        again = self.measure(*options)
        self.assertEqual(again, whole)
        for broken in (lines[:3] + [lines[3][:50]], lines[:3] + [lines[3][:50] + "\n"], lines[:2],
                       [lines[0][:40]]):
            log.write_text("".join(broken))
            self.assertEqual(self.outcome(self.measure(*options)["texts"]),
                             self.outcome(whole["texts"]))
        log.write_text("".join([lines[0], lines[1][:50] + "\n", *lines[2:]]))
        self.refused(*self.arguments(*options), saying="line 2 of .* is damaged; remove the line")
        log.write_text("something else\n")
        self.refused(*self.arguments(*options), saying="does not begin with the settings")

    def test_other_settings_are_refused(self):
        options = ("--lengths", "1k", "--samples", "1", "--depths", "1", "--scratch", self.scratch)
        self.measure(*options)
        before = (self.scratch / "results.jsonl").read_bytes()
        for other, name in ((("--seed", "2"), "--seed"), (("--preface", "x"), "--preface"),
                            (("--retrieve", "3"), "--retrieve"),
                            (("--adapter", LORA), "--adapter")):
            self.refused(*self.arguments(*options, *other),
                         saying=f"was made with another {name} .*another --scratch")
        self.refused(*self.arguments(*options, model=OTHER_MODEL), saying="another --model")
        self.refused(*self.arguments(*options, task="facts"), saying="another task")
        self.assertEqual((self.scratch / "results.jsonl").read_bytes(), before)
        self.measure(*options, "--host-memory", "64MiB")

    def test_without_scratch_nothing_stays(self):
        temporary = self.directory / "tmp"
        temporary.mkdir()
        environment = {**os.environ, "TMPDIR": str(temporary)}
        process = self.start(environment=environment)
        code, stderr = self.stop(process, signal.SIGINT, lambda: any(temporary.iterdir()))
        self.assertEqual(code, 130, stderr)
        self.assertRegex(stderr, "stopped with . of 4 texts finished; nothing is kept without")
        self.assertEqual(list(temporary.iterdir()), [])
        done = subprocess.run(
            command(*self.arguments("--lengths", "1k", "--samples", "1", "--depths", "1")),
            capture_output=True, check=False, env=environment, timeout=TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(temporary.iterdir()), [])


class Refusals(Eval):
    def test_before_any_work(self):
        good = ("--lengths", "1k")
        for options, saying in (
                (("--lengths", "255"), "use 256 to"), (("--lengths", "2x"), "'2x' is no length"),
                (("--lengths", "2k,2048"), "names a length twice"),
                ((*good, "--samples", "0"), "--samples 0: use 1 or more"),
                ((*good, "--depths", "0"), "--depths 0: use 1 to"),
                ((*good, "--facts-per-text", "7"), "--facts-per-text 7: use 1 or a multiple"),
                ((*good, "--depths", "21"), "21 facts in a text"),
                ((*good, "--depths", "20"), "20 facts do not fit into a text of 1024"),
                ((*good, "--filler", "poem"), "--filler poem: use text or paper"),
                ((*good, "--filler", "paper"), "--text is not used with --filler paper"),
                ((*good, "--csv", "no/such/t.csv"), "there is no directory"),
                ((*good, "--scratch", self.text), "is a file, not a directory"),
                ((*good, "--scratch", self.directory / "no" / "such"), "cannot create directory"),
                ((*good, "--question", "Which?"), "--question is for .* --facts-per-text 1")):
            with self.subTest(options=options):
                self.refused(*self.arguments(*options), saying=saying)
        self.refused(*self.arguments(*good, max_tokens="0"), saying="--max-tokens 0: use 1 or more")
        self.refused("eval", "passkey", "--model", MODEL, *good, saying="no text to plant")
        self.refused("eval", "passkey", "--model", MODEL, saying="--lengths", code=2)
        self.refused("eval", saying="subcommand", code=2)

    def test_a_directory_of_something_else_is_left_alone(self):
        (self.scratch / "store").mkdir(parents=True)
        self.refused(*self.arguments("--lengths", "1k", "--scratch", self.scratch),
                     saying="belongs to something else")
        self.assertEqual([p.name for p in self.scratch.iterdir()], ["store"])

    def test_one_run_at_a_time(self):
        options = ("--lengths", "9k", "--samples", "3", "--scratch", self.scratch)
        process = subprocess.Popen(command(*self.arguments(*options)), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        while not (self.scratch / "results.jsonl").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.05)
        self.refused(*self.arguments(*options), saying="in use by another process")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_SECONDS)


@unittest.skipUnless(os.path.isfile(REAL_MODEL) and os.path.isfile(REAL_ADAPTER),
                     "no real model: set CAIRN_MODEL and CAIRN_ADAPTER")
class RealModel(CliTest):
    def test_pass_keys_are_found_by_retrieval_and_by_nothing_else(self):
        def found(*options):
            done = self.good("eval", "passkey", "--model", REAL_MODEL, "--adapter", REAL_ADAPTER,
                             "--filler", "paper", "--lengths", "2k", "--samples", "5",
                             "--facts-per-text", "1", "--max-tokens", "16", "--json", *options)
            return done.json["lengths"][0]["found"]
        self.assertGreaterEqual(found(), 4)
        self.assertLessEqual(found("--retrieve", "0"), 1)


if __name__ == "__main__":
    unittest.main()
