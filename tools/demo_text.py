#!/usr/bin/env python3
"""The demo's text, questions and verdict: plants pass keys in a long text, compares answers.

    demo_text.py plant --bytes N --seed S --directory DIR < TEXT
        writes DIR/text.txt (at least N bytes, whole lines), DIR/questions.txt, DIR/facts.json
    demo_text.py compare --directory DIR NAME...
        prints the answers in each DIR/NAME.json beside the truth, and the first one's tiers; they
        are what `cairn ask --questions DIR/questions.txt --json` wrote
"""

import argparse
import json
import pathlib
import random
import re
import sys

# Where a key is planted, its sentence, and the question for it. The adapter was trained on facts
# worded much like these, and these are wordings that it was seen to answer; others do worse. So the
# demo shows how far it reaches, not how well it reads.
PLANTED = (
    (0.10, "The pass key is {key}. Remember it. {key} is the pass key.",
     "What is the pass key mentioned in the provided text?"),
    (0.50, "The phone number of Alice is {key}. Remember it. {key} is the phone number of Alice.",
     "What is the phone number of Alice mentioned in the provided text?"),
    (0.90, "The code of the garage is {key}. Remember it. {key} is the code of the garage.",
     "What is the code of the garage mentioned in the provided text?"),
)


def plant(args):
    lines, size = [], 0
    for line in sys.stdin.buffer:
        lines.append(line)
        size += len(line)
        if size >= args.bytes:
            break
    if size < args.bytes:
        sys.exit(f"demo_text.py: the text has {size} bytes; {args.bytes} are needed")
    keys = [str(key) for key in random.Random(args.seed).sample(range(10000, 100000), len(PLANTED))]
    facts, offset, read = [], 0, 0
    with open(args.directory / "text.txt", "wb") as text:
        for number, line in enumerate(lines):
            # A fact stands in front of the first line that begins behind its share of the text.
            while len(facts) < len(PLANTED) and read >= PLANTED[len(facts)][0] * size:
                _, sentence, question = PLANTED[len(facts)]
                key = keys[len(facts)]
                planted = sentence.format(key=key)
                text.write(planted.encode() + b"\n")
                facts.append({"key": key, "sentence": planted, "question": question,
                              "byte": offset, "line": number + 1 + len(facts)})
                offset += len(planted) + 1
            text.write(line)
            offset += len(line)
            read += len(line)
    for fact in facts:
        fact["share"] = fact["byte"] / offset
    (args.directory / "questions.txt").write_text("".join(f["question"] + "\n" for f in facts))
    (args.directory / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


def size_text(count):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024


def print_tiers(report):
    heads = ("tier", "capacity", "held", "fetches", "hits", "p50 us", "p99 us")
    print("{:<8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}".format(*heads))
    for tier in report["tiers"]:
        capacity = size_text(tier["capacity_bytes"]) if tier["capacity_bytes"] else "-"
        print(f"{tier['tier']:<8} {capacity:>10} {size_text(tier['held_bytes']):>10} "
              f"{tier['fetched_blocks']:>10} {tier['hit_blocks']:>10} "
              f"{tier['latency_us_p50']:>10.1f} {tier['latency_us_p99']:>10.1f}")
    print("fetches and hits count blocks of one KV head; latency is of a batch of them")


def compare(args):
    facts = json.loads((args.directory / "facts.json").read_text())
    reports = {n: json.loads((args.directory / f"{n}.json").read_text()) for n in args.names}
    width, right = max(map(len, args.names)), dict.fromkeys(args.names, 0)
    for name, report in reports.items():
        if len(report["answers"]) != len(facts):
            sys.exit(f"demo_text.py: {len(facts)} facts but {len(report['answers'])} answers "
                     f"({name}); remove {args.directory} and run the demo again")
    for i, fact in enumerate(facts):
        print(f"at {100 * fact['share']:.0f} %: {fact['question']}")
        for name, report in reports.items():
            # The key must stand there alone: not inside a longer number, not beside another one.
            answer = " ".join(report["answers"][i]["answer"].split()) or "(nothing)"
            found = re.findall(r"\d+", answer) == [fact["key"]]
            right[name] += found
            print(f"  {name:<{width}}  {answer}   {'right' if found else 'WRONG'}")
        print(f"  {'truth':<{width}}  {fact['key']}\n")
    report = reports[args.names[0]]
    print_tiers(report)
    print(f"\nkeys and values stored: {size_text(report['stored_bytes'])} for {report['tokens']} "
          f"tokens, {100 * report['cold_only_share']:.1f} % of it on disk only")
    for name, count in right.items():
        print(f"{name}: {count} of {len(facts)} answers are right")
    if any(count < len(facts) for count in right.values()):
        print("A wrong answer is one the 135M model gave; nothing was retried or left out.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    actions = parser.add_subparsers(required=True)
    action = actions.add_parser("plant")
    action.add_argument("--bytes", type=int, required=True)
    action.add_argument("--seed", type=int, required=True)
    action.set_defaults(run=plant)
    other = actions.add_parser("compare")
    other.add_argument("names", nargs="+")
    other.set_defaults(run=compare)
    for each in (action, other):
        each.add_argument("--directory", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
