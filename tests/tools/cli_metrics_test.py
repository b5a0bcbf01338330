#!/usr/bin/env python3
"""`--metrics-port`: what a scrape of a running command says, parsed by Prometheus' own library."""

import fcntl
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

from cli_harness import CliTest, LANDMARK, MODEL, SMALL_STEPS, command, random_text

READER = pathlib.Path(__file__).with_name("read_metrics.py")
# The library is a Debian package, and belongs to Debian's Python.
PYTHONS = (sys.executable, "/usr/bin/python3")
TYPES = {"cairn_tokens": "counter", "cairn_commits": "counter", "cairn_device_steps": "counter",
         "cairn_fetched_blocks": "counter", "cairn_hit_blocks": "counter",
         "cairn_hit_ratio": "gauge", "cairn_tier_bytes": "counter",
         "cairn_tier_held_bytes": "gauge", "cairn_tier_capacity_bytes": "gauge",
         "cairn_fetch_seconds": "histogram", "cairn_ahead_blocks": "counter",
         "cairn_verification_failures": "counter", "cairn_wait_seconds": "counter",
         "cairn_search_seconds": "histogram", "cairn_attention_seconds": "histogram",
         "cairn_commit_seconds": "histogram", "cairn_queue_depth": "gauge"}


def python_with_prometheus():
    for python in PYTHONS:
        done = subprocess.run([python, "-c", "import prometheus_client"], check=False,
                              capture_output=True)
        if done.returncode == 0:
            return python
    raise AssertionError("no Python has prometheus_client: install python3-prometheus-client")


