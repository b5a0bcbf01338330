#!/usr/bin/env python3
"""cairn.huggingface: models of transformers whose past is in a store.

Needs CAIRN_LIBRARY in the environment; skipped (77) where torch or transformers are not installed.
"""
import importlib.util
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

try:
    import torch
    import transformers
    from cairn import huggingface
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

import cairn

SMALL = {"vocab_size": 200, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
# Under which every block is read.
ALL = {"block_tokens": 16, "chunk": 32, "retrieve": 64, "recent": 64, "kv_type": "f32"}
TOKENS = 300


def small_model(kind, seed=0, **config):
    """A model of random weights, large enough that tokens matter."""
    torch.manual_seed(seed)
    made = getattr(transformers, kind + "ForCausalLM")(
        getattr(transformers, kind + "Config")(**{**SMALL, **config})).eval()
    for weight in made.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.15)
    return made


def logits_of(model, tokens):
    """By the model's own attention."""
    with torch.inference_mode():
        return model(input_ids=torch.tensor([tokens])).logits[0, -1]


class HuggingFace(unittest.TestCase):
    def setUp(self):
        directory = tempfile.mkdtemp(prefix="cairn_huggingface_")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.path = pathlib.Path(directory) / "store"
        self.store = cairn.Store(self.path, create=True)
        self.addCleanup(lambda: self.store.close())
        self.tokens = torch.randint(3, 200, (TOKENS,),
                                    generator=torch.Generator().manual_seed(4)).tolist()

    def assert_close(self, got, wanted):
        self.assertLess(float((got - wanted).abs().max() / wanted.std()), 1e-4)

    def test_with_all_blocks_logits_are_those_of_the_model(self):
        for kind, config in (("Llama", {}), ("Qwen2", {}), ("Qwen3", {"head_dim": 32}),
                             ("Granite", {"attention_multiplier": 0.1}), ("Cohere", {}),
                             ("Llama", {"rope_parameters": {
                                 "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                                 "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                 "original_max_position_embeddings": 256}})):
            with self.subTest(kind=kind, config=config):
                model = small_model(kind, **config)
                wanted = logits_of(model, self.tokens)
                name = f"{kind}{len(config)}"
                with huggingface.Memory(model, self.store, name, **ALL) as memory:
                    self.assert_close(memory.append(self.tokens), wanted)
                self.assertTrue(torch.equal(logits_of(model, self.tokens), wanted),
                                "closed, it attends as before")

    def test_a_text_is_gone_on_with_after_a_commit(self):
        model = small_model("Llama")
        few = {**ALL, "retrieve": 2}
        with huggingface.Memory(model, self.store, "whole", **few) as memory:
            memory.read(self.tokens)
            wanted = memory.generate([5, 6], 8, stop=())
            self.assertEqual(len(memory), TOKENS)
        with huggingface.Memory(model, self.store, "parts", **few) as memory:
            memory.append(self.tokens[:128])
            memory.commit()
            memory.append(self.tokens[128:160])  # and is lost
        self.store.close()
        self.store = cairn.Store(self.path)
        with huggingface.Memory(model, self.store, "parts", recent=64, retrieve=2) as memory:
            self.assertEqual(len(memory), 128)
            seen = []
            memory.read(self.tokens, lambda done, total: seen.append((done, total)))
            self.assertEqual(seen[0], (32, TOKENS - 128))
            self.assertEqual(memory.past.committed, TOKENS)
            memory.read(self.tokens)  # which changes nothing
            self.assertEqual(memory.generate([5, 6], 8, stop=()), wanted)
            with self.assertRaises(cairn.Mismatch):
                memory.read(self.tokens[1:])

    def test_an_answer_is_what_greedy_decoding_gives(self):
        model = small_model("Llama", seed=3)
        wanted = []
        for _ in range(6):
            wanted.append(int(logits_of(model, self.tokens + [7] + wanted).argmax()))
        with huggingface.Memory(model, self.store, "answer", **ALL) as memory:
            memory.read(self.tokens)
            self.assertEqual(memory.generate([7], 6, stop=()), wanted)
            self.assertEqual(len(memory), TOKENS)
            self.assertEqual(memory.generate([7], 6, stop=wanted[2:3]), wanted[:2])
            self.assertEqual(memory.generate([7], 6, stop=(), on_token=lambda _: True), wanted[:1])
            self.assertEqual(memory.generate([7], 3, stop=(), sample=lambda _: 9), [9, 9, 9])
            with self.assertRaises(ValueError):
                memory.generate([7], 0)
            memory.generate([7], 6, stop=(), keep=True, on_token=lambda token: token == wanted[3])
            kept = [7] + wanted[:wanted.index(wanted[3]) + 1]
            self.assertEqual(memory.past.tokens(TOKENS), kept)
            self.assertEqual(memory.past.committed, TOKENS + len(kept))

    def test_a_window_of_all_layers_is_the_context(self):
        for kind, config in (("Mistral", {}), ("Phimoe", {"num_local_experts": 4})):
            with self.subTest(kind=kind):
                model = small_model(kind, sliding_window=512, **config)
                few = {**ALL, "retrieve": 2}
                with huggingface.Memory(model, self.store, kind, **few) as memory:
                    self.assertEqual(memory.past.model.context, 512)
                with self.assertRaisesRegex(cairn.InvalidArgument, "context of 512"):
                    huggingface.Memory(model, self.store, kind, **ALL)

    def test_what_was_chosen_stays_behind_an_answer(self):
        with huggingface.Memory(small_model("Llama"), self.store, "chosen", **ALL) as memory:
            memory.read(self.tokens[:40])
            memory.past.choose(retrieve=2)
            memory.generate([5], 1)
            self.assertEqual(memory.past.chosen, {"retrieve": 2})

    def test_only_the_model_it_was_made_with_goes_on(self):
        with huggingface.Memory(small_model("Llama"), self.store, "mine", **ALL):
            pass
        with self.assertRaisesRegex(cairn.Mismatch, "was made with the model"):
            huggingface.Memory(small_model("Llama", seed=1), self.store, "mine", **ALL)
        model = small_model("Llama")
        model.config.rms_norm_eps = 1e-2
        with self.assertRaisesRegex(cairn.Mismatch, "was made with the model"):
            huggingface.Memory(model, self.store, "mine", **ALL)
        model = small_model("Llama")
        with huggingface.Memory(model, self.store, "mine", **ALL) as memory:
            with self.assertRaisesRegex(ValueError, "close it first"):
                huggingface.Memory(model, self.store, "other", **ALL)
            with self.assertRaisesRegex(RuntimeError, "has its past in cairn"):
                logits_of(model, [1, 2, 3])
            self.assertEqual(len(memory), 0)

    def test_models_that_it_cannot_serve_are_refused(self):
        for kind, config, why in (("Gemma2", {"head_dim": 16}, "softcap"),
                                  ("Phi", {}, "8 of 16 dimensions"),
                                  ("SmolLM3", {"no_rope_layers": [1, 0]}, "logits are off"),
                                  ("FalconH1", {"mamba_d_ssm": 64, "mamba_n_heads": 4,
                                                "mamba_d_head": 16, "mamba_d_state": 16},
                                   "logits are off"),
                                  ("Qwen2Moe", {"sliding_window": 64, "use_sliding_window": True,
                                                "max_window_layers": 1, "num_experts": 4,
                                                "moe_intermediate_size": 32,
                                                "shared_expert_intermediate_size": 32},
                                   "windows"),
                                  ("Gemma3", {}, "rotary frequencies"),
                                  ("GPT2", {}, "rotary frequencies"),
                                  ("Llama", {"rope_parameters": {
                                      "rope_type": "dynamic", "rope_theta": 10000.0,
                                      "factor": 2.0}}, "dynamic")):
            with self.subTest(kind=kind):
                if kind == "Gemma3":
                    model = transformers.Gemma3ForCausalLM(
                        transformers.Gemma3TextConfig(**SMALL, head_dim=16))
                elif kind == "GPT2":
                    model = transformers.GPT2LMHeadModel(
                        transformers.GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=200))
                else:
                    model = small_model(kind, **config)
                before = model.config._attn_implementation
                with self.assertRaisesRegex(cairn.Unsupported, why):
                    huggingface.Memory(model, self.store, "refused", **ALL)
                self.assertEqual(model.config._attn_implementation, before)
        self.assertEqual(self.store.sessions(), {})

    def test_a_step_that_fails_leaves_the_past_as_it_was(self):
        model = small_model("Llama")
        with huggingface.Memory(model, self.store, "whole", **ALL) as memory:
            memory.read(self.tokens[:64])
            hook = model.model.layers[1].register_forward_pre_hook(self.break_off)
            with self.assertRaisesRegex(RuntimeError, "on purpose"):
                memory.append(self.tokens[64:96])
            hook.remove()
            self.assertEqual(len(memory), 64)
            self.assert_close(memory.append(self.tokens[64:]), logits_of_own(model, self.tokens))

    @staticmethod
    def break_off(*_arguments):
        raise RuntimeError("on purpose")


