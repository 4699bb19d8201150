"""State that a step reads through a library or a module: watched where it can be looked at, refused elsewhere.

Read `test_compile_reach_drawn.py` next.
"""

from __future__ import annotations

import math
import sys
import types
import warnings
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compile_kit import agrees, data, told

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.compiler.readers import MODULES, TOLD, owner_of

HERE = Path(__file__)
READING = [
    ("import os", "float(os.getenv('HOME') is None)"),
    ("from os import getenv", "float(getenv('HOME') is None)"),
    ("import os as system", "len(system.getcwd())"),
    ("import os", "len(os.listdir('.'))"),
    ("import os", "os.path.exists(HERE)"),
    ("from os import path", "path.exists(HERE)"),
    ("from os.path import getsize as size", "size(HERE)"),
    ("import os", "os.stat(HERE).st_size"),
    ("", "len(open(HERE).read())"),
    ("import io", "len(io.open(HERE).read())"),
    ("import json", "json.load(open(HERE))"),
    ("from pathlib import Path", "len(Path(HERE).read_text())"),
    ("import pathlib", "len(pathlib.Path(HERE).read_text())"),
    ("from pathlib import Path\nat = Path('.')", "at.exists()"),
    ("from pathlib import Path", "len(str(Path.cwd()))"),
    ("import numpy as np", "np.loadtxt(HERE)"),
    ("from numpy import load", "load(HERE)"),
    ("import numpy as np", "np.fromfile(HERE)"),
    ("import numpy as np", "np.genfromtxt(HERE)"),
    ("import numpy as np", "len(np.geterr())"),
    ("import numpy as np", "np.get_printoptions()['precision']"),
    ("import decimal", "decimal.getcontext().prec"),
    ("from decimal import getcontext", "getcontext().prec"),
    ("import sys", "sys.getrecursionlimit()"),
    ("import sys", "len(sys.stdin.readline())"),
    ("import locale", "len(locale.localeconv())"),
    ("import time", "time.localtime().tm_year"),
    ("import time\nnow = time.time", "now()"),
    ("import datetime", "datetime.datetime.now().year"),
    ("import datetime", "datetime.date.today().year"),
    ("from datetime import datetime", "datetime.now().year"),
    ("import datetime as d\nread = d.datetime", "read.now().year"),
    ("import threading", "len(threading.current_thread().name)"),
    ("import tinygrad_bp as tg", "tg.initial_seed()"),
    ("import tinygrad_bp as tg", "tg.load(HERE)"),
    ("from tinygrad_bp import load, initial_seed as seed", "seed()"),
    ("import os\ndef inner(read=os.getcwd): return len(read())", "inner()"),
    ("class Box:\n    read = staticmethod(open)", "len(Box.read(HERE).read())"),
    ("import os.path as p", "p.exists(HERE)"),
    ("def inner():\n    import os.path\n    return os.path.exists(HERE)", "inner()"),
    ("def inner():\n    import decimal\n    return decimal.getcontext().prec", "inner()"),
    ("import tinygrad_bp as tg\ng = tg.Generator()", "g.initial_seed()"),
    ("import functools, os\nf = functools.partial(os.getenv, 'HOME')", "len(f())"),
    ("import os\ntools = {'read': os.getcwd}", "len(tools['read']())"),
    ("import os\nclass Box: pass\nbox = Box()\nbox.read = os.getcwd", "len(box.read())"),
    ("import os", "len(getattr(os, 'getcwd')())"),
    ("import os\ndef inner(m): return len(m.getcwd())", "inner(os)"),
    ("def inner():\n    import os\n    return len(os.getcwd())", "inner()"),
    ("def inner():\n    from os import getcwd\n    return len(getcwd())", "inner()"),
    ("def inner():\n    from time import localtime\n    return localtime().tm_year", "inner()"),
    ("import os\nclass A:\n    @property\n    def size(self): return len(os.getcwd())\na = A()", "a.size"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "read"), READING)
def test_what_reads_a_state_of_a_library_is_refused(before: str, read: str) -> None:
    scope: dict[str, Any] = {"HERE": str(HERE), "__name__": "drawn"}
    exec(before, scope)
    with pytest.raises(tg.CompileError, match="before each call") as caught:
        tg.compile(eval(f"lambda x: x * ({read})", scope))(data(3))
    told(caught.value)
    assert "pass the value in" in str(caught.value), caught.value


def test_the_table_names_what_there_is() -> None:
    """Each name of a module that is imported is one on some system or in some version."""
    found = [name for name in TOLD if owner_of(name)[0] is not None and hasattr(*owner_of(name))]
    assert len(found) > 100
    assert {name.partition(".")[0] for name in TOLD} == MODULES
    assert all(name in sys.stdlib_module_names for name in MODULES - {"numpy", "tinygrad_bp"})


def test_what_the_step_does_not_touch_is_let_be() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer0, self.folder = nn.Linear(3, 3), HERE

        def forward(self, x: Any) -> Any:
            return getattr(self, f"layer{0}")(x) * len(self.folder.suffix) * np.sqrt(2.0) * math.pi

    class Trainer:
        def __init__(self) -> None:
            self.model = Model()

        def restore(self) -> str:
            with open(HERE, encoding="utf-8") as file:
                return self.model.folder.read_text() + file.read()

        @tg.compile
        def step(self, x: Any) -> Any:
            return self.model(x)

    trainer = Trainer()
    x = tg.rand(2, 3)
    assert trainer.restore()
    assert np.allclose(trainer.step(x).detach().numpy(), trainer.model(x).detach().numpy())


