"""IDX, the file format of MNIST: after this file you can read it by hand; read `data/mnist.py` next.

Two zero bytes, one byte for the dtype, one for the number of dimensions, each dimension as a big-endian
uint32, then the elements in row-major order, big-endian too. Source: Y. LeCun's page of MNIST.
"""

from __future__ import annotations

import math
import os
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import path_text, read_up_to, refuse_bomb, refusing

if TYPE_CHECKING:
    from gzip import GzipFile
    from io import BufferedReader

    from numpy.typing import NDArray

IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, plain or compressed with gzip, as a writable array in native byte order.

    Whether it is compressed is seen from its first bytes, not from its name. A file that is truncated, has
    bytes left over, or is no IDX file is a FileFormatError with the expected and the found number of bytes;
    no more is unpacked than the header asks for, plus one byte, and a header that asks for more than 1 GiB and more
    than 100 times the size of the compressed file is refused.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(folder + "/labels.idx", "wb") as file:
    ...         _ = file.write(b"\\0\\0\\x08\\1" + b"\\0\\0\\0\\3" + bytes([7, 2, 1]))
    ...     read_idx(folder + "/labels.idx")
    array([7, 2, 1], dtype=uint8)
    """
    import gzip
    import zlib

    with open(path_text("read_idx", path), "rb") as file, refusing(path, "IDX", gzip.BadGzipFile, zlib.error, EOFError):
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return _parse(file)
        with gzip.GzipFile(fileobj=file) as unpacked:
            return _parse(unpacked, os.fstat(file.fileno()).st_size)


def _parse(file: BufferedReader | GzipFile, packed: int | None = None) -> NDArray[Any]:
    """The array; `packed` is the size of the file if it is compressed."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_DTYPES:
        raise ValueError(f"it begins with {magic!r}; expected two zeros, a dtype and a number of dimensions")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError(f"its header needs {4 + 4 * magic[3]} bytes, found {4 + len(sizes)}")
    shape, dtype = struct.unpack(f">{magic[3]}I", sizes), np.dtype(IDX_DTYPES[magic[2]])
    expected = math.prod(shape) * dtype.itemsize
    if packed is not None:
        refuse_bomb(packed, expected)
    data = read_up_to(file, expected + 1)
    if len(data) != expected:
        found = "more" if len(data) > expected else len(data)
        raise ValueError(f"shape {shape} of {dtype.name} needs {expected} bytes of data, found {found}")
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape)  # ValueError for more than 64 dimensions
    return array.astype(dtype.newbyteorder("="), copy=False)
