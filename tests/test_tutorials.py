"""The five tutorials against the graph: their figures to the last digit, their deltas on any net, errata.

An erratum is proved the same way each time: finite differences disagree with the text and agree with the
graph. The formulas are in `tutorials.py`; the runnable versions in `examples/`. Read `test_examples.py` next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tutorials as t
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinygrad_bp as tg

Array = t.Array
sizes = st.integers(1, 5)
RANDOM = np.random.RandomState(0)  # fills layers whose values are drawn later
Activation = Callable[[Any], Any]
ACTIVATIONS: dict[str | None, Activation] = {None: lambda x: x, "tanh": tg.tanh, "sigmoid": tg.sigmoid}


def matrix(*shape: int) -> st.SearchStrategy[Array]:
    return arrays(np.float64, shape, elements=st.floats(-2, 2, width=32))


def graph(loss: Callable[..., Any], *at: Array) -> list[Array]:
    """The gradients of `loss` by each of its arguments."""
    leaves = [tg.tensor(value, requires_grad=True) for value in at]
    return [gradient.numpy() for gradient in tg.autograd.grad(loss(*leaves), leaves)]


def same(a: Any, b: Any, tolerance: float = 1e-10) -> bool:
    return np.allclose(a, b, rtol=tolerance, atol=tolerance)


def sgd(
    loss: Callable[..., Any], at: Sequence[Array], lr: float, steps: int
) -> tuple[list[Array], list[float]]:
    """`steps` of SGD: the arrays it ends at, and the loss before each step and after the last."""
    parameters: list[Any] = [tg.nn.Parameter(tg.tensor(value)) for value in at]
    optimizer = tg.optim.SGD(parameters, lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        error = loss(*parameters)
        error.backward()
        optimizer.step()
        losses.append(error.item())
    return [p.detach().numpy() for p in parameters], [*losses, loss(*parameters).item()]


def forward(x: Array, *weights: Any) -> Any:
    """A net of sigmoids without biases."""
    layer: Any = tg.tensor(x)
    for weight in weights:
        layer = tg.sigmoid(layer @ weight)
    return layer


# -- exam_scores ---------------------------------------------------------------------------------------------


def exam_loss(*weights: Any) -> Any:
    return ((tg.tensor(t.EXAM_Y) - forward(t.EXAM_X, *weights)) ** 2).sum() / 2


@given(st.data(), st.lists(sizes, min_size=2, max_size=5), sizes)
def test_exam_deltas_of_any_net_are_minus_the_graphs_gradients(
    data: st.DataObject, widths: list[int], rows: int
) -> None:
    x, y = data.draw(matrix(rows, widths[0])), data.draw(matrix(rows, widths[-1]))
    weights = [data.draw(matrix(*shape)) for shape in pairwise(widths)]
    layers = t.sigmoid_layers(x, weights)
    deltas = t.exam_deltas(y, layers, weights)

    def loss(*weights_then_nudges: Any) -> Any:
        weights, nudges = weights_then_nudges[: len(deltas)], weights_then_nudges[len(deltas) :]
        layer: Any = tg.tensor(x)
        for weight, nudge in zip(weights, nudges, strict=True):
            layer = tg.sigmoid(layer @ weight + nudge)
        return ((tg.tensor(y) - layer) ** 2).sum() / 2

    gradients = graph(loss, *weights, *map(np.zeros_like, deltas))
    steps = [layer.T @ delta for layer, delta in zip(layers[:-1], deltas, strict=True)]
    for hand, gradient in zip([*steps, *deltas], gradients, strict=True):
        assert same(hand, -gradient)


@pytest.mark.parametrize("seed", t.EXAM_LOSS)
def test_exam_loss_after_1000_steps(seed: int) -> None:
    weights, losses = sgd(exam_loss, t.exam_weights(seed), lr=1, steps=1_000)
    mean = losses[-1] * 2 / 3  # of ½·Σ over three rows
    assert f"{mean:.1e}" == f"{t.EXAM_LOSS[seed][0]:.1e}"
    by_hand = t.exam_weights(seed)
    for _ in range(1_000):
        by_hand = t.exam_step(t.EXAM_X, t.EXAM_Y, by_hand)
    for ours, hand in zip(weights, by_hand, strict=True):
        assert same(ours, hand)


def test_exam_long_run_and_the_scaling_of_what_is_asked() -> None:
    weights = t.exam_weights(0)
    for _ in range(100_000):
        weights = t.exam_step(t.EXAM_X, t.EXAM_Y, weights)
    predictions = forward(t.EXAM_X, *map(tg.tensor, weights)).numpy()
    assert f"{np.mean((t.EXAM_Y - predictions) ** 2):.1e}" == f"{t.EXAM_LOSS[0][1]:.1e}"
    assert same(predictions, t.EXAM_Y, 1e-6)
    for largest, score in (t.EXAM_ASKED.max(), "0.91840"), (t.EXAM_X_RAW.max(axis=0), "0.91287"):
        assert f"{forward(t.EXAM_ASKED / largest, *map(tg.tensor, weights)).item():.5f}" == score


def test_exam_worked_forward_and_its_sigmoid_above_one() -> None:
    sums = tg.tensor(t.EXAM_X_RAW[:1]) @ tg.tensor(t.WORKED_W1)
    assert same(sums.numpy()[0], t.WORKED_SUMS)
    hidden = tg.sigmoid(sums)
    assert t.WORKED_WRONG_SECOND_UNIT > 1 > hidden.numpy().max()
    assert f"{hidden[0, 1].item():.8f}" == "0.98015969"
    last_sum = hidden @ tg.tensor(t.WORKED_W2)
    assert f"{last_sum.item():.6f}" == "1.788529"
    assert f"{tg.sigmoid(last_sum).item():.8f}" == "0.85674680"
    assert same(t.sigmoid(np.array(1.79832)), t.WORKED_WRONG_OUTPUT, 1e-8)


def test_exam_step_follows_the_sum_and_not_the_printed_mean() -> None:
    weights = t.exam_weights(0)
    layers = t.sigmoid_layers(t.EXAM_X, weights)
    step = layers[1].T @ t.exam_deltas(t.EXAM_Y, layers, weights)[1]

    def mean(w2: Any) -> Any:
        return ((tg.tensor(t.EXAM_Y) - forward(t.EXAM_X, tg.tensor(weights[0]), w2)) ** 2).mean()

    numeric = t.numeric_gradient(lambda w: mean(tg.tensor(w)).item(), weights[1])
    assert same(graph(mean, weights[1])[0], numeric, 1e-8)
    assert not same(-step, numeric, 1e-3)
    assert same(-step, numeric * 3 / 2, 1e-8)


# -- xor_bias ------------------------------------------------------------------------------------------------


def xor_loss(x: Array, y: Array) -> Callable[..., Any]:
    return lambda *weights: tg.nn.MSELoss(reduction="sum")(forward(x, *weights), tg.tensor(y))


@given(st.data(), sizes, sizes, sizes)
def test_xor_d_weights_of_any_net_are_minus_the_graphs_gradients(
    data: st.DataObject, rows: int, n_in: int, n_hidden: int
) -> None:
    x, y = data.draw(matrix(rows, n_in)), data.draw(matrix(rows, 1))
    weights = data.draw(matrix(n_in, n_hidden)), data.draw(matrix(n_hidden, 1))
    for hand, gradient in zip(t.xor_d_weights(x, y, weights), graph(xor_loss(x, y), *weights), strict=True):
        assert same(hand, -gradient)


@pytest.mark.parametrize("seed", t.XOR_LOSS)
def test_xor_after_1500_steps(seed: int) -> None:
    loss = xor_loss(t.XOR_X, t.XOR_Y)
    weights, losses = sgd(loss, t.xor_weights(seed), lr=1, steps=1_499)
    predictions = forward(t.XOR_X, *map(tg.tensor, weights)).numpy()  # which the 1,500th step sets out from
    _, [before, after] = sgd(loss, weights, lr=1, steps=1)
    assert f"{after:.2e}" == f"{t.XOR_LOSS[seed]:.2e}"
    assert all(later < earlier for earlier, later in pairwise([*losses[:-1], before, after]))
    if seed == 0:
        assert same(predictions[:, 0], t.XOR_PREDICTIONS, 5e-9)


def test_xor_d_weights_are_the_negative_of_what_the_text_calls_them() -> None:
    loss, weights = xor_loss(t.XOR_X, t.XOR_Y), t.xor_weights(0)
    text = t.xor_d_weights(t.XOR_X, t.XOR_Y, weights)
    for number, gradient in enumerate(graph(loss, *weights)):

        def moved(w: Array, number: int = number) -> float:
            both = [*weights[:number], w, *weights[number + 1 :]]
            return float(loss(*map(tg.tensor, both)).item())

        numeric = t.numeric_gradient(moved, weights[number])
        assert same(gradient, numeric, 1e-8)
        assert not same(text[number], numeric, 1e-3)
        assert same(text[number], -numeric, 1e-8)


# -- binary_and ----------------------------------------------------------------------------------------------


def tensors(net: Sequence[t.Layer]) -> list[Any]:
    """Weights and biases of a text's net as parameters: W1, b1, W2, b2, …"""
    return [tg.nn.Parameter(tg.tensor(a)) for layer in net for a in (layer.weights, layer.bias)]


