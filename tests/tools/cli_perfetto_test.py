#!/usr/bin/env python3
"""`--perfetto`: a trace in the format of Chrome and Perfetto, checked by its rules.

Perfetto's own reader is not used: its Python package downloads that program when it is first asked.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import unittest
import xml.etree.ElementTree

from cli_harness import CliTest, LANDMARK, SMALL_STEPS, random_text, run

LAYERS = 2
PLOT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "timeline_plot.py"
KEYS = {"ph", "name", "cat", "pid", "tid", "ts", "dur", "args"}


class Perfetto(CliTest):
    def setUp(self):
        super().setUp()
        self.trace = self.directory / "trace.json"
        self.text = self.file("text.txt", random_text(2000))

    def nanoseconds(self, microseconds):
        """The whole number that a time in the trace stands for: viewers count in nanoseconds."""
        self.assertAlmostEqual(microseconds * 1000, round(microseconds * 1000), delta=0.01)
        return round(microseconds * 1000)

    def slices(self):
        """All slices by name; each event must be as the format has it, and slices of a thread lie
        inside or behind each other to the nanosecond, or a viewer would drop them."""
        document = json.loads(self.trace.read_text(encoding="utf-8"))
        self.assertEqual(document["otherData"], {"left_out": 0})
        by_name, open_by_thread = {}, {}
        for event in document["traceEvents"]:
            self.assertIsInstance(event["pid"], int)
            self.assertIsInstance(event["tid"], int)
            self.assertLess(max(event["pid"], event["tid"]), 2**31)
            if event["ph"] == "M":
                self.assertEqual(event["name"], "process_name")
                self.assertEqual(event["args"], {"name": "cairn"})
                continue
            self.assertLessEqual(set(event), KEYS)
            self.assertIsInstance(event["name"], str)
            self.assertEqual({type(value) for value in event.get("args", {}).values()} - {int},
                             set())
            self.assertEqual(event["ph"], "X")
            self.assertGreaterEqual(event["ts"], 0)
            self.assertGreaterEqual(event["dur"], 0)
            by_name.setdefault(event["name"], []).append(event)
            stack = open_by_thread.setdefault(event["tid"], [])
            begin = self.nanoseconds(event["ts"])
            while stack and stack[-1] <= begin:
                stack.pop()
            end = begin + self.nanoseconds(event["dur"])
            if stack:
                self.assertLessEqual(end, stack[-1], event)
            stack.append(end)
        return by_name

    def test_of_ingest_ask_and_why(self):
        self.ingest(self.text, "--adapter", LANDMARK, *SMALL_STEPS, "--perfetto", self.trace)
        found = self.slices()
        self.assertGreaterEqual(len(found["commit"]), 1)
        self.assertEqual(len(found["layer"]), LAYERS * len(found["step"]))
        self.assertEqual(len(found["attention"]), len(found["layer"]))
        self.assertEqual(len(found["search"]), len(found["layer"]))
        for command in ("ask", "why"):
            self.trace.unlink()
            self.good(command, *self.session(), "--retrieve", "4", "--max-tokens", "3",
                      "--perfetto", self.trace, "Who?")
            found = self.slices()
            for name in ("step", "layer", "search", "fetch", "read", "local rows", "chosen rows"):
                self.assertTrue(found.get(name), f"{command}: no {name}")
            self.assertEqual({event["args"]["number"] for event in found["layer"]},
                             set(range(LAYERS)))
            self.assertNotIn("commit", found)

    def test_a_command_that_fails_before_it_begins_writes_none(self):
        done = run("ask", *self.session("none"), "--perfetto", self.trace, "Who?")
        self.assertEqual(done.code, 1)
        self.assertFalse(self.trace.exists())
        self.refused("ask", *self.session(), "--perfetto", self.directory / "no" / "x", "Who?",
                     saying="there is no directory")

    def plot(self, *options):
        return subprocess.run([sys.executable, PLOT, self.trace, self.directory / "step.svg",
                               *options], capture_output=True, text=True, check=False)

    def test_the_picture_of_a_step_and_what_is_told_of_all(self):
        self.ingest(self.text, "--adapter", LANDMARK, *SMALL_STEPS, "--perfetto", self.trace)
        steps = [step["dur"] for step in self.slices()["step"] if step["args"]["number"] == 64]
        self.assertGreater(len(steps), 2)
        done = self.plot("--rows", "64", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual((told["rows"], told["steps"]), (64, len(steps)))
        self.assertAlmostEqual(told["milliseconds"] * 1000, statistics.median(steps), places=3)
        self.assertLessEqual(told["without_waiting"], told["milliseconds"])
        self.assertTrue(all(0 <= time <= told["milliseconds"] for time in told["own"].values()))
        self.assertGreater(told["own"]["search"], 0)
        drawn = xml.etree.ElementTree.parse(self.directory / "step.svg")
        self.assertGreater(len(drawn.findall("{http://www.w3.org/2000/svg}rect")), 2 * LAYERS)
        self.assertIn("no step of 12345 rows", self.plot("--rows", "12345").stderr)


if __name__ == "__main__":
    unittest.main()