class RealModel(unittest.TestCase):
    """SmolLM2 from its GGUF file, where there is one and transformers can read it."""

    FILE = pathlib.Path(os.environ.get("CAIRN_DEFAULT_MODEL", "/nowhere"))
    TEXT = pathlib.Path(__file__).parents[2] / "docs/cli.md"

    def test_logits_are_those_of_the_model(self):
        if not self.FILE.is_file():
            self.skipTest("no model is named")
        if None in map(importlib.util.find_spec, ("gguf", "accelerate")):
            self.skipTest("gguf and accelerate are needed to read a GGUF file")
        where = {"pretrained_model_name_or_path": str(self.FILE.parent),
                 "gguf_file": self.FILE.name}
        model = transformers.AutoModelForCausalLM.from_pretrained(**where).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        tokens = tokenizer(self.TEXT.read_text(), add_special_tokens=False).input_ids[:3000]
        wanted = logits_of(model, tokens)
        for kv_type, most in (("f32", 1e-3), ("f16", 1e-1)):
            with tempfile.TemporaryDirectory() as directory, \
                    cairn.Store(directory + "/store", create=True) as store, \
                    huggingface.Memory(model, store, "real", retrieve=64,
                                       kv_type=kv_type) as memory:
                got = memory.append(tokens)
            off = float((got - wanted).abs().max() / wanted.std())
            print(f"{kv_type}: off by {off:.1e} of the spread")
            self.assertLess(off, most)


def logits_of_own(model, tokens):
    """By the attention of the model, which has a memory that is open."""
    copy = small_model("Llama")
    copy.load_state_dict(model.state_dict())
    return logits_of(copy, tokens)


if __name__ == "__main__":
    unittest.main()
