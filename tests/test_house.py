"""The house is as drawn: imports go one way, files and functions are short, rules are sentences in NumPy's words.

Nothing is imported to find this out but the tables; the rest is read with `ast`.
"""

from __future__ import annotations

import ast
import dis
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY, parameters

PACKAGE = Path(tg.__file__).parent
# From the foundation upwards; a module imports from the rooms before its own, and from its own package.
ROOMS = """
errors | axes duck alarms pytree | modes memory dtypes files device cuda | kernels header core fitting
| engine alias joint refusals | dialect calling | gathering | declare | grammar ops | creation inplace random
| conversion methods | pickling attributes numpy_api printing | autograd | sampling utilities | _tensor | serialize
| checkpoints | nn | optim | data snapshot | gradcheck compiler draw reference stub_nn | stub testing | __main__
"""
RANK = {name: i for i, room in enumerate(ROOMS.split("|")) for name in room.split()}
# Imports inside a function that go up all the same, each for the reason given.
UPWARDS = {
    ("core", "creation"),  # `Tensor([1, 2])`, PyTorch's old constructor, reads Python lists
}
TABLES = {"nn.functional.loss", "ops.activation", "ops.loss"}  # one table of one kind, which may be long
ASKED_FOR = {("testing.strategies", "hypothesis")}  # a module that is of use only beside this library


def modules() -> dict[str, Path]:
    """Dotted name inside the package → file; the package's own __init__ is ''."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def statements(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every statement that runs, and whether it stands inside a function."""
    for child in ast.iter_child_nodes(node):
        if typing_only(child):
            continue
        yield child, inside
        yield from statements(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """(module of the package that is imported, whether inside a function)."""
    path = MODULES[name]
    here = name.split(".") if name else []
    package = here if path.name == "__init__.py" else here[:-1]
    for node, inside in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                full = ".".join([*base, alias.name])
                yield (full if full in MODULES else ".".join(base)), inside
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for full in names:
                if full.split(".")[0] == PACKAGE.name:
                    raise AssertionError(f"{name}: write `from .{full.partition('.')[2]} import …`, relative")


@pytest.mark.parametrize("name", [n for n in MODULES if n])
def test_every_module_has_a_room_and_imports_only_downwards(name: str) -> None:
    room = name.split(".")[0]
    assert room in RANK, f"{name}: give it a place in ROOMS"
    for other, inside in imports(name):
        below = other.split(".")[0]
        if below == room or (inside and (room, below) in UPWARDS):
            continue
        assert below, f"{name} imports from the package's __init__"
        assert RANK[below] < RANK[room], f"{name} ({room}) imports {other}, which is above or beside it"


def test_no_two_files_of_one_room_import_each_other() -> None:
    graph = {name: {other for other,
        inside in imports(name) if not inside and other in MODULES and MODULES[other].name != "__init__.py"}
             for name in MODULES}  # fmt: skip
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' → '.join([*path[path.index(name):], name])}"
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", MODULES)
def test_numpy_is_the_only_library(name: str) -> None:
    """Optional help (a progress bar, a plot) may be looked for inside a function, never at import."""
    for node, inside in statements(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if inside or not isinstance(node,
            ast.Import | ast.ImportFrom) or (isinstance(node, ast.ImportFrom) and node.level):
            continue
        for full in [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]:
            top = full.split(".")[0]
            assert top == "numpy" or top in sys.stdlib_module_names or (name,
                top) in ASKED_FOR, f"{name} imports {full}"


def test_core_imports_numpy_alone() -> None:
    below = {"alarms", "duck", "errors", "memory"}
    assert {other for other, inside in imports("core") if not inside} == below


@pytest.mark.parametrize("name", MODULES)
def test_files_and_functions_fit_a_screen(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{name}: a file opens with what the reader will know afterwards"
    assert len(text.splitlines()) <= 400 or name in TABLES, f"{name}: {len(text.splitlines())} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            lines = (node.end_lineno or 0) - first.lineno + 1
            assert lines <= 40, f"{name}.{node.name}: {lines} lines"


# -------------------------------------------------------------------------------------------------- lint of rules

SPACES = {"np", "dialect", "math"}
ON_VALUES = {"shape", "dtype", "ndim", "mT", "astype", "reshape"}  # these mean the same on arrays and on Tensors
BANNED = {"isinstance", "type", "hasattr", "float", "Tensor", "wrap", "ndarray", "array", "float64", "float32",
    "empty", "zeros", "ones"}


def instructions(code: CodeType) -> list[dis.Instruction]:
    return [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "RESUME", "NOP", "PUSH_NULL",
        "PRECALL", "EXTENDED_ARG")]


def faults(rule: Callable[..., Any]) -> list[str]:
    """What a rule says that it may not say."""
    found, codes = [], [rule.__code__]  # type: ignore[attr-defined]
    while codes:
        code = codes.pop()
        codes += [c for c in code.co_consts if isinstance(c, CodeType)]
        steps = instructions(code)
        for before, step, after, last in zip([None, *steps], steps, [*steps[1:], None], [*steps[2:], None, None],
            strict=False):
            if step.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")):
                space = before is not None and before.opname.startswith("LOAD_GLOBAL") and before.argval in SPACES
                if not space and step.argval not in ON_VALUES:
                    found.append(f".{step.argval} on a value")
                called = last is not None and last.opname.startswith("CALL")
                number = after is not None and after.opname.startswith("LOAD_") and type(after.argval) in (int, float)
                if space and before.argval == "np" and number and called:
                    found.append(f"np.{step.argval} of a constant: use math")
            if step.opname.startswith(("LOAD_GLOBAL", "LOAD_ATTR", "LOAD_METHOD")) and step.argval in BANNED:
                found.append(f"{step.argval} in a rule")
            if step.opname == "STORE_SUBSCR" or (step.opname == "BINARY_OP" and "=" in step.argrepr):
                found.append("a write in place")
    return found


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if op.written])
def test_rules_are_one_sentence_that_every_reader_understands(name: str) -> None:
    for rule in REGISTRY[name].written:
        assert parameters(rule)[0] in ("g", *(f"g_{name}" for name in REGISTRY[name].outputs))
        assert faults(rule) == [], f"{name}: {faults(rule)}"


