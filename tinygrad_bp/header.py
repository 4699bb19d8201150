"""The header of a .safetensors file, read in the memory that it deserves; read `serialize.py` next.

JSON can hold a thousand times what its reader expects: `[[],[],…` takes 27 bytes of memory for each of its own. But
this header has a plain form, a name and three fields for each tensor. So the text is walked with a few regular
expressions, one tensor after another; only a piece of the right form and of bounded length is given to the JSON reader,
and what is kept of it is smaller than its text. Every number is checked against the size of the file before memory is
taken for data.

Source: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from io import BufferedReader

# In the order in which the safetensors library lays tensors out: the wide types first, so all are aligned.
SAFE_DTYPES = {
    "U64": "<u8", "I64": "<i8", "F64": "<f8", "C64": "<c8", "F32": "<f4", "U32": "<u4", "I32": "<i4",
    "BF16": "<u2", "F16": "<f2", "U16": "<u2", "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
DTYPES = {code: np.dtype(dtype) for code, dtype in SAFE_DTYPES.items()}
CODES = {code: code for code in SAFE_DTYPES}  # one string for all tensors of a dtype
MAX_HEADER = 100_000_000  # bytes of JSON; the safetensors library draws the line here too
MAX_DIMS = 64  # NumPy's own limit
MAX_ENTRY = 4096  # bytes of JSON for one tensor's fields: 64 sizes of 19 digits take 1400
MAX_METADATA = 10_000  # pairs

# Possessive (`*+`), so that a megabyte of text takes no memory to match.
STRING = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
SPACE = rb"[ \t\n\r]*+"
TEXT = re.compile(STRING)
NAME = re.compile(SPACE + rb"(" + STRING + rb")" + SPACE + rb":" + SPACE)
FIELDS = re.compile(rb"\{[^{}]{0,%d}+\}" % MAX_ENTRY)
NEXT = re.compile(SPACE + rb"([,}])")
EMPTY = re.compile(rb"\{" + SPACE + rb"\}")
END = re.compile(SPACE + rb"\Z")
PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # two escapes that are one character
PIECE = re.compile(rb"(?:[^\\\x80-\xff]|[\x80-\xff][\x80-\xbf]*+|" + PAIR + rb"|\\.){1,100000}+")


class TensorRecord(NamedTuple):
    """A tensor of the file: its first byte among the data, name, dtype code and shape."""

    begin: int
    name: str
    code: str
    shape: tuple[int, ...]


def read_header(file: BufferedReader) -> tuple[list[TensorRecord], dict[str, str]]:
    """The tensors in the order of their data, and the metadata; ValueError if anything is wrong."""
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        raise ValueError(f"it has {size} bytes, and the length of its header alone takes 8")
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(MAX_HEADER, size - 8):
        raise ValueError(f"it claims a header of {length} bytes, {size - 8} are there (limit {MAX_HEADER})")
    return parsed(file.read(length), size - 8 - length)


def parsed(text: bytes, data_size: int) -> tuple[list[TensorRecord], dict[str, str]]:
    """The header's text as tensors that cover `data_size` bytes without a gap or an overlap, and the metadata.

    >>> parsed(b'{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"__metadata__":{"epoch":"7"}}', 0)
    ([TensorRecord(begin=0, name='w', code='F32', shape=(0,))], {'epoch': '7'})
    """
    entries: list[TensorRecord] = []
    notes: list[dict[str, str]] = []

    def pair(name: str, at: int) -> int:
        if name == "__metadata__":
            metadata, end = _metadata(text, at)
            notes.append(metadata)
            return end
        found = FIELDS.match(text, at)
        if found is None:
            raise ValueError(f"tensor {short(name)} must have dtype, shape and data_offsets, nothing else")
        entries.append(_entry(name, found[0]))
        return found.end()

    if not END.match(text, _object(text, 0, "its header", pair)):
        raise ValueError("text follows on its header's JSON object")
    if len(notes) > 1:
        raise ValueError("its header has __metadata__ twice")
    return _covering(entries, data_size), notes[0] if notes else {}


def _object(text: bytes, at: int, what: str, pair: Callable[[str, int], int]) -> int:
    """Walk the JSON object that begins at `at`; `pair` reads a value and says where it ends. Where the object ends."""
    if text[at : at + 1] != b"{":
        raise ValueError(f"{what} is not a JSON object")
    empty = EMPTY.match(text, at)
    if empty:
        return empty.end()
    at += 1
    while True:
        name = NAME.match(text, at)
        if name is None:
            raise ValueError(f"{what} is not JSON: a name in quotes and a colon are expected at byte {at}")
        after = NEXT.match(text, pair(_text(text, *name.span(1)), name.end()))
        if after is None:
            raise ValueError(f"{what} is not JSON: a comma or a brace is missing behind byte {name.end()}")
        at = after.end()
        if after[1] == b"}":
            return at


def _text(text: bytes, start: int, end: int) -> str:
    """A JSON string. One wide character makes a str take four bytes for each: so it is made once, of UTF-8."""
    inside = memoryview(text)[start + 1 : end - 1]
    if text.find(b"\\", start, end) < 0:
        return str(inside, "utf-8")
    decoded = bytearray()
    for piece in PIECE.finditer(inside):
        decoded += json.loads(b'"%b"' % piece[0]).encode()  # UnicodeEncodeError, a ValueError, for half of a pair
    return str(decoded, "utf-8")


def _metadata(text: bytes, at: int) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}

    def pair(name: str, at: int) -> int:
        value = TEXT.match(text, at)
        if value is None:
            raise ValueError("its __metadata__ must map str to str")
        if name in found or len(found) == MAX_METADATA:
            raise ValueError(f"its __metadata__ has a key twice, or more than {MAX_METADATA} keys")
        found[name] = _text(text, *value.span())
        return value.end()

    return found, _object(text, at, "its __metadata__", pair)


def _entry(name: str, fields: bytes) -> TensorRecord:
    entry = json.loads(fields.decode(), object_pairs_hook=_unique, parse_int=_natural)
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {short(name)} must have dtype, shape and data_offsets, nothing else")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if type(code) is not str or code not in CODES:
        raise ValueError(f"tensor {short(name)}: dtype {short(str(code))} is not one of {[*SAFE_DTYPES]}")
    for values in (shape, offsets):
        if type(values) is not list or not all(type(value) is int for value in values):
            raise ValueError(f"tensor {short(name)}: shape and data_offsets must be lists of integers")
    if len(offsets) != 2 or len(shape) > MAX_DIMS:
        raise ValueError(f"tensor {short(name)} has {len(shape)} dimensions and {len(offsets)} data_offsets")
    needed = nbytes(shape, DTYPES[code])
    if offsets[1] != offsets[0] + needed:
        raise ValueError(
            f"tensor {short(name)} ({code}, shape {shape}) must have the bytes "
            f"[{offsets[0]}, {offsets[0] + needed}) and claims [{offsets[0]}, {offsets[1]})"
        )
    return TensorRecord(offsets[0], name, CODES[code], tuple(shape))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key of its header occurs twice")
    return result


def _natural(digits: str) -> int:
    if digits.startswith("-"):  # "-0" would pass as 0 later
        raise ValueError(f"{digits[:30]} is no size")
    return int(digits)


def _covering(entries: list[TensorRecord], data_size: int) -> list[TensorRecord]:
    """The entries in file order, once known to have distinct names and to cover the data without a gap or overlap."""
    entries.sort(key=itemgetter(1))
    if any(a.name == b.name for a, b in pairwise(entries)):
        raise ValueError("a name of its header occurs twice")
    position = 0
    entries.sort(key=_size)  # an empty tensor stands before the one whose first byte is its own too
    entries.sort(key=itemgetter(0))
    for entry in entries:
        if entry.begin != position:
            raise ValueError(f"tensor {short(entry.name)} must begin at byte {position} and claims {entry.begin}")
        position += _size(entry)
    if position != data_size:
        raise ValueError(f"its tensors take {position} bytes, {data_size} are there")
    return entries


def _size(entry: TensorRecord) -> int:
    return nbytes(entry.shape, DTYPES[entry.code])


def nbytes(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """The bytes of an array; ValueError for one that cannot be."""
    # Without the zeros, for NumPy cannot make an array of shape (0, 2**62) either.
    if math.prod(size for size in shape if size) * dtype.itemsize >= 2**63:
        raise ValueError(f"no array can have the shape {shape}")
    return math.prod(shape) * dtype.itemsize


def short(name: str) -> str:
    """A name that a file gave, in quotes, and cut if it is long."""
    return repr(name if len(name) < 100 else name[:100] + "…")
