"""The same values in other memory: copies and casts. Read `joining.py` next."""

from __future__ import annotations

import numpy as np

from ..declare import Case, linear, publish
from ..kernels import converted, dense

cast = linear(
    lambda x, dtype: converted(x, dtype),
    "the same values in another dtype",
    lambda g: g,
    cases=(Case((2, 3), dtype=np.dtype(np.float64)), Case((), dtype=np.dtype(np.float64))),
    shown="to",
    internal=True,
)
clone = linear(
    lambda x: dense(x),
    "a copy with memory of its own, still in the graph; it lies in memory as x does, without gaps",
    lambda g: g,
    cases=(Case((2, 3)), Case((0,))),
)
contiguous = linear(
    lambda x: x.copy(),
    "a copy whose entries lie in memory in order",
    lambda g: g,
    cases=(Case((2, 3)),),
    internal=True,
)

publish(globals())
