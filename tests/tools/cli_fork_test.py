#!/usr/bin/env python3
"""Forks, new names and deleting through the command line, and what is refused."""

import unittest

from cli_harness import CliTest, LANDMARK, MODEL, SMALL_STEPS, random_text

# Options, tokens of a block, and tokens of a reading step.
MODES = {
    "unmodified": (("--chunk", "128"), 64, 128),
    "landmark": (("--adapter", LANDMARK, *SMALL_STEPS), 15, 60),
}


class ForkTest(CliTest):
    def fork(self, source, name, *options):
        return self.good("sessions", "fork", source, name, "--store", self.store, "--json",
                         *options).json

    def ask(self, name):
        return self.good("ask", *self.session(name), "--retrieve", "4", "--max-tokens", "4",
                         "--json", "Who?").json["answer"]

    def bytes_on_disk(self):
        return self.good("sessions", "list", "--store", self.store, "--json").json["disk_bytes"]


class WholeFork(ForkTest):
    def test_it_is_the_same_session_and_takes_no_room(self):
        text = self.file("text.txt", random_text(30000))
        for mode, (options, _, _) in MODES.items():
            source, fork = mode, mode + "-fork"
            self.ingest(text, *options, name=source)
            before, size = self.show(source), self.bytes_on_disk()
            made = self.fork(source, fork)
            grown = self.bytes_on_disk() - size
            with self.subTest(mode=mode, grown=grown):
                self.assertEqual(made["forked"], source)
                self.assertEqual(made["tokens"], before["tokens"])
                self.assertEqual(made["shared_bytes"], before["payload_bytes"])
                # Numbers of tokens, the tail and RocksDB's own; this model has small blocks.
                tail = before["payload_bytes"] / before["blocks"]
                self.assertLess(grown, 4 * before["tokens"] + tail + 64 * 1024)
                self.assertLess(grown, 0.02 * before["payload_bytes"])
                self.assertEqual(self.show(source), before)
                shown = self.show(fork)
                self.assertEqual(shown["digest"], before["digest"])
                self.assertEqual(shown["ingests"], before["ingests"])
                self.assertEqual(self.ask(fork), self.ask(source))
                # The text was read, also by the fork.
                self.assertEqual(self.ingest(text, *options, name=fork).json["tokens_read"], 0)

    def test_both_go_on_and_either_may_go(self):
        text = self.file("text.txt", random_text(4000))
        more = [self.file(f"more{i}.txt", random_text(3000, stream=i)) for i in (1, 2)]
        for mode, (options, _, _) in MODES.items():
            for deleted in ("a", "b"):
                self.ingest(text, *options, name="a")
                self.fork("a", "b")
                self.ingest(more[0], *options, name="a")
                self.ingest(more[1], *options, name="b")
                self.ingest(text, *options, name="plain")
                self.ingest(more[0 if deleted == "b" else 1], *options, name="plain")
                stays = "a" if deleted == "b" else "b"
                answer = self.ask(stays)
                with self.subTest(mode=mode, deleted=deleted):
                    self.assertNotEqual(self.digest("a"), self.digest("b"))
                    self.assertEqual(self.digest(stays), self.digest("plain"))
                    self.good("sessions", "delete", deleted, "--store", self.store)
                    self.assertEqual(self.digest(stays), self.digest("plain"))
                    self.assertEqual(self.ask(stays), answer)
                    self.ingest(more[0 if deleted == "a" else 1], *options, name=stays)
                for name in (stays, "plain"):
                    self.good("sessions", "delete", name, "--store", self.store)