@pytest.fixture
def package() -> Any:
    made = sys.modules["drawn_package"] = types.ModuleType("drawn_package")
    sys.modules["drawn_package.part"] = made.part = types.ModuleType("drawn_package.part")  # type: ignore[attr-defined]
    yield made
    del sys.modules["drawn_package"], sys.modules["drawn_package.part"]


COMING = {
    "getattr": "getattr(given, 'rate', 2.0)", "hasattr": "(3.0 if hasattr(given, 'rate') else 2.0)",
    "part": "getattr(given.part, 'rate', 2.0)", "inner": "inner(given)", "inner part": "inner(given.part)",
    "held": "inner(holder['m'])",
    "made up": "getattr(given, key, 2.0)", "dict": "vars(given).get(key, 2.0)", "count": "len(given.__dict__)",
    "entry": "given.__dict__.get('rate', 2.0)", "tried": "tried(given)",
    "imported": "late()", "imported whole": "later()",
}  # fmt: skip
INNER = """
def inner(m): return getattr(m, 'rate', 2.0)
def tried(m):
    try: return m.rate
    except AttributeError: return 2.0
def late():
    import drawn_package
    return getattr(drawn_package, 'rate', 2.0)
def later():
    from drawn_package import part
    return getattr(part, 'rate', 2.0)
"""


@pytest.mark.parametrize("how", ["global", "argument"])
@pytest.mark.parametrize("name", COMING)
def test_an_attribute_that_a_module_gets_and_loses(name: str, how: str, package: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        scope: dict[str, Any] = {"given": package, "holder": {"m": package}, "key": "rate", "__name__": "drawn"}
        exec(INNER, scope)
        step = compile(eval(f"lambda x{', given' * (how == 'argument')}: x * {COMING[name]}", scope))
        args = (package,) * (how == "argument")
        for owner in (package, package.part):
            see(step(data(3), *args))
            owner.rate = 3.0
            see(step(data(3), *args))
            owner.rate = 4.0
            see(step(data(3), *args))
            del owner.rate
        see(step(data(3), *args))

    agrees(script)


def put(rate: float) -> Any:
    return lambda x: x * rate


GIVEN = {
    "number": ("{m}.drawn_rate", float), "text": ("float({m}.drawn_rate)", str),
    "list": ("{m}.drawn_rate[0]", lambda v: [v]), "dict": ("{m}.drawn_rate['a']", lambda v: {"a": v}),
    "tuple": ("{m}.drawn_rate[0]", lambda v: (v,)), "array": ("{m}.drawn_rate", lambda v: np.array([v])),
    "object": ("{m}.drawn_rate.v", lambda v: types.SimpleNamespace(v=v)), "tensor": ("{m}.drawn_rate", tg.tensor),
    "function": ("{m}.drawn_rate(1.0)", put), "inside": ("(lambda: late())()", float),
    "whole": ("getattr({m}, 'drawn_rate')", float),
    "default": ("getattr({m}, 'drawn_rate', 9.0)", float),
    "module": ("{m}.drawn_rate.v", lambda v: module_of(v)),
}  # fmt: skip


def module_of(value: float) -> types.ModuleType:
    made = types.ModuleType("drawn_settings")
    made.v = value  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("module", ["tg", "np", "math", "tg.nn.functional", "np.linalg", "sys"])
@pytest.mark.parametrize("kind", GIVEN)
def test_what_a_user_puts_into_a_library(kind: str, module: str) -> None:
    scope: dict[str, Any] = {"tg": tg, "np": np, "math": math, "sys": sys, "__name__": "drawn"}
    exec(f"def late():\n    from {eval(module, scope).__name__} import drawn_rate\n    return drawn_rate", scope)
    owner, (text, build) = eval(module, scope), GIVEN[kind]

    def script(compile: Any, see: Any) -> None:
        step = compile(eval(f"lambda x: x * {text.format(m=module)}", scope))
        for value in (2.0, 2.0, 3.0, 2.0):
            owner.drawn_rate = build(value)
            see(step(data(3)))
        if kind == "default":
            del owner.drawn_rate
            see(step(data(3)))

    try:
        agrees(script)
    finally:
        vars(owner).pop("drawn_rate", None)


@pytest.mark.parametrize("build", [lambda: defaultdict(lambda: 2.0), lambda: defaultdict(list, a=[1]), Counter,
    OrderedDict, type("Mine", (dict,), {}), type("Late", (OrderedDict,), {})])  # fmt: skip
def test_a_dict_that_gets_a_key_in_the_step_is_refused_and_put_back(build: Any) -> None:
    held = build()
    before = list(held.items())

    def step(x: Any) -> Any:
        if "k" not in held:
            held["k"] if type(held) is defaultdict else held.update(k=2.0)
        return x * 2

    for _ in range(2):
        with pytest.raises(tg.CompileError, match="'held'"):
            tg.compile(step)(data(3))
        assert list(held.items()) == before


def test_a_warning_of_hidden_layers_points_at_the_call() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(3, 3)]

        def forward(self, x: Any) -> Any:
            return self.layers[0](x)

    model = Hidden()
    step = tg.compile(lambda x: model(x))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        step(tg.rand(2, 3))
    found = [warning for warning in heard if "plain list" in str(warning.message)]
    assert found
    assert {warning.filename for warning in found} == {__file__}
