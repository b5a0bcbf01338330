#!/usr/bin/env python3
"""Pass-key test: how often a model finds a number planted somewhere in a long text.

Every prompt is another passage of the text with another five-digit key at another depth, read into
a session of its own and asked for through the command line, as a user would. Same seed, same
prompts. Prints one line per wrong answer and a summary (JSON with --json).

    tools/passkey.py --cairn build/bin/cairn --model M.gguf --adapter A.gguf --text T.txt \\
        --tokens 4000 --prompts 20

Options after `--` go to both ingest and ask, e.g. `-- --retrieve 16`.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

QUESTION = "What is the number of the pass key?"
BYTES_PER_TOKEN = 3.7  # of English with this kind of vocabulary; passages are cut by --tokens


def make_prompt(text, rng, tokens, depth):
    """A passage of about `tokens` tokens with the key planted at `depth` (0..1) of it."""
    key = "".join(rng.choice("0123456789") for _ in range(5))
    length = int(tokens * BYTES_PER_TOKEN)
    start = rng.randrange(max(1, len(text) - length))
    passage = text[start:start + length]
    place = passage.find("\n", int(depth * len(passage)))
    place = place if place >= 0 else int(depth * len(passage))
    fact = f"\n The pass key is {key}. Remember it. {key} is the pass key.\n"
    return passage[:place] + fact + passage[place:], key


def run(command, text=None):
    """Runs a command; returns its stdout as JSON. Stops with its message if it fails."""
    done = subprocess.run(command, input=text, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr.decode(errors="replace").strip())
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cairn", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--text", required=True, type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--preface", default="", help="what to write in front of the text")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("more", nargs="*", help="options for cairn")
    args = parser.parse_args()

    text = args.text.read_text(encoding="utf-8", errors="replace")
    found, read, seconds = 0, 0, 0.0
    for i in range(args.prompts):
        rng = random.Random(f"{args.seed}/{args.tokens}/{i}")
        prompt, key = make_prompt(text, rng, args.tokens, (i + 0.5) / args.prompts)
        with tempfile.TemporaryDirectory() as store:
            common = ["--store", store, "--session", "p", "--json", "--quiet", *args.more]
            adapter = ["--adapter", args.adapter] if args.adapter else []
            prompt = args.preface + prompt
            report = run([args.cairn, "ingest", *common, "--model", args.model, *adapter, "-"],
                         prompt.encode())
            answer = run([args.cairn, "ask", *common, "--max-tokens", "32",
                          args.question])["answer"]
        read += report["tokens"]
        seconds += report["seconds"]
        right = key in answer
        found += right
        if not right and not args.json:
            print(f"prompt {i}: key {key}, answer {answer!r}", flush=True)
    result = {"tokens": args.tokens, "prompts": args.prompts, "found": found,
              "mean_tokens": read / args.prompts, "tokens_per_second": read / seconds,
              "question": args.question, "preface": args.preface,
              "options": args.more, "adapter": args.adapter is not None}
    if args.json:
        print(json.dumps(result))
    else:
        print(f"found {found} of {args.prompts} at about {read // args.prompts} tokens "
              f"({result['tokens_per_second']:.0f} tokens/s) {' '.join(args.more)}")


if __name__ == "__main__":
    main()
