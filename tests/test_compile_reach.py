"""Whatever a step can reach is looked at before each call, or refused: kind by kind, over every way to it.

Read `test_compile_reach_drawn.py` next: the same for programs that nobody wrote.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import subprocess
import sys
import threading
import types
import warnings
from typing import Any

import numpy as np
import pytest
from compile_kit import agrees, data, equal, net, recordings, told, training
from reach_kit import REFUSED, SEEN

import tinygrad_bp as tg
from tinygrad_bp import nn

ROUTES = ("closure", "attribute", "entry", "argument", "nested argument", "global")


def step_of(route: str, suffix: str, thing: Any) -> tuple[Any, tuple[Any, ...]]:
    """A step that reads a thing, reached by a route, and its further arguments."""
    holder = types.SimpleNamespace(held=thing)
    text, args = {
        "closure": ("def make(thing):\n    return lambda x: x * thing%s", ()),
        "attribute": ("def make(thing):\n    return lambda x: x * holder.held%s", ()),
        "entry": ("def make(thing):\n    return lambda x: x * entries['held'][0]%s", ()),
        "global": ("def make(thing):\n    return lambda x: x * held%s", ()),
        "argument": ("def make(thing):\n    return lambda x, given: x * given%s", (thing,)),
        "nested argument": ("def make(thing):\n    return lambda x, given: x * given['a'][0]%s", ({"a": (thing,)},)),
    }[route]
    scope: dict[str, Any] = {"__name__": "drawn", "holder": holder, "entries": {"held": [thing]}, "held": thing}
    exec(text % suffix, scope)
    return scope["make"](thing), args


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", SEEN)
def test_a_change_is_seen(name: str, route: str) -> None:
    def script(compile: Any, see: Any) -> None:
        suffix, build = SEEN[name]
        thing, put = build(2.0)
        function, args = step_of(route, suffix, thing)
        step = compile(function)
        for value in (2.0, 2.0, 3.0, 2.0):
            put(value)
            see(step(data(3), *args))

    if name in ("parameter", "tensor_subclass") and "argument" in route:  # the step is given a stand-in for it
        with pytest.raises(tg.CompileError, match=r"holds more than numbers|that hang on"):
            agrees(script)
    else:
        agrees(script)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_looked_at_is_refused_and_named(name: str, route: str) -> None:
    suffix, build = REFUSED[name]
    thing, _ = build(2.0)
    function, args = step_of(route, suffix, thing)
    assert function(data(3), *args).shape == (3,), "the eager step does not run"
    thing, _ = build(2.0)
    function, args = step_of(route, suffix, thing)
    with pytest.raises(tg.CompileError) as caught:
        tg.compile(function)(data(3), *args)
    told(caught.value)
    assert "held" in str(caught.value) or "thing" in str(caught.value) or "given" in str(caught.value), caught.value


def test_what_no_code_of_the_step_asks_for_is_let_be() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.factor, self.lock, self.numbers = 2.0, threading.Lock(), iter(range(9))
            self.log = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

        @tg.compile
        def step(self, x: Any) -> Any:
            return x * self.factor

        def fit(self) -> None:
            with self.lock:
                print(self.step(data(3)), next(self.numbers), file=self.log)

    trainer = Trainer()
    for _ in range(3):
        trainer.fit()
    trainer.log.close()
    assert recordings(trainer.step) == 1


@pytest.mark.parametrize("read", ["getattr(own, name)", "vars(own)['lock']", "own.__dict__['lock']", "own.lock"])
def test_what_code_can_get_at_under_a_name_made_up_is_refused(read: str) -> None:
    scope: dict[str, Any] = {"own": types.SimpleNamespace(lock=threading.Lock()), "name": "lock"}
    step = eval(f"lambda x: x * {read}.locked()", scope)
    with pytest.raises(tg.CompileError, match=r"'own\.lock'"):
        tg.compile(step)(data(3))


@pytest.mark.parametrize("asked", ["globals()['RATE']", "eval('RATE')", "__import__('drawn_settings').RATE",
    "importlib.import_module('drawn_settings').RATE", "sys.modules['drawn_settings'].RATE",
    "(lambda: 0).__globals__['RATE']"])  # fmt: skip
def test_variables_without_a_name_are_refused(asked: str, monkeypatch: Any) -> None:
    settings = types.ModuleType("drawn_settings")
    settings.RATE = 2.0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "drawn_settings", settings)
    import importlib

    step = eval(f"lambda x: x * {asked}", {"RATE": 2.0, "importlib": importlib, "sys": sys})
    assert step(data(3)).shape == (3,)
    with pytest.raises(tg.CompileError) as caught:
        tg.compile(step)(data(3))
    told(caught.value)


@equal
def test_two_settings_that_are_one_object(compile: Any, see: Any) -> None:
    settings = {"layers": 2, "power": 2}
    step = compile(lambda x: sum(x ** settings["power"] for _ in range(settings["layers"])))
    see(step(data(3)))
    for key, value in (("power", 3), ("layers", 3), ("power", 2)):
        settings[key] = value
        see(step(data(3)))


@equal
def test_modules_imported_inside_the_step(compile: Any, see: Any) -> None:
    settings = sys.modules["drawn_settings"] = types.ModuleType("drawn_settings")
    settings.RATE = 2.0  # type: ignore[attr-defined]

    def whole(x: Any) -> Any:
        import drawn_settings  # type: ignore[import-not-found]

        return x * drawn_settings.RATE

    def part(x: Any) -> Any:
        from drawn_settings import RATE

        return x * RATE

    first, second = compile(whole), compile(part)
    try:
        for settings.RATE in (2.0, 3.0, 2.0):  # type: ignore[attr-defined]
            see(first(data(3)), second(data(3)))
    finally:
        del sys.modules["drawn_settings"]


@equal
def test_what_comes_to_hide_something(compile: Any, see: Any) -> None:
    """A global before a built-in, a class's property before an attribute, a slot, an attribute of a function."""

    class Slotted:
        __slots__ = ("rate",)

    class Own:
        def __init__(self) -> None:
            self.rate = 2.0

    def helper() -> None: ...

    slotted, own = Slotted(), Own()
    scope: dict[str, Any] = {}
    steps = [
        compile(eval("lambda x: x * abs(-2.0)", scope)),
        compile(lambda x: x * own.rate),
        compile(lambda x: x * getattr(slotted, "rate", 1.0)),
        compile(lambda x: x * getattr(helper, "rate", 1.0)),
    ]
    for change in (
        lambda: None, lambda: scope.update(abs=lambda x: 5.0), lambda: setattr(Own, "rate", property(lambda self: 4.0)),
        lambda: setattr(slotted, "rate", 3.0), lambda: setattr(helper, "rate", 6.0), lambda: scope.pop("abs"),
    ):  # fmt: skip
        change()
        see([step(data(3)) for step in steps])


