#!/usr/bin/env python3
"""cairn verify: a whole store is found whole, also beside a writer; damage is named, all of it."""

import subprocess
import time
import unittest

from cli_harness import (CliTest, LANDMARK, MODEL, NEWER_STORE, SMALL_STEPS, TIMEOUT_SECONDS,
                         command, random_text, run)


class VerifyTest(CliTest):
    def verify(self, *options):
        return self.good("verify", "--store", self.store, "--json", *options).json

    def damaged(self, *options):
        """What is named, as JSON and as text, by commands that must fail."""
        arguments = ("verify", "--store", self.store, *options)
        as_json, as_text = run(*arguments, "--json"), run(*arguments)
        for done in (as_json, as_text):
            self.assertEqual(done.code, 1, done.stderr)
            self.assertRegex(done.stderr.rstrip("\n").split("\n")[-1],
                             "cairn: the store .* is damaged in [0-9]+ places; restore")
        found = as_json.json["damaged"]
        lines = as_text.stdout.rstrip("\n").split("\n")
        self.assertEqual(sum(line.startswith("damaged ") for line in lines), len(found))
        self.assertRegex(lines[-1], f"read, {len(found)} damaged$")
        return found, lines



class Whole(VerifyTest):
    def test_everything_is_read(self):
        self.ingest(self.file("text.txt", random_text(4000)))
        self.ingest(self.file("marked.txt", random_text(2000)), "--adapter", LANDMARK,
                    *SMALL_STEPS, name="marked")
        self.good("sessions", "fork", "s", "copy", "--store", self.store)
        shown = {name: self.show(name) for name in ("s", "marked", "copy")}
        before = {path.name: path.read_bytes() for path in (self.store / "db").iterdir()}
        read = self.verify()
        self.assertEqual(read["damaged"], [])
        self.assertEqual(read["sessions"], 3)
        once = shown["s"]["payload_bytes"] + shown["marked"]["payload_bytes"]
        self.assertEqual(read["payload_bytes"], once)
        self.assertGreaterEqual(read["block_records"],
                                shown["s"]["blocks"] + shown["marked"]["blocks"])
        self.assertEqual(self.verify("--session", "copy")["payload_bytes"],
                         shown["copy"]["payload_bytes"])
        said = self.good("verify", "--store", self.store)
        self.assertRegex(said.stdout, r"^3 sessions, [0-9]+ catalog entries and [0-9]+ block "
                         r"records \([0-9.]+ [KM]iB\) read, 0 damaged\n$")
        self.assertEqual(said.stderr, "")
        after = {path.name: path.read_bytes() for path in (self.store / "db").iterdir()}
        self.assertEqual(after, before)

    def test_beside_a_writer_nothing_seems_damaged(self):
        self.ingest(self.file("short.txt", random_text(2000)), name="other")
        text = self.file("text.txt", random_text(150000))
        writer = subprocess.Popen(command("ingest", *self.session(), "--model", MODEL, text),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            rounds = 0
            while writer.poll() is None and rounds < 40:
                self.assertEqual(self.verify()["damaged"], [])
                rounds += 1
                time.sleep(0.02)
            self.assertGreaterEqual(rounds, 2, "the writer was too quick for this test")
        finally:
            writer.kill()
            writer.wait(TIMEOUT_SECONDS)
        self.assertEqual(self.verify()["damaged"], [])

    def test_an_empty_store_and_an_empty_session(self):
        self.ingest(self.file("text.txt", random_text(300)))
        self.good("sessions", "fork", "s", "none", "--at", "0", "--store", self.store)
        self.assertEqual(self.verify()["damaged"], [])
        for name in ("s", "none"):
            self.good("sessions", "delete", name, "--store", self.store)
        read = self.verify()
        self.assertEqual((read["damaged"], read["sessions"], read["block_records"]), ([], 0, 0))


class Damaged(VerifyTest):
    def test_every_damaged_block_is_named_for_each_session(self):
        self.ingest(self.file("text.txt", random_text(6000)))
        self.good("sessions", "fork", "s", "copy", "--store", self.store)
        self.ingest(self.file("other.txt", random_text(6000, stream=1)), name="other")
        tokens = self.show()["tokens"]
        path = self.payload_files()[0]
        size = path.stat().st_size
        places = [size // 8, size // 5, size // 3]  # of the first session
        self.flip(path, places)
        found, lines = self.damaged()
        names = {finding["session"] for finding in found}
        self.assertIn(names, ({"s", "copy"}, {"other"}))
        for name in names:
            blocks = [finding for finding in found if finding["session"] == name]
            self.assertEqual(len(blocks), len(places), blocks)
            for finding in blocks:
                self.assertIn(finding["layer"], (0, 1))
                self.assertEqual(finding["first_token"], 64 * finding["block"])
                self.assertEqual(finding["last_token"], 64 * finding["block"] + 63)
                self.assertLess(finding["last_token"], tokens + 6000)
                place = f"extent {finding['extent']} block {finding['ordinal']} " \
                    f"layer {finding['layer']} head {finding['head']}"
                self.assertIn(place, finding["message"])
                said = f"damaged    session '{name}' layer {finding['layer']} head " \
                    f"{finding['head']} block {finding['block']} (tokens " \
                    f"{finding['first_token']} to {finding['last_token']}): "
                self.assertTrue(any(line.startswith(said) for line in lines), said)
        # Sessions that are whole are found whole.
        whole = ({"s", "copy", "other"} - names).pop()
        self.assertEqual(self.verify("--session", whole)["damaged"], [])
        only, _ = self.damaged("--session", sorted(names)[0])
        self.assertEqual({finding["session"] for finding in only}, {sorted(names)[0]})
        for name in names:
            self.good("sessions", "delete", name, "--store", self.store)
        self.assertEqual(self.verify()["damaged"], [])

    def test_a_damaged_session_entry_costs_that_session_only(self):
        text = self.file("text.txt", random_text(3000))
        self.ingest(text)
        self.good("sessions", "fork", "s", "copy", "--at", "500", "--store", self.store)
        self.ingest(text, name="other")
        before = {name: self.show(name) for name in ("copy", "other")}
        self.damage_entry("s/s")
        found, lines = self.damaged()
        self.assertEqual([finding["session"] for finding in found], ["s"])
        self.assertTrue(any(line.startswith("damaged    session 's': ") for line in lines))
        listed = self.good("sessions", "list", "--store", self.store, "--json").json
        self.assertEqual([session["name"] for session in listed["sessions"]], ["copy", "other"])
        self.assertEqual([damage["name"] for damage in listed["damaged"]], ["s"])
        self.assertIn("'s/s' is damaged", listed["damaged"][0]["message"])
        said = self.good("sessions", "list", "--store", self.store).stdout
        self.assertRegex(said, "(?m)^s +damaged: .*'s/s' is damaged")
        self.assertRegex(said, "(?m)^3 in all, ")
        # Writers open the store, and sessions that are whole go on.
        self.refused("ask", *self.session(), "Who?", saying="'s/s' is damaged.*delete the session")
        self.ingest(self.file("more.txt", random_text(800, stream=1)), name="other")
        self.assertEqual(self.show("copy"), before["copy"])
        said = self.good("sessions", "delete", "other", "--store", self.store).stderr
        self.assertRegex(said, "freed; .* stay until damaged sessions are deleted")
        self.assertEqual(self.verify("--session", "copy")["damaged"], [])
        deleted = self.good("sessions", "delete", "s", "--store", self.store, "--json").json
        self.assertEqual(deleted, {"deleted": "s", "freed_bytes": None})
        self.assertEqual(self.session_names(), ["copy"])
        self.ingest(text, name="s")  # the name is free again
        self.assertEqual(self.show("copy"), before["copy"])
        self.assertEqual(self.digest("s"), before["other"]["digest"])
        self.assertEqual(self.verify()["damaged"], [])

    def test_refusals(self):
        self.refused("verify", "--store", self.directory / "none", saying="no store at")
        self.ingest(self.file("text.txt", random_text(300)))
        self.refused("verify", "--store", self.store, "--session", "other",
                     saying="no session 'other'; there are: s")
        self.refused("verify", "--store", self.store, "--session", "a/b",
                     saying="cannot name a session")
        self.refused("verify", code=2, saying="see `cairn")
        subprocess.run([NEWER_STORE, str(self.store)], check=True, timeout=TIMEOUT_SECONDS)
        self.refused("verify", "--store", self.store, saying="newer cairn")


if __name__ == "__main__":
    unittest.main()
