"""The stream itself: a Mersenne Twister seeded as torch seeds it, and its state in torch's own layout.

After this file you know where every random number comes from: `words` (32 bits) and `double_words`
(two of them, high half first) are the only doors to the stream. Read `continuous.py` next.

Source of the algorithm: Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998), with the
`init_genrand` seeding of its 2002 revision, which NumPy calls the legacy seeding.
"""

from __future__ import annotations

import os
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from ..duck import outside_a_trace
from ..errors import DtypeError, ShapeError, TensorError, require_numbers

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike, NDArray

UNSEEDED = 67280421310721  # the seed of a `torch.Generator()` that nobody has seeded
STATE_BYTES = 5056
_BLOCK = 624  # words between two renewals of the twister


def _layout() -> np.dtype[Any]:
    """The struct that torch saves. `left` words minus one are unread; `next` is the position to read."""
    fields = [("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8"), ("key", "<u8", (_BLOCK,))]
    fields += [("unused_x", "<f8"), ("spare_normal", "<f8"), ("unused_rho", "<f8"), ("has_spare", "<i4")]
    fields += [("padding", "V4"), ("float_normal", "<f4"), ("has_float_normal", "u1"), ("end", "V3")]
    return np.dtype(fields)


def _check_seed(seed: object) -> int:
    """`seed` as the unsigned 64-bit number that torch makes of it: negative ones count from 2⁶⁴ down."""
    try:
        number = index(seed)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(seed, (bool, np.bool_)):
        raise DtypeError(f"manual_seed: the seed must be an integer, not {type(seed).__name__} ({seed!r}); "
                         f"write generator.manual_seed(0)")
    if not -(2**63) <= number < 2**64:
        raise TensorError(f"manual_seed: seed {number} does not fit into 64 bits; "
                          f"take one from -2**63 to 2**64 - 1, for example seed % 2**64")
    return number % 2**64


