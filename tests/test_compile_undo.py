"""After a step that is refused, or that raises, everything is as it was: a random state, a random step, a random end.

Each action of a step changes something that the step can reach; what must be the same afterwards is compared by
identity, by order and by content. Read `test_compile_views.py` next.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import nn

F = nn.functional
SETTING = 1.5
SEEDS = 100


class Slotted:
    __slots__ = ("count", "value")

    def __init__(self) -> None:
        self.count, self.value = 0, [1, 2]


class Kept:
    rate = 0.5
    names = ("a", "b")

    def __init__(self) -> None:
        self.number, self.tensor, self.array = 3, tg.ones(3), np.arange(6.0).reshape(2, 3)


class Centred(nn.Module):
    """A layer with a buffer that it writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", tg.zeros(4).double())

    def forward(self, x: Any) -> Any:
        with tg.no_grad():
            self.mean.mul_(0.9).add_(0.1 * x.mean(0))
        return x - self.mean


class State:
    """All that a step reaches."""

    def __init__(self, rng: np.random.Generator) -> None:
        layers = (nn.Linear(3, 4), Centred(), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 2))
        self.model = nn.Sequential(*layers).double()
        self.optimizer = tg.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.listed: list[Any] = [1, [2, 3], tg.zeros(2)]
        self.entries = {"b": 1, "a": {"x": 2}, "c": np.ones((3, 3))}
        self.set = {"p", "q", "r"}
        self.slotted, self.kept = Slotted(), Kept()
        self.fixed = (np.arange(3.0), np.ones(2))
        self.counted = 0
        self.handle = self.model[4].bias.register_hook(lambda g: g * 2)
        self.generator = tg.Generator().manual_seed(5)
        if rng.random() < 0.5:  # gradients, momentum, statistics are there
            F.mse_loss(self.model(tg.ones(5, 3).double()), tg.ones(5, 2).double()).backward()
            if rng.random() < 0.5:
                self.optimizer.step()
        if rng.random() < 0.3:
            self.model[0].weight.grad = None

    def looked_at(self) -> list[Any]:
        s = self
        modules = [[id(m), [(k, id(v)) for k, v in vars(m).items()], hooks(m)] for m in s.model.modules()]
        tensors = [tensor(t) for t in (*s.model.parameters(), *s.model.buffers(), s.listed[2], s.kept.tensor)]
        groups = [[(k, id(v) if k == "params" else v) for k, v in g.items()] for g in s.optimizer.param_groups]
        state = [(id(p), id(e), [(k, id(t), tensor(t)) for k, t in e.items()]) for p, e in s.optimizer.state.items()]
        containers = [
            [id(x) for x in s.listed], list(s.listed[1]), [(k, id(v)) for k, v in s.entries.items()],
            dict(s.entries["a"]), sorted(s.set), s.slotted.count, list(s.slotted.value), list(vars(s.kept)),  # type: ignore[call-overload]
            s.kept.number, id(s.kept.array), Kept.rate, Kept.names, SETTING, "MADE" in globals(), s.counted,
            [id(o) for o in vars(s).values()], [k for k in vars(Kept) if k[:1] != "_"],
        ]  # fmt: skip
        arrays = [a.tobytes() for a in (s.entries["c"], s.kept.array, *s.fixed)]  # type: ignore[attr-defined]
        streams = [tg.get_rng_state().tobytes(), s.generator.get_state().tobytes(), random.getstate()]
        streams.append(str(np.random.get_state()))  # noqa: NPY002
        modes = [tg.is_grad_enabled(), tg.is_inference_mode_enabled(), np.geterr(), tg.get_default_dtype()]
        return [modules, tensors, groups, state, containers, arrays, streams, modes]


def hooks(module: Any) -> Any:
    found = module._hooks
    return None if found is None else [(name, list(table)) for name, table in vars(found).items()]


def tensor(t: Any) -> Any:
    node = t.node
    own = (id(t), type(t.array), id(t.array), t.array.tobytes(), id(node), list((node and node.hooks) or ()))
    return own, None if t.grad is None else tensor(t.grad)


