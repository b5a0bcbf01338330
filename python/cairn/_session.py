"""Models that cairn runs, and their sessions."""
import ctypes
import threading

from cairn import _library
from cairn._sequence import Sequence, token_array

_KEEP = 1


class Model(_library.Handle):
    """A GGUF file with adapters (FILE, FILE=SCALE, or the name of an installed one), its weights
    in memory. Option: device ("cuda:0")."""

    def __init__(self, file, adapters=(), **options):
        names = [_library.c_text(adapter) for adapter in adapters]
        pointer = ctypes.c_void_p()
        with _library.options_of(options) as handle:
            _library.call("cairn_model_load_with", _library.c_text(file),
                          (ctypes.c_char_p * len(names))(*names), len(names), handle,
                          ctypes.byref(pointer))
        self._pointer = pointer
        self.locks = (threading.Lock(),)

    def _close(self, pointer):
        _library.call("cairn_model_free", pointer)

    def tokenize(self, text):
        """The tokens of a text."""
        data = text.encode()
        count = ctypes.c_size_t()
        _library.call("cairn_model_tokenize", self, data, len(data), None, 0,
                      ctypes.byref(count))
        tokens = (ctypes.c_uint32 * count.value)()
        _library.call("cairn_model_tokenize", self, data, len(data), tokens, count.value,
                      ctypes.byref(count))
        return list(tokens)

    def token_bytes(self, token):
        """The bytes of a token; a character may be parted between tokens."""
        count = ctypes.c_size_t()
        _library.call("cairn_model_token_text", self, token, None, 0, ctypes.byref(count))
        text = ctypes.create_string_buffer(count.value + 1)
        _library.call("cairn_model_token_text", self, token, text, count.value,
                      ctypes.byref(count))
        return text.raw[:count.value]

    def text(self, tokens):
        """The text of tokens; what is no whole character is shown as U+FFFD."""
        return b"".join(self.token_bytes(token) for token in tokens).decode(errors="replace")


class Session(Sequence):
    """One sequence and its past. What is committed stays after a crash; the rest is scratch.

    Store.session opens or makes one; this opens it, or with `create` makes it. It is as long as it
    has tokens.
    """

    _prefix, _units = "cairn_session", "tokens"

    def __init__(self, store, name, model, *, create=False, **options):
        function = "cairn_session_create" if create else "cairn_session_open"
        pointer = ctypes.c_void_p()
        with _library.options_of(options) as handle:
            _library.call(function, store, model, _library.c_text(name), handle,
                          ctypes.byref(pointer))
        self._pointer = pointer
        self._owners = (store, model)  # which must stay
        self.locks = store.locks + model.locks
        self.name = name

    def read(self, text, source=None, progress=None):
        """Reads a text, as `cairn ingest` does; committed on the way and at the end. A text that
        was read before changes nothing, and one that was interrupted is gone on with.
        progress(done, total): anything true stops it (Interrupted)."""
        data = text.encode() if isinstance(text, str) else text
        # Without one Python would not hear of Ctrl-C before the end.
        callback = _library.Callback(_library.ProgressFn, progress or (lambda *_: False))
        callback.call("cairn_session_read", self, data, len(data),
                      None if source is None else _library.c_text(source), callback.pointer, None)

    def append(self, tokens):
        """Appends tokens as they are; scratch until a commit."""
        array = token_array(tokens)
        _library.call("cairn_session_append", self, array, len(array))

    def generate(self, prompt, max_tokens=128, temperature=0.0, seed=0, on_text=None):
        """Goes on from a prompt as plain text, and returns what comes; scratch until a commit.
        on_text(piece) sees it as it is made; anything true ends it."""
        _check_most(max_tokens)
        data = prompt.encode()
        return self._answer(on_text, "cairn_session_generate", data, len(data), max_tokens,
                            temperature, seed)

    def ask(self, question, max_tokens=128, keep=False, on_text=None):
        """Asks and answers, as `cairn ask` does; leaves the session as it was unless `keep`."""
        _check_most(max_tokens)
        return self._answer(on_text, "cairn_session_ask", _library.c_text(question), max_tokens,
                            _KEEP if keep else 0)

    def _answer(self, on_text, name, *arguments):
        pieces = []

        def piece(text, count):
            pieces.append(ctypes.string_at(text, count).decode(errors="replace"))
            return on_text(pieces[-1]) if on_text is not None else False

        callback = _library.Callback(_library.TextFn, piece)
        callback.call(name, self, *arguments, callback.pointer, None)
        return "".join(pieces)


def _check_most(max_tokens):
    if not 0 < max_tokens < 1 << 63:  # else it would be cut to what fits
        raise ValueError(f"an answer of {max_tokens} tokens: use 1 or more")
