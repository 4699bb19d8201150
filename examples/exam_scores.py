"""A test score from hours of study and sleep: 2 → 3 → 1, the net of "How backpropagation works" (2017).

After this file you know that the text's o_delta and z2_delta are minus the gradient of ½·Σ(y−o)² by each
layer's sums, and how to check that without calculus. Read xor_bias.py next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import Array, heading, numeric_gradient, options, plain, plot_curves, progress, table

import tinygrad_bp as tg

HOURS = np.array([[2.0, 9], [1, 5], [3, 6]])  # studied, slept
SCORES = np.array([[92.0], [86], [89]])
X, Y = tg.tensor(HOURS / HOURS.max(axis=0)), tg.tensor(SCORES / 100)
ASKED = np.array([[4.0, 8]])


def forward(x: Any, W1: Any, W2: Any) -> tuple[Any, Any, Any, Any]:
    """The text's letters: sums z, hidden values z2, sum z3, output o."""
    z = x @ W1
    z2 = tg.sigmoid(z)
    z3 = z2 @ W2
    return z, z2, z3, tg.sigmoid(z3)


def half_sum(o: Any) -> Any:
    """The loss whose gradient the text's formulas are."""
    return ((Y - o) ** 2).sum() / 2


def first_weights(seed: int) -> tuple[Any, Any]:
    random = np.random.RandomState(seed)
    W1, W2 = random.randn(2, 3), random.randn(3, 1)
    return tg.nn.Parameter(tg.tensor(W1)), tg.nn.Parameter(tg.tensor(W2))


def train(W1: Any, W2: Any, steps: int) -> list[float]:
    """W += inputᵀ@delta, which is SGD with lr = 1; the loss before each step and after the last."""
    optimizer = tg.optim.SGD([W1, W2], lr=1)
    losses = []
    for _ in progress(range(steps), "training"):
        o = forward(X, W1, W2)[3]
        losses.append(((Y - o) ** 2).mean().item())
        optimizer.zero_grad()
        half_sum(o).backward()
        optimizer.step()
    return [*losses, ((Y - forward(X, W1, W2)[3]) ** 2).mean().item()]


def show_deltas(W1: Any, W2: Any) -> None:
    heading("every delta of the first step, three ways")
    z, z2, z3, o = forward(X, W1, W2)
    by_graph = tg.autograd.grad(half_sum(o), [z, z3, W1, W2])
    x, y, w1, w2, z2, o = plain(X), plain(Y), plain(W1), plain(W2), plain(z2), plain(o)
    o_delta = (y - o) * o * (1 - o)
    z2_delta = (o_delta @ w2.T) * z2 * (1 - z2)
    by_text = {"z2_delta": z2_delta, "o_delta": o_delta, "W1 step": x.T @ z2_delta, "W2 step": z2.T @ o_delta}

    def of_sums(z: Array) -> Any:
        return half_sum(tg.sigmoid(tg.sigmoid(tg.tensor(z)) @ W2))

    numeric = [
        numeric_gradient(of_sums, x @ w1),
        numeric_gradient(lambda z3: half_sum(tg.sigmoid(tg.tensor(z3))), z2 @ w2),
        numeric_gradient(lambda w: half_sum(forward(X, tg.tensor(w), W2)[3]), w1),
        numeric_gradient(lambda w: half_sum(forward(X, W1, tg.tensor(w))[3]), w2),
    ]
    for (name, text), graph, differences in zip(by_text.items(), by_graph, numeric, strict=True):
        table(name, {"text": text, "-graph": -plain(graph), "-differences": -differences})


