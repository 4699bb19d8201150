"""`python -m tinygrad_bp gradcheck …`: the exit status, the report, and one clear sentence for everything mistyped.

Most tests call `main` in this process; two start a real one. Read `test_examples.py` next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinygrad_bp.__main__ import finite, main

ROOT = Path(__file__).parent.parent
LAYERS = '''
"""Layers of an imaginary user."""
import tinygrad_bp as tg


class Right(tg.nn.Module):
    def __init__(self, n_in, n_out, bias=True):
        super().__init__()
        self.fc = tg.nn.Linear(n_in, n_out, bias=bias)

    def forward(self, x):
        return self.fc(x).tanh()


class Wrong(tg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return -g * 2 * x


class Pick(tg.nn.Module):
    def __init__(self, rows, size):
        super().__init__()
        self.weight = tg.nn.Parameter(tg.randn(rows, size))

    def forward(self, i):
        return self.weight[i]


def scale(a, b):
    return a * b


def raising(x):
    raise ZeroDivisionError("by design")


ready = Right(3, 2)
number = 3
'''


@pytest.fixture(autouse=True)
def layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `mypackage` in the working directory."""
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text(LAYERS)
    (package / "empty.py").write_text("import math\n")
    (package / "broken.py").write_text("x = 1\nx / 0\n")
    (package / "unclosed.py").write_text("def f(:\n")
    (package / "needy.py").write_text("import no_such_library\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
        monkeypatch.delitem(sys.modules, name)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """(exit status, what was printed) of `gradcheck mypackage.layers…`."""
    try:
        status: Any = main(["gradcheck", *words])
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.mark.parametrize(
    "words",
    [
        ("Right", "--args", "3, 2, bias=False", "--input", "4,3"),
        ("ready", "--input", "4,3"),
        ("scale", "--input", "4,3", "--input", "3"),
        ("scale", "--input", "()", "--input", "3"),
        ("Pick", "--args", "10, 3", "--input", "5:int<10"),
        ("Right", "--args", "3, 2", "--input", "4,3", "--dtype", "float32"),
        ("scale", "--input", "2", "--input", "2", "--order", "2", "--seed", "7"),
    ],
)
def test_right_gradients_end_with_0(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, f"mypackage.layers:{words[0]}", *words[1:])
    assert status == 0, text
    assert "passed" in text


def test_wrong_gradients_end_with_1_and_the_cause(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "mypackage.layers:Wrong", "--input", "4,3")
    assert status == 1
    assert "FAIL" in text
    assert "sign" in text


def test_parameters_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = run(capsys, "mypackage.layers:Right", "--args", "3, 2", "--input", "4,3")
    assert "fc.weight" in text
    assert "fc.bias" in text


def test_json_is_strict_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "mypackage.layers:Wrong", "--input", "2", "--json", "--seed", "3")
    report = json.loads(text, parse_constant=pytest.fail)
    assert (status, report["passed"], report["verdict"], report["seed"]) == (1, False, "FAIL", 3)
    assert report["findings"][0]["diagnosis"]


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    assert finite({"a": [float("nan"), [float("-inf"), 1.5, 2]]}) == {"a": ["nan", ["-inf", 1.5, 2]]}
    status, text = run(capsys, "tinygrad_bp:log", "--input", "4", "--json")  # of negative numbers
    assert (status, json.loads(text, parse_constant=pytest.fail)["verdict"]) == (1, "NONFINITE")


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "mypackage.layers:Wrong", "--input", "2", "--quiet") == (1, "")


def test_the_seed_decides_the_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(seed: str) -> Any:
        text = run(capsys, "mypackage.layers:Wrong", "--input", "3", "--json", "--seed", seed)[1]
        return json.loads(text)["findings"][0]["entries"]

    assert shown("1") == shown("1") != shown("2")


def test_the_range_keeps_inputs_where_the_function_lives(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "tinygrad_bp:log", "--input", "4", "--range", "0.1,2")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("mypackage.layers", "--input", "3"), "write which of its names to check: Right, Wrong, Pick"),
        (("mypackage.layers:", "--input", "3"), "write which of its names to check"),
        (("mypackage.empty", "--input", "3"), "defines no layer and no function"),
        (("mypackage.empty:Net", "--input", "3"), "mypackage.empty has no 'Net'"),
        (("mypackage.layers:Rihgt", "--input", "3"), "to check there are Right, Wrong"),
        (("mypackage.layers:number", "--input", "3"), "is of type int"),
        (("mypakcage.layers:Right", "--input", "3"), "'mypakcage' is not found"),
        (("mypackage.lairs:Right", "--input", "3"), "'mypackage.lairs' is not found"),
        (("mypackage.broken:Right", "--input", "3"), "ZeroDivisionError: division by zero"),
        (("mypackage.broken:Right", "--input", "3"), "broken.py:2)"),
        (("mypackage.unclosed:Right", "--input", "3"), "mypackage.unclosed does not import: SyntaxError"),
        (("mypackage.needy:Right", "--input", "3"), "does not import: No module named 'no_such_library'"),
        (("mypackage/layers.py:Right", "--input", "3"), "write it as a module, mypackage.layers:NAME"),
        ((":Right", "--input", "3"), "the empty name does not import"),
        (("mypackage.layers:Wrong",), "what goes in? Write --input SIZES"),
        (("mypackage.layers:Wrong", "--input", "4;3"), "'4;3' is no shape"),
        (("mypackage.layers:Wrong", "--input", "N,3"), "sizes are numbers here"),
        (("mypackage.layers:Wrong", "--input", "3", "--range", "2,-2"), "the smaller one first"),
        (("mypackage.layers:Wrong", "--input", "3", "--range", "wide"), "two numbers"),
        (("mypackage.layers:Wrong", "--input", "3", "--seed", "-1"), "0 or more is expected"),
        (("mypackage.layers:Right", "--input", "3", "--args", "open('x')"), "numbers, strings, lists and name=value"),
        (("mypackage.layers:Right", "--input", "3", "--args", "3, 2); import os; f("), "--args"),
        (("mypackage.layers:Right", "--input", "4,3", "--args", "3"), "missing 1 required positional argument"),
        (("mypackage.layers:Right", "--input", "4,5", "--args", "3, 2"), "in_features = 3"),
        (("mypackage.layers:scale", "--input", "4", "--args", "3"), "--args is for a Module's class"),
        (("mypackage.layers:raising", "--input", "4"), "by design"),
        (("mypackage.layers:Wrong", "--input", "3", "--order", "3"), "invalid choice"),
        (("mypackage.layers:Wrong", "--input", "3", "--dtype", "int8"), "invalid choice"),
        ((), "required"),
    ],
)
def test_misuse_ends_with_2_and_one_sentence(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = run(capsys, *words)
    assert status == 2
    assert told in text
    assert "Traceback" not in text


@pytest.mark.parametrize(("name", "status"), [("ready", 0), ("Wrong", 1), ("Nothing", 2)])
def test_in_a_shell(name: str, status: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tinygrad_bp", "gradcheck", f"mypackage.layers:{name}", "--input", "4,3"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert bool(done.stdout) is (status != 2)


def test_help_shows_how(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "--help")
    assert status == 0
    assert "--input 4,3" in text
    assert "exit status: 0" in text
