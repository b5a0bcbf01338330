"""A past for models of the transformers library.

    model = AutoModelForCausalLM.from_pretrained(name)
    with cairn.Store("texts", create=True) as store, \
            cairn.huggingface.Memory(model, store, "book") as memory:
        memory.read(tokenizer(text).input_ids)
        answer = memory.generate(tokenizer(question).input_ids)

The model is run by transformers, in steps of `chunk` tokens and without a cache of its own; its
attention is cairn's: each step attends to itself, to the tokens just before it, and to the blocks
that each KV head chooses. So a text may be of any length, in the memory that a step takes.

Models with rotary embeddings are served, of all dimensions of a head and the same in all layers
(llama, mistral, qwen2, qwen3, granite, phi3 and alike). Whether one is served right is tried, not
assumed: what it makes of a few tokens by its own attention is compared with what comes of cairn's.
"""
import hashlib
import tempfile
import threading

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from cairn._errors import Mismatch, Unsupported
from cairn._past import Past, PastModel
from cairn._store import Store

_NAME = "cairn"
_PROBE_TOKENS = 48
_COMMIT_TOKENS = 4096
_UNSERVED = {"softcap": "caps scores", "s_aux": "has attention sinks of its own"}
# What other numbers a model's layers go by. A config has more, which another version of
# transformers may add to; these stay.
_BESIDE_WEIGHTS = ("attention_multiplier", "embedding_multiplier", "hidden_act", "layer_norm_eps",
                   "logits_scaling", "num_experts_per_tok", "residual_multiplier", "rms_norm_eps")
# Kinds of rotary embeddings whose frequencies do not depend on how long the text is.
_FIXED_ROPE = {"default", "linear", "llama3", "yarn"}

_step = threading.local()  # .memory: whose step this thread is in


def _attention(module, query, key, value, attention_mask=None, scaling=None, **more):
    """What transformers calls in place of its attention. q: [1, heads, rows, D], not rotated, as
    all positions are 0."""
    memory = getattr(_step, "memory", None)
    if memory is None:
        raise RuntimeError("this model has its past in cairn; use read, append or generate of "
                           "cairn.huggingface.Memory, or close that")
    memory.look_at(module.layer_idx, attention_mask, scaling, more)
    rows, heads = query.shape[2], query.shape[1]
    q, k, v = (x[0].transpose(0, 1).to("cpu", torch.float32).contiguous()
               for x in (query, key, value))
    out = torch.empty(rows, heads, value.shape[3])
    memory.past.attend(module.layer_idx, q, k, v, out)
    return out[None].to(query.device, query.dtype), None


def _mask(*_sizes, local_size=None, **_more):
    """What transformers calls for a mask: there is none, and a window is noted."""
    memory = getattr(_step, "memory", None)
    if memory is not None:
        memory.windows.add(local_size)


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, _mask)


