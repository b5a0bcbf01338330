#!/usr/bin/env python3
"""tools/gpu-check: what it packs, and what it reports where there is no GPU and where there is one
(tests/support/cuda_on_cpu)."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import unittest

from cli_harness import BINARY, CliTest, LANDMARK, MODEL, random_text

SCRIPTS = pathlib.Path(os.environ["CAIRN_GPU_CHECK"])
DEVICE_BINARY = os.environ["CAIRN_DEVICE_BINARY"]


def settings(section, **values):
    return f"[{section}]\n" + "".join(f"{name.replace('_', '-')} = {value}\n"
                                      for name, value in values.items())


LITTLE_DECODE = settings("bench decode", tokens=500, layers=1, kv_heads=2, head_dim=8, hidden=32,
                         ffn=64, vocab=64, block_rows=8, recent=8, decode=8, host_memory="1MiB")
LITTLE_DEVICE = settings("bench device", tokens=800, kv_heads=2, group=2, head_dim=16,
                         block_rows=8, retrieve=3, pool="64KiB")

KERNELS = sorted({name for source in (SCRIPTS.parent.parent / "kernels/cuda").glob("*.cu")
                  for name in re.findall(r"__global__[^;{]*?(\w+)\(const ", source.read_text())})
# Decodes f32 only, which no run of run.sh has (IsForTensorDecode in kernels/cuda/launch.h).
NEVER_LAUNCHED = "DecodeKernel"

# Nsight Compute as far as run.sh asks for it: counts two launches, the second one slower, of each
# kernel that the sources have by a name that the expression is found in, but for those that nothing
# launches.
# $FAKE_NCU: "well", and the command is run, with less work where it says how much; "refused"; or
# a kernel that was never launched.
FAKE_NCU = r"""#!/usr/bin/env python3
import os, re, subprocess, sys
words = sys.argv[1:]
value = {name: words[words.index(name) + 1]
         for name in ("--kernel-name", "--metrics", "--log-file")}
metrics = sorted(value["--metrics"].split(","))
command = words[words.index("--metrics") + 2:]
for more in ("--hidden", "--ffn", "--vocab", "--tokens"):
    if more in command:
        del command[command.index(more):command.index(more) + 2]
how = os.environ["FAKE_NCU"]
code = subprocess.run(command, check=False).returncode if how == "well" else 0
with open(value["--log-file"], "w") as log:
    def line(*fields):
        print(",".join(f'"{field}"' for field in fields), file=log)
    print("==PROF== Connected to process 7", file=log)
    if how == "refused":
        print("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission", file=log)
        sys.exit(1)
    line("ID", "Process ID", "Kernel Name", "Block Size", "Grid Size", *metrics)
    line("", "", "", "", "", *["%"] * len(metrics))
    numbers = {"gpu": "12,340.00", "dram": "91.25", "sm": "40.5", "launch": "158"}
    for name in os.environ["FAKE_NCU_KERNELS"].split():
        for launch in range(2):
            if re.search(value["--kernel-name"].removeprefix("regex:"), name) and name != how:
                line(launch, 7, f"cairn::cuda::(anonymous namespace)::{name}<2>(int, long)",
                     "(128, 1, 1)", "(8, 2, 1)",
                     *[numbers[metric.partition("__")[0]] for metric in metrics])
                numbers["dram"] = "91.25" if launch else "9.5"
