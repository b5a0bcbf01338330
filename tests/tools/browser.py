"""Headless Chromium, driven by its own protocol over a pipe: nothing but the browser is needed."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_SECONDS = 60


def pipe_above():
    """A pipe whose descriptors are not 3 or 4, over which the browser speaks."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends


class Refused(AssertionError):
    """The browser did not do what it was asked."""


class Browser:
    """One page. What it asks of the network and what its console says is kept."""

    def __init__(self, profile, dark=False):
        from_us, to_browser = pipe_above()
        from_browser, to_us = pipe_above()
        self.writing, self.reading = to_browser, from_browser
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             f"--user-data-dir={profile}",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--window-size=900,800", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=lambda: (os.dup2(from_us, 3), os.dup2(to_us, 4)), pass_fds=(3, 4),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self.held, self.number, self.session = b"", 0, None
        self.urls, self.console, self.errors = [], [], []
        target = self._page()
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        if dark:
            self.call("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def _page(self):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            for target in self.call("Target.getTargets")["targetInfos"]:
                if target["type"] == "page":
                    return target["targetId"]
        raise AssertionError("the browser has no page")

    def close(self):
        os.close(self.writing)
        os.close(self.reading)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _message(self):
        end = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self.held:
            ready, _, _ = select.select([self.reading], [], [], max(0, end - time.monotonic()))
            part = os.read(self.reading, 65536) if ready else b""
            if not part:
                raise AssertionError("the browser says nothing")
            self.held += part
        message, _, self.held = self.held.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Refused(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        method, given = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.urls.append(given["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.console.append(given["args"])
        elif method == "Log.entryAdded":
            self.console.append(given["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(given["exceptionDetails"])

    def go(self, url):
        """Leaves the page, and opens one; also if only the part behind "#" is another."""
        self.call("Page.navigate", url="about:blank")
        self.until("location.href === 'about:blank'")
        self.call("Page.navigate", url=url)

    def value(self, script):
        """What an expression of the page is."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, script):
        """Waits until an expression is true, and gives it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                value = self.value("(() => { try { const found = " + script + "; return "
                                   "found instanceof Node || found; } catch { return null; } })()")
            except Refused:
                value = None  # the page gave way to another one meanwhile
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{script} stays false; the page: {self.text()[:2000]}")

    def text(self):
        return self.value("document.body.innerText")

    def key(self, name, code=0, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, text=text,
                      windowsVirtualKeyCode=code)
