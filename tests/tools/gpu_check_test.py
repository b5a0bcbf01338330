#!/usr/bin/env python3
"""tools/gpu-check: what it packs, and what it reports where there is no GPU and where there is one
(tests/support/cuda_on_cpu)."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from cli_harness import BINARY, CliTest, LANDMARK, MODEL, random_text

SCRIPTS = pathlib.Path(os.environ["CAIRN_GPU_CHECK"])
DEVICE_BINARY = os.environ["CAIRN_DEVICE_BINARY"]
LITTLE_DECODE = "[bench decode]\n" + "".join(f"{name} = {value}\n" for name, value in {
    "tokens": 500, "layers": 1, "kv-heads": 2, "head-dim": 8, "hidden": 32, "ffn": 64, "vocab": 64,
    "block-rows": 8, "recent": 8, "decode": 8, "host-memory": "1MiB"}.items())


class GpuCheck(CliTest):
    def script(self, *command, **variables):
        return subprocess.run([str(word) for word in command], capture_output=True, check=False,
                              text=True, timeout=200, env={**os.environ, **variables})

    def pack(self, cairn, *options):
        target = self.directory / "pack"
        done = self.script(SCRIPTS / "pack.sh", target, "--cairn", cairn, "--model", MODEL,
                           "--adapter", LANDMARK, "--text",
                           self.file("text.txt", random_text(1500)), *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.packing = done.stderr
        return target

    def library(self, name):
        """A small library under another name."""
        listed = self.script("ldd", BINARY).stdout
        shutil.copy(re.search(r"=> (/\S*/libm\.so\S*)", listed).group(1), self.directory / name)
        return self.directory / name

    def test_without_a_gpu_nothing_is_checked(self):
        pack = self.pack(BINARY, "--cublaslt", self.library("libcublasLt.so.13"))
        self.assertTrue((pack / "lib/libcublasLt.so.13").is_file())
        self.assertIn("with " + str(self.directory / "libcublasLt.so.13"), self.packing)
        if "cuda:0" in self.good("doctor").stdout:
            self.skipTest("this machine has a GPU")
        results = self.directory / "results"
        done = self.script(pack / "run.sh", results)
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertIn("skipped: no GPU here", done.stderr)
        self.assertIn("no GPU: nothing was checked", (results / "summary.md").read_text())

    def test_with_one_every_step_is_reported(self):
        parts = self.pack(DEVICE_BINARY, "--part-size", "20M", "--cublaslt", "none")
        self.assertIn("without cuBLASLt", self.packing)
        self.assertTrue(all(part.stat().st_size <= 20_000_000 * 1.05
                            for part in parts.glob("part-*")))
        pack = self.directory / "unpacked"
        self.assertEqual(self.script(parts / "unpack.sh", pack).returncode, 0)
        # The tiny adapter was trained on little.
        config = self.file("config", "chunk = 64\nretrieve = 3\nhost-memory = 64MiB\n" +
                           LITTLE_DECODE)
        results = self.directory / "results"
        done = self.script(pack / "run.sh", results, "--only",
                           "tests,sanitizer,parity,decode,aliased", CAIRN_CONFIG=str(config),
                           CAIRN_CHECK_ALIASED_TOKENS="7000")
        summary = (results / "summary.md").read_text()
        self.assertEqual(done.returncode, 0, done.stderr + summary)
        rows = dict(re.findall(r"^\| (\w+ \| [\w-]+) \| (\w+) \|", summary, re.MULTILINE))
        for mode in ("landmark", "unmodified"):
            for what in ("reading", "answer"):
                self.assertEqual(rows[f"parity | {mode}-{what}"], "passed", summary)
        self.assertEqual(rows["decode | 1M-q8"], "passed", summary)
        decoded = json.loads((results / "bench/decode-1M-q8.json").read_text())
        self.assertEqual((decoded["read_tokens"], decoded["kv_type"]), (500, "q8"))
        self.assertEqual(rows["aliased | 10M-q8"], "passed", summary)
        decoded = json.loads((results / "bench/decode-10M-q8-aliased.json").read_text())
        self.assertEqual((decoded["past_tokens"], decoded["aliased"]), (7000, 64))
        for key in ("decode_tokens_per_second", "besides_weights_bytes"):
            self.assertIn(f" {key} {decoded[key]}", summary)
        for name in ("device", "kernels", "index", "session"):
            self.assertIn(f"tests | gpu_{name}_test", rows)
        for tool in ("memcheck", "racecheck", "synccheck"):
            self.assertIn(f"sanitizer | {tool}", rows)
        self.assertIn("- GPU: cuda:0, CPU, driver", summary)

    def test_what_cannot_be_is_refused(self):
        for command, said in (
                ((SCRIPTS / "pack.sh",), "say into which directory"),
                ((SCRIPTS / "pack.sh", self.directory), "is there already"),
                ((SCRIPTS / "pack.sh", self.directory / "new", "--model", "/nonexistent"),
                 "no model at /nonexistent"),
                ((SCRIPTS / "pack.sh", self.directory / "new", "--cairn", "/nonexistent/c",
                  "--model", MODEL), "/nonexistent/c is not there"),
                ((SCRIPTS / "pack.sh", self.directory / "new", "--cairn", BINARY, "--model", MODEL,
                  "--cublaslt", "/nonexistent/libcublasLt.so.13"),
                 "not /nonexistent/libcublasLt.so.13"),
                ((SCRIPTS / "run.sh",), "say into which directory"),
                ((SCRIPTS / "run.sh", self.directory / "r", "--only", "tests,nonsense"),
                 "no step nonsense")):
            done = self.script(*command)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn(said, done.stderr)
        self.assertFalse((self.directory / "new").exists())


if __name__ == "__main__":
    unittest.main()
