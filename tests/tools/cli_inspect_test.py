#!/usr/bin/env python3
"""`cairn inspect`: blocks, single blocks, text, layout and differences of stored sessions."""

import struct
import unittest

from cli_harness import CliTest, LANDMARK, OTHER_MODEL, SMALL_STEPS, random_text, run

BLOCK_TOKENS, BLOCK_ROWS = 15, 16
LAYERS, HEADS, DIM = 2, 2, 16
PAYLOAD = 2 * BLOCK_ROWS * DIM * 2  # keys and values, f16


class Inspect(CliTest):
    def setUp(self):
        super().setUp()
        self.text = random_text(3000)
        self.ingest(self.file("text.txt", self.text), "--adapter", LANDMARK, *SMALL_STEPS)

    def inspect(self, what, *options):
        return self.good("inspect", what, *self.session(), "--json", *options).json

    def test_blocks(self):
        shown = self.show()
        document = self.inspect("blocks", "--check")
        self.assertEqual(len(document["blocks"]), shown["blocks"])
        self.assertEqual(sum(block["bytes"] for block in document["blocks"]),
                         shown["payload_bytes"])
        self.assertEqual(document["unfinished_rows"], shown["rows"] % BLOCK_ROWS)
        for number, block in enumerate(document["blocks"]):
            self.assertEqual((block["block"], block["ordinal"]), (number, number))
            self.assertEqual(block["tokens"], [number * BLOCK_TOKENS,
                                               (number + 1) * BLOCK_TOKENS - 1])
            self.assertEqual((block["damaged"], block["shared"], block["tier"]),
                             (0, False, "cold"))

    def test_blocks_of_a_layer_a_head_and_a_range(self):
        blocks = self.inspect("blocks", "--layer", "1", "--range", "30:61")["blocks"]
        self.assertEqual([(block["block"], block["head"]) for block in blocks],
                         [(block, head) for block in (2, 3, 4) for head in range(HEADS)])
        self.assertEqual({block["bytes"] for block in blocks}, {PAYLOAD})
        blocks = self.inspect("blocks", "--head", "0", "--range", ":15")["blocks"]
        self.assertEqual([block["layer"] for block in blocks], list(range(LAYERS)))
        refused = ("inspect", "blocks", *self.session())
        self.refused(*refused, "--layer", "2", saying="--layer 2: use 0 to 1")
        self.refused(*refused, "--head", "-1", saying="--head -1: use 0 to 1")
        for bad in ("5", "7:3", ":999999", "x:1", "1:2:3", "-1:2"):
            self.refused(*refused, f"--range={bad}", saying="--range")

    def test_damage_is_told(self):
        path = self.payload_files()[0]
        content = path.read_bytes()
        self.flip(path, range(200, len(content) - 4096, 3000))
        document = self.checked("is damaged in [0-9]+ places; restore", "--json").json
        damaged = [block for block in document["blocks"] if block["damaged"] > 0]
        self.assertTrue(damaged)
        self.assertTrue(all(block["damage"] for block in damaged))
        self.assertEqual({block["unreadable"] for block in document["blocks"]}, {0})
        verified = run("verify", "--store", self.store, "--json").json["damaged"]
        self.assertEqual(sum(block["damaged"] for block in damaged), len(verified))
        shown = self.checked("is damaged in").stdout
        self.assertEqual(shown.count("  DAMAGED "), len(damaged))
        self.assertEqual(shown.count("  good "), len(document["blocks"]) - len(damaged))
        one = verified[0]
        lines = self.checked("is damaged in", "--json", "--layer", one["layer"], "--head",
                             one["head"]).json["blocks"]
        self.assertEqual([line["block"] for line in lines if line["damaged"]],
                         [found["block"] for found in verified
                          if (found["layer"], found["head"]) == (one["layer"], one["head"])])

    def checked(self, saying, *options):
        """What --check shows of blocks that are not whole; it fails, as verify does."""
        done = run("inspect", "blocks", *self.session(), "--check", *options)
        self.assertEqual(done.code, 1, done.stderr)
        self.assertRegex(done.stderr, f"^cairn: .*{saying}")
        return done

    def test_what_cannot_be_read_may_be_whole(self):
        path = self.payload_files()[0]
        aside = path.with_suffix(".aside")
        path.rename(aside)
        path.symlink_to(path)  # opening it fails, for root too
        saying = "cannot be read now, and may be whole"
        blocks = self.checked(saying, "--json").json["blocks"]
        self.assertEqual({(block["damaged"], block["unreadable"]) for block in blocks},
                         {(0, LAYERS * HEADS)})
        shown = self.checked(saying).stdout
        self.assertEqual(shown.count(f"  UNREADABLE {LAYERS * HEADS}: "), len(blocks))
        self.assertNotIn("DAMAGED", shown)
        path.unlink()
        aside.rename(path)
        self.assertIn("  good", self.good("inspect", "blocks", *self.session(), "--check").stdout)

    def test_fetches_of_a_trace(self):
        trace = self.directory / "trace"
        self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "3", "--trace", trace,
                  "Who?")
        page = self.directory / "map.html"
        blocks = self.inspect("blocks", "--trace", trace, "--html", page)["blocks"]
        self.assertGreater(sum(block["fetches"] for block in blocks), 0)
        for block in blocks:
            self.assertEqual(block["last_access"] is None, block["fetches"] == 0)
        self.assertIn("<canvas", page.read_text(encoding="utf-8"))
        self.refused("inspect", "blocks", *self.session(), "--html", page, saying="--trace FILE")

    def test_whose_fetches_a_trace_has(self):
        trace = self.directory / "trace"
        self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "3", "--trace", trace,
                  "Who?")
        counted = ("inspect", "blocks", "--trace", trace)
        done = self.good(*counted, *self.session(), "--json")
        fetches = sum(block["fetches"] for block in done.json["blocks"])
        self.assertEqual((done.json["trace_session"], done.stderr), ("s", ""))
        # A session that shares its blocks has what was fetched of them; another one nothing.
        self.good("sessions", "fork", "s", "half", "--at", "100", "--store", self.store)
        done = self.good(*counted, *self.session("half"), "--json")
        self.assertEqual(done.json["trace_session"], "s")
        self.assertIn(sum(block["fetches"] for block in done.json["blocks"]), range(1, fetches))
        self.assertRegex(done.stderr, "is of session 's': counted is what that fetched of blocks")
        self.good(*counted, *self.session("half"), "--quiet")
        self.ingest(self.file("more.txt", random_text(900, stream=1)), name="other")
        self.refused(*counted, *self.session("other"),
                     saying="is of session 's', and fetched no block of session 'other'")
        self.good("sessions", "rename", "s", "renamed", "--store", self.store)
        self.assertEqual(self.good(*counted, *self.session("renamed"), "--json")
                         .json["trace_session"], "renamed")
        self.good("sessions", "delete", "renamed", "--store", self.store)
        done = self.good(*counted, *self.session("half"), "--json")
        self.assertIsNone(done.json["trace_session"])
        self.assertIn("is of a session that is gone", done.stderr)
        # In another store blocks have the same numbers.
        self.store = self.directory / "twin"
        self.ingest(self.directory / "text.txt", "--adapter", LANDMARK, *SMALL_STEPS)
        self.refused(*counted, *self.session(), saying="was recorded with another store")
        self.refused("serve", "--store", self.store, "--trace", trace,
                     saying="was recorded with another store")
        # One of version 1 has no end that says whose it is.
        older = bytearray(trace.read_bytes()[:-24])
        older[8] = 1
        trace.write_bytes(older)
        done = self.good(*counted, *self.session(), "--json")
        self.assertEqual(sum(block["fetches"] for block in done.json["blocks"]), fetches)
        self.assertIsNone(done.json["trace_session"])
        self.assertIn("does not say which store and session it is of", done.stderr)

    def test_one_block_and_its_numbers(self):
        npy = self.directory / "block.npy"
        document = self.inspect("block", "3/1/0", "--npy", npy)
        self.assertEqual(document["shape"], [2, BLOCK_ROWS, DIM])
        self.assertEqual((document["dtype"], document["payload_bytes"]), ("f16", PAYLOAD))
        content = npy.read_bytes()
        self.assertEqual(content[:8], b"\x93NUMPY\x01\x00")
        size = struct.unpack("<H", content[8:10])[0]
        self.assertEqual((10 + size) % 64, 0)
        self.assertEqual(eval(content[10:10 + size]),  # pylint: disable=eval-used
                         {"descr": "<f2", "fortran_order": False, "shape": (2, BLOCK_ROWS, DIM)})
        numbers = struct.unpack(f"<{PAYLOAD // 2}e", content[10 + size:])
        keys = [numbers[row * DIM:(row + 1) * DIM] for row in range(BLOCK_ROWS)]
        norms = [sum(x * x for x in row) ** 0.5 for row in keys]
        self.assertAlmostEqual(document["keys"]["norm_max"], max(norms[:-1]), places=4)
        self.assertAlmostEqual(document["keys"]["min"], min(min(row) for row in keys[:-1]),
                               places=4)
        self.assertAlmostEqual(document["landmark"]["norm_max"], norms[-1], places=4)
        for bad, saying in (("3", "write BLOCK/LAYER/HEAD"), ("3/1/0/0", "write BLOCK"),
                            ("99999/0/0", "there is no block"), ("0/2/0", "2 layers")):
            self.refused("inspect", "block", *self.session(), bad, saying=saying)

    def test_text(self):
        document = self.inspect("text", "--block", "4")
        self.assertEqual(document["tokens"], [60, 75])
        whole = self.good("inspect", "text", *self.session()).stdout
        self.assertIn(self.text, whole)
        self.assertIn(document["text"], whole)
        self.assertEqual(self.inspect("text", "--range", "60:75")["text"], document["text"])
        self.refused("inspect", "text", *self.session(), "--block", "9999", saying="has .* blocks")
        self.refused("inspect", "text", *self.session(), "--model", OTHER_MODEL,
                     saying="made with another model")

    def test_layout_says_what_a_delete_frees(self):
        self.good("sessions", "fork", "s", "half", "--at", "100", "--store", self.store)
        self.good("sessions", "fork", "s", "whole", "--store", self.store)
        def sessions():
            document = self.good("inspect", "layout", "--store", self.store, "--json").json
            self.assertTrue(document["files"])
            self.assertEqual(sum(file["bytes"] for file in document["files"]),
                             sum(level["bytes"] for level in document["levels"]))
            return {session["name"]: session for session in document["sessions"]}
        found = sessions()
        payload = self.show()["payload_bytes"]
        self.assertEqual(found["s"]["payload_bytes"], payload)
        self.assertEqual((found["s"]["own_bytes"], found["s"]["freed_by_delete_bytes"]), (0, 0))
        shown = self.show_all("half")
        self.assertEqual((shown["shares_with"], shown["own_bytes"]), ("s", 0))
        self.assertEqual(shown["shared_tokens"], 100 // BLOCK_TOKENS * BLOCK_TOKENS)
        self.assertEqual([fork["name"] for fork in self.show_all()["forks"]], ["half", "whole"])
        listed = self.good("sessions", "list", "--store", self.store).stdout
        self.assertRegex(listed, r"(?m)^s .*\n  half .*first 90 tokens of s\n  whole ")
        self.good("sessions", "delete", "whole", "--store", self.store)
        found = sessions()
        shared = self.show("half")["payload_bytes"]
        self.assertEqual(found["s"]["shared_bytes"], shared)
        self.assertEqual(found["s"]["freed_by_delete_bytes"], payload - shared)
        freed = self.good("sessions", "delete", "s", "--store", self.store, "--json").json
        self.assertEqual(freed["freed_bytes"], payload - shared)

    def test_sketches_are_told(self):
        text = self.file("short.txt", self.text[:1500])
        sizes = {}
        for name, rows, options in (("none", 64, ()), ("f16", 64, ("--sketches",)),
                                    ("few", 32, ("--sketches", "--block-tokens", "32")),
                                    ("q8", 64, ("--sketches", "--kv-type", "q8"))):
            self.ingest(text, "--chunk", "64", *options, name=name)
            shown = self.show(name)
            sketch = 2 * DIM + 2 * DIM + 4 + rows + DIM * rows // 2  # docs/format.md
            each = sketch if name != "none" else 0
            self.assertEqual(shown["sketch_bytes"], shown["blocks"] * LAYERS * HEADS * each)
            sizes[name] = shown["sketch_bytes"]
        self.good("sessions", "fork", "f16", "part", "--at", "128", "--store", self.store)
        sizes["part"] = 128 // 64 * sizes["f16"] // self.show("f16")["blocks"]
        sizes["s"] = 0  # with landmarks
        layout = ("inspect", "layout", "--store", self.store)
        found = self.good(*layout, "--json").json["sessions"]
        self.assertEqual({one["name"]: one["sketch_bytes"] for one in found}, sizes)
        self.assertRegex(self.good(*layout).stdout,
                         r"(?m)^session .* sketches\n(.*\n)*none .* 0 B$")
        said = {name: self.good("sessions", "show", name, "--store", self.store).stdout
                for name in ("none", "q8")}
        self.assertRegex(said["q8"], r"landmarks .*, sketches [0-9.]+ KiB, tokens")
        self.assertNotIn("sketches", said["none"])
        for name in ("f16", "few", "q8", "part"):
            self.good("sessions", "delete", name, "--store", self.store)
        self.assertNotIn("sketches", self.good(*layout).stdout)

    def test_layout_counts_the_entries_of_the_catalog(self):
        self.good("compact", "--store", self.store)
        levels = self.good("inspect", "layout", "--store", self.store, "--json").json["levels"]
        entries = sum(level["entries"] for level in levels if level["holds"] == "metadata")
        verified = self.good("verify", "--store", self.store, "--json").json["entries"]
        self.assertGreaterEqual(entries, verified)

    def test_where_two_sessions_part(self):
        self.good("sessions", "fork", "s", "fork", "--at", "100", "--store", self.store)
        self.good("ask", *self.session("fork"), "--retrieve", "4", "--max-tokens", "3", "--keep",
                  "Quite something else?")
        document = self.good("inspect", "diff", "s", "fork", "--store", self.store, "--json").json
        self.assertEqual(document["shared_blocks"], 100 // BLOCK_TOKENS)
        self.assertEqual(document["shared_bytes"],
                         document["shared_blocks"] * PAYLOAD * LAYERS * HEADS)
        self.assertGreaterEqual(document["equal_tokens"],
                                document["shared_blocks"] * BLOCK_TOKENS)
        self.assertNotEqual(document["after"][0], document["after"][1])
        shown = self.good("inspect", "diff", "s", "fork", "--store", self.store).stdout
        self.assertIn("tokens are equal", shown)
        same = self.good("inspect", "diff", "s", "s", "--store", self.store, "--json").json
        self.assertEqual(same["equal_tokens"], self.show()["tokens"])

    def test_nothing_is_changed(self):
        before = self.show()
        for what in ("blocks", "text"):
            self.good("inspect", what, *self.session())
        self.good("inspect", "layout", "--store", self.store, "--files")
        self.assertEqual(self.show(), before)


if __name__ == "__main__":
    unittest.main()
