"""libcairn.so.0 by ctypes: its functions as cairn.h declares them, checked for errors."""
import contextlib
import ctypes
import functools
import os
import signal
import threading

from cairn._errors import Busy, error_of

SONAME = "libcairn.so.0"

_handle = ctypes.c_void_p
_handle_out = ctypes.POINTER(ctypes.c_void_p)
_text = ctypes.c_char_p
_flags = ctypes.c_uint
_size = ctypes.c_size_t
_size_out = ctypes.POINTER(ctypes.c_size_t)
_u32 = ctypes.c_uint32
_u32s = ctypes.POINTER(ctypes.c_uint32)
_u64 = ctypes.c_uint64
_f32s = ctypes.c_void_p
_f64s = ctypes.POINTER(ctypes.c_double)

SessionFn = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, _text, _u64)
DamageFn = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, _text, _text)
ProgressFn = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, _u64, _u64)
TextFn = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), _size)

# Functions that return a code, and what they take.
CHECKED = {
    "cairn_set_threads": [ctypes.c_int],
    "cairn_options_new": [_handle_out],
    "cairn_options_set": [_handle, _text, _text],
    "cairn_store_open": [_text, _flags, _handle, _handle_out],
    "cairn_store_close": [_handle],
    "cairn_store_sessions": [_handle, SessionFn, _handle],
    "cairn_store_fork": [_handle, _text, _text],
    "cairn_store_delete": [_handle, _text],
    "cairn_store_verify": [_handle, _text, DamageFn, _handle],
    "cairn_model_load": [_text, ctypes.POINTER(_text), _size, _handle_out],
    "cairn_model_load_with": [_text, ctypes.POINTER(_text), _size, _handle, _handle_out],
    "cairn_model_free": [_handle],
    "cairn_model_tokenize": [_handle, _text, _size, _u32s, _size, _size_out],
    "cairn_model_token_text": [_handle, _u32, _text, _size, _size_out],
    "cairn_session_open": [_handle, _handle, _text, _handle, _handle_out],
    "cairn_session_create": [_handle, _handle, _text, _handle, _handle_out],
    "cairn_session_read_tokens": [_handle, _u64, _u32s, _size, _size_out],
    "cairn_session_read": [_handle, _text, _size, _text, ProgressFn, _handle],
    "cairn_session_append": [_handle, _u32s, _size],
    "cairn_session_generate": [_handle, _text, _size, _u64, ctypes.c_float, _u64, TextFn, _handle],
    "cairn_session_ask": [_handle, _text, _u64, _flags, TextFn, _handle],
    "cairn_session_commit": [_handle],
    "cairn_session_revert": [_handle],
    "cairn_past_create": [_handle, _text, _handle, _f64s, _size, _handle_out],
    "cairn_past_open": [_handle, _text, _handle, _f64s, _size, _handle_out],
    "cairn_past_read_tokens": [_handle, _u64, _u32s, _size, _size_out],
    "cairn_past_choose": [_handle, _handle],
    "cairn_past_begin": [_handle, _u32],
    "cairn_past_attend": [_handle, _u32, _f32s, _f32s, _f32s, _f32s],
    "cairn_past_end": [_handle, _u32s, _size],
    "cairn_past_abort": [_handle],
    "cairn_past_commit": [_handle],
    "cairn_past_revert": [_handle],
}
# Functions that cannot fail: what they return, and what they take.
PLAIN = {
    "cairn_version": (_text, []),
    "cairn_status_name": (_text, [ctypes.c_int]),
    "cairn_last_error": (_text, []),
    "cairn_options_free": (None, [_handle]),
    "cairn_session_close": (None, [_handle]),
    "cairn_session_tokens": (_u64, [_handle]),
    "cairn_session_committed_tokens": (_u64, [_handle]),
    "cairn_past_close": (None, [_handle]),
    "cairn_past_rows": (_u64, [_handle]),
    "cairn_past_committed_rows": (_u64, [_handle]),
    "cairn_past_chunk": (_u32, [_handle]),
}


