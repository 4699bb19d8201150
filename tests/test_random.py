"""The random stream: figures recorded from PyTorch 2.13, and both libraries drawing side by side.

Integers, masks and float32 numbers are compared bit for bit on every machine. Numbers that pass through the
C library's log, sin and cos may differ in their last bits between systems: see `agree` and `faithful`.
Longer than the house's 400 lines for its two tables: what torch gave, and what is refused.
"""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinygrad_bp import random as rng
from tinygrad_bp.errors import DtypeError, ShapeError, TensorError
from tinygrad_bp.random import continuous, discrete

Array = NDArray[Any]
F16, F32, F64 = np.float16, np.float32, np.float64


def fresh(seed: int = 0) -> rng.Generator:
    return rng.Generator().manual_seed(seed)


def agree(ours: Array, theirs: Array, *, ulps: int = 0) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    if ulps:
        np.testing.assert_array_max_ulp(ours, theirs, maxulp=ulps)
    else:
        assert ours.tobytes() == theirs.tobytes(), f"{ours}\n{theirs}"


# ---- figures of PyTorch 2.13, each drawn first after manual_seed(0) ----

RECORDED: dict[str, tuple[Callable[[rng.Generator], Array], Any, Any]] = {
    "rand": (lambda g: rng.rand(5, generator=g), F32,
             [.4962566, .7682218, .08847743, .13203049, .30742282]),
    "rand f64": (lambda g: rng.rand(3, F64, g), F64,
                 [.9700530018065531, .707819864399788, .45938294312745087]),
    "rand f16": (lambda g: rng.rand(4, F16, g), F16, [.4963, .768, .0885, .1321]),
    "uniform": (lambda g: rng.uniform(4, -1 / 3, 1.7, generator=g), F32,
                [.6757217, 1.2287176, -.15342924, -.064871356]),
    "uniform f64": (lambda g: rng.uniform(3, -1 / 3, 1.7, F64, g), F64,
                    [1.6391077703399912, 1.1059003909462355, .6007453176924834]),
    "randn 4": (lambda g: rng.randn(4, generator=g), F32, [1.5409961, -.2934289, -2.1787894, .56843126]),
    "randn 17": (lambda g: rng.randn(17, generator=g), F32,
                 [-1.1258398, -1.6959312, .5666506, .79350835, .59883946, -1.5550951, -.3413604, 1.8530061,
                  .4680964, -.58549756, -.17339675, .18347794, 1.3893661, 1.5863342, .94629836, -.84367675,
                  .9318266]),
    "randn f64 3": (lambda g: rng.randn(3, F64, g), F64,
                    [1.5409961082440433, -.2934289057609464, -2.1787893820745574]),
    "randn f64 16": (lambda g: rng.randn(16, F64, g)[[0, 7, 15]], F64,
                     [-2.310411800234176, -.8664416019125772, .3380174030507378]),
    "normal": (lambda g: rng.normal(3, 10, 2, generator=g), F32, [13.081992, 9.413142, 5.6424212]),
    "exponential": (lambda g: rng.exponential(3, .5, F64, g), F64,
                    [7.016652373415284, 2.4607695283593536, 1.230088187788023]),
    "bernoulli of a number": (lambda g: rng.bernoulli(.3, 16, np.int64, g), np.int64,
                              [0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0]),
    "bernoulli of an array": (lambda g: rng.bernoulli(np.full(16, .3, F32), generator=g), F32,
                              [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0]),
    "dropout": (lambda g: rng.dropout_mask(16, .6, g), np.bool_,
                [0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1]),
    "randint": (lambda g: rng.randint(0, 10, 5, generator=g), np.int64, [4, 9, 3, 0, 3]),
    "randint with one word": (lambda g: rng.randint(0, 2**28 - 1, 3, generator=g), np.int64,
                              [209652404, 130329144, 118924928]),
    "randint with two words": (lambda g: rng.randint(0, 2**28, 3, generator=g), np.int64,
                               [130329135, 136432832, 195187451]),
    "randint beyond 2**32": (lambda g: rng.randint(-2**40, 2**40, 3, generator=g), np.int64,
                             [-358231004625, -593374360384, 291447657211]),
    "randint of all int64": (lambda g: rng.randint(-2**63, 2**63 - 1, 3, generator=g), np.int64,
                             [900450186894289455, 3969543146641149120, 1895649597198586619]),
    "randperm": (lambda g: rng.randperm(8, generator=g), np.int64, [4, 0, 7, 3, 2, 5, 1, 6]),
    "randint after randperm": (
        lambda g: [rng.randperm(8, generator=g), rng.randint(0, 10, 5, generator=g)][1], np.int64,
        [3, 7, 3, 1, 6]),
    "multinomial": (lambda g: rng.multinomial(np.arange(1, 9, dtype=F32), 5, generator=g), np.int64,
                    [6, 7, 2, 4, 5]),
    "multinomial, put back": (lambda g: rng.multinomial(np.arange(1, 9, dtype=F32), 8, True, g), np.int64,
                              [7, 6, 5, 7, 6, 7, 3, 4]),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_seed_0_gives_the_recorded_figures(name: str) -> None:
    draw, dtype, figures = RECORDED[name]
    agree(draw(fresh()), np.array(figures, dtype), ulps=2 if dtype == F64 else 0)


@pytest.mark.parametrize(
    ("draw", "digest"),
    [
        (lambda g: rng.rand(100003, generator=g), "99f0566c49031852"),
        (lambda g: rng.rand(100003, F64, g), "03e17cbf41d62786"),
        (lambda g: rng.randn(100003, generator=g), "0e1052dc151d4ee6"),
        (lambda g: rng.randperm(60000, generator=g), "4c226c41bdd65c9e"),
        (lambda g: rng.bernoulli(0.5, 1000003, generator=g), "abef8c5ead945a92"),
    ],
    ids=["rand", "rand f64", "randn", "randperm", "bernoulli"],
)
def test_long_draws_have_the_recorded_digest(draw: Callable[[rng.Generator], Array], digest: str) -> None:
    assert hashlib.sha256(draw(fresh()).tobytes()).hexdigest()[:16] == digest


# ---- side by side with a living torch ----

SIZES = st.sampled_from([0, 1, 2, 5, 15, 16, 17, 31, 32, 33, 100, 700]) | st.integers(0, 40)
DTYPES = st.sampled_from([F16, F32, F64])
STEPS = st.lists(
    st.tuples(st.integers(0, 12), SIZES, DTYPES, st.floats(0, 1), st.floats(0.01, 5)), min_size=1, max_size=8
)


def torch_pair(step: tuple[Any, ...], g: rng.Generator, torch: Any, tg: Any) -> tuple[Array, Any]:
    """One draw of each library, from the same description."""
    which, n, dtype, p, scale = step
    kind = getattr(torch, np.dtype(dtype).name)
    blank = torch.empty(n, dtype=kind)
    chances = np.linspace(0, p, n).astype(dtype)
    weights = (np.arange(1, n + 2) * scale).astype(F64 if dtype == F64 else F32)
    width = int(2 ** (1 + 60 * p))
    draws: list[Callable[[], tuple[Array, Any]]] = [
        lambda: (rng.rand(n, dtype, g), torch.rand(n, dtype=kind, generator=tg)),
        lambda: (rng.randn(n, dtype, g), torch.randn(n, dtype=kind, generator=tg)),
        lambda: (rng.uniform(n, -p, scale, dtype, g), blank.uniform_(-p, scale, generator=tg)),
        lambda: (rng.normal(n, -p, scale, dtype, g), blank.normal_(-p, scale, generator=tg)),
        lambda: (rng.exponential(n, scale, dtype, g), blank.exponential_(scale, generator=tg)),
        lambda: (rng.bernoulli(p, n, dtype, g), blank.bernoulli_(p, generator=tg)),
        lambda: (rng.bernoulli(chances, generator=g),
                 torch.bernoulli(torch.from_numpy(chances), generator=tg)),
        lambda: (rng.bernoulli(chances, n, np.int32, g),
                 torch.empty(n, dtype=torch.int32).bernoulli_(torch.from_numpy(chances), generator=tg)),
        lambda: (rng.randint(-width, width, n, generator=g),
                 torch.randint(-width, width, (n,), generator=tg)),
        lambda: (rng.randint(0, 100, n, dtype, g), torch.randint(0, 100, (n,), dtype=kind, generator=tg)),
        lambda: (rng.randperm(n, generator=g), torch.randperm(n, generator=tg)),
        lambda: (rng.multinomial(weights, n // 2 + 1, generator=g),
                 torch.multinomial(torch.from_numpy(weights), n // 2 + 1, generator=tg)),
        lambda: (rng.multinomial(weights, n + 1, True, g),
                 torch.multinomial(torch.from_numpy(weights), n + 1, True, generator=tg)),
    ]  # fmt: skip
    return draws[which]()


def faithful(torch: Any) -> bool:
    """Whether this torch has the kernels that are reproduced here bit for bit."""
    return str(torch.backends.cpu.get_cpu_capability()).startswith("AVX")


def check_against(torch: Any, ours: Array, theirs: Any) -> None:
    if faithful(torch) or ours.dtype.kind != "f":
        agree(ours, theirs.numpy())
    else:
        assert ours.dtype == theirs.numpy().dtype
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-3 if ours.dtype == F16 else 1e-5, atol=1e-6)


@given(seed=st.integers(-(2**63), 2**64 - 1), steps=STEPS)
@example(seed=0, steps=[(1, 3, F32, 0.5, 1.0), (1, 17, F32, 0.5, 1.0), (1, 2, F64, 0.5, 1.0)])
@example(seed=1, steps=[(0, 624, F32, 0.5, 1.0), (3, 1, F64, 0.5, 2.0), (10, 100, F32, 0.5, 1.0)])
@example(seed=2, steps=[(which, n, F64, 0.7, 1.3) for which in range(13) for n in (0, 1, 16)])
@example(seed=3, steps=[(1, 17, F16, 0.5, 1.0), (3, 35, F16, 0.5, 1.0), (0, 2, F16, 0.5, 1.0)])
def test_any_sequence_of_draws_keeps_step_with_torch(torch: Any, seed: int, steps: list[tuple[Any, ...]]) -> None:
    g, tg = fresh(seed), torch.Generator().manual_seed(seed)
    assert g.initial_seed() == tg.initial_seed()
    for step in steps:
        check_against(torch, *torch_pair(step, g, torch, tg))
        if faithful(torch):
            agree(g.get_state(), tg.get_state().numpy())  # the state is the whole truth about the next draw


@pytest.mark.parametrize("n", [100003, 1000000])
@pytest.mark.parametrize("which", range(7))
def test_long_draws_keep_step_with_torch_on_any_number_of_threads(n: int, which: int) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    try:
        for count, dtype in ((1, F32), (3, F64)):
            torch.set_num_threads(count)
            g, tg = fresh(n), torch.Generator().manual_seed(n)
            check_against(torch, *torch_pair((which, n, dtype, 0.3, 1.7), g, torch, tg))
    finally:
        torch.set_num_threads(threads)


@given(
    rows=st.integers(1, 20),
    dtypes=st.tuples(st.sampled_from([F32, F64]), st.sampled_from([F32, F64])),
    arrays=st.sampled_from(["both", "mean", "std"]),
)
def test_normal_of_arrays_is_torch_normal(rows: int, dtypes: tuple[Any, Any], arrays: str) -> None:
    torch = pytest.importorskip("torch")
    mean: Any = np.linspace(-3, 3, rows).astype(dtypes[0])[:, None]
    std: Any = np.linspace(0, 2, 3).astype(dtypes[1])
    mean, std = (0.3 if arrays == "std" else mean), (1.7 if arrays == "mean" else std)
    torch.manual_seed(rows)
    theirs = torch.normal(*(torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in (mean, std)))
    check_against(torch, rng.normal(mean=mean, std=std, generator=fresh(rows)), theirs)


@given(
    axes=st.permutations(range(3)),
    p=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    kind=st.sampled_from([F32, F64]),
)
def test_dropout_mask_is_that_of_torch_for_any_memory_order(axes: list[int], p: float, kind: Any) -> None:
    torch = pytest.importorskip("torch")
    x = np.ones((4, 5, 6), kind).transpose(axes)
    torch.manual_seed(3)
    theirs = torch.nn.functional.dropout(torch.from_numpy(x), p)
    g = fresh(3)
    agree(rng.dropout_mask(x.shape, 1 - p, g, x.strides), np.ascontiguousarray(theirs.numpy() != 0))
    agree(g.get_state(), torch.get_rng_state().numpy())


def test_multinomial_of_rows_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    weights = np.arange(1, 13, dtype=F32).reshape(3, 4)
    for samples, again in ((1, False), (3, False), (1, True), (9, True)):
        torch.manual_seed(1)
        theirs = torch.multinomial(torch.from_numpy(weights), samples, again)
        agree(rng.multinomial(weights, samples, again, fresh(1)), theirs.numpy())
    torch.manual_seed(1)
    theirs = torch.multinomial(torch.full((3,), 3e38), 9, True)  # the sum is beyond float32
    agree(rng.multinomial(np.full(3, 3e38, F32), 9, True, fresh(1)), theirs.numpy())


# ---- the state ----


@given(before=st.integers(0, 700), normals=st.integers(0, 3))
def test_a_state_restores_every_later_draw(before: int, normals: int) -> None:
    g = fresh(9)
    rng.rand(before, generator=g)
    rng.randn(normals, generator=g)
    state = g.get_state()
    later = rng.randn(3, F64, g).tolist() + rng.rand(630, F64, g).tolist()
    for twin in (rng.Generator(), fresh(1)):
        twin.set_state(state)
        agree(twin.get_state(), state)
        copies = [twin.clone_state(), copy.deepcopy(twin), pickle.loads(pickle.dumps(twin)), twin]
        for same in copies:
            assert rng.randn(3, F64, same).tolist() + rng.rand(630, F64, same).tolist() == later
            assert same.initial_seed() == 9


def test_states_are_interchanged_with_torch_both_ways() -> None:
    torch = pytest.importorskip("torch")
    for draws in (0, 1, 623, 624, 625):
        tg = torch.Generator().manual_seed(4)
        torch.rand(draws, generator=tg)
        torch.randn(1, generator=tg)
        g = rng.Generator()
        g.set_state(tg.get_state().numpy())
        agree(g.get_state(), tg.get_state().numpy())
        check_against(torch, rng.randn(2, F64, g), torch.randn(2, dtype=torch.float64, generator=tg))
        tg.set_state(torch.from_numpy(g.get_state()))
        check_against(torch, rng.rand(700, generator=g), torch.rand(700, generator=tg))


def test_a_refused_state_changes_nothing() -> None:
    g = fresh(5)
    rng.randn(1, generator=g)
    state = g.get_state()
    broken = state.copy()
    broken[8:12] = 255  # left = -1
    for bad in (broken, np.zeros(5056, np.uint8), state[:-1], state.astype(np.int64)):
        with pytest.raises(TensorError, match="set_state"):
            g.set_state(bad)
        agree(g.get_state(), state)


# ---- seeds and the default generator ----


@pytest.mark.parametrize(
    ("seed", "as_unsigned"),
    [(-1, 2**64 - 1), (-(2**63), 2**63), (2**64 - 1, 2**64 - 1), (np.int64(-2), 2**64 - 2), (7, 7)],
)
def test_seeds_wrap_into_64_bits_and_32_reach_the_stream(seed: int, as_unsigned: int) -> None:
    g = fresh(seed)
    assert g.initial_seed() == as_unsigned
    agree(rng.rand(3, generator=g), rng.rand(3, generator=fresh(as_unsigned % 2**32)))


@pytest.mark.parametrize(
    ("seed", "error"),
    [(2**64, TensorError), (-(2**63) - 1, TensorError), (1.5, DtypeError), (True, DtypeError)],
)
def test_a_refused_seed_changes_nothing(seed: Any, error: type[Exception]) -> None:
    g = fresh(3)
    with pytest.raises(error, match="seed"):
        g.manual_seed(seed)
    agree(rng.rand(3, generator=g), rng.rand(3, generator=fresh(3)))


def test_the_default_generator_is_the_one_without_a_name() -> None:
    saved = rng.get_rng_state()
    try:
        assert rng.manual_seed(11) is rng.default_generator
        assert rng.initial_seed() == 11
        agree(rng.rand(4), rng.rand(4, generator=fresh(11)))
        rng.manual_seed(2.9)  # type: ignore[arg-type]  # torch's module function goes through int
        assert rng.initial_seed() == 2
        first, second = rng.seed(), rng.seed()
        assert first != second == rng.initial_seed()
        state = rng.get_rng_state()
        numbers = rng.randn(20)
        rng.set_rng_state(state)
        agree(rng.randn(20), numbers)
    finally:
        rng.set_rng_state(saved)


# ---- shapes, dtypes, ranges, refusals ----


@pytest.mark.parametrize("shape", [(), 0, 3, (2, 0), (2, 3), [4], (np.int64(2), 1)])
def test_every_draw_has_the_shape_asked_for(shape: Any) -> None:
    expected = np.empty(shape).shape
    g = fresh()
    for drawn in (
        rng.rand(shape, generator=g),
        rng.randn(shape, generator=g),
        rng.randint(0, 5, shape, generator=g),
        rng.bernoulli(0.5, shape, generator=g),
        rng.dropout_mask(shape, 0.5, g),
        rng.uniform(shape, 2.0, 3.0, F64, g),
        rng.normal(shape, 2.0, 3.0, F64, g),
        rng.exponential(shape, generator=g),
    ):
        assert isinstance(drawn, np.ndarray)
        assert drawn.shape == expected
        assert drawn.flags.writeable


def test_half_precision_never_reaches_the_open_end() -> None:
    assert float(rng.rand(20000, F16, fresh()).max()) < 1
    assert float(rng.uniform(20000, 1.0, 2.0, F16, fresh()).max()) < 2


def test_very_long_permutations_go_inside_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discrete, "_INSIDE_OUT_FROM", 6)
    words = [int(word) for word in fresh().double_words(6)]
    expected: list[int] = []
    for i, word in enumerate(words):  # put i last, then exchange it with a place chosen among all
        place = word % (i + 1)
        expected.append(i)
        expected[i], expected[place] = expected[place], i
    assert rng.randperm(6, generator=fresh()).tolist() == expected


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
@example(1e300, 1e300, 0.0)
@example(1e308, 0.5, 1e308)
def test_fused_rounds_once(a: float, b: float, c: float) -> None:
    got = float(continuous.fused(np.array([a]), F64(b), F64(c))[0])
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if abs(exact) > Fraction(np.finfo(F64).max):
        assert abs(got) == np.inf
    else:
        agree(np.array(got), np.array(float(exact)), ulps=0 if abs(a) < 1e290 else 1)


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: rng.randn((2, -3)), ShapeError, "negative size"),
    (lambda: rng.rand(2.5), DtypeError, "integers"),  # type: ignore[arg-type]
    (lambda: rng.rand(2, np.int64), DtypeError, "float32"),
    (lambda: rng.uniform(2, 1.0, 0.0), TensorError, "empty"),
    (lambda: rng.uniform(2, float("nan"), 0.0), TensorError, "empty"),
    (lambda: rng.uniform(2, -3e38, 3e38), TensorError, "wide"),
    (lambda: rng.normal(2, 0.0, -1.0), TensorError, "negative"),
    (lambda: rng.normal(), ShapeError, "shape"),
    (lambda: rng.normal(mean=np.zeros(2), std=np.array([1.0, -1.0])), TensorError, "negative"),
    (lambda: rng.normal(mean=np.zeros(2), std=np.ones(3)), ShapeError, "broadcast"),
    (lambda: rng.normal((3,), np.zeros(2), np.ones(2)), ShapeError, "leave the shape out"),
    (lambda: rng.normal(mean=np.zeros(2, np.int64)), DtypeError, "float32"),
    (lambda: rng.exponential(2, 0.0), TensorError, "above 0"),
    (lambda: rng.bernoulli(1.5, 2), TensorError, r"\[0, 1\]"),
    (lambda: rng.bernoulli(np.array([0.5, -0.1])), TensorError, r"\[0, 1\]"),
    (lambda: rng.bernoulli(0.5), ShapeError, "needs a shape"),
    (lambda: rng.bernoulli(np.full(3, 0.5), (2,)), ShapeError, "broadcast"),
    (lambda: rng.bernoulli(np.ones(3, np.int64)), DtypeError, "float32"),
    (lambda: rng.dropout_mask(2, 1.1), TensorError, r"\[0, 1\]"),
    (lambda: rng.randint(3, 3, 2), TensorError, "above low"),
    (lambda: rng.randint(0, 300, 2, np.uint8), TensorError, "uint8 holds"),
    (lambda: rng.randint(0, 3, 2, np.bool_), TensorError, "bool holds"),
    (lambda: rng.randint(0, 2**24 + 2, 2, F32), TensorError, "float32 holds"),
    (lambda: rng.randint(0, 2**64, 2), TensorError, "int64 holds"),
    (lambda: rng.randint(0.5, 3, 2), DtypeError, "integers"),  # type: ignore[arg-type]
    (lambda: rng.randint(0, 3, 2, np.complex64), DtypeError, "complex64"),
    (lambda: rng.randperm(-1), ShapeError, "negative size"),
    (lambda: rng.randperm(300, np.uint8), TensorError, "cannot hold"),
    (lambda: rng.multinomial(np.ones(3), 4), ShapeError, "replacement=True"),
    (lambda: rng.multinomial(np.ones(3), 0), ShapeError, "samples"),
    (lambda: rng.multinomial(np.zeros(3), 1), TensorError, "all zero"),
    (lambda: rng.multinomial(np.array([1.0, np.inf]), 1), TensorError, "finite"),
    (lambda: rng.multinomial(np.ones((2, 2, 2)), 1), ShapeError, "one row"),
    (lambda: rng.multinomial(np.ones(3, np.int64), 1), DtypeError, "float32"),
    (lambda: rng.Generator("cuda"), DtypeError, "cuda"),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_a_refused_draw_says_why_and_takes_nothing_from_the_stream(case: int) -> None:
    draw, error, words = REFUSED[case]
    before = rng.get_rng_state()
    with pytest.raises(error, match=words):
        draw()
    agree(rng.get_rng_state(), before)
