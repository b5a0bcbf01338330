#!/usr/bin/env python3
"""Trains the landmark adapter.

    train.py --model MODEL.gguf --data DIR --out DIR [--steps N] [--seed S] [--threads N]
             [--start ADAPTER.gguf]

DIR of --data is what prepare.py wrote. --out gets checkpoint.pt (every --save steps and at the end;
the same command goes on from it) and log.jsonl (a line every ten steps). Ctrl-C or SIGTERM saves
and stops. A run is fixed by --seed, --steps and the number of threads; a resumed one may be given
other --steps. --start begins with the weights of an adapter that export.py wrote, and with the last
part of the curriculum.
"""

import argparse
import json
import math
import pathlib
import random
import signal
import sys
import time

import torch
import torch.nn.functional as F

import mixture as mixtures
import model as models
import objective as objectives

# Until this share of the steps: (sequences, blocks, k) drawn from, and the shares of plain and
# copied text. First all gates are open, which teaches landmarks fastest; then only the best few,
# over more and more blocks, which makes the gates sharp; at last as many as `cairn ask` opens.
CURRICULUM = (
    (0.22, ((4, 8, 7),), 0.3, 0.10),
    (0.45, ((4, 8, 7), (2, 16, 4), (2, 16, 4)), 0.3, 0.10),
    (0.68, ((4, 8, 7), (2, 16, 4), (1, 32, 4), (1, 64, 4)), 0.3, 0.10),
    (1.00, ((4, 8, 7), (2, 16, 4), (1, 32, 8), (1, 64, 8)), 0.3, 0.10),
)
PEAK_RATE, WARM_UP, LAST_SHARE = 1e-3, 30, 0.05
DISTIL_WEIGHT, GATE_WEIGHT, RESIDUAL_WEIGHT = 2.0, 1.0, 5.0
TEACHER_BLOCKS, TAUGHT_ROWS = 16, 0.5


def batch(mixture, rng, sequences, n, m, plain, copied):
    """ids with landmark rows [S, n·B], token ids [S, n·m + 1] and weights of targets [S, n·m]."""
    samples = [mixture.draw(rng, n * m, plain, copied) for _ in range(sequences)]
    ids = torch.tensor([sample.ids for sample in samples])
    weights = torch.tensor([sample.weights[1:] for sample in samples])
    marks = torch.full((sequences, n, 1), -1)
    rows = torch.cat([ids[:, :-1].view(sequences, n, m), marks], -1).view(sequences, -1)
    return rows, ids, weights


def regular(hidden, n, rows):
    """Hidden rows without those of landmarks: [S, n·B, h] → [S, n·m, h]."""
    s, _, width = hidden.shape
    return hidden.view(s, n, rows, width)[:, :, :-1].reshape(s, -1, width)


def residual_distance(net, trace, teacher, taught, n):
    """1 - cosine between taught rows and the teacher's, as each next layer sees them; a mean."""
    distances = []
    scales = [layer.attn_norm for layer in net.layers[1:]] + [net.output_norm]
    for ours, wanted, scale in zip(trace.residual, teacher.residual, scales):
        ours = regular(ours.view(len(taught), -1, ours.shape[-1]), n, net.rows)
        ours = ours[:, -taught.shape[1] :]
        distances.append(F.cosine_similarity(ours * scale, wanted * scale, dim=-1))
    return 1 - torch.stack([distance[taught].mean() for distance in distances]).mean()


