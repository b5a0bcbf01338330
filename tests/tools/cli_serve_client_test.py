#!/usr/bin/env python3
"""The PyPI package `openai` talks to `cairn serve`: models, whole and streamed answers, errors.
Skipped where the package is not installed."""

import unittest

from cli_harness import CliTest, LANDMARK, MODEL, SMALL_STEPS, random_text
from serving import TOKEN, Served

try:
    import openai
except ImportError:
    openai = None


@unittest.skipUnless(openai, "no openai package here: its client is not tried")
class Client(CliTest):
    def setUp(self):
        super().setUp()
        self.ingest(self.file("s.txt", random_text(2000)), "--adapter", LANDMARK, *SMALL_STEPS)
        served = Served(self.store, "--model", MODEL, "--adapter", LANDMARK, "--retrieve", "4")
        self.addCleanup(lambda: self.assertEqual(served.stop(), (0, "")))
        self.base = f"http://127.0.0.1:{served.port}/v1"
        self.client = openai.OpenAI(base_url=self.base, api_key=TOKEN, max_retries=0)
        self.addCleanup(self.client.close)
        self.asked = {"model": "s", "max_tokens": 6,
                      "messages": [{"role": "user", "content": "Who is it?"}]}
        self.answer = self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "6",
                                "--json", "Who is it?").json["answer"]

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["s"])
        self.assertEqual(self.client.models.retrieve("s").owned_by, "cairn")

    def test_whole_answers(self):
        whole = self.client.chat.completions.create(**self.asked)
        self.assertEqual(whole.choices[0].message.content, self.answer)
        self.assertEqual(whole.usage.prompt_tokens_details.cached_tokens, self.show()["tokens"])

    def test_streamed_answers(self):
        pieces = list(self.client.chat.completions.create(
            **self.asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
        self.assertEqual(text, self.answer)
        self.assertIn(pieces[-2].choices[0].finish_reason, ("stop", "length"))
        self.assertGreater(pieces[-1].usage.completion_tokens, 0)

    def test_a_stream_that_is_closed_early(self):
        long = {**self.asked, "max_tokens": 4096, "temperature": 60}
        with self.client.chat.completions.create(**long, stream=True) as stream:
            next(iter(stream))
        self.assertEqual(self.client.chat.completions.create(**self.asked)
                         .choices[0].message.content, self.answer)

    def test_errors_are_the_classes_that_people_catch(self):
        def refused(kind, client=self.client, **changes):
            for stream in (False, True):
                with self.assertRaises(kind) as caught:
                    client.chat.completions.create(**{**self.asked, **changes}, stream=stream)
            return caught.exception.body

        self.assertEqual(refused(openai.NotFoundError, model="x")["code"], "model_not_found")
        self.assertEqual(refused(openai.BadRequestError, n=2)["param"], "n")
        self.assertEqual(refused(openai.BadRequestError, messages=[])["param"], "messages")
        stranger = openai.OpenAI(base_url=self.base, api_key="x" * 32, max_retries=0)
        self.assertEqual(refused(openai.AuthenticationError, stranger)["type"],
                         "authentication_error")
        stranger.close()


if __name__ == "__main__":
    unittest.main()
