"""Who looks into whose memory: bases, views, views of views, detached twins, all written through one of them.

Programs as in `test_inplace.py`, which PyTorch plays beside us; the second half counts who is kept alive.
"""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import numpy as np
import pytest
from test_inplace import same

import tinygrad_bp as tg

# Programs in which somebody else looks into the memory that is written: the base, views of it, views of views, twins.
ALIASES = r"""
v = y[0]; y *= 2; v.sum().backward()
v = y[0]; v *= 2; y.sum().backward()
v = y.T; y += 1; (v * 2).sum().backward()
v = y.reshape(3, 2); v += 1; (y * c).sum().backward()
v = y[0]; y[1] = 5.0; v.sum().backward()
v = y[0]; v.zero_(); y.sum().backward()
v = c[0]; v += w; (c * 2).sum().backward()
v = c[0]; c += x; (c.sum() + v.sum()).backward()
v = c[0]; c[1, 2] = s; (c.sum() + v.sum()).backward()
v = c.detach(); c[0] = w; (c.sum() + (v * 2).sum()).backward()
v = y.view(-1); u = v[:2]; u.mul_(3); (v * v).sum().backward()
v = k[1:]; k += s; v[0] = 7; (k * k).sum().backward()
h = k[:2].clone(); r = h[0]; r += s; out = k[:2].clone(); out.copy_(h); (out * s).sum().backward()
d = y.detach(); d += w; (y * 1).sum().backward()
z = w * 3; z[0].mul_(10); z.backward(c[0])
z = w * 3; z[0].mul_(10); z[:2].sum().backward()
g = w * 3; g[0].mul_(10); h = T.autograd.grad(g, w, c[0])[0]
z = (w * w).sum(); v = z.view(1); v *= 3; z.backward()
z = (w * w).sum(); v = z.view(1); z *= 3; v.backward()
y[:, 0].clamp_(0, 3); (y * c).sum().backward()
y.T[1:].diagonal().fill_(0); (y * c).sum().backward()
r = (w * 2).expand(2, 3); y[0].copy_(r[1]); (y * y).sum().backward()
h = y[:1]; h *= 2; k = y.unsqueeze(0).squeeze()[1:]; k.sin_(); (y * c * h).sum().backward()
z = ((x - x.mean(0)) / x.std(0)); z *= w; z += s; (z * c).sum().backward()
b = c * 0\nfor i in range(2): b[i].copy_(x[i] * w)\n(b * b).sum().backward()
v = y[1]; u = v[1:]; y[1, 2] = s; u *= s; y.T[0] += w[:2]; ((y * c).sum() + u.sum() + v.exp().sum()).backward()
a = y.permute(1, 0); b = a.reshape(3, 1, 2); b[0] -= 1; b.exp_(); (y * c).sum().backward(); k = a * 2
v = y[0]; y.retain_grad(); v.retain_grad(); v *= 3; (y * c).sum().backward(); i = y.grad; j = v.grad
v = y[0]; v.retain_grad(); y *= 3; (v * w).sum().backward(); j = v.grad
y.retain_grad(); y.mul_(5); (y * 3).sum().backward(); j = y.grad
y.retain_grad(); y.register_hook(lambda g: g * 10); (y * 3).sum().backward(); j = y.grad
v = y[0]; y.register_hook(lambda g: g * 10); v.register_hook(lambda g: g * 7); v *= 3; (y * c).sum().backward()
v = y[0]; v.register_hook(lambda g: g * 7); y[0] *= 3; (v * w).sum().backward()
v = w[1:]; v.register_hook(lambda g: g * 7)\nwith T.no_grad(): w.mul_(2)\nv.sum().backward()
with T.no_grad(): v = y[0]; v += 1; y[1] *= 2\n(y * c).sum().backward()
v = k[1:]; k.requires_grad_()\nwith T.no_grad(): k += 1\n(v * 2).sum().backward(); j = k.grad
v = k[1:].requires_grad_(); k.add_(1); (v * 2).sum().backward(); j = v.grad
v = k[1:].requires_grad_(); k.add_(s); (v * 2).sum().backward()
a, b = c.split(1); a += 1; b[0, 0] = 7; (c * w).sum().backward()
v = y[0]; e = v.expand(1, 1, 3); e *= 2; f = k[:1].expand(3); f.fill_(2); f[1] = 5; (y * c).sum().backward()
v = y[0]; y = y.detach(); y += 1; (v * w).sum().backward()
z = w * 1; v = z[1:]; z.data = z.data * 2; v += 1; z += 3; (z.sum() + (v * v).sum()).backward()
y += w.float(); (y * c).sum().backward()
u = w.float() * 1; u += w; u[0] *= s; u[1:] = w[:2]; (u * u).sum().backward()
"""


