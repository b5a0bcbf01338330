"""Adds llama.cpp's value to the perplexity reference (needs: pip install llama-cpp-python and make_perplexity.py's packages).

  python llama_cpp_perplexity.py MODEL.gguf TEXT OUT_DIR

One context of 4,096, the same 4,000 ids as make_perplexity.py, logits of every
row, f16 KV cache as llama.cpp has it by default.  Also says whether llama.cpp's
own tokenizer gives the same ids for TEXT and for tokenizer_smollm2.jsonl.
"""
import json
import math
import os
import sys

import llama_cpp
import numpy as np

from make_perplexity import first_tokens


def main(path, text, out):
    ids, prefix, _ = first_tokens(path, text, 4000)
    m = llama_cpp.Llama(path, n_ctx=4096, n_batch=512, n_ubatch=512, n_threads=2, n_threads_batch=2, logits_all=True, verbose=False)
    same_text = m.tokenize(prefix, add_bos=False, special=False) == ids
    nll, step = [], 500
    for i in range(0, len(ids), step):
        m.eval(ids[i:i + step])
        rows = np.asarray(m.scores[i:i + step], dtype=np.float64)
        for r, y in zip(rows, ids[i + 1:i + 1 + step]):
            top = r.max()
            nll.append(float(np.log(np.exp(r - top).sum()) + top - r[y]))
    assert len(nll) == len(ids) - 1
    mean = math.fsum(nll) / len(nll)
    lines = [json.loads(s) for s in open(os.path.join(out, "tokenizer_smollm2.jsonl"), encoding="utf-8")]
    other = [x["text"] for x in lines if m.tokenize(x["text"].encode("utf-8"), add_bos=False, special=False) != x["ids"]]
    for t in other[:40]:
        print("llama.cpp tokenises differently:", ascii(t)[:160])
    file = os.path.join(out, "perplexity_smollm2.json")
    res = json.load(open(file))
    res["llama_cpp"] = {"version": "llama-cpp-python " + llama_cpp.__version__, "mean_nll": mean, "perplexity": math.exp(mean),
                        "nll": [round(x, 6) for x in nll[::100]], "same_ids_for_text": same_text,
                        "tokenizer_lines": len(lines), "tokenizer_lines_different": len(other)}
    print({k: v for k, v in res["llama_cpp"].items() if k != "nll"})
    with open(file, "w", encoding="ascii", newline="\n") as f:
        f.write(json.dumps(res, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
