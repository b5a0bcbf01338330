"""The model's tokenizer, and the chat shape that `cairn ask` makes."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "reference"))
import ref_tokenizer  # noqa: E402

SYSTEM = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n"
)


def build(model):
    """A Hugging Face tokenizer of the GGUF file's vocabulary; control tokens are recognised."""
    return ref_tokenizer.build(model, special=True)
