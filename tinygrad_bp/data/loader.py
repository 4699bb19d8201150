"""From a dataset to shuffled batches, in the order that PyTorch would give for the same seed.

After this file you know the three roles: a dataset answers `dataset[i]`, a sampler says which i come next,
and `DataLoader` collates the samples into one batch. Everything happens in one process, so there is nothing
to fork and the seed alone decides. Read `random/discrete.py` next, where the order comes from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice
from operator import index
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from .. import pytree
from ..core import Tensor, wrap
from ..dtypes import result_type
from ..errors import ArgumentError, DtypeError, ShapeError, require_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..random import Generator

Sample = TypeVar("Sample")


class Dataset(Generic[Sample]):
    """What a DataLoader reads: define `__getitem__(index)` and `__len__()`; a list of samples will do too.

    >>> class Squares(Dataset[int]):
    ...     def __getitem__(self, index: int) -> int:
    ...         return index**2
    ...     def __len__(self) -> int:
    ...         return 4
    >>> [sample for sample in Subset(Squares(), [3, 1])]
    [9, 1]
    """

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index)")


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Tensors (or arrays) that belong together row by row: sample i is the tuple of their i-th rows.

    All must have the same first size, otherwise ShapeError. dtypes are kept; nothing is copied.

    >>> dataset = TensorDataset(np.eye(3, dtype=np.float32), np.arange(3))
    >>> len(dataset), dataset[1][0].array
    (3, array([0., 1., 0.], dtype=float32))
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(wrap(tensor) if isinstance(tensor, np.ndarray) else tensor for tensor in tensors)
        if not all(hasattr(tensor, "array") for tensor in self.tensors):
            names = ", ".join(type(tensor).__name__ for tensor in tensors)
            raise DtypeError(f"TensorDataset: expected tensors or arrays, got {names}")
        shapes = [tensor.array.shape for tensor in self.tensors]
        if len({shape[:1] for shape in shapes} - {()}) != 1 or () in shapes:
            raise ShapeError(f"TensorDataset: the first sizes must be equal, got the shapes {shapes}")

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(_take(tensor, index) for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0].array)


class Subset(Dataset[Any]):
    """The samples of `dataset` at `indices`, in that order.

    >>> list(Subset("abcde", [4, 0]))
    ['e', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset]:
    """Cut a dataset at random into Subsets of the given lengths, or of fractions that sum to 1.

    What the rounding down of fractions leaves over goes one by one to the first parts. Same seed, same parts
    as `torch.utils.data.random_split`. ValueError if the lengths do not fit the dataset.

    >>> from tinygrad_bp.random import Generator
    >>> train, test = random_split(range(8), [0.75, 0.25], Generator().manual_seed(0))
    >>> list(train), list(test)
    ([4, 0, 7, 3, 2, 5], [1, 6])
    """
    from ..random import randperm

    size, counts = len(dataset), [int(length) for length in lengths]
    if math.isclose(sum(lengths), 1) and all(0 <= length <= 1 for length in lengths):
        counts = [math.floor(size * length) for length in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
    elif counts != list(lengths) or min(counts, default=0) < 0 or sum(counts) != size:
        raise ArgumentError(f"random_split: {list(lengths)} is neither a sum of {size} (all samples) nor of 1")
    order = randperm(size, generator=generator).tolist()
    ends = accumulate(counts)
    return [Subset(dataset, order[end - count : end]) for end, count in zip(ends, counts, strict=True)]


class SequentialSampler:
    """The indices 0 … n-1 in order.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler:
    """Indices in random order: permutations, or independent draws with `replacement`; n of them by default.

    Without a `generator` each pass draws a seed from the default one, and its order from that seed, exactly
    as `torch.utils.data.RandomSampler` does. ValueError for no data, or fewer than one sample to draw.

    >>> from tinygrad_bp.random import Generator
    >>> list(RandomSampler("abcdefgh", generator=Generator().manual_seed(0)))
    [4, 0, 7, 3, 2, 5, 1, 6]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples
        if len(self) < 1 or not len(data_source):
            raise ArgumentError(
                f"RandomSampler: cannot draw {len(self)} of {len(data_source)} samples; give 1 or more"
            )

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives."""
        return len(self.data_source) if self._num_samples is None else index(self._num_samples)

    def __iter__(self) -> Iterator[int]:
        from ..random import Generator, randint, randperm

        generator = self.generator
        if generator is None:
            generator = Generator().manual_seed(_draw_seed(None))
        size = len(self.data_source)
        # Torch's portions: 32 draws or one permutation, and a last one even if nothing of it is needed.
        # A generator that several loaders share moves on by exactly as much.
        whole, rest = divmod(self.num_samples, 32 if self.replacement else size)
        for i in range(whole + 1):
            if self.replacement:
                yield from randint(0, size, (32 if i < whole else rest,), generator=generator).tolist()
            else:
                order = randperm(size, generator=generator).tolist()
                yield from order if i < whole else order[:rest]

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler:
    """Lists of `batch_size` indices from any sampler; `drop_last` leaves out a last list that is shorter.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        require_whole("DataLoader", batch_size=batch_size)
        if isinstance(batch_size, bool) or index(batch_size) < 1:
            raise ArgumentError(f"DataLoader: batch_size must be a positive integer, got {batch_size!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, index(batch_size), drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while len(batch := list(islice(indices, self.batch_size))) == self.batch_size:
            yield batch
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]  # an endless sampler has no len(): a TypeError that says so
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


class DataLoader:
    """Batches of a dataset, in PyTorch's order for the same seed; each `for` over it is one epoch.

    The dataset has `__len__` and `__getitem__` (a list or an array will do). Arrays, Tensors and numbers
    become Tensors with a new first dimension; float32 stays float32, a Python float becomes float64 as in
    torch. `batch_size=None` gives single samples. A `sampler` is any iterable of indices, a `batch_sampler`
    one of lists of indices. The order comes from `generator`, or else from the one that `manual_seed` sets.

    One process serves every value of `num_workers`, and `pin_memory` means nothing for arrays in main memory:
    both are taken so that scripts run as they are, and change neither batches nor their order. ValueError for
    options that exclude each other.

    >>> loader = DataLoader(TensorDataset(np.arange(5.0), np.arange(5)), batch_size=2)
    >>> [(x.array, y.array) for x, y in loader][-1], len(loader)
    ((array([4.]), array([4])), 3)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        require_whole("DataLoader", num_workers=num_workers)
        if index(num_workers) < 0:
            raise ArgumentError(f"DataLoader: num_workers must not be negative, got {num_workers}")
        if sampler is not None and shuffle:
            raise ArgumentError("DataLoader: a sampler gives the order itself; leave out sampler or shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ArgumentError("DataLoader: batch_sampler replaces batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ArgumentError("DataLoader: without a batch_size there is no last batch; leave out drop_last")
        sized = hasattr(dataset, "__len__") or sampler is not None or batch_sampler is not None
        if not hasattr(dataset, "__getitem__") or not sized:
            name = type(dataset).__name__
            raise DtypeError(f"DataLoader: {name} needs __getitem__ and __len__; write list(dataset)")
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, bool(drop_last))
        elif batch_sampler is not None:
            batch_size = None
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, bool(drop_last)
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)

    def __iter__(self) -> Iterator[Any]:
        _draw_seed(self.generator)  # torch draws a seed for its workers here, whether it has any or not
        return self._samples() if self.batch_sampler is None else self._batches(self.batch_sampler)

    def __len__(self) -> int:
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def _samples(self) -> Iterator[Any]:
        for i in self.sampler:
            yield self.collate_fn(self.dataset[i])

    def _batches(self, batch_sampler: Iterable[Sequence[int]]) -> Iterator[Any]:
        for indices in batch_sampler:
            batch = _rows(self.dataset, indices) if self.collate_fn is default_collate else None
            yield self.collate_fn([self.dataset[i] for i in indices]) if batch is None else batch


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples into a batch, through tuples, lists and dicts; strings stay a list.

    Tensors, arrays and NumPy scalars keep their dtype, Python's float, int and bool become float64, int64 and
    bool. ShapeError if the samples differ in shape or length, DtypeError for what cannot be stacked.

    >>> images, names = default_collate([(np.zeros(2), "a"), (np.ones(2), "b")])
    >>> images.array.shape, names
    ((2, 2), ['a', 'b'])
    """
    if not batch:
        raise ShapeError("default_collate: a batch of no samples cannot be stacked")
    try:
        return _collated(batch)
    except RecursionError:
        pytree.refuse_endless(batch[0], _holds_samples)
        raise


def _collated(batch: Sequence[Any]) -> Any:
    first = batch[0]
    if isinstance(first, Tensor):
        _alike(batch, Tensor)
        if any(sample.requires_grad for sample in batch):
            return np.stack(batch)  # Tensors all the way: the batch belongs to the graph
        return _stack([sample.array for sample in batch])
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, (np.ndarray, np.generic, int, float)):
        return _stack([sample.array if isinstance(sample, Tensor) else sample for sample in batch])
    if isinstance(first, Mapping):
        _alike(batch, Mapping)
        missing = [key for key in first if any(key not in sample for sample in batch)]
        if missing:
            raise ShapeError(f"default_collate: some samples lack {missing}; give a collate_fn")
        return _as_batch(first, [_collated([sample[key] for sample in batch]) for key in first])
    if isinstance(first, Sequence):
        _alike(batch, Sequence)
        if len({len(sample) for sample in batch}) > 1:
            raise ShapeError(
                "default_collate: the samples have different lengths; give a collate_fn that pads them"
            )
        return _as_batch(first, [_collated(column) for column in zip(*batch, strict=True)])
    raise DtypeError(
        f"default_collate: cannot stack {type(first).__name__}; samples are made of tensors, arrays, "
        "numbers, strings, tuples, lists and dicts; for others give a collate_fn"
    )