@equal
def test_another_class_other_bases_another_dict(compile: Any, see: Any) -> None:
    class Two:
        rate = 2.0

    class Three:
        rate = 3.0

    class Own(Two):
        pass

    own, other = Own(), Two()
    step = compile(lambda x: x * own.rate + other.rate)
    see(step(data(3)))
    Own.__bases__ = (Three,)
    see(step(data(3)))
    other.__class__ = Three  # type: ignore[assignment]
    see(step(data(3)))
    own.__dict__ = {"rate": 7.0}
    see(step(data(3)))


@equal
def test_names_and_texts_of_functions_and_classes(compile: Any, see: Any) -> None:
    def helper() -> None:
        """2.0"""

    class Own:
        """3.0"""

    step = compile(lambda x: x * float(helper.__doc__) * float(Own.__doc__) * len(helper.__name__))
    see(step(data(3)))
    helper.__doc__ = "5.0"
    see(step(data(3)))
    Own.__doc__ = "6.0"
    see(step(data(3)))
    helper.__name__ = "h"
    see(step(data(3)))


@equal
def test_the_members_of_a_set_as_they_are(compile: Any, see: Any) -> None:
    members: set[Any] = {1}
    step = compile(lambda x: x * (3.0 if next(iter(members)) is True else 2.0))
    see(step(data(3)))
    members.clear()
    members.add(True)
    see(step(data(3)))


