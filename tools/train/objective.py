"""The loss over a large vocabulary, computed a few rows at a time together with its gradient."""

import torch
import torch.nn.functional as F

TEXT_SHARE = 0.5  # of the text's own next token, beside the teacher's prediction
ROWS = 128  # logits of so many rows stay in the cache


def _scored(h, embedding, target, weight):
    """Cross-entropy of rows: (loss per row, most likely token, gradient of h)."""
    logits = F.linear(h, embedding).float()
    lse = logits.logsumexp(-1)
    loss = lse - logits.gather(1, target[:, None])[:, 0]
    probability = torch.exp(logits - lse[:, None])
    hit = torch.arange(logits.shape[1], device=h.device)[None] == target[:, None]
    gradient = ((probability - hit.float()) * weight[:, None]).to(h.dtype)
    return loss, logits.argmax(-1), gradient @ embedding


def _taught(h, teacher, embedding, target, weight):
    """Cross-entropy with the teacher's prediction and the text's own next token, mixed.

    (loss per row, divergence from the teacher per row, gradient of h)
    """
    logits = F.linear(h, embedding).float()
    lse = logits.logsumexp(-1, keepdim=True)
    wanted = F.linear(teacher, embedding).float()
    wanted_lse = wanted.logsumexp(-1, keepdim=True)
    probability = torch.exp(wanted - wanted_lse)
    divergence = (probability * ((wanted - wanted_lse) - (logits - lse))).sum(-1)
    own = lse[:, 0] - logits.gather(1, target[:, None])[:, 0]
    loss = (1 - TEXT_SHARE) * divergence + TEXT_SHARE * own
    hit = torch.arange(logits.shape[1], device=h.device)[None] == target[:, None]
    mixed = (1 - TEXT_SHARE) * probability + TEXT_SHARE * hit.float()
    gradient = ((torch.exp(logits - lse) - mixed) * weight[:, None]).to(h.dtype)
    return loss, divergence, gradient @ embedding


class _Precomputed(torch.autograd.Function):
    """A loss whose gradient with respect to h is known already."""

    @staticmethod
    def forward(ctx, h, total, gradient):
        ctx.save_for_backward(gradient)
        return total.clone()

    @staticmethod
    def backward(ctx, upstream):
        return ctx.saved_tensors[0] * upstream.to(ctx.saved_tensors[0].dtype), None, None


class Objective:
    def __init__(self, compiled):
        wrap = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self.scored, self.taught = wrap(_scored), wrap(_taught)

    def _padded(self, start, tensors):
        """Slices of ROWS rows; the last is filled up with rows of weight 0 to that shape."""
        out = []
        for tensor in tensors:
            part = tensor[start : start + ROWS]
            missing = ROWS - len(part)
            out.append(F.pad(part, (0, 0) * (part.dim() - 1) + (0, missing)) if missing else part)
        return out

    @torch.no_grad()
    def _run(self, function, h, others):
        """function over h and others: per row its two figures, and the gradient of h."""
        parts = []
        for start in range(0, len(h), ROWS):
            parts.append(function(*self._padded(start, (h, *others))))
        return [torch.cat(column)[: len(h)] for column in zip(*parts)]

    def cross_entropy(self, h, embedding, target, weight):
        """(weighted sum, loss per row, most likely tokens); h [rows, hidden]."""
        loss, hits, gradient = self._run(
            lambda a, b, c: self.scored(a, embedding, b, c), h.detach(), (target, weight)
        )
        return _Precomputed.apply(h, (loss * weight).sum(), gradient), loss, hits

    def divergence(self, h, teacher, embedding, target, weight):
        """(weighted sum of losses, divergence from the teacher per row)."""
        loss, apart, gradient = self._run(
            lambda a, b, c, d: self.taught(a, b, embedding, c, d),
            h.detach(),
            (teacher, target, weight),
        )
        return _Precomputed.apply(h, (loss * weight).sum(), gradient), apart
