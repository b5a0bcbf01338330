"""The texts that training reads, and those it must never see: documentation of Debian packages.

Every package is a kind of text. HELD_OUT kinds are for evaluation only, and so is the King James
Bible, which the project's measurements use as filler.
"""

import gzip
import html.parser
import pathlib
import re
import subprocess

# package: (glob below the unpacked package, share of the plain text in the mixture)
TRAINING = {
    "anarchism": ("usr/share/doc/anarchism/html/*.html", 4.0),
    "python3.11-doc": ("usr/share/doc/python3.11/html/_sources/**/*.txt", 1.5),
    "perl-doc": ("usr/share/perl/*/pod/*.pod", 1.0),
    "dict-gcide": ("usr/share/dictd/gcide.dict.dz", 1.0),
    "dict-wn": ("usr/share/dictd/wn.dict.dz", 0.5),
    "vim-doc": ("usr/share/doc/vim/html/*.html", 0.5),
    "git-doc": ("usr/share/doc/git-doc/**/*.txt", 1.0),
    "fortunes": ("usr/share/games/fortunes/*", 1.5),
    "libreoffice-help-en-us": ("usr/share/libreoffice/help/en-US/text/**/*.html", 1.0),
    "developers-reference": ("usr/share/developers-reference/*.html", 0.7),
    "aptitude-doc-en": ("usr/share/doc/aptitude/html/en/*.html", 0.5),
    "r-doc-info": ("usr/share/info/*.gz", 0.7),
}
HELD_OUT = {
    "bible-kjv-text": (None, 0),  # what the program `bible` prints
    "jargon-text": ("usr/share/doc/jargon-text/jargon.txt.gz", 0),
    "debian-handbook": ("usr/share/doc/debian-handbook/html/en-US/*.html", 0),
    "postgresql-doc-15": ("usr/share/doc/postgresql-doc-15/html/*.html", 0),
    "c++-annotations-txt": ("usr/share/doc/c++-annotations/cplusplus.txt.gz", 0),
}
BLOCK_TAGS = {
    "p",
    "div",
    "li",
    "tr",
    "br",
    "pre",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "dt",
    "dd",
    "table",
}
SILENT_TAGS = {"script", "style", "head", "nav"}


class _PlainText(html.parser.HTMLParser):
    """The words of an HTML page, a line per block element."""

    def __init__(self):
        super().__init__()
        self.parts, self.silent = [], 0

    def handle_starttag(self, tag, attrs):
        self.silent += tag in SILENT_TAGS
        if tag in BLOCK_TAGS:
            self.parts.append("\n")

    def handle_endtag(self, tag):
        self.silent -= tag in SILENT_TAGS and self.silent > 0
        if tag in BLOCK_TAGS:
            self.parts.append("\n")

    def handle_data(self, data):
        if not self.silent:
            self.parts.append(data)


def _clean(text):
    text = re.sub(r"[ \t\u00a0]+\n", "\n", text.replace("\r", ""))
    text = re.sub(r"\n{3,}", "\n\n", text)
    return re.sub(r"[ \t\u00a0]{3,}", "  ", text)


def read_file(path):
    """The text of a .html, .gz, .dz or plain file; None for what is binary."""
    data = path.read_bytes()
    if path.suffix in (".gz", ".dz"):
        data = gzip.decompress(data)
    if b"\0" in data[:4096]:
        return None
    text = data.decode("utf-8", errors="replace")
    if path.suffix == ".html":
        parser = _PlainText()
        parser.feed(text)
        text = "".join(parser.parts)
    return _clean(text)


def fetch(package, directory):
    """Downloads and unpacks a Debian package; returns (its version, folder). Needs no root."""
    unpacked = directory / package
    if not (unpacked / "usr").is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", package], cwd=directory, check=True)
        deb = next(directory.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", deb.name, package], cwd=directory, check=True)
        (unpacked / "version").write_text(
            subprocess.run(
                ["dpkg-deb", "-f", deb.name, "Version"],
                cwd=directory,
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip()
        )
        deb.unlink()
    return (unpacked / "version").read_text(), unpacked


def texts(package, folder):
    """The package's texts, in a fixed order."""
    pattern = (TRAINING | HELD_OUT)[package][0]
    if pattern is None:
        book = subprocess.run(
            ["bible", "-f", "-l", "9999", "Gen1:1-Rev22:21"],
            check=True,
            capture_output=True,
            text=True,
        )
        yield book.stdout
        return
    for path in sorted(pathlib.Path(folder).glob(pattern)):
        if path.is_file() and path.suffix not in (".dat", ".u8"):
            text = read_file(path)
            if text and len(text) > 500:
                yield text
