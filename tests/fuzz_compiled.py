"""Random steps over random state, played eagerly and through `tg.compile`; all that can be seen must be the same.

    python tests/fuzz_compiled.py --count 10000 --seed 0

A program makes tensors, arrays, a model, an optimiser and Python objects with numbers in them, defines a step that
uses them, and calls it several times with changes in between. It is played twice, with `compile` the identity and
with `compile` `tg.compile`, and everything that it names is compared after each call. A refusal has to be one that
`docs/compiler.md` lists, and has to leave everything as it was. The settings stand in `fuzz_settings.py`.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import fuzz_words as words
import numpy as np
from fuzz_draw import Draw, Nothing, Word
from fuzz_inplace import Side, compiled, has_node
from fuzz_kit import SAME, SILENT, Outcome, differs, main, message
from fuzz_settings import SETTINGS, USES, Setting, modules, named_after

import tinygrad_bp as tg
from tinygrad_bp.random import Generator

REFUSED, UNLISTED, ONE = "refused as documented", "refused, not documented", "they raise different things"
BOTH = "both raise the same"
LISTED = {
    "a branch on a value": r"decides|depends on (the|a) value|truth|branch",
    "looked at": r"print|item|float\(|int\(|look at it|tolist|allclose|bool\(",
    "sizes that depend on values": r"mask|nonzero|unique|size",
    "Python that changes": r"changes .* plain Python|the iterator",
    "requires_grad, modes": r"requires_grad|eval\(\)",
    "random numbers of others": r"draws random numbers|seed",
    "an argument written": r"writes into its argument|shares memory with",
    "an argument's gradient": r"gradient of one of its arguments",
    "two views": r"look into the same memory",
    "a graph from outside": r"graph was made outside",
    "NumPy that does not dispatch": r"does not dispatch|np\.array|out=|where=",
    "an odd result": r"the step returns a",
    "a graph that would outlive the step": r"writes a value with a graph into",
    "what nobody can look at": r"of class '(_thread\._local|_contextvars\.ContextVar|weakref\.\w+)'",
    "a hook": r"hooks of",
    "attributes of tensors": r"hangs attributes|reads attributes",
}  # the rows of the table in docs/compiler.md that programs can have, by words of their messages


class Player:
    """One side: the names of the program, with the step as it is or compiled."""

    def __init__(self, compile: Callable[[Any], Any], bare: bool) -> None:
        self.scope: dict[str, Any] = {"T": tg, "np": np, "compile": compile, **modules()}
        if not bare:  # else functions and classes call themselves `builtins`
            self.scope["__name__"] = "program"
        tg.manual_seed(0)
        self.random = tg.get_rng_state()

    def run(self, chunk: str) -> Exception | None:
        """Both sides draw from a stream of their own, as if the other were not there."""
        tg.set_rng_state(self.random)
        try:
            exec(compiled(chunk), self.scope)
        except Exception as error:
            return error.with_traceback(None)
        finally:
            self.random = tg.get_rng_state()
        return None

    def snapshot(self) -> dict[str, Any]:
        names = [name for name in self.scope if re.fullmatch(r"[a-z]\d+", name)]
        seen = {name: copied(self.scope[name], graph=name[0] != "q") for name in names}
        return {**seen, "the random stream": np.array(self.random)}


def copied(value: Any, deep: int = 4, graph: bool = True) -> Any:
    """Plain arrays and numbers of whatever a program can name."""
    if isinstance(value, tg.Tensor):
        seen = {"": np.array(value.detach().numpy()), ".type": type(value).__name__}
        if graph and has_node(value):  # a view of several, whose base was written to, has none that may be used
            seen |= {".requires_grad": value.requires_grad, ".is_leaf": value.is_leaf, ".grad": copied(value.grad)}
        return seen
    if isinstance(value, np.ndarray | np.generic):
        return np.array(value)
    if isinstance(value, Generator):
        return np.array(value.get_state())
    if isinstance(value, tg.nn.Module):
        return {f".{k}": copied(v) for k, v in [*value.named_parameters(), *value.named_buffers()]}
    if isinstance(value, tg.optim.Optimizer):
        return copied(value.state_dict())
    if isinstance(value, dict):
        return {f"[{key!r}]": copied(one, deep, graph) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(copied(one, deep, graph) for one in value)]
    if type(value) in (bool, int, float, str, type(None)):
        return value
    if isinstance(value, float):
        return [type(value).__name__, float(value), copied(vars(value))]
    if deep and type(value).__module__ == "builtins" and hasattr(value, "__iter__"):
        return [type(value).__name__, *sorted(map(repr, value))]
    inside = getattr(value, "__dict__", {}) if deep else {}
    plain = {f".{k}": copied(v, deep - 1) for k, v in inside.items() if k[0] != "_" and not callable(v)}
    return {"": type(value).__name__, **plain}


def chunks(lines: list[str]) -> list[str]:
    """Statements with the lines that belong to them."""
    found: list[str] = []
    for line in lines:
        if found and (line.startswith(" ") or found[-1].rpartition("\n")[2].startswith("@")):
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found


def play(lines: list[str]) -> Outcome:
    bare = len(lines) % 4 == 0
    eager, recorded = Player(lambda function: function, bare), Player(tg.compile, bare)
    results: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for chunk in chunks(lines):
            before = recorded.snapshot()
            error, other = eager.run(chunk), recorded.run(chunk)
            after = recorded.snapshot()
            if isinstance(other, tg.CompileError):
                told = differs(before, after, "", 0)
                return Outcome(SILENT, f"after a refusal, {told}", chunk) if told else refusal(other, chunk)
            if error or other:
                alike = type(error) is type(other) and plainly(error) == plainly(other)
                told = " | ".join([message(one) if one else "goes on" for one in (error, other)])
                return Outcome(BOTH, message(other)) if alike else Outcome(ONE, told, chunk)
            expected = eager.snapshot()
            for name in [name for name in expected if name[0] in "oq"]:
                if differs(results.setdefault(name, expected[name]), expected[name], "", 0):
                    del expected[name], after[name]  # a view of memory that was written since; compiled, it is a copy
            if told := differs(expected, after, "", 1e-9):
                return Outcome(SILENT, told, chunk)
    return Outcome(SAME)


def plainly(error: Exception) -> str:
    """What an error says, apart from the op that an eager graph ends in: the graph of a compiled step is one op."""
    return re.sub(r"backward through \w+", "backward through", str(error))


def refusal(error: Exception, chunk: str) -> Outcome:
    reason = next((reason for reason, pattern in LISTED.items() if re.search(pattern, str(error))), None)
    return Outcome(REFUSED if reason else UNLISTED, message(error), chunk)


# ------------------------------------------------------------------------------------------------------- growing


class Steps(Draw):
    """Letters: `w` leaves, `b` constants, `a` arrays, `x` arguments, `t` what the step makes, `c` Python, `m` a model,
    `p` its optimiser, `g` a generator, `o` results, `q` those of calls under `no_grad`: only their numbers are
    compared, since a view of a leaf says there that it requires a gradient."""

    def __init__(self, rng: random.Random, side: Any) -> None:
        super().__init__(rng, side)
        self.settings: dict[str, Setting] = {}

    def names(self, letters: str = "") -> list[str]:
        return super().names("xwbt")

    def target(self) -> str:
        return self.tensor(lambda t: self.chance(0.05) or not (t.is_leaf and t.requires_grad))

    def named(self, letter: str) -> str:
        return self.one([name for name in self.side.scope if re.fullmatch(rf"{letter}\d+", name)])


INPLACE = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
SHAPES = [(3,), (2, 3), (3, 3), (2,), (), (1, 3), (2, 2)]


def tensor_text(d: Draw, shape: Any, options: str = "") -> str:
    return f"T.tensor({d.literal(shape)}, dtype=T.float64{options})"


def state(d: Steps) -> list[str]:
    needs = ", requires_grad=True"
    lines = [f"{d.new('w')} = {tensor_text(d, d.one(SHAPES), needs)}" for _ in range(d.rng.randint(1, 2))]
    lines += [f"{d.new('b')} = {tensor_text(d, d.one(SHAPES))}" for _ in range(d.rng.randint(0, 2))]
    if d.chance(0.3):
        lines.append(f"{d.new('a')} = np.array({d.literal(d.one(SHAPES[:4]))})")
    if d.chance(0.4):
        m, lr = d.new("m"), d.one(["0.1", "0.5"])
        inner = d.one(["T.nn.Tanh()", "T.nn.Dropout(0.5)", "T.nn.Sigmoid()"])
        lines.append(f"{m} = T.nn.Sequential(T.nn.Linear(3, 2), {inner}, T.nn.Linear(2, 3)).double()")
        lines.append(f"{d.new('p')} = T.optim.SGD({m}.parameters(), lr={lr}{d.one(['', ', momentum=0.9'])})")
    if d.chance(0.15):
        lines.append(f"{d.new('g')} = T.Generator().manual_seed(3)")
    for _ in range(d.rng.randint(0, 2)):
        c, setting = d.new("c"), d.one(SETTINGS)
        d.settings[c] = setting
        lines += setting.made(c)
    if d.chance(0.2):
        lines.append(f"{lines[0].split()[0]}.register_hook(lambda g: g * 2)")
    if d.chance(0.1):
        shared = d.one(["detach()", "data", "detach()[...]", "detach().T"])
        lines.append(f"{d.new('b')} = {lines[0].split()[0]}.{shared}")
    return lines


def use(d: Steps) -> str:
    """A line that a Python number, or what Python knows of a tensor, has a say in."""
    x, n = d.floating(), d.new()
    if d.chance(0.6):
        c = d.named("c")
        read = named_after(d.one(d.settings[c].reads), c)
    else:
        read = d.one(USES).format(x=d.tensor(), y=d.tensor(), w=d.named("w"))
    return f"{n} = " + d.one([f"{x} * ({read})", f"{x} * 2 if ({read}) else {x} + 1", f"{x} + 3 * ({read})",
                              f"{x} ** 2 if ({read}) > 1 else {x}"])


def view(d: Steps) -> str:
    return f"{d.new()} = {d.one(words.VIEWS)(d, d.tensor())}"


def write(d: Steps) -> str:
    x = d.target()
    if x[0] == "x" and d.chance(0.95):  # refused
        raise Nothing
    text = words.written(d, x)
    if x[0] != "t":  # an augmented assignment would make the name a local one
        text = re.sub(r"^(\w+) ([-+*/])= (.*)", lambda m: f"{m[1]}.{INPLACE[m[2]]}_({m[3]})", text)
    return f"with T.no_grad(): {text}" if d[x].requires_grad and d[x].is_leaf else text


def drawn(d: Steps) -> str:
    x = d.floating()
    return f"{d.new()} = " + d.one([
        f"T.rand({tuple(d[x].shape)}) * {x}", f"T.randn_like({x})", f"T.nn.functional.dropout({x}, 0.5, training=True)",
        "T.randn(2, 3, dtype=T.float64)", "T.randint(0, 5, (3,)) * 0.5", "T.bernoulli(T.full((3,), 0.5))",
        f"T.rand(3, generator={d.named('g')})" if d.chance(0.5) else "T.rand(())",
    ])  # fmt: skip


def array(d: Steps) -> str:
    a, x = d.named("a"), d.floating()
    return f"{d.new()} = " + d.one([f"T.from_numpy({a}) * {x}", f"{x} + T.from_numpy({a})",
                                    f"{x} * float({a}.shape[0])", f"T.tensor({a}.sum()) * {x}"])


def gradient(d: Steps) -> str:
    x, w = d.in_graph(), d.named("w")
    scalar = words.loss(d, x)
    return d.one([
        *[f"{scalar}.backward()"] * 2, f"{scalar}.backward(retain_graph=True)",
        *[f"{d.new()}, = T.autograd.grad({scalar}, {w}, allow_unused=True{d.one(['', ', create_graph=True'])})"] * 2,
        f"{w}.grad = None", f"{d.new()} = {w}.grad * 2", f"{w}.grad.mul_(0.5)", f"{x}.register_hook(lambda g: g * 3)",
        f"{x}.retain_grad()", f"with T.no_grad(): {w}.sub_(0.1 * {w}.grad)",
    ])  # fmt: skip


def model(d: Steps) -> str:
    m, p = d.named("m"), d.named("p")
    x = d.tensor(lambda t: t.shape[-1:] == (3,) and str(t.dtype) == "float64")
    return d.one([*[f"{d.new()} = {m}({x})"] * 3, f"{p}.zero_grad()", f"{p}.step()", f"{m}({x}).sum().backward()",
                  f"{m}({x}).square().mean().backward(); {p}.step(); {p}.zero_grad()"])


def python(d: Steps) -> str:
    """What happens in Python alone; the table of refusals says what becomes of it."""
    c, x = d.named("c"), d.floating()
    return d.one([f"{c}.append(1)", f"{c}['n'] = 5", f"{d.new('k')} = {x}.sum().item()", f"assert {x}.sum() > -1e9"])


BODY = [
    Word(4, words.elementwise), Word(1.5, words.reduction), Word(1, words.joined), Word(3, view), Word(4, write),
    Word(4, use), Word(0.8, drawn), Word(0.8, array), Word(2.5, gradient), Word(2, model), Word(0.05, python),
]  # fmt: skip


def returned(d: Steps) -> str:
    x, y = d.tensor(), d.tensor()
    made = [name for name in d.names() if name[0] == "t"] or [x]
    if d.chance(0.5):
        return f"    return {', '.join(made[-d.rng.randint(1, 5) :])}"
    return "    return " + d.one([*[x] * 4, f"{x}, {y}", f"[{x}, ({y}, 2)]", f"{{'a': {x}, 'b': [{y}]}}", "None",
                                  f"{x}.detach()", f"{x}.sum().item()", f"{x}.detach().numpy()", f"{x}, {x}.shape"])


def change(d: Steps) -> str:
    """What a program does between two calls."""
    w, kind = d.named("w"), d.rng.random()
    if kind < 0.45:
        c = d.named("c")
        return named_after(d.one(d.settings[c].changes), c)
    if kind < 0.6:
        m, p = d.named("m"), d.named("p")
        return d.one([
            f"{m}.eval()", f"{m}.train()", f"{m}[0].weight.requires_grad_(False)", f"{p}.zero_grad()",
            f"{p}.param_groups[0]['lr'] *= 0.5", f"{p}.param_groups[0]['momentum'] = 0.5", f"{m}[0].bias.grad = None",
            f"{m}[1] = T.nn.ReLU()", f"{m}.load_state_dict({{k: v * 2 for k, v in {m}.state_dict().items()}})",
            f"{p}.param_groups[0]['weight_decay'] = 0.1", f"{m}[0].weight.data = {m}[0].weight.data * 2",
        ])  # fmt: skip
    if kind < 0.7:
        return d.one([f"{d.named('a')}[...] = 0.5", f"{d.named('a')} *= 2", f"{d.named('a')} = {d.named('a')} + 1"])
    return d.one([
        f"with T.no_grad(): {w}.mul_(0.5)", f"{w}.grad = None", f"{w}.requires_grad_(False)", "T.manual_seed(7)",
        f"{w} = {tensor_text(d, d[w].shape, ', requires_grad=True')}", f"{w}.grad = T.ones_like({w})",
        f"{w}.data = {w}.data * 2",
        f"{d.named('b')}.mul_(2)", f"{d.named('b')} = {tensor_text(d, (2, 3))}", f"{w}.detach().mul_(2)",
        f"{w}.register_hook(lambda g: g + 1)", "T.rand(2)", f"{w}.requires_grad_()", f"{w}.grad = {w}.detach().clone()",
    ])  # fmt: skip


def calls(d: Steps, arguments: dict[str, Any], differentiable: list[str]) -> list[str]:
    lines: list[str] = []
    for _ in range(d.rng.randint(3, 5)):
        for _ in range(d.rng.randint(0, 2) if lines else 0):
            lines += [line] if (line := Word(1, change).write(d)) else []
        shapes = {x: d.one(SHAPES) if d.chance(0.05) else shape for x, shape in arguments.items()}
        needs = ", requires_grad=True" if d.chance(0.1) else ""
        named = d.chance(0.1)
        told = [f"{x + '=' if named else ''}{tensor_text(d, s, needs)}" for x, s in shapes.items()]
        if quiet := d.chance(0.05):
            lines.append(f"with T.no_grad(): {d.new('q')} = step({', '.join(told)})")
        else:
            lines.append(f"{d.new('o')} = step({', '.join(told)})")
        if differentiable and not quiet and d.chance(0.4):
            o = d.one([f"o{d.count}{key}" for key in differentiable])
            w, needs = d.named("w"), d.one(["", ", retain_graph=True"])
            lines.append(d.one([f"{o}.sum().backward({needs[2:]})"] * 3
                               + [f"{d.new('o')} = T.autograd.grad({o}.sum(), {w}, allow_unused=True{needs})"]))
    return lines


def with_graph(result: Any) -> list[str]:
    """The keys by which one gets at results that require a gradient."""
    parts = enumerate(result) if isinstance(result, tuple | list) else [("", result)]
    return [f"[{key}]" if key != "" else "" for key, one in parts if getattr(one, "requires_grad", False)]


def grow(rng: random.Random) -> list[str]:
    side = Side("tinygrad_bp")
    side.scope.update(modules())
    tg.manual_seed(0)
    d = Steps(rng, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = state(d)
        for chunk in chunks(before):
            assert side.run(chunk) is None, chunk
        arguments = {d.new("x"): d.one(SHAPES) for _ in range(rng.choice([0, 1, 1, 1, 2]))}
        for x, shape in arguments.items():
            side.run(f"{x} = {tensor_text(d, shape)}")
        body, wanted = list[str](), rng.randint(2, 8)
        for _ in range(40):
            line = rng.choices(BODY, [word.weight for word in BODY])[0].write(d)
            if len(body) < wanted and line is not None and side.run(line) is None:
                body.append("    " + line)
        end = returned(d)
        side.run(f"result = ({end.removeprefix('    return ')})")
        lines = [*before, "@compile", f"def step({', '.join(arguments)}):", *body, end]
        return lines + calls(d, arguments, with_graph(side.scope.get("result")))


if __name__ == "__main__":
    main(grow, partial(play), (__doc__ or "").partition("\n")[0], 300)
