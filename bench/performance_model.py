#!/usr/bin/env python3
"""Bytes and operations of a step of a large model over a long past, and the time below which no
program can do it on a GPU of given bandwidths.

    bench/performance_model.py            tables, as docs/performance-model.md has them
    bench/performance_model.py --help     the shape and the device, each an option

Every figure is arithmetic from the options; nothing is measured. What is left out: norms, RoPE,
activations, sampling, launches, and every inefficiency. So the times are lower bounds.
"""
import argparse
import dataclasses

TOKENS = (131_072, 1_048_576, 10_485_760)


@dataclasses.dataclass
class Model:
    """The shape of a llama model with landmarks, and how its past is read."""
    layers: int
    hidden: int
    feed_forward: int
    query_heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    block_rows: int
    retrieve: int
    chunk: int

    def weights(self):
        """Numbers in matrices that every token meets: not the input embedding."""
        width = self.head_dim * (2 * self.query_heads + 2 * self.kv_heads)
        layer = self.hidden * width + 3 * self.hidden * self.feed_forward
        return self.layers * layer + self.hidden * self.vocabulary

    def blocks(self, tokens):
        return tokens // (self.block_rows - 1)  # the last row is the landmark's

    def heads(self):
        return self.layers * self.kv_heads

    def landmarks(self, tokens):
        """Numbers in all landmark keys."""
        return self.blocks(tokens) * self.heads() * self.head_dim

    def payload_bytes(self, number_bytes):
        """One block of one KV head: keys, values, and scales where numbers are of a byte."""
        scales = 2 * self.head_dim * 4 if number_bytes == 1 else 0
        return 2 * self.block_rows * self.head_dim * number_bytes + scales

    def chosen_bytes(self, number_bytes):
        return self.retrieve * self.heads() * self.payload_bytes(number_bytes)

    def dense_bytes(self, tokens, number_bytes):
        return 2 * tokens * self.heads() * self.head_dim * number_bytes

    def score_operations(self, keys):
        """One row's queries with `keys` keys of every KV head: multiplications and additions."""
        return 2 * keys * self.layers * self.query_heads * self.head_dim


def table(title, head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [title, ""]
    for row in [head, ["-" * width for width in widths], *rows]:
        lines.append("| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths)) + " |")
    return "\n".join(lines) + "\n"


def gigabytes(count):
    if count >= 1e12:
        return f"{count / 1e12:.3g} TB"
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def milliseconds(seconds):
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def decode_table(model, device):
    """One step of one row."""
    misses = 1 - device.hits
    weights = 2 * model.weights()
    rows = [["weights, bf16"] + [cell for _ in TOKENS for cell in
                                 (gigabytes(weights), milliseconds(weights / device.memory))]]

    def add(name, count, rate):
        cells = []
        for tokens in TOKENS:
            size = count(tokens)
            cells += [gigabytes(size), milliseconds(size / rate)]
        rows.append([name] + cells)

    add("landmarks, f16", lambda t: 2 * model.landmarks(t), device.memory)
    add("landmarks, int8", model.landmarks, device.memory)
    add("chosen blocks, f16", lambda t: model.chosen_bytes(2), device.memory)
    add("chosen blocks, int8", lambda t: model.chosen_bytes(1), device.memory)
    add("misses over the link, f16", lambda t: misses * model.chosen_bytes(2), device.link)
    add("misses over the link, int8", lambda t: misses * model.chosen_bytes(1), device.link)
    add("instead: all keys and values, f16", lambda t: model.dense_bytes(t, 2), device.memory)
    totals = []
    for tokens in TOKENS:
        seconds = (weights + model.landmarks(tokens) + model.chosen_bytes(1)) / device.memory
        link = misses * model.chosen_bytes(1) / device.link
        totals += [f"{1 / max(seconds, link):.0f} tokens/s", milliseconds(max(seconds, link))]
    rows.append(["a step of bytes (int8), link overlapped"] + totals)
    head = ["read in a decode step"] + [cell for tokens in TOKENS
                                        for cell in (f"{tokens:,} tokens", "at least")]
    return table("### Decode", head, rows)


def prefill_table(model, device):
    """A chunk of rows that share a choice per KV head."""
    products = 2 * model.weights() * model.chunk
    local = 2 * model.chunk * model.score_operations(model.chunk / 2)
    chosen = 2 * model.chunk * model.score_operations(model.retrieve * model.block_rows)
    rows = []

    def add(name, count):
        cells = []
        for tokens in TOKENS:
            operations = count(tokens)
            cells += [f"{operations / 1e12:.3g} T", milliseconds(operations / device.operations)]
        rows.append([name] + cells)

    def scan(tokens):
        return model.chunk * model.score_operations(model.blocks(tokens))

    add("products with weights", lambda t: products)
    add("landmarks, every row with every one", scan)
    add("local rows and chosen blocks", lambda t: local + chosen)
    add("instead: all keys and values", lambda t: 2 * model.chunk * model.score_operations(t))
    totals = []
    for tokens in TOKENS:
        seconds = (products + scan(tokens) + local + chosen) / device.operations
        totals += [f"{model.chunk / seconds:,.0f} tokens/s", milliseconds(seconds)]
    rows.append(["a chunk"] + totals)
    head = [f"operations of a chunk of {model.chunk} rows"]
    head += [cell for tokens in TOKENS for cell in (f"{tokens:,} tokens", "at least")]
    return table("### Prefill", head, rows)


def memory_table(model, device):
    rows = []

    def add(name, count):
        rows.append([name] + [gigabytes(count(tokens)) for tokens in TOKENS])

    def payloads(number_bytes):
        return lambda t: model.blocks(t) * model.heads() * model.payload_bytes(number_bytes)

    add("landmarks, f16", lambda t: 2 * model.landmarks(t))
    add("landmarks, int8", model.landmarks)
    add("payloads, f16", payloads(2))
    add("payloads, int8", payloads(1))
    add(f"{100 * device.resident:.0f} % of them, int8",
        lambda t: device.resident * payloads(1)(t))
    add("where each block is, 8 bytes", lambda t: 8 * model.blocks(t) * model.heads())
    return table("### Memory", ["kept"] + [f"{tokens:,} tokens" for tokens in TOKENS], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    for name, value in (("layers", 32), ("hidden", 4096), ("feed-forward", 14336),
                        ("query-heads", 32), ("kv-heads", 8), ("head-dim", 128),
                        ("vocabulary", 128256), ("block-rows", 64), ("retrieve", 32),
                        ("chunk", 512)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value, unit in (("memory", 4.8e12, "bytes/s"), ("link", 63e9, "bytes/s"),
                              ("operations", 989e12, "1/s, 16-bit products"),
                              ("hits", 0.9, "share of chosen blocks that are in VRAM"),
                              ("resident", 0.05, "share of payloads kept in VRAM")):
        parser.add_argument(f"--{name}", type=float, default=value, metavar="X",
                            help=f"{unit} (default {value:g})")
    options = parser.parse_args()
    model = Model(*(getattr(options, field.name) for field in dataclasses.fields(Model)))
    print(decode_table(model, options))
    print(prefill_table(model, options))
    print(memory_table(model, options), end="")


if __name__ == "__main__":
    main()