def and_forward(net: Sequence[t.Layer], x: Any, parameters: Sequence[Any]) -> Any:
    """The net's activations with these parameters in place of its own."""
    for layer, weight, bias in zip(net, parameters[::2], parameters[1::2], strict=True):
        x = ACTIVATIONS[layer.activation](x @ weight + bias)
    return x


def and_train(targets: Array, epochs: int, biases: bool) -> tuple[list[float], Array]:
    """Online SGD, lr = 0.3; the mean squared error after each epoch, and a function of what was learned."""
    net, rows = t.and_net(), tg.tensor(t.AND_X)
    parameters = tensors(net)
    optimizer = tg.optim.SGD(parameters if biases else parameters[::2], lr=0.3)
    errors = []
    for _ in range(epochs):
        for row, target in zip(rows, tg.tensor(targets), strict=True):
            optimizer.zero_grad()
            (((target - and_forward(net, row, parameters)) ** 2).sum() / 2).backward()
            optimizer.step()
        outputs = and_forward(net, rows, parameters).detach().numpy()
        errors.append(float(np.mean((targets - outputs) ** 2)))
    fun = tg.tensor(np.array([[2.0, 0], [45, 203], [-1, -1], [-45, -203]]))
    return errors, np.vstack([outputs, and_forward(net, fun, parameters).detach().numpy()])


