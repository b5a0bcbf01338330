#!/usr/bin/env python3
"""What a command does to what it is connected with: files it is told to write, standard streams
that are closed or full, signals while it waits, lines that end as elsewhere, narrow terminals."""

import fcntl
import json
import os
import pathlib
import pty
import re
import signal
import stat
import subprocess
import termios
import threading
import time
import unittest
import urllib.request

from cli_harness import (BINARY, CliTest, LANDMARK, MODEL, SMALL_STEPS, TIMEOUT_SECONDS, command,
                         on_terminal, random_text)

LONG_QUESTION = random_text(400000, stream=5).replace("\n", " ")  # a token is less than 2 of it
LITTLE = ("--retrieve", "4", "--max-tokens", "2")


class Files(CliTest):
    """Every option that writes a file leaves what is no file of its own as it is."""

    def setUp(self):
        super().setUp()
        self.ingest(self.file("text.txt", random_text(3000)), "--adapter", LANDMARK, *SMALL_STEPS)

    def commands(self, target):
        ask = ("ask", *self.session(), *LITTLE, "Who?")
        return {
            "trace": (*ask, "--trace", target),
            "perfetto": (*ask, "--perfetto", target),
            "html": ("why", *self.session(), *LITTLE, "Who?", "--html", target),
            "npy": ("inspect", "block", *self.session(), "0/0/0", "--npy", target),
            "export": ("sessions", "export", "s", target, "--store", self.store),
            "csv": ("eval", "passkey", "--model", MODEL, "--lengths", "1k", "--samples", "1",
                    "--filler", "paper", "--max-tokens", "1", "--csv", target),
            "record": ("bench", "recall", "--model", MODEL, "--chunk", "64", "--probes", "1",
                       "--sizes", "16", "--budgets", "64", "--record", target,
                       self.directory / "text.txt")}

    def test_what_is_no_file_stays_what_it_is(self):
        link, pipe = self.directory / "link", self.directory / "pipe"
        os.mkfifo(pipe)
        for name, words in self.commands(link).items():
            with self.subTest(option=name):
                goal, beside = self.directory / f"{name}.goal", self.directory / f"{name}.goal.new"
                beside.write_text("mine")
                link.unlink(missing_ok=True)
                link.symlink_to(goal.name)
                self.good(*words)
                self.assertTrue(link.is_symlink())
                self.assertGreater(goal.stat().st_size, 50)
                self.assertEqual(beside.read_text(), "mine")
        for name, words in self.commands(pipe).items():
            with self.subTest(option=name):
                got = []
                reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()),
                                          daemon=True)
                reader.start()
                self.good(*words)
                reader.join(TIMEOUT_SECONDS)
                self.assertTrue(stat.S_ISFIFO(pipe.stat().st_mode))
                self.assertGreater(len(got[0]), 50)
        self.assertEqual([path.name for path in self.directory.glob("*.new2")], [])

    def test_a_pipe_that_nobody_reads_is_named_and_ctrl_c_ends_the_wait(self):
        pipe = self.directory / "pipe"
        os.mkfifo(pipe)
        for name, words in self.commands(pipe).items():
            with self.subTest(option=name):
                with subprocess.Popen(command(*words), stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      text=True) as process:
                    said = ""
                    while f"waiting for somebody to read the pipe {pipe}\n" not in said:
                        line = process.stderr.readline()
                        self.assertNotEqual(line, "", said)
                        said += line
                    process.send_signal(signal.SIGINT)
                    said = process.communicate(timeout=TIMEOUT_SECONDS)[1]
                self.assertEqual(process.returncode, 130, said)
                self.assertRegex(said, f"cairn: stopped; nobody has read the pipe {pipe}")

    def test_a_device_stays_a_device(self):
        node = self.directory / "node"
        try:
            os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(1, 3))
            node.write_text("x")
        except OSError as error:
            self.skipTest(f"devices cannot be made here: {error}")
        for name, words in self.commands(node).items():
            with self.subTest(option=name):
                self.good(*words)
                self.assertTrue(stat.S_ISCHR(node.stat().st_mode))

    def test_standard_output_can_be_the_file(self):
        link = self.directory / "stdout"
        link.symlink_to("/proc/self/fd/1")
        done = subprocess.run(command("sessions", "export", "s", link, "--store", self.store),
                              capture_output=True, check=True, timeout=TIMEOUT_SECONDS)
        self.assertTrue(link.is_symlink())
        self.good("sessions", "import", self.file("piped", done.stdout), "--as", "t",
                  "--store", self.store)
        self.assertEqual(self.digest("t"), self.digest("s"))
        # A file that stdout goes to keeps what is printed beside it.
        with open(self.directory / "both", "wb") as both:
            subprocess.run(command("ask", *self.session(), *LITTLE, "--json", "--perfetto", link,
                                   "Who?"), stdout=both, stderr=subprocess.DEVNULL,
                           check=True, timeout=TIMEOUT_SECONDS)
        text = (self.directory / "both").read_text()
        self.assertIn('"question":"Who?"', text)
        self.assertIn('"traceEvents"', text)

    def test_a_directory_is_refused_before_the_work(self):
        for name, words in self.commands(self.directory).items():
            with self.subTest(option=name):
                self.refused(*words, saying="is a directory")  # and no answer on stdout


