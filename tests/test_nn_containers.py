"""Containers: lists and dicts of layers and parameters, to Python and to Module alike."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import tinygrad_bp as tg
from tinygrad_bp import errors, nn


def test_sequential_and_module_list_are_lists() -> None:
    a, b, c = nn.Linear(2, 2), nn.ReLU(), nn.Tanh()
    net = nn.Sequential(a, b)
    assert net[-1] is b
    assert len(net) == 2
    assert list(net[:1]) == [a]
    assert isinstance(net[:1], nn.Sequential)
    net.append(c).insert(0, c)
    assert list(net) == [c, a, b, c]
    assert [k for k, _ in net.named_modules(remove_duplicate=False)][1:] == list("0123")
    assert net.pop(0) is c
    assert list(net) == [a, b, c]
    del net[1]
    net[0] = b
    assert list(net) == [b, c]
    assert list(net + nn.Sequential(a)) == [b, c, a]
    layers = nn.ModuleList([a])
    layers += [b, c]
    assert list(layers.extend([a])) == [a, b, c, a]
    assert list(layers[1:3]) == [b, c]
    named = nn.Sequential(OrderedDict(first=a, second=b))
    assert named.first is a
    assert [k for k, _ in named[1:].named_children()] == ["second"]
    for wrong in (lambda: net[5], lambda: net.pop(9)):
        with pytest.raises(IndexError, match="out of range"):
            wrong()
    with pytest.raises(errors.DtypeError, match="layers are Modules, not a list"):
        nn.Sequential([a, b])
    with pytest.raises(errors.DtypeError, match="not an int"):
        net.extend([b, 3])
    assert list(net) == [b, c]


def test_module_dict_and_parameter_containers() -> None:
    d = nn.ModuleDict({"a": nn.ReLU()})
    d["b"] = nn.Tanh()
    d.update({"a": nn.Sigmoid()})
    assert list(d) == ["a", "b"]
    assert isinstance(d["a"], nn.Sigmoid)
    assert "b" in d
    assert len(d) == 2
    assert isinstance(d.pop("b"), nn.Tanh)
    assert list(d.keys()) == ["a"]
    with pytest.raises(errors.ModuleError, match=r"no entry 'x'; there are \['a'\]"):
        d["x"]
    d.clear()
    assert not len(d)
    p = nn.ParameterList([tg.ones(2)]).append(tg.zeros(3))
    q = nn.ParameterDict({"w": tg.ones(2)})
    assert [k for k, _ in p.named_parameters()] == ["0", "1"]
    assert isinstance(q["w"], nn.Parameter)
    assert [tuple(x.shape) for x in p] == [(2,), (3,)]
    assert list(q.state_dict()) == ["w"]
    assert "(1): Parameter containing: [float32 of size 3]" in repr(p)
