"""Files that are whole or not there, and reading that cannot be lied to; read `serialize.py` next.

A checkpoint which a crash cut in half has cost people their training run, and a header that claims a terabyte
has cost them their memory. The three functions here are what all readers and writers of the package share.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from .errors import FileFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Readable(Protocol):
        def read(self, size: int, /) -> bytes: ...


CHUNK = 2**20  # bytes


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that appears under `path` only when the block has ended without an exception.

    The data goes to a new file in the same folder, is flushed to the disk, and replaces `path` in one step.
    A link is followed, an existing file keeps its mode, a new one gets what the umask leaves. Only a killed
    process can leave its temporary file (`.….tmp`) behind, and never a half-written `path`. Raises OSError as
    `open` does.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(folder + "/a.bin") as file:
    ...         _ = file.write(b"whole")
    ...     os.listdir(folder)
    ['a.bin']
    """
    name = os.fsdecode(path)
    target = os.path.realpath(name)
    temporary = os.path.join(os.path.dirname(target), f".{os.urandom(8).hex()}.tmp")
    mode = os.stat(target).st_mode if os.path.exists(target) else None
    if mode is not None and not stat.S_ISREG(mode):
        raise FileFormatError(f"{name} exists and is not a regular file; give the name of a file")
    if mode is not None and not os.access(target, os.W_OK):
        raise PermissionError(f"{name} is write-protected and was not replaced")
    file = open(temporary, "xb")  # noqa: SIM115 - closed by the `with` inside the `try`
    try:
        with file:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def read_up_to(stream: Readable, limit: int) -> bytearray:
    """Read at most `limit` bytes, and take memory only for bytes that are really there.

    `stream.read(limit)` may take `limit` bytes before it looks, so that a lying file would choose the amount.

    >>> import io
    >>> read_up_to(io.BytesIO(b"short"), 10**15)
    bytearray(b'short')
    """
    data = bytearray()
    while len(data) < limit and (chunk := stream.read(min(CHUNK, limit - len(data)))):
        data += chunk
    return data


@contextmanager
def refusing(path: str | os.PathLike[str], kind: str, *damage: type[Exception]) -> Iterator[None]:
    """Turn the ValueError with which a reader gives its reason into a FileFormatError that names the file.

    `damage` lists what else the standard library raises on a damaged file of this kind.

    >>> with refusing("digits.idx", "IDX"):
    ...     raise ValueError("it is empty")
    Traceback (most recent call last):
    tinygrad_bp.errors.FileFormatError: digits.idx is not a sound IDX file: it is empty
    """
    caught: tuple[type[Exception], ...] = (ValueError, RecursionError, *damage)
    try:
        yield
    except caught as reason:
        text = str(reason)[:500]  # the file may have chosen the words
        raise FileFormatError(f"{os.fsdecode(path)} is not a sound {kind} file: {text}") from reason
