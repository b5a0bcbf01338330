"""Makes a tiny random landmark model and what it must compute.

Needs: pip install gguf numpy torch.

  python make_tiny_landmark.py OUT_DIR [SEED]

writes OUT_DIR/tiny_landmark/{model.gguf,adapter.gguf,logits.json}.  All logits are of float64
arithmetic on the files' own weights.  "ids" are the regular tokens (a landmark row follows every m
of them); each "logits" has one row per regular token with the logits of "logit_ids".  "dense" is
the grouped softmax over all blocks; chunks of "dense_chunks" rows with every block chosen are
checked here to give the same.  "cases" choose k blocks: "chosen" is [step][layer][KV head]
[row, or one entry for the step][k].  Chunks count rows of the augmented sequence.  "margin" is the
smallest gap in log weight between a chosen block and one that was left out.
"""
import json
import os
import sys

import gguf
import numpy as np
import torch

import ref_model
import ref_stream

LAYERS, HEADS, KV_HEADS, DIM, FFN, VOCAB = 2, 4, 2, 16, 96, 128
REGULAR, RANK, ALPHA, CONTEXT, TOKENS = 7, 4, 8.0, 256, 100
HIDDEN = HEADS * DIM
SEED = 4  # the first that keeps f32 from flipping a choice
MATRICES = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (KV_HEADS * DIM, HIDDEN),
            "attn_v": (KV_HEADS * DIM, HIDDEN), "attn_output": (HIDDEN, HIDDEN),
            "ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN), "ffn_down": (HIDDEN, FFN)}
LOGIT_IDS = [0, 1, 17, 42, 63, 64, 100, 127]
DENSE_CHUNKS = [16, 12, 5]
CASES = [("per_chunk", 2, 12), ("per_token", 2, 12), ("per_token_shared_heads", 3, 5)]


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_model(path, rng):
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("model")
    w.add_name("tiny landmark")
    w.add_block_count(LAYERS)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_rope_freq_base(10000.0)
    w.add_rope_dimension_count(DIM)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(VOCAB)
    matrix = lambda n_out, n_in, deviation: rng.normal(0, deviation, (n_out, n_in))
    norm = lambda: rng.normal(1, 0.1, HIDDEN).astype(np.float32)
    w.add_tensor("token_embd.weight", matrix(VOCAB, HIDDEN, 1.0).astype(np.float16))
    for b in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            w.add_tensor(f"blk.{b}.{name}.weight", norm())
        for name, (n_out, n_in) in MATRICES.items():
            # Queries and keys are larger, so that attention is sharp.
            deviation = (1.5 if name in ("attn_q", "attn_k") else 1.0) / n_in ** 0.5
            w.add_tensor(f"blk.{b}.{name}.weight",
                         matrix(n_out, n_in, deviation).astype(np.float16))
    w.add_tensor("output_norm.weight", norm())
    write(w)


def write_adapter(path, rng):
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", ALPHA)
    w.add_uint32("cairn.landmark.regular_tokens", REGULAR)
    w.add_bool("cairn.landmark.in_loss", False)
    w.add_uint32("cairn.landmark.trained_context", CONTEXT)
    w.add_string("cairn.landmark.selection", "per_chunk")
    w.add_tensor("cairn.landmark.embedding", rng.normal(0, 1, HIDDEN).astype(np.float32))
    for b in range(LAYERS):
        for name, (n_out, n_in) in MATRICES.items():
            a, b_factor = rng.normal(0, 0.1, (RANK, n_in)), rng.normal(0, 0.1, (n_out, RANK))
            w.add_tensor(f"blk.{b}.{name}.weight.lora_a", a.astype(np.float16))
            w.add_tensor(f"blk.{b}.{name}.weight.lora_b", b_factor.astype(np.float16))
    write(w)


def main(out, seed=SEED):
    folder = os.path.join(out, "tiny_landmark")
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, name) for name in ("model.gguf", "adapter.gguf")]
    rng = np.random.default_rng(int(seed))
    write_model(paths[0], rng)
    write_adapter(paths[1], rng)
    ids = rng.integers(0, VOCAB, TOKENS).tolist()
    rows = []
    for i in range(0, TOKENS, REGULAR):
        part = ids[i:i + REGULAR]
        rows += part + ([-1] if len(part) == REGULAR else [])

    model = ref_model.Model(*paths, dtype=torch.float64)
    shown = lambda hidden: [[round(x, 6) for x in row]
                            for row in model.logits(hidden)[:, LOGIT_IDS].tolist()]
    dense = model.hidden(ids)
    for chunk in DENSE_CHUNKS:
        stream = ref_stream.Stream(model, len(rows) // (REGULAR + 1), "per_token")
        hidden, _ = stream.run(rows, chunk)
        error = (model.logits(hidden) - model.logits(dense)).abs().max().item()
        print("chunk", chunk, "apart from dense by", error)
        assert error < 1e-10
    res = {"seed": int(seed), "regular_tokens": REGULAR, "ids": ids, "logit_ids": LOGIT_IDS,
           "dense": shown(dense), "dense_chunks": DENSE_CHUNKS, "cases": []}
    for selection, k, chunk in CASES:
        stream = ref_stream.Stream(model, k, selection)
        hidden, chosen = stream.run(rows, chunk)
        apart = (model.logits(hidden) - model.logits(dense)).abs().max().item()
        print(selection, "margin", stream.margin, "apart from dense by", apart)
        res["cases"].append({"selection": selection, "k": k, "chunk": chunk,
                             "margin": stream.margin, "logits": shown(hidden), "chosen": chosen})
    assert min(case["margin"] for case in res["cases"]) > 1e-3, "f32 could flip a choice"
    text = json.dumps(res, separators=(",", ":")).replace(',"', ',\n"')
    with open(os.path.join(folder, "logits.json"), "w", encoding="ascii", newline="\n") as f:
        f.write(text + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
