"""Data: IDX files that lie are refused, downloads are whole and right, batches come in PyTorch's order."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import threading
import tracemalloc
from collections import namedtuple
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import tinygrad_bp as tg
from tinygrad_bp import random
from tinygrad_bp.core import Tensor, wrap
from tinygrad_bp.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    default_convert,
    load_mnist,
    mnist,
    random_split,
    read_idx,
)
from tinygrad_bp.errors import DtypeError, FileFormatError, ShapeError

quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """The file of an array, written from the format's description and not by the package."""
    code = CODES[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


# -------------------------------------------------------------------------------------------------------- IDX


@quiet
@given(
    st.sampled_from([*CODES]).flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0))),
    st.booleans(),
)
def test_idx_of_every_dtype_is_read_in_native_order(tmp_path: Path, array: Any, packed: bool) -> None:
    path = tmp_path / "x"  # the name says nothing about the compression
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    found = read_idx(path)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


def header(code: int, *sizes: int) -> bytes:
    return bytes([0, 0, code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


HOSTILE = {
    "empty": b"",
    "three bytes": b"\0\0\x08",
    "bad magic": b"\1\0\x08\1\0\0\0\1a",
    "unknown dtype": header(0x0A, 1) + b"a",
    "truncated sizes": header(0x08, 1, 2, 3)[:-1],
    "65 dimensions": header(0x08, *[1] * 65) + b"a",
    "255 huge dimensions": header(0x0E, *[2**32 - 1] * 255),
    "too few": header(0x08, 2, 3) + b"12345",
    "too many": header(0x08, 2, 3) + b"1234567",
    "exabytes": header(0x0E, 2**32 - 1, 2**31) + b"a",
    "zero times too much": header(0x08, 0, *[2**32 - 1] * 2) + b"a",
    "a text": b"<html>not found</html>",
}
PACKED = {
    "cut gzip": gzip.compress(idx(np.zeros(500, "u1")))[:-9],
    "cut gzip header": b"\x1f\x8b\x08",
    "wrong checksum": gzip.compress(idx(np.arange(5, dtype="i4")))[:-8] + bytes(8),
    "no deflate": gzip.compress(b"")[:10] + b"\xff" * 20,
    "text behind": gzip.compress(idx(np.zeros(5, "u1"))) + b"text",
    "bomb": gzip.compress(header(0x08, 10) + bytes(50_000_000)),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_idx_files_are_refused_and_take_no_memory(tmp_path: Path, case: str, packed: bool) -> None:
    refused(tmp_path / "x.idx", gzip.compress(HOSTILE[case]) if packed else HOSTILE[case])


@pytest.mark.parametrize("case", PACKED)
def test_damaged_gzip_is_refused_and_bombs_are_not_unpacked(tmp_path: Path, case: str) -> None:
    refused(tmp_path / "x.idx", PACKED[case])


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError) as caught:
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000, peak
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_the_message_tells_expected_and_found(tmp_path: Path) -> None:
    message = refused(tmp_path / "x.idx", HOSTILE["too few"])
    assert "(2, 3)" in message
    assert "needs 6 bytes" in message
    assert "found 5" in message
    assert "found more" in refused(tmp_path / "x.idx", HOSTILE["too many"])


@quiet
@given(st.data())
def test_mutated_idx_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(idx(np.arange(12, dtype="i2").reshape(3, 4)))
    if data.draw(st.booleans()):
        content = bytearray(gzip.compress(content, mtime=0))
    for _ in range(data.draw(st.integers(1, 3))):
        at, width = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 3))
        content[at : at + width] = data.draw(st.binary(max_size=3))
    (tmp_path / "x").write_bytes(content)
    try:
        found = read_idx(tmp_path / "x")
    except FileFormatError:
        return
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else bytes(content)
    assert idx(found) == plain


def test_a_missing_idx_file_is_the_usual_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "no.gz")


# ------------------------------------------------------------------------------------------------------ MNIST


