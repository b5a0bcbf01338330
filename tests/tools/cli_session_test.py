#!/usr/bin/env python3
"""Sessions through the command line: resuming, repeating, keeping, and what the digest covers."""

import random
import shutil
import signal
import subprocess
import time
import unittest

from cli_harness import (CliTest, LANDMARK, MODEL, SEED, SMALL_STEPS, TIMEOUT_SECONDS, command,
                         random_text, run)

BLOCK_TOKENS = 15  # of the tiny landmark adapter
MODES = {
    "unmodified": ("--chunk", "128"),
    "landmark": ("--adapter", LANDMARK, *SMALL_STEPS),
}


class Resume(CliTest):
    def start(self, text, options, store):
        return subprocess.Popen(
            command("ingest", "--store", store, "--session", "s", "--model", MODEL, *options, text),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self, process, wait, how):
        """Waits, signals, and returns the exit code (0: it was done before)."""
        time.sleep(wait)
        process.send_signal(how)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        return process.returncode, stderr.decode()

    def test_killed_at_random_moments_it_ends_with_the_same_digest(self):
        rng = random.Random(f"{SEED}/kill")
        text = self.file("text.txt", random_text(40000))
        for mode, options in MODES.items():
            whole, broken = self.directory / f"{mode}-whole", self.directory / f"{mode}-broken"
            begun = time.monotonic()
            self.good("ingest", "--store", whole, "--session", "s", "--model", MODEL, *options,
                      text)
            seconds = time.monotonic() - begun
            killed = 0
            for _ in range(5):
                process = self.start(text, options, broken)
                code, stderr = self.finish(process, rng.uniform(0, 0.5 * seconds), signal.SIGKILL)
                self.assertIn(code, (0, -signal.SIGKILL), stderr)
                killed += code != 0
            last = self.good("ingest", "--store", broken, "--session", "s", "--model", MODEL,
                             *options, text)
            with self.subTest(mode=mode, seconds=seconds, last=last.stderr):
                self.assertGreaterEqual(killed, 1)
                self.assertEqual(self.digest(store=broken), self.digest(store=whole))
                asked = [self.good("ask", "--store", store, "--session", "s", "--max-tokens", "4",
                                   "--json", "Who?").json["answer"] for store in (whole, broken)]
                self.assertEqual(asked[0], asked[1])

    def test_an_interrupt_commits_and_says_how_to_go_on(self):
        options = MODES["unmodified"]
        text = self.file("text.txt", random_text(120000))
        process = self.start(text, options, self.store)
        while process.poll() is None and not self.has_session():
            time.sleep(0.01)
        code, stderr = self.finish(process, 0.3, signal.SIGINT)
        self.assertEqual(code, 130, stderr)
        self.assertRegex(stderr, "stopped at token .* the same command goes on")
        stopped = self.show()
        self.assertFalse(stopped["ingests"][-1]["done"])
        # Another text must wait until this one is read.
        other = self.file("other.txt", random_text(500, stream=3))
        self.refused("ingest", *self.session(), "--model", MODEL, other,
                     saying="in the middle of reading")
        shorter = ("ingest", *self.session(), "--model", MODEL, "--tokens", "100", text)
        self.refused(*shorter, saying="in the middle of reading")
        self.assertEqual(self.show(), stopped)
        process = self.start(text, options, self.store)
        code, stderr = self.finish(process, 0.2, signal.SIGINT)
        if stopped["tokens"] > 0:
            self.assertRegex(stderr, f"going on at token {stopped['tokens']} of")
        self.assertGreaterEqual(self.show()["tokens"], stopped["tokens"])

    def has_session(self):
        return run("sessions", "show", "s", "--store", self.store).code == 0


