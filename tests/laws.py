"""The laws that every operation obeys.

A law is a function of an operation and a draw. It raises AssertionError where the operation breaks it, and returns
whether there was anything to compare. No law knows an operation by name, so `test_planted.py` can run the same
functions on operations that are wrong on purpose. Read `test_laws.py` next.
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from draws import (
    LAYOUTS,
    Array,
    Draw,
    arguments,
    close,
    contributions,
    layout,
    leaves,
    numpy_call,
    numpy_functions,
    outputs,
    pull,
    recorded,
    refused,
    run,
    values,
    way_back,
)
from hypothesis import assume
from references import complex_step, directional, inner, numeric_gradient

import tinygrad_bp as tg
from tinygrad_bp.compiler import PASSES
from tinygrad_bp.core import wrap
from tinygrad_bp.declare import Op, parameters
from tinygrad_bp.dtypes import result_type
from tinygrad_bp.methods import FUNCTIONS

INEXACT = tuple(name for name, one in PASSES.items() if not one.exact)

# ------------------------------------------------------------------------------------------------------- the laws


def forward_is_numpy(op: Op, d: Draw) -> bool:
    """L1: the value is that of the NumPy function which the declaration names."""
    assume(not refused(op, d))
    ours, compared = [y.array for y in run(op, list(map(wrap, d.arrays)), d.named)], False
    for function in numpy_functions(op):
        theirs = numpy_call(function, op, d.arrays, d.named)
        if theirs is not NotImplemented:
            theirs = theirs if isinstance(theirs, tuple | list) else [theirs]
            for y, reference in zip(ours, theirs, strict=True):
                close(y, np.asarray(reference), what=f"{function.__name__}{d.named}")
            compared = True
    if op.forward is not op.pure_forward and op.word == "elementwise" and not d.named:
        close(ours[0], np.asarray(op.pure_forward(*d.arrays)), what="the fast kernel differs from the sentence")
        compared = True
    return compared


def spellings_agree(op: Op, d: Draw) -> bool:
    """L2: tg.f(t), t.f() and np.f(t) are one function, with one gradient."""
    xs, ys = recorded(op, d)
    args, kwargs = arguments(op, xs, d.named)
    forms = [lambda: FUNCTIONS[op.key](*args, **kwargs)] if op.key in FUNCTIONS else []
    if op.method and isinstance(args[0], tg.Tensor) and hasattr(tg.Tensor, op.key):
        found = getattr(args[0], op.key)
        forms.append(lambda: found(*args[1:], **kwargs) if callable(found) else found)
    forms += [lambda f=f: numpy_call(f, op, xs, d.named) for f in numpy_functions(op)]  # type: ignore[misc]
    ws = d.cotangents(ys)
    first = pull(ys, xs, ws, retain_graph=True) if ys else []
    plain = run(op, list(map(wrap, d.arrays)), d.named)
    for form in forms:
        result = form()
        if result is NotImplemented:
            continue
        again = outputs(result)
        for y, z in zip(plain, again, strict=True):
            close(z.array, y.array, rtol=0)
        again = [z for z in again if z.requires_grad]
        for a, b in zip(first, pull(again, xs, ws) if again else [], strict=True):
            close(b.array, a.array, rtol=0)
    return len(forms) > 0


def gradient_is_right(op: Op, d: Draw) -> bool:
    """L3: against the adjoint identity for linear maps, the complex step where analytic, else central differences."""
    xs, ys = recorded(op, d)
    if not ys:
        return False
    ws = d.cotangents(ys)
    found = [g.array for g in pull(ys, xs, ws)]
    chosen = [i for i, y in enumerate(run(op, leaves(d.arrays), d.named)) if y.requires_grad]

    def phi(*arrays: Array) -> float:
        values = run(op, list(map(wrap, arrays)), d.named)
        return math.fsum(inner(w, values[i].array) for w, i in zip(ws, chosen, strict=True))

    compared = False
    for k, (x, g) in enumerate(zip(d.arrays, found, strict=True)):
        if op.word in ("linear", "bilinear"):
            v = np.random.default_rng(d.seed).normal(size=x.shape)
            moved = [v if i == k else a for i, a in enumerate(d.arrays)]
            fixed = [np.zeros_like(v) if i == k and len(d.arrays) > 1 and op.word == "linear" else a
                     for i, a in enumerate(moved)]  # fmt: skip
            at_v, at_0 = phi(*moved), phi(*fixed) if fixed[k] is not v else 0.0
            close(inner(g, v), at_v - at_0, 1e-10, what=f"⟨Aᵀw, v⟩ ≠ ⟨w, Av⟩ for input {k}")
            compared |= x.size > 0
        elif op.analytic:
            close(g, ws[0] * complex_step(op.pure_forward, x), 1e-12, what=f"input {k} against the complex step")
            compared |= x.size > 0
        else:
            reference, smooth = numeric_gradient(phi, d.arrays, k)
            close(g[smooth], reference[smooth], 1e-6, what=f"input {k} against central differences")
            compared |= bool(smooth.any())
    return compared


def second_order_is_right(op: Op, d: Draw) -> bool:
    """L4: the derivative of the gradient, by the inputs and by the cotangents, against differences of the gradient."""
    xs, ys = recorded(op, d)
    if not ys:
        return False
    ws = leaves(d.cotangents(ys))
    us = d.cotangents(xs, salt=2)
    first = pull(ys, xs, ws, create_graph=True)
    s = sum(((wrap(u) * g).sum() for u, g in zip(us, first, strict=True)), wrap(np.zeros(())))
    second = [g.array for g in pull([s], [*xs, *ws], [np.ones(())])] if s.requires_grad else None

    def psi(*arrays: Array) -> float:
        moved = leaves(arrays[: len(xs)])
        again = [y for y in run(op, moved, d.named) if y.requires_grad]
        found = pull(again, moved, arrays[len(xs) :])
        return math.fsum(inner(u, g.array) for u, g in zip(us, found, strict=True))

    at = [*d.arrays, *(w.array for w in ws)]
    directions = d.cotangents(at, salt=3)
    reference, kink = directional(psi, at, directions)
    if kink or not any(x.size for x in at):
        return False
    ours = math.fsum(inner(g, v) for g, v in zip(second, directions, strict=True)) if second else 0.0
    scale = math.fsum(float(np.abs(g).sum()) for g in second or ())
    assert abs(ours - reference) <= 1e-6 * (1 + scale), f"second order: {ours} against {reference}"
    return True


def gradient_has_the_inputs_form(op: Op, d: Draw) -> bool:
    """L5: shape and dtype of a gradient are the input's, for float32, float64 and both; so is the raw rule's."""
    if op.domain is int:
        return False
    for dtypes in ((np.float32,), (np.float64,), (np.float32, np.float64)):
        arrays = [x.astype(dtypes[k % len(dtypes)]) for k, x in enumerate(d.arrays)]
        xs, ys = recorded(op, d.like(arrays))
        if not ys:
            return False
        expected = result_type(*arrays)
        for y, w in zip(ys, d.cotangents(ys), strict=True):
            assert "dtype" in d.named or y.dtype == expected, f"{[x.dtype for x in xs]} gave {y.dtype}"
            if op.rules and len({x.dtype for x in xs}) == 1:
                for parent, g in contributions(op, y, w.astype(y.dtype)):
                    assert "dtype" in d.named or g.dtype == parent.dtype, f"the rule made {g.dtype} of {parent.dtype}"
                    np.broadcast_shapes(g.shape, parent.shape)
        for x, g in zip(xs, pull(ys, xs, d.cotangents(ys)), strict=True):
            assert (g.shape, g.dtype) == (x.shape, x.dtype)
    return True


def nothing_is_changed(op: Op, d: Draw) -> bool:
    """L6: inputs, outputs, cotangents and parameters are read, never written."""
    frozen = [layout(x, "read-only") for x in d.arrays]
    named = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in d.named.items()}
    xs, ys = recorded(op, d.like(frozen))
    values, ws = [y.array.copy() for y in ys], d.cotangents(ys)
    for w, y in zip(ws, ys, strict=True):
        w.flags.writeable = False
        if y.array.base is None:
            y.array.flags.writeable = False
    before = [w.copy() for w in ws]
    for create in (False, True):
        pull(ys, xs, ws, retain_graph=True, create_graph=create) if ys else None
    for x, a in zip(frozen, d.arrays, strict=True):
        close(x, a, rtol=0)
    for y, value, w, b in zip(ys, values, ws, before, strict=True):
        close(y.array, value, rtol=0)
        close(w, b, rtol=0)
    for name, value in named.items():
        np.testing.assert_equal(d.named[name], value)
    return True


def broadcasting_is_repetition(op: Op, d: Draw) -> bool:
    """L7: f(a, b) is f of both at full size; the gradient is summed over the repetitions, by the engine alone."""
    if op.word != "elementwise" or len(d.arrays) < 2:
        return False
    xs, (y,) = recorded(op, d)
    full_xs, (full_y,) = recorded(op, d.like([np.broadcast_to(x, y.shape).copy() for x in d.arrays]))
    close(y.array, full_y.array, rtol=0)
    ws = d.cotangents([y])
    for _, raw in contributions(op, y, ws[0]):
        assert raw.shape == y.shape, f"a rule un-broadcasts: {raw.shape} from a cotangent of {y.shape}"
    for x, g, full in zip(xs, pull([y], xs, ws), pull([full_y], full_xs, ws), strict=True):
        close(g.array, full.array if full.shape == g.shape else full.sum_to_size(*x.shape).array)
    return True


def both_readers_agree(op: Op, d: Draw) -> bool:
    """L8: rules read by arrays, NumPy's scalars and Tensors give one gradient; a fast rule is its pure sentence."""
    xs, ys = recorded(op, d)
    if not ys:
        return False
    ws = d.cotangents(ys)
    by_arrays = pull(ys, xs, ws, retain_graph=True)
    by_tensors = pull(ys, xs, ws, retain_graph=True, create_graph=True)
    for a, b in zip(by_arrays, by_tensors, strict=True):
        close(b.array, a.array)
    for y, w in zip(ys, ws, strict=True):
        if y.ndim == 0 and op.rules:
            for (_, scalar), (_, array) in zip(contributions(op, y, w[()]), contributions(op, y, w), strict=True):
                close(np.asarray(scalar), np.asarray(array))
    if op.rules is not op.pure:
        for y, w in zip(ys, ws, strict=True):
            for (_, fast), (_, pure) in zip(contributions(op, y, w), contributions(op, y, w, op.pure), strict=True):
                close(np.asarray(fast), np.asarray(pure))
    return True


