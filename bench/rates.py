#!/usr/bin/env python3
"""Rates and memory of reading and answering at several lengths, through the command line.

For each length: a fresh store reads that many tokens (tokens/s, peak memory of the process), then
a prompt is continued for 64 tokens several times (milliseconds per token, median). Lengths are
measured one after the other in one run, so that ratios between them mean something on a machine
whose speed drifts; a calibration loop before each says how much it did.

    bench/rates.py --cairn build/bin/cairn --model M.gguf --adapter A.gguf --text T.txt \\
        --tokens 4000 130000 -- --host-memory 256MiB
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def calibrate():
    """Seconds of a fixed piece of arithmetic: the machine's speed at this moment."""
    start = time.perf_counter()
    total = 0
    for i in range(2_000_000):
        total += i * i
    return time.perf_counter() - start


def run(command):
    """Runs a command: (stdout as JSON, peak resident bytes). Stops with its message on failure."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            sys.exit(err.read().decode(errors="replace").strip())
        return json.loads(out.read()), usage.ru_maxrss * 1024


def measure(args, tokens, store):
    common = ["--store", store, "--session", "s", "--json", "--quiet", *args.more]
    adapter = ["--adapter", args.adapter] if args.adapter else []
    calibration = calibrate()
    rates = []
    for repeat in range(args.repeats if tokens <= args.repeat_below else 1):
        if repeat > 0:
            run([args.cairn, "sessions", "delete", "s", "--store", store, "--json"])
        report, peak = run([args.cairn, "ingest", *common, "--model", args.model, *adapter,
                            "--tokens", str(tokens), args.text])
        rates.append(report["tokens_per_second"])
    decode, ask_peak = [], 0
    for _ in range(args.repeats):
        made, ask_peak = run([args.cairn, "generate", *common, "--prompt", " And", "--max-tokens",
                              "64"])
        decode.append(1000 * made["seconds_per_token"])
    cold = [tier for tier in report["tiers"] if tier["tier"] == "cold"][0]
    return {"tokens": report["tokens"], "prefill_tokens_per_second": statistics.median(rates),
            "decode_ms_per_token": statistics.median(decode), "ingest_peak_bytes": peak,
            "generate_peak_bytes": ask_peak, "index_bytes": report["index_bytes"],
            "cold_only_share": report["cold_only_share"], "cold_fetches": cold["fetched_blocks"],
            "calibration_seconds": calibration}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cairn", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4000, 130000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--repeat-below", type=int, default=20000,
                        help="longer texts are read once")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("more", nargs="*", help="options for cairn")
    args = parser.parse_args()

    results = []
    for tokens in args.tokens:
        with tempfile.TemporaryDirectory() as store:
            results.append(measure(args, tokens, store))
        if not args.json:
            r = results[-1]
            print(f"{r['tokens']:>8} tokens: prefill {r['prefill_tokens_per_second']:7.0f} tokens/s"
                  f"  decode {r['decode_ms_per_token']:6.2f} ms/token"
                  f"  peak {r['ingest_peak_bytes'] / 2**20:6.0f} MiB reading,"
                  f" {r['generate_peak_bytes'] / 2**20:6.0f} MiB answering"
                  f"  disk only {100 * r['cold_only_share']:.0f} %"
                  f"  calibration {r['calibration_seconds']:.3f} s", flush=True)
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
