#!/usr/bin/env python3
"""docs/performance-model.md has the tables that bench/performance_model.py prints, and they are
what a few lines of arithmetic of their own say."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(os.environ["CAIRN_SOURCE"])


def tables(*options):
    return subprocess.run([sys.executable, str(ROOT / "bench/performance_model.py"), *options],
                          check=True, capture_output=True, text=True, timeout=60).stdout


def cells(text, row):
    """Those of the first such row."""
    lines = [line for line in text.split("\n") if line.startswith(f"| {row} ")]
    return [cell.strip() for cell in lines[0].strip("|").split("|")][1:]


class PerformanceModel(unittest.TestCase):
    def test_the_page_has_the_tables(self):
        page = (ROOT / "docs/performance-model.md").read_text()
        for part in tables().split("### ")[1:]:
            self.assertIn("### " + part.strip(), page)

    def test_by_hand(self):
        text = tables()
        parameters = 32 * (4096 * 128 * 80 + 3 * 4096 * 14336) + 4096 * 128256
        self.assertAlmostEqual(float(cells(text, "weights, bf16")[1].split()[0]),
                               2 * parameters / 4.8e12 * 1e3, delta=0.01)
        blocks = 1048576 // 63
        self.assertEqual(cells(text, "landmarks, int8")[2], f"{blocks * 256 * 128 / 1e6:.0f} MB")
        self.assertEqual(cells(text, "chosen blocks, f16")[0],
                         f"{32 * 256 * 2 * 64 * 128 * 2 / 1e6:.0f} MB")
        self.assertEqual(cells(text, "instead: all keys and values, f16")[2],
                         f"{1048576 * 256 * 2 * 128 * 2 / 1e9:.0f} GB")

    def test_options_are_used(self):
        full, halved = (float(cells(tables(*options), "weights, bf16")[1].split()[0])
                        for options in ((), ("--memory", "2.4e12")))
        self.assertAlmostEqual(halved, 2 * full, delta=0.02)
        bound = cells(tables("--hits", "0"), "a step of bytes (int8), link overlapped")
        self.assertTrue(re.fullmatch(r"[0-9]+ tokens/s", bound[0]))
        self.assertNotEqual(tables("--retrieve", "8"), tables())


if __name__ == "__main__":
    unittest.main()
