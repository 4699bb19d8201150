"""Files and states when something goes wrong: what a crash leaves, what a lie costs; a load is whole or nothing."""

from __future__ import annotations

import gzip
import os
import signal
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import errors, files, nn, optim
from tinygrad_bp.data import load_mnist, read_idx
from tinygrad_bp.serialize import load_metadata

HEADER = 2_000_000


def whole(unit: bytes, head: bytes, tail: bytes) -> bytes:
    return head + unit * ((HEADER - len(head) - len(tail)) // len(unit)) + tail


def joined(pair: Callable[[int], bytes], count: int, head: bytes = b"{", tail: bytes = b"}") -> bytes:
    return head + b",".join(map(pair, range(count))) + tail


HEADERS = {
    "empty lists": whole(b"[],", b'{"a":[', b"[]]}"),
    "empty objects": whole(b"{},", b'{"a":[', b"{}]}"),
    "objects in objects": whole(b'{"a":', b"", b"1"),
    "numbers": whole(b"1.5,", b'{"a":[', b"1]}"),
    "sizes": whole(b"1,", b'{"a":{"dtype":"F32","shape":[', b'1],"data_offsets":[0,4]}}'),
    "tensors": joined(lambda i: b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i, HEADER // 56),
    "metadata": joined(lambda i: b'"%x":""' % i, HEADER // 9, b'{"__metadata__":{', b"}}"),
    "one wide character": whole(b"a", b'{"__metadata__":{"a":"' + "😀".encode(), b'"}}'),
    "a wide one and escapes": whole(b"aaaaaa\\n", b'{"__metadata__":{"a":"' + "😀".encode(), b'"}}'),
    "escapes": whole(b"\\n", b'{"__metadata__":{"a":"', b'"}}'),
    "a text that does not end": whole(b"\\n", b'{"', b""),
    "space": whole(b" ", b"{", b"}"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_huge_header_takes_at_most_eight_times_its_size(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(HEADERS[case])) + HEADERS[case])
    for read in (load_metadata, tg.serialize.load):
        tracemalloc.start()
        try:
            read(path)
        except errors.FileFormatError as error:
            assert str(path) in str(error)  # noqa: PT017 - either is right
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 8 * len(HEADERS[case]) + 1_000_000, peak / len(HEADERS[case])


def test_more_metadata_than_is_read_is_not_written(tmp_path: Path) -> None:
    metadata = {str(i): "" for i in range(10_000)}
    tg.serialize.save_safetensors({}, tmp_path / "x.safetensors", metadata)
    assert load_metadata(tmp_path / "x.safetensors") == metadata
    with pytest.raises(errors.ArgumentError, match="10001 pairs"):
        tg.serialize.save_safetensors({}, tmp_path / "y.safetensors", metadata | {"x": ""})


def test_a_gzip_bomb_is_refused_as_a_zip_bomb_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 MB of zeros in 20 kB that are no lie, with the allowance turned down to 10 MB."""
    path = tmp_path / "x.idx"
    path.write_bytes(gzip.compress(b"\0\0\x08\1" + struct.pack(">I", 20_000_000) + bytes(20_000_000)))
    assert read_idx(path).nbytes == 20_000_000
    monkeypatch.setattr(files, "MAX_UNPACKED", 10_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(errors.FileFormatError, match="a bomb"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    path.write_bytes(b"\0\0\x08\1" + struct.pack(">I", 20_000_000) + bytes(20_000_000))
    assert read_idx(path).nbytes == 20_000_000  # what is not compressed takes what it is


OPENING = {
    "save": lambda path: tg.save({}, path),
    "load": tg.load,
    "load_metadata": load_metadata,
    "read_idx": read_idx,
    "load_safetensors": tg.serialize.load_safetensors,
    "load_npz": tg.serialize.load_npz,
}


@pytest.mark.parametrize("how", OPENING)
@pytest.mark.parametrize("path", ["a\0.npz", b"a\0.npz", "\ud800.npz", 3, None, ["x.npz"], 1.5])
def test_a_path_that_is_none_is_told_so(how: str, path: Any) -> None:
    with pytest.raises((errors.ArgumentError, errors.DtypeError), match=r"path|must end in"):
        OPENING[how](path)


def test_a_missing_file_is_called_as_the_user_called_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink("elsewhere", "link")
    for path in ("no/x.npz", "./no/../no/x.safetensors", "link/x.npz"):
        with pytest.raises(FileNotFoundError) as caught:
            tg.save({}, path)
        assert caught.value.filename == path
        assert str(caught.value) == f"[Errno 2] No such file or directory: {path!r}"
    with pytest.raises(FileNotFoundError, match=r"no/x\.npz"):
        tg.load("no/x.npz")
    with pytest.raises(errors.ArgumentError, match="NUL"):
        load_mnist("a\0", "test", download=False)


def test_a_full_disk_names_the_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*x\.npz'"):
        tg.save({}, tmp_path / "x.npz")
    assert os.listdir(tmp_path) == []


def test_the_folder_is_flushed_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    flush, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda fd: (done.append(os.fstat(fd).st_ino), flush(fd)))
    monkeypatch.setattr(files.os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    tg.save({}, tmp_path / "x.npz")
    assert done == [(tmp_path / "x.npz").stat().st_ino, "replace", tmp_path.stat().st_ino]


KILLED = """
import os, signal, sys, numpy
from tinygrad_bp import files
from tinygrad_bp.serialize import save
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
setattr(files.os, sys.argv[2], die)
save({'w': numpy.ones(3)}, sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_a_killed_process_left_goes_with_the_next_save(tmp_path: Path, step: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "x.npz"), step], check=False)
    assert len(os.listdir(tmp_path)) == 1
    (tmp_path / ".other.tmp").write_text("somebody else's")
    tg.save({}, tmp_path / "y.safetensors")
    assert sorted(os.listdir(tmp_path)) == [".other.tmp", "y.safetensors"]


def test_what_a_living_writer_holds_is_left_to_it(tmp_path: Path) -> None:
    with files.atomic_write(tmp_path / "slow.bin") as slow:
        slow.write(b"first half, ")
        tg.save({}, tmp_path / "quick.npz")
        files.remove_stale(str(tmp_path))
        slow.write(b"second half")
    assert (tmp_path / "slow.bin").read_bytes() == b"first half, second half"
    assert sorted(os.listdir(tmp_path)) == ["quick.npz", "slow.bin"]


# ------------------------------------------------------------------------------------------------ states of modules


class Sub(np.ndarray):
    pass


def two_layers() -> Any:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def everything(net: Any) -> list[Any]:
    return [(key, id(p), p.array.tobytes(), p.requires_grad) for key, p in net.state_dict(keep_vars=True).items()]


@pytest.mark.parametrize("bad", [
    np.ones(1, np.int64), np.array([True]), np.ones(1, np.complex64), np.ones(1, object), [1.0], None, "1", 1.0,
    np.ones(2), np.array(["x"]), np.datetime64("2020"),
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("assign", [False, True])
def test_a_module_loads_all_or_nothing(bad: Any, assign: bool) -> None:
    net = two_layers()
    state = {key: np.full(value.shape, 7.0, np.float32) for key, value in net.state_dict().items()}
    before = everything(net)
    integers = isinstance(bad, np.ndarray) and bad.dtype.kind in "bi" and not assign  # which are only converted
    if integers:
        net.load_state_dict(state | {"1.bias": bad})
        assert net[1].bias.item() == 1
        return
    with pytest.raises(errors.StateDictError, match=r"1\.bias"):
        net.load_state_dict(state | {"1.bias": bad}, assign=assign)
    assert everything(net) == before


@pytest.mark.parametrize("strange", [
    lambda a: a.astype(">f4"), lambda a: a.view(Sub), lambda a: a.view(np.matrix if a.ndim == 2 else Sub),
    lambda a: tg.from_numpy(a.astype(">f4")), lambda a: nn.Parameter(a.astype(">f8")), lambda a: np.asfortranarray(a),
    lambda a: a.astype(">f2").view(Sub),
])  # fmt: skip
@pytest.mark.parametrize("assign", [False, True])
def test_subclasses_and_foreign_byte_orders_become_plain(strange: Any, assign: bool) -> None:
    net = two_layers()
    values = {key: np.arange(1.0, value.numel() + 1, dtype=np.float32).reshape(value.shape)
              for key, value in net.state_dict().items()}  # fmt: skip
    net.load_state_dict({key: strange(value) for key, value in values.items()}, assign=assign)
    for key, p in net.named_parameters():
        assert type(p.array) is np.ndarray
        assert p.array.dtype.isnative
        assert isinstance(p, nn.Parameter)
        assert p.requires_grad
        np.testing.assert_array_equal(p.array, values[key])
    net.double()(tg.ones(2, 2, dtype=tg.float64)).sum().backward()
    optim.SGD(net.parameters(), lr=0.1).step()


def test_assign_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    found = []
    for lib in (tg, torch):
        net = lib.nn.Linear(2, 3)
        net.bias.requires_grad_(False)
        given = lib.nn.Parameter(lib.ones(3))
        net.load_state_dict({"weight": lib.zeros(3, 2, dtype=lib.float64), "bias": given}, assign=True)
        found.append((net.bias is given, net.bias.requires_grad, net.weight.requires_grad, str(net.weight.dtype)[-7:]))
    assert found[0] == found[1]


# --------------------------------------------------------------------------------------------- states of optimisers


def trained() -> tuple[Any, Any]:
    params = [nn.Parameter(tg.ones(2, 3)), nn.Parameter(tg.tensor(2.0))]
    sgd = optim.SGD(params, lr=0.1, momentum=0.9)
    for p in params:
        p.grad = tg.ones_like(p)
    sgd.step()
    return sgd, sgd.state_dict()


def group(**change: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {**state, "param_groups": [{**state["param_groups"][0], **change}]}


def entry(value: Any, key: Any = "momentum_buffer", number: Any = 0) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {**state, "state": {**state["state"], number: {key: value}}}


BAD_STATES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nothing": lambda state: {}, "None": lambda state: None, "a list": lambda state: [state],
    "text": lambda state: "ab",
    "no state": lambda state: {"param_groups": state["param_groups"]},
    "groups are a dict": lambda state: {**state, "param_groups": dict(enumerate(state["param_groups"]))},
    "groups are None": lambda state: {**state, "param_groups": None},
    "groups of text": lambda state: {**state, "param_groups": ["a"]},
    "two groups": lambda state: {**state, "param_groups": state["param_groups"] * 2},
    "params are text": group(params="01"), "params are None": group(params=None),
    "a number twice": group(params=[0, 0]),
    "params are lists": group(params=[[0], [1]]), "params are tensors": group(params=[tg.ones(1), tg.ones(1)]),
    "lr is text": group(lr="0.1"), "lr is None": group(lr=None), "lr is a list": group(lr=[0.1]),
    "lr is negative": group(lr=-1), "lr is NaN": group(lr=float("nan")), "lr of two": group(lr=tg.ones(2)),
    "momentum is text": group(momentum="a"), "nesterov is text": group(nesterov="no"), "fused": group(fused=True),
    "lr is an array": group(lr=np.ones(2)), "decay is complex": group(weight_decay=1j),
    "state is a list": lambda state: {**state, "state": []}, "state is None": lambda state: {**state, "state": None},
    "an entry is a list": lambda state: {**state, "state": {0: [1]}},
    "an entry is None": lambda state: {**state, "state": {0: None}},
    "unknown number": entry(tg.ones(2, 3), number=7), "number as text": entry(tg.ones(2, 3), number="0"),
    "a buffer of text": entry("abc"), "a buffer is a list": entry([1.0]), "a buffer is a number": entry(1.0),
    "a buffer of another shape": entry(tg.ones(3)), "a buffer of no dimension": entry(tg.tensor(1.0)),
    "a complex buffer": entry(np.ones((2, 3), complex)), "a buffer of objects": entry(np.full((2, 3), None)),
    "another method's": entry(tg.ones(2, 3), key="exp_avg"), "a key of 3": entry(tg.ones(2, 3), key=3),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_STATES)
def test_an_optimiser_checks_before_it_changes(case: str) -> None:
    sgd, state = trained()
    groups, kept = sgd.param_groups, sgd.state
    before = repr((groups, dict(kept)))
    with pytest.raises(errors.StateDictError) as caught:
        sgd.load_state_dict(BAD_STATES[case](state))
    assert caught.value.__suppress_context__
    assert sgd.param_groups is groups
    assert sgd.state is kept
    assert repr((groups, dict(kept))) == before
    sgd.step()


def test_a_good_state_is_copied_into_the_parameters_dtype_and_byte_order() -> None:
    sgd, state = trained()
    for strange in (np.ones((2, 3), ">f8"), np.ones((2, 3), np.int64), np.ones((2, 3), np.float32).view(Sub)):
        sgd.load_state_dict(entry(strange)(state))
        buffer = sgd.state[sgd.param_groups[0]["params"][0]]["momentum_buffer"].array
        assert type(buffer) is np.ndarray
        assert buffer.dtype == np.float32
        assert buffer.dtype.isnative
        assert not np.shares_memory(buffer, strange)
        sgd.step()
    sgd.load_state_dict(entry(None)(state))  # as PyTorch saves a momentum that has not begun
    sgd.step()


def test_the_state_is_a_defaultdict() -> None:
    torch = pytest.importorskip("torch")
    for lib in (tg, torch):
        w = lib.nn.Parameter(lib.ones(2))
        sgd = lib.optim.SGD([w], lr=0.1)
        assert sgd.state[w] == {}
        sgd.state[w]["mine"] = 1
        assert type(sgd.state).__name__ == "defaultdict"
