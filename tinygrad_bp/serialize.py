"""Saving and loading a state_dict without pickle: after this file you know what is in a .safetensors file.

Layout of safetensors: eight bytes (the header's length, little-endian), a JSON header which gives each
tensor's dtype, shape and [begin, end) among the data bytes, then the data without a gap (`header.py` reads it).
Nothing in such a file can run code, and every number in it is checked against the size of the file before memory is
taken.
A .npz file is a zip of .npy members, each with a small header of its own; pickled objects are refused.

Sources: https://github.com/huggingface/safetensors#format and the page of `numpy.lib.format`. Files are
written whole or not at all, see `files.py`. Read `data/idx.py` next.
"""

from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArgumentError, DtypeError, FileFormatError
from .files import atomic_write, path_text, read_up_to, refuse_bomb, refusing
from .header import MAX_DIMS, MAX_METADATA, SAFE_DTYPES, TensorRecord, nbytes, read_header, short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import BufferedReader
    from zipfile import ZipFile, ZipInfo

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Wrap = Callable[[Array], Any] | None
    Path = str | os.PathLike[str]

CODE_OF = {np.dtype(dtype): code for code, dtype in SAFE_DTYPES.items() if code != "BF16"}
MAX_NPY_HEADER = 10_000  # bytes; NumPy's own limit


def save(state_dict: Mapping[str, Any], path: Path) -> None:
    """Write a state_dict to `path`, as its ending says: .safetensors or .npz.

    Values are arrays or Tensors of any shape, of bool, integer, float16/32/64 or complex64 dtype; anything
    else (the nested state_dict of an optimiser, say) is a DtypeError that names the key. An existing file is
    replaced in one step and keeps its permissions; when anything fails it stays as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"weight": np.ones(2, np.float32)}, folder + "/net.safetensors")
    ...     load(folder + "/net.safetensors")
    {'weight': array([1., 1.], dtype=float32)}
    """
    (save_safetensors if _ending("save", path) == ".safetensors" else save_npz)(state_dict, path)


def load(path: Path, *, wrap: Wrap = None) -> dict[str, Any]:
    """Read a state_dict from a .safetensors or .npz file; see `load_safetensors` and `load_npz`.

    The arrays are writable, in native byte order, and go through `wrap` if it is given. A file that is
    truncated, lies, or holds a pickle is a FileFormatError; a missing one a FileNotFoundError.

    >>> try:
    ...     load("checkpoint.pt")
    ... except FileFormatError as error:
    ...     print(error)
    load: checkpoint.pt must end in .safetensors or .npz (a pickle, such as .pt, runs code when it is loaded)
    """
    return (load_safetensors if _ending("load", path) == ".safetensors" else load_npz)(path, wrap=wrap)