class CutFork(ForkTest):
    def test_it_is_the_session_that_read_only_so_far(self):
        text = self.file("text.txt", random_text(3000))
        for mode, (options, block, step) in MODES.items():
            self.ingest(text, "--raw", *options, name=mode)
            whole = self.show(mode)
            for at in (step * 5, step * 5 + block // 2, step * 3 + block - 1):
                fork, read = f"{mode}-{at}", f"{mode}-read-{at}"
                made = self.fork(mode, fork, "--at", at)
                cut = at - at % step
                self.ingest(text, "--raw", "--tokens", cut, *options, name=read)
                with self.subTest(mode=mode, at=at):
                    self.assertEqual(made["tokens"], cut)
                    self.assertEqual(self.digest(fork), self.digest(read))
                    shown = self.show(fork)
                    self.assertEqual(shown["tokens"], cut)
                    self.assertEqual(shown["blocks"], cut // block)
                    self.assertEqual([i["done"] for i in shown["ingests"]], [False])
                    self.assertEqual(self.ask(fork), self.ask(read))
                    # The same text goes on where the fork ends, to the same end.
                    rest = self.ingest(text, "--raw", *options, name=fork)
                    self.assertEqual(rest.json["tokens_read"], whole["tokens"] - cut)
                    self.assertRegex(rest.stderr, f"going on at token {cut} of")
                    self.assertEqual(self.digest(fork), whole["digest"])
                    self.assertEqual(self.digest(mode), whole["digest"])

    def test_texts_behind_the_cut_were_not_read(self):
        options, block, _ = MODES["landmark"]
        texts = [self.file(f"text{i}.txt", random_text(1500, stream=i)) for i in range(3)]
        for text in texts:
            self.ingest(text, *options)
        starts = [ingest["start"] for ingest in self.show()["ingests"]]
        cut = starts[1] - starts[1] % block + 2 * block
        self.fork("s", "cut", "--at", cut)
        shown = self.show("cut")
        self.assertEqual(shown["tokens"], cut)
        self.assertEqual([i["done"] for i in shown["ingests"]], [True, False])
        self.assertTrue(shown["turn_open"])
        self.refused("ingest", *self.session("cut"), "--model", MODEL, *options, texts[2],
                     saying="in the middle of reading .*text1.txt")
        for text in texts[1:]:
            self.ingest(text, *options, name="cut")
        whole, again = self.show(), self.show("cut")
        for key in ("tokens", "rows", "blocks", "ingests", "turn_open"):
            self.assertEqual(again[key], whole[key], key)
        before_all = self.fork("s", "none", "--at", block - 1)
        self.assertEqual((before_all["tokens"], before_all["blocks"]), (0, 0))
        for text in texts:
            self.ingest(text, *options, name="none")
        self.assertEqual(self.digest("none"), self.digest())

    def test_a_kept_conversation_is_not_parted(self):
        options, block, _ = MODES["landmark"]
        text = self.file("text.txt", random_text(1500))
        self.ingest(text, *options)
        read = self.show()["tokens"]
        self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "60", "--keep", "Who?")
        end = self.show()["tokens"]
        self.assertGreater(end, read + block)
        made = self.fork("s", "cut", "--at", end - 1)
        self.assertEqual(made["tokens"], read - read % block)
        self.assertTrue(self.show("cut")["turn_open"])
        self.ingest(text, *options, name="cut")
        self.assertEqual(self.show("cut")["tokens"], read)
        whole = self.fork("s", "whole", "--at", end)
        self.assertEqual(whole["tokens"], end)
        self.assertEqual(self.digest("whole"), self.digest())


    def test_a_conversation_kept_in_the_middle_of_a_text_ends_it(self):
        for mode, (options, block, _) in MODES.items():
            text = self.file("text.txt", random_text(3000))
            self.ingest(text, *options, name=mode)
            whole = self.show(mode)
            fork = mode + "-fork"
            self.fork(mode, fork, "--at", 20 * block)
            self.good("ask", *self.session(fork), "--retrieve", "4", "--max-tokens", "9", "--keep",
                      "Who?")
            kept = self.show(fork)
            with self.subTest(mode=mode):
                self.assertEqual([(i["hash"], i["tokens"], i["done"]) for i in kept["ingests"]],
                                 [("", 20 * block, True)])
                self.assertFalse(kept["turn_open"])
                again = self.ingest(text, *options, name=fork).json
                self.assertGreater(again["tokens_read"], whole["tokens"] - 40)
                self.assertEqual(again["tokens"], kept["tokens"] + again["tokens_read"])
                self.assertEqual(self.ingest(text, *options, name=fork).json["tokens_read"], 0)


class Deleting(ForkTest):
    def delete(self, name):
        return self.good("sessions", "delete", name, "--store", self.store, "--json").json

    def test_it_says_what_it_frees(self):
        self.ingest(self.file("text.txt", random_text(4000)))
        whole = self.show()["payload_bytes"]
        self.fork("s", "copy")
        self.fork("s", "cut", "--at", 500)
        cut = self.show("cut")["payload_bytes"]
        self.assertGreater(cut, 0)
        self.ingest(self.file("more.txt", random_text(3000, stream=1)), name="copy")
        more = self.show("copy")["payload_bytes"] - whole
        self.assertGreater(more, 0)
        self.assertEqual(self.delete("s"), {"deleted": "s", "freed_bytes": 0})
        said = self.good("sessions", "delete", "copy", "--store", self.store).stderr
        self.assertRegex(said, "'copy' is deleted, [0-9.]+ [KM]iB .* freed; [0-9.]+ KiB stay")
        self.assertEqual(self.delete("cut")["freed_bytes"], cut)
        self.assertEqual(self.session_names(), [])

    def test_what_a_fork_added_is_freed_with_it(self):
        self.ingest(self.file("text.txt", random_text(4000)))
        self.fork("s", "copy")
        before = self.show()
        self.ingest(self.file("more.txt", random_text(3000, stream=1)), name="copy")
        more = self.show("copy")["payload_bytes"] - before["payload_bytes"]
        self.assertEqual(self.delete("copy")["freed_bytes"], more)
        self.assertEqual(self.show(), before)


class Renaming(ForkTest):
    def test_only_the_name_changes(self):
        text = self.file("text.txt", random_text(2000))
        self.ingest(text)
        before, answer = self.show(), self.ask("s")
        rename = ("sessions", "rename", "--store", self.store)
        self.assertEqual(self.good(*rename, "s", "new", "--json").json,
                         {"renamed": "s", "name": "new"})
        self.assertEqual(self.session_names(), ["new"])
        self.assertEqual(self.show("new"), {**before, "name": "new"})
        self.assertEqual(self.ask("new"), answer)
        self.assertEqual(self.ingest(text, name="new").json["tokens_read"], 0)
        self.fork("new", "s")
        for old, new, saying in (("s", "new", "there is a session 'new' already"),
                                 ("s", "s", "there is a session 's' already"),
                                 ("other", "x", "no session 'other'; there are: new, s"),
                                 ("s", "a/b", "cannot name a session")):
            self.refused(*rename, old, new, saying=saying)
        self.refused(*rename, "s", code=2, saying="see `cairn")
        self.assertRegex(self.good(*rename, "s", "t").stderr, "session 's' is now 't'")
        self.assertEqual(self.session_names(), ["new", "t"])


class BadFork(ForkTest):
    def test_refusals_change_nothing(self):
        self.ingest(self.file("text.txt", random_text(2000)))
        before = self.show()
        end = before["tokens"]
        fork = ("sessions", "fork", "--store", self.store)
        for arguments, saying in ((("s", "s"), "there is a session 's' already"),
                                  (("s", ".x"), "cannot name a session"),
                                  (("../s", "x"), "cannot name a session"),
                                  (("other", "x"), "no session 'other'"),
                                  (("s", "x", "--at", end + 1), f"has {end} tokens; use 0 to"),
                                  (("s", "x", "--at", "-1"), "--at -1: .*use 0 to")):
            with self.subTest(arguments=arguments):
                self.refused(*fork, *arguments, saying=saying)
        for arguments in (("s",), (), ("s", "x", "--at", "soon")):
            self.refused(*fork, *arguments, code=2, saying="see `cairn")
        self.assertEqual(self.session_names(), ["s"])
        self.assertEqual(self.show(), before)
        said = self.good(*fork, "s", "t", "--at", end - 1).stderr
        self.assertRegex(said, f"'t' has the first [0-9]+ of {end} tokens of 's' and shares .*iB")


if __name__ == "__main__":
    unittest.main()
