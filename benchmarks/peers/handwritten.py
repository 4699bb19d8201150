"""NumPy by hand: `handwritten.py` under the name of a peer."""

from ..handwritten import make_step, make_training

__all__ = ["make_step", "make_training"]
