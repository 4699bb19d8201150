"""The one device there is, so that scripts which ask for one run as they are. Read `creation.py` next."""

from __future__ import annotations

from typing import Any

from .errors import DtypeError


class device(str):
    """The place of a tensor: always the CPU. It is also the string 'cpu', so either may be passed.

    Raises DtypeError for any other device, rather than ignoring it.

    >>> import tinygrad_bp as tg
    >>> tg.device("cuda" if tg.cuda.is_available() else "cpu")
    device(type='cpu')
    """

    __slots__ = ()
    type = "cpu"
    index = None  # type: ignore[assignment]  # PyTorch's attribute, not the search of str

    def __new__(cls, type: Any = "cpu", index: int | None = None) -> device:
        cpu_only(type)
        return super().__new__(cls, "cpu")

    def __repr__(self) -> str:
        return "device(type='cpu')"


def cpu_only(place: Any, written: str = "`device`") -> None:
    """Refuse every device but 'cpu' and None."""
    if place is not None and str(place) not in ("cpu", "cpu:0"):
        raise DtypeError(f"device {str(place)!r}: tensors live on 'cpu' only; leave {written} out, or pass 'cpu'")