def forward_and_reverse_are_adjoint(op: Op, d: Draw) -> bool:
    """L9: ⟨w, Jt⟩ = ⟨Jᵀw, t⟩, Jᵀ is linear, and an elementwise rule read with a tangent gives Jt."""
    xs, ys = recorded(op, d)
    if not ys:
        return False
    ws, others, ts = d.cotangents(ys), d.cotangents(ys, salt=4), d.cotangents(xs, salt=5)
    duals = leaves([np.zeros(y.shape) for y in ys])
    pulled = [(g, wrap(t)) for g,
        t in zip(pull(ys, xs, duals, create_graph=True), ts, strict=True) if g.requires_grad]
    if not pulled:
        return False
    gs, tangents = zip(*pulled, strict=True)
    pushed = pull(gs, duals, tangents, retain_graph=True)
    back = pull(ys, xs, ws, retain_graph=True)
    left = math.fsum(inner(w, jt.array) for w, jt in zip(ws, pushed, strict=True))
    close(left, math.fsum(inner(g.array, t) for g, t in zip(back, ts, strict=True)), 1e-9)
    both = pull(ys, xs, [2 * w - 3 * v for w, v in zip(ws, others, strict=True)], retain_graph=True)
    for g, first, second in zip(both, back, pull(ys, xs, others, retain_graph=True), strict=True):
        close(g.array, 2 * first.array - 3 * second.array, 1e-10)
    if op.word == "elementwise":
        wide = [np.broadcast_to(t, ys[0].shape) for t in ts]
        terms = [op.rules[i](wide[i], *saved) for _, i, saved in ys[0].grad_fn.edges]
        close(np.asarray(sum(terms)), pushed[0].array, 1e-10)
    return True


