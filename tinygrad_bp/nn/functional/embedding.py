"""Classes as vectors. Read `normalisation.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core import array_of, wrap
from ...duck import check
from ...errors import AxisError, DtypeError, ShapeError

if TYPE_CHECKING:
    from ..._tensor import Tensor


def one_hot(tensor: Tensor, num_classes: int = -1) -> Any:
    """int64 tensor with one more dimension: 1 at the class, 0 elsewhere; -1 takes the largest class there is.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.one_hot(tg.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    classes = array_of(tensor, "one_hot", "tensor")
    if classes.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: classes are integers, not {classes.dtype}; use `x.long()`")
    if num_classes == -1:
        if not classes.size:
            raise ShapeError("one_hot: no classes to count in an empty tensor; pass num_classes")
        num_classes = int(classes.max()) + 1
    check(_counted, classes, num_classes)
    return wrap((classes[..., None] == np.arange(num_classes)).astype(np.int64))


def _counted(classes: Any, count: int) -> None:
    if classes.size and not 0 <= classes.min() <= classes.max() < count:
        raise AxisError(f"one_hot: classes from {classes.min()} to {classes.max()} do not lie in 0 … {count - 1}")
