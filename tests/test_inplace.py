"""Writing in place: the same numbers and gradients as PyTorch's, or an error; never a silently wrong gradient.

Each program below is run twice, with `T` the package and with `T` PyTorch, and every tensor that it leaves behind is
compared: value, dtype, `requires_grad`, and gradient. Where PyTorch refuses, so must we.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg

LEAVES = {
    "x": np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]]),
    "w": np.array([2.0, -1.0, 0.25]),
    "s": np.array(3.0),
}


def execute(module: Any, program: str) -> dict[str, Any]:
    """All that the program names, gradients as `grad of x`: leaves x (2, 3), w (3,), s (); y = x; c, k constant."""
    from_numpy = module.from_numpy
    scope: dict[str, Any] = {name: from_numpy(value.copy()).requires_grad_() for name, value in LEAVES.items()}
    scope |= {"T": module, "np": np, "y": scope["x"] * 1.0,
        "c": from_numpy(np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])), "k": from_numpy(np.zeros(3))}
    exec(program, scope)
    found = {}
    for name, value in scope.items():
        if hasattr(value, "requires_grad") and hasattr(value, "detach"):
            found[name] = (value.detach().numpy().copy(), value.requires_grad)
            if name in LEAVES:
                found[f"grad of {name}"] = (None if value.grad is None else value.grad.numpy().copy(), False)
    return found


def same(program: str) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = execute(torch, program), execute(tg, program)
    assert ours.keys() == theirs.keys()
    for name, (value, needs) in theirs.items():
        mine, mine_needs = ours[name]
        assert mine_needs == needs, f"{name}.requires_grad in {program!r}"
        if value is None or mine is None:
            assert value is mine, f"{name} in {program!r}"
            continue
        np.testing.assert_allclose(mine, value, rtol=1e-12, atol=1e-15, err_msg=f"{name} in {program!r}")
        assert mine.dtype == value.dtype, f"{name} in {program!r}"


UNARY = """
    abs acos asin atan ceil cos cosh exp exp2 expm1 floor log1p neg reciprocal relu round sigmoid sign sin sinh
    square tan tanh trunc erf
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", UNARY)
def test_unary_forms(name: str) -> None:
    same(f"z = (y / 5).clone(); r = z.{name}_(); assert r is z; (z * c).sum().backward()")


@pytest.mark.parametrize("name", ["sqrt", "rsqrt", "log", "log2", "log10"])
def test_unary_forms_of_positive_numbers(name: str) -> None:
    same(f"z = y * y + 1; z.{name}_(); (z * c).sum().backward()")


@pytest.mark.parametrize(
    "call",
    [
        "add_(w)", "add_(2)", "add_(w, alpha=0.5)", "sub_(w)", "sub_(w, alpha=2)", "mul_(w)", "mul_(s)", "div_(w)",
        "div_(w, rounding_mode='floor')", "pow_(2)", "pow_(3)", "clamp_(-1, 2)", "clamp_(min=0)", "clamp_(max=w)",
        "clip_(-1, 1)",
        "lerp_(c, 0.3)", "addcmul_(c, w)", "addcmul_(c, w, value=2)", "addcdiv_(w, c + 1)",
        "masked_fill_(c > 2, 7.0)",
        "masked_fill_(c > 2, s)", "tril_()", "triu_(1)", "cumsum_(1)", "copy_(w)", "copy_(c)", "fill_(s)",
        "fill_(2)", "zero_()",
        "scatter_add_(1, T.tensor([[0, 0], [2, 1]]), c)", "scatter_(1, T.tensor([[0, 2], [2, 1]]), c)",
        "remainder_(2)", "multiply_(w)", "subtract_(w)", "negative_()", "addmm_(c, T.ones(3, 3, dtype=T.float64))",
        "atan2_(c + 1)",
        "sign_()", "mul_(2).add_(w)", "requires_grad_()",
    ],
)  # fmt: skip
def test_forms_with_arguments(call: str) -> None:
    same(f"y.{call}; (y * c).sum().backward()")


