"""`cairn serve` while a test runs, and a client that says what it likes."""

import http.client
import json
import os
import subprocess
import urllib.parse

from cli_harness import TIMEOUT_SECONDS, command

TOKEN = "0123456789abcdef0123456789abcdef"


class Served:
    """A server, from its first word to its last."""

    def __init__(self, store, *options):
        self.process = subprocess.Popen(
            command("serve", "--store", store, "--json", *options), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "CAIRN_ACCESS_TOKEN": TOKEN})
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.stderr.read())
        said = json.loads(line)
        self.said, self.url, self.port = said, said["url"], said["port"]

    def stop(self):
        """Exit code and stderr."""
        self.process.terminate()
        self.process.stdout.close()
        said = self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(timeout=TIMEOUT_SECONDS), said

    def ask(self, path, body=None, token=TOKEN, **headers):
        """Status, headers and bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def get(self, path, **query):
        """A document."""
        status, _, content = self.ask(path + "?" + urllib.parse.urlencode(query))
        if status != 200:
            raise AssertionError(f"{path}: {status} {content.decode()}")
        return json.loads(content)

    def refused(self, path, body=None, **query):
        """The status and the error of what must be refused."""
        status, _, content = self.ask(path + "?" + urllib.parse.urlencode(query), body)
        if status < 400:
            raise AssertionError(f"{path}: {status}")
        return status, json.loads(content)["error"]

    def chat(self, body):
        """Status and document of a question."""
        status, _, content = self.ask("/v1/chat/completions", body)
        return status, json.loads(content)