def test_and_prints_the_29_golden_errors_with_frozen_biases() -> None:
    errors, outputs = and_train(t.AND_Y, t.AND_EPOCHS, biases=False)
    assert [f"{error:.6f}"[1:] for error in errors[::10]] == t.AND_MSE.split()
    classes = outputs.argmax(axis=1)
    assert classes[:4].tolist() == [0, 0, 0, 1]  # accuracy 100 %
    assert classes[4:].tolist() == [1, 1, 0, 0]  # the "fun note"


@pytest.mark.parametrize("activation", t.LAYER_3_4)
def test_and_layer_made_after_seed_100(activation: str | None) -> None:
    net = t.and_net(layers=[(3, 4, activation)])
    output = and_forward(net, tg.tensor(np.array([1.0, 2, 3])), tensors(net))
    assert same(output.detach().numpy(), t.LAYER_3_4[activation], 5e-9)


@given(st.data(), st.lists(sizes, min_size=2, max_size=5))
def test_and_deltas_of_any_net_are_minus_the_graphs_gradients(
    data: st.DataObject, widths: list[int]
) -> None:
    activation = st.sampled_from(list(ACTIVATIONS))
    net = [t.Layer(*shape, data.draw(activation), RANDOM) for shape in pairwise(widths)]
    for layer in net:
        layer.weights = data.draw(matrix(*layer.weights.shape))
        layer.bias = data.draw(matrix(*layer.bias.shape))
    x, y = data.draw(matrix(widths[0])), data.draw(matrix(data.draw(st.sampled_from([1, widths[-1]]))))
    outputs = t.run(net, x)
    deltas = t.and_deltas(net, outputs, y)

    def loss(*parameters: Any) -> Any:
        return ((tg.tensor(y) - and_forward(net, tg.tensor(x), parameters)) ** 2).sum() / 2

    gradients = graph(loss, *(a for layer in net for a in (layer.weights, layer.bias)))
    for source, delta, weight, bias in zip(outputs, deltas, gradients[::2], gradients[1::2], strict=False):
        assert same(np.outer(source, delta), -weight)
        assert same(delta, -bias)