@pytest.mark.parametrize("operator", ["+=", "-=", "*=", "/=", "**=", "%="])
@pytest.mark.parametrize("value", ["2.0", "w", "c + 1"])
def test_augmented_assignment(operator: str, value: str) -> None:
    if operator == "**=" and value != "2.0":
        pytest.skip("a power of a negative number is NaN")
    same(f"before = y; y {operator} {value}; assert before is y; (y * c).sum().backward()")


@pytest.mark.parametrize("operator", ["+=", "-=", "*=", "/="])
def test_augmented_assignment_of_constants(operator: str) -> None:
    same(f"d = c.clone(); e = d; e {operator} 2; d {operator} c + 1")
    same(f"c {operator} w; (c * c).sum().backward()")
    same(f"i = T.arange(4); i {operator.replace('/', '*')} 3")


@pytest.mark.parametrize(
    "key",
    [
        "0", "-1", "0, 1", "slice(None)", "...", ":, 0", "0, :2", "..., -1", ":, ::2", "1:", "None, 0", "0:0",
        "T.tensor([0, 1])", "[0, 1]", "T.tensor([1, 0]), T.tensor([2, 0])", "[0, 1], [1, 2]", ":, T.tensor([2, 0])",
        ":, [0]",
        "c > 2", "T.tensor([True, False])", ":, T.tensor([True, False, True])",
        "T.tensor([[0], [1]]), T.tensor([0, 2])",
        "T.tensor(1)", "np.array([1])", "c.bool()", "(c > 2) & (c < 5)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["7.0", "s", "s * 2"])
def test_assignment_by_every_kind_of_index(key: str, value: str) -> None:
    same(f"y[{key}] = {value}; (y * c).sum().backward()")
    same(f"d = c.clone(); d[{key}] = {value}" + ("; (d * c).sum().backward()" if "s" in value else ""))


@pytest.mark.parametrize("key", ["0", ":, [0, 1, 2]", "...", "T.tensor([0, 1])", "1:", "[1]"])
def test_assignment_of_a_row_broadcasts(key: str) -> None:
    same(f"y[{key}] = w * 2; (y * c).sum().backward()")
    same(f"y[{key}] = c[0]; (y * c).sum().backward()")


def test_assignment_of_a_mask_with_as_many_values() -> None:
    same("y[c > 3] = w[:2]; (y * c).sum().backward()")


def test_assignment_to_an_entry_twice_keeps_one_and_gives_it_the_gradient() -> None:
    """The last one wins, as in NumPy; the others get no gradient. PyTorch leaves open which wins, so no comparison."""
    w = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = tg.zeros(3, requires_grad=True)
    y = x * 1
    y[[0, 2, 0]] = w
    assert y.tolist() == [3, 0, 2]
    (y * tg.tensor([10.0, 20.0, 30.0])).sum().backward()
    assert w.grad.tolist() == [0, 30, 10]
    assert x.grad.tolist() == [0, 20, 0]


def test_chains_of_assignments() -> None:
    same("y[0] = w; y[:, 1] = s; y[1] *= 2; y += c; (y * y).sum().backward()")
    same("d = T.zeros(3, dtype=T.float64)\nfor i in range(3): d[i] = w[i] * s\n(d * d).sum().backward()")
    same("d = T.zeros(2, 3, dtype=T.float64); d[0] = w; d[1] = d[0] * 2; d.sum().backward()")


def test_augmented_assignment_through_an_index() -> None:
    same("y[0] += w; (y * c).sum().backward()")
    same("y[:, 1] *= s; (y * c).sum().backward()")
    same("y[c > 2] -= 1; (y * c).sum().backward()")
    same("d = c.clone(); d[0] += 1; d[1, 2] *= 5")


def test_a_single_entry_is_a_view_too() -> None:
    same("d = c[0].clone(); v = d[1]; v += 5; d[0].zero_(); d[-1].fill_(9.0); e = c[1, 2]; e.mul_(2)")
    same("with T.no_grad(): w[0].add_(1); w[1] *= 3\n(w * w).sum().backward()")
    same("y[0, 0] += 1; y[1, 2] *= s; (y * c).sum().backward()")
    same("z = w * 1; z[0] += s; z[1] *= 2; z[2] -= z[0]; (z * z).sum().backward()")


def test_under_no_grad_a_leaf_may_be_changed_and_stays_a_leaf() -> None:
    same("with T.no_grad(): x -= 0.1 * c; w.mul_(2); s.fill_(1); x[0] = 7\n(x * w).sum().backward()")
    x = tg.ones(2, requires_grad=True)
    with tg.no_grad():
        x += 1
    assert x.is_leaf
    assert x.requires_grad


def test_grad_may_be_changed_freely() -> None:
    same("(x * c).sum().backward(); x.grad *= 2; x.grad.add_(1); x.grad[0] = 0; (x * c).sum().backward()")
    same("(x * c).sum().backward(); x.grad.zero_()")
    same("(x * c).sum().backward(); x.grad = None")


def test_constants_that_were_used_may_be_changed_when_no_rule_reads_them() -> None:
    same("z = x + c; c += 1; z.sum().backward()")
    same("d = x * 2; z = d + 1; d += 5; z.sum().backward()")
    same("z = x.exp(); u = z + 1; u += 1; u.sum().backward()")


def test_what_was_copied_may_be_changed() -> None:
    same("z = y * y; k = y.clone(); k += 1; (z * k).sum().backward()")


def test_a_write_before_the_use_is_no_overwrite() -> None:
    same("y += 1; z = y * y; z.sum().backward()")
    same("y *= 2; y *= 2; y.exp_(); y.sum().backward()")


def test_detached_values_share_memory_but_no_graph() -> None:
    same("d = y.detach(); d += 1; y.sum().backward()")
    same("x.data += 1; (x * c).sum().backward()")
    same("x.data.mul_(2); (x * x).sum().backward()")


def test_where_an_in_place_form_keeps_what_it_needs_we_go_on_though_pytorch_refuses() -> None:
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    y = x * 1
    y.exp_().log_().exp_()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.array, np.exp(x.array))


def test_hooks_and_retain_grad_after_an_in_place_write() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y *= 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [12, 24]
    assert x.grad.tolist() == [72, 144]


# ------------------------------------------------------------------------------------------------ what must raise

REFUSED = [
    ("z = y * y; y += 1; z.sum().backward()", "mul"), ("z = y.exp(); z += 1; z.sum().backward()", "exp"),
    ("z = y.exp(); z.zero_(); z.sum().backward()", None),
    ("z = y @ y.T; y[0, 0] = 5.0; z.sum().backward()", "matmul"),
    ("z = y.sigmoid(); z.mul_(2); z.sum().backward()", "sigmoid"), ("z = y * c; c += 1; z.sum().backward()", "mul"),
    ("z = y * c; c[0, 0] = 9; z.sum().backward()", "mul"),
    ("z = y.sin(); v = y.detach(); v += 1; z.sum().backward()", "sin"),
    ("z = x.sin()\nwith T.no_grad(): x += 1\nz.sum().backward()", "sin"),
    ("z = y.norm(); y *= 2; z.backward()", "norm"),
    ("z = (y * w).sum()\nwith T.no_grad(): w[0] = 1\nz.backward()", "mul"),
    ("z = y / w; w.detach().fill_(3); z.sum().backward()", "div"), ("x += 1", "leaf"), ("x[0] = 1", "leaf"),
    ("w.view(-1).zero_()", "view.*leaf"), ("w[0] *= 3", "leaf"), ("x.T[0].add_(1)", "leaf"),
    ("x.view(-1)[0] = 3", "leaf"), ("a, b = y.split(1); a.mul_(2)", "split"), ("y.unbind()[0].mul_(2)", "unbind"),
    ("list(y)[0][1:].zero_()", "iteration"),
    ("a, b = c.chunk(2); a *= w", "several"), ("a, b = y.split(1); y *= 2; a * 1", "several"),
    ("with T.no_grad(): v = y[0]\nv.mul_(2)", "no_grad"), ("with T.no_grad(): v = c[0]\nc *= x\nv * 1", "no_grad"),
    ("w.expand(2, 3)[:, 1].add_(c[0, 1])", None), ("c[0].expand(2, 3).add_(1)", "expanded"), ("y[0].detach_()", "view"),
    ("y.T.view(-1)", "reshape"), ("y.T.view(6, 1)", "reshape"), ("c[:, :2].view(4)", "reshape"),
    ("w.copy_(T.zeros(1, 3))", "dimensions"), ("c.fill_(w)", "0-d"), ("y[0] = c", "broadcast"),
    ("z = y[0].sin(); y[1] = 0; z.sum().backward()", "sin"), ("v = y[0]; z = v * v; y += 1; z.sum().backward()", "mul"),
    ("x.zero_()", "leaf"), ("x.copy_(c)", "leaf"), ("x.exp_()", "leaf"), ("w *= s", "leaf"),
    ("u = w * 1; u += c", r"\(2, 3\)"), ("y[0] = c", None), ("w.copy_(c)", None),
    ("i = T.arange(3); i += 0.5", "int64"), ("i = T.arange(3); i /= 2", None), ("y[5] = 1", None),
    ("y[T.tensor([0.5])] = 1", None), ("y[c[:1] > 0] = 1", None), ("e = w.expand(2, 3).detach(); e += 1", None),
]  # fmt: skip


@pytest.mark.parametrize(("program", "named"), REFUSED)
def test_refused_as_in_pytorch(program: str, named: str | None) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises((RuntimeError, IndexError, TypeError, ValueError)):
        execute(torch, program)
    with pytest.raises(tg.TensorError, match=named):
        execute(tg, program)


def test_a_constant_that_got_a_graph_in_place_can_still_be_detached_and_read() -> None:
    same("d = c[0].clone(); d[0] = s; d[1] = s * 2; k = d.detach(); u = k[0] * 2 + k[1:].sum(); d.sum().backward()")
    same("c += x; k = c.detach(); u = (k[0] * 2).sum(); v = c[0]; (v * w).sum().backward()")


def test_after_the_refusal_the_remedy_in_the_message_works() -> None:
    same("y *= 2; v = y[0]; v.sum().backward()")
    same("v = y[0].clone(); y *= 2; (v.sum() + y.sum()).backward()")


def test_the_message_names_operation_and_line() -> None:
    x = tg.ones(2, requires_grad=True)
    y = x * 1
    z = y.exp()
    z.add_(1)  # the culprit
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = next(i for i, text in enumerate(lines, 1) if "# the culprit" in text)
    with pytest.raises(tg.InplaceError, match=rf"exp.*add_ at .*test_inplace\.py:{line}") as told:
        z.sum().backward()
    assert "clone" in str(told.value)
    assert re.search(r"\(2,\)", str(told.value))


def test_nothing_is_half_done_by_a_refused_write() -> None:
    w = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for write in (lambda: w.add_(1), lambda: w.__setitem__(0, 5.0), lambda: w.zero_(), lambda: w.copy_(tg.zeros(3))):
        with pytest.raises(tg.InplaceError):
            write()
    assert w.tolist() == [1, 2, 3]
    c = tg.zeros(3)
    for write in (lambda: c.add_(tg.ones(2, 3)), lambda: c.__setitem__(0, tg.ones(2)), lambda: c.add_(tg.ones(2))):
        with pytest.raises(tg.ShapeError):
            write()
    assert c.tolist() == [0, 0, 0]


def test_a_failed_backward_after_a_write_leaves_grad_alone() -> None:
    x, w = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    y = x * 1
    z = y * y + w
    y += 1
    with pytest.raises(tg.InplaceError):
        z.sum().backward()
    assert x.grad is None
    assert w.grad is None
