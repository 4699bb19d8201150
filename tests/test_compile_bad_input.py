"""What cannot be compiled says so, at its line and with what to write instead, and leaves everything as it was.

With `fallback=True` the same step runs eagerly, and says so once. Read `compile_kit.py` for the helpers.
"""

from __future__ import annotations

import itertools
import math
import random
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compile_kit import F, agrees, copied, data, equal_or_refused, labels, net, recordings, same, silent, told, training

import tinygrad_bp as tg
from tinygrad_bp import nn

SGD = tg.optim.SGD
X = data(4, 3)


def refused(function: Callable[..., Any], *args: Any) -> str:
    """Assert that a function runs eagerly, is refused compiled, and with fallback runs eagerly, saying so once."""
    expected = copied(function(*args))
    with pytest.raises(tg.CompileError) as caught:
        tg.compile(function)(*args)
    told(caught.value)
    step = tg.compile(function, fallback=True)
    with pytest.warns(UserWarning, match="runs eagerly"):
        found = step(*args)
    same(expected, copied(found), 0.0)
    same(expected, copied(silent(lambda: step(*args))), 0.0)
    return str(caught.value)


# ----------------------------------------------------------------- values that only a run knows

LOOKS: dict[str, Callable[[Any], Any]] = {
    "if": lambda x: x * 2 if x.sum() > 0 else x,
    "if not": lambda x: x * 2 if not (x > 9).any() else x,
    "and": lambda x: (x.sum() > 0) and x,
    "while": lambda x: halved(x),
    "assert": lambda x: asserted(x),
    "if item": lambda x: x if x.sum().item() > 0 else -x,
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "bool": lambda x: bool(x.sum()),
    "complex": lambda x: complex(x.sum()),
    "int of item": lambda x: x * int(x.sum().item()),
    "round of item": lambda x: round(x.sum().item(), 2),
    "format": lambda x: f"{x.sum().item():.3f}",
    "str": lambda x: str(x),
    "repr": lambda x: repr(x),
    "tolist": lambda x: x.tolist(),
    "in": lambda x: 1.0 in x,
    "max of Python": lambda x: max(x.sum(0)),
    "sorted": lambda x: [float(v.sum()) for v in sorted(x.sum(0))],
    "allclose": lambda x: tg.allclose(x, x),
    "equal": lambda x: tg.equal(x, x),
    "range": lambda x: sum(x.sum() for _ in range(abs(int(x.sum().item())))) + x,
    "isfinite": lambda x: x if math.isfinite(x.sum().item()) else None,
    "math of a number": lambda x: math.sqrt((x**2).sum().item()),
    "math of a tensor": lambda x: math.sqrt((x**2).sum()),
    "key of a dict": lambda x: {x.sum().item(): 1}[x.sum().item()],
    "min of numbers": lambda x: min(x.sum().item(), x.mean().item()),
    "list index": lambda x: [x, x * 2][int(x.argmax()) % 2],
    "arange": lambda x: tg.arange(int((x > 0).sum())),
    "reshape": lambda x: x[: int((x > 0).sum()) % 3],
    "array if": lambda x: 1 if (x.numpy() > 0).all() else 0,
    "array allclose": lambda x: np.allclose(x.numpy(), x.numpy()),
    "array bytes": lambda x: x.numpy().tobytes(),
    "math import": lambda x: math.fsum(x.numpy().ravel()),
}


def halved(x: Any) -> Any:
    while x.abs().max() > 0.1:
        x = x / 2
    return x


def asserted(x: Any) -> Any:
    assert x.abs().sum() > 0
    return x * 2


@pytest.mark.parametrize("function", LOOKS.values(), ids=LOOKS)
def test_a_look_at_a_value_is_refused_at_its_line(function: Callable[[Any], Any]) -> None:
    assert re.search(r"test_compile_bad_input\.py:\d+", refused(function, X))


