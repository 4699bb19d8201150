"""Side by side with PyTorch: the dtype in which operands meet, and that of every function's result."""

from __future__ import annotations

import numpy as np
import pytest
from torch_side import DTYPES, agree

torch = pytest.importorskip("torch")

OPERATORS = [
    "{} + {}", "{} * {}", "{} / {}", "{} - {}", "{} ** {}", "{} // {}", "{} % {}", "{} > {}", "{} == {}",
    "T.maximum({}, {})", "T.where({} > 0, {}, 1)", "T.atan2({}, {})",
]  # fmt: skip
SCALARS = ["2", "2.5", "True", "T.tensor(2)", "T.tensor(2.5)", "T.tensor(2.5, dtype=T.float64)", "T.tensor(True)"]


def operand(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, 1 if dtype == "bool" else 3).astype(dtype)


def promotes_alike(program: str, names: dict[str, np.ndarray]) -> None:
    try:
        eval(program, {"T": torch, **{k: torch.from_numpy(v) for k, v in names.items()}})
    except (RuntimeError, TypeError):
        return  # PyTorch has no such kernel (subtracting bools, …)
    agree(program, names, rtol=2e-3)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("first", DTYPES.values())
def test_promotion_of_two_tensors(operator: str, first: str) -> None:
    for second in DTYPES.values():
        if "atan2" in operator and "uint8" in (first, second):
            continue  # PyTorch's gradient negates the uint8, and is wrong
        for shapes in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())):
            names = {"a": operand(first, shapes[0]), "d": operand(second, shapes[1])}
            promotes_alike(operator.format("a", "d"), names)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("first", DTYPES.values())
def test_promotion_with_numbers(operator: str, first: str) -> None:
    for scalar in SCALARS:
        for shape in ((2,), ()):
            if (operator, first, scalar) == ("{} ** {}", "bool", "True"):
                continue  # bool to the bool: int8, as in NumPy
            promotes_alike(operator.format("a", scalar), {"a": operand(first, shape)})
            if "where" not in operator and "maximum" not in operator and "atan2" not in operator:
                promotes_alike(operator.format(scalar, "a"), {"a": operand(first, shape)})


NAMED = """
    exp sqrt sin tanh sigmoid log abs neg square sign floor round reciprocal rsqrt erf expm1 relu sum prod mean max amax
    all any cumsum cumprod argmax count_nonzero float long bool double var std norm logsumexp softmax sort tril flip
    isnan isfinite logical_not median
""".split()  # noqa: SIM905


@pytest.mark.parametrize("dtype", DTYPES.values())
def test_result_dtypes_of_functions(dtype: str) -> None:
    for program in NAMED:
        if (program, dtype) in (("all", "uint8"), ("any", "uint8"), ("square", "bool"), ("sign", "bool")):
            continue  # PyTorch's answers are uint8, int64 and bool; NumPy's are kept
        argument = "0" if program in ("cumsum", "cumprod", "softmax", "logsumexp", "flip") else ""
        names = {"a": operand(dtype, (3,) if program != "tril" else (3, 3))}
        promotes_alike(f"a.{program}({argument})", names)
    for program in ("a @ a", "T.stack([a, a])", "T.cat([a, a.float()])", "T.cat([a, a.long()])",
        "T.where(a > 0, a, a)", "a.clamp(min=0)", "a.clamp(0, 2.5)", "T.clamp(a, 0, 2)",
                    "a.sum(0)", "a.masked_fill(a > 0, 2)", "T.dot(a, a)", "T.outer(a, a)", "a.max(0)",
                    "a.topk(2)[0]", "T.lerp(a, a, 0.5)", "a.addcmul(a, a)", "a ** 2", "a ** 0.5", "2 ** a",
                    "a ** -1"):  # fmt: skip
        promotes_alike(program, {"a": operand(dtype, (3,))})
