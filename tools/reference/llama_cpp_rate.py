"""Speed of llama.cpp on the CPU (needs: pip install llama-cpp-python).

  python llama_cpp_rate.py MODEL.gguf TEXT [THREADS=2] [TOKENS=4000] [DECODE=64] [REPEATS=3] [FLASH=0]

Prefill of the first TOKENS tokens of TEXT in batches of 512, then DECODE greedy
single-token steps behind them; prints one JSON line with every repeat, the
medians in tokens per second and the load average before and after.  Uses the
low-level llama_decode so that only the last row's logits are computed and the
Python binding's own work per token stays out of the figures.  FLASH=1 turns
flash attention on.  Anything else that runs lowers the figures: look at the load.
"""
import json
import os
import statistics
import sys
import time

import llama_cpp as lc
import numpy as np


def decode(ctx, batch, tokens, start):
    batch.n_tokens = len(tokens)
    for i, t in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i] = t, start + i, 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = i == len(tokens) - 1
    assert lc.llama_decode(ctx, batch) == 0


def greedy(ctx, n_vocab):
    p = lc.llama_get_logits_ith(ctx, -1)
    return int(np.ctypeslib.as_array(p, shape=(n_vocab,)).argmax())


def main(path, text, threads=2, tokens=4000, steps=64, repeats=3, flash=0):
    m = lc.Llama(path, n_ctx=(tokens + steps + 255) // 256 * 256, n_batch=512, n_ubatch=512, n_threads=threads,
                 n_threads_batch=threads, flash_attn=bool(flash), verbose=False)
    ids = m.tokenize(open(text, "rb").read()[:tokens * 8], add_bos=False, special=False)[:tokens]
    assert len(ids) == tokens
    ctx, batch, load = m.ctx, lc.llama_batch_init(512, 0, 1), [round(x, 2) for x in os.getloadavg()]
    pre, dec = [], []
    for r in range(repeats + 1):  # the first pass only warms up
        if hasattr(lc, "llama_get_memory"):
            lc.llama_memory_clear(lc.llama_get_memory(ctx), True)
        else:
            m._ctx.kv_cache_clear()
        n = tokens if r else 512
        t0 = time.perf_counter()
        for i in range(0, n, 512):
            decode(ctx, batch, ids[i:i + 512], i)
        lc.llama_synchronize(ctx)
        t1 = time.perf_counter()
        for i in range(steps if r else 4):
            decode(ctx, batch, [greedy(ctx, m.n_vocab())], n + i)
            lc.llama_synchronize(ctx)
        t2 = time.perf_counter()
        if r:
            pre.append(tokens / (t1 - t0))
            dec.append(steps / (t2 - t1))
    med = statistics.median
    print(json.dumps({"version": lc.__version__, "threads": threads, "flash_attn": bool(flash), "context": tokens,
                      "prefill_tokens_per_s": [round(x, 1) for x in pre],
                      "decode_tokens_per_s": [round(x, 2) for x in dec],
                      "prefill_median": round(med(pre), 1), "decode_median": round(med(dec), 2),
                      "load_before": load, "load_after": [round(x, 2) for x in os.getloadavg()],
                      "system": lc.llama_print_system_info().decode()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
