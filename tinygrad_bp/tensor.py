from ._tensor import Tensor

__all__ = ["Tensor"]
