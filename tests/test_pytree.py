"""Nested containers: what is flattened and unflattened again is what it was; what contains itself is refused."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp import pytree
from tinygrad_bp.errors import ArgumentError, TensorError
from tinygrad_bp.gradcheck import gradcheck

Pair = namedtuple("Pair", "x y")


class Named(tuple[Any, ...]):
    """A tuple with attributes."""


class Listed(list[Any]):
    """A list with attributes."""


LEAVES = st.one_of(st.integers(), st.none(), st.text(max_size=2), st.just(slice(1, 2)))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(Listed),
        st.tuples(inner, inner).map(lambda both: Pair(*both)),
        st.dictionaries(st.one_of(st.integers(0, 3), st.text(max_size=1)), inner, max_size=3),
        st.dictionaries(st.integers(0, 3), inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=12,
)
OPENS = [pytree.container, pytree.plain_container, pytree.operands]


@pytest.mark.parametrize("opens", OPENS)
@given(tree=TREES)
def test_a_tree_is_its_leaves_and_its_structure(opens: Any, tree: Any) -> None:
    leaves = pytree.leaves(tree, opens)
    again = pytree.unflatten(tree, leaves, opens)
    assert again == tree
    assert type(again) is type(tree)
    assert pytree.structure(again, opens) == pytree.structure(tree, opens)
    marked = pytree.unflatten(tree, map(str, range(len(leaves))), opens)
    assert pytree.leaves(marked, opens) == [str(i) for i in range(len(leaves))]
    assert pytree.structure(marked, opens) == pytree.structure(tree, opens)
    if opens is pytree.operands:
        assert [one for _, one, _ in pytree.pairs(tree, marked)] == leaves


@given(tree=TREES)
def test_a_path_leads_to_its_leaf(tree: Any) -> None:
    for path, leaf in pytree.paths(tree, "tree"):
        assert eval(path, {"tree": tree}) is leaf


@given(tree=TREES)
def test_a_tree_written_as_source_is_the_tree(tree: Any) -> None:
    plain = pytree.map(lambda leaf: leaf, tree)
    assert eval(pytree.fold(repr, pytree.source, plain)) == tree


def test_classes_and_what_they_hold_besides_their_parts_stay() -> None:
    named, listed = Named((1, 2)), Listed([1, 2])
    named.unit = listed.unit = "m"  # type: ignore[attr-defined]
    counts = defaultdict(int, b=2, a=1)
    for tree in (named, listed, counts, Pair(1, 2)):
        doubled = pytree.map(lambda x: 2 * x, tree)
        assert type(doubled) is type(tree)
        assert pytree.leaves(doubled) == [2 * x for x in pytree.leaves(tree)]
        assert vars(doubled) == vars(tree) if hasattr(tree, "__dict__") else True
    assert list(pytree.map(str, counts)) == ["b", "a"]
    assert pytree.map(str, counts)["c"] == 0


@pytest.mark.parametrize(("one", "other", "found"), [
    ([1, 2], [1, 2, 3], [("", [1, 2], [1, 2, 3])]),
    ([1, 2], (1, 2), [("", [1, 2], (1, 2))]),
    ({"a": 1, "b": 2}, {"b": 3, "a": 4}, [("['a']", 1, 4), ("['b']", 2, 3)]),
    ({"a": 1}, {"b": 1}, [("", {"a": 1}, {"b": 1})]),
    ([{"a": 1}], [[1]], [("[0]", {"a": 1}, [1])]),
    (1, [1], [("", 1, [1])]),
])  # fmt: skip
def test_two_trees_side_by_side_part_where_they_differ(one: Any, other: Any, found: Any) -> None:
    assert pytree.pairs(one, other) == found


def endless() -> list[Any]:
    itself: list[Any] = [1]
    itself.append({"again": itself})
    round_about: dict[str, Any] = {"x": [2]}
    round_about["x"].append((round_about,))
    return [itself, round_about, (0, itself)]


@pytest.mark.parametrize("tree", endless(), ids=["list", "dict", "in a tuple"])
@pytest.mark.parametrize("walk", [
    lambda tree: pytree.map(str, tree),
    pytree.leaves,
    pytree.paths,
    pytree.structure,
    lambda tree: pytree.unflatten(tree, iter(int, 1)),
    lambda tree: pytree.pairs(tree, tree),
])  # fmt: skip
def test_what_contains_itself_is_refused(walk: Any, tree: Any) -> None:
    with pytest.raises(ArgumentError, match=r"a (list|dict) contains itself"):
        walk(tree)


@pytest.mark.parametrize("use", [
    lambda x, tree: tg.compile(lambda x, other: x * 2)(x, tree),
    lambda x, tree: tg.compile(lambda x: (x * 2, tree)[0])(x),
    lambda x, tree: tg.compile(lambda x: (x * 2, tree))(x),
    lambda x, tree: gradcheck(lambda x, other: x * 2, (x, tree)),
    lambda x, tree: gradcheck(lambda x: (x * 2, tree), (x,)),
    lambda x, tree: tg.export_numpy(lambda x, other: x * 2, (x, tree), "never.py"),
    lambda x, tree: tg.data.default_convert(tree),
    lambda x, tree: tg.data.default_collate([tree, tree]),
    lambda x, tree: tg.tensor(tree),
    lambda x, tree: tg.testing.assert_close(tree, tree),
], ids=[
    "an argument", "in the closure", "returned", "checked", "of a checked", "exported", "converted", "collated",
    "made a tensor", "compared",
])  # fmt: skip
def test_a_user_who_passes_one_gets_an_error_or_an_answer_and_no_endless_recursion(use: Any) -> None:
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    for tree in endless():
        try:
            use(x, tree)
        except RecursionError as error:
            raise AssertionError("endless recursion") from error
        except TensorError:
            continue


def test_a_walk_keeps_nothing_alive() -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    gc.disable()
    try:
        tree = [thing, {"a": (thing,)}]
        pytree.map(id, tree), pytree.leaves(tree), pytree.paths(tree), pytree.structure(tree), pytree.pairs(tree, tree)
        del tree, thing
        assert gone() is None
    finally:
        gc.enable()


def test_what_only_nests_deeply_is_no_endless_container() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        pytree.leaves(deep)
    while isinstance(deep, list):  # taken apart from outside, since Python would do that recursively
        deep = deep[0]


def test_arrays_and_text_are_leaves() -> None:
    array = np.ones(2)
    assert pytree.leaves([array, "ab", {1}, range(2)])[0] is array
    assert pytree.leaves("ab") == ["ab"]
