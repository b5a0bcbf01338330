"""cairn: a memory for attention.

    import cairn

    with cairn.Store("texts", create=True) as store:
        with cairn.Model("model.gguf", ["smollm2-135m-landmark"]) as model:
            with store.session("book", model) as session:
                session.read(open("book.txt").read())
                print(session.ask("Who is it about?"))

Stores and sessions are those of the `cairn` program, which may go on where Python has stopped,
and the other way round. `Past` is the memory of a model that you run yourself, and
`cairn.huggingface` gives one to models of the transformers library.

It needs the library libcairn.so.0: where the loader looks, or where CAIRN_LIBRARY says.
"""
from cairn._errors import (Busy, Corruption, Error, Exists, Internal, Interrupted, InvalidArgument,
                           IoError, Mismatch, NotFound, OutOfSpace, ResourceError, Unsupported)
from cairn._library import set_threads, version
from cairn._past import Past, PastModel
from cairn._session import Model, Session
from cairn._store import Damage, Store

__all__ = ["Busy", "Corruption", "Damage", "Error", "Exists", "Internal", "Interrupted",
           "InvalidArgument", "IoError", "Mismatch", "Model", "NotFound", "OutOfSpace", "Past",
           "PastModel", "ResourceError", "Session", "Store", "Unsupported", "set_threads",
           "version"]
