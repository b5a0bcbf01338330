#!/usr/bin/env python3
"""The steps of tools/gpu-check/run.sh, with programs that pretend: in which order, for how long, and
what the summary says of what came of them."""

import json
import unittest

from fake_pack import FakePack

# A decode that reads 10,000 tokens a second, as it says; $HANGS tokens and more have no end.
DECODE = """
if words[:2] == ["bench", "decode"]:
    tokens = int(value("--tokens"))
    if tokens >= int(os.environ.get("HANGS", 10**9)):
        time.sleep(100)
    if tokens >= int(os.environ.get("FAILS", 10**9)):
        sys.exit("error: it cannot be")
    print(json.dumps({"tokens": tokens, "past_tokens": tokens, "read_tokens": tokens,
                      "reading_seconds": tokens * float(os.environ.get("SLOW", 1)) / 10000,
                      "decode_tokens_per_second": 150}, separators=(",", ":")))
"""


class Decode(FakePack):
    def decoded(self):
        """(tokens, seconds to read them in) of each decode that was asked for."""
        asked = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [tuple(int(words[words.index(name) + 1]) for name in ("--tokens", "--read-seconds"))
                for words in asked if words[:2] == ["bench", "decode"]]

    def test_a_quarter_is_first_and_then_all(self):
        summary, rows = self.run_it("--only", "decode", FAKE_CAIRN=DECODE)
        self.assertEqual([tokens for tokens, _ in self.decoded()], [250000, 1000000])
        self.assertEqual([rows[f"decode | {what}"][0] for what in ("quarter", "all")],
                         ["passed"] * 2, summary)
        for name, tokens in (("quarter-q8", 250000), ("q8", 1000000)):
            found = json.loads((self.results / f"bench/decode-{name}.json").read_text())
            self.assertEqual(found["past_tokens"], tokens)
            self.assertIn(f"past_tokens {tokens} decode_tokens_per_second 150 ", summary)
        # With what it takes beside, reading ends within the time that there is.
        (_, quarter), (_, all_of_it) = self.decoded()
        self.assertLessEqual(quarter + 25 + 250000 / 8000, 150)
        self.assertGreaterEqual(quarter, 250000 / 8000)
        self.assertLessEqual(all_of_it, 360)
        self.assertGreaterEqual(all_of_it, 1000000 / 8000)

    def test_what_is_read_fits_what_is_left(self):
        for minutes in (1, 2, 4):
            self.log.write_text("")
            _, rows = self.run_it("--only", "decode", "--minutes", str(minutes), FAKE_CAIRN=DECODE,
                                  SLOW="2")
            self.assertEqual(rows["decode | quarter"][0], "passed")
            for tokens, reading in self.decoded():
                self.assertLess(reading, 60 * minutes)
                self.assertGreaterEqual(reading, tokens / 10000)
            least, *more = [tokens for tokens, _ in self.decoded()]
            self.assertLess(least, {1: 150000, 2: 250001, 4: 250001}[minutes])
            self.assertTrue(more or minutes < 4)
            for tokens in more:  # what was slow once is taken to be slow again
                self.assertGreaterEqual(tokens, 3 * least / 2)
                self.assertLess(tokens, 60 * minutes / (2.5 / 10000 + 1 / 16000))

    def test_all_of_it_that_has_no_end_leaves_the_quarter(self):
        summary, rows = self.run_it("--only", "decode", code=1, FAKE_CAIRN=DECODE,
                                    HANGS="1000000", CAIRN_CHECK_LIMIT="3")
        self.assertEqual(rows["decode | quarter"][0], "passed", summary)
        self.assertIn("past_tokens 250000 decode_tokens_per_second 150", rows["decode | quarter"][1])
        self.assertEqual(rows["decode | all"][0], "failed", summary)
        self.assertRegex(rows["decode | all"][1], r"no end within \d+ s; at last: 1000000 tokens, ")

    def test_behind_a_quarter_that_fails_no_more_is_tried(self):
        _, rows = self.run_it("--only", "decode", code=1, FAKE_CAIRN=DECODE, FAILS="1")
        self.assertEqual(rows["decode | quarter"], ("failed", "exit code 1: error: it cannot be"))
        self.assertEqual(rows["decode | all"][0], "skipped")
        self.assertEqual(len(self.decoded()), 1)


if __name__ == "__main__":
    unittest.main()
