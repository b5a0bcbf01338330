#!/usr/bin/env python3
"""The steps of tools/gpu-check/run.sh, with programs that pretend: in which order, for how long,
and what the summary says of what came of them."""

import json
import os
import pathlib
import re
import subprocess
import unittest

from fake_pack import FakePack, SCRIPTS

# A decode that reads 10,000 tokens a second, as it says; $HANGS tokens and more have no end, and
# $LINGERS tokens are not given back.
DECODE = """
if words[:2] == ["bench", "decode"]:
    tokens = int(value("--tokens"))
    if tokens >= int(os.environ.get("HANGS", 10**9)):
        time.sleep(100)
    if tokens >= int(os.environ.get("FAILS", 10**9)):
        sys.exit("error: it cannot be")
    print(json.dumps({"tokens": tokens, "past_tokens": tokens, "read_tokens": tokens,
                      "reading_seconds": tokens * float(os.environ.get("SLOW", 1)) / 10000,
                      "decode_tokens_per_second": 150}, separators=(",", ":")), flush=True)
    if tokens == int(os.environ.get("LINGERS", 0)):
        time.sleep(100)
"""


class Decode(FakePack):
    def decoded(self):
        """(tokens, seconds to read them in) of each decode that was asked for."""
        asked = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [tuple(int(words[words.index(name) + 1]) for name in ("--tokens", "--read-seconds"))
                for words in asked if words[:2] == ["bench", "decode"] and "--aliased" not in words]

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
                                    HANGS="1000000", CAIRN_CHECK_LIMIT="6")
        self.assertEqual(rows["decode | quarter"][0], "passed", summary)
        self.assertIn("past_tokens 250000 decode_tokens_per_second 150",
                      rows["decode | quarter"][1])
        self.assertEqual(rows["decode | all"][0], "failed", summary)
        self.assertRegex(rows["decode | all"][1], r"no end within \d+ s; at last: 1000000 tokens, ")

    def test_a_quarter_that_has_no_end_is_followed_by_less(self):
        summary, rows = self.run_it("--only", "decode", code=1, FAKE_CAIRN=DECODE,
                                    HANGS="200000", CAIRN_CHECK_LIMIT="6")
        self.assertEqual([tokens for tokens, _ in self.decoded()][:2], [250000, 62500])
        self.assertEqual(rows["decode | quarter"][0], "failed", summary)
        self.assertEqual(rows["decode | sixteenth"][0], "passed", summary)
        self.assertIn("past_tokens 62500 ", rows["decode | sixteenth"][1])
        self.assertIn("decode | all", rows)

    def test_what_gives_memory_back_too_slowly_was_decoded(self):
        summary, rows = self.run_it("--only", "decode", code=1, FAKE_CAIRN=DECODE,
                                    LINGERS="250000", CAIRN_CHECK_LIMIT="6")
        self.assertEqual(rows["decode | quarter"][0], "failed", summary)
        self.assertEqual(rows["decode | all"][0], "passed", summary)
        self.assertEqual([tokens for tokens, _ in self.decoded()], [250000, 1000000])

    def test_a_limit_of_memory_is_handed_on(self):
        for options, expected in (((), []), (("--host-memory-limit", "120GiB"), ["120GiB"] * 3)):
            self.log.write_text("")
            self.run_it("--only", "aliased,decode", *options, FAKE_CAIRN=DECODE)
            asked = [json.loads(line) for line in self.log.read_text().splitlines()]
            self.assertEqual(len(asked), 3)
            self.assertEqual([words[words.index("--host-limit") + 1] for words in asked
                              if "--host-limit" in words], expected)

    def test_behind_a_quarter_that_fails_no_more_is_tried(self):
        _, rows = self.run_it("--only", "decode", code=1, FAKE_CAIRN=DECODE, FAILS="1")
        self.assertEqual(rows["decode | quarter"], ("failed", "exit code 1: error: it cannot be"))
        self.assertNotIn("decode | sixteenth", rows, "what was refused is refused again")
        self.assertEqual(rows["decode | all"][0], "skipped")
        self.assertEqual(len(self.decoded()), 1)