def step(net, objective, mixture, rng, shape, plain, copied):
    """Loss of one batch and figures to show."""
    sequences, n, k = shape
    rows, ids, weights = batch(mixture, rng, sequences, n, net.m, plain, copied)
    gap = rng.choice((0, 0, 1, 2, 3)) * net.rows
    ours, theirs = models.Trace(), models.Trace()
    hidden = regular(net(rows, k, gap, ours), n, net.rows)
    scored = weights > 0
    # The teacher reads the last tokens only, if there are many; then its first half is not taught.
    window = min(TEACHER_BLOCKS, n) * net.m
    teacher = net.unmodified(ids[:, -1 - window : -1], theirs)
    taught = ~scored
    taught[:, : -window // 2 if window < n * net.m else 0] = False
    gates = torch.stack(ours.gates).mean()
    apart = residual_distance(net, ours, theirs, taught[:, -window:], n)
    # Neighbouring rows say much the same, and the vocabulary is large: a part of the rows will do.
    part = torch.rand(weights.shape, generator=torch.Generator().manual_seed(rng.getrandbits(32)))
    taught = taught & (part < TAUGHT_ROWS)
    even = torch.ones(int(taught.sum()))
    loss, each = objective.divergence(
        hidden[taught], teacher[taught[:, -window:]], net.embedding, ids[:, 1:][taught], even
    )
    total = DISTIL_WEIGHT * loss / len(even) + RESIDUAL_WEIGHT * apart + GATE_WEIGHT * gates
    figures = {"gates": gates.item(), "apart": apart.item(), "divergence": each.mean().item()}
    if scored.any():
        flat, target = weights[scored], ids[:, 1:][scored]
        loss, _, hits = objective.cross_entropy(hidden[scored], net.embedding, target, flat)
        total = total + loss / flat.sum()
        values = flat == mixtures.VALUE_WEIGHT
        if values.any():
            figures[f"recall {n}/{k}"] = (hits[values] == target[values]).float().mean().item()
    figures["loss"] = total.item()
    return total, figures, rows.numel()


def rate(done, steps):
    share = min(1.0, done / steps)
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return PEAK_RATE * min(1.0, (done + 1) / WARM_UP) * (LAST_SHARE + (1 - LAST_SHARE) * cosine)


def save(path, net, optimizer, rng, done):
    state = {
        "weights": net.trained(),
        "optimizer": optimizer.state_dict(),
        "rng": rng.getstate(),
        "done": done,
        "m": net.m,
        "alpha": net.alpha,
    }
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def restore(path, net, optimizer, rng):
    state = torch.load(path, weights_only=False)
    net.load(state["weights"])
    optimizer.load_state_dict(state["optimizer"])
    rng.setstate(state["rng"])
    return state["done"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--save", type=int, default=50)
    parser.add_argument("--start", help="adapter to begin with")
    parser.add_argument(
        "--no-compile", action="store_true", help="for machines without a C++ compiler"
    )
    return parser.parse_args()


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    rng = random.Random(args.seed)
    net = models.LandmarkLlama(args.model)
    mixture = mixtures.Mixture(args.data, args.model)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0
    )
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.pt"
    done = restore(checkpoint, net, optimizer, rng) if checkpoint.is_file() else 0
    if args.start and not done:
        net.load_adapter(args.start)
    if done:
        print(f"going on after step {done}", file=sys.stderr)
    if not args.no_compile:
        net.compile()
        torch._dynamo.config.cache_size_limit = 32
    objective = objectives.Objective(not args.no_compile)
    stop = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.append(True))
    means, start, first, seen = {}, time.time(), done, 0
    while done < args.steps and not stop:
        share = max(done / args.steps, CURRICULUM[-2][0] if args.start else 0.0)
        _, shapes, plain, copied = next(phase for phase in CURRICULUM if share < phase[0])
        for group in optimizer.param_groups:
            group["lr"] = rate(done, args.steps)
        optimizer.zero_grad()
        total, figures, rows = step(net, objective, mixture, rng, rng.choice(shapes), plain, copied)
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        done, seen = done + 1, seen + rows
        for key, value in figures.items():
            means[key] = means.get(key, value) * 0.95 + value * 0.05
        if done % 10 == 0:
            speed, elapsed = seen / (time.time() - start), time.time() - start
            left = elapsed / (done - first) * (args.steps - done) / 60
            with open(args.out / "log.jsonl", "a", encoding="ascii") as log:
                log.write(
                    json.dumps({"step": done, "rows_per_second": round(speed), **means}) + "\n"
                )
            shown = ", ".join(f"{key} {value:.3f}" for key, value in sorted(means.items()))
            print(
                f"step {done}/{args.steps}: {shown}, {speed:.0f} rows/s, {left:.0f} min left",
                file=sys.stderr,
                flush=True,
            )
        if done % args.save == 0:
            save(checkpoint, net, optimizer, rng, done)
    save(checkpoint, net, optimizer, rng, done)
    if stop:
        sys.exit(f"stopped after step {done}; the same command goes on")


if __name__ == "__main__":
    main()