@functools.lru_cache(maxsize=1)
def library():
    """The library, loaded when it is first needed."""
    path = os.environ.get("CAIRN_LIBRARY", SONAME)
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"{path} cannot be loaded ({error}); install cairn, or say in "
                          f"CAIRN_LIBRARY where its library is") from error
    for name, arguments in CHECKED.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = ctypes.c_int, arguments
    for name, (result, arguments) in PLAIN.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


@contextlib.contextmanager
def _held(handles):
    """While nobody else uses these; Busy if somebody does."""
    taken = []
    try:
        for lock in {id(lock): lock for handle in handles for lock in handle.locks}.values():
            if not lock.acquire(blocking=False):
                raise Busy("it is in use: by another thread, or by the call whose callback this is")
            taken.append(lock)
        yield
    finally:
        for lock in taken:
            lock.release()


def call(name, *arguments):
    """Calls a function that returns a code, with pointers in place of handles; raises what the
    code says."""
    loaded = library()
    with _held([argument for argument in arguments if isinstance(argument, Handle)]):
        status = getattr(loaded, name)(*map(_pointer_of, arguments))
        if status != 0:
            raise error_of(status, loaded.cairn_last_error().decode(errors="replace"))


def ask(name, handle):
    """What a function says of a handle that cannot fail."""
    with _held([handle]):
        return getattr(library(), name)(handle.pointer)


def _pointer_of(argument):
    return argument.pointer if isinstance(argument, Handle) else argument


def version():
    """The version of the library, "1.2.3"."""
    return library().cairn_version().decode()


def set_threads(threads):
    """How many cores this process uses, 1 to 1024; call it before anything else."""
    call("cairn_set_threads", threads)


def c_text(text):
    """Text or a path as the library takes it: UTF-8, or bytes as they are, without a zero."""
    data = text if isinstance(text, bytes) else os.fsencode(text)
    if b"\0" in data:
        raise ValueError(f"{text!r} has a zero in it, where it would end")
    return data


@contextlib.contextmanager
def options_of(options):
    """A handle of options {name: value}; names with '_' or '-', None is not given."""
    handle = ctypes.c_void_p()
    call("cairn_options_new", ctypes.byref(handle))
    try:
        for name, value in options.items():
            if value is None:
                continue
            if isinstance(value, bool):
                value = "true" if value else "false"
            call("cairn_options_set", handle, c_text(name.replace("_", "-")), c_text(str(value)))
        yield handle
    finally:
        library().cairn_options_free(handle)


class Callback:
    """A Python function as a callback. What it raises stops the call and is raised behind it; so
    does Ctrl-C."""

    def __init__(self, kind, function):
        self.raised = None

        def guarded(_user, *arguments):
            try:
                return 1 if function(*arguments) or self.raised is not None else 0
            except BaseException as error:  # ctypes would print it and go on
                self.raised = error
                return 1

        self.pointer = kind(guarded)

    def call(self, name, *arguments):
        """As the function `call`, with this as one of the arguments."""
        try:
            with self._interrupts():
                call(name, *arguments)
        finally:
            if self.raised is not None:
                raise self.raised

    @contextlib.contextmanager
    def _interrupts(self):
        """Ctrl-C is remembered: were it raised at the door of a callback, ctypes would lose it."""
        usual = signal.default_int_handler
        if threading.current_thread() is not threading.main_thread() \
                or signal.getsignal(signal.SIGINT) is not usual:
            yield
            return

        def remember(*_signal):
            self.raised = self.raised or KeyboardInterrupt()

        signal.signal(signal.SIGINT, remember)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)


class Handle:
    """What is opened and closed: a context manager around a pointer. Subclasses say _close.

    Of a store, its sessions and the models that these use one call at a time is made, as cairn.h
    wants it: `locks` are those of all that a call with this touches.
    """

    _pointer = None  # of what could not be opened, too
    locks = ()

    @property
    def pointer(self):
        """The handle, for the library; an error once it is closed."""
        if self._pointer is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._pointer

    def close(self):
        """Closes it; again is fine."""
        if self._pointer is not None:
            with _held([self]):
                self._close(self._pointer)
                self._pointer = None

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def __del__(self):
        with contextlib.suppress(Exception):  # nobody is there to be told
            self.close()