class Mirror:
    """A local web server that serves whatever is in `files` and notes what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                content = mirror.files.get(self.path.removeprefix("/mnist/"))
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"") + mirror.promised))
                self.end_headers()
                with suppress(OSError):  # the client may hang up when it has seen enough
                    self.wfile.write(content or b"")

            def log_message(self, *args: Any) -> None:
                pass

        self.promised = 0  # bytes announced and never sent
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mnist/"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([7, 0, 9], np.uint8)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror with a tiny MNIST whose sizes and checksums take the place of the published ones."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Mirror()
    for part in ("train", "t10k"):
        server.files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(IMAGES))
        server.files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(LABELS))
    for name, content in server.files.items():
        monkeypatch.setitem(mnist.PUBLISHED, name, (len(content), hashlib.sha256(content).hexdigest()))
    yield server
    server.close()


@pytest.mark.parametrize(("split", "part"), [("train", "train"), ("test", "t10k")])
@pytest.mark.parametrize("slash", ["/", ""])
def test_missing_files_are_fetched_once(
    tmp_path: Path, mirror: Mirror, split: str, part: str, slash: str
) -> None:
    folder = tmp_path / "new" / "mnist"
    for _ in range(2):
        images, labels = load_mnist(folder, split, base_url=mirror.url.rstrip("/") + slash)
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)
        assert images.dtype == labels.dtype == np.uint8
    names = [f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"]
    assert mirror.asked == [f"/mnist/{name}" for name in names]
    assert sorted(os.listdir(folder)) == names


def test_the_default_split_is_train_and_the_default_mirror_is_public(mirror: Mirror, tmp_path: Path) -> None:
    load_mnist(tmp_path, base_url=mirror.url)
    assert all("train" in name for name in mirror.asked)
    assert mnist.MIRROR.startswith("https://")


def test_without_tqdm_the_download_works_too(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    assert load_mnist(tmp_path, base_url=mirror.url)[0].shape == (3, 28, 28)


def test_a_bar_counts_the_bytes(tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bar:
        seen: ClassVar[dict[str, list[int]]] = {}

        def __init__(self, total: int, desc: str, **options: Any) -> None:
            self.counts = Bar.seen[desc] = [total]

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            self.counts.append(-1)

        def update(self, count: int) -> None:
            self.counts.append(count)

    monkeypatch.setitem(__import__("sys").modules, "tqdm", SimpleNamespace(tqdm=Bar))
    load_mnist(tmp_path, base_url=mirror.url)
    assert {name: counts[0] for name, counts in Bar.seen.items()} == {
        name: len(mirror.files[name]) for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    }
    assert all(counts[0] == sum(counts[1:-1]) and counts[-1] == -1 for counts in Bar.seen.values())


@pytest.mark.parametrize("damage", ["one byte", "shorter", "longer", "endless", "promised"])
def test_a_wrong_file_is_refused_and_nothing_is_left(tmp_path: Path, mirror: Mirror, damage: str) -> None:
    name = "train-images-idx3-ubyte.gz"
    right = mirror.files[name]
    mirror.files[name] = {
        "one byte": right[:-1] + bytes([right[-1] ^ 1]),
        "shorter": right[:-1],
        "longer": right + b"x",
        "endless": right + bytes(20_000_000),
        "promised": right[:-1],
    }[damage]
    mirror.promised = damage == "promised"
    tracemalloc.start()
    try:
        with pytest.raises((FileFormatError, ConnectionError)) as caught:
            load_mnist(tmp_path, base_url=mirror.url)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert mirror.url + name in str(caught.value)
    assert os.listdir(tmp_path) == []
    if damage == "one byte":
        assert hashlib.sha256(right).hexdigest() in str(caught.value)
        assert hashlib.sha256(mirror.files[name]).hexdigest() in str(caught.value)


def test_not_found_and_no_network_say_what_to_put_where(tmp_path: Path, mirror: Mirror) -> None:
    del mirror.files["t10k-labels-idx1-ubyte.gz"]
    with pytest.raises(ConnectionError, match="404") as caught:
        load_mnist(tmp_path, "test", base_url=mirror.url)
    assert all(
        word in str(caught.value) for word in ("t10k-images", "t10k-labels", str(tmp_path), mnist.MIRROR)
    )
    with pytest.raises(ConnectionError, match="could not be fetched") as caught:
        load_mnist(tmp_path / "other", "train", base_url="http://127.0.0.1:9/")
    assert str(tmp_path / "other") in str(caught.value)
    assert not (tmp_path / "other").exists()


def test_download_false_asks_nobody(tmp_path: Path, mirror: Mirror) -> None:
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte\.gz is missing"):
        load_mnist(tmp_path, download=False, base_url=mirror.url)
    assert mirror.asked == []


def test_files_that_are_there_may_be_unpacked_or_packed_anew(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS), 1))
    images, labels = load_mnist(tmp_path, download=False)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("images", "labels", "blamed"),
    [
        (IMAGES[0], LABELS, "images"),
        (IMAGES[:, 1:], LABELS, "images"),
        (IMAGES.view("i1"), LABELS, "images"),
        (IMAGES, LABELS[:2], "labels"),
        (IMAGES, LABELS + np.uint8(1), "labels"),
        (IMAGES, LABELS.astype("i4"), "labels"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path: Path, images: Any, labels: Any, blamed: str) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(FileFormatError, match=f"train-{blamed}.*expected uint8"):
        load_mnist(tmp_path)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='write "train" or "test"'):
        load_mnist(tmp_path, "valid")


# -------------------------------------------------------------------------- order of the batches, as in torch


class Rows(Dataset[Any]):
    """Samples one by one, so that the slow path is taken."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __getitem__(self, index: int) -> Any:
        return index

    def __len__(self) -> int:
        return self.n