def erratum_sigmoid() -> None:
    heading("erratum 1: S(7.5) = 1.000553084 for the second hidden unit")
    w1 = tg.tensor(np.array([[0.2, 0.6, 0.1], [0.8, 0.3, 0.7]]))
    w2 = tg.tensor(np.array([[0.4], [0.5], [0.9]]))
    z, z2, z3, o = (plain(t) for t in forward(tg.tensor(HOURS[:1]), w1, w2))
    table("sums", {"text": [7.6, 7.5, 6.5], "here": z[0]})
    table("hidden", {"text": 1.000553084, "here": z2[0, 1]})
    table("output", {"text": 0.8579443067, "here": o[0, 0]})
    print(f"A sigmoid never exceeds 1. The sum is {z[0, 1]:.1f}, its sigmoid {z2[0, 1]:.8f};")
    print(f"with it the output is σ({z3[0, 0]:.6f}) = {o[0, 0]:.8f}.")


def erratum_scaling(W1: Any, W2: Any) -> None:
    heading("erratum 2: a new input is divided by its own maximum")
    for name, largest in ("its own maximum (text)", ASKED.max()), ("the training maxima", HOURS.max(axis=0)):
        scaled = ASKED / largest
        score = forward(tg.tensor(scaled), W1, W2)[3].item()
        print(f"  4 h studied, 8 h slept by {name:<23} {scaled[0].round(4)!s:<17} → {score:.5f}")
    print("Only the second speaks of hours as the net learned them: 4 h of study are more than the 3 it saw.")


def erratum_mean(W1: Any, W2: Any) -> None:
    heading('erratum 3: "mean" in the name, a sum in the gradient; no bias, no learning rate')
    o = forward(X, W1, W2)[3]
    step = -plain(tg.autograd.grad(half_sum(o), [W2])[0])
    W2_now = plain(W2)

    def mean(w: Array) -> Any:
        return ((Y - forward(X, W1, tg.tensor(w))[3]) ** 2).mean()

    of_mean = -plain(tg.autograd.grad(((Y - forward(X, W1, W2)[3]) ** 2).mean(), [W2])[0])
    table("W2 step", {"text": step, "of the mean": of_mean, "-differences": -numeric_gradient(mean, W2_now)})
    ratio = (step / of_mean).mean()
    print(f"The text steps by the gradient of ½·Σ: {ratio:.3f} times that of the mean it prints.")


def with_bias(target: float) -> None:
    heading("what readers asked for: biases, a learning rate, a target to stop at")
    tg.manual_seed(0)
    net = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.Sigmoid(), tg.nn.Linear(3, 1), tg.nn.Sigmoid()).double()
    optimizer = tg.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    mean_of = tg.nn.MSELoss()
    steps = 0
    while (loss := mean_of(net(X), Y)).item() > target and steps < 20_000:
        steps += 1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"mean loss {loss.item():.1e} after {steps} steps (lr 0.5, momentum 0.9, target {target:g}):")
    table("score", {"actual": Y, "predicted": plain(net(X))}, digits=3)


def main(argv: list[str] | None = None) -> None:
    parser = options(__doc__, "steps", length=100_000, quick=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first weights (default 0)")
    arguments = parser.parse_args(argv)
    W1, W2 = first_weights(arguments.seed)
    show_deltas(W1, W2)

    losses = train(W1, W2, arguments.length)
    heading(f"trained: seed {arguments.seed}, {arguments.length:,} steps")
    table("score", {"actual": Y, "predicted": plain(forward(X, W1, W2)[3])})
    for steps in sorted({min(1_000, arguments.length), arguments.length}):
        print(f"loss after {steps:,} steps: {losses[steps]:.1e}")

    erratum_sigmoid()
    erratum_scaling(W1, W2)
    erratum_mean(*first_weights(arguments.seed))
    with_bias(target=1e-5)
    if arguments.plot:
        curve = {"loss": ("-", range(1, len(losses) + 1), losses)}
        title, measure = f"Exam scores, 2 → 3 → 1, lr = 1, seed {arguments.seed}", "mean (y − o)²"
        plot_curves(arguments.plot, title, curve, xlabel="step", ylabel=measure, xscale="log", yscale="log")



if __name__ == "__main__":
    main()
