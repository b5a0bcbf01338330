"""Makes tiny random models of every architecture, and what Hugging Face transformers says of them
(needs: pip install gguf numpy torch transformers).

  python make_architectures.py OUT_DIR

writes OUT_DIR/NAME.gguf for llama, qwen2 and qwen3, in f32 and named as llama.cpp's converter names
them (q and k of a llama in its order of rows), and OUT_DIR/logits.json: of each, token ids and the
float64 logits after some of them, one dense causal pass.
"""
import json
import os
import sys

import gguf
import numpy as np
import torch
import transformers

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 40, "max_position_embeddings": 512,
         "rms_norm_eps": 1e-5, "rope_theta": 5000.0, "tie_word_embeddings": False}
KINDS = {"llama": transformers.LlamaForCausalLM, "qwen2": transformers.Qwen2ForCausalLM,
         "qwen3": transformers.Qwen3ForCausalLM}
IDS, SAID = 60, (0, 1, 7, 30, 59)  # tokens, and those whose logits are kept
LAYER = {"input_layernorm.weight": "attn_norm.weight", "post_attention_layernorm.weight": "ffn_norm.weight",
         "self_attn.q_proj.weight": "attn_q.weight", "self_attn.k_proj.weight": "attn_k.weight",
         "self_attn.v_proj.weight": "attn_v.weight", "self_attn.o_proj.weight": "attn_output.weight",
         "self_attn.q_proj.bias": "attn_q.bias", "self_attn.k_proj.bias": "attn_k.bias",
         "self_attn.v_proj.bias": "attn_v.bias", "self_attn.q_norm.weight": "attn_q_norm.weight",
         "self_attn.k_norm.weight": "attn_k_norm.weight", "mlp.gate_proj.weight": "ffn_gate.weight",
         "mlp.up_proj.weight": "ffn_up.weight", "mlp.down_proj.weight": "ffn_down.weight"}
OTHERS = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
          "lm_head.weight": "output.weight"}


def gguf_name(name):
    if name in OTHERS:
        return OTHERS[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{LAYER[rest]}"


def interleaved(weight):
    """Rows of each head from halves to pairs."""
    dim = SIZES["head_dim"]
    return weight.reshape(-1, 2, dim // 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def model_of(kind, seed):
    torch.manual_seed(seed)
    config = KINDS[kind].config_class(**SIZES)
    assert config.rope_parameters["rope_theta"] == SIZES["rope_theta"], config
    model = KINDS[kind](config).eval()
    with torch.no_grad():
        for name, x in model.named_parameters():
            x.copy_(torch.randn(x.shape) * 0.3 + (1.0 if "norm" in name else 0.0))
            if "q_proj.weight" in name or "k_proj.weight" in name:
                x.mul_(2.0)  # sharp attention
    return model


def write(kind, model, path):
    w = gguf.GGUFWriter(path, kind)
    w.add_type("model")
    w.add_block_count(SIZES["num_hidden_layers"])
    w.add_context_length(SIZES["max_position_embeddings"])
    w.add_embedding_length(SIZES["hidden_size"])
    w.add_feed_forward_length(SIZES["intermediate_size"])
    w.add_head_count(SIZES["num_attention_heads"])
    w.add_head_count_kv(SIZES["num_key_value_heads"])
    w.add_key_length(SIZES["head_dim"])
    w.add_value_length(SIZES["head_dim"])
    w.add_rope_freq_base(SIZES["rope_theta"])
    w.add_layer_norm_rms_eps(SIZES["rms_norm_eps"])
    for name, x in model.named_parameters():
        x = x.detach().numpy()
        if kind == "llama" and ("q_proj" in name or "k_proj" in name):
            x = interleaved(x)
        w.add_tensor(gguf_name(name), np.ascontiguousarray(x))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main(out):
    logits = {"made_by": f"transformers {transformers.__version__}, float64", "models": {}}
    for seed, kind in enumerate(KINDS, 1):
        model = model_of(kind, seed)
        write(kind, model, os.path.join(out, kind + ".gguf"))
        ids = [int(i) for i in np.random.default_rng(seed).integers(0, SIZES["vocab_size"], IDS)]
        with torch.no_grad():
            rows = model.double()(torch.tensor([ids])).logits[0]
        logits["models"][kind] = {"ids": ids, "positions": list(SAID),
                                  "logits": [[round(x, 7) for x in rows[i].tolist()] for i in SAID]}
    with open(os.path.join(out, "logits.json"), "w", encoding="ascii", newline="\n") as f:
        f.write(json.dumps(logits) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
