"""Second derivatives through hand-written backwards: what forward computes on its way is never a silent constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.errors import GraphError

X = [0.5, -1.0, 2.0]


def second(forward: Any, backward: Any) -> Any:
    """The gradient of Σ g², where g is the gradient of the Function at X."""
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    kind = type("Layer", (tg.autograd.Function,), methods)
    x = tg.tensor(X, dtype=tg.float64, requires_grad=True)
    y = kind.apply(x)  # type: ignore[attr-defined]
    y = y[0] if isinstance(y, tuple) else y
    (g,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    return tg.autograd.grad((g * g).sum(), x)[0].array


def swish(keep: Any, sigmoid: Any = tg.sigmoid) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        s = sigmoid(x)
        keep(ctx, x, s)
        return x * s

    return forward


def slope(read: Any) -> Any:
    def backward(ctx: Any, g: Any) -> Any:
        x, s = read(ctx)
        return g * (s + x * s * (1 - s))

    return backward


def save(ctx: Any, x: Any, s: Any) -> None:
    ctx.save_for_backward(x, s)


def attribute(ctx: Any, x: Any, s: Any) -> None:
    ctx.save_for_backward(x)
    ctx.s = s


def container(ctx: Any, x: Any, s: Any) -> None:
    ctx.kept = {"x": x, "parts": [s]}


SAVED = (save, lambda ctx: ctx.saved_tensors, r"ctx\.saved_tensors\[1\]")
KEPT = [
    SAVED,
    (attribute, lambda ctx: (ctx.saved_tensors[0], ctx.s), r"ctx\.s "),
    (container, lambda ctx: (ctx.kept["x"], ctx.kept["parts"][0]), r"ctx\.kept\['parts'\]\[0\]"),
]


@pytest.mark.parametrize(("keep", "read", "name"), KEPT)
def test_an_intermediate_value_refuses_a_second_derivative_by_name(keep: Any, read: Any, name: str) -> None:
    with pytest.raises(GraphError, match=rf"Layer: a second derivative passes {name}.*sigmoid.*compute it again"):
        second(swish(keep), slope(read))


@pytest.mark.parametrize(
    "sigmoid",
    [
        lambda x: tg.from_numpy(1 / (1 + np.exp(-x.detach().numpy()))),
        lambda x: tg.tensor(1 / (1 + np.exp(-x.array))),
        lambda x: tg.as_tensor(1 / (1 + np.exp(-x.numpy()))) if not x.requires_grad else x.detach().sigmoid(),
        lambda x: x.data.sigmoid(),
        lambda x: tg.tensor([1 / (1 + np.exp(-n)) for n in x.tolist()], dtype=tg.float64),
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: x.sigmoid().clone(),
        lambda x: x.sigmoid().reshape(3, 1)[:, 0],
        lambda x: tg.zeros(3, dtype=tg.float64).copy_(x.sigmoid()),
        lambda x: tg.zeros(3, dtype=tg.float64).add_(x).sigmoid_(),
        lambda x: tg.stack([part.sigmoid() for part in x]),
    ],
)
def test_so_does_one_whose_way_nobody_could_follow(sigmoid: Any) -> None:
    with pytest.raises(GraphError, match="a second derivative passes ctx"):
        second(swish(save, sigmoid), slope(SAVED[1]))


def test_views_and_copies_of_an_input_are_intermediate_too() -> None:
    for keep in (lambda x: x[:], lambda x: x.clone(), lambda x: x.reshape(3, 1)):
        with pytest.raises(GraphError, match="neither an input nor an output"):
            second(
                lambda ctx, x, keep=keep: (ctx.save_for_backward(keep(x)), x * x)[1],
                lambda ctx, g: 2 * g * ctx.saved_tensors[0].reshape(3),
            )


def times(factor: Any) -> tuple[Any, Any]:
    """x² · m for a factor m that forward computes and saves; its derivative in x is 0."""

    def forward(ctx: Any, x: Any) -> Any:
        m = factor(x)
        ctx.save_for_backward(x, m)
        return x * x * m

    return forward, lambda ctx, g: 2 * g * ctx.saved_tensors[0] * ctx.saved_tensors[1]


@pytest.mark.parametrize(
    "factor",
    [
        lambda x: (x > 0).to(x.dtype),
        lambda x: x > 0,
        lambda x: tg.where(x > 0, 1.0, 0.5),
        lambda x: x.sign(),
        lambda x: (x * 1.3).round() + x.floor(),
        lambda x: x.argmax().double() + tg.zeros(3, dtype=tg.float64),
        lambda x: (tg.rand(3) > 0.5).double() * 2,
        lambda x: tg.ones_like(x) * x.shape[0],
    ],
)
def test_masks_stairs_and_constants_pass(factor: Any) -> None:
    tg.manual_seed(0)
    m = factor(tg.tensor(X, dtype=tg.float64)).array.astype(float)
    tg.manual_seed(0)
    np.testing.assert_allclose(second(*times(factor)), 8 * np.array(X) * m * m)


def test_detach_in_backward_says_that_a_value_is_a_constant() -> None:
    forward, _ = times(lambda x: x.exp())
    found = second(forward, lambda ctx, g: 2 * g * ctx.saved_tensors[0] * ctx.saved_tensors[1].detach())
    np.testing.assert_allclose(found, 8 * np.array(X) * np.exp(X) ** 2)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("keep", ["saved", "attribute"])
def test_an_output_is_in_the_graph_however_it_is_kept(several: bool, keep: str) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        if keep == "saved":
            ctx.save_for_backward(y)
        else:
            ctx.y = y
        return (y, y * 2) if several else y

    def backward(ctx: Any, g: Any, *more: Any) -> Any:
        return g * (ctx.saved_tensors[0] if keep == "saved" else ctx.y)

    np.testing.assert_allclose(second(forward, backward), 2 * np.exp(X) ** 2)


def test_only_a_gradient_that_would_pass_it_raises() -> None:
    class Scaled(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, z: Any) -> Any:
            s = z.sin()
            ctx.save_for_backward(x, s)
            return x * x * s

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, s = ctx.saved_tensors
            return 2 * g * x * s, None

    x, z = (tg.tensor(X, dtype=tg.float64, requires_grad=True) for _ in range(2))
    y = Scaled.apply(x, z)
    y.sum().backward(retain_graph=True)  # the first derivative is nobody's trouble
    (g,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(tg.autograd.grad(g.sum(), x, retain_graph=True)[0].array, 2 * np.sin(X))
    with pytest.raises(GraphError, match=r"ctx\.saved_tensors\[1\]"):
        tg.autograd.grad(g.sum(), z)


def test_inside_forward_and_after_it_such_a_value_is_a_plain_constant() -> None:
    kept: list[Any] = []

    class Looks(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            s = x * 2
            assert (s.requires_grad, s.is_leaf, s.grad_fn, s.grad) == (False, True, None, None)
            s += 1
            s.numpy()
            ctx.s = s
            kept.append(s)
            if x.array[0] > 4:
                raise KeyError("inside")
            return s * 3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 6 + 0 * ctx.s

    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = Looks.apply(x)
    assert kept[0].node is None
    (g,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    assert kept[0].node is None
    with pytest.raises(KeyError, match="inside"):
        Looks.apply(tg.tensor([5.0], requires_grad=True))
    assert kept[1].node is None
    assert not (kept[0] * 2).requires_grad
    assert g.tolist() == [6, 6]