class Memory:
    """The past of a model, in a session of a store; made if there is none.

    Options of one that is made: chunk, block_tokens, representatives, kv_type; of any: retrieve,
    sinks, recent, mass_target and others of a Past. While it is open the model attends by it
    alone. One model has one such at a time.
    """

    def __init__(self, model, store, name, **options):
        self.past = None
        self._model = model
        self._own = model.config._attn_implementation
        if self._own == _NAME:
            raise ValueError("the model has a Memory that is open; close it first")
        self.windows = set()  # of the masks that transformers asked for
        served = _served(model)
        served = self._tried(served, options)
        self.past = store.past(name, served, **options)
        model.set_attn_implementation(_NAME)

    def close(self):
        """Gives the model its own attention back, and drops what is not committed."""
        if self.past is not None:
            self.past.close()
            self.past = None
            self._model.set_attn_implementation(self._own)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def __len__(self):
        """Tokens that it has."""
        return len(self.past)

    def read(self, tokens, progress=None):
        """Reads a text from its beginning, committed on the way and at the end. What the past has
        of it is not read again, so that the same call goes on after an interruption; Mismatch if
        the past begins with something else. progress(done, total)."""
        tokens = _list(tokens)
        had = self.past.tokens()
        if had != tokens[:len(had)]:
            raise Mismatch(f"'{self.past.name}' has {len(had)} tokens, and they are not those that "
                           f"this text begins with; use append, or another name")
        self.append(tokens[len(had):], progress, commit=True)

    def append(self, tokens, progress=None, commit=False):
        """Reads tokens behind what is there, and returns the logits after the last ([vocabulary],
        None without tokens). Scratch until a commit, unless `commit` is said."""
        tokens = _list(tokens)
        chunk = self.past.chunk
        logits, uncommitted = None, 0
        for first in range(0, len(tokens), chunk):
            some = tokens[first:first + chunk]
            logits = self._forward(some)[-1]
            uncommitted += len(some)
            if commit and uncommitted >= _COMMIT_TOKENS:
                self.past.commit()
                uncommitted = 0
            if progress is not None:
                progress(first + len(some), len(tokens))
        if commit:
            self.past.commit()
        return logits

    def generate(self, prompt, max_tokens=128, stop=None, sample=None, keep=False, on_token=None):
        """Goes on from a prompt, and returns the tokens that come. The past is as it was before
        unless `keep`, with which prompt and answer are committed.

        stop: tokens that end an answer; without, those of the model's generation_config. sample:
        a function from logits to a token; without, the likeliest. on_token(token) sees each;
        anything true ends the answer.
        """
        if len(self.past) != self.past.committed:
            raise ValueError(f"'{self.past.name}' has tokens that are not committed; commit or "
                             f"revert first")
        if max_tokens < 1:
            raise ValueError(f"an answer of {max_tokens} tokens: use 1 or more")
        stop = self._stop() if stop is None else set(stop)
        answer, chosen = [], self.past.chosen
        self.past.choose(**{**chosen, "selection": "per-token"})
        try:
            logits = self.append(prompt)
            if logits is None:
                raise ValueError("the prompt has no tokens")
            done = False
            while not done:
                token = int(logits.argmax() if sample is None else sample(logits))
                if token in stop:
                    break
                answer.append(token)
                done = len(answer) == max_tokens or bool(on_token and on_token(token))
                if keep or not done:
                    logits = self.append([token])
            if keep:
                self.past.commit()
        finally:
            self.past.revert()
            self.past.choose(**chosen)
        return answer

    def commit(self):
        """Makes everything so far durable."""
        self.past.commit()

    def revert(self):
        """Returns to the last commit."""
        self.past.revert()

    def look_at(self, layer, mask, scaling, more):
        """What transformers says of a layer's attention, when it calls for it."""
        if mask is not None:
            raise Unsupported(f"layer {layer} has a mask of its own, which cairn does not")
        for name, what in _UNSERVED.items():
            if more.get(name) is not None:
                raise Unsupported(f"layer {layer} {what} ({name}), which cairn does not")
        wanted = self.past.model.scale
        if scaling is not None and abs(scaling - wanted) > 1e-6 * wanted:
            raise Unsupported(f"layer {layer} scales scores by {scaling}, another one by {wanted}")

    def _stop(self):
        ends = getattr(self._model.generation_config, "eos_token_id", None)
        return set() if ends is None else {ends} if isinstance(ends, int) else set(ends)

    def _forward(self, tokens, every=False):
        """A step; logits of its rows, or of the last."""
        device = next(self._model.parameters()).device
        ids = torch.tensor([tokens], device=device)
        self.past.begin(len(tokens))
        _step.memory = self
        try:
            with torch.inference_mode():
                made = self._model(input_ids=ids, position_ids=torch.zeros_like(ids),
                                   use_cache=False, logits_to_keep=0 if every else 1)
            self.past.end(tokens)
        except BaseException:
            self.past.abort()
            raise
        finally:
            _step.memory = None
        return made.logits[0].float().cpu()

    def _tried(self, served, options):
        """The model with the rotation of its rows that gives what its own attention does."""
        vocabulary = self._model.config.get_text_config().vocab_size
        generator = torch.Generator().manual_seed(1)
        tokens = torch.randint(vocabulary, (_PROBE_TOKENS,), generator=generator).tolist()
        device = next(self._model.parameters()).device
        with torch.inference_mode():
            wanted = self._model(input_ids=torch.tensor([tokens], device=device),
                                 use_cache=False).logits[0].float().cpu()
        off = []
        for rope in ("half-split", "interleaved"):
            tried = PastModel(**{**served.__dict__, "rope": rope})
            off.append(self._distance(tried, options, tokens, wanted))
            if off[-1] < 0.05:
                window = _window(self.windows)
                return PastModel(**{**tried.__dict__, "context": min(tried.context, window)})
        raise Unsupported(f"by cairn's attention this model's logits are off by {min(off):.0%} of "
                          f"their spread; it is not of the kind that is served")

    def _distance(self, served, options, tokens, wanted):
        """How far logits are from what they should be, in units of their standard deviation."""
        self._model.set_attn_implementation(_NAME)
        self.windows.clear()
        try:
            with tempfile.TemporaryDirectory() as directory, \
                    Store(directory + "/probe", create=True) as store, \
                    Past(store, "probe", served, create=True, **options) as past:
                self.past = past
                # In steps, the last of one token: some models carry more than attention on.
                steps = [tokens[:1]]
                for first in range(1, len(tokens) - 1, min(past.chunk, 23)):
                    steps.append(tokens[first:min(first + min(past.chunk, 23), len(tokens) - 1)])
                steps.append(tokens[-1:])
                got = torch.cat([self._forward(step, every=True) for step in steps])
        finally:
            self.past = None
            self._model.set_attn_implementation(self._own)
        return float((got - wanted).pow(2).mean().sqrt() / wanted.std())


