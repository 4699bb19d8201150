"""Files: equal to the safetensors library's byte for byte, whole or not there, and no worse than refused."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import tinygrad_bp as tg
from tinygrad_bp import files, serialize
from tinygrad_bp.errors import DtypeError, FileFormatError
from tinygrad_bp.serialize import (
    CODE_OF,
    SAFE_DTYPES,
    load,
    load_metadata,
    load_npz,
    load_safetensors,
    save,
    save_npz,
    save_safetensors,
)

library = pytest.importorskip("safetensors.numpy")
quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

shapes = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
any_array = st.sampled_from(list(CODE_OF)).flatmap(lambda dtype: arrays(dtype, shapes))
state_dicts = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8).filter(
        lambda name: name != "__metadata__"
    ),
    any_array,
    max_size=5,
)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Equal names, dtypes, shapes and bits, NaN payloads included."""
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype
        and a[name].shape == b[name].shape
        and a[name].tobytes() == b[name].tobytes()
        for name in a
    )


def safe_bytes(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


# ------------------------------------------------------------------------------- agreement with the library


@quiet
@given(
    tensors=state_dicts,
    metadata=st.none() | st.dictionaries(st.text('aé\n\x01"\\/', max_size=4), st.text("bü")),
)
def test_bytes_equal_the_librarys_and_both_read_each_other(
    tmp_path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None
) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    save_safetensors(tensors, ours, metadata)
    # With several metadata keys the library's order is random; with none and no tensors its file is no JSON.
    if (metadata is None or len(metadata) <= 1) and (tensors or metadata != {}):
        assert ours.read_bytes() == library.save(tensors, metadata)
        library.save_file(tensors, theirs, metadata)
        assert same(load_safetensors(theirs), tensors)
    assert same(library.load_file(ours), tensors)
    assert same(load_safetensors(ours), tensors)
    assert load_metadata(ours) == (metadata or {})


def test_layout_follows_the_librarys_order_of_dtypes(tmp_path: Path) -> None:
    tensors = {f"{rank}{dtype}": np.ones(3, dtype) for dtype in CODE_OF for rank in "ba"}
    save_safetensors(tensors, tmp_path / "all.safetensors")
    assert (tmp_path / "all.safetensors").read_bytes() == library.save(tensors)
    assert len(CODE_OF) == len(SAFE_DTYPES) - 1 == 13  # BF16 has no NumPy dtype


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
@quiet
@given(tensors=state_dicts)
def test_round_trip(tmp_path: Path, ending: str, tensors: dict[str, Any]) -> None:
    path = tmp_path / f"net{ending}"
    save(tensors, path)
    loaded = load(path)
    assert same(loaded, tensors)
    assert all(array.flags.writeable and array.dtype.isnative for array in loaded.values())


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_strided_transposed_big_endian_and_shared_arrays_keep_their_values(
    tmp_path: Path, ending: str
) -> None:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    tensors = {
        "strided": base[::2, ::-3],
        "transposed": base.T,
        "broadcast": np.broadcast_to(base[0], (2, 6)),
        "big": base.astype(">f4"),
        "big_int": np.arange(3, dtype=">i8"),
        "shared": base,
        "shared_too": base,
        "scalar": np.asarray(2.5, dtype=">f8"),
        "tensor": SimpleNamespace(array=base),
    }
    save(tensors, tmp_path / f"net{ending}")
    loaded = load(tmp_path / f"net{ending}")
    for name, value in tensors.items():
        expected = getattr(value, "array", value)
        np.testing.assert_array_equal(loaded[name], expected)
        assert loaded[name].shape == expected.shape
        assert loaded[name].dtype == expected.dtype.newbyteorder("=")


def test_bf16_widens_to_float32(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    values = torch.tensor([1.0, -2.5, 3.140625, float("inf"), 1e-40, 0.0]).bfloat16()
    save_file(
        {"x": values, "scalar": values[2].clone(), "empty": values[:0].clone()}, tmp_path / "x.safetensors"
    )
    loaded = load(tmp_path / "x.safetensors")
    assert loaded["x"].dtype == np.float32
    assert loaded["x"].tobytes() == values.float().numpy().tobytes()
    assert loaded["scalar"].shape == ()
    assert loaded["scalar"] == 3.140625
    assert loaded["empty"].shape == (0,)


def test_torch_state_dict_comes_over_and_goes_back(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    state = load(tmp_path / "a.safetensors")
    save(state, tmp_path / "b.safetensors")
    back = load_file(tmp_path / "b.safetensors")
    assert all(torch.equal(value, back[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
def test_npz_of_numpy_is_read_and_numpy_reads_ours(tmp_path: Path, writer: Any) -> None:
    tensors = {
        "a.b": np.arange(6.0).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "big": np.arange(3, dtype=">i2"),
    }
    writer(tmp_path / "theirs.npz", **tensors)
    loaded = load_npz(tmp_path / "theirs.npz")
    save_npz(loaded, tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz") as again:
        for name, value in tensors.items():
            np.testing.assert_array_equal(loaded[name], value)
            np.testing.assert_array_equal(again[name], value)


def test_npz_bytes_depend_on_the_tensors_alone(tmp_path: Path) -> None:
    save_npz({"w": np.ones(2)}, tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert [info.date_time for info in archive.infolist()] == [(1980, 1, 1, 0, 0, 0)]


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_the_package_saves_and_loads_tensors(tmp_path: Path, ending: str) -> None:
    tensor = tg.ones(2, 3, requires_grad=True)
    tg.save({"w": tensor}, tmp_path / f"net{ending}")
    loaded = tg.load(tmp_path / f"net{ending}")["w"]
    assert isinstance(loaded, tg.Tensor)
    assert not loaded.requires_grad
    assert same({"w": loaded.array}, {"w": tensor.array})


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_wrap_makes_the_values(tmp_path: Path, ending: str) -> None:
    save({"w": np.ones((2, 3))}, tmp_path / f"net{ending}")
    loaded = load(tmp_path / f"net{ending}", wrap=lambda array: SimpleNamespace(array=array))
    assert loaded["w"].array.shape == (2, 3)

    def fail(array: Any) -> None:
        raise ValueError("the caller's own")

    with pytest.raises(ValueError, match=r"^the caller's own$"):  # not turned into a FileFormatError
        load(tmp_path / f"net{ending}", wrap=fail)


# -------------------------------------------------------------------------------------- what cannot be saved


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state": {0: np.ones(1)}}, ["'state'", "dict"]),
        ({"lr": 0.1}, ["'lr'", "float", "numpy.asarray"]),
        ({3: np.ones(1)}, ["3"]),
        ({"o": np.array([None])}, ["'o'", "object"]),
        ({"c": np.ones(1, np.complex128)}, ["'c'", "complex128"]),
        ({"t": np.array(["x"])}, ["'t'", "<U1"]),
        ({"r": np.zeros(1, [("a", "f4")])}, ["'r'"]),
        ({"\ud800": np.ones(1)}, ["UTF-8"]),
        ([np.ones(1)], ["list", "state_dict()"]),
    ],
)
@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_what_cannot_be_stored_is_named_and_no_file_appears(
    tmp_path: Path, ending: str, state: Any, words: list[str]
) -> None:
    with pytest.raises(DtypeError) as caught:
        save(state, tmp_path / f"x{ending}")
    assert all(word in str(caught.value) for word in words)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["net.pt", "net", "net.pkl", ".npz", "net.npz.gz"])
def test_other_endings_are_refused_with_both_names(tmp_path: Path, name: str) -> None:
    for attempt in (lambda: save({}, tmp_path / name), lambda: load(tmp_path / name)):
        with pytest.raises(FileFormatError, match=r"must end in \.safetensors or \.npz"):
            attempt()
    assert os.listdir(tmp_path) == []


def test_reserved_and_impossible_names_and_metadata(tmp_path: Path) -> None:
    with pytest.raises(DtypeError, match="reserved"):
        save_safetensors({"__metadata__": np.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(DtypeError, match="str to str"):
        save_safetensors({}, tmp_path / "x.safetensors", metadata={"epoch": 3})  # type: ignore[dict-item]
    with pytest.raises(DtypeError, match="UTF-8"):
        save_safetensors({}, tmp_path / "x.safetensors", metadata={"a": "\udfff"})
    for name in ("a\0b", "x" * 70_000):
        with pytest.raises(DtypeError, match="zip"):
            save_npz({name: np.ones(1)}, tmp_path / "x.npz")
    assert os.listdir(tmp_path) == []


def test_missing_file_and_folder_are_the_usual_errors(tmp_path: Path) -> None:
    for ending in (".safetensors", ".npz"):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / f"no{ending}")
        with pytest.raises(FileNotFoundError):
            save({}, tmp_path / "no" / f"x{ending}")
        (tmp_path / f"folder{ending}").mkdir()
        with pytest.raises(IsADirectoryError):
            load(tmp_path / f"folder{ending}")
        with pytest.raises(FileFormatError, match="not a regular file"):
            save({}, tmp_path / f"folder{ending}")


# ------------------------------------------------------------------------------------------------- atomicity


class Boom(Exception):
    pass


class BrokenFile(io.BufferedWriter):
    """A disk that fails at the n-th write."""

    left = 0

    def write(self, data: Any) -> int:
        if BrokenFile.left == 0:
            raise Boom
        BrokenFile.left -= 1
        return super().write(data)


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
@pytest.mark.parametrize("step", [0, 1, 2, "fsync", "replace", "interrupt"])
def test_an_exception_at_any_step_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, step: int | str
) -> None:
    path = tmp_path / f"net{ending}"
    save({"w": np.zeros(3), "v": np.zeros(2)}, path)
    before = path.read_bytes()

    def fail(*args: Any) -> None:
        raise KeyboardInterrupt if step == "interrupt" else Boom

    with monkeypatch.context() as patch:
        if isinstance(step, int):
            BrokenFile.left = step
            patch.setattr(
                files,
                "open",
                lambda name, mode: BrokenFile(io.FileIO(name, mode.replace("b", ""))),
                raising=False,
            )
        else:
            patch.setattr(files.os, "fsync" if step == "fsync" else "replace", fail)
        with pytest.raises(KeyboardInterrupt if step == "interrupt" else Boom):
            save({"w": np.ones(3), "v": np.ones(2)}, path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == before
    save({"w": np.ones(3)}, path)
    assert load(path)["w"].sum() == 3


@pytest.mark.skipif(not hasattr(os, "kill") or os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_a_kill_between_write_and_replace_leaves_the_old_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"net{ending}"
    save({"w": np.zeros(3)}, path)
    script = (
        "import os, signal, sys, numpy; from tinygrad_bp.serialize import save\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "save({'w': numpy.ones(3)}, sys.argv[1])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=Path(serialize.__file__).parents[1]
    )
    assert result.returncode == -9
    assert load(path)["w"].sum() == 0
    leftover = set(os.listdir(tmp_path)) - {path.name}
    assert [name[0] + name[-4:] for name in leftover] == ["..tmp"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_modes_and_links(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"net{ending}"
    old = os.umask(0o027)
    try:
        save({}, path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    save({"w": np.ones(1)}, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    link = tmp_path / f"link{ending}"
    link.symlink_to(path.name)
    save({"w": np.full(1, 7.0)}, link)
    assert link.is_symlink()
    assert load(path)["w"] == 7


def test_a_write_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save({"w": np.ones(1)}, tmp_path / "x.npz")
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # chmod does not stop the superuser
    with pytest.raises(PermissionError, match="write-protected"):
        save({}, tmp_path / "x.npz")
    assert load(tmp_path / "x.npz")["w"] == 1


# ------------------------------------------------------------------------------------- hostile .safetensors

ONE = b"1234"
DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HOSTILE = {
    "empty file": b"",
    "seven bytes": b"\x02\0\0\0\0\0\0",
    "ten GB header": struct.pack("<Q", 10 * 2**30) + b"{}",
    "header longer than the file": struct.pack("<Q", 9) + b"{}      ",
    "largest length": b"\xff" * 8 + b"{}",
    "no header": safe_bytes(b""),
    "not UTF-8": safe_bytes(b'{"\xff":1}'),
    "not JSON": safe_bytes(b"{"),
    "list": safe_bytes([]),
    "null": safe_bytes(None),
    "leading space": safe_bytes(b" {}"),
    "trailing text": safe_bytes(b"{}x"),
    "byte order mark": safe_bytes(b"\xef\xbb\xbf{}"),
    "duplicate tensor": safe_bytes(b'{"a":%s,"a":%s}' % ((json.dumps(entry()).encode(),) * 2), ONE),
    "duplicate field": safe_bytes(
        b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', ONE
    ),
    "duplicate metadata": safe_bytes(b'{"__metadata__":{"a":"b","a":"b"}}'),
    "metadata twice": safe_bytes(b'{"__metadata__":{},"__metadata__":{}}'),
    "overlap": safe_bytes({"a": entry(), "b": entry(shape=[2], offsets=(2, 10))}, bytes(10)),
    "begins in its neighbour": safe_bytes({"a": entry(), "b": entry(shape=[2], offsets=(2, 12))}, bytes(12)),
    "begins too late": safe_bytes({"a": entry(), "b": entry(shape=[2], offsets=(6, 12))}, bytes(12)),
    "same bytes twice": safe_bytes({"a": entry(), "b": entry()}, ONE),
    "hole": safe_bytes({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
    "hole in front": safe_bytes({"a": entry(offsets=(4, 8))}, bytes(8)),
    "trailing bytes": safe_bytes({"a": entry()}, b"12345"),
    "data without tensors": safe_bytes({}, b"1"),
    "truncated data": safe_bytes({"a": entry()}, b"123"),
    "range past the end": safe_bytes({"a": entry(shape=[2], offsets=(0, 8))}, ONE),
    "reversed": safe_bytes({"a": entry(offsets=(4, 0))}, ONE),
    "negative": safe_bytes({"a": entry(offsets=(-4, 0))}, ONE),
    "minus zero": safe_bytes(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', ONE),
    "float offset": safe_bytes({"a": entry(offsets=(0.0, 4.0))}, ONE),
    "exponent": safe_bytes(b'{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', ONE),
    "bool offset": safe_bytes({"a": entry("U8", [1], (False, True))}, b"1"),
    "text offset": safe_bytes({"a": entry(offsets=("0", "4"))}, ONE),
    "three offsets": safe_bytes({"a": entry(offsets=(0, 4, 4))}, ONE),
    "one offset": safe_bytes({"a": entry(offsets=(4,))}, ONE),
    "offsets missing": safe_bytes({"a": {"dtype": "F32", "shape": [1]}}, ONE),
    "extra field": safe_bytes({"a": {**entry(), "x": 1}}, ONE),
    "entry is a list": safe_bytes({"a": ["F32", [1], [0, 4]]}, ONE),
    "entry is a number": safe_bytes({"a": 1}, ONE),
    "shape is text": safe_bytes({"a": entry(shape="1")}, ONE),
    "shape of bool": safe_bytes({"a": entry(shape=[True])}, ONE),
    "negative shape": safe_bytes({"a": entry(shape=[-1])}, ONE),
    "two minus signs": safe_bytes({"a": entry(shape=[-1, -1])}, ONE),
    "huge shape": safe_bytes({"a": entry(shape=[2**40])}, ONE),
    "shape that wraps": safe_bytes({"a": entry(shape=[2**62 + 1])}, ONE),
    "shape that wraps twice": safe_bytes({"a": entry(shape=[2**32, 2**32, 4], offsets=(0, 0))}),
    "zero times too much": safe_bytes({"a": entry(shape=[0, 2**62], offsets=(0, 0))}),
    "too much times zero": safe_bytes({"a": entry(shape=[2**62, 16, 0], offsets=(0, 0))}),
    "25 digits": safe_bytes({"a": entry(shape=[0, 10**24], offsets=(0, 0))}),
    "5000 digits": safe_bytes(
        b'{"a":{"dtype":"F32","shape":[1' + b"0" * 5000 + b'],"data_offsets":[0,4]}}', ONE
    ),
    "65 dimensions": safe_bytes({"a": entry(shape=[1] * 65)}, ONE),
    "100,000 dimensions": safe_bytes({"a": entry(shape=[2**60] * 10**5)}, ONE),
    "shape too small": safe_bytes({"a": entry(shape=[])}, b"12345678"),
    "shape against range": safe_bytes({"a": entry("F64")}, ONE),
    "NaN": safe_bytes(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', ONE),
    "unknown dtype": safe_bytes({"a": entry("F31")}, ONE),
    "8-bit float": safe_bytes({"a": entry("F8_E4M3", [4])}, ONE),
    "dtype is a number": safe_bytes({"a": entry(32)}, ONE),
    "dtype is a list": safe_bytes({"a": entry(["F32"])}, ONE),
    "bool of 2": safe_bytes({"a": entry("BOOL", [4])}, b"\0\1\2\0"),
    "metadata of numbers": safe_bytes({"__metadata__": {"a": 1}}),
    "metadata is a list": safe_bytes({"__metadata__": []}),
    "metadata is null": safe_bytes({"__metadata__": None}),
    "metadata is text": safe_bytes({"__metadata__": "x"}),
    "lone surrogate name": safe_bytes(b'{"\\ud800":' + json.dumps(entry()).encode() + b"}", ONE),
    "lone surrogate metadata": safe_bytes(b'{"__metadata__":{"a":"\\udfff"}}'),
    "deep nesting": safe_bytes(DEEP),
    "deep nesting of objects": safe_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
}


def refused(path: Path, content: bytes) -> str:
    """The message of the refusal; fails if anything else happens or more than 20 times the file is taken."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError) as caught:
            load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000 + 20 * len(content), peak
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 800
    return str(caught.value)


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_safetensors_are_refused_and_take_no_memory(tmp_path: Path, case: str) -> None:
    refused(tmp_path / "x.safetensors", HOSTILE[case])
    with pytest.raises(FileFormatError):
        load_metadata(tmp_path / "x.safetensors") if case != "bool of 2" else load(tmp_path / "x.safetensors")


def test_the_hostile_cases_are_one_step_from_sound_ones(tmp_path: Path) -> None:
    """Otherwise each could be refused for a reason other than the one it is meant to show."""
    path = tmp_path / "x.safetensors"
    for sound in (
        safe_bytes({"a": entry()}, ONE),
        safe_bytes({"a": entry(), "b": entry(shape=[2], offsets=(4, 12))}, bytes(12)),
        safe_bytes({"a": entry("U8", [1], (0, 1))}, b"1"),
        safe_bytes({"a": entry("BOOL", [4])}, b"\0\1\1\0"),
        safe_bytes({"a": entry(shape=[1] * 64)}, ONE),
        safe_bytes({"a": entry(shape=[0, 2**60], offsets=(0, 0))}),
        safe_bytes({"__metadata__": {"a": "b"}, "a": entry()}, ONE),
        safe_bytes(b'{"\\ud83d\\ude00":' + json.dumps(entry()).encode() + b"} \n", ONE),
    ):
        path.write_bytes(sound)
        assert same(load(path), library.load(sound))


def test_every_truncation_of_a_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save({"w": np.arange(3.0), "b": np.ones(2, bool)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            load(path)


def test_messages_give_expected_and_found_sizes(tmp_path: Path) -> None:
    message = refused(tmp_path / "x.safetensors", safe_bytes({"layer.weight": entry("F64")}, ONE))
    assert all(part in message for part in ("'layer.weight'", "F64", "[0, 8)", "[0, 4)"))
    assert "a header of 9 bytes, 8 are there" in refused(
        tmp_path / "x.safetensors", HOSTILE["header longer than the file"]
    )
    message = refused(tmp_path / "x.npz", HOSTILE_NPZ["too few bytes"])
    assert all(part in message for part in ("'a.npy'", "float32", "[1]", "needs 4 bytes", "3 are there"))
    assert "more are there" in refused(tmp_path / "x.npz", HOSTILE_NPZ["too many bytes"])
    message = refused(tmp_path / "x.safetensors", safe_bytes({"a": entry()}, b"12345"))
    assert "4 bytes, 5 are there" in message


# ---------------------------------------------------------------------------------------------- hostile .npz


def npy(header: bytes, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    form = "<H" if version == b"\1\0" else "<I"
    return b"\x93NUMPY" + version + struct.pack(form, len(header)) + header + data


def npy_header(descr: str = "'<f4'", shape: str = "(1,)") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()


def zipped(method: int = zipfile.ZIP_STORED, /, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
    return buffer.getvalue()


def lying_sizes(content: bytes, size: int) -> bytes:
    """The same zip whose central directory claims an unpacked size."""
    at = content.rindex(b"PK\x01\x02") + 24
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, w=np.array([{"a": 1}], dtype=object))
    return buffer.getvalue()


def duplicated() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a.npy", npy(npy_header(), ONE))
        archive.writestr("a.npy", npy(npy_header(), ONE))
    return buffer.getvalue()


HOSTILE_NPZ = {
    "empty file": b"",
    "no zip": b"PK",
    "text before the zip": b"PK" + zipped(a_npy=npy(npy_header(), ONE)),
    "a pickle": b"\x80\x04K\x01.",
    "a lone npy": npy(npy_header(), ONE),
    "object array": pickled(),
    "unpickling asked for by descr": zipped(a_npy=npy(npy_header("'|O'"), b"\x80\x04K\x01.")),
    "text": zipped(a_npy=npy(npy_header("'<U1'"), ONE)),
    "record": zipped(a_npy=npy(npy_header("[('x', '<f4')]"), ONE)),
    "not npy": zipped(readme=b"hello"),
    "npy name, other content": zipped(a_npy=b"hello"),
    "empty member": zipped(a_npy=b""),
    "one good and one alien member": zipped(a_npy=npy(npy_header(), ONE), b=b""),
    "duplicate": duplicated(),
    "shape far larger than the member": zipped(a_npy=npy(npy_header(shape="(1000000000000,)"), ONE)),
    "shape that overflows": zipped(a_npy=npy(npy_header(shape=f"({2**62}, 4)"), ONE)),
    "zero times too much": zipped(a_npy=npy(npy_header(shape=f"(0, {2**62})"))),
    "negative shape": zipped(a_npy=npy(npy_header(shape="(-1,)"), ONE)),
    "number for shape": zipped(a_npy=npy(npy_header(shape="(1)"), ONE)),
    "65 dimensions": zipped(a_npy=npy(npy_header(shape="(" + "1," * 65 + ")"), ONE)),
    "expression": zipped(a_npy=npy(npy_header(shape="(2-1,)"), ONE)),
    "call": zipped(a_npy=npy(npy_header(shape="(print(1),)"), ONE)),
    "Python 2's long": zipped(a_npy=npy(npy_header(shape="(1L,)"), ONE)),
    "unknown width": zipped(a_npy=npy(npy_header("'<f3'"), ONE)),
    "deep header": zipped(a_npy=npy(b"(" * 9000)),
    "header longer than the member": zipped(a_npy=b"\x93NUMPY\2\0\xff\xff\xff\xff{}"),
    "header over the limit": zipped(a_npy=npy(npy_header()[:-1].ljust(10_000) + b"\n", ONE)),
    "version 4": zipped(a_npy=npy(npy_header(), ONE, b"\4\0")),
    "too few bytes": zipped(a_npy=npy(npy_header(), b"123")),
    "too many bytes": zipped(a_npy=npy(npy_header(), b"12345")),
    "bool of 2": zipped(a_npy=npy(npy_header("'|b1'"), b"\2")),
    "lzma": zipped(zipfile.ZIP_LZMA, a_npy=npy(npy_header(), ONE)),
    "directory claims 4 GB": lying_sizes(
        zipped(zipfile.ZIP_DEFLATED, a_npy=npy(npy_header(), ONE)), 2**32 - 2
    ),
    "directory claims 900 MB": lying_sizes(
        zipped(zipfile.ZIP_DEFLATED, a_npy=npy(npy_header(shape="(225000000,)"), ONE)), 9 * 10**8
    ),
    "directory claims too little": lying_sizes(
        zipped(zipfile.ZIP_DEFLATED, a_npy=npy(npy_header(), ONE)), 20
    ),
    "member in front of the file": b"PK" + zipped(a_npy=npy(npy_header(), ONE))[22:],
    "wrong checksum": zipped(a_npy=npy(npy_header(), ONE)).replace(ONE, b"1235", 1),
    "bomb": zipped(zipfile.ZIP_DEFLATED, a_npy=npy(npy_header(), ONE + bytes(30_000_000))),
}


@pytest.mark.parametrize("case", HOSTILE_NPZ)
def test_hostile_npz_are_refused_and_take_no_memory(tmp_path: Path, case: str) -> None:
    refused(tmp_path / "x.npz", HOSTILE_NPZ[case])


def test_the_hostile_npz_cases_are_one_step_from_sound_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for header in (npy_header(), npy_header(shape="(1,1)"), npy_header(shape="()"), npy_header("'>i4'")):
        for version in (b"\1\0", b"\2\0", b"\3\0"):
            for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                path.write_bytes(zipped(method, a_npy=npy(header, ONE, version)))
                with np.load(path) as theirs:
                    np.testing.assert_array_equal(load(path)["a"], theirs["a"])


def test_a_true_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes that are no lie: 20 MB of zeros in 20 kB, with the allowance turned down to 10 MB."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, w=np.zeros(20_000_000, np.uint8))
    assert load(path)["w"].nbytes == 20_000_000
    monkeypatch.setattr(files, "MAX_UNPACKED", 10_000_000)
    assert "a bomb" in refused(path, path.read_bytes())


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(a_npy=npy(npy_header(), ONE)))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    assert "encrypted" in refused(tmp_path / "x.npz", bytes(content))


def test_every_truncation_of_an_npz_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    save({"w": np.arange(3.0), "b": np.ones(2, bool)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            load(path)


# --------------------------------------------------------------------------------------------- mutated files

TOKENS = [
    b"0",
    b"1",
    b"-",
    b"9",
    b",",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\u",
    b"e",
    b".",
    b" ",
    b"\0",
    b"\xff",
    b":",
    b"PK",
]


@st.composite
def mutated(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """A valid file after a few cuts, doublings, overwrites or insertions; its length mended half the time."""
    content = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(1, 4))):
        at, width = draw(st.integers(0, len(content))), draw(st.integers(0, 4))
        new = draw(st.sampled_from(TOKENS) | st.binary(max_size=3) | st.just(bytes(content[at : at + 20])))
        content[at : at + width] = new
    if draw(st.booleans()) and (end := content.rfind(b"}")) >= 8:
        content[:8] = struct.pack("<Q", end - 7)
    return bytes(content)


def safetensors_corpus() -> list[bytes]:
    return [
        library.save({"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, bool)}),
        library.save(
            {"a": np.zeros((0, 3)), "b": np.float16([1, 2]), "c": np.array(3, np.int64)}, {"k": "v"}
        ),
        library.save({"a": np.zeros(2, np.uint8), "é": np.zeros(3, np.int16)}),
        library.save({}),
    ]


def npz_corpus() -> list[bytes]:
    result = []
    for writer in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        writer(
            buffer,
            w=np.arange(6, dtype=np.float32).reshape(2, 3),
            b=np.asfortranarray(np.arange(4, dtype=">i2").reshape(2, 2)),
        )
        result.append(buffer.getvalue())
    return result


fuzz = settings(
    max_examples=max(400, settings().max_examples),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@fuzz
@given(content=mutated(safetensors_corpus()))
def test_what_we_accept_the_library_accepts_with_the_same_arrays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    try:
        ours = load(path)  # anything but FileFormatError fails the test
    except FileFormatError:
        return
    assert same(ours, library.load(content))


@fuzz
@given(content=mutated(npz_corpus()))
def test_what_we_accept_as_npz_numpy_accepts_with_the_same_arrays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    try:
        ours = load(path)
    except FileFormatError:
        return
    with np.load(path) as theirs:
        assert same(
            ours, {name: theirs[name].astype(theirs[name].dtype.newbyteorder("=")) for name in theirs.files}
        )
