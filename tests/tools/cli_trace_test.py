#!/usr/bin/env python3
"""--trace records what a command does to blocks; `cairn bench cache` replays it."""

import unittest

from cli_harness import CliTest, LANDMARK, SMALL_STEPS, random_text

POLICIES = {"default", "lru", "clock", "s3-fifo", "optimum"}


class Traces(CliTest):

    def ingest_and_ask(self):
        text = self.file("text.txt", random_text(3000))
        self.ingest(text, "--adapter", LANDMARK, *SMALL_STEPS)
        trace = self.directory / "trace"
        self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "8", "--trace", trace,
                  "Who?")
        return trace

    def test_bench_replays_a_trace(self):
        trace = self.ingest_and_ask()
        document = self.good("bench", "cache", "--trace", trace, "--capacity", "10,50",
                             "--json").json
        self.assertEqual(set(document), {"traces", "table"})
        (found,) = document["traces"]
        self.assertEqual(set(found), {"file", "fetched_blocks", "distinct_blocks", "capacities"})
        self.assertGreater(found["fetched_blocks"], 0)
        self.assertEqual([c["percent"] for c in found["capacities"]], [10, 50])
        for capacity in found["capacities"]:
            self.assertEqual(set(capacity), {"percent", "slots", "hit_ratio", "below_optimum"})
            ratios = capacity["hit_ratio"]
            self.assertEqual(set(ratios), POLICIES)
            for ratio in ratios.values():
                self.assertLessEqual(ratio, ratios["optimum"])
            self.assertAlmostEqual(capacity["below_optimum"],
                                   ratios["optimum"] - ratios["default"])
        for table in document["table"]:
            self.assertEqual(set(table), {"slots", "lookups_per_second",
                                          "absent_lookups_per_second", "insertions_per_second"})
            self.assertGreater(min(table.values()), 0)

    def test_damaged_traces_are_refused(self):
        trace = self.ingest_and_ask()
        with open(trace, "r+b") as file:
            file.seek(30)
            byte = file.read(1)
            file.seek(30)
            file.write(bytes([byte[0] ^ 1]))
        self.refused("bench", "cache", "--trace", trace, saying="is damaged")
        self.refused("bench", "cache", "--trace", str(trace) + "no", saying="there is no file")
        self.refused("bench", "cache", "--trace", trace, "--capacity", "0", saying="--capacity 0")

    def test_a_trace_that_cannot_be_written_is_an_error(self):
        text = self.file("text.txt", random_text(800))
        self.ingest(text, "--adapter", LANDMARK, *SMALL_STEPS)
        self.refused("ask", *self.session(), "--trace", self.directory / "no" / "trace", "Who?",
                     saying="cannot create")
        self.refused("ask", *self.session(), "--trace", self.directory, "Who?",
                     saying="is a directory")

    def test_nothing_depends_on_it(self):
        """A session read with and without trace and reading ahead has the same digest."""
        text = self.file("text.txt", random_text(3000))
        shape = ("--adapter", LANDMARK, *SMALL_STEPS)
        digests = set()
        for name, extra in (("plain", ()), ("ahead", ("--read-ahead",)),
                            ("traced", ("--trace", self.directory / "t"))):
            self.ingest(text, *shape, *extra, name=name)
            digests.add(self.show(name)["digest"])
        self.assertEqual(len(digests), 1)


if __name__ == "__main__":
    unittest.main()