@pytest.mark.parametrize("program", ALIASES.strip().splitlines())
def test_all_that_look_into_memory_that_is_written_follow(program: str) -> None:
    same(program.replace(r"\n", "\n"))


OUT = ["w[:1]", "w[:1].view(1, 1)", "w[0]", "s", "c[:1, :1]"]


@pytest.mark.parametrize("value", OUT)
def test_a_value_with_sizes_of_one_too_many_is_assigned(value: str) -> None:
    same(f"out = k.clone(); out[1] = {value}; (out * w).sum().backward()")
    same(f"y[0, 1] = {value}; (y * c).sum().backward()")
    same(f"y[T.tensor([0, 1]), T.tensor([2, 1])] = {value}; (y * c).sum().backward()")
    same("y[0] = (w * 2).view(1, 3); y[T.tensor([1])] = (w * 3).view(1, 1, 3); (y * c).sum().backward()")


# ---------------------------------------------------------------------------------------- what needs no PyTorch


def test_arrays_and_twins_show_the_new_values() -> None:
    array = np.zeros(3)
    c, w = tg.from_numpy(array), tg.tensor(2.0, dtype=tg.float64, requires_grad=True)
    twin, data, view, numpy = c.detach(), c.data, c[1:], c.numpy()
    c += w
    view[0] = 7
    for seen in (array, twin.numpy(), data.numpy(), numpy, c.detach().numpy(), copy.deepcopy(twin).numpy()):
        np.testing.assert_array_equal(seen, [2, 7, 2])
    assert view.tolist() == [7, 2]
    assert view[0].item() == 7
    assert repr(c) == "tensor([2., 7., 2.], dtype=float64, grad_fn=<CopySlicesBackward>)"


WRITES = ["w.view(-1).zero_()", "w[0] *= 3", "w[0] = 3", "w.add_(1)", "w.T.copy_(k)", "w[:2].exp_()", "w[[0]] = 1"]


@pytest.mark.parametrize("write", WRITES)
def test_a_refused_write_leaves_nothing_behind(write: str) -> None:
    w, k = tg.tensor([1.0, 2.0, 3.0], requires_grad=True), tg.zeros(3)
    view, node = w[1:], w.node
    with pytest.raises(tg.InplaceError, match="leaf"):
        exec(write, {"w": w, "k": k})
    assert w.tolist() == [1, 2, 3]
    assert w.node is node
    assert w.is_leaf
    with tg.no_grad():
        w.mul_(2)
    view.sum().backward()
    assert w.grad.tolist() == [0, 1, 1]


def test_the_advice_in_a_refusal_can_be_followed() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(tg.InplaceError, match=r"x\.clone\(\)"):
        w.add_(1)
    w.clone().add_(1).sum().backward()
    a, _ = (w * 2).split(1)
    with pytest.raises(tg.InplaceError, match=r"v = x\[0\].*y = v \+ 1"):
        a.add_(1)
    b = w * 2
    v = b[:1]
    v.add_(1)
    (a + 1 + v).sum().backward()
    assert w.grad.tolist() == [5, 1]


def test_a_second_derivative_through_a_write() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64, requires_grad=True)

    def program(x: Any) -> Any:
        y = x * x
        v = y[1:]
        y.view(3, 1)[0] *= x[2]
        v *= y[:2] + x[1]
        return (y * v.sum()).sum()

    assert tg.autograd.gradcheck(program, (x,))
    assert tg.autograd.gradgradcheck(program, (x,))


def test_views_keep_their_base_and_nobody_keeps_views() -> None:
    w = tg.ones(4, requires_grad=True)
    y = w * 2
    base, views = weakref.ref(y), [weakref.ref(y[i:]) for i in range(100)]
    assert not any(ref() for ref in views)
    assert len(y._views) < 40
    v = y[1:]
    del y
    gc.collect()
    assert base() is not None  # a write to the view must find it
    v.mul_(2)
    assert v.tolist() == [4, 4, 4]
    del v
    assert base() is None


def test_the_graph_is_freed_with_its_tensors_after_a_write() -> None:
    w = tg.ones(4, requires_grad=True)
    y = w * 2
    v = y[1:]
    v.mul_(3)
    nodes = [weakref.ref(y.node), weakref.ref(v.node)]
    (y * v.sum()).sum().backward()
    gc.disable()
    try:
        del y, v
        assert not any(ref() for ref in nodes)
    finally:
        gc.enable()


def test_a_plain_write_makes_no_node_and_looks_at_no_alias() -> None:
    """A loop that fills a buffer of constants is as cheap as NumPy's."""
    out = tg.zeros(100)
    for i in range(100):
        out[i] = i
    assert out.node is None
    assert getattr(out, "_views", None) is None