OPTIONS: list[dict[str, Any]] = [
    {"shuffle": True},
    {"shuffle": True, "batch_size": 4},
    {"shuffle": True, "batch_size": 4, "drop_last": True},
    {"shuffle": True, "batch_size": None},
    {"batch_size": 3},
    {"shuffle": False, "batch_size": 50},
    {"shuffle": True, "batch_size": 4, "num_workers": 0, "pin_memory": False},
]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("n", [1, 7, 100])
def test_three_epochs_and_what_is_drawn_between_equal_torch(
    n: int, options: dict[str, Any], own: bool
) -> None:
    torch = pytest.importorskip("torch")
    data = torch.utils.data

    def run(loader: Any, manual_seed: Any, draw: Any, generator: Any) -> list[Any]:
        manual_seed(5)
        extra = {"generator": generator().manual_seed(11)} if own else {}
        batches = loader(Rows(n), **options, **extra)
        seen: list[Any] = [len(batches)]
        for _ in range(3):
            seen += [np.asarray(getattr(batch, "array", batch)).tolist() for batch in batches]
            seen.append(draw())  # the global stream must have moved by as many words
        return seen

    theirs = run(data.DataLoader, torch.manual_seed, lambda: torch.rand(1).item(), torch.Generator)
    ours = run(DataLoader, random.manual_seed, lambda: random.rand(1).item(), random.Generator)
    assert ours == theirs


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize(
    ("replacement", "count"), [(True, 1), (True, 32), (True, 70), (True, None), (False, 12), (False, None)]
)
@pytest.mark.parametrize("own", [False, True])
def test_random_sampler_equals_torch(n: int, replacement: bool, count: int | None, own: bool) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    random.manual_seed(3)
    ours = RandomSampler(range(n), replacement, count, random.Generator().manual_seed(9) if own else None)
    theirs = torch.utils.data.RandomSampler(
        range(n), replacement, count, torch.Generator().manual_seed(9) if own else None
    )
    for _ in range(2):
        assert list(ours) == list(theirs)
    assert len(ours) == len(theirs)
    assert random.rand(1).item() == torch.rand(1).item()


