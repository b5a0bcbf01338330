#!/usr/bin/env python3
"""Attention over chosen blocks, selection included, beside dense attention of all the past.

    pip install torch                     # the CPU's
    bench/attention.py --cairn build/bin/cairn

Ours is `cairn bench attention`: one layer of SmolLM2-135M's shape, blocks of 64 rows, 8 chosen per
KV head, all in memory. Theirs is PyTorch's scaled_dot_product_attention over as many keys on as
many cores: f32 or bf16, whichever is faster, one row (the heads that share a KV head as its
rows, so that keys are read once) and the rows of a step. Writes
bench/results/attention-YYYYMMDD.json with ratio = theirs / ours in seconds.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import time

import torch

import llamacpp


def seconds(body, rounds, least):
    """Per call, a figure per round; a round takes `least` seconds or one call."""
    body()
    found = []
    for _ in range(rounds):
        calls, start = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - start < least:
            body()
            calls += 1
        found.append((time.perf_counter() - start) / calls)
    return found


def dense(ours, rounds):
    """Seconds of dense attention per type, in decode and prefill."""
    query_heads, kv_heads, dim = ours["query_heads"], ours["kv_heads"], ours["head_dim"]
    group, keys, rows = query_heads // kv_heads, ours["tokens"], ours["prefill_rows"]
    attend = torch.nn.functional.scaled_dot_product_attention
    found = {}
    for name, kind in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        k = torch.randn(1, kv_heads, keys, dim).to(kind)
        v = torch.randn(1, kv_heads, keys, dim).to(kind)
        one = torch.randn(1, kv_heads, group, dim).to(kind)
        many = torch.randn(1, kv_heads, group * rows, dim).to(kind)
        with torch.inference_mode():
            found[name] = {"decode": seconds(lambda: attend(one, k, v), rounds, 0.2),
                           "prefill": seconds(lambda: attend(many, k, v), rounds, 0)}
    return found


def measure_ours(args, tokens):
    command = [args.cairn, "bench", "attention", "--tokens", str(tokens), "--rounds",
               str(args.rounds), "--threads", str(args.threads), "--json", "--quiet"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cairn", required=True)
    parser.add_argument("--tokens", type=int, default=131072)
    parser.add_argument("--also", type=int, nargs="*", default=[4096, 1000000],
                        help="lengths at which ours alone is measured, to see it grow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", default=os.path.join(here, "results"))
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    ours = measure_ours(args, args.tokens)
    theirs = dense(ours, args.rounds)
    result = {"date": str(datetime.date.today()), "cpu": llamacpp.cpu(), "threads": args.threads,
              "command": f"bench/attention.py --cairn build/bin/cairn --tokens {args.tokens}",
              "torch": torch.__version__, "load": os.getloadavg()[0], "ours": ours,
              "theirs_seconds": theirs}
    result["also"] = [measure_ours(args, tokens) for tokens in args.also]
    for way in ("decode", "prefill"):
        kind, best = min(((name, statistics.median(found[way])) for name, found in theirs.items()),
                         key=lambda pair: pair[1])
        result[way] = {"ours_seconds": ours[f"{way}_seconds"], "theirs_seconds": best,
                       "theirs_type": kind, "ratio": best / ours[f"{way}_seconds"]}
        print(f"{way}: {1e3 * ours[way + '_seconds']:.3f} ms to {1e3 * best:.3f} ms ({kind}): "
              f"{result[way]['ratio']:.1f}")
    for other in sorted([ours, *result["also"]], key=lambda found: found["tokens"]):
        print(f"{other['tokens']:>8} rows: decode {1e3 * other['decode_seconds']:.3f} ms, prefill "
              f"{1e3 * other['prefill_seconds']:.3f} ms a layer")
    print(f"kernel at {ours['kernel_share_of_memory']:.2f} of the speed of memory")
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, f"attention-{datetime.date.today():%Y%m%d}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
