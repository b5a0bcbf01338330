"""What sessions and pasts have in common: one sequence, of which the committed part is durable."""
import ctypes

from cairn import _library


class Sequence(_library.Handle):
    """A sequence in a store. Subclasses say what their functions of cairn.h are called."""

    _prefix = ""  # of its functions
    _units = ""  # what it is counted in

    def _close(self, pointer):
        getattr(_library.library(), f"{self._prefix}_close")(pointer)

    def __len__(self):
        """How long it is, with what is not committed."""
        return _library.ask(f"{self._prefix}_{self._units}", self)

    @property
    def committed(self):
        """How much of it is committed."""
        return _library.ask(f"{self._prefix}_committed_{self._units}", self)

    def tokens(self, first=0, count=None):
        """Tokens [first, first + count), or as many as there are."""
        count = len(self) if count is None else count
        if first < 0 or count < 0:
            raise ValueError(f"tokens {first}, {count} of them: use 0 or more")
        tokens = (ctypes.c_uint32 * count)()
        got = ctypes.c_size_t()
        _library.call(f"{self._prefix}_read_tokens", self, first, tokens, count, ctypes.byref(got))
        return list(tokens[:got.value])

    def commit(self):
        """Makes everything so far durable, in one atomic step."""
        _library.call(f"{self._prefix}_commit", self)

    def revert(self):
        """Returns to the last commit."""
        _library.call(f"{self._prefix}_revert", self)


def token_array(tokens):
    """An array for the library; ValueError naming the first that is no token."""
    tokens = [int(token) for token in tokens]
    for token in tokens:
        if not 0 <= token < 1 << 32:
            raise ValueError(f"{token} is no token; use 0 to 4294967295")
    return (ctypes.c_uint32 * len(tokens))(*tokens)
