#!/usr/bin/env python3
"""Stores of each format version, made once (make_golden_store.py) and kept: they open, are whole,
say what they said, and go on as any other."""

import json
import tarfile
import unittest

from cli_harness import CliTest, DATA, LANDMARK, LORA, MODEL, random_text

GOLDEN = sorted(DATA.glob("store_v*"))
# Files may have moved since, so that each is named; options are remembered.
ADAPTERS = {"landmark": LANDMARK, "fork": LANDMARK, "unmodified": LORA}


class GoldenStore(CliTest):
    def unpack(self, golden):
        store = self.directory / golden.name
        with tarfile.open(golden / "store.tar.gz") as archive:
            archive.extractall(store)
        return store, json.loads((golden / "expected.json").read_text())

    def upgraded(self, golden):
        """The store as the program of today takes it; until then all refuse it."""
        store, expected = self.unpack(golden)
        if golden.name == GOLDEN[-1].name:
            self.assertIn("nothing to do", self.good("upgrade", "--store", store).stdout)
            return store, expected
        for name in ("verify", "compact", "repair"):
            self.refused(name, "--store", store, saying=f"run `cairn upgrade --store {store}`")
        done = self.good("upgrade", "--store", store, "--json").json
        self.assertEqual(f"store_v{done['format_before']}", golden.name)
        self.assertEqual(f"store_v{done['format']}", GOLDEN[-1].name)
        return store, expected

    def check(self, store, expected):
        for name, wanted in expected.items():
            shown = self.show(name, store)
            self.assertEqual({key: shown[key] for key in wanted}, wanted, name)
        self.good("verify", "--store", store)

    def continued(self, store, name, text):
        adapter = ("--adapter", ADAPTERS[name]) if name in ADAPTERS else ()
        session = ("--store", store, "--session", name, "--model", MODEL, *adapter,
                   "--retrieve", "4")
        # A text that is half read ends there.
        self.good("ask", *session, "--max-tokens", "3", "--keep", "Where?")
        self.good("ingest", *session, *(("--raw",) if name == "renamed" else ()), text)
        return self.digest(name, store)

    def test_there_is_one_of_the_present_version(self):
        self.assertEqual([golden.name for golden in GOLDEN], ["store_v1", "store_v2"])

    def test_they_say_what_they_said(self):
        for golden in GOLDEN:
            with self.subTest(golden=golden.name):
                store, expected = self.upgraded(golden)
                self.check(store, expected)  # by readers only
                names = self.good("sessions", "list", "--store", store, "--json").json
                self.assertEqual(sorted(s["name"] for s in names["sessions"]), sorted(expected))
                self.good("sessions", "fork", "fork", "extra", "--store", store)  # by a writer
                self.check(store, expected)
                self.good("compact", "--store", store)
                self.check(store, expected)
                copy = self.directory / f"copy-{golden.name}"
                self.good("backup", "--store", store, copy)
                self.check(copy, expected)

    def test_they_go_on(self):
        text = self.file("more.txt", random_text(2000, stream="more"))
        for golden in GOLDEN:
            store, expected = self.upgraded(golden)
            fresh = self.directory / f"fresh-{golden.name}"
            for name in expected:
                with self.subTest(golden=golden.name, session=name):
                    exported = self.directory / "exported"
                    self.good("sessions", "export", name, exported, "--store", store)
                    self.good("sessions", "import", exported, "--store", fresh)
                    # What follows is computed here, in both stores.
                    grown = self.continued(store, name, text)
                    self.assertNotEqual(grown, expected[name]["digest"])
                    self.assertEqual(self.continued(fresh, name, text), grown)
            self.good("verify", "--store", store)


if __name__ == "__main__":
    unittest.main()
