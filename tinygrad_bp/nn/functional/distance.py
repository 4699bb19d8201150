"""How far apart two vectors are. Read `padding.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core import array_of

if TYPE_CHECKING:
    from ..._tensor import Tensor


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between x1 and x2 along `dim`; lengths count as at least `eps`.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.cosine_similarity(tg.tensor([1.0, 0.0]), tg.tensor([1.0, 1.0]), dim=0)
    tensor(0.7071)
    """
    for name, x in (("x1", x1), ("x2", x2)):
        array_of(x, "cosine_similarity", name)
    lengths = [x.norm(2, dim, True).clamp(min=eps) for x in (x1, x2)]
    return (x1 / lengths[0] * (x2 / lengths[1])).sum(dim)
