#!/usr/bin/env python3
"""The pages of `why` and `inspect`, and hostile texts and names on pages and terminals. What a
page does is tried in headless Chromium where there is one, and skipped where not."""

import html.parser
import json
import os
import pty
import re
import shutil
import subprocess
import unittest

from cli_harness import CliTest, LANDMARK, SMALL_STEPS, command, random_text

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Markup, an end of the script, terminal escapes, marks of writing direction, what is not UTF-8.
HOSTILE = ("<img src=http://192.0.2.1/x onerror=\"document.title='owned'\"></script><script>"
           "document.title='owned'</script>&lt; \x1b]0;owned\x07\x1b[31m \u202etxt.exe \u009b2J ")
ESCAPES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069]")


TAGS = {"html", "head", "meta", "link", "title", "style", "body", "main", "h1", "h2", "p",
        "section", "ol", "li", "div", "b", "button", "canvas", "span", "script"}


class Markup(html.parser.HTMLParser):
    """The elements and attributes that a page has in truth."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.links = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [value for name, value in attrs if name in ("src", "href")]


class Pages(CliTest):
    def setUp(self):
        super().setUp()
        text = random_text(1500) + HOSTILE * 3 + random_text(1500, stream=1)
        self.name = "<b>x.txt"  # a file name is shown as text too
        self.ingest(self.file(self.name, text.encode() + b"\xff\xfe"), "--adapter", LANDMARK,
                    *SMALL_STEPS)
        self.page = self.directory / "why.html"
        self.why = ("why", *self.session(), "--retrieve", "4", "--max-tokens", "5", "--passages",
                    "99")
        self.good(*self.why, "--html", self.page, HOSTILE)
        self.content = self.page.read_text(encoding="utf-8")

    def test_the_page_has_text_and_no_markup_of_others(self):
        self.assertNotRegex(self.content, ESCAPES)
        self.assertNotIn("<img", self.content)
        self.assertEqual(len(re.findall("<script", self.content)), 2)
        self.assertEqual(len(re.findall("</script", self.content)), 2)
        self.assertIn("default-src 'none'", self.content)
        self.assertIn("prefers-color-scheme: dark", self.content)
        markup = Markup()
        markup.feed(self.content)
        self.assertLessEqual(markup.tags, TAGS)
        self.assertEqual(markup.links, ["data:,"])
        self.assertFalse([name for name in markup.attributes if name.startswith("on")])

    def test_the_data_of_the_map_is_that_of_the_document(self):
        data = json.loads(re.search('id="data">(.*?)</script>', self.content).group(1))
        document = self.good(*self.why, "--json", HOSTILE).json
        self.assertEqual(len(data["series"]), 1 + len(document["answer_tokens"]))
        for series, token in zip(data["series"][1:], document["answer_tokens"]):
            expected = {}
            for layer in token["layers"]:
                for head in layer["heads"]:
                    for block in head["blocks"]:
                        place = (block["block"], layer["layer"])
                        expected[place] = max(expected.get(place, 0), block["top_share"])
            found = {(block, layer): value for block, layer, value in series}
            self.assertLessEqual(set(found), set(expected))
            for place, value in expected.items():
                self.assertAlmostEqual(found.get(place, 0), value, delta=2e-4)
            for block, _ in found:
                self.assertIn(str(block), data["passages"])

    @unittest.skipUnless(CHROMIUM, "no chromium here: what the page does is not tried")
    def test_in_a_browser(self):
        log = self.directory / "net.json"
        done = subprocess.run(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             f"--user-data-dir={self.directory}/profile", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
             f"--log-net-log={log}", "--window-size=390,800", "--virtual-time-budget=3000",
             "--dump-dom", self.page.as_uri()],
            capture_output=True, check=False, timeout=100)
        dom = done.stdout.decode("utf-8", "replace")
        self.assertEqual(done.returncode, 0, done.stderr.decode("utf-8", "replace")[-2000:])
        place = re.search(r'id="place"[^>]*><b>(.*?)</b>', dom, re.S)
        self.assertTrue(place, "the script did not run")
        self.assertRegex(place.group(1), r"layer \d+, block \d+, tokens \d+ to \d+: [\d.]+ % of")
        self.assertNotIn("<title>owned", dom)
        console = [line for line in done.stderr.decode("utf-8", "replace").splitlines()
                   if "CONSOLE" in line]
        self.assertEqual(console, [])
        asked = log.read_text(encoding="utf-8", errors="replace")
        for url in re.findall(r'"url":"([^"]*)"', asked):
            self.assertNotRegex(url, "192.0.2.1|why.html.*http", "the page asked for something")


class Terminals(CliTest):
    def on_a_terminal(self, *arguments):
        """What a command writes to a terminal that is its stdout and stderr."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(command(*arguments), stdin=subprocess.DEVNULL, stdout=theirs,
                              stderr=theirs) as process:
            os.close(theirs)
            written = b""
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError:
                    break
                if not part:
                    break
                written += part
            process.wait(timeout=100)
        os.close(ours)
        return written.decode("utf-8", "replace").replace("\r\n", "\n")

    def test_escapes_in_texts_and_names_are_spelled_out(self):
        odd = "a\x1b[2J\u202eb.txt"
        text = self.file(odd, random_text(300) + HOSTILE + random_text(300, stream=1) + "y" * 4000)
        self.ingest(text, "--adapter", LANDMARK, *SMALL_STEPS)
        for arguments in (("sessions", "show", "s", "--store", self.store),
                          ("sessions", "list", "--store", self.store),
                          ("inspect", "text", *self.session()),
                          ("inspect", "diff", "s", "s", "--store", self.store),
                          ("why", *self.session(), "--retrieve", "4", "--max-tokens", "4",
                           "--passages", "99", "--quiet", HOSTILE),
                          ("inspect", "layout", "--store", self.store),
                          ("inspect", "blocks", *self.session(), "--trace", odd),
                          ("ingest", *self.session(), "\x1b]0;owned\x07"),
                          ("sessions", "show", "\x1b]0;owned\x07", "--store", self.store)):
            with self.subTest(command=arguments[:2]):
                self.assertNotRegex(self.on_a_terminal(*arguments).replace("\r", ""), ESCAPES)
        self.assertIn("\\x1b", self.on_a_terminal("inspect", "text", *self.session()))

    def test_a_line_of_a_megabyte(self):
        text = self.file("long.txt", "<" * (1 << 20))
        self.ingest(text, "--adapter", LANDMARK, *SMALL_STEPS, "--tokens", "600")
        page = self.directory / "page.html"
        self.good("why", *self.session(), "--retrieve", "4", "--max-tokens", "2", "--html", page,
                  "Who?")
        self.assertNotIn("<<", page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
