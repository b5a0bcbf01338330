"""Llama-architecture model from a GGUF file in plain PyTorch f32 (or f64).

Weights are dequantised with the PyPI package gguf; RoPE rotates interleaved
pairs (2i, 2i+1), as GGUF files of this architecture store q and k.  With an
adapter (LoRA tensors and a landmark embedding) every layer runs the dense
grouped softmax over all earlier blocks, at true augmented positions.
Needs: pip install gguf numpy torch.
"""
import gguf
import numpy as np
import torch
import torch.nn.functional as F

NAMES = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]


def read(path):
    r = gguf.GGUFReader(path)
    t = {x.name: torch.from_numpy(np.array(gguf.quants.dequantize(x.data, x.tensor_type), dtype=np.float32)) for x in r.tensors}
    return {k: f.contents() for k, f in r.fields.items()}, t


def to_bf16(x):
    """Round to the nearest bfloat16, keep as float32."""
    return x.to(torch.bfloat16).float()


class Model:
    def __init__(self, path, adapter=None, bf16=False, dtype=torch.float32):
        kv, t = read(path)
        assert kv["general.architecture"] == "llama" and "output.weight" not in t
        g = lambda k: kv["llama." + k]
        self.layers, self.heads, self.kv_heads = g("block_count"), g("attention.head_count"), g("attention.head_count_kv")
        self.dim, self.theta, self.eps = g("rope.dimension_count"), g("rope.freq_base"), g("attention.layer_norm_rms_epsilon")
        assert self.dim * self.heads == g("embedding_length")
        self.kv, self.m, self.lora = kv, None, {}
        if adapter:
            akv, a = read(adapter)
            self.m, self.landmark = akv["cairn.landmark.regular_tokens"], a["cairn.landmark.embedding"].to(dtype)
            for n in [n[:-7] for n in a if n.endswith(".lora_a")]:
                A, B = a[n + ".lora_a"], a[n + ".lora_b"]
                scale = akv["adapter.lora.alpha"] / A.shape[0]
                if bf16:
                    t[n] = t[n] + scale * (B @ A)
                else:
                    self.lora[n] = (A.to(dtype), B.to(dtype), scale)
        if bf16:  # matrices, token and landmark embedding; the norm vectors stay f32
            t = {n: to_bf16(x) if x.ndim == 2 else x for n, x in t.items()}
            if adapter:
                self.landmark = to_bf16(self.landmark)
        self.t, self.dtype = {n: x.to(dtype) for n, x in t.items()}, dtype

    def linear(self, name, x):
        y = F.linear(x, self.t[name])
        if name in self.lora:
            a, b, scale = self.lora[name]
            y = y + scale * F.linear(F.linear(x, a), b)
        return y

    def norm(self, name, x):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.t[name]

    def rope(self, x):
        """x [rows, heads, dim]; row r has position r.  Angles in f64."""
        f = self.theta ** (-torch.arange(0, self.dim, 2, dtype=torch.float64) / self.dim)
        a = (torch.arange(x.shape[0], dtype=torch.float64)[:, None] * f)[:, None]
        c, s = a.cos().to(x.dtype), a.sin().to(x.dtype)
        u, v = x[..., 0::2], x[..., 1::2]
        return torch.stack([u * c - v * s, u * s + v * c], -1).flatten(-2)

    def attend(self, q, k, v):
        """q, k, v [rows, dim] of one head."""
        n = q.shape[0]
        s = (q @ k.T) * self.dim ** -0.5
        i, j = torch.arange(n)[:, None], torch.arange(n)[None]
        if self.m is None:
            return torch.softmax(s.masked_fill(j > i, -torch.inf), -1) @ v
        size = self.m + 1
        mark = j % size == self.m
        own = (j // size == i // size) & (j <= i) & ~mark   # local set
        gate = (j // size < i // size) & mark               # one landmark per complete earlier block
        first = torch.softmax(s.masked_fill(~(own | gate), -torch.inf), -1)
        out = (first * own) @ v
        b = n // size                                       # complete blocks
        if b:
            w = torch.softmax(s[:, :b * size].view(n, b, size)[:, :, :self.m], -1)
            g = (first * gate)[:, self.m:b * size:size]
            read_out = w * g[:, :, None]
            out = out + read_out.reshape(n, -1) @ v[:b * size].view(b, size, -1)[:, :self.m].reshape(b * self.m, -1)
        return out

    @torch.no_grad()
    def hidden(self, ids):
        """Final normed rows of the regular tokens; landmark rows are put in and dropped here."""
        x = self.t["token_embd.weight"][torch.tensor(ids)]
        regular = torch.ones(len(ids), dtype=torch.bool)
        if self.m is not None:
            parts, keep = [], []
            for i in range(0, len(ids), self.m):
                p = x[i:i + self.m]
                parts.append(p)
                keep += [True] * len(p)
                if len(p) == self.m:
                    parts.append(self.landmark[None])
                    keep.append(False)
            x, regular = torch.cat(parts), torch.tensor(keep)
        n, group = x.shape[0], self.heads // self.kv_heads
        for b in range(self.layers):
            w = lambda s: "blk.%d.%s.weight" % (b, s)
            h = self.norm(w("attn_norm"), x)
            q = self.rope(self.linear(w("attn_q"), h).view(n, self.heads, self.dim))
            k = self.rope(self.linear(w("attn_k"), h).view(n, self.kv_heads, self.dim))
            v = self.linear(w("attn_v"), h).view(n, self.kv_heads, self.dim)
            o = torch.cat([self.attend(q[:, i], k[:, i // group], v[:, i // group]) for i in range(self.heads)], -1)
            x = x + self.linear(w("attn_output"), o)
            h = self.norm(w("ffn_norm"), x)
            x = x + self.linear(w("ffn_down"), F.silu(self.linear(w("ffn_gate"), h)) * self.linear(w("ffn_up"), h))
        return self.norm("output_norm.weight", x)[regular]

    @torch.no_grad()
    def logits(self, rows):
        return F.linear(rows, self.t["token_embd.weight"])

    @torch.no_grad()
    def nll(self, ids, step=256):
        """f64 list: entry p is -log p(ids[p+1] | ids[:p+1])."""
        h, out = self.hidden(ids), []
        for i in range(0, len(ids) - 1, step):
            lg = self.logits(h[i:min(i + step, len(ids) - 1)]).double()
            y = torch.tensor(ids[i + 1:i + 1 + lg.shape[0]])
            out += (lg.logsumexp(-1) - lg.gather(1, y[:, None])[:, 0]).tolist()
        return out
