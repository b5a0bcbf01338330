#!/usr/bin/env python3
"""cairn bench ladder, replay and compare, on very small ladders; how fast is not looked at."""

import csv
import html.parser
import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import time
import unittest

from cli_harness import BINARY, CliTest, LANDMARK, SMALL_STEPS, TIMEOUT_SECONDS, random_text, run

TINY = {"--size": "8MiB", "--turn-ms": "2", "--fio-ms": "60", "--block-size": "16KiB",
        "--batch": "4,16", "--readers": "1"}
# Hosts that a browser asks on its own account, whatever page it shows.
BROWSERS_OWN = re.compile(r"https?://([\w.-]+\.)?(google|googleapis|gvt1|gstatic)\.com[:/]")
NO_DIRECT = "past the page cache"
ESTIMATES = ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "bytes_per_second", "cpu_ns")


def tiny(*more):
    """Options of a very small ladder; those in `more` are put in place of its own."""
    options = dict(TINY)
    options.update(zip(more[::2], more[1::2]))
    return [part for option in options.items() for part in option]


def chromium():
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Page(html.parser.HTMLParser):
    """What a drawn page shows: marks by plot, and its text."""

    def __init__(self, text):
        super().__init__()
        self.plots, self.text, self._plot = {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("class") == "plot":
            self._plot = self.plots.setdefault(attrs["id"], [])
        if attrs.get("class") == "mark":
            self._plot.append((attrs["data-name"], attrs["data-x"], attrs["data-y"]))

    def handle_data(self, data):
        self.text.append(data)


class Ladder(CliTest):
    """One ladder for all tests here."""

    @classmethod
    def setUpClass(cls):
        cls.made = pathlib.Path(cls.enterClassContext(__import__("tempfile").TemporaryDirectory()))
        cls.done = run("bench", "ladder", "--store", cls.made / "store", *tiny(), "--json",
                       "--repetitions", "5", "--csv", cls.made / "l.csv", "--html",
                       cls.made / "l.html", "--google-benchmark", cls.made / "g.json")
        if NO_DIRECT in cls.done.stderr:
            raise unittest.SkipTest("the temporary directory has no direct I/O")
        (cls.made / "l.json").write_text(cls.done.stdout)

    def points(self, **wanted):
        return [p for p in self.done.json["points"]
                if all(p[key] == value for key, value in wanted.items())]

    def test_every_tier_and_step_is_there_or_named_as_absent(self):
        self.assertEqual(self.done.code, 0, self.done.stderr)
        self.assertFalse((self.made / "store").exists())
        ladder = self.done.json
        self.assertEqual((ladder["format"], ladder["version"]), ("cairn ladder", 1))
        self.assertIn("bench ladder --store", ladder["command"])
        absent = {t["name"] for t in ladder["tiers"] if not t["present"]}
        self.assertEqual(absent, {"VRAM", "pinned host"})
        self.assertTrue(all(t["note"] for t in ladder["tiers"]))
        small = "\n".join(ladder["too_small"])
        for tier, step in (("compute slab", "fetch"), ("host memory", "fetch"),
                           ("host memory", "fetch + copy"), ("page cache", "fetch"),
                           ("SSD direct", "fetch"), ("SSD direct", "commit"), ("CPU", "checksum"),
                           ("CPU", "query rotation"), ("CPU", "landmark search"),
                           ("CPU", "table look-up"), ("CPU", "copy"), ("CPU", "attention"),
                           ("raw device", "fetch"), ("RocksDB MultiGet", "fetch")):
            self.assertTrue(self.points(tier=tier, step=step) or f"{tier}/{step}" in small,
                            (tier, step))
        mixes = {p["variant"] for p in self.points(tier="mix")}
        for mix in ("100/0/0", "50/25/25", "0/0/100", "zipf"):
            left_out = re.search(rf"^mix/.*/{mix}/", small, re.MULTILINE)
            self.assertTrue(mix in mixes or left_out, (mix, mixes, small))
        for name, program in (("fio", "fio"), ("Redis", "redis-server")):
            (peer,) = [p for p in ladder["peers"] if p["name"] == name]
            self.assertEqual(peer["present"], shutil.which(program) is not None)
        (lmcache,) = [p for p in ladder["peers"] if p["name"] == "LMCache"]
        self.assertEqual(lmcache["present"], bool(self.points(tier="LMCache")))
        if not lmcache["present"]:
            self.assertRegex(lmcache["note"], "python3|local disk back end")

    def test_points_have_their_figures(self):
        for point in self.done.json["points"]:
            with self.subTest(point["name"]):
                last = 0
                for key in ("p50_ns", "p90_ns", "p99_ns", "p999_ns"):
                    if point[key] is None:
                        continue
                    self.assertGreater(point[key]["median"], 0)
                    if point[key]["low"] is not None:
                        self.assertLessEqual(point[key]["low"], point[key]["median"])
                        self.assertLessEqual(point[key]["median"], point[key]["high"])
                    last = point[key]["median"]
                self.assertGreater(last, 0)
                if point["timed_together"] > 1:
                    self.assertEqual({point[key] for key in ("p90_ns", "p99_ns", "p999_ns",
                                                             "max_ns")}, {None})
                    self.assertNotIn("cdf", point)
                else:
                    self.assertGreater(point["max_ns"], 0)
                self.assertGreaterEqual(point["operations"], 1)
                self.assertEqual(point["load_percent"] is not None, point["loop"] == "open")

    def test_the_ladder_costs_no_more_than_a_hundredth(self):
        overhead = self.done.json["overhead"]
        self.assertGreater(overhead["clock_ns"], overhead["walk_ns"])
        self.assertLessEqual(overhead["worst_percent"], 1)
        self.assertLess(self.done.json["histogram_error_percent"], 1)
        for loop in ("calibration_ns", "memory_ns"):
            self.assertGreater(self.done.json["noise"][loop]["median"], 0)

    def test_cold_is_cold_and_memory_is_memory(self):
        for point in self.points(tier="SSD direct", step="fetch") + self.points(tier="raw device"):
            if point["process_read_bytes"] is None:
                self.skipTest("this system does not count what a process reads")
            self.assertTrue(point["cold"])
            self.assertGreaterEqual(point["process_read_bytes"], point["payload_bytes"])
        for tier in ("compute slab", "host memory", "page cache"):
            for point in self.points(tier=tier):  # a page of the program itself may be read
                self.assertLess(point["process_read_bytes"], 1 << 18, point["name"])

    def test_mixes_are_what_they_are_called(self):
        for point in self.points(tier="mix"):
            served = point["served_percent"]
            self.assertAlmostEqual(sum(served.values()), 100, delta=0.5)
            asked = point["operations"] * point["batch"] * point["block_bytes"]
            if point["bytes_per_second"] is not None:
                self.assertAlmostEqual(100 * point["payload_bytes"] / asked,
                                       100 - served["compute"], delta=0.1)
            if point["variant"] == "100/0/0":
                self.assertGreater(served["compute"], 95)
            if point["variant"].endswith("/0"):
                self.assertLess(served["ssd"], 1, point["variant"])
        # In a store as small as this one memory keeps some of what was meant to come from the disk.
        (cold,) = self.points(tier="mix", variant="0/0/100")
        self.assertGreater(cold["served_percent"]["ssd"], 30)

    def test_open_loops_stand_beside_closed_ones(self):
        loads = {(p["tier"], p["load_percent"], p["variant"]) for p in self.points(loop="open")}
        for variant in ("even", "Poisson"):
            self.assertIn(("SSD direct", 70, variant), loads)
        for point in self.points(loop="open"):
            self.assertGreater(point["rate_per_second"], 0)
            self.assertGreaterEqual(point["p50_ns"]["median"] * 1.01,
                                    point["service_p50_ns"]["median"])

    def test_fio_reads_the_same_file(self):
        if shutil.which("fio") is None:
            self.skipTest("fio is not installed")
        for one in self.done.json["fio"]:
            self.assertEqual(len(one["runs"]), 5)
            self.assertEqual(len(one["own_bytes_per_second"]), 5)
            self.assertIn("--direct=1", one["command"])
            self.assertIsInstance(one["agrees"], bool)

    def test_an_older_ladder_shows_no_tails_of_means(self):
        if chromium() is None:
            self.skipTest("chromium is not installed")
        document = json.loads(json.dumps(self.done.json))
        settings = document["settings"]
        older = [p for p in document["points"]
                 if p["loop"] == "closed" and p["tier"] == "SSD direct" and p["step"] == "fetch" and
                 p["batch"] == settings["base_batch"]]
        self.assertTrue(older)
        for point in older:
            point["timed_together"] = 4
        text = (self.made / "l.html").read_text()
        (data,) = re.findall(r'<script [^>]*id="ladder">(.*?)</script>', text, re.DOTALL)
        page = self.drawn(self.file("older.html", text.replace(data, json.dumps(document))))
        for point in older:
            self.assertEqual([y for n, _, y in page.plots["rungs"] if n == point["name"]], ["p50"])
        self.assertNotIn("SSD direct: fetch", {n for n, _, _ in page.plots["cdf"]})

    def test_table_and_google_benchmark_have_the_points(self):
        points = self.done.json["points"]
        rows = list(csv.DictReader(io.StringIO((self.made / "l.csv").read_text())))
        self.assertEqual(len(rows), len(points))
        for row, point in zip(rows, points):
            self.assertEqual((row["tier"], row["variant"]), (point["tier"], point["variant"]))
            self.assertEqual(float(row["p50_ns"]), point["p50_ns"]["median"])
        google = json.loads((self.made / "g.json").read_text())
        self.assertEqual({b["name"] for b in google["benchmarks"]}, {p["name"] for p in points})
        for one in google["benchmarks"]:
            self.assertEqual((one["run_type"], one["time_unit"]), ("iteration", "ns"))
            self.assertGreater(one["real_time"], 0)

    def drawn(self, path):
        log = self.directory / "net.json"
        done = subprocess.run(
            [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
             "--enable-logging=stderr", f"--user-data-dir={self.directory / 'profile'}",
             "--disable-background-networking", "--disable-component-update", "--no-first-run",
             f"--log-net-log={log}", "--virtual-time-budget=3000", path.as_uri()],
            capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True)
        self.assertNotIn("CONSOLE", done.stderr)
        asked = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text()))
        self.assertEqual({url for url in asked if not BROWSERS_OWN.match(url)}, set())
        return Page(done.stdout)

    def test_the_page_draws_the_data_and_asks_for_nothing(self):
        text = (self.made / "l.html").read_text()
        self.assertNotRegex(text, r"(src|href)=[\"'](?!data:)")
        if chromium() is None:
            self.skipTest("chromium is not installed")
        page = self.drawn(self.made / "l.html")
        ladder = self.done.json
        settings = ladder["settings"]
        base = self.points(loop="closed", batch=settings["base_batch"],
                           readers=settings["base_readers"],
                           block_bytes=settings["base_block_bytes"])
        fetches = [p for p in base if p["step"].startswith("fetch")]
        for plot, points in (("rungs", [p for p in fetches if p["tier"] != "mix"]),
                             ("mixes", [p for p in fetches if p["tier"] == "mix"])):
            wanted = {(p["name"], float(p[key]["median"]), quantile) for p in points
                      for key, quantile in zip(ESTIMATES, ("p50", "p90", "p99", "p99.9"))
                      if p[key] is not None}
            wanted |= {(p["name"], float(p["max_ns"]), "max") for p in points
                       if p["max_ns"] is not None}
            self.assertEqual({(n, float(x), y) for n, x, y in page.plots[plot]}, wanted)
        curves = [(float(x), float(y)) for _, x, y in page.plots["cdf"]]
        self.assertEqual(sorted(curves), sorted(
            (float(x), float(y)) for p in fetches if p["tier"] != "mix"
            for x, y in p.get("cdf", ())))
        self.assertEqual(sorted(float(y) for _, _, y in page.plots["bandwidth"]), sorted(
            float(p["bytes_per_second"]["median"]) for p in self.points(
                loop="closed", readers=settings["base_readers"],
                block_bytes=settings["base_block_bytes"])
            if p["step"].startswith("fetch") and p["tier"] != "mix" and p["bytes_per_second"]))
        (curve,) = ladder["miss_curves"]
        self.assertEqual({(n, float(x), float(y)) for n, x, y in page.plots["misses-0"]},
                         {(n, float(p["percent"]), float(y)) for p in curve["points"]
                          for n, y in p["miss_ratio"].items()})
        shown = " ".join(page.text)
        self.assertIn(ladder["command"], shown)
        self.assertIn("absent: no --device was named", shown)

    def test_compare_finds_what_is_worse(self):
        ladder = self.made / "l.json"
        same = self.good("bench", "compare", ladder, ladder, "--json").json
        self.assertEqual((same["changes"], same["regressions"]), ([], 0))
        self.assertGreater(same["compared"], 50)
        document = self.done.json
        (changed,) = self.points(tier="host memory", step="fetch + copy", batch=16, readers=1,
                                 block_bytes=16384)

        def times(factor, name):  # with an interval, which turns that are too short do not give
            median = changed["p50_ns"]["median"] * factor
            point = {**changed, "p50_ns": {"median": median, "low": 0.99 * median,
                                           "high": 1.01 * median}}
            points = [point if other["name"] == changed["name"] else other
                      for other in document["points"]]
            return self.file(name, json.dumps({**document, "points": points}))

        ladder, slower = times(1, "before.json"), times(1000, "slower.json")
        done = run("bench", "compare", ladder, slower, "--json")
        self.assertEqual(done.code, 1)
        self.assertRegex(done.stderr, "cairn: 1 of .* figures are worse by more than 10 %")
        (change,) = done.json["changes"]
        self.assertEqual((change["point"], change["worse"]), (changed["name"], True))
        self.good("bench", "compare", ladder, slower, "--limit", "1000000")
        self.good("bench", "compare", slower, ladder)
        self.assertEqual(same["other_settings"], [])
        settings = {**document["settings"], "store_bytes": 1}
        other = self.file("other.json", json.dumps({**document, "settings": settings}))
        self.assertEqual(self.good("bench", "compare", ladder, other, "--json").json[
            "other_settings"], [{"name": "store_bytes", "before": 8 << 20, "after": 1}])
        self.assertIn("other settings: store_bytes 8388608 -> 1\n",
                      self.good("bench", "compare", ladder, other).stdout)
        wide = [{**point, **{key: {**point[key], "low": None, "high": None} for key in ESTIMATES
                             if point[key] is not None}} for point in document["points"]]
        for points in ([], wide):
            empty = self.file("empty.json", json.dumps({**document, "points": points}))
            for pair in ((empty, empty), (ladder, empty), (empty, ladder)):
                self.refused("bench", "compare", *pair, saying="nothing could be compared")
        for point in (7, {}, {"name": 5}, {**document["points"][0], "tier": None}):
            bad = self.file("bad.json", json.dumps({**document, "points": [point]}))
            self.refused("bench", "compare", ladder, bad, saying="is not a ladder")
        deep = '{"format":' + "[" * 400000 + "]" * 400000 + "}"
        for text in ("{}", "[]", "words", '{"format": "cairn ladder"}', deep):
            self.refused("bench", "compare", ladder, self.file("bad.json", text),
                         saying="is not a ladder")
        self.refused("bench", "compare", ladder, self.made / "no.json", saying="cannot open")
        self.refused("bench", "compare", ladder, ladder, "--limit", "-1", saying="--limit -1")

    def test_open_loops_at_given_rates(self):
        document = self.done.json
        # Of so small a store a closed loop may have nothing left, and then gives no rate.
        names = {p["name"]: p for p in document["points"] if p.get("rate_per_second")}
        for point in names.values():
            point["rate_per_second"] *= 0.9
        rates = self.file("rates.json", json.dumps(document))
        again = self.good("bench", "ladder", "--store", self.store, "--no-peers", "--json",
                          *tiny("--repetitions", "1"), "--rates", rates).json
        found = [p for p in again["points"] if p["name"] in names]
        self.assertGreater(len(found), 4)
        for point in found:
            given = names[point["name"]]["rate_per_second"]
            self.assertAlmostEqual(point["rate_per_second"] / given, 1, delta=0.001)
        self.refused("bench", "ladder", "--store", self.store, *tiny(), "--rates",
                     self.file("no.json", "{}"), saying="is not a ladder")

    def test_replay_estimates_what_a_step_waits(self):
        text = self.file("text.txt", random_text(3000))
        self.ingest(text, "--adapter", LANDMARK, *SMALL_STEPS)
        trace = self.directory / "trace"
        self.good("ask", *self.session(), "--retrieve", "4", "--max-tokens", "8", "--trace", trace,
                  "Who?")
        replay = ("bench", "replay", "--trace", trace, "--block-size", "2KiB")
        found = self.good(*replay, "--host-memory", "160KiB,1MiB", "--policy", "default,optimum",
                          "--ladder", self.made / "l.json", "--json").json
        (one,) = found["traces"]
        self.assertEqual([(r["policy"], r["memory_bytes"]) for r in one["results"]],
                         [(p, m) for p in ("default", "optimum") for m in (163840, 1048576)])
        little, much = one["results"][:2]
        self.assertLessEqual(little["hit_ratio"], much["hit_ratio"])
        self.assertGreater(little["steps"], 1)
        self.assertGreater(little["step_p50_ns"], 0)
        self.assertLess(little["steps"], 100)
        self.assertEqual((little["step_p99_ns"], one["half_p99"]), (None, None))
        self.assertLessEqual(one["results"][0]["hit_ratio"], one["results"][2]["hit_ratio"])
        for point in one["miss_curve"]["points"]:
            for ratio in point["miss_ratio"].values():
                self.assertGreaterEqual(ratio + 1e-9, point["miss_ratio"]["optimum"])
        plain = self.good(*replay, "--host-memory", "160KiB")
        self.assertIn("nothing is said about time", plain.stdout)
        self.refused(*replay, "--host-memory", "4KiB", saying="blocks at once; give it")
        self.refused(*replay, "--host-memory", "1MiB", "--policy", "mru", saying="no policy 'mru'")
        self.refused(*replay, "--host-memory", "1MiB", "--ladder", text, saying="is not a ladder")