class Streams(CliTest):
    def setUp(self):
        super().setUp()
        self.text = self.file("text.txt", random_text(3000))
        self.ingest(self.text)

    def run_with(self, *words, closed=(), **streams):
        def close():
            for stream in closed:
                os.close(stream)

        return subprocess.run(command(*words), check=False, timeout=TIMEOUT_SECONDS,
                              stdin=subprocess.DEVNULL, preexec_fn=close, **streams)

    def test_nobody_has_to_be_told(self):
        with open("/dev/full", "wb") as full:
            done = self.run_with("sessions", "rename", "s", "t", "--store", self.store,
                                 stderr=full)
            self.assertEqual(done.returncode, 0)
            self.assertEqual(self.session_names(), ["t"])
            for words, code in ((("sessions", "show", "s", "--store", self.store), 1),
                                (("nonsense",), 2)):
                self.assertEqual(self.run_with(*words, stderr=full).returncode, code, words)

    def test_nothing_is_said_into_files_of_the_run(self):
        trace = self.directory / "trace"
        done = self.run_with("ask", *self.session(), *LITTLE, "--trace", trace, "Who?",
                             closed=(2,), stdout=subprocess.PIPE)
        self.assertEqual(done.returncode, 0)
        self.good("bench", "cache", "--trace", trace)
        done = self.run_with("ingest", *self.session(), "--model", MODEL, "--json", self.text,
                             closed=(1,), stderr=subprocess.PIPE)
        self.assertEqual((self.store / "lock").read_bytes(), b"")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), "\ncairn: cannot write .*standard output")
        done = self.run_with("ask", *self.session(), *LITTLE, "--quiet", "Who?", closed=(0, 1, 2))
        self.assertEqual(done.returncode, 1)
        self.good("verify", "--store", self.store)

    def test_a_full_disk_behind_stdout_is_said(self):
        for words in (("sessions", "list", "--store", self.store), ("--version",), ("--help",),
                      ("ask", *self.session(), *LITTLE, "--json", "--quiet", "Who?"),
                      ("ask", *self.session(), *LITTLE, "--quiet", "Who?"),
                      ("completion", "bash")):
            with self.subTest(words=words), open("/dev/full", "wb") as full:
                done = subprocess.run([BINARY, *map(str, words)], check=False, stdout=full,
                                      stderr=subprocess.PIPE, timeout=TIMEOUT_SECONDS)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr.decode().splitlines()[-1],
                                 "^cairn: cannot write all of it to standard output")

    def test_lines_may_end_with_carriage_returns(self):
        chat = ("chat", *self.session(), *LITTLE)
        done = self.good(*chat, stdin=b"Who?\r\n/keep\r\n\r\n/quit\r\nnot read\r\n")
        self.assertRegex(done.stderr, "kept; the session has")
        self.assertNotIn("not known", done.stderr)
        questions = self.file("questions", "Who?\r\n\r\nWhat?\r\n")
        answers = self.good("ask", *self.session(), *LITTLE, "--json", "--questions",
                            questions).json["answers"]
        self.assertEqual([answer["question"] for answer in answers], ["Who?", "What?"])


