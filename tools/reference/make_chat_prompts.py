"""Makes the chat prompts that the tests compare with (needs: pip install jinja2 sentencepiece
protobuf).

  python make_chat_prompts.py DATA_DIR

reads the vocabulary of DATA_DIR/sentencepiece.jsonl and writes DATA_DIR/chat_prompts.jsonl: {"name",
"template", "controls", "messages", "text", "ids"}. Templates are rendered by Jinja as `transformers`
does, with bos in front of those that write none. "controls" are tokens that stand behind the
vocabulary's. Ids are made as llama.cpp does: text between control tokens is encoded by itself with a
space in front; a space that the template has there is that one, as in the prompts that Mistral's own
library makes.
"""
import json
import os
import re
import sys

import sentencepiece
from jinja2.sandbox import ImmutableSandboxedEnvironment
from sentencepiece import sentencepiece_model_pb2

from chat_templates import TEMPLATES

PLAIN = [("user", "Hello there, what is the river's name?"), ("assistant", "The old one, by far."),
         ("user", "Another question\n\nwith 2 lines?")]
SPACED = [("user", " Hello\n"), ("assistant", "  I waited. "), ("user", "\nAnd then? ")]
SYSTEM = [("system", "Be brief.\nBe kind."), *PLAIN]
SYSTEM_IN_FRONT = {"llama-2", "mistral-v0.2"}  # of what the first user says
TRIMS_ALL = {"llama-2"}
TRIMS_ANSWERS = {"mistral-v0.3"}


def processors(vocabulary):
    model = sentencepiece_model_pb2.ModelProto()
    for piece, kind, score in zip(*(vocabulary[k] for k in ("pieces", "types", "scores"))):
        p = model.pieces.add()
        p.piece, p.type, p.score = piece, kind, score
    model.trainer_spec.model_type = 2
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = len(model.pieces)
    model.trainer_spec.pad_id = -1
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.remove_extra_whitespaces = False
    made = []
    for space in (False, True):
        model.normalizer_spec.add_dummy_prefix = space
        made.append(sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString()))
    return made


def render(template, messages):
    def raise_exception(message):
        raise ValueError(message)
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.globals["raise_exception"] = raise_exception
    return env.from_string(template).render(
        messages=[{"role": r, "content": c} for r, c in messages], bos_token="<s>",
        eos_token="</s>", add_generation_prompt=True)


def encode(text, control, bare, spaced):
    ids = []
    for part in re.split("(" + "|".join(map(re.escape, control)) + ")", text):
        if part in control:
            ids.append(control[part])
        elif part:
            ids += (bare if part.startswith(" ") else spaced).encode(part)
    return ids


def cases(name):
    yield PLAIN[:1]
    yield PLAIN
    if name in SYSTEM_IN_FRONT:
        yield SYSTEM
    if name in TRIMS_ALL:
        yield SPACED
    if name in TRIMS_ANSWERS:
        yield [PLAIN[0], SPACED[1], PLAIN[2]]


def main(data):
    with open(os.path.join(data, "sentencepiece.jsonl"), encoding="utf-8") as f:
        vocabulary = json.loads(f.readline())
    bare, spaced = processors(vocabulary)
    rows = []
    for name, (template, controls) in TEMPLATES.items():
        control = {"<s>": 1, "</s>": 2}
        control |= {c: len(vocabulary["pieces"]) + i for i, c in enumerate(controls)}
        for messages in cases(name):
            text = render(template, messages)
            if not text.startswith("<s>"):
                text = "<s>" + text
            rows.append({"name": name, "template": template, "controls": controls,
                         "messages": messages, "text": text,
                         "ids": encode(text, control, bare, spaced)})
            print(name, repr(text))
    path = os.path.join(data, "chat_prompts.jsonl")
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, len(rows), "lines", os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main(sys.argv[1])
