"""A layer with a backward of your own: write it, plant the classic mistakes one after another, read each one's name.

After this file you know how to write a Function, how `gradcheck` tells not only that a backward is wrong but where and
why, and what else `check_module` asks of a layer. Read check_your_numpy.py next.
"""

from __future__ import annotations

import argparse
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
from common import heading, plot_curves

import tinygrad_bp as tg
from tinygrad_bp.autograd import Function
from tinygrad_bp.testing import check_module

Backward = Callable[..., Any]


# -- tanh(x @ weightᵀ + bias): the layer, and eight ways to get it wrong ----------------------------------------


def forward(ctx: Any, x: Any, weight: Any, bias: Any) -> Any:
    y = tg.tanh(x @ weight.mT + bias)
    ctx.save_for_backward(x, weight, y)
    return y


def right(ctx: Any, g: Any) -> Any:
    x, weight, y = ctx.saved_tensors
    d = g * (1 - y * y)
    return d @ weight, d.mT @ x, d.sum(0)


def without_g(ctx: Any, g: Any) -> Any:
    """the incoming gradient is forgotten"""
    x, weight, y = ctx.saved_tensors
    d = 1 - y * y
    return d @ weight, d.mT @ x, d.sum(0)


def without_slope(ctx: Any, g: Any) -> Any:
    """the slope of tanh is forgotten"""
    x, weight, _ = ctx.saved_tensors
    d = g
    return d @ weight, d.mT @ x, d.sum(0)


def wrong_point(ctx: Any, g: Any) -> Any:
    """the slope of tanh, but at its output instead of its input"""
    x, weight, y = ctx.saved_tensors
    d = g * (1 - tg.tanh(y) ** 2)
    return d @ weight, d.mT @ x, d.sum(0)


def uphill(ctx: Any, g: Any) -> Any:
    """the sign is wrong: a step, not a gradient"""
    x, weight, y = ctx.saved_tensors
    d = g * (y * y - 1)
    return d @ weight, d.mT @ x, d.sum(0)


def averaged(ctx: Any, g: Any) -> Any:
    """a mean over the batch where the sum belongs"""
    x, weight, y = ctx.saved_tensors
    d = g * (1 - y * y)
    return d @ weight, d.mT @ x, d.mean(0)


def transposed(ctx: Any, g: Any) -> Any:
    """transposed, which in a square layer no shape betrays"""
    x, weight, y = ctx.saved_tensors
    d = g * (1 - y * y)
    return d @ weight, x.mT @ d, d.sum(0)


def frozen(ctx: Any, g: Any) -> Any:
    """the first unit of the bias never moves"""
    x, weight, y = ctx.saved_tensors
    d = g * (1 - y * y)
    return d @ weight, d.mT @ x, d.sum(0) * tg.tensor([0.0, 1.0, 1.0])


def cut(ctx: Any, g: Any) -> Any:
    """right once, but detached: no second derivative"""
    x, weight, y = ctx.saved_tensors
    d = g * (1 - y * y).detach()
    return d @ weight, d.mT @ x, d.sum(0)


# -- four smaller functions, each with the mistake that belongs to it ------------------------------------------


def product(ctx: Any, a: Any, b: Any) -> Any:
    ctx.save_for_backward(a, b)
    return a * b


def swapped(ctx: Any, g: Any) -> Any:
    """a · b: each input gets the other one's gradient"""
    a, b = ctx.saved_tensors
    return g * a, g * b


def tanh(ctx: Any, x: Any) -> Any:
    y = tg.tanh(x)
    ctx.save_for_backward(y)
    return y


def other_slope(ctx: Any, g: Any) -> Any:
    """tanh: the slope of another function, sigmoid's"""
    (y,) = ctx.saved_tensors
    return g * y * (1 - y)


def gate(ctx: Any, x: Any) -> Any:
    ctx.save_for_backward(x)
    return x * tg.tanh(x)


def last_write(ctx: Any, g: Any) -> Any:
    """x · tanh(x): x is used twice, and the second use overwrites the first"""
    (x,) = ctx.saved_tensors
    grad = g * tg.tanh(x)
    grad = g * x * (1 - tg.tanh(x) ** 2)  # += is meant
    return grad


def leaky(ctx: Any, x: Any) -> Any:
    ctx.save_for_backward(x)
    return tg.where(x > 0, x, 0.1 * x)


def one_branch(ctx: Any, g: Any) -> Any:
    """leaky ReLU: only the branch for positive inputs is right"""
    (x,) = ctx.saved_tensors
    return tg.where(x > 0, g, 0 * g)


