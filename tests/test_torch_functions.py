"""Side by side with PyTorch: `autograd.Function`, derivatives of functions, and how a tensor prints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_side import ARRAYS, parts, plain

import tinygrad_bp as tg

torch = pytest.importorskip("torch")

# -------------------------------------------------------------------------------------------------- Function


def functions(module: Any) -> dict[str, Any]:
    class Split(module.autograd.Function):
        """Two outputs, one of them possibly unused."""

        @staticmethod
        def forward(ctx: Any, x: Any, k: float) -> Any:
            ctx.save_for_backward(x)
            ctx.k = k
            return x * k, x**2

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * ctx.k + h * 2 * x, None

    class Exp(module.autograd.Function):
        """Saves its output."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0]

    class Product(module.autograd.Function):
        """Asks which inputs need a gradient."""

        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            a, b = ctx.saved_tensors
            return (g * b if ctx.needs_input_grad[0] else None, g * a if ctx.needs_input_grad[1] else None)

    class Largest(module.autograd.Function):
        """An output that has no derivative."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, indices = x.max(1)
            ctx.mark_non_differentiable(indices)
            ctx.save_for_backward(x, indices)
            return values, indices

        @staticmethod
        def backward(ctx: Any, g: Any, _: Any) -> Any:
            x, indices = ctx.saved_tensors
            return module.zeros_like(x).scatter_add(1, indices.unsqueeze(1), g.unsqueeze(1))

    class Separate(module.autograd.Function):
        """forward without ctx."""

        @staticmethod
        def forward(x: Any, y: Any) -> Any:
            return x * y

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            return g * y, g * x

    class InPlace(module.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    class Same(module.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    return {name: cls for name, cls in locals().items() if isinstance(cls, type)}


USES = {
    "both outputs": "(lambda a, b: a.sum() + (b * b).sum())(*Split.apply(x, 3.0))",
    "first output": "Split.apply(x, 3.0)[0].sum()",
    "second output": "(Split.apply(x, 3.0)[1] ** 2).sum()",
    "output used twice": "(lambda a, b: (a * a * b).sum() + a.sum())(*Split.apply(x, 3.0))",
    "saved output": "(Exp.apply(x) ** 2).sum()",
    "one of two inputs": "Product.apply(x, c).sum()",
    "the other input": "Product.apply(c, x).sum()",
    "both inputs": "(Product.apply(x, x) * c).sum()",
    "chain": "(Exp.apply(Exp.apply(x).sin()) * Split.apply(x, 2.0)[1]).sum()",
    "no derivative": "(Largest.apply(x)[0] ** 2).sum()",
    "setup_context": "(Separate.apply(x, c) * x).sum()",
    "in place": "(InPlace.apply(x * 1) * c).sum()",
    "identity": "(Same.apply(x) * c).sum()",
}


@pytest.mark.parametrize("use", USES)
def test_function_and_its_second_derivative(use: str) -> None:
    found = []
    for module in (torch, tg):
        x = module.from_numpy(ARRAYS["x"].copy()).requires_grad_()
        c = module.from_numpy(ARRAYS["y"].copy())
        y = eval(USES[use], {**functions(module), "x": x, "c": c})
        (g,) = module.autograd.grad(y, x, create_graph=True)
        second = module.autograd.grad((g * c).sum(), x)[0] if g.requires_grad and use not in ("first output",
            "identity", "in place") else g
        found.append([plain(y), plain(g), plain(second)])
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("how", ["alone", "beside another graph"])
def test_once_differentiable_refuses_with_a_constant_cotangent(how: str, two: bool) -> None:
    """The gradient depends on what was saved, also where the cotangent depends on nothing."""

    class Cube(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return (x**3, x * 1) if two else x**3

        @staticmethod
        @tg.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any, *rest: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * 3 * x**2

    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = Cube.apply(x)
    (g,) = tg.autograd.grad((y[0] if two else y).sum(), x, create_graph=True)
    assert g.tolist() == [3, 12]
    with pytest.raises(tg.errors.GraphError, match="once_differentiable"):
        (g if how == "alone" else g * x + x.exp()).sum().backward()
    (g,) = tg.autograd.grad((Cube.apply(x)[0] if two else Cube.apply(x)).sum(), x)
    assert not g.requires_grad


def test_once_differentiable_refuses_the_second_derivative() -> None:
    for module in (torch, tg):

        class Cube(module.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            @module.autograd.function.once_differentiable
            def backward(ctx: Any, g: Any) -> Any:
                return g * 3 * ctx.saved_tensors[0] ** 2

        x = module.tensor(2.0, requires_grad=True)
        (g,) = module.autograd.grad(Cube.apply(x), x)
        assert g.item() == 12
        (g,) = module.autograd.grad(Cube.apply(x) * x, x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            g.backward()


def test_functions_that_go_wrong() -> None:
    class Few(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    class Shape(Few):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g[:1], g

    class Kind(Few):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return "g", g

    a, b = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    for wrong, named in ((Few, "1 gradients for 2"), (Shape, r"\(1,\).*\(2,\)"), (Kind, "str")):
        with pytest.raises(tg.TensorError, match=named):
            wrong.apply(a, b).sum().backward()
    assert a.grad is None
    with pytest.raises(tg.TensorError, match="forward"):
        tg.autograd.Function.apply(a)


# ---------------------------------------------------------------------------------------- derivatives of functions

WHOLE = {
    "jacobian": ["F.jacobian(lambda x: x.exp() * x.sum(), x)", "F.jacobian(lambda x, v: (x * v).sum(1), (x, v))",
    "F.jacobian(lambda x: (x.sin(), x.sum()), x)",
                 "F.jacobian(lambda x: x.sum(), x)", "F.jacobian(lambda v: T.ones(2, dtype=T.float64), v)"],
    "hessian": ["F.hessian(lambda x: (x**3).sum(), x)", "F.hessian(lambda x, v: ((x * v) ** 2).sum(), (x, v))",
    "F.hessian(lambda v: v.prod(), v)"],
    "vjp": ["F.vjp(lambda x: x.exp(), x, y)", "F.vjp(lambda x, v: x * v, (x, v), y)", "F.vjp(lambda x: x.sum(), x)",
    "F.vjp(lambda x: (x * 2, x.sum()), x, (y, s))"],
    "jvp": ["F.jvp(lambda x: x.exp(), x, y)", "F.jvp(lambda x, v: x @ v, (x, v), (y, v))",
    "F.jvp(lambda s: s * 2, s)", "F.jvp(lambda x: (x.sin(), x.sum()), x, y)"],
    "hvp": ["F.hvp(lambda x: (x**3).sum(), x, y)", "F.hvp(lambda x, v: ((x * v) ** 3).sum(), (x, v), (y, v))"],
    "vhp": ["F.vhp(lambda x: (x**3).sum(), x, y)"],
}  # fmt: skip


@pytest.mark.parametrize("program", [p for programs in WHOLE.values() for p in programs])
def test_derivatives_of_functions(program: str) -> None:
    found = []
    for module in (torch, tg):
        scope = {k: module.from_numpy(v.copy()) for k, v in ARRAYS.items()}
        found.append(parts(eval(program, {"T": module, "F": module.autograd.functional, **scope})))
    assert len(found[0]) == len(found[1])
    for theirs, ours in zip(*found, strict=True):
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert ours.requires_grad == theirs.requires_grad
        np.testing.assert_allclose(plain(ours), plain(theirs), rtol=1e-10, atol=1e-12)


def test_derivatives_of_functions_with_a_graph() -> None:
    found = []
    for module in (torch, tg):
        x = module.from_numpy(ARRAYS["v"].copy()).requires_grad_()
        jac = module.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True)
        (jac**2).sum().backward()
        found.append(plain(x.grad))
    np.testing.assert_allclose(found[1], found[0])


# --------------------------------------------------------------------------------------------------- printing

PRINTED = """
T.tensor(1.0); T.tensor(1); T.tensor(True); T.tensor([]); T.zeros(0, 3); T.zeros(2, 0); T.tensor([1.0, 2.0])
T.tensor([1.5, 2.25]); T.tensor([0.1, 100.0]); T.tensor([1e-5, 1.0]); T.tensor([1e10, 1.0]); T.tensor([1e-10])
T.tensor([float('nan'), 1.0]); T.tensor([float('inf'), -1.5]); T.tensor([float('inf')]); T.tensor([-0.0, 0.0])
T.tensor([1, 200, -3]); T.tensor([True, False]); T.tensor([[1.0, 2.0], [3.0, 4.5]]); T.ones(2, 3, 4); T.arange(5)
T.arange(30); T.arange(1001); T.arange(2000).reshape(40, 50)
T.arange(30.0); T.arange(30.0) / 7; T.ones(2, dtype=T.float64); T.ones(2, dtype=T.int32); T.ones(2, dtype=T.float16)
T.ones(2, dtype=T.uint8); T.ones(2, requires_grad=True); T.ones(2, requires_grad=True) * 2
T.ones(2, requires_grad=True).tanh(); T.ones(2, requires_grad=True).exp()
T.ones(2, requires_grad=True).sum(); T.ones(2, 2, requires_grad=True).sigmoid(); T.ones(2, requires_grad=True) + 1
T.ones(2, requires_grad=True) / 3; -T.ones(2, requires_grad=True); T.ones(2, requires_grad=True) - 1
T.ones(2, requires_grad=True).relu(); T.ones(2, requires_grad=True).mean()
T.tensor([0.00012, 1.0]); T.tensor([1e8, 1.0]); T.tensor([123456.0, 0.5]); T.tensor([1234567.0])
T.tensor([99999999.0]); T.tensor([1e9]); T.tensor([0.5]); T.tensor(3.14159265, dtype=T.float64)
T.tensor([1000.0, 0.1]); T.tensor([1001.0, 1.0]); T.tensor([2.0, 3.0]) ** 20; T.tensor([[1e-3, 5.0], [-2.5, 1e3]])
T.eye(3); T.linspace(0, 1, 50); T.zeros(3, 3, dtype=T.bool); T.zeros(1, 1, 1, 1); T.ones(7, 7)
T.arange(10000.0).reshape(100, 100); T.full((1200,), 0.5); T.ones(3, 400); T.ones(2, 2, 2, 300); T.tensor(-1.5)
T.tensor(1e-7); T.tensor(float('nan')); T.tensor([[], []]); T.tensor([5e-324 * 0, 1e-38]); T.ones(2).double() * 1e-3
T.log(T.tensor([0.0, 1.0, 2.0])); T.tensor([1.0, 2.0], dtype=T.float64, requires_grad=True)
"""


@pytest.mark.parametrize("program", [p.strip() for line in PRINTED.strip().splitlines() for p in line.split(";")])
def test_printing(program: str) -> None:
    """As PyTorch prints it, but grad_fn=<TanhBackward> without the 0 (and dtypes by NumPy's names)."""
    theirs = repr(eval(program, {"T": torch})).replace("torch.", "").replace("Backward0>", "Backward>")
    with np.errstate(divide="ignore"):
        ours = repr(eval(program, {"T": tg}))
    assert ours == theirs


SHOWN = st.floats(-1e6, 1e6, width=32) | st.integers(-5,
    5).map(float) | st.sampled_from([np.inf, -np.inf, np.nan, 1e-8, 123456789.0])


@given(st.lists(SHOWN, min_size=1, max_size=8))
def test_printing_of_any_numbers(values: list[float]) -> None:
    array = np.asarray(values, np.float32)
    assert repr(tg.from_numpy(array)) == repr(torch.from_numpy(array))


WORDS: dict[str, dict[str, Any]] = {  # PyTorch's own names for every argument
    "pow": {"input": "x", "exponent": 2}, "mul": {"input": "x", "other": "x"}, "add": {"input": "x", "other": "x"},
    "div": {"input": "x", "other": "x", "rounding_mode": "floor"}, "sub": {"input": "x", "other": "x", "alpha": 2},
    "mm": {"input": "x", "mat2": "x"}, "mv": {"input": "x", "vec": "v"}, "outer": {"input": "v", "vec2": "v"},
    "dot": {"input": "v", "tensor": "v"}, "addmm": {"input": "x", "mat1": "x", "mat2": "x", "beta": 2, "alpha": 3},
    "addcmul": {"input": "x", "tensor1": "x", "tensor2": "x", "value": 2},
    "lerp": {"input": "x", "end": "x", "weight": 2},
    "where": {"condition": "mask", "input": "x", "other": "x"}, "searchsorted": {"sorted_sequence": "v", "input": "v"},
    "reshape": {"input": "x", "shape": (4, 1)}, "broadcast_to": {"input": "v", "size": (3, 2)},
    "flip": {"input": "x", "dims": (0,)}, "roll": {"input": "x", "shifts": 1, "dims": 0},
    "permute": {"input": "x", "dims": (1, 0)}, "tile": {"input": "x", "dims": (2, 1)},
    "tensordot": {"a": "x", "b": "x", "dims": 1}, "swapaxes": {"input": "x", "axis0": 0, "axis1": 1},
    "swapdims": {"input": "x", "dim0": 0, "dim1": 1}, "transpose": {"input": "x", "dim0": 0, "dim1": 1},
    "movedim": {"input": "x", "source": 0, "destination": 1}, "gather": {"input": "x", "dim": 0, "index": "i"},
    "sum": {"input": "x", "dim": 0, "keepdim": True}, "mean": {"input": "x", "dim": (0, 1), "keepdim": True},
    "var": {"input": "x", "dim": 0, "correction": 0, "keepdim": True}, "norm": {"input": "x", "p": 2, "dim": 0},
    "cumsum": {"input": "x", "dim": 0}, "softmax": {"input": "x", "dim": 0}, "squeeze": {"input": "x", "dim": 0},
    "unsqueeze": {"input": "x", "dim": 0}, "clamp": {"input": "x", "min": 0, "max": 1},
    "cat": {"tensors": ["x", "x"], "dim": 1},
    "stack": {"tensors": ["x", "x"], "dim": 1}, "flatten": {"input": "x", "start_dim": 0, "end_dim": 1},
    "repeat_interleave": {"input": "x", "repeats": 2, "dim": 0},
    "masked_fill": {"input": "x", "mask": "mask", "value": 2.0},
    "take_along_dim": {"input": "x", "indices": "i", "dim": 0}, "index_select": {"input": "x", "dim": 0, "index": "j"},
    "tril": {"input": "x", "diagonal": 1}, "maximum": {"input": "x", "other": "x"}, "argmax": {"input": "x", "dim": 0},
    "scatter_add": {"input": "x", "dim": 0, "index": "i", "src": "x"}, "unbind": {"input": "x", "dim": 1},
    "chunk": {"input": "x", "chunks": 2, "dim": 1}, "split": {"tensor": "x", "split_size_or_sections": 1, "dim": 1},
    "diagonal": {"input": "x", "offset": 0, "dim1": 0, "dim2": 1}, "all": {"input": "x", "dim": 0, "keepdim": True},
    "topk": {"input": "x", "k": 1, "dim": 0, "largest": False, "sorted": True},
    "logaddexp": {"input": "x", "other": "x"},
    "sort": {"input": "x", "dim": 0, "descending": True, "stable": True}, "einsum": {"equation": "ij->i"},
    "logsumexp": {"input": "x", "dim": 0, "keepdim": True}, "matmul": {"input": "x", "other": "x"},
    "unflatten": {"input": "v", "dim": 0, "sizes": (1, 2)}, "lt": {"input": "x", "other": "x"},
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_every_argument_may_be_given_by_torchs_name(name: str) -> None:
    found = []
    for lib in (tg, torch):
        known = {"x": lib.tensor([[1.0, 2.0], [3.0, 4.0]]), "v": lib.tensor([1.0, 2.0]), "j": lib.tensor([1, 0]),
                 "mask": lib.tensor([[True, False], [False, True]]), "i": lib.tensor([[0, 1], [1, 0]])}  # fmt: skip
        given = {key: [known[v] for v in value] if isinstance(value, list) else known.get(value, value)
                 if isinstance(value, str) else value for key, value in WORDS[name].items()}  # fmt: skip
        extra = (known["x"],) if name == "einsum" else ()
        result = getattr(lib, name)(*([given.pop("equation")] if extra else []), *extra, **given)
        parts = result if isinstance(result, tuple | list) else (result,)
        found.append([part.tolist() for part in parts])
    assert found[0] == found[1]
