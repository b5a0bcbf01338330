#!/usr/bin/env python3
"""Writes a checkpoint of train.py as a GGUF adapter.

    export.py --model MODEL.gguf --checkpoint DIR/checkpoint.pt --out ADAPTER.gguf

LoRA factors are stored in f16, the landmark's input vector in f32. Rows of q and k go back from
halves to GGUF's interleaved rotary pairs.
"""

import argparse

import gguf
import numpy as np
import torch

import model as models

# The span of rows that the engine may put in front of a row. Training itself spans up to 768: seven
# chosen blocks, the empty slot, up to three blocks of distance, the own block. The base model knows
# 8,192 positions, so some more is no stranger to it: enough for 8 blocks with steps of 256 rows.
TRAINED_CONTEXT = 2048


def tensors(net):
    """(name in GGUF, array) of the trained parameters, in the file's order of pairs."""
    for i, layer in enumerate(net.layers):
        for name in models.PROJECTIONS:
            b = layer[name].b.detach()
            heads = {"attn_q": net.heads, "attn_k": net.kv_heads}.get(name)
            if heads:
                order = models.half_split(len(b), heads, net.dim)
                b = torch.empty_like(b).index_copy_(0, order, b)
            # The file has one alpha for all; llama.cpp's scale is alpha / rank, which is ours.
            for suffix, factor in (("a", layer[name].a.detach()), ("b", b)):
                yield f"blk.{i}.{name}.weight.lora_{suffix}", factor.numpy().astype(np.float16)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    state = torch.load(args.checkpoint, weights_only=False)
    net = models.LandmarkLlama(args.model)
    net.load(state["weights"])
    writer = gguf.GGUFWriter(args.out, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", net.alpha)
    writer.add_string("general.name", "SmolLM2-135M-Instruct landmark adapter")
    writer.add_string("general.license", "apache-2.0")
    writer.add_uint32("cairn.landmark.regular_tokens", net.m)
    writer.add_bool("cairn.landmark.in_loss", False)
    writer.add_uint32("cairn.landmark.trained_context", TRAINED_CONTEXT)
    writer.add_string("cairn.landmark.selection", "per_chunk")
    writer.add_uint32("cairn.training.steps", state["done"])
    for name, array in tensors(net):
        writer.add_tensor(name, array)
    writer.add_tensor("cairn.landmark.embedding", net.landmark.detach().float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{args.out}: {state['done']} steps")


if __name__ == "__main__":
    main()