class Refusals(CliTest):

    def ladder(self, *options):
        return ("bench", "ladder", "--store", self.store, *tiny(*options))

    def test_numbers_that_mean_nothing(self):
        for options, said in ((("--turn-ms", "0"), "--turn-ms"),
                              (("--repetitions", "0"), "--repetitions"),
                              (("--block-size", "1000"), "multiples of 4KiB"),
                              (("--batch", "0"), "--batch 0"),
                              (("--readers", "99"), "--readers 99"),
                              (("--csv", "no/where.csv"), "cannot write no/where.csv"),
                              (("--html", "."), "is a directory"),
                              (("--trace", "no"), "there is no file no")):
            self.refused(*self.ladder(*options), saying=said)
            self.assertFalse(self.store.exists())
        self.refused("bench", "ladder", "--store", self.store, "--size", "1MiB",
                     saying="--size .* is too little")

    def test_a_hostile_name_stays_text(self):
        store = self.directory / "<script>alert(1)<"
        html_file = self.directory / "h.html"
        done = run("bench", "ladder", "--store", store, "--no-peers",
                   *tiny("--batch", "4", "--readers", "1", "--block-size", "4KiB", "--html",
                         html_file, "--repetitions", "1"))
        if NO_DIRECT in done.stderr:
            self.skipTest("the temporary directory has no direct I/O")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertIn("absent: no --device was named", done.stdout)
        self.assertNotIn("<script>alert", html_file.read_text())

    def test_ctrl_c_leaves_nothing(self):
        page = self.directory / "p.html"
        options = self.ladder("--html", page, "--turn-ms", "500")
        process = subprocess.Popen([BINARY, *map(str, options), "--quiet"],
                                   stderr=subprocess.PIPE, text=True)
        for _ in range(TIMEOUT_SECONDS * 100):
            if (self.store / "raw").exists() or process.poll() is not None:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        if NO_DIRECT in stderr:
            self.skipTest("the temporary directory has no direct I/O")
        self.assertEqual(process.returncode, 130, stderr)
        self.assertEqual(list(self.directory.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