class Tests(FakePack):
    def kernels(self, code=1, **becomes):
        self.put_tests("gpu_device_test", Device="ok")
        self.put_tests("gpu_kernels_test", **becomes)
        summary, rows = self.run_it("--only", "kernels", code=code, CAIRN_CHECK_LIMIT="60",
                                    STALL="6")
        self.assertEqual(rows["kernels | gpu_device_test"][0], "passed", summary)
        return rows["kernels | gpu_kernels_test"]

    def test_that_pass_take_one_process(self):
        status, note = self.kernels(code=0, A="ok ok", B="ok ok ok")
        self.assertEqual((status, note.split(",")[0]), ("passed", "5 tests"))
        self.assertEqual(self.log.read_text().count("gpu_kernels_test"), 1)

    def test_behind_an_abort_the_other_suites_are_run(self):
        status, note = self.kernels(A="ok ok", B="ok aborts ok ok", C="ok ok", D="aborts", E="ok")
        self.assertEqual(status, "failed")
        self.assertRegex(note, r"^exit code (134|-6) in Of/B.Test/1, exit code (134|-6) in "
                               r"Of/D.Test/0; 6 passed, 2 not tried, in 3 processes, \d+ s$")
        said = (self.results / "kernels-gpu_kernels_test.txt").read_text()
        self.assertIn("[ RUN      ] Of/B.Test/1", said)
        self.assertIn("[       OK ] Of/E.Test/0", said)

    def test_behind_one_without_end_too(self):
        status, note = self.kernels(A="hangs ok", B="ok ok")
        self.assertEqual(status, "failed")
        self.assertRegex(note, r"^no end in Of/A.Test/0; 2 passed, 1 not tried, in 2 processes, ")

    def test_what_one_does_to_later_ones_is_told_from_failures(self):
        status, note = self.kernels(A="ok", B="poisons ok", C="ok fails", D="ok")
        self.assertEqual(status, "failed")
        self.assertRegex(note, r"^failed: Of/B.Test/0, Of/B.Test/1, Of/C.Test/1; 3 passed, "
                               r"in 2 processes, ")

    def test_a_program_without_end_is_ended_with_all_that_it_started(self):
        pids = self.directory / "pids"
        # Does not listen to a first request to end, nor do its children.
        self.put("bin/gpu_device_test", "#!/bin/bash\ntrap '' TERM INT\nsleep 100 &\n"
                                        "echo $! >$PIDS\nwait\nsleep 100\n")
        self.put_tests("gpu_kernels_test", A="ok")
        _, rows = self.run_it("--only", "kernels", code=1, CAIRN_CHECK_LIMIT="6", PIDS=str(pids))
        self.assertRegex(rows["kernels | gpu_device_test"][1],
                         r"^no end, at last: ; 0 passed, \d+ s")
        self.assertEqual(rows["kernels | gpu_kernels_test"][0], "passed")
        status = pathlib.Path(f"/proc/{int(pids.read_text())}/status")
        self.assertTrue(not status.exists() or "State:\tZ" in status.read_text())

    def test_there_is_an_end_to_processes(self):
        status, note = self.kernels(**{f"S{number}": "aborts" for number in range(20)})
        self.assertEqual(status, "failed")
        self.assertRegex(note, r"; 0 passed, 12 not tried, in 8 processes, ")

    def test_a_program_that_does_not_start_says_why(self):
        self.put("bin/gpu_device_test", "#!/bin/bash\necho no library\nexit 127\n")
        self.put("bin/gpu_kernels_test", "#!/bin/bash\necho skipped: no GPU\nexit 77\n")
        _, rows = self.run_it("--only", "kernels", code=1)
        self.assertEqual(rows["kernels | gpu_device_test"][0], "failed")
        self.assertIn("exit code 127, at last: no library", rows["kernels | gpu_device_test"][1])
        self.assertEqual(rows["kernels | gpu_kernels_test"], ("skipped", "skipped: no GPU"))

    def test_of_kernels_are_first_and_the_others_behind_what_is_measured(self):
        for name in ("kernels", "device", "index", "session", "model", "faiss"):
            self.put_tests(f"gpu_{name}_test", A="ok")
        asked = []
        _, rows = self.run_it(FAKE_CAIRN=DECODE)
        for line in self.log.read_text().splitlines():
            words = json.loads(line)
            asked.append(words[0] if words[0].startswith("gpu_") else words[1])
        tests = [asked.index(f"gpu_{name}_test") for name in ("index", "session", "model", "faiss")]
        measured = [at for at, what in enumerate(asked) if what in ("device", "decode")]
        self.assertGreater(min(tests), max(measured))
        self.assertLess(asked.index("gpu_kernels_test"), min(measured))
        self.assertEqual(rows["parity | all of it"][0], "skipped")
        # What the tests may take at most: of eight minutes, before and behind what is measured.
        limits = re.findall(r"programs \w+ (\d+) (\d+)", (SCRIPTS / "run.sh").read_text())
        self.assertEqual(len(limits), 2)
        self.assertLessEqual(int(limits[0][0]), 90)
        self.assertLessEqual(sum(int(together) for together, _ in limits), 240)


