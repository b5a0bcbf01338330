#!/usr/bin/env python3
"""Models with a vocabulary of SentencePiece through the command line: texts come back as they were,
answers without the space that the vocabulary puts in front, conversations in [INST]."""

import subprocess
import unittest

from cli_harness import CliTest, MODELS, TIMEOUT_SECONDS, command, random_text

PIECES = str(MODELS / "pieces.gguf")
OPTIONS = ("--chunk", "64")
TEXT = "in  the beginning \u00e9\u4f60 there,\n\tcame \U0001f30a  rain \n"


class SentencePiece(CliTest):
    def text(self, *options):
        return self.good("inspect", "text", *self.session(), "--json", *options).json["text"]

    def test_texts_come_back_as_they_were(self):
        first, second = TEXT + random_text(600), " " + TEXT
        self.ingest(self.file("a.txt", first), "--raw", *OPTIONS, model=PIECES)
        self.assertEqual(self.text(), first)
        self.ingest(self.file("b.txt", second), "--raw", *OPTIONS, model=PIECES)
        self.assertEqual(self.text(), first + second)
        end = self.show()["tokens"]
        self.assertEqual(self.text("--range", "0:4") + self.text("--range", f"4:{end}"),
                         first + second)

    def bytes_of(self, *arguments):
        """Stdout as it is: a random model says bytes that are no text."""
        return subprocess.run(command(*arguments), stdout=subprocess.PIPE, check=True,
                              stderr=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS).stdout

    def test_a_conversation_in_inst(self):
        text = random_text(600).strip()
        self.ingest(self.file("a.txt", text), *OPTIONS, model=PIECES)
        self.assertEqual(self.text(), "[INST] " + text)
        ask = ("ask", *self.session(), "--keep", "--max-tokens")
        answer = self.bytes_of(*ask, "12", "Who came?")
        self.bytes_of(*ask, "2", "And who went?")
        whole = self.bytes_of("inspect", "text", *self.session())
        begin = f"[INST] {text}\n\nWho came? [/INST]".encode()
        self.assertTrue(whole.startswith(begin), whole)
        told, _, rest = whole.removeprefix(begin).partition(b"[INST] And who went? [/INST]")
        self.assertTrue(rest, whole)
        self.assertTrue(answer.startswith(told.removeprefix(b" ")), (told, answer))

    def test_raw_text_goes_on(self):
        made = self.good("generate", "--model", PIECES, "--max-tokens", "6", "--json", "--prompt",
                         "the rain").json
        self.assertEqual(made["prompt_tokens"], 6)  # <s>, " the", " ", "r", "a", "in"


if __name__ == "__main__":
    unittest.main()
