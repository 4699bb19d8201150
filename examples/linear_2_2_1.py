"""One step by hand: 2 → 2 → 1 without activation, the net of the notebook "Neural networks explained".

After this file you know why a weight matrix steps by an outer product and not by a dot product: each weight
has an input and a next weight of its own. Read mazur.py next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import Array, heading, numeric_gradient, options, plain, plot_curves, progress, table

import tinygrad_bp as tg

X, TARGET, LR = tg.tensor(np.array([2.0, 3.0])), 1.0, 0.05
FIRST, SECOND = np.array([[0.34, 0.05], [0.13, 0.07]]), np.array([0.2, 0.01])  # (input, hidden) and (hidden,)


def error(first: Any, second: Any) -> Any:
    """½(prediction − actual)²."""
    return (X @ first @ second - TARGET) ** 2 / 2


def gradients(first: Array, second: Array) -> tuple[Array, Array]:
    """By both weights, from the graph."""
    weights = tg.tensor(first, requires_grad=True), tg.tensor(second, requires_grad=True)
    by_first, by_second = tg.autograd.grad(error(*weights), weights)
    return plain(by_first), plain(by_second)


def dot_product(first: Array, second: Array) -> Array:
    """The notebook's gradient of the first layer: delta·(input·w), one number for all four weights."""
    delta = plain(X @ tg.tensor(first) @ tg.tensor(second)) - TARGET
    return np.full_like(first, delta * np.dot(plain(X), second))


def result(first: Array, second: Array) -> list[float]:
    """Output and error."""
    both = tg.tensor(first), tg.tensor(second)
    return [(X @ both[0] @ both[1]).item(), error(*both).item()]


def forward_figures() -> Array:
    heading("forward; erratum 2: the text's figures use input 2 twice, then 3 twice")
    hidden = plain(X @ tg.tensor(FIRST))
    table("hidden", {"text": [0.94, 0.29], "here": hidden})
    print("h1 = 2·.34 + 3·.13, h2 = 2·.05 + 3·.07.")
    output, its_error = result(FIRST, SECOND)
    print(f"output {output:.4f}, error {its_error:.9f}, delta {output - TARGET:.4f}")
    return hidden


def first_step(hidden: Array) -> None:
    heading("erratum 1: a dot product where the outer product belongs")
    delta = plain(X @ tg.tensor(FIRST) @ tg.tensor(SECOND)) - TARGET
    by_first, by_second = gradients(FIRST, SECOND)
    wrong = dot_product(FIRST, SECOND)
    numeric = numeric_gradient(lambda w: error(tg.tensor(w), tg.tensor(SECOND)), FIRST)
    outer = delta * np.outer(plain(X), SECOND)
    table("dE/dW", {"text: dot": wrong, "outer": outer, "graph": by_first, "differences": numeric})
    numeric = numeric_gradient(lambda w: error(tg.tensor(FIRST), tg.tensor(w)), SECOND)
    table("dE/dw", {"text": delta * hidden, "graph": by_second, "differences": numeric})
    second = SECOND - LR * by_second
    dot, right = FIRST - LR * wrong, FIRST - LR * by_first
    table("new W", {"text: dot": dot, "graph": right})
    table("new w", {"text": SECOND - LR * delta * hidden, "graph": second})
    table("output", {"text: dot": result(dot, second)[0], "graph": result(right, second)[0]})
    table("error", {"text: dot": result(dot, second)[1], "graph": result(right, second)[1]})


def go_on(first: Array, second: Array, dot: bool, steps: int) -> list[float]:
    """The error before each further step, and after the last, by one rule or the other."""
    errors = [result(first, second)[1]]
    for _ in progress(range(steps), "training"):
        by_first, by_second = gradients(first, second)
        if dot:
            by_first = dot_product(first, second)
        first, second = first - LR * by_first, second - LR * by_second
        errors.append(result(first, second)[1])
    return errors


def main(argv: list[str] | None = None) -> None:
    arguments = options(__doc__, "steps", length=12, quick=4).parse_args(argv)
    first_step(forward_figures())
    heading(f"{arguments.length} steps by either rule")
    right = go_on(FIRST, SECOND, dot=False, steps=arguments.length)
    dot = go_on(FIRST, SECOND, dot=True, steps=arguments.length)
    table("error", {"text: dot": dot, "graph": right})
    print("The error falls by the wrong rule too: a falling error proves no gradient right; differences do.")
    if arguments.plot:
        steps = range(len(right))
        curves = {"outer product": ("-", steps, right), "dot product, as in the text": ("--", steps, dot)}
        title, measure = "2 → 2 → 1, linear, lr = 0.05", "½(prediction − actual)²"
        plot_curves(arguments.plot, title, curves, xlabel="step", ylabel=measure, yscale="log")



if __name__ == "__main__":
    main()
