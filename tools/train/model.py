"""SmolLM2 (any llama GGUF with tied embeddings) with LoRA and landmark attention, for training.

One step of training is what the engine does at inference with steps of one block: each block of B
rows shares a choice of k earlier blocks per KV head, the chosen blocks stand in the slots in front
of it ("stingy" positions), and the grouped softmax runs over them. So the cost of a row does not
depend on the length, and every distance is one that inference has. With k >= blocks - 1 it is the
dense grouped softmax over all gates at true positions.

Shapes: N blocks in a batch of S equal sequences of n blocks, B = m + 1 rows each, Hkv KV heads of G
query heads, D.
"""

import dataclasses
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "reference"))
import ref_model  # noqa: E402

MASKED = -1e30
PROJECTIONS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def half_split(rows, heads, dim):
    """Index that brings rows of interleaved rotary pairs (GGUF) into two halves per head."""
    order = torch.cat([torch.arange(0, dim, 2), torch.arange(1, dim, 2)])
    return (torch.arange(heads)[:, None] * dim + order).reshape(rows)


def rotate(x, cos, sin):
    """Rotates the halves of the last dimension by the angles of cos and sin (broadcast)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Projection(nn.Module):
    """A frozen weight [out, in] and its LoRA factors: x Wᵀ + scale (x Aᵀ) Bᵀ."""

    def __init__(self, weight, rank, alpha):
        super().__init__()
        out, inner = weight.shape
        self.register_buffer("weight", weight.bfloat16())
        self.a = nn.Parameter(torch.randn(rank, inner) / math.sqrt(inner))
        self.b = nn.Parameter(torch.zeros(out, rank))
        self.scale = alpha / rank

    def tensors(self):
        return self.weight, self.a, self.b


def apply_lora(x, weight, a, b, scale):
    return F.linear(x, weight) + F.linear(F.linear(x, a.to(x.dtype)), (scale * b).to(x.dtype))


def norm(x, weight, epsilon):
    return F.rms_norm(x.float(), (x.shape[-1],), weight, epsilon).to(x.dtype)


@dataclasses.dataclass
class Trace:
    """What one forward pass did, a list entry per layer."""

    chosen: list = dataclasses.field(default_factory=list)  # ordinals [Hkv, S, n, k]
    gates: list = dataclasses.field(default_factory=list)  # divergence of the gates, a mean in nats
    residual: list = dataclasses.field(default_factory=list)  # rows after the layer [S·n·B, hidden]


class LandmarkLlama(nn.Module):
    def __init__(self, path, rank=16, rank_qk=32, alpha=32.0, regular_tokens=63):
        super().__init__()
        kv, t = ref_model.read(path)
        get = lambda key: kv["llama." + key]
        self.heads, self.kv_heads = get("attention.head_count"), get("attention.head_count_kv")
        self.dim, self.theta = get("rope.dimension_count"), get("rope.freq_base")
        self.epsilon, self.alpha = get("attention.layer_norm_rms_epsilon"), alpha
        self.group, self.m, self.rows = (
            self.heads // self.kv_heads,
            regular_tokens,
            regular_tokens + 1,
        )
        self.register_buffer("embedding", t["token_embd.weight"].bfloat16())
        self.register_buffer("output_norm", t["output_norm.weight"])
        self.landmark = nn.Parameter(t["token_embd.weight"].mean(0))
        self.layers = nn.ModuleList()
        for i in range(get("block_count")):
            layer = nn.ModuleDict()
            for name in PROJECTIONS:
                weight = t[f"blk.{i}.{name}.weight"]
                heads = {"attn_q": self.heads, "attn_k": self.kv_heads}.get(name)
                if heads:
                    weight = weight[half_split(len(weight), heads, self.dim)]
                layer[name] = Projection(weight, rank_qk if heads else rank, alpha)
            layer.register_buffer("attn_norm", t[f"blk.{i}.attn_norm.weight"])
            layer.register_buffer("ffn_norm", t[f"blk.{i}.ffn_norm.weight"])
            self.layers.append(layer)
        row, column = torch.arange(self.rows)[:, None], torch.arange(self.rows)[None]
        local = (column <= row) & (column < self.m)
        self.register_buffer("local", local.repeat(self.group, 1))
        self.before, self.after, self.choose = self._before, self._after, self._choose
        self.plain_layer = self._plain_layer

    def compile(self):
        self.before = torch.compile(self._before, dynamic=False)
        self.after = torch.compile(self._after, dynamic=False)
        self.choose = torch.compile(self._choose, dynamic=False)
        self.plain_layer = torch.compile(self._plain_layer, dynamic=False)

    def angles(self, positions):
        """cos, sin [..., D/2] of positions."""
        frequencies = self.theta ** (-torch.arange(0, self.dim, 2, dtype=torch.float64) / self.dim)
        angle = positions.double()[..., None] * frequencies.to(positions.device)
        return angle.cos().float(), angle.sin().float()

    def _before(self, x, n1, q, k, v, cos, sin):
        """Norm, projections, rotation by offset: scaled q [Hkv, N, G·B, D]; k, v [Hkv, N, B, D]."""
        blocks = x.shape[0] // self.rows
        h = norm(x, n1, self.epsilon)
        cut = lambda y, heads: y.view(blocks, self.rows, heads, self.dim)
        q = cut(apply_lora(h, *q), self.heads).float()
        k = cut(apply_lora(h, *k), self.kv_heads).float()
        v = cut(apply_lora(h, *v), self.kv_heads)
        cos, sin = cos[:, None], sin[:, None]
        q = (rotate(q, cos, sin) * self.dim**-0.5).to(x.dtype)
        k = rotate(k, cos, sin).to(x.dtype)
        q = q.view(blocks, self.rows, self.kv_heads, self.group, self.dim).permute(2, 0, 3, 1, 4)
        return (
            q.reshape(self.kv_heads, blocks, -1, self.dim),
            k.permute(2, 0, 1, 3).contiguous(),
            v.permute(2, 0, 1, 3).contiguous(),
        )

    def _choose(self, q, marks, far_cos, far_sin, near_cos, near_sin, near_index, k: int):
        """Ordinals of the k blocks each block chooses [Hkv, S, n, k], ascending, and which exist.

        q [Hkv, S, n, G·B, D]; marks [Hkv, S, n, D], block-relative landmark keys; near_index [n, k]
        are the blocks at distances 1 to k, which are scored there, the others at distance k + 1.
        """
        n = q.shape[2]
        keys = rotate(marks.float(), far_cos, far_sin).to(q.dtype)
        scores = torch.einsum("hsbrd,hsnd->hsbrn", q, keys).float()
        near = marks[:, :, near_index.clamp(min=0)].float()
        near = rotate(near, near_cos, near_sin).to(q.dtype)
        near = torch.einsum("hsbrd,hsbkd->hsbrk", q, near).float()
        # Column r of block b is near if 1 <= b - r <= k.
        block = torch.arange(n, device=q.device)
        distance = block[:, None] - block[None]
        is_near = (distance >= 1) & (distance <= k)
        column = (distance - 1).clamp(0, k - 1)
        spread = near.gather(-1, column[None, None, :, None, :].expand(scores.shape))
        scores = torch.where(is_near[:, None, :], spread, scores)
        earlier = distance >= 1
        weights = torch.softmax(scores.masked_fill(~earlier[:, None, :], MASKED), -1).amax(-2)
        weights = weights.masked_fill(~earlier, -1.0)
        chosen = weights.topk(k, -1).indices.sort(-1).values
        return chosen, chosen < block[:, None]

    def _after(self, x, q, k, v, pick, exists, cos, sin, o, n2, gate, up, down):
        """Attention over the chosen blocks and the own one, then the rest of the layer.

        Also the divergence of the gates: ungrouped softmax over the same tokens gives each block
        the mass exp(log-sum-exp of its tokens' scores); with gates equal to those sums the grouped
        softmax would be that softmax. Its gradient reaches gates only.

        pick [Hkv, N·k, N] one-hot rows; exists [Hkv, N, k]; cos, sin [Hkv, N, k, D/2] of the
        chosen blocks' distances.
        """
        heads, blocks, rows, dim = k.shape
        chosen = exists.shape[-1]
        # A product with one-hot rows gathers blocks; its gradient is a product too.
        keys = torch.bmm(pick, k.view(heads, blocks, -1)).view(heads, blocks, chosen, rows, dim)
        values = torch.bmm(pick, v.view(heads, blocks, -1)).view(heads * blocks, chosen * rows, dim)
        keys = rotate(keys.float(), cos[:, :, :, None], sin[:, :, :, None]).to(x.dtype)
        q = q.view(heads * blocks, -1, dim)
        scores = torch.bmm(q, keys.view(heads * blocks, chosen * rows, dim).transpose(1, 2))
        scores = scores.view(heads * blocks, -1, chosen, rows).float()
        own = torch.bmm(q, k.view(heads * blocks, rows, dim).transpose(1, 2)).float()
        own = own.masked_fill(~self.local, MASKED)
        gates = scores[..., self.m].masked_fill(~exists.view(heads * blocks, 1, chosen), MASKED)
        is_mark = torch.arange(rows, device=x.device) == self.m
        scores = scores.masked_fill(is_mark, MASKED)
        local, sums = own.logsumexp(-1), scores.logsumexp(-1)
        total = torch.logaddexp(local, gates.logsumexp(-1))
        divergence = self._gate_divergence(local.detach(), gates, sums.detach())
        inner = torch.exp(scores + (gates - sums - total[..., None])[..., None])
        own = torch.exp(own - total[..., None])
        mixed = torch.bmm(inner.to(x.dtype).view(heads * blocks, -1, chosen * rows), values)
        mixed = mixed + torch.bmm(own.to(x.dtype), v.view(heads * blocks, rows, dim))
        mixed = mixed.view(heads, blocks, self.group, rows, dim).permute(1, 3, 0, 2, 4)
        return self._rest(x, mixed.reshape(blocks * rows, -1), o, n2, gate, up, down), divergence

    def _gate_divergence(self, local, gates, sums):
        """From softmax over [own tokens, sums] to softmax over [own tokens, gates]; a mean."""
        sums = sums.masked_fill(gates == MASKED, MASKED)
        wanted = torch.logaddexp(local, sums.logsumexp(-1))
        got = torch.logaddexp(local, gates.logsumexp(-1))
        share = torch.exp(sums - wanted[..., None])
        return (got - wanted + (share * (sums - gates)).sum(-1)).mean()

    def _rest(self, x, mixed, o, n2, gate, up, down):
        x = x + apply_lora(mixed, *o)
        h = norm(x, n2, self.epsilon)
        return x + apply_lora(F.silu(apply_lora(h, *gate)) * apply_lora(h, *up), *down)

    def plan(self, sequences, n, k, gap):
        """What depends on shapes and distances only: tables of `choose` and of slots."""
        device = self.landmark.device
        far = self.angles(-torch.tensor([(k + 1) * self.rows + gap], device=device))
        distances = torch.arange(1, k + 1, device=device)
        near = self.angles(-(distances * self.rows + gap))
        index = torch.arange(n, device=device)[:, None] - distances[None]
        slots = self.angles(-(torch.arange(k + 2, device=device) * self.rows + gap))
        return sequences, n, k, far, near, index, slots

    @torch.no_grad()
    def pick_blocks(self, q, k, plan):
        """(one-hot choice [Hkv, N·k, N], exists [Hkv, N, k], cos, sin of distances, ordinals)."""
        sequences, n, count, far, near, near_index, slots = plan
        heads, blocks = k.shape[:2]
        marks = k[:, :, self.m].reshape(heads, sequences, n, self.dim)
        chosen, exists = self.choose(
            q.view(heads, sequences, n, -1, self.dim), marks, *far, *near, near_index, count
        )
        # j-th of kk = min(k, b) chosen blocks: slot j, or j + 1 if it is among the last kk.
        block = torch.arange(n, device=q.device)
        available = block.clamp(max=count)[:, None]
        place = torch.arange(count, device=q.device)
        slot = place + (chosen >= (block[:, None] - available)).long()
        distance = (available + 1 - slot).clamp(0, count + 1)
        base = torch.arange(sequences, device=q.device)[:, None, None] * n
        flat = (chosen + base).view(heads, blocks * count)
        pick = F.one_hot(flat, blocks).to(q.dtype)
        distance = distance.view(heads, blocks, count)
        return (
            pick,
            exists.reshape(heads, blocks, count),
            slots[0][distance],
            slots[1][distance],
            chosen,
        )

    def forward(self, ids, k, gap=0, trace=None):
        """ids [S, n·B] with -1 for landmark rows → normalised hidden rows [S, n·B, hidden]."""
        trace = trace or Trace()
        sequences, length = ids.shape
        n = length // self.rows
        k = max(1, min(k, n - 1)) if n > 1 else 1
        plan = self.plan(sequences, n, k, gap)
        offsets = self.angles(torch.arange(self.rows, device=ids.device))
        x = self.embedding[ids.clamp(min=0)]
        x = torch.where((ids < 0)[..., None], self.landmark.to(x.dtype), x).view(
            sequences * length, -1
        )
        for layer in self.layers:
            w = {name: (*layer[name].tensors(), layer[name].scale) for name in PROJECTIONS}
            q, key, v = self.before(
                x, layer.attn_norm, w["attn_q"], w["attn_k"], w["attn_v"], *offsets
            )
            pick, exists, cos, sin, chosen = self.pick_blocks(q.detach(), key.detach(), plan)
            x, divergence = self.after(
                x,
                q,
                key,
                v,
                pick,
                exists,
                cos,
                sin,
                w["attn_output"],
                layer.ffn_norm,
                w["ffn_gate"],
                w["ffn_up"],
                w["ffn_down"],
            )
            trace.chosen.append(chosen)
            trace.gates.append(divergence)
            trace.residual.append(x)
        return norm(x, self.output_norm, self.epsilon).view(sequences, length, -1)

    @torch.no_grad()
    def unmodified(self, ids, trace=None):
        """The model without adapter and landmarks, full attention: hidden rows of ids [S, T]."""
        trace = trace or Trace()
        angles = self.angles(torch.arange(ids.shape[1], device=ids.device))
        x = self.embedding[ids]
        for layer in self.layers:
            weights = [layer[name].weight for name in PROJECTIONS]
            x = self.plain_layer(x, layer.attn_norm, layer.ffn_norm, *angles, *weights)
            trace.residual.append(x)
        return norm(x, self.output_norm, self.epsilon)

    def _plain_layer(self, x, n1, n2, cos, sin, q, k, v, o, gate, up, down):
        """A layer of the unmodified model; x [S, T, hidden], cos, sin [T, D/2]."""
        sequences, length, _ = x.shape
        h = norm(x, n1, self.epsilon)
        cut = lambda y, heads: y.view(sequences, length, heads, self.dim).transpose(1, 2)
        q = rotate(cut(F.linear(h, q), self.heads).float(), cos, sin).to(x.dtype)
        k = rotate(cut(F.linear(h, k), self.kv_heads).float(), cos, sin).to(x.dtype)
        k, v = (y.repeat_interleave(self.group, 1) for y in (k, cut(F.linear(h, v), self.kv_heads)))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(y.transpose(1, 2).reshape(sequences, length, -1), o)
        h = norm(x, n2, self.epsilon)
        return x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)

    def trained(self):
        return dict(self.named_parameters())

    @torch.no_grad()
    def load(self, weights):
        """Takes trained weights by their names in trained()."""
        for name, parameter in self.trained().items():
            parameter.copy_(weights[name])

    def load_adapter(self, path):
        """Takes the weights of a GGUF adapter with this net's ranks and block size."""
        _, t = ref_model.read(path)
        weights = {"landmark": t["cairn.landmark.embedding"]}
        for i in range(len(self.layers)):
            for name in PROJECTIONS:
                b = t[f"blk.{i}.{name}.weight.lora_b"]
                heads = {"attn_q": self.heads, "attn_k": self.kv_heads}.get(name)
                if heads:
                    b = b[half_split(len(b), heads, self.dim)]
                weights[f"layers.{i}.{name}.a"] = t[f"blk.{i}.{name}.weight.lora_a"]
                weights[f"layers.{i}.{name}.b"] = b
        self.load(weights)