class History(CliTest):
    def grown(self, *options):
        """The history of a session of one text, of more than one commit, and a kept question."""
        text = self.file("text.txt", random_text(7000))
        first = self.ingest(text, *options).json["tokens"]
        self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "3", "--keep", "Who?")
        shown = self.show_all()
        history = shown["history"]
        self.assertEqual(len(history), shown["commits"])
        self.assertGreaterEqual(history[0]["tokens"], 4096)
        self.assertEqual(history[-2]["tokens"], first)
        for key in ("tokens", "rows", "blocks", "payload_bytes"):
            self.assertEqual(history[-1][key], shown[key])
            steps = [step[key] for step in history]
            self.assertEqual(steps, sorted(steps))
            added = [step["added"][key] for step in history]
            self.assertEqual([sum(added[:i + 1]) for i in range(len(added))], steps)
        return shown

    def test_of_landmarks_and_of_forks(self):
        shown = self.grown("--adapter", LANDMARK, *SMALL_STEPS)
        for step in shown["history"]:
            self.assertEqual(step["rows"], step["tokens"] + step["tokens"] // BLOCK_TOKENS)
        self.assertEqual(shown["token_bytes"], 4 * shown["tokens"])
        self.assertGreater(shown["landmark_bytes"], 0)
        self.assertEqual(shown["landmark_bytes"] % shown["blocks"], 0)
        printed = self.good("sessions", "show", "s", "--store", self.store).stdout
        self.assertRegex(printed, f"growth +{len(shown['history'])} steps of ")
        table = self.good("sessions", "show", "s", "--store", self.store, "--history").stdout
        self.assertTrue(table.startswith(printed))
        self.assertEqual(len(table[len(printed):].strip().split("\n")), 1 + len(shown["history"]))
        # A fork begins with all that it has; a copy too.
        self.good("sessions", "fork", "s", "half", "--at", "300", "--store", self.store)
        fork = self.show_all("half")
        self.assertEqual(fork["history"][0]["added"]["tokens"], fork["tokens"])
        self.assertEqual(len(fork["history"]), 1)

    def test_without_landmarks_and_without_tokens(self):
        shown = self.grown("--chunk", "64", "--recent", "64")
        self.assertEqual(shown["rows"], shown["tokens"])
        self.good("sessions", "fork", "s", "empty", "--at", "0", "--store", self.store)
        self.assertEqual(self.show_all("empty")["history"], [])
        printed = self.good("sessions", "show", "empty", "--store", self.store, "--history").stdout
        self.assertRegex(printed, "growth +no tokens yet")


class Repeat(CliTest):
    def setUp(self):
        super().setUp()
        self.text = self.file("text.txt", random_text(1500))
        self.ingest(self.text)
        self.first = self.show()

    def test_the_same_text_is_read_once(self):
        done = self.ingest(self.text)
        self.assertEqual(done.json["tokens_read"], 0)
        self.assertRegex(done.stderr, "already; --again")
        self.assertEqual(self.show(), self.first)
        copy = self.file("copy.txt", self.text.read_bytes())
        self.assertEqual(self.ingest(copy).json["tokens_read"], 0)
        self.assertEqual(self.show(), self.first)

    def test_again_appends(self):
        read = self.ingest(self.text, "--again").json["tokens_read"]
        after = self.show()
        self.assertEqual(after["tokens"], self.first["tokens"] + read)
        self.assertEqual([ingest["done"] for ingest in after["ingests"]], [True, True])
        self.assertNotEqual(after["digest"], self.first["digest"])

    def test_a_second_text_is_a_second_ingest(self):
        second = self.file("second.txt", random_text(900, stream=1))
        read = self.ingest(second).json["tokens_read"]
        after = self.show()
        self.assertEqual(after["tokens"], self.first["tokens"] + read)
        self.assertEqual(after["ingests"][1]["start"], self.first["tokens"])
        self.assertTrue(after["turn_open"])
        self.assertEqual(self.ingest(self.text).json["tokens_read"], 0)

    def test_deleting_frees_the_name_and_the_space(self):
        self.good("sessions", "delete", "s", "--store", self.store)
        listed = self.good("sessions", "list", "--store", self.store, "--json").json
        self.assertEqual(listed["sessions"], [])
        self.refused("sessions", "show", "s", "--store", self.store, saying="no session")
        self.ingest(self.text)
        self.assertEqual(self.digest(), self.first["digest"])

    def test_the_model_may_move(self):
        moved = self.directory / "moved.gguf"
        shutil.copy(MODEL, moved)
        self.ingest(self.text, name="m", model=moved)
        there = self.directory / "there.gguf"
        moved.rename(there)
        self.refused("ask", *self.session("m"), "Who?", saying="moved.gguf.*--model")
        self.good("ask", *self.session("m"), "--model", there, "--max-tokens", "2", "Who?")


class Ask(CliTest):
    def setUp(self):
        super().setUp()
        self.ingest(self.file("text.txt", random_text(3000)), "--adapter", LANDMARK, *SMALL_STEPS)
        self.before = self.show()

    def ask(self, *arguments):
        return self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "40", "--json",
                         *arguments).json

    def test_the_session_stays_as_it_was(self):
        first = self.ask("What was near the river?")
        self.assertFalse(first["kept"])
        self.assertEqual(self.show(), self.before)
        again = self.ask("What was near the river?")
        self.assertEqual(again["answer"], first["answer"])

    def test_every_question_of_a_file_meets_the_same_session(self):
        questions = self.file("questions.txt", "Who was there?\n\nWhere?\nWho was there?\n")
        answers = self.ask("--questions", questions)["answers"]
        self.assertEqual([a["question"] for a in answers],
                         ["Who was there?", "Where?", "Who was there?"])
        self.assertEqual(answers[0]["answer"], answers[2]["answer"])
        self.assertEqual(answers[1]["answer"], self.ask("Where?")["answer"])
        self.assertEqual(self.show(), self.before)

    def test_keep_makes_the_turn_part_of_it(self):
        kept = self.ask("--keep", "Who was there?")
        self.assertTrue(kept["kept"])
        after = self.show()
        self.assertNotEqual(after["digest"], self.before["digest"])
        self.assertGreaterEqual(after["tokens"], self.before["tokens"] + kept["question_tokens"]
                                + kept["answer_tokens"])
        self.assertFalse(after["turn_open"])
        self.ask("And then?")
        self.assertEqual(self.show(), after)
        self.ingest(self.file("more.txt", random_text(500, stream=2)), "--adapter", LANDMARK,
                    *SMALL_STEPS)
        self.assertTrue(self.show()["turn_open"])

    def test_chat_keeps_when_told(self):
        chat = ("chat", *self.session(), "--retrieve", "4", "--max-tokens", "5")
        done = self.good(*chat, stdin=b"/why\nWho?\n/why\n/nonsense\n/quit\nnot read\n")
        self.assertRegex(done.stderr, "nothing was asked yet")
        self.assertRegex(done.stderr, r"1\. block [0-9]+, tokens [0-9]+ to [0-9]+: [0-9]+ %")
        self.assertRegex(done.stderr, "/nonsense is not known")
        self.assertEqual(self.show(), self.before)
        self.good(*chat, stdin=b"Who?\n/keep\nAnd then?\n")
        self.assertGreater(self.show()["tokens"], self.before["tokens"])

    def test_a_session_of_landmarks_refuses_what_its_adapter_decides(self):
        for option in ("--sinks", "--recent"):
            self.refused("ask", *self.session(), "--retrieve", "4", option, "1", "Who?",
                         saying=option + ".*landmark")
        self.assertEqual(self.show(), self.before)


