#!/usr/bin/env python3
"""The Debian package: cpack makes it of the built tree, and it has what it should and where.

Needs CAIRN_BUILD (a built tree) in the environment. Whether it installs, works and goes again is
for tests/capi/deb_check.sh, which needs root.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.environ["CAIRN_BUILD"]
TOOLS = ("cpack", "dpkg-deb", "dpkg-shlibdeps", "file", "md5sum")
SKIPPED = 77
LIBRARIES = ("librocksdb", "libdnnl", "libtbb", "libfmt", "libpcre2", "libxxhash", "libstdc++")


def run(*arguments):
    done = subprocess.run([str(argument) for argument in arguments], text=True,
                          capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="cairn_package_"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        run("cpack", "--config", f"{BUILD}/CPackConfig.cmake", "-G", "DEB", "-B", cls.directory,
            "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip")  # quick, where size does not matter
        cls.package = next(cls.directory.glob("*.deb"))
        cls.root = cls.directory / "root"
        run("dpkg-deb", "-x", cls.package, cls.root)

    def field(self, name):
        return run("dpkg-deb", "-f", self.package, name).strip()

    def test_its_fields(self):
        version = run(self.root / "usr/bin/cairn", "--version").split()[1]
        self.assertEqual(self.package.name,
                         f"cairn_{version}_{self.field('Architecture')}.deb")
        self.assertEqual((self.field("Package"), self.field("Version"), self.field("Section")),
                         ("cairn", version, "science"))
        lines = self.field("Description").split("\n")
        self.assertGreater(len(lines), 4)
        self.assertNotIn(lines[0], lines[1:])
        depends = self.field("Depends")
        for name in LIBRARIES:
            self.assertIn(name, depends)
        for absent in ("-dev", "libcairn", "libfaiss"):
            self.assertNotIn(absent, depends)

    def test_its_files(self):
        files = {str(file.relative_to(self.root)) for file in self.root.rglob("*")
                 if not file.is_dir()}
        self.assertTrue(all(name.startswith("usr/") for name in files), files)
        for name in ("bin/cairn", "include/cairn.h", "share/doc/cairn/copyright",
                     "share/doc/cairn/changelog.gz", "share/man/man1/cairn.1.gz",
                     "share/cairn/adapters/smollm2-135m-landmark.gguf",
                     "share/zsh/vendor-completions/_cairn",
                     "lib/python3/dist-packages/cairn/__init__.py",
                     "share/doc/cairn/examples/c/ask.c",
                     "share/doc/cairn/examples/python/ask.py"):
            self.assertIn("usr/" + name, files)
        self.assertTrue(any(name.endswith("/libcairn.so.0") for name in files))
        for file in self.root.rglob("*"):
            mode = file.lstat().st_mode & 0o7777
            runs = file.is_dir() or file.is_symlink() or "bin/" in str(file)
            if not file.is_symlink():
                self.assertEqual(mode, 0o755 if runs else 0o644, file)

    def test_whose_what_is_linked_in_is(self):
        text = (self.root / "usr/share/doc/cairn/copyright").read_text()
        for name in ("FAISS", "License: Expat\n", "License: BSD-3-clause\n"):
            self.assertIn(name, text)
        has_cuda = "no GPU code" not in run(self.root / "usr/bin/cairn", "--version")
        self.assertEqual("License: CUDA-EULA\n" in text, has_cuda)
        self.assertNotIn("@", text)

    def test_linkers_are_told_of_the_library(self):
        control = self.directory / "control"
        run("dpkg-deb", "-e", self.package, control)
        version = self.field("Version")
        self.assertIn(f"libcairn 0 cairn (>= {version})\n", (control / "shlibs").read_text(),
                      "later versions are as good: within a soname functions are only added")
        told = [(control / name).read_text() for name in ("postinst", "postrm", "triggers")
                if (control / name).exists()]
        self.assertIn("ldconfig", "".join(told))


if __name__ == "__main__":
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print("skipped: not installed:", *missing)
        sys.exit(SKIPPED)
    unittest.main()
