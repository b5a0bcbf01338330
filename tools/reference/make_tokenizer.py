"""Makes the tokenizer reference data (needs: pip install gguf tokenizers).

  python make_tokenizer.py MODEL.gguf OUT_DIR

writes OUT_DIR/tokenizer_smollm2.jsonl  {"text", "ids"}: ids as Hugging Face
`tokenizers` gives them for the GGUF's vocabulary; special-token strings inside
the text are encoded as plain text, nothing is added in front or behind, and
bytes that the vocabulary has no token for are dropped before any merge (BPE
without unk_token);
and OUT_DIR/pretokenize.jsonl  {"pre", "text", "bytes"}: byte lengths of the
UTF-8 pieces of the text under the pre-tokenizers gpt-2, llama-bpe, qwen2 and
smollm (PATTERNS below, Oniguruma as in `tokenizers`).
"""
import json
import os
import sys

from tokenizers import Regex, pre_tokenizers

import mixed_text
import ref_tokenizer

# gpt-2 (also built into ByteLevel with use_regex=True):
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# Llama 3:
LLAMA_BPE = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
             r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Qwen 2 and 2.5:
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# smollm: every \p{N} character alone, then GPT2 on what lies between.


def split_with(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


PATTERNS = {"gpt-2": split_with(GPT2), "llama-bpe": split_with(LLAMA_BPE),
            "qwen2": split_with(QWEN2), "smollm": ref_tokenizer.smollm_pre()}


def write(path, rows):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, len(rows), "lines", os.path.getsize(path), "bytes")


def main(model, out):
    texts = mixed_text.texts(20240, 2400, 600)
    tok = ref_tokenizer.build(model)
    decode = ref_tokenizer.byte_decoder(model)
    rows, lossy = [], 0
    for t in texts:
        ids = tok.encode(t).ids
        lossy += decode(ids) != t.encode("utf-8")
        rows.append({"text": t, "ids": ids})
    write(os.path.join(out, "tokenizer_smollm2.jsonl"), rows)
    print("tokens", sum(len(r["ids"]) for r in rows), "texts that do not decode to themselves", lossy)
    have = set(tok.get_vocab())
    print("bytes without a token", [hex(b) for c, b in ref_tokenizer.byte_of().items() if c not in have])

    builtin = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    rows = []
    for t in mixed_text.texts(31, 300, 80):
        for name, pre in PATTERNS.items():
            n = [len(p) for p, _ in pre.pre_tokenize_str(t)]  # one stand-in character per byte
            assert sum(n) == len(t.encode("utf-8")), (name, t)
            if name == "gpt-2":
                assert n == [len(p) for p, _ in builtin.pre_tokenize_str(t)], t
            rows.append({"pre": name, "text": t, "bytes": n})
    write(os.path.join(out, "pretokenize.jsonl"), rows)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
