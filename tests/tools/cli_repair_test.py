#!/usr/bin/env python3
"""cairn repair: damaged sessions are cut to what is whole, or computed again, and no others."""

import subprocess
import time
import unittest

from cli_harness import (CliTest, LANDMARK, MODEL, OTHER_MODEL, SMALL_STEPS, TIMEOUT_SECONDS,
                         command, random_text, run)

# Options with steps of one block, and tokens of a block.
MODES = {
    "unmodified": (("--chunk", "64"), 64),
    "landmark": (("--adapter", LANDMARK, "--chunk", "16", "--retrieve", "4"), 15),
}
# With steps of several.
LARGE_STEPS = {
    "unmodified": ("--chunk", "256"),
    "landmark": ("--adapter", LANDMARK, *SMALL_STEPS),
}
RETRIEVAL = {"unmodified": (), "landmark": ("--retrieve", "4")}


class RepairTest(CliTest):
    def repair(self, *options, code=0):
        done = run("repair", "--store", self.store, "--json", *options)
        self.assertEqual(done.code, code, done.stderr)
        return done.json

    def verify(self, *options):
        return run("verify", "--store", self.store, "--json", *options).json["damaged"]

    def damage_blocks(self, places=(2, 3)):
        """Changes bytes of the largest file of blocks, at these fractions of it."""
        path = self.payload_files()[0]
        self.flip(path, [path.stat().st_size // place for place in places])
        found = self.verify()
        self.assertGreaterEqual(len(found), 1)
        return found


class Cut(RepairTest):
    def test_without_damage_nothing_is_done(self):
        self.ingest(self.file("text.txt", random_text(3000)))
        before = {path.name: path.read_bytes() for path in (self.store / "db").iterdir()}
        self.assertEqual(self.repair("--cut"), {"dry_run": False, "repaired": [], "hopeless": []})
        self.assertRegex(self.good("repair", "--store", self.store).stdout, "nothing is damaged")
        after = {path.name: path.read_bytes() for path in (self.store / "db").iterdir()}
        self.assertEqual(after, before)

    def test_sessions_are_cut_to_the_last_whole_block_and_go_on(self):
        for mode, (options, block) in MODES.items():
            name = mode
            text = self.file("text.txt", random_text(9000))
            self.ingest(text, *options, name=name)
            self.good("sessions", "fork", name, "copy", "--store", self.store)
            self.good("sessions", "fork", name, "begin", "--at", 2 * block, "--store", self.store)
            whole = self.show(name)
            found = self.damage_blocks()
            first = min(finding["block"] for finding in found)
            expected = {"tokens_before": whole["tokens"], "cut_at": first * block,
                        "tokens": first * block, "tokens_known": True, "recomputed": False,
                        "summaries_rebuilt": False}
            planned = self.repair("--dry-run")
            with self.subTest(mode=mode):
                self.assertEqual(planned["repaired"], [{"session": "copy", **expected},
                                                       {"session": name, **expected}])
                self.assertEqual(self.show(name), whole)
                self.assertEqual(self.verify(), found)
                said = self.good("repair", "--store", self.store, "--dry-run").stdout
                self.assertRegex(said, f"session '{name}': --cut would cut it from "
                                 f"{whole['tokens']} tokens to {first * block}; tokens "
                                 f"{first * block} to "
                                 f"{whole['tokens'] - 1} are lost, unless --model computes")
                for some in ((), ("--session", name)):
                    done = run("repair", "--store", self.store, *some)
                    self.assertEqual(done.code, 1)
                    self.assertRegex(done.stderr, "nothing was changed: [12] sessions would be cut."
                                     " Give --session NAME and --model FILE .* or --cut")
                    self.assertEqual(self.show(name), whole)
                    self.assertEqual(self.verify(), found)
                done = self.repair("--cut", "--session", name)
                self.assertEqual(done["repaired"], [{"session": name, **expected}])
                self.assertEqual({finding["session"] for finding in self.verify()}, {"copy"})
                done = self.repair("--cut")
                self.assertEqual(done["repaired"], [{"session": "copy", **expected}])
                self.assertEqual(self.verify(), [])
                for cut in (name, "copy"):
                    shown = self.show(cut)
                    self.assertEqual((shown["tokens"], shown["blocks"]), (first * block, first))
                    self.assertFalse(shown["ingests"][0]["done"])
                    rest = self.ingest(text, *options, name=cut).json["tokens_read"]
                    self.assertEqual(rest, whole["tokens"] - first * block)
                    self.assertEqual(self.digest(cut), whole["digest"])
                self.assertEqual(self.show("begin")["tokens"], 2 * block)
                self.assertEqual(self.verify(), [])
            for gone in (name, "copy", "begin"):
                self.good("sessions", "delete", gone, "--store", self.store)

    def test_damaged_entries(self):
        text = self.file("text.txt", random_text(3000))
        self.ingest(text, "--chunk", "64")
        whole = self.show()
        end = whole["tokens"] - whole["tokens"] % 64
        for prefix, cut, known in (("a/", end, True), ("t/", end, False)):
            self.damage_entry(prefix)
            self.assertNotEqual(self.verify(), [])
            done = self.repair("--cut")["repaired"]
            with self.subTest(prefix=prefix):
                self.assertEqual([(d["tokens"], d["tokens_known"]) for d in done], [(cut, known)])
                self.assertEqual(self.verify(), [])
                self.assertEqual(self.show()["tokens"], cut)
                self.ingest(text, "--chunk", "64")
                self.assertEqual(self.digest(), whole["digest"])

    def test_damaged_summaries_are_made_anew_and_nothing_is_lost(self):
        text = self.file("text.txt", random_text(9000))
        for mode, (options, block) in MODES.items():
            self.ingest(text, *options, name=mode)
            self.good("sessions", "fork", mode, "begin", "--at", 3 * block, "--store", self.store)
            before = {name: self.show(name) for name in (mode, "begin")}
            asked = ("ask", *self.session(mode), *RETRIEVAL[mode], "--max-tokens", "4", "--json",
                     "Who?")
            answer = self.good(*asked).json["answer"]
            self.damage_entry("m/")
            found = self.verify()
            self.assertNotEqual(found, [])
            planned = self.repair("--dry-run")
            said = self.good("repair", "--store", self.store, "--dry-run").stdout
            with self.subTest(mode=mode):
                self.assertEqual(self.verify(), found)
                self.assertRegex(said, f"session '{mode}': its damaged summaries are made anew")
                self.assertNotIn("--cut would", said)
                done = self.repair()
                self.assertEqual(done["repaired"], planned["repaired"])
                self.assertTrue(all(d["summaries_rebuilt"] and d["tokens"] == d["tokens_before"]
                                    for d in done["repaired"]))
                self.assertEqual(self.verify(), [])
                self.assertEqual({name: self.show(name) for name in before}, before)
                self.assertEqual(self.good(*asked).json["answer"], answer)
            for name in before:
                self.good("sessions", "delete", name, "--store", self.store)

    def test_summaries_behind_a_damaged_block_are_not_made_up(self):
        options, block = MODES["unmodified"]
        text = self.file("text.txt", random_text(3500))
        self.ingest(text, *options)
        whole = self.show()
        first = min(finding["block"] for finding in self.damage_blocks(places=(2,)))
        self.damage_entry("m/")
        done = self.repair("--cut")["repaired"]
        self.assertEqual([(d["tokens"], d["summaries_rebuilt"]) for d in done],
                         [(first * block, True)])
        self.assertEqual(self.verify(), [])
        self.ingest(text, *options)
        self.assertEqual(self.digest(), whole["digest"])

    def test_what_cannot_be_repaired_is_said_and_the_rest_is_repaired(self):
        text = self.file("text.txt", random_text(2000))
        self.ingest(text, name="a")
        self.ingest(text, name="b")
        self.damage_entry("s/a")
        self.damage_entry("a/")  # of b
        done = self.repair("--cut", code=1)
        self.assertEqual([d["session"] for d in done["repaired"]], ["b"])
        self.assertEqual([d["session"] for d in done["hopeless"]], ["a"])
        self.assertEqual({finding["session"] for finding in self.verify()}, {"a"})
        self.refused_after_output("repair", "--store", self.store, "--session", "a",
                                  saying="1 sessions of the store .* cannot be repaired; restore")
        self.good("sessions", "delete", "a", "--store", self.store)
        self.assertEqual(self.verify(), [])

    def test_what_cannot_be_read_is_not_cut_off(self):
        self.ingest(self.file("text.txt", random_text(3000)))
        whole = self.show()
        path = self.payload_files()[0]
        aside = path.with_suffix(".aside")
        path.rename(aside)
        path.symlink_to(path)  # opening it fails, for root too
        said = run("verify", "--store", self.store)
        self.assertEqual(said.code, 1)
        self.assertRegex(said.stdout, "(?m)^unreadable session 's' layer 0 head 0 block 0 ")
        self.assertNotRegex(said.stdout, "(?m)^damaged ")
        self.assertRegex(said.stdout, "read, 0 damaged, [1-9][0-9]* unreadable\n$")
        self.assertRegex(said.stderr, "cannot be read now, and may be whole: .*symbolic links.* "
                         "Make sure that its files may be read")
        self.assertTrue(all(finding["unreadable"] for finding in self.verify()))
        for options in ((), ("--cut",), ("--session", "s", "--cut"),
                        ("--session", "s", "--model", MODEL), ("--dry-run",)):
            with self.subTest(options=options):
                self.refused("repair", "--store", self.store, *options,
                             saying="cannot be read now, and may be whole")
        self.damage_entry("a/")
        said = run("verify", "--store", self.store)
        self.assertRegex(said.stderr, "is damaged in 1 places, and [1-9][0-9]* more cannot be read "
                         "now and may be whole. Make sure that its files may be read")
        self.assertRegex(said.stdout, "read, 1 damaged, [1-9][0-9]* unreadable\n$")
        path.unlink()
        aside.rename(path)
        self.damage_entry("a/")  # takes it back
        self.assertEqual(self.verify(), [])
        self.assertEqual(self.show(), whole)

    def refused_after_output(self, *arguments, saying):
        done = run(*arguments)
        self.assertEqual(done.code, 1)
        self.assertRegex(done.stderr, saying)
        self.assertRegex(done.stdout, "cannot be repaired")


class Again(RepairTest):
    def test_tokens_are_computed_again(self):
        texts = [self.file(f"text{i}.txt", random_text(9000 - 6000 * i, stream=i)) for i in (0, 1)]
        for mode, options in LARGE_STEPS.items():
            for text in texts:
                self.ingest(text, *options)
            whole = self.show()
            self.damage_blocks()
            again = ("--session", "s", "--model", MODEL, *RETRIEVAL[mode])
            plan = self.repair("--dry-run", *again)["repaired"][0]
            self.assertNotIn("identical", plan)
            done = self.repair(*again)["repaired"]
            with self.subTest(mode=mode):
                self.assertEqual(done, [{**plan, "identical": True}])
                self.assertEqual((plan["tokens"], plan["recomputed"]), (whole["tokens"], True))
                shown = self.show()
                self.assertEqual(self.verify(), [])
                for key in ("digest", "tokens", "blocks", "ingests", "turn_open", "options"):
                    self.assertEqual(shown[key], whole[key], key)
                self.assertGreater(shown["extents"], 1)
                self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "2", "Who?")
            self.good("sessions", "delete", "s", "--store", self.store)

    def test_a_kept_conversation_is_computed_again_too(self):
        self.ingest(self.file("text.txt", random_text(4000)))
        self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "80", "--keep", "Who?")
        self.ingest(self.file("more.txt", random_text(3000, stream=1)))
        whole = self.show()
        self.damage_blocks(places=(3,))
        self.repair("--session", "s", "--model", MODEL)
        self.assertEqual(self.verify(), [])
        shown = self.show()
        for key in ("tokens", "rows", "blocks", "ingests", "turn_open"):
            self.assertEqual(shown[key], whole[key], key)

    def test_a_kill_on_the_way_changes_nothing(self):
        text = self.file("text.txt", random_text(40000))
        self.ingest(text, "--chunk", "64")
        self.damage_blocks(places=(4,))
        whole, found = self.show(), self.verify()
        arguments = ("repair", "--store", self.store, "--session", "s", "--model", MODEL)
        for seconds in (0.1, 0.3, 0.6):
            process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(seconds)
            process.kill()
            if process.wait(TIMEOUT_SECONDS) == 0:
                break
            self.assertEqual(self.show(), whole)
            self.assertEqual(self.verify(), found)
        self.repair("--session", "s", "--model", MODEL)
        self.assertEqual(self.verify(), [])
        self.assertEqual(self.digest(), whole["digest"])

    def test_refusals_change_nothing(self):
        self.ingest(self.file("text.txt", random_text(6000)))
        found = self.damage_blocks()
        whole = self.show()
        repair = ("repair", "--store", self.store)
        for options, saying in (((*repair, "--adapter", LANDMARK), "--adapter: give the --model"),
                                ((*repair, "--model", MODEL), "--model: name the --session"),
                                ((*repair, "--session", "no"), "no session 'no'; there are: s"),
                                ((*repair, "--session", "a/b"), "cannot name a session"),
                                (("repair", "--store", self.directory / "no"), "no store at")):
            with self.subTest(options=options):
                self.refused(*options, saying=saying)
        done = run(*repair, "--session", "s", "--model", OTHER_MODEL)
        self.assertEqual(done.code, 1)
        self.assertRegex(done.stderr, "was made with another model")
        self.refused("repair", code=2, saying="see `cairn")
        self.assertEqual(self.verify(), found)
        self.assertEqual(self.show(), whole)


if __name__ == "__main__":
    unittest.main()