def inplace_rule(g: Any) -> Any:
    g *= 2
    return g


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (lambda g, x: g.transpose(0, 1), "transpose"),
        (lambda g, x: g * x.size, "size"),
        (lambda g, x: g.sum(0), "sum"),
        (lambda g: g * np.sqrt(2), "sqrt"),
        (lambda g: g * np.log(2.0), "log"),
        (lambda g, x: g if isinstance(x, np.ndarray) else -g, "isinstance"),
        (lambda g, x: g * np.array(x), "array"),
        (lambda g, x: g * x.max(), "max"),
        (lambda g: (lambda h: h.view(-1))(g), "view"),
        (inplace_rule, "write"),
    ],
)
def test_the_lint_itself(rule: Callable[..., Any], fault: str) -> None:
    assert any(fault in told for told in faults(rule))


def test_the_lint_lets_good_sentences_pass() -> None:
    for rule in (
        lambda g, x: g * np.cos(x) / math.sqrt(2),
        lambda g, a: (a.mT @ g).reshape(a.shape),
        lambda g, x, axis: np.sum(g * (x == 0), axis=axis, keepdims=True).astype(g.dtype),
    ):
        assert faults(rule) == []


# ------------------------------------------------------------------------------------------------------- documents


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    listed = getattr(module, "__all__", None)
    for name in listed or [n for n in vars(module) if not n.startswith("_")]:
        value = getattr(module, name)
        home = PACKAGE.name if listed or module is tg else module.__name__
        if isinstance(value, FunctionType | type) and value.__module__.startswith(home):
            yield f"{module.__name__}.{name}", value


SURFACES = [tg, tg.autograd, tg.autograd.functional, tg.nn, tg.nn.functional, tg.nn.init, tg.optim]


@pytest.mark.parametrize(("name", "value"), [pair for module in SURFACES for pair in public(module)])
def test_public_names_are_documented_with_an_example(name: str, value: Any) -> None:
    """An operation has its line of words (and its formula in the reference); an exception needs no example."""
    doc = inspect.getdoc(value) or ""
    assert doc, f"{name} has no docstring"
    operation = hasattr(value, "op") or value.__name__ in REGISTRY or value.__module__.endswith(".methods")
    if not operation and not (isinstance(value, type) and issubclass(value, Exception)):
        assert ">>>" in doc, f"{name} shows no example"
