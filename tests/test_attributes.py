"""What users hang on tensors is kept, travels with copies, and no compiled step ignores it.

Read `test_serialize.py` next.
"""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import pytest
from compile_kit import equal, told

import tinygrad_bp as tg
from tinygrad_bp import nn

MAKERS: dict[str, Any] = {
    "tensor": lambda: tg.ones(2),
    "0-d": lambda: tg.tensor(1.0),
    "empty": lambda: tg.zeros(0, dtype=tg.int64),
    "leaf": lambda: tg.ones(2, requires_grad=True),
    "result": lambda: tg.ones(2, requires_grad=True).exp(),
    "view": lambda: tg.ones(2, 3)[0],
    "parameter": lambda: nn.Parameter(tg.ones(2)),
}
made = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@made
def test_any_name_is_kept(make: Any) -> None:
    t = make()
    t.is_bias, t.grad_sample, t.scale = True, [1, 2], 2.0
    assert (t.is_bias, t.grad_sample, t.scale) == (True, [1, 2], 2.0)
    assert sorted(vars(t)) == ["grad_sample", "is_bias", "scale"]
    del t.scale
    assert not hasattr(t, "scale")
    with pytest.raises(AttributeError, match="scale"):
        _ = t.scale


@made
@pytest.mark.parametrize(
    ("name", "meant"),
    [("requires_gard", "requires_grad"), ("require_grad", "requires_grad"), ("reqires_grad", "requires_grad"),
     ("requires_grads", "requires_grad"), ("gard", "grad"), ("grda", "grad"), ("daat", "data")],
)  # fmt: skip
def test_a_misspelling_is_refused(make: Any, name: str, meant: str) -> None:
    t = make()
    with pytest.raises(AttributeError, match=f"`t.{meant} = "):
        setattr(t, name, None)
    assert not hasattr(t, name)
    with pytest.raises(AttributeError, match=name):
        getattr(t, name)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
@pytest.mark.parametrize("make", [MAKERS["tensor"], MAKERS["leaf"], MAKERS["parameter"]])
def test_attributes_travel_with_copies(make: Any, how: Any) -> None:
    t = make()
    t.tags, t.twin = ["a"], None
    new = how(t)
    assert vars(new) == {"tags": ["a"], "twin": None}
    new.more = 1
    assert not hasattr(t, "more")
    assert (how is copy.copy) is (new.tags is t.tags)


def test_misspellings_are_shown_nowhere() -> None:
    shown = dir(tg.ones(2))
    assert {"requires_grad", "grad", "data", "sum"} <= set(shown)
    assert not {"gard", "requires_gard", "require_grad", "adta"} & set(shown)


def test_what_has_none_pays_nothing() -> None:
    """A dict comes to be only with the first attribute."""
    bare, tagged = tg.ones(2), tg.ones(2)
    tagged.tag = 1
    assert sys.getsizeof(bare) == sys.getsizeof(tagged)
    assert vars(bare) == {}


# ------------------------------------------------------------ compiled steps


@equal
def test_attributes_of_what_the_step_reaches(compile: Any, see: Any) -> None:
    w, p, buffer = tg.ones(2, requires_grad=True), nn.Parameter(tg.ones(2)), tg.ones(2)

    def step(x: Any) -> Any:
        if getattr(buffer, "off", False):
            return x * 0
        return x * w * w.scale + p * (p.scale if hasattr(p, "scale") else 1) + buffer

    w.scale = 2.0
    step = compile(step)
    see(step(tg.ones(2)))
    w.scale = 3.0
    see(step(tg.ones(2)))
    p.scale = 5
    see(step(tg.ones(2)))
    buffer.off = True
    see(step(tg.ones(2)))
    del buffer.off, p.scale
    see(step(tg.ones(2)))


@equal
def test_attributes_that_nobody_reads(compile: Any, see: Any) -> None:
    step = compile(lambda x: x * 2)
    for i in range(3):
        x = tg.ones(2)
        x.tag = i
        see(step(x), x.tag)


REFUSED: dict[str, Any] = {
    "read of an argument": lambda x: x * x.scale,
    "asked of an argument": lambda x: x * getattr(x, "scale", 1),
    "tried": lambda x: x * vars(x)["scale"],
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("wrapped", [False, True])
def test_attributes_of_arguments_are_refused_where_they_are_read(name: str, wrapped: bool) -> None:
    function = REFUSED[name]
    step = tg.compile((lambda batch: function(batch["x"])) if wrapped else function)
    x = tg.ones(2)
    if name == "asked of an argument":
        assert step({"x": x} if wrapped else x).tolist() == [1, 1]
    x.scale = 3.0
    with pytest.raises(tg.CompileError) as caught:
        step({"x": x} if wrapped else x)
    told(caught.value, "scale", "argument")


def on_a_result(x: Any) -> Any:
    y = x * 2
    y.tag = 1
    return y


def on_an_argument(x: Any) -> Any:
    x.tag = 1
    return x * 2


HUNG = tg.ones(2)


def on_a_constant(x: Any) -> Any:
    HUNG.tag = 1
    return x * HUNG


@pytest.mark.parametrize("step", [on_a_result, on_an_argument, on_a_constant])
def test_a_step_that_hangs_attributes_on_tensors_is_refused(step: Any) -> None:
    x = tg.ones(2)
    with pytest.raises(tg.CompileError) as caught:
        tg.compile(step)(x)
    told(caught.value)
    assert not vars(x)
    assert not vars(HUNG)


@equal
def test_attributes_inside_a_step(compile: Any, see: Any) -> None:
    def step(x: Any) -> Any:
        h = x * 2
        h.tag = 3
        return x * h.tag

    step = compile(step)
    see(step(tg.ones(2)))
    see(step(tg.ones(2)))


@equal
def test_an_argument_that_the_step_reaches_too(compile: Any, see: Any) -> None:
    w = tg.ones(2)
    w.scale = 2
    step = compile(lambda x: x * w * getattr(x, "scale", 1))
    for i in range(3):
        w.scale = i
        see(step(w))
    del w.scale
    see(step(w))
