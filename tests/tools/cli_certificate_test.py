#!/usr/bin/env python3
"""--certify, --audit and --mass-target: what an answer may have missed. Tiny random models attend
to everything alike, so there is much to miss; figures are held against the audit, which reads all.
"""

import unittest

from cli_harness import CliTest, LANDMARK, MODEL, SMALL_STEPS, random_text

LAYERS, QUERY_HEADS = 2, 4
SUMMARY = {"cases", "bound_median", "bound_mean", "estimate_median", "estimate_mean",
           "bound_below_half", "bound_below_tenth", "blocks_chosen_median"}
AUDIT = {"truth_median", "truth_mean", "estimate_error_median", "estimate_error_p90",
         "bounds_broken"}
AIM = {"target_reached"}
MODES = {"gates": ("--adapter", LANDMARK, *SMALL_STEPS),
         "keys": ("--chunk", "32", "--block-tokens", "16", "--retrieve", "2",
                  "--recent", "32")}


class Certificate(CliTest):
    def setUp(self):
        super().setUp()
        text = self.file("text.txt", random_text(4000))
        for name, options in MODES.items():
            self.ingest(text, *options, name=name)

    def command(self, name, *options):
        return ("ask", *self.session(name), *MODES[name][-2 if name == "gates" else -4:],
                "--max-tokens", "6", *options, "Who was it?")

    def certificate(self, name, *options):
        return self.good(*self.command(name, "--certify", "--json", *options)).json["certificate"]

    def test_everything_is_told_and_adds_up(self):
        for name in MODES:
            with self.subTest(name):
                before = self.show(name)
                plain = self.good(*self.command(name, "--json")).json
                answer = self.good(*self.command(name, "--certify", "--audit", "--json")).json
                self.assertNotIn("certificate", plain)
                self.assertEqual(answer["answer"], plain["answer"])
                self.assertEqual(self.show(name), before)
                certificate = answer["certificate"]
                self.assertEqual(certificate["of"], name)
                self.assertEqual(len(certificate["tokens"]), answer["answer_tokens"])
                self.assertEqual("".join(token["text"] for token in certificate["tokens"]),
                                 answer["answer"])
                self.assertEqual([layer["layer"] for layer in certificate["layers"]],
                                 list(range(LAYERS)))
                for part in (certificate, *certificate["tokens"], *certificate["layers"]):
                    self.assertLessEqual(SUMMARY | AUDIT, part.keys())
                    self.assertGreater(part["cases"], 0)
                    self.check(part)
                self.assertEqual(sum(layer["cases"] for layer in certificate["layers"]),
                                 certificate["cases"])
                self.assertEqual(len({token["cases"] for token in certificate["tokens"]}), 1)
                self.assertEqual(answer["answers"][0]["certificate"], certificate)

    def check(self, part):
        self.assertEqual(part["bounds_broken"], 0)
        self.assertLessEqual(part["estimate_mean"], part["bound_mean"])
        self.assertLessEqual(part["truth_mean"], part["bound_mean"])
        self.assertLessEqual(part["bound_below_tenth"], part["bound_below_half"])
        self.assertGreater(part["truth_mean"], 0.01, "there is much to miss")
        self.assertLess(part["estimate_error_p90"], 0.1)

    def test_landmarks_are_known_exactly(self):
        certificate = self.certificate("gates", "--audit")
        self.assertAlmostEqual(certificate["bound_mean"], certificate["truth_mean"], delta=0.005)
        self.assertLess(certificate["estimate_error_p90"], 0.005)

    def test_without_an_audit_nothing_is_said_of_the_truth(self):
        self.assertFalse((AUDIT | AIM) & self.certificate("keys").keys())

    def test_sketches_that_are_stored_tell_the_same(self):
        text = self.file("text.txt", random_text(4000))
        self.ingest(text, *MODES["keys"], "--sketches", name="sketched")
        kept = self.good("ask", *self.session("sketched"), *MODES["keys"][-4:], "--max-tokens", "6",
                         "--certify", "--json", "Who was it?").json["certificate"]
        self.assertEqual(kept, self.certificate("keys"))
        self.good("verify", "--store", str(self.store))
        self.refused("ingest", *self.session("more"), "--model", MODEL, *MODES["gates"],
                     "--sketches", text, saying="--sketches is for unmodified models")

    def test_a_target_makes_it_choose_more(self):
        for name in MODES:
            for by in ("bound", "estimate"):
                with self.subTest(name=name, by=by):
                    plain = self.certificate(name)
                    aimed = self.certificate(name, "--audit", "--mass-target", "0.7", "--mass-by",
                                             by)
                    self.assertEqual((aimed["target"], aimed["target_by"]), (0.7, by))
                    self.assertGreater(aimed["blocks_chosen_median"],
                                       plain["blocks_chosen_median"])
                    if name == "keys":  # elsewhere blocks move away as more of them are read
                        self.assertLess(aimed[f"{by}_mean"], plain[f"{by}_mean"])
                    if by == "bound":
                        self.assertGreaterEqual(aimed["target_reached_in_truth"],
                                                aimed["target_reached"])

    def test_all_that_is_read_misses_nothing(self):
        text = self.file("short.txt", random_text(100))
        self.ingest(text, *MODES["gates"], name="short")
        found = self.good("ask", *self.session("short"), "--retrieve", "10", "--certify", "--audit",
                          "--max-tokens", "3", "--json", "Who?").json["certificate"]
        self.assertGreater(found["blocks_chosen_median"], 0)
        self.assertEqual((found["bound_mean"], found["truth_mean"]), (0, 0))

    def test_for_people(self):
        plain = self.good(*self.command("keys"))
        for options in ((), ("--audit",), ("--mass-target", "0.5")):
            finished = self.good(*self.command("keys", "--certify", *options))
            if len(options) < 2:
                self.assertEqual(finished.stdout, plain.stdout)
            self.assertRegex(finished.stderr, r"at most +about")
            self.assertEqual("in truth" in finished.stderr, options == ("--audit",))
            self.assertEqual("blocks were chosen" in finished.stderr, len(options) == 2)
            self.assertRegex(finished.stderr, r"[0-9.]+ % +[0-9.]+ %.* \(the answer\)")

    def test_generate_and_chat(self):
        made = self.good("generate", *self.session("keys"), *MODES["keys"][-4:], "--prompt", "then",
                         "--max-tokens", "4", "--certify", "--json").json
        self.assertEqual(len(made["certificate"]["tokens"]), made["tokens"])
        chat = self.good("chat", *self.session("keys"), *MODES["keys"][-4:], "--max-tokens", "4",
                         "--certify", stdin=b"Who was it?\nAnd then?\n")
        self.assertEqual(chat.stderr.count("(the answer)"), 2)

    def test_what_means_nothing_is_refused(self):
        for options, saying in (
                (("--audit",), "--audit goes with --certify"),
                (("--mass-by", "bound"), "--mass-by goes with --mass-target"),
                (("--mass-target", "0.5", "--mass-by", "luck"), "use estimate or bound"),
                (("--mass-target", "1"), "use a share between 0 and 1"),
                (("--mass-target", "-1"), "use a share between 0 and 1")):
            self.refused(*self.command("keys", *options), saying=saying)


if __name__ == "__main__":
    unittest.main()
