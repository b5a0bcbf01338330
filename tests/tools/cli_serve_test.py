#!/usr/bin/env python3
"""`cairn serve`: documents, answers, refusals; the store stays as it is, also beside a writer."""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import unittest

from cli_harness import (CliTest, LANDMARK, MODEL, OTHER_MODEL, SMALL_STEPS, TIMEOUT_SECONDS,
                         command, random_text)
from serving import TOKEN, Served

MANUAL = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
SECTION = re.search(r"(?ms)^## serve\n(.*?)(?=^## |\Z)", MANUAL).group(1)
ANSWERS = ("--model", MODEL, "--adapter", LANDMARK, "--retrieve", "4")


def question(text="Who?", **more):
    return {"model": "s", "messages": [{"role": "user", "content": text}], "max_tokens": 4, **more}


class ServeTest(CliTest):
    def serve(self, *options):
        served = Served(self.store, *options)
        self.addCleanup(self.ended, served)
        return served

    def ended(self, served):
        self.assertEqual(served.stop(), (0, ""))

    def read(self, characters=3000, name="s"):
        self.ingest(self.file(f"{name}.txt", random_text(characters)), "--adapter", LANDMARK,
                    *SMALL_STEPS, name=name)

    def bytes_of_store(self):
        return {path: path.read_bytes() for path in sorted(self.store.rglob("*"))
                if path.is_file()}


