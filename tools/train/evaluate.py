#!/usr/bin/env python3
"""What landmarks cost and what they find, with the training's own code.

    evaluate.py --model MODEL.gguf --data DIR (--checkpoint FILE | --adapter FILE.gguf)
                [--windows N] [--blocks 8,16] [--samples N] [--seed S]

Cost: mean loss of the next token over windows of held-out and validation texts: the unmodified
model with full attention, and the adapter with all gates and with the best 8 blocks, on the same
tokens.
Recall: next-token accuracy on the values of planted facts, at 16, 32 and 64 blocks with k = 4.
Prints tables; the last line is one JSON document. `cairn eval` and `cairn perplexity` measure the
same through the engine.
"""

import argparse
import json
import math
import pathlib
import random

import numpy as np
import torch

import corpus
import mixture as mixtures
import model as models
import objective as objectives
import train


def losses(net, objective, hidden, targets):
    flat = hidden.reshape(-1, hidden.shape[-1])
    weight = torch.ones(len(flat))
    return (
        objective.cross_entropy(flat, net.embedding, targets.reshape(-1), weight)[1].mean().item()
    )


@torch.no_grad()
def cost_of(net, objective, ids, n, windows, rng):
    """Mean losses (unmodified, all gates, best 8) over `windows` windows of n blocks of `ids`."""
    length, sums = n * net.m, np.zeros(3)
    for _ in range(windows):
        start = rng.randrange(len(ids) - length - 1)
        window = torch.from_numpy(ids[start : start + length + 1].astype(np.int64))
        rows = torch.cat([window[:-1].view(1, n, net.m), torch.full((1, n, 1), -1)], -1).view(1, -1)
        hidden = [net.unmodified(window[None, :-1])]
        hidden += [train.regular(net(rows, k), n, net.rows) for k in (n - 1, 8)]
        sums += [losses(net, objective, h, window[1:]) for h in hidden]
    return sums / windows


@torch.no_grad()
def recall_of(net, objective, mixture, n, k, samples, rng):
    right = asked = 0
    for _ in range(samples):
        sample = mixture.planted(rng, n * net.m)
        ids, weights = torch.tensor(sample.ids), torch.tensor(sample.weights[1:])
        rows = torch.cat([ids[:-1].view(1, n, net.m), torch.full((1, n, 1), -1)], -1).view(1, -1)
        hidden = train.regular(net(rows, k), n, net.rows)[0]
        value = weights == mixtures.VALUE_WEIGHT
        target = ids[1:][value]
        hits = objective.cross_entropy(
            hidden[value], net.embedding, target, torch.ones(len(target))
        )[2]
        right, asked = right + (hits == target).sum().item(), asked + len(target)
    return right / asked


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint")
    source.add_argument("--adapter")
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--blocks", default="8,16")
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rank-qk", type=int, default=32, help="LoRA rank of q and k")
    args = parser.parse_args()
    net = models.LandmarkLlama(args.model, rank_qk=args.rank_qk)
    if args.adapter:
        net.load_adapter(args.adapter)
    else:
        net.load(torch.load(args.checkpoint, weights_only=False)["weights"])
    objective = objectives.Objective(False)
    result = {"cost": [], "recall": []}
    for n in map(int, args.blocks.split(",")):
        for part, kinds in (("held_out", corpus.HELD_OUT), ("valid", corpus.TRAINING)):
            for kind in kinds:
                ids = np.load(args.data / part / f"{kind}.npy")
                if len(ids) <= n * net.m + 1:
                    continue
                rng = random.Random(f"{args.seed}/{n}/{kind}")
                plain, gates, best = cost_of(net, objective, ids, n, args.windows, rng)
                row = {"part": part, "kind": kind, "tokens": n * net.m, "unmodified": plain}
                row |= {
                    "all_gates": gates,
                    "best_8": best,
                    "perplexity_ratio": math.exp(best - plain),
                }
                result["cost"].append(row)
                print(
                    f"{part:8} {kind:24} {n * net.m:5} tokens: {plain:.3f} unmodified, "
                    f"{gates:.3f} all gates, {best:.3f} best 8: x {math.exp(best - plain):.3f}",
                    flush=True,
                )
    mixture = mixtures.Mixture(args.data, args.model)
    for n in (16, 32, 64):
        rng = random.Random(f"{args.seed}/{n}")
        recall = recall_of(net, objective, mixture, n, 4, args.samples, rng)
        result["recall"].append({"blocks": n, "k": 4, "samples": args.samples, "recall": recall})
        print(f"recall over {n} blocks, best 4: {recall:.3f}", flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