def test_and_biases_have_a_gradient_that_the_text_leaves_unused() -> None:
    net = t.and_net()
    x, y = t.AND_X[3], t.AND_Y[3]

    def loss(bias: Array) -> float:
        last = t.and_net()[2]
        last.bias = bias
        return float(np.sum((y - last(t.run(net[:2], x)[-1])) ** 2) / 2)

    numeric = t.numeric_gradient(loss, net[2].bias)
    assert np.abs(numeric).min() > 1e-2
    assert same(-t.and_deltas(net, t.run(net, x), y)[2], numeric, 1e-8)


def test_and_trained_biases_lose_at_first_and_win_in_the_end() -> None:
    frozen, _ = and_train(t.AND_Y, 400, biases=False)
    trained, _ = and_train(t.AND_Y, 400, biases=True)
    by_hand = t.and_net()
    for _ in range(400):
        t.and_epoch(by_hand, t.AND_X, t.AND_Y, train_biases=True)
    assert same(trained[-1], t.and_mse(by_hand, t.AND_X, t.AND_Y), 1e-8)
    assert [f"{errors[t.AND_EPOCHS - 1]:.4f}" for errors in (frozen, trained)] == ["0.0745", "0.1722"]
    assert [f"{errors[-1]:.4f}" for errors in (frozen, trained)] == ["0.0538", "0.0253"]


def test_and_derivative_of_no_activation_is_one() -> None:
    net = t.and_net(layers=[(3, 4, None)])
    x, y = np.array([1.0, 2, 3]), np.array([1.0])
    outputs = t.run(net, x)

    def loss(bias: Any) -> Any:
        output = and_forward(net, tg.tensor(x), [tg.tensor(net[0].weights), bias])
        return ((tg.tensor(y) - output) ** 2).sum() / 2

    numeric = t.numeric_gradient(lambda bias: loss(tg.tensor(bias)).item(), net[0].bias)
    assert same(graph(loss, net[0].bias)[0], numeric, 1e-8)
    assert same(-t.and_deltas(net, outputs, y)[0], numeric, 1e-8)
    assert not same(-t.and_deltas(net, outputs, y, t.WRONG_DERIVATIVES)[0], numeric, 1e-3)


def test_and_outputs_with_one_target_are_copies_so_argmax_means_nothing() -> None:
    errors, outputs = and_train(t.AND_Y, 700, biases=True)
    exchanged = outputs[:4, ::-1]
    assert np.mean((t.AND_Y - exchanged) ** 2) == pytest.approx(errors[-1], rel=1e-12)  # the same loss
    assert (exchanged.argmax(axis=1) == 1 - outputs[:4].argmax(axis=1)).all()  # yet every class turns around
    assert errors[-1] < 0.003
    assert outputs[:4].argmax(axis=1).tolist() == [1, 0, 0, 1]  # one of four wrong in spite of that


def test_and_one_hot_targets_teach_the_class() -> None:
    errors, outputs = and_train(t.AND_ONE_HOT, 700, biases=True)
    assert np.mean((t.AND_ONE_HOT - outputs[:4, ::-1]) ** 2) > 100 * errors[-1]
    assert outputs[:4].argmax(axis=1).tolist() == [0, 0, 0, 1]
    assert np.abs(outputs[:4].sum(axis=1) - 1).max() < 0.01


# -- linear_2_2_1 --------------------------------------------------------------------------------------------


