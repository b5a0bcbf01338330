#!/usr/bin/env python3
"""The inspector of `cairn serve` in headless Chromium, as people use it: with a mouse, a keyboard
or a screen reader, in light and dark, on hostile texts. Skipped where there is no Chromium."""

import json
import re
import subprocess
import unittest

from browser import CHROMIUM, Browser
from cli_harness import CliTest, LANDMARK, MODEL, SMALL_STEPS, command, random_text, run
from serving import TOKEN, Served

HOSTILE = ("<img src=http://192.0.2.1/x onerror=\"document.title='owned'\"></script><script>"
           "document.title='owned'</script>&lt; \x1b]0;owned\x07\x1b[31m \u202etxt.exe \u009b2J ")
HIDING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069]")
LADDER = ("--size", "8MiB", "--turn-ms", "2", "--block-size", "16KiB", "--batch", "4,16",
          "--readers", "1")
# Things that a screen reader calls by a name.
NAMED = {"button", "link", "textbox", "checkbox", "combobox", "spinbutton", "application",
         "navigation", "region", "heading"}


@unittest.skipUnless(CHROMIUM, "no chromium here: the inspector is not tried")
class Inspector(CliTest):
    def setUp(self):
        super().setUp()
        text = random_text(1200) + HOSTILE * 3 + random_text(1200, stream=1)
        self.ingest(self.file("<b>x.txt", text.encode() + b"\xff\xfe"), "--adapter", LANDMARK,
                    *SMALL_STEPS)
        self.good("sessions", "fork", "s", "t", "--at", "300", "--store", self.store)
        trace, why = self.directory / "t.trace", self.directory / "why.json"
        asked = ("--retrieve", "4", "--max-tokens", "5")
        self.good("ask", *self.session(), *asked, "--trace", trace, "Who?")
        why.write_text(self.good("why", *self.session(), *asked, "--passages", "99", "--json",
                                 HOSTILE).stdout)
        self.served = Served(self.store, "--model", MODEL, "--adapter", LANDMARK, "--retrieve",
                             "4", "--max-tokens", "5", "--trace", trace, "--recorded", why)
        self.addCleanup(lambda: self.assertEqual(self.served.stop(), (0, "")))

    def browse(self, dark=False):
        browser = Browser(self.directory / f"profile{dark}", dark)
        self.addCleanup(browser.close)
        return browser

    def see(self, browser, view, script):
        """Goes to a view, and waits until something is true there."""
        browser.go(self.served.url + view)
        value = browser.until(script)
        text = browser.text()
        self.assertNotRegex(text, HIDING)
        self.assertEqual(browser.value("document.images.length"), 0)
        self.assertNotIn("owned", browser.value("document.title").split(" – cairn")[0]
                         if "why" not in view else "")
        self.assertEqual(browser.value("document.querySelectorAll('h1').length"), 1)
        self.assert_named(browser)
        return value

    def assert_named(self, browser):
        for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
            role = node.get("role", {}).get("value")
            if role in NAMED and not node.get("ignored"):
                self.assertTrue(node.get("name", {}).get("value", "").strip(),
                                f"a {role} has no name")

    def test_all_views(self):
        browser = self.browse()
        rows = self.see(browser, "", "[...document.querySelectorAll('tbody tr')]"
                        ".map((row) => row.innerText).join('|')")
        self.assertRegex(rows, r"s\t[\d,]+\t.*\|\s*t\t")
        self.see(browser, "#/session/s", "document.querySelector('#place b') && "
                 "document.querySelector('.text').textContent.length > 500")
        self.assertIn("<b>x.txt", browser.text())
        tokens = self.show()["tokens"]
        browser.value(f"document.querySelector('input').value = {tokens - 300};"
                      "document.querySelector('form').requestSubmit()")
        browser.until("document.querySelector('.text').textContent.includes('\\ufffd')")
        shown = self.see(browser, "#/why/0", "document.querySelector('#place b') && "
                         "document.querySelector('#place b').textContent")
        self.assertRegex(shown, r"layer \d+, block \d+, tokens \d+ to \d+: [\d.]+ % of")
        self.assertIn("<img src=http", browser.value("document.querySelector('h1').textContent"))
        painted = browser.value(
            "(() => { const map = document.getElementById('map'); const pixels = map.getContext"
            "('2d').getImageData(0, 0, map.width, map.height).data; return pixels.filter("
            "(value, at) => at % 4 === 3 && value > 0).length; })()")
        self.assertGreater(painted, 100)
        self.see(browser, "#/verify", "document.getElementById('verdict')")
        browser.value("document.querySelector('main button').click()")
        browser.until("document.getElementById('verdict').textContent === 'Everything is whole.'")
        self.see(browser, "#/live", "document.body.innerText.includes('metrics-port')")
        self.see(browser, "#/ladders", "document.body.innerText.includes('bench ladder')")
        self.assert_kept_to_itself(browser)

    def test_counters_of_a_command_that_runs(self):
        with subprocess.Popen(
                command("chat", *self.session(), "--retrieve", "4", "--max-tokens", "3", "--quiet",
                        "--metrics-port", "0"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True, bufsize=1) as chat:
            port = re.search(r":(\d+)/metrics", chat.stderr.readline()).group(1)
            watching = Served(self.store, "--watch-port", port)
            self.addCleanup(lambda: self.assertEqual(watching.stop(), (0, "")))
            browser = self.browse()
            browser.go(watching.url + "#/live")
            read = "Number(document.querySelector('tbody td.number').textContent)"
            browser.until("document.querySelector('tbody td').textContent === 'Tokens read'")
            self.assertEqual(browser.value(read), 0)
            chat.stdin.write("Who?\n")
            browser.until(read + " > 0")  # while it goes on
            chat.stdin.write("/quit\n")
            chat.stdin.close()
            self.assertEqual(chat.wait(timeout=60), 0)
            browser.until("document.body.innerText.includes('nobody serves')")
            self.assertEqual(browser.errors, [])

    def test_a_ladder(self):
        path = self.directory / "ladder.json"
        done = run("bench", "ladder", "--store", self.directory / "ladder", "--no-peers", "--json",
                   "--quiet", *LADDER)
        if "past the page cache" in done.stderr:
            self.skipTest("the temporary directory has no direct I/O")
        path.write_text(done.stdout)
        served = Served(self.store, "--report", path)
        self.addCleanup(lambda: self.assertEqual(served.stop(), (0, "")))
        self.assertEqual(served.get("/api/ladder", n=0), json.loads(done.stdout))
        browser = self.browse()
        browser.go(served.url + "#/ladders")
        browser.until("document.querySelector('main li a')")
        browser.value("document.querySelector('main li a').click()")
        browser.until("document.querySelectorAll('svg').length > 1")
        self.assertEqual((browser.console, browser.errors), ([], []))

    def test_asking(self):
        browser = self.browse()
        self.see(browser, "#/ask/s", "document.querySelector('select')")
        browser.value("document.querySelector('textarea').value = 'Who <b>is</b> it?';"
                      "document.querySelector('[type=checkbox]').checked = true;"
                      "document.querySelector('main form').requestSubmit()")
        browser.until("document.querySelector('#place b')")
        answer = self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "5",
                           "--json", "Who <b>is</b> it?").json["answer"]
        self.assertEqual(browser.value("document.getElementById('answer').textContent"),
                         HIDING.sub("\ufffd", answer))
        self.see(browser, "#/why", "document.body.innerText.includes('Who <b>is</b> it?')")
        self.assert_kept_to_itself(browser)

    def assert_kept_to_itself(self, browser):
        self.assertEqual(browser.console, [])
        self.assertEqual(browser.errors, [])
        for url in browser.urls:
            self.assertTrue(url.startswith((self.served.url, "data:")), url)

    def test_by_keyboard(self):
        browser = self.browse()
        self.see(browser, "#/why/0", "document.querySelector('#place b')")
        browser.value("document.querySelector('.skip').focus()")
        stops = []
        for _ in range(80):
            browser.key("Tab", 9)
            stops.append(browser.value("document.activeElement.id || "
                                       "document.activeElement.textContent.slice(0, 20)"))
            if stops[-1] == "map":
                break
        self.assertEqual(stops[0], "Sessions")
        self.assertEqual(stops[-1], "map")
        before = browser.value("document.getElementById('place').textContent")
        browser.key("ArrowDown", 40)
        after = browser.value("document.getElementById('place').textContent")
        if "layer 1" not in before:
            self.assertNotEqual(before, after)
        browser.key("ArrowUp", 38)
        self.assertIn("layer 0", browser.value("document.getElementById('place').textContent"))
        browser.value("document.querySelector('#views a').focus()")
        browser.key("Enter", 13, "\r")
        browser.until("document.querySelector('h1').textContent.startsWith('Sessions of')")
        browser.until("document.activeElement.id === 'page'")

    def test_light_and_dark(self):
        script = ("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
                  ".reduce((sum, part) => sum + Number(part), 0)")
        brightness = []
        for dark in (False, True):
            browser = self.browse(dark)
            self.see(browser, "", "document.querySelector('tbody tr')")
            brightness.append(browser.value(script))
        self.assertGreater(brightness[0], 600)
        self.assertLess(brightness[1], 150)

    def test_the_policy_holds_and_the_token_is_needed(self):
        browser = self.browse()
        self.see(browser, "", "document.querySelector('tbody tr')")
        browser.value("(() => { const script = document.createElement('script'); script.textContent"
                      " = 'document.title=\"owned\"'; document.body.append(script); })()")
        self.assertNotEqual(browser.value("document.title"), "owned")
        refused = browser.value("fetch('http://192.0.2.1/').then(() => 'sent', () => 'refused')")
        self.assertEqual(refused, "refused")
        self.assertIn("Content Security Policy", json.dumps(browser.console))
        browser.go(self.served.url.replace(TOKEN, "f" * 32))
        browser.until("document.body.innerText.includes('the token is missing or wrong')")


if __name__ == "__main__":
    unittest.main()
