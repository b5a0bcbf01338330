"""Training samples: plain text, text that repeats itself, and planted facts with questions.

A sample is N + 1 token ids and what predicting each of them weighs. Tokens of weight 0 are neither
answers nor repeated: there the unmodified model teaches too.
"""

import dataclasses
import pathlib
import random

import numpy as np

import corpus
import facts
import vocabulary

PAPER_FILLER = (
    " The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
)
PREFACES = (
    "There is important information hidden in the text below. Find it and memorize it.\n",
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it.\n",
    "Read this text.\n\n",
)
VALUE_WEIGHT = 4.0  # the words an answer is judged by
ANSWER_WEIGHT = 1.0  # the rest of an answer, and its end
COPY_WEIGHT = 1.5


@dataclasses.dataclass
class Sample:
    ids: list
    weights: list


class Mixture:
    def __init__(self, data, model):
        """`data` is what prepare.py wrote; `model` the GGUF file."""
        self.tokenizer = vocabulary.build(model)
        self.texts, self.shares = [], []
        for kind, (_, share) in corpus.TRAINING.items():
            path = pathlib.Path(data) / "train" / f"{kind}.npy"
            self.texts.append(np.load(path, mmap_mode="r"))
            self.shares.append(share)
        self.line_ends = {
            i for token, i in self.tokenizer.get_vocab().items() if token.endswith("\u010a")
        }
        self.paper = self.encode(PAPER_FILLER)

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def text(self, rng, count):
        source = rng.choices(self.texts, self.shares)[0]
        start = rng.randrange(max(1, len(source) - count - 1))
        return source[start : start + count].tolist()

    def filler(self, rng, count):
        """Mostly one real text, at times two, at times the paper's filler."""
        draw = rng.random()
        if draw < 0.08:
            return (self.paper * (count // len(self.paper) + 1))[:count]
        if draw < 0.3:
            first = rng.randrange(1, count)
            return self.text(rng, first) + self.text(rng, count - first)
        return self.text(rng, count)

    def plain(self, rng, tokens):
        return Sample(self.text(rng, tokens + 1), [0.0] * (tokens + 1))

    def copied(self, rng, tokens):
        """Text that ends with passages of itself; the first few tokens of each say which."""
        passages, room = [], tokens + 1
        for _ in range(max(1, tokens // 1000)):
            passages.append(rng.randrange(40, 120))
            room -= passages[-1] + 2
        ids = self.text(rng, room)
        weights = [0.0] * room
        body = list(ids)
        gap = self.encode("\n\n")
        gap = (gap * 2)[:2]
        for length in passages:
            start = rng.randrange(room - length)
            ids += gap + body[start : start + length]
            weights += [0.0] * 8 + [COPY_WEIGHT] * (length - 6)
        return Sample(ids, weights)

    def _exchange(self, rng, fact, chat, first):
        """Question and answer; (ids, weights)."""
        question = fact.question
        draw = rng.random()
        if draw < 0.12:
            question = question[:-1] + rng.choice(
                (" mentioned in the provided text?", " mentioned in the text above?")
            )
        elif draw < 0.2:
            question = (
                rng.choice(("According to the text, ", "From the text: "))
                + question[0].lower()
                + question[1:]
            )
        before, value = fact.before, fact.value
        if chat:
            opening = "\n\n" if first else "<|im_start|>user\n"
            asked = self.encode(f"{opening}{question}<|im_end|>\n<|im_start|>assistant\n")
            closing = "<|im_end|>\n"
        else:
            form = rng.choice(("\n{}\n", "\n\nQuestion: {}\nAnswer: ", "\n\n{}\n"))
            asked = self.encode(form.format(question))
            closing = "\n"
        lead = before.rstrip(" ")
        # A space is a token of its own in front of a digit, and part of a word that follows it.
        spaced = " " if before.endswith(" ") else ""
        answer = [(self.encode(lead) if lead else [], ANSWER_WEIGHT)]
        if value[0].isdigit():
            answer += [
                (self.encode(spaced) if spaced else [], ANSWER_WEIGHT),
                (self.encode(value), VALUE_WEIGHT),
            ]
        else:
            answer += [(self.encode(spaced + value), VALUE_WEIGHT)]
        answer += [(self.encode(fact.after + closing), ANSWER_WEIGHT)]
        ids, weights = list(asked), [0.0] * len(asked)
        for part, weight in answer:
            ids += part
            weights += [weight] * len(part)
        return ids, weights

    def _borders(self, body):
        """Places where a line begins, or anywhere if there are few."""
        borders = [i + 1 for i, token in enumerate(body) if token in self.line_ends]
        return borders if len(borders) > 20 else list(range(len(body) + 1))

    def planted(self, rng, tokens):
        """Facts in a text and questions at its end: mostly the shape of `cairn ask`."""
        most = max(2, min(16, tokens // 250))
        asked = rng.randrange(1, most + 1)
        known = facts.draw(rng, min(asked + rng.choice((0, 1, 2, 4)), most + 4))
        chat = rng.random() < 0.7
        tail, tail_weights = [], []
        for i, fact in enumerate(rng.sample(known, asked)):
            ids, weights = self._exchange(rng, fact, chat, i == 0)
            tail += ids
            tail_weights += weights
        head = self.encode(vocabulary.SYSTEM + "<|im_start|>user\n") if chat else []
        if rng.random() < 0.25:
            head = head + self.encode(rng.choice(PREFACES))
        lines = rng.random() < 0.5  # facts on lines of their own, or within the text
        sentences = []
        for fact in known:
            place = sorted(rng.random() for _ in fact.sentences)
            for at, sentence in zip(place, fact.sentences):
                sentences.append((at, self.encode(f"{sentence}\n" if lines else f" {sentence}")))
        sentences.sort(key=lambda item: item[0])
        room = tokens + 1 - len(head) - len(tail) - sum(len(ids) for _, ids in sentences)
        if room < 40:
            return self.planted(rng, tokens)
        body = self.filler(rng, room)
        borders = self._borders(body) if lines else list(range(room + 1))
        out, previous = list(head), 0
        for at, ids in sentences:
            cut = max(previous, borders[min(int(at * len(borders)), len(borders) - 1)])
            out += body[previous:cut] + ids
            previous = cut
        out += body[previous:]
        weights = [0.0] * len(out) + tail_weights
        return Sample(out + tail, weights)

    def draw(self, rng, tokens, plain_share, copied_share):
        draw = rng.random()
        if draw < plain_share:
            return self.plain(rng, tokens)
        if draw < plain_share + copied_share:
            return self.copied(rng, tokens)
        return self.planted(rng, tokens)


if __name__ == "__main__":
    import sys

    mixture = Mixture(sys.argv[1], sys.argv[2])
    generator = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    for maker in (mixture.planted, mixture.copied):
        sample = maker(generator, 504)
        assert len(sample.ids) == len(sample.weights) == 505
        print(mixture.tokenizer.decode(sample.ids, skip_special_tokens=False))
        print([(mixture.tokenizer.decode([i]), w) for i, w in zip(sample.ids, sample.weights) if w])
