"""What calls of the library fail with: an exception for each code of cairn.h."""


class Error(Exception):
    """A call that failed; its text names the thing and the remedy."""

    status = 0  # the code of cairn.h


class InvalidArgument(Error, ValueError):
    """The caller asked for something that cannot be."""

    status = 1


class NotFound(Error, LookupError):
    """A named thing is not there."""

    status = 2


class Exists(Error):
    """A named thing is there already."""

    status = 3


class Corruption(Error):
    """Bytes are not what was written."""

    status = 4


class IoError(Error, OSError):
    """The operating system or the disk refused."""

    status = 5


class OutOfSpace(Error):
    """A limit on disk space was reached."""

    status = 6


class ResourceError(Error, MemoryError):
    """A memory budget is too small, or memory is used up."""

    status = 7


class Busy(Error):
    """Somebody else holds the lock, or a handle is in use."""

    status = 8


class Mismatch(Error):
    """Two things that must agree do not."""

    status = 9


class Unsupported(Error):
    """Valid, but not something this version does."""

    status = 10


class Interrupted(Error):
    """A callback asked to stop."""

    status = 11


class Internal(Error):
    """A surprise from a library below."""

    status = 12


_BY_STATUS = {error.status: error for error in Error.__subclasses__()}


def error_of(status, text):
    """The exception for a code; codes that are not known here are plain errors."""
    error = _BY_STATUS.get(status, Error)(text)
    error.status = status
    return error
