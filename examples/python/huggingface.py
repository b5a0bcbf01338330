#!/usr/bin/env python3
"""Reads a text of any length with a model of the transformers library, and goes on from a prompt.
What was read stays in the store: the second time only the prompt is.

  huggingface.py STORE SESSION MODEL TEXT_FILE PROMPT

MODEL is what from_pretrained takes, or a GGUF file (which wants the packages gguf and accelerate).
"""
import os
import sys
import time

import cairn
import cairn.huggingface
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(directory, session, name, text_file, prompt):
    where = {"pretrained_model_name_or_path": name}
    if name.endswith(".gguf"):
        folder, file = os.path.split(name)
        where = {"pretrained_model_name_or_path": folder or ".", "gguf_file": file}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where).eval()

    def tokens(text):
        return tokenizer(text, add_special_tokens=False).input_ids

    def tell(done, total):
        print(f"\r{done} of {total} tokens", end="", file=sys.stderr)

    with open(text_file, encoding="utf-8") as file:
        text = file.read()
    with cairn.Store(directory, create=True) as store, \
            cairn.huggingface.Memory(model, store, session) as memory:
        start = time.monotonic()
        memory.read(tokens(text), tell)
        print(f" in {time.monotonic() - start:.1f} s", file=sys.stderr)
        print(tokenizer.decode(memory.generate(tokens(prompt))))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (cairn.Error, OSError) as error:
        sys.exit(f"huggingface.py: {error}")
