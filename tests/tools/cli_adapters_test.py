#!/usr/bin/env python3
"""LoRA adapters through the command line: several at once, what a session remembers of them."""

import math
import pathlib
import shutil
import subprocess
import unittest

from cli_harness import (CliTest, IN_LOSS, LANDMARK, LANDMARK2, LORA, LORA2, MODEL, MODELS,
                         OLDER_SESSION, SMALL_STEPS, TIMEOUT_SECONDS, plain, random_text)

BLOCK_TOKENS = 15  # of the tiny landmark adapters


def given(*adapters):
    return [word for adapter in adapters for word in ("--adapter", adapter)]


class Several(CliTest):
    def nll(self, *adapters, more=()):
        text = self.file("text.txt", random_text(600))
        done = self.good("perplexity", "--model", MODEL, *given(*adapters), *more, "--json",
                         "--per-token-nll", text)
        return done.json["nll"]

    def test_all_are_merged_whatever_their_order(self):
        combinations = [(), (LORA,), (LORA + "=0.5",), (LORA2,), (LORA, LORA2),
                        (LORA, LORA2 + "=-1"), (LANDMARK,), (LANDMARK, LORA),
                        (LANDMARK, LORA, LORA2)]
        results = [self.nll(*adapters) for adapters in combinations]
        for i, result in enumerate(results):
            self.assertTrue(all(map(math.isfinite, result)), combinations[i])
            for j in range(i):
                self.assertNotEqual(result, results[j], (combinations[i], combinations[j]))
        self.assertEqual(self.nll(LORA2, LANDMARK, LORA), results[-1])
        self.assertEqual(self.nll(LORA2, LORA), results[4])
        self.assertEqual(self.nll(LORA, LORA2 + "=0"), results[1])

    def test_generate_takes_them(self):
        for adapters in ((LORA, LORA2), (LORA, LANDMARK)):
            steps = SMALL_STEPS if LANDMARK in adapters else ()
            made = self.good("generate", "--model", MODEL, *given(*adapters), *steps, "--prompt",
                             "in the", "--max-tokens", "3", "--json").json
            self.assertEqual(made["tokens"], 3)

    def test_what_cannot_be(self):
        base = ("generate", "--model", MODEL, "--prompt", "x")
        self.refused(*base, *given(LANDMARK, LANDMARK2),
                     saying="landmark.gguf' and '.*landmark2.gguf' both carry landmarks")
        self.refused(*base, *given(LORA, LORA + "=2"), saying="are the same adapter; give it once")
        self.refused(*base, *given(LORA, "=2"), saying="'=2' names no file")
        self.refused(*base, *given(LORA, LORA2 + "=nan"), saying="'nan' is not a scale")


class InLoss(CliTest):
    """The two label conventions differ in the row that predicts a block's first token."""

    def test_the_landmark_row_predicts_what_follows_a_block(self):
        text = self.file("text.txt", random_text(600))
        for attention in (("dense",), ("retrieval", *SMALL_STEPS)):
            regular, in_loss = (
                self.good("perplexity", "--model", MODEL, "--adapter", adapter, "--attention",
                          *attention, "--json", "--per-token-nll", text).json["nll"]
                for adapter in (LANDMARK, IN_LOSS))
            differing = [i for i, (a, b) in enumerate(zip(regular, in_loss)) if a != b]
            self.assertEqual(differing, list(range(BLOCK_TOKENS - 1, len(regular), BLOCK_TOKENS)))

    def test_sessions_and_answers(self):
        text = self.file("text.txt", random_text(900))
        self.ingest(text, "--adapter", IN_LOSS, *SMALL_STEPS)
        answers = [self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "40",
                             "--json", "Who?").json for _ in range(2)]
        self.assertEqual(answers[0]["answer"], answers[1]["answer"])
        self.refused("ask", *self.session(), "--adapter", LANDMARK, "--retrieve", "4", "Who?",
                     saying="does not give adapter .*in_loss.gguf")


