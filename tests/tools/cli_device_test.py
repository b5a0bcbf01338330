#!/usr/bin/env python3
"""--device: answers from blocks that are attended on a device are those of the CPU.

CAIRN_DEVICE_BINARY is the same program with devices that run on a CPU (tests/support/cuda_on_cpu);
CAIRN_BINARY has those of this machine, or none.
"""

import os
import re
import subprocess
import unittest

from cli_harness import (BINARY, CliTest, Finished, LANDMARK, MODEL, REAL_ADAPTER, REAL_MODEL,
                         SMALL_STEPS, TIMEOUT_SECONDS, random_text)

DEVICE_BINARY = os.environ["CAIRN_DEVICE_BINARY"]
MODES = {"unmodified": ("--chunk", "64"),
         "landmark": ("--adapter", LANDMARK, *SMALL_STEPS)}
ASK = ("--retrieve", "3", "--max-tokens", "8", "--json", "Who went to the river?")


def on_device(*arguments, **environment):
    done = subprocess.run([DEVICE_BINARY, *map(str, arguments), "--device", "cuda:0"],
                          capture_output=True, check=False, timeout=TIMEOUT_SECONDS,
                          env={**os.environ, **environment})
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


class Device(CliTest):
    def good_on_device(self, *arguments, **environment):
        done = on_device(*arguments, **environment)
        self.assertEqual(done.code, 0, done.stderr)
        return done

    def test_answers_are_those_of_the_cpu(self):
        text = self.file("text.txt", random_text(2500))
        for mode, options in MODES.items():
            with self.subTest(mode=mode):
                self.ingest(text, *options, name=mode)
                self.good_on_device("ingest", *self.session(f"{mode}-device"), "--model", MODEL,
                                    "--compute-memory", "3MiB", *options, text)
                self.assertEqual(self.show(mode)["blocks"], self.show(f"{mode}-device")["blocks"])
                expected = self.good("ask", *self.session(mode), *ASK).json
                for name, index in ((mode, "auto"), (f"{mode}-device", "auto"), (mode, "int8")):
                    found = self.good_on_device("ask", *self.session(name), "--index", index,
                                                *ASK).json
                    self.assertEqual(found["answer"], expected["answer"])
                    tiers = {tier["tier"]: tier for tier in found["tiers"]}
                    self.assertGreater(tiers["compute"]["bytes_in"], 0)

    def test_faiss_searches_there_too(self):
        text = self.file("text.txt", random_text(2500))
        for mode, options in MODES.items():
            with self.subTest(mode=mode):
                self.ingest(text, *options, name=mode)
                expected = self.good("ask", *self.session(mode), *ASK).json
                found = self.good_on_device("ask", *self.session(mode), "--index", "faiss",
                                            *ASK).json
                self.assertEqual(found["answer"], expected["answer"])

    def test_a_real_model_answers_the_same(self):
        if not os.path.exists(REAL_MODEL):
            self.skipTest("no model: tools/test.sh fetches it, or name one with CAIRN_MODEL")
        text = self.file("text.txt", "The key of the harbour is green. " + random_text(4000))
        self.ingest(text, "--adapter", REAL_ADAPTER, model=REAL_MODEL)
        ask = ("ask", *self.session(), "--max-tokens", "4", "--json", "What is green?")
        expected = self.good(*ask).json
        found = self.good_on_device(*ask, "--compute-memory", "64MiB",
                                    CAIRN_CUDA_ON_CPU_MIB="600").json
        self.assertEqual(found["answer"], expected["answer"])
        self.assertEqual(found["answer_tokens"], expected["answer_tokens"])

    def test_what_is_refused(self):
        text = self.file("text.txt", random_text(3000))
        self.ingest(text)
        for device in ("gpu", "cuda", "cuda:", "cuda:-1", "cuda:1x", ""):
            self.refused("ask", *self.session(), "--device", device, *ASK,
                         saying=f"--device {device}: use cpu, auto or cuda:N")
        new = self.directory / "new"
        self.refused("ingest", "--store", new, "--session", "s", "--model", MODEL,
                     "--device", "cuda:4096", text, saying="device")
        self.assertFalse(new.exists())
        done = on_device("ask", *self.session(), "--compute-memory", "2GiB", *ASK)
        self.assertEqual(done.code, 1)
        self.assertRegex(done.stderr, "cuda:0 has .* free and 2.0 GiB were asked for")
        done = on_device("ask", *self.session(), "--compute-memory", "1KiB", *ASK)
        self.assertEqual(done.code, 1)
        self.assertRegex(done.stderr, "the compute tier must hold .*: give it at least")

    def test_auto_is_the_cpu_where_there_is_no_device(self):
        text = self.file("text.txt", random_text(3000))
        self.ingest(text)
        expected = self.good("ask", *self.session(), *ASK).json["answer"]
        found = self.good("ask", *self.session(), "--device", "auto", *ASK).json["answer"]
        self.assertEqual(found, expected)

    def test_why_and_certificates_look_at_the_same(self):
        text = self.file("text.txt", random_text(2000))
        self.ingest(text, *MODES["unmodified"])
        for command in (("ask", "--certify", "--audit"), ("why",)):
            with self.subTest(command=command):
                arguments = (command[0], *self.session(), *command[1:], *ASK)
                self.assertEqual(set(self.good_on_device(*arguments).json),
                                 set(self.good(*arguments).json))

    def test_steps_are_counted_by_who_made_them(self):
        text = self.file("text.txt", random_text(2000))
        self.ingest(text, *MODES["unmodified"])
        ask = ("ask", *self.session())
        done = self.good_on_device(*ask, *ASK)
        self.assertGreater(done.json["device_steps"], 0)
        self.assertEqual(done.json["host_steps"], 0)
        self.assertIn(f"\n{done.json['device_steps']} steps on the device, 0 by the host\n",
                      done.stderr)
        watched = self.good_on_device(*ask, "--certify", *ASK)
        self.assertEqual(watched.json["device_steps"], 0)
        self.assertEqual(watched.json["host_steps"], done.json["device_steps"])
        on_cpu = self.good(*ask, *ASK)
        self.assertEqual((on_cpu.json["device_steps"], on_cpu.json["host_steps"]), (0, 0))
        self.assertNotIn("on the device", on_cpu.stderr)

    def test_the_bench_measures_everything(self):
        little = {"--layers": 2, "--kv-heads": 2, "--group": 2, "--head-dim": 16,
                  "--block-rows": 8, "--tokens": 800, "--retrieve": 3, "--pool": "64KiB",
                  "--rounds": 1, "--replays": 3, "--recent": 16}

        def words(**changed):
            options = {**little, **{"--" + name.replace("_", "-"): changed[name]
                                    for name in changed}}
            return ("bench", "device", *[word for pair in options.items() for word in pair])

        found = self.good_on_device(*words(), "--json").json
        self.assertEqual((found["device"], found["model"]), ("cuda:0", "CPU"))
        for key, value in found.items():
            if key.startswith("faiss"):
                continue
            if key.endswith(("_seconds", "_per_second")) or "share" in key:
                self.assertGreater(value, 0, key)
        # By the stand-in's clock a launch or a copy takes a microsecond.
        for key, launches in (("scan", 2), ("coded_scan", 2), ("coded_scan_overlapped", 2),
                              ("attend", 2), ("attend_one_launch", 1)):
            self.assertAlmostEqual(found[f"{key}_seconds"] * 1e6, launches, 4, key)
        self.assertGreater(found["coded_scan_apart_seconds"], found["coded_scan_seconds"])
        memory = 2 * 65536 * 1e6
        for key in ("", "_first", "_last"):
            self.assertAlmostEqual(found["memory_bytes_per_second" + key] / memory, 1, 6)
        # Of 128 blocks of 512 bytes 42 lists can be made; 36 are 6 for each of 2 multiprocessors.
        token, lists = 2 * 2 * 3 * 512, 36 * 3 * 512
        self.assertAlmostEqual(found["attend_share_of_memory"], token * 1e6 / 2 / memory, 6)
        self.assertEqual((found["attend_one_launch_lists"], found["attend_one_launch_bytes"]),
                         (36, lists))
        self.assertAlmostEqual(found["attend_one_launch_share_of_memory"], lists * 1e6 / memory, 6)
        # A step has the first block and 16 tokens in 3 more besides; 2 parts are a step's own.
        for key, parts in (("attend_by_parts", [(3, 1), (3, 2), (3, 3), (7, 2), (7, 3), (7, 4),
                                                (7, 7)]),
                           ("attend_one_launch_by_parts", [(3, 1), (3, 2)])):
            self.assertEqual([(time["blocks"], time["parts"]) for time in found[key]], parts)
        for time in found["attend_by_parts"]:
            self.assertAlmostEqual(time["share_of_memory"],
                                   2 * 2 * time["blocks"] * 512 / time["seconds"] / memory, 6)
        self.assertEqual([found[f"faiss_{key}"] for key in ("search_seconds", "flat_seconds",
                                                            "flat_over_coded_scan")], [None] * 3)
        self.assertEqual(found["faiss_problem"], "not asked for; use --faiss")
        # In each layer a copy there, a call and a copy back; or a call for each of 2 heads.
        beside = self.good_on_device(*words(), "--faiss", "--json").json
        self.assertAlmostEqual(beside["faiss_search_seconds"] * 1e6, 2 * 3, 4)
        self.assertAlmostEqual(beside["faiss_flat_seconds"] * 1e6, 2 * 2, 4)
        self.assertAlmostEqual(beside["faiss_flat_over_coded_scan"], 2, 4)
        self.assertEqual(beside["faiss_problem"], "")
        self.assertRegex(self.good_on_device(*words(), "--faiss").stdout,
                         r"\na token: FAISS over .* 0\.006 ms, for each head 0\.004 ms, 2\.0 times")
        said = self.good_on_device(*words()).stdout
        self.assertIn("\nFAISS was not timed: not asked for; use --faiss\n", said)
        self.assertIn("2 layers, 2 KV heads of 16 numbers", said)
        self.assertIn("\n36 such lists of 54.0 KiB attended in one launch 0.001 ms, ", said)
        for changed, said in (({"layers": 0}, "--layers 0: use 1 or more"),
                              ({"head_dim": 12}, "--head-dim 12: use a multiple of 8"),
                              ({"head_dim": 512}, "heads of 512 numbers are not"),
                              ({"tokens": 10}, "--tokens 10: use 24 or more"),
                              ({"pool": "512"}, "--pool 512: use 1024 or more"),
                              ({"replays": 0}, "--replays 0: use 1 or more"),
                              ({"recent": -1}, "--recent -1: use 0 or more"),
                              ({"pool": "much"}, "--pool: .*much"),
                              ({"device": "cpu"}, "this measures a GPU; use cuda:N")):
            self.refused(*words(**changed), saying=said)

    def decode(self, *options, **changed):
        little = {"layers": 2, "kv_heads": 2, "group": 2, "head_dim": 8, "block_rows": 4,
                  "hidden": 32, "ffn": 64, "vocab": 64, "context": 512, "recent": 8,
                  "retrieve": 3, "tokens": 560, "chunk": 32, "kv_type": "f32", "warm_up": 4,
                  "decode": 16}
        words = {**little, **changed}
        return on_device("bench", "decode", *options,
                         *[word for name, value in words.items()
                           for word in ("--" + name.replace("_", "-"), value)])

    def test_a_whole_model_decodes_behind_a_long_past(self):
        shares = ("hit_share", "chosen_hit_share", "outside_share")
        for mode, index, rows in (("unmodified", "auto", 560), ("landmark", "int8", 746)):
            with self.subTest(mode=mode):
                done = self.decode("--json", mode=mode, index=index)
                self.assertEqual(done.code, 0, done.stderr)
                found = done.json
                self.assertEqual((found["model"], found["mode"], found["weights"]),
                                 ("CPU", mode, "random"))
                self.assertEqual((found["read_tokens"], found["past_rows"]), (560, rows))
                self.assertEqual(found.pop("aliased"), 0)
                for key in ("drawing_seconds", "opening_seconds"):
                    self.assertEqual(found.pop(key), 0)
                self.assertEqual(found["blocks_per_head"], rows // 4)
                self.assertIn("int8" if index == "int8" else "device", found["index"])
                if mode == "landmark":  # whose blocks of 4 rows are complete too often
                    del found["graph_launches_per_token"]
                for key, value in found.items():
                    if key.endswith(("_bytes", "per_second", "_per_token", "_share")) or \
                            "seconds" in key:
                        self.assertGreater(value, 0, key)
                for key in shares:
                    self.assertLess(found[key], 1, key)
                self.assertLessEqual(found["decode_seconds_p50"], found["decode_seconds_p90"])
                self.assertLessEqual(found["decode_seconds_p90"], found["decode_seconds_p99"])
                self.assertLessEqual(found["decode_seconds_p99"], found["decode_seconds_most"])
                self.assertEqual(found["chosen_blocks_per_token"], 2 * 2 * 3)
                parts = sum(found[key] for key in ("weight_bytes", "index_bytes",
                                                   "compute_tier_bytes"))
                self.assertGreaterEqual(found["device_bytes"], parts)
                self.assertLess(found["compute_tier_bytes"], found["payload_bytes"])
                if mode == "unmodified":  # where rows do not repeat, choices do not persist
                    other = self.decode("--json", repeat=0).json["chosen_hit_share"]
                    self.assertGreater(found["chosen_hit_share"], other)

    def test_a_past_may_be_aliased(self):
        for mode, index, dtype, blocks in (("landmark", "int8", "q8", 1000),
                                           ("unmodified", "auto", "f32", 750)):
            with self.subTest(mode=mode):
                done = self.decode("--json", mode=mode, index=index, kv_type=dtype, tokens=3000,
                                   aliased=5)
                self.assertEqual(done.code, 0, done.stderr)
                found = done.json
                self.assertEqual((found["aliased"], found["past_tokens"], found["past_rows"]),
                                 (5, 3000, 4 * blocks))
                self.assertEqual(found["blocks_per_head"], blocks)
                for key in ("read_tokens", "reading_seconds", "reading_tokens_per_second"):
                    self.assertEqual(found[key], 0, key)
                for key in ("drawing_seconds", "opening_seconds", "decode_tokens_per_second",
                            "missed_blocks_per_token", "copied_bytes_per_token"):
                    self.assertGreater(found[key], 0, key)
                self.assertGreater(found["chosen_hit_share"], 0)
                self.assertLess(found["chosen_hit_share"], 1)
                # Of each layer and head: what is decoded is 6 or 5 blocks.
                decoded = 20 // 3 if mode == "landmark" else 20 // 4
                block = found["payload_bytes"] / (blocks + decoded)
                self.assertEqual(found["distinct_payload_bytes"], block * (5 + decoded))
                self.assertGreaterEqual(found["besides_weights_bytes"],
                                        found["index_bytes"] + found["compute_tier_bytes"])
                self.assertGreaterEqual(found["besides_weights_bytes"],
                                        found["reckoned_besides_weights_bytes"])
                self.assertGreater(found["reckoned_besides_weights_bytes"],
                                   found["index_bytes"] + found["compute_tier_bytes"])
        said = self.decode(tokens=3000, aliased=5).stdout
        self.assertIn("not read    3000 tokens: random landmarks", said)
        self.assertIn("payloads are aliased: 5 for each layer and KV head", said)
        self.assertRegex(said, r"besides weights, where .* were reckoned")

    def test_ten_million_tokens_are_reckoned_before_anything_is_made(self):
        eight_billion = {"layers": 32, "kv_heads": 8, "group": 4, "head_dim": 128, "block_rows": 64,
                         "hidden": 4096, "ffn": 14336, "vocab": 128256, "context": 8192,
                         "retrieve": 32, "recent": 512, "kv_type": "q8", "tokens": 10 ** 7,
                         "chunk": 1024, "warm_up": 32, "decode": 256, "aliased": 64}
        for mode, index, said in (
                ("unmodified", "int8", r"landmarks 19\.\d GiB \(4 for each of 156254 blocks of "),
                ("unmodified", "auto", r"landmarks 38\.\d GiB .* --mode unmodified --index auto"),
                ("landmark", "int8", "of the host's memory, a block in|weights take")):
            with self.subTest(mode=mode, index=index):
                done = self.decode(**{**eight_billion, "mode": mode, "index": index})
                self.assertEqual(done.code, 1)
                self.assertRegex(done.stderr, said)
                self.assertEqual("more than --device-limit 14.9 GiB" in done.stderr,
                                 mode == "unmodified")

    def test_reading_stops_in_time(self):
        done = self.decode(tokens=100000, read_seconds=0.2)
        self.assertEqual(done.code, 0, done.stderr)
        tokens = int(re.search(r"read +(\d+) of 100000 tokens", done.stdout).group(1))
        self.assertLess(tokens, 100000)
        self.assertIn("weights and rows are random; 0.995 of a decoded row", done.stdout)

    def test_decoding_that_cannot_be_is_refused(self):
        for changed, said in (({"hidden": 7}, "--hidden 7: use 8 or more"),
                              ({"decode": 0}, "--decode 0: use 1 or more"),
                              ({"repeat": 1}, "--repeat 1: use a share"),
                              ({"read_seconds": -1}, "--read-seconds -1: use 0 or more"),
                              ({"index": "exact"}, "--index exact: .* auto or int8"),
                              ({"mode": "dense"}, "--mode: dense not in"),
                              ({"chunk": 500}, "exceed the model's context of 512"),
                              ({"compute_memory": "much"}, "--compute-memory: .*much"),
                              ({"compute_memory": "1KiB"}, "the compute tier must hold"),
                              ({"host_memory": "64KiB"}, "--host-memory 64.0 KiB: .* which take"),
                              ({"tokens": 10 ** 12}, "a block in .* available; .*--host-limit"),
                              ({"hidden": 8192, "ffn": 8192, "vocab": 8192},
                               "weights take .* and cuda:0 has 64.0 MiB free"),
                              ({"aliased": -1}, "--aliased -1: use 0 or more"),
                              ({"aliased": 2, "read_seconds": 1}, "nothing is read with --aliased"),
                              ({"aliased": 2, "tokens": 12}, "these are 3 blocks; use more than "),
                              ({"aliased": 2, "tokens": 10 ** 12}, "retrieve 3, and below 2.31"),
                              ({"aliased": 10 ** 9, "tokens": 10 ** 9}, "limit|the host's memory"),
                              ({"device_limit": "1KiB"}, "560 tokens take .* more than --device-"),
                              ({"host_limit": "64KiB"}, "64.0 KiB are allowed by --host-limit"),
                              ({"host_limit": "0"}, "--host-limit 0: use more than nothing"),
                              ({"device_limit": "much"}, "--device-limit: .*much"),
                              ({"tokens": 10000, "read_seconds": 1e-9, "retrieve": 20},
                               "tokens were read in --read-seconds")):
            with self.subTest(changed=changed):
                done = self.decode(**changed)
                self.assertNotEqual(done.code, 0)
                self.assertRegex(done.stderr, said)
        self.refused("bench", "decode", "--device", "cpu", saying="this measures a GPU; use cuda:N")

    def test_the_ladder_has_rungs_on_it(self):
        done = on_device("bench", "ladder", "--store", self.directory / "ladder", "--no-peers",
                         "--block-size", "4KiB", "--batch", "4", "--readers", "2", "--size", "2MiB",
                         "--turn-ms", "5", "--repetitions", "1", "--json")
        if "direct I/O" in done.stderr:
            self.skipTest("the temporary directory has no direct I/O")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertTrue(all(tier["present"] for tier in done.json["tiers"]), done.json["tiers"])
        served = {(point["tier"], point["step"]): point["served_percent"]
                  for point in done.json["points"] if point["loop"] == "closed"}
        small = "\n".join(done.json["too_small"])  # in so short a turn
        for rung, tier in ((("VRAM", "fetch"), "compute"),
                           (("pinned host", "fetch + copy"), "host")):
            if rung in served:
                self.assertGreater(served[rung][tier], 75)  # it warms up in so short a turn
            else:
                self.assertIn("/".join(rung), small)

    def test_the_program_says_what_it_was_built_with(self):
        done = subprocess.run([DEVICE_BINARY, "doctor"], capture_output=True, check=False,
                              timeout=TIMEOUT_SECONDS)
        self.assertIn("cuda:0, CPU; used where --device says so", done.stdout.decode())
        version = subprocess.run([BINARY, "--version"], capture_output=True, check=True,
                                 timeout=TIMEOUT_SECONDS).stdout.decode()
        self.assertRegex(version, r"built in      .*(no GPU code|CUDA \d+\.\d+)")
        json = self.good("--version", "--json").json["features"]["faiss_gpu"]
        self.assertEqual("FAISS for GPUs" in version, json)
        self.assertIn("; FAISS for GPUs too" if json else "; no FAISS for GPUs",
                      self.good("doctor").stdout)


if __name__ == "__main__":
    unittest.main()