def linear_loss(x: Array, target: float) -> Callable[..., Any]:
    return lambda first, second: (tg.tensor(x) @ first @ second - target) ** 2 / 2


@given(st.data(), sizes, sizes, st.floats(-2, 2))
def test_linear_outer_product_is_the_graphs_gradient_of_any_net(
    data: st.DataObject, n_in: int, n_hidden: int, target: float
) -> None:
    x, first, second = (data.draw(matrix(*shape)) for shape in ((n_in,), (n_in, n_hidden), (n_hidden,)))
    hand = t.linear_gradients(x, target, first, second)
    for ours, gradient in zip(hand, graph(linear_loss(x, target), first, second), strict=True):
        assert same(ours, gradient)


def test_linear_one_step() -> None:
    loss = linear_loss(t.LINEAR_X, t.LINEAR_TARGET)
    (first, second), [before, after] = sgd(loss, [t.LINEAR_W, t.LINEAR_V], t.LINEAR_LR, steps=1)
    assert f"{before:.9f}" == "0.306466205"
    assert same(first, [[0.355658, 0.0507829], [0.153487, 0.07117435]], 5e-9)
    assert same(second, [0.24188515, 0.02213495], 5e-9)
    assert same([t.linear_forward(t.LINEAR_X, first, second)[1], after], t.LINEAR_AFTER, 5e-9)


def test_linear_dot_product_is_wrong_where_the_outer_product_is_right() -> None:
    case = t.LINEAR_X, t.LINEAR_TARGET, t.LINEAR_W, t.LINEAR_V
    numeric = t.numeric_gradient(lambda w: t.linear_error(*case[:2], w, t.LINEAR_V), t.LINEAR_W)
    gradient, gradient_second = graph(linear_loss(*case[:2]), *case[2:])
    assert same(gradient, numeric, 1e-8)
    wrong = t.linear_wrong_first_gradient(*case)
    assert not same(wrong, numeric, 1e-2)
    first, second = t.LINEAR_W - t.LINEAR_LR * wrong, t.LINEAR_V - t.LINEAR_LR * gradient_second
    assert same(first, [[0.35683235, 0.06683235], [0.14683235, 0.08683235]], 5e-9)
    after = t.linear_forward(t.LINEAR_X, first, second)[1], t.linear_error(*case[:2], first, second)
    assert same(after, t.LINEAR_WRONG_AFTER, 5e-9)


def test_linear_forward_uses_both_inputs_and_not_one_twice() -> None:
    hidden = (tg.tensor(t.LINEAR_X) @ tg.tensor(t.LINEAR_W)).numpy()
    assert same(hidden, [1.07, 0.31])
    assert f"{hidden @ t.LINEAR_V:.4f}" == "0.2171"
    assert same(2 * t.LINEAR_W[:, 0].sum(), t.LINEAR_WRONG_HIDDEN[0])  # input 2 twice
    assert not same(hidden, t.LINEAR_WRONG_HIDDEN, 1e-2)


# -- mazur ---------------------------------------------------------------------------------------------------


def mazur_loss(first: Any, second: Any) -> Any:
    hidden = tg.sigmoid(tg.tensor(t.MAZUR_X) @ first.T + t.MAZUR_B[0])
    return ((tg.tensor(t.MAZUR_Y) - tg.sigmoid(hidden @ second.T + t.MAZUR_B[1])) ** 2).sum() / 2


def test_mazur_gradients_by_hand_are_the_graphs() -> None:
    for hand, gradient in zip(t.mazur_gradients(t.MAZUR_W), graph(mazur_loss, *t.MAZUR_W), strict=True):
        assert same(hand, gradient)


def test_mazur_errors() -> None:
    _, errors = sgd(mazur_loss, t.MAZUR_W, t.MAZUR_LR, steps=10_000)
    assert f"{errors[0]:.9f}" == f"{t.MAZUR_ERROR[0]:.9f}"
    assert f"{errors[1]:.10f}" == f"{t.MAZUR_ERROR[1]:.10f}"
    assert f"{errors[-1]:.2e}" == f"{t.MAZUR_ERROR[10_000]:.2e}"
