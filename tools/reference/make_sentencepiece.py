"""Makes the SentencePiece reference data (needs: pip install sentencepiece protobuf).

  python make_sentencepiece.py OUT_DIR

writes OUT_DIR/sentencepiece.jsonl: first a vocabulary {"pieces", "types", "scores"}, of kind BPE and
trained here on mixed_text, types as in a GGUF's tokenizer.ggml.token_type; then {"text", "start",
"ids"}: ids as the sentencepiece library gives them for that vocabulary without normalisation, with a
space in front if "start".

Two things that real vocabularies have and small ones lack are put into it: scores shared by many
pieces (here all behind the first 250) and characters that are parts of pieces but none themselves.
"""
import io
import json
import os
import sys

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

import mixed_text

SPACE = "\u2581"
BARE = "qwy\u00e9"  # characters that are taken out


def train():
    lines = [line for text in mixed_text.texts(404, 3000, 300) for line in text.split("\n") if line]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=written, model_type="bpe", vocab_size=800,
        character_coverage=0.98, byte_fallback=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True,
        num_threads=1, minloglevel=2)
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(written.getvalue())
    kept = [p for p in model.pieces if p.piece not in set(BARE)]
    first = next(i for i, p in enumerate(kept) if p.type == 1)
    for p in kept[first + 250:]:
        p.score = -1e9
    del model.pieces[:]
    model.pieces.extend(kept)
    return model


def processor(model, start):
    """With a space in front of every text, or without one."""
    model.normalizer_spec.add_dummy_prefix = start
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def main(out):
    model = train()
    with_space, without = processor(model, True), processor(model, False)
    rows = [{"pieces": [p.piece for p in model.pieces], "types": [p.type for p in model.pieces],
             "scores": [int(p.score) for p in model.pieces]}]
    for i, t in enumerate(mixed_text.texts(77, 540, 90)):
        t = t.replace("\x00", "")  # ends a text in that library
        start = i % 2 == 0
        rows.append({"text": t, "start": start,
                     "ids": (with_space if start else without).encode(t) if t else []})
    path = os.path.join(out, "sentencepiece.jsonl")
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, len(rows), "lines", os.path.getsize(path), "bytes; pieces", len(rows[0]["pieces"]),
          "tokens", sum(len(r["ids"]) for r in rows[1:]))
    print("pieces with a space inside", [p for p in rows[0]["pieces"]
                                         if SPACE in p.lstrip(SPACE)][:20],
          "with a line break", sum("\n" in p for p in rows[0]["pieces"]))


if __name__ == "__main__":
    main(sys.argv[1])