class Documents(ServeTest):
    def test_are_those_of_the_commands(self):
        self.read()
        self.good("sessions", "fork", "s", "t", "--at", "300", "--store", self.store)
        trace, why = self.directory / "t.trace", self.directory / "why.json"
        asked = ("--retrieve", "4", "--max-tokens", "4", "Who?")
        self.good("ask", *self.session(), "--trace", trace, *asked)
        document = self.good("why", *self.session(), "--json", *asked).stdout
        why.write_text(document)
        before = self.bytes_of_store()
        served = self.serve("--trace", trace, "--recorded", why)
        self.assertEqual(set(served.said), {"url", "port", "token"})
        self.assertEqual(served.url, f"http://127.0.0.1:{served.port}/{TOKEN}/")
        listed = self.good("sessions", "list", "--store", self.store, "--json").json
        self.assertEqual(served.get("/api/sessions"), listed)
        self.assertEqual(served.get("/api/session", name="s"), self.show_all())
        text = self.good("inspect", "text", *self.session(), "--range", "10:90", "--json").json
        shown = served.get("/api/text", name="s", first=10, end=90)
        self.assertEqual((shown["text"], shown["tokens"]), (text["text"], text["tokens"]))
        counts = self.good("inspect", "blocks", *self.session(), "--trace", trace, "--json").json
        heat = served.get("/api/fetches", name="s", trace=0)
        fetched = {}
        for block, _, value in heat["series"][0]:
            fetched[block] = fetched.get(block, 0) + value
        self.assertEqual(fetched, {block["block"]: block["fetches"] for block in counts["blocks"]
                                   if block["fetches"] > 0})
        self.assertEqual(served.get("/api/question", n=0), json.loads(document))
        about = served.get("/api/about")
        self.assertEqual((about["traces"], about["questions"], about["answers"]),
                         ([str(trace)], [str(why)], False))
        for key in ("answers", "ladders", "metrics_ports", "questions", "recorded", "store",
                    "traces", "version"):
            self.assertIn(f"`{key}`", SECTION)
            about.pop(key)
        self.assertEqual(about, {})
        self.assertTrue(self.bytes_of_store() == before, "the store has changed")

    def test_what_is_not_there_is_an_error_with_its_reason(self):
        self.read(600)
        served = self.serve()
        self.assertEqual(served.refused("/api/session", name="x")[0], 404)
        self.assertIn("no session 'x'", served.refused("/api/session", name="x")[1]["message"])
        for name in ("../s", "<b>", "a" * 1000, "\0", ""):
            self.assertEqual(served.refused("/api/session", name=name)[0], 400)
        size = self.show()["tokens"]
        for first, end in ((0, size + 1), (5, 4), (-1, 4), ("x", 4), (0, "9" * 30)):
            self.assertEqual(served.refused("/api/text", name="s", first=first, end=end)[0], 400)
        for path in ("/api/fetches", "/api/question", "/api/ladder", "/ladder", "/api/metrics",
                     "/api/recorded", "/api/", "/favicon.ico", "/v1/models", "/../../etc/passwd"):
            self.assertEqual(served.refused(path, name="s", n=0)[0], 404, path)
        self.assertEqual(served.refused("/v1/chat/completions", question())[0], 405)
        self.assertEqual(served.ask("/api/sessions", token="x" * 32)[0], 401)

    def test_verification_runs_on_demand(self):
        self.read(600)
        served = self.serve()
        self.assertEqual(served.get("/api/verify")["state"], "never")

        def verified():
            self.assertEqual(served.ask("/api/verify", {})[0], 202)
            end = time.monotonic() + TIMEOUT_SECONDS
            while served.get("/api/verify")["state"] == "running":
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            return served.get("/api/verify")

        state = verified()
        self.assertEqual(state["state"], "whole")
        self.assertEqual(state["report"],
                         self.good("verify", "--store", self.store, "--json").json)
        for key in state:
            self.assertIn(f"`{key}`", SECTION)
        self.assertIsNone(state["message"])
        path = self.payload_files()[0]
        aside = path.with_suffix(".aside")
        path.rename(aside)
        path.symlink_to(path)  # opening it fails, for root too
        state = verified()
        self.assertEqual(state["state"], "unreadable")
        self.assertTrue(all(one["unreadable"] for one in state["report"]["damaged"]))
        self.assertRegex(state["message"], "cannot be read now, and may be whole")
        self.assertIn(f"`{state['state']}`", SECTION)
        path.unlink()
        aside.rename(path)
        self.flip(path, [5000])
        state = verified()
        self.assertEqual(state["state"], "damaged")
        self.assertGreater(len(state["report"]["damaged"]), 0)
        self.assertRegex(state["message"], "is damaged in 1 places; restore")

    def test_a_writer_goes_on_and_is_seen(self):
        self.read(600)
        served = self.serve(*ANSWERS)
        before = served.get("/api/session", name="s")["tokens"]
        asked = served.chat(question())
        self.assertEqual(asked[0], 200)
        with socket.create_server(("127.0.0.1", 0)) as free:  # the watcher is there first
            port = free.getsockname()[1]
        watching = self.serve("--watch-port", port)
        with subprocess.Popen(
                command("ingest", *self.session(), "--model", MODEL, "--adapter", LANDMARK,
                        "--quiet", "--metrics-port", port, "--retrieve", "4",
                        self.file("more.txt", random_text(60000, stream=1))),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as writer:
            status, text = 503, b""
            while status == 503 and writer.poll() is None:
                status, _, text = watching.ask("/api/metrics?n=0")
            self.assertEqual(status, 200, text)
            self.assertIn(b"cairn_tokens_total", text)
            while writer.poll() is None:  # each answer is of the last commit
                status, answer = served.chat(question())
                self.assertEqual(status, 200, answer)
                past = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
                self.assertGreaterEqual(past, before)
            self.assertEqual(writer.returncode, 0, writer.stderr.read())
        time.sleep(1.1)
        now = self.show_all()
        self.assertGreater(now["tokens"], before)
        self.assertEqual(served.get("/api/session", name="s"), now)
        answer = served.chat(question())[1]
        self.assertEqual(answer["usage"]["prompt_tokens_details"]["cached_tokens"], now["tokens"])
        self.assertEqual(watching.refused("/api/metrics")[0], 503)

    def test_a_store_in_the_place_of_another_is_seen(self):
        for stream in range(3):  # sessions and commits have the same numbers in each
            if stream > 0:
                shutil.rmtree(self.store)
            self.ingest(self.file("s.txt", random_text(3000, stream=stream)), "--adapter",
                        LANDMARK, *SMALL_STEPS)
            if stream == 0:
                served = self.serve(*ANSWERS)
            asked = self.good("ask", *self.session(), "--retrieve", "4", "--json",
                              "--max-tokens", "30", "Who is it?").json
            status, whole = served.chat(question("Who is it?", max_tokens=30))
            self.assertEqual(status, 200, whole)
            self.assertEqual(whole["choices"][0]["message"]["content"], asked["answer"])
            self.assertEqual(whole["usage"]["prompt_tokens_details"]["cached_tokens"],
                             asked["tokens"])

    def test_a_session_that_is_deleted_while_it_is_read_is_no_damage(self):
        self.read(12000)
        self.read(600, name="other")
        served = self.serve(*ANSWERS, "--host-memory", "600KiB")
        body = json.dumps(question(max_tokens=4000, stream=True)).encode()
        with socket.create_connection(("127.0.0.1", served.port), TIMEOUT_SECONDS) as client:
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                           b"Connection: close\r\nAuthorization: Bearer %s\r\n"
                           b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                           % (served.port, TOKEN.encode(), len(body), body))
            said = b""
            while said.count(b"data: ") < 3:
                piece = client.recv(4096)
                self.assertTrue(piece, said)
                said += piece
            self.good("sessions", "delete", "s", "--store", self.store)
            while piece := client.recv(1 << 16):
                said += piece
        self.assertIn(b"200 OK", said)
        self.assertNotIn(b"corruption", said)
        self.assertEqual(served.chat(question())[0], 404)
        self.assertEqual(served.chat({**question(), "model": "other"})[0], 200)

    def test_a_store_without_sessions_and_none(self):
        self.refused("serve", "--store", self.store, saying="no store|is no")
        self.read(600)
        self.good("sessions", "delete", "s", "--store", self.store)
        self.assertEqual(self.serve().get("/api/sessions")["sessions"], [])

    def test_options_that_are_refused(self):
        self.read(600)
        served = self.serve()
        serve = ("serve", "--store", self.store)
        self.refused(*serve, "--port", "70000", saying="--port 70000")
        self.refused(*serve, "--port", served.port, saying="another program")
        self.refused(*serve, "--host", "example.org", saying="--host example.org: use an address")
        self.refused(*serve, "--public-url", "name.example", saying="use what a browser shows")
        self.refused(*serve, "--access-token", "short", saying="--access-token: use 16 to 128")
        self.refused(*serve, "--recorded", self.file("x.json", "{}"), saying="cairn why --json")
        self.refused(*serve, "--report", self.directory / "none.json", saying="none.json")
        self.refused(*serve, "--watch-port", "0", saying="--watch-port 0")
        self.refused(*serve, *ANSWERS, "--max-waiting", "0", saying="--max-waiting")

    def test_ctrl_c_and_a_token_that_is_drawn(self):
        self.read(600)
        process = subprocess.Popen(command("serve", "--store", self.store),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        url = process.stdout.readline().strip()
        self.assertRegex(url, r"^http://127\.0\.0\.1:\d+/[0-9a-f]{32}/$")
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))):
            process.terminate()  # somebody is connected and says nothing
            self.assertEqual(process.communicate(timeout=TIMEOUT_SECONDS), ("", ""))
        self.assertEqual(process.returncode, 0)


