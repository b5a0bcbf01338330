#!/usr/bin/env python3
"""The whole model beside llama.cpp: tokens per second in prefill and decode at several lengths.

    pip install llama-cpp-python          # built for this CPU
    bench/llamacpp.py --cairn build/bin/cairn --model M.gguf --adapter A.gguf --text T.txt

Same file, same threads, one after the other. Each length adds its row to
bench/results/llamacpp-YYYYMMDD.json, ratio = ours / theirs. What was measured is kept, side by
side, in a file with .sides behind its name, so that a run that was stopped goes on where it was;
--again forgets it. The load of the machine stands beside each side, and the command that measured
it, with words in place of files.

Ours: `cairn ingest` of so many tokens into a fresh store on disk, then `cairn generate` from a
fresh process (bench/rates.py). Theirs: the C functions of the library, only the last row's logits,
flash attention on and off, whichever is faster, or the one that --flash names. Up to --whole
tokens the text is read as it is. Beyond, reading all of it would take hours: the cache is filled
with a copy of real keys and values up to a depth (their time does not depend on what they hold),
batches are timed at the beginning, the middle and the end, and the whole is their integral by
Simpson's rule; attention's share of a batch grows linearly with its depth, and the rule is exact
for that. Decode is timed at full depth.
"""
import argparse
import ctypes
import datetime
import json
import os
import shlex
import statistics
import struct
import sys
import tempfile
import time

import numpy as np

import rates

UBATCH = 512  # llama.cpp's own default


