"""What an index means, by PyTorch's rule, said in NumPy's words. Read `indexing.py` next.

PyTorch goes through an index from left to right: ints, slices, None and … choose or add dimensions, one after the
other; what names entries (tensors, arrays, lists, masks) waits until that is done. Then the dimensions of the names
stand where the first name stood if the names are neighbours, and else in front. NumPy counts an int beside an array as
a name too, so `x[0, :, [0, 1]]` would be transposed. `steps` gives the NumPy keys that one after the other do what is
meant: nearly always one, and two where ints, or a bare True or False, stand apart from names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dialect
from ..alarms import warn
from ..core import Tensor
from ..duck import Array, Duck
from ..errors import AxisError, DtypeError, ShapeError
from ..fitting import numbers, stored

WHOLE = slice(None)
DOTS, NEW, SLICE, INT, TRUTH, NAME = range(6)  # the kinds of parts of an index


def steps(key: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The NumPy keys for `key` on a tensor of `shape`; the first of two is basic, and so gives a view."""
    parts = key if type(key) is tuple else (key,)
    for part in parts:
        if type(part) is not int and type(part) is not slice and part is not None and part is not Ellipsis:
            break
    else:
        return (parts if Ellipsis in parts else (*parts, Ellipsis),)  # so that even a single entry is a view
    parts = _as_sequence(key)
    parts = tuple([_plain(part) for part in parts])
    kinds = [_kind(part) for part in parts]
    if TRUTH not in kinds and NAME not in kinds:
        return (parts if DOTS in kinds else (*parts, Ellipsis),)
    taken = [part.ndim if kind == NAME and part.dtype.kind == "b" else kind in (SLICE, INT, NAME)
             for part, kind in zip(parts, kinds, strict=True)]  # fmt: skip
    rest = len(shape) - sum(taken)
    if rest < 0 or kinds.count(DOTS) > 1:
        raise AxisError(
            f"an index of {sum(taken)} dimensions and {kinds.count(DOTS)} … for a tensor of {len(shape)} dimensions"
        )
    if rest == 0 and DOTS in kinds:  # which stands for nothing, and so does not part neighbours
        i = kinds.index(DOTS)
        parts = (*parts[:i], *parts[i + 1 :])
        del kinds[i], taken[i]
    if TRUTH not in kinds and (INT not in kinds or _neighbours(kinds, INT) or not _neighbours(kinds)):
        return (parts if len(parts) > 1 else parts[0],)
    return _apart(parts, kinds, taken, rest)


def _as_sequence(key: Any) -> tuple[Any, ...]:
    """The parts of an index; a list with more than numbers in it is a tuple, as in PyTorch."""
    if isinstance(key, tuple):
        return key
    if isinstance(key, list) and any(
        part is None or part is Ellipsis or isinstance(part, (slice, list, tuple, Tensor, *Array)) for part in key
    ):
        warn(
            "an index that is a list of lists, tensors or slices is read as a tuple, `x[tuple(index)]`, as in PyTorch, "
            "where NumPy would read one array: write `x[tuple(index)]`, or `x[tg.tensor(index)]` for the array"
        )
        return tuple(key)
    return (key,)


def _plain(part: Any) -> Any:
    """A part with its Tensors and lists as arrays; what is no index is refused."""
    if isinstance(part, Tensor):
        part = part.array
    elif isinstance(part, list | tuple | range):
        part = np.asarray(_unwrapped(part)) if len(part) else np.zeros(0, np.int64)
        part = part if part.size else part.astype(np.int64)
    if isinstance(part, Array):
        if part.dtype.kind not in "iub":
            raise DtypeError(f"an index must be integer or boolean, not {part.dtype}: use `index.long()`")
        if part.dtype == np.uint8:  # PyTorch's old kind of mask
            part = part.astype(np.bool_)
        if part.ndim == 0 and part.dtype.kind != "b" and not isinstance(part, Duck):
            return int(part)
    elif not (part is None or part is Ellipsis or isinstance(part, slice | np.bool_) or hasattr(part, "__index__")):
        raise AxisError(
            f"an index is made of ints, slices, None, …, integer tensors and masks, not {type(part).__name__}"
        )
    return part


def _unwrapped(part: Any) -> Any:
    if isinstance(part, list | tuple):
        return [_unwrapped(inner) for inner in part]
    return part.array if isinstance(part, Tensor) else part


def _kind(part: Any) -> int:
    if part is None or part is Ellipsis:
        return NEW if part is None else DOTS
    if isinstance(part, Array):
        return NAME if part.ndim else TRUTH if part.dtype.kind == "b" else INT
    return SLICE if isinstance(part, slice) else TRUTH if isinstance(part, bool | np.bool_) else INT


def _neighbours(kinds: list[int], also: int = NAME) -> bool:
    """Whether no slice, None or … stands between names; ints may, unless they count as names `also`."""
    places = [i for i, kind in enumerate(kinds) if kind in (NAME, also)]
    return all(kind in (NAME, INT) for kind in kinds[places[0] : places[-1]])


def _apart(parts: tuple[Any, ...], kinds: list[int], taken: list[int], rest: int) -> tuple[Any, Any]:
    """First what chooses and adds dimensions, then the names; … stands for `rest` dimensions."""
    first: list[Any] = []
    then: list[Any] = []
    for part, kind, count in zip(parts, kinds, taken, strict=True):
        if kind == DOTS:
            first += [WHOLE] * rest
            then += [WHOLE] * rest
        elif kind == NAME:
            first += [WHOLE] * count
            then.append(part)
        elif kind == TRUTH:
            first.append(None)
            then.append(dialect.reshape(part, (1,)) if isinstance(part, Array) else np.array([part]))
        else:
            first.append(part)
            then += [WHOLE] * (kind != INT)
    return (*first, Ellipsis), tuple(then)


def fitting(value: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """A value for x[key], its leading sizes of 1 taken away where x[key] has fewer dimensions, as in PyTorch."""
    sizes = getattr(value, "shape", ())
    if not sizes or sizes[0] != 1:
        return value
    parts = key if isinstance(key, tuple) else (key,)
    bare = tuple([part.actual if isinstance(part, Duck) else part for part in parts])
    extra = len(sizes) - np.broadcast_to(np.zeros((), np.int8), shape)[bare].ndim
    return value.reshape(sizes[extra:]) if extra > 0 and set(sizes[:extra]) == {1} else value


def write(array: Any, key: Any, value: Any) -> None:
    """array[key] = value, on a bare array."""
    *views, last = steps(key, array.shape)
    value = stored("x[...] = value", numbers("x[...] = value", value), array.dtype)
    try:
        part = array[views[0]] if views else array
        part[last] = fitting(value, last, part.shape)
        if views and not dialect.basic(views[0]):  # a compiler's stand-in as an int gave a copy
            array[views[0]] = part
    except IndexError as error:
        raise AxisError(f"x[...] = value: x {array.shape}: {error}") from None
    except (ValueError, TypeError, OverflowError) as error:
        kind = ShapeError if np.ndim(value) else DtypeError
        raise kind(f"x[...] = value: x {array.shape} {array.dtype}, value {np.shape(value)}: {error}") from None
