"""The second derivative as a problem of its own: the function that is checked is the first backward.

x, g ↦ (the gradients that the backward gives for the cotangent g) is differentiated by every input, every parameter
and every g, and compared as any function is. Read `numpy_check.py` next: code without any framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import wrap
from .evaluate import Subject

if TYPE_CHECKING:
    from .numeric import Array


class SecondOrder(Subject):
    """The gradients of a Subject as the function to check; `cotangents` are its additional inputs."""

    def __init__(self, *args: Any, cotangents: list[Array], of: list[int], **options: Any) -> None:
        self.cotangents, self.of = cotangents, of
        super().__init__(*args, **options)

    def _choose_slots(self, names: Any, check_params: bool) -> None:
        super()._choose_slots(names, check_params)
        self.first = len(self.slots)
        for k, g in zip(self.of, self.cotangents, strict=True):
            self._add(f"grad_output {k}", wrap(g), "cotangent")
        self.keep_detached = True  # a gradient without a graph is what we are looking for

    def label(self, k: int) -> str:
        """The outputs are the first derivatives."""
        return f"gradient of {self.slots[k].name}"

    def _outputs(self, recorded: bool, values: list[Any] | None = None) -> list[Any]:
        from ..autograd.passes import grad

        made = super()._outputs(True, values)
        inputs, cotangents = self.leaves[: self.first], self.leaves[self.first :]
        pairs = [(made[k], g) for k, g in zip(self.of, cotangents, strict=True) if made[k].node is not None]
        found: tuple[Any, ...] = (None,) * len(inputs)
        if pairs:
            ys, gs = zip(*pairs, strict=True)
            self.passes += 1
            found = grad(ys, inputs, gs, create_graph=True, allow_unused=True)
        return [wrap(np.zeros_like(x.array)) if g is None else g for x, g in zip(inputs, found, strict=True)]