MISTAKES: list[tuple[Backward, Backward]] = [
    (forward, without_g), (forward, without_slope), (forward, wrong_point), (forward, uphill),
    (forward, averaged), (forward, transposed), (forward, frozen),
    (product, swapped), (tanh, other_slope), (gate, last_write), (leaky, one_branch),
]  # fmt: skip


def function(compute: Backward, backward: Backward) -> Any:
    """A Function from its two halves; in your own code write the class with two static methods."""
    return type(backward.__name__, (Function,), {"forward": staticmethod(compute), "backward": staticmethod(backward)})


class Dense(tg.nn.Module):
    """The layer: two parameters and a Function."""

    def __init__(self, n_in: int, n_out: int, backward: Backward = right) -> None:
        super().__init__()
        self.weight, self.bias = tg.nn.Parameter(tg.randn(n_out, n_in)), tg.nn.Parameter(tg.randn(n_out))
        self.function = function(forward, backward)

    def forward(self, x: Any) -> Any:
        return self.function.apply(x, self.weight, self.bias)


def subject(compute: Backward, backward: Backward) -> tuple[Any, tuple[Any, ...]]:
    """What is checked, and on which inputs; the same ones each time."""
    tg.manual_seed(0)
    x, other = tg.randn(4, 3, requires_grad=True), tg.randn(4, 3, requires_grad=True)
    if compute is forward:
        return Dense(3, 3, backward), (x,)
    return function(compute, backward).apply, (x, other) if compute is product else (x,)


def show(compute: Backward, backward: Backward) -> None:
    """Plant one mistake, and print what the check makes of it."""
    report = tg.autograd.gradcheck(*subject(compute, backward), raise_exception=False)
    source = textwrap.dedent(inspect.getsource(backward)).splitlines()[2:]
    heading(f"{backward.__name__}: {backward.__doc__}")
    print("\n".join(f"  |{line}" for line in source))
    for finding in report.failures:
        print(f"  {finding.verdict} {finding.name}")
        print("\n".join(f"    → {sentence}" for sentence in finding.diagnosis))
    right_ones = [finding.name for finding in report.findings if finding.passed]
    print(f"  right: {', '.join(right_ones) or 'none'}")


def remainders(backward: Backward) -> tuple[Any, list[float]]:
    """|f(w + t·v) − f(w) − t·⟨gradient, v⟩| for smaller and smaller t: falls as t² only if the gradient is right."""
    layer, (x,) = subject(forward, backward)
    layer, x = layer.double(), x.detach().double()
    loss, rng = lambda: (layer(x) ** 2).sum(), np.random.default_rng(0)
    loss().backward()
    start, at = loss().item(), layer.weight.detach().clone()
    direction = tg.tensor(rng.standard_normal((3, 3)))
    slope = (layer.weight.grad * direction).sum().item()
    steps, errors = np.logspace(-1, -5, 9), []
    for t in steps:
        with tg.no_grad():
            layer.weight.copy_(at + t * direction)
        errors.append(abs(loss().item() - start - t * slope))
    return steps, errors


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the laws beyond the gradient")
    parser.add_argument("--plot", metavar="FILE", help="draw the Taylor remainders into FILE (needs matplotlib)")
    arguments = parser.parse_args(argv)
    heading("the right backward")
    print(textwrap.indent(inspect.getsource(right), "  |"))
    print(tg.autograd.gradcheck(*subject(forward, right)))
    for compute, backward in MISTAKES:
        show(compute, backward)
    heading(f"cut: {cut.__doc__}")
    layer, inputs = subject(forward, cut)
    print(f"  gradcheck: {tg.autograd.gradcheck(layer, inputs).verdict}")
    report = tg.autograd.gradgradcheck(layer, inputs, raise_exception=False)
    print(f"  gradgradcheck: {report.verdict}")
    print("\n".join(f"    → {sentence}" for sentence in report.diagnosis))
    if not arguments.quick:
        heading("more than a gradient: check_module draws batch sizes and tries every law")
        print(check_module(Dense, "N,3", args=(3, 2)))
    if arguments.plot:
        styles = {right: "-", without_slope: "--", transposed: ":"}
        curves = {backward.__name__: (style, *remainders(backward)) for backward, style in styles.items()}
        axis = {"xlabel": "step t", "ylabel": "remainder", "xscale": "log", "yscale": "log"}
        plot_curves(arguments.plot, "Taylor remainder: t² if the backward is right, t if wrong", curves, **axis)


if __name__ == "__main__":
    main()