class Remembered(CliTest):
    def setUp(self):
        super().setUp()
        self.text = self.file("text.txt", random_text(900))
        self.ingest(self.text, *given(LORA + "=0.5", LANDMARK), *SMALL_STEPS)

    def ask(self, *options, name="s"):
        return ("ask", *self.session(name), "--retrieve", "4", "--max-tokens", "5", *options,
                "Who?")

    def answer(self, *options):
        return self.good(*self.ask(*options, "--json")).json["answer"]

    def test_show_lists_them_as_given(self):
        shown = self.show()
        self.assertNotIn("adapter", shown)
        self.assertEqual([(a["path"], a["scale"]) for a in shown["adapters"]],
                         [(LORA, 0.5), (LANDMARK, 1)])
        text = self.good("sessions", "show", "s", "--store", self.store).stdout
        self.assertRegex(text, r"adapter    .*lora.gguf \(scale 0.5\)\nadapter    .*landmark.gguf "
                               r"\(scale 1\)")
        self.ingest(self.text, name="plain")
        self.assertEqual(self.show("plain")["adapters"], [])

    def test_later_commands_need_not_name_them(self):
        answer = self.answer()
        self.assertEqual(self.answer(*given(LANDMARK, LORA + "=0.5")), answer)
        more = self.file("more.txt", random_text(300, stream=1))
        self.ingest(more)
        self.assertEqual(len(self.show()["adapters"]), 2)
        self.good("chat", *self.session(), *given(LANDMARK + "=1", LORA + "=0.5"), "--retrieve",
                  "4", "--max-tokens", "2", stdin=b"Who?\n")

    def test_the_digest_does_not_depend_on_their_order(self):
        self.ingest(self.text, *given(LANDMARK, LORA + "=0.5"), *SMALL_STEPS, name="turned")
        self.assertEqual(self.digest("turned"), self.digest())
        self.ingest(self.text, *given(LANDMARK), *SMALL_STEPS, name="one")
        self.assertNotEqual(self.digest("one"), self.digest())

    def test_what_differs_is_said(self):
        for adapters, saying in (
                ((LORA, LANDMARK), "lora.gguf has scale 1, session 's' was made with scale 0.5"),
                ((LORA + "=0.5",), "'s' was made with landmarks .*gives adapters without"),
                ((LANDMARK,), "this command does not give adapter .*lora.gguf"),
                ((LANDMARK, LORA + "=0.5", LORA2), "adapter .*lora2.gguf was not part of it"),
                ((LANDMARK2, LORA + "=0.5"), "does not give adapter .*landmark.gguf")):
            with self.subTest(adapters=adapters):
                self.refused(*self.ask(*given(*adapters)), saying=saying)
                self.refused("ingest", *self.session(), "--model", MODEL, *given(*adapters),
                             *SMALL_STEPS, self.text, saying=saying)

    def test_files_that_moved_or_changed(self):
        lora = pathlib.Path(shutil.copy(LORA, self.directory / "l.gguf"))
        self.ingest(self.text, *given(lora, LANDMARK), *SMALL_STEPS, name="m")
        moved = lora.rename(self.directory / "moved.gguf")
        self.refused(*self.ask(name="m"), saying="no file '.*l.gguf' any more.*as --adapter")
        self.good(*self.ask(*given(moved, LANDMARK), name="m"))
        shutil.copy(LORA2, lora)
        self.refused(*self.ask(name="m"), saying="file at .*l.gguf has changed since session 'm'")


class FromAnotherDirectory(CliTest):
    def test_they_are_found(self):
        text = self.file("text.txt", random_text(600))
        made = plain("ingest", *self.session(), "--model", "tiny.gguf", "--adapter", "lora.gguf",
                     text, cwd=MODELS)
        self.assertEqual(made.code, 0, made.stderr)
        shown = self.show()
        self.assertEqual([shown["model"]["path"], shown["adapters"][0]["path"]], [MODEL, LORA])
        asked = plain("ask", *self.session(), "--max-tokens", "1", "Who?", cwd=self.directory)
        self.assertEqual(asked.code, 0, asked.stderr)


class Older(CliTest):
    """Sessions of versions that knew one adapter."""

    def test_they_go_on(self):
        text = self.file("text.txt", random_text(900))
        self.ingest(text, "--adapter", LANDMARK + "=0.5", *SMALL_STEPS, name="landmark")
        self.ingest(text, name="plain")
        for name, adapters in (("landmark", [(LANDMARK, 0.5)]), ("plain", [])):
            before = self.show(name)
            subprocess.run([OLDER_SESSION, str(self.store), name], check=True,
                           timeout=TIMEOUT_SECONDS)
            self.assertEqual(self.show(name), before)
            self.assertEqual([(a["path"], a["scale"]) for a in before["adapters"]], adapters)
            self.good("ask", *self.session(name), "--retrieve", "4", "--max-tokens", "2", "Who?")
            self.assertEqual(self.ingest(text, name=name).json["tokens_read"], 0)
            self.ingest(self.file("more.txt", random_text(300, stream=1)), name=name)
            self.assertEqual(self.show(name)["adapters"], before["adapters"])
        self.refused("ask", *self.session("landmark"), "--adapter", LANDMARK, "Who?",
                     saying="has scale 1, session 'landmark' was made with scale 0.5")

    def test_a_text_of_which_it_made_other_tokens_does_not_go_on(self):
        texts = [self.file(f"{i}.txt", random_text(3000, stream=i)) for i in (0, 1)]
        for name, text in zip("ab", texts):
            self.ingest(text, name=name)
        self.good("sessions", "fork", "a", "half", "--at", "512", "--store", self.store)
        hash_of_other = self.show("b")["ingests"][0]["hash"]
        subprocess.run([OLDER_SESSION, str(self.store), "half", hash_of_other], check=True,
                       timeout=TIMEOUT_SECONDS)
        before = self.show("half")
        self.refused("ingest", *self.session("half"), "--model", MODEL, texts[1],
                     saying="session 'half' has 512 tokens of .*0.txt that are not its first ones")
        self.assertEqual(self.show("half"), before)


if __name__ == "__main__":
    unittest.main()
