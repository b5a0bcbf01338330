"""Makes the perplexity reference (needs: pip install gguf numpy tokenizers torch).

  bible -f -l 9999 "Gen1:1-Rev22:21" > TEXT        (Debian package bible-kjv)
  python make_perplexity.py MODEL.gguf TEXT OUT_DIR

writes OUT_DIR/perplexity_smollm2.json: the first 4,000 tokens of TEXT, no BOS,
no template, one dense causal pass from position 0, every token after the first
scored.  "nll" holds the negative log likelihood of the tokens at positions
1, 101, 201, ... (nll[0] is that of ids[1] given ids[0]).
A value from llama.cpp is added by llama_cpp_perplexity.py.
"""
import hashlib
import json
import math
import os
import sys

import torch

import ref_model
import ref_tokenizer


def first_tokens(model, text, n):
    data = open(text, "rb").read()
    ids = ref_tokenizer.build(model).encode(data[:n * 8].decode("utf-8")).ids[:n]
    prefix = ref_tokenizer.byte_decoder(model)(ids)
    assert len(ids) == n and data.startswith(prefix)
    return ids, prefix, data


def summary(nll):
    mean = math.fsum(nll) / len(nll)
    return {"mean_nll": mean, "perplexity": math.exp(mean), "nll": [round(x, 6) for x in nll[::100]]}


def main(model, text, out):
    ids, prefix, data = first_tokens(model, text, 4000)
    res = {"text_command": 'bible -f -l 9999 "Gen1:1-Rev22:21"', "text_sha256": hashlib.sha256(data).hexdigest(), "text_bytes": len(data),
           "text_sha256_first": hashlib.sha256(prefix).hexdigest(), "bytes": len(prefix),
           "tokens": len(ids), "scored": len(ids) - 1, "ids_first": ids[:64], "ids_last": ids[-8:],
           "ids_sha256_le_u32": hashlib.sha256(torch.tensor(ids, dtype=torch.int32).numpy().astype("<u4").tobytes()).hexdigest(),
           "nll_positions": list(range(1, len(ids), 100))}
    path = os.path.join(out, "perplexity_smollm2.json")
    old = json.load(open(path)) if os.path.exists(path) else {}
    for key, args in [("f32", {}), ("bf16_weights", {"bf16": True}), ("f64_arithmetic", {"dtype": torch.float64})]:
        s = summary(ref_model.Model(model, **args).nll(ids))
        print(key, s["mean_nll"], s["perplexity"], flush=True)
        if key == "f32":
            res.update(s)
        else:
            if key == "bf16_weights":
                s["note"] = "matrices and embedding rounded to bfloat16, norm vectors f32, f32 arithmetic"
            res[key] = s
    if "llama_cpp" in old:
        res["llama_cpp"] = old["llama_cpp"]
    with open(path, "w", encoding="ascii", newline="\n") as f:
        f.write(json.dumps(res, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
