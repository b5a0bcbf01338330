"""Makes the landmark adapter reference (needs: pip install gguf numpy tokenizers torch).

  python make_adapter.py MODEL.gguf ADAPTER.gguf TEXT OUT_DIR

writes OUT_DIR/adapter_smollm2.json for the first 2,000 tokens of TEXT (see
make_perplexity.py).  A landmark row follows every m regular tokens, all gates
are used, positions count landmark rows.  nll[p] scores ids[p+1] from the row
of ids[p]; landmark rows are neither scored nor read.  "rows" are indices of
regular tokens; per row the 8 largest logits and those at "fixed_ids".
Section "plain": the unmodified model without landmarks.
"""
import json
import math
import os
import sys

import ref_model
from make_perplexity import first_tokens

ROWS = [0, 1, 31, 62, 63, 64, 125, 126, 251, 503, 755, 1007, 1259, 1511, 1763, 1999]
FIXED = [0, 1, 2, 17, 198, 216, 253, 260] + [1000 + 3009 * i for i in range(16)]


def rows_of(model, ids):
    lg = model.logits(model.hidden(ids)[ROWS])
    out = []
    for r, row in zip(ROWS, lg):
        v, i = row.topk(8)
        out.append({"row": r, "top_ids": i.tolist(), "top_logits": [round(x, 5) for x in v.tolist()],
                    "fixed_logits": [round(x, 5) for x in row[FIXED].tolist()]})
    return out


def main(path, adapter, text, out):
    ids = first_tokens(path, text, 2000)[0]
    assert len(FIXED) == 24 and max(FIXED) < 49152
    mean = lambda x: math.fsum(x) / len(x)
    model = ref_model.Model(path, adapter)
    nll = model.nll(ids)
    a, s = model.kv, model.lora["blk.0.attn_q.weight"][2]
    res = {"tokens": len(ids), "scored": len(nll), "regular_per_block": model.m, "lora_scale": s, "rope_base": a["llama.rope.freq_base"],
           "augmented_rows": len(ids) + len(ids) // model.m, "ids": ids, "mean_nll": mean(nll), "perplexity": math.exp(mean(nll)),
           "nll": [round(x, 6) for x in nll], "fixed_ids": FIXED, "rows": rows_of(model, ids)}
    model = ref_model.Model(path, adapter, bf16=True)
    res["bf16_merged"] = {"mean_nll": mean(model.nll(ids)),
                          "note": "base + scale*B*A merged in f32, then matrices, token and landmark embedding rounded to "
                                  "bfloat16; norm vectors f32; f32 arithmetic"}
    model = ref_model.Model(path)
    res["plain"] = {"mean_nll": mean(model.nll(ids)), "rows": rows_of(model, ids)}
    print({k: v if isinstance(v, float) else v.get("mean_nll") for k, v in res.items() if k in ("mean_nll", "bf16_merged", "plain")})
    s = json.dumps(res, separators=(",", ":")).replace(',"', ',\n"').replace('{"row"', '\n{"row"')
    json.loads(s)
    with open(os.path.join(out, "adapter_smollm2.json"), "w", encoding="ascii", newline="\n") as f:
        f.write(s + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:5])
