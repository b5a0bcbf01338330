#!/usr/bin/env python3
"""Makes the golden store of the present format version: test data from then on, never made anew.

  CAIRN_BINARY=... CAIRN_TINY_MODELS=... make_golden_store.py tests/data/store_v1

Writes store.tar.gz (the store's directory) and expected.json (what is known of its sessions). The
environment is that of the command-line tests, see cli_harness.py. When the version changes, a new
directory is added and the old ones stay.
"""

import gzip
import io
import json
import pathlib
import sys
import tarfile

from cli_harness import CliTest, LANDMARK, LORA, random_text


class Maker(CliTest):
    def runTest(self):
        pass

    def make(self):
        text = [self.file(f"text{i}.txt", random_text(1200, stream=i)) for i in range(3)]
        small = ("--chunk", "64")
        landmark = ("--adapter", LANDMARK, "--retrieve", "4", *small)
        self.ingest(text[0], *landmark, "--tokens", "160", name="landmark")
        self.ingest(text[1], *landmark, "--tokens", "60", name="landmark")
        self.good("ask", *self.session("landmark"), "--retrieve", "4", "--max-tokens", "5",
                  "--keep", "Who?")
        self.ingest(text[0], *small, "--adapter", LORA, "--kv-type", "f32", "--tokens", "90",
                    name="unmodified")
        self.ingest(text[2], *small, "--raw", "--tokens", "100", "--block-tokens", "32", name="raw")
        self.good("sessions", "fork", "landmark", "fork", "--at", "100", "--store", self.store)
        self.good("sessions", "fork", "raw", "gone", "--store", self.store)
        self.ingest(text[1], *small, "--raw", "--tokens", "40", name="gone")
        self.good("sessions", "delete", "gone", "--store", self.store)
        self.good("sessions", "rename", "raw", "renamed", "--store", self.store)
        keys = ("tokens", "rows", "blocks", "payload_bytes", "digest")
        return {name: {key: self.show(name)[key] for key in keys} for name in self.session_names()}


def pack(store):
    def plain(entry):
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(store.rglob("*")):
            if path.name == "reserve":
                continue  # 1 MiB of nothing, which the next writer makes anew
            archive.add(path, path.relative_to(store), recursive=False, filter=plain)
    return gzip.compress(tar.getvalue(), 9, mtime=0)


def main():
    target = pathlib.Path(sys.argv[1])
    target.mkdir()  # a golden store is never overwritten
    maker = Maker()
    maker.setUp()
    try:
        expected = maker.make()
        (target / "store.tar.gz").write_bytes(pack(maker.store))
        (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    finally:
        maker.doCleanups()


if __name__ == "__main__":
    main()