class Bench(FakePack):
    def test_each_figure_has_a_run_that_measures_it(self):
        torch = self.directory / "modules/torch"
        torch.mkdir(parents=True)
        (torch / "__init__.py").write_text('raise ImportError("a pretence")')
        _, rows = self.run_it("--only", "bench", PYTHONPATH=str(torch.parent),
                              FAKE_CAIRN="print('{\"faiss_problem\":\"not built in\"}')")
        asked = {tuple(json.loads(line)[3:]) for line in self.log.read_text().splitlines()}
        self.assertLessEqual({("--kv-type", "q8"), (), ("--tokens", "131072", "--retrieve", "41"),
                              ("--kv-type", "q8", "--tokens", "10000000"),
                              ("--kv-type", "q8", "--faiss")}, asked)
        self.assertRegex(rows["bench | 1M-q8-faiss"][1], r"s; not built in$")
        # Of 64 rows of keys and values, as 16 bits.
        dims = [int(words[words.index("--head-dim") + 1]) for words in asked
                if "--head-dim" in words]
        self.assertEqual([64 * dim * 2 * 2 for dim in dims], [16 << 10])
        status, note = rows["bench | sdpa-128k"]
        self.assertEqual(status, "skipped")
        self.assertIn("skipped: no PyTorch of 2.3 or newer (a pretence)", note)

    def test_pytorch_has_the_machine_s_python_and_libraries(self):
        programs = self.directory / "programs"
        programs.mkdir()
        python = programs / "python3"
        python.write_text('#!/bin/bash\necho "$0 $* ${LD_LIBRARY_PATH:-none}" >>$FAKE_LOG\n'
                          'echo \'{"f16_seconds":1}\'\n')
        python.chmod(0o755)
        self.put("bin/cairn", "#!/bin/bash\n[[ $1 == doctor ]] && echo 'GPU  cuda:0, x; y' || "
                              "echo '{}'\n")
        _, rows = self.run_it("--only", "bench", PATH=f"{programs}:{os.environ['PATH']}")
        self.assertEqual(rows["bench | sdpa-128k"][0], "passed")
        self.assertEqual(self.log.read_text().split(),
                         [str(python), str(self.pack / "sdpa_device.py"), "none"])
        self.assertEqual(json.loads((self.results / "bench/sdpa-128k.json").read_text()),
                         {"f16_seconds": 1})


# Pass keys in texts, of which each 32k takes $TAKES seconds; one of five answers is wrong.
PASSKEY = """
if words[:2] == ["eval", "passkey"]:
    length, texts = value("--lengths"), int(value("--samples"))
    tokens = int(length.rstrip("kM")) * {"k": 1024, "M": 1048576}.get(length[-1], 1)
    time.sleep(float(os.environ.get("TAKES", 0)) * texts * tokens / 32768)
    answers = [{"question": "?", "answer": str(n), "right": n > 0} for n in range(5)]
    print(json.dumps({"texts": [{"text": n, "answers": answers} for n in range(texts)]}))
"""


