"""The engine beside PyTorch's: the same few lines on both sides, everything that they show compared.

Leaves that rest, gradients with a graph, assignments to `.grad`, hooks of layers, warnings.
"""

from __future__ import annotations

import textwrap
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.errors import TensorError

torch = pytest.importorskip("torch")


def plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return value.detach().numpy().tolist() if hasattr(value, "detach") else value


def shown(module: Any, program: str, warn: bool = True) -> list[Any]:
    """What the lines show; where they raise, that they do; where they warn with a UserWarning, that they do."""
    seen: list[Any] = []
    scope = {"T": module, "np": np, "see": lambda *values: seen.append(plain(values)), "leaf": lambda *values: (
        module.tensor(list(values), requires_grad=True))}  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(textwrap.dedent(program), scope)
        except TensorError:
            seen.append("raises")
        except Exception:
            if module is tg:
                raise
            seen.append("raises")
    told = [w for w in caught if issubclass(w.category, UserWarning) and "reference cycle" not in str(w.message)]
    return [*seen, *["warns"] * (warn and bool(told))]


def agree(program: str, warn: bool = True) -> None:
    assert shown(tg, program, warn) == shown(torch, program, warn)


RESTING = [
    "x.requires_grad_(False)",
    "x.requires_grad = False",
    "x.detach_()",
    "x.requires_grad_(False); x.requires_grad_(True)",
    "x.detach_(); x.requires_grad_()",
    "x.grad = T.ones(2); x.requires_grad_(False)",
    "x.requires_grad_(False); z = x * 2; see(z.requires_grad); x.requires_grad_(); y = y + x * 5",
    "x.register_hook(lambda g: g * 10); x.requires_grad_(False); x.requires_grad_(True)",
    "x.register_hook(lambda g: see(g)); x.requires_grad_(False)",
    "x.requires_grad_(False); see(T.autograd.grad(y.sum(), y, retain_graph=True))",
    "x.detach_(); x.requires_grad_(); see(T.autograd.grad(y.sum(), x, retain_graph=True))",
    "y.detach_()",
    "y.requires_grad_(False)",
    "y.sum().backward(retain_graph=True); x.requires_grad_(False)",
]


@pytest.mark.parametrize("change", RESTING)
def test_a_leaf_that_asks_no_more_gets_no_gradient(change: str) -> None:
    start = "x = leaf(1.0, 2.0); y = x * 3; z = (y * 2).sum()"
    agree(f"{start}\n{change}\nsee(x.requires_grad); z.backward(); see(x.grad)")
    agree(f"x = leaf(1.0, 2.0); y = x * 3\n{change}\ny.sum().backward(); see(x.grad)")


@pytest.mark.parametrize(
    "program",
    [
        "a, b = leaf(1.0), leaf(2.0)\n"
        "for _ in range(3):\n    (a + b).sum().backward(create_graph=True); see(a.grad, b.grad)",
        "a, b = leaf(1.0), leaf(2.0)\n"
        "(a + b).sum().backward(create_graph=True); (a + b).sum().backward(); see(a.grad, b.grad)",
        "a = T.tensor(1.0, requires_grad=True); a.backward(create_graph=True); a.grad += 1; see(a.grad)\n"
        "b = T.tensor(1.0, requires_grad=True); b.backward(create_graph=True); see(b.grad)",
        "a = leaf(1.0, 2.0); (a * a).sum().backward(create_graph=True); g = a.grad; (a * a).sum().backward()\n"
        "see(a.grad is g, g, g.requires_grad)",
        "a = leaf(1.0, 2.0); v = leaf(3.0, 4.0); (a + 0).backward(v, create_graph=True); see(a.grad, a.grad is v)\n"
        "a.grad.sum().backward(); see(v.grad)",
        "m = T.nn.Linear(2, 1); m(T.ones(1, 2)).sum().backward(create_graph=True); g = m.bias.grad\n"
        "m.zero_grad(set_to_none=False); see(m.weight.grad, m.bias.grad is g, g, g.requires_grad)",
        "a = leaf(1.0, 2.0); o = T.optim.SGD([a], lr=0.1); (a ** 3).sum().backward(create_graph=True)\n"
        "o.zero_grad(set_to_none=False); see(a.grad, a.grad.requires_grad); (a ** 3).sum().backward(); see(a.grad)",
        "a = leaf(1.0, 2.0); a.grad = T.ones(1).expand(2); o = T.optim.SGD([a], lr=0.1); o.step(); see(a)",
    ],
)
def test_gradients_with_a_graph(program: str) -> None:
    agree(program)


def test_each_gradient_has_memory_of_its_own() -> None:
    a, b = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    for create in (False, True):
        seed = tg.ones(2)
        found = tg.autograd.grad(a + b, (a, b, a), seed, create_graph=create)
        found[0].array[0] = 7
        assert [g.tolist() for g in (*found, seed)] == [[7, 1], [1, 1], [1, 1], [1, 1]]
    (g,) = tg.autograd.grad(a.sum() * 1, a.sum() * 1, create_graph=True, allow_unused=True)
    assert g is None
    s = tg.tensor(1.0, requires_grad=True)
    for _ in range(2):
        (g,) = tg.autograd.grad(s, s, create_graph=True)
        assert g.item() == 1
        g.array[...] = 5  # not everybody's seed


