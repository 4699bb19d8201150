"""PyTorch's CPU random stream in NumPy: the same seed gives the numbers that torch would have drawn.

After this package you know how one stream of 32-bit words (the Mersenne Twister) becomes uniform, normal
and integer draws, and how many words each of them takes, which is what keeps two programs in step.
Reading order: `generator.py` (the words and the state), `continuous.py` (reals), `gaussian.py` (Box–Muller,
the one hard case), `discrete.py` (integers, permutations, masks).

Equal to PyTorch 2.13 on x86-64 with AVX2, where torch was measured:

- `rand`, `bernoulli`, `dropout_mask`, `randint` and `randperm`: bit for bit.
- `uniform`, `randn` and `normal`: bit for bit in 10⁸ numbers tried. Torch's fused multiply-adds are rebuilt
  from double precision, which by rare chance could round another way (then by one last bit).
- `exponential`, and the normals that are computed in double (fewer than 16, or float64): bit for bit where
  Python and torch use the same C library for log, sin and cos; otherwise to the last bit or two.
- `multinomial`: the same indices, unless two categories tie exactly.

Where there is no AVX2, torch computes float32 normals with the C library (differences up to 5·10⁻⁷); those
here are the same on every processor. Everything works on plain arrays.

>>> from tinygrad_bp import random
>>> _ = random.manual_seed(0)
>>> random.rand(3)
array([0.4962566 , 0.7682218 , 0.08847743], dtype=float32)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import guessing
from .continuous import exponential, rand, uniform
from .discrete import bernoulli, dropout_mask, multinomial, randint, randperm
from .gaussian import normal, randn
from .generator import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "dropout_mask",
    "exponential",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "randint",
    "randn",
    "randperm",
    "seed",
    "set_rng_state",
    "uniform",
]

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
