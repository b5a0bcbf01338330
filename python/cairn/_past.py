"""Pasts: the memory of a model that the caller runs."""
import array
import ctypes
import dataclasses
import math
import typing

from cairn import _library
from cairn._sequence import Sequence, token_array


@dataclasses.dataclass(frozen=True)
class PastModel:
    """What cairn has to know of a model that it does not run.

    frequencies: D/2 of the rotary embedding, radians per position; D is the dimension of a head.
    context: rows that the model was trained on. scale: of q·k, None is 1/sqrt(D). rope:
    "half-split" rotates c with c + D/2 (Hugging Face), "interleaved" 2c with 2c + 1. mode:
    "unmodified", or "landmark", in which every row block_tokens + 1 is a landmark.
    """

    name: str
    layers: int
    query_heads: int
    kv_heads: int
    frequencies: typing.Sequence[float]
    context: int
    scale: typing.Optional[float] = None
    rope: str = "half-split"
    mode: str = "unmodified"

    @property
    def head_dim(self):
        """D."""
        return 2 * len(self.frequencies)

    def options(self):
        """As the library wants it, but for the frequencies."""
        return {"model-name": self.name, "layers": self.layers, "query-heads": self.query_heads,
                "kv-heads": self.kv_heads, "context": self.context, "scale": self.scale,
                "rope": self.rope, "mode": self.mode}


class Past(Sequence):
    """Queries, keys and values go in, attention comes out.

    Store.past opens or makes one; this opens it, or with `create` makes it. Queries and keys are
    handed over before the rotary embedding. A step:

        past.begin(rows)
        for layer in range(layers):
            past.attend(layer, q, k, v, o)
        past.end(tokens)

    It is as long as it has rows of steps that are ended.
    """

    _prefix, _units = "cairn_past", "rows"

    def __init__(self, store, name, model, *, create=False, **options):
        function = "cairn_past_create" if create else "cairn_past_open"
        frequencies = (ctypes.c_double * len(model.frequencies))(*model.frequencies)
        pointer = ctypes.c_void_p()
        with _library.options_of({**options, **model.options()}) as handle:
            _library.call(function, store, _library.c_text(name), handle, frequencies,
                          len(frequencies), ctypes.byref(pointer))
        self._pointer = pointer
        self._store = store  # which must stay
        self.locks = store.locks
        self._rows = 0
        self._options = options
        self.chosen = {}  # what was said by choose, last
        self.name = name
        self.model = model

    @property
    def chunk(self):
        """The most rows of a step."""
        return _library.ask("cairn_past_chunk", self)

    def choose(self, **options):
        """Says anew how the past is used: retrieve, sinks, recent, query_stride, selection,
        mass_target, mass_by, sketches; what is not given is as it was opened with."""
        with _library.options_of({**self._options, **options}) as handle:
            _library.call("cairn_past_choose", self, handle)
        self.chosen = options

    def begin(self, rows):
        """Begins a step of 1 to `chunk` rows."""
        if not 0 < rows < 1 << 31:
            raise ValueError(f"a step of {rows} rows: use 1 or more")
        _library.call("cairn_past_begin", self, rows)
        self._rows = rows

    def attend(self, layer, q, k, v, out):
        """Adds the step's keys and values of a layer, and attends. Returns `out`.

        q, out: [rows, query_heads, D]; k, v: [rows, kv_heads, D]; f32 without gaps on the CPU:
        tensors of torch, arrays of numpy, or anything else that is a buffer of floats. What has
        one dimension, or two, is taken as it lies.
        """
        if not 0 <= layer < self.model.layers:
            raise ValueError(f"layer {layer}: there are {self.model.layers}, counted from 0")
        if self._rows == 0:
            raise ValueError(f"no step of '{self.name}' is open; begin one")
        queries = (self._rows, self.model.query_heads, self.model.head_dim)
        keys = (self._rows, self.model.kv_heads, self.model.head_dim)
        with _Floats("q", q, queries) as q_at, _Floats("k", k, keys) as k_at, \
                _Floats("v", v, keys) as v_at, _Floats("out", out, queries, write=True) as o_at:
            _library.call("cairn_past_attend", self, layer, q_at, k_at, v_at, o_at)
        return out

    def end(self, tokens):
        """Ends a step of which all layers were attended; a token for each row that is no
        landmark."""
        numbers = token_array(tokens)
        _library.call("cairn_past_end", self, numbers, len(numbers))
        self._rows = 0

    def abort(self):
        """Undoes an open step, and nothing else."""
        _library.call("cairn_past_abort", self)
        self._rows = 0

    def revert(self):
        """Returns to the last commit."""
        super().revert()
        self._rows = 0


class _Floats:
    """The address of so many floats in a row, while they are looked at."""

    def __init__(self, what, values, shape, write=False):
        self._view = None
        if hasattr(values, "data_ptr"):  # a tensor
            kind, given = str(values.dtype), tuple(values.shape)
            good = kind == "torch.float32" and values.device.type == "cpu" \
                and values.is_contiguous()
            self._address = values.data_ptr()
        else:
            self._view = memoryview(values)
            kind, given = self._view.format, self._view.shape
            good = kind in ("f", "<f", "=f") and self._view.c_contiguous
            if write and self._view.readonly:
                raise ValueError(f"{what} cannot be written to")
            self._address = None
        if not good:
            raise ValueError(f"{what}: numbers of type {kind}; give f32 without gaps on the CPU")
        if given != shape and (len(given) > 2 or math.prod(given) != math.prod(shape)):
            raise ValueError(f"{what} is {list(given)}; this step needs {list(shape)}")

    def __enter__(self):
        if self._address is None:
            return self._buffer_address()
        return self._address

    def __exit__(self, *_exception):
        if self._view is not None:
            self._view.release()

    def _buffer_address(self):
        if self._view.readonly:  # ctypes takes none such without a copy
            self._copy = array.array("f", bytes(self._view))
            return self._copy.buffer_info()[0]
        flat = self._view.cast("B")
        return ctypes.addressof((ctypes.c_char * flat.nbytes).from_buffer(flat))
