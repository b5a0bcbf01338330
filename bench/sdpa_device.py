#!/usr/bin/env python3
"""Dense attention of one token on a GPU, by PyTorch's flash kernel and no other.

    pip install torch                     # with CUDA
    bench/sdpa_device.py [--keys 131072]

One layer of an 8B model's shape: 32 query heads, 8 KV heads of 128 numbers, one query row, f16 and
bf16. In both ways in which PyTorch takes a group of query heads: as heads that share a KV head
(enable_gqa), and as rows of that KV head. Times are between two CUDA events around many calls, so
that the host is not in them; the median of the rounds. What one type takes is the faster way's.
Writes JSON to stdout. Exit code 77: there is no PyTorch here, or no GPU for it.
"""
import argparse
import json
import statistics
import sys


def skip(why):
    print(f"skipped: {why}", file=sys.stderr)
    sys.exit(77)


try:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
except ImportError as error:
    skip(f"no PyTorch of 2.3 or newer ({error})")

ATTEND = torch.nn.functional.scaled_dot_product_attention
MOST_APART = 0.1  # two ways to the same numbers, as a share of the largest: other heads are not it


def seconds_of(work, args):
    """Of one call, a median of rounds."""
    for _ in range(3):
        work()
    found = []
    for _ in range(args.rounds):
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(args.calls):
            work()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end) / 1e3 / args.calls)
    return statistics.median(found)


def measure(kind, args):
    """Seconds by the names of ways that there are, and why another is not there."""
    group = args.query_heads // args.kv_heads
    heads = torch.randn(1, args.query_heads, 1, args.head_dim, device="cuda", dtype=kind)
    rows = heads.reshape(1, args.kv_heads, group, args.head_dim)
    k, v = (torch.randn(1, args.kv_heads, args.keys, args.head_dim, device="cuda", dtype=kind)
            for _ in range(2))
    seconds, outputs, why_not = {}, [], {}
    for name, work in (("grouped", lambda: ATTEND(heads, k, v, enable_gqa=True)),
                       ("rows", lambda: ATTEND(rows, k, v))):
        try:
            outputs.append(work().reshape(rows.shape))
            seconds[name] = seconds_of(work, args)
        except (RuntimeError, TypeError) as error:
            why_not[name] = str(error).splitlines()[0]
    if len(outputs) == 2:
        apart, largest = ((outputs[0] - outputs[1]).abs().max().item(),
                          outputs[1].abs().max().item())
        if not apart <= MOST_APART * largest:
            sys.exit("error: both ways say something else of the same numbers")
    return seconds, why_not


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("keys", 131072), ("query-heads", 32), ("kv-heads", 8),
                          ("head-dim", 128), ("rounds", 20), ("calls", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        skip(f"PyTorch {torch.__version__} finds no GPU")

    result = {"device": torch.cuda.get_device_name(0), "torch": torch.__version__,
              "cuda": torch.version.cuda, "backend": "flash", "rows": 1, **vars(args)}
    bytes_read = 2 * 2 * args.kv_heads * args.keys * args.head_dim
    with torch.inference_mode(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        for name, kind in (("f16", torch.float16), ("bf16", torch.bfloat16)):
            seconds, why_not = measure(kind, args)
            for way, found in seconds.items():
                result[f"{name}_{way}_seconds"] = found
            for way, why in why_not.items():
                result[f"{name}_{way}_failed"] = why
            if seconds:
                result[f"{name}_seconds"] = min(seconds.values())
                result[f"{name}_bytes_per_second"] = bytes_read / min(seconds.values())
    print(json.dumps(result, separators=(",", ":")))
    if "f16_seconds" not in result or "bf16_seconds" not in result:
        sys.exit("error: the flash kernel does not take one of the types")


if __name__ == "__main__":
    main()
