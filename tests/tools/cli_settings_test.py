#!/usr/bin/env python3
"""Settings: values of options from the environment and from the configuration file."""

import re
import unittest

from cli_harness import CliTest, MODEL, OTHER_MODEL, commands_of, plain, random_text


class Settings(CliTest):
    def setUp(self):
        super().setUp()
        self.text = self.file("text.txt", random_text(600))
        self.config = self.directory / "home" / "cairn" / "config"
        self.config.parent.mkdir(parents=True)

    def cairn(self, *arguments, config="", **variables):
        """A command with this configuration file and CAIRN_ variables."""
        self.config.write_text(config)
        named = {f"CAIRN_{name}": str(value) for name, value in variables.items()}
        return plain(*arguments, variables={"XDG_CONFIG_HOME": str(self.directory / "home"),
                                            **named})

    def done(self, *arguments, **settings):
        done = self.cairn(*arguments, **settings)
        self.assertEqual(done.code, 0, done.stderr)
        return done

    def wrong(self, *arguments, saying, code=2, **settings):
        done = self.cairn(*arguments, **settings)
        self.assertEqual((done.code, done.stdout), (code, ""), done.stderr)
        self.assertRegex(done.stderr, "^cairn: ")
        self.assertRegex(done.stderr, saying)

    def test_variables_have_the_options_names(self):
        self.done("ingest", self.text, STORE=self.store, SESSION="s", MODEL=MODEL, THREADS=2,
                  HOST_MEMORY="64MiB", BLOCK_TOKENS=32, QUIET="true", JSON="false")
        self.assertEqual(self.show()["options"]["block_tokens"], 32)

    def test_the_file_has_them_too(self):
        config = f"""
            # where everything is
            store = {self.store}
            session = "s"
            threads = 2

            [ingest]
            model = '{MODEL}'
            block-tokens = 32
            quiet = true
            """
        done = self.done("ingest", self.text, config=config)
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        self.assertEqual(self.show()["options"]["block_tokens"], 32)
        listed = self.done("sessions", "list", "--names", config=config)
        self.assertEqual(listed.stdout, "s\n")

    def test_the_command_line_wins_and_then_the_environment(self):
        self.ingest(self.text)
        here, gone = f"store = {self.store}\n", f"store = {self.directory / 'gone'}\n"
        listing = ("sessions", "list", "--names")
        self.assertEqual(self.done(*listing, config=here).stdout, "s\n")
        self.assertEqual(self.done(*listing, config=gone, STORE=self.store).stdout, "s\n")
        self.assertEqual(self.done(*listing, "--store", self.store, config=gone,
                                   STORE=self.directory / "nowhere").stdout, "s\n")
        self.wrong(*listing, config=here, STORE=self.directory / "nowhere", code=1,
                   saying="no store at .*nowhere")
        self.assertEqual(self.done(*listing, config=here, STORE="").stdout, "s\n")

    def test_the_section_nearest_to_a_command_wins(self):
        self.ingest(self.text)
        gone = self.directory / "gone"
        for sections in (f"store = {gone}\n[sessions]\nstore = {self.store}",
                         f"[sessions]\nstore = {gone}\n[sessions list]\nstore = {self.store}",
                         f"[sessions list]\nstore = {self.store}\n[sessions]\nstore = {gone}"):
            with self.subTest(sections=sections):
                self.assertEqual(self.done("sessions", "list", "--names", config=sections).stdout,
                                 "s\n")
        self.wrong("sessions", "show", "s", config=f"[sessions list]\nstore = {self.store}",
                   saying="--store is required")

    def test_another_file(self):
        self.ingest(self.text)
        other = self.file("other", f"store = {self.store}\n")
        gone = f"store = {self.directory / 'gone'}\n"
        listing = ("sessions", "list", "--names")
        for words in ((*listing, "--config", other), ("--config", other, *listing),
                      (*listing, f"--config={other}")):
            self.assertEqual(self.done(*words, config=gone).stdout, "s\n", words)
        self.assertEqual(self.done(*listing, config=gone, CONFIG=other).stdout, "s\n")
        self.wrong(*listing, "--config", "/dev/null", config=f"store = {self.store}\n",
                   saying="--store is required")
        self.wrong(*listing, "--config", self.directory / "none", saying="cannot read .*none")
        self.assertEqual(self.done("--version", "--json", config="nonsense").json["features"],
                         plain("--version", "--json").json["features"])

    def test_a_home_directory_is_spelled_out(self):
        self.ingest(self.text)
        done = self.cairn("sessions", "list", "--names", "--config",
                          self.file("other", "store = ~/store\n"))
        self.assertEqual(done.code, 1)
        self.config.write_text("store = ~/store\n")
        done = plain("sessions", "list", "--names", variables={
            "HOME": str(self.directory), "CAIRN_CONFIG": str(self.config)})
        self.assertEqual((done.code, done.stdout), (0, "s\n"), done.stderr)

    def test_what_is_wrong_in_a_file_is_named_with_its_line(self):
        listing = ("sessions", "list", "--store", self.store)
        for content, saying in (
                ("hello", "config:1: 'hello' is no setting; write NAME = VALUE"),
                ("\n# x\nthreads =", "config:3: 'threads' has no value"),
                ("threads = 2\n\nstores = x", "config:3: no command has an option --stores"),
                ("[asks]\nstore = x", "config:1: there is no command 'asks'"),
                ("[asks]", "config:1: there is no command 'asks'"),
                ("threads = 2\n[ask]\n[bench lader]\n# nothing\n",
                 "config:3: there is no command 'bench lader'"),
                ("[ask]\nlengths = 2k", "config:2: `cairn ask` has no option --lengths"),
                ("help = true", "config:1: --help is for the command line alone"),
                ("questions = q.txt", "config:1: --questions is for the command line alone"),
                ("threads = 2\nthreads = 3", "config:2: threads was set in line 1 already"),
                ("threads = many", r"threads.*many.*--threads is from .*config:1\)")):
            with self.subTest(content=content):
                self.wrong(*listing, config=content, saying=saying)
        self.assertEqual(self.cairn("--help", config="hello").code, 0)
        self.config.unlink()
        self.config.mkdir()
        done = plain(*listing, variables={"XDG_CONFIG_HOME": str(self.directory / "home")})
        self.assertEqual(done.code, 2)
        self.assertRegex(done.stderr, "configuration file: cannot read .*config")

    def test_where_a_value_came_from_is_said_when_it_is_refused(self):
        self.ingest(self.text)
        ask = ("ask", "--store", self.store, "--session", "s", "Who?")
        self.wrong(*ask, THREADS=0, code=1, saying=r"use 1 to 1024 \(--threads is from CAIRN_THR")
        self.wrong(*ask, config="threads = 0", code=1, saying=r"--threads is from .*config:1\)")
        self.wrong(*ask, THREADS="x", saying=r"--threads is from CAIRN_THREADS\)")
        done = self.cairn(*ask, "--threads", "0", THREADS=2)
        self.assertNotIn("is from", done.stderr)
        done = self.cairn(*ask, THREADS="x")
        self.assertEqual(done.stderr.count("is from"), 1, done.stderr)

    def test_so_it_is_for_what_names_something(self):
        self.ingest(self.text)
        ask = ("ask", "Who?")
        here = {"STORE": self.store, "SESSION": "s"}
        for variables in ({"STORE": "nope"}, {"STORE": self.directory / "nope"}, {"SESSION": "zz"},
                          {"SESSION": "a/b"}, {"MODEL": "nope"}, {"MODEL": OTHER_MODEL},
                          {"ADAPTER": "nope"}, {"ADAPTER": "nope=0.5"}, {"INDEX": "foo"},
                          {"HOST_MEMORY": 1}, {"RECENT": -5}):
            (name, value), = variables.items()
            with self.subTest(name=name, value=value):
                option = name.lower().replace("_", "-")
                self.wrong(*ask, code=1, **{**here, **variables},
                           saying=rf" \([^)]*--{option} is from CAIRN_{name}[;)]")
        for line in ("adapter = nope", "host-memory = 12", "session = zz"):
            option = line.split()[0]
            there = {name: value for name, value in here.items() if name.lower() != option}
            with self.subTest(line=line):
                self.wrong(*ask, code=1, config=line,
                           saying=rf" \(--{option} is from .*config:1\)$", **there)
        # What the message does not speak of is left out, though its value may be part of a word.
        done = self.cairn("ask", "--session", "sess", "Who?", STORE=self.store, INDEX="s",
                          MODEL="ess")
        self.assertRegex(done.stderr, "no session 'sess'")
        self.assertNotIn("is from", done.stderr)

    def test_what_may_be_repeated_has_a_line_for_each(self):
        adapters = "adapter = a.gguf\nadapter = b.gguf=0.5\n"
        generate = ("generate", "--model", MODEL, "--prompt", "in")
        self.wrong(*generate, config=adapters, code=1, saying="a.gguf")
        self.wrong(*generate, ADAPTER="a.gguf\nb.gguf", code=1, saying="no file .*a.gguf")
        lists = self.done("bench", "search", "--turns", "1", "--without-faiss", "--json",
                          VECTORS=1, DIMS="16,32", KINDS="exact,int8").json
        self.assertEqual({(row["index"], row["dim"]) for row in lists["rows"]},
                         {("exact", 16), ("exact", 32), ("int8", 16), ("int8", 32)})
        lists = self.done("bench", "search", "--turns", "1", "--without-faiss", "--json",
                          config="vectors = 1\ndims = 16\ndims = 32\nkinds = exact").json
        self.assertEqual([row["dim"] for row in lists["rows"]], [16, 32])

    def test_a_command_takes_its_own_options_alone(self):
        """`sessions import --as` and `sessions show NAME` fill the same place."""
        self.ingest(self.text)
        shown = self.done("sessions", "show", "s", "--json", STORE=self.store, AS="other",
                          AT="5", TOKENS="x", MODEL="none.gguf").json
        self.assertEqual(shown["name"], "s")

    def test_a_store_for_all_does_not_stop_what_needs_none(self):
        done = self.done("generate", "--prompt", "in", "--max-tokens", "1", STORE=self.store,
                         MODEL=MODEL)
        self.assertNotEqual(done.stdout, "")
        self.assertFalse(self.store.exists())
        self.wrong("generate", "--prompt", "in", STORE=self.store, code=1, saying="or --model")

    def test_another_model_is_refused_and_its_origin_said(self):
        self.ingest(self.text)
        self.wrong("ask", "--store", self.store, "--session", "s", "Who?", MODEL=OTHER_MODEL,
                   code=1, saying="made with another model")

    def test_every_option_can_be_set_but_for_a_few(self):
        alone = {"help", "config", "questions"}
        for path, text in commands_of().items():
            options = re.findall(r"^  (?:-h,)?--([a-z-]+)", text, re.MULTILINE)
            self.assertIn("config", options, path)
            excluding = set(re.findall(r"--([a-z-]+) .*Excludes:", text))
            lines = "".join(f"{option} = 1\n" for option in options
                            if option not in alone | excluding | {"version"})
            if path and lines:
                with self.subTest(command=path):
                    done = self.cairn("completion", "bash",
                                      config=f"[{' '.join(path)}]\n{lines}")
                    self.assertEqual(done.code, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
