"""Tokens between Python and the library."""
import ctypes

from cairn import _library


def token_array(tokens):
    """An array for the library; ValueError naming the first that is no token."""
    tokens = [int(token) for token in tokens]
    for token in tokens:
        if not 0 <= token < 1 << 32:
            raise ValueError(f"{token} is no token; use 0 to 4294967295")
    return (ctypes.c_uint32 * len(tokens))(*tokens)


def read_tokens(function, pointer, first, count):
    """Tokens [first, first + count) by one of the functions that read them."""
    if first < 0 or count < 0:
        raise ValueError(f"tokens {first}, {count} of them: use 0 or more")
    tokens = (ctypes.c_uint32 * count)()
    got = ctypes.c_size_t()
    _library.call(function, pointer, first, tokens, count, ctypes.byref(got))
    return list(tokens[:got.value])