@pytest.mark.parametrize(
    "lengths",
    [[3, 7], [10], [0, 10], [0.5, 0.5], [0.33, 0.33, 0.34], [0.45, 0.55], [0.7, 0.2, 0.1], [1]],
)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.filterwarnings("ignore:Length of split")  # torch's
def test_random_split_equals_torch(lengths: list[Any], own: bool) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    random.manual_seed(3)
    theirs = torch.utils.data.random_split(
        range(10), lengths, torch.Generator().manual_seed(4) if own else torch.default_generator
    )
    ours = random_split(range(10), lengths, random.Generator().manual_seed(4) if own else None)
    assert [list(part) for part in ours] == [list(part) for part in theirs]
    assert [len(part) for part in ours] == [len(part) for part in theirs]


@given(st.integers(1, 60), st.integers(1, 9), st.booleans())
def test_batch_sampler_cuts_without_loss(n: int, size: int, drop: bool) -> None:
    sampler = BatchSampler(SequentialSampler(range(n)), size, drop)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert list(chain(*batches)) == list(range(n - n % size if drop else n))
    assert all(len(batch) == size for batch in batches[:-1])


def test_seed_decides_and_epochs_differ() -> None:
    def epochs() -> list[list[int]]:
        random.manual_seed(1)
        loader = DataLoader(list(range(50)), batch_size=7, shuffle=True)
        return [[int(i) for batch in loader for i in batch.array] for _ in range(2)]

    first, second = epochs()
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert epochs() == [first, second]


# ---------------------------------------------------------------------------------------------- the fast path


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "float16"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_whole_rows_equal_sample_by_sample_and_keep_the_dtype(dtype: str, shuffle: bool) -> None:
    x, y = np.arange(60).reshape(20, 3).astype(dtype), np.arange(20)
    dataset = TensorDataset(x, wrap(y))

    class Slow(TensorDataset):
        pass

    results = []
    for data in (dataset, Slow(x, wrap(y)), Subset(Subset(dataset, range(20)), list(range(20)))):
        random.manual_seed(0)
        results.append([(a.array, b.array) for a, b in DataLoader(data, batch_size=6, shuffle=shuffle)])
    for other in results[1:]:
        for (a, b), (c, d) in zip(results[0], other, strict=True):
            assert a.dtype == c.dtype == dtype
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)
    np.testing.assert_array_equal(np.sort(np.concatenate([b for _, b in results[0]])), y)


def test_the_fast_path_asks_for_no_single_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TensorDataset(np.eye(4))

    def fail(self: Any, index: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(TensorDataset, "__getitem__", fail)
    assert len(list(DataLoader(dataset, batch_size=2))) == 2
    ((batch,),) = DataLoader(Subset(Subset(dataset, [2, 3, 1]), [1, 2]), batch_size=2)
    np.testing.assert_array_equal(batch.array, np.eye(4)[[3, 1]])


def test_a_subclass_with_its_own_getitem_is_asked() -> None:
    class Noisy(TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            return 100.0 + index

    assert [batch.array.tolist() for batch in DataLoader(Noisy(np.eye(3)), batch_size=2)] == [
        [100, 101],
        [102],
    ]


@pytest.mark.parametrize("fast", [True, False])
def test_a_tensor_that_asks_for_a_gradient_gets_it_through_the_batch(fast: bool) -> None:
    x = tg.ones(3, 2, requires_grad=True)
    dataset = TensorDataset(x) if fast else [(x[i],) for i in range(3)]
    (batch,) = next(iter(DataLoader(dataset, batch_size=2)))
    batch.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.array, [[1, 1], [1, 1], [0, 0]])


def test_batches_are_copies_and_samples_are_rows() -> None:
    x = np.zeros((4, 2), np.float32)
    dataset = TensorDataset(x)
    (batch,) = next(iter(DataLoader(dataset, batch_size=4)))
    assert isinstance(batch, Tensor)
    assert not np.shares_memory(batch.array, x)
    assert isinstance(dataset[1][0], Tensor)
    assert dataset[1][0].array.shape == (2,)


# ------------------------------------------------------------------------------------------------ collating

Pair = namedtuple("Pair", ["x", "y"])


def plain(value: Any) -> Any:
    """Tensors of either library as (dtype, nested list), containers as they are."""
    array = getattr(value, "array", None)
    if array is None and hasattr(value, "numpy"):
        array = value.numpy()
    if array is not None:
        return str(array.dtype), array.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


BATCHES: list[list[Any]] = [
    [1.5, 2.5],
    [1, 2],
    [True, False],
    ["a", "b"],
    [b"a", b"b"],
    [np.float32(1), np.float32(2)],
    [np.int16(1), np.int16(2)],
    [np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)],
    [np.array(1, np.uint8), np.array(2, np.uint8)],
    [(1, "a", 2.0), (3, "b", 4.0)],
    [[1, 2], [3, 4]],
    [{"x": np.ones(2), "y": [1, (2, "c")]}] * 3,
    [Pair(1, 2.0), Pair(3, 4.0)],
    [1.5, 2],
    [True, False],
    [1, True],
    [np.ones(2, np.float32), np.ones(2)],
    [np.ones(2, np.int64), np.ones(2, np.float32)],
]


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_collate_gives_what_torch_gives(batch: list[Any]) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.utils.data.default_collate(batch)
    found = default_collate(batch)
    assert plain(found) == plain(expected)
    assert isinstance(found, Pair) == isinstance(expected, Pair)


