#!/usr/bin/env python3
"""cairn bench: what it reports and what it refuses, on little data; how fast is not looked at."""

import signal
import subprocess
import time
import unittest

from cli_harness import BINARY, CliTest, TIMEOUT_SECONDS, run

LITTLE = ("--size", "4MiB", "--tokens", "20000", "--turn-ms", "20")


class Attention(CliTest):
    def test_reports_both_ways_and_the_kernel(self):
        done = run("bench", "attention", "--tokens", "4096", "--rounds", "1", "--json")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(done.json["retrieve"], 8)
        self.assertGreaterEqual(done.json["blocks_per_head"], 64)
        self.assertEqual(done.json["decode_read_bytes"], 3 * 8 * 2 * 64 * 64 * 2)
        for key in ("decode_seconds", "prefill_seconds", "kernel_bytes_per_second",
                    "memory_bytes_per_second", "kernel_share_of_memory", "index_bytes"):
            self.assertGreater(done.json[key], 0, key)

    def test_numbers_that_mean_nothing_are_refused(self):
        for options, said in ((("--tokens", "100"), "--tokens 100 is too short"),
                              (("--retrieve", "0"), "--retrieve"),
                              (("--retrieve", "100"), "retrieve 100 with chunk 256 needs"),
                              (("--rounds", "0"), "--rounds")):
            done = run("bench", "attention", *options)
            self.assertEqual(done.code, 1, options)
            self.assertRegex(done.stderr, said)


class Storage(CliTest):
    def bench(self, *options):
        return run("bench", "storage", "--store", self.store, *LITTLE, *options)

    def test_reports_reads_writes_and_opening_and_leaves_nothing(self):
        done = self.bench("--json", "--all-ways")
        if "past the page cache" in done.stderr:
            self.skipTest("the temporary directory is on a file system without direct I/O")
        self.assertEqual(done.code, 0, done.stderr)
        rows = {(row["payload_bytes"], row["in_flight"], row["reads"])
                for row in done.json["read"]}
        self.assertEqual(rows, {(kib * 1024, batches, reads) for kib in (8, 16, 32)
                                for batches in (1, 4) for reads in ("auto", "threads")})
        for row in done.json["read"]:
            for key in ("ratio_to_raw", "p99_ratio", "bytes_per_second", "raw_bytes_per_second",
                        "p99_ms", "raw_p99_ms"):
                self.assertGreater(row[key], 0, row)
            self.assertEqual(row["from_disk"], 1, row)  # memory would hold all of this store
        ingest = done.json["ingest"]
        self.assertGreater(ingest["ratio_to_raw"], 0)
        self.assertEqual([row["payload_bytes"] for row in ingest["payloads"]],
                         [8192, 16384, 32768])
        for row in ingest["payloads"]:
            self.assertGreaterEqual(row["files"], 1)
            self.assertGreater(row["longest_commit_seconds"], 0)
            if row["write_amplification"] is not None:  # all that was given must have been written
                self.assertGreater(row["write_amplification"], 1)
        opened = done.json["open"]
        self.assertEqual(opened["tokens"], 20000)
        self.assertEqual(opened["blocks_per_head"], 20000 // 63)
        shape = opened["shape"]
        blocks = opened["blocks_per_head"] * shape["layers"] * shape["kv_heads"]
        self.assertEqual(opened["payload_bytes"],
                         blocks * 2 * shape["block_rows"] * shape["head_dim"] * 2)
        self.assertGreater(opened["disk_bytes"], opened["payload_bytes"])
        self.assertGreater(opened["fetched_blocks"], 0)
        self.assertLessEqual(opened["fetched_blocks"],
                             opened["retrieve"] * shape["layers"] * shape["kv_heads"])
        self.assertFalse(self.store.exists())

    def test_text_and_an_empty_directory_that_stays(self):
        self.store.mkdir()
        done = self.bench()
        if "past the page cache" in done.stderr:
            self.skipTest("the temporary directory is on a file system without direct I/O")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertIn("a session of 20000 tokens", done.stdout)
        self.assertEqual(list(self.store.iterdir()), [])

    def test_a_directory_that_holds_something_is_left_alone(self):
        self.store.mkdir()
        kept = self.store / "thesis.txt"
        kept.write_text("words")
        done = self.bench()
        self.assertEqual(done.code, 1)
        self.assertRegex(done.stderr, "cairn: .*holds something; .*name a new or an empty")
        self.assertEqual(kept.read_text(), "words")
        done = run("bench", "storage", "--store", kept)
        self.assertRegex(done.stderr, "is a file, not a directory")
        done = run("bench", "storage", "--store", self.store / "no" / "where")
        self.assertRegex(done.stderr, "cannot create directory")

    def test_numbers_that_mean_nothing_are_refused(self):
        for options, said in ((("--size", "10"), "--size 10 B is too little"),
                              (("--size", "much"), "much"),
                              (("--tokens", "0"), "--tokens"),
                              (("--turn-ms", "0"), "--turn-ms"),
                              (("--tokens", "9000000000000"), "the benchmark needs .* are free")):
            done = run("bench", "storage", "--store", self.store, *options)
            self.assertEqual(done.code, 1, options)
            self.assertRegex(done.stderr, said)
            self.assertFalse(self.store.exists())
        self.assertEqual(run("bench").code, 2)

    def test_ctrl_c_leaves_nothing(self):
        process = subprocess.Popen([BINARY, "bench", "storage", "--store", self.store, "--tokens",
                                    "100000", "--size", "8MiB", "--quiet"],
                                   stderr=subprocess.PIPE, text=True)
        for _ in range(TIMEOUT_SECONDS * 100):
            if (self.store / "store").exists() or process.poll() is not None:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        if "past the page cache" in stderr:
            self.skipTest("the temporary directory is on a file system without direct I/O")
        self.assertEqual(process.returncode, 130, stderr)
        self.assertFalse(self.store.exists())


if __name__ == "__main__":
    unittest.main()
