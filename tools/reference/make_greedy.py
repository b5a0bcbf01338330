"""Makes the greedy decoding reference (needs: pip install gguf jinja2 numpy tokenizers torch).

  python make_greedy.py MODEL.gguf OUT_DIR

writes OUT_DIR/greedy_smollm2.json: the GGUF's own chat template (default system
prompt) with one user message, special tokens as single ids, then 24 greedy
tokens of the unmodified model in f32 with full recomputation ("runner_up": the
second best id of each step).  Generation does
not stop at an end token; "first_eos" is its index in "generated" (-1: none).
"margins" are the differences between the two largest logits of each step.
"""
import json
import os
import sys

import jinja2

import ref_model
import ref_tokenizer

QUESTION = "What is the capital of France?"


def main(path, out):
    model = ref_model.Model(path)
    text = jinja2.Environment().from_string(model.kv["tokenizer.chat_template"]).render(
        messages=[{"role": "user", "content": QUESTION}], add_generation_prompt=True)
    tok = ref_tokenizer.build(path, special=True)
    ids = tok.encode(text, add_special_tokens=False).ids
    got, second, margins = [], [], []
    for _ in range(24):
        v, i = model.logits(model.hidden(ids + got)[-1:])[0].topk(2)
        got.append(int(i[0]))
        second.append(int(i[1]))
        margins.append(round(float(v[0] - v[1]), 5))
    eos = model.kv["tokenizer.ggml.eos_token_id"]
    res = {"user": QUESTION, "prompt_text": text, "prompt_ids": ids, "generated": got,
           "runner_up": second, "margins": margins,
           "generated_text": tok.decode(got, skip_special_tokens=False), "eos": eos, "first_eos": got.index(eos) if eos in got else -1}
    print(res)
    with open(os.path.join(out, "greedy_smollm2.json"), "w", encoding="ascii", newline="\n") as f:
        f.write(json.dumps(res, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
