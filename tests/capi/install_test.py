#!/usr/bin/env python3
"""cmake --install into a prefix of its own: both examples are built against it and run, and what
was installed finds what belongs to it.

Needs CAIRN_BUILD (a built tree), CAIRN_EXAMPLES and CAIRN_TINY_MODELS in the environment.
"""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.environ["CAIRN_BUILD"]
EXAMPLES = pathlib.Path(os.environ["CAIRN_EXAMPLES"])
MODEL = os.environ["CAIRN_TINY_MODELS"] + "/tiny.gguf"
TEXT = "In the beginning was a long tale of the sea and another one on the anthill. " * 20
TIMEOUT_SECONDS = 120


def run(*arguments, stdin="", **variables):
    """Output of a command that must succeed, without settings of whoever runs the test."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")}
    done = subprocess.run([str(argument) for argument in arguments], input=stdin, text=True,
                          errors="replace", capture_output=True, check=False,
                          timeout=TIMEOUT_SECONDS,
                          env={**kept, "CAIRN_CONFIG": "/dev/null", **variables})
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="cairn_install_"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        run("cmake", "--install", BUILD, "--prefix", cls.directory / "first")
        # What is installed may be moved: nothing in it knows where it was.
        cls.prefix = cls.directory / "moved"
        (cls.directory / "first").rename(cls.prefix)
        cls.library = next(cls.prefix.glob("lib*/**/libcairn.so")).parent

    def cairn(self, *arguments, stdin=""):
        return run(self.prefix / "bin/cairn", *arguments, stdin=stdin)

    def built_by_cmake(self):
        build = self.directory / "cmake"
        run("cmake", "-S", EXAMPLES / "cmake", "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}")
        run("cmake", "--build", build)
        return build / "remember"

    def built_by_make(self):
        build = self.directory / "c"
        shutil.copytree(EXAMPLES / "c", build)
        run("make", "-C", build, "CFLAGS=-O2 -Werror",
            PKG_CONFIG_PATH=str(self.library / "pkgconfig"))
        return build / "ask"

    def test_examples_are_built_against_it_and_work_on_one_store(self):
        remember, ask = self.built_by_cmake(), self.built_by_make()
        store = self.directory / "store"
        said = run(remember, store, "tale", MODEL, stdin=TEXT)
        self.assertRegex(said, r"^tale has \d{3,} tokens\n$")
        self.assertEqual(run(remember, store, "tale", MODEL, stdin=TEXT), said,
                         "a text that was read before changes nothing")
        answer = run(ask, store, "tale", MODEL, "Who?", LD_LIBRARY_PATH=str(self.library))
        self.assertGreater(len(answer), 1)
        told = json.loads(self.cairn("ask", "--store", store, "--session", "tale", "--json",
                                     "Who?"))
        self.assertEqual(answer, told["answer"] + "\n", "the program answers what the API does")
        for example in ((remember, store, "tale", MODEL), (ask, store, "tale", MODEL, "Who?")):
            with self.assertRaisesRegex(AssertionError, "use cpu, auto or cuda:N"):
                run(*example, LD_LIBRARY_PATH=str(self.library), CAIRN_DEVICE="nowhere")
        # And reads what the API does.
        self.cairn("ingest", "--store", store, "--session", "told", "--model", MODEL, "--quiet",
                   "-", stdin=TEXT)
        digests = {json.loads(self.cairn("sessions", "show", name, "--store", store,
                                         "--json"))["digest"] for name in ("tale", "told")}
        self.assertEqual(len(digests), 1)
        self.assertIn("0 damaged", self.cairn("verify", "--store", store))

    def test_python_finds_the_library_and_one_store_serves_both(self):
        store = self.directory / "python_store"
        found = {"PYTHONPATH": str(self.prefix / "share/cairn/python"),
                 "LD_LIBRARY_PATH": str(self.library), "PYTHONDONTWRITEBYTECODE": "1"}
        script = EXAMPLES / "python/ask.py"
        said = run(sys.executable, script, store, "tale", MODEL, stdin=TEXT, **found)
        self.assertRegex(said, r"^tale has \d{3,} tokens\n$")
        answer = run(sys.executable, script, store, "tale", MODEL, "-q", "Who?", **found)
        told = json.loads(self.cairn("ask", "--store", store, "--session", "tale", "--json",
                                     "Who?"))
        self.assertEqual(answer, told["answer"] + "\n")
        with self.assertRaisesRegex(AssertionError, "ask.py: there is no file"):
            run(sys.executable, script, store, "tale", "nothing.gguf", "-q", "Who?", **found)
        with self.assertRaisesRegex(AssertionError, "CAIRN_LIBRARY"):
            run(sys.executable, script, store, "tale", MODEL, "-q", "Who?",
                **{**found, "CAIRN_LIBRARY": "/nowhere/libcairn.so.0"})

    def test_the_package_says_its_version(self):
        version = self.cairn("--version").split()[1]
        self.assertEqual(run("pkg-config", "--modversion", "cairn",
                             PKG_CONFIG_PATH=str(self.library / "pkgconfig")).strip(), version)
        self.assertTrue((self.library / f"libcairn.so.{version}").is_file())

    def test_installed_adapters_are_found_by_name(self):
        with self.assertRaisesRegex(AssertionError, r"adapters/smollm2.*another model"):
            # It is found, and is none for this model.
            self.cairn("generate", "--model", MODEL, "--adapter", "smollm2-135m-landmark=0.5",
                       "--prompt", "a")
        with self.assertRaisesRegex(AssertionError, "no-such-adapter"):
            self.cairn("generate", "--model", MODEL, "--adapter", "no-such-adapter",
                       "--prompt", "a")

    def test_manual_pages_and_completion_lie_where_they_are_looked_for(self):
        share = self.prefix / "share"
        pages = sorted(page.name for page in (share / "man/man1").iterdir())
        self.assertIn("cairn-ask.1", [page.removesuffix(".gz") for page in pages])
        for page in pages:
            text = (share / "man/man1" / page).read_bytes()
            self.assertIn(b".TH", gzip.decompress(text) if page.endswith(".gz") else text)
        for script, word in (("bash-completion/completions/cairn", "complete "),
                             ("zsh/site-functions/_cairn", "#compdef cairn"),
                             ("fish/vendor_completions.d/cairn.fish", "complete -c cairn")):
            self.assertIn(word, (share / script).read_text())

    def test_nothing_internal_is_installed(self):
        files = [file.relative_to(self.prefix) for file in self.prefix.rglob("*")]
        self.assertEqual([f for f in files if f.suffix in (".a", ".h") and f.name != "cairn.h"], [])
        targets = next(self.prefix.glob("lib*/**/cairn-targets.cmake")).read_text()
        self.assertIn("cairn::cairn", targets)
        self.assertNotIn("cairn_engine", targets)


if __name__ == "__main__":
    unittest.main()
