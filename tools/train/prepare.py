#!/usr/bin/env python3
"""Makes the token files that training reads, from the documentation of Debian packages.

    prepare.py --model MODEL.gguf --out DIR [--cache DIR]

Writes DIR/train/KIND.npy, DIR/valid/KIND.npy (the last 3 % of a training kind),
DIR/held_out/KIND.npy (kinds that are not trained on) and DIR/manifest.json with the version and
tokens of each package. Files are uint16 token ids; texts of a kind follow each other with a blank
line between. The packages are downloaded with apt-get and unpacked below --cache, not installed;
`bible` must be installed (packages bible-kjv and bible-kjv-text). What is there already is kept.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

import corpus
import vocabulary

MOST_BYTES = 12_000_000  # of one kind
VALID_SHARE = 0.03


def encode_kind(tokenizer, package, folder):
    ids, size = [], 0
    for text in corpus.texts(package, folder):
        text = text[: MOST_BYTES - size]
        size += len(text)
        pieces = [text[i : i + 100_000] for i in range(0, len(text), 100_000)] + ["\n\n"]
        for encoding in tokenizer.encode_batch(pieces, add_special_tokens=False):
            ids.extend(encoding.ids)
        if size >= MOST_BYTES:
            break
    return np.array(ids, dtype=np.uint16)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path)
    args = parser.parse_args()
    cache = (args.cache or args.out / "packages").resolve()
    tokenizer = vocabulary.build(args.model)
    manifest_path = args.out / "manifest.json"
    manifest = json.loads(manifest_path.read_text()) if manifest_path.is_file() else {}
    for package in corpus.TRAINING | corpus.HELD_OUT:
        if package in manifest:
            continue
        version, folder = corpus.fetch(package, cache)
        ids = encode_kind(tokenizer, package, folder)
        if len(ids) < 20_000:
            sys.exit(
                f"prepare.py: {package} {version} gave {len(ids)} tokens; its files moved, so "
                "change its pattern in corpus.py"
            )
        held = package in corpus.HELD_OUT
        valid = 0 if held else int(len(ids) * VALID_SHARE)
        parts = {"held_out": ids} if held else {"train": ids[:-valid], "valid": ids[-valid:]}
        for name, part in parts.items():
            (args.out / name).mkdir(parents=True, exist_ok=True)
            np.save(args.out / name / f"{package}.npy", part)
        manifest[package] = {"version": version, "tokens": len(ids), "held_out": held}
        manifest_path.write_text(json.dumps(manifest, indent=1) + "\n")
        print(f"{package} {version}: {len(ids)} tokens{' (held out)' if held else ''}", flush=True)


if __name__ == "__main__":
    main()