class Running:
    """A command whose stdout is full from the beginning: it stays where it prints its result,
    which is after its report on stderr, until `finish` reads on."""

    def __init__(self, *arguments, stdin=subprocess.DEVNULL):
        self.out, writing = os.pipe()
        flags = fcntl.fcntl(writing, fcntl.F_GETFL)
        fcntl.fcntl(writing, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        self.filled = 0
        for size in (4096, 1):
            try:
                while True:
                    self.filled += os.write(writing, b" " * size)
            except BlockingIOError:
                pass
        fcntl.fcntl(writing, fcntl.F_SETFL, flags)
        self.process = subprocess.Popen(command(*arguments), stdin=stdin, stdout=writing,
                                        stderr=subprocess.PIPE, text=True)
        os.close(writing)
        line = self.process.stderr.readline()
        found = re.fullmatch(r"metrics on (http://127\.0\.0\.1:(\d+)/metrics)\n", line)
        if not found:
            raise AssertionError(line + self.process.stderr.read())
        self.url, self.port = found.group(1), int(found.group(2))

    def scrape(self):
        with urllib.request.urlopen(self.url, timeout=20) as answer:
            return answer.read().decode()

    def wait_for_report(self):
        for line in self.process.stderr:
            if "waited for blocks" in line:
                return
        raise AssertionError("no report came")

    def finish(self):
        """The rest of stdout."""
        with os.fdopen(self.out, "rb") as file:
            written = file.read()
        self.process.stderr.close()
        return self.process.wait(timeout=60), written[self.filled:].decode()


class Metrics(CliTest):
    @classmethod
    def setUpClass(cls):
        cls.python = python_with_prometheus()

    def parsed(self, text):
        """All samples of ours by name and labels; checks the types of metrics and histograms."""
        done = subprocess.run([self.python, READER], input=text, capture_output=True, check=True,
                              text=True)
        found, types = {}, {}
        for name, kind, samples in json.loads(done.stdout):
            if not name.startswith("cairn_"):
                continue
            types[name] = kind
            buckets = {}
            for sample, labels, value in samples:
                bound = labels.pop("le", None)
                key = (sample.removeprefix("cairn_"), *labels.values())
                if bound is None:
                    self.assertNotIn(key, found)
                    found[key] = value
                else:
                    buckets.setdefault(key, []).append((float(bound), value))
            for key, steps in buckets.items():
                self.assertEqual(steps, sorted(steps))
                self.assertEqual([v for _, v in steps], sorted(v for _, v in steps))
                count = found[(key[0].replace("_bucket", "_count"), *key[1:])]
                self.assertEqual(steps[-1], (float("inf"), count))
        self.assertLessEqual(types.items(), TYPES.items())
        return found

    def assert_equal_to_report(self, found, report):
        for tier in report["tiers"]:
            for metric, key in (("fetched_blocks_total", "fetched_blocks"),
                                ("hit_blocks_total", "hit_blocks"),
                                ("tier_bytes_total", "bytes_in"),
                                ("tier_held_bytes", "held_bytes"),
                                ("fetch_seconds_count", "batches")):
                self.assertEqual(found[(metric, tier["tier"])], tier[key], (metric, tier))
            if tier["fetched_blocks"] > 0:
                self.assertAlmostEqual(found[("hit_ratio", tier["tier"])],
                                       tier["hit_blocks"] / tier["fetched_blocks"])
        self.assertAlmostEqual(found[("wait_seconds_total",)], report["seconds_waited"], places=7)
        self.assertEqual(found[("verification_failures_total",)], 0)
        self.assertEqual(found[("queue_depth", "write")], 0)

    def test_of_ingest_and_ask_are_those_of_their_reports(self):
        text = self.file("text.txt", random_text(3000))
        running = Running("ingest", *self.session(), "--model", MODEL, "--adapter", LANDMARK,
                          *SMALL_STEPS, "--json", "--metrics-port", "0", text)
        early = self.parsed(running.scrape())
        running.wait_for_report()
        found = self.parsed(running.scrape())
        self.assertEqual(set(TYPES), {"cairn_" + name for name in self.names(found)})
        code, out = running.finish()
        self.assertEqual(code, 0)
        report = json.loads(out)
        self.assert_equal_to_report(found, report)
        self.assertEqual(found[("tokens_total", "read")], report["tokens_read"])
        self.assertEqual(found[("tokens_total", "generated")], 0)
        self.assertEqual(found[("commits_total",)], self.show()["commits"])
        self.assertEqual(found[("commit_seconds_count",)], self.show()["commits"])
        self.assertGreater(found[("search_seconds_count",)], 0)
        self.assertEqual(found[("search_seconds_count",)], found[("attention_seconds_count",)])
        for key, value in early.items():
            if key[0].endswith(("_total", "_count")):
                self.assertLessEqual(value, found[key], key)

        questions = self.file("questions.txt", "Who?\nWhat is it?\n")
        running = Running("ask", *self.session(), "--retrieve", "4", "--max-tokens", "6",
                          "--questions", questions, "--json", "--metrics-port", "0")
        running.wait_for_report()
        found = self.parsed(running.scrape())
        code, out = running.finish()
        self.assertEqual(code, 0)
        report = json.loads(out)
        self.assert_equal_to_report(found, report)
        for kind, key in (("read", "question_tokens"), ("generated", "answer_tokens")):
            self.assertEqual(found[("tokens_total", kind)],
                             sum(answer[key] for answer in report["answers"]))
        self.assertEqual(found[("commits_total",)], 0)

    def names(self, found):
        """Metrics that have samples, as the library calls them."""
        return {re.sub("_(total|count|sum)$", "", key[0]) for key in found}

    def test_of_a_chat_grow_with_each_answer(self):
        self.ingest(self.file("text.txt", random_text(1500)), "--adapter", LANDMARK, *SMALL_STEPS)
        arguments = command("chat", *self.session(), "--retrieve", "4", "--max-tokens", "3",
                            "--quiet", "--metrics-port", "0")
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, bufsize=1) as chat:
            url = chat.stderr.readline().split()[-1]  # also if quiet: who else knows the port
            before = 0
            for question in ("Who?", "What?"):
                chat.stdin.write(question + "\n")
                read = before
                for _ in range(200):
                    with urllib.request.urlopen(url, timeout=20) as answer:
                        read = self.parsed(answer.read().decode())[("tokens_total", "read")]
                    if read > before:
                        break
                    time.sleep(0.1)
                self.assertGreater(read, before)
                before = read
            chat.stdin.write("/quit\n")
            chat.stdin.close()
            self.assertEqual(chat.wait(timeout=60), 0)

    def test_ports_that_cannot_be_had(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refused("ask", *self.session(), "--metrics-port", port, "Who?",
                         saying=f"--metrics-port {port}: .*another program")
        self.refused("ask", *self.session(), "--metrics-port", "65536", "Who?",
                     saying="use 0 to 65535")
        self.refused("why", *self.session(), "--metrics-port", "0", "Who?", code=2,
                     saying="--metrics-port")

    def test_a_client_that_says_nothing_does_not_hold_the_command(self):
        self.ingest(self.file("text.txt", random_text(800)), "--adapter", LANDMARK, *SMALL_STEPS)
        running = Running("ask", *self.session(), "--retrieve", "4", "--max-tokens", "2", "--json",
                          "--metrics-port", "0", "Who?")
        with socket.create_connection(("127.0.0.1", running.port)):
            running.wait_for_report()
            code, out = running.finish()
        self.assertEqual(code, 0)
        self.assertIn("answer", json.loads(out))


if __name__ == "__main__":
    unittest.main()
