"""The handwritten digits of MNIST as two arrays, from files that are checked; read `data/loader.py` next.

What comes from the network is compared with its known size and SHA-256 before it touches the disk, and
appears under its name only when it is whole. Files that are already there may have been compressed anew, so
they are judged by their content instead.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, FileFormatError
from ..files import atomic_write, path_text
from .idx import read_idx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
PREFIX = {"train": "train", "test": "t10k"}
PUBLISHED = {  # file → (bytes, SHA-256), as its authors published it
    "train-images-idx3-ubyte.gz": (
        9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}  # fmt: skip
TIMEOUT = 30  # seconds without a byte


def load_mnist(
    folder: str | os.PathLike[str], split: str = "train", *, download: bool = True, base_url: str = MIRROR
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return MNIST's images, uint8 (n, 28, 28) with 0 for paper and 255 for ink, and its labels, uint8 (n,).

    `split` is "train" (n = 60,000) or "test" (10,000). The files `train-images-idx3-ubyte.gz` and so on, with
    or without `.gz`, are looked for in `folder` and, with `download`, fetched there from `base_url` if they
    are missing. Without them: FileNotFoundError that says what to put where; ConnectionError if the download
    fails; FileFormatError if a file is damaged or not MNIST. tqdm, if installed, shows the progress.

    >>> try:
    ...     load_mnist("no/such", "test", download=False)
    ... except FileNotFoundError as error:
    ...     print(str(error).partition(" Put")[0])
    no/such: t10k-images-idx3-ubyte.gz is missing.
    """
    folder = path_text("load_mnist", folder)
    if split not in PREFIX:
        raise ArgumentError(f'load_mnist: split {split!r} is unknown; write "train" or "test"')
    names = [f"{PREFIX[split]}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    by_hand = f"Put {names[0]} and {names[1]} into {folder}, from {MIRROR} for example"
    paths = []
    for name in names:
        path = _find(folder, name)
        if path is None and not download:
            raise FileNotFoundError(f"{folder}: {name} is missing. {by_hand}")
        paths.append(path or _download(base_url, os.path.join(folder, name), by_hand))
    return _checked(*paths)


def _checked(images_path: str, labels_path: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != "u1" or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise FileFormatError(
            f"{images_path}: expected uint8 (n, 28, 28), found {images.dtype} {images.shape}"
        )
    if labels.dtype != "u1" or labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
        raise FileFormatError(
            f"{labels_path}: expected uint8 {images.shape[:1]} from 0 to 9, "
            f"found {labels.dtype} {labels.shape} up to {labels.max(initial=0)}"
        )
    return images, labels


def _find(folder: str | os.PathLike[str], name: str) -> str | None:
    candidates = [os.path.join(folder, name), os.path.join(folder, name.removesuffix(".gz"))]
    return next((path for path in candidates if os.path.isfile(path)), None)


def _download(base_url: str, path: str, by_hand: str) -> str:
    """Fetch into memory, at most one byte more than published; check; then write `path` in one step."""
    import hashlib
    from http.client import HTTPException
    from urllib.request import urlopen

    name = os.path.basename(path)
    url = f"{base_url.rstrip('/')}/{name}"
    size, digest = PUBLISHED[name]
    data = bytearray()
    try:
        with urlopen(url, timeout=TIMEOUT) as response, _progress(size, name) as bar:
            while chunk := response.read(min(2**16, size + 1 - len(data))):  # at last read(0), which is empty
                data += chunk
                if bar is not None:
                    bar.update(len(chunk))
    except (OSError, HTTPException) as error:
        raise ConnectionError(f"{url} could not be fetched ({error}). {by_hand}") from None
    found = hashlib.sha256(data).hexdigest()
    if len(data) != size or found != digest:
        amount = "more" if len(data) > size else len(data)
        raise FileFormatError(
            f"{url} is not the published file: expected {size} bytes with SHA-256 {digest}, "
            f"found {amount} with {found}. Nothing was written. {by_hand}"
        )
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with atomic_write(path) as file:
        file.write(data)
    return path


def _progress(size: int, name: str) -> AbstractContextManager[Any]:
    """tqdm's bar, silent where there is no terminal; None if tqdm is not installed."""
    from importlib import import_module

    try:
        tqdm = import_module("tqdm").tqdm
    except ImportError:
        return nullcontext()
    bar: AbstractContextManager[Any] = tqdm(total=size, desc=name, unit="B", unit_scale=True, disable=None)
    return bar
