"""Snapshots: whatever is done to a container, a tensor or a generator meanwhile, it is restored in its place."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import snapshot
from tinygrad_bp.gradcheck import gradcheck
from tinygrad_bp.random import Generator

CONTAINERS: dict[str, tuple[Any, Any]] = {
    "list": ([1, [2]], lambda c: c.insert(0, 9)),
    "list emptied": ([1, [2]], lambda c: c.clear()),
    "dict": ({"a": 1, "b": [2]}, lambda c: c.update(a=9, z=1)),
    "dict in another order": ({"a": 1, "b": 2}, lambda c: c.update(a=c.pop("a"))),
    "ordered dict": (OrderedDict(a=1, b=2), lambda c: c.move_to_end("a")),
    "set": ({1, 2}, lambda c: c.add(3)),
    "deque": (deque([1, 2], 5), lambda c: c.rotate()),
    "frozenset": (frozenset({1}), lambda c: None),
}
GENERATORS: dict[str, tuple[Any, Any]] = {
    "ours": (Generator(), lambda g: g.words(3)),
    "Python's": (random.Random(0), lambda g: g.random()),
    "Python's module": (random, lambda g: g.random()),
    "NumPy's": (np.random.default_rng(0), lambda g: g.random()),
    "NumPy's old": (np.random.RandomState(0), lambda g: g.rand()),
    "NumPy's module": (np.random, lambda g: g.rand()),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_its_content_again(name: str) -> None:
    container, change = CONTAINERS[name]
    before, parts = repr(container), list(map(id, container))
    saved = snapshot.Containers([container, container])
    change(container)
    saved.restore()
    assert repr(container) == before
    assert list(map(id, container)) == parts


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_goes_on_from_where_it_was(name: str) -> None:
    generator, draw = GENERATORS[name]
    saved = snapshot.Generators([generator])
    assert saved.moved() == []
    first = np.asarray(draw(generator))
    assert saved.moved() == [generator]
    saved.restore([])
    assert saved.moved() == [generator]
    saved.restore()
    assert saved.moved() == []
    assert (np.asarray(draw(generator)) == first).all()


def test_a_tensor_has_its_array_its_values_its_graph_and_its_gradient_again() -> None:
    leaf = tg.tensor([1.0, float("nan")], requires_grad=True)
    leaf.grad = tg.tensor([5.0, 6.0])
    view = (leaf * 2)[0:1]
    seen = [(t.array, t.array.copy(), t.node, t._grad) for t in (leaf, view)]
    saved = snapshot.Tensors([leaf, view])
    leaf.array[0] = 7
    leaf.grad.array[:] = 0
    view.array[...] = 9
    leaf.data = tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64)
    leaf.grad = None
    saved.restore()
    for t, (array, values, node, grad) in zip((leaf, view), seen, strict=True):
        assert t.array is array and t.node is node and t._grad is grad  # noqa: PT018
        assert np.array_equal(t.array, values, equal_nan=True)
    assert leaf.grad.tolist() == [5.0, 6.0]
    assert (leaf.node.shape, leaf.node.dtype) == ((2,), np.float32)


def test_what_a_checked_function_does_to_what_it_reaches_did_not_happen() -> None:
    """The checker's sandbox, with a dict of a module, a closed-over tensor, and every kind of generator."""

    class Layer(tg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []
            self.table = {"calls": 0}
            self.fc = tg.nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            self.seen.append(1)
            self.table["calls"] += 1
            self.extra = 3
            return self.fc(x)

    layer, scale = Layer(), tg.tensor([2.0, 3.0])

    def function(x: Any) -> Any:
        scale.array[:] += 1
        for generator, draw in GENERATORS.values():
            draw(generator)
        return layer(x) * 2 + scale.detach() * 0

    saved = snapshot.Generators([random, np.random])
    weight = layer.fc.weight.array.copy()
    report = gradcheck(function, (tg.randn(3, 2, dtype=tg.float64, requires_grad=True),), raise_exception=False)
    assert report.passed
    assert (layer.seen, layer.table, hasattr(layer, "extra")) == ([], {"calls": 0}, False)
    assert scale.tolist() == [2.0, 3.0]
    assert saved.moved() == []
    assert layer.fc.weight.array.dtype == np.float32
    assert (layer.fc.weight.array == weight).all()
