"""Hypothesis strategies: shapes, arrays that lie awkwardly in memory, tensors that broadcast, small networks.

Values are generic by default: drawn by seed, no zeros and no ties, so that a check seldom lands on a kink; pass
`elements` to let Hypothesis choose and shrink every entry. What is awkward is drawn often: 0-d, empty and size-1
shapes, permuted, reversed, strided and read-only memory, float32 beside float64. Read `specs.py` next.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes
from hypothesis.extra.numpy import arrays as numpy_arrays

from ..core import wrap
from ..errors import ArgumentError
from .specs import generic

if TYPE_CHECKING:
    from collections.abc import Sequence

    Shapes = st.SearchStrategy[tuple[int, ...]]
    Shape = tuple[int, ...] | Shapes | None

LAYOUTS = ("plain", "permuted", "reversed", "strided", "read-only")
FLOATS = (np.float32, np.float64)


def layout(array: np.ndarray, kind: str) -> np.ndarray:
    """The same entries, lying in memory as `kind` of LAYOUTS says.

    >>> layout(np.ones((2, 3)), "permuted").flags.c_contiguous
    False
    """
    if kind == "permuted":
        return array.copy().T.copy().T
    if kind == "reversed" and array.ndim:  # np.flip makes a scalar of a 0-d array
        return np.flip(np.flip(array).copy())
    if kind == "strided" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    array = array.copy()
    array.flags.writeable = kind != "read-only"
    return array


def shapes(*, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4) -> Shapes:
    """Shapes, 0-d and empty ones included unless `min_dims` and `min_side` forbid them.

    >>> from hypothesis import find
    >>> find(shapes(), lambda shape: len(shape) == 2)
    (0, 0)
    """
    return array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


@st.composite
def arrays(
    draw: st.DrawFn,
    /,
    shape: Shape = None,
    dtype: Any = None,
    *,
    elements: st.SearchStrategy[Any] | None = None,
    low: float = -2.0,
    high: float = 2.0,
    layouts: Sequence[str] = LAYOUTS,
) -> np.ndarray:
    """Arrays of a shape (or of shapes drawn), float32 or float64 unless `dtype` says, lying anyhow in memory.

    `elements` is a strategy for single entries; without it the values are generic, between `low` and `high`.
    """
    unknown = [kind for kind in layouts if kind not in LAYOUTS]
    if unknown or not layouts:
        raise ArgumentError(f"arrays: layouts are some of {LAYOUTS}, got {tuple(layouts)}")
    size = draw(shape if isinstance(shape, st.SearchStrategy) else shapes() if shape is None else st.just(shape))
    kind = np.dtype(draw(st.sampled_from(FLOATS)) if dtype is None else dtype)
    if elements is not None:
        array = draw(numpy_arrays(kind, size, elements=elements))
    else:
        array = generic(size, np.random.default_rng(draw(st.integers(0, 2**32 - 1))), low, high).astype(kind)
    return layout(array, draw(st.sampled_from(tuple(layouts))))


def tensors(
    shape: Shape = None,
    dtype: Any = None,
    *,
    requires_grad: bool = True,
    elements: st.SearchStrategy[Any] | None = None,
    low: float = -2.0,
    high: float = 2.0,
    layouts: Sequence[str] = LAYOUTS,
) -> st.SearchStrategy[Any]:
    """Leaf tensors over the arrays that `arrays` draws.

    >>> from hypothesis import find
    >>> find(tensors((2, 3), "float64"), lambda t: True).shape
    Size([2, 3])
    """
    drawn = arrays(shape, dtype, elements=elements, low=low, high=high, layouts=layouts)
    return drawn.map(lambda array: as_leaf(array, requires_grad))


def as_leaf(array: np.ndarray, requires_grad: bool = True) -> Any:
    """A leaf that shares `array`'s memory; integers never require a gradient."""
    tensor = wrap(array)
    return tensor.requires_grad_() if requires_grad and array.dtype.kind == "f" else tensor


@st.composite
def broadcastable(
    draw: st.DrawFn, /, count: int = 2, dtype: Any = None, *, min_side: int = 0, max_dims: int = 3, **options: Any
) -> tuple[Any, ...]:
    """`count` tensors of one dtype whose shapes broadcast together; `options` are those of `tensors`.

    >>> from hypothesis import find
    >>> a, b = find(broadcastable(2, "float64", min_side=1), lambda pair: pair[0].ndim > pair[1].ndim)
    >>> (a + b).shape == a.shape
    True
    """
    sizes = draw(mutually_broadcastable_shapes(num_shapes=count, min_side=min_side, max_side=3, max_dims=max_dims))
    kind = draw(st.sampled_from(FLOATS)) if dtype is None else dtype
    return tuple(draw(tensors(shape, kind, **options)) for shape in sizes.input_shapes)


@st.composite
def modules(
    draw: st.DrawFn, /, in_features: int | None = None, out_features: int | None = None, *, max_layers: int = 3
) -> Any:
    """Small networks from (…, in_features) to (…, out_features), `net[0].in_features` where not given.

    A Sequential of `Linear` layers, with and without bias, nested now and then, with smooth and kinked activations,
    softmax and dropout between; its first weights come from a seed that Hypothesis draws, and the random stream of
    the caller is left where it was.

    >>> from hypothesis import find
    >>> net = find(modules(in_features=3, out_features=2), lambda net: len(net) > 1)
    >>> net(wrap(np.ones((5, 3), np.float32))).shape
    Size([5, 2])
    """
    from .. import nn, random

    sizes = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(1, max_layers)) + 1)]
    sizes[0], sizes[-1] = in_features or sizes[0], out_features or sizes[-1]
    kept = random.get_rng_state()
    random.manual_seed(draw(st.integers(0, 2**32 - 1)))
    try:
        layers: list[Any] = [nn.Linear(sizes[0], sizes[1], bias=draw(st.booleans()))]
        for size, following in pairwise(sizes[1:]):
            layers.append(draw(st.sampled_from(_BETWEEN))(nn))
            layer = nn.Linear(size, following, bias=draw(st.booleans()))
            layers.append(nn.Sequential(layer) if draw(st.booleans()) else layer)
        return nn.Sequential(*layers)
    finally:
        random.set_rng_state(kept)


_BETWEEN = (
    lambda nn: nn.Tanh(),
    lambda nn: nn.ReLU(),
    lambda nn: nn.Sigmoid(),
    lambda nn: nn.Softmax(-1),
    lambda nn: nn.Dropout(0.25),
)