class Theirs:
    """A llama.cpp context whose cache can be filled to any depth."""

    def __init__(self, model_path, threads, cells, flash):
        import llama_cpp as lc
        self.lc = lc
        quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(
            lambda *_: None)
        self.keep = quiet
        lc.llama_log_set(quiet, None)
        self.model = lc.llama_model_load_from_file(model_path.encode(),
                                                   lc.llama_model_default_params())
        params = lc.llama_context_default_params()
        params.n_ctx = (cells + 255) // 256 * 256
        params.n_batch = params.n_ubatch = UBATCH
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = int(flash)
        self.ctx = lc.llama_init_from_model(self.model, params)
        if not self.ctx:
            sys.exit("llama.cpp could not make a context of that size; free some memory")
        self.memory = lc.llama_get_memory(self.ctx)
        self.batch = lc.llama_batch_init(UBATCH, 0, 1)
        vocab = lc.llama_model_get_vocab(self.model)
        self.n_vocab = lc.llama_vocab_n_tokens(vocab)
        self.vocab = vocab

    def close(self):
        self.lc.llama_free(self.ctx)
        self.lc.llama_model_free(self.model)

    def tokenize(self, text, count):
        room = (self.lc.llama_token * (8 * count))()
        data = text[:8 * count]
        found = self.lc.llama_tokenize(self.vocab, data, len(data), room, len(room), False, False)
        if found < count:
            sys.exit(f"the text has fewer than {count} tokens; give a longer one")
        return list(room[:count])

    def add(self, tokens, start):
        """One batch of at most UBATCH tokens behind `start` cells."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, start + i, 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = i == len(tokens) - 1
        if self.lc.llama_decode(self.ctx, batch) != 0:
            sys.exit("llama_decode failed")
        self.lc.llama_synchronize(self.ctx)

    def cut(self, start):
        self.lc.llama_memory_seq_rm(self.memory, 0, start, -1)

    def greedy(self):
        row = self.lc.llama_get_logits_ith(self.ctx, -1)
        return int(np.ctypeslib.as_array(row, shape=(self.n_vocab,)).argmax())

    def fill(self, depth, tokens):
        """Puts `depth` cells into the cache: those of the first UBATCH tokens, again and again."""
        self.lc.llama_memory_clear(self.memory, True)
        if depth == 0:
            return
        self.add(tokens[:UBATCH], 0)
        size = self.lc.llama_state_seq_get_size(self.ctx, 0)
        state = (ctypes.c_uint8 * size)()
        size = self.lc.llama_state_seq_get_data(self.ctx, state, size, 0)
        longer = repeat_cells(bytes(state[:size]), depth)
        self.lc.llama_memory_clear(self.memory, True)
        pointer = (ctypes.c_uint8 * len(longer)).from_buffer(longer)
        if self.lc.llama_state_seq_set_data(self.ctx, pointer, len(longer), 0) == 0:
            sys.exit("llama.cpp refused the filled cache: its format has changed")
        if self.lc.llama_memory_seq_pos_max(self.memory, 0) != depth - 1:
            sys.exit("the cache was not filled as far as it should be")


def repeat_cells(state, depth):
    """A sequence's saved state with its cells repeated up to `depth` of them.

    [magic, sequence, streams, cells] u32; per cell [position, 1, sequence]; [V transposed, layers];
    per layer K [type u32, row bytes u64, rows]; per layer V the same or, transposed, [type u32,
    number bytes u32, width u32, a row of cells per column].
    """
    head = struct.unpack_from("<4I", state)
    cells, at = head[3], 16 + 12 * head[3]
    cell = np.empty((depth, 3), dtype="<u4")
    cell[:, 0], cell[:, 1], cell[:, 2] = np.arange(depth), 1, 0
    transposed, layers = struct.unpack_from("<2I", state, at)
    out = bytearray(struct.pack("<4I", *head[:3], depth)) + cell.tobytes()
    out += struct.pack("<2I", transposed, layers)
    at += 8
    repeats = (depth + cells - 1) // cells
    for part in range(2 * layers):
        flipped = part >= layers and transposed
        header = 12
        if flipped:
            number, width = struct.unpack_from("<2I", state, at + 4)
            shape, count = (width, cells * number), width * cells * number
        else:
            row = struct.unpack_from("<Q", state, at + 4)[0]
            shape, count = (1, cells * row), cells * row
        rows = np.frombuffer(state, np.uint8, count, at + header).reshape(shape)
        wanted = shape[1] // cells * depth
        out += state[at:at + header]
        out += np.ascontiguousarray(np.tile(rows, (1, repeats))[:, :wanted]).tobytes()
        at += header + count
    if at != len(state):
        sys.exit("llama.cpp's saved state has another format than this script knows")
    return out


def timed(body):
    start = time.perf_counter()
    body()
    return time.perf_counter() - start


def measure_theirs(args, context, flash):
    whole = context <= args.whole
    rows = UBATCH if context <= 8192 else args.rows
    steps = args.steps if context <= 8192 else max(4, args.steps // 4)
    side = Theirs(args.model, args.threads, context + UBATCH, flash)
    with open(args.text, "rb") as file:
        tokens = side.tokenize(file.read(), context if whole else UBATCH)
    found = {"flash_attention": bool(flash), "prefill_how": "whole" if whole else "integrated"}
    if whole:
        seconds = []
        for repeat in range(args.repeats + 1):  # the first one warms up
            side.fill(0, tokens)
            seconds.append(timed(lambda: [side.add(tokens[i:i + UBATCH], i)
                                          for i in range(0, context, UBATCH)]))
        found["prefill"] = [context / s for s in seconds[1:]]
    else:
        points = []
        for depth in (0, context // 2, context - rows):
            side.fill(depth, tokens)
            times = []
            for repeat in range(args.repeats + 1):
                side.cut(depth)
                times.append(timed(lambda d=depth: side.add(tokens[:rows], d)))
            points.append({"depth": depth, "rows": rows, "seconds": times[1:]})
        found["batches"] = points
        first, middle, last = (statistics.median(p["seconds"]) / rows for p in points)
        found["prefill"] = [6 / (first + 4 * middle + last)]
    depth = context - steps
    side.fill(depth, tokens)
    found["decode_steps"] = steps
    found["decode"] = []
    for repeat in range(args.repeats):
        side.cut(depth)
        side.add(tokens[:1], depth)
        found["decode"].append(steps / timed(lambda: [
            side.add([side.greedy()], depth + 1 + i) for i in range(steps)]))
    side.close()
    return found


def measure_ours(args, context):
    wanted = argparse.Namespace(
        cairn=args.cairn, model=args.model, adapter=args.adapter, text=args.text,
        repeats=args.repeats, repeat_below=args.repeat_below,
        more=[*args.more, "--threads", str(args.threads)])
    with tempfile.TemporaryDirectory(dir=args.scratch) as store:
        found = rates.measure(wanted, context, store)
    return {"prefill": found["prefill_tokens_per_second"],
            "decode": 1000 / found["decode_ms_per_token"], "tokens": found["tokens"],
            "cold_only_share": found["cold_only_share"]}


def cpu():
    facts = {}
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    return {"name": facts.get("model name", ""), "family": facts.get("cpu family", ""),
            "model": facts.get("model", ""), "cores": os.cpu_count()}


def write(path, value):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


def read(path, otherwise):
    if not os.path.exists(path):
        return otherwise
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def command_of(argv, args):
    """The command line as it was given, with words in place of files of this machine."""
    words = {args.cairn: "CAIRN", args.model: "MODEL", args.adapter: "ADAPTER", args.text: "TEXT",
             args.scratch: "SCRATCH", args.out: "OUT"}
    said = []
    for word in argv:
        option, equals, value = word.rpartition("=")
        said.append(option + equals + words.get(value, value))
    return shlex.join(["bench/llamacpp.py", *said])


def measure_sides(args, context, path):
    """{"ours": …, "flash1": …, "flash0": …} of a length; what the file has is taken from it."""
    ways = [("ours", lambda: measure_ours(args, context))]
    ways += [(f"flash{f}", lambda f=f: measure_theirs(args, context, f)) for f in args.flash]
    for name, measure in ways:
        sides = read(path, {})
        known = sides.setdefault(str(context), {})
        if name not in known:
            known[name] = {**measure(), "repeats": args.repeats, "command": args.command,
                           "load": os.getloadavg()[0],
                           "time": datetime.datetime.now().isoformat(timespec="seconds")}
            write(path, sides)
    return read(path, {})[str(context)]


def make_row(args, context, sides):
    ours = sides["ours"]
    theirs = [sides[f"flash{f}"] for f in args.flash]
    best = {way: max(statistics.median(side[way]) for side in theirs)
            for way in ("prefill", "decode")}
    return {"context": context, "prefill_ratio": ours["prefill"] / best["prefill"],
            "decode_ratio": ours["decode"] / best["decode"], "ours": ours,
            "theirs_best": best, "theirs": theirs}


def main(argv):
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cairn", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--text", required=True)
    parser.add_argument("--contexts", type=int, nargs="+", default=[2048, 8192, 32768, 131072])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--repeat-below", type=int, default=20000,
                        help="longer texts are read once by cairn")
    parser.add_argument("--whole", type=int, default=2048,
                        help="up to here llama.cpp reads all of the text")
    parser.add_argument("--rows", type=int, default=128,
                        help="rows of a timed batch of llama.cpp above 8192 tokens")
    parser.add_argument("--steps", type=int, default=32, help="decode steps that are timed at once")
    parser.add_argument("--flash", type=int, nargs="+", default=[1, 0],
                        help="llama.cpp with flash attention (1), without (0), or both")
    parser.add_argument("--scratch", help="folder for the stores (default: the system's)")
    parser.add_argument("--out", default=os.path.join(here, "results"))
    parser.add_argument("--again", action="store_true",
                        help="measure what was measured before, too")
    parser.add_argument("more", nargs="*", help="options for cairn")
    args = parser.parse_args(argv)
    args.command = command_of(argv, args)

    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, f"llamacpp-{datetime.date.today():%Y%m%d}.json")
    sides_path = path + ".sides"
    if args.again and os.path.exists(sides_path):
        os.remove(sides_path)
    result = read(path, {"rows": []})
    result.pop("command", None)  # of a version that wrote one for all sides
    import llama_cpp
    result.update(
        date=str(datetime.date.today()), cpu=cpu(), threads=args.threads,
        llama_cpp_python=llama_cpp.__version__, model=os.path.basename(args.model),
        cairn_options=args.more,
        unit="tokens per second; ratio = ours / theirs, medians")
    for context in args.contexts:
        row = make_row(args, context, measure_sides(args, context, sides_path))
        result["rows"] = sorted([r for r in result["rows"] if r["context"] != context] + [row],
                                key=lambda r: r["context"])
        write(path, result)
        print(f"{context:>7} tokens: prefill {row['ours']['prefill']:7.1f} to "
              f"{row['theirs_best']['prefill']:7.1f} = {row['prefill_ratio']:.2f}, decode "
              f"{row['ours']['decode']:6.1f} to {row['theirs_best']['decode']:6.1f} = "
              f"{row['decode_ratio']:.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
