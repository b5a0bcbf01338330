"""Hugging Face tokenizer made from the vocabulary and merges of a GGUF file.

Pre-tokenizer "smollm": Digits(individual_digits=True), then
ByteLevel(add_prefix_space=False, use_regex=True).  Special-token strings are
ordinary text unless special=True.
"""
import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers


def fields(path):
    return gguf.GGUFReader(path).fields


def smollm_pre():
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])


def build(path, special=False):
    f = fields(path)
    tokens = f["tokenizer.ggml.tokens"].contents()
    types = f["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in f["tokenizer.ggml.merges"].contents()]
    assert f["tokenizer.ggml.pre"].contents() == "smollm" and all(len(m) == 2 for m in merges)
    t = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(tokens)}, merges=merges))
    t.pre_tokenizer = smollm_pre()
    t.decoder = decoders.ByteLevel()
    if special:
        t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s, k in zip(tokens, types) if k == 3])
    return t


def byte_of():
    """GPT-2 alphabet: printable stand-in character -> byte value."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    m, n = {chr(b): b for b in keep}, 0
    for b in range(256):
        if b not in keep:
            m[chr(256 + n)] = b
            n += 1
    return m


def byte_decoder(path):
    """Function from ids to their exact bytes (no clean-up, no replacement characters)."""
    tokens, m = fields(path)["tokenizer.ggml.tokens"].contents(), byte_of()
    return lambda ids: bytes(m[c] for i in ids for c in tokens[i])