class Passkey(FakePack):
    def setUp(self):
        super().setUp()
        (self.pack / "model.gguf").touch()

    def asked(self):
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [(words[words.index("--lengths") + 1], words[words.index("--samples") + 1])
                for words in found if words[:2] == ["eval", "passkey"]]

    def test_lengths_are_those_of_docs_and_answers_are_kept(self):
        summary, rows = self.run_it("--only", "passkey", FAKE_CAIRN=PASSKEY)
        self.assertEqual(self.asked(), [("32k", "4"), ("128k", "2"), ("256k", "1"), ("512k", "1"),
                                        ("1M", "1")])
        self.assertRegex(rows["passkey | 32k"][1], r"^\d+ s; 16 of 20 right$")
        kept = json.loads((self.results / "bench/passkey-01048576.json").read_text())
        self.assertEqual([answer["answer"] for answer in kept["texts"][0]["answers"]],
                         list("01234"))
        self.assertIn("| pass keys behind 131072 tokens, of 10 | 8 |  |  |", summary)

    def test_longer_ones_only_if_there_is_time(self):
        _, rows = self.run_it("--only", "passkey", "--minutes", "1", "--passkey-lengths",
                              "8192,1M", FAKE_CAIRN=PASSKEY, TAKES="3")
        self.assertEqual(self.asked(), [("8192", "4")])
        self.assertEqual(rows["passkey | 1M"][0], "skipped")
        self.assertRegex(rows["passkey | 1M"][1], r"it would take \d+ s, more than are left")


SHAPE = {"layers": 32, "kv_heads": 8, "group": 4, "head_dim": 128}


