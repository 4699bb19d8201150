"""A model may change between two calls of its compiled step: flags, modes, layers, weights, hooks, buffers, copies.

Read `test_compile_optimiser_changes.py` next.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

from compile_kit import (
    SGD,
    batch,
    data,
    equal,
    net,
    recordings,
    trained,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn


@equal
def test_the_training_flag(compile: Any, see: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).double()
    step = compile(lambda x: model(x).detach())
    changes = {
        1: model.eval,
        3: model.train,
        5: lambda: setattr(model[1], "training", False),
        6: model.train,
        8: lambda: setattr(model[1], "p", 0.1),
        9: model.eval,
        10: model.train,
    }
    for i in range(12):
        see(step(data(3, 3)))
        changes.get(i, lambda: None)()
    assert recordings(step) <= 5, "what was compiled once is found again"


@equal
def test_grad_mode(compile: Any, see: Any) -> None:
    model = net(3, 2)
    step = compile(lambda x: model(x))
    for mode in (tg.enable_grad, tg.no_grad, tg.inference_mode, tg.enable_grad, tg.no_grad):
        with mode():
            found = step(data(3, 3))
            see(found.detach().numpy(), found.requires_grad, tg.is_grad_enabled())
    assert recordings(step) <= 3


@equal
def test_grad_mode_in_another_order_and_read_by_the_step(compile: Any, see: Any) -> None:
    model = net(3, 2)
    plain = compile(lambda x: model(x))
    asking = compile(lambda x: x * (2 if tg.is_grad_enabled() else 3 if tg.is_inference_mode_enabled() else 4))
    for mode in (tg.no_grad, tg.enable_grad, tg.inference_mode, tg.no_grad):
        with mode():
            see(plain(data(3, 3)).requires_grad, asking(data(3)))


@equal
def test_frozen_and_thawed(compile: Any, see: Any) -> None:
    model, _, step = trained(compile, momentum=0.0)
    changes = {
        3: lambda: model[0].weight.requires_grad_(False),
        5: lambda: model[0].requires_grad_(False),
        7: lambda: model.requires_grad_(True),
        9: lambda: setattr(model[0].bias, "requires_grad", False),
        11: lambda: model.requires_grad_(False).requires_grad_(True),
    }
    for i in range(14):
        see(step(*batch(i)), model)
        changes.get(i, lambda: None)()


@equal
def test_layers_replaced_and_added(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    changes = {
        2: lambda: model.__setitem__(1, nn.ReLU()),
        4: lambda: model.__setitem__(0, nn.Linear(3, 4).double()),
        6: lambda: setattr(model[0], "weight", nn.Parameter(tg.ones(4, 3).double())),
        8: lambda: model.append(nn.Tanh()),
        10: lambda: model.__delitem__(3),
    }
    for i in range(12):
        see(step(*batch(i)), model)
        changes.get(i, lambda: None)()


@equal
def test_data_replaced(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    for i in range(8):
        see(step(*batch(i)), model)
        weight = model[0].weight
        if i == 2:
            weight.data = tg.ones(4, 3).double()
        if i == 4:
            weight.data.mul_(2)
        if i == 6:
            weight.data = weight.data[:, [2, 1, 0]]


@equal
def test_data_of_another_shape_and_dtype(compile: Any, see: Any) -> None:
    w = nn.Parameter(tg.ones(3).double())
    step = compile(lambda x: (x * w).sum().detach())
    for new in (tg.ones(2, 3).double(), tg.ones(3), tg.ones(3).double()):
        see(step(data(3)))
        w.data = new
    see(step(data(3)))


@equal
def test_weights_loaded_in_place_and_assigned(compile: Any, see: Any) -> None:
    model, _optimizer, step = trained(compile)
    state = copy.deepcopy(model.state_dict())
    for i in range(8):
        see(step(*batch(i)), model)
        if i == 2:
            model.load_state_dict(state)
        if i == 5:
            model.load_state_dict(state, assign=True)  # the optimiser keeps the old ones, as in eager


@equal
def test_another_dtype_of_the_model(compile: Any, see: Any) -> None:
    model = net(3, 4, 2, dtype=tg.float32)
    step = compile(training(model, SGD(model.parameters(), lr=0.1)))
    for i in range(6):
        if i == 3:
            with tg.no_grad():  # what float32 rounded is forgotten: from here on both are held to float64's digits
                for p in model.parameters():
                    p.copy_(data(*p.shape, seed=p.numel()))
            model.double()
        see(step(*(t.to(model[0].weight.dtype) for t in batch(i))), model)


@equal
def test_hooks(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    handles: list[Any] = []
    for i in range(14):
        see(step(*batch(i)), model)
        if i in (1, 5):
            hook = (lambda m, args, y: y * 2) if i == 1 else lambda m, args: (args[0] * 0.5,)
            register = model[0].register_forward_hook if i == 1 else model[0].register_forward_pre_hook
            handles.append(register(hook))
        if i == 9:
            handles.append(model[0].weight.register_hook(lambda g: g * 0.5))
        if i in (3, 7, 11):
            handles.pop().remove()


@equal
def test_a_buffer_written_later_and_replaced(compile: Any, see: Any) -> None:
    model = nn.Module()
    model.register_buffer("mean", tg.ones(3).double())
    step = compile(lambda x: x - model.mean)
    see(step(data(3)))
    model.mean.fill_(2.0)
    see(step(data(3)))
    model.mean = tg.zeros(3).double()
    see(step(data(3)))
    model.register_buffer("mean", tg.ones(1, 3).double())
    see(step(data(3)))


@equal
def test_copies_made_after_compiling(compile: Any, see: Any) -> None:
    model, _optimizer, step = trained(compile)
    step(*batch(0))
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.deepcopy(model.state_dict())
    for i in range(3):
        see(step(*batch(i)), model, copies)
    with tg.no_grad():
        copies[0][0].weight.mul_(3)
        copies[1][0].bias.fill_(1.0)
    see(copies, model, step(*batch(7)), model)


@equal
def test_what_was_taken_from_the_model_before_compiling(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    weight = model[0].weight
    held = [model.state_dict(), weight.data, weight.detach().numpy(), weight.detach()[0]]
    for i in range(3):
        see(step(*batch(i)), model, held)
    with tg.no_grad():
        held[3].fill_(3.0)
        see(model, held)
        held[2][1] = 2.0
    see(model, held, step(*batch(4)), model, held)


@equal
def test_what_was_taken_from_the_model_after_compiling(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    step(*batch(0))
    weight = model[0].weight
    held = [model.state_dict(), weight.data, weight.detach().numpy(), weight.detach()[0]]
    for i in range(3):
        see(step(*batch(i)), model, held)
    with tg.no_grad():
        held[0]["0.bias"].fill_(0.5)
        held[3].fill_(3.0)
    see(model, held, step(*batch(4)), model, held)
