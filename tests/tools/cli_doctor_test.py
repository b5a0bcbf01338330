#!/usr/bin/env python3
"""What cairn says about itself and its machine: --version and doctor."""

import pathlib
import re
import resource
import subprocess
import unittest

from cli_harness import BINARY, CliTest, LANDMARK, MODEL, TIMEOUT_SECONDS, plain, random_text

LIBRARIES = {"RocksDB", "FAISS", "oneDNN", "oneTBB", "Boost"}
ROOT = pathlib.Path(__file__).resolve().parents[2]


class Version(unittest.TestCase):
    def test_text(self):
        text = plain("--version").stdout
        self.assertRegex(text, r"\Acairn \d+\.\d+\.\d+\ncommit +(unknown|[0-9a-f]{12}(-modified)?)"
                               r"\nbuilt in +metrics.*\ninstructions +attention \w+, .*\n")
        for name in LIBRARIES:
            self.assertRegex(text, rf"{name} \d+\.\d+")

    def test_json(self):
        for words in (("--version", "--json"), ("--json", "--version")):
            version = plain(*words).json
            self.assertEqual(set(version),
                             {"version", "commit", "features", "instructions", "libraries"})
            self.assertEqual(set(version["features"]),
                             {"metrics", "gpu", "faiss_gpu", "sanitizers"})
            self.assertEqual(set(version["instructions"]), {"attention", "search", "matrices"})
            self.assertEqual(set(version["libraries"]), LIBRARIES)
        self.assertEqual(plain("--json", "sessions", "list", "--store", "x").code, 2)

    def test_versions_are_those_of_the_libraries_that_are_loaded(self):
        linked = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True,
                                timeout=TIMEOUT_SECONDS).stdout
        loaded = re.search(r"librocksdb\.so\.\S+ => (\S+)", linked)
        if loaded is None:
            self.skipTest("RocksDB is no shared library here")
        real = pathlib.Path(loaded.group(1)).resolve().name
        version = plain("--version", "--json").json["libraries"]["RocksDB"]
        self.assertEqual(real, f"librocksdb.so.{version}")

    def test_the_commit_is_that_of_the_tree(self):
        git = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--show-toplevel", "HEAD"],
                             capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
        commit = plain("--version", "--json").json["commit"]
        if git.returncode != 0 or git.stdout.split()[0] != str(ROOT):
            self.assertEqual(commit, "unknown")
            return
        # The program may be older than the tree's newest commit: it must be one of its commits.
        self.assertNotEqual(commit, "unknown")
        known = subprocess.run(["git", "-C", str(ROOT), "cat-file", "-t",
                                commit.removesuffix("-modified")], capture_output=True, text=True,
                               check=False, timeout=TIMEOUT_SECONDS)
        self.assertEqual(known.stdout, "commit\n")


class Doctor(CliTest):
    def doctor(self, *arguments, code=0, **options):
        done = plain("doctor", *arguments, "--json", **options)
        self.assertEqual(done.code, code, done.stderr)
        self.assertEqual(set(done.json), {"usable", "findings", "disk", "program"})
        self.assertEqual(done.json["usable"], code == 0)
        found = {(one["area"], one["name"]): one for one in done.json["findings"]}
        self.assertEqual(len(found), len(done.json["findings"]))
        for one in found.values():
            self.assertEqual(set(one), {"grade", "area", "name", "found", "advice"})
            self.assertIn(one["grade"], ("good", "could be better", "bad"))
            self.assertEqual(one["advice"] == "", one["grade"] == "good", one)
        return done.json, found

    def test_a_machine_and_an_empty_place(self):
        document, found = self.doctor("--store", self.store)
        for name in ("system", "processor", "cores", "memory", "GPU"):
            self.assertIn(("machine", name), found)
        for name in ("open files", "io_uring", "locked memory", "large pages"):
            self.assertIn(("limits", name), found)
        self.assertIn("is not there yet", found["store", "sessions"]["found"])
        self.assertRegex(found["machine", "GPU"]["found"],
                         "^none: |^cuda:0, |no GPU code|no device")
        self.assertEqual(found["model", "model"]["grade"], "could be better")
        self.assertEqual(document["program"], plain("--version", "--json").json)
        self.assertEqual(list(self.directory.iterdir()), [], "nothing is left behind")
        if document["disk"] is None:
            self.assertIn(("disk", "direct reads"), found)
            return
        self.assertEqual(set(document["disk"]), {"read_bytes_per_second", "read_batch_ms",
                                                 "write_bytes_per_second", "sync_ms",
                                                 "probe_bytes"})
        for key, value in document["disk"].items():
            self.assertGreater(value, 0, key)
        self.assertLessEqual(document["disk"]["probe_bytes"], 64 << 20)

    def test_a_store_and_a_model(self):
        self.ingest(self.file("text.txt", random_text(300)))
        before = self.digest()
        _, found = self.doctor("--store", self.store, "--model", MODEL, "--adapter", LANDMARK)
        self.assertRegex(found["store", "sessions"]["found"], "^1 in ")
        self.assertRegex(found["model", "model"]["found"], "with landmarks, one in 16 rows")
        self.assertEqual(self.digest(), before)
        self.good("verify", "--store", self.store)
        _, found = self.doctor(variables={"CAIRN_STORE": str(self.store), "CAIRN_MODEL": MODEL},
                               cwd=self.directory)
        self.assertRegex(found["store", "sessions"]["found"], "^1 in ")
        self.assertRegex(found["model", "model"]["found"], "without landmarks")

    def test_what_cannot_be_used_is_bad(self):
        _, found = self.doctor("--model", self.file("m.gguf", "x"), "--store", self.store, code=1)
        self.assertEqual(found["model", "model"]["grade"], "bad")
        self.assertRegex(found["model", "model"]["found"], "m.gguf")
        _, found = self.doctor("--store", self.directory / "no" / "where", code=1)
        self.assertEqual(found["disk", "space"]["grade"], "bad")
        _, found = self.doctor("--store", self.directory, code=1)  # of other things
        self.assertEqual(found["store", "sessions"]["grade"], "bad")
        for content in ("", "x"):
            _, found = self.doctor("--store", self.file("f", content), code=1)
            self.assertEqual(found["store", "sessions"]["grade"], "bad")
            self.assertRegex(found["store", "sessions"]["found"], "/f is not a directory$")
        done = plain("doctor", "--store", self.directory / "no" / "where")
        self.assertEqual(done.code, 1)
        self.assertRegex(done.stdout, r"(?m)^bad +disk +space .*\n +-> name a directory")
        self.assertRegex(done.stderr, "^cairn: 1 of [0-9]+ findings are bad")

    def test_a_low_limit_could_be_better(self):
        limits = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        _, found = self.doctor("--store", self.store, preexec_fn=limits)
        self.assertEqual(found["limits", "open files"]["grade"], "could be better")
        self.assertEqual(found["limits", "open files"]["found"], "256")
        self.assertRegex(found["limits", "open files"]["advice"], "LimitNOFILE")

    def test_a_file_system_in_memory(self):
        shm = pathlib.Path("/dev/shm")
        if not shm.is_dir() or "tmpfs /dev/shm" not in pathlib.Path("/proc/mounts").read_text():
            self.skipTest("no file system in memory")
        _, found = self.doctor("--store", shm / "cairn-doctor-test")
        self.assertEqual(found["disk", "space"]["grade"], "could be better")
        self.assertRegex(found["disk", "space"]["advice"], "nothing in it stays")


if __name__ == "__main__":
    unittest.main()
