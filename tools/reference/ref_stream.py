"""The landmark path of inference in plain PyTorch: chunks, choice, stingy positions.

A Stream runs ref_model.Model chunk by chunk over augmented rows (landmark rows are rows).  Blocks
complete when a chunk begins are memory: each KV head attends to the k it chooses.  One row of one
query head at a time, as the definition reads; nothing is cached but un-rotated keys and values.
"""
import torch
import torch.nn.functional as F

TIE = 1e-9  # scores closer than this are one score: the lowest ordinal wins


def attend_row(s, v, landmark, own):
    """One query row over its candidates, in order: scores s [c], values v [c, dim].

    `landmark` [c] tells landmark rows; the row's own section starts at candidate `own`.
    """
    at = torch.arange(len(s))
    local, gate = (at >= own) & ~landmark, (at < own) & landmark
    if not bool((local | gate).any()):
        return torch.zeros_like(v[0])
    first = torch.softmax(s.masked_fill(~(local | gate), -torch.inf), 0)
    out = first[local] @ v[local]
    begin = 0
    for g in torch.nonzero(gate)[:, 0].tolist():
        if g > begin:
            out = out + first[g] * (torch.softmax(s[begin:g], 0) @ v[begin:g])
        begin = g + 1
    return out


class Stream:
    """selection: "per_token", "per_chunk" or "per_token_shared_heads"."""

    def __init__(self, model, k, selection):
        self.model, self.k, self.selection = model, k, selection
        self.size = model.m + 1
        empty = torch.zeros(0, model.kv_heads, model.dim, dtype=model.dtype)
        self.past = [(empty, empty)] * model.layers
        self.margin = float("inf")  # smallest gap in log weight between chosen and left out

    def rotate(self, x, positions):
        """x [rows, heads, dim] at positions [rows]: pairs (2i, 2i+1) as complex numbers."""
        turn = self.model.theta ** (-torch.arange(0, self.model.dim, 2).double() / self.model.dim)
        angle = positions.double()[:, None, None] * turn
        z = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2).contiguous())
        return torch.view_as_real(z * torch.polar(torch.ones_like(angle), angle)).flatten(-2)

    def weights(self, q, keys, n, kk):
        """Log weight of each block, per row and KV head: [rows, kv_heads, n]; q is rotated."""
        slots = torch.tensor([r - (n - kk) + 1 if r >= n - kk else 0 for r in range(n)])
        marks = self.rotate(keys[self.size - 1:n * self.size:self.size],
                            slots * self.size + self.size - 1)
        rows, group = len(q), self.model.heads // self.model.kv_heads
        s = torch.einsum("ihgd,rhd->ihgr", q.view(rows, -1, group, self.model.dim), marks)
        w = torch.log_softmax(s * self.model.dim ** -0.5, -1).amax(2)
        if self.selection == "per_chunk":
            w = w.amax(0, keepdim=True)
        elif self.selection == "per_token_shared_heads":
            w = w.amax(1, keepdim=True).expand_as(w)
        return w

    def choose(self, w, kk):
        """The kk heaviest of w [n], ascending."""
        left, chosen = w.tolist(), []
        for _ in range(kk):
            best = max(left)
            chosen.append(next(r for r, x in enumerate(left) if x >= best - TIE))
            last, left[chosen[-1]] = left[chosen[-1]], -float("inf")
        gap = last - max(left) if kk else float("inf")
        if gap > TIE:
            self.margin = min(self.margin, gap)
        return sorted(chosen)

    def attend(self, layer, q, k, v):
        """q [rows, heads, dim], k and v [rows, kv_heads, dim]; returns outputs and choices."""
        size, group = self.size, self.model.heads // self.model.kv_heads
        old_k, old_v = self.past[layer]
        n, rows = len(old_k) // size, len(q)
        full, inc = n * size, len(old_k) - n * size
        kk = min(self.k, n)
        first = (kk + 1) * size
        q = self.rotate(q, first + inc + torch.arange(rows))
        local_k = self.rotate(torch.cat([old_k[full:], k]), first + torch.arange(inc + rows))
        local_v = torch.cat([old_v[full:], v])
        w = self.weights(q, old_k, n, kk) if n else torch.zeros(1, self.model.kv_heads, 0)
        choices = [[self.choose(row, kk) for row in head] for head in w.transpose(0, 1)]
        out = torch.zeros(rows, self.model.heads, self.model.dim, dtype=q.dtype)
        for i in range(rows):
            for h in range(self.model.kv_heads):
                top = choices[h][i if len(choices[h]) > 1 else 0]
                pick = [old_k[b * size:(b + 1) * size, h:h + 1] for b in top]
                pick = [self.rotate(x, (j + (b >= n - kk)) * size + torch.arange(size))
                        for j, (b, x) in enumerate(zip(top, pick))]
                keys = torch.cat([x[:, 0] for x in pick] + [local_k[:inc + i + 1, h]])
                values = [old_v[b * size:(b + 1) * size, h] for b in top]
                values = torch.cat(values + [local_v[:inc + i + 1, h]])
                # Chosen blocks and local rows both start at a block's first row.
                landmark = torch.arange(len(keys)) % size == size - 1
                before = torch.nonzero(landmark[:-1])[:, 0].tolist()
                own = before[-1] + 1 if before else 0
                for g in range(h * group, (h + 1) * group):
                    s = keys @ q[i, g] * self.model.dim ** -0.5
                    out[i, g] = attend_row(s, values, landmark, own)
        self.past[layer] = (torch.cat([old_k, k]), torch.cat([old_v, v]))
        return out.flatten(1), choices

    @torch.no_grad()
    def step(self, x):
        """Embedded rows of one chunk; returns final normed rows and choices [layer][kv head]
        [row; one entry for all in per_chunk][k]."""
        m, rows, chosen = self.model, len(x), []
        for b in range(m.layers):
            name = lambda s: "blk.%d.%s.weight" % (b, s)
            h = m.norm(name("attn_norm"), x)
            q = m.linear(name("attn_q"), h).view(rows, m.heads, m.dim)
            k = m.linear(name("attn_k"), h).view(rows, m.kv_heads, m.dim)
            v = m.linear(name("attn_v"), h).view(rows, m.kv_heads, m.dim)
            o, choices = self.attend(b, q, k, v)
            chosen.append(choices)
            x = x + m.linear(name("attn_output"), o)
            h = m.norm(name("ffn_norm"), x)
            up = F.silu(m.linear(name("ffn_gate"), h)) * m.linear(name("ffn_up"), h)
            x = x + m.linear(name("ffn_down"), up)
        return m.norm("output_norm.weight", x), chosen

    @torch.no_grad()
    def run(self, ids, chunk):
        """`ids` with -1 for landmark rows.  Normed rows of the regular tokens; choices by step."""
        ids = torch.tensor(ids)
        table = torch.cat([self.model.t["token_embd.weight"], self.model.landmark[None]])
        x, rows, chosen = table[ids], [], []
        for i in range(0, len(ids), chunk):
            hidden, choices = self.step(x[i:i + chunk])
            rows.append(hidden)
            chosen.append(choices)
        return torch.cat(rows)[ids >= 0], chosen