def test_the_refusal_names_line_and_layer() -> None:
    class Choosy(nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    model = nn.Sequential(nn.Linear(3, 3), Choosy()).double()
    message = refused(lambda x: model(x).detach(), X)
    line = Choosy.forward.__code__.co_firstlineno + 1
    assert f"test_compile_bad_input.py:{line} in layer '1'" in message
    assert "tg.where" in message


def with_a_loss(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        w = w0.detach().requires_grad_()
        loss = (x * w).sum()
        act(loss)
        return loss.detach()

    w0 = data(3)
    return function


@pytest.mark.parametrize("act", [lambda loss: print(loss), lambda loss: print(loss.item()), lambda loss: f"{loss:.3f}"])
def test_printing_the_loss_is_refused(act: Callable[[Any], Any], capsys: Any) -> None:
    refused(with_a_loss(act), X)
    assert capsys


SHAPES: dict[str, Callable[[Any], Any]] = {
    "mask": lambda x: x[x > 0],
    "mask and mean": lambda x: x[x > 0].mean(),
    "mask and length": lambda x: x[x > 0].sum() / len(x[x > 0]),
    "mask and sum": lambda x: (x[x > 0] * 2 + 1).sum(),
    "mask of rows": lambda x: x[x[:, 0] > 0].sum(0),
    "masked_select": lambda x: x.masked_select(x > 0).mean(),
    "nonzero": lambda x: x[(x[:, 0] > 0).nonzero()[:, 0]].sum(0),
    "where of one": lambda x: tg.where(x[:, 0] > 0)[0],
    "written by mask": lambda x: masked(x),
    "unique": lambda x: np.unique(np.floor(x.numpy())).mean(),
    "array mask": lambda x: x.numpy()[x.numpy() > 0].mean(),
    "array nonzero": lambda x: np.nonzero(x.numpy())[0].size,
    "argwhere": lambda x: np.argwhere(x.numpy() > 0),
    "compress": lambda x: np.compress(x.numpy()[:, 0] > 0, x.numpy(), 0),
    "extract": lambda x: np.extract(x.numpy() > 0, x.numpy()),
    "repeat": lambda x: np.repeat(x.numpy()[0], np.abs(x.numpy()[1] * 3).astype(int)),
    "repeat_interleave": lambda x: x[0].repeat_interleave((x[1].abs() * 3).long()),
    "bincount": lambda x: np.bincount(np.abs(x.numpy()[1] * 3).astype(int)),
    "trim": lambda x: np.trim_zeros(np.maximum(x.numpy()[0], 0)),
    "delete": lambda x: np.delete(x.numpy(), x.numpy().argmax(0), 0),
    "one_hot of unknown classes": lambda x: F.one_hot(x.argmax(1)),
    "setdiff": lambda x: np.setdiff1d(np.floor(x.numpy()), np.zeros(1)),
}


def masked(x: Any) -> Any:
    y = x.clone()
    y[x > 0] = y[x > 0] * 2
    return y


@pytest.mark.parametrize("function", SHAPES.values(), ids=SHAPES)
def test_a_shape_that_depends_on_values_is_refused(function: Callable[[Any], Any]) -> None:
    refused(function, X)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_of_the_rows_that_a_mask_chooses_is_refused(reduction: str) -> None:
    model = net(3, 2)

    def step(x: Any, y: Any) -> Any:
        keep = y[:, 0] > 0
        return F.mse_loss(model(x)[keep], y[keep], reduction=reduction).detach()

    refused(step, X, data(4, 2))


FOREIGN: dict[str, Callable[[Any], Any]] = {
    "vectorize": lambda x: np.vectorize(lambda a: a * 2)(x.numpy()),
    "array of array": lambda x: np.array(x.numpy()) * 2,
    "asarray": lambda x: np.asarray(x.numpy()) * 2,
    "asarray of tensor": lambda x: np.asarray(x) * 2,
    "array from Python": lambda x: np.array([float(a) for a in x[0]]),
    "frombuffer": lambda x: np.frombuffer(x.numpy()),
    "dlpack": lambda x: np.from_dlpack(x.numpy()) * 2,
    "view": lambda x: x.numpy().view(np.int64),
    "flat": lambda x: x.numpy().flat[0],
    "sort in place": lambda x: sorted_array(x.numpy().copy()),
    "add.at": lambda x: added_at(x.numpy().copy()),
    "put_along_axis": lambda x: put(x.numpy().copy()),
    "out": lambda x: np.add(x.numpy(), 1, out=np.zeros((4, 3))),
    "out where": lambda x: np.add(x.numpy(), 1, where=x.numpy() > 0, out=np.zeros((4, 3))),
    "into an array": lambda x: written_into(np.zeros((4, 3)), x),
    "full": lambda x: np.full((3,), x.numpy().sum()),
    "float32": lambda x: np.float32(x.numpy().sum()),
    "divmod": lambda x: divmod(x.numpy(), 2),
    "tensor of a number": lambda x: tg.full((3,), x.sum().item()),
    "memoryview": lambda x: memoryview(x.numpy()).nbytes,
    "saved": lambda x: math.fsum(map(float, x.numpy().ravel())),
}


def sorted_array(a: Any) -> Any:
    a.sort()
    return a


def added_at(a: Any) -> Any:
    np.add.at(a, [0, 0], 1.0)
    return a


def put(a: Any) -> Any:
    np.put_along_axis(a, np.array([[0]]), 1.0, 1)
    return a


def written_into(a: Any, x: Any) -> Any:
    a[:] = x.numpy()
    return a


@pytest.mark.parametrize("function", FOREIGN.values(), ids=FOREIGN)
def test_numpy_that_does_not_dispatch_is_right_or_refused(function: Callable[[Any], Any]) -> None:
    @equal_or_refused
    def script(compile: Any, see: Any) -> None:
        step = compile(function)
        for i in range(3):
            see(step(data(4, 3, seed=i)))

    script()


# ----------------------------------------------------------------- what would happen only once, or not again


class Box:
    value: Any = None
    count = 0


def effects(log: list[Any], box: Any, entries: dict[str, Any], numbers: Any) -> dict[str, Callable[[Any], Any]]:
    total = 0
    last: Any = None

    def count(loss: Any) -> None:
        nonlocal total
        total += 1

    def keep(loss: Any) -> None:
        nonlocal last
        last = loss

    return {
        "append": log.append,
        "append a number": lambda loss: log.append(loss.item()),
        "append a copy": lambda loss: log.append(loss.detach()),
        "extend": lambda loss: log.extend([1, 2]),
        "pop": lambda loss: log.pop(),
        "replace": lambda loss: log.__setitem__(0, loss),
        "attribute": lambda loss: setattr(box, "value", loss),
        "new attribute": lambda loss: setattr(box, "new", loss),
        "count": lambda loss: setattr(box, "count", box.count + 1),
        "entry": lambda loss: entries.update(loss=loss),
        "number": lambda loss: entries.__setitem__("n", entries.get("n", 0) + 1),
        "next": lambda loss: next(numbers),
        "nonlocal": count,
        "nonlocal tensor": keep,
        "class attribute": lambda loss: setattr(Box, "count", Box.count + 1),
    }


@pytest.mark.parametrize("name", effects([], Box(), {}, iter(())))
def test_effects_on_plain_python_are_refused_and_undone(name: str) -> None:
    log, box, entries, numbers = [0.5], Box(), {"a": 1}, itertools.count()
    act = effects(log, box, entries, numbers)[name]
    model = net(3, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        loss = training(model, optimizer)(x, y)
        act(loss)
        return loss

    before = copied([model, optimizer])
    kept = Box.count
    try:
        with pytest.raises(tg.CompileError) as caught:
            tg.compile(step)(X, data(4, 2))
        told(caught.value)
        same(before, copied([model, optimizer]), 0.0)
        if name != "next":  # nobody can turn an iterator back
            assert (log, vars(box), entries, Box.count) == ([0.5], {}, {"a": 1}, kept)
            cells = (
                {
                    name: cell.cell_contents
                    for name, cell in zip(act.__code__.co_freevars, act.__closure__ or (), strict=True)
                }
                if hasattr(act, "__code__")
                else {}
            )
            assert cells.get("total", 0) == 0
            assert cells.get("last") is None
        compiled = tg.compile(step, fallback=True)
        with pytest.warns(UserWarning, match="runs eagerly"):
            compiled(X, data(4, 2))
        assert name != "append" or (len(log) == 2 and log[1].item() > 0)
    finally:
        Box.count = kept


@equal_or_refused
def test_state_kept_by_rebinding(compile: Any, see: Any) -> None:
    h, box, listed = tg.zeros(3).double(), Box(), [tg.zeros(3).double()]
    box.value = tg.zeros(3).double()

    def through_closure(x: Any) -> Any:
        nonlocal h
        h = h * 0.5 + x
        return h * 2

    step = compile(through_closure)
    for i in range(4):
        see(step(data(3, seed=i)), h)
    see(box, listed)


@pytest.mark.parametrize("where", ["attribute", "list", "buffer", "tensor of a layer"])
def test_a_tensor_rebound_in_the_step(where: str) -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.h = tg.zeros(3).double()
            self.register_buffer("mean", tg.zeros(3).double())

    box, listed, layer = Box(), [tg.zeros(3).double()], Layer()
    box.value = tg.zeros(3).double()

    def step(x: Any) -> Any:
        if where == "attribute":
            box.value = box.value * 0.5 + x
            return box.value * 2
        if where == "list":
            listed[0] = listed[0] * 0.5 + x
            return listed[0] * 2
        if where == "buffer":
            layer.mean = layer.mean * 0.5 + x
            return layer.mean * 2
        layer.h = layer.h * 0.5 + x
        return layer.h * 2

    kept = box.value, listed[0], layer.mean, layer.h
    with pytest.raises(tg.CompileError) as caught:
        tg.compile(step)(data(3))
    told(caught.value)
    assert all(a is b for a, b in zip(kept, (box.value, listed[0], layer.mean, layer.h), strict=True))
    assert all((t.numpy() == 0).all() for t in kept)


@pytest.mark.parametrize("flag", ["requires_grad", "training", "grad mode", "default dtype", "hook"])
def test_flags_that_a_step_leaves_behind(flag: str) -> None:
    """As in eager, or refused; and then they are as before."""
    model = net(3, 4, 2)

    def act() -> None:
        if flag == "requires_grad":
            model[0].requires_grad_(False)
        elif flag == "training":
            model.eval()
        elif flag == "grad mode":
            tg.set_grad_enabled(False)
        elif flag == "default dtype":
            tg.set_default_dtype(tg.float64)
        else:
            model[0].register_forward_hook(lambda m, args, y: y * 2)

    def state() -> Any:
        flags = [p.requires_grad for p in model.parameters()], model.training, model[0]._hooks is None
        return flags, tg.is_grad_enabled(), tg.get_default_dtype()

    def step(x: Any) -> Any:
        y = model(x).detach()
        act()
        return y

    before = state()
    try:
        tg.compile(step)(X)
        assert state() != before, "the step ran, and left no trace"
    except tg.CompileError as error:
        told(error)
        assert state() == before
    finally:
        tg.set_grad_enabled(True)
        tg.set_default_dtype(tg.float32)


SOURCES: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "numpy's stream": lambda: lambda x: x * np.random.rand(),  # noqa: NPY002
    "numpy's stream, an array": lambda: lambda x: x * tg.tensor(np.random.rand(3)),  # noqa: NPY002
    "numpy's stream, unused": lambda: lambda x: (np.random.rand(), x * 2)[1],  # noqa: NPY002
    "a generator": lambda: (lambda g: lambda x: x * tg.tensor(g.normal(size=3)))(np.random.default_rng(0)),
    "a generator, unused": lambda: (lambda g: lambda x: (g.normal(), x * 2)[1])(np.random.default_rng(0)),
    "a generator, by chance the same": lambda: (lambda g: lambda x: x * int(g.random() < 0.999))(
        np.random.default_rng(0)
    ),
    "Python's": lambda: lambda x: x * random.random(),
    "Python's, by chance the same": lambda: lambda x: x * 2 if random.random() < 0.999 else x,
    "Python's own": lambda: (lambda g: lambda x: x * int(g.random() < 0.999))(random.Random(0)),
    "clock": lambda: lambda x: x * time.perf_counter(),
    "iterator": lambda: (lambda it: lambda x: x * next(it))(iter(range(1, 99))),
    "count": lambda: (lambda it: lambda x: x * next(it))(itertools.count()),
    "iterator, unused": lambda: (lambda it: lambda x: (next(it), x * 2)[1])(iter(range(1, 99))),
    "cycle": lambda: (lambda it: lambda x: x * next(it))(itertools.cycle([2.0])),
    "generator function": lambda: (lambda it: lambda x: x * next(it))(n for n in range(9)),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_numbers_from_elsewhere_are_refused(make: Callable[[], Callable[[Any], Any]]) -> None:
    step = tg.compile(make())
    with pytest.raises(tg.CompileError) as caught:
        step(data(3))
    told(caught.value)


@pytest.mark.parametrize(
    "act",
    [
        lambda x: tg.manual_seed(3),
        lambda x: tg.set_rng_state(tg.get_rng_state()),
        lambda x: nn.init.uniform_(tg.empty(3)),
        lambda x: nn.Linear(3, 2),
        lambda x: tg.Generator().manual_seed(1),
    ],
)
def test_seeds_and_new_layers_in_the_step_are_right_or_refused(act: Callable[[Any], Any]) -> None:
    @equal_or_refused
    def script(compile: Any, see: Any) -> None:
        def function(x: Any) -> Any:
            act(x)
            return x + tg.rand(3)

        step = compile(function)
        for i in range(3):
            see(step(data(3, seed=i)), tg.get_rng_state())

    script()


def test_another_array_for_a_parameter_inside_the_step_is_refused() -> None:
    model = net(3, 2)
    weight, before = model[0].weight, copied(model)

    def step(x: Any) -> Any:
        weight.data = weight.data * 2
        return model(x).detach()

    with pytest.raises(tg.CompileError) as caught:
        tg.compile(step)(X)
    told(caught.value, "copy_")
    same(before, copied(model), 0.0)


# ----------------------------------------------------------------- errors in the step, at each time


def everything(model: Any, optimizer: Any) -> Any:
    return copied([model, optimizer, tg.get_rng_state()])


@pytest.mark.parametrize("when", ["forward", "before the update", "after the update"])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_step_that_raises_while_it_is_recorded_changes_nothing(when: str, kind: type[BaseException]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).double()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    broken = True

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        out = model(x)
        if broken and when == "forward":
            raise kind("stop")
        F.mse_loss(out, y).backward()
        if broken and when == "before the update":
            raise kind("stop")
        optimizer.step()
        if broken and when == "after the update":
            raise kind("stop")
        return out.detach()

    before = everything(model, optimizer)
    compiled = tg.compile(step)
    with pytest.raises(kind, match="stop"):
        compiled(X, data(4, 2))
    same(before, everything(model, optimizer), 0.0)
    broken = False
    tg.manual_seed(0)
    found = compiled(X, data(4, 2))
    after = everything(model, optimizer)
    with pytest.raises(tg.CompileError):
        tg.compile(lambda x: float(model(x).sum()))(X)
    same(after, everything(model, optimizer), 0.0)
    assert np.isfinite(found.numpy()).all()


def test_an_error_of_the_library_is_the_same_as_in_eager() -> None:
    for function, args in [
        (lambda x: x @ x, (X,)),
        (lambda x, y: F.mse_loss(x, y), (X, data(5, 2))),
        (lambda x: F.cross_entropy(x, tg.tensor([0, 1, 2, 3])), (X,)),
        (lambda x: x.reshape(5), (X,)),
        (lambda x: x[7], (X,)),
        (lambda x: {}["k"], (X,)),
        (lambda: 1 / 0, ()),
    ]:
        with pytest.raises((tg.TensorError, LookupError, ArithmeticError)) as eager:
            function(*args)
        with pytest.raises(type(eager.value), match=re.escape(str(eager.value))):
            tg.compile(function)(*args)


@pytest.mark.parametrize("bad", ["class", "class below 0", "probability"])
def test_bad_values_in_a_later_batch_raise_as_in_eager_and_change_no_weight(bad: str) -> None:
    model = net(3, 4, 3)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss: Any = {
        "probability": lambda out, y: F.binary_cross_entropy(out.sigmoid() * y.abs().max(), y * 0.5),
    }.get(bad, F.cross_entropy)
    good = data(4, 3).sigmoid() if bad == "probability" else labels(4, 3)
    wrong = good.clone()
    wrong[1] = 7 if bad == "class" else -1 if bad == "class below 0" else 9.0
    step = tg.compile(training(model, optimizer, loss))
    for _ in range(3):
        step(X, good)
    before = copied([model.state_dict(), optimizer])
    with pytest.raises(tg.TensorError) as eager:
        loss(model(X), wrong)
    with pytest.raises(tg.TensorError) as compiled:
        step(X, wrong)
    assert not isinstance(compiled.value, tg.CompileError)
    assert type(compiled.value) is type(eager.value)
    same(before, copied([model.state_dict(), optimizer]), 0.0)
    assert np.isfinite(step(X, good).item())


def test_an_error_after_the_first_write_says_that_parameters_may_be_half_updated() -> None:
    w, v = nn.Parameter(data(3)), nn.Parameter(data(3))

    def step(x: Any, y: Any) -> None:
        with tg.no_grad():
            w.mul_(2.0)
            v.add_(F.cross_entropy(x * w, y))
            w.add_(1.0)

    compiled = tg.compile(step, without=("flat",))
    compiled(X, labels(4, 3))
    before = copied([w, v])
    with pytest.raises((tg.CompileError, tg.AxisError)) as caught:
        compiled(X, labels(4, 3) + 9)
    if isinstance(caught.value, tg.CompileError):
        assert "half updated" in str(caught.value)
        assert isinstance(caught.value.__cause__, tg.AxisError)
    else:
        same(before, copied([w, v]), 0.0)


@pytest.mark.parametrize("write", ["parameter", "argument", "buffer"])
def test_a_later_error_tells_the_truth_about_what_was_written(write: str) -> None:
    """Either nothing is changed, or the error says that something may be."""
    w = nn.Parameter(data(3))
    x, held = data(4, 3), tg.zeros(3).double()

    def step(x: Any, y: Any) -> Any:
        with tg.no_grad():
            (w if write == "parameter" else held if write == "buffer" else x).mul_(2.0).add_(1.0)
        return F.cross_entropy(x * w, y).detach()

    compiled = tg.compile(step)
    try:
        compiled(x, labels(4, 3))
    except tg.CompileError:
        assert write == "argument"
        return
    before = copied([w, x, held])
    with pytest.raises(tg.TensorError) as caught:
        compiled(x, labels(4, 3) + 9)
    if "half updated" not in str(caught.value):
        same(before, copied([w, x, held]), 0.0)


def test_settings_out_of_range_raise_as_in_eager() -> None:
    model = net(3, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = tg.compile(training(model, optimizer))
    for _ in range(2):
        step(X, data(4, 2))
    group = optimizer.param_groups[0]
    before = copied(model.state_dict())
    for name, value in (("lr", -1.0), ("lr", math.nan), ("momentum", -0.1), ("nesterov", 3), ("weight_decay", -1.0)):
        kept, group[name] = group[name], value
        if name == "nesterov":
            group["dampening"] = 0.5
        with pytest.raises(tg.ArgumentError):
            step(X, data(4, 2))
        group[name], group["dampening"] = kept, 0
        same(before, copied(model.state_dict()), 0.0)
    step(X, data(4, 2))


def test_a_gradient_of_another_shape_or_dtype_is_refused_as_in_eager() -> None:
    w = nn.Parameter(data(3))
    optimizer = SGD([w], lr=0.1)
    w.grad = tg.ones(3).double()
    step = tg.compile(lambda: optimizer.step())
    step()
    for wrong, error in ((tg.ones(2).double(), tg.ShapeError), (tg.ones(3), tg.DtypeError)):
        try:
            w.grad = wrong
        except tg.TensorError:
            continue
        before = copied(w.detach())
        with pytest.raises(error):
            step()
        same(before, copied(w.detach()), 0.0)


def test_a_read_only_parameter_is_refused_as_in_eager() -> None:
    w = nn.Parameter(data(3))
    step = tg.compile(training(lambda x: x * w, SGD([w], lr=0.1)))
    step(X, X)
    w.array.flags.writeable = False
    before = copied(w.detach())
    with pytest.raises((tg.InplaceError, tg.CompileError)):
        step(X, X)
    same(before, copied(w.detach()), 0.0)


# ----------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sigmoid(),
        lambda x: x.softmax(0),
        lambda x: x.tanh(),
        lambda x: F.softplus(x),
        lambda x: F.logsigmoid(x),
        lambda x: F.silu(x),
        lambda x: F.gelu(x),
        lambda x: F.elu(x),
        lambda x: x.logsumexp(0),
        lambda x: F.binary_cross_entropy_with_logits(x, x.sigmoid()),
        lambda x: F.cross_entropy(x[None], tg.tensor([0])),
        lambda x: F.binary_cross_entropy(x.sigmoid(), x * 0),
    ],
)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_what_is_silent_in_eager_is_silent_compiled(function: Callable[[Any], Any], dtype: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        w = nn.Parameter(tg.ones(5, dtype=dtype))

        def backwards(x: Any) -> Any:
            w.grad = None
            y = function(x * w)
            y.sum().backward()
            return y

        step = compile(backwards)
        for scale in (1.0, 1e3, 1e12, 0.0):
            see(step(tg.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=dtype) * scale), w)

    agrees(script, rtol=1e-10)


def test_what_warns_in_eager_warns_compiled() -> None:
    step = tg.compile(lambda x: x.log() * 2)
    silent(lambda: step(tg.ones(3)))
    with pytest.warns(RuntimeWarning):
        tg.zeros(3).log()
    with pytest.warns(RuntimeWarning):
        step(tg.zeros(3))


def test_errstate_of_the_caller_holds_in_a_compiled_step() -> None:
    step = tg.compile(lambda x: 1 / x)
    silent(lambda: step(tg.ones(3)))
    with np.errstate(divide="ignore"):
        found = silent(lambda: step(tg.zeros(3)))
    assert np.isinf(found.numpy()).all()
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        step(tg.zeros(3))


def test_many_recordings_are_told_once() -> None:
    step = tg.compile(lambda x, k: x * k)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(20):
            step(data(3), float(k))
    assert [w.category for w in caught] == [UserWarning]
    assert "Pass what changes as a tensor" in str(caught[0].message)
    assert recordings(step) == 20


# ----------------------------------------------------------------- what may be asked for


def test_what_is_no_function_and_no_pass_is_refused() -> None:
    with pytest.raises(tg.CompileError, match="a function is expected, not float"):
        tg.compile(3.0)
    with pytest.raises(tg.ArgumentError, match="there is no pass 'speed'"):
        tg.compile(lambda x: x, without=("speed",))
    with pytest.raises(tg.CompileError, match=r"call .* once"):
        tg.compile(lambda x: x).source  # noqa: B018
    step = tg.compile(lambda x: x)
    assert tg.compile(step) is step


def test_wrong_arguments_are_pythons_own_error() -> None:
    step = tg.compile(lambda x, y=1: x * y)
    step(X)
    for args, kwargs in (((), {}), ((X, 1, 2), {}), ((X,), {"z": 1})):
        with pytest.raises(TypeError):
            step(*args, **kwargs)


def test_a_tensor_with_a_graph_from_outside() -> None:
    w = data(3).requires_grad_()
    outside = w * 2

    @equal_or_refused
    def script(compile: Any, see: Any) -> None:
        step = compile(lambda x: (x * outside).sum().detach())
        for i in range(3):
            see(step(data(3, seed=i)))

    script()


def test_the_options_of_the_decorator() -> None:
    @tg.compile(fallback=True, without=("flat", "bias"))
    def step(x: Any) -> Any:
        """Twice x."""
        return x * 2

    assert (step.__name__, step.__doc__) == ("step", "Twice x.")
    assert (step(X).numpy() == 2 * X.numpy()).all()
    assert "compiled step" in repr(step)


def test_a_fallback_speaks_once_and_leaves_everything_as_eager() -> None:
    def script(compile: Any, see: Any) -> None:
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).double()
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            loss = training(model, optimizer)(x, y)
            return float(loss)

        compiled = compile(step, fallback=True)
        for i in range(4):
            see(compiled(data(4, 3, seed=i), data(4, 2, seed=i)), model, optimizer)

    with pytest.warns(UserWarning, match="runs eagerly") as caught:
        agrees(script)
    assert len(caught) == 2, "one for each of the two compiled steps"