sys.exit(code)
"""


class GpuCheck(CliTest):
    def script(self, *command, **variables):
        return subprocess.run([str(word) for word in command], capture_output=True, check=False,
                              text=True, timeout=400, env={**os.environ, **variables})

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
        self.library("libcublas.so.13")
        pack = self.pack(BINARY, "--cublaslt", self.library("libcublasLt.so.13"))
        for name in ("libcublasLt.so.13", "libcublas.so.13"):
            self.assertTrue((pack / "lib" / name).is_file())
            self.assertIn("with " + str(self.directory / name), self.packing)
        # Of one glibc: the driver's library asks for what programs do not name.
        for name in ("libc.so.6", "librt.so.1", "libdl.so.2"):
            self.assertTrue((pack / "lib" / name).is_file(), name)
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
        packed = [part for part in parts.iterdir() if part.name != "unpack.sh"]
        self.assertEqual({part.name.partition("-")[0] for part in packed}, {"programs", "model"})
        self.assertTrue(all(part.stat().st_size <= 20 << 20 for part in packed))
        pack = self.directory / "unpacked"
        self.assertEqual(self.script(parts / "unpack.sh", pack).returncode, 0)
        for name in ("model.gguf", "figures.awk", "sdpa_device.py"):
            self.assertTrue((pack / name).is_file())
        # The tiny adapter was trained on little.
        config = self.file("config", "chunk = 64\nretrieve = 3\nhost-memory = 64MiB\n" +
                           LITTLE_DECODE + settings("eval passkey", max_tokens=1))
        results = self.directory / "results"
        done = self.script(pack / "run.sh", results, "--only",
                           "kernels,tests,parity,aliased,decode,passkey,counters,sanitizer",
                           "--passkey-lengths", "600",
                           "--archive", self.directory / "results.tar.gz",
                           CAIRN_CONFIG=str(config),
                           CAIRN_CHECK_READ_TOKENS="2000", CAIRN_CHECK_ALIASED_TOKENS="7000")
        summary = (results / "summary.md").read_text()
        self.assertEqual(done.returncode, 0, done.stderr + summary)
        rows = dict(re.findall(r"^\| (\w+ \| [\w-]+) \| (\w+) \|", summary, re.MULTILINE))
        for mode in ("landmark", "unmodified"):
            for what in ("reading", "answer"):
                self.assertEqual(rows[f"parity | {mode}-{what}"], "passed", summary)
        for what, file, tokens in (("quarter", "decode-quarter-q8", 500),
                                   ("all", "decode-q8", 2000)):
            self.assertEqual(rows[f"decode | {what}"], "passed", summary)
            decoded = json.loads((results / f"bench/{file}.json").read_text())
            self.assertEqual((decoded["read_tokens"], decoded["kv_type"]), (tokens, "q8"))
        self.assertEqual(rows["aliased | 10M-q8"], "passed", summary)
        decoded = json.loads((results / "bench/decode-10M-q8-aliased.json").read_text())
        self.assertEqual((decoded["past_tokens"], decoded["aliased"]), (7000, 64))
        for key in ("decode_tokens_per_second", "besides_weights_bytes"):
            self.assertIn(f"{key} {decoded[key]} ", summary)
        self.assertEqual(rows["passkey | 600"], "passed", summary)
        self.assertRegex(summary, r"\| pass keys behind 600 tokens, of 20 \| \d+ \|")
        for step, names in (("kernels", ("device", "kernels")),
                            ("tests", ("index", "session", "model"))):
            for name in names:
                self.assertIn(f"{step} | gpu_{name}_test", rows)
        self.assertIn("parity | logits", rows)
        for tool in ("memcheck", "racecheck", "synccheck"):
            self.assertIn(f"sanitizer | {tool}", rows)
        self.assertIn("- GPU: cuda:0, CPU, driver", summary)
        self.assertRegex(summary, r"- machine: \d+ processors, \d+ GiB memory, \d+ GiB of it free")
        with tarfile.open(self.directory / "results.tar.gz") as archive:
            names = archive.getnames()
            self.assertIn("./bench/decode-q8.json", names)
            self.assertEqual(archive.extractfile("./summary.md").read().decode(), summary)
        if not shutil.which("ncu"):
            self.assertIn("| counters | prefill-q8 | skipped | no ncu (Nsight Compute)", summary)

    def test_programs_do_without_the_model_and_a_missing_part_is_named(self):
        parts = self.pack(DEVICE_BINARY, "--part-size", "20M", "--cublaslt", "none")
        for part in parts.glob("model-*"):
            part.unlink()
        pack, results = self.directory / "unpacked", self.directory / "results"
        done = self.script(parts / "unpack.sh", pack)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("without the model", done.stderr)
        done = self.script(pack / "run.sh", results, "--only", "parity,passkey")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((results / "summary.md").read_text().count(
            "| all of it | skipped | the model was not brought here |"), 2)
        sorted(parts.glob("programs-*"))[-1].unlink()
        done = self.script(parts / "unpack.sh", self.directory / "again")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"not all \d+ parts of the programs are here")

    def test_counters_are_read_where_that_is_allowed(self):
        pack = self.pack(DEVICE_BINARY, "--cublaslt", "none")
        programs = self.directory / "programs"
        programs.mkdir()
        (programs / "ncu").write_text(FAKE_NCU)
        (programs / "ncu").chmod(0o755)
        config = self.file("config", LITTLE_DECODE + LITTLE_DEVICE)
        self.assertIn(NEVER_LAUNCHED, KERNELS)
        launched = [name for name in KERNELS if name != NEVER_LAUNCHED]

        def counted(how):
            results = self.directory / f"results-{how}"
            done = self.script(pack / "run.sh", results, "--only", "counters",
                               CAIRN_CONFIG=str(config), FAKE_NCU=how,
                               FAKE_NCU_KERNELS=" ".join(launched),
                               PATH=f"{programs}:{os.environ['PATH']}")
            return done.returncode, (results / "summary.md").read_text(), results / "counters"

        code, summary, files = counted("well")
        self.assertEqual(code, 0, summary)
        for name in ("device-f16", "device-q8", "prefill-f16", "prefill-q8"):
            self.assertIn(f"| counters | {name} | passed |", summary)
        self.assertIn("; TensorKernel DRAM 91 %, SM 40 %, occupancy 40 %, 158 registers |", summary)
        lines = (files / "device-q8.csv").read_text().splitlines()
        self.assertEqual(lines[0], "kernel,grid,block,nanoseconds,dram_percent,sm_percent,"
                         "occupancy_percent,registers")
        self.assertIn('TensorDecodeKernel,"(8, 2, 1)","(128, 1, 1)",12340.00,91.25,40.5,40.5,158',
                      lines)
        self.assertEqual(len(lines), 1 + 2 * 7)

        code, summary, _ = counted("refused")
        self.assertEqual(code, 0, summary)
        self.assertEqual(summary.count("| skipped | who runs this may not read the GPU's counters "
                                       "(ERR_NVGPUCTRPERM)"), 4, summary)
        code, summary, _ = counted("ShareKernel")
        self.assertEqual(code, 1, summary)
        self.assertEqual(summary.count("| failed | exit code 1: no launch was counted of "
                                       "ShareKernel; TensorDecodeKernel DRAM 91 %"), 2, summary)

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
                 "no step nonsense"),
                ((SCRIPTS / "run.sh", self.directory / "r", "--minutes", "soon"),
                 "--minutes soon"),
                ((SCRIPTS / "run.sh", self.directory / "r", "--passkey-lengths", "32k,long"),
                 "--passkey-lengths 32k,long")):
            done = self.script(*command)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn(said, done.stderr)
        self.assertFalse((self.directory / "new").exists())


if __name__ == "__main__":
    unittest.main()