class Digest(CliTest):
    def test_it_does_not_depend_on_memory(self):
        text = self.file("text.txt", random_text(12000))
        for mode, options in MODES.items():
            digests = {}
            for number, memory in enumerate((("--host-memory", "64MiB"),
                                             ("--host-memory", "3MiB"),
                                             ("--host-memory", "3MiB", "--compute-memory", "3MiB"),
                                             ("--host-memory", "64MiB", "--compute-memory",
                                              "64MiB"))):
                name = f"{mode}{number}"
                self.ingest(text, *options, *memory, name=name)
                digests[memory] = self.digest(name)
            with self.subTest(mode=mode):
                self.assertEqual(len(set(digests.values())), 1, digests)

    def test_it_covers_text_model_and_options(self):
        text = self.file("text.txt", random_text(1500))
        changed = self.file("changed.txt", random_text(1500)[:-2] + "7\n")
        digests = []
        for number, (what, options) in enumerate((
                (text, ()), (changed, ()), (text, ("--raw",)), (text, ("--chunk", "128")),
                (text, ("--kv-type", "f32")), (text, ("--block-tokens", "32")),
                (text, ("--tokens", "700")), (text, ("--adapter", LANDMARK, *SMALL_STEPS)))):
            self.ingest(what, *options, name=f"s{number}")
            digests.append(self.digest(f"s{number}"))
        self.assertEqual(len(set(digests)), len(digests), digests)


if __name__ == "__main__":
    unittest.main()