def act_on(s: State, x: Any, batch: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """What a step may do, by name."""

    def nonlocal_() -> None:
        s.counted += 1

    def global_() -> None:
        global SETTING
        SETTING += 1

    def new_global() -> None:
        global MADE
        MADE = 1

    def reordered() -> None:
        s.entries["b"] = s.entries.pop("b")

    def replaced_in_set() -> None:
        s.set.remove("p")
        s.set.add("z")

    def written(view: Any) -> None:
        view[...] = view * 2 + 1

    def class_attribute() -> None:
        Kept.rate += 1
        Kept.new = 3  # type: ignore[attr-defined]

    def train() -> None:
        s.optimizer.zero_grad()
        F.mse_loss(s.model(x), batch["y"]).backward()
        s.optimizer.step()

    def scaled() -> None:
        with tg.no_grad():
            s.model[0].weight.mul_(2)
            s.kept.tensor[0] = 5

    return {
        "train": train, "forward": lambda: s.model(x), "zero_grad": s.optimizer.zero_grad, "scaled": scaled,
        "zeros": lambda: s.optimizer.zero_grad(set_to_none=False),
        "grad": lambda: setattr(s.model[0].weight, "grad", tg.ones(4, 3).double()),
        "append": lambda: s.listed.append(4), "inner append": lambda: s.listed[1].append(4),
        "replace": lambda: s.listed.__setitem__(0, 7), "reverse": lambda: s.listed[1].reverse(),
        "clear": lambda: s.listed[1].clear(), "entry": lambda: s.entries.update(b=5),
        "inner entry": lambda: s.entries["a"].update(x=5, y=6), "reordered": reordered,  # type: ignore[attr-defined]
        "deleted": lambda: s.entries.pop("b", None), "set": replaced_in_set, "set add": lambda: s.set.add("k"),
        "slot": lambda: setattr(s.slotted, "count", 9), "slot list": lambda: s.slotted.value.append(3),
        "attribute": lambda: setattr(s.kept, "number", 9), "new attribute": lambda: setattr(s.kept, "new", 9),
        "tensor": lambda: setattr(s.kept, "tensor", x * 2), "array": lambda: setattr(s.kept, "array", np.ones(2)),
        "array entries": lambda: written(s.kept.array), "diagonal": lambda: written(np.einsum("ii->i", s.entries["c"])),
        "flipped": lambda: written(np.flip(s.kept.array)), "fixed": lambda: s.fixed[0].__setitem__(0, 9.0),
        "class": class_attribute, "nonlocal": nonlocal_, "global": global_, "new global": new_global,
        "eval": lambda: s.model.eval(), "frozen": lambda: s.model[0].requires_grad_(False),
        "layer attribute": lambda: setattr(s.model[2], "p", 0.1), "buffer": lambda: setattr(s.model[1], "extra", 1),
        "layer": lambda: s.model.append(nn.Tanh()), "no layer": lambda: s.model.__delitem__(3),
        "module hook": lambda: s.model[0].register_forward_hook(lambda m, a, y: y),
        "hook": lambda: s.model[0].weight.register_hook(lambda g: g), "no hook": lambda: s.handle.remove(),
        "data": lambda: setattr(s.model[0].bias, "data", tg.zeros(4).double()),
        "lr": lambda: s.optimizer.param_groups[0].update(lr=0.7),
        "setting": lambda: s.optimizer.param_groups[0].update(new=1),
        "group": lambda: s.optimizer.add_param_group({"params": [tg.zeros(1).requires_grad_()]}),
        "no state": lambda: s.optimizer.state.clear(), "draw": lambda: tg.rand(3),
        "draw of its own": lambda: tg.rand(3, generator=s.generator), "python": random.random,
        "numpy": lambda: np.random.rand(2),  # noqa: NPY002
        "seed": lambda: tg.manual_seed(3),
        "grad mode": lambda: tg.set_grad_enabled(False), "errors": lambda: np.seterr(over="raise", divide="ignore"),
        "dtype": lambda: tg.set_default_dtype(tg.float16), "argument": lambda: batch.update(z=1),
        "argument list": lambda: batch["l"].append(1), "argument entries": lambda: x.mul_(2),
    }  # fmt: skip


ENDS: dict[str, Callable[[Any], Any]] = {
    "refused": lambda x: float(x.sum()), "raises": lambda x: {}["nothing"], "interrupted": lambda x: interrupt(),
    "wrong": lambda x: x @ tg.ones(7, 7).double(),
}  # fmt: skip


def interrupt() -> None:
    raise KeyboardInterrupt


NAMES = list(act_on(State(np.random.default_rng(0)), tg.ones(5, 3).double(), {"y": tg.ones(5, 2), "l": []}))


@pytest.mark.parametrize("seed", range(SEEDS + len(NAMES)))
def test_everything_is_as_it_was_after_a_step_that_does_not_end_well(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tg.manual_seed(seed)
    state, x = State(rng), tg.ones(5, 3).double()
    batch = {"y": tg.ones(5, 2).double(), "l": [1]}
    chosen = [NAMES[seed - SEEDS]] if seed >= SEEDS else rng.choice(NAMES, int(rng.integers(1, 7))).tolist()
    end = ENDS[str(rng.choice(list(ENDS)))]

    def step(x: Any, batch: dict[str, Any]) -> Any:
        actions = act_on(state, x, batch)
        for name in chosen:
            actions[name]()
        end(x)

    before, given = state.looked_at(), [x.array.tobytes(), id(x.node), list(batch), list(batch["l"])]
    try:
        with pytest.raises((tg.TensorError, KeyError, KeyboardInterrupt, TypeError, ValueError, ArithmeticError)):
            tg.compile(step)(x, batch)
        for name, a, b in zip(("modules", "tensors", "groups", "state", "containers", "arrays", "streams", "modes"),
                              before, state.looked_at(), strict=True):  # fmt: skip
            assert a == b, f"{name} are not as before, after {', '.join(chosen)}"
        assert given == [x.array.tobytes(), id(x.node), list(batch), list(batch["l"])]
    finally:
        tidy()


def tidy() -> None:
    """The modes of a process in which a test has failed."""
    tg.set_grad_enabled(True)
    tg.set_default_dtype(tg.float32)
    np.seterr(divide="warn", over="warn")
    globals().pop("MADE", None)


@pytest.mark.parametrize(
    "table", [OrderedDict(k=1, m=2), defaultdict(int, k=1, m=2), Counter("kkm"), type("Own", (dict,), {})(k=1, m=2)]
)
def test_dicts_of_other_classes_have_their_old_entries_in_their_old_order(table: Any) -> None:
    def step(x: Any) -> Any:
        table["n"] = 5
        table["k"] = table.pop("k") + 6
        return x

    before = list(table.items())
    with pytest.raises(tg.CompileError, match=r"changes .*'table'"):
        tg.compile(step)(tg.ones(2))
    assert list(table.items()) == before
