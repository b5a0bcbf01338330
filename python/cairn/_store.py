"""Stores: directories in which sessions are."""
import ctypes
import threading
import typing

from cairn import _library
from cairn._errors import Corruption, NotFound
from cairn._past import Past
from cairn._session import Session

_CREATE, _READ_ONLY = 1, 2


class Damage(typing.NamedTuple):
    """What verify has found: of which session ("": of the whole store), and a sentence."""

    session: str
    what: str


class Store(_library.Handle):
    """The store in a directory. One process at a time has it for writing (Busy).

    create: make a store if there is none. read_only: list and verify only, beside a writer.
    Options, as of the program: host_memory, compute_memory, disk_limit ("2GiB"), device
    ("cuda:0"), read_ahead (True).
    """

    def __init__(self, directory, *, create=False, read_only=False, **options):
        flags = (_CREATE if create else 0) | (_READ_ONLY if read_only else 0)
        pointer = ctypes.c_void_p()
        with _library.options_of(options) as handle:
            _library.call("cairn_store_open", _library.c_text(directory), flags, handle,
                          ctypes.byref(pointer))
        self._pointer = pointer
        self.locks = (threading.Lock(),)

    def _close(self, pointer):
        _library.call("cairn_store_close", pointer)

    def sessions(self):
        """{name: committed tokens}, by name."""
        found = {}

        def each(name, tokens):
            found[name.decode()] = tokens

        callback = _library.Callback(_library.SessionFn, each)
        callback.call("cairn_store_sessions", self, callback.pointer, None)
        return found

    def fork(self, source, name):
        """Makes a session that shares all the committed past of another one."""
        _library.call("cairn_store_fork", self, _library.c_text(source),
                      _library.c_text(name))

    def delete(self, name):
        """Removes a session, and frees what no other one shares."""
        _library.call("cairn_store_delete", self, _library.c_text(name))

    def verify(self, session=None):
        """Reads all that is stored, or of one session, and checks it: a list of Damage."""
        found = []

        def each(name, what):
            found.append(Damage(name.decode(errors="replace"), what.decode(errors="replace")))

        callback = _library.Callback(_library.DamageFn, each)
        try:
            callback.call("cairn_store_verify", self,
                          None if session is None else _library.c_text(session),
                          callback.pointer, None)
        except Corruption:
            if not found:
                raise
        return found

    def session(self, name, model, **options):
        """The Session of that name at its last commit, made if there is none.

        Options of one that is made: chunk, block_tokens, representatives, kv_type, selection,
        raw (True); of any: retrieve, sinks, recent, query_stride, index, mass_target, mass_by,
        sketches.
        """
        return self._either(Session, name, (model,), options)

    def past(self, name, model, **options):
        """The Past of that name at its last commit, made if there is none. `model`: a
        PastModel; options as of a session."""
        return self._either(Past, name, (model,), options)

    def _either(self, kind, name, arguments, options):
        try:
            return kind(self, name, *arguments, **options)
        except NotFound:
            return kind(self, name, *arguments, create=True, **options)