class Figures(FakePack):
    def figures(self, files, steps="bench,decode,aliased,passkey"):
        """By what they are of: (measured, mark, verdict)."""
        for name, json_of in files.items():
            (self.directory / f"{name}.json").write_text(json.dumps(json_of, separators=(",", ":")))
        done = subprocess.run(
            ["awk", "-v", f"steps={steps}", "-f", SCRIPTS / "figures.awk",
             *[self.directory / f"{name}.json" for name in files]],
            check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.stderr, "")
        rows = [tuple(field.strip() for field in line.strip("|").split("|"))
                for line in done.stdout.splitlines()]
        self.assertEqual([len(row) for row in rows], [4] * len(rows))
        return {row[0]: row[1:] for row in rows[2:]}

    def test_each_is_beside_its_mark(self):
        device = {**SHAPE, "tokens": 1000000, "coded_scan_seconds": 1.5e-4, "scan_seconds": 3e-4,
                  "attend_by_parts": [{"parts": 32, "seconds": 9.0}], "attend_seconds": 2.5e-4,
                  "attend_share_of_memory": 0.41, "attend_one_launch_share_of_memory": 0.899,
                  "memory_bytes_per_second": 4.25e12, "faiss_search_seconds": 0.0031,
                  "faiss_flat_seconds": 0.0018}
        decode = {**SHAPE, "past_tokens": 1000000, "read_tokens": 1000000, "outside_share": 0.96,
                  "decode_tokens_per_second": 151.5, "decode_seconds_p50": 0.006,
                  "decode_seconds_p99": 0.024, "chosen_hit_share": 0.93, "waits_per_token": 12.5}
        found = self.figures({
            "1M-q8": device, "1M-q8-faiss": device,
            "1M-f16": device | {"attend_one_launch_share_of_memory": 0.93,
                                "attend_one_launch_bytes_per_second": 4.0e12},
            "128k-f16": {**SHAPE, "tokens": 131072, "coded_scan_seconds": 2e-5,
                         "scan_seconds": 3e-5, "attend_seconds": 1e-4},
            "sdpa-128k": {"keys": 131072, "query_heads": 32, "kv_heads": 8, "head_dim": 128,
                          "f16_seconds": 1.2e-4, "bf16_seconds": 1e-4},
            "16KiB-blocks": {"head_dim": 64, "block_rows": 64,
                             "gather_share_of_copy": 0.9,
                             "batch_share_of_copy": 0.93},
            "decode-q8": decode, "decode-quarter-q8": decode | {"decode_tokens_per_second": 9},
            "decode-10M-q8-aliased": {**SHAPE, "past_tokens": 9999990,
                                      "decode_tokens_per_second": 59.9,
                                      "besides_weights_bytes": 15_999_000_000},
            "passkey-00131072": {"texts": [{"answers": [{"right": True}, {"right": False}]}]}})
        dense = "SDPA flash at 128K, over choice by {} and attention of 2 %"
        self.assertEqual(found, {
            "landmarks of 1M tokens searched, 8 bits": ("0.150 ms", "≤ 0.200 ms", "holds"),
            "FAISS flat for each head, over that": ("12.0", "≥ 10.0", "holds"),
            "FAISS in one call a layer": ("3.100 ms", "≤ 3.000 ms", "does not hold"),
            dense.format("8 bits"): ("26.7", "≥ 25.0", "holds"),
            dense.format("bf16"): ("24.6", "≥ 25.0", "does not hold"),
            "attention in one launch, of a copy's rate, f16": ("93.0 %", "≥ 90.0 %", "holds"),
            "attention in one launch, of 4.8 TB/s, f16": ("83.3 %", "≥ 90.0 %", "does not hold"),
            "attention of a token, a launch a layer, f16": ("41.0 %", "", ""),
            "attention in one launch, of a copy's rate, q8":
                ("89.9 %", "≥ 90.0 %", "does not hold"),
            "attention in one launch, of 4.8 TB/s, q8": ("", "≥ 90.0 %", "not measured"),
            "attention of a token, a launch a layer, q8": ("41.0 %", "", ""),
            "memory, by a copy on the device": ("4.25 TB/s", "", ""),
            "scattered blocks of 16 KiB to the device, of a long copy":
                ("93.0 %", "≥ 92.0 %", "holds"),
            "decode behind 1000000 tokens": ("151.5 tokens/s", "≥ 150.0 tokens/s", "holds"),
            "of it p99, over p50": ("4.00", "≤ 3.00", "does not hold"),
            "of it KV outside the device": ("96.0 %", "≥ 95.0 %", "holds"),
            "of it chosen blocks that were there": ("93.0 %", "≥ 90.0 %", "holds"),
            "of it tokens read": ("1000000", "≥ 1000000", "holds"),
            "of it waits of the host, a token": ("12.5", "", ""),
            "decode behind 9999990 aliased tokens":
                ("59.9 tokens/s", "≥ 60.0 tokens/s", "does not hold"),
            "of it the device besides weights": ("16.00 GB", "≤ 16.00 GB", "holds"),
            "pass keys behind 131072 tokens, of 2": ("1", "", "")})

    def test_what_is_not_there_was_not_measured(self):
        found = self.figures({"decode-q8": {}}, "bench,decode,aliased")
        self.assertEqual({verdict for _, _, verdict in found.values()}, {"not measured"})
        self.assertEqual({value for value, _, _ in found.values()}, {""})
        self.assertEqual(self.figures({"decode-q8": {}}, "parity"), {})

    def test_of_less_than_was_asked_no_mark_holds(self):
        quarter = {**SHAPE, "past_tokens": 250000, "decode_tokens_per_second": 200}
        found = self.figures({"decode-quarter-q8": quarter, "decode-q8": {}}, "decode")
        self.assertEqual(found["decode behind 250000 tokens"],
                         ("200.0 tokens/s", "≥ 150.0 tokens/s", "not measured as asked"))
        found = self.figures({"1M-q8": {**SHAPE, "layers": 2, "tokens": 1000000,
                                        "coded_scan_seconds": 1e-6}}, "bench")
        self.assertEqual(found["landmarks of 1M tokens searched, 8 bits"][2],
                         "not measured as asked")

    def test_they_are_in_the_summary(self):
        summary, _ = self.run_it("--only", "decode", FAKE_CAIRN=DECODE)
        self.assertIn("| decode behind 1000000 tokens | 150.0 tokens/s | ≥ 150.0 tokens/s | not "
                      "measured as asked |\n", summary)
        self.assertLess(summary.index("decode behind"), summary.index("| decode | all | passed"))


if __name__ == "__main__":
    unittest.main()
