#!/usr/bin/env python3
"""cairn backup: a copy of a whole store, also beside a writer, that is a store of its own."""

import shutil
import stat
import subprocess
import threading
import unittest

from cli_harness import (CliTest, LANDMARK, MODEL, SMALL_STEPS, TIMEOUT_SECONDS, command,
                         random_text, run)


class BackupTest(CliTest):
    def setUp(self):
        super().setUp()
        self.copy = self.directory / "copy"

    def backup(self, target=None):
        return self.good("backup", "--store", self.store, "--json", target or self.copy).json

    def verified(self, store):
        read = self.good("verify", "--store", store, "--json").json
        self.assertEqual(read["damaged"], [])
        return read

    def names(self, store):
        listed = self.good("sessions", "list", "--store", store, "--json").json
        return [session["name"] for session in listed["sessions"]]

    def ask(self, name, store):
        return self.good("ask", "--store", store, "--session", name, "--retrieve", "4",
                         "--max-tokens", "4", "--json", "Who?").json["answer"]


class Backup(BackupTest):
    def test_the_copy_is_the_store_and_lives_by_itself(self):
        text = self.file("text.txt", random_text(6000))
        self.ingest(text)
        self.ingest(self.file("marked.txt", random_text(3000)), "--adapter", LANDMARK,
                    *SMALL_STEPS, name="marked")
        self.good("sessions", "fork", "s", "fork", "--store", self.store)
        self.good("sessions", "fork", "s", "none", "--at", "0", "--store", self.store)
        shown = {name: self.show(name) for name in self.session_names()}
        answers = {name: self.ask(name, self.store) for name in ("s", "marked")}
        done = self.backup()
        self.assertEqual((done["backup"], done["sessions"]), (str(self.copy), 4))
        once = shown["s"]["payload_bytes"] + shown["marked"]["payload_bytes"]
        self.assertEqual(done["payload_bytes"], once)
        self.assertEqual(stat.S_IMODE(self.copy.stat().st_mode), 0o700)
        self.assertEqual([path.name for path in self.directory.glob("copy*")], ["copy"])
        self.assertEqual(self.verified(self.copy)["payload_bytes"], once)
        for name in shown:
            self.good("sessions", "delete", name, "--store", self.store)
        self.assertEqual(self.names(self.copy), sorted(shown))
        for name, before in shown.items():
            self.assertEqual(self.show(name, self.copy), before)
        for name, answer in answers.items():
            self.assertEqual(self.ask(name, self.copy), answer)
        self.good("ingest", "--store", self.copy, "--session", "fork", "--model", MODEL,
                  self.file("more.txt", random_text(2000, stream=1)))
        self.assertEqual(self.show("s", self.copy), shown["s"])
        self.verified(self.copy)
        self.assertEqual(self.session_names(), [])
        said = self.good("backup", "--store", self.store, self.directory / "empty/").stderr
        self.assertRegex(said, "empty/? has 0 sessions")
        self.assertEqual(self.names(self.directory / "empty"), [])

    def test_beside_a_writer_that_reads_and_deletes(self):
        self.ingest(self.file("text.txt", random_text(20000)), name="stays")
        digest = self.digest("stays")
        text = self.file("other.txt", random_text(40000, stream=1))
        finished, failures = threading.Event(), []

        def write():
            for round_number in range(100):
                if finished.is_set():
                    return
                name = f"r{round_number}"
                for arguments in (("ingest", *self.session(name), "--model", MODEL, text),
                                  ("sessions", "delete", name, "--store", self.store)):
                    done = subprocess.run(command(*arguments), capture_output=True, check=False,
                                          timeout=TIMEOUT_SECONDS)
                    if done.returncode != 0:
                        failures.append(done.stderr)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = set()
            for number in range(12):
                target = self.directory / f"copy{number}"
                self.backup(target)
                self.verified(target)
                self.assertEqual(self.digest("stays", target), digest)
                seen.update(self.names(target))
                self.assertTrue(writer.is_alive())
        finally:
            finished.set()
            writer.join(TIMEOUT_SECONDS)
        self.assertEqual(failures, [])
        self.assertGreaterEqual(len(seen), 2, "no copy was made while a session was there")

    def test_refusals_leave_nothing_behind(self):
        self.ingest(self.file("text.txt", random_text(6000)))
        before = sorted(self.directory.rglob("*"))
        backup = ("backup", "--store", self.store)
        self.refused("backup", "--store", self.directory / "no", self.copy, saying="no store at")
        self.refused(*backup, self.store, saying="something at .*store already; name a new place")
        (self.directory / "link").symlink_to(self.store)
        for inside in ("store/in", "store/blocks/x", "store/db/x", "link/in"):
            self.refused(*backup, self.directory / inside, saying="is inside the store")
        (self.directory / "link").unlink()
        self.refused(*backup, self.directory / "no" / "copy", saying="cannot create .*no")
        self.refused(*backup, code=2, saying="see `cairn")
        self.assertEqual(sorted(self.directory.rglob("*")), before)
        left = self.directory / "copy.new"
        left.mkdir()
        for name in ("mine", "backup"):  # the name alone is no proof
            (left / name).write_text("mine")
            self.refused(*backup, self.copy, saying="copy.new already, and no backup .* left it")
            self.assertEqual((left / name).read_text(), "mine")
            (left / name).unlink()
        left.rmdir()
        path = self.payload_files()[0]
        self.flip(path, [path.stat().st_size // 2])
        self.refused(*backup, self.copy, saying="extent [0-9]+ block [0-9]+ layer")
        self.flip(path, [path.stat().st_size // 2])
        self.backup()
        self.damage_entry("s/s")
        self.refused(*backup, self.directory / "other", saying="'s' cannot be copied")
        self.assertEqual([p.name for p in self.directory.glob("other*")], [])

    def test_a_kill_leaves_no_store_with_the_name(self):
        self.ingest(self.file("text.txt", random_text(40000)))
        killed = remains = 0
        for milliseconds in range(0, 400, 20):
            process = subprocess.Popen(command("backup", "--store", self.store, self.copy),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(milliseconds / 1000)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(TIMEOUT_SECONDS)
            place = self.directory / "copy.new"
            if self.copy.exists():
                self.verified(self.copy)
                # Killed when the copy had its name already, it leaves the place where it was made.
                if process.returncode != 0 and place.exists():
                    self.assertFalse((place / "store").exists())
                    shutil.rmtree(place)
                break
            killed += 1
            # What it has left makes room for the next one.
            remains += place.exists()
        self.assertGreater(killed, 0)
        self.assertGreater(remains, 0)
        if not self.copy.exists():
            self.backup()
        self.verified(self.copy)
        self.verified(self.store)
        self.assertEqual([path.name for path in self.directory.glob("copy*")], ["copy"])

    def test_two_to_one_place(self):
        self.ingest(self.file("text.txt", random_text(40000)))
        first = subprocess.Popen(command("backup", "--store", self.store, self.copy),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        codes = {run("backup", "--store", self.store, self.copy).code for _ in range(5)}
        first.wait(TIMEOUT_SECONDS)
        self.assertIn(1, codes)  # busy, or there already
        self.verified(self.copy)


if __name__ == "__main__":
    unittest.main()