def save_safetensors(
    tensors: Mapping[str, Any], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays or Tensors, with str → str metadata, byte for byte as the safetensors library does.

    With two metadata keys or more the library's own order is random; here it is the order of `metadata`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_safetensors({"b": np.zeros(3)}, folder + "/b.safetensors", metadata={"epoch": "7"})
    ...     load_metadata(folder + "/b.safetensors")
    {'epoch': '7'}
    """
    import json

    arrays = _storable(tensors)
    if "__metadata__" in arrays:
        raise DtypeError("save: the key '__metadata__' is reserved by the format; rename that tensor")
    header: dict[str, Any] = {}
    if metadata is not None:
        if not all(type(text) is str for pair in metadata.items() for text in pair):
            raise DtypeError(f"save: metadata must map str to str, got {dict(metadata)!r}; write str(value)")
        if len(metadata) > MAX_METADATA:
            raise ArgumentError(f"save: {len(metadata)} pairs of metadata, and a file holds up to {MAX_METADATA}")
        header["__metadata__"] = {_encodable(key): _encodable(text) for key, text in metadata.items()}
    order = sorted(arrays, key=lambda name: ([*CODE_OF].index(arrays[name].dtype), name))
    end = 0
    for name in order:
        array, begin = arrays[name], end
        end = begin + array.nbytes
        header[name] = {"dtype": CODE_OF[array.dtype], "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(arrays[name].data)


def load_safetensors(path: Path, *, wrap: Wrap = None) -> dict[str, Any]:
    """Read every tensor of a .safetensors file, in the order of its data, as an array or as `wrap(array)`.

    BF16, which NumPy lacks, is widened to float32 without loss; floats of eight bits or fewer are refused.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_safetensors({"w": np.eye(2)}, folder + "/w.safetensors")
    ...     load_safetensors(folder + "/w.safetensors", wrap=lambda array: array.shape)
    {'w': (2, 2)}
    """
    with open(path_text("load", path), "rb") as file, refusing(path, ".safetensors"):
        arrays = {entry.name: _read_tensor(file, entry) for entry in read_header(file)[0]}
    return _wrapped(arrays, wrap)


def load_metadata(path: Path) -> dict[str, str]:
    """Read only the str → str metadata of a .safetensors file: an empty dict if it has none.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_safetensors({}, folder + "/empty.safetensors")
    ...     load_metadata(folder + "/empty.safetensors")
    {}
    """
    with open(path_text("load", path), "rb") as file, refusing(path, ".safetensors"):
        return read_header(file)[1]


def save_npz(tensors: Mapping[str, Any], path: Path) -> None:
    """Write named arrays or Tensors as an uncompressed .npz for `numpy.load`; equal input gives equal bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_npz({"fc1.bias": np.arange(3)}, folder + "/net.npz")
    ...     load_npz(folder + "/net.npz")
    {'fc1.bias': array([0, 1, 2])}
    """
    import zipfile

    arrays = _storable(tensors)
    for name in arrays:
        if "\0" in name or len(name.encode()) > 2**16 - 5:
            raise DtypeError(f"save: {short(name)} cannot be the name of a member of a zip file; rename it")
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # A ZipInfo made by hand is dated 1980: no clock in the file.
            with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load_npz(path: Path, *, wrap: Wrap = None) -> dict[str, Any]:
    """Read every member of a .npz file, plain or compressed, as an array or as `wrap(array)`.

    Stricter than `numpy.load`: pickled objects, text, records, members that are not .npy, and archives that
    unpack to more than 1 GiB and more than 100 times their size are refused with FileFormatError.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(folder + "/net.npz", w=np.ones(2))
    ...     load_npz(folder + "/net.npz")
    {'w': array([1., 1.])}
    """
    import zipfile
    import zlib

    damage = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, struct.error)
    with open(path_text("load", path), "rb") as file, refusing(path, ".npz", *damage):
        if file.read(4) not in (b"PK\3\4", b"PK\5\6"):
            raise ValueError("it does not begin as a zip file does")
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, os.fstat(file.fileno()).st_size)
            arrays = {name: _read_npy(archive, info) for name, info in members.items()}
    return _wrapped(arrays, wrap)


def _ending(what: str, path: Path) -> str:
    name = path_text(what, path)
    ending = os.path.splitext(name)[1].lower()
    if ending not in (".safetensors", ".npz"):
        raise FileFormatError(
            f"{what}: {name} must end in .safetensors or .npz "
            "(a pickle, such as .pt, runs code when it is loaded)"
        )
    return ending


def _storable(tensors: Mapping[Any, Any]) -> dict[str, Array]:
    """All values as C-contiguous little-endian arrays, or one error before any file is touched."""
    if not hasattr(tensors, "items"):
        raise DtypeError(f"save: expected a dict, got {type(tensors).__name__}; write x.state_dict()")
    arrays = {}
    for name, value in tensors.items():
        array = value if isinstance(value, np.ndarray) else getattr(value, "array", None)
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            raise DtypeError(
                f"save: key {name!r} holds a {type(value).__name__}, and a file holds one flat dict from str "
                "to tensors; save each state_dict to a file of its own, and a number as numpy.asarray(number)"
            )
        dtype = array.dtype.newbyteorder("<")
        if dtype not in CODE_OF:
            known = ", ".join(map(str, CODE_OF))
            raise DtypeError(f"save: key {name!r} has the dtype {array.dtype}; convert it to one of {known}")
        # Not ascontiguousarray: that would turn shape () into (1,).
        arrays[_encodable(name)] = np.asarray(array, dtype=dtype, order="C")
    return arrays


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DtypeError(f"save: {text!r} cannot be written as UTF-8; rename it") from None
    return text


def _wrapped(arrays: dict[str, Array], wrap: Wrap) -> dict[str, Any]:
    return arrays if wrap is None else {name: wrap(array) for name, array in arrays.items()}


def _read_tensor(file: BufferedReader, entry: TensorRecord) -> Array:
    array: Array = np.empty(entry.shape, SAFE_DTYPES[entry.code])
    if file.readinto(array.data) != array.nbytes:
        raise ValueError("it became shorter while it was read")
    if entry.code == "BF16":  # the upper half of a float32
        wide = array.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return _native(array)


def _native(array: Array) -> Array:
    if array.dtype == bool and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError("a bool is neither 0 nor 1")  # NumPy would compute nonsense with it
    return array.astype(array.dtype.newbyteorder("="), copy=False)


# What numpy.save writes, and no more of Python than that: no expression is ever evaluated.
_NPY_HEADER = (
    rb"\{ *'descr': *'([<>=|]?[biufc]\d{1,2})', *'fortran_order': *(True|False), *"
    rb"'shape': *\(((?:(?:0|[1-9]\d{0,18}), *)*(?:0|[1-9]\d{0,18})?)\) *,? *\}[ \n]*"
)


def _members(archive: ZipFile, size: int) -> dict[str, ZipInfo]:
    """Array name → zip entry, once the entries are known to be distinct, sound and no bomb."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    infos = archive.infolist()
    members = {info.filename.removesuffix(".npy"): info for info in infos if info.filename.endswith(".npy")}
    if len(members) < len(infos):
        raise ValueError(f"it must hold distinct .npy files, not {short(', '.join(archive.namelist()))}")
    if any(info.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for info in infos):
        raise ValueError("a member is compressed by a method that NumPy does not write")
    if not all(0 <= info.header_offset < size for info in infos):
        raise ValueError("a member begins outside of the file")
    packed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    if packed > size:
        raise ValueError(f"its {size} bytes claim to hold {packed}: a bomb, whose members overlap")
    refuse_bomb(size, unpacked)
    return members


def _read_npy(archive: ZipFile, info: ZipInfo) -> Array:
    """One member: magic, version, header length, header, data, and nothing behind it."""
    what = f"member {short(info.filename)}"
    with archive.open(info) as file:
        magic = file.read(8)
        if magic not in (b"\x93NUMPY\1\0", b"\x93NUMPY\2\0", b"\x93NUMPY\3\0"):
            raise ValueError(f"{what} is not a .npy file of version 1, 2 or 3")
        form = "<H" if magic[6] == 1 else "<I"
        (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
        header = re.fullmatch(_NPY_HEADER, file.read(min(length, MAX_NPY_HEADER + 1)))
        if length > MAX_NPY_HEADER or header is None:
            raise ValueError(f"{what} does not hold plain numbers, or its header is damaged")
        dtype, shape = _npy_dtype(header[1].decode()), _npy_shape(header[3].decode())
        expected = nbytes(shape, dtype)
        data = read_up_to(file, expected + 1)
    if len(data) != expected:
        found = "more" if len(data) > expected else len(data)
        raise ValueError(f"{what} ({dtype}, shape {shape}) needs {expected} bytes, {found} are there")
    array: Array = np.frombuffer(data, dtype)  # writable, for a bytearray is
    return _native(array.reshape(shape[::-1]).T if header[2] == b"True" else array.reshape(shape))


def _npy_shape(sizes: str) -> list[int]:
    shape = [int(size) for size in sizes.split(",") if size.strip()]
    if len(shape) > MAX_DIMS or (len(shape) == 1 and "," not in sizes):  # (3) is a number, (3,) a shape
        raise ValueError(f"({short(sizes)}) is no shape")
    return shape


def _npy_dtype(descr: str) -> np.dtype[Any]:
    try:
        return np.dtype(descr)
    except TypeError:
        raise ValueError(f"{descr!r} is no dtype") from None
