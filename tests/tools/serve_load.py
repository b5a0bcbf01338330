#!/usr/bin/env python3
"""Many clients at once ask a `cairn serve` for a while; run by hand.

  serve_load.py URL --clients 200 --seconds 60 --session NAME [--pid PID] [--questions N]

Every client asks for the session, the list and pieces of its text, one after the other and as fast
as it is answered, on connections that it keeps while it may; N of them ask questions in place of
that. Prints JSON: replies by status, requests a second, times, and with --pid how much memory the
server had before, and at most while it lasted.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import re
import time
import urllib.parse


class Load:
    def __init__(self, arguments):
        url = urllib.parse.urlsplit(arguments.url)
        self.host, self.port, self.base = url.hostname, url.port, url.path.rstrip("/")
        self.arguments = arguments
        self.statuses, self.times, self.questions = collections.Counter(), [], []
        self.end = time.monotonic() + arguments.seconds
        self.most_kib = 0

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.arguments.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    async def watch(self):
        while time.monotonic() < self.end and self.arguments.pid:
            self.most_kib = max(self.most_kib, self.resident_kib())
            await asyncio.sleep(0.2)

    async def ask(self, connection, path, body):
        reader, writer = connection
        head = (f"{'POST' if body else 'GET'} {self.base}{path} HTTP/1.1\r\n"
                f"Host: {self.host}:{self.port}\r\n")
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + (body or "").encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        if length:
            await reader.readexactly(int(length.group(1)))
        return int(head.split()[1]), bool(re.search(r"(?i)connection: close", head))

    async def client(self, number):
        rng = random.Random(number)
        name = self.arguments.session
        asks = number < self.arguments.questions
        body = json.dumps({"model": name, "max_tokens": 8,
                           "messages": [{"role": "user", "content": "Who was it?"}]})
        connection = None
        while time.monotonic() < self.end:
            first = rng.randrange(4096)
            path = rng.choice(["/api/sessions", f"/api/session?name={name}",
                               f"/api/text?name={name}&first={first}&end={first + 512}"])
            begin = time.monotonic()
            try:
                if connection is None:
                    connection = await asyncio.open_connection(self.host, self.port, limit=1 << 24)
                status, closed = await self.ask(
                    connection, "/v1/chat/completions" if asks else path, body if asks else None)
            except (OSError, asyncio.IncompleteReadError) as error:
                status, closed = type(error).__name__, True
            self.statuses[f"{'question ' if asks else ''}{status}"] += 1
            (self.questions if asks else self.times).append(time.monotonic() - begin)
            if closed and connection is not None:
                connection[1].close()
                connection = None
            if status == 429:
                await asyncio.sleep(0.5)
        if connection is not None:
            connection[1].close()

    async def run(self):
        before = self.resident_kib() if self.arguments.pid else 0
        await asyncio.gather(self.watch(),
                             *[self.client(i) for i in range(self.arguments.clients)])
        self.times.sort()
        at = lambda share: round(1000 * self.times[int(share * (len(self.times) - 1))], 1)
        return {"clients": self.arguments.clients, "seconds": self.arguments.seconds,
                "replies": dict(self.statuses),
                "requests_per_second": round(len(self.times) / self.arguments.seconds, 1),
                "p50_ms": at(0.5), "p99_ms": at(0.99), "longest_ms": at(1),
                "resident_before_kib": before, "resident_most_kib": self.most_kib}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--session", required=True)
    parser.add_argument("--questions", type=int, default=0)
    parser.add_argument("--pid", type=int)
    print(json.dumps(asyncio.run(Load(parser.parse_args()).run())))