def saved_arrays(ys: Sequence[Any]) -> Iterator[tuple[int, int, Array]]:
    for y in ys:
        for _, index, saved in way_back(y, None)[0].edges:
            for place, value in enumerate(saved):
                if isinstance(value, np.ndarray):
                    yield index, place, value


def compiled_is_eager(op: Op, d: Draw) -> bool:
    """L10: compiled, twice with new data, outputs and gradients are what they are eagerly.

    Bit for bit without the inexact passes, to 1e-12 with them. Only what the sizes of the outputs tell of the values
    may be refused.
    """
    assume(not refused(op, d))
    fresh = d.like(values(op, [x.shape for x in d.arrays], d.seed ^ 1))
    both = [[*(x.copy() for x in one.arrays), *one.cotangents(run(op, list(map(wrap, one.arrays)), one.named))]
            for one in (d, fresh, d)]  # fmt: skip

    def whole(*arrays: Array) -> list[Array]:
        xs = leaves(arrays[: len(d.arrays)])
        ys = run(op, xs, d.named)
        live = [(y, w) for y, w in zip(ys, arrays[len(xs) :], strict=True) if y.requires_grad]
        total = sum((y * wrap(w)).sum() for y, w in live)
        inputs = [x for x in xs if x.requires_grad]
        grads = tg.autograd.grad(total, inputs, materialize_grads=True) if live else []
        return [t.detach().clone().array for t in (*ys, *grads)]

    for without, rtol in ((INEXACT, 0.0), ((), 1e-12)):
        compiled = tg.compile(whole, without=without)
        for arrays in both:
            expected = whole(*arrays)
            try:
                found = compiled(*arrays)
            except tg.CompileError:
                if all(x.size for x in d.arrays):
                    assert sizes_vary(op, d), "refused, though the sizes of its outputs depend on no value"
                return True
            for x, y in zip(found, expected, strict=True):
                # NumPy raises a single number to a power by another function than an array: 1 ulp apart at p = 2.5.
                ulps = 4 * np.finfo(y.dtype).eps if y.ndim == 0 and y.dtype.kind in "fc" else 0.0
                close(x, y, max(rtol, ulps), atol=rtol)
    return True