class Signals(CliTest):
    """One signal ends a command that waits, and one that reads a question."""

    def setUp(self):
        super().setUp()
        self.ingest(self.file("text.txt", random_text(3000)))
        self.before = self.show()

    def wait_for(self, happened):
        end = time.monotonic() + TIMEOUT_SECONDS
        while not happened():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def stopped(self, process):
        """The process, after one signal: exit code 130 and a sentence."""
        try:
            _, stderr = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.fail("the signal did not end it")
        self.assertEqual(process.returncode, 130, stderr)
        self.assertEqual(self.show(), self.before)
        return stderr

    def catches(self, process):
        """Whether it has come to catch SIGINT."""
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)",
                           pathlib.Path(f"/proc/{process.pid}/status").read_text())
        return int(caught.group(1), 16) & (1 << (signal.SIGINT - 1))

    def counted(self, process):
        """Where the process serves its counters."""
        line = process.stderr.readline().decode()
        return re.search(r"http://\S+", line).group(0)

    def test_while_a_question_is_read(self):
        timeline = self.directory / "timeline"
        questions = self.file("questions", LONG_QUESTION)
        options = ("--max-tokens", "2", "--metrics-port", "0", "--perfetto", timeline)
        for words, stdin in ((("ask", *self.session(), "--questions", questions), b""),
                             (("chat", *self.session()), LONG_QUESTION.encode() + b"\nand\n")):
            for how in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(command=words[0], signal=how):
                    process = subprocess.Popen(command(*words, *options), stdin=subprocess.PIPE,
                                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    self.is_reading(self.counted(process), process, stdin)
                    process.send_signal(how)
                    stderr = self.stopped(process)
                    self.assertRegex(stderr.decode(), "cairn: stopped; the session is as it was")
                    rows = sum(slice["args"]["number"]
                               for slice in json.loads(timeline.read_text())["traceEvents"]
                               if slice["name"] == "step")
                    self.assertLess(rows, len(LONG_QUESTION) / 4, "it was read to its end")

    def is_reading(self, address, process, stdin):
        """Gives it its input, and waits until steps of the question are made."""
        process.stdin.write(stdin)
        process.stdin.flush()

        def steps():
            try:
                with urllib.request.urlopen(address, timeout=20) as answer:
                    page = answer.read().decode()
            except OSError:  # it has ended
                return False
            count = re.search(r"^cairn_attention_seconds_count (\d+)", page, re.M)
            return count is not None and int(count.group(1)) > 20
        self.wait_for(lambda: steps() or process.poll() is not None)
        self.assertIsNone(process.poll(), "it was too quick for this test")

    def test_while_input_is_awaited(self):
        pipe = self.directory / "pipe"
        os.mkfifo(pipe)
        for words in (("chat", *self.session()), ("ingest", *self.session(), "--model", MODEL, "-"),
                      ("ingest", *self.session(), "--model", MODEL, pipe)):
            with self.subTest(words=words):
                ours, theirs = pty.openpty()
                process = subprocess.Popen(command(*words), stdin=theirs, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, start_new_session=True,
                                           preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
                os.close(theirs)
                self.wait_for(lambda p=process: self.catches(p))
                if words[0] == "chat":
                    self.assertEqual(process.stderr.read(2), b"> ")
                else:
                    time.sleep(0.3)  # until it waits; a signal before that ends it too
                os.write(ours, b"\x03")
                self.stopped(process)
                os.close(ours)

    def test_a_named_pipe_is_still_read(self):
        pipe = self.directory / "pipe"
        os.mkfifo(pipe)
        text = random_text(200000, stream=3).encode()

        def write_late():
            time.sleep(0.3)
            with open(pipe, "wb") as end:
                for start in range(0, len(text), 50000):
                    end.write(text[start:start + 50000])
                    end.flush()
                    time.sleep(0.02)
        writer = threading.Thread(target=write_late)
        writer.start()
        self.ingest(pipe, "--tokens", "200", name="piped")
        writer.join(TIMEOUT_SECONDS)
        self.ingest(self.file("same", text), "--tokens", "200", name="same")
        self.assertEqual(self.digest("piped"), self.digest("same"))


class NarrowTerminal(CliTest):
    COLUMNS = 24

    def test_the_progress_line_fits_it(self):
        text = self.file("text.txt", random_text(60000))
        words = command("ingest", *self.session(), "--model", MODEL, text)
        shown = on_terminal(words, self.COLUMNS, subprocess.DEVNULL, TERM="xterm")
        lines = [line.split("\r\n")[0] for line in shown.split("\r\x1b[K")[1:]]
        self.assertGreater(len(lines), 1)
        for line in lines:
            self.assertLess(len(line), self.COLUMNS, line)
            self.assertRegex(line, r"^\d+ of \d+ tokens.*…$")


if __name__ == "__main__":
    unittest.main()