class Answers(ServeTest):
    def setUp(self):
        super().setUp()
        self.read()
        asked = (*self.session(), "--retrieve", "4", "--json")
        self.asked = self.good("ask", *asked, "--max-tokens", "6", "Who is it?").json
        self.why = self.good("why", *asked, "--max-tokens", "4", "--passages", "5", "Who?").json
        self.before = self.bytes_of_store()
        self.served = self.serve(*ANSWERS)

    def tearDown(self):
        self.assertTrue(self.bytes_of_store() == self.before, "the store has changed")
        super().tearDown()

    def events(self, body):
        status, headers, content = self.served.ask("/v1/chat/completions",
                                                   {**body, "stream": True})
        self.assertEqual(status, 200, content)
        self.assertTrue(headers["Content-Type"].startswith("text/event-stream"))
        lines = content.decode().split("\n\n")
        self.assertEqual(lines[-2:], ["data: [DONE]", ""])
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]

    def test_whole_and_streamed_ones_are_those_of_ask(self):
        asked = self.asked
        for _ in range(2):  # each question meets the session as it was
            status, whole = self.served.chat(question("Who is it?", max_tokens=6))
            self.assertEqual(status, 200)
            choice = whole["choices"][0]
            self.assertEqual(choice["message"]["content"], asked["answer"])
            self.assertEqual(whole["usage"]["completion_tokens"], asked["answer_tokens"])
            self.assertEqual(whole["usage"]["prompt_tokens"],
                             asked["tokens"] + asked["question_tokens"])
        events = self.events({**question("Who is it?", max_tokens=6),
                              "stream_options": {"include_usage": True}})
        self.assertEqual(events[0]["choices"][0]["delta"]["role"], "assistant")
        pieces = [event["choices"][0]["delta"].get("content", "") for event in events[:-1]]
        self.assertEqual("".join(pieces), asked["answer"])
        self.assertEqual(events[-2]["choices"][0]["finish_reason"], choice["finish_reason"])
        self.assertEqual(events[-1]["usage"], whole["usage"])
        self.assertEqual(events[-1]["choices"], [])

    def test_why_is_that_of_why(self):
        number = self.served.chat(question(cairn={"why": True}))[1]["cairn"]["recorded"]
        recorded = self.served.get("/api/recorded", number=number)
        for key in ("question", "answer", "passages", "tokens", "session", "first_token"):
            self.assertEqual(recorded[key], self.why[key], key)
        self.assertEqual(self.served.get("/api/about")["recorded"],
                         [{"number": number, "question": "Who?"}])
        self.assertEqual(self.served.refused("/api/recorded", number=number + 1)[0], 404)

    def test_turns_stops_and_draws(self):
        several = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"},
                   {"role": "assistant", "content": "He."}, {"role": "user", "content": "Why?"}]
        status, answer = self.served.chat({**question(), "messages": several})
        self.assertEqual(status, 200, answer)
        one = self.served.chat(question())[1]["usage"]["prompt_tokens"]
        self.assertGreater(answer["usage"]["prompt_tokens"], one)
        drawn = [self.served.chat(question(max_tokens=20, temperature=60, seed=seed))[1]
                 ["choices"][0]["message"]["content"] for seed in (1, 1, 2)]
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])
        word = re.search(r"[ -~]+", drawn[0][2:]).group(0)[:3]  # bytes of a character come as �
        stopped = self.served.chat(question(max_tokens=20, temperature=60, seed=1, stop=word))[1]
        choice = stopped["choices"][0]
        self.assertEqual(choice["message"]["content"], drawn[0][:drawn[0].index(word)])
        self.assertEqual(choice["finish_reason"], "stop")
        cut = self.served.chat(question(max_tokens=2, temperature=60, seed=1))[1]
        self.assertEqual(cut["choices"][0]["finish_reason"], "length")

    def test_answers_differ_from_draw_to_draw_and_can_be_repeated(self):
        hot = question(max_tokens=20, temperature=60)
        drawn = [self.served.chat(hot)[1] for _ in range(2)]
        texts = [answer["choices"][0]["message"]["content"] for answer in drawn]
        seeds = [answer["cairn"]["seed"] for answer in drawn]
        self.assertNotEqual(seeds[0], seeds[1])
        self.assertNotEqual(texts[0], texts[1])
        for text, seed in zip(texts, seeds):
            again = self.served.chat({**hot, "seed": seed})[1]
            self.assertEqual(again["choices"][0]["message"]["content"], text)
            self.assertEqual(again["cairn"], {"seed": seed})
        self.assertIn("seed", self.events(hot)[-1]["cairn"])
        self.assertNotIn("cairn", self.served.chat(question())[1])

    def test_models_are_the_sessions_of_the_model(self):
        self.ingest(self.file("o.txt", random_text(600)), name="other", model=OTHER_MODEL)
        self.before = self.bytes_of_store()
        time.sleep(1.1)
        listed = self.served.get("/v1/models")
        self.assertEqual([model["id"] for model in listed["data"]], ["s"])
        self.assertEqual(self.served.get("/v1/models/s"), listed["data"][0])
        self.assertEqual(self.served.refused("/v1/models/other")[1]["code"], "model_not_found")
        status, answer = self.served.chat({**question(), "model": "other"})
        self.assertEqual(status, 422)
        self.assertIn("was made with another model", answer["error"]["message"])
        self.assertEqual(self.served.chat(question())[0], 200)  # the next one is none the worse

    def test_errors_are_shaped_as_clients_expect(self):
        for body, status, param in (({**question(), "model": "x"}, 404, "model"),
                                    ({**question(), "model": "../s"}, 400, None),
                                    ({"model": "s"}, 400, "messages"), ([], 400, None),
                                    (question(n=2), 400, "n"),
                                    (question("long " * 20000), 400, None),
                                    (question(""), 200, None)):
            for stream in (False, True):
                if isinstance(body, dict):
                    body["stream"] = stream
                got, _, content = self.served.ask("/v1/chat/completions", body)
                self.assertEqual(got, status, content)
                if status == 200:
                    continue
                error = json.loads(content)["error"]
                self.assertEqual(set(error), {"message", "type", "param", "code"})
                self.assertEqual(error["param"], param)
                self.assertEqual(error["type"], "invalid_request_error")
        self.assertEqual(self.served.refused("/v1/chat/completions")[0], 405)
        self.assertEqual(self.served.refused("/v1/other")[0], 404)

    def test_a_client_that_leaves_frees_the_desk(self):
        body = json.dumps(question(max_tokens=4096, temperature=60, stream=True)).encode()
        for heard in (0, 1):
            with socket.create_connection(("127.0.0.1", self.served.port)) as client:
                client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n"
                               b"Host: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
                               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                               % (self.served.port, TOKEN.encode(), len(body), body))
                if heard:
                    self.assertIn(b"200 OK", client.recv(4096))
            self.assertEqual(self.served.chat(question())[0], 200)

    def test_too_many_questions_are_told_to_come_back(self):
        served = self.serve(*ANSWERS, "--max-waiting", "2")
        long = question(max_tokens=400, temperature=60)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: served.ask("/v1/chat/completions", long), range(12)))
        statuses = [status for status, _, _ in answers]
        self.assertEqual(set(statuses), {200, 429})
        for status, headers, content in answers:
            if status == 429:
                self.assertEqual(headers["Retry-After"], "5")
                self.assertEqual(json.loads(content)["error"]["type"], "rate_limit_error")
        self.assertEqual(served.chat(question())[0], 200)

    def test_memory_stays_where_it_was(self):
        def resident():
            status = pathlib.Path(f"/proc/{self.served.process.pid}/status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

        def crowd(rounds):
            with concurrent.futures.ThreadPoolExecutor(50) as pool:
                list(pool.map(lambda _: self.served.get("/api/session", name="s"),
                              range(50 * rounds)))

        crowd(2)
        before = resident()
        crowd(8)
        self.assertLess(resident() - before, 16 * 1024)


if __name__ == "__main__":
    unittest.main()