def test_collate_stacks_tensors() -> None:
    found = default_collate([wrap(np.ones(2, np.float32)), wrap(np.zeros(2, np.float32))])
    assert isinstance(found, Tensor)
    assert plain(found) == ("float32", [[1, 1], [0, 0]])


def test_tensors_of_two_dtypes_meet_as_tensors_do() -> None:
    assert plain(default_collate([tg.tensor([1]), tg.tensor([2.5])])) == ("float32", [[1.0], [2.5]])


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ShapeError, match="no samples"):
        default_collate([])


def test_an_int_before_a_float_is_not_cut_off() -> None:
    assert plain(default_collate([1, 2.5])) == ("float64", [1.0, 2.5])


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        ([None, None], DtypeError),
        ([object()], DtypeError),
        ([np.array(["a"])], DtypeError),
        ([np.array([None])], DtypeError),
        ([2**70], DtypeError),
        ([np.zeros(2), np.zeros(3)], ShapeError),
        ([(1, 2), (1,)], ShapeError),
        ([wrap(np.zeros(2)), wrap(np.zeros((2, 1)))], ShapeError),
        ([wrap(np.zeros(2)), np.zeros(2)], DtypeError),
        ([wrap(np.zeros(2)), None], DtypeError),
        ([wrap(np.zeros(())), 1.0], DtypeError),
        ([1.0, "a"], DtypeError),
        ([1, None], DtypeError),
        ([(1, 2), 3], DtypeError),
        ([{"x": 1}, [1]], DtypeError),
        ([{"x": 1, "y": 2}, {"x": 1}], ShapeError),
        ([[1], {"x": 1}], DtypeError),
    ],
)
def test_what_does_not_stack_is_refused_and_points_to_collate_fn(batch: list[Any], error: type) -> None:
    with pytest.raises(error, match="collate_fn"):
        default_collate(batch)


def test_a_collate_fn_of_the_users_gets_the_samples() -> None:
    dataset = TensorDataset(np.arange(3))
    loader = DataLoader(dataset, batch_size=2, collate_fn=lambda samples: [int(x.array) for (x,) in samples])
    assert list(loader) == [[0, 1], [2]]


def test_without_batches_samples_are_converted_only() -> None:
    samples = [{"x": np.ones(2, np.float32), "n": (1, "a"), "p": Pair(np.float64(2), None)}]
    (sample,) = DataLoader(samples, batch_size=None)
    assert plain(sample["x"]) == ("float32", [1, 1])
    assert sample["n"] == [1, "a"]
    assert isinstance(sample["p"], Pair)
    assert plain(sample["p"].x) == ("float64", 2.0)
    assert default_convert(3) == 3