@equal
def test_the_order_and_the_default_of_dicts(compile: Any, see: Any) -> None:
    import collections

    ordered, filled = collections.OrderedDict(a=2.0, b=3.0), collections.defaultdict(lambda: 2.0, a=1.0)
    step = compile(lambda x: x * next(iter(ordered.values())) * filled.get("b", 4.0) * filled.default_factory())
    see(step(data(3)))
    ordered.move_to_end("a")
    see(step(data(3)))
    filled["b"]
    see(step(data(3)))
    filled.default_factory = lambda: 5.0
    see(step(data(3)), dict(filled))
    del filled["b"]
    see(step(data(3)), dict(filled))


@equal
def test_whether_a_gradient_is_there(compile: Any, see: Any) -> None:
    w = data(3).requires_grad_()
    branch = compile(lambda x: x * 2 if w.grad is None else x * 3)
    told_so = compile(lambda x: (x * 2, w.grad is None))
    for grad in (None, data(3), data(3, seed=1), None):
        w.grad = grad
        see(branch(data(3)), told_so(data(3)))


@equal
def test_how_an_argument_lies_in_memory(compile: Any, see: Any) -> None:
    asked = compile(lambda x: x * 2 if x.is_contiguous() else x * 3)
    later = compile(lambda x: x * (x + 1).array.strides[0])
    square = data(3, 3)
    for x in (square, square.T, square[:, ::2], square[0], data(3, 3, seed=1).T):
        see(asked(x), later(x))


@equal
def test_the_class_of_an_argument(compile: Any, see: Any) -> None:
    import collections

    Pair = collections.namedtuple("Pair", "a b")
    step = compile(lambda x: x * 2 if isinstance(x, nn.Parameter) else x * 3)
    pair = compile(lambda t: t.a * 2 if hasattr(t, "a") else t[0] * 3)
    for x in (data(3), nn.Parameter(data(3)), data(3).requires_grad_()):
        see(step(x), pair((x, x)), pair(Pair(x, x)))


