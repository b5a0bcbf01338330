#!/usr/bin/env python3
"""CAIRN_FAISS_GPU: what a build takes, by configuring one.

CAIRN_NVCC is empty in a build without CUDA; CAIRN_TEST_FAISS_SOURCE is where FAISS's sources may
be.
"""
import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = os.environ["CAIRN_SOURCE"]
NVCC = os.environ["CAIRN_NVCC"]
FAISS = pathlib.Path(os.environ["CAIRN_TEST_FAISS_SOURCE"])
FETCHED = bool(list(FAISS.glob("faiss_*.dsc"))) or (FAISS / "faiss/gpu").exists()
# The module alone, as the top of the tree includes it.
PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(options LANGUAGES CXX)
include(${SOURCE}/cmake/cuda.cmake)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED)
find_package(faiss CONFIG REQUIRED)
include(${SOURCE}/cmake/faiss_gpu.cmake)
message(STATUS "kind: '${CAIRN_FAISS_GPU_KIND}', ${CAIRN_HAS_FAISS_GPU}")
"""
# An installed FAISS with headers for GPUs.
CONFIG = """
add_library(faiss INTERFACE IMPORTED)
set_target_properties(faiss PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES ${CMAKE_CURRENT_LIST_DIR}/include)
"""
VERSION = """
set(PACKAGE_VERSION %s)
set(PACKAGE_VERSION_COMPATIBLE TRUE)
"""


class Options(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.directory = pathlib.Path(cls.scratch.name)
        (cls.directory / "project").mkdir()
        (cls.directory / "project/CMakeLists.txt").write_text(PROJECT)

    def configure(self, **options):
        options = {"SOURCE": SOURCE, "CAIRN_CUDA": "ON" if NVCC else "OFF",
                   "CAIRN_FAISS_SOURCE": self.directory / "nothing", **options}
        if NVCC:
            options.setdefault("CAIRN_NVCC", NVCC)
        return subprocess.run(
            [os.environ["CAIRN_CMAKE"], "-S", self.directory / "project",
             "-B", self.directory / "build", "-Ufaiss_DIR",
             *(f"-D{name}={value}" for name, value in options.items())],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=200)

    def good(self, kind, **options):
        done = self.configure(**options)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"kind: '{kind}', {'ON' if kind else 'OFF'}", done.stdout)
        return done.stdout

    def refused(self, said, **options):
        done = self.configure(**options)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertRegex(" ".join(done.stdout.split()), said)

    def installed(self, version, headers):
        folder = self.directory / f"faiss-{version}-{headers}"
        (folder / "include/faiss/gpu").mkdir(parents=True, exist_ok=True)
        (folder / "faiss-config.cmake").write_text(CONFIG)
        (folder / "faiss-config-version.cmake").write_text(VERSION % version)
        if headers:
            (folder / "include/faiss/gpu/GpuDistance.h").write_text("")
        return folder

    def test_off_says_nothing(self):
        self.assertNotIn("FAISS on GPUs", self.good("", CAIRN_FAISS_GPU="OFF"))
        self.refused("CAIRN_FAISS_GPU=maybe: use AUTO, system, source or OFF",
                     CAIRN_FAISS_GPU="maybe")

    def test_without_cuda_there_is_none(self):
        nothing = {"CAIRN_CUDA": "OFF"}
        self.assertIn("FAISS on GPUs: not built: it needs the CUDA kernels",
                      self.good("", CAIRN_FAISS_GPU="AUTO", **nothing))
        for kind in ("system", "source"):
            self.refused("it needs the CUDA kernels", CAIRN_FAISS_GPU=kind, **nothing)

    @unittest.skipUnless(NVCC, "this build is without CUDA")
    def test_auto_with_nothing_there(self):
        without = {"faiss_DIR": self.installed("1.7.3", False)}
        said = self.good("", CAIRN_FAISS_GPU="AUTO", **without)
        self.assertIn("FAISS on GPUs: not built: the installed FAISS has no headers for GPUs, and "
                      "no sources in", said)
        self.refused("CAIRN_FAISS_GPU=system: the installed FAISS has no headers for GPUs",
                     CAIRN_FAISS_GPU="system", **without)
        self.refused(r"CAIRN_FAISS_GPU=source: no sources in .*tools/setup.sh fetches them",
                     CAIRN_FAISS_GPU="source", **without)

    @unittest.skipUnless(NVCC, "this build is without CUDA")
    def test_an_installed_one_comes_first(self):
        with_headers = {"faiss_DIR": self.installed("1.9.0", True)}
        for wanted in ("AUTO", "system"):
            self.assertIn("FAISS on GPUs: system, 1.9.0",
                          self.good("system", CAIRN_FAISS_GPU=wanted, **with_headers))
        self.refused("is 1.7.2, older than 1.7.3", CAIRN_FAISS_GPU="system",
                     faiss_DIR=self.installed("1.7.2", True))

    @unittest.skipUnless(NVCC and FETCHED, "no FAISS sources: tools/setup.sh fetches them")
    def test_sources(self):
        version = "1.7.3"
        found = {"CAIRN_FAISS_SOURCE": FAISS, "faiss_DIR": self.installed(version, False)}
        for wanted in ("AUTO", "source"):
            self.assertIn(f"FAISS on GPUs: source, {version}",
                          self.good("source", CAIRN_FAISS_GPU=wanted, **found))
        self.refused("the sources are 1.7.3, the installed FAISS 1.9.0", CAIRN_FAISS_GPU="source",
                     CAIRN_FAISS_SOURCE=FAISS, faiss_DIR=self.installed("1.9.0", False))

    @unittest.skipUnless(NVCC, "this build is without CUDA")
    def test_a_package_that_is_none(self):
        folder = self.directory / "package"
        folder.mkdir()
        (folder / "faiss_1.7.3-0.dsc").write_text("nothing\n")
        self.refused("dpkg-source does not unpack", CAIRN_FAISS_GPU="source",
                     CAIRN_FAISS_SOURCE=folder, faiss_DIR=self.installed("1.7.3", False))


if __name__ == "__main__":
    unittest.main()
