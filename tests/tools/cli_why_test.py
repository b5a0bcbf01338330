#!/usr/bin/env python3
"""`cairn why`: what an answer was read from, as text and as JSON. Tiny random models answer
nonsense, so what is checked is that everything adds up; that the passages are the right ones is for
the real
model (the last class)."""

import pathlib
import unittest

from cli_harness import CliTest, LANDMARK, REAL_ADAPTER, REAL_MODEL, SMALL_STEPS, random_text

BLOCK_TOKENS = 15  # of the tiny landmark model
CHOSEN = 4  # SMALL_STEPS
LAYERS, HEADS = 2, 2


class Why(CliTest):
    def setUp(self):
        super().setUp()
        self.text = random_text(4000)
        self.ingest(self.file("text.txt", self.text), "--adapter", LANDMARK, *SMALL_STEPS)
        self.before = self.show()
        self.why = ("why", *self.session(), "--retrieve", str(CHOSEN), "--max-tokens", "6")

    def document(self, *options):
        return self.good(*self.why, "--json", *options, "Who was it?").json

    def test_the_answer_is_that_of_ask_and_nothing_stays(self):
        asked = self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "6", "--json",
                          "Who was it?").json
        self.assertEqual(self.document()["answer"], asked["answer"])
        self.assertEqual(self.show(), self.before)

    def test_passages_are_blocks_of_the_text_most_first(self):
        document = self.document("--passages", "5")
        passages = document["passages"]
        self.assertEqual(len(passages), 5)
        shares = [passage["share"] for passage in passages]
        self.assertEqual(shares, sorted(shares, reverse=True))
        self.assertLessEqual(sum(shares), 1.001)
        for passage in passages:
            first, last = passage["tokens"]
            self.assertEqual(first, passage["block"] * BLOCK_TOKENS)
            self.assertEqual(last, first + BLOCK_TOKENS - 1)
            if BLOCK_TOKENS * 5 < first and last < self.before["tokens"]:
                # Behind the chat template's opening and in front of the question.
                self.assertIn(passage["text"], self.text)
            self.assertGreater(passage["times"], 0)

    def test_every_token_tells_what_it_read(self):
        document = self.document()
        tokens = document["answer_tokens"]
        self.assertEqual([token["token"] for token in tokens], list(range(len(tokens))))
        self.assertEqual("".join(token["text"] for token in tokens), document["answer"])
        for token in tokens:
            self.assertEqual([layer["layer"] for layer in token["layers"]], list(range(LAYERS)))
            for layer in token["layers"]:
                for timed in ("search_us", "fetch_us", "wait_us"):
                    self.assertGreaterEqual(layer[timed], 0)
                self.assertEqual([head["head"] for head in layer["heads"]], list(range(HEADS)))
                for head in layer["heads"]:
                    self.check_head(head)

    def check_head(self, head):
        chosen = [block for block in head["blocks"] if block["role"] == "chosen"]
        self.assertEqual(len(chosen), CHOSEN)
        lightest = min(block["log_weight"] for block in chosen)
        self.assertLessEqual(head["runner_up"]["log_weight"], lightest)
        self.assertNotIn(head["runner_up"]["block"], [block["block"] for block in chosen])
        share = head["local_share"] + sum(block["share"] for block in head["blocks"])
        self.assertAlmostEqual(share, 1, delta=0.01)
        for block in head["blocks"]:
            self.assertIn(block["tier"], ("host", "cold"))

    def test_blocks_come_from_where_they_were(self):
        def tiers(document):
            return [block["tier"] for token in document["answer_tokens"]
                    for layer in token["layers"] for head in layer["heads"]
                    for block in head["blocks"]]
        found = tiers(self.document())
        self.assertIn("cold", found[:LAYERS * HEADS * CHOSEN], "a command begins with none")
        self.assertIn("host", found, "what was read once is in memory")

    def test_the_runner_up_of_an_int8_index(self):
        # Layer 0 sees the same queries whatever was chosen: there both indexes must agree.
        text = self.file("long.txt", random_text(8000, stream=2))
        self.ingest(text, "--adapter", LANDMARK, *SMALL_STEPS, name="long")
        self.assertGreater(self.show("long")["blocks"], 256, "fewer would be kept as they are")
        found = {}
        for kind in ("exact", "int8"):
            document = self.good("why", *self.session("long"), "--retrieve", "4", "--index", kind,
                                 "--max-tokens", "2", "--json", "Who was it?").json
            heads = document["answer_tokens"][0]["layers"][0]["heads"]
            for head in heads:
                self.check_head(head)
            found[kind] = [head["runner_up"] for head in heads]
        for exact, int8 in zip(found["exact"], found["int8"]):
            self.assertAlmostEqual(exact["log_weight"], int8["log_weight"], delta=0.05)

    def test_one_token_alone(self):
        document = self.document("--token", "1")
        self.assertEqual([token["token"] for token in document["answer_tokens"]], [1])
        read = {block["block"] for layer in document["answer_tokens"][0]["layers"]
                for head in layer["heads"] for block in head["blocks"]}
        self.assertLessEqual({passage["block"] for passage in document["passages"]}, read)
        shown = self.good(*self.why, "--token", "1", "Who was it?").stdout
        self.assertRegex(shown, r"token 1 of the answer")
        self.assertRegex(shown, r"us searching")
        self.refused(*self.why, "--json", "--token", "99", "Who was it?",
                     saying="--token 99: the answer has [0-9]+ tokens; use 0 to")
        self.refused(*self.why, "--json", "--passages", "0", "Who?", saying="--passages 0: use 1")

    def test_for_people(self):
        done = self.good(*self.why, "Who was it?")
        self.assertRegex(done.stdout, r"(?m)^1\. block [0-9]+, tokens [0-9]+ to [0-9]+: [0-9]+ %")
        self.assertRegex(done.stdout, r"(?m)^3\. block ")
        self.assertNotRegex(done.stdout, r"(?m)^4\. block ")

    def test_against_dense(self):
        dense = self.document("--against", "dense")
        self.assertTrue(all("dense_attention" in passage for passage in dense["passages"]))
        self.assertGreater(dense["dense"]["covered"], 0)
        self.assertLessEqual(dense["dense"]["covered"], 1)
        for missed in dense["dense"]["missed"]:
            self.assertGreaterEqual(missed["top_share"], 0.05)
            self.assertGreater(missed["times"], 0)
        self.assertEqual(self.show(), self.before)
        self.assertIn("full attention: ",
                      self.good(*self.why, "--against", "dense", "Who was it?").stdout)
        self.refused(*self.why, "--against", "sparse", "Who?", saying="--against sparse: use dense")

    def test_nothing_is_missed_where_all_is_read(self):
        self.ingest(self.file("other.txt", random_text(900, stream=1)), name="plain")
        document = self.good("why", *self.session("plain"), "--retrieve", "16", "--max-tokens", "3",
                             "--against", "dense", "--json", "Who?").json
        self.assertGreaterEqual(document["dense"]["covered"], 0.999)
        self.assertEqual(document["dense"]["missed"], [])
        for passage in document["passages"]:
            self.assertAlmostEqual(passage["dense_attention"], passage["attention"], delta=0.01)

    def test_dense_beside_a_session_of_codes(self):
        text = self.file("other.txt", random_text(900, stream=1))
        for name, retrieve, options in (("codes", "16", ()),
                                        ("gated", "4", ("--adapter", LANDMARK, *SMALL_STEPS))):
            self.ingest(text, "--kv-type", "q8", *options, name=name)
            asked = ("why", *self.session(name), "--retrieve", retrieve, "--max-tokens", "3",
                     "--against", "dense")
            document = self.good(*asked, "--json", "Who?").json
            self.assertGreater(document["dense"]["covered"], 0)
            for passage in document["passages"]:
                self.assertGreater(passage["dense_attention"], 0)
                if name == "codes":
                    self.assertAlmostEqual(passage["dense_attention"], passage["attention"],
                                           delta=0.01)
            self.assertIn("full attention: ", self.good(*asked, "Who?").stdout)

    def test_dense_has_an_end(self):
        self.ingest(self.file("long.txt", random_text(20000, stream=1)), "--adapter", LANDMARK,
                    *SMALL_STEPS, name="long")
        self.refused("why", *self.session("long"), "--retrieve", "4", "--against", "dense", "Who?",
                     saying="reaches 8192 rows.*sessions fork long NEW --at [0-9]+")

    def test_unmodified_models_and_short_sessions(self):
        self.ingest(self.file("other.txt", random_text(3000, stream=1)), "--sinks", "1", "--recent",
                    "128", "--retrieve", "2", name="plain")
        document = self.good("why", *self.session("plain"), "--recent", "128", "--retrieve", "2",
                             "--max-tokens", "3", "--json", "Who?").json
        roles = [block["role"] for block in
                 document["answer_tokens"][0]["layers"][0]["heads"][0]["blocks"]]
        self.assertEqual(roles, ["sink"] + ["chosen"] * 2 + ["recent"] * 2)
        self.ingest(self.file("short.txt", "in the"), name="short")
        document = self.good("why", *self.session("short"), "--max-tokens", "2", "--json",
                             "Who?").json
        self.assertLessEqual(len(document["passages"]), 2)


@unittest.skipUnless(pathlib.Path(REAL_MODEL).is_file() and pathlib.Path(REAL_ADAPTER).is_file(),
                     "needs CAIRN_MODEL and CAIRN_ADAPTER: the real model and its landmarks")
class RightPassages(CliTest):
    def test_the_fact_is_among_the_first_three(self):
        done = self.good("eval", "facts", "--model", REAL_MODEL, "--adapter", REAL_ADAPTER,
                         "--lengths", "1k", "--samples", "1", "--filler", "paper", "--why",
                         "--quiet", "--json")
        counts = done.json["lengths"][0]["passages"]
        print(f"passages: {counts}", flush=True)
        self.assertGreaterEqual(counts["right"], 3, "too few right answers to tell")
        self.assertGreaterEqual(counts["first_three"], counts["right"])


if __name__ == "__main__":
    unittest.main()
