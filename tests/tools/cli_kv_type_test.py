#!/usr/bin/env python3
"""--kv-type q8: sessions whose blocks are codes are read, asked, moved and repaired like others."""

import struct
import unittest

from cli_harness import CliTest, LANDMARK, MODEL, SMALL_STEPS, random_text

MODES = {"unmodified": (("--chunk", "64"), 64),
         "landmark": (("--adapter", LANDMARK, *SMALL_STEPS), 16)}
Q8 = ("--kv-type", "q8")
DIM, LAYERS, HEADS = 16, 2, 2


class KvType(CliTest):
    def test_a_block_is_a_byte_a_number_and_its_scales(self):
        text = self.file("text.txt", random_text(3000))
        for mode, (options, rows) in MODES.items():
            self.ingest(text, *options, name="halves")
            self.ingest(text, *options, *Q8, name="codes")
            halves, codes = self.show("halves"), self.show("codes")
            with self.subTest(mode=mode):
                self.assertEqual(codes["options"]["kv_type"], "q8")
                self.assertEqual(codes["blocks"], halves["blocks"])
                of_a_block = LAYERS * HEADS * 2 * DIM
                self.assertEqual(halves["payload_bytes"], halves["blocks"] * of_a_block * rows * 2)
                self.assertEqual(codes["payload_bytes"], halves["blocks"] * of_a_block * (rows + 4))
                one = [self.numbers(name) for name in ("halves", "codes")]
                largest = max(abs(x) for x in one[0])
                worst = max(abs(a - b) for a, b in zip(*one))
                self.assertGreater(worst, 0)
                self.assertLess(worst, largest / 127)
            for name in ("halves", "codes"):
                self.good("sessions", "delete", name, "--store", self.store)

    def numbers(self, name):
        """Keys of a block in the first layer, which depend on no stored block."""
        npy = self.directory / f"{name}.npy"
        told = self.good("inspect", "block", *self.session(name), "1/0/1", "--npy", npy,
                         "--json").json
        content = npy.read_bytes()
        size, letter = {"f16": (2, "e"), "q8": (4, "f")}[told["dtype"]]
        count = 2 * told["shape"][1] * DIM
        found = struct.unpack(f"<{count}{letter}", content[-count * size:])
        keys = found[:count // 2 - DIM]  # without the last row, which may be a landmark
        self.assertAlmostEqual(told["keys"]["max"], max(found[:count // 2]), delta=0.1)
        return keys

    def test_it_is_kept_moved_and_repaired(self):
        text = self.file("text.txt", random_text(9000))
        for mode, (options, _) in MODES.items():
            self.ingest(text, *options, *Q8)
            whole = self.show()
            asked = ("--retrieve", "4", "--max-tokens", "6", "--json", "Who?")
            answer = self.good("ask", *self.session(), *asked).json["answer"]
            with self.subTest(mode=mode):
                self.good("sessions", "export", "s", self.directory / "file", "--store", self.store)
                self.good("sessions", "import", self.directory / "file", "--as", "again",
                          "--store", self.store)
                self.assertEqual(self.digest("again"), whole["digest"])
                self.assertEqual(self.good("ask", *self.session("again"), *asked).json["answer"],
                                 answer)
                self.refused("ingest", *self.session(), "--model", MODEL, "--kv-type", "f16", text,
                             saying="--kv-type f16.*q8")
                path = self.payload_files()[0]
                self.flip(path, [path.stat().st_size // 4])
                retrieval = ("--retrieve", "4") if mode == "landmark" else ()
                for name in ("s", "again"):
                    self.good("repair", "--store", self.store, "--session", name, "--model", MODEL,
                              *retrieval)
                self.assertEqual(self.good("verify", "--store", self.store, "--json")
                                 .json["damaged"], [])
                self.assertEqual(self.digest(), whole["digest"])
            for name in ("s", "again"):
                self.good("sessions", "delete", name, "--store", self.store)
            (self.directory / "file").unlink()

    def test_a_session_that_is_cut_goes_on_as_it_did(self):
        text = self.file("text.txt", random_text(6000))
        for options in (("--chunk", "64"), ("--adapter", LANDMARK, "--chunk", "16", "--retrieve",
                                            "4")):
            self.ingest(text, *options, *Q8)
            whole = self.show()
            path = self.payload_files()[0]
            self.flip(path, [path.stat().st_size // 3])
            self.good("repair", "--store", self.store, "--cut")
            self.assertLess(self.show()["tokens"], whole["tokens"])
            self.ingest(text, *options, *Q8)
            self.assertEqual(self.digest(), whole["digest"])
            self.good("sessions", "delete", "s", "--store", self.store)

    def test_other_types_are_refused(self):
        text = self.file("text.txt", random_text(100))
        for kind in ("bf16", "q4", "Q8"):
            self.refused("ingest", *self.session(), "--model", MODEL, f"--kv-type={kind}", text,
                         saying="--kv-type .*: use f32, f16 or q8")


if __name__ == "__main__":
    unittest.main()
