"""Nested tuples, lists and dicts as trees: the one place that walks through them.

A container has parts, and everything else is a leaf: `leaves` lists them, `paths` names them, `map` changes them and
`unflatten` puts others in their places. `opens` says which containers are looked into; a container for which it is
false is a leaf. A container that contains itself has no end, and is refused. Read `modes.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    Opens = Callable[[Any], bool]
    Match = Callable[[Any, Any], bool]

CONTAINERS = (tuple, list, dict)


def container(tree: Any) -> bool:
    """Any tuple, list or dict. By its class, since a weak proxy of one would say that it is one."""
    return issubclass(type(tree), CONTAINERS)


def plain_container(tree: Any) -> bool:
    """A tuple, list or dict that has nothing besides its parts: of a class of its own only a named tuple."""
    kind = type(tree)
    return kind is list or kind is dict or (issubclass(kind, tuple) and kind.__dictoffset__ == 0)


def row(tree: Any) -> bool:
    """A list or a tuple, which numbers stand in one after the other."""
    return issubclass(type(tree), (list, tuple))


def operands(tree: Any) -> bool:
    """What may hold operands in a call of NumPy: any container, and the slices of an index."""
    kind = type(tree)
    return kind is tuple or kind is slice or issubclass(kind, CONTAINERS)


def keyed(tree: Any) -> bool:
    """Whether the parts of a container have keys: a dict, or what has a dict's methods."""
    return issubclass(type(tree), dict) or hasattr(type(tree), "keys")


def parts(tree: Any) -> Iterable[Any]:
    """What is in a container, in order; asked of the built-in class, whatever a subclass makes of it."""
    kind = type(tree)
    if kind is tuple or kind is list:
        whole: Iterable[Any] = tree
        return whole
    if kind is slice:
        return tree.start, tree.stop, tree.step
    if keyed(tree):
        return [tree[key] for key in tree]
    return (tuple if issubclass(kind, tuple) else list).__iter__(tree)


def rebuilt(tree: Any, new: list[Any]) -> Any:
    """A container of the same class with other parts; the attributes of one of a class of its own come along."""
    kind = type(tree)
    if kind is list:
        return new
    if kind is tuple:
        return tuple(new)
    if kind is dict:
        return dict(zip(tree, new, strict=True))
    if kind is slice:
        return slice(*new)
    if issubclass(kind, tuple):
        made = tuple.__new__(kind, new)
        vars(made).update(vars(tree)) if hasattr(tree, "__dict__") else None
        return made
    from copy import copy

    changed: Any = copy(tree)
    for key, part in zip(_keys(tree), new, strict=True):
        changed[key] = part
    return changed


def alike(one: Any, other: Any) -> bool:
    """Whether two are containers of one class with as many parts, or the same keys."""
    if type(one) is not type(other) or not (container(one) or type(one) is slice):
        return False
    return one.keys() == other.keys() if keyed(one) else len(_keys(one)) == len(_keys(other))


def map(change: Callable[[Any], Any], tree: Any, opens: Opens = container) -> Any:
    """The same tree with `change(leaf)` in the place of each leaf.

    >>> map(lambda x: 2 * x, {"a": [1, 2], "b": (3,)})
    {'a': [2, 4], 'b': (6,)}
    """
    return fold(change, rebuilt, tree, opens)


def fold(leaf: Callable[[Any], Any], join: Callable[[Any, list[Any]], Any], tree: Any, opens: Opens = container) -> Any:
    """What becomes of a tree from its leaves upwards: `leaf(x)` of each leaf, `join(container, [of its parts])`.

    >>> fold(lambda x: 1, lambda tree, counts: sum(counts), {"a": [1, 2], "b": (3,)})
    3
    """
    try:
        return _fold(leaf, join, tree, opens) if opens(tree) else leaf(tree)
    except RecursionError:
        refuse_endless(tree, opens)
        raise


def source(tree: Any, texts: list[str], key: Callable[[Any], str] = repr) -> str:
    """A container as Python writes it, given the text of each part; `key` writes the keys of a dict.

    >>> fold(repr, source, {"a": [1, 2], "b": (3,)})
    "{'a': [1, 2], 'b': (3,)}"
    """
    kind, inner = type(tree), ", ".join(texts)
    if keyed(tree):
        return f"{{{', '.join(f'{key(k)}: {text}' for k, text in zip(tree, texts, strict=True))}}}"
    if issubclass(kind, list):
        return f"[{inner}]"
    return f"slice({inner})" if kind is slice else f"({inner}{',' * (len(texts) == 1)})"


