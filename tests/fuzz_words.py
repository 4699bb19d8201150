"""The words of `fuzz_inplace.py`: what a line of a random program may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fuzz_draw import SHAPES, Draw, Nothing, Word, overlaps, shared

# -------------------------------------------------------------------------------------------------- making tensors


def leaf(d: Draw) -> str:
    dtype = d.one(["float64"] * 5 + ["float32"])
    needs = d.one([", requires_grad=True"] * 3 + [""])
    return f"{d.new()} = T.tensor({d.literal(d.one(SHAPES[:12]))}, dtype=T.{dtype}{needs})"


def constant(d: Draw) -> str:
    shape = d.one(SHAPES if d.chance(0.4) else SHAPES[:12])
    made = d.one([f"T.zeros({shape})", f"T.ones({shape}, dtype=T.float64)", f"T.zeros({shape}, dtype=T.float64)",
                  f"T.full({shape}, 0.5)", f"T.arange({d.rng.randint(1, 6)})", f"T.tensor({d.literal(shape)}) > 0"])
    return f"{d.new()} = {made}"


def from_numpy(d: Draw) -> str:
    array = d.new("a")
    return f"{array} = np.array({d.literal(d.one(SHAPES[1:10]))}); {d.new()} = T.from_numpy({array})"


VIEWS: list[Callable[[Draw, str], str]] = [
    *[lambda d, x: f"{x}[{d.key(x)}]"] * 5,
    lambda d, x: f"{x}.T",
    lambda d, x: f"{x}.mT",
    lambda d, x: f"{x}.t()",
    lambda d, x: f"{x}.transpose({d.axis(x)}, {d.axis(x)})",
    lambda d, x: f"{x}.permute({d.rng.sample(range(d[x].ndim), d[x].ndim)})",
    *[lambda d, x: f"{x}.{d.one(['reshape', 'view'])}({d.shape_of(d[x].numel())})"] * 2,
    lambda d, x: f"{x}.{d.one(['view(-1)', 'flatten()', 'ravel()', 'squeeze()'])}",
    lambda d, x: f"{x}.unflatten({d.axis(x)}, {d.shape_of(d[x].shape[d.axis(x)] if d[x].ndim else 1)})",
    lambda d, x: f"{x}.squeeze({d.axis(x)})",
    lambda d, x: f"{x}.unsqueeze({d.rng.randint(-1, d[x].ndim)})",
    lambda d, x: f"{x}.expand({(2, *d[x].shape)})",
    lambda d, x: f"{x}.expand_as({d.tensor()})",
    lambda d, x: f"{x}.view_as({d.tensor()})",
    lambda d, x: f"{x}.narrow({d.axis(x)}, 0, {d.rng.randint(1, 2)})",
    lambda d, x: f"{x}.select({d.axis(x)}, {d.rng.randint(-1, 1)})",
    lambda d, x: f"{x}.diagonal({d.one(['', '1', '-1'])})",
    lambda d, x: f"{x}.movedim({d.axis(x)}, {d.axis(x)})",
    lambda d, x: f"{x}.swapaxes({d.axis(x)}, {d.axis(x)})",
    lambda d, x: f"{x}.unbind({d.axis(x)})[{d.rng.randint(-1, 1)}]",
    lambda d, x: f"{x}.{d.one(['split', 'chunk'])}({d.rng.randint(1, 2)}, {d.axis(x)})[{d.rng.randint(-1, 0)}]",
    lambda d, x: f"T.{d.one(['split', 'tensor_split'])}({x}, [1, {max(0, d[x].shape[0] - 1) if d[x].ndim else 1}])[0]",
    lambda d, x: f"{x}.{d.one(['hsplit', 'vsplit'])}(1)[0]",
    lambda d, x: f"{x}.moveaxis({d.axis(x)}, {d.axis(x)}).reshape_as({x})",
    lambda d, x: f"{x}.unfold({d.axis(x)}, 1, 1)",
    lambda d, x: f"{x}.{d.one(['real', 'H', 'index_select(0, T.tensor([0]))', 'broadcast_to((2, 2, 3))'])}",
    lambda d, x: f"T.{d.one(['atleast_2d', 'squeeze', 'ravel'])}({x})",
    lambda d, x: f"next(iter({x}))",
    *[lambda d, x: f"{x}.detach()"] * 2,
    lambda d, x: f"{x}.{d.one(['contiguous()', 'to(T.float64)', 'requires_grad_()'])}",
]


def view(d: Draw) -> str:
    x = d.tensor()
    return f"{d.new(x[0])} = {d.one(VIEWS)(d, x)}"


def several_views(d: Draw) -> str:
    x = d.tensor(letters="t")
    call = d.one([f"split(1, {d.axis(x)})", f"chunk(2, {d.axis(x)})", f"unbind({d.axis(x)})"])
    return f"{d.new()}, {d.new()}, *_ = {x}.{call}"


UNARY = ["sin", "cos", "tanh", "sigmoid", "exp", "relu", "abs", "square", "neg", "atan", "floor", "sign", "asinh",
         "erf", "expm1", "trunc", "ceil"]  # fmt: skip
SAME_VALUES = ["clone", "clone", "contiguous", "float", "double"]


def elementwise(d: Draw) -> str:
    x, y = d.floating(), d.tensor()
    v, axis = d.value(d[x]), d.axis(x)
    centred = f"({x} - {x}.mean({axis}, keepdim=True))"
    return f"{d.new()} = " + d.one([
        *[f"{x} {d.one('+-**')} {v}"] * 6, f"{v} - {x}", f"{x} / 2", f"{v} / ({x}.square() + 1)", f"{x} ** 2",
        *[f"{x}.{d.one(UNARY)}()"] * 3, f"{x}.{d.one(SAME_VALUES)}()", f"T.lerp({x}, {x} * 2, 0.25)", f"{x} % 1.5",
        f"({x}.abs() + 1).{d.one(['sqrt', 'log', 'rsqrt', 'reciprocal'])}()", f"{x}.masked_fill({d.mask(x)}, 1.5)",
        f"T.where({d.mask(x)}, {x}, {v})", f"{x}.clamp(-1, {d.one(['1', 'None'])})", f"T.addcmul({x}, {x}, {y})",
        f"T.{d.one(['maximum', 'minimum'])}({x}, {y})", f"{x}.flip(0)", f"{x}.roll(1, 0)", f"{x}.repeat(2, 1, 1)",
        f"{centred} / ({x}.var({axis}, unbiased=False, keepdim=True) + 1).sqrt()",
        f"T.nn.functional.{d.one(['softplus', 'elu', 'silu', 'leaky_relu'])}({x})",
    ])  # fmt: skip


def reduction(d: Draw) -> str:
    x = d.floating()
    axis = d.axis(x)
    return f"{d.new()} = {x}." + d.one([
        "sum()", f"sum({axis})", f"mean({axis}, keepdim=True)", "mean()", f"amax({axis})", f"prod({axis})",
        f"cumsum({axis})", f"max({axis}).values", "norm()", f"var({axis}, unbiased=False)", f"logsumexp({axis})",
        f"softmax({axis})", f"sort({axis}).values",
    ])  # fmt: skip


def joined(d: Draw) -> str:
    x = d.floating()
    shape = d[x].shape
    y = d.tensor(lambda t: t.shape == shape and t.dtype == d[x].dtype)
    return f"{d.new()} = " + d.one([
        f"T.stack([{x}, {y}], {d.axis(x)})", f"T.cat([{x}, {y}], {d.axis(x)})", f"T.cat([{x}[:1], {y}[1:]])",
        f"{x} @ {y}.mT", f"T.nn.functional.linear({x}, {y})", f"{x}.masked_select({d.mask(x)})", f"{x}.mT @ {y}",
        f"T.einsum('...i,...i->...', {x}, {y})", f"{x}[{d.key(x, 1.0)}]",
        f"T.outer({x}, {y})", f"{x}.gather(-1, T.zeros({tuple(shape)}, dtype=T.int64))",
    ])  # fmt: skip


# ------------------------------------------------------------------------------------------------------- writing

WRITES: list[Callable[[Draw, str], str]] = [
    *[lambda d, x: f"{d.one(['add_', 'sub_', 'mul_', 'mul_', 'div_'])}({d.value(d[x])})"] * 8,
    lambda d, x: f"add_({d.value(d[x])}, alpha={d.number()})",
    lambda d, x: f"pow_({d.one(['2', '3', '2.0'])})",
    lambda d, x: d.one(["clamp_(-1, 1)", "clamp_(min=0)", "clamp_(max=0.5)", f"clamp_(max={d.floating()})"]),
    *[lambda d, x: f"{d.one(UNARY)}_()"] * 3,
    *[lambda d, x: d.one(["zero_()", f"fill_({d.number()})", f"fill_({d.scalar(x)})"])] * 2,
    *[lambda d, x: f"copy_({d.value(d[x], False)})"] * 2,
    lambda d, x: f"masked_fill_({d.mask(x)}, {d.one([d.number(), d.scalar(x)])})",
    lambda d, x: f"lerp_({d.tensor(lambda t: fits(t, d[x]))}, 0.25)",
    lambda d, x: f"addcmul_({d.tensor(lambda t: fits(t, d[x]))}, {d.tensor(lambda t: fits(t, d[x]))})",
    lambda d, x: d.one([f"cumsum_({d.axis(x)})", "tril_()", "triu_(1)", "remainder_(1.5)", "reciprocal_()"]),
    lambda d, x: f"scatter_(-1, T.zeros({(*d[x].shape[:-1], 1)}, dtype=T.int64), {d.number()})",
    lambda d, x: f"scatter_add_(-1, T.zeros({tuple(d[x].shape)}, dtype=T.int64), {d.tensor(lambda t: fits(t, d[x]))})",
    lambda d, x: f"index_add_({d.axis(x)}, T.tensor([0]), {x}.narrow({d.axis(x)}, 0, 1) * 2)",
    lambda d, x: f"index_fill_({d.axis(x)}, T.tensor([0]), {d.number()})",
    lambda d, x: f"squeeze_({d.axis(x)})",
    lambda d, x: "t_()",
]


def fits(t: Any, x: Any) -> bool:
    return t.dtype == x.dtype and t.shape == x.shape and not overlaps(t, x, True)


def written(d: Draw, x: str) -> str:
    """A statement that writes into x: by a method, an operator or an index."""
    if d.chance(0.5):
        calls = ".".join(d.one(WRITES)(d, x) for _ in range(1 + d.chance(0.1)))
        part = "" if d.chance(0.7) or re.search(rf"\b{x}\b", calls) else f"[{d.key(x)}]"
        return f"{x}{part}.{calls}"
    if d.chance(0.4):
        return f"{x} {d.one('+-**/')}= {d.value(d[x])}"
    key = d.key(x, 0.25)
    basic = not any(word in key for word in ("[", "<", ">", "!"))
    if not basic and shared(d[x]):
        raise Nothing
    part = d.part(x, key)
    where = part if basic else d[x]
    v = d.value(part) if not overlaps(where, d[x], False) else d.value(where, basic)
    if not basic and overlaps(d[v], d[x], False) if v in d.names() else False:
        raise Nothing
    return f"{x}[{key}] {d.one(['=', '=', '+=', '*='])} {v}"


def write(d: Draw) -> str:
    return written(d, d.target())


def loop(d: Draw) -> str:
    x, y = d.target(), d.floating()
    if not d[x].is_floating_point():
        raise Nothing
    return d.one([f"for v in {x}: v.mul_({d.number()})", f"for i in range({d.rng.randint(1, 3)}): {x}[i] = {y}[i] * 2",
                  f"for i in range({d.rng.randint(1, 3)}): {x}[i] *= i + 0.5; {x}[i] += {y}.sum()"])


def functional(d: Draw) -> str:
    return f"{d.new()} = T.nn.functional.{d.one(['relu', 'leaky_relu', 'elu', 'hardtanh'])}({d.target()}, inplace=True)"


def unrecorded(d: Draw) -> str:
    """Views, values and writes under `no_grad`, of leaves too."""
    x = d.tensor(letters="tm")
    inner = d.one([
        lambda: f"{d.new('m')} = {d.one(VIEWS)(d, x)}", lambda: written(d, x), lambda: written(d, x),
        lambda: f"v = {d.one(VIEWS)(d, x)}; v.{d.one(['mul_(2)', 'zero_()', 'add_(1)'])}",
        lambda: elementwise(d),
    ])()  # fmt: skip
    return f"with T.{d.one(['no_grad()'] * 5 + ['set_grad_enabled(False)'])}: {inner}"


def without_graphs(d: Draw, text: str) -> str:
    """A write that PyTorch does not notice, after all that could hold the old value is gone."""
    usable = d.side.usable()
    gone = [name for name, t in d.side.tensors().items() if name[0] == "m" or name not in usable or t.grad_fn]
    return f"del {', '.join(gone)}; {text}" if gone else text


def unnoticed(d: Draw) -> str:
    x = d.floating()
    if d.chance(0.4):
        array = d.one([name for name in d.side.scope if name[0] == "a" and name[1:].isdigit()])
        return without_graphs(d, f"{array}{d.one(['[...] = 1.5', ' *= 2', '[0] = -3'])}")
    part = d.one(["", "[...]", ".view(-1)", ".T"])
    text = f"{x}.data{part}.{d.one(['mul_(2)', 'fill_(0.5)', 'add_(1)'])}"
    return without_graphs(d, text) if d[x].is_leaf else text.replace(".data", ".detach()")


# --------------------------------------------------------------------------------------- hooks, backward, reading

HOOKS = ["lambda g: g * 2", "lambda g: g + 1", "lambda g: None", "lambda g: g * g", "lambda g: g.sum() + g * 0",
         "lambda g: T.ones_like(g)", "lambda g: g.detach()"]  # fmt: skip


def hook(d: Draw) -> str:
    x = d.in_graph()
    kept, handle = d.new("n"), d.new("r")
    return d.one([
        *[f"{x}.register_hook({d.one(HOOKS)})"] * 2, f"{handle} = {x}.register_hook({d.one(HOOKS)})",
        f"{kept} = []; {x}.register_hook(lambda g: {kept}.append(g.detach().clone()))", *[f"{x}.retain_grad()"] * 3,
    ])  # fmt: skip


def unhook(d: Draw) -> str:
    return f"{d.one([name for name in d.side.scope if name[0] == 'r' and name[1:].isdigit()])}.remove()"


def loss(d: Draw, x: str) -> str:
    return d.one([f"{x}.sum()", f"({x} * {x}).sum()", f"({x} * {d.value(d[x])}).sum()", f"{x}.sin().sum()"])


def backward(d: Draw) -> str:
    x = d.in_graph()
    keep = d.one(["retain_graph=True"] * 6 + ["", "create_graph=True"])
    if d.chance(0.15):
        y = d.tensor(lambda t: t.requires_grad and t.is_leaf)
        return d.one([f"T.autograd.backward([{loss(d, x)}, {loss(d, y)}], {keep})",
                      f"{loss(d, x)}.backward(inputs=[{y}], {keep})"])
    ones = f"T.ones_like({x})"
    if d[x].ndim == 0 and d.chance(0.5):
        return f"{x}.backward({keep})"
    given = d.tensor(lambda t: t.shape == d[x].shape and t.dtype == d[x].dtype)
    return f"{d.one([loss(d, x)] * 2 + [x])}.backward({keep})" if d.chance(0.5) else d.one(
        [f"{x}.backward({ones}, {keep})", f"{x}.backward({given}.detach().clone(), {keep})"])


def gradient(d: Draw) -> str:
    x, y = d.in_graph(), d.in_graph()
    options = d.one(["retain_graph=True", "create_graph=True", "create_graph=True"])
    return f"{d.new()}, = T.autograd.grad({loss(d, x)}, {y}, allow_unused=True, {options})"


def of_grad(d: Draw) -> str:
    x = d.tensor(lambda t: t.is_leaf and t.grad is not None)
    return d.one([f"{x}.grad = None", f"{x}.grad.zero_()", f"{x}.grad *= 2", f"{x}.grad = {x}.detach().clone()",
                  f"{d.new()} = {x}.grad", f"{x}.grad.add_(1)"])


def read(d: Draw) -> str:
    x = d.tensor(letters="tdm")
    if d[x].numel() == 1 and d.chance(0.5):
        return f"{d.new('n')} = {x}.item()"
    copied = f"{d.new()} = copy.deepcopy({x})"
    return d.one([f"{d.new('n')} = {x}.tolist()", f"{d.new('a')} = {x}.detach().numpy()", f"{d.new('d')} = {x}.data",
                  f"{d.new('a')} = {x}.numpy()", f"{d.new('d')} = {x}.data" if shared(d[x]) else copied])


def change_of_leaf(d: Draw) -> str:
    x = d.tensor(lambda t: t.is_leaf and t.is_floating_point(), "t")
    return f"{x}.requires_grad_({d.one(['', '', '', 'False'])})" if d.chance(0.8) else f"{d.in_graph()}.detach_()"


def rebind(d: Draw) -> str:
    x = d.floating("t")
    return d.one([f"del {x}", f"{x} = {x} * 2", f"{x} = {x}.sin()", f"{x} = {x}.detach()"])


OPENING = [Word(5, leaf), Word(2, constant), Word(1, from_numpy)]
STATEMENTS = [
    Word(0.7, leaf), Word(0.7, constant), Word(0.3, from_numpy), Word(5, view), Word(0.8, several_views),
    Word(5, elementwise), Word(1.5, reduction), Word(1.5, joined), Word(12, write), Word(0.15, loop),
    Word(0.3, functional), Word(2.5, unrecorded), Word(0.7, unnoticed), Word(3, hook), Word(0.3, unhook),
    Word(2.5, backward), Word(1.2, gradient), Word(0.7, of_grad), Word(1, read), Word(0.6, change_of_leaf),
    Word(0.7, rebind),
]  # fmt: skip