@equal
def test_an_array_given_another_shape(compile: Any, see: Any) -> None:
    a = np.arange(6.0).reshape(2, 3)
    step = compile(lambda x: x * a.sum(0).sum() * a.shape[0])
    see(step(data(3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer NumPys advise against it
        a.shape = (3, 2)
    see(step(data(3)))


@equal
def test_the_environment_and_the_command_line(compile: Any, see: Any) -> None:
    step = compile(lambda x: x * float(os.environ["DRAWN_RATE"]) * len(sys.argv))
    try:
        for rate in ("2", "3"):
            os.environ["DRAWN_RATE"] = rate
            see(step(data(3)))
            sys.argv.append("more")
            see(step(data(3)))
            sys.argv.pop()
    finally:
        os.environ.pop("DRAWN_RATE", None)


@equal
def test_a_logger(compile: Any, see: Any) -> None:
    log = logging.getLogger("drawn")
    step = compile(lambda x: x * (2.0 if log.isEnabledFor(logging.ERROR) else 3.0))
    for level in (logging.INFO, logging.CRITICAL):
        log.setLevel(level)
        see(step(data(3)))


@equal
def test_an_attribute_of_an_optimiser_of_ones_own(compile: Any, see: Any) -> None:
    class Own(tg.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1})
            self.factor = 2.0

        def update(self, group: Any, params: Any) -> None:
            with tg.no_grad():
                for p in params:
                    p.sub_(p.grad * (group["lr"] * self.factor))

    model = net(3, 2)
    optimizer = Own(model.parameters())
    step = compile(training(model, optimizer))
    for optimizer.factor in (2.0, 1.0, 2.0):
        see(step(data(5, 3), data(5, 2)), model)


COUNTED = {
    "alpha": lambda g, st, p: p.add_(p.grad, alpha=-g["lr"] / st["step"]),
    "value": lambda g, st, p: p.addcdiv_(p.grad, p.grad.abs() + 1, value=-g["lr"] / (1 - 0.9 ** st["step"])),
    "least": lambda g, st, p: p.sub_(p.grad * (g["lr"] * min(1.0, st["step"] / 5))),
    "every other": lambda g, st, p: p.sub_(p.grad * g["lr"]) if st["step"] % 2 else None,
    "root": lambda g, st, p: p.sub_(p.grad * (g["lr"] / st["step"] ** 0.5)),
}


def counting(compile: Any, update: Any, calls: int = 12) -> tuple[Any, Any]:
    """A step whose optimiser counts in a Python number, called some times."""

    class Own(tg.optim.Optimizer):
        def update(self, group: Any, params: Any) -> None:
            for p in params:
                state = self.state.setdefault(p, {})
                state["step"] = state.get("step", 0) + 1
                with tg.no_grad():
                    update(group, state, p)

    model = net(3, 2)
    optimizer = Own(model.parameters(), {"lr": 0.1})
    step = compile(training(model, optimizer))
    losses = [step(data(5, 3, seed=i), data(5, 2, seed=i)) for i in range(calls)]
    return step, [losses, model, optimizer]


@pytest.mark.parametrize("name", COUNTED)
def test_a_count_in_python_stays_live(name: str) -> None:
    found: list[int] = []

    def script(compile: Any, see: Any) -> None:
        step, seen = counting(compile, COUNTED[name])
        found.append(recordings(step))
        see(*seen)

    agrees(script)
    assert max(found) <= 4, found


def test_a_count_whose_value_is_asked_for_is_named() -> None:
    with pytest.warns(UserWarning, match=r"'[\w.]+\.step' changes from call to call \(\d, now \d\), and Python code"):
        counting(tg.compile, lambda g, st, p: p.sub_(p.grad * (g["lr"] / math.sqrt(st["step"]))))


@pytest.mark.parametrize(("change", "named"), [
    (lambda own, i: (data(3), float(i)), "the argument 'k' changes from call to call"),
    (lambda own, i: (data(i + 2), 1.0), "the argument 'x' changes from call to call"),
    (lambda own, i: (setattr(own, "rate", float(i)), (data(3), 1.0))[1], "'own.rate' changes from call to call"),
    (lambda own, i: (own.log.append(1), (data(3), 1.0))[1], "'own.log' grows or shrinks"),
])  # fmt: skip
def test_the_warning_of_many_recordings_names_what_changes(change: Any, named: str) -> None:
    own = types.SimpleNamespace(rate=2.0, log=[])
    step = tg.compile(lambda x, k: x * (k + own.rate + len(own.log)))
    for i in range(7):
        step(*change(own, i))
    with pytest.warns(UserWarning, match=named):
        step(*change(own, 7))


FRESH = {
    "a function": "print(tg.compile(lambda x: x * 2)(tg.ones(3)).sum().item())",
    "a draw": "print(tg.compile(lambda x: tg.rand(3) * x)(tg.ones(3)).shape)",
    "random imported": "def f(x):\n    import random\n    return x * 2\nprint(tg.compile(f)(tg.ones(3)))",
    "numpy imported": "def f(x):\n    import numpy.random, numpy.fft\n    return x * 2\n"
        "print(tg.compile(f)(tg.ones(3)))",
    "lazy parts": "def f(x):\n    from tinygrad_bp import data, gradcheck, testing\n"
        "    return tg.nn.functional.relu(x)\nprint(tg.compile(f)(tg.ones(3)))",
    "a training": "m = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.Dropout(0.5), tg.nn.Linear(4, 2))\n"
        "o = tg.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)\n"
        "def f(x):\n    o.zero_grad(); loss = (m(x) ** 2).sum(); loss.backward(); o.step(); return loss\n"
        "s = tg.compile(f)\nprint([s(tg.ones(5, 3)) for _ in range(3)])",
}  # fmt: skip


@pytest.mark.parametrize("name", FRESH)
def test_the_first_call_of_a_fresh_process(name: str) -> None:
    subprocess.run([sys.executable, "-c", f"import tinygrad_bp as tg\n{FRESH[name]}"], check=True, capture_output=True)


def test_a_draw_of_a_generator_first_imported_in_the_step_is_refused() -> None:
    code = "import tinygrad_bp as tg\ndef f(x):\n    import random\n    return x * random.random()\n"
    code += "tg.compile(f)(tg.ones(3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "CompileError" in done.stderr


def test_a_compiled_step_keeps_nothing_of_functools_cache() -> None:
    """A cached function called in the step would keep stand-ins; one that is not called does no harm."""
    made = functools.lru_cache(lambda n: tg.ones(n))
    with pytest.raises(tg.CompileError, match="outside the step"):
        tg.compile(lambda x: x * made(3))(data(3))
    assert made.cache_info().currsize == 0
    pair = made, 2.0
    step = tg.compile(lambda x: x * pair[1])
    for _ in range(3):
        step(data(3))
        made(2)
    assert recordings(step) == 1