def sizes_vary(op: Op, d: Draw) -> bool:
    """Whether other entries of the inputs, or of a mask or counts among the parameters, give outputs of other sizes."""
    rng = np.random.default_rng(d.seed)

    def other(x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        return rng.integers(0, 2, x.shape).astype(x.dtype) if x.dtype.kind in "bi" else x * rng.integers(0, 2, x.shape)

    draws = [Draw([other(x) for x in d.arrays], {k: other(v) for k, v in d.named.items()}, d.seed) for _ in range(9)]
    return len({tuple(y.shape for y in run(op, list(map(wrap, one.arrays)), one.named)) for one in draws}) > 1


def node_keeps_what_rules_name(op: Op, d: Draw) -> bool:
    """L11: an input or output that no rule names is not kept alive by the node."""
    if not op.rules:
        return False
    _, ys = recorded(op, d)
    for index, place, _ in saved_arrays(ys):
        names = getattr(op.pure[index], "reads", None) or parameters(op.written[min(index, len(op.written) - 1)])
        after = sum(n.startswith("g_") for n in names) - 1 if op.outputs else 1  # the forms of the outputs come first
        read = names[after:][place : place + 1]  # beyond the names: *xs
        assert not any(name.endswith("_shape") for name in read), "a shape was asked for and an array kept"
    named = {n for rule in op.written for n in parameters(rule)}
    fresh = [x.copy() for x in d.arrays]
    refs = {n: weakref.ref(x) for n, x in zip(op.inputs, fresh, strict=False)} if not op.many else {}
    value = run(op, leaves(fresh), d.named)[0]
    held = value.array
    while held is not None:  # a view keeps its owner alive, whatever the node does
        refs = {n: r for n, r in refs.items() if r() is not held}
        held = held.base
    output, node = weakref.ref(value.array), value.grad_fn
    del value, fresh, ys, held
    gc.collect() if any(r() is not None for n, r in refs.items() if n not in named) else None
    first = op.outputs[0] if op.outputs else "y"
    kept = {n for n, r in refs.items() if r() is not None} | ({first} if output() is not None else set())
    assert kept <= named, f"the node keeps {kept - named}, which no rule reads"
    return node is not None


def layout_does_not_matter(op: Op, d: Draw) -> bool:
    """L12: 0-d, empty, size-1, permuted, backwards, strided and read-only arrays give what plain ones give."""
    xs, ys = recorded(op, d)
    values = [y.array for y in run(op, list(map(wrap, d.arrays)), d.named)]
    ws = d.cotangents(ys)
    found = [g.array for g in pull(ys, xs, ws)] if ys else []
    for kind in LAYOUTS:
        arrays = [layout(x, kind) for x in d.arrays]
        for value, z in zip(values, run(op, list(map(wrap, arrays)), d.named), strict=True):
            close(z.array, value)
            assert isinstance(z.array, np.ndarray), "a NumPy scalar escaped"
        other_xs = leaves(arrays)
        other = [y for y in run(op, other_xs, d.named) if y.requires_grad]
        for g, h in zip(found, pull(other, other_xs, ws) if other else [], strict=True):
            close(h.array, g)
    return True


LAWS = {
    "L1 forward": forward_is_numpy,
    "L2 spellings": spellings_agree,
    "L3 gradient": gradient_is_right,
    "L4 second order": second_order_is_right,
    "L5 form": gradient_has_the_inputs_form,
    "L6 unchanged": nothing_is_changed,
    "L7 broadcasting": broadcasting_is_repetition,
    "L8 readers": both_readers_agree,
    "L9 adjoint": forward_and_reverse_are_adjoint,
    "L10 compiled": compiled_is_eager,
    "L11 saved": node_keeps_what_rules_name,
    "L12 layout": layout_does_not_matter,
}
