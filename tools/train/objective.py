"""The loss over a large vocabulary, computed a few rows at a time together with its gradient."""

import torch
import torch.nn.functional as F

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


def _taught(h, teacher, embedding, weight):
    """Kullback-Leibler divergence from the teacher's prediction: (loss per row, gradient of h)."""
    logits = F.linear(h, embedding).float()
    lse = logits.logsumexp(-1, keepdim=True)
    wanted = F.linear(teacher, embedding).float()
    wanted_lse = wanted.logsumexp(-1, keepdim=True)
    probability = torch.exp(wanted - wanted_lse)
    loss = (probability * ((wanted - wanted_lse) - (logits - lse))).sum(-1)
    gradient = ((torch.exp(logits - lse) - probability) * weight[:, None]).to(h.dtype)
    return loss, gradient @ embedding


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
        losses, hits, gradients = [], [], []
        for start in range(0, len(h), ROWS):
            part = self._padded(start, (h, *others))
            result = function(*part)
            losses.append(result[0])
            hits.append(result[1] if len(result) == 3 else torch.zeros(ROWS, dtype=torch.long))
            gradients.append(result[-1])
        cut = lambda parts: torch.cat(parts)[: len(h)]
        return cut(losses), cut(hits), cut(gradients)

    def cross_entropy(self, h, embedding, target, weight):
        """(weighted sum, loss per row, most likely tokens); h [rows, hidden]."""
        loss, hits, gradient = self._run(
            lambda a, b, c: self.scored(a, embedding, b, c), h.detach(), (target, weight)
        )
        return _Precomputed.apply(h, (loss * weight).sum(), gradient), loss, hits

    def divergence(self, h, teacher, embedding, weight):
        loss, _, gradient = self._run(
            lambda a, b, c: self.taught(a, b, embedding, c), h.detach(), (teacher, weight)
        )
        return _Precomputed.apply(h, (loss * weight).sum(), gradient), loss