def leaves(tree: Any, opens: Opens = container) -> list[Any]:
    """All leaves, in order.

    >>> leaves({"a": [1, 2], "b": (3,)})
    [1, 2, 3]
    """
    found: list[Any] = []
    try:
        _leaves(found, tree if opens(tree) else (tree,), opens)
    except RecursionError:
        refuse_endless(tree, opens)
        raise
    return found


def paths(tree: Any, name: str = "", opens: Opens = container) -> list[tuple[str, Any]]:
    """All leaves, each with the index expression that leads to it.

    >>> paths({"a": [1, 2]}, "x")
    [("x['a'][0]", 1), ("x['a'][1]", 2)]
    """
    found: list[tuple[str, Any]] = []
    try:
        _paths(found, name, tree, opens)
    except RecursionError:
        refuse_endless(tree, opens)
        raise
    return found


def unflatten(tree: Any, new: Iterable[Any], opens: Opens = container) -> Any:
    """A tree of the same structure with these leaves, in order.

    >>> unflatten({"a": [0, 0], "b": (0,)}, [1, 2, 3])
    {'a': [1, 2], 'b': (3,)}
    """
    following = iter(new)
    return map(lambda leaf: next(following), tree, opens)


def pairs(one: Any, other: Any, name: str = "", match: Match = alike) -> list[tuple[str, Any, Any]]:
    """(path, leaf, leaf) through two trees side by side; two parts that do not `match` are given as they are.

    >>> pairs([1, (2, 3)], [5, {}])
    [('[0]', 1, 5), ('[1]', (2, 3), {})]
    """
    found: list[tuple[str, Any, Any]] = []
    try:
        _pairs(found, name, one, other, match)
    except RecursionError:
        refuse_endless(one)
        raise
    return found


def structure(tree: Any, opens: Opens = container) -> list[tuple[Any, ...]]:
    """What a tree is without its leaves: the class of each container, with its keys in order, or its length.

    >>> structure({"a": [1, 2]})
    [(<class 'dict'>, <class 'str'>, 'a'), (<class 'list'>, 2)]
    """
    found: list[tuple[Any, ...]] = []
    try:
        _structure(found, tree, opens)
    except RecursionError:
        refuse_endless(tree, opens)
        raise
    return found


# The walks themselves are no closures: one that calls itself would keep what it holds until the collector comes.


def _fold(leaf: Callable[[Any], Any], join: Callable[[Any, list[Any]], Any], tree: Any, opens: Opens) -> Any:
    done = [_fold(leaf, join, part, opens) if opens(part) else leaf(part) for part in parts(tree)]
    return join(tree, done)


def _leaves(found: list[Any], tree: Any, opens: Opens) -> None:
    for part in parts(tree):
        if opens(part):
            _leaves(found, part, opens)
        else:
            found.append(part)


def _structure(found: list[tuple[Any, ...]], tree: Any, opens: Opens) -> None:
    if opens(tree):
        keys = [fact for key in tree for fact in (type(key), key)] if keyed(tree) else [len(_keys(tree))]
        found.append((type(tree), *keys))
        for part in parts(tree):
            _structure(found, part, opens)


def _paths(found: list[tuple[str, Any]], name: str, tree: Any, opens: Opens) -> None:
    if opens(tree):
        for key, part in zip(_keys(tree), parts(tree), strict=True):
            _paths(found, f"{name}[{key!r}]", part, opens)
    else:
        found.append((name, tree))


def _pairs(found: list[tuple[str, Any, Any]], name: str, one: Any, other: Any, match: Match) -> None:
    if match(one, other):
        theirs = [other[key] for key in one] if keyed(one) else parts(other)
        for key, first, second in zip(_keys(one), parts(one), theirs, strict=True):
            _pairs(found, f"{name}[{key!r}]", first, second, match)
    else:
        found.append((name, one, other))


def _keys(tree: Any) -> Collection[Any]:
    kind = type(tree)
    return ("start", "stop", "step") if kind is slice else tree if keyed(tree) else range(len(tree))


def refuse_endless(tree: Any, opens: Opens = container) -> None:
    """After a walk that went too deep: raise if that was because the tree contains itself."""
    endless = _endless(tree, opens)
    if endless is not None:
        kind = type(endless).__name__
        raise ArgumentError(f"a {kind} contains itself, so that its parts have no end: take it out of itself")


def _endless(tree: Any, opens: Opens) -> Any:
    """The first container that contains itself, or None."""
    above, stack = {id(tree): tree}, [(tree, iter(parts(tree) if opens(tree) else ()))]
    while stack:
        part = next(stack[-1][1], above)
        if part is above:
            del above[id(stack.pop()[0])]
        elif id(part) in above:
            return part
        elif opens(part):
            above[id(part)] = part
            stack.append((part, iter(parts(part))))
    return None
