"""Files that are whole or not there, and reading that cannot be lied to; read `header.py` next.

A checkpoint which a crash cut in half has cost people their training run, and a header that claims a terabyte
has cost them their memory. The functions here are what all readers and writers of the package share.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import ArgumentError, DtypeError, FileFormatError

fcntl: Any = None  # no such locks on this system: see `_lock`
with suppress(ImportError):
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Readable(Protocol):
        def read(self, size: int, /) -> bytes: ...


CHUNK = 2**20  # bytes
MAX_UNPACKED, MAX_RATIO = 2**30, 100  # a compressed file may unpack to 1 GiB, or to 100 times its size if that is more
TEMPORARY = re.compile(r"\.tinygrad_bp-[0-9a-f]{16}\.tmp")


def path_text(op: str, path: Any) -> str:
    """The path as text, once it is known to be one that a file can have.

    >>> path_text("load", "net\\0.npz")
    Traceback (most recent call last):
    tinygrad_bp.errors.ArgumentError: load: the path 'net\\x00.npz' holds a NUL character; no file can have that name
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise DtypeError(f"{op}: a path is expected, a str or a pathlib.Path, not {type(path).__name__}") from None
    if "\0" in name:
        raise ArgumentError(f"{op}: the path {name!r} holds a NUL character; no file can have that name")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise ArgumentError(f"{op}: the path {name!r} cannot be written in this system's encoding") from None
    return name


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that appears under `path` only when the block has ended without an exception.

    The data goes to a new file in the same folder, is flushed to the disk, and replaces `path` in one step;
    then the folder is flushed, so that the new name survives a loss of power too. A link is followed, an
    existing file keeps its mode, a new one gets what the umask leaves. Only a killed process can leave its
    temporary file (`.….tmp`) behind, which the next write into the folder removes. Raises OSError, about `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(folder + "/a.bin") as file:
    ...         _ = file.write(b"whole")
    ...     os.listdir(folder)
    ['a.bin']
    """
    name = path_text("save", path)
    try:
        yield from _written(name, os.path.realpath(name))
    except OSError as error:
        if error.errno is not None:
            error.filename = name  # not the temporary file, of which the caller knows nothing
            del error.filename2
        raise


def _written(name: str, target: str) -> Iterator[BinaryIO]:
    folder = os.path.dirname(target)
    mode = os.stat(target).st_mode if os.path.exists(target) else None
    if mode is not None and not stat.S_ISREG(mode):
        raise FileFormatError(f"{name} exists and is not a regular file; give the name of a file")
    if mode is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected and was not replaced")
    remove_stale(folder)
    temporary, file = _begun(folder)
    try:
        with file:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not fcntl:
                file.close()  # an open file cannot be renamed there
            os.replace(temporary, target)  # while it is locked: an unlocked one might be removed as stale
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(folder)


def _begun(folder: str) -> tuple[str, BinaryIO]:
    """A new temporary file, locked: the lock goes when it is closed, be it by the death of its writer."""
    while True:
        temporary = os.path.join(folder, f".tinygrad_bp-{os.urandom(8).hex()}.tmp")
        file = open(temporary, "xb")  # noqa: SIM115 - closed by the caller
        _lock(file.fileno(), wait=True)
        if not fcntl or os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # somebody took it for a stale one, in the moment before it was locked


def _lock(descriptor: int, wait: bool = False) -> bool:
    """Whether the file is ours now; not if another holds it, or if the disk has no locks."""
    if not fcntl:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def remove_stale(folder: str) -> None:
    """Remove the temporary files in a folder whose writers died: those that nobody holds locked."""
    with suppress(OSError):
        for name in os.listdir(folder or "."):
            if TEMPORARY.fullmatch(name):
                _remove_unless_held(os.path.join(folder, name))


def _remove_unless_held(path: str) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            if _lock(descriptor):
                os.unlink(path)
        finally:
            os.close(descriptor)


def _flush_folder(folder: str) -> None:
    """Write the new name to the disk; where a folder cannot be opened so, the system sees to it itself."""
    with suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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


def refuse_bomb(size: int, unpacked: int) -> None:
    """Raise ValueError if a compressed file of `size` bytes holds more than a file may."""
    if unpacked > max(MAX_UNPACKED, MAX_RATIO * size):
        raise ValueError(f"its {size} bytes unpack to {unpacked}, more than 1 GiB and {MAX_RATIO}-fold: a bomb")


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
        raise FileFormatError(f"{os.fsdecode(path)} is not a sound {kind} file: {text}") from None