def default_convert(sample: Any) -> Any:
    """Turn the arrays of one sample into Tensors and leave all else as it is (`batch_size=None`).

    >>> default_convert({"x": np.zeros(2), "name": "a"})["x"].array
    array([0., 0.])
    """
    return pytree.fold(_converted, _as_batch, sample, _holds_samples)


def _holds_samples(sample: Any) -> bool:
    return isinstance(sample, (Mapping, tuple, list))


def _converted(leaf: Any) -> Any:
    return wrap(leaf) if isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "biufc" else leaf


def _as_batch(sample: Any, parts: list[Any]) -> Any:
    """What a sample's parts have become, in a container like the sample's: a dict, a named tuple, else a list."""
    if isinstance(sample, Mapping):
        return dict(zip(sample, parts, strict=True))
    return pytree.rebuilt(sample, parts) if hasattr(sample, "_fields") else parts


def _stack(samples: Sequence[Any]) -> Any:
    shapes = {np.shape(sample) for sample in samples}
    if len(shapes) > 1:
        raise ShapeError(
            f"default_collate: samples of shapes {sorted(shapes)} do not stack; give a collate_fn"
        )
    arrays = [np.asarray(sample) for sample in samples]
    for array in arrays:
        if array.dtype.kind not in "biufc":
            raise DtypeError(f"default_collate: cannot stack samples of dtype {array.dtype}; give a collate_fn")
    joined = np.stack(arrays)
    if joined.dtype != arrays[0].dtype and isinstance(samples[0], np.ndarray):  # as tensors meet, not as arrays do
        joined = joined.astype(result_type(*arrays))
    return wrap(joined)


def _alike(samples: Sequence[Any], kind: type) -> None:
    """Raise if the samples are not all of the first one's kind."""
    for i, sample in enumerate(samples):
        if not isinstance(sample, kind) or isinstance(sample, str | bytes):
            raise DtypeError(
                f"default_collate: sample 0 is a {type(samples[0]).__name__} and sample {i} a {type(sample).__name__}; "
                "make them alike, or give a collate_fn"
            )


def _rows(dataset: Any, indices: Sequence[int]) -> list[Any] | None:
    """A whole batch by one fancy index per tensor, or None if `dataset` must be asked sample by sample."""
    while type(dataset) is Subset:
        dataset, indices = dataset.dataset, [dataset.indices[i] for i in indices]
    if type(dataset) is not TensorDataset:  # a subclass may define a __getitem__ of its own
        return None
    rows = np.fromiter(map(index, indices), np.intp)
    return [_take(tensor, rows) for tensor in dataset.tensors]


def _take(tensor: Any, rows: Any) -> Any:
    return tensor[rows] if tensor.requires_grad else wrap(tensor.array[rows])


def _draw_seed(generator: Generator | None) -> int:
    from ..random import randint

    return int(randint(0, 2**63, (), generator=generator))