def _list(tokens):
    return tokens.flatten().tolist() if hasattr(tokens, "flatten") else list(tokens)


def _window(windows):
    """The most rows that a layer attends to; Unsupported if they differ."""
    if len(windows) > 1:
        raise Unsupported(f"layers attend to windows of {sorted(map(str, windows))} rows; cairn "
                          f"serves models whose layers are alike")
    return next(iter(windows)) or 1 << 30


def _served(model):
    """What cairn has to know of a model of transformers; Unsupported if it is not served."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    if kind not in _FIXED_ROPE:
        raise Unsupported(f"the rotary embedding of kind {kind} depends on how long the text is")
    frequencies = [buffer for name, buffer in model.named_buffers()
                   if name.rsplit(".", 1)[-1] == "inv_freq"]
    if len(frequencies) != 1:
        raise Unsupported(f"the model has {len(frequencies)} sets of rotary frequencies; cairn "
                          f"serves models with one")
    if 2 * frequencies[0].numel() != head_dim:
        raise Unsupported(f"{2 * frequencies[0].numel()} of {head_dim} dimensions of a head are "
                          f"rotated; cairn serves models that rotate all")
    scales = {module.scaling for module in model.modules()
              if hasattr(module, "layer_idx") and hasattr(module, "scaling")}
    if len(scales) != 1:
        raise Unsupported(f"layers scale scores by {sorted(scales) or 'nothing that is told'}; "
                          f"cairn serves models with one scale")
    return PastModel(name=f"{config.model_type} {_fingerprint(model)}",
                     layers=config.num_hidden_layers,
                     query_heads=heads,
                     kv_heads=getattr(config, "num_key_value_heads", None) or heads,
                     frequencies=frequencies[0].double().cpu().tolist(),
                     context=config.max_position_embeddings,
                     scale=float(scales.pop()))


def _fingerprint(model):
    """Tells models apart: a hash of what the config says beside weights, and of the names, sizes
    and types of all weights and buffers, and of some numbers of each."""
    config = model.config.get_text_config()
    beside = {name: getattr(config, name) for name in _BESIDE_WEIGHTS if hasattr(config, name)}
    hashed = hashlib.sha256(repr(sorted(beside.items())).encode())
    for name, weight in sorted([*model.named_parameters(), *model.named_buffers()],
                               key=lambda each: each[0]):
        hashed.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        flat = weight.detach().reshape(-1)
        some = flat[::max(1, flat.numel() // 61)][:64].float().cpu()
        hashed.update(bytes(some.contiguous().view(torch.uint8).tolist()))
    return hashed.hexdigest()[:16]