@pytest.mark.parametrize(
    "value",
    ["1.0", "[1.0, 2.0]", "np.ones(2)", "T.ones(3)", "T.ones(1, 2)", "T.ones(())", "T.ones(2, dtype=T.float64)", "'g'",
     "T.tensor([1, 2])", "x", "None", "T.ones(2)", "leaf(1.0, 2.0)", "(x * 2)", "T.nn.Parameter(T.ones(2))", "True"],
)  # fmt: skip
def test_grad_takes_a_tensor_that_fits_or_none(value: str) -> None:
    agree(f"x = leaf(1.0, 2.0); x.grad = T.zeros(2)\ntry:\n    x.grad = {value}\nfinally:\n    see(x.grad)")
    agree(f"x = T.ones(2); x.grad = {value}; see(x.grad)")


def test_a_deleted_grad_is_none() -> None:
    agree("x = leaf(1.0); x.sum().backward(); del x.grad; see(x.grad); x.sum().backward(); see(x.grad)")
    agree("x = leaf(1.0); del x.grad; del x.grad; see(x.grad)")


@pytest.mark.parametrize(
    ("program", "warns"),
    [
        ("see((leaf(1.0) * 2).grad)", True),
        ("y = leaf(1.0) * 2; y.sum().backward(); see(y.grad)", True),
        ("y = leaf(1.0) * 2; y.retain_grad(); see(y.grad, y.retains_grad)", False),
        ("y = leaf(1.0) * 2; y.grad = T.ones(1); see(y.grad)", False),
        ("see(leaf(1.0).grad, T.ones(1).grad, (T.ones(1) * 2).grad)", False),
        ("x = leaf(1.0, 2.0); see(T.tensor([x[0] * 2, x[1]]))", True),
        ("x = leaf(1.0, 2.0); see(T.as_tensor([x[0] * 2, 1.0]))", True),
        ("x = leaf(1.0, 2.0); see(T.tensor([x[0].detach() * 2, 1.0]))", False),
        ("import math; x = leaf(4.0); see(math.sqrt(x))", True),
        ("x = leaf(4.0); see(float(x), float(x))", True),
        ("x = leaf(4.0)\nwith T.no_grad(): see(float(x))", False),
        ("x = leaf(4.0); see(x.item(), x.tolist(), int(x), bool(x), f'{x.item():.1f}', float(x.detach()))", False),
        ("x = leaf(4.0, 2.0); see(T.tensor(x * 2))", True),
        ("see(T.nn.Parameter(T.ones(2)), T.nn.Parameter(leaf(1.0)))", False),
    ],
)
def test_ways_out_of_the_graph_warn_where_pytorch_warns(program: str, warns: bool) -> None:
    assert shown(tg, program, warn=False) == shown(torch, program, warn=False)  # which tells some of it once a process
    assert ("warns" in shown(tg, program)) is warns


class Forgets(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        g * 2


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda x: Forgets.apply(x).sum().backward(), "Forgets: backward returned None"),
        (lambda x: tg.nn.Parameter(x * 2), r"nn\.Parameter\(t\).*nn\.Parameter\(t\.detach\(\)\)"),
        (lambda x: tg.tensor([x[0] * 2, x[1]]), r"tg\.stack"),
        (lambda x: tg.full((2,), x[0]), r"t\.item\(\)"),
        (lambda x: float(x[0]), r"t\.item\(\)"),
        (lambda x: (x * 2).grad, r"t\.retain_grad\(\)"),
    ],
)
def test_a_warning_says_what_to_write_and_points_at_the_users_line(run: Any, text: str) -> None:
    with pytest.warns(UserWarning, match=text) as caught:
        run(tg.ones(2, requires_grad=True))
    assert [w.filename for w in caught] == [__file__]


LAYER = """
class Two(T.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = T.nn.Parameter(T.ones(2))
    def forward(self, a, b=0.0):
        return a * self.w + b * 2
m = Two()
m.register_full_backward_hook(lambda m, gi, go: (see(gi, go), {answer})[1])
y = m({args})
y.sum().backward()
see(m.w.grad)
"""


@pytest.mark.parametrize("answer", ["None", "(None,)", "(T.ones(2) * 5,)", "(T.ones(2) * 5, None)", "(None, None)"])
@pytest.mark.parametrize(
    "args",
    ["T.ones(2)", "leaf(1.0, 1.0)", "leaf(1.0, 1.0), T.ones(2)", "T.ones(2), leaf(1.0, 1.0)", "T.ones(2), T.ones(2)",
     "2.0", "T.ones(2), b=leaf(1.0, 1.0)", "leaf(1.0, 1.0), b=T.ones(2)", "T.ones(2).long()", "T.ones(2), 3.0"],
)  # fmt: skip
def test_a_full_backward_hook_of_a_layer(args: str, answer: str) -> None:
    agree(LAYER.format(args=args, answer=answer), warn=False)


def test_backward_hooks_see_outputs_that_nobody_used() -> None:
    agree("""
        class Out(T.nn.Module):
            def forward(self, a):
                return a * 3, a * 2, 5
        for use in (0, 1):
            m = Out()
            m.register_full_backward_hook(lambda m, gi, go: see(gi, go))
            m(leaf(1.0, 2.0))[use].sum().backward()
    """)