class Generator:
    """A source of random numbers that draws exactly what `torch.Generator` on the CPU would draw.

    Until it is seeded it starts from torch's constant 67280421310721. Only the low 32 bits of a seed
    reach the twister, as in torch. Copies and pickles carry the whole state. Raises DtypeError for any
    device but "cpu".

    >>> g = Generator().manual_seed(7)
    >>> g.initial_seed(), g.device
    (7, 'cpu')
    """

    __slots__ = ("_bits", "_seed", "_untouched", "device", "spare_normal")

    _bits: np.random.MT19937 | None  # made at the first draw: importing numpy.random takes milliseconds
    spare_normal: float | None  # Box–Muller makes normals in pairs; this one waits for the next call

    def __init__(self, device: object = "cpu") -> None:
        if str(device) != "cpu":
            raise DtypeError(f"Generator: there is no device {str(device)!r} here; write Generator('cpu')")
        self.device = "cpu"
        self._restart(UNSEEDED)

    def _restart(self, seed: int) -> None:
        self._seed = seed
        self._bits = None
        self._untouched = True
        self.spare_normal = None

    def manual_seed(self, seed: int) -> Self:
        """Start the stream of `seed` (-2⁶³ … 2⁶⁴-1; negative ones count from 2⁶⁴ down) and return self.

        >>> Generator().manual_seed(-1).initial_seed() == 2**64 - 1
        True
        """
        outside_a_trace()
        self._restart(_check_seed(seed))
        return self

    def seed(self) -> int:
        """Start from 64 bits of the operating system's entropy and return them.

        >>> g = Generator()
        >>> g.seed() == g.initial_seed()
        True
        """
        outside_a_trace()
        self._restart(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the current stream began with, as an unsigned 64-bit number.

        >>> Generator().initial_seed()
        67280421310721
        """
        return self._seed

    def _twister(self) -> np.random.MT19937:
        if self._bits is None:
            self._bits = np.random.MT19937(0)
            np.random.RandomState(self._bits).seed(self._seed % 2**32)  # RandomState seeds the legacy way
        return self._bits

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` 32-bit words of the stream, in 64-bit cells.

        >>> Generator().manual_seed(0).words(2)
        array([2357136044, 2546248239], dtype=uint64)
        """
        self._untouched = self._untouched and count == 0
        return self._twister().random_raw(count)

    def double_words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` 64-bit words, each made of two 32-bit ones with the high half first.

        >>> Generator().manual_seed(0).double_words(1) == 2357136044 * 2**32 + 2546248239
        array([ True])
        """
        words = self.words(2 * count)
        return (words[::2] << np.uint64(32)) | words[1::2]

    def get_state(self) -> NDArray[np.uint8]:
        """The whole state as 5056 bytes, byte for byte what `torch.Generator.get_state` gives.

        >>> Generator().get_state().shape
        (5056,)
        """
        twister: Any = self._twister().state["state"]
        record = np.zeros((), _layout())
        record["seed"], record["seeded"], record["key"] = self._seed, 1, twister["key"]
        position = 0 if self._untouched else int(twister["pos"])
        record["next"], record["left"] = position, _BLOCK + 1 - position if position else 1
        if self.spare_normal is not None:
            record["spare_normal"], record["has_spare"] = self.spare_normal, 1
        return np.frombuffer(record.tobytes(), np.uint8).copy()

    def set_state(self, state: ArrayLike) -> None:
        """Go on from a state that `get_state`, here or in torch, has given: 5056 bytes (uint8).

        Raises DtypeError, ShapeError or TensorError for anything else, and then changes nothing.

        >>> g = Generator().manual_seed(0)
        >>> state = g.get_state()
        >>> first = g.words(3)
        >>> g.set_state(state)
        >>> bool((g.words(3) == first).all())
        True
        """
        raw = np.asarray(state)
        if raw.dtype != np.uint8:
            raise DtypeError(f"set_state: a state is uint8, not {raw.dtype}; pass what get_state() gave")
        if raw.shape != (STATE_BYTES,):
            raise ShapeError(f"set_state: a state has {STATE_BYTES} bytes, but this has shape {raw.shape}; "
                             f"pass what get_state() gave")
        record = np.frombuffer(raw.tobytes(), _layout())[0]
        left, position = int(record["left"]), int(record["next"])
        if record["seeded"] != 1 or not 1 <= left <= _BLOCK or (left > 1 and left + position != _BLOCK + 1):
            raise TensorError("set_state: these bytes are no state of a Mersenne Twister; "
                              "pass what get_state() gave")
        bits = np.random.MT19937(0)
        key, place = record["key"].astype(np.uint32), _BLOCK + 1 - left
        bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": place}}
        self._bits, self._seed = bits, int(record["seed"])
        self._untouched = position == 0
        self.spare_normal = float(record["spare_normal"]) if record["has_spare"] else None

    def clone_state(self) -> Generator:
        """A second generator that will draw the same numbers from here on.

        >>> g = Generator().manual_seed(3)
        >>> bool(g.clone_state().words(1) == g.words(1))
        True
        """
        twin = Generator()
        twin.set_state(self.get_state())
        return twin


default_generator = Generator()
default_generator.seed()  # as in torch, a program that seeds nothing differs from run to run


def manual_seed(seed: int) -> Generator:
    """Seed the default generator and return it; as in torch, `seed` goes through `int` first.

    >>> manual_seed(0) is default_generator
    True
    """
    require_numbers("manual_seed", seed=seed)
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the operating system's entropy and return the seed.

    >>> seed() == initial_seed()
    True
    """
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator's stream began with.

    >>> manual_seed(5).initial_seed() == initial_seed() == 5
    True
    """
    return default_generator.initial_seed()


def get_rng_state() -> NDArray[np.uint8]:
    """The default generator's state: 5056 bytes in torch's layout.

    >>> get_rng_state().dtype
    dtype('uint8')
    """
    return default_generator.get_state()


def set_rng_state(state: ArrayLike) -> None:
    """Put the default generator into a state that `get_rng_state` gave; errors as in `Generator.set_state`.

    >>> set_rng_state(get_rng_state())
    """
    default_generator.set_state(state)