# -------------------------------------------------------------------------------------- options and refusals


def test_a_sampler_and_a_batch_sampler_rule_the_order() -> None:
    data = np.arange(10) * 10
    assert [b.array.tolist() for b in DataLoader(data, 2, sampler=[3, 1, 2])] == [[30, 10], [20]]
    batches = DataLoader(data, batch_sampler=[[1], [2, 3], np.array([4, 4])])
    assert [b.array.tolist() for b in batches] == [[10], [20, 30], [40, 40]]
    assert len(batches) == 3
    rows = DataLoader(TensorDataset(data), batch_sampler=[[1], [-1, 3]])
    assert [x.array.tolist() for (x,) in rows] == [[10], [90, 30]]


@pytest.mark.parametrize("n_workers", [0, 1, 4])
def test_workers_and_pinning_change_nothing(n_workers: int) -> None:
    threads = threading.active_count()
    random.manual_seed(2)
    expected = [b.array.tolist() for b in DataLoader(range(9), 4, shuffle=True)]
    random.manual_seed(2)
    loader = DataLoader(range(9), 4, shuffle=True, num_workers=n_workers, pin_memory=True)
    batches = iter(loader)
    assert next(batches).array.tolist() == expected[0]
    assert threading.active_count() == threads
    assert not active_children()
    assert [b.array.tolist() for b in batches] == expected[1:]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": True},
        {"num_workers": -1},
        {"sampler": [1], "shuffle": True},
        {"batch_sampler": [[1]], "batch_size": 2},
        {"batch_sampler": [[1]], "shuffle": True},
        {"batch_sampler": [[1]], "sampler": [1]},
        {"batch_sampler": [[1]], "drop_last": True},
        {"batch_size": None, "drop_last": True},
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"batch|workers|sampler"):
        DataLoader(range(3), **options)


def test_datasets_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(DtypeError, match="__getitem__ and __len__"):
        DataLoader(iter([1]))
    with pytest.raises(ValueError, match="0 of 0"):
        DataLoader([], shuffle=True)
    with pytest.raises(ValueError, match="0 of 3"):
        RandomSampler(range(3), num_samples=0)

    class Half(Dataset[int]):
        pass

    with pytest.raises(NotImplementedError, match="Half must define __getitem__"):
        Half()[0]
    with pytest.raises(TypeError, match="len"):
        len(DataLoader(range(3), sampler=iter([1])))


def test_an_empty_dataset_gives_no_batch() -> None:
    assert list(DataLoader(TensorDataset(np.zeros((0, 2))), batch_size=4)) == []


def test_tensor_dataset_refuses_unequal_rows() -> None:
    for tensors in ([np.zeros(2), np.zeros(3)], [np.zeros(())], [np.zeros(()), np.zeros(2)], []):
        with pytest.raises(ShapeError, match="first sizes"):
            TensorDataset(*tensors)
    with pytest.raises(DtypeError, match="list"):
        TensorDataset([1, 2])


@pytest.mark.parametrize("lengths", [[3, 3], [5, 6], [-1, 11], [0.5, 0.4], [0.5, 9.5], [1.5, -0.5], []])
def test_random_split_refuses_lengths_that_do_not_fit(lengths: list[Any]) -> None:
    with pytest.raises(ValueError, match="neither a sum of 10"):
        random_split(range(10), lengths)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 100))
def test_fractions_cover_every_sample_once(weights: list[int], n: int) -> None:
    parts = random_split(range(n), [weight / sum(weights) for weight in weights])
    assert sorted(chain(*parts)) == list(range(n))
    for part, weight in zip(parts, weights, strict=True):
        assert (
            math.floor(n * weight / sum(weights)) - 1 <= len(part) <= math.ceil(n * weight / sum(weights)) + 1
        )
