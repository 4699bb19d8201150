"""Every loss with every reduction gives compiled what it gives eagerly, its targets live.

Read `test_compile_randomness.py` next.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    SGD,
    F,
    agrees,
    data,
    labels,
    net,
    recordings,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

STEPS = 50


WEIGHT = tg.tensor([0.5, 1.0, 2.0, 0.1], dtype=tg.float64)


def per_row(y: Any, reduction: str) -> Any:
    return y.mean() if reduction == "mean" else y.sum() if reduction == "sum" else y


OF_CHANCES: dict[str, Callable[..., Any]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
    "huber 0.3": partial(F.huber_loss, delta=0.3),
    "smooth l1": F.smooth_l1_loss,
    "smooth l1 0.2": partial(F.smooth_l1_loss, beta=0.2),
    "smooth l1 0": partial(F.smooth_l1_loss, beta=0.0),
    "bce": lambda out, y, **o: F.binary_cross_entropy(out.sigmoid(), y, **o),
    "bce weight": lambda out, y, **o: F.binary_cross_entropy(out.sigmoid(), y, weight=WEIGHT, **o),
    "logits": F.binary_cross_entropy_with_logits,
    "logits weights": partial(F.binary_cross_entropy_with_logits, weight=WEIGHT, pos_weight=WEIGHT * 2),
    "cross entropy": lambda out, y, **o: F.cross_entropy(out, y.softmax(1), **o),
    "cross entropy smooth": lambda out, y, **o: F.cross_entropy(out, y.softmax(1), WEIGHT, label_smoothing=0.2, **o),
    "cosine": lambda out, y, reduction: per_row(F.cosine_similarity(out, y), reduction),
}


OF_CLASSES: dict[str, Callable[..., Any]] = {
    "nll": lambda out, y, **o: F.nll_loss(out.log_softmax(1), y, **o),
    "nll weight": lambda out, y, **o: F.nll_loss(out.log_softmax(1), y, WEIGHT, ignore_index=2, **o),
    "cross entropy": F.cross_entropy,
    "cross entropy weight": partial(F.cross_entropy, weight=WEIGHT),
    "cross entropy ignore": partial(F.cross_entropy, ignore_index=1),
    "cross entropy smooth": partial(F.cross_entropy, label_smoothing=0.1, weight=WEIGHT, ignore_index=0),
}


def trained_with(measure: Callable[..., Any], target: Callable[[int], Any], reduction: str) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(4, 4, 4)
        optimizer = SGD(model.parameters(), lr=0.01)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            value = measure(model(x), y, reduction=reduction)
            value.sum().backward()
            optimizer.step()
            return value

        step = compile(step)
        for i in range(6):
            see(step(data(6, 4, seed=i), target(i)), model)
        assert recordings(step) <= 1

    agrees(script)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("measure", OF_CHANCES.values(), ids=OF_CHANCES)
def test_losses(measure: Callable[..., Any], reduction: str) -> None:
    trained_with(measure, lambda i: (data(6, 4, seed=i + 50) * 0.5).sigmoid(), reduction)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("measure", OF_CLASSES.values(), ids=OF_CLASSES)
def test_losses_of_classes(measure: Callable[..., Any], reduction: str) -> None:
    trained_with(measure, lambda i: labels(6, 4, i), reduction)


@pytest.mark.parametrize("make", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_classes_with_more_axes_and_live_targets(make: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        w, criterion = nn.Parameter(data(4)), make(ignore_index=-100, weight=WEIGHT)
        optimizer = SGD([w], lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = criterion((x * w[:, None]).log_softmax(1), y)
            loss.backward()
            optimizer.step()
            return loss

        step = compile(step)
        for i in range(STEPS):
            rng = np.random.default_rng(i)
            y = rng.integers(0, 4, (5, 2))
            y[rng.random((5, 2)) < 0.2] = -100
            see(step(data(5, 4, 2, seed=i), tg.tensor(y)), w)

    agrees(script)
